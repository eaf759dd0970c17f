"""Distance tasks: what the distances between scene embeddings say, with nothing learned.

`distance_scores` makes a `DistanceResult` of a store of embeddings, and `write_distances` puts it
into OUT/MODEL/TASK/distance.json, where it may lie beside the result of a probe.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from hearbench.distance.record import (
    DISTANCE_FILE,
    DistanceResources,
    DistanceResult,
    DistanceSplit,
    DistanceSummary,
    IntervalRecord,
)

if TYPE_CHECKING:
    from hearbench.distance.scoring import check_distances, distance_scores, write_distances

__all__ = [
    "DISTANCE_FILE",
    "DistanceResources",
    "DistanceResult",
    "DistanceSplit",
    "DistanceSummary",
    "IntervalRecord",
    "check_distances",
    "distance_scores",
    "write_distances",
]

# Imported when first used: whoever only reads a result needs nothing heavy.
_OF_SCORING = ("check_distances", "distance_scores", "write_distances")


def __getattr__(name: str) -> Any:
    if name in _OF_SCORING:
        return getattr(importlib.import_module(f"{__name__}.scoring"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return list(__all__)
