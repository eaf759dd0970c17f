"""``hearbench curves``: several models' label-efficiency curves side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hearbench.cli import options as o
from hearbench.cli.curve_tables import curves_json, show_curves, show_models
from hearbench.cli.running import verb
from hearbench.cli.terminal import answer_json, say
from hearbench.errors import HearError, ResultError

if TYPE_CHECKING:
    from hearbench.results.curve import Curve

__all__ = ["common_tasks", "curves", "find_curves"]

_Results = Annotated[
    list[Path],
    typer.Argument(
        metavar="RESULT...",
        help="Folders that `hearbench evaluate` wrote: of a task, of a model, or its --out.",
        show_default=False,
    ),
]
_Plot = Annotated[
    Path | None,
    typer.Option("--out", metavar="FILE", help="Draw into this .png, .svg or .pdf as well."),
]
_Score = Annotated[
    str | None,
    typer.Option("--score", metavar="NAME", help="Which; by default each task's primary score."),
]
_X = Annotated[
    str,
    typer.Option("--x", metavar="clips|shots", help="Draw over training clips, or over shots."),
]

# Where curves lie below a task's folder, a model's, and an --out folder.
_PATTERNS = ("curve.json", *(f"{depth}few-labels/curve.json" for depth in ("", "*/", "*/*/")))


@verb(
    "hearbench curves results --out curves.png",
    "hearbench curves results/model_a results/model_b --score mAP --json",
)
def curves(
    result: _Results,
    out: _Plot = None,
    score: _Score = None,
    x: _X = "clips",
    json: o.Json = False,
) -> None:
    """Shows how scores grow with the labelled training clips.

    Of one model it shows all scores of all tasks, of several one score of the tasks that at
    least two of them have. Curves come from `hearbench evaluate --shots K --train-fraction F`.
    """
    if x not in ("clips", "shots"):
        raise HearError(f"--x {x}: use clips or shots.")
    found = find_curves(result)
    tasks = common_tasks(found)
    for task, by_model in tasks.items():
        _check_alike(task, by_model, score)
    if out is not None:
        from hearbench.views.curve_plot import write_curve_plot

        write_curve_plot(tasks, out, score=score, x="shots" if x == "shots" else "clips")
        say(f"wrote {out}")
    if json:
        shown = {id(curve) for by_model in tasks.values() for curve in by_model.values()}
        answer_json({"curves": curves_json([(path, c) for path, _, c in found if id(c) in shown])})
        return
    for task, by_model in tasks.items():
        if len(by_model) == 1:
            show_curves(list(by_model.items()))
        else:
            show_models(task, by_model, score)


def find_curves(places: list[Path]) -> list[tuple[Path, str, Curve]]:
    """The curves in folders: each file, what its model is to be called, and its content.

    Raises:
        ResultError: A folder has none, or one can't be read.
    """
    from hearbench.results.curve import Curve

    files: dict[Path, None] = {}
    for place in places:
        found = [place] if place.is_file() else _below(place)
        if not found:
            raise ResultError(
                f"{place} holds no curve.json. `hearbench evaluate` writes one with --shots or "
                "--train-fraction."
            )
        files.update(dict.fromkeys(file.resolve() for file in found))
    read = [(file, Curve.read(file)) for file in files]
    names = _names(read)
    return [(file, name, curve) for (file, curve), name in zip(read, names, strict=True)]


def _below(place: Path) -> list[Path]:
    return sorted(file for pattern in _PATTERNS for file in place.glob(pattern))


def _names(read: list[tuple[Path, Curve]]) -> list[str]:
    """The folder of each model's results; with the folder above it where that's needed."""
    from hearbench.results.curve import FEW_LABELS

    short, long = [], []
    for file, curve in read:
        place = file.parents[2] if file.parent.name == FEW_LABELS else None
        short.append(place.name if place else curve.model.name)
        long.append(f"{place.parent.name}/{place.name}" if place else str(file))
    tasks = [curve.task.name for _, curve in read]
    twice = len(set(zip(tasks, short, strict=True))) < len(read)
    return long if twice else short


def common_tasks(found: list[tuple[Path, str, Curve]]) -> dict[str, dict[str, Curve]]:
    """Curves by task and model: of one model all tasks, of several those of at least two.

    Raises:
        ResultError: Several models have no task in common, or two curves can't be told apart.
    """
    tasks: dict[str, dict[str, Curve]] = {}
    for file, name, curve in found:
        by_model = tasks.setdefault(curve.task.name, {})
        if name in by_model:
            raise ResultError(f"{file}: there is another curve of {name} on {curve.task.name}.")
        by_model[name] = curve
    if len({name for _, name, _ in found}) == 1:
        return tasks
    shared = {task: by_model for task, by_model in tasks.items() if len(by_model) > 1}
    if not shared:
        raise ResultError("These models have curves of no common task.")
    left = [task for task in tasks if task not in shared]
    if left:
        say(f"Left out, as only one model has them: {', '.join(left)}.")
    return shared


def _check_alike(task: str, by_model: dict[str, Curve], score: str | None) -> None:
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
                "same point, so the task's content differs. Prepare it anew for both."
            )


def _clips(curve: Curve) -> dict[tuple[str, int], float]:
    return {
        (point.part.point, repeat): count
        for point in curve.points
        for repeat, count in point.n_clips_per_repeat.items()
    }
