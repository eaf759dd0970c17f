"""Rates, shares and moments as a reader wants them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from hearbench.amounts import memory_size, significant

if TYPE_CHECKING:
    from hearbench.results.record import StageRecord

__all__ = ["mebibytes", "moment", "percent", "rate"]

_MOMENT = "%Y-%m-%d %H:%M UTC"


def rate(stages: Sequence[StageRecord], *, short: bool = False) -> str:
    """The throughput of stages of one kind, one after the other; empty where one isn't known.

    Args:
        stages: Stages whose counts have the same unit.
        short: Whether the text fits a narrow column.
    """
    seconds = sum(stage.seconds for stage in stages)
    amounts = [s.throughput * s.seconds for s in stages if s.throughput is not None]
    if not seconds or len(amounts) < len(stages):
        return ""
    value, unit = _three_digits(sum(amounts) / seconds), stages[0].unit
    if unit == "seconds of audio":
        # Seconds per second: a factor.
        return f"{value} x" if short else f"{value} x real time"
    return f"{value} {unit.split()[-1] if short else unit}/s"


def mebibytes(size_mb: float | None) -> str:
    """MiB as ``374 MiB`` or ``12.3 GiB``; empty where it isn't known."""
    return "" if size_mb is None else memory_size(size_mb * (1 << 20))


def percent(share: float) -> str:
    """A share as ``12 %``; never 0 % of something, nor 100 % of less than all."""
    if 0 < share < 0.01:
        return "under 1 %"
    if 0.99 < share < 1:
        return "over 99 %"
    return f"{100 * share:.0f} %"


def moment(text: str) -> str:
    """A time in ISO 8601 as ``2026-11-22 12:13 UTC``; what isn't one as it is."""
    try:
        found = datetime.fromisoformat(text)
        # Without a zone it could be of any.
        return text if found.tzinfo is None else f"{found.astimezone(timezone.utc):{_MOMENT}}"
    except (ValueError, OverflowError):
        return text


def _three_digits(value: float) -> str:
    if value >= 99.95:
        return f"{value:,.0f}".replace(",", " ")
    if value >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if value >= 0.1 else significant(value)
