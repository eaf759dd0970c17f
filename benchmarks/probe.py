"""The probe's grid, trained side by side, against a plain loop over its points.

    python benchmarks/probe.py [--features 128 1024 4096] [--epochs 12] [--repeats 2]

Both train the eight grid points of the published protocol on the same embeddings, for the same
number of epochs, with the same validations; the plain loop (`plain_loop.py`) takes one point at
a time, with a DataLoader and an Adam step per batch. The two take turns, so that a machine
whose speed drifts slows both. Printed are the median times, their ratio, and the mean best
validation score of the grid points, which must agree within their noise.

The embeddings are made here: Gaussian classes, at an offset and with unequal scales, since the
protocol doesn't normalise what it is given.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from plain_loop import plain_train
from rich.console import Console
from rich.table import Table

from hearbench.metrics.classification import top1_accuracy
from hearbench.probe.data import BatchSpec
from hearbench.probe.objective import Objective
from hearbench.probe.outputs import MULTICLASS
from hearbench.probe.precision import resolve_precision
from hearbench.probe.protocol import HEAR2021, GridPoint, by_shape
from hearbench.probe.scenes import array_data
from hearbench.probe.training_loop import Training

N_LABELS = 20


def make_embeddings(
    rng: np.random.Generator, n: int, centres: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]]:
    """Embeddings (n, n_features) and one-hot labels (n, n_labels)."""
    labels = rng.integers(0, len(centres), n)
    scale = np.linspace(0.1, 2.0, centres.shape[1])
    x = (centres[labels] + rng.standard_normal((n, centres.shape[1]))) * scale + 1.0
    return x.astype(np.float32), np.eye(len(centres), dtype=np.uint8)[labels]


def stacked(
    points: Sequence[GridPoint],
    train_set: tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]],
    valid_set: tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]],
    *,
    seed: int,
    precision: str,
    device: str,
) -> list[float]:
    """The package's probe; best validation per point."""
    dtype = resolve_precision(precision, device)
    spec = BatchSpec(HEAR2021.batch_size, device, dtype)
    data = array_data(train_set, valid_set, outputs=MULTICLASS, spec=spec)
    scores = [0.0] * len(points)
    for group in by_shape(points):
        trained = Training(
            {seed: [points[i] for i in group]},
            data,
            Objective(top1_accuracy, maximise=True),
            fold=0,
            dtype=dtype,
        ).run()[seed]
        for i, outcome in zip(group, trained.outcomes, strict=True):
            scores[i] = outcome.validation_score
    return scores


def plain(
    points: Sequence[GridPoint],
    train_set: tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]],
    valid_set: tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]],
    *,
    seed: int,
    device: str = "cpu",
) -> list[float]:
    """One point after the other; best validation per point."""
    tensors = torch.from_numpy(train_set[0]), torch.from_numpy(train_set[1].argmax(axis=1))
    return [
        plain_train(
            tensors,
            (torch.from_numpy(valid_set[0]), valid_set[1]),
            top1_accuracy,
            batch_size=HEAR2021.batch_size,
            seed=seed,
            device=device,
            **point.model_dump(),
        ).validation_score
        for point in points
    ]


def main() -> None:
    """Runs the comparison and prints its table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--features", type=int, nargs="+", default=[128, 1024, 4096])
    parser.add_argument("--clips", type=int, default=1500, help="training clips")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--repeats", type=int, default=2, help="each with another seed")
    parser.add_argument("--precision", default="auto", choices=["auto", "float32", "bfloat16"])
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    points = [point.model_copy(update={"max_epochs": args.epochs}) for point in HEAR2021.networks]
    precision = str(resolve_precision(args.precision, args.device)).removeprefix("torch.")
    console = Console(width=110)
    console.print(
        f"{len(points)} grid points, {args.clips} training clips, {args.epochs} epochs, "
        f"{torch.get_num_threads()} threads, side by side in {precision} on {args.device}"
    )
    table = Table("features", "plain s", "side by side s", "ratio", "plain score", "side by side")
    for n_features in args.features:
        rng = np.random.default_rng(n_features)
        centres = rng.standard_normal((N_LABELS, n_features)) * 5 / n_features**0.5
        train_set = make_embeddings(rng, args.clips, centres)
        valid_set = make_embeddings(rng, args.clips // 3, centres)
        times: dict[str, list[float]] = {"plain": [], "stacked": []}
        scores: dict[str, list[float]] = {"plain": [], "stacked": []}
        for repeat in range(args.repeats):
            started = time.perf_counter()
            found = stacked(
                points,
                train_set,
                valid_set,
                seed=repeat,
                precision=args.precision,
                device=args.device,
            )
            between = time.perf_counter()
            expected = plain(points, train_set, valid_set, seed=repeat, device=args.device)
            ended = time.perf_counter()
            times["stacked"].append(between - started)
            times["plain"].append(ended - between)
            scores["stacked"].append(statistics.fmean(found))
            scores["plain"].append(statistics.fmean(expected))
        ratio = statistics.median(
            a / b for a, b in zip(times["plain"], times["stacked"], strict=True)
        )
        table.add_row(
            str(n_features),
            f"{statistics.median(times['plain']):.1f}",
            f"{statistics.median(times['stacked']):.1f}",
            f"{ratio:.2f}",
            _spread(scores["plain"]),
            _spread(scores["stacked"]),
        )
    console.print(table)


def _spread(values: list[float]) -> str:
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{statistics.fmean(values):.4f} ± {deviation:.4f}"


if __name__ == "__main__":
    main()
