"""Votes of neighbours against scikit-learn's, block sizes, ties, and whole tasks."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers_models import BANDS, write_model
from helpers_tasks import make_event_task, make_scene_task
from sklearn.neighbors import KNeighborsClassifier

from hearbench import embed, fit_probe, load_model, load_task, score
from hearbench.probe.data import BatchSpec
from hearbench.probe.neighbours import Neighbours
from hearbench.probe.objective import Objective
from hearbench.probe.outputs import MULTICLASS
from hearbench.probe.protocol import KNN, NeighbourPoint, get_protocol
from hearbench.probe.scenes import KeptClips, SceneData, array_data
from hearbench.workspace import Workspace

N_LABELS = 4


def sets(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(5).standard_normal((N_LABELS, 6))
    labels = rng.integers(0, N_LABELS, n)
    x = (centres[labels] + rng.standard_normal((n, 6)) + 2).astype(np.float32)
    return x, np.eye(N_LABELS, dtype=np.uint8)[labels]


def fold(batch_size: int = 64, **changes: object) -> SceneData:
    x, y = sets(300, 0)
    spec = BatchSpec(batch_size, "cpu", torch.float32, **changes)  # type: ignore[arg-type]
    return array_data((x, y), sets(120, 1), outputs=MULTICLASS, spec=spec)


def embeddings(data: SceneData) -> torch.Tensor:
    assert isinstance(data.valid, KeptClips)
    return data.valid.x


def shares(points: list[NeighbourPoint], data: SceneData) -> np.ndarray:
    logits = Neighbours(points, data).predict(embeddings(data))
    return torch.softmax(logits, dim=1).permute(0, 2, 1).numpy()


@pytest.mark.parametrize("metric", ["cosine", "euclidean", "l1"])
@pytest.mark.parametrize("k", [1, 3, 10])
def test_shares_are_scikit_learns(metric: Any, k: int) -> None:
    x, y = sets(300, 0)
    plain = KNeighborsClassifier(k, metric="manhattan" if metric == "l1" else metric)
    plain.fit(x, y.argmax(axis=1))
    found = shares([NeighbourPoint(k=k, metric=metric)], fold())[0]
    # Nearer ones count more by less than one vote of k.
    np.testing.assert_allclose(found, plain.predict_proba(sets(120, 1)[0]), atol=0.5 / k)
    if k == 1:
        assert (found.argmax(axis=1) == plain.predict(sets(120, 1)[0])).all()


def test_points_and_batches_are_independent_of_each_other() -> None:
    points = [NeighbourPoint(k=k, metric=m) for m in ("cosine", "euclidean") for k in (1, 7, 30)]
    together = shares(points, fold())
    for point, expected in zip(points, together, strict=True):
        np.testing.assert_allclose(shares([point], fold(batch_size=17))[0], expected, atol=1e-5)
    some = Neighbours(points, fold()).predict(embeddings(fold()), [4, 1])
    np.testing.assert_allclose(
        torch.softmax(some, dim=1).permute(0, 2, 1).numpy(), together[[4, 1]], atol=1e-5
    )


def test_equal_votes_go_to_the_nearest() -> None:
    x = np.array([[0.0], [3.0], [10.0]], dtype=np.float32)
    y = np.eye(3, dtype=np.uint8)
    query = np.array([[2.9]], dtype=np.float32)
    spec = BatchSpec(2, "cpu", torch.float32)
    data = array_data((x, y), (query, y[:1]), outputs=MULTICLASS, spec=spec)
    found = shares([NeighbourPoint(k=3, metric="euclidean")], data)[0, 0]
    assert found.argmax() == 1
    assert found.min() > 0.2


def test_more_neighbours_than_clips_are_all_clips() -> None:
    found = shares([NeighbourPoint(k=1000)], fold())[0]
    expected = sets(300, 0)[1].mean(axis=0)
    np.testing.assert_allclose(found, np.broadcast_to(expected, found.shape), atol=0.01)


def test_the_loss_is_finite_and_that_of_the_shares() -> None:
    data = fold()
    neighbours = Neighbours([NeighbourPoint(k=1), NeighbourPoint(k=10)], data)
    objective = Objective(lambda *_: 0.0, maximise=True, on_loss=True)
    losses = [v.score for v in data.validate(neighbours, [0, 1], objective)]
    found = shares([NeighbourPoint(k=1), NeighbourPoint(k=10)], data)
    labels = data.valid.y.numpy()
    expected = [-np.log(one[np.arange(len(labels)), labels]).mean() for one in found]
    assert losses == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("kind", ["multiclass", "multilabel", "event"])
def test_a_whole_task(tmp_path: Path, workspace: Workspace, kind: str) -> None:
    path = (
        make_event_task(tmp_path, clips=6, events_per_clip=4)
        if kind == "event"
        else make_scene_task(tmp_path, multilabel=kind == "multilabel", clips_per_label=8)
    )
    task = load_task(path, workspace=workspace)
    model = load_model(str(write_model(tmp_path, BANDS)), workspace=workspace)
    store = embed(model, task, workspace=workspace)
    predictions = fit_probe(store, "knn", workspace=workspace)
    result = score(predictions)
    assert result.primary.mean > 0.5
    assert result.protocol == KNN
    assert {outcome.ended for outcome in predictions.grid} == {"asked"}
    again = fit_probe(
        store, "knn", seed=7, workspace=dataclasses.replace(workspace, max_memory_gb=0.0)
    )
    np.testing.assert_allclose(
        again.folds[0].probabilities, predictions.folds[0].probabilities, atol=1e-6
    )


@pytest.mark.parametrize("metric", ["cosine", "euclidean", "l1"])
@pytest.mark.parametrize("exponent", [-130, -90, -40, 40, 63, 100, 116])
def test_embeddings_of_any_size_have_the_same_neighbours(metric: Any, exponent: int) -> None:
    scale = np.float32(2.0**exponent)
    x, y = sets(300, 0)
    valid_x, valid_y = sets(120, 1)
    # Whole numbers, which a power of two leaves as exact as they are.
    x, valid_x = np.round(x * 64) + 1, np.round(valid_x * 64) + 1
    spec = BatchSpec(64, "cpu", torch.float32)
    data = array_data((x * scale, y), (valid_x * scale, valid_y), outputs=MULTICLASS, spec=spec)
    plain = KNeighborsClassifier(1, metric="manhattan" if metric == "l1" else metric)
    plain.fit(x, y.argmax(axis=1))
    found = shares([NeighbourPoint(k=1, metric=metric)], data)[0].argmax(axis=1)
    distances, _ = plain.kneighbors(valid_x, 2)
    clear = distances[:, 1] - distances[:, 0] > 1e-3 * distances[:, 0]
    assert clear.sum() > 90
    assert (found == plain.predict(valid_x))[clear].all()


@pytest.mark.parametrize("metric", ["cosine", "euclidean", "l1"])
@pytest.mark.parametrize("where", ["train", "valid"])
@pytest.mark.parametrize("huge", [-1e10, -3e37])
def test_one_huge_embedding_changes_no_other(metric: Any, where: str, huge: float) -> None:
    x, y = sets(300, 0)
    valid_x, valid_y = sets(120, 1)
    (x if where == "train" else valid_x)[5, 2] = huge
    spec = BatchSpec(64, "cpu", torch.float32)
    data = array_data((x, y), (valid_x, valid_y), outputs=MULTICLASS, spec=spec)
    plain = KNeighborsClassifier(
        1, metric="manhattan" if metric == "l1" else metric, algorithm="brute"
    )
    plain.fit(x.astype(np.float64), y.argmax(axis=1))
    found = shares([NeighbourPoint(k=1, metric=metric)], data)[0].argmax(axis=1)
    expected = plain.predict(valid_x.astype(np.float64))
    usual = np.arange(120) != (5 if where == "valid" else -1)
    assert (found == expected)[usual].mean() > 0.98
    assert np.isfinite(shares([NeighbourPoint(k=3, metric=metric)], data)).all()


CONSTANT = """
import torch
class Model(torch.nn.Module):
    sample_rate = 16000
    scene_embedding_size = timestamp_embedding_size = 3
def load_model(path=""):
    return Model()
def get_scene_embeddings(audio, model):
    return torch.full((len(audio), 3), 7.0)
def get_timestamp_embeddings(audio, model):
    ms = 50.0 + 100 * torch.arange(20)
    return torch.full((len(audio), 20, 3), 7.0), ms.expand(len(audio), 20)
"""


@pytest.mark.parametrize("kind", ["scene", "event"])
def test_a_constant_embedding_is_noted(tmp_path: Path, workspace: Workspace, kind: str) -> None:
    make = make_scene_task if kind == "scene" else make_event_task
    task = load_task(make(tmp_path, folds=True), workspace=workspace)
    store = embed(
        load_model(str(write_model(tmp_path, CONSTANT)), workspace=workspace),
        task,
        workspace=workspace,
    )
    notes = score(fit_probe(store, KNN, workspace=workspace)).notes
    what = "clips" if kind == "scene" else "frames"
    assert [note for note in notes if f"All {what} of fold00, fold01, fold02 have the same" in note]


def test_embeddings_that_overflow_a_network_are_noted(tmp_path: Path, workspace: Workspace) -> None:
    task = load_task(make_scene_task(tmp_path), workspace=workspace)
    notes = {}
    for name, factor in (("usual", "1.0"), ("huge", "1e30"), ("tiny", "1e-30")):
        source = BANDS.replace("return torch.log", f"return {factor} * torch.log")
        (tmp_path / name).mkdir()
        model = load_model(str(write_model(tmp_path / name, source)), workspace=workspace)
        store = embed(model, task, workspace=workspace)
        for protocol in ("linear", "knn", "hear2021-standardised"):
            short = get_protocol(protocol).restricted(first=1)
            notes[name, protocol] = score(fit_probe(store, short, workspace=workspace)).notes
    told = {key for key, found in notes.items() if any("largest number" in n for n in found)}
    assert told == {("huge", "linear"), ("tiny", "linear")}
