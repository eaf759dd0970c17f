"""Short forms of what probes are made of."""

from __future__ import annotations

from hearbench.probe.events import Postprocessing
from hearbench.probe.protocol import GridPoint

SMALL_GRID = tuple(
    GridPoint(hidden_layers=layers, hidden_dim=16, lr=lr, max_epochs=20, check_every=2, patience=4)
    for layers, lr in [(1, 1e-2), (2, 3e-3), (0, 1e-2), (1, 1e-4)]
)
"""Grid points of zero to two hidden layers, whose training takes a moment."""


def post(median_ms: float, shortest_ms: float) -> Postprocessing:
    """A median filter and a shortest event, in ms."""
    return Postprocessing(median_filter_ms=median_ms, min_duration_ms=shortest_ms)
