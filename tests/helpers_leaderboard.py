"""Results of the benchmark's own tasks, scored from predictions that are made up."""

from __future__ import annotations

import dataclasses
import datetime as dt
import math
from pathlib import Path
from typing import Any

import numpy as np
from helpers_probe import post

from hearbench.embeddings.manifest import Manifest, ModelRecord, TaskRecord
from hearbench.files import write_json
from hearbench.leaderboard.bundle import write_bundle
from hearbench.leaderboard.card import Card
from hearbench.leaderboard.columns import leaderboard_tasks
from hearbench.leaderboard.own_row import own_row
from hearbench.leaderboard.submission import MeasuredModel, Submission, missing_columns
from hearbench.leaderboard.table import COLUMNS
from hearbench.metrics.event_lists import EventArrays
from hearbench.probe.events import events_from_frames
from hearbench.probe.grid import GridResult
from hearbench.probe.predictions import EventFoldPrediction, FittedProbe, SceneFoldPrediction
from hearbench.probe.protocol import HEAR2021, GridPoint, Protocol
from hearbench.results import score, write_result
from hearbench.results.uncertainty import UNCERTAINTY_FILE, uncertainty
from hearbench.tasks.catalog import TaskSpec, catalog_task
from hearbench.tasks.clips import Event
from hearbench.tasks.spec import TaskMetadata
from hearbench.tasks.store import PreparedTask
from hearbench.validate import CHECKS
from hearbench.validate.report import CheckResult, ModelFacts, Report

N_CLIPS = 20
ESC50 = "esc50-v2.0.0-full"
DCASE = "dcase2016_task2-hear2021-full"
_LABELS = ("a", "b", "c")
_HOP_MS = 50.0


def made_up_task(name: str, seed: int = 0) -> PreparedTask:
    """A task of the catalog with few clips and no audio."""
    known = catalog_task(name)
    assert known is not None
    spec, mode = known
    counted = leaderboard_tasks().get(name)
    tests = counted.test_splits if counted else ("test",)
    splits = tests if len(tests) > 1 else ("train", "valid", "test")
    metadata = TaskMetadata.model_validate(spec.recipe(mode, (16000,)).metadata(splits))
    rng = np.random.default_rng(seed)
    return PreparedTask(
        folder=Path(name),
        metadata=metadata,
        vocabulary=_LABELS,
        splits={split: _clips(spec, split, rng) for split in splits},
        audio_folders={},
        audio_digests={},
        source_digest="0" * 64,
    )


def _clips(spec: TaskSpec, split: str, rng: np.random.Generator) -> Any:
    names = [f"{split}-{i}.wav" for i in range(N_CLIPS)]
    if spec.embedding_type == "scene":
        return {name: (_LABELS[i % len(_LABELS)],) for i, name in enumerate(names)}
    starts = np.round(rng.uniform(0, 1500, N_CLIPS), 3).tolist()
    return {
        name: (Event(_LABELS[i % len(_LABELS)], starts[i], starts[i] + 400.0),)
        for i, name in enumerate(names)
    }


def made_up_predictions(
    name: str,
    *,
    model: str = "my_model",
    wrong: int = 0,
    protocol: Protocol = HEAR2021,
    seed: int = 0,
    **more: Any,
) -> FittedProbe:
    """FittedProbe for a task: of each test split so many clips are taken for another label."""
    task = made_up_task(name, seed)
    own = protocol.for_task(task.metadata.task_name, task.metadata.evaluation_params)
    event = task.kind == "event"
    grid_values = task.metadata.evaluation_params or {}
    ways = grid_values.get("event_postprocessing_grid", {})
    way = post(ways.get("median_filter_ms", [250])[0], ways.get("min_duration", [125])[0])
    on_loss = not task.metadata.use_scoring_for_early_stopping
    outcomes = tuple(
        # The third is the best, whether more is better or less.
        GridResult(
            point=point, validation_score=abs(i - 2) / 10 if on_loss else 0.9 - abs(i - 2) / 10,
            **_epochs(point), postprocessing=way if event else None,
        )
        for i, point in enumerate(own.networks)
    )  # fmt: skip
    chosen = min(2, len(outcomes) - 1)
    rng = np.random.default_rng(seed + 1)
    build = _event_fold if event else _scene_fold
    manifest = Manifest(
        hearbench_version="0",
        key="0" * 16,
        kind=task.kind,
        dtype=more.pop("dtype", "float32"),
        batch=8,
        model=ModelRecord(
            name=model, spec=model, weights=None, weights_digest=None, source_digest="1" * 64,
            options={}, digest=more.pop("digest", "2" * 64), sample_rate=16000,
            scene_embedding_size=8, timestamp_embedding_size=8,
        ),
        task=TaskRecord(name=task.name, digest="3" * 64),
        device="cpu", seconds=1.0, audio_s=10.0, peak_memory_mb=None, peak_device_memory_mb=None,
        shards=(),
    )  # fmt: skip
    return FittedProbe(
        task=task, embeddings=manifest, embeddings_digest="4" * 64, embeddings_path="embeddings",
        protocol=own, seed=42, precision="float32", device="cpu", grid=outcomes, chosen=chosen,
        folds=tuple(build(task, fold, outcomes[chosen], wrong, rng) for fold in task.folds()),
    )  # fmt: skip


def _epochs(point: GridPoint) -> dict[str, Any]:
    """The best epoch, how many were trained and why no more, if the first validation was best."""
    every = point.check_every
    patient = every * (1 + point.patience)
    last = point.max_epochs // every * every
    if patient <= last:
        return {"best_epoch": every, "epochs": patient, "ended": "patience"}
    return {"best_epoch": every, "epochs": last, "ended": "max_epochs"}


def _scene_fold(
    task: PreparedTask, fold: Any, outcome: GridResult, wrong: int, rng: np.random.Generator
) -> SceneFoldPrediction:
    targets = task.targets(fold.test)
    scores = rng.random(targets.shape) * 0.2 + targets
    scores[:wrong] = np.roll(scores[:wrong], 1, axis=1)
    probabilities = (scores / scores.sum(axis=1, keepdims=True)).astype(np.float32)
    clips = tuple(task.splits[fold.test])
    return SceneFoldPrediction(
        fold=fold, clips=clips, probabilities=probabilities, targets=targets,
        loss=0.5, outcome=outcome, seconds=1.0,
    )  # fmt: skip


def _event_fold(
    task: PreparedTask, fold: Any, outcome: GridResult, wrong: int, rng: np.random.Generator
) -> EventFoldPrediction:
    clips = tuple(task.splits[fold.test])
    events: list[list[Event]] = [list(task.splits[fold.test][clip]) for clip in clips]  # type: ignore[arg-type]
    times = np.arange(25.0, 2000.0, _HOP_MS)
    probabilities = rng.uniform(0, 0.4, (len(clips), len(times), len(_LABELS))).astype(np.float32)
    for i, listed in enumerate(events):
        for event in listed:
            on = (times >= event.start_ms) & (times <= event.end_ms)
            shift = 1 if i < wrong else 0
            probabilities[i, on, (_LABELS.index(event.label) + shift) % len(_LABELS)] = 0.9
    bounds = np.arange(len(clips) + 1, dtype=np.int64) * len(times)
    flat, all_times = probabilities.reshape(-1, len(_LABELS)), np.tile(times, len(clips))
    assert outcome.postprocessing is not None
    found = events_from_frames(flat, bounds, all_times, [outcome.postprocessing])[0]
    reference = EventArrays.from_clips(events, _LABELS)
    return EventFoldPrediction(
        fold=fold, clips=clips, bounds=bounds, timestamps_ms=all_times, probabilities=flat,
        reference=reference, estimate=found, loss=math.log(2), outcome=outcome, seconds=1.0,
    )  # fmt: skip


def write_made_up_result(out: Path, name: str, *, model: str = "my_model", **more: Any) -> Path:
    """``out/<model>/<task>`` as ``hearbench evaluate`` writes it; returns that folder."""
    predictions = made_up_predictions(name, model=model, **more)
    folder = out / model / name
    write_result(score(predictions), predictions, folder)
    return folder


def write_scene_and_event_result(out: Path) -> Path:
    """A result of each kind with some errors; the model's folder."""
    write_made_up_result(out, ESC50, wrong=5)
    write_made_up_result(out, DCASE, wrong=4)
    return out / "my_model"


def write_honest_submission(folder: Path) -> Path:
    """Writes a submission that can be taken: a scene task, and an event task with two seeds.

    Returns:
        The bundle's folder, below the one that is given.
    """
    today = dt.datetime.now(dt.timezone.utc).date()
    versions = {"python": "3.11"}
    results = {}
    for name in (ESC50, DCASE):
        results[name] = folder / name
        for seed in (42, 43) if name == DCASE else (42,):
            predictions = dataclasses.replace(made_up_predictions(name, wrong=3), seed=seed)
            place = folder / name if seed == 42 else folder / name / "seeds" / str(seed)
            write_result(score(predictions), predictions, place)
        sure = uncertainty(folder / name, n_resamples=20)
        write_json(folder / name / UNCERTAINTY_FILE, sure.model_dump(mode="json"))
        # Of no use to the leaderboard, and not submitted.
        (folder / name / "few-labels").mkdir()
        (folder / name / "few-labels" / "notes.txt").write_text("mine")
    card = Card(
        model="My model", team="Us", authors=("A",), url="https://example.org/m",
        description="What it is.", pretraining="none", training_sets=(), api="my_model",
        licence="MIT",
    )  # fmt: skip
    own = own_row(list(results.values()), card.model, url=card.url, submitted=today.isoformat())
    submission = Submission(
        hearbench_version="0.1.0",
        created=today,
        card=card,
        model=MeasuredModel(
            n_weights=1, sample_rate=16000, scene_embedding_size=8, timestamp_embedding_size=8,
            hop_ms=50.0, digest="2" * 64, weights_digest=None, versions=versions,
        ),
        scores=dict(zip(COLUMNS, own.row.scores, strict=True)),
        tasks=tuple(sorted(results)),
        missing=missing_columns(own.row, {}, {}),
    )  # fmt: skip
    facts = ModelFacts(
        name="my_model", spec="my_model", python="p", sample_rate=16000, scene_embedding_size=8,
        timestamp_embedding_size=8, hop_ms=50.0, versions=versions,
    )  # fmt: skip
    checks = tuple(
        CheckResult(name=name, verdict="pass", expected="x", found="y") for name in CHECKS
    )
    report = Report(model=facts, quick=False, checks=checks, seconds=1.0)
    write_bundle(folder / "bundle", submission, report, results)
    return folder / "bundle"
