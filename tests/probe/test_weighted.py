"""Probes on weighted sums of layers: which layer they find, and what a plain loop finds."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from helpers_models import BAND_LAYERS, BANDS, write_model
from helpers_probe import SMALL_GRID
from helpers_progress import StoppedError, stopping
from helpers_tasks import make_event_task, make_scene_task
from plain_loop import plain_fit, plain_network
from torch import nn

from hearbench import embed, fit_probe, load_model, load_task, score
from hearbench.embeddings.store import EmbeddingStore
from hearbench.errors import EmbeddingError, ProbeError
from hearbench.metrics.classification import top1_accuracy
from hearbench.probe.data import BatchSpec
from hearbench.probe.fit import fit_probes
from hearbench.probe.objective import Objective
from hearbench.probe.outputs import MULTICLASS
from hearbench.probe.protocol import GridPoint, Protocol
from hearbench.probe.reading import Reading, WeightedLayers
from hearbench.probe.scenes import SceneData, array_data
from hearbench.probe.training_loop import Trained, Training
from hearbench.results import Result, write_result
from hearbench.workspace import Workspace

ACCURACY = Objective(top1_accuracy, maximise=True)
N_LABELS = 5
Split = tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]]
SMALL = Protocol(name="small", grid=SMALL_GRID).that_reads("weighted")


def store_of(tmp_path: Path, workspace: Workspace, kind: str = "scene") -> EmbeddingStore:
    if kind == "scene":
        folder = make_scene_task(tmp_path, folds=True, clips_per_label=8)
    else:
        folder = make_event_task(tmp_path, clips=6, events_per_clip=4)
    model = load_model(str(write_model(tmp_path, BAND_LAYERS)), workspace=workspace)
    task = load_task(folder, workspace=workspace)
    return embed(model, task, workspace=workspace, layers="all")


@pytest.mark.parametrize("kind", ["scene", "event"])
def test_the_weights_of_every_fold_are_in_the_result(
    tmp_path: Path, workspace: Workspace, kind: str
) -> None:
    store = store_of(tmp_path, workspace, kind)
    protocol = SMALL.model_copy(update={"nan_ends_point": False})
    fitted = fit_probe(store, protocol, workspace=workspace)
    record = fitted.layers
    assert record is not None
    assert (record.numbers, record.chosen) == ((0, 1, 2, 3), None)
    assert list(record.weights) == [fold.fold.test for fold in fitted.folds]
    for weights in record.weights.values():
        assert sum(weights) == pytest.approx(1)
        assert max(abs(weight - 0.25) for weight in weights) > 0.001
    assert len(set(record.weights.values())) == len(fitted.folds)
    # What was kept says the same.
    assert fit_probe(store, protocol, workspace=workspace).layers == record
    path = write_result(score(fitted), fitted, tmp_path / "out")
    assert Result.read(path).layers == record
    two = fit_probe(store, SMALL.with_layers([3, 1]), workspace=workspace).layers
    assert two is not None
    assert two.numbers == (1, 3)
    assert all(len(weights) == 2 for weights in two.weights.values())


def test_one_layer_alone_is_read_as_it_is(tmp_path: Path, workspace: Workspace) -> None:
    store = store_of(tmp_path, workspace)
    single = fit_probe(store, SMALL.with_layers([2]), precision="float32", workspace=workspace)
    plain = fit_probe(
        store.layer(2), SMALL.of_one_layer(), precision="float32", workspace=workspace
    )
    assert single.layers is not None
    assert set(single.layers.weights.values()) == {(1.0,)}
    for a, b in zip(single.folds, plain.folds, strict=True):
        np.testing.assert_allclose(a.probabilities, b.probabilities, atol=2e-3)


def test_layers_that_are_missing_are_told(tmp_path: Path, workspace: Workspace) -> None:
    store = store_of(tmp_path, workspace)
    with pytest.raises(EmbeddingError, match="not layer 7"):
        fit_probe(store, SMALL.with_layers([0, 7]), workspace=workspace)
    model = load_model(str(write_model(tmp_path, BANDS, "bands")), workspace=workspace)
    plain = embed(model, store.task, workspace=workspace)
    with pytest.raises(ProbeError, match="layers of bands"):
        fit_probe(plain, SMALL, workspace=workspace)


@pytest.mark.parametrize("after", [3, 11])
def test_a_stopped_training_goes_on_to_the_same_result(
    tmp_path: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    monkeypatch.setattr("hearbench.probe.checkpoint._SHARE_OF_TIME", 1e9)
    store = store_of(tmp_path, workspace)
    elsewhere = dataclasses.replace(workspace, cache_dir=tmp_path / "undisturbed")
    expected = fit_probes(store, SMALL, seeds=[1, 2], workspace=elsewhere)
    stopped = stopping(workspace, after)
    with pytest.raises(StoppedError):
        fit_probes(store, SMALL, seeds=[1, 2], workspace=stopped, checkpoint_every_s=0.0)
    for found, own in zip(
        fit_probes(store, SMALL, seeds=[1, 2], workspace=workspace), expected, strict=True
    ):
        assert (found.grid, found.layers) == (own.grid, own.layers)
        for a, b in zip(found.folds, own.folds, strict=True):
            np.testing.assert_array_equal(a.probabilities, b.probabilities)


def layers_of(n: int, seed: int, *, n_layers: int = 6, size: int = 16, apart: float = 1.0) -> Split:
    """Layers (n, n_layers, size) of which the third alone knows the label, and labels."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).standard_normal((N_LABELS, size)) * apart
    labels = rng.integers(0, N_LABELS, n)
    x = rng.standard_normal((n, n_layers, size)) + np.arange(n_layers)[:, None]
    x[:, 2] += centres[labels]
    return x.astype(np.float32), np.eye(N_LABELS, dtype=np.uint8)[labels]


def data_of(train: Split, valid: Split, layers: slice = slice(None)) -> SceneData:
    def flat(split: Split) -> Split:
        return split[0][:, layers].reshape(len(split[0]), -1), split[1]

    spec = BatchSpec(256, "cpu", torch.float32)
    return array_data(flat(train), flat(valid), outputs=MULTICLASS, spec=spec)


def trained(data: SceneData, points: list[GridPoint], reading: Reading, seed: int = 1) -> Trained:
    training = Training(
        {seed: points}, data, ACCURACY, fold=0, dtype=torch.float32, reading=reading
    )
    return training.run()[seed]


@pytest.mark.parametrize("hidden", [0, 1, 2])
def test_the_layer_that_knows_the_label_is_found(hidden: int) -> None:
    train, valid = layers_of(600, 0), layers_of(600, 1)
    point = GridPoint(hidden_layers=hidden, hidden_dim=64, lr=3.2e-3, max_epochs=400, patience=20)
    every = data_of(train, valid)
    reading = WeightedLayers(every.inputs.offset, 6, linear=hidden == 0)
    weighted = trained(every, [point], reading)
    third = data_of(train, valid, slice(2, 3))
    alone = trained(third, [point], Reading(third.inputs.offset))
    assert weighted.weights is not None
    shares = reading.shares(weighted.weights).tolist()
    assert shares[2] >= 0.8
    best = [one.outcomes[0].validation_score for one in (weighted, alone)]
    assert best[0] > best[1] - 0.01
    assert best[1] > 0.9


class PlainWeighted(nn.Module):
    """A network on a weighted sum of layers, as one would first write it."""

    def __init__(self, n_layers: int, body: nn.Sequential) -> None:
        super().__init__()
        self.mix = nn.Parameter(torch.zeros(n_layers))
        self.body = body

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits of layers (batch, layers, size)."""
        logits: torch.Tensor = self.body((torch.softmax(self.mix, 0)[:, None] * x).sum(dim=1))
        return logits


def plain_training(train: Split, valid: Split, point: GridPoint, seed: int) -> tuple[float, float]:
    """The best validation of a plain loop, and the third layer's weight there."""
    torch.manual_seed(seed)
    n_layers, size = train[0].shape[1:]
    body = plain_network(
        size,
        N_LABELS,
        hidden_layers=point.hidden_layers,
        hidden_dim=point.hidden_dim,
        initialization=point.initialization,
        dropout=point.dropout,
    )
    module = PlainWeighted(n_layers, body)
    optimizer = torch.optim.Adam(body.parameters(), lr=point.lr)
    optimizer.add_param_group({"params": [module.mix], "lr": 100 * point.lr})
    fitted = plain_fit(
        module,
        optimizer,
        (torch.from_numpy(train[0]), torch.from_numpy(train[1].argmax(axis=1))),
        (torch.from_numpy(valid[0]), valid[1]),
        top1_accuracy,
        max_epochs=point.max_epochs,
        check_every=point.check_every,
        patience=point.patience,
        batch_size=256,
    )
    return fitted.validation_score, float(torch.softmax(module.mix, 0)[2].detach())


def test_five_seeds_score_as_those_of_a_plain_loop() -> None:
    train, valid = layers_of(500, 0), layers_of(1000, 1)
    point = GridPoint(hidden_layers=1, hidden_dim=32, lr=3.2e-3, max_epochs=60, patience=5)
    data = data_of(train, valid)
    reading = WeightedLayers(data.inputs.offset, 6)
    plain, stacked = [], []
    for seed in range(5):
        plain.append(plain_training(train, valid, point, seed))
        own = trained(data, [point], reading, seed)
        assert own.weights is not None
        share = float(reading.shares(own.weights)[2])
        stacked.append((own.outcomes[0].validation_score, share))
    # Scores, and the weight of the layer that knows the label.
    for theirs, ours in zip(np.transpose(plain), np.transpose(stacked), strict=True):
        spread = np.sqrt(np.var(theirs, ddof=1) / 5 + np.var(ours, ddof=1) / 5)
        assert abs(np.mean(theirs) - np.mean(ours)) < max(4 * spread, 0.01)
    score, share = np.mean(stacked, axis=0)
    assert score > 0.9
    assert share > 0.8


@pytest.mark.parametrize("standardise", [False, True])
def test_read_again_in_every_epoch_it_learns_the_same(standardise: bool) -> None:
    train, valid = layers_of(300, 0), layers_of(100, 1)
    found = []
    for memory in (1 << 30, 0):
        spec = BatchSpec(
            128, "cpu", torch.float32, max_memory_bytes=memory, standardise=standardise
        )
        flat = [(x.reshape(len(x), -1), y) for x, y in (train, valid)]
        data = array_data(flat[0], flat[1], outputs=MULTICLASS, spec=spec)
        reading = WeightedLayers(data.inputs.offset, 6)
        point = GridPoint(hidden_layers=1, hidden_dim=16, lr=3.2e-3, max_epochs=9)
        found.append(trained(data, [point], reading).weights)
    assert found[0] is not None
    assert found[1] is not None
    for name, tensor in found[0].items():
        assert torch.equal(found[1][name], tensor), name
