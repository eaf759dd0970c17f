"""What one perturbation costs beside the clean evaluation.

    python benchmarks/robustness.py --task PATH ... [--model SPEC ...] [--protocol hear2021]
        [--perturb noise=10 ...]

Every model is evaluated on every task from an empty cache, and then on its disturbed test clips,
one perturbation after the other. Printed are the processor times (others may use the machine), each
perturbation's as a share of the clean evaluation's, and beside it the share of clips that are
scored: the clean run embeds all clips, and trains. The rest is making the disturbed audio, and the
paired intervals.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

import hearbench
from hearbench.evaluation.job import Setup
from hearbench.workspace import Workspace

PERTURB = ("noise=10", "noise=babble:10", "reverb=0.6", "codec=opus:16")


def main() -> None:
    """Runs the comparison and prints its table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--task", nargs="+", required=True, help="prepared tasks, or their names")
    parser.add_argument("--model", nargs="+", default=["hearbench.models.naive"])
    parser.add_argument("--protocol", default="hear2021")
    parser.add_argument("--perturb", nargs="+", default=list(PERTURB))
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    table = Table("task", "model", "run", "processor s", "of the clean run", "scored clips")
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(cache_dir=Path(folder) / "cache", device="cpu", workers=args.threads)
        for spec in args.model:
            model = hearbench.load_model(spec, workspace=workspace)
            # What a first call sets up isn't the clean run's.
            model.check("scene")
            for place in args.task:
                task = hearbench.load_task(place, workspace=workspace)
                tests = {fold.test for fold in task.folds()}
                share = sum(len(task.splits[split]) for split in tests) / task.n_clips
                probe = hearbench.ProbeSetup.of(args.protocol, workspace=workspace)
                clean = 0.0
                for name in (None, *args.perturb):
                    setups: list[Setup] = [probe]
                    if name is not None:
                        setups.append(hearbench.Perturbed.of(probe, [name]))
                    started = time.process_time()
                    hearbench.evaluate(
                        model, place, protocol=setups, out=Path(folder) / "out", workspace=workspace
                    )
                    spent = time.process_time() - started
                    clean = clean or spent
                    ratio = f"{spent / clean:.3f}"
                    run = name or "clean"
                    table.add_row(task.name, spec, run, f"{spent:.2f}", ratio, f"{share:.2f}")
    Console(width=130).print(table)


if __name__ == "__main__":
    main()
