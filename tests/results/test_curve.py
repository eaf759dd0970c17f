"""Label-efficiency curves from results."""

from __future__ import annotations

import json
import math
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers_curves import TASK, WHOLE, clip_counts, fraction, shots, template, write_point
from scipy import stats
from sklearn.metrics import auc

from hearbench.embeddings.manifest import TaskRecord
from hearbench.errors import ResultError
from hearbench.probe.protocol import FAST, HEAR2021
from hearbench.results.curve import (
    Curve,
    area_over_clips,
    build_curve,
    finished_parts,
    mean_interval,
)

VALUES = {shots(1): (0.3, 0.5, 0.4), shots(5): (0.6, 0.7, 0.62), fraction(0.1): (0.5, 0.55, 0.45)}


def write_points(folder: Path, repeats: int = 3) -> Path:
    for part, values in VALUES.items():
        for repeat, value in enumerate(values[:repeats]):
            write_point(folder, part.with_repeat(repeat), value)
    return folder


def test_means_and_intervals_are_scipys(tmp_path: Path) -> None:
    curve = build_curve(write_points(tmp_path), clip_counts, level=0.9)
    assert [point.part.point for point in curve.points] == ["fraction=0.1", "shots=1", "shots=5"]
    assert [point.n_clips for point in curve.points] == [100, 50, 250]
    for point in curve.points:
        values = VALUES[point.part]
        score = point.scores[curve.primary_score]
        assert score.per_repeat == dict(enumerate(values))
        assert score.mean == pytest.approx(statistics.fmean(values))
        assert score.std == pytest.approx(statistics.stdev(values))
        expected = stats.ttest_1samp(values, 0).confidence_interval(0.9)
        assert (score.low, score.high) == pytest.approx((expected.low, expected.high))
    assert curve.level == 0.9
    assert curve.seed == 42
    assert curve.protocol == WHOLE.for_task("esc50")
    assert curve.missing == ()


def test_intervals_hold_as_often_as_they_say() -> None:
    generator = np.random.default_rng(5)
    hits = 0
    for values in generator.normal(0.7, 0.05, (4000, 5)).tolist():
        interval = mean_interval(values, 0.95)
        assert interval is not None
        hits += interval[0] <= 0.7 <= interval[1]
    assert hits / 4000 == pytest.approx(0.95, abs=0.011)


def test_one_repeat_has_no_interval_and_says_so(tmp_path: Path) -> None:
    curve = build_curve(write_points(tmp_path, repeats=1), clip_counts)
    score = curve.points[0].scores["top1_acc"]
    assert (score.mean, score.std, score.low, score.high) == (0.5, None, None, None)
    assert any(
        "One repeat has no interval: fraction=0.1, shots=1, shots=5." in n for n in curve.notes
    )


def test_the_share_of_the_score_with_all_clips(tmp_path: Path) -> None:
    folder = write_points(tmp_path)
    assert build_curve(folder, clip_counts).all_clips is None
    write_point(folder, None, 0.8)
    curve = build_curve(folder, clip_counts)
    assert curve.all_clips is not None
    assert curve.all_clips.n_clips == 1000
    assert curve.all_clips.scores["top1_acc"] == 0.8
    shares = [point.scores["top1_acc"].share_of_all for point in curve.points]
    assert shares == pytest.approx([0.5 / 0.8, 0.4 / 0.8, 0.64 / 0.8])
    write_point(folder, None, 0.0)
    nothing = build_curve(folder, clip_counts)
    assert {point.scores["top1_acc"].share_of_all for point in nothing.points} == {None}


def test_there_is_no_share_of_an_error_rate(tmp_path: Path) -> None:
    task = "dcase2016_task2-hear2021-full"
    for part in (None, shots(1), shots(1, 1)):
        write_point(tmp_path, part, 0.5, task_name=task)
    (point,) = build_curve(tmp_path, clip_counts).points
    maximise = {name: summary.maximise for name, summary in template(task).scores.items()}
    assert set(maximise.values()) == {True, False}
    for name, better in maximise.items():
        assert point.scores[name].share_of_all == (1.0 if better else None)


@pytest.mark.parametrize(
    ("update", "says"),
    [
        ({"protocol": HEAR2021.restricted(first=2)}, "another protocol"),
        ({"seed": 7}, "another seed"),
        ({"precision": "bfloat16"}, "another precision"),
        ({"task": TaskRecord(name=TASK, digest="9" * 64)}, "another task"),
        ({"model": "other"}, None),
    ],
)
def test_the_score_with_all_clips_of_other_inputs_is_left_out(
    tmp_path: Path, update: dict[str, Any], says: str | None
) -> None:
    folder = write_points(tmp_path)
    write_point(folder, None, 0.8, **update)
    curve = build_curve(folder, clip_counts)
    if says is None:  # the name of a model doesn't matter, its digest does
        assert curve.all_clips is not None
    else:
        assert curve.all_clips is None
        assert any(says in note and "left out" in note for note in curve.notes)


def test_points_of_other_inputs_are_refused(tmp_path: Path) -> None:
    folder = write_points(tmp_path)
    write_point(folder, shots(5, 1), 0.5, protocol=FAST)
    with pytest.raises(ResultError, match="another protocol") as found:
        build_curve(folder, clip_counts)
    assert "shots=5,repeat=1" in str(found.value)
    write_point(folder, shots(5, 1), 0.5, seed=50)
    with pytest.raises(ResultError, match="another seed"):
        build_curve(folder, clip_counts)
    other = template().model.model_copy(update={"digest": "8" * 64})
    file = write_point(folder, shots(5, 1), 0.5)
    raw = json.loads(file.read_text())
    file.write_text(json.dumps({**raw, "model": other.model_dump(mode="json")}))
    with pytest.raises(ResultError, match="another model than"):
        build_curve(folder, clip_counts)


def test_a_result_in_anothers_folder_is_refused(tmp_path: Path) -> None:
    folder = write_points(tmp_path)
    (folder / "few-labels/shots=1,repeat=0").rename(folder / "few-labels/shots=2,repeat=0")
    with pytest.raises(ResultError, match=r"shots=2,repeat=0 holds a result of shots=1,repeat=0"):
        build_curve(folder, clip_counts)


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    folder = write_points(tmp_path)
    (folder / "few-labels/shots=5,repeat=1/result.json").unlink()
    asked = [shots(5, repeat) for repeat in range(4)]
    curve = build_curve(folder, clip_counts, asked=asked)
    assert curve.missing == ("shots=5,repeat=1", "shots=5,repeat=3")
    assert any(note.startswith("2 of 4 trainings are missing") for note in curve.notes)
    by_itself = build_curve(folder, clip_counts)
    assert by_itself.missing == ("shots=5,repeat=1",)
    (point,) = (point for point in curve.points if point.part == shots(5))
    assert point.scores["top1_acc"].per_repeat == {0: 0.6, 2: 0.62}


def test_other_folders_are_nobodys_business(tmp_path: Path) -> None:
    folder = write_points(tmp_path)
    for name in ("old", "shots=01,repeat=0", ".tmp-shots=1,repeat=0", "shots=0,repeat=0"):
        (folder / "few-labels" / name).mkdir()
        (folder / "few-labels" / name / "result.json").write_text("{}")
    assert len(finished_parts(folder)) == 9
    assert len(build_curve(folder, clip_counts).points) == 3


def test_without_results_there_is_no_curve(tmp_path: Path) -> None:
    with pytest.raises(ResultError, match="holds no results of parts"):
        build_curve(tmp_path, clip_counts)


def test_undefined_scores_are_undefined_and_named(tmp_path: Path) -> None:
    write_point(tmp_path, shots(1), math.nan)
    write_point(tmp_path, shots(1, 1), 0.5)
    curve = build_curve(tmp_path, clip_counts)
    score = curve.points[0].scores["top1_acc"]
    assert math.isnan(score.mean)
    assert score.low is not None
    assert math.isnan(score.low)
    assert any("top1_acc is undefined in 1 of 2 repeats" in note for note in curve.notes)
    # And in valid JSON.
    text = json.dumps(curve.model_dump(mode="json"), allow_nan=False)
    assert math.isnan(Curve.model_validate_json(text).points[0].scores["top1_acc"].mean)


def test_the_area_is_scikit_learns(tmp_path: Path) -> None:
    points = [(250.0, 0.64), (50.0, 0.4), (1000.0, 0.8)]
    x = np.log10([50, 250, 1000])
    expected = auc(x, [0.4, 0.64, 0.8]) / (x[-1] - x[0])
    assert area_over_clips(points) == pytest.approx(expected)
    # A line of constant height has that height, wherever its points are.
    assert area_over_clips([(3, 0.5), (7, 0.5), (90, 0.5)]) == pytest.approx(0.5)
    curve = build_curve(write_points(tmp_path), clip_counts)
    (area,) = curve.areas  # a single share has none
    assert (area.series, area.low_clips, area.high_clips) == ("shots", 50, 250)
    assert area.scores["top1_acc"] == pytest.approx((0.4 + 0.64) / 2)


def test_a_curve_is_read_back(tmp_path: Path) -> None:
    curve = build_curve(write_points(tmp_path), clip_counts)
    file = tmp_path / "curve.json"
    file.write_text(json.dumps(curve.model_dump(mode="json")))
    assert Curve.read(tmp_path) == curve
    assert Curve.read(file).points[0].scores["top1_acc"].per_repeat == {0: 0.5, 1: 0.55, 2: 0.45}
    file.write_text('{"format_version": 2}')
    with pytest.raises(ResultError, match=r"curve\.json is not a curve of format version 1"):
        Curve.read(tmp_path)
    file.unlink()
    with pytest.raises(ResultError, match=r"curve\.json can't be read"):
        Curve.read(tmp_path)


def test_a_restricted_protocol_keeps_its_name(tmp_path: Path) -> None:
    write_point(tmp_path, shots(1), 0.5, protocol=HEAR2021)
    assert build_curve(tmp_path, clip_counts).protocol.name == "hear2021"
    other = tmp_path / "other"
    write_point(other, fraction(0.1, 3), 0.5, protocol=HEAR2021.restricted(first=2))
    assert build_curve(other, clip_counts).protocol.name == "hear2021[first=2]"
