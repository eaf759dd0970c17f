"""Processor time of starting: the command's help and version, the package, the help of each verb.

Each is run several times in a process of its own, and the least is shown: what else the machine
does makes a start slower, never faster.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys

from hearbench.cli.app import VERBS

_COMMAND = [sys.executable, "-m", "hearbench.cli"]
# What is started, and the seconds that it may take.
_STARTS: dict[str, tuple[list[str], float | None]] = {
    "python -c pass": ([sys.executable, "-c", "pass"], None),
    "import hearbench": ([sys.executable, "-c", "import hearbench"], 0.1),
    "hearbench --version": ([*_COMMAND, "--version"], 0.2),
    "hearbench --help": ([*_COMMAND, "--help"], 0.2),
    **{
        f"hearbench {words} --help": ([*_COMMAND, *words.split(), "--help"], 0.2) for words in VERBS
    },
}


def processor_s(command: list[str]) -> float:
    """Seconds of processor time, in user and system mode, that a command takes."""
    before = os.times()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    after = os.times()
    return (
        after.children_user + after.children_system - before.children_user - before.children_system
    )


def main() -> None:
    """Prints a line per start."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--times", type=int, default=5, help="Runs of each; the least counts.")
    times = parser.parse_args().times
    for name, (command, budget) in _STARTS.items():
        taken = min(processor_s(command) for _ in range(times))
        of = "" if budget is None else f" of {budget:.1f} s"
        sys.stdout.write(f"{name:<40} {taken:5.2f} s{of}\n")


if __name__ == "__main__":
    main()
