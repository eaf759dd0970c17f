"""Wall time in which a result that exists is told, beside the import of torch and the full look.

    python benchmarks/kept_result.py [--times 5]

A model is evaluated on synthesised tasks, and the same command is run again: as it is, and with
what was remembered of model and device removed, so that the model is loaded and called. The runs
take turns, each in a process of its own, and the least is shown: what else the machine does makes
a start slower, never faster.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from hearbench.demo.tasks import make_demo_tasks, write_starter_model
from hearbench.workspace import Workspace

NAIVE = "hearbench.models.naive"
STARTER = "my_model.py"


def wall_s(command: list[str], folder: Path) -> float:
    """Seconds until a command has ended."""
    variables = {**os.environ, "HEARBENCH_CACHE": str(folder / "cache")}
    begin = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, cwd=folder, env=variables)
    return time.perf_counter() - begin


def forget(folder: Path) -> None:
    """Removes what was remembered of models and devices, and nothing else."""
    for path in (folder / "cache/digests").glob("memo-*.json"):
        path.unlink()


def main() -> None:
    """Prints a line per case, with ratios to the import of torch."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--times", type=int, default=5, help="Runs of each; the least counts.")
    parser.add_argument("--hf", type=Path, help="Folder of a checkpoint to evaluate as well.")
    args = parser.parse_args()
    importing = [sys.executable, "-c", "import torch"]
    table = Table(
        "model", "tasks", "kept", "full look", "import torch", "kept / torch", "full / kept"
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tasks = make_demo_tasks(folder, workspace=Workspace(cache_dir=folder / "cache"))
        write_starter_model(folder / STARTER)
        # Neighbours take scene tasks alone, and are trained at once.
        scenes = [str(task) for task in tasks if "yard" not in task.name]
        models = [NAIVE, STARTER, *([] if args.hf is None else [f"hf:{args.hf.resolve()}"])]
        for model, chosen in [(model, scenes[:1]) for model in models] + [(NAIVE, scenes)]:
            command = [
                sys.executable,
                "-m",
                "hearbench.cli",
                "evaluate",
                model,
                "--protocol",
                "knn",
            ]
            command += [*(part for task in chosen for part in ("--task", task)), "--out", "results"]
            wall_s(command, folder)
            kept, full, torch = [], [], []
            for _ in range(args.times):
                torch.append(wall_s(importing, folder))
                forget(folder)
                full.append(wall_s(command, folder))
                kept.append(wall_s(command, folder))
            best = [min(seconds) for seconds in (kept, full, torch)]
            table.add_row(
                model.rpartition("/")[2],
                str(len(chosen)),
                *(f"{seconds:.2f} s" for seconds in best),
                f"{best[0] / best[2]:.2f}",
                f"{best[1] / best[0]:.1f}",
            )
    Console().print(table)


if __name__ == "__main__":
    main()
