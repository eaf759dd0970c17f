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
from hearbench.probe.data import ProbeData, resident_data
from hearbench.probe.neighbours import Neighbours
from hearbench.probe.objective import Objective
from hearbench.probe.protocol import KNN, NeighbourPoint
from hearbench.settings import Settings

N_LABELS = 4


def sets(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(5).standard_normal((N_LABELS, 6))
    labels = rng.integers(0, N_LABELS, n)
    x = (centres[labels] + rng.standard_normal((n, 6)) + 2).astype(np.float32)
    return x, np.eye(N_LABELS, dtype=np.uint8)[labels]


def fold(batch_size: int = 64, **changes: object) -> ProbeData:
    x, y = sets(300, 0)
    return resident_data(
        [x],
        [y],
        *sets(120, 1),
        multilabel=False,
        batch_size=batch_size,
        device="cpu",
        dtype=torch.float32,
        **changes,  # type: ignore[arg-type]
    )


def shares(points: list[NeighbourPoint], data: ProbeData) -> np.ndarray:
    logits = Neighbours(points, data).predict(data.valid_x)
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
    some = Neighbours(points, fold()).predict(fold().valid_x, [4, 1])
    np.testing.assert_allclose(
        torch.softmax(some, dim=1).permute(0, 2, 1).numpy(), together[[4, 1]], atol=1e-5
    )


def test_equal_votes_go_to_the_nearest() -> None:
    x = np.array([[0.0], [3.0], [10.0]], dtype=np.float32)
    y = np.eye(3, dtype=np.uint8)
    query = np.array([[2.9]], dtype=np.float32)
    data = resident_data(
        [x], [y], query, y[:1], multilabel=False, batch_size=2, device="cpu", dtype=torch.float32
    )
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
    labels = data.valid_y.numpy()
    expected = [-np.log(one[np.arange(len(labels)), labels]).mean() for one in found]
    assert losses == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("kind", ["multiclass", "multilabel", "event"])
def test_a_whole_task(tmp_path: Path, settings: Settings, kind: str) -> None:
    path = (
        make_event_task(tmp_path, clips=6, events_per_clip=4)
        if kind == "event"
        else make_scene_task(tmp_path, multilabel=kind == "multilabel", clips_per_label=8)
    )
    task = load_task(path, settings=settings)
    model = load_model(str(write_model(tmp_path, BANDS)), settings=settings)
    store = embed(model, task, settings=settings)
    predictions = fit_probe(store, "knn", settings=settings)
    result = score(predictions)
    assert result.primary.mean > 0.5
    assert result.protocol == KNN
    assert {outcome.ended for outcome in predictions.grid} == {"asked"}
    again = fit_probe(
        store, "knn", seed=7, settings=dataclasses.replace(settings, max_memory_gb=0.0)
    )
    np.testing.assert_allclose(
        again.folds[0].probabilities, predictions.folds[0].probabilities, atol=1e-6
    )
