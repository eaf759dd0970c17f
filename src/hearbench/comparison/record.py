"""What a comparison of models found, as ``hearbench compare --json`` answers it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Literal

from hearbench.errors import HearError
from hearbench.files import write_text
from hearbench.records import Record
from hearbench.results.record import Number
from hearbench.table import Column, Table

__all__ = [
    "CSV_COLUMNS",
    "Comparison",
    "ModelStanding",
    "PairDifference",
    "TaskComparison",
    "TaskResolution",
    "TaskScore",
]

CSV_COLUMNS = (
    *("task", "score", "n_clips", "model_a", "model_b", "mean_a", "mean_b", "difference"),
    *("low", "high", "p", "p_holm", "better"),
    *("low_alone", "high_alone", "p_bootstrap", "p_permutation", "across_protocols"),
)
"""Columns of a comparison's CSV, in its order."""


class TaskScore(Record):
    """The score of one model on one task.

    Attributes:
        mean: The score, over seeds and folds.
        std: Standard deviation of the mean, of all sources that are known; NaN if unknown.
        low: Lower end of the score's interval; NaN if unknown.
        high: Upper end of the interval.
        is_random: Whether other seeds would give other scores.
        protocol: Name of the protocol that it was evaluated by.
        fingerprint: Fingerprint of that protocol; where layers are compared, of the same one that
            takes the embeddings as they are.
        protocol_words: What has that fingerprint, in words.
        rank: Rank among the task's models; 1 is the best.
        rank_low: The best rank that no verdict speaks against.
        rank_high: The worst rank that no verdict speaks against.
    """

    model: str
    mean: Number
    std: Number
    low: Number
    high: Number
    seeds: tuple[int, ...]
    is_random: bool
    protocol: str
    fingerprint: str = ""
    protocol_words: str = ""
    rank: Number
    rank_low: Number
    rank_high: Number


class PairDifference(Record):
    """The difference of two models on the same test clips of one task.

    Attributes:
        model_a: Name of the first model.
        model_b: Name of the second model.
        difference: A's score minus B's.
        std: Standard deviation of the difference; NaN if unknown.
        low: Lower end of the interval that is corrected as p is: it leaves out 0 if and only if one
            model is better. NaN if unknown.
        high: Upper end of that interval.
        p: p-value of the hypothesis that there is no difference, the larger one of ``p_bootstrap``
            and ``p_permutation``; NaN if unknown.
        p_holm: The p-value, corrected for all pairs and tasks.
        better: Name of the better model; None if the clips can't show one.
        verdict: The conclusion in words.
        low_alone: Lower end of the interval of this difference alone, not corrected.
        high_alone: Upper end of that interval.
        p_bootstrap: p-value by resampling the test clips, with seeds and folds; not corrected.
        p_permutation: p-value by swapping predictions on the test clips; NaN if not asked for.
        across_protocols: Whether the scores were made by different protocols, which the verdict
            says as well.
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
    across_protocols: bool = False


class TaskResolution(Record):
    """What the test clips of a task can tell apart, in units of the score.

    Attributes:
        alone: Half-width of one score's interval over clips.
        paired: The smallest difference of two models on these clips that is told from none, by
            the clips alone and before any correction; NaN where the models agree on all clips.
        detectable: The true difference that is told from none four times in five; NaN where
            ``paired`` is.
    """

    alone: Number
    paired: Number
    detectable: Number


class TaskComparison(Record):
    """Several models on one task, by one protocol unless others were asked for.

    Attributes:
        score: Name of the score that is compared.
        n_clips: Test clips in all.
        n_folds: Test splits.
        resolution: What the clips can tell apart; None if unknown.
        scores: Scores of the models that have the task.
        pairs: Differences of these models.
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
    """One model over all tasks.

    Attributes:
        mean_rank: Mean rank over the tasks that all models of its group have; NaN without such a
            task.
        low: The best mean rank that no verdict speaks against.
        high: The worst mean rank that no verdict speaks against.
        n_tasks: Number of tasks that the rank is a mean over.
        group: Number of the group that the model is ranked in, from 0: models by other protocols
            are in another.
        n_pairs: Comparisons with another model on a task, over all tasks.
        ahead: In how many of these its score is the better one; equal scores count half.
        clearly_better: In how many the difference is more than the clips' luck.
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
    group: int = 0

    @property
    def share_ahead(self) -> float | None:
        """Share of its comparisons in which its score is the better one."""
        return self.ahead / self.n_pairs if self.n_pairs else None


class Comparison(Record):
    """Several models on the tasks that they share.

    Attributes:
        baseline: The model that all others are compared with; None for all pairs.
        test: ``bootstrap`` or ``permutation``.
        level: Level of the intervals of scores and of single differences; a corrected p of at most
            1 minus it is a difference.
        n_resamples: Resamples of the test clips, or permutations.
        n_tests: Comparisons that p-values are corrected for.
        tasks: What was found on each task, by name; of a task apart for each protocol.
        standings: What was found of each model, in the order of ``models``.
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

    @property
    def protocols(self) -> dict[str, str]:
        """The protocols of all scores in words, by their fingerprints."""
        return {
            score.fingerprint: score.protocol_words
            for task in self.tasks
            for score in task.scores
            if score.fingerprint
        }

    def write_csv(self, path: Path) -> None:
        """Writes a row per pair and task; what is unknown or undefined is empty.

        Raises:
            HearError: The file can't be written.
        """
        table = Table([Column(name) for name in CSV_COLUMNS])
        for task in self.tasks:
            means = {score.model: score.mean for score in task.scores}
            for pair in task.pairs:
                table.add(
                    *(task.task, task.score, task.n_clips, pair.model_a, pair.model_b),
                    *(means[pair.model_a], means[pair.model_b]),
                    *(getattr(pair, name) for name in CSV_COLUMNS[7:]),
                )
        try:
            write_text(path, table.to_csv())
        except OSError as error:
            raise HearError(f"{path} can't be written: {error.strerror}.", code="io") from error
