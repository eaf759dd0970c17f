"""A task whose first score is threshold-free, from audio to intervals and comparisons."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers_models import BANDS, write_model
from helpers_probe import SMALL_GRID
from helpers_tasks import make_event_task

import hearbench
from hearbench import load_task
from hearbench.comparison.compare import compare
from hearbench.errors import ResultError
from hearbench.metrics import event_scores, get_event_score
from hearbench.metrics.event_lists import EventArrays
from hearbench.metrics.frame_arrays import FrameArrays
from hearbench.probe.protocol import Protocol
from hearbench.results import Predictions, Result
from hearbench.results.clip_scores import read_clip_scores
from hearbench.results.splits import EventSplit
from hearbench.results.uncertainty import uncertainty
from hearbench.views.events import EventPredictions, compare_clip
from hearbench.workspace import Workspace

SCORES = ("psds1", "psds2", "event_onset_200ms_macro_fms", "segment_1s_fms")
TASK = "beeps-1.0.0-full"
CLEAR = "return torch.log(power.mean(3) + 1e-3), ms"
# Pseudo-random numbers, the same whenever a clip is embedded.
NOISY = """x = torch.log(power.mean(3) + 1e-3)
    return x + {} * torch.sin(997 * x), ms"""
QUICK = Protocol(name="quick", grid=SMALL_GRID[:2], batch_size=64)


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of two models that hear pitches, one through more noise; and above them the task."""
    root = tmp_path_factory.mktemp("results")
    # False positives count per hour, so a clip must be longer than a moment.
    task = make_event_task(
        root, clips=8, events_per_clip=5, duration_s=9.0, sample_rates=(16000,), scores=SCORES
    )
    models = [
        str(write_model(root, BANDS.replace(CLEAR, NOISY.format(loud)), name))
        for name, loud in (("bands", 1.0), ("noisy", 1.4))
    ]
    workspace = Workspace(root / "cache", "cpu", 2)
    hearbench.evaluate(models, [task], protocol=QUICK, out=root / "out", workspace=workspace)
    return root / "out"


def stored(folder: Path, name: str) -> Any:
    return json.loads((folder / name).read_text())


def arrays(folder: Path) -> tuple[EventArrays, FrameArrays, list[str]]:
    """What lies beside a result, read without hearbench's own reader."""
    place = folder / "predictions"
    labels = stored(place, "labels.json")
    clips = stored(place, "clips.json")["test"]
    events = EventArrays.from_mapping(stored(place, "test.reference.json"), clips, labels)
    files = (np.load(place / f"test.{name}npy") for name in ("", "bounds.", "timestamps."))
    return events, FrameArrays(*files), labels


def test_the_result_has_the_scores_and_their_parts(out: Path) -> None:
    folder = out / "bands" / TASK
    result = Result.read(folder)
    assert result.primary_score == "psds1"
    assert tuple(result.scores) == SCORES
    reference, frames, labels = arrays(folder)
    per_label = stored(folder, "predictions/test.per_label.json")
    for name in ("psds1", "psds2"):
        right = get_event_score(name).parts(reference, frames, labels)
        summary = result.scores[name]
        assert summary.maximise
        assert summary.mean == summary.parts["psds"].mean == pytest.approx(right["psds"])
        assert per_label[name]["per_label"].keys() == set(labels)
        for label in labels:
            assert per_label[name]["per_label"][label] == pytest.approx(right["per_label"][label])
    assert 0 < result.scores["psds1"].mean < result.scores["psds2"].mean
    lists = [stored(folder, f"predictions/test.{what}.json") for what in ("reference", "events")]
    for name in SCORES[2:]:
        right = event_scores(lists[0], lists[1], labels, name)
        assert result.scores[name].mean == pytest.approx(right["f_measure"])
        assert set(result.scores[name].parts) == {"f_measure", "precision", "recall"}
    Predictions.read(folder, result).verify()


def test_validation_optimizes_it(out: Path) -> None:
    result = Result.read(out / "bands" / TASK)
    (fold,) = result.folds
    validations = [outcome.validation_score for outcome in result.grid]
    assert fold.validation_score == max(validations)
    assert all(0 <= each <= 1 for each in validations)
    # It is the same for all ways from frames to events, of which the smoothest is taken.
    assert fold.postprocessing is not None
    assert (fold.postprocessing.median_filter_ms, fold.postprocessing.min_duration_ms) == (250, 250)


def test_neighbors_are_validated_by_it_too(out: Path, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "cache", "cpu", 2)
    task = out.parent / TASK
    (result,) = hearbench.evaluate(
        str(out.parent / "bands.py"), task, protocol="knn", out=tmp_path, workspace=workspace
    )
    assert isinstance(result, Result)
    assert 0 < result.primary.mean <= 1
    assert result.folds[0].validation_score > 0


def test_it_has_intervals(out: Path) -> None:
    found = uncertainty(out / "bands" / TASK, n_resamples=100)
    for name in SCORES:
        interval = found.scores[name].clips
        assert interval is not None
        assert 0 <= interval.interval.low <= found.scores[name].mean <= interval.interval.high <= 1
    assert found.scores["psds1"].notes == found.scores["segment_1s_fms"].notes
    known = stored(out / "bands" / TASK, "uncertainty.json")
    assert known["scores"]["psds1"]["mean"] == pytest.approx(found.scores["psds1"].mean)


def test_models_are_compared_by_it(out: Path) -> None:
    (task,) = compare([out], n_resamples=100, test="permutation").tasks
    assert task.score == "psds1"
    means = {each.model: each.mean for each in task.scores}
    assert means == {
        model: pytest.approx(Result.read(out / model / TASK).primary.mean)
        for model in ("bands", "noisy")
    }
    (pair,) = task.pairs
    assert abs(pair.difference) == pytest.approx(abs(means["bands"] - means["noisy"]))
    assert 0 < pair.p <= 1


def test_clips_in_another_order_keep_their_frames(out: Path) -> None:
    split = Predictions.read(out / "bands" / TASK).splits["test"]
    assert isinstance(split, EventSplit)
    order = np.random.default_rng(3).permutation(len(split.clips))
    turned = split.ordered(order)
    weights = np.random.default_rng(4).integers(0, 3, (5, len(order)))
    for name in ("psds1", "psds2"):
        expected = split.clip_score(name)(weights)
        found = turned.clip_score(name)(weights[:, order])
        assert found.tolist() == pytest.approx(expected.tolist(), abs=1e-12)
        assert turned.parts(name)["psds"] == pytest.approx(split.parts(name)["psds"], abs=1e-12)
        back = turned.ordered(np.argsort(order))
        assert back.clip_score(name)(weights).tolist() == pytest.approx(expected.tolist())


def test_edited_probabilities_are_noticed(out: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(out / "bands" / TASK, tmp_path / "edited" / TASK)
    file = folder / "predictions/test.npy"
    # As many frames are above 1/2 as before, so the events are the same.
    probabilities = np.load(file)
    np.save(file, np.where(probabilities > 0.5, 1.5 - probabilities, 0.5 - probabilities))
    with pytest.raises(ResultError, match="psds"):
        read_clip_scores(folder)
    with pytest.raises(ResultError, match="psds"):
        Predictions.read(folder).verify()


def test_a_single_clip_has_the_score(out: Path) -> None:
    predictions = EventPredictions.read(out / "bands" / TASK)
    reference, frames, labels = arrays(out / "bands" / TASK)
    name = stored(out / "bands" / TASK, "predictions/clips.json")["test"][2]
    found = compare_clip(predictions.clip(name), labels, "psds1")
    own = reference.take(reference.clip == 2).shifted(-2)
    expected = get_event_score("psds1")(own, frames.take(np.array([2])), labels)
    assert found.value == pytest.approx(expected)
    assert not math.isnan(expected)
    assert not found.is_in_parts
    assert compare_clip(predictions.clip(name), labels, "event_onset_50ms_fms").is_in_parts
    assert not compare_clip(predictions.clip(name), labels, SCORES[2]).is_in_parts


def test_a_task_can_ask_for_every_event_score(out: Path) -> None:
    assert load_task(out.parent / TASK).metadata.evaluation == SCORES
