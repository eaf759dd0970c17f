"""Distances of many clips: time, peak memory, and the ratio to scipy and scikit-learn.

python benchmarks/distance.py                  # 5000 clips against the plain way
python benchmarks/distance.py --clips 100000   # all pairs of 100 000 clips of 16 numbers
python benchmarks/distance.py --clips 100000 --size 1024 --queries 200   # a part, extrapolated
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import numpy.typing as npt
import torch
from scipy.spatial.distance import cdist
from sklearn.metrics import average_precision_score, roc_auc_score

from hearbench.metrics.distance import measure_distances, retrieval_scores
from hearbench.metrics.distance_blocks import Sameness, key_blocks
from hearbench.metrics.distance_errors import standard_errors
from hearbench.metrics.same_different import PairCounts
from hearbench.worker.memory import peak_resident_mb

Embeddings = npt.NDArray[np.float32]


def make(n_clips: int, size: int, n_labels: int) -> tuple[Embeddings, npt.NDArray[np.uint8]]:
    """Clusters around a centre per label."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, n_labels, n_clips)
    centres = rng.standard_normal((n_labels, size), dtype=np.float32)
    x = centres[labels] + 2 * rng.standard_normal((n_clips, size), dtype=np.float32)
    return x, np.eye(n_labels, dtype=np.uint8)[labels]


def plain(x: Embeddings, targets: npt.NDArray[np.uint8]) -> tuple[float, float]:
    """The mAP and the AUC with all distances in memory and a loop over queries."""
    labels = targets.argmax(axis=1)
    distances, same = cdist(x, x, "cityblock"), labels[:, None] == labels
    precisions = [
        average_precision_score(np.delete(same[i], i), -np.delete(distances[i], i))
        for i in range(len(x))
    ]
    upper = np.triu_indices(len(x), 1)
    return float(np.mean(precisions)), float(roc_auc_score(same[upper], -distances[upper]))


def against_plain(size: int) -> None:
    """5000 clips, both ways."""
    x, targets = make(5000, size, 50)
    begun = time.perf_counter()
    found = measure_distances(x, Sameness.of(targets, multilabel=False))
    own_s = time.perf_counter() - begun
    begun = time.perf_counter()
    precision, auc = plain(x, targets)
    plain_s = time.perf_counter() - begun
    own = float(found.retrieval.average_precision.mean())
    print(
        f"5000 clips x {size}: {own_s:.1f} s, plainly {plain_s:.1f} s, ratio {plain_s / own_s:.1f}"
    )
    print(f"  mAP {own:.6f} and {precision:.6f}; AUC {found.pairs.auc:.6f} and {auc:.6f}")


def whole(n_clips: int, size: int) -> None:
    """All pairs, and then the standard errors."""
    x, targets = make(n_clips, size, 50)
    sameness = Sameness.of(targets, multilabel=False)
    before = peak_resident_mb() or 0.0
    begun, worked = time.perf_counter(), time.process_time()
    found = measure_distances(x, sameness)
    measured_s, work_s = time.perf_counter() - begun, time.process_time() - worked
    standard_errors(x, sameness, found)
    errors_s = time.perf_counter() - begun - measured_s
    print(
        f"{n_clips} clips x {size}: {measured_s:.0f} s ({work_s:.0f} s of the processor), "
        f"intervals {errors_s:.0f} s; "
        f"peak memory {peak_resident_mb() or 0.0:.0f} MiB, {before:.0f} before; "
        f"mAP {found.retrieval.average_precision.mean():.4f}, AUC {found.pairs.auc:.6f}, "
        f"EER {found.pairs.eer:.6f}"
    )


def part(n_clips: int, size: int, n_queries: int) -> None:
    """Some queries, scaled to all."""
    x, targets = make(n_clips, size, 50)
    counts = PairCounts(n_clips * (n_clips - 1) // 2, 1 << 30)
    rows = np.arange(0, n_clips, max(1, n_clips // n_queries))[:n_queries]
    begun, worked = time.perf_counter(), time.process_time()
    for block, keys in key_blocks(x, Sameness.of(targets, multilabel=False), rows):
        for query, row in zip(block, keys, strict=True):
            counts.add(row[query + 1 :])
        keys.sort(axis=1)
        retrieval_scores(keys[:, :-1], (1, 5, 10))
    seconds, work_s = time.perf_counter() - begun, time.process_time() - worked
    scale = n_clips / n_queries / 60
    print(
        f"{n_clips} clips x {size}: {n_queries} queries in {seconds:.1f} s ({work_s:.1f} s of the "
        f"processor), so all in {seconds * scale:.0f} min ({work_s * scale:.0f} min); "
        f"peak memory {peak_resident_mb() or 0.0:.0f} MiB"
    )


def main() -> None:
    """Runs what the options say."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int)
    parser.add_argument("--size", type=int, default=16)
    parser.add_argument("--queries", type=int)
    options = parser.parse_args()
    print(f"{torch.get_num_threads()} threads")
    if options.clips is None:
        against_plain(options.size)
    elif options.queries is None:
        whole(options.clips, options.size)
    else:
        part(options.clips, options.size, options.queries)


if __name__ == "__main__":
    main()
