from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers_models import BANDS, write_model
from helpers_tasks import make_scene_task

from hearbench import embed, fit_probe, load_model, load_task
from hearbench.probe.precision import exact_float32
from hearbench.probe.protocol import GridPoint, Protocol
from hearbench.workspace import Workspace

SMALL = Protocol(
    name="small",
    batch_size=32,
    grid=tuple(
        GridPoint(hidden_layers=layers, hidden_dim=64, lr=1e-2, max_epochs=4, check_every=2)
        for layers in (2, 0)
    ),
)


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    yield
    torch.set_float32_matmul_precision("highest")


def product() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(256, 256, generator=generator) for _ in range(2))
    return a @ b


@pytest.mark.parametrize("allowed", ["highest", "high", "medium"])
def test_float32_is_multiplied_as_float32_whatever_is_allowed(allowed: str) -> None:
    exact = product()
    torch.set_float32_matmul_precision(allowed)
    before = product()
    with exact_float32():
        assert torch.equal(product(), exact)
    assert torch.get_float32_matmul_precision() == allowed
    assert torch.equal(product(), before)


def test_an_error_changes_nothing_for_others() -> None:
    torch.set_float32_matmul_precision("medium")
    with pytest.raises(ZeroDivisionError), exact_float32():
        raise ZeroDivisionError
    assert torch.get_float32_matmul_precision() == "medium"


def test_what_a_model_allows_itself_changes_no_score(tmp_path: Path, workspace: Workspace) -> None:
    task = load_task(make_scene_task(tmp_path, clips_per_label=16), workspace=workspace)
    model = load_model(str(write_model(tmp_path, BANDS)), workspace=workspace)
    store = embed(model, task, workspace=workspace)
    plain = fit_probe(store, SMALL, precision="float32", workspace=workspace)
    torch.set_float32_matmul_precision("medium")
    other = dataclasses.replace(workspace, cache_dir=tmp_path / "other")
    changed = fit_probe(store, SMALL, precision="float32", workspace=other)
    for a, b in zip(plain.folds, changed.folds, strict=True):
        np.testing.assert_array_equal(a.probabilities, b.probabilities)
        assert a.loss == b.loss
