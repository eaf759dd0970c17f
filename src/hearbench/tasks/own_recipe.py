"""The recipe of a user's own corpus, from what its rows say and what the user wishes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

from hearbench.errors import TaskError
from hearbench.registry import did_you_mean
from hearbench.tasks.catalog import catalog_folder
from hearbench.tasks.recipe import Recipe
from hearbench.tasks.spec import SplitMode
from hearbench.tasks.task_type import EmbeddingType, PredictionType, task_type

__all__ = ["OwnTask", "agreed_prediction", "agreed_split_mode", "own_recipe"]

_DEFAULT_FOLDS = 5


@dataclass(frozen=True)
class OwnTask:
    """Settings of a task made of a user's own corpus.

    Attributes:
        mode: Which part of the corpus it is; ``small`` lets labels be missing from splits, and
            files be missing.
        duration_s: Length in seconds that every clip is padded or trimmed to; without it the
            clips keep their lengths.
        scores: Names of the scores, the one to optimise first; the benchmark's usual ones by
            default.
        sample_rates: Rates in Hz to write; by default the highest of the corpus. Others are
            resampled when they are needed.
        split_mode: ``trainvaltest`` (80/10/10, the default) or ``new_split_kfold``, for a corpus
            that names neither splits nor folds.
        nfolds: Number of folds, which implies ``new_split_kfold``; 5 by default there.
        multilabel: Makes a scene task multilabel whose clips have a label at most, some none.
        targets: Columns of a list of clips that hold numbers, which makes it a regression task.
        skip_corrupt: Leaves out clips that can't be decoded; the metadata names them.

    Raises:
        TaskError: There is no such split mode.
    """

    name: str
    version: str = "1.0.0"
    mode: str = "full"
    duration_s: float | None = None
    scores: Sequence[str] = ()
    sample_rates: Sequence[int] = ()
    split_mode: SplitMode | None = None
    nfolds: int | None = None
    multilabel: bool = False
    targets: Sequence[str] = ()
    skip_corrupt: bool = False

    def __post_init__(self) -> None:
        modes = get_args(SplitMode)
        if self.split_mode is not None and self.split_mode not in modes:
            raise TaskError(
                f"There is no split mode {self.split_mode!r}. "
                f"{did_you_mean(self.split_mode, list(modes))}"
            )

    @property
    def wanted_split_mode(self) -> SplitMode | None:
        """The split mode, as it is given or implied; None if neither."""
        if self.split_mode is None and self.nfolds is not None:
            return "new_split_kfold"
        return self.split_mode


def own_recipe(
    task: OwnTask, kind: EmbeddingType, prediction: PredictionType, *, split_mode: SplitMode
) -> Recipe:
    """Makes the recipe of a task, with the benchmark's usual scores where none are named.

    Args:
        kind: Whether it is a scene or an event task.
        prediction: What is predicted of a clip, by what user and corpus say.
        split_mode: Split mode, by what user and corpus say.

    Raises:
        TaskError: A task of the catalog has that name; nothing else is checked yet.
    """
    folder = f"{task.name}-{task.version}-{task.mode}"
    if catalog_folder(folder) == folder:
        raise TaskError(
            f"{folder} is a task of the benchmark, for which another would be taken. Choose "
            "another name or version."
        )
    return Recipe(
        name=task.name,
        version=task.version,
        mode=task.mode,
        embedding_type=kind,
        prediction_type=prediction,
        split_mode=split_mode,
        nfolds=_DEFAULT_FOLDS if task.nfolds is None else task.nfolds,
        sample_duration_s=None if task.duration_s is None else float(task.duration_s),
        scores=tuple(task.scores) or task_type(kind, prediction).default_scores(prediction),
        sample_rates=tuple(task.sample_rates),
    )


def agreed_prediction(
    *, several: bool, unlabelled: Sequence[str], n_clips: int, wanted: bool
) -> PredictionType:
    """Whether a scene task is multiclass or multilabel.

    Args:
        several: Whether some clip has several labels, or could have.
        unlabelled: Clips without a label, as messages name them.
        wanted: Whether the user says that it is.

    Raises:
        TaskError: It is so only because labels are missing, which may well be a slip: the task
            would be trained and scored differently.
    """
    if unlabelled and not several and not wanted:
        shown = ", ".join(unlabelled[:3]) + (", ..." if len(unlabelled) > 3 else "")
        verb = "has" if len(unlabelled) == 1 else "have"
        raise TaskError(
            f"{len(unlabelled)} of {n_clips} clips {verb} no label ({shown}), and no clip has more "
            "than one. Without them the task is multiclass, with them it is multilabel, which is "
            "trained and scored differently. Give each a label or drop it; or ask for a "
            "multilabel task with --multilabel (multilabel=True in Python)."
        )
    return "multilabel" if several or wanted or unlabelled else "multiclass"


def agreed_split_mode(
    given: SplitMode | None, wanted: SplitMode | None, *, given_by: str, folds_need: str
) -> SplitMode:
    """Chooses the split mode of a corpus that may name splits or folds itself.

    Args:
        given: Split mode of the corpus, if it has one.
        wanted: Split mode that the user asks for, if any.
        given_by: What in the corpus says so ("clips.csv has a column 'fold'"), for messages.
        folds_need: What presplit folds would have needed, a sentence without its full stop.

    Raises:
        TaskError: Corpus and user contradict each other.
    """
    if given is None and wanted == "presplit_kfold":
        raise TaskError(f"{folds_need}.")
    if given is not None and wanted not in {None, given}:
        raise TaskError(
            f"{given_by}, which makes it {given}; {wanted} was asked for. Drop one or the other."
        )
    return given or wanted or "trainvaltest"
