"""Several seeds trained side by side, against one after the other.

    python benchmarks/seeds.py [--seeds 5] [--features 128 1024] [--epochs 12]

Both train the grid points of the published protocol on the same embeddings with the same seeds.
The two take turns. Printed are the times, their ratio, and the largest difference between the
best validation scores of the two, which is rounding.
"""

from __future__ import annotations

import argparse
import statistics
import time

import numpy as np
import torch
from probe import N_LABELS, make_embeddings
from rich.console import Console
from rich.table import Table

from hearbench.metrics.classification import top1_accuracy
from hearbench.probe.data import BatchSpec
from hearbench.probe.objective import Objective
from hearbench.probe.outputs import MULTICLASS
from hearbench.probe.precision import resolve_precision
from hearbench.probe.protocol import HEAR2021, GridPoint, by_shape
from hearbench.probe.scenes import SceneData, array_data
from hearbench.probe.training_loop import Training


def best_scores(
    seeds: list[int], points: list[GridPoint], data: SceneData, dtype: torch.dtype
) -> list[float]:
    """The best validation of every seed and point, all of a shape trained together."""
    found: dict[tuple[int, GridPoint], float] = {}
    for group in by_shape(points):
        own = [points[i] for i in group]
        trained = Training(
            dict.fromkeys(seeds, own), data, Objective(top1_accuracy, True), fold=0, dtype=dtype
        ).run()
        for seed in seeds:
            for outcome, point in zip(trained[seed].outcomes, own, strict=True):
                found[seed, point] = outcome.validation_score
    return [found[seed, point] for seed in seeds for point in points]


def main() -> None:
    """Runs the comparison and prints its table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--features", type=int, nargs="+", default=[128, 1024])
    parser.add_argument("--clips", type=int, default=1500, help="training clips")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    points = [point.model_copy(update={"max_epochs": args.epochs}) for point in HEAR2021.networks]
    dtype = resolve_precision("auto", args.device)
    seeds = list(range(args.seeds))
    table = Table("features", "one by one s", "together s", "ratio", "largest difference")
    for n_features in args.features:
        rng = np.random.default_rng(n_features)
        centres = rng.standard_normal((N_LABELS, n_features)) * 5 / n_features**0.5
        x, y = make_embeddings(rng, args.clips, centres)
        valid = make_embeddings(rng, args.clips // 3, centres)
        spec = BatchSpec(HEAR2021.batch_size, args.device, dtype)
        data = array_data((x, y), valid, outputs=MULTICLASS, spec=spec)
        alone_s, together_s, difference = [], [], 0.0
        for _ in range(args.repeats):
            started = time.perf_counter()
            alone = [s for seed in seeds for s in best_scores([seed], points, data, dtype)]
            between = time.perf_counter()
            together = best_scores(seeds, points, data, dtype)
            ended = time.perf_counter()
            alone_s.append(between - started)
            together_s.append(ended - between)
            difference = max(
                difference, *(abs(a - b) for a, b in zip(alone, together, strict=True))
            )
        table.add_row(
            str(n_features),
            f"{statistics.median(alone_s):.1f}",
            f"{statistics.median(together_s):.1f}",
            f"{statistics.median(a / b for a, b in zip(alone_s, together_s, strict=True)):.2f}",
            f"{difference:.4f}",
        )
    console = Console(width=100)
    console.print(
        f"{args.seeds} seeds of {len(points)} grid points, {args.clips} training clips, "
        f"{args.epochs} epochs, {torch.get_num_threads()} threads, {dtype}, {args.device}"
    )
    console.print(table)


if __name__ == "__main__":
    main()
