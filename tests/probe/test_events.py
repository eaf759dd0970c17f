import itertools
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from helpers_probe import post
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import median_filter

from hearbench.errors import ProbeError, TaskError
from hearbench.metrics.event_lists import EventArrays
from hearbench.probe.events import (
    DEFAULT_POSTPROCESSING,
    Postprocessing,
    best_postprocessing,
    events_from_frames,
    postprocessing_grid,
)

Rows = list[tuple[int, int, float, float]]


def plain_events(
    probabilities: npt.NDArray[np.float32],
    bounds: list[int],
    timestamps_ms: npt.NDArray[np.float64],
    way: Postprocessing,
) -> Rows:
    """The published steps, one clip and label at a time, with SciPy's filter."""
    found: Rows = []
    for clip, (start, stop) in enumerate(itertools.pairwise(bounds)):
        x, times = probabilities[start:stop], timestamps_ms[start:stop]
        width = 0
        if way.median_filter_ms and len(times) > 1:
            width = round(way.median_filter_ms / np.mean(np.diff(times)))
        if 0 < 8 * len(x) <= width:
            # Here SciPy (1.17) reads beside the array.
            x = np.pad(x, ((width, width), (0, 0)), mode="symmetric")
            x = median_filter(x, size=(width, 1))[width : width + len(times)]
        elif width:
            x = median_filter(x, size=(width, 1))
        for label in range(x.shape[1]):
            on = [i for i in range(len(times)) if x[i, label] > 0.5]
            for _, run in itertools.groupby(enumerate(on), lambda pair: pair[1] - pair[0]):
                frames = [i for _, i in run]
                onset, offset = float(times[frames[0]]), float(times[frames[-1]])
                if offset - onset >= way.min_duration_ms:
                    found.append((clip, label, onset, offset))
    return sorted(found, key=lambda row: (row[0], row[2], row[1]))


def rows(events: EventArrays) -> Rows:
    return list(
        zip(
            events.clip.tolist(),
            events.label.tolist(),
            events.onset_ms.tolist(),
            events.offset_ms.tolist(),
            strict=True,
        )
    )


def random_frames(
    seed: int, lengths: list[int], n_labels: int, hop_ms: float, *, levels: int = 0
) -> tuple[npt.NDArray[np.float32], list[int], npt.NDArray[np.float64]]:
    rng = np.random.default_rng(seed)
    bounds = [0, *itertools.accumulate(lengths)]
    x = rng.random((bounds[-1], n_labels), dtype=np.float32)
    if levels:
        x = (np.floor(x * levels) / (levels - 1)).astype(np.float32)
    times = [np.arange(n) * hop_ms + rng.uniform(0, 30) for n in lengths]
    return x, bounds, np.concatenate([np.zeros(0), *times])


@given(
    seed=st.integers(0, 2**32 - 1),
    lengths=st.lists(st.one_of(st.integers(0, 6), st.integers(0, 60)), max_size=5),
    n_labels=st.integers(1, 4),
    hop_ms=st.sampled_from([2.0, 10.0, 25.0, 23.219954648526078, 50.0]),
    median_ms=st.sampled_from([0.0, 10.0, 35.0, 50.0, 125.0, 250.0, 2000.0]),
    levels=st.sampled_from([0, 2, 3, 5]),
)
@settings(max_examples=300, deadline=None)
def test_equal_the_filter_of_scipy(
    seed: int, lengths: list[int], n_labels: int, hop_ms: float, median_ms: float, levels: int
) -> None:
    # With 3 or 5 levels many probabilities are exactly 0.5, which is not above the threshold.
    x, bounds, times = random_frames(seed, lengths, n_labels, hop_ms, levels=levels)
    grid = [post(median_ms, duration) for duration in (0.0, 50.0, 125.0)]
    for way, events in zip(grid, events_from_frames(x, bounds, times, grid), strict=True):
        assert rows(events) == plain_events(x, bounds, times, way)


@pytest.mark.parametrize("n", [1, 2, 3, 7, 20])
@pytest.mark.parametrize("width", range(1, 50))
def test_every_width_even_and_odd_and_wider_than_the_clip(n: int, width: int) -> None:
    x, bounds, times = random_frames(width, [n, 3, n], 3, 10.0)
    grid = [post(10.0 * width, 0.0)]
    assert rows(events_from_frames(x, bounds, times, grid)[0]) == plain_events(
        x, bounds, times, grid[0]
    )


@pytest.mark.parametrize("width", [255, 256, 257, 300, 511])
def test_counts_that_pass_the_smallest_integer_type(width: int) -> None:
    # All frames are on, so every count is the width; then noise.
    x, bounds, times = random_frames(0, [2000, 700], 2, 1.0)
    grid = [post(float(width), 0.0)]
    full = events_from_frames(np.ones_like(x), bounds, times, grid)[0]
    assert rows(full)[0] == (0, 0, times[0], times[1999])
    assert len(full) == 4
    assert rows(events_from_frames(x, bounds, times, grid)[0]) == plain_events(
        x, bounds, times, grid[0]
    )


def test_blocks_of_clips_and_of_labels_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    x, bounds, times = random_frames(1, [40, 0, 7, 90, 1, 12], 5, 10.0)
    grid = [post(30.0, 0.0), post(50.0, 20.0), post(30.0, 20.0)]
    whole = [rows(events) for events in events_from_frames(x, bounds, times, grid)]
    for cells in (1, 100, 300):
        monkeypatch.setattr("hearbench.probe.events._CELLS_PER_BLOCK", cells)
        assert [rows(events) for events in events_from_frames(x, bounds, times, grid)] == whole
    assert whole == [plain_events(x, bounds, times, way) for way in grid]


def test_what_is_above_the_threshold_is_enough() -> None:
    x, bounds, times = random_frames(2, [50, 20], 3, 25.0)
    grid = DEFAULT_POSTPROCESSING
    assert [rows(events) for events in events_from_frames(x > 0.5, bounds, times, grid)] == [
        rows(events) for events in events_from_frames(x, bounds, times, grid)
    ]


def test_an_event_by_hand() -> None:
    # Hop 50 ms, so 250 ms are 5 frames. The gap at frame 4 closes, frame 0 is on for its
    # mirror image and 6 is off for 7 and 8; 12 alone goes.
    on = [1, 2, 3, 5, 6, 12, 16, 17, 18, 19]
    x = np.zeros((20, 1), dtype=np.float32)
    x[on] = 0.9
    times = np.arange(20) * 50.0 + 25.0
    kept, long = events_from_frames(x, [0, 20], times, DEFAULT_POSTPROCESSING)
    assert rows(kept) == [(0, 0, 25.0, 275.0), (0, 0, 825.0, 975.0)]
    assert rows(long) == [(0, 0, 25.0, 275.0)]
    without = events_from_frames(x, [0, 20], times, [post(0, 100)])[0]
    assert rows(without) == [(0, 0, 75.0, 175.0), (0, 0, 825.0, 975.0)]


def test_the_width_is_rounded_as_python_rounds() -> None:
    # 250 / 20 is 12.5, which rounds to 12; 250 / 100 is 2.5, to 2; 150 / 100 to 2.
    for hop_ms, median_ms in ((20.0, 250.0), (100.0, 250.0), (100.0, 150.0), (700.0, 250.0)):
        x, bounds, times = random_frames(3, [200], 2, hop_ms)
        way = post(median_ms, 0.0)
        got = rows(events_from_frames(x, bounds, times, [way])[0])
        assert got == plain_events(x, bounds, times, way)
    unfiltered = events_from_frames(x, bounds, times, [post(0, 0)])[0]
    assert rows(unfiltered) == got


def test_nothing_there() -> None:
    none = np.zeros((0, 4), dtype=np.float32)
    for bounds in ([0], [0, 0], [0, 0, 0]):
        for events in events_from_frames(none, bounds, np.zeros(0), DEFAULT_POSTPROCESSING):
            assert len(events) == 0
    assert events_from_frames(none, [0], np.zeros(0), []) == []


def test_frames_that_do_not_fit_are_refused() -> None:
    x = np.zeros((4, 2), dtype=np.float32)
    for bounds, times in (
        ([0, 3], np.arange(4.0)),
        ([0, 4], np.arange(5.0)),
        ([0, 3, 2, 4], np.arange(4.0)),
    ):
        with pytest.raises(ProbeError, match=r"shape \(4, 2\)"):
            events_from_frames(x, bounds, times, DEFAULT_POSTPROCESSING)
    # From one clip to the next, time may go back.
    events_from_frames(x, [0, 2, 4], np.array([0.0, 1.0, 0.0, 1.0]), DEFAULT_POSTPROCESSING)
    with pytest.raises(ProbeError, match=r"clip 1 don't ascend: 1\.0 ms is followed by 0\.5"):
        events_from_frames(x, [0, 2, 4], np.array([0.0, 1.0, 1.0, 0.5]), DEFAULT_POSTPROCESSING)


def test_grids() -> None:
    assert postprocessing_grid() == postprocessing_grid({}) == DEFAULT_POSTPROCESSING
    assert [way.min_duration_ms for way in DEFAULT_POSTPROCESSING] == [125, 250]
    maestro = {
        "event_postprocessing_grid": {"median_filter_ms": [150], "min_duration": [50]},
        "task_specific_param_grid": {"max_epochs": [50]},
    }
    assert postprocessing_grid(maestro) == (post(150, 50),)
    # What a grid leaves out isn't that of the default grid.
    assert postprocessing_grid({"event_postprocessing_grid": {"min_duration": [50]}}) == (
        post(150, 50),
    )
    assert postprocessing_grid({"event_postprocessing_grid": {}}) == (post(150, 60),)
    assert postprocessing_grid({"event_postprocessing_grid": {"median_filter_ms": [0, 100]}}) == (
        post(0, 60),
        post(100, 60),
    )


@pytest.mark.parametrize(
    "grid",
    [
        {"median_filter": [150]},
        {"min_duration": 50},
        {"min_duration": []},
        {"min_duration": ["50"]},
        {"min_duration": [-1]},
        {"median_filter_ms": [float("nan")]},
        [150],
    ],
)
def test_wrong_grids_are_refused(grid: Any) -> None:
    with pytest.raises(TaskError, match="event_postprocessing_grid"):
        postprocessing_grid({"event_postprocessing_grid": grid})


def test_the_best_way() -> None:
    a, b, c = post(250, 125), post(250, 250), post(100, 500)
    nan = float("nan")
    assert best_postprocessing([a, b, c], [0.5, 0.4, 0.3], maximise=True) == 0
    assert best_postprocessing([a, b, c], [0.5, 0.5, 0.5], maximise=True) == 1
    assert best_postprocessing([b, a], [0.5, 0.5], maximise=True) == 0
    assert best_postprocessing([a, b], [nan, 0.0], maximise=True) == 1
    assert best_postprocessing([b, a], [nan, 0.1], maximise=True) == 1
    assert best_postprocessing([a, b, c], [0.5, 0.4, 0.3], maximise=False) == 2
    assert best_postprocessing([a, b], [0.5, nan], maximise=False) == 0
