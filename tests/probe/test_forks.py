"""Protocols by which forks of the published evaluation work, against what their code says."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers_models import BANDS, write_model
from helpers_probe import post
from helpers_tasks import make_event_task, make_scene_task
from plain_loop import plain_network, plain_train
from sklearn.metrics import accuracy_score
from sklearn.model_selection import ParameterGrid
from torch import nn

from hearbench.embeddings.compute import embed, finish_store
from hearbench.evaluation.probes import ProbeSetup
from hearbench.models.loading import load_model
from hearbench.probe.fit import fit_probes
from hearbench.probe.kinds import kind_of
from hearbench.probe.network import ProbeStack, Step
from hearbench.probe.outputs import MULTICLASS
from hearbench.probe.protocol import FAST, HEAR2021, GridPoint, Protocol, get_protocol
from hearbench.probe.reading import WeightedLayers
from hearbench.results import score
from hearbench.tasks.store import load_task
from hearbench.tasks.task_type import EVENT, SCENE
from hearbench.workspace import Workspace

# What all forks leave as it was published.
SHARED = {"hidden_dim": [1024], "dropout": [0.1], "patience": [20], "max_epochs": [500]}


def tried(grid: dict[str, list[Any]]) -> list[GridPoint]:
    """The first eight points of a grid as the forks' runner draws them."""
    combined = list(ParameterGrid({**SHARED, **grid}))
    random.Random(42).shuffle(combined)
    return [
        GridPoint(check_every=point.pop("check_val_every_n_epoch"), **point)
        for point in combined[:8]
    ]


WIDE = {
    "hidden_layers": [1, 2],
    "lr": [3.2e-3, 1e-3, 3.2e-4, 1e-4],
    "initialization": ["uniform", "normal"],
    "check_val_every_n_epoch": [3],
}
DCASE = {"check_val_every_n_epoch": [10]}
NARROW = {
    "hidden_layers": [1],
    "lr": [1e-4],
    "initialization": ["normal"],
    "dropout": [0.1, 0.25],
    "check_val_every_n_epoch": [3],
}
BRIEF = {"max_epochs": [50], "check_val_every_n_epoch": [3, 10]}


@pytest.mark.parametrize(
    ("name", "task", "grid"),
    [
        ("mwmae", "esc50", NARROW),
        ("mwmae", "dcase2016_task2", {**NARROW, **DCASE}),
        ("listen", "esc50", WIDE),
        ("listen", "dcase2016_task2", {**WIDE, **DCASE}),
        ("listen-fast", "esc50", {**WIDE, **BRIEF}),
        ("listen-fast", "dcase2016_task2", {**WIDE, **BRIEF, **DCASE}),
        ("wavjepa", "esc50", WIDE),
        ("wavjepa", "dcase2016_task2", {**WIDE, "max_epochs": [10, 50], **DCASE}),
        ("encodecmae", "esc50", WIDE),
        ("encodecmae", "dcase2016_task2", {**WIDE, **DCASE}),
    ],
)
def test_grids_are_those_of_the_forks(name: str, task: str, grid: dict[str, list[Any]]) -> None:
    found = get_protocol(name).for_task(task).networks
    # Where all points are tried, their order decides between equals alone.
    assert found == tuple(tried(grid)) or (len(found) < 8 and set(found) == set(tried(grid)))


def test_wavjepa_is_the_published_protocol_but_for_one_task() -> None:
    protocol = get_protocol("wavjepa")
    assert protocol.for_task("esc50").grid == HEAR2021.grid
    task = "dcase2016_task2"
    assert protocol.for_task(task).grid == FAST.for_task(task).grid != HEAR2021.for_task(task).grid


@pytest.mark.parametrize("name", ["listen", "listen-fast"])
def test_listen_wants_longer_events(name: str, tmp_path: Path, workspace: Workspace) -> None:
    model = load_model(write_model(tmp_path, BANDS, "bands"), workspace=workspace)
    longer = (post(250, 250), post(250, 500))

    def ways(protocol: Protocol, place: str, **metadata: Any) -> object:
        task = load_task(make_event_task(tmp_path / place, **metadata), workspace=workspace)
        store = embed(model, task, workspace=workspace)
        kind = kind_of(store, protocol, device="cpu", max_memory_bytes=1 << 30)
        return getattr(kind, "postprocessing")  # noqa: B009 - of the kind of events alone

    assert ways(get_protocol(name), "plain") == longer
    assert ways(HEAR2021, "plain") == (post(250, 125), post(250, 250))
    own = {"event_postprocessing_grid": {"median_filter_ms": [150], "min_duration": [60]}}
    assert ways(get_protocol(name), "own", evaluation_params=own) == (post(150, 60),)


def test_listen_chooses_among_longer_events(tmp_path: Path, workspace: Workspace) -> None:
    model = load_model(write_model(tmp_path, BANDS, "bands"), workspace=workspace)
    task = load_task(make_event_task(tmp_path / "task"), workspace=workspace)
    store = embed(model, task, workspace=workspace)
    protocol = get_protocol("listen-fast").restricted(first=1)
    (fitted,) = fit_probes(store, protocol, seeds=[1], workspace=workspace)
    way = fitted.folds[0].outcome.postprocessing
    assert way in (post(250, 250), post(250, 500))
    assert score(fitted).protocol.postprocessing == (post(250, 250), post(250, 500))


BATCHES = """
SEEN = []
_scene = get_scene_embeddings
def get_scene_embeddings(audio, model):
    SEEN.append(len(audio))
    return _scene(audio, model) + 10 * len(audio)
"""


@pytest.mark.parametrize(("name", "clips"), [("mwmae", 1), ("listen", 256), ("hear2021", 336)])
def test_clips_are_embedded_in_other_batches(
    name: str, clips: int, tmp_path: Path, workspace: Workspace
) -> None:
    path = write_model(tmp_path, BANDS, "batches", BATCHES)
    model = load_model(path, workspace=workspace)
    task = load_task(make_scene_task(tmp_path / "task", clips_per_label=100), workspace=workspace)
    setup = ProbeSetup.of(name)
    _, wanted = setup.on(model, SCENE, "float32")
    store = finish_store(model, task, wanted, workspace)
    assert store.manifest.batch == clips
    # The task has 300 clips in a split, and the model adds ten for each of those that it got.
    plain = load_model(write_model(tmp_path / "plain", BANDS, "bands"), workspace=workspace)
    added = store.scene("train") - embed(plain, task, workspace=workspace).scene("train")
    together = [min(clips, 300 - first) for first in range(0, 300, clips)]
    expected = np.repeat([10.0 * n for n in together], together)
    np.testing.assert_allclose(added, np.tile(expected[:, None], 16), rtol=1e-5)


def test_clips_that_differ_in_length_are_embedded_one_by_one(
    tmp_path: Path, workspace: Workspace
) -> None:
    model = load_model(write_model(tmp_path, BANDS, "bands"), workspace=workspace)
    task = load_task(make_scene_task(tmp_path / "task", varying_lengths=True), workspace=workspace)
    _, wanted = ProbeSetup.of("listen").on(model, SCENE, "float32")
    assert finish_store(model, task, wanted, workspace).manifest.batch == 1
    _, wanted = ProbeSetup.of("listen").on(model, EVENT, "float32")
    assert (wanted.what, wanted.batch) == ("timestamp", 256)


def test_absolute_weights_of_layers_equal_a_plain_module() -> None:
    generator = torch.Generator().manual_seed(3)
    n_layers, size, n_labels = 3, 5, 4
    x = torch.randn(8, 32, n_layers, size, generator=generator) * 2
    x += torch.arange(1.0, n_layers + 1)[:, None]
    y = torch.randint(0, n_labels, (8, 32), generator=generator)
    offset = x.flatten(0, 1).mean(0).flatten()
    point = GridPoint(hidden_layers=1, hidden_dim=16, dropout=0.0, lr=3e-2)
    stack = ProbeStack(
        [point],
        [7],
        reading=WeightedLayers(offset, n_layers, absolute=True),
        n_labels=n_labels,
        outputs=MULTICLASS,
        dtype=torch.float32,
    )
    drawn = stack.snapshot(0)
    body = plain_network(
        size,
        n_labels,
        hidden_layers=1,
        hidden_dim=16,
        initialization="uniform",
        dropout=0.0,
    )
    first, last = (module for module in body if isinstance(module, nn.Linear))
    with torch.no_grad():
        for linear, name in ((first, "0"), (last, "out")):
            linear.weight.copy_(drawn[f"weight_{name}"])
            linear.bias.copy_(drawn[f"bias_{name}"])
    weights = nn.Parameter(torch.ones(n_layers))
    trained = [p for p in body.parameters() if p is not first.bias]
    optimizer = torch.optim.Adam([weights, *trained], lr=point.lr)
    for batch, labels in zip(x, y, strict=True):
        shares = weights.abs() / weights.abs().sum()
        logits = body((shares[:, None] * batch).sum(dim=1))
        optimizer.zero_grad()
        nn.functional.cross_entropy(logits, labels).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    stack.train_steps(Step(b.flatten(1) - offset, labels) for b, labels in zip(x, y, strict=True))
    assert float((weights - 1).detach().abs().max()) > 0.05
    torch.testing.assert_close(stack.snapshot(0)["mix"], weights.detach(), rtol=1e-4, atol=1e-5)
    reading = stack.reading
    assert isinstance(reading, WeightedLayers)
    shares = (weights.abs() / weights.abs().sum()).detach()
    torch.testing.assert_close(reading.shares(stack.snapshot(0)), shares, rtol=1e-4, atol=1e-5)


def test_mwmae_scores_as_a_plain_loop_does(tmp_path: Path, workspace: Workspace) -> None:
    """The same grid by plain PyTorch: equal but for the numbers that are drawn."""
    noisy = BANDS.replace(
        "torch.log(power.reshape(len(audio), 16, -1).mean(2) + 1e-3)",
        "torch.log(power.reshape(len(audio), 16, -1).mean(2) + 1e-3)"
        " + 2 * torch.sin(1e5 * audio[:, :16])",
    )
    model = load_model(write_model(tmp_path, noisy, "noisy"), workspace=workspace)
    labels = tuple("abcdef")
    task = load_task(
        make_scene_task(tmp_path / "task", labels=labels, clips_per_label=12), workspace=workspace
    )
    store = embed(model, task, workspace=workspace)
    x = {split: torch.from_numpy(store.scene(split)) for split in task.splits}
    y = {split: task.targets(split) for split in task.splits}
    of_tests = []
    for seed in range(4):
        outcomes = [
            plain_train(
                (x["train"], torch.from_numpy(y["train"].argmax(axis=1))),
                (x["valid"], y["valid"]),
                lambda p, t: float(accuracy_score(t.argmax(axis=1), p.argmax(axis=1))),
                hidden_layers=1,
                hidden_dim=1024,
                initialization="normal",
                lr=1e-4,
                dropout=dropout,
                max_epochs=500,
                check_every=3,
                patience=20,
                seed=seed,
            )
            for dropout in (0.1, 0.25)
        ]
        best = max(outcomes, key=lambda outcome: outcome.validation_score)
        with torch.no_grad():
            found = best.network(x["test"]).argmax(dim=1).numpy()
        of_tests.append(accuracy_score(y["test"].argmax(axis=1), found))
    ours = fit_probes(store, "mwmae", seeds=range(4), precision="float32", workspace=workspace)
    scores = [score(fitted).primary.mean for fitted in ours]
    assert 0.3 < np.mean(scores) < 0.97
    spread = np.sqrt(np.var(scores, ddof=1) / 4 + np.var(of_tests, ddof=1) / 4)
    assert abs(np.mean(scores) - np.mean(of_tests)) < 4 * max(spread, 0.005)
