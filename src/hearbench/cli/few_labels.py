"""``hearbench evaluate --shots K --train-fraction F``: learning from parts of the training clips.

`few_labels_of` reads the options, `evaluate_few_labels` trains what is missing of a curve and
writes it. How one training is done is the caller's: the curve only says with which protocol,
seed and folder.
"""

from __future__ import annotations

import functools
import importlib.util
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hearbench.cli.terminal import Reporter
from hearbench.errors import HearError

if TYPE_CHECKING:
    from hearbench.probe.protocol import Protocol
    from hearbench.probe.subset import TrainSubset
    from hearbench.results import Result
    from hearbench.results.curve import Curve
    from hearbench.tasks.store import PreparedTask

__all__ = [
    "FewLabels",
    "Repeats",
    "Shots",
    "TrainFractions",
    "check_few_labels",
    "evaluate_few_labels",
    "few_labels_of",
]

_REPEATS = 5

TrainFractions = Annotated[
    list[float] | None,
    typer.Option(
        "--train-fraction",
        metavar="F",
        help="Learn from this share of the training clips as well, as 0.1. Repeatable.",
    ),
]
Shots = Annotated[
    list[int] | None,
    typer.Option(
        "--shots",
        metavar="K",
        min=1,
        help="Learn from so many training clips per label as well. Repeatable.",
    ),
]
Repeats = Annotated[
    int | None,
    typer.Option(
        "--repeats",
        metavar="N",
        min=1,
        help=f"How often each part is drawn and learned from; by default {_REPEATS}.",
        show_default=False,
    ),
]

Kept = Callable[["Protocol", int, Path], "Result | None"]
"""The result that is in a folder already, as `hearbench.cli.evaluation.kept_result` finds it."""
Train = Callable[["Protocol", int, Path], object]
"""Trains by a protocol with a seed, and writes the result into a folder."""


@dataclass(frozen=True)
class FewLabels:
    """Which parts of the training clips are learned from.

    Attributes:
        points: In repeat 0: shares first, then shots, each from small to large.
        repeats: How often each is drawn.
    """

    points: tuple[TrainSubset, ...]
    repeats: int

    def parts(self) -> list[TrainSubset]:
        """All that is trained: all points of a repeat before those of the next.

        So an interrupted run has a whole curve as early as can be.
        """
        return [point.with_repeat(r) for r in range(self.repeats) for point in self.points]


def few_labels_of(
    train_fraction: Sequence[float] | None,
    shots: Sequence[int] | None,
    repeats: int | None,
    *,
    seeds: int = 1,
) -> FewLabels | None:
    """The parts that the options describe; None if there are none.

    Args:
        train_fraction: Of ``--train-fraction``.
        shots: Of ``--shots``.
        repeats: Of ``--repeats``.
        seeds: Of ``--seeds``. Every repeat has a seed of its own already, and a curve of seeds
            times repeats would tell nothing more, so several are refused.

    Raises:
        HearError: A share isn't in (0, 1], or the options don't fit together.
    """
    from hearbench.probe.subset import TrainSubset

    if not train_fraction and not shots:
        if repeats is not None:
            raise HearError(
                "--repeats says how often parts of the training clips are drawn. Say which with "
                "--train-fraction or --shots."
            )
        return None
    if seeds > 1:
        raise HearError(
            "--seeds can't be given together with --train-fraction or --shots: every repeat has "
            "a seed of its own. Use --repeats, or run the command once for each."
        )
    for fraction in train_fraction or ():
        if not 0 < fraction <= 1:
            raise HearError(
                f"--train-fraction {fraction}: a share above 0 and at most 1 is needed, as 0.1."
            )
    points = [TrainSubset(fraction=fraction) for fraction in sorted(set(train_fraction or ()))]
    points += [TrainSubset(shots=number) for number in sorted(set(shots or ()))]
    return FewLabels(tuple(points), _REPEATS if repeats is None else repeats)


def check_few_labels(few: FewLabels, task: PreparedTask) -> None:
    """Finds out before hours of embedding that a part is too small.

    Raises:
        ProbeError: A fold would be left with fewer clips than a probe needs.
    """
    from hearbench.probe.training_clips import mean_training_clips

    for part in few.parts():
        mean_training_clips(task, part)


def evaluate_few_labels(
    few: FewLabels,
    task: PreparedTask,
    protocol: Protocol,
    seed: int,
    folder: Path,
    reporter: Reporter,
    *,
    kept: Kept,
    train: Train,
) -> tuple[Path, Curve]:
    """Trains what is missing of a curve and writes it, with its plot where matplotlib is there.

    Repeat r draws part r and trains with seed + r. What is in the folder of an earlier run, of
    other points too, belongs to the curve; whether it was made from the same inputs is asked
    before anything is trained. ``curve.json`` is written after every training.

    Args:
        few: What is asked for.
        task: Of which clips are drawn.
        protocol: Of the curve; what is trained is ``protocol.with_subset(part)``.
        seed: Of repeat 0.
        folder: ``OUT/MODEL/TASK``.
        reporter: Is told how it gets on.
        kept: Gives the finished result of a folder, or None if it has to be made (anew). Raises
            ResultError where it was made from other inputs and isn't to be replaced.
        train: Makes it.

    Returns:
        The path of ``curve.json`` and what is in it.

    Raises:
        HearError: A part is too small for a probe, the folder has results of other inputs, or
            a training fails.
    """
    from hearbench.probe.training_clips import mean_training_clips
    from hearbench.results.curve_points import finished_parts, part_folder

    clips = functools.cache(functools.partial(mean_training_clips, task))
    parts = few.parts()
    for part in parts:
        clips(part)

    def finished(part: TrainSubset) -> bool:
        place = part_folder(folder, part)
        return kept(protocol.with_subset(part), seed + part.repeat, place) is not None

    waiting = [part for part in parts if not finished(part)]
    others = [part for part in finished_parts(folder) if part not in parts]
    stale = [part for part in others if not finished(part)]
    for part in stale:
        _remove(part_folder(folder, part))
        reporter.line(f"{task.name}: removed {part.label()}, which was made from other inputs")
    if len(waiting) < len(parts):
        reporter.line(
            f"{task.name}: kept {len(parts) - len(waiting)} of {len(parts)} trainings with few "
            "labels, which were made from the same inputs"
        )
    for number, part in enumerate(waiting, 1):
        reporter.line(
            f"{task.name}: few labels, {number} of {len(waiting)}: {part.point}, repeat "
            f"{part.repeat + 1} of {few.repeats}, {round(clips(part), 1):,.10g} training clips"
        )
        train(protocol.with_subset(part), seed + part.repeat, part_folder(folder, part))
        if number < len(waiting):
            _write(folder, clips, parts)
    path, curve = _write(folder, clips, parts)
    reporter.line(f"{task.name}: wrote {path}")
    _draw(path, folder, curve, reporter)
    return path, curve


def _write(
    folder: Path, clips: Callable[[TrainSubset | None], float], parts: Sequence[TrainSubset]
) -> tuple[Path, Curve]:
    from hearbench.errors import ResultError
    from hearbench.files import write_json
    from hearbench.results.curve import CURVE_FILE, FEW_LABELS
    from hearbench.results.curve_points import build_curve

    curve = build_curve(folder, clips, asked=parts)
    path = folder / FEW_LABELS / CURVE_FILE
    try:
        write_json(path, curve.model_dump(mode="json"))
    except OSError as error:
        raise ResultError(f"{path} can't be written: {error.strerror}.") from error
    return path, curve


def _draw(path: Path, folder: Path, curve: Curve, reporter: Reporter) -> None:
    from hearbench.views.curve_plot import write_curve_plot

    if importlib.util.find_spec("matplotlib") is None:
        reporter.line(
            "There is no plot, as matplotlib isn't installed: `pip install 'hearbench[plot]'`, "
            f"then `hearbench curves {folder} --out curve.png`."
        )
        return
    for ending in (".png", ".svg"):
        place = path.with_suffix(ending)
        write_curve_plot({curve.task.name: {folder.parent.name: curve}}, place)
        reporter.line(f"{curve.task.name}: wrote {place}")


def _remove(folder: Path) -> None:
    """Takes a result away, ``result.json`` first."""
    from hearbench.results import RESULT_FILE

    (folder / RESULT_FILE).unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
