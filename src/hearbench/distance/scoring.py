"""From embeddings to the result of distances."""

from __future__ import annotations

import datetime as dt
import itertools
import math
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hearbench._version import __version__
from hearbench.distance.record import (
    DistanceResources,
    DistanceResult,
    DistanceSplit,
    DistanceSummary,
    IntervalRecord,
)
from hearbench.embeddings.store import EmbeddingStore
from hearbench.errors import EmbeddingError, UnsuitableTaskError
from hearbench.metrics.distance import KS, DistanceMeasures, measure_distances
from hearbench.metrics.distance_blocks import Distance, Sameness
from hearbench.metrics.distance_errors import StandardErrors, n_looked_at, standard_errors
from hearbench.results.aggregate import mean_std
from hearbench.results.damage import write_stored
from hearbench.results.record import EmbeddingsRecord
from hearbench.stats.distributions import t_quantile
from hearbench.tasks.store import PreparedTask
from hearbench.tasks.task_type import SCENE
from hearbench.worker.memory import peak_resident_mb
from hearbench.workspace import Workspace

__all__ = [
    "DISTANCES",
    "check_distances",
    "distance_scores",
    "finite_scene",
    "mean_error",
    "share_interval",
    "write_distances",
]

DISTANCES: tuple[Distance, ...] = ("l1", "l2", "cosine")
"""The challenge's first, whose scores have no prefix."""

# The counters of distances take what they need and at most this share of the memory.
_COUNTERS_SHARE = 0.25
_LEAST_COUNTERS_BYTES = 64 << 20
_MOST_COUNTERS_BYTES = 4 << 30


@dataclass(frozen=True)
class _Measured:
    """One test split by one distance.

    Attributes:
        n_clips: Its clips.
        n_unlabelled: Those without a label.
        is_constant: Whether all have the same embedding.
    """

    test: str
    n_clips: int
    n_unlabelled: int
    is_constant: bool
    measures: DistanceMeasures
    errors: StandardErrors
    seconds: float


def check_distances(task: PreparedTask) -> None:
    """Refuses tasks that have no distances.

    Raises:
        UnsuitableTaskError: It is an event task.
    """
    if task.task_type is not SCENE:
        raise UnsuitableTaskError(
            f"{task.name} is {task.task_type.noun}. Distances say whether clips have the same "
            "labels as a whole; leave out --distance for this task."
        )


def distance_scores(
    store: EmbeddingStore,
    *,
    workspace: Workspace | None = None,
    level: float = 0.95,
    seed: int = 0,
) -> DistanceResult:
    """Scores the test splits of a scene task by distances of embeddings; nothing is learned.

    The distances are unnormalised L1, whose scores have their plain names, and L2 and cosine, whose
    scores are named so: ``cosine_retrieval_mAP``.

    Each test split is scored by itself; then come means over splits, as for other scores.

    Args:
        workspace: Device, memory, and who shows progress; by default from the environment.
        level: Confidence level of the intervals.
        seed: Seed of the sample of clips from which the intervals of large splits are.

    Raises:
        TaskError: It is an event task.
        EmbeddingError: The store is damaged, or an embedding isn't finite.
    """
    workspace = workspace or Workspace.from_environment()
    task, manifest = store.task, store.manifest
    check_distances(task)
    device = workspace.torch_device()
    tests = [fold.test for fold in task.folds()]
    sizes = {test: len(store.clips(test)) for test in tests}
    total = len(DISTANCES) * sum(size + n_looked_at(size) for size in sizes.values())
    limit = workspace.memory_budget_bytes() * _COUNTERS_SHARE
    counters_bytes = int(min(max(limit, _LEAST_COUNTERS_BYTES), _MOST_COUNTERS_BYTES))
    by_distance: dict[Distance, list[_Measured]] = {distance: [] for distance in DISTANCES}
    before = 0
    with workspace.progress.stage(f"{task.name}: measuring distances", total=total) as update:
        for i, (test, distance) in enumerate(itertools.product(tests, DISTANCES)):
            name = f"{test}, {i // len(DISTANCES) + 1} of {len(tests)}" if len(tests) > 1 else test
            name += f", {distance}"

            def tell(done: int, what: str, before: int = before, name: str = name) -> None:
                update(before + done, text=f"{name}: {what}")

            how = _Measuring(distance, counters_bytes, device, seed)
            by_distance[distance].append(_measure(store, test, how, tell))
            before += sizes[test] + n_looked_at(sizes[test])
    measured = by_distance[DISTANCES[0]]
    seconds = {
        test: sum(each[i].seconds for each in by_distance.values()) for i, test in enumerate(tests)
    }
    return DistanceResult(
        hearbench_version=__version__,
        model=manifest.model,
        task=manifest.task,
        prediction_type=task.metadata.prediction_type,
        n_labels=len(task.vocabulary),
        embeddings=EmbeddingsRecord(
            digest=store.digest,
            dtype=manifest.dtype,
            size=manifest.model.scene_embedding_size,
            kind=manifest.kind,
        ),
        device=device,
        versions={
            "python": platform.python_version(),
            **{name: version(name) for name in ("numpy", "scipy", "torch")},
        },
        level=level,
        seed=seed,
        primary_score="retrieval_mAP",
        scores={
            ("" if distance == DISTANCES[0] else f"{distance}_") + name: summary
            for distance, of_distance in by_distance.items()
            for name, summary in _summaries(of_distance, level).items()
        },
        splits=tuple(_split(one) for one in measured),
        notes=(*_notes(measured), *manifest.notes),
        resources=DistanceResources(
            created=dt.datetime.now(dt.timezone.utc).isoformat(timespec="seconds"),
            embed_s=manifest.seconds,
            distance_s=sum(seconds.values()),
            split_s=seconds,
            audio_s=manifest.audio_s,
            embed_peak_memory_mb=manifest.peak_memory_mb,
            distance_peak_memory_mb=peak_resident_mb(),
            embeddings_path=str(store.folder),
        ),
    )


def finite_scene(store: EmbeddingStore, split: str) -> npt.NDArray[np.float32]:
    """The scene embeddings of a split, (n_clips, size).

    Raises:
        EmbeddingError: The store is damaged, or an embedding isn't finite.
    """
    embeddings = store.scene(split)
    if not np.isfinite(embeddings).all():
        raise EmbeddingError(
            f"The embeddings of {store.task.name} by {store.manifest.model.name} hold numbers that "
            f"aren't finite in the split {split}, which have no distances. Mend the model, delete "
            f"{store.folder} and embed again."
        )
    return embeddings


@dataclass(frozen=True)
class _Measuring:
    """How a split is measured: by which distance, in how much memory, where, and the seed."""

    distance: Distance
    counters_bytes: int
    device: str
    seed: int


def _measure(
    store: EmbeddingStore, test: str, how: _Measuring, tell: Callable[[int, str], None]
) -> _Measured:
    begun = time.perf_counter()
    embeddings = finite_scene(store, test)
    targets = store.task.targets(test)
    sameness = Sameness.of(targets, multilabel=store.task.metadata.prediction_type == "multilabel")
    n_clips = len(embeddings)
    tell(0, "measuring distances")
    measures = measure_distances(
        embeddings,
        sameness,
        distance=how.distance,
        memory_limit_bytes=how.counters_bytes,
        device=how.device,
        update=lambda done, _total=None, _text="": tell(done, "measuring distances"),
    )
    errors = standard_errors(
        embeddings,
        sameness,
        measures,
        seed=how.seed,
        device=how.device,
        update=lambda done, _total=None, _text="": tell(
            n_clips + done, "looking at each clip's influence"
        ),
    )
    return _Measured(
        test=test,
        n_clips=n_clips,
        n_unlabelled=int((~targets.any(axis=1)).sum()),
        is_constant=n_clips > 1 and bool((embeddings == embeddings[:1]).all()),
        measures=measures,
        errors=errors,
        seconds=time.perf_counter() - begun,
    )


def _summaries(measured: Sequence[_Measured], level: float) -> dict[str, DistanceSummary]:
    def summary(
        value: Callable[[DistanceMeasures], float],
        error: Callable[[StandardErrors], float],
        *,
        maximise: bool,
    ) -> DistanceSummary:
        per_fold = {one.test: value(one.measures) for one in measured}
        mean, std = mean_std(list(per_fold.values()))
        # Of the test splits whose score is defined, as the mean is.
        defined = [one for one in measured if not math.isnan(per_fold[one.test])]
        spread = mean_error([error(one.errors) for one in defined])
        n_clips = sum(one.n_clips for one in defined)
        return DistanceSummary(
            mean=mean,
            std=std,
            per_fold=per_fold,
            maximise=maximise,
            standard_error=spread,
            interval=share_interval(mean, spread, n_clips, len(defined), level),
        )

    return {
        "retrieval_mAP": summary(
            lambda found: _mean(found.retrieval.average_precision),
            lambda errors: errors.mean_average_precision,
            maximise=True,
        ),
        **{
            f"retrieval_p_at_{k}": summary(
                lambda found, k=k: _mean(found.retrieval.precision_at[k]),  # type: ignore[misc]
                lambda errors, k=k: errors.precision_at[k],  # type: ignore[misc]
                maximise=True,
            )
            for k in KS
        },
        "same_different_auc": summary(
            lambda found: found.pairs.auc, lambda errors: errors.auc, maximise=True
        ),
        "same_different_eer": summary(
            lambda found: found.pairs.eer, lambda errors: errors.eer, maximise=False
        ),
    }


def _mean(values: npt.NDArray[np.float64]) -> float:
    """Over queries; NaN without one."""
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else math.nan


def _split(one: _Measured) -> DistanceSplit:
    return DistanceSplit(
        test=one.test,
        n_clips=one.n_clips,
        n_queries=one.measures.n_queries,
        n_same=one.measures.pairs.n_same,
        n_different=one.measures.pairs.n_different,
        eer_threshold=one.measures.eer_threshold,
    )


def _notes(measured: Sequence[_Measured]) -> tuple[str, ...]:
    notes = []

    def where(which: Mapping[str, int]) -> str:
        return ", ".join(f"{test} ({count})" for test, count in which.items() if count)

    alone = {one.test: one.n_clips - one.measures.n_queries for one in measured}
    unlabelled = {one.test: one.n_unlabelled for one in measured}
    if any(alone.values()):
        notes.append(
            f"Clips that no other clip of their split is the same as are no queries: "
            f"{where(alone)}. Other queries may still find them."
        )
    if any(unlabelled.values()):
        notes.append(f"Clips without a label are the same as no other clip: {where(unlabelled)}.")
    constant = [one.test for one in measured if one.is_constant]
    if constant:
        notes.append(
            f"All clips of {', '.join(constant)} have the same embedding: all distances are 0, and "
            "the scores say nothing but how often clips are the same."
        )
    for missing, names in (
        ("same", [one.test for one in measured if not one.measures.pairs.n_same]),
        ("different", [one.test for one in measured if not one.measures.pairs.n_different]),
    ):
        if names:
            what = "no scores" if missing == "same" else "no AUC and no equal error rate"
            notes.append(f"No two clips of {', '.join(names)} are {missing}: there are {what}.")
    sampled = {one.test: n_looked_at(one.n_clips) for one in measured}
    if any(sampled[one.test] < one.n_clips for one in measured):
        notes.append(
            "The scores are of all clips; the width of their intervals was estimated from a "
            f"random sample of clips: {where(sampled)}."
        )
    return tuple(notes)


def write_distances(result: DistanceResult, folder: Path) -> Path:
    """Writes ``distance.json`` into a folder, whole or not at all.

    Returns:
        Its path.

    Raises:
        ResultError: The folder can't be written.
    """
    return write_stored(result, folder)


def mean_error(errors: Sequence[float]) -> float | None:
    """The standard error of a mean over folds, whose clips are drawn independently.

    None where that of a fold isn't known, or is 0: then the clips show no spread at all, which
    says nothing of other clips.
    """
    if not all(math.isfinite(error) for error in errors) or not any(errors):
        return None
    return math.sqrt(sum(error**2 for error in errors)) / len(errors)


def share_interval(
    mean: float, error: float | None, n_clips: int, n_folds: int, level: float
) -> IntervalRecord | None:
    """The interval of a score between 0 and 1.

    Student's t on the logit scale, on which a score near 0 or 1 has a symmetric spread.

    Args:
        mean: The score, or its mean over folds.
        error: Its standard error.
        n_clips: Clips of all folds together.
        n_folds: Test splits.
        level: Between 0 and 1.

    Returns:
        None without a standard error, and for a score of exactly 0 or 1.
    """
    if error is None or not 0 < mean < 1:
        return None
    quantile = t_quantile((1 + level) / 2, max(1, n_clips - n_folds))
    reach = quantile * error / (mean * (1 - mean))
    from scipy import special

    centre = float(special.logit(mean))
    return IntervalRecord(
        low=float(special.expit(centre - reach)), high=float(special.expit(centre + reach))
    )
