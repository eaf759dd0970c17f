"""What a comparison of models found, as ``hearbench compare --json`` answers it."""

from __future__ import annotations

import math
from typing import Literal

from hearbench.records import Record
from hearbench.results.record import Number

__all__ = [
    "Comparison",
    "ModelStanding",
    "PairDifference",
    "TaskComparison",
    "TaskResolution",
    "TaskScore",
]


class TaskScore(Record):
    """One model on one task.

    Attributes:
        model: Its name.
        mean: The score, over seeds and folds.
        std: Standard deviation of the mean, of all sources that are known; NaN if unknown.
        low: The interval's lower end; NaN if unknown.
        high: Its upper end.
        seeds: Of the trainings.
        is_random: Whether other seeds would give other scores.
        protocol: By which it was evaluated.
        rank: Among the task's models; 1 is the best.
        rank_low: The best rank that no verdict speaks against.
        rank_high: The worst one.
    """

    model: str
    mean: Number
    std: Number
    low: Number
    high: Number
    seeds: tuple[int, ...]
    is_random: bool
    protocol: str
    rank: Number
    rank_low: Number
    rank_high: Number


class PairDifference(Record):
    """Two models on the same test clips of one task.

    Attributes:
        model_a: The one.
        model_b: The other.
        difference: A's score minus B's.
        std: Standard deviation of the difference; NaN if unknown.
        low: Lower end of the interval that is corrected as p is: it leaves out 0 if and only if one
            model is better. NaN if unknown.
        high: Its upper end.
        p: Of the hypothesis that there is no difference, the larger one of ``p_bootstrap`` and
            ``p_permutation``; NaN if unknown.
        p_holm: The same, corrected for all pairs and tasks.
        better: The better model; None if the clips can't show one.
        verdict: In words.
        low_alone: Lower end of the interval of this difference alone, not corrected.
        high_alone: Its upper end.
        p_bootstrap: By resampling the test clips, with seeds and folds; not corrected.
        p_permutation: By swapping predictions on the test clips; NaN if that wasn't asked for.
    """

    model_a: str
    model_b: str
    difference: Number
    std: Number
    low: Number
    high: Number
    p: Number
    p_holm: Number
    better: str | None
    verdict: str
    low_alone: Number = math.nan
    high_alone: Number = math.nan
    p_bootstrap: Number = math.nan
    p_permutation: Number = math.nan


class TaskResolution(Record):
    """What the test clips of a task can tell apart, in units of the score.

    Attributes:
        alone: Half-width of one score's interval over clips.
        paired: The smallest difference of two models on these clips that is told from none, by
            the clips alone and before any correction; NaN where the models agree on all clips.
        detectable: The true difference that is told from none four times in five; NaN likewise.
    """

    alone: Number
    paired: Number
    detectable: Number


class TaskComparison(Record):
    """One task.

    Attributes:
        task: Its name.
        score: The score that is compared.
        maximise: Whether higher is better.
        n_clips: Test clips in all.
        n_folds: Test splits.
        resolution: What the clips can tell apart; None if unknown.
        scores: Of each model that has the task.
        pairs: Of models that have the task.
        notes: What a reader should know, in sentences.
    """

    task: str
    score: str
    maximise: bool
    n_clips: int
    n_folds: int
    resolution: TaskResolution | None
    scores: tuple[TaskScore, ...]
    pairs: tuple[PairDifference, ...]
    notes: tuple[str, ...]


class ModelStanding(Record):
    """One model over tasks.

    Attributes:
        model: Its name.
        mean_rank: Over the tasks that all models have; NaN without such a task.
        low: The best mean rank that no verdict speaks against.
        high: The worst one.
        n_tasks: How many tasks the rank is of.
        n_pairs: Comparisons with another model on a task, all tasks counted.
        ahead: In how many of these its score is the better one; equal scores count half.
        clearly_better: In how many that is more than the clips' luck.
        clearly_worse: In how many the other model is clearly better.
    """

    model: str
    mean_rank: Number
    low: Number
    high: Number
    n_tasks: int
    n_pairs: int
    ahead: float
    clearly_better: int
    clearly_worse: int

    @property
    def share_ahead(self) -> float | None:
        """Share of its comparisons in which its score is the better one."""
        return self.ahead / self.n_pairs if self.n_pairs else None


class Comparison(Record):
    """Several models on the tasks that they share.

    Attributes:
        format_version: Of this layout.
        models: Their names, as shown.
        baseline: The one that all others are compared with; None for all pairs.
        test: ``bootstrap`` or ``permutation``.
        level: Of the intervals of scores and of single differences; a corrected p of at most 1
            minus it is a difference.
        n_resamples: Resamples of the test clips, or permutations.
        resampling_seed: Decided them.
        n_tests: Comparisons that the correction is for.
        tasks: By name.
        standings: Per model, in the order of ``models``.
        notes: What a reader should know of all tasks, in sentences.
    """

    format_version: Literal[1] = 1
    models: tuple[str, ...]
    baseline: str | None
    test: str
    level: float
    n_resamples: int
    resampling_seed: int
    n_tests: int
    tasks: tuple[TaskComparison, ...]
    standings: tuple[ModelStanding, ...]
    notes: tuple[str, ...]
