"""Label-efficiency curves as tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hearbench.cli.render import number, show
from hearbench.results.curve import Curve, CurvePoint, CurveScore
from hearbench.table import Column, Table

__all__ = ["show_curves", "show_models"]

_ALL = "all clips"


def show_curves(curves: Sequence[tuple[str, Curve]]) -> None:
    """Prints a table per curve: a row per point, a column per score.

    Args:
        curves: Each with what its model is to be called.
    """
    for model, curve in curves:
        primary = curve.primary_score
        shares = [point.scores[primary].share_of_all for point in curve.points]
        columns = [Column(name) for name in curve.maximise]
        if any(share is not None for share in shares):
            columns.append(Column(f"{primary}\nreached", _percent, align="right"))
        table = _table(f"{curve.task.name}: {model}, protocol {curve.protocol.name}", columns)
        for point, share in zip(curve.points, shares, strict=True):
            cells = [*_head(point), *(_cell(point.scores[name]) for name in curve.maximise)]
            table.add(*[*cells, share][: len(table.columns)])
        whole = curve.all_clips
        if whole:
            table.end_section()
            means = [number(whole.scores[name]) for name in curve.maximise]
            table.add(_ALL, _clips(whole.n_clips), *means)
        show(table, _caption([curve]))
        if whole:
            show("reached: share of the score with all training clips.")
        show(*curve.notes)


def show_models(task: str, curves: Mapping[str, Curve], score: str | None = None) -> None:
    """Prints one score of several models on one task: a row per point, a column per model.

    Args:
        task: Name of the task.
        curves: By model.
        score: Name of the score; by default the primary one.
    """
    first = next(iter(curves.values()))
    name = score or first.primary_score
    table = _table(
        f"{task}: {name}, protocol {first.protocol.name}", [Column(model) for model in curves]
    )
    for part in _all_points(list(curves.values())):
        points = [
            next((point for point in curve.points if point.part == part), None)
            for curve in curves.values()
        ]
        found = next(point for point in points if point)
        table.add(*_head(found), *(_cell(point.scores[name]) if point else "-" for point in points))
    wholes = [curve.all_clips for curve in curves.values()]
    known = next((whole for whole in wholes if whole), None)
    if known:
        table.end_section()
        means = [number(whole.scores[name]) if whole else "-" for whole in wholes]
        table.add(_ALL, _clips(known.n_clips), *means)
    show(table, _caption(list(curves.values())))
    show(*(f"{model}: {note}" for model, curve in curves.items() for note in curve.notes))


def _table(title: str, columns: Sequence[Column]) -> Table:
    return Table([Column("part"), Column("training\nclips", align="right"), *columns], title)


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _all_points(curves: Sequence[Curve]) -> list[Any]:
    found = {point.part: point for curve in curves for point in curve.points}
    return sorted(found, key=lambda part: (part.shots is not None, part.fraction or part.shots))


def _head(point: CurvePoint) -> list[str]:
    return [point.part.point, _clips(point.n_clips)]


def _clips(count: float) -> str:
    return f"{count:,.0f}" if count == round(count) else f"{count:,.1f}"


def _cell(score: CurveScore) -> str:
    if score.low is None or score.high is None or score.low != score.low:
        return number(score.mean)
    return f"{number(score.mean)} ± {number((score.high - score.low) / 2)}"


def _caption(curves: Sequence[Curve]) -> str:
    levels = " or ".join(sorted({f"{100 * curve.level:g} %" for curve in curves}))
    points = [point for curve in curves for point in curve.points]
    repeats = sorted({len(point.n_clips_per_repeat) for point in points})
    shown = str(repeats[0]) if len(repeats) == 1 else f"{repeats[0]} to {repeats[-1]}"
    many = "repeat" if repeats == [1] else "repeats"
    return (
        f"Means over {shown} {many} (other training clips and another seed each) ± half of the\n"
        f"{levels} interval. Validation and test clips are whole and the same throughout."
    )
