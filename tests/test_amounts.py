from __future__ import annotations

import math
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hearbench.amounts import data_size, duration, memory_size, significant

MIB = 1 << 20
_STEPS = {"B": 1, "KiB": 1 << 10, "MiB": MIB, "GiB": 1 << 30, "TiB": 1 << 40, "PiB": 1 << 50}
_THOUSANDS = {"bytes": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12, "PB": 1e15}


@pytest.mark.parametrize(
    ("n_bytes", "memory", "data"),
    [
        (0, "0 B", "0 bytes"),
        (999, "999 B", "999 bytes"),
        (1000, "0.977 KiB", "1 kB"),
        (374.2 * MIB, "374 MiB", "392 MB"),
        (999.4 * MIB, "999 MiB", "1.05 GB"),
        (1020 * MIB, "0.996 GiB", "1.07 GB"),
        (1023.99 * MIB, "1 GiB", "1.07 GB"),
        (12595.2 * MIB, "12.3 GiB", "13.2 GB"),
        (999_600_000, "953 MiB", "1 GB"),
        (5e18, "4440 PiB", "5000 PB"),
    ],
)
def test_sizes(n_bytes: float, memory: str, data: str) -> None:
    assert (memory_size(n_bytes), data_size(n_bytes)) == (memory, data)


@settings(deadline=None)
@given(st.integers(0, 1 << 59))
def test_sizes_are_right_to_three_digits_and_in_the_unit_that_fits(n_bytes: int) -> None:
    for text, steps in ((memory_size(n_bytes), _STEPS), (data_size(n_bytes), _THOUSANDS)):
        found = re.fullmatch(r"(\d+(?:\.\d+)?) (\w+)", text)
        assert found
        assert math.isclose(float(found[1]) * steps[found[2]], n_bytes, rel_tol=0.00501)
        assert float(found[1]) < 1000


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.0521, "0.0521"), (1020, "1020"), (1234567, "1230000"), (1e-7, "0.0000001")],
)
def test_numbers_have_no_exponent(value: float, text: str) -> None:
    assert significant(value) == text


def test_what_has_no_digits() -> None:
    assert [significant(value) for value in (math.inf, -math.inf, -0.0)] == ["inf", "-inf", "0"]
    assert duration(math.inf) == "inf s"
    assert duration(1e7) == "2777 h 47 min"
