"""What a result says of the time, throughput and memory of its stages."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from helpers_leaderboard import made_up_predictions
from helpers_models import write_model
from helpers_tasks import make_scene_task

from hearbench import embed, fit_probe, load_model, load_task, score
from hearbench.embeddings.manifest import FileRecord, ShardRecord
from hearbench.probe.predictions import FittedProbe
from hearbench.probe.protocol import GridPoint, Protocol
from hearbench.probe.subset import TrainSubset
from hearbench.results import Result
from hearbench.workspace import Workspace

POINT = GridPoint(hidden_dim=8, max_epochs=4, check_every=2, patience=2)
PROTOCOL = Protocol(name="quick", grid=(POINT, POINT.model_copy(update={"lr": 0.01})))


def predictions_of(tmp_path: Path, workspace: Workspace, protocol: Protocol) -> FittedProbe:
    path = make_scene_task(tmp_path, folds=True, clips_per_label=6, scores=["top1_acc"])
    model = load_model(str(write_model(tmp_path)), workspace=workspace)
    store = embed(model, load_task(path, workspace=workspace), workspace=workspace)
    return fit_probe(store, protocol, workspace=workspace)


def test_stages_add_up_and_count_what_came_through(tmp_path: Path, workspace: Workspace) -> None:
    predictions = predictions_of(tmp_path, workspace, PROTOCOL)
    took = score(predictions).resources
    assert [(each.stage, each.part) for each in took.stages] == [
        ("embedding", None),
        ("probe", "fold00"),
        ("probe", "fold01"),
        ("probe", "fold02"),
        ("scoring", None),
    ]
    embedding, *folds, scoring = took.stages
    assert (embedding.seconds, embedding.unit) == (took.embed_s, "seconds of audio")
    # 3 folds of 18 clips of 0.25 s.
    assert embedding.throughput == pytest.approx(3 * 18 * 0.25 / took.embed_s)
    assert embedding.peak_memory_mb == took.embed_peak_memory_mb
    assert sum(each.seconds for each in folds) == pytest.approx(took.probe_s)
    # One fold learns from 18 clips: one is for the test, one for the validation. The first one
    # has the epochs of both grid points, the others those of the winner.
    epochs = [sum(o.epochs for o in predictions.grid)]
    epochs += [fold.outcome.epochs for fold in predictions.folds[1:]]
    for each, count in zip(folds, epochs, strict=True):
        assert each.throughput == pytest.approx(18 * count / each.seconds)
        assert each.unit == "training clips"
    peaks = [each.peak_memory_mb for each in (*folds, scoring)]
    known = [peak for peak in peaks if peak is not None]
    assert known == sorted(known)
    assert len(known) in {0, 4}
    assert scoring.throughput == pytest.approx(54 / scoring.seconds)
    assert scoring.peak_memory_mb == took.probe_peak_memory_mb


def test_parts_of_the_training_clips_count_as_parts(tmp_path: Path, workspace: Workspace) -> None:
    part = PROTOCOL.model_copy(update={"subset": TrainSubset(shots=2)})
    predictions = predictions_of(tmp_path, workspace, part)
    second = score(predictions).resources.stages[2]
    # Two of each of three labels.
    seen = 6 * predictions.folds[1].outcome.epochs
    assert second.throughput == pytest.approx(seen / second.seconds)


def test_results_of_earlier_versions_are_read(tmp_path: Path) -> None:
    result = score(made_up_predictions("esc50-v2.0.0-full"))
    raw = json.loads(result.model_dump_json())
    del raw["resources"]["stages"]
    (tmp_path / "result.json").write_text(json.dumps(raw))
    read = Result.read(tmp_path)
    assert read.resources.stages == ()
    assert read.same_as(result)


def test_a_note_says_that_memory_was_short() -> None:
    predictions = made_up_predictions("dcase2016_task2-hear2021-full")
    assert score(predictions).notes == ()
    manifest = predictions.embeddings
    shards = tuple(_shard(index, reduced) for index, reduced in enumerate((None, 6, 3)))
    own = dataclasses.replace(
        predictions, embeddings=manifest.model_copy(update={"shards": shards})
    )
    (note,) = score(own).notes
    assert note.startswith(
        f"{manifest.model.name} ran out of memory on batches of {manifest.batch} clips while "
        "embedding and got 3 at a time."
    )


def _shard(index: int, reduced: int | None) -> ShardRecord:
    return ShardRecord(
        split="test",
        index=index,
        clips=("a.wav",),
        frames=None,
        embeddings=FileRecord(name="a.npy", bytes=1, sha256="0" * 64),
        timestamps=None,
        audio_s=1.0,
        seconds=1.0,
        reduced_batch=reduced,
    )
