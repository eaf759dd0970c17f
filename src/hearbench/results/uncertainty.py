"""How sure the scores of a result are, told apart by source: test clips, seeds, folds.

The clips' part is known from bootstrap resamples of each fold's test clips, the same for all
seeds. How the sources are told apart and added up is written in `hearbench.results.variance`. The
answer lies beside the result, in ``uncertainty.json``.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from hearbench.errors import ResultError
from hearbench.files import write_json
from hearbench.records import Record, StoredRecord
from hearbench.results.aggregate import common_folds, mean_of_seeds, means_over_folds, same_number
from hearbench.results.clip_scores import ClipScores, read_clip_scores, resampled
from hearbench.results.damage import damaged_files, note_file
from hearbench.results.finding import seed_folders
from hearbench.results.record import Number
from hearbench.results.variance import Term, Variance, variance_of
from hearbench.stats.distributions import t_quantile
from hearbench.stats.intervals import Interval

if TYPE_CHECKING:
    from hearbench.results import Result
    from hearbench.workspace import Workspace

__all__ = [
    "UNCERTAINTY_FILE",
    "Range",
    "ScoreUncertainty",
    "Source",
    "Uncertainty",
    "read_uncertainty",
    "uncertainty",
    "write_uncertainty",
]

UNCERTAINTY_FILE = "uncertainty.json"


class Range(Record):
    """An interval of a mean score.

    Attributes:
        low: The lower end.
        high: The upper end.
    """

    low: Number
    high: Number


class Source(Record):
    """What one source does to a mean score.

    Attributes:
        n: How many clips, seeds or folds there are, of folds that are defined; None of all
            sources together.
        std: Of clips and of all together, the standard deviation of the mean; of seeds, the
            sample standard deviation over seeds of the mean over folds; of folds, that over folds
            of the mean over seeds.
        beyond: The part of ``std`` that isn't noise of the other sources, as a standard deviation;
            None of clips and of all together.
        interval: Interval of the mean, as far as this source goes.
    """

    n: int | None
    std: Number
    beyond: Number | None = None
    interval: Range


class ScoreUncertainty(Record):
    """One score.

    Attributes:
        maximise: Whether higher is better.
        mean: Over seeds and the folds that are defined.
        per_seed: Means over these folds, by seed.
        per_fold: Means over seeds, by test split.
        clips: Uncertainty by the choice of test clips.
        seeds: Uncertainty by the seeds; None with one seed.
        folds: Uncertainty by the folds; None with one fold.
        total: All sources that are known, together.
        notes: Sentences on what isn't known, and why.
    """

    maximise: bool
    mean: Number
    per_seed: dict[int, Number]
    per_fold: dict[str, Number]
    clips: Source | None
    seeds: Source | None
    folds: Source | None
    total: Source | None
    notes: tuple[str, ...] = ()


class Uncertainty(StoredRecord):
    """How sure all scores of a result are.

    Attributes:
        format_version: Version of this layout.
        model: Name of the model.
        task: Name of the task.
        primary_score: The one that was optimised.
        level: Confidence level of the intervals.
        n_resamples: Bootstrap resamples behind them.
        resampling_seed: Decided what they are.
        seeds: Seeds of the trainings; the first is that of ``result.json``.
        n_clips: Test clips, by test split.
        scores: Uncertainty of each score, in the result's order.
    """

    FILE = UNCERTAINTY_FILE
    WHAT = "a record of uncertainty"

    format_version: Literal[1] = 1
    model: str
    task: str
    primary_score: str
    level: float
    n_resamples: int
    resampling_seed: int
    seeds: tuple[int, ...]
    n_clips: dict[str, int]
    scores: dict[str, ScoreUncertainty]


def uncertainty(
    folder: Path, *, n_resamples: int = 2000, level: float = 0.95, seed: int = 0
) -> Uncertainty:
    """How sure the scores in a result's folder are, over the seeds that lie below it as well.

    Args:
        folder: ``OUT/MODEL/TASK``, with ``seeds/<seed>/`` for each further seed.
        n_resamples: Bootstrap resamples of the test clips; at least 2.
        level: Confidence level of the intervals, between 0 and 1.

    Raises:
        ResultError: There is no result, a file of it isn't what it should be, or the seeds'
            results are of different things.
        UnknownNameError: The result has a score that doesn't exist.
        ValueError: ``n_resamples`` or ``level`` is out of range.
    """
    if n_resamples < 2 or not 0 < level < 1:
        raise ValueError(f"{n_resamples} resamples and level {level}: 2 or more, and 0 to 1")
    folders = [each for each, _ in seed_folders(folder)]
    first = read_clip_scores(folders[0])
    read = [first, *(read_clip_scores(each, like=first) for each in folders[1:])]
    seeds = [each.result.seed for each in read]
    return Uncertainty(
        model=first.result.model.name,
        task=first.result.task.name,
        primary_score=first.result.primary_score,
        level=level,
        n_resamples=n_resamples,
        resampling_seed=seed,
        seeds=tuple(seeds),
        n_clips={split.name: len(split.clips) for split in first.splits},
        scores={
            name: _of_score(name, read, seeds, n_resamples, level, seed)
            for name in first.result.scores
        },
    )


def _of_score(
    name: str,
    read: Sequence[ClipScores],
    seeds: Sequence[int],
    n_resamples: int,
    level: float,
    seed: int,
) -> ScoreUncertainty:
    splits = [split.name for split in read[0].splits]
    sizes = [len(split.clips) for split in read[0].splits]
    found = resampled(name, [read], n_resamples=n_resamples, seed=seed)
    points, replicates = found.points[0], found.replicates[0]
    mean, per_seed = mean_of_seeds(points), means_over_folds(points)
    with np.errstate(invalid="ignore"):  # infinities of both signs
        per_fold = points.mean(axis=0)
    variance = variance_of([Term(points, replicates)], sizes)
    there = common_folds(points)
    n_clips = int(np.asarray(sizes)[there].sum())
    return ScoreUncertainty(
        maximise=read[0].result.scores[name].maximise,
        mean=mean,
        per_seed=dict(zip(seeds, per_seed.tolist(), strict=True)),
        per_fold=dict(zip(splits, per_fold.tolist(), strict=True)),
        **_Mean(mean, level, found.bounds).sources(variance, n_clips, per_seed, per_fold[there]),
        notes=tuple(
            _notes(name, points, replicates, variance, splits, read[0].result.protocol.is_random)
        ),
    )


@dataclass(frozen=True)
class _Mean:
    """A mean score, to which intervals are made.

    Attributes:
        level: Confidence level of the intervals.
        bounds: Least and largest value that the score can take.
    """

    value: float
    level: float
    bounds: tuple[float, float]

    def sources(
        self,
        variance: Variance | None,
        n_clips: int,
        per_seed: npt.NDArray[np.float64],
        per_fold: npt.NDArray[np.float64],
    ) -> dict[str, Source | None]:
        """The sources of its uncertainty, as `ScoreUncertainty` names them."""
        n_seeds, n_folds = len(per_seed), len(per_fold)
        if variance is None:
            # The scores themselves may be fine where those of resamples aren't.
            seeds, folds = self._among(per_seed, None), self._among(per_fold, None)
            return {"clips": None, "seeds": seeds, "folds": folds, "total": None}
        of_clips = Variance(variance.clips, None, None, max(1, n_clips - n_folds), n_clips)
        beyond = [
            None if part is None else math.sqrt(part * n)
            for part, n in ((variance.seeds, n_seeds), (variance.folds, n_folds))
        ]
        return {
            "clips": self._by(of_clips, n_clips),
            "seeds": self._among(per_seed, beyond[0]),
            "folds": self._among(per_fold, beyond[1]),
            "total": self._by(variance, None),
        }

    def _by(self, variance: Variance, n: int | None) -> Source:
        interval = variance.interval(self.value, self.level, self.bounds)
        return Source(n=n, std=math.sqrt(variance.total), interval=_range(interval))

    def _among(self, values: npt.NDArray[np.float64], beyond: float | None) -> Source | None:
        """The spread of several means, and Student's t interval of theirs."""
        n = len(values)
        if n < 2 or not np.isfinite(values).all():
            return None
        std = statistics.stdev(values.tolist())
        half = t_quantile((1 + self.level) / 2, n - 1) * std / math.sqrt(n)
        low, high = self.bounds
        interval = Interval(max(low, self.value - half), min(high, self.value + half))
        return Source(n=n, std=std, beyond=beyond, interval=_range(interval))


def _range(interval: Interval) -> Range:
    return Range(low=interval.low, high=interval.high)


def _notes(
    name: str,
    points: npt.NDArray[np.float64],
    replicates: npt.NDArray[np.float64],
    variance: Variance | None,
    splits: Sequence[str],
    is_random: bool,
) -> list[str]:
    n_seeds = len(points)
    notes = []
    undefined, infinite = (
        [splits[i] for i in np.flatnonzero(mask.any(axis=0)).tolist()]
        for mask in (np.isnan(points), np.isinf(points))
    )
    if undefined:
        told = "so it has no interval" if variance is None else "which the mean leaves out"
        notes.append(f"{name} is undefined on {', '.join(undefined)}, {told}.")
    if infinite:
        notes.append(f"{name} is infinite on {', '.join(infinite)}, so it has no interval.")
    defined = common_folds(points)
    if variance is None and not notes:
        notes.append(_resamples_note(name, replicates))
    if n_seeds == 2:
        notes.append(
            "Two seeds say little about the luck of the training: intervals may be far too wide, "
            "or somewhat too narrow. Evaluate with --seeds 3 or more."
        )
    if n_seeds == 1 and is_random:
        notes.append(
            "One seed: how much the luck of the training changes the score isn't known. "
            "Evaluate with --seeds 3 or more."
        )
    if defined.sum() == 1:
        notes.append(
            "One test split: how much another choice of training clips changes the score isn't "
            "known."
        )
    return notes


def _resamples_note(name: str, replicates: npt.NDArray[np.float64]) -> str:
    total = replicates.shape[-1]
    infinite = int(np.isinf(replicates).any(axis=(0, 1)).sum())
    if infinite:
        return (
            f"{name} is infinite in {infinite} of {total} resamples of the test clips, where some "
            "label is told apart without an error, so it has no interval over clips."
        )
    undefined = int(np.isnan(replicates).any(axis=(0, 1)).sum())
    return (
        f"{name} is undefined in {undefined} of {total} resamples of the test clips, so it has no "
        "interval over clips."
    )


def write_uncertainty(folder: Path, task: str, workspace: Workspace) -> None:
    """Writes ``uncertainty.json`` beside a result, unless what exists is of the same results.

    Where it can't be computed, as the predictions were taken away, a line says so, what exists is
    removed, and the result stands without it.

    Raises:
        ResultError: The file can't be written.
    """
    there = read_uncertainty(folder)
    try:
        if there is not None and _is_of(there, [result for _, result in seed_folders(folder)]):
            return
        with workspace.progress.stage(f"{task}: intervals"):
            found = uncertainty(folder)
        write_json(folder / UNCERTAINTY_FILE, found.model_dump(mode="json"))
        note_file(folder, UNCERTAINTY_FILE)
    except OSError as error:
        raise ResultError(
            f"{folder / UNCERTAINTY_FILE} can't be written: {error.strerror}.",
            code="io",
        ) from error
    except ResultError as error:
        (folder / UNCERTAINTY_FILE).unlink(missing_ok=True)
        workspace.progress.line(f"{task}: no intervals: {error}")


def _is_of(sure: Uncertainty, results: Sequence[Result]) -> bool:
    """Whether it says of every seed and score what the results say."""
    if sure.seeds != tuple(result.seed for result in results):
        return False
    if any(list(sure.scores) != list(result.scores) for result in results):
        return False
    stated = [score.per_seed[seed] for score in sure.scores.values() for seed in sure.seeds]
    means = [result.scores[name].mean for name in sure.scores for result in results]
    overall = [score.mean for score in sure.scores.values()]
    expected = [
        sum(result.scores[name].mean for result in results) / len(results) for name in sure.scores
    ]
    pairs = zip([*stated, *overall], [*means, *expected], strict=True)
    return all(same_number(a, b) for a, b in pairs)


def read_uncertainty(folder: Path) -> Uncertainty | None:
    """The intervals beside a result; None if there are none that can be read."""
    if not (folder / UNCERTAINTY_FILE).is_file() or damaged_files(folder, UNCERTAINTY_FILE):
        return None
    try:
        return Uncertainty.read(folder)
    except ResultError:
        # Of another version, or damaged: it can be made again.
        return None
