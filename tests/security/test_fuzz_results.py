"""Results from anybody: records, arrays, predictions, and what is computed from them again."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers_fuzz import (
    bounded,
    example_of,
    files_below,
    fuzzed,
    mutated_array,
    mutated_json,
    no_trap_has_sprung,
    value_or_error,
)
from helpers_leaderboard import DCASE, ESC50, made_up_task, write_scene_and_event_result
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from hearbench.distance.record import DistanceResult
from hearbench.errors import HearError, ResultError
from hearbench.leaderboard.own_row import own_row
from hearbench.leaderboard.recompute import recompute
from hearbench.leaderboard.sanity_checks import check_sanity
from hearbench.leaderboard.share import share
from hearbench.results import Result
from hearbench.results.clip_scores import read_clip_scores
from hearbench.results.curve import Curve
from hearbench.results.uncertainty import Uncertainty
from hearbench.tasks.store import PreparedTask


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scene_and_event_result(tmp_path_factory.mktemp("results"))


def _read_again(folder: Path, name: str) -> None:
    """All that hearbench makes of a result's folder."""
    result = value_or_error(lambda: Result.read(folder))
    value_or_error(lambda: own_row([folder]))
    value_or_error(lambda: read_clip_scores(folder))
    if isinstance(result, Result):
        for task in (None, made_up_task(name)):
            value_or_error(lambda task=task: _computed_again(result, folder, task))  # type: ignore[misc]
        value_or_error(lambda: share([result], "markdown"))
        value_or_error(lambda: share([result], "latex"))
    assert no_trap_has_sprung()


def _computed_again(result: Result, folder: Path, task: PreparedTask | None) -> None:
    check_sanity(result, folder)
    recompute(folder, task)


def _with_changed(folder: Path, file: Path, data: bytes, name: str) -> None:
    before, there = file.read_bytes(), files_below(folder)
    try:
        file.write_bytes(data)
        _read_again(folder, name)
    finally:
        file.write_bytes(before)
    assert files_below(folder) == there


@pytest.mark.parametrize("name", [ESC50, DCASE])
@pytest.mark.parametrize("file", ["result.json", "test.predicted-scores.json"])
@fuzzed
@given(data=st.data())
def test_records_of_results(made: Path, name: str, file: str, data: st.DataObject) -> None:
    path = made / name / file
    value = json.loads(path.read_text())
    _with_changed(made / name, path, data.draw(mutated_json(value)), name)


_FILES = [
    (ESC50, "labels.json"),
    (ESC50, "clips.json"),
    (DCASE, "test.events.json"),
    (DCASE, "test.reference.json"),
]


@pytest.mark.parametrize(("name", "file"), _FILES)
@fuzzed
@given(data=st.data())
def test_lists_beside_results(made: Path, name: str, file: str, data: st.DataObject) -> None:
    path = made / name / "predictions" / file
    value = json.loads(path.read_text())
    _with_changed(made / name, path, data.draw(mutated_json(value)), name)


_ARRAYS = [
    (ESC50, "fold00.npy"),
    (ESC50, "fold00.targets.npy"),
    (DCASE, "test.npy"),
    (DCASE, "test.bounds.npy"),
    (DCASE, "test.timestamps.npy"),
]


@pytest.mark.parametrize(("name", "file"), _ARRAYS)
@fuzzed
@given(data=st.data())
def test_arrays_beside_results(made: Path, name: str, file: str, data: st.DataObject) -> None:
    path = made / name / "predictions" / file
    array = np.load(path, allow_pickle=False)
    _with_changed(made / name, path, data.draw(mutated_array(array)), name)


_RECORDS = [
    (Uncertainty, "uncertainty.json"),
    (Curve, "curve.json"),
    (DistanceResult, "distance.json"),
]


@pytest.mark.parametrize(("kind", "file"), _RECORDS)
@fuzzed
@given(data=st.data())
def test_other_records(
    tmp_path_factory: pytest.TempPathFactory, kind: Any, file: str, data: st.DataObject
) -> None:
    path = tmp_path_factory.getbasetemp() / file
    path.write_bytes(data.draw(mutated_json(example_of(kind))))
    found = value_or_error(lambda: kind.read(path))
    assert isinstance(found, BaseModel | HearError)


def test_a_copied_result_is_still_read(made: Path, tmp_path: Path) -> None:
    # What the properties above change is a result that hearbench takes.
    for name in (ESC50, DCASE):
        folder = Path(shutil.copytree(made / name, tmp_path / name))
        assert recompute(folder, made_up_task(name)) == Result.read(folder).scores


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_labels": 0}, "says that there are no labels"),
        ({"median_filter_ms": math.nan}, "doesn't fit the frames"),
        ({"median_filter_ms": math.inf}, "doesn't fit the frames"),
        ({"median_filter_ms": -1.0}, "doesn't fit the frames"),
        ({"median_filter_ms": 1e12}, "doesn't fit the frames"),
        ({"min_duration_ms": math.nan}, "isn't a duration"),
        ({"times": math.nan}, "times that are no numbers"),
        ({"times": math.inf}, "times that are no numbers"),
        ({"hop_ms": 1e-9}, "doesn't fit the frames"),
    ],
)
def test_numbers_that_would_take_for_ever(
    made: Path, tmp_path: Path, change: dict[str, float], message: str
) -> None:
    folder = Path(shutil.copytree(made / DCASE, tmp_path / DCASE))
    result = Result.read(folder)
    ((what, value),) = change.items()
    fold = result.folds[0]
    way = fold.postprocessing
    assert way is not None
    if what in ("times", "hop_ms"):
        path = folder / "predictions" / "test.timestamps.npy"
        times = np.load(path)
        times[5:7] = value
        np.save(path, times if what == "times" else np.arange(len(times)) * value)
    elif what == "n_labels":
        result = result.model_copy(update=change)
    else:
        folds = (fold.model_copy(update={"postprocessing": way.model_copy(update=change)}),)
        result = result.model_copy(update={"folds": folds})
    with bounded(), pytest.raises(ResultError, match=message):
        check_sanity(result, folder)


def test_what_an_evaluation_writes_is_plausible(made: Path) -> None:
    for name in (ESC50, DCASE):
        check_sanity(Result.read(made / name), made / name)
