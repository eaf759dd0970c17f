"""Results: scores from predictions, the file formats, and numbers that JSON can't hold."""

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from helpers_models import write_model
from helpers_tasks import make_scene_task
from hypothesis import given
from hypothesis import settings as settings_of_hypothesis
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError
from sklearn.metrics import accuracy_score, average_precision_score

from hearbench import embed, fit_probe, load_model, load_task, score
from hearbench.errors import ResultError
from hearbench.leaderboard.recompute import recompute
from hearbench.probe.predictions import FittedProbe
from hearbench.probe.protocol import GridPoint, Protocol
from hearbench.results import Number, Result, reference_form, write_result
from hearbench.results.aggregate import mean_std
from hearbench.results.differences import score_differences
from hearbench.workspace import Workspace

PROTOCOL = Protocol(
    name="quick",
    grid=(GridPoint(hidden_dim=8, max_epochs=4, check_every=2, patience=2),),
)


def predictions_of(tmp_path: Path, workspace: Workspace, folds: bool = True) -> FittedProbe:
    path = make_scene_task(
        tmp_path, folds=folds, clips_per_label=6, scores=["top1_acc", "mAP", "d_prime"]
    )
    model = load_model(str(write_model(tmp_path)), workspace=workspace)
    store = embed(model, load_task(path, workspace=workspace), workspace=workspace)
    return fit_probe(store, PROTOCOL, workspace=workspace)


def test_scores_are_scikit_learns_over_folds(tmp_path: Path, workspace: Workspace) -> None:
    predictions = predictions_of(tmp_path, workspace)
    result = score(predictions)
    accuracies = [
        accuracy_score(f.targets.argmax(1), f.probabilities.argmax(1))
        for f in predictions.scene_folds()
    ]
    precisions = [
        average_precision_score(f.targets, f.probabilities, average="macro")
        for f in predictions.scene_folds()
    ]
    summary = result.scores["top1_acc"]
    assert list(summary.per_fold.values()) == pytest.approx(accuracies, abs=1e-12)
    assert summary.mean == pytest.approx(np.mean(accuracies), abs=1e-12)
    assert summary.std == pytest.approx(np.std(accuracies, ddof=1), abs=1e-12)
    assert result.scores["mAP"].mean == pytest.approx(np.mean(precisions), abs=1e-12)
    assert result.primary_score == "top1_acc"
    assert result.primary is summary
    assert list(result.scores) == ["top1_acc", "mAP", "d_prime"]


def test_a_single_test_split_has_no_deviation(tmp_path: Path, workspace: Workspace) -> None:
    result = score(predictions_of(tmp_path, workspace, folds=False))
    assert result.primary.std is None
    assert list(result.primary.per_fold) == ["test"]
    assert "aggregated_scores" not in reference_form(result)


def test_a_result_is_written_and_read_back(tmp_path: Path, workspace: Workspace) -> None:
    predictions = predictions_of(tmp_path, workspace)
    result = score(predictions)
    path = write_result(result, predictions, tmp_path / "out")
    assert path == tmp_path / "out" / "result.json"
    read = Result.read(tmp_path / "out")
    assert read.model_dump_json() == result.model_dump_json()
    assert read.same_as(result)
    clips = json.loads((tmp_path / "out/predictions/clips.json").read_text())
    for fold in predictions.scene_folds():
        name = fold.fold.test
        stored = np.load(tmp_path / f"out/predictions/{name}.npy")
        np.testing.assert_array_equal(stored, fold.probabilities)
        targets = np.load(tmp_path / f"out/predictions/{name}.targets.npy")
        np.testing.assert_array_equal(targets, fold.targets)
        assert clips[name] == list(fold.clips)
    assert not list(tmp_path.rglob(".tmp-*"))


def test_two_runs_differ_in_resources_alone(tmp_path: Path, workspace: Workspace) -> None:
    first = score(predictions_of(tmp_path / "a", workspace))
    elsewhere = dataclasses.replace(workspace, cache_dir=tmp_path / "other")
    second = score(predictions_of(tmp_path / "a", elsewhere))
    assert first.resources != second.resources
    assert first.same_as(second)
    assert not first.same_as(second.model_copy(update={"seed": 1}))


def test_the_published_form_has_its_keys(tmp_path: Path, workspace: Workspace) -> None:
    predictions = predictions_of(tmp_path, workspace)
    result = score(predictions)
    write_result(result, predictions, tmp_path / "out")
    form = json.loads((tmp_path / "out/test.predicted-scores.json").read_text())
    assert set(form) == {
        "fold00",
        "fold01",
        "fold02",
        "aggregated_scores",
        "hparams",
        "postprocessing",
        "score_mode",
        "embedding_path",
    }
    keys = {"test_top1_acc", "test_mAP", "test_d_prime", "test_score", "test_loss"}
    keys |= {"validation_score", "epoch", "time_in_min"}
    assert set(form["fold01"]) == keys
    assert set(form["aggregated_scores"]) == {f"{k}_{p}" for k in keys for p in ("mean", "std")}
    assert form["aggregated_scores"]["test_score_mean"] == pytest.approx(result.primary.mean)
    assert form["fold02"]["test_score"] == form["fold02"]["test_top1_acc"]
    # Epochs from 0, as PyTorch Lightning counts them.
    assert form["fold01"]["epoch"] == result.folds[1].best_epoch - 1
    assert form["fold01"]["epoch"] in {1, 3}
    hparams = form["hparams"]
    assert "xavier_uniform_" in hparams.pop("initialization")
    assert list(hparams.items()) == [
        ("batch_size", 1024),
        ("check_val_every_n_epoch", 2),
        ("dropout", 0.1),
        ("embedding_norm", str(torch.nn.Identity)),
        ("hidden_dim", 8),
        ("hidden_layers", 1),
        ("hidden_norm", str(torch.nn.BatchNorm1d)),
        ("lr", 0.001),
        ("max_epochs", 4),
        ("norm_after_activation", False),
        ("optim", str(torch.optim.Adam)),
        ("patience", 2),
    ]
    assert form["score_mode"] == "max"
    assert reference_form(result, on_loss=True)["score_mode"] == "min"


def test_undefined_folds_are_left_out_and_written_as_valid_json(
    tmp_path: Path, workspace: Workspace
) -> None:
    predictions = predictions_of(tmp_path, workspace)
    first = predictions.scene_folds()[0]
    blank = dataclasses.replace(
        first,
        probabilities=np.full_like(first.probabilities, np.nan),
        loss=math.nan,
        outcome=first.outcome.model_copy(update={"validation_score": math.nan}),
    )
    broken = dataclasses.replace(predictions, folds=(blank, *predictions.folds[1:]))
    result = score(broken)
    for summary in result.scores.values():
        with np.errstate(invalid="ignore"):  # pandas' deviation of infinities
            column = pd.Series(list(summary.per_fold.values()))
            assert summary.mean == pytest.approx(column.mean(), nan_ok=True, abs=1e-12)
            assert summary.std == pytest.approx(column.std(), nan_ok=True, abs=1e-12)
    assert "no prediction for the test split fold00" in result.notes[0]
    path = write_result(result, broken, tmp_path / "out")

    def no_constants(name: str) -> float:
        raise AssertionError(f"{name} is not JSON")

    raw = json.loads(path.read_text(), parse_constant=no_constants)
    assert raw["scores"]["top1_acc"]["per_fold"]["fold00"] is None
    json.loads(
        (tmp_path / "out/test.predicted-scores.json").read_text(), parse_constant=no_constants
    )
    assert Result.read(path).primary.mean == result.primary.mean
    assert score_differences(result.scores, recompute(tmp_path / "out")) == []


@given(
    st.lists(
        st.one_of(st.floats(-100, 100), st.sampled_from([math.nan, math.inf, -math.inf])),
        min_size=2,
        max_size=7,
    )
)
@settings_of_hypothesis(deadline=None)
def test_means_and_deviations_are_those_of_pandas(values: list[float]) -> None:
    mean, std = mean_std(values)
    with np.errstate(invalid="ignore"):
        column = pd.Series(values)
        assert mean == pytest.approx(column.mean(), nan_ok=True, rel=1e-9, abs=1e-9)
        assert std == pytest.approx(column.std(), nan_ok=True, rel=1e-9, abs=1e-6)


def test_the_mean_leaves_out_an_undefined_fold() -> None:
    assert mean_std([0.5, math.nan, 0.7]) == pytest.approx((0.6, 0.1414213562))
    assert mean_std([math.nan, 0.7]) == pytest.approx((0.7, math.nan), nan_ok=True)
    assert mean_std([math.nan, math.nan]) == pytest.approx((math.nan, math.nan), nan_ok=True)
    assert mean_std([0.7]) == (0.7, None)


class Holder(BaseModel):
    value: Number


@pytest.mark.parametrize("value", [0.1, 1e-300, math.nan, math.inf, -math.inf])
def test_numbers_survive_json(value: float) -> None:
    text = Holder(value=value).model_dump_json()
    json.loads(text, parse_constant=pytest.fail)
    assert Holder.model_validate_json(text).value == pytest.approx(value, nan_ok=True)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{", "result.json"),
        ("{}", "Field required"),
        ('{"format_version": 2}', "format_version"),
        ('{"surprise": 1}', "result of format version 1"),
    ],
)
def test_other_files_are_refused_by_name(tmp_path: Path, content: str, says: str) -> None:
    path = tmp_path / "result.json"
    path.write_text(content)
    with pytest.raises(ResultError, match=says):
        Result.read(path)


def test_a_missing_result_is_named(tmp_path: Path) -> None:
    with pytest.raises(ResultError, match=r"result\.json can't be read"):
        Result.read(tmp_path / "result.json")


def test_unknown_keys_are_refused(tmp_path: Path, workspace: Workspace) -> None:
    raw = json.loads(score(predictions_of(tmp_path, workspace)).model_dump_json())
    with pytest.raises(ValidationError):
        Result.model_validate({**raw, "surprise": 1})
