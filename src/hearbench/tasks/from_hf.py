"""A Hugging Face dataset as a task in the official layout."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hearbench.digest import short
from hearbench.errors import TaskError
from hearbench.files import atomic_write
from hearbench.registry import did_you_mean
from hearbench.tasks.clips import Clip
from hearbench.tasks.hf_columns import (
    Labels,
    audio_cells,
    check_columns,
    read_folds,
    read_labels,
)
from hearbench.tasks.hf_source import dataset_splits, identity_of
from hearbench.tasks.own_recipe import OwnTask, agreed_multilabel, agreed_split_mode, own_recipe
from hearbench.tasks.prepare import prepare_task
from hearbench.tasks.problems import Problems
from hearbench.tasks.spec import SplitMode, is_plain_name
from hearbench.tasks.splits import TRAIN_VALID_TEST
from hearbench.workspace import Workspace, user_path

if TYPE_CHECKING:
    from datasets import Dataset

__all__ = ["HfDataset", "prepare_from_hf"]

# What splits are called on the hub, and what they are called here.
_USUAL = {
    "train": "train",
    "validation": "valid",
    "valid": "valid",
    "val": "valid",
    "dev": "valid",
    "test": "test",
    "eval": "test",
}
_FOLD = re.compile(r"fold\d+")
_SUFFIX = re.compile(r"\.(?!raw$)[a-z0-9]{1,5}")  # soundfile wants to be told what is in a .raw
_LONGEST_STEM = 80
_LONGEST_NAME_BYTES = 255  # that file systems take


@dataclass(frozen=True)
class HfDataset:
    """A Hugging Face dataset, and which of its columns and splits hold what.

    Attributes:
        source: A folder that ``save_to_disk`` wrote, another folder that ``load_dataset``
            understands (audio files in folders, parquet), or a dataset's name on the hub.
        label_column: Column of labels: ClassLabel, text, integers, or lists of one of these.
        audio_column: Column of audio: the library's Audio, bytes or paths, or dictionaries with
            ``array`` of shape (n_samples,) and ``sampling_rate`` in Hz.
        config: Name of the dataset's configuration, where it has several.
        revision: Branch, tag or commit on the hub.
        splits: Splits of the dataset that are used, and what they are in the task: train, valid
            and test, or fold00, fold01, ...; several may go into one. By default all splits are
            used, and must have usual names (train; validation, valid, val or dev; test or eval;
            fold00, ...) unless there is one alone.
        fold_column: Column of folds, as integers or fold00, fold01, ..., instead of ``splits``;
            the rows of all splits of the dataset are used.
    """

    source: str
    label_column: str
    audio_column: str = "audio"
    config: str | None = None
    revision: str | None = None
    splits: Mapping[str, str] | None = None
    fold_column: str | None = None


def prepare_from_hf(
    dataset: HfDataset, task: OwnTask, out: Path, *, workspace: Workspace | None = None
) -> Path:
    """Makes a scene task out of a Hugging Face dataset and returns its folder.

    Audio is decoded by hearbench, by the benchmark's rules, not by the library. Audio that the
    dataset holds itself is written once into ``corpora/`` in the cache, where an interrupted run
    goes on; files that it only names are read where they lie. Clips are named
    ``<split>-<row>-<original stem>``, with rows counted from 0.

    The task is multilabel if the label column holds lists, or ``task.multilabel`` says so: then
    clips may have no label (None, empty text, or -1 of a ClassLabel), which is refused otherwise.
    A dataset with one split is split by the reference's rules; of several, those that are missing
    are cut out of train, and folds stay as they are.

    Args:
        dataset: The dataset.
        task: Its name and settings.
        out: Folder that takes ``tasks/<name>-<version>-<mode>/``.
        workspace: Where the cache is, how many threads, and who shows progress; by default from
            the environment.

    Raises:
        TaskError: The dataset, the settings or some audio can't be used, or the folder holds
            something else; the message lists all that is wrong, with the rows.
        DownloadError: The hub can't be reached, or has no such dataset.
        HearError: The library ``datasets`` (the extra ``hf``) isn't installed.
    """
    workspace = workspace or Workspace.from_environment()
    source, name = dataset.source, task.name
    if not is_plain_name(name):
        # It names a folder of the cache before the recipe is looked at.
        raise TaskError(
            f"The name {name!r} can't be part of a folder's name; use letters, digits and _ . + -"
        )
    splits, fold_column = dataset.splits or None, dataset.fold_column
    if splits and fold_column:
        raise TaskError(
            "Splits are named, and a column of folds as well; a dataset is divided by one of both."
        )
    found = dataset_splits(
        source, config=dataset.config, revision=dataset.revision, workspace=workspace
    )
    homes = _homes(found, splits, source)
    used = {split: found[split] for split in homes}
    columns = [dataset.audio_column, dataset.label_column]
    check_columns(used, *columns, *([fold_column] if fold_column else []))
    problems = Problems()
    folds = read_folds(used, fold_column, problems) if fold_column else {}
    labels = {
        split: read_labels(split, rows, dataset.label_column, problems)
        for split, rows in used.items()
    }
    recipe = own_recipe(
        task,
        "scene",
        # Where labels can't be read, that is what there is to say.
        multilabel=bool(problems) or _is_multilabel(labels, task.multilabel),
        split_mode=_split_mode(homes, fold_column, task.wanted_split_mode, source),
    )
    recipe.check(problems)
    n_clips = sum(len(split.rows) for split in labels.values())
    key = short(identity_of(used, dataset.audio_column))
    folder = workspace.path("corpora", f"hf-{name}-{key}")
    sounds = _Sounds(used, dataset.audio_column, user_path(source).absolute(), folder)
    clips: list[Clip] = []
    with workspace.progress.stage(f"{name}: reading the dataset", "clips", n_clips) as update:
        for done, sound in enumerate(sounds.fetched(problems)):
            update(done)
            if sound is not None:
                texts = labels[sound.split].rows[sound.row] or (None,)
                home = folds.get((sound.split, sound.row), homes[sound.split])
                clips.extend(Clip(sound.path, sound.filestem, text, home) for text in texts)
    if problems:
        raise problems.error(
            f"{source} can't be made a task; wrong are (rows are counted from 0):",
            "Mend the dataset, or drop these rows of it.",
        )
    return prepare_task(clips, recipe, out, skip_corrupt=task.skip_corrupt, workspace=workspace)


def _homes(
    found: Mapping[str, Dataset], wanted: Mapping[str, str] | None, source: str
) -> dict[str, str | None]:
    """The task's split of every split that is used; None where there is one alone."""
    problems = Problems()
    names = list(found)
    if wanted is None:
        homes = {name: _usual(name) for name in names}
        if len(names) > 1:
            for name, home in homes.items():
                if home is None:
                    problems.add("splits without a usual name", repr(name))
                elif list(homes.values()).count(home) > 1:
                    problems.add("splits that would be one", f"{name!r} as {home}")
    else:
        homes = dict(wanted)
        for name, home in wanted.items():
            if name not in found:
                problems.add("splits that aren't there", f"{name!r}; {did_you_mean(name, names)}")
            if home not in TRAIN_VALID_TEST and not _FOLD.fullmatch(home):
                problems.add(
                    "splits other than train, valid, test and fold00, fold01, ...", repr(home)
                )
        if not wanted:
            problems.add("splits", "none is named")
    kinds = {home in TRAIN_VALID_TEST for home in homes.values() if home is not None}
    if len(kinds) > 1 and not problems:
        problems.add("splits", f"some are folds, others aren't: {', '.join(names)}")
    if problems:
        raise problems.error(
            f"The splits of {source} ({', '.join(names)}) can't be those of a task; wrong are:",
            "Say which to use, and as what (--split train.clean=train --split dev=valid, or "
            "splits= in Python); splits that are missing are cut out of train.",
        )
    alone = len(set(homes.values())) == 1
    return {name: None if alone else home for name, home in homes.items()}


def _usual(name: str) -> str | None:
    return name if _FOLD.fullmatch(name) else _USUAL.get(name.lower())


def _split_mode(
    homes: Mapping[str, str | None],
    fold_column: str | None,
    wanted: SplitMode | None,
    source: str,
) -> SplitMode:
    if fold_column:
        return agreed_split_mode(
            "presplit_kfold", wanted, given_by=f"{fold_column!r} names folds", folds_need=""
        )
    known = [home for home in homes.values() if home is not None]
    given: SplitMode | None = None
    if known:
        given = "trainvaltest" if known[0] in TRAIN_VALID_TEST else "presplit_kfold"
    return agreed_split_mode(
        given,
        wanted,
        given_by=f"{source} has the splits {', '.join(homes)}",
        folds_need=f"{source}: folds that are given need a split each, fold00, fold01, ...",
    )


def _is_multilabel(labels: Mapping[str, Labels], wanted: bool) -> bool:
    return agreed_multilabel(
        several=any(split.lists for split in labels.values()),
        unlabelled=[
            f"{name} row {row}"
            for name, split in labels.items()
            for row, texts in enumerate(split.rows)
            if not texts
        ],
        n_clips=sum(len(split.rows) for split in labels.values()),
        wanted=wanted,
    )


@dataclass(frozen=True)
class _Sound:
    split: str  # of the dataset
    row: int
    filestem: str
    path: Path


@dataclass(frozen=True)
class _Sounds:
    """The audio of a dataset as files."""

    splits: Mapping[str, Dataset]
    column: str
    root: Path  # of relative paths in the dataset
    folder: Path  # of the files that are written

    def fetched(self, problems: Problems) -> Iterator[_Sound | None]:
        """Every row's file, written unless it is there; None for a row that can't be used."""
        first: dict[Path, str] = {}
        for split, dataset in self.splits.items():
            cells = audio_cells(split, dataset, self.column, self.root, problems)
            for row, cell in enumerate(cells):
                if cell is None:
                    yield None
                    continue
                stem, suffix = _named(split, row, cell.name)
                if isinstance(cell.content, Path):
                    path = cell.content
                    where = f"{split} row {row}"
                    if first.setdefault(path, where) != where:
                        problems.add("files of two rows", f"{path}: {first[path]} and {where}")
                else:
                    path = self.folder / f"{stem}{suffix}"
                    # With problems there will be no task; the rest is only looked through.
                    if not problems:
                        _write(path, cell.content)
                yield _Sound(split, row, stem, path)


def _named(split: str, row: int, name: str) -> tuple[str, str]:
    """The stem of a clip, unique in the dataset, and the suffix of its file."""
    suffix = Path(name).suffix.lower()
    original = Path(name).stem[:_LONGEST_STEM]
    parts = [split, f"{row:06d}", *([original] if original else [])]
    stem = re.sub(r"[^\w.+-]", "_", "-".join(parts))
    suffix = suffix if _SUFFIX.fullmatch(suffix) else ".audio"
    # The clip's own file ends in .wav.
    most_bytes = _LONGEST_NAME_BYTES - max(len(suffix), len(".wav"))
    return stem.encode()[:most_bytes].decode(errors="ignore"), suffix


def _write(path: Path, content: bytes) -> None:
    try:
        if path.is_file() and path.stat().st_size == len(content):
            return
        # After a power cut a file may be short; then it is written anew.
        with atomic_write(path, durable=False) as file:
            file.write(content)
    except OSError as error:
        raise TaskError(f"{path} can't be written: {error.strerror}.") from error
