"""From embeddings to the result of clustering.

Clips of a test split are divided into as many clusters as they have labels, by k-means and by
agglomerative clustering (Ward's), and the clusters are compared with the labels. Embeddings are
taken as they are, neither centred nor scaled.
"""

from __future__ import annotations

import datetime as dt
import math
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version

import numpy as np
import numpy.typing as npt

from hearbench._version import __version__
from hearbench.clustering.record import ClusteringResources, ClusteringResult, ClusteringSplit
from hearbench.distance.record import DistanceSummary, IntervalRecord
from hearbench.distance.scoring import finite_scene, mean_error, share_interval
from hearbench.embeddings.store import EmbeddingStore
from hearbench.errors import UnsuitableTaskError
from hearbench.results.aggregate import mean_std
from hearbench.results.record import EmbeddingsRecord
from hearbench.stats.distributions import t_quantile
from hearbench.tasks.store import PreparedTask
from hearbench.workspace import Workspace

__all__ = ["MOST_CLIPS", "check_clustering", "clustering_scores", "jackknife_error"]

MOST_CLIPS = 5000
"""Clips of a split that are clustered; Ward's method needs memory by the square of their number."""

N_STARTS = 10
_METHODS = ("kmeans", "ward")
_SCORES = ("v_measure", "ari", "nmi")

_Labels = npt.NDArray[np.int64]
_Floats = npt.NDArray[np.float64]


def check_clustering(task: PreparedTask) -> None:
    """Refuses tasks whose clips haven't one label each.

    Raises:
        UnsuitableTaskError: Its labels aren't classes of whole clips.
    """
    kind = task.metadata.prediction_type
    if task.metadata.embedding_type != "scene" or kind != "multiclass":
        raise UnsuitableTaskError(
            f"{task.name} is {task.task_type.noun} ({kind}). Clusters are compared with "
            "labels of which every clip has one; leave out --clustering for this task."
        )


def clustering_scores(
    store: EmbeddingStore,
    *,
    workspace: Workspace | None = None,
    level: float = 0.95,
    seed: int = 0,
) -> ClusteringResult:
    """Scores clusters of the embeddings of each test split against the labels.

    k-means has ten starts, of which the one with the tightest clusters is scored. V-measure,
    adjusted Rand index and normalized mutual information are as scikit-learn computes them. Each
    test split is clustered by itself; then come means over splits, as for other scores.

    Args:
        workspace: Who shows progress; by default from the environment.
        level: Confidence level of the intervals, which are by the jackknife over clips: they say
            how scores of other clips that are put into the same clusters may differ.
        seed: Seed of the first start, and of the sample of clips of splits with more than
            `MOST_CLIPS`.

    Raises:
        UnsuitableTaskError: Its clips haven't one label each.
        EmbeddingError: The store is damaged, or an embedding isn't finite.
    """
    workspace = workspace or Workspace.from_environment()
    task, manifest = store.task, store.manifest
    check_clustering(task)
    begun = time.perf_counter()
    tests = [fold.test for fold in task.folds()]
    clustered: list[_Clustered] = []
    with workspace.progress.stage(f"{task.name}: clustering", total=len(tests)) as update:
        for i, test in enumerate(tests):
            update(i, text=test)
            clustered.append(_cluster(store, test, seed))
        update(len(tests))
    return ClusteringResult(
        hearbench_version=__version__,
        model=manifest.model,
        task=manifest.task,
        n_labels=len(task.vocabulary),
        embeddings=EmbeddingsRecord(
            digest=store.digest,
            dtype=manifest.dtype,
            size=manifest.model.scene_embedding_size,
            kind=manifest.kind,
        ),
        seed=seed,
        versions={
            "python": platform.python_version(),
            **{name: version(name) for name in ("numpy", "scipy", "scikit-learn")},
        },
        level=level,
        primary_score="kmeans_v_measure",
        scores={
            f"{method}_{score}": _summary(clustered, method, score, level)
            for method in _METHODS
            for score in _SCORES
        },
        splits=tuple(one.split for one in clustered),
        notes=(*_notes(clustered), *manifest.notes),
        resources=ClusteringResources(
            created=dt.datetime.now(dt.timezone.utc).isoformat(timespec="seconds"),
            embed_s=manifest.seconds,
            cluster_s=time.perf_counter() - begun,
            audio_s=manifest.audio_s,
            embed_peak_memory_mb=manifest.peak_memory_mb,
            embeddings_path=str(store.folder),
        ),
    )


@dataclass(frozen=True)
class _Clustered:
    """One test split: its labels, and the cluster of each clip by method."""

    split: ClusteringSplit
    labels: _Labels
    clusters: dict[str, _Labels]


def _cluster(store: EmbeddingStore, test: str, seed: int) -> _Clustered:
    from sklearn.cluster import AgglomerativeClustering, KMeans
    from sklearn.metrics import v_measure_score

    embeddings = finite_scene(store, test)
    labels = store.task.targets(test).argmax(axis=1).astype(np.int64)
    n_clips = len(labels)
    if n_clips > MOST_CLIPS:
        kept = np.sort(np.random.default_rng(seed).choice(n_clips, MOST_CLIPS, replace=False))
        embeddings, labels = embeddings[kept], labels[kept]
    k = len(np.unique(labels))
    # Clips that are all the same can't be divided; scikit-learn warns of it, and gives fewer.
    k_found = min(k, len(np.unique(embeddings, axis=0)))
    starts = [
        KMeans(k_found, n_init=1, random_state=seed + start).fit(embeddings)
        for start in range(N_STARTS)
    ]
    chosen = int(np.argmin([start.inertia_ for start in starts]))
    ward = AgglomerativeClustering(k_found, linkage="ward")
    clusters = {
        "kmeans": starts[chosen].labels_.astype(np.int64),
        "ward": (ward.fit_predict(embeddings) if len(labels) > 1 else labels).astype(np.int64),
    }
    split = ClusteringSplit(
        test=test,
        n_clips=n_clips,
        n_clustered=len(labels),
        n_clusters=k,
        starts=tuple(float(v_measure_score(labels, start.labels_)) for start in starts),
        chosen=chosen,
    )
    return _Clustered(split, labels, clusters)


def _summary(
    clustered: Sequence[_Clustered], method: str, score: str, level: float
) -> DistanceSummary:
    per_fold, errors, n_clips = {}, [], 0
    for one in clustered:
        labels, clusters = one.labels, one.clusters[method]
        per_fold[one.split.test] = _score(score, labels, clusters)
        if one.split.n_clusters > 1:
            errors.append(jackknife_error(score, labels, clusters))
            n_clips += len(labels)
    mean, std = mean_std(list(per_fold.values()))
    error = mean_error(errors) if errors else None
    return DistanceSummary(
        mean=mean,
        std=std,
        per_fold=per_fold,
        maximise=True,
        standard_error=error,
        interval=_interval(score, mean, error, n_clips - len(errors), level),
    )


def _interval(
    score: str, mean: float, error: float | None, freedom: int, level: float
) -> IntervalRecord | None:
    if score != "ari":
        return share_interval(mean, error, freedom, 0, level)
    if error is None or freedom < 1:
        return None
    # Not a share: chance is 0, and less is possible.
    reach = t_quantile((1 + level) / 2, freedom) * error
    return IntervalRecord(low=max(-0.5, mean - reach), high=min(1.0, mean + reach))


def _score(name: str, labels: _Labels, clusters: _Labels) -> float:
    """One score; NaN where there is one label alone, which any clusters fit."""
    from sklearn import metrics

    scorers: dict[str, Callable[[_Labels, _Labels], float]] = {
        "v_measure": metrics.v_measure_score,
        "ari": metrics.adjusted_rand_score,
        "nmi": metrics.normalized_mutual_info_score,
    }
    if len(np.unique(labels)) < 2:
        return math.nan
    return float(scorers[name](labels, clusters))


def jackknife_error(name: str, labels: _Labels, clusters: _Labels) -> float:
    """Standard error of a score over clips, by leaving out each clip in turn.

    The clusters stay as they are. Clips of one label in one cluster change the score alike, so
    each such group is left out once.

    Args:
        name: ``v_measure``, ``ari`` or ``nmi``.
        labels: (n_clips,) labels as numbers.
        clusters: (n_clips,) the cluster of each clip.
    """
    pairs, counts = np.unique(np.stack([labels, clusters]), axis=1, return_counts=True)
    sizes = [np.unique(row, return_counts=True) for row in (labels, clusters)]
    of_label = sizes[0][1][np.searchsorted(sizes[0][0], pairs[0])]
    of_cluster = sizes[1][1][np.searchsorted(sizes[1][0], pairs[1])]
    n = len(labels)
    weigh = _pairs if name == "ari" else _x_log_x
    score: Callable[[_Floats, _Floats, _Floats, int], _Floats] = (
        _ari_of_sums if name == "ari" else _v_measure_of_sums
    )
    # What the sums over groups, labels and clusters become without one clip of each group.
    sums = [
        weigh(total).sum() - weigh(own) + weigh(own - 1)
        for total, own in ((counts, counts), (sizes[0][1], of_label), (sizes[1][1], of_cluster))
    ]
    left_out = score(sums[0], sums[1], sums[2], n - 1)
    mean = float(np.average(left_out, weights=counts))
    return math.sqrt((n - 1) / n * float((counts * (left_out - mean) ** 2).sum()))


def _pairs(counts: npt.NDArray[np.integer]) -> _Floats:
    wide = counts.astype(np.float64)
    return wide * (wide - 1) / 2


def _x_log_x(counts: npt.NDArray[np.integer]) -> _Floats:
    wide = counts.astype(np.float64)
    return wide * np.log(np.maximum(wide, 1))


def _ari_of_sums(both: _Floats, labels: _Floats, clusters: _Floats, n: int) -> _Floats:
    """Adjusted Rand index from the numbers of pairs in one group, label and cluster."""
    expected = labels * clusters / (n * (n - 1) / 2)
    most = (labels + clusters) / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        found: _Floats = np.where(most == expected, 1.0, (both - expected) / (most - expected))
    return found


def _v_measure_of_sums(both: _Floats, labels: _Floats, clusters: _Floats, n: int) -> _Floats:
    """V-measure from the sums of x log x over the sizes of groups, labels and clusters."""
    of_labels, of_clusters, joint = (math.log(n) - each / n for each in (labels, clusters, both))
    total = of_labels + of_clusters
    with np.errstate(invalid="ignore", divide="ignore"):
        found: _Floats = np.where(total > 0, 2 * (total - joint) / total, 1.0)
    return found


def _notes(clustered: Sequence[_Clustered]) -> list[str]:
    notes = []
    sampled = [one.split for one in clustered if one.split.n_clustered < one.split.n_clips]
    if sampled:
        names = ", ".join(f"{split.test} ({split.n_clips})" for split in sampled)
        notes.append(f"A random sample of {MOST_CLIPS} clips was clustered of {names}.")
    single = [one.split.test for one in clustered if one.split.n_clusters < 2]
    if single:
        notes.append(f"All clips of {', '.join(single)} have one label: there are no scores.")
    return notes
