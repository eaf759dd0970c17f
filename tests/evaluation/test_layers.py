"""Evaluations that use the layers of a model."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from helpers_models import BAND_LAYERS, BANDS, write_model
from helpers_tasks import make_event_task, make_scene_task

import hearbench
from hearbench.embeddings.store import read_manifest
from hearbench.errors import ModelError, ProbeError
from hearbench.evaluation.few_labels import FewLabels
from hearbench.evaluation.probes import ProbeSetup
from hearbench.evaluation.run import embed_tasks
from hearbench.execution.shard import Shard
from hearbench.probe.protocol import get_protocol
from hearbench.results import Result
from hearbench.results.uncertainty import read_uncertainty
from hearbench.workspace import Workspace

TASK = "tones-1.0.0-full"
SWEEP = get_protocol("layers:linear").restricted(only={"lr": "0.0032"})
PLAIN = get_protocol("linear").restricted(only={"lr": "0.0032"})
# Three labels, and a model that knows them in its layer 2 alone; its other layers are noise that
# depends on the clip.
ONE_KNOWS = BAND_LAYERS.replace(
    "return found",
    "noise = torch.sin(1e6 * frames[..., :16])\n"
    "        return [noise, noise.roll(1, 2), found[0], noise.roll(2, 2)]",
)


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_scene_task(tmp_path_factory.mktemp("task"), clips_per_label=12)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model(tmp_path, ONE_KNOWS, "net")


def content(folder: Path) -> dict[str, object]:
    """All files of a result's folder, but for times and memory."""
    found: dict[str, object] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix == ".json":
            read = json.loads(path.read_text())
            if path.name == "result.json":
                read.pop("resources")
            elif path.name == "test.predicted-scores.json":
                read = re.sub(r'"time_in_min": .*|/[^"]*', "", path.read_text())
            found[str(path.relative_to(folder))] = read
        elif path.suffix == ".npy":
            found[str(path.relative_to(folder))] = path.read_bytes()
    return found


def test_the_best_layer_by_validation_is_the_result(
    tmp_path: Path, task: Path, model: Path, workspace: Workspace
) -> None:
    out = tmp_path / "out"
    results = hearbench.evaluate(model, [task], protocol=SWEEP, out=out, workspace=workspace)
    (result,) = results
    assert isinstance(result, Result)
    assert result.layers is not None
    assert (result.layers.numbers, result.layers.chosen) == ((0, 1, 2, 3), 2)
    assert result.protocol.name == "layers:linear[lr=0.0032]"
    folder = out / "net" / TASK
    each = [Result.read(folder / "layers" / f"{k:02d}") for k in range(4)]
    assert result.primary.mean == each[2].primary.mean > 0.9
    assert result.folds == each[2].folds
    assert max(each[k].folds[0].validation_score for k in (0, 1, 3)) < 0.8
    assert all(one.protocol == PLAIN for one in each)
    assert all(read_uncertainty(folder / "layers" / f"{k:02d}") for k in range(4))
    # Each of them is what the model gives that is loaded with this layer alone.
    for k in range(4):
        alone = hearbench.ModelRef(str(model), options=(("layer", k),))
        (expected,) = hearbench.evaluate(
            alone,
            [task],
            protocol=PLAIN,
            out=tmp_path / "alone",
            workspace=Workspace(tmp_path / f"cache{k}", "cpu", 2),
        )
        assert isinstance(expected, Result)
        assert each[k].scores == expected.scores
        assert each[k].grid == expected.grid


def test_nothing_is_made_twice(
    tmp_path: Path, task: Path, model: Path, workspace: Workspace
) -> None:
    out = tmp_path / "out"
    first = hearbench.evaluate(model, [task], protocol=SWEEP, out=out, workspace=workspace)
    again = hearbench.evaluate(model, [task], protocol=SWEEP, out=out, workspace=workspace)
    assert list(again) == list(first)
    before = content(out)
    # Without the result itself, what was made of layers is kept.
    (out / "net" / TASK / "result.json").unlink()
    made = (out / "net" / TASK / "layers" / "00" / "result.json").stat().st_mtime_ns
    hearbench.evaluate(model, [task], protocol=SWEEP, out=out, workspace=workspace)
    assert (out / "net" / TASK / "layers" / "00" / "result.json").stat().st_mtime_ns == made
    assert content(out) == before


def test_each_seed_has_a_layer_of_its_own(
    tmp_path: Path, task: Path, model: Path, workspace: Workspace
) -> None:
    setup = ProbeSetup.of(SWEEP, seeds=2, layers=[0, -2, -1])
    out = tmp_path / "out"
    hearbench.evaluate(model, [task], protocol=setup, out=out, workspace=workspace)
    folder = out / "net" / TASK
    for place in (folder, folder / "seeds" / "43"):
        result = Result.read(place)
        assert result.layers is not None
        assert (result.layers.numbers, result.layers.chosen) == ((0, 2, 3), 2)
        assert result.protocol.layers == (0, 2, 3)
    assert sorted(path.name for path in (folder / "layers").iterdir()) == ["00", "02", "03"]
    assert (folder / "layers" / "02" / "seeds" / "43" / "result.json").is_file()


def test_few_labels_of_layers(
    tmp_path: Path, task: Path, model: Path, workspace: Workspace
) -> None:
    few = FewLabels.of(ProbeSetup.of(SWEEP), shots=[2], repeats=1)
    out = tmp_path / "out"
    results = hearbench.evaluate(model, [task], protocol=few, out=out, workspace=workspace)
    ((_, curve),) = results.curves
    (point,) = curve.points
    assert point.scores["top1_acc"].mean > 0.5


def test_shards_give_what_one_process_gives(tmp_path: Path, task: Path, model: Path) -> None:
    outs = []
    for n in (1, 2):
        workspace = Workspace(tmp_path / f"cache{n}", "cpu", 2)
        out = tmp_path / f"out{n}"
        executor = Shard(1, n, workspace) if n > 1 else None
        hearbench.evaluate(
            model, [task], protocol=SWEEP, out=out, workspace=workspace, executor=executor
        )
        outs.append(content(out))
    assert outs[0] == outs[1]


def test_layers_of_events(tmp_path: Path, workspace: Workspace) -> None:
    events = make_event_task(tmp_path / "task")
    path = write_model(tmp_path, BAND_LAYERS, "net")
    setup = ProbeSetup.of(get_protocol("layers:linear").restricted(first=1), layers=[0, -1])
    out = tmp_path / "out"
    (result,) = hearbench.evaluate(path, [events], protocol=setup, out=out, workspace=workspace)
    assert isinstance(result, Result)
    assert result.layers is not None
    assert result.layers.numbers == (0, 3)
    folder = out / "net" / result.task.name
    each = {k: Result.read(folder / "layers" / f"{k:02d}") for k in (0, 3)}
    best = max(each, key=lambda k: each[k].folds[0].validation_score)
    assert result.layers.chosen == best
    assert result.scores == each[best].scores
    # Frames of these two layers alone are kept.
    (store,) = (workspace.cache_dir / "embeddings" / result.task.name / "net+layers").iterdir()
    assert read_manifest(store).layers == (0, 3)


def test_layers_are_embedded_for_later(tmp_path: Path, task: Path, workspace: Workspace) -> None:
    path = write_model(tmp_path, BAND_LAYERS, "net")
    (store,) = embed_tasks(path, [task], layers=[1, -1], workspace=workspace).stores
    assert store.layers == (1, 3)
    (store,) = embed_tasks(path, [task], layers="all", workspace=workspace).stores
    assert store.layers == (0, 1, 2, 3)
    before = store.manifest
    (alone,) = embed_tasks(
        hearbench.ModelRef(str(path), options=(("layer", 1),)), [task], workspace=workspace
    ).stores
    assert alone.digest == store.layer(1).digest
    assert alone.manifest.device == before.device


def test_a_weighted_sum_finds_the_layer_that_knows(
    tmp_path: Path, task: Path, model: Path, workspace: Workspace
) -> None:
    protocol = get_protocol("weighted:linear").restricted(only={"lr": "0.0032"})
    (result,) = hearbench.evaluate(
        model, [task], protocol=protocol, out=tmp_path / "out", workspace=workspace
    )
    assert isinstance(result, Result)
    assert result.layers is not None
    (weights,) = result.layers.weights.values()
    assert sum(weights) == pytest.approx(1)
    assert int(np.argmax(weights)) == 2
    assert result.primary.mean > 0.9


def test_attention_over_frames(tmp_path: Path, task: Path, workspace: Workspace) -> None:
    path = write_model(
        tmp_path, BAND_LAYERS, "net", "def load_model(path=''):\n    return Net(0)\n"
    )
    protocol = get_protocol("attentive:linear").restricted(only={"lr": "0.0032"})
    (result,) = hearbench.evaluate(
        path, [task], protocol=protocol, out=tmp_path / "out", workspace=workspace
    )
    assert isinstance(result, Result)
    assert result.primary.mean > 0.9
    assert result.kind == "scene"
    assert result.embeddings.size == 16


def test_what_cannot_be(tmp_path: Path, task: Path, workspace: Workspace) -> None:
    path = write_model(tmp_path, BANDS, "bands")
    with pytest.raises(hearbench.EvaluationError, match="bands doesn't give its layers") as caught:
        hearbench.evaluate(path, [task], protocol=SWEEP, out=tmp_path / "out", workspace=workspace)
    assert isinstance(caught.value.results.failures[0].error, ModelError)
    with pytest.raises(ProbeError, match="and linear"):
        ProbeSetup.of(PLAIN, layers=[1])
