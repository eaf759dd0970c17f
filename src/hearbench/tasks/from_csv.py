"""A user's own corpus as a task: from a list of clips to the official layout."""

from __future__ import annotations

from pathlib import Path

from hearbench.tasks.clip_table import ClipTable, read_clip_table
from hearbench.tasks.own_recipe import OwnTask, agreed_multilabel, agreed_split_mode, own_recipe
from hearbench.tasks.prepare import prepare_task
from hearbench.tasks.recipe import SMALL
from hearbench.tasks.spec import SplitMode
from hearbench.workspace import Workspace

__all__ = ["prepare_from_csv"]


def prepare_from_csv(
    csv: Path, audio_dir: Path, task: OwnTask, out: Path, *, workspace: Workspace | None = None
) -> Path:
    """Makes a task out of a list of clips and returns its folder.

    The kind of task follows from the list: with ``start_ms`` and ``end_ms`` it is an event task;
    else a scene task, multilabel if a clip has several labels or ``task.multilabel`` says so. With
    a column ``split`` the splits that are missing are cut out of train; with ``fold`` the folds
    stay as they are; with neither the clips are split by the reference's rules.

    Args:
        csv: The list; its columns are described in :mod:`hearbench.tasks.clip_table`.
        audio_dir: The folder that its paths are relative to.
        task: Its name and settings.
        out: Folder that takes ``tasks/<name>-<version>-<mode>/``.
        workspace: Where the cache is, how many threads, and who shows progress; by default from
            the environment.

    Raises:
        TaskError: The list, the settings or some audio can't be used, or the folder holds
            something else; the message lists all that is wrong.
    """
    table = read_clip_table(csv, audio_dir, missing_ok=task.mode == SMALL)
    multilabel = table.has_events or agreed_multilabel(
        several=table.has_several,
        unlabelled=[path.name for path in table.unlabelled],
        n_clips=len({clip.path for clip in table.clips}),
        wanted=task.multilabel,
    )
    recipe = own_recipe(
        task,
        "event" if table.has_events else "scene",
        multilabel=multilabel,
        split_mode=_split_mode(table, task.wanted_split_mode, csv),
    )
    return prepare_task(
        table.clips, recipe, out, skip_corrupt=task.skip_corrupt, workspace=workspace
    )


def _split_mode(table: ClipTable, wanted: SplitMode | None, csv: Path) -> SplitMode:
    given: SplitMode | None = None
    if "fold" in table.columns:
        given = "presplit_kfold"
    elif "split" in table.columns:
        given = "trainvaltest"
    column = "fold" if given == "presplit_kfold" else "split"
    return agreed_split_mode(
        given,
        wanted,
        given_by=f"{csv} has a column {column!r}",
        folds_need=f"{csv}: folds that are given need a column 'fold'",
    )
