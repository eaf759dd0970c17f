"""Where the probe's random numbers come from: named streams, no global state.

Every number is drawn from a stream that is named by what it is for (the run's seed, the fold,
the grid point or the step), never from a generator that others advance. So a grid point draws
the same numbers whichever others run beside it, and a run that is resumed in the middle needs
no generator's state.
"""

from __future__ import annotations

from hearbench.digest import digest_json

__all__ = ["stream_seed"]


def stream_seed(*name: str | int | float) -> int:
    """A seed below 2**63 for the stream of that name."""
    return int(digest_json(list(name))[:16], 16) >> 1
