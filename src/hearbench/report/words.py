"""Times, rates and sizes as a reader wants them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hearbench.results.record import StageRecord

__all__ = ["duration", "mebibytes", "moment", "percent", "rate"]

_MOMENT = "%Y-%m-%d %H:%M UTC"


def duration(seconds: float) -> str:
    """Seconds as ``0 s``, ``0.3 ms``, ``12 ms``, ``8.2 s``, ``3 min 05 s`` or ``2 h 10 min``."""
    if not seconds:
        return "0 s"
    if seconds < 0.00995:
        return f"{1000 * seconds:.1f} ms"
    if seconds < 0.0995:
        return f"{1000 * seconds:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes:02d} min"


def rate(stages: Sequence[StageRecord], *, short: bool = False) -> str:
    """The throughput of stages of one kind, one after the other; empty where one isn't known.

    Args:
        stages: Of the same unit.
        short: For a narrow column.
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
    if size_mb is None:
        return ""
    return f"{size_mb:.0f} MiB" if size_mb < 1000 else f"{size_mb / 1024:.1f} GiB"


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
    if value >= 100:
        return f"{value:,.0f}".replace(",", " ")
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"
