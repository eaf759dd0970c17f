"""Short forms of what probes are made of."""

from __future__ import annotations

from hearbench.probe.events import Postprocessing


def post(median_ms: float, shortest_ms: float) -> Postprocessing:
    """A median filter and a shortest event, in ms."""
    return Postprocessing(median_filter_ms=median_ms, min_duration_ms=shortest_ms)
