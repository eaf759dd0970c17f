from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers_probe import post

from hearbench.probe import frames
from hearbench.probe.events import events_from_frames
from hearbench.probe.frames import events_in_parts, gather_rows


def pieces(rng: np.random.Generator, lengths: list[int], labels: int) -> list[np.ndarray]:
    return [rng.random((n, labels)).astype(np.float32) for n in lengths]


@pytest.mark.parametrize("stored", [False, True])
def test_pieces_are_one_below_the_other(tmp_path: Path, stored: bool) -> None:
    found = pieces(np.random.default_rng(0), [3, 1, 5], 4)
    place = tmp_path / "rows.npy" if stored else None
    rows = gather_rows(iter(found), (9, 4), place)
    np.testing.assert_array_equal(rows, np.concatenate(found))
    assert isinstance(rows, np.memmap) == stored
    if place is not None:
        np.testing.assert_array_equal(np.load(place), np.concatenate(found))


def test_one_that_is_mapped_outlives_its_successor(tmp_path: Path) -> None:
    first, second = (pieces(np.random.default_rng(seed), [6], 2) for seed in (1, 2))
    rows = gather_rows(first, (6, 2), tmp_path / "rows.npy")
    gather_rows(second, (6, 2), tmp_path / "rows.npy")
    np.testing.assert_array_equal(rows, first[0])


@pytest.mark.parametrize("stored", [False, True])
@pytest.mark.parametrize("cells", [1, 40, 10**6])
def test_events_are_those_of_the_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cells: int, stored: bool
) -> None:
    monkeypatch.setattr(frames, "_EVENT_CELLS", cells)
    lengths = [7, 0, 12, 30, 1]
    found = pieces(np.random.default_rng(3), lengths, 3)
    rows = gather_rows(found, (50, 3), tmp_path / "rows.npy" if stored else None)
    bounds = np.concatenate([[0], np.cumsum(lengths)])
    times = np.concatenate([20.0 * np.arange(n) for n in lengths])
    way = post(60, 20)
    (whole,) = events_from_frames(np.concatenate(found), bounds, times, [way])
    parts = events_in_parts(rows, bounds, times, way)
    assert len(whole.clip) > 5
    for name in ("clip", "label", "onset_ms", "offset_ms"):
        np.testing.assert_array_equal(getattr(parts, name), getattr(whole, name))
