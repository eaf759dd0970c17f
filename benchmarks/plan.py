"""What `hearbench plan` expects beside what `hearbench evaluate` takes, on the demo's tasks.

Both run one after the other, on one thread, and tell processor time instead of the clock's, so
that whatever else the machine does counts for neither. Of the evaluation counts what its result
notes; it is kept in a folder, so that several versions can be compared with it.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

_MODEL = "hearbench.models.naive"
_BOUNDS = ("low", "expected", "high")
# By stage of an evaluation, that of a plan.
_STAGES = {"embedding": "embed", "probe": "probe"}
_START = (
    "import runpy, time; time.perf_counter = time.process_time; "
    "runpy.run_module('hearbench.cli', run_name='__main__')"
)


def hearbench(*arguments: str | Path) -> Any:
    """The JSON that a command answers."""
    one = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    command = [sys.executable, "-c", _START, *map(str, arguments), "--json"]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, env={**os.environ, **one})
    return json.loads(done.stdout)


def main() -> None:
    """Prints a line per task and stage."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--protocol", default="hear2021")
    parser.add_argument("--grid-points", default="2")
    parser.add_argument("--out", type=Path, default=Path("build/plan"), help="tasks and results")
    chosen = parser.parse_args()
    out = chosen.out / f"{chosen.protocol}-{chosen.grid_points}"
    logs: dict[str, list[float]] = {stage: [] for stage in _STAGES}
    for task in hearbench("demo", "--tasks-only", "--out", chosen.out / "demo")["tasks"]:
        given = [_MODEL, "--task", task, "--workers", "1"]
        given += ["--protocol", chosen.protocol, "--grid-points", chosen.grid_points]
        with tempfile.TemporaryDirectory() as cache:
            (planned,) = hearbench("plan", *given, "--cache", cache)["tasks"]
        (found,) = hearbench("evaluate", *given, "--out", out, "--cache", out / "cache")["results"]
        result = json.loads(Path(found["path"]).read_text())
        for stage, name in _STAGES.items():
            (estimate,) = [one for one in planned["stages"] if one["stage"] == name]
            low, expected, high = (estimate["seconds"][bound] for bound in _BOUNDS)
            noted = result["resources"]["stages"]
            taken = sum(one["seconds"] for one in noted if one["stage"] == stage)
            logs[stage].append(abs(math.log(expected / taken)))
            sys.stdout.write(
                f"{planned['task']:<20} {stage:<10} {low:7.2f} {expected:7.2f} {high:7.2f} s "
                f"planned {taken:7.2f} s taken {expected / taken:6.2f}"
                f"{'' if low <= taken <= high else ' out of range'}\n"
            )
        epochs = [point["epochs"] for point in result["grid"]]
        sys.stdout.write(f"{'':<20} epochs of the grid: {epochs}\n")
        sys.stdout.flush()
    for stage, each in logs.items():
        sys.stdout.write(f"{stage}: off by a factor of {math.exp(sum(each) / len(each)):.2f}\n")


if __name__ == "__main__":
    main()
