"""What a training notes about itself."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from helpers_models import BANDS, write_model
from helpers_tasks import make_scene_task

from hearbench import embed, load_model, load_task
from hearbench.embeddings.gpu_meter import GpuMeter
from hearbench.probe import fold_training
from hearbench.probe.fold_training import Learned, Plan, learn
from hearbench.probe.kinds import kind_of
from hearbench.probe.protocol import GridPoint, Protocol, by_shape
from hearbench.workspace import Workspace

SMALL = Protocol(
    name="small",
    grid=tuple(
        GridPoint(hidden_layers=layers, hidden_dim=8, lr=lr, max_epochs=2, check_every=1)
        for layers, lr in ((1, 1e-2), (0, 1e-2), (1, 1e-3))
    ),
)


def test_how_busy_the_gpu_was_is_kept_with_the_training(
    tmp_path: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = iter([0.25, 0.75])

    class Meter(GpuMeter):
        def take(self) -> float | None:
            return next(said)

    monkeypatch.setattr(fold_training, "GpuMeter", Meter)
    task = load_task(make_scene_task(tmp_path), workspace=workspace)
    model = load_model(str(write_model(tmp_path, BANDS)), workspace=workspace)
    store = embed(model, task, workspace=workspace)
    kind = kind_of(store, SMALL, device="cpu", max_memory_bytes=1 << 30)
    plan = Plan(kind, SMALL, {7: tmp_path / "kept"}, "cpu", torch.float32, 1, None, 30.0)
    (fold,) = task.folds()

    def learned() -> Learned:
        return learn(plan, 0, fold, {7: range(3)})[7]

    first = learned()
    assert first.device_utilisation is not None
    assert 0.25 < first.device_utilisation < 0.75
    # Found again, where nobody is asked any more.
    again = learned()
    assert again.device_utilisation == first.device_utilisation
    assert again.seconds == first.seconds


def test_points_of_one_shape_are_trained_together_whatever_their_seed() -> None:
    one, linear, other = SMALL.grid
    assert by_shape(SMALL.networks) == [[0, 2], [1]]
    found = list(fold_training._shapes({1: [linear], 2: [one, linear, other], 3: [one]}))  # type: ignore[list-item]
    assert found == [{1: [linear], 2: [linear]}, {2: [one, other], 3: [one]}]
