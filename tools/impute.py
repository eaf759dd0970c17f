"""Writes the official leaderboard's scores with missing ones imputed, which come with the package.

``--check`` writes nothing, and ends with exit code 1 if the file isn't what would be written.
"""

from __future__ import annotations

import sys

import numpy as np

from hearbench.leaderboard.official import official_table
from hearbench.leaderboard.paper import OFFICIAL_IMPUTED, impute

__all__ = ["main"]


def main() -> int:
    """Writes or checks the file; the exit code."""
    raw = np.array(
        [[np.nan if score is None else score for score in row.scores] for row in official_table()],
        dtype=np.float64,
    )
    made = impute(raw)
    if "--check" not in sys.argv[1:]:
        np.savez(OFFICIAL_IMPUTED, raw=raw, imputed=made)
        return 0
    with np.load(OFFICIAL_IMPUTED) as known:
        same = np.array_equal(known["raw"], raw, equal_nan=True)
        return 0 if same and np.allclose(known["imputed"], made, rtol=0, atol=1e-9) else 1


if __name__ == "__main__":
    sys.exit(main())
