"""Label-efficiency curves in folders of results, and several models' curves side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hearbench.errors import ResultError
from hearbench.results.curve import CURVE_FILE, FEW_LABELS, Curve

__all__ = ["FoundCurve", "SideBySide", "find_curves", "side_by_side"]

# Where curves lie below a task's folder, a model's, and an --out folder.
_PATTERNS = (CURVE_FILE, *(f"{depth}{FEW_LABELS}/{CURVE_FILE}" for depth in ("", "*/", "*/*/")))


@dataclass(frozen=True)
class FoundCurve:
    """A curve in a file.

    Attributes:
        model: A name for its model that tells it from the others that were found.
        curve: The content of the file.
    """

    path: Path
    model: str
    curve: Curve


@dataclass(frozen=True)
class SideBySide:
    """Curves that can be compared.

    Attributes:
        tasks: Curves by task and then by model.
        left_out: Tasks that only one of several models has a curve of.
    """

    tasks: Mapping[str, Mapping[str, Curve]]
    left_out: tuple[str, ...]


def find_curves(places: Sequence[Path]) -> list[FoundCurve]:
    """Reads the curves in folders of results.

    Args:
        places: Files of curves, or folders that `hearbench evaluate` wrote: of a task, of a
            model, or its ``--out``.

    Raises:
        ResultError: A folder has no curve, or a curve can't be read.
    """
    files: dict[Path, None] = {}
    for place in places:
        found = [place] if place.is_file() else _below(place)
        if not found:
            raise ResultError(
                f"{place} holds no {CURVE_FILE}. `hearbench evaluate` writes one with --shots or "
                "--train-fraction.",
                code="not_found",
            )
        files.update(dict.fromkeys(file.resolve() for file in found))
    curves = {file: Curve.read(file) for file in files}
    names = _names(curves)
    return [FoundCurve(file, names[file], curve) for file, curve in curves.items()]


def side_by_side(found: Sequence[FoundCurve], score: str | None = None) -> SideBySide:
    """Chooses the curves to compare: of one model all tasks, of several those of at least two.

    Args:
        score: A score that all tasks must have; None where each is shown by its primary one.

    Raises:
        ResultError: Several models have no task in common, two curves can't be told apart, or
            curves of a task differ in more than the model.
    """
    tasks: dict[str, dict[str, Curve]] = {}
    for one in found:
        task = one.curve.task.name
        by_model = tasks.setdefault(task, {})
        if one.model in by_model:
            raise ResultError(f"{one.path}: there is another curve of {one.model} on {task}.")
        by_model[one.model] = one.curve
    shown = tasks
    if len({one.model for one in found}) > 1:
        shown = {task: by_model for task, by_model in tasks.items() if len(by_model) > 1}
        if not shown:
            raise ResultError("These models have curves of no common task.")
    for task, by_model in shown.items():
        _check_alike(task, by_model, score)
    return SideBySide(shown, tuple(task for task in tasks if task not in shown))


def _below(place: Path) -> list[Path]:
    return sorted(file for pattern in _PATTERNS for file in place.glob(pattern))


def _names(curves: Mapping[Path, Curve]) -> dict[Path, str]:
    """The folder of each model's results; with the folder above it where that's needed."""
    short, long = {}, {}
    for file, curve in curves.items():
        folder = file.parents[2] if file.parent.name == FEW_LABELS else None
        short[file] = folder.name if folder else curve.model.name
        long[file] = f"{folder.parent.name}/{folder.name}" if folder else str(file)
    pairs = {(curve.task.name, short[file]) for file, curve in curves.items()}
    return short if len(pairs) == len(curves) else long


def _check_alike(task: str, by_model: Mapping[str, Curve], score: str | None) -> None:
    """Curves are side by side only if nothing but the model differs.

    Raises:
        ResultError: Something does, or there is no such score.
    """
    first_model, first = next(iter(by_model.items()))
    for model, curve in by_model.items():
        if score is not None and score not in curve.maximise:
            raise ResultError(f"{task} has no score {score!r}; it has {', '.join(curve.maximise)}.")
        if curve.protocol != first.protocol or list(curve.maximise) != list(first.maximise):
            raise ResultError(
                f"{task}: the curve of {model} was made by {curve.protocol.name} and that of "
                f"{first_model} by {first.protocol.name}, or for other scores. Evaluate one of "
                "them as the other was, or look at each by itself."
            )
        mine, its = _clips(first), _clips(curve)
        if any(mine[key] != its[key] for key in mine.keys() & its.keys()):
            raise ResultError(
                f"{task}: {model} and {first_model} learned from other numbers of clips at the "
                "same point, so the task's content differs. Prepare it again for both."
            )


def _clips(curve: Curve) -> dict[tuple[str, int], float]:
    """The number of training clips of each point and repeat."""
    return {
        (point.part.point, repeat): count
        for point in curve.points
        for repeat, count in point.n_clips_per_repeat.items()
    }
