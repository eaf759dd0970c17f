"""A user's own corpus as a task: from a list of clips to the official layout."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hearbench.tasks.clip_table import ClipTable, read_clip_table
from hearbench.tasks.own_recipe import agreed_multilabel, agreed_split_mode, own_recipe
from hearbench.tasks.prepare import prepare_task
from hearbench.tasks.recipe import SMALL
from hearbench.tasks.spec import SplitMode
from hearbench.workspace import Workspace

__all__ = ["prepare_from_csv"]


def prepare_from_csv(
    csv: Path,
    audio_dir: Path,
    name: str,
    out: Path,
    *,
    version: str = "1.0.0",
    mode: str = "full",
    duration_s: float | None = None,
    scores: Sequence[str] = (),
    sample_rates: Sequence[int] = (),
    split_mode: SplitMode | None = None,
    nfolds: int = 5,
    multilabel: bool = False,
    skip_corrupt: bool = False,
    workspace: Workspace | None = None,
) -> Path:
    """Makes a task out of a list of clips and returns its folder.

    The kind of task follows from the list: with ``start_ms`` and ``end_ms`` it is an event task;
    else a scene task, multilabel if a clip has several labels or ``multilabel`` says so. With a
    column ``split`` the splits that are missing are cut out of train; with ``fold`` the folds stay
    as they are; with neither the clips are split by the reference's rules.

    Args:
        csv: The list; its columns are described in :mod:`hearbench.tasks.clip_table`.
        audio_dir: The folder that its paths are relative to.
        name: Name of the task.
        out: Folder that takes ``tasks/<name>-<version>-<mode>/``.
        version: Version of the corpus.
        mode: Which part of the corpus it is; ``small`` lets labels be missing from splits, and
            files be missing.
        duration_s: Length in seconds that every clip is padded or trimmed to; without it the
            clips keep their lengths.
        scores: Names of the scores, the one to optimise first; the benchmark's usual ones by
            default.
        sample_rates: Rates in Hz to write; by default the highest of the corpus. Others are
            resampled when they are needed.
        split_mode: ``trainvaltest`` (80/10/10, the default) or ``new_split_kfold``, for a list
            without ``split`` and ``fold``.
        nfolds: Number of folds for ``new_split_kfold``.
        multilabel: Makes a scene task multilabel whose clips have a label at most, some none.
        skip_corrupt: Leaves out clips that can't be decoded; the metadata names them.
        workspace: Where the cache is, how many threads, and who shows progress; by default from
            the environment.

    Raises:
        TaskError: The list, the settings or some audio can't be used, or the folder holds
            something else; the message lists all that is wrong.
    """
    table = read_clip_table(csv, audio_dir, missing_ok=mode == SMALL)
    recipe = own_recipe(
        name,
        version=version,
        mode=mode,
        kind="event" if table.has_events else "scene",
        multilabel=table.has_events
        or agreed_multilabel(
            several=table.has_several,
            unlabelled=[path.name for path in table.unlabelled],
            n_clips=len({clip.path for clip in table.clips}),
            wanted=multilabel,
        ),
        split_mode=_split_mode(table, split_mode, csv),
        nfolds=nfolds,
        duration_s=duration_s,
        scores=scores,
        sample_rates=sample_rates,
    )
    return prepare_task(table.clips, recipe, out, skip_corrupt=skip_corrupt, workspace=workspace)


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
