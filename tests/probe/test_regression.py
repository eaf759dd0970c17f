"""Probes of numbers, from what a network's outputs stand for to whole evaluations."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers_models import BANDS, write_model
from helpers_tasks import TRAIN_VALID_TEST, tone, write_task
from scipy import stats
from sklearn.linear_model import Ridge
from sklearn.metrics import mean_absolute_error, r2_score
from sklearn.neighbors import KNeighborsRegressor
from sklearn.preprocessing import StandardScaler

from hearbench import (
    FewLabels,
    Perturbed,
    ProbeSetup,
    embed,
    evaluate,
    fit_probe,
    load_model,
    load_task,
    score,
)
from hearbench.comparison.compare import compare
from hearbench.embeddings.store import EmbeddingStore
from hearbench.errors import HearError, ResultError
from hearbench.probe.grid import GridPoint
from hearbench.probe.network import ProbeStack
from hearbench.probe.outputs import Standardised
from hearbench.probe.protocol import NeighbourPoint, Protocol
from hearbench.probe.reading import Reading
from hearbench.results import write_result
from hearbench.results.predictions import Predictions
from hearbench.results.uncertainty import uncertainty
from hearbench.workspace import Workspace

SIZES = {"train": 96, "valid": 24, "test": 40}
POINT = GridPoint(hidden_layers=1, hidden_dim=32, max_epochs=200, check_every=5, lr=1e-2)
SMALL = Protocol(name="small", grid=(POINT,), batch_size=32)


def make_task(folder: Path) -> Path:
    """Tones of some pitch and level, both of which are asked for."""
    rng = np.random.default_rng(0)
    splits: dict[str, dict[str, list[dict[str, object]]]] = {}
    audio: dict[str, dict[str, np.ndarray]] = {}
    for split in TRAIN_VALID_TEST:
        splits[split], audio[split] = {}, {}
        for i in range(SIZES[split]):
            log2_hz, level_db = rng.uniform(8, 12), rng.uniform(-30, 0)
            name = f"{split}{i}.wav"
            x = tone(2**log2_hz, 0.25, 16000, rng) * 10 ** (level_db / 20)
            audio[split][name] = np.rint(x).astype(np.int16)
            splits[split][name] = [
                {"label": "octave", "value": log2_hz},
                {"label": "level_db", "value": level_db},
            ]
    metadata = {
        "task_name": "tones", "version": "1.0.0", "mode": "full", "embedding_type": "scene",
        "prediction_type": "regression", "split_mode": "trainvaltest",
        "splits": list(TRAIN_VALID_TEST), "sample_duration": 0.25,
        "evaluation": ["r2", "pearson_r", "ccc", "mae"],
    }  # fmt: skip
    return write_task(
        folder / "tones-1.0.0-full",
        metadata=metadata,
        vocabulary=["octave", "level_db"],
        splits=splits,
        audio=audio,
        sample_rates=[16000],
    )


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return Workspace(cache_dir=tmp_path_factory.mktemp("cache"), device="cpu")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, workspace: Workspace) -> EmbeddingStore:
    folder = tmp_path_factory.mktemp("tones")
    model = load_model(str(write_model(folder, BANDS)), workspace=workspace)
    return embed(model, load_task(make_task(folder), workspace=workspace), workspace=workspace)


def arrays(store: EmbeddingStore, *splits: str) -> tuple[np.ndarray, np.ndarray]:
    x = np.concatenate([store.embeddings(split) for split in splits])
    return x, np.concatenate([store.task.targets(split) for split in splits])


def test_targets_are_standardised_as_scikit_learn_does() -> None:
    targets = np.random.default_rng(0).normal(40.0, 7.0, (30, 2))
    targets[:, 1] = 0.1  # the same for all
    outputs = Standardised.of(targets)
    expected = StandardScaler().fit_transform(targets[:, :1])
    np.testing.assert_allclose(outputs.labels(targets)[:, :1], expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(outputs.labels(targets)[:, 1], 0.0, atol=1e-6)
    back = outputs.predictions(torch.from_numpy(outputs.labels(targets)).T)
    np.testing.assert_allclose(back, targets, rtol=1e-5)


def test_the_loss_is_the_mean_squared_error() -> None:
    outputs = Standardised(np.zeros(2), np.ones(2))
    logits, y = torch.randn(3, 2, 5), torch.randn(5, 2)
    expected = [torch.nn.functional.mse_loss(one.T, y) for one in logits]
    torch.testing.assert_close(outputs.losses(logits, y), torch.stack(expected))
    stack = ProbeStack(
        [POINT],
        [0],
        reading=Reading(torch.zeros(4)),
        n_labels=2,
        outputs=outputs,
        dtype=torch.float32,
    )
    torch.testing.assert_close(stack.losses(logits, y), torch.stack(expected))


def test_a_probe_is_as_good_as_ridge_regression(
    store: EmbeddingStore, workspace: Workspace, tmp_path: Path
) -> None:
    x, y = arrays(store, "train")
    test_x, test_y = arrays(store, "test")
    ridge = Ridge(alpha=1.0).fit(StandardScaler().fit(x).transform(x), y)
    of_ridge = r2_score(test_y, ridge.predict(StandardScaler().fit(x).transform(test_x)))
    fitted = fit_probe(store, SMALL, workspace=workspace)
    (fold,) = fitted.scene_folds()
    predicted = fold.probabilities
    result = score(fitted)
    found = {name: each.mean for name, each in result.scores.items()}
    assert found["r2"] == pytest.approx(r2_score(test_y, predicted), rel=1e-6)
    assert found["mae"] == pytest.approx(mean_absolute_error(test_y, predicted), rel=1e-6)
    pearson = [stats.pearsonr(predicted[:, i], test_y[:, i]).statistic for i in range(2)]
    assert found["pearson_r"] == pytest.approx(np.mean(pearson), rel=1e-6)
    assert not result.scores["mae"].maximise
    # What isn't linear is learned, too.
    assert found["r2"] > of_ridge - 0.02 > 0.5
    # In the task's units; the loss is of standardised ones.
    deviation = y.std(axis=0)
    expected = (((predicted - test_y) / deviation) ** 2).mean()
    assert fold.loss == pytest.approx(expected, rel=1e-4)


def test_neighbours_are_averaged(store: EmbeddingStore, workspace: Workspace) -> None:
    point = NeighbourPoint(k=5, metric="euclidean")
    fitted = fit_probe(store, Protocol(name="near", grid=(point,)), workspace=workspace)
    (fold,) = fitted.scene_folds()
    x, y = arrays(store, "train")
    nearest = KNeighborsRegressor(5).fit(x, y)
    expected = nearest.predict(arrays(store, "test")[0])
    np.testing.assert_allclose(fold.probabilities, expected, rtol=1e-3, atol=1e-3)


def test_results_are_written_read_and_compared(
    store: EmbeddingStore, workspace: Workspace, tmp_path: Path
) -> None:
    folders = []
    for name, k in (("a", 1), ("b", 5)):
        protocol = Protocol(name="near", grid=(NeighbourPoint(k=k, metric="euclidean"),))
        fitted = fit_probe(store, protocol, workspace=workspace)
        fitted = dataclasses.replace(
            fitted,
            embeddings=fitted.embeddings.model_copy(
                update={"model": fitted.embeddings.model.model_copy(update={"name": name})}
            ),
        )
        result = score(fitted)
        folder = tmp_path / name / result.task.name
        write_result(result, fitted, folder)
        folders.append(folder)
    read = Predictions.read(folders[0])
    read.verify(store.task)
    assert read.scores()["r2"].mean == pytest.approx(result_of(folders[0], "r2"))
    found = uncertainty(folders[0])
    clips = found.scores["r2"].clips
    assert clips is not None
    interval = clips.interval
    assert interval.low < result_of(folders[0], "r2") < interval.high < 1
    compared = compare([tmp_path / "a", tmp_path / "b"], n_resamples=200, across_protocols=True)
    (task,) = compared.tasks
    (pair,) = task.pairs
    assert task.score == "r2"
    assert pair.difference == pytest.approx(
        result_of(folders[0], "r2") - result_of(folders[1], "r2")
    )
    assert pair.low < pair.difference < pair.high
    targets = np.load(folders[0] / "predictions" / "test.targets.npy")
    assert targets.dtype == np.float64
    targets[0, 0] = np.nan
    np.save(folders[0] / "predictions" / "test.targets.npy", targets)
    with pytest.raises(ResultError, match=r"test.targets.npy"):
        Predictions.read(folders[0]).verify()


def result_of(folder: Path, name: str) -> float:
    value: float = json.loads((folder / "result.json").read_text())["scores"][name]["mean"]
    return value


def test_few_labels_and_disturbed_audio(tmp_path: Path, workspace: Workspace) -> None:
    brief = POINT.model_copy(update={"max_epochs": 30})
    short = Protocol(name="short", grid=(brief,), batch_size=32)
    probe = ProbeSetup.of(short, 1, workspace=workspace)
    setups = [
        probe,
        FewLabels.of(probe, fractions=[0.25], shots=[8], repeats=2),
        Perturbed.of(probe, ["noise=20"]),
    ]
    results = evaluate(
        write_model(tmp_path, BANDS),
        make_task(tmp_path),
        protocol=setups,
        out=tmp_path / "out",
        workspace=workspace,
    )
    assert results.failures == []
    folder = tmp_path / "out" / "stats" / "tones-1.0.0-full"
    curve = json.loads((folder / "few-labels" / "curve.json").read_text())
    assert [point["n_clips"] for point in curve["points"]] == [24, 8]
    (robust,) = results.robustness
    (point,) = robust[1].points
    # Noise at 20 dB below the tones; had it other units, R2 would be far below 0.
    assert -0.5 < point.scores["r2"] < robust[1].clean["r2"] < 1


@pytest.mark.parametrize("protocol", ["distance", "zero-shot", "clustering"])
def test_what_needs_labels_refuses_numbers(
    tmp_path: Path, workspace: Workspace, protocol: str
) -> None:
    with pytest.raises(HearError, match="is a regression task"):
        evaluate(
            write_model(tmp_path, BANDS),
            make_task(tmp_path),
            protocol=protocol,
            out=tmp_path / "out",
            workspace=workspace,
        )
