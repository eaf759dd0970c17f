"""Uncertainty of scores: resampled test clips, intervals, paired tests, ranks.

Pure numerics on arrays. See ``docs/statistics.md`` for what the numbers mean.
"""

from __future__ import annotations

__all__: list[str] = []
