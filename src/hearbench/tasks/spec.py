"""The official ``task_metadata.json`` of a prepared task, typed."""

from __future__ import annotations

import re
from collections.abc import Iterable
from importlib.metadata import entry_points
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from hearbench.errors import TaskError
from hearbench.registry import did_you_mean
from hearbench.tasks.evaluation_params import evaluation_params
from hearbench.tasks.task_type import (
    TASK_TYPES,
    EmbeddingType,
    PredictionType,
    TaskType,
    task_type,
)

__all__ = [
    "EmbeddingType",
    "PredictionType",
    "SplitMode",
    "TaskMetadata",
    "filename_problem",
    "is_plain_name",
    "label_problem",
    "score_problems",
]

SplitMode = Literal["trainvaltest", "new_split_kfold", "presplit_kfold"]

_CHARACTERS = {"/": "a slash", "\\": "a backslash", "\0": "a NUL"}
_LONGEST_LABEL = 100_000  # Python's reader of CSV takes fields up to 131072
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*")

NonEmpty = Annotated[str, Field(min_length=1)]


class TaskMetadata(BaseModel):
    """The contents of ``task_metadata.json``, in the official layout.

    Official files hold more keys (download addresses, working folders); they are ignored.

    Attributes:
        task_name: Name without version and mode.
        version: Version of the corpus.
        mode: Which part of the corpus it is (``full``, ``5h``, ``small``).
        embedding_type: ``scene`` for one label set per clip, ``event`` for labels in time.
        prediction_type: ``multiclass`` for exactly one label per clip, ``multilabel``, or
            ``regression`` for numbers.
        split_mode: ``trainvaltest``, or one of two kinds of k folds.
        nfolds: Number of folds, where there are folds.
        splits: Names of the splits, in the order of the protocol.
        sample_duration: Length of every clip in seconds; None where lengths vary.
        evaluation: Names of the scores; the first one is optimised.
        evaluation_params: What it changes in the protocol: ``event_postprocessing_grid`` of an
            event task, and ``task_specific_param_grid``; other keys are ignored.
        use_scoring_for_early_stopping: False where the validation loss chooses instead.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    task_name: NonEmpty
    version: NonEmpty
    mode: NonEmpty
    embedding_type: EmbeddingType
    prediction_type: PredictionType
    split_mode: SplitMode
    nfolds: int | None = None
    splits: Annotated[tuple[NonEmpty, ...], Field(min_length=1)]
    sample_duration: Annotated[float, Field(gt=0)] | None
    evaluation: Annotated[tuple[NonEmpty, ...], Field(min_length=1)]
    evaluation_params: dict[str, Any] | None = None
    use_scoring_for_early_stopping: bool = True

    @field_validator("evaluation_params")
    @classmethod
    def _check_params(
        cls, value: dict[str, Any] | None, info: ValidationInfo
    ) -> dict[str, Any] | None:
        try:
            kind = info.data.get("embedding_type")  # not there if it can't be
            evaluation_params(value, keys=task_type(kind).params if kind else ())
        except TaskError as error:
            raise ValueError(str(error).removeprefix("evaluation_params: ")) from error
        return value

    @property
    def task_type(self) -> TaskType:
        """The kind of task."""
        return task_type(self.embedding_type, self.prediction_type)

    @property
    def name(self) -> str:
        """``<task_name>-<version>-<mode>``, the name of the task's folder."""
        return f"{self.task_name}-{self.version}-{self.mode}"


def is_plain_name(text: str) -> bool:
    """Whether a text is safe as part of a folder's name on every system."""
    return _PLAIN_NAME.fullmatch(text) is not None


def filename_problem(name: str) -> str | None:
    """The reason why a text can't name a file of a task on every system; None if it can."""
    if name in {"", ".", ".."}:
        return "no name"
    return _bad_character(name, "/\\\0")


def label_problem(label: str) -> str | None:
    """The reason why a text can't be a label in ``labelvocabulary.csv``; None if it can."""
    if len(label) > _LONGEST_LABEL:
        return f"more than {_LONGEST_LABEL} characters"
    return _bad_character(label, "\0")


def _bad_character(text: str, bad: str) -> str | None:
    for character in bad:
        if character in text:
            return _CHARACTERS[character]
    try:
        text.encode()
    except UnicodeEncodeError:
        return "half a character (a lone surrogate)"
    return None


def _scores_of(kind: TaskType) -> list[str]:
    """The names of the scores that fit a kind of task, those of other packages as well."""
    # By the names alone: what stands behind them comes after tasks in the way of the data.
    points = entry_points(group=kind.score_group)
    return [*kind.scores, *sorted(point.name for point in points)]


def score_problems(names: Iterable[str], kind: TaskType) -> list[str]:
    """Lists what is wrong with scores for such a task, one sentence each."""
    fitting = _scores_of(kind)
    problems: list[str] = []
    seen: set[str] = set()
    for name in names:
        if name in seen:
            problems.append(f"The score {name!r} is named twice.")
        elif name not in fitting:
            known = sorted(name for each in TASK_TYPES for name in _scores_of(each))
            problems.append(
                f"The score {name!r} doesn't fit a task of kind {kind.name!r}; "
                f"fitting: {', '.join(fitting)}."
                if name in known
                else f"There is no score named {name!r}. {did_you_mean(name, known)}"
            )
        seen.add(name)
    return problems
