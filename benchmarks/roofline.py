"""Share of the machine's matrix-product rate that the probe's training steps reach.

    python benchmarks/roofline.py [--features 1024] [--labels 50] [--steps 4] [--repeats 8]

The grid of the published protocol, in its two shapes, is trained on full batches of 1024, all
points of a shape side by side as in a real run, dropout masks included. In turns with that, the
same matrix products are done by themselves: same shapes, precision and threads, the first
layer's as the one large product that all networks can share, the others batched. Both do the
same floating point operations, so the ratio of the times is the ratio of the rates.

The rates are of the medians, and the best times are compared as well. Other work on the machine
slows the products by themselves more than the training, and so flatters the share: the figure
that counts is that of an idle machine.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable, Sequence

import torch
from rich.console import Console
from rich.table import Table

from hearbench.probe.network import Dropout, ProbeStack, Step
from hearbench.probe.outputs import MULTICLASS
from hearbench.probe.precision import resolve_precision
from hearbench.probe.protocol import HEAR2021, GridPoint, by_shape
from hearbench.probe.reading import Reading


def products(
    n: int, layers: int, sizes: tuple[int, int, int, int], dtype: torch.dtype, device: str
) -> Callable[[], None]:
    """The products of one step of several networks, forwards and backwards."""
    batch, features, width, labels = sizes

    def drawn(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, device=device).to(dtype)

    x, first, back = drawn(batch, features), drawn(n * width, features), drawn(n * width, batch)
    hidden, activation = drawn(n, width, width), drawn(n, width, batch)
    out, out_back = drawn(n, labels, width), drawn(n, labels, batch)

    def run() -> None:
        torch.mm(first, x.T)
        torch.mm(back, x)
        for _ in range(layers - 1):
            torch.bmm(hidden, activation)
            torch.bmm(activation, activation.mT)
            torch.bmm(hidden.mT, activation)
        torch.bmm(out, activation)
        torch.bmm(out_back, activation.mT)
        torch.bmm(out.mT, out_back)

    return run


def operations(n: int, layers: int, sizes: tuple[int, int, int, int]) -> int:
    """Floating point operations of the same, a multiplication and an addition being two."""
    batch, features, width, labels = sizes
    per_network = 2 * features * width + 3 * (layers - 1) * width * width + 3 * width * labels
    return 2 * n * batch * per_network


def main() -> None:
    """Measures both and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--features", type=int, nargs="+", default=[1024])
    parser.add_argument("--labels", type=int, default=50)
    parser.add_argument("--steps", type=int, default=4, help="between two looks at the clock")
    parser.add_argument("--repeats", type=int, default=8)
    parser.add_argument("--precision", default="auto", choices=["auto", "float32", "bfloat16"])
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    dtype = resolve_precision(args.precision, args.device)
    console = Console(width=120)
    table = Table(
        "features", "networks", "step ms", "products ms", "GFLOP/s", "of", "share", "best"
    )
    for features in args.features:
        total_step = total_products = 0.0
        for group in by_shape(HEAR2021.networks):
            points = [HEAR2021.networks[i] for i in group]
            layers, width, _ = points[0].shape
            sizes = (HEAR2021.batch_size, features, width, args.labels)
            ours, theirs = _times(args, points, sizes, dtype)
            step, alone = statistics.median(ours), statistics.median(theirs)
            total_step, total_products = total_step + step, total_products + alone
            flop = operations(len(points), layers, sizes)
            table.add_row(
                str(features),
                f"{len(points)} of {layers} x {width}",
                f"{1e3 * step:.1f}",
                f"{1e3 * alone:.1f}",
                f"{flop / step / 1e9:.0f}",
                f"{flop / alone / 1e9:.0f}",
                f"{alone / step:.2f}",
                f"{min(theirs) / min(ours):.2f}",
            )
        table.add_row(
            str(features), "all", f"{1e3 * total_step:.1f}", f"{1e3 * total_products:.1f}",
            "", "", f"{total_products / total_step:.2f}", "",
        )  # fmt: skip
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    name = str(dtype).removeprefix("torch.")
    console.print(f"{name} on {args.device}, {torch.get_num_threads()} threads, load {load:.1f}")
    console.print(table)


def steps_of(
    points: Sequence[GridPoint],
    sizes: tuple[int, int, int, int],
    dtype: torch.dtype,
    device: torch.device,
) -> Callable[[int], None]:
    """Takes so many training steps of some networks of one shape, all on the same full batch.

    Args:
        sizes: Clips, numbers per embedding, width and labels.
        dtype: Precision of the products.
    """
    batch, features, width, labels = sizes
    layers, _, rate = points[0].shape
    stack = ProbeStack(
        points,
        list(range(len(points))),
        reading=Reading(torch.zeros(features, device=device)),
        n_labels=labels,
        outputs=MULTICLASS,
        dtype=dtype,
    )
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(batch, features, generator=generator).to(device, dtype)
    y = torch.randint(0, labels, (batch,), generator=generator).to(device)
    dropout = Dropout(rate, 1, dtype, device)

    def train(count: int) -> None:
        stack.train_steps(
            Step(x, y, [(0, len(stack), dropout.masks(i, layers, width, batch))])
            for i in range(count)
        )

    return train


def _times(
    args: argparse.Namespace,
    points: list[GridPoint],
    sizes: tuple[int, int, int, int],
    dtype: torch.dtype,
) -> tuple[list[float], list[float]]:
    """Seconds per step of the training and of its products alone, in turns."""
    device = torch.device(args.device)
    steps = steps_of(points, sizes, dtype, device)
    alone = products(len(points), points[0].hidden_layers, sizes, dtype, args.device)

    def train() -> None:
        steps(args.steps)

    def multiply() -> None:
        for _ in range(args.steps):
            alone()

    times: tuple[list[float], list[float]] = ([], [])
    for repeat in range(args.repeats + 1):
        for kept, run in zip(times, (train, multiply), strict=True):
            wait(device)
            started = time.perf_counter()
            run()
            wait(device)
            if repeat:  # the first turn warms up
                kept.append((time.perf_counter() - started) / args.steps)
    return times


def wait(device: torch.device) -> None:
    """Until a GPU has done what it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


if __name__ == "__main__":
    main()
