"""What stands in the columns of a Hugging Face dataset: labels, and audio still encoded.

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

from hearbench.files import is_file
from hearbench.registry import did_you_mean
from hearbench.tasks.hf_source import datasets_library
from hearbench.tasks.problems import Problems
from hearbench.tasks.splits import named_folds

if TYPE_CHECKING:
    from datasets import Dataset

__all__ = ["AudioCell", "Labels", "audio_cells", "check_columns", "read_folds", "read_labels"]

_LABELS_AT_ONCE = 10_000
_SOUNDS_AT_ONCE = 16
_UNKNOWN = -1  # the index of a ClassLabel that isn't known, as in hidden test labels
_HIGHEST_INT16 = 32767
_HIGHEST_RATE = (1 << 31) - 1  # that a WAV can be written with
# More than any float audio overshoots; integers that were stored as floats lie far above.
_LOUDEST = 16.0


@dataclass(frozen=True)
class Labels:
    """The labels of a split.

    Attributes:
        rows: Labels of every row; none where a row is unlabelled.
        lists: Whether the column holds lists.
    """

    rows: tuple[tuple[str, ...], ...]
    lists: bool


@dataclass(frozen=True)
class AudioCell:
    """One row's audio.

    Attributes:
        name: What its file is called; empty where that isn't known.
        content: The file where it lies, or the content of one.
    """

    name: str
    content: Path | bytes


def check_columns(splits: Mapping[str, Dataset], audio: str, label: str, *others: str) -> None:
    """Refuses a dataset whose columns can't be those of a task.

    Args:
        splits: The dataset.
        audio: The column of audio.
        label: The column of labels.
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
    """What a column of lists holds; None where it isn't one."""
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


def read_labels(split: str, dataset: Dataset, column: str, problems: Problems) -> Labels:
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
    return Labels(tuple(rows), inner is not None)


def read_folds(
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


def audio_cells(
    split: str, dataset: Dataset, column: str, folder: Path, problems: Problems
) -> Iterator[AudioCell | None]:
    """The audio of every row, in order; None where it can't be used, which is noted.

    Args:
        split: Name of the split, for messages.
        dataset: The split.
        column: Of encoded audio (bytes or paths), or of arrays with their ``sampling_rate``.
        folder: What relative paths are relative to.
        problems: Takes what is wrong.
    """
    if _is_audio(dataset.features[column]):
        # As it is stored: hearbench decodes by the benchmark's rules.
        dataset = dataset.cast_column(column, datasets_library().Audio(decode=False))
    for row, value in enumerate(_values(dataset, column, _SOUNDS_AT_ONCE)):
        yield _cell(value, f"{split} row {row}", folder, problems)


def _cell(value: Any, where: str, folder: Path, problems: Problems) -> AudioCell | None:
    if isinstance(value, str):
        value = {"path": value}
    elif isinstance(value, bytes):
        value = {"bytes": value}
    elif not isinstance(value, dict):
        value = {}
    named = value.get("path") or ""
    name = Path(named).name
    if value.get("bytes") is not None:
        return AudioCell(name, bytes(value["bytes"]))
    if value.get("array") is not None:
        try:
            content = _encoded(value["array"], value.get("sampling_rate"))
        except ValueError as error:
            problems.add("arrays that are no audio", f"{where}: {error}")
            return None
        return AudioCell(f"{Path(name).stem}.wav", content)
    if not named:
        problems.add("rows without audio", where)
        return None
    path = folder / named
    if not is_file(path):
        problems.add("files that are missing", f"{where}: {path}")
        return None
    return AudioCell(name, path)


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
