"""The whole of a probe on small stores: folds, the choice, resuming, independence of caches."""

import dataclasses
import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers_models import BANDS, write_model
from helpers_probe import SMALL_GRID
from helpers_progress import Noted, StoppedError, noting, stopping
from helpers_tasks import make_event_task, make_scene_task
from sklearn.metrics import roc_auc_score

from hearbench import embed, fit_probe, load_model, load_task, score
from hearbench.embeddings.store import EmbeddingStore
from hearbench.errors import ProbeError, UnknownNameError
from hearbench.leaderboard.recompute import recompute
from hearbench.metrics.classification import top1_accuracy
from hearbench.probe.precision import resolve_precision
from hearbench.probe.protocol import Protocol
from hearbench.results import Result, write_result
from hearbench.results.differences import score_differences
from hearbench.results.uncertainty import uncertainty
from hearbench.workspace import Workspace

SMALL = Protocol(name="small", grid=SMALL_GRID)


def store_of(tmp_path: Path, workspace: Workspace, **task: object) -> EmbeddingStore:
    loaded = load_task(make_scene_task(tmp_path, **task), workspace=workspace)  # type: ignore[arg-type]
    model = load_model(str(write_model(tmp_path, BANDS)), workspace=workspace)
    return embed(model, loaded, workspace=workspace)


def test_every_fold_is_tested_once_by_the_first_folds_winner(
    tmp_path: Path, workspace: Workspace
) -> None:
    store = store_of(tmp_path, workspace, folds=True, clips_per_label=8)
    predictions = fit_probe(store, SMALL, workspace=workspace)
    assert [p.fold.test for p in predictions.folds] == ["fold00", "fold01", "fold02"]
    assert [p.fold.valid for p in predictions.folds] == ["fold01", "fold02", "fold00"]
    scores = [outcome.validation_score for outcome in predictions.grid]
    assert predictions.chosen == int(np.argmax(scores))  # the first of equals
    assert [o.point for o in predictions.grid] == list(SMALL.grid)
    for fold in predictions.scene_folds():
        assert fold.outcome.point == SMALL.grid[predictions.chosen]
        assert list(fold.clips) == list(store.task.splits[fold.fold.test])
        np.testing.assert_array_equal(fold.targets, store.task.targets(fold.fold.test))
        np.testing.assert_allclose(fold.probabilities.sum(axis=1), 1.0, atol=1e-5)
        assert top1_accuracy(fold.probabilities, fold.targets) > 0.5  # chance is 0.33
        expected = -np.log(fold.probabilities[fold.targets == 1]).mean()
        assert fold.loss == pytest.approx(expected, rel=1e-3)


def test_multilabel_tasks_get_a_probability_per_label(tmp_path: Path, workspace: Workspace) -> None:
    store = store_of(tmp_path, workspace, multilabel=True, clips_per_label=8)
    (fold,) = fit_probe(store, SMALL, workspace=workspace).scene_folds()
    assert fold.targets.sum(axis=1).max() == 2
    assert fold.probabilities.sum(axis=1).max() > 1.1
    p = fold.probabilities.astype(np.float64)
    expected = -np.where(fold.targets == 1, np.log(p), np.log1p(-p)).mean()
    assert fold.loss == pytest.approx(expected, rel=1e-3)


def test_another_run_gives_the_same_bits_and_another_seed_does_not(
    tmp_path: Path, workspace: Workspace
) -> None:
    store = store_of(tmp_path, workspace, folds=True)
    first = fit_probe(store, SMALL, workspace=workspace)
    cached = fit_probe(store, SMALL, workspace=workspace)
    elsewhere = dataclasses.replace(workspace, cache_dir=tmp_path / "other")
    afresh = fit_probe(store, SMALL, workspace=elsewhere)
    other = fit_probe(store, SMALL, seed=43, workspace=workspace)
    for a, b, c, d in zip(first.folds, cached.folds, afresh.folds, other.folds, strict=True):
        np.testing.assert_array_equal(a.probabilities, b.probabilities)
        np.testing.assert_array_equal(a.probabilities, c.probabilities)
        assert a.seconds == b.seconds
        assert not np.array_equal(a.probabilities, d.probabilities)
    assert first.grid == cached.grid == afresh.grid


@pytest.mark.parametrize("after", [1, 7, 12, 20])
def test_a_stopped_probe_goes_on_to_the_same_result(
    tmp_path: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    monkeypatch.setattr("hearbench.probe.checkpoint._SHARE_OF_TIME", 1e9)
    store = store_of(tmp_path, workspace, folds=True)
    elsewhere = dataclasses.replace(workspace, cache_dir=tmp_path / "undisturbed")
    expected = fit_probe(store, SMALL, workspace=elsewhere)
    with pytest.raises(StoppedError):
        fit_probe(store, SMALL, workspace=stopping(workspace, after), checkpoint_every_s=0.0)
    found = fit_probe(store, SMALL, workspace=workspace)
    assert found.grid == expected.grid
    for a, b in zip(found.folds, expected.folds, strict=True):
        np.testing.assert_array_equal(a.probabilities, b.probabilities)
        assert (a.loss, a.outcome) == (b.loss, b.outcome)


def test_points_without_a_defined_validation_are_tested_all_the_same(
    tmp_path: Path, workspace: Workspace
) -> None:
    # The validation split lacks a label, so the area under its curve doesn't exist.
    store = store_of(tmp_path, workspace, multilabel=True, scores=["aucroc"], clips_per_label=2)
    files = dict(store.task.splits["valid"])
    narrowed = {name: labels[:1] for name, labels in files.items() if labels[0] != "c"}
    splits = {**store.task.splits, "valid": {name: narrowed.get(name, ("a",)) for name in files}}
    broken = dataclasses.replace(store, task=dataclasses.replace(store.task, splits=splits))
    strict = fit_probe(broken, SMALL, workspace=workspace)
    assert strict.chosen == 0
    assert [(o.validation_score, o.best_epoch, o.ended) for o in strict.grid] == [
        (-math.inf, 2, "undefined_score")
    ] * 4
    (fold,) = strict.scene_folds()
    result = score(strict)
    assert result.primary.mean == pytest.approx(roc_auc_score(fold.targets, fold.probabilities))
    assert fold.loss > 0
    assert "4 of 4 grid points ended early" in result.notes[0]
    assert "test (epoch 2)" in result.notes[1]
    # Once more, of what was kept.
    again = fit_probe(broken, SMALL, workspace=workspace)
    np.testing.assert_array_equal(again.folds[0].probabilities, fold.probabilities)
    path = write_result(result, strict, tmp_path / "out")
    raw = json.loads(path.read_text(), parse_constant=pytest.fail)
    assert raw["folds"][0]["validation_score"] == "-Infinity"
    assert Result.read(path).grid[0].validation_score == -math.inf
    assert score_differences(result.scores, recompute(tmp_path / "out")) == []
    lenient = SMALL.model_copy(update={"nan_ends_point": False, "name": "lenient"})
    (fold,) = fit_probe(broken, lenient, workspace=workspace).scene_folds()
    assert not np.isnan(fold.probabilities).any()


@pytest.mark.parametrize("kind", ["scene", "event"])
def test_answers_that_are_not_finite_have_no_score(
    tmp_path: Path, workspace: Workspace, kind: str
) -> None:
    source = BANDS.replace("return torch.log", "return 5e37 * torch.log")
    make = make_scene_task if kind == "scene" else make_event_task
    task = load_task(make(tmp_path), workspace=workspace)
    model = load_model(str(write_model(tmp_path, source)), workspace=workspace)
    store = embed(model, task, workspace=workspace)
    hidden = SMALL.model_copy(update={"grid": SMALL.grid[:2]})
    predictions = fit_probe(store, hidden, workspace=workspace)
    (fold,) = predictions.folds
    assert np.isnan(fold.probabilities).all()
    assert math.isnan(fold.loss)
    result = score(predictions)
    assert all(math.isnan(summary.mean) for summary in result.scores.values())
    notes = " ".join(result.notes)
    assert "isn't finite" in notes
    assert "The largest number in the embeddings" in notes
    write_result(result, predictions, tmp_path / "out")
    assert score_differences(result.scores, recompute(tmp_path / "out")) == []
    assert math.isnan(uncertainty(tmp_path / "out").scores[result.primary_score].mean)


def test_progress_tells_folds_and_epochs(tmp_path: Path, workspace: Workspace) -> None:
    store = store_of(tmp_path, workspace, folds=True)
    told = Noted()
    fit_probe(store, SMALL, workspace=noting(workspace, told))
    assert told.stages == [f"{store.task.name}: training probes (small)"]
    # 20 epochs at most in each of three folds, of which every one counts alike.
    assert {total for _, total in told.counts} == {60}
    first, last = told.states[0], told.states[-1]
    assert re.match(
        r"fold 1 of 3, epoch \d+ of at most 20, 2 of 2 grid points, best 0\.\d", first.text
    )
    assert re.match(r"fold 3 of 3, epoch \d+ of at most 20, 1 x 16, uniform, lr ", last.text)
    assert 40 < last.done <= 60


def test_precision_is_honoured_and_recorded(tmp_path: Path, workspace: Workspace) -> None:
    store = store_of(tmp_path, workspace)
    exact = fit_probe(store, SMALL, precision="float32", workspace=workspace)
    rounded = fit_probe(store, SMALL, precision="bfloat16", workspace=workspace)
    assert (exact.precision, rounded.precision) == ("float32", "bfloat16")
    assert not np.array_equal(exact.folds[0].probabilities, rounded.folds[0].probabilities)
    with pytest.raises(ProbeError, match="float8"):
        fit_probe(store, SMALL, precision="float8", workspace=workspace)
    assert resolve_precision("auto", "cpu") in (torch.float32, torch.bfloat16)
    assert resolve_precision("auto", "meta") == torch.float32


def test_unknown_protocols_are_refused(tmp_path: Path, workspace: Workspace) -> None:
    with pytest.raises(UnknownNameError, match="hear2021"):
        fit_probe(store_of(tmp_path, workspace), "hear2022", workspace=workspace)
