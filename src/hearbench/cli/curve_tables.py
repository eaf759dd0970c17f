"""Label-efficiency curves as tables, and in the form that programs read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hearbench.cli.tables import number, output_console

if TYPE_CHECKING:
    from rich.table import Table

    from hearbench.results.curve import Curve, CurvePoint, CurveScore

__all__ = ["curves_json", "show_curves", "show_models"]

_ALL = "all clips"


def curves_json(curves: Sequence[tuple[Path, Curve]]) -> list[dict[str, Any]]:
    """Each curve as in its file, with the file's path."""
    return [{"path": str(path), **curve.model_dump(mode="json")} for path, curve in curves]


def show_curves(curves: Sequence[tuple[str, Curve]]) -> None:
    """Prints a table per curve: a row per point, a column per score.

    Args:
        curves: Each with what its model is to be called.
    """
    from rich.text import Text

    console = output_console()
    for model, curve in curves:
        primary = curve.primary_score
        reached = [point.scores[primary].share_of_all for point in curve.points]
        table = _table(f"{curve.task.name}: {model}, protocol {curve.protocol.name}")
        for name in curve.maximise:
            table.add_column(name, no_wrap=True)
        if any(share is not None for share in reached):
            table.add_column(f"{primary}\nreached", no_wrap=True, justify="right")
        for point, share in zip(curve.points, reached, strict=True):
            cells = [_cell(point.scores[name]) for name in curve.maximise]
            # Where the last column isn't there, its cell is empty.
            cells.append("" if share is None else f"{share:.0%}".replace("%", " %"))
            _add_row(table, [*_head(point), *cells])
        whole = curve.all_clips
        if whole:
            table.add_section()
            cells = [number(whole.scores[name]) for name in curve.maximise]
            _add_row(table, [_ALL, _clips(whole.n_clips), *cells])
        console.print(table)
        console.print(Text(_caption([curve])))
        if whole:
            console.print(Text("reached: share of the score with all training clips."))
        for note in curve.notes:
            console.print(Text(note))


def show_models(task: str, curves: Mapping[str, Curve], score: str | None = None) -> None:
    """Prints one score of several models on one task: a row per point, a column per model.

    Args:
        task: Its name.
        curves: By model.
        score: Which; by default the primary one.
    """
    from rich.text import Text

    console = output_console()
    first = next(iter(curves.values()))
    name = score or first.primary_score
    table = _table(f"{task}: {name}, protocol {first.protocol.name}")
    for model in curves:
        table.add_column(Text(model), no_wrap=True)
    for part in _all_points(list(curves.values())):
        of_model = {
            model: next((point for point in curve.points if point.part == part), None)
            for model, curve in curves.items()
        }
        found = next(point for point in of_model.values() if point)
        cells = [_cell(point.scores[name]) if point else "-" for point in of_model.values()]
        _add_row(table, [*_head(found), *cells])
    wholes = {model: curve.all_clips for model, curve in curves.items()}
    known = next((whole for whole in wholes.values() if whole), None)
    if known:
        table.add_section()
        cells = [number(whole.scores[name]) if whole else "-" for whole in wholes.values()]
        _add_row(table, [_ALL, _clips(known.n_clips), *cells])
    console.print(table)
    console.print(Text(_caption(list(curves.values()))))
    for model, curve in curves.items():
        for note in curve.notes:
            console.print(Text(f"{model}: {note}"))


def _table(title: str) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title), title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("part", no_wrap=True)
    table.add_column("training\nclips", no_wrap=True, justify="right")
    return table


def _add_row(table: Table, cells: Sequence[str]) -> None:
    from rich.text import Text

    table.add_row(*map(Text, cells[: len(table.columns)]))


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
