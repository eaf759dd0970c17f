"""A Hugging Face dataset as a task in the official layout.

Rows are counted from 0, as the library counts them.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hearbench.digest import short
from hearbench.errors import TaskError
from hearbench.files import atomic_write, is_file
from hearbench.registry import did_you_mean
from hearbench.tasks.clips import Clip
from hearbench.tasks.hf_source import dataset_splits, datasets_library, identity_of
from hearbench.tasks.own_recipe import OwnTask, agreed_prediction, agreed_split_mode, own_recipe
from hearbench.tasks.prepare import prepare_task
from hearbench.tasks.problems import Problems
from hearbench.tasks.spec import SplitMode, is_plain_name
from hearbench.tasks.splits import TRAIN_VALID_TEST, named_folds
from hearbench.tasks.task_type import PredictionType
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
_LABELS_AT_ONCE = 10_000
_SOUNDS_AT_ONCE = 16
_UNKNOWN = -1  # the index of a ClassLabel that isn't known, as in hidden test labels
_HIGHEST_INT16 = 32767
_HIGHEST_RATE = (1 << 31) - 1  # that a WAV can be written with
# More than any float audio overshoots; integers that were stored as floats lie far above.
_LOUDEST = 16.0


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
    _check_columns(used, *columns, *([fold_column] if fold_column else []))
    problems = Problems()
    folds = _read_folds(used, fold_column, problems) if fold_column else {}
    labels = {
        split: _read_labels(split, rows, dataset.label_column, problems)
        for split, rows in used.items()
    }
    recipe = own_recipe(
        task,
        "scene",
        # Where labels can't be read, that is what there is to say.
        "multilabel" if problems else _prediction(labels, task.multilabel),
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


def _prediction(labels: Mapping[str, _Labels], wanted: bool) -> PredictionType:
    return agreed_prediction(
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
        """Every row's file, written unless it exists; None for a row that can't be used."""
        first: dict[Path, str] = {}
        for split, dataset in self.splits.items():
            cells = _audio_cells(split, dataset, self.column, self.root, problems)
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
        # After a power cut a file may be short; then it is written again.
        with atomic_write(path, durable=False) as file:
            file.write(content)
    except OSError as error:
        raise TaskError(f"{path} can't be written: {error.strerror}.", code="io") from error


@dataclass(frozen=True)
class _Labels:
    """The labels of a split.

    Attributes:
        rows: _Labels of every row; none where a row is unlabelled.
        lists: Whether the column holds lists.
    """

    rows: tuple[tuple[str, ...], ...]
    lists: bool


@dataclass(frozen=True)
class _AudioCell:
    """One row's audio.

    Attributes:
        name: What its file is called; empty where that isn't known.
        content: The file where it lies, or the content of one.
    """

    name: str
    content: Path | bytes


def _check_columns(splits: Mapping[str, Dataset], audio: str, label: str, *others: str) -> None:
    """Refuses a dataset whose columns can't be those of a task.

    Args:
        audio: Name of the column of audio.
        label: Name of the column of labels.
        others: Columns that only have to be there.

    Raises:
        TaskError: A column is missing, holds no audio, or holds events.
    """
    problems = Problems()
    for split, dataset in splits.items():
        for column in (audio, label, *others):
            if column not in dataset.features:
                names = list(dataset.features)
                hint = did_you_mean(column, names)
                problems.add("columns that are missing", f"{split} has no {column!r}; {hint}")
        if audio in dataset.features and not _holds_audio(dataset.features[audio]):
            sounds = [name for name, kind in dataset.features.items() if _is_audio(kind)]
            known = f" (there is audio in {', '.join(map(repr, sounds))})" if sounds else ""
            problems.add(
                "columns without audio",
                f"{audio!r} of {split} holds {dataset.features[audio]}{known}",
            )
        kind = dataset.features.get(label)
        if isinstance(kind, dict) or isinstance(_inner(kind), dict):
            problems.add(
                "labels with fields of their own",
                f"{label!r} of {split} holds {kind}; event tasks are made from a list of clips "
                "with start_ms and end_ms, by prepare_from_csv",
            )
    if problems:
        raise problems.error(
            "The dataset can't be used; wrong are:", "Name other columns, or mend the dataset."
        )


def _inner(kind: Any) -> Any:
    """The kind of values in a column of lists; None where it isn't one."""
    if isinstance(kind, list):  # as older releases of the library write it
        return kind[0]
    return getattr(kind, "feature", None)


def _is_audio(kind: Any) -> bool:
    return isinstance(kind, datasets_library().Audio)


def _holds_audio(kind: Any) -> bool:
    if isinstance(kind, dict):
        return bool({"bytes", "path"} & set(kind)) or {"array", "sampling_rate"} <= set(kind)
    dtype = getattr(kind, "dtype", None)
    return _is_audio(kind) or (
        _inner(kind) is None
        and dtype in ("string", "large_string", "binary", "large_binary")
        and isinstance(kind, datasets_library().Value)
    )


def _read_labels(split: str, dataset: Dataset, column: str, problems: Problems) -> _Labels:
    """The labels of a split; what can't be a label is noted.

    Names of a ClassLabel, text and integers are labels; None, empty text and a ClassLabel's -1
    stand for none.
    """
    kind = dataset.features[column]
    inner = _inner(kind)
    names = getattr(kind if inner is None else inner, "names", None)
    rows = []
    for row, value in enumerate(_values(dataset, column, _LABELS_AT_ONCE)):
        where = f"{split} row {row}"
        items = value if isinstance(value, list) else [value]
        texts = [_label(item, names, where, problems) for item in items]
        labels = tuple(text for text in texts if text is not None)
        for label in sorted({label for label in labels if labels.count(label) > 1}):
            problems.add("rows with a label twice", f"{where}: {label!r}")
        rows.append(labels)
    return _Labels(tuple(rows), inner is not None)


def _read_folds(
    splits: Mapping[str, Dataset], column: str, problems: Problems
) -> dict[tuple[str, int], str]:
    """The fold of every row, by split and row; what can't be a fold is noted."""
    values: dict[tuple[str, int], str] = {}
    for split, dataset in splits.items():
        names = getattr(dataset.features[column], "names", None)
        for row, value in enumerate(_values(dataset, column, _LABELS_AT_ONCE)):
            text = str(names[value]) if names and isinstance(value, int) else str(value)
            values[split, row] = text
            if not re.fullmatch(r"fold\d+|\d+", text):
                problems.add(
                    "folds that are neither fold00, fold01, ... nor integers",
                    f"{split} row {row}: {value!r}",
                )
    if problems:
        return {}
    try:
        folds = named_folds(set(values.values()))
    except ValueError:
        problems.add("folds", "some are named fold00, fold01, ..., others are integers")
        return {}
    return {row: folds[value] for row, value in values.items()}


def _label(value: Any, names: list[str] | None, where: str, problems: Problems) -> str | None:
    if value is None or value == "":
        return None
    if names is not None and isinstance(value, int):
        if value == _UNKNOWN:
            return None
        if not 0 <= value < len(names):
            problems.add("labels outside the ClassLabel", f"{where}: {value} of {len(names)}")
            return None
        return str(names[value])
    if isinstance(value, (str, int)):
        return str(value).strip() or None
    problems.add("labels that are neither text nor integer", f"{where}: {value!r}")
    return None


def _audio_cells(
    split: str, dataset: Dataset, column: str, folder: Path, problems: Problems
) -> Iterator[_AudioCell | None]:
    """The audio of every row, in order; None where it can't be used, which is noted.

    Args:
        split: Name of the split, for messages.
        column: Of encoded audio (bytes or paths), or of arrays with their ``sampling_rate``.
        folder: Folder that relative paths start from.
    """
    if _is_audio(dataset.features[column]):
        # As it is stored: hearbench decodes by the benchmark's rules.
        dataset = dataset.cast_column(column, datasets_library().Audio(decode=False))
    for row, value in enumerate(_values(dataset, column, _SOUNDS_AT_ONCE)):
        yield _cell(value, f"{split} row {row}", folder, problems)


def _cell(value: Any, where: str, folder: Path, problems: Problems) -> _AudioCell | None:
    if isinstance(value, str):
        value = {"path": value}
    elif isinstance(value, bytes):
        value = {"bytes": value}
    elif not isinstance(value, dict):
        value = {}
    named = value.get("path") or ""
    name = Path(named).name
    if value.get("bytes") is not None:
        return _AudioCell(name, bytes(value["bytes"]))
    if value.get("array") is not None:
        try:
            content = _encoded(value["array"], value.get("sampling_rate"))
        except ValueError as error:
            problems.add("arrays that are no audio", f"{where}: {error}")
            return None
        return _AudioCell(f"{Path(name).stem}.wav", content)
    if not named:
        problems.add("rows without audio", where)
        return None
    path = folder / named
    if not is_file(path):
        problems.add("files that are missing", f"{where}: {path}")
        return None
    return _AudioCell(name, path)


def _encoded(array: Any, sample_rate: Any) -> bytes:
    """Samples as a WAV that holds them as they are: floats, or integers of 16 bits."""
    import soundfile

    if not isinstance(sample_rate, int) or not 0 < sample_rate <= _HIGHEST_RATE:
        raise ValueError(f"its sampling_rate is {sample_rate!r}")
    x = np.asarray(array)
    if x.ndim != 1 or x.size == 0 or x.dtype.kind not in "fi":
        raise ValueError(f"its shape is {x.shape}, where mono samples (n_samples,) are needed")
    loudest = float(np.abs(x.astype(np.float64)).max())
    if x.dtype.kind == "i":
        if loudest > _HIGHEST_INT16 + 1:
            raise ValueError(f"integers are 16-bit samples, there is {loudest:.0f}")
        x, subtype = x.astype(np.int16), "PCM_16"
    else:
        # NaN is left to decoding, which names it.
        if loudest > _LOUDEST:
            raise ValueError(f"floats are samples within -1 to 1, there is {loudest:g}")
        narrow = x.astype(np.float32)
        lossless = np.array_equal(narrow.astype(np.float64), x, equal_nan=True)
        x, subtype = (narrow, "FLOAT") if lossless else (x.astype(np.float64), "DOUBLE")
    file = io.BytesIO()
    soundfile.write(file, x, sample_rate, format="WAV", subtype=subtype)
    return file.getvalue()


def _values(dataset: Dataset, column: str, at_once: int) -> Iterator[Any]:
    # Whatever format the dataset was saved in, and without touching the other columns.
    plain = dataset.select_columns([column]).with_format(None)
    for batch in plain.iter(batch_size=at_once):
        yield from batch[column]
