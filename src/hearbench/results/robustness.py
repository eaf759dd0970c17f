"""Robustness: how much of its scores a model loses when audio is disturbed.

The results of disturbed audio lie beside that of the audio as it came::

    MODEL/TASK/result.json                               clean
    MODEL/TASK/perturbed/noise=10/result.json            scored on disturbed clips, learned on clean
    MODEL/TASK/perturbed-training/noise=10/result.json   learned on disturbed clips, too
    MODEL/TASK/robustness.json                           `Robustness`

A loss is the clean score minus the disturbed one, or the reverse where less is better, so that a
positive loss is always worse. Both are of the same clips, and with each seed of the same probe, so
intervals and tests are paired: of the loss, clip by clip and seed by seed. The sources of its
variance are those of any score (`hearbench.results.variance`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from hearbench._version import __version__
from hearbench.embeddings.manifest import ModelRecord, TaskRecord
from hearbench.errors import ResultError, UnknownNameError
from hearbench.probe.protocol import Protocol
from hearbench.records import Number, Record, StoredRecord
from hearbench.results.aggregate import mean_of_seeds
from hearbench.results.finding import seed_folders, telling_name, walk_results
from hearbench.results.record import RESULT_FILE
from hearbench.table import Column, Table

if TYPE_CHECKING:
    from hearbench.perturb import Perturbation
    from hearbench.results.clip_scores import ClipScores
    from hearbench.results.variance import Term

__all__ = [
    "PERTURBED",
    "PERTURBED_TRAINING",
    "ROBUSTNESS_FILE",
    "FoundRobustness",
    "Loss",
    "MeanLosses",
    "PerturbedPoint",
    "Robustness",
    "build_robustness",
    "find_robustness",
    "loss_of",
    "losses_beside",
    "name_models",
    "perturbed_folder",
    "robustness_by_task",
    "robustness_table",
]

ROBUSTNESS_FILE = "robustness.json"
PERTURBED = "perturbed"
PERTURBED_TRAINING = "perturbed-training"

_LEVEL = 0.95
_N_RESAMPLES = 2000
_SEED = 0


class Loss(Record):
    """What a score loses.

    Attributes:
        mean: The loss, the mean over folds and seeds; positive is worse.
        low: Lower end of its interval; NaN where it is unknown.
        high: Upper end of the interval.
        p: Two-sided p-value of no loss; NaN where it is unknown.
    """

    mean: Number
    low: Number
    high: Number
    p: Number


class PerturbedPoint(Record):
    """One perturbation.

    Attributes:
        name: The perturbation, as the user named it: ``noise=10``, ``telephone``.
        recipe: The steps that it consists of.
        series: What its strength is drawn over, as ``noise``; the name where it has none.
        severity: The strength; None of a chain of steps.
        unit: Unit of the strength; empty where it has none.
        training: Whether training and validation clips were disturbed, too.
        scores: The mean over folds and seeds, by score.
        losses: By score.
    """

    name: str
    recipe: str
    series: str
    severity: float | None
    unit: str = ""
    training: bool
    scores: dict[str, Number]
    losses: dict[str, Loss]

    @property
    def title(self) -> str:
        """Its name, and whether training clips were disturbed, too."""
        return f"{self.name}, in training, too" if self.training else self.name


class MeanLosses(Record):
    """The mean loss over perturbations, known as the mean corruption drop.

    Attributes:
        training: Whether it is over those of training clips, too, or over those of the scored clips
            alone.
        n_points: Number of perturbations.
        losses: By score.
    """

    training: bool
    n_points: int
    losses: dict[str, Loss]

    @property
    def title(self) -> str:
        """What it is called in tables."""
        return "mean loss, in training, too" if self.training else "mean loss"


class Robustness(StoredRecord):
    """What a model's scores on a task lose when audio is disturbed.

    Attributes:
        format_version: Version of this layout.
        hearbench_version: Version of hearbench that wrote it.
        model: The model, with digests of its weights and source.
        task: The task, with the digest of its clean content at the model's rate.
        protocol: How probes were trained.
        seeds: Seeds of the trainings, the first seed first.
        level: Confidence level of the intervals.
        primary_score: The one that was optimized.
        maximise: Whether higher is better, by score.
        clean: The scores of clean audio, means over folds and seeds.
        points: One per perturbation, in the order in which they were asked for.
        means: The mean loss over perturbations of the scored clips alone, and that over those of
            training clips, too, where there are such.
        notes: Sentences that a reader should know.
    """

    FILE = ROBUSTNESS_FILE
    WHAT = "a record of robustness"

    format_version: Literal[1] = 1
    hearbench_version: str
    model: ModelRecord
    task: TaskRecord
    protocol: Protocol
    seeds: tuple[int, ...]
    level: float
    primary_score: str
    maximise: dict[str, bool]
    clean: dict[str, Number]
    points: tuple[PerturbedPoint, ...] = Field(min_length=1)
    means: tuple[MeanLosses, ...]
    notes: tuple[str, ...] = ()


def perturbed_folder(folder: Path, recipe: str, *, training: bool) -> Path:
    """Where the result of a perturbation is, within ``MODEL/TASK``."""
    # No file name on some systems holds a colon or a slash.
    name = recipe.replace(":", "_").replace("/", "_")
    return folder / (PERTURBED_TRAINING if training else PERTURBED) / name


def build_robustness(
    folder: Path, perturbations: Sequence[tuple[Perturbation, bool]], *, seeds: Sequence[int] = ()
) -> Robustness:
    """What the results of disturbed audio say beside that of clean audio.

    Args:
        folder: ``MODEL/TASK``.
        perturbations: Each with whether training clips were disturbed, too.
        seeds: The seeds to take; by default all that the clean result has.

    Raises:
        ResultError: A result is missing, can't be read, or isn't of the same clips and seeds.
    """
    read = _Read.of(folder, perturbations, seeds)
    first = read.clean[0].result
    names = list(first.scores)
    by_score = {name: read.terms(name) for name in names}
    points = tuple(
        PerturbedPoint(
            name=perturbation.name,
            recipe=perturbation.recipe,
            series=perturbation.series,
            severity=perturbation.severity,
            unit=perturbation.unit,
            training=training,
            scores={name: _mean(own, name) for name in names},
            losses={name: read.loss([by_score[name][i]], name) for name in names},
        )
        for i, ((perturbation, training), own) in enumerate(
            zip(perturbations, read.disturbed, strict=True)
        )
    )
    means = []
    for training in dict.fromkeys(training for _, training in perturbations):
        own = [i for i, (_, each) in enumerate(perturbations) if each == training]
        losses = {
            name: read.loss([_mean_term([terms[i] for i in own])], name)
            for name, terms in by_score.items()
        }
        means.append(MeanLosses(training=training, n_points=len(own), losses=losses))
    used = tuple(each.result.seed for each in read.clean)
    return Robustness(
        hearbench_version=__version__,
        model=first.model,
        task=first.task,
        protocol=first.protocol,
        seeds=used,
        level=_LEVEL,
        primary_score=first.primary_score,
        maximise={name: summary.maximise for name, summary in first.scores.items()},
        clean={name: _mean(read.clean, name) for name in names},
        points=points,
        means=tuple(means),
        notes=tuple(_notes(points, used, random=first.protocol.is_random)),
    )


@dataclass(frozen=True)
class FoundRobustness:
    """A record of robustness in a file.

    Attributes:
        model: A name for its model that tells it from the others that were found.
        content: The content of the file.
    """

    path: Path
    model: str
    content: Robustness

    @property
    def task(self) -> str:
        """Name of the task."""
        return self.content.task.name


def find_robustness(places: Sequence[Path]) -> list[FoundRobustness]:
    """Reads the records of robustness in folders of results.

    Args:
        places: Each a record's file, a task's result, a model's folder, or one of several models,
            as ``hearbench evaluate --out`` makes it.

    Raises:
        ResultError: A folder has no such record, or one can't be read.
    """
    files: dict[Path, None] = {}
    for place in places:
        found = [place] if place.is_file() else sorted(walk_results(place, ROBUSTNESS_FILE))
        if not found:
            raise ResultError(
                f"{place} holds no {ROBUSTNESS_FILE}. `hearbench evaluate` writes one with "
                "--perturb.",
                code="not_found",
            )
        files.update(dict.fromkeys(file.resolve() for file in found))
    return name_models([(file, Robustness.read(file)) for file in files])


def name_models(records: Sequence[tuple[Path, Robustness]]) -> list[FoundRobustness]:
    """Names the models of records by their folders, so that no two of a task are called alike."""
    named = []
    for file, content in records:
        rivals = [
            other.parents[1]
            for other, its in records
            if other != file and its.task.name == content.task.name
        ]
        named.append(FoundRobustness(file, telling_name(file.parents[1], rivals), content))
    return named


def robustness_by_task(
    found: Sequence[FoundRobustness], score: str | None = None
) -> dict[str, tuple[str, tuple[FoundRobustness, ...]]]:
    """Arranges records of robustness by their tasks.

    Args:
        score: A score that all tasks must have; None where each is shown by its first.

    Returns:
        By task the name of the score, and the models.

    Raises:
        UnknownNameError: A task hasn't that score.
    """
    by_task: dict[str, tuple[str, tuple[FoundRobustness, ...]]] = {}
    for each in found:
        if score is not None and score not in each.content.clean:
            raise UnknownNameError(
                f"{each.task} has no score {score!r}; it has {', '.join(each.content.clean)}."
            )
        name, before = by_task.get(each.task, (score or each.content.primary_score, ()))
        by_task[each.task] = name, (*before, each)
    return by_task


def robustness_table(found: Sequence[FoundRobustness], score: str | None = None) -> Table:
    """All records of robustness, for programs: a row per task, model and perturbation.

    The clean score has a row of its own, without a perturbation, and the mean loss one that is
    called ``mean``.

    Raises:
        UnknownNameError: A task hasn't that score.
    """
    heads = ("task", "model", "perturbation", "series", "severity", "training", "score")
    table = Table([Column(name) for name in (*heads, "mean", "loss", "low", "high", "p")])
    for task, (name, models) in robustness_by_task(found, score).items():
        for each in models:
            own = each.content
            table.add(task, each.model, None, None, None, None, name, own.clean[name])
            for point in own.points:
                loss = point.losses[name]
                how = point.name, point.series, point.severity, point.training
                ends = loss.low, loss.high, loss.p
                table.add(task, each.model, *how, name, point.scores[name], loss.mean, *ends)
            for means in own.means:
                mean = means.losses[name]
                ends = mean.low, mean.high, mean.p
                how_all = "mean", None, None, means.training
                table.add(task, each.model, *how_all, name, None, mean.mean, *ends)
    return table


def losses_beside(own: FoundRobustness, baseline: FoundRobustness, score: str) -> Loss:
    """How much more a model loses than a baseline does, by the perturbations that both have.

    Those of training clips, too, don't count where there are others.

    Args:
        score: Name of a score that both have.

    Returns:
        The model's mean loss minus the baseline's; positive where the model loses more.

    Raises:
        ResultError: They have no perturbation in common; or a result is missing, can't be read, or
            isn't of the same clips.
    """
    theirs_by_key = {(each.recipe, each.training): each for each in baseline.content.points}
    points = [
        (each, theirs_by_key[each.recipe, each.training])
        for each in own.content.points
        if (each.recipe, each.training) in theirs_by_key
    ]
    points = [pair for pair in points if not pair[0].training] or points
    if not points:
        raise ResultError(
            f"{own.path} and {baseline.path} have no perturbation in common. Evaluate both with "
            "the same --perturb."
        )
    ours = _Read.of_points(own.path.parent, [one for one, _ in points])
    theirs = _Read.of_points(
        baseline.path.parent, [other for _, other in points], like=ours.clean[0]
    )
    other = replace(_mean_term(theirs.terms(score)), sign=-1.0)
    return ours.loss([_mean_term(ours.terms(score)), other], score)


@dataclass(frozen=True)
class _Read:
    """The predictions of one model on one task, by seed.

    Attributes:
        clean: Those of clean audio.
        disturbed: Those of each perturbation, for the same seeds.
    """

    clean: list[ClipScores]
    disturbed: list[list[ClipScores]]

    @classmethod
    def of(
        cls,
        folder: Path,
        perturbations: Sequence[tuple[Perturbation, bool]],
        seeds: Sequence[int] = (),
    ) -> _Read:
        parts = [
            perturbed_folder(folder, perturbation.recipe, training=training)
            for perturbation, training in perturbations
        ]
        return cls._of_folders(folder, parts, seeds)

    @classmethod
    def of_points(
        cls, folder: Path, points: Sequence[PerturbedPoint], like: ClipScores | None = None
    ) -> _Read:
        parts = [perturbed_folder(folder, each.recipe, training=each.training) for each in points]
        return cls._of_folders(folder, parts, (), like)

    @classmethod
    def _of_folders(
        cls,
        folder: Path,
        parts: Sequence[Path],
        seeds: Sequence[int],
        like: ClipScores | None = None,
    ) -> _Read:
        from hearbench.results.clip_scores import read_clip_scores

        wanted = seeds or [result.seed for _, result in seed_folders(folder)]
        clean: list[ClipScores] = []
        for place in _of_seeds(folder, wanted):
            clean.append(read_clip_scores(place, like=like or (clean[0] if clean else None)))
        disturbed = []
        for part in parts:
            # Events that moved are others than the clean ones; clips and labels are the same.
            found = [
                read_clip_scores(place, like=clean[0], same_truth=False)
                for place in _of_seeds(part, wanted)
            ]
            disturbed.append(found)
        return cls(clean, disturbed)

    def terms(self, score: str) -> list[Term]:
        """The loss by each perturbation, per seed and fold and over resamples of the clips."""
        from hearbench.results.clip_scores import resampled
        from hearbench.results.variance import Term

        found = resampled(
            score, [self.clean, *self.disturbed], n_resamples=_N_RESAMPLES, seed=_SEED
        )
        sign = 1.0 if self.clean[0].result.scores[score].maximise else -1.0
        return [
            Term(sign * (found.points[0] - points), sign * (found.replicates[0] - replicates))
            for points, replicates in zip(found.points[1:], found.replicates[1:], strict=True)
        ]

    def loss(self, terms: Sequence[Term], score: str) -> Loss:
        """A sum of mean losses of one score, with its interval and test."""
        splits = self.clean[0].splits
        bounds = [each.bounds for split in splits if (each := split.scores[score]) is not None]
        reach = max((high - low for low, high in bounds), default=math.inf)
        return loss_of(terms, [len(split.clips) for split in splits], reach)


def _of_seeds(folder: Path, seeds: Sequence[int]) -> list[Path]:
    """The folders of a result's seeds.

    Raises:
        ResultError: One is missing.
    """
    if not (folder / RESULT_FILE).is_file():
        raise ResultError(
            f"{folder} has no {RESULT_FILE}. Evaluate again with the same perturbations.",
            code="not_found",
        )
    found = {result.seed: place for place, result in seed_folders(folder)}
    missing = [seed for seed in seeds if seed not in found]
    if missing:
        raise ResultError(
            f"{folder} has no result of seed {missing[0]}, as the clean result has. Evaluate again "
            "with the same perturbations and seeds."
        )
    return [found[seed] for seed in seeds]


def loss_of(terms: Sequence[Term], n_clips: Sequence[int], reach: float) -> Loss:
    """A mean loss, or a sum of several, with its interval and test.

    Args:
        terms: Losses per seed and fold, and over resamples of the test clips.
        n_clips: Test clips of each fold.
        reach: How large a loss can be at most.
    """
    from hearbench.results.variance import variance_of

    mean = math.fsum(term.sign * mean_of_seeds(term.points) for term in terms)
    variance = variance_of(terms, n_clips)
    if variance is None or math.isnan(mean):
        return Loss(mean=mean, low=math.nan, high=math.nan, p=math.nan)
    interval = variance.difference_interval(mean, _LEVEL, reach)
    p = variance.p_value(mean, reach)
    return Loss(mean=mean, low=interval.low, high=interval.high, p=p)


def _mean_term(terms: Sequence[Term]) -> Term:
    """The mean of several losses."""
    import numpy as np

    from hearbench.results.variance import Term

    return Term(
        np.mean([term.points for term in terms], axis=0),
        np.mean([term.replicates for term in terms], axis=0),
    )


def _mean(seeds: Sequence[ClipScores], score: str) -> float:
    return sum(each.result.scores[score].mean for each in seeds) / len(seeds)


def _notes(points: Sequence[PerturbedPoint], seeds: Sequence[int], *, random: bool) -> list[str]:
    notes = []
    if random and len(seeds) == 1:
        notes.append(
            "One seed: how much the luck of the training changes a loss isn't known. Evaluate with "
            "--seeds 3 or more."
        )
    undefined = [p.name for p in points if any(math.isnan(x.mean) for x in p.losses.values())]
    if undefined:
        notes.append(f"Some score is undefined with {', '.join(undefined)}, and so is its loss.")
    return notes
