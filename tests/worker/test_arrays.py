from __future__ import annotations

import os
from collections.abc import Iterator

import numpy as np
import pytest

from hearbench.models.other_process import open_places
from hearbench.worker.arrays import SharedArrays


@pytest.fixture
def files() -> Iterator[dict[str, int]]:
    found = open_places()
    yield found
    for file in found.values():
        os.close(file)


def test_what_one_writes_the_other_reads(files: dict[str, int]) -> None:
    writer, reader = SharedArrays(files), SharedArrays(files)
    for shape in [(2, 3), (4, 5, 6), (1,), ()]:  # the file grows, and is used again
        values = np.arange(np.prod(shape, dtype=int), dtype="<f8").reshape(shape)
        writer.new("audio", "<f8", shape)[...] = values
        assert np.array_equal(reader.open("audio", "<f8", shape), values)
    assert os.fstat(files["audio"]).st_size == 120 * 8


def test_changes_are_seen_on_both_sides(files: dict[str, int]) -> None:
    first = SharedArrays(files).new("audio", "<f4", (3,))
    second = SharedArrays(files).open("audio", "<f4", (3,))
    second[1] = 7
    assert first.tolist() == [0, 7, 0]


def test_arrays_without_numbers(files: dict[str, int]) -> None:
    arrays = SharedArrays(files)
    arrays.new("audio", "<f4", (3, 0))[...] = 1
    assert arrays.open("audio", "<f4", (3, 0)).shape == (3, 0)


def test_without_room_there_is_an_error_and_no_crash(files: dict[str, int]) -> None:
    with pytest.raises(OSError, match=r"[Ss]pace|[Ll]arge"):
        SharedArrays(files).new("audio", "<f8", (1 << 40, 1 << 10))
