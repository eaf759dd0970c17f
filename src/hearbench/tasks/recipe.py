"""Settings of a preparation: all that it needs besides the clips."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral
from typing import Any

from hearbench.audio.shape import samples_of
from hearbench.errors import TaskError
from hearbench.tasks.evaluation_params import evaluation_params
from hearbench.tasks.problems import Problems
from hearbench.tasks.spec import SplitMode, is_plain_name, score_problems
from hearbench.tasks.task_type import EmbeddingType, PredictionType, TaskType, task_type

__all__ = ["SMALL", "Recipe"]

SMALL = "small"
"""The mode of a corpus cut down for tests: files and labels may be missing from splits."""

_FEWEST_FOLDS = 3
_LOWEST_RATE = 100
_HIGHEST_RATE = 768_000


@dataclass(frozen=True)
class Recipe:
    """Settings by which clips become a task.

    Attributes:
        name: Name of the task; with version and mode the name of its folder.
        mode: ``small`` allows missing files, and splits without some labels.
        split_mode: ``trainvaltest`` (missing splits are cut out of train), ``new_split_kfold``,
            or ``presplit_kfold`` (every clip names its fold).
        sample_duration_s: Length in seconds that every clip is brought to; None leaves them.
        scores: Names of the scores, the one to optimise first.
        sample_rates: Rates in Hz to write; none stands for the highest rate of the corpus.
        split_percentage: Percentages of train, valid and test; 80, 10 and 10 by default.
        max_duration_s: Total duration in seconds that is kept of every split, or of each by
            its name; None keeps all.
        evaluation_params: Changes of the protocol, in the form of the task's metadata.
        use_scoring_for_early_stopping: False where the validation loss is to choose.
    """

    name: str
    version: str
    mode: str
    embedding_type: EmbeddingType
    prediction_type: PredictionType
    split_mode: SplitMode
    sample_duration_s: float | None
    scores: tuple[str, ...]
    nfolds: int = 5
    sample_rates: tuple[int, ...] = ()
    split_percentage: Mapping[str, float] | None = None
    max_duration_s: float | Mapping[str, float | None] | None = None
    evaluation_params: Mapping[str, Any] | None = None
    use_scoring_for_early_stopping: bool = True

    @property
    def folder_name(self) -> str:
        """``<name>-<version>-<mode>``."""
        return f"{self.name}-{self.version}-{self.mode}"

    @property
    def task_type(self) -> TaskType:
        """The kind of task."""
        return task_type(self.embedding_type, self.prediction_type)

    @property
    def strict_labels(self) -> bool:
        """Whether every split must hold every label."""
        needed = self.task_type.needs_every_label(self.prediction_type)
        return self.mode != SMALL and needed

    def metadata(self, splits: tuple[str, ...]) -> dict[str, Any]:
        """The content of ``task_metadata.json``."""
        metadata: dict[str, Any] = {
            "task_name": self.name,
            "version": self.version,
            "embedding_type": self.embedding_type,
            "prediction_type": self.prediction_type,
            "split_mode": self.split_mode,
        }
        if self.split_mode != "trainvaltest":
            metadata["nfolds"] = len(splits)
        metadata["sample_duration"] = self.sample_duration_s
        metadata["evaluation"] = list(self.scores)
        if self.evaluation_params is not None:
            metadata["evaluation_params"] = dict(self.evaluation_params)
        if not self.use_scoring_for_early_stopping:
            metadata["use_scoring_for_early_stopping"] = False
        return {**metadata, "mode": self.mode, "splits": list(splits)}

    def refuse_bad(self) -> None:
        """Raises if something in the recipe can't be.

        Raises:
            TaskError: It names all that is wrong.
        """
        problems = Problems()
        self.check(problems)
        if problems:
            raise problems.error(
                f"The task {self.name!r} can't be prepared; wrong are:",
                "Change these settings and run the same again.",
            )

    def check(self, problems: Problems) -> None:
        """Notes everything in the recipe that can't be."""
        kind = "settings that can't be"
        for what, text in (("name", self.name), ("version", self.version), ("mode", self.mode)):
            if not is_plain_name(text):
                problems.add(
                    kind,
                    f"the {what} {text!r} can't be part of a folder's name; use letters, digits "
                    "and _ . + -",
                )
        if not self.scores:
            problems.add(kind, "no score is named")
        for problem in score_problems(self.scores, self.task_type):
            problems.add(kind, problem.rstrip("."))
        try:
            evaluation_params(self.evaluation_params, keys=self.task_type.params)
        except TaskError as error:
            problems.add(kind, str(error).rstrip("."))
        usable = [rate for rate in self.sample_rates if _is_rate(rate)]
        duration = self.sample_duration_s
        if duration is not None and not (math.isfinite(duration) and duration > 0):
            problems.add(kind, f"a duration must be a positive number of seconds, not {duration}")
        elif duration is not None:
            for rate in usable:
                if samples_of(duration, rate) < 1:
                    problems.add(kind, f"{duration:g} s are less than a sample at {rate} Hz")
        if self.max_duration_s is not None and duration is None:
            problems.add(kind, "a total duration needs a duration of the clips")
        for rate in self.sample_rates:
            if rate not in usable:
                problems.add(
                    kind,
                    f"a sample rate must be a whole number in {_LOWEST_RATE} to {_HIGHEST_RATE} "
                    f"Hz, not {rate}",
                )
        if len(set(self.sample_rates)) < len(self.sample_rates):
            problems.add(kind, f"a sample rate is named twice: {list(self.sample_rates)}")
        if self.split_mode == "new_split_kfold" and self.nfolds < _FEWEST_FOLDS:
            problems.add(kind, f"at least {_FEWEST_FOLDS} folds are needed, not {self.nfolds}")


def _is_rate(rate: object) -> bool:
    return isinstance(rate, Integral) and _LOWEST_RATE <= int(rate) <= _HIGHEST_RATE
