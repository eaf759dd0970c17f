"""Whether scores depend on the precision of the probe's matrix products.

    python benchmarks/precision.py --task PATH ... --model MODEL ... [--protocol fast]
                                   [--grid-points N] [--seeds 5] [--device cpu] [--threads N]

Every model is evaluated on every task in float32 and in bfloat16, with the same seeds: the same
initial weights and dropout masks. Printed are the mean score in each precision, the standard
deviation over seeds, and the mean difference of the same seed with its 95 % interval (Student's
t). The precision doesn't matter where that interval holds 0 or lies within what seeds do.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from scipy import stats

from hearbench import embed, load_model, load_task, score
from hearbench.embeddings.store import EmbeddingStore
from hearbench.probe.fit import fit_probes
from hearbench.probe.protocol import Protocol, get_protocol
from hearbench.workspace import Workspace

PRECISIONS = ("float32", "bfloat16")


def scores_of(
    store: EmbeddingStore,
    protocol: Protocol,
    precision: str,
    seeds: Sequence[int],
    workspace: Workspace,
) -> np.ndarray:
    """The mean of the primary score over folds, one per seed; trained anew."""
    with tempfile.TemporaryDirectory() as folder:
        own = Workspace(cache_dir=Path(folder), device=workspace.device, workers=workspace.workers)
        trained = fit_probes(store, protocol, seeds=seeds, precision=precision, workspace=own)
        return np.array([score(predictions).primary.mean for predictions in trained])


def interval_of(differences: np.ndarray) -> tuple[float, float]:
    """The 95 % interval of a mean, by Student's t."""
    error = float(stats.sem(differences))
    reach = float(stats.t.ppf(0.975, len(differences) - 1)) * error
    return float(differences.mean()) - reach, float(differences.mean()) + reach


def main() -> None:
    """Trains in both precisions and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--task", nargs="+", required=True, help="prepared tasks, or their names")
    parser.add_argument("--model", nargs="+", required=True, help="SPEC, or SPEC,option=value")
    parser.add_argument("--protocol", default="fast")
    parser.add_argument("--grid-points", type=int, default=None, help="the first so many only")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--cache", type=Path, default=None, help="of embeddings")
    parser.add_argument("--device", default=None)
    parser.add_argument("--threads", type=int, default=None)
    args = parser.parse_args()
    if args.seeds < 2:
        parser.error("--seeds: two at least, as their spread is what differences are held against")
    if args.threads:
        torch.set_num_threads(args.threads)
    workspace = Workspace.from_environment(cache_dir=args.cache, device=args.device)
    protocol = get_protocol(args.protocol)
    if args.grid_points:
        protocol = protocol.model_copy(update={"grid": protocol.grid[: args.grid_points]})
    seeds = list(range(42, 42 + args.seeds))
    console = Console(width=130)
    table = Table(
        "task",
        "model",
        *(f"{name} (sd over seeds)" for name in PRECISIONS),
        "difference",
        "95 % interval",
        title=f"{protocol.name}, {len(protocol.grid)} grid points, {args.seeds} seeds",
    )
    for model_spec in args.model:
        spec, *pairs = model_spec.split(",")
        options = dict(pair.split("=", 1) for pair in pairs)
        model = load_model(spec, workspace=workspace, **options)
        for place in args.task:
            task = load_task(place, workspace=workspace)
            store = embed(model, task, workspace=workspace)
            found = []
            for precision in PRECISIONS:
                started = time.perf_counter()
                found.append(scores_of(store, protocol, precision, seeds, workspace))
                values = ", ".join(f"{value:.4f}" for value in found[-1])
                console.print(
                    f"{task.name}, {model.name}, {precision}: {values} "
                    f"in {time.perf_counter() - started:.0f} s",
                    highlight=False,
                )
            differences = found[1] - found[0]
            low, high = interval_of(differences)
            table.add_row(
                task.name,
                model.name,
                *(f"{values.mean():.4f} ({values.std(ddof=1):.4f})" for values in found),
                f"{differences.mean():+.4f}",
                f"{low:+.4f} to {high:+.4f}",
            )
    console.print(table)


if __name__ == "__main__":
    main()
