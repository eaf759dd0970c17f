from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hearbench.audio.shape import pad_or_trim, samples_of


@pytest.mark.parametrize(
    ("duration_s", "rate", "n"),
    # by hand: 0.56 * 16000 = 8960; 4.77 * 44100 = 210357; 0.81 * 44100 = 35721; a half goes up
    [
        (0.56, 16000, 8960),
        (4.77, 44100, 210357),
        (0.81, 44100, 35721),
        (0.00125, 400, 1),
        (0, 9, 0),
    ],
)
def test_samples_of(duration_s: float, rate: int, n: int) -> None:
    assert samples_of(duration_s, rate) == n


@given(
    hnp.arrays(np.int16, st.integers(0, 50)),
    st.integers(0, 60),
)
def test_pad_or_trim_keeps_the_beginning_and_adds_zeros(x: np.ndarray, n: int) -> None:
    y = pad_or_trim(x, n)
    assert y.shape == (n,)
    assert y.dtype == x.dtype
    kept = min(n, len(x))
    np.testing.assert_array_equal(y[:kept], x[:kept])
    assert not y[kept:].any()
    np.testing.assert_array_equal(pad_or_trim(y, n), y)


def test_a_negative_length_is_refused() -> None:
    with pytest.raises(ValueError, match="-1"):
        pad_or_trim(np.zeros(3, np.int16), -1)
