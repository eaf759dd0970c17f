"""The files of a result's predictions, read with suspicion: anybody may have edited them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from pydantic import TypeAdapter, ValidationError

from hearbench.errors import HearError, ResultError
from hearbench.files import SYNTAX_ERRORS, read_npy
from hearbench.metrics.event_lists import EventArrays
from hearbench.results.record import FoldResult
from hearbench.strict_json import strict_json

__all__ = [
    "REMEDY",
    "read_array",
    "read_clips",
    "read_events",
    "read_json",
    "read_labels",
    "read_probabilities",
    "read_targets",
]

REMEDY = "Evaluate again, and leave the folder as it is."

_MOST_JSON_BYTES = 256 << 20
_SPLITS = TypeAdapter(dict[str, list[str]])
_LABELS = TypeAdapter(list[str])
_EVENTS = TypeAdapter(dict[str, list[dict[str, Any]]])

T = TypeVar("T")


def read_clips(place: Path) -> dict[str, list[str]]:
    """File names per test split, in the order of the rows.

    Raises:
        ResultError: They can't be read, or a clip is in a split twice.
    """
    file = place / "clips.json"
    splits = read_json(file, _SPLITS)
    for split, clips in splits.items():
        if len(set(clips)) < len(clips):
            raise ResultError(f"{file}: clips of {split} are there twice. {REMEDY}")
    return splits


def read_labels(place: Path, n_labels: int) -> list[str]:
    """The vocabulary.

    Raises:
        ResultError: It can't be read, or hasn't that many labels.
    """
    file = place / "labels.json"
    labels = read_json(file, _LABELS)
    if len(labels) != n_labels or len(set(labels)) != n_labels:
        raise ResultError(
            f"{file} has {len(set(labels))} labels, and the result {n_labels}. {REMEDY}"
        )
    return labels


def read_probabilities(
    file: Path, shape: tuple[int, int], fold: FoldResult, rows: str
) -> npt.NDArray[np.floating[Any]] | None:
    """Probabilities (n_clips or n_frames, n_labels); None where there is no prediction.

    Args:
        file: The array.
        shape: That it must have.
        fold: What the result says about the split.
        rows: ``clips`` or ``frames``.

    Raises:
        ResultError: They can't be read, have another shape, or aren't all in 0 to 1.
    """
    found = read_array(file)
    if found.shape != shape or not np.issubdtype(found.dtype, np.floating):
        raise ResultError(
            f"{file} has the shape {found.shape} and type {found.dtype}; probabilities of "
            f"{shape[0]} {rows} and {shape[1]} labels are needed. {REMEDY}"
        )
    if rows == "clips" and fold.n_clips != shape[0]:
        raise ResultError(f"{file} has {shape[0]} clips, and the result {fold.n_clips}. {REMEDY}")
    undefined = math.isnan(fold.validation_score) or math.isnan(fold.test_loss)
    if undefined and bool(np.isnan(found).all()):
        return None
    # A comparison with NaN is false.
    if undefined or not bool(((found >= 0) & (found <= 1)).all()):
        raise ResultError(f"{file} has values that are no probabilities. {REMEDY}")
    return found


def read_targets(file: Path, shape: tuple[int, int]) -> npt.NDArray[np.integer[Any]]:
    """Labels (n_clips, n_labels), multi-hot.

    Raises:
        ResultError: They can't be read, have another shape, or aren't all 0 or 1.
    """
    targets = read_array(file)
    if (
        targets.shape != shape
        or not np.issubdtype(targets.dtype, np.integer)
        or not np.isin(targets, (0, 1)).all()
    ):
        raise ResultError(
            f"{file} has the shape {targets.shape} instead of {shape}, or values other than 0 and "
            f"1. {REMEDY}"
        )
    return targets


def read_events(file: Path, clips: Sequence[str], labels: Sequence[str]) -> EventArrays:
    """The events of a split's clips.

    Raises:
        ResultError: They can't be read, aren't events, or are those of other clips.
    """
    listed = read_json(file, _EVENTS)
    strange = sorted(set(listed) - set(clips))
    if strange:
        raise ResultError(f"{file} has clips that aren't in clips.json: {strange[0]}. {REMEDY}")
    try:
        return EventArrays.from_mapping(listed, clips, labels, what=file.name)
    except HearError as error:
        raise ResultError(f"{file}: {error}") from error


def read_json(file: Path, kind: TypeAdapter[T], remedy: str = REMEDY) -> T:
    """What a JSON file holds, once it is of that kind.

    Args:
        file: The file.
        kind: What it should hold.
        remedy: What to do if it doesn't, for messages.

    Raises:
        ResultError: It can't be read, isn't of that kind, or is larger than it can be.
    """
    try:
        if file.stat().st_size > _MOST_JSON_BYTES:
            raise ResultError(f"{file} is larger than it can be. {remedy}")
        return kind.validate_python(strict_json(file.read_bytes()))
    except OSError as error:
        raise ResultError(f"{file} can't be read: {error.strerror}. {remedy}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise ResultError(f"{file}: {where}: {first['msg']}. {remedy}") from error
    except SYNTAX_ERRORS as error:
        raise ResultError(f"{file} is not valid JSON: {error}. {remedy}") from error


def read_array(file: Path, remedy: str = REMEDY) -> npt.NDArray[Any]:
    """An array, memory-mapped.

    Args:
        file: The file.
        remedy: What to do if it can't be read, for messages.

    Raises:
        ResultError: It can't be read.
    """
    try:
        return read_npy(file, mmap=True)
    except OSError as error:
        raise ResultError(f"{file} can't be read: {error.strerror}. {remedy}") from error
    except ValueError as error:
        raise ResultError(f"{file} is not an array: {error}. {remedy}") from error
