"""What a probe says of a model's layers, and the tasks on which several can be read."""

import dataclasses
from pathlib import Path

import pytest
from helpers_models import BANDS, write_model
from helpers_tasks import make_event_task, make_scene_task
from pydantic import ValidationError

from hearbench import embed, fit_probe, load_model, load_task, score
from hearbench.errors import ProbeError, UnsuitableTaskError
from hearbench.evaluation.probes import ProbeSetup
from hearbench.probe.layers import LayersRecord, check_reading
from hearbench.probe.protocol import KNN, LINEAR, GridPoint, Protocol, get_protocol
from hearbench.results import Result, write_result
from hearbench.workspace import Workspace

SMALL = Protocol(name="small", grid=(GridPoint(hidden_layers=0, max_epochs=6, check_every=2),))


def test_records_are_of_the_layers_that_they_name() -> None:
    record = LayersRecord(numbers=(0, 6, 12), chosen=6, weights={"test": (0.2, 0.5, 0.3)})
    assert LayersRecord.model_validate_json(record.model_dump_json()) == record
    with pytest.raises(ValidationError, match="layer 5 was chosen"):
        LayersRecord(numbers=(0, 6, 12), chosen=5)
    with pytest.raises(ValidationError, match="2 weights of 3 layers"):
        LayersRecord(numbers=(0, 6, 12), weights={"test": (0.2, 0.5)})
    with pytest.raises(ValidationError):
        LayersRecord(numbers=())


def test_a_result_says_what_a_probe_found_out(tmp_path: Path, workspace: Workspace) -> None:
    task = load_task(make_scene_task(tmp_path), workspace=workspace)
    model = load_model(str(write_model(tmp_path, BANDS)), workspace=workspace)
    fitted = fit_probe(embed(model, task, workspace=workspace), SMALL, workspace=workspace)
    plain = score(fitted)
    assert plain.layers is None
    assert "layers" not in plain.model_dump(mode="json")
    record = LayersRecord(numbers=(0, 1), weights={"test": (0.25, 0.75)})
    found = dataclasses.replace(fitted, layers=record)
    result = score(found)
    assert result.layers == record
    path = write_result(result, found, tmp_path / "out")
    assert Result.read(path).layers == record
    assert not result.same_as(plain)


def test_frames_are_summed_on_scene_tasks_alone(tmp_path: Path, workspace: Workspace) -> None:
    scene = load_task(make_scene_task(tmp_path / "scene"), workspace=workspace)
    event = load_task(make_event_task(tmp_path / "event"), workspace=workspace)
    for task in (scene, event):
        for name in ("hear2021", "knn", "layers:knn", "weighted"):
            check_reading(get_protocol(name), task)
    check_reading(get_protocol("attentive"), scene)
    with pytest.raises(UnsuitableTaskError, match="frames have labels") as caught:
        check_reading(get_protocol("attentive"), event)
    assert event.name in str(caught.value)
    # Before anything is embedded.
    with pytest.raises(UnsuitableTaskError):
        ProbeSetup.of("attentive").check(event)
    ProbeSetup.of("attentive").check(scene)


def test_weights_are_learned_by_networks_alone(tmp_path: Path, workspace: Workspace) -> None:
    task = load_task(make_scene_task(tmp_path), workspace=workspace)
    wrong = KNN.model_copy(update={"reads": "weighted"})
    with pytest.raises(ProbeError, match="weighted:linear"):
        check_reading(wrong, task)


def test_a_probe_of_every_layer_is_many_probes(tmp_path: Path, workspace: Workspace) -> None:
    task = load_task(make_scene_task(tmp_path), workspace=workspace)
    model = load_model(str(write_model(tmp_path, BANDS)), workspace=workspace)
    store = embed(model, task, workspace=workspace)
    with pytest.raises(ProbeError, match="of_one_layer"):
        fit_probe(store, LINEAR.that_reads("layers"), workspace=workspace)
