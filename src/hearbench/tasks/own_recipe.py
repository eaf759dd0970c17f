"""The recipe of a user's own corpus, from what its rows say and what the user wishes."""

from __future__ import annotations

from collections.abc import Sequence

from hearbench.errors import TaskError
from hearbench.tasks.naming import catalog_folder
from hearbench.tasks.recipe import Recipe
from hearbench.tasks.spec import SplitMode
from hearbench.tasks.task_type import EmbeddingType, PredictionType, task_type

__all__ = ["agreed_multilabel", "agreed_split_mode", "own_recipe"]


def own_recipe(
    name: str,
    *,
    version: str,
    mode: str,
    kind: EmbeddingType,
    multilabel: bool,
    split_mode: SplitMode,
    nfolds: int,
    duration_s: float | None,
    scores: Sequence[str],
    sample_rates: Sequence[int],
) -> Recipe:
    """A recipe with the benchmark's usual scores where none are named.

    Raises:
        TaskError: A task of the catalog is called that; nothing else is checked yet.
    """
    folder = f"{name}-{version}-{mode}"
    if catalog_folder(folder) == folder:
        raise TaskError(
            f"{folder} is a task of the benchmark, for which another would be taken. Choose "
            "another name or version."
        )
    prediction: PredictionType = "multilabel" if multilabel else "multiclass"
    return Recipe(
        name=name,
        version=version,
        mode=mode,
        embedding_type=kind,
        prediction_type=prediction,
        split_mode=split_mode,
        nfolds=nfolds,
        sample_duration_s=None if duration_s is None else float(duration_s),
        scores=tuple(scores) or task_type(kind).default_scores(prediction),
        sample_rates=tuple(sample_rates),
    )


def agreed_multilabel(
    *, several: bool, unlabelled: Sequence[str], n_clips: int, wanted: bool
) -> bool:
    """Whether a scene task is multilabel.

    Args:
        several: Whether some clip has several labels, or could have.
        unlabelled: Clips without a label, as messages name them.
        n_clips: How many clips there are.
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
    return several or wanted or bool(unlabelled)


def agreed_split_mode(
    given: SplitMode | None, wanted: SplitMode | None, *, given_by: str, folds_need: str
) -> SplitMode:
    """How a corpus is split that may name splits or folds itself.

    Args:
        given: What the corpus says, if anything.
        wanted: What the user says, if anything.
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
