"""Sizes, times and scores as a reader wants them: with units that fit, and never an exponent."""

from __future__ import annotations

import math
from decimal import Decimal

__all__ = ["data_size", "duration", "memory_size", "number", "significant"]

_BINARY = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_DECIMAL = ("bytes", "kB", "MB", "GB", "TB", "PB")
# From here on a size has too many digits for its unit.
_MOST = 1000


def significant(value: float, digits: int = 3) -> str:
    """A number with so many significant digits, as ``0.052``, ``1.02`` or ``1020``.

    Zeros behind the point are left away, and there is never an exponent.
    """
    if not math.isfinite(value):
        return str(value)
    return _plain(Decimal(f"{value:.{digits}g}"))


def number(value: float) -> str:
    """Formats a score with three decimals; NaN as ``undefined``."""
    if math.isnan(value):
        return "undefined"
    if math.isinf(value):
        return "infinite" if value > 0 else "-infinite"
    # Nothing that rounds to zero has a sign.
    return f"{round(value, 3) + 0.0:.3f}"


def memory_size(n_bytes: float) -> str:
    """Bytes of memory, in binary units: ``512 B``, ``374 MiB``, ``12.3 GiB``."""
    return _size(n_bytes, 1024, _BINARY)


def data_size(n_bytes: float) -> str:
    """Bytes of files, in decimal units: ``512 bytes``, ``374 MB``, ``12.3 GB``."""
    return _size(n_bytes, 1000, _DECIMAL)


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
    if not math.isfinite(seconds):
        return f"{seconds} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes:02d} min"


def _size(n_bytes: float, step: int, units: tuple[str, ...]) -> str:
    if n_bytes < _MOST:
        return f"{n_bytes:.0f} {units[0]}"
    value, last = n_bytes / step, len(units) - 1
    at = 1
    # What would be rounded to 1000 is of the next unit, too.
    while at < last and float(f"{value:.3g}") >= _MOST:
        value, at = value / step, at + 1
    return f"{significant(value)} {units[at]}"


def _plain(number: Decimal) -> str:
    text = format(number, "f")
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text in ("-0", "") else text
