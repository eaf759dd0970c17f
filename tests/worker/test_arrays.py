from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hearbench.worker.arrays import SharedArrays


def test_what_one_writes_the_other_reads(tmp_path: Path) -> None:
    writer, reader = SharedArrays(str(tmp_path)), SharedArrays(str(tmp_path))
    for shape in [(2, 3), (4, 5, 6), (1,), ()]:  # the file grows, and is used again
        values = np.arange(np.prod(shape, dtype=int), dtype="<f8").reshape(shape)
        writer.new("a", "<f8", shape)[...] = values
        assert np.array_equal(reader.open("a", "<f8", shape), values)
    assert (tmp_path / "a").stat().st_size == 120 * 8


def test_changes_are_seen_on_both_sides(tmp_path: Path) -> None:
    first = SharedArrays(str(tmp_path)).new("a", "<f4", (3,))
    second = SharedArrays(str(tmp_path)).open("a", "<f4", (3,))
    second[1] = 7
    assert first.tolist() == [0, 7, 0]


def test_arrays_without_numbers(tmp_path: Path) -> None:
    arrays = SharedArrays(str(tmp_path))
    arrays.new("a", "<f4", (3, 0))[...] = 1
    assert arrays.open("a", "<f4", (3, 0)).shape == (3, 0)


def test_without_room_there_is_an_error_and_no_crash(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"[Ss]pace|[Ll]arge"):
        SharedArrays(str(tmp_path)).new("a", "<f8", (1 << 40, 1 << 10))
