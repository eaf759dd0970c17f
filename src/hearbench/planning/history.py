"""How many epochs earlier trainings on a task took, of whatever model."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from pathlib import Path

from hearbench.probe.checkpoint import Checkpoint
from hearbench.probe.protocol import GridPoint
from hearbench.workspace import Workspace

__all__ = ["epochs_before"]

_MOST_FILES = 32


def epochs_before(task: str, points: Iterable[GridPoint], workspace: Workspace) -> float | None:
    """The mean epochs of the finished trainings in the cache; None if there are none.

    Args:
        task: Name of the task's folder.
        points: Trainings count that lie within their bounds: from the first chance to stop to
            the last epoch.
        workspace: Where the cache is.
    """
    points = list(points)
    if not points:
        return None
    least = min(min(p.max_epochs, p.check_every * (p.patience + 1)) for p in points)
    most = max(p.max_epochs for p in points)
    folder = workspace.path("probes", task)
    files = sorted(folder.glob("*/*/*.finished.npz"))[:_MOST_FILES] if folder.is_dir() else []
    found = [epochs for path in files for epochs in _epochs(path) if least <= epochs <= most]
    return statistics.fmean(found) if found else None


def _epochs(path: Path) -> list[int]:
    loaded = Checkpoint(path).load()
    if loaded is None:
        return []
    outcomes = loaded[0].get("outcomes")
    if not isinstance(outcomes, list):
        return []
    # Points that were given up as hopeless at once say nothing.
    ends = ("patience", "max_epochs", "raced")
    return [outcome["epochs"] for outcome in outcomes if outcome.get("ended") in ends]
