"""From predictions to a result."""

from __future__ import annotations

import datetime as dt
import math
import platform
import time
from collections.abc import Iterator, Mapping

from hearbench._version import __version__
from hearbench.metrics import get_score
from hearbench.probe.grid import GridResult
from hearbench.probe.predictions import FittedProbe, FoldPrediction
from hearbench.probe.subset import training_clips
from hearbench.results.predictions import Predictions
from hearbench.results.record import EmbeddingsRecord, FoldResult, Resources, Result, StageRecord
from hearbench.results.splits import SPLIT_OF
from hearbench.worker.memory import peak_resident_mb

__all__ = ["score", "stage_records"]


def score(predictions: FittedProbe) -> Result:
    """Scores test predictions by all of the task's scores.

    Raises:
        UnknownNameError: The task asks for a score that doesn't exist.
    """
    metadata = predictions.task.metadata
    manifest = predictions.embeddings
    started = time.perf_counter()
    scores = Predictions.of(predictions).scores()
    scoring_s = time.perf_counter() - started
    peak_mb = peak_resident_mb()
    return Result(
        hearbench_version=__version__,
        model=manifest.model,
        task=manifest.task,
        kind=manifest.kind,
        prediction_type=metadata.prediction_type,
        n_labels=len(predictions.task.vocabulary),
        embeddings=EmbeddingsRecord(
            digest=predictions.embeddings_digest,
            dtype=manifest.dtype,
            size=manifest.embedding_size,
            kind=manifest.kind,
        ),
        protocol=predictions.protocol,
        seed=predictions.seed,
        device=predictions.device,
        precision=predictions.precision,
        versions=_versions(),
        primary_score=metadata.evaluation[0],
        scores=scores,
        folds=tuple(_fold_result(fold) for fold in predictions.folds),
        chosen=predictions.chosen,
        grid=predictions.grid,
        notes=_notes(predictions),
        resources=Resources(
            created=dt.datetime.now(dt.timezone.utc).isoformat(timespec="seconds"),
            embed_s=manifest.seconds,
            probe_s=sum(fold.seconds for fold in predictions.folds),
            fold_s={fold.fold.test: fold.seconds for fold in predictions.folds},
            audio_s=manifest.audio_s,
            embed_peak_memory_mb=manifest.peak_memory_mb,
            probe_peak_memory_mb=peak_mb,
            embeddings_path=predictions.embeddings_path,
            stages=stage_records(predictions, scoring_s=scoring_s, peak_memory_mb=peak_mb),
        ),
        layers=predictions.layers,
    )


def _notes(predictions: FittedProbe) -> tuple[str, ...]:
    notes = [*predictions.embeddings.notes]
    why = SPLIT_OF[predictions.task.task_type].undefined_when
    ended = [each for each in predictions.grid if each.ended == "undefined_score"]
    if ended:
        notes.append(
            f"{len(ended)} of {len(predictions.grid)} grid points ended early, as "
            f"{predictions.protocol.name!r} has it, at a validation whose score was undefined or "
            f"infinite ({why}, or what a network answers isn't finite). What counts of each is the "
            "best validation before."
        )
    first = [
        f"{fold.fold.test} (epoch {fold.outcome.best_epoch})"
        for fold in predictions.folds
        if fold.outcome.ended == "undefined_score" and _is_worst(fold.outcome, predictions)
    ]
    if first:
        notes.append(
            f"No validation was defined for the test split {', '.join(first)}, as "
            f"{predictions.task.metadata.evaluation[0]} is undefined there. What was tested is the "
            "network as it was after its first one. Such a score says little."
        )
    blank = [fold.fold.test for fold in predictions.folds if fold.is_blank]
    if blank:
        notes.append(
            f"There is no prediction for the test split {', '.join(blank)}, so there is no score: "
            "what the network answers isn't finite, or there was no validation."
        )
    notes += predictions.notes
    reduced = predictions.embeddings.reduced_batch
    if reduced is not None:
        notes.append(
            f"{predictions.embeddings.model.name} ran out of memory on batches of "
            f"{predictions.embeddings.batch} clips while embedding and got {reduced} at a time. "
            "That changes nothing beyond rounding, unless the model lets the clips of a batch "
            "influence each other."
        )
    return tuple(notes)


def _is_worst(outcome: GridResult, predictions: FittedProbe) -> bool:
    """Whether nothing better than an undefined validation was reached."""
    score = outcome.validation_score
    if not math.isinf(score):
        return False
    metadata = predictions.task.metadata
    name = metadata.evaluation[0]
    maximise = get_score(predictions.task.task_type, name).maximise
    lower_is_better = not metadata.use_scoring_for_early_stopping or not maximise
    return (score > 0) == lower_is_better


def _fold_result(fold: FoldPrediction) -> FoldResult:
    return FoldResult(
        test=fold.fold.test,
        valid=fold.fold.valid,
        train=fold.fold.train,
        n_clips=len(fold.clips),
        test_loss=fold.loss,
        validation_score=fold.outcome.validation_score,
        best_epoch=fold.outcome.best_epoch,
        epochs=fold.outcome.epochs,
        postprocessing=fold.outcome.postprocessing,
    )


def _versions() -> dict[str, str]:
    from importlib.metadata import version

    found: Mapping[str, str] = {name: version(name) for name in ("numpy", "scipy", "torch", "soxr")}
    return {"python": platform.python_version(), **found}


def stage_records(
    predictions: FittedProbe, *, scoring_s: float, peak_memory_mb: float | None
) -> tuple[StageRecord, ...]:
    """Embedding, the probe of each test split, and scoring, in this order.

    Args:
        predictions: Fitted probes, with the manifest of their embeddings.
        scoring_s: Seconds that all scores took.
        peak_memory_mb: The most memory that this process has had resident, MiB.
    """
    manifest = predictions.embeddings
    embedding = StageRecord(
        stage="embedding",
        seconds=manifest.seconds,
        throughput=_rate(manifest.audio_s, manifest.seconds),
        unit="seconds of audio",
        peak_memory_mb=manifest.peak_memory_mb,
        peak_device_memory_mb=manifest.peak_device_memory_mb,
        device_utilisation=manifest.device_utilisation,
    )
    scoring = StageRecord(
        stage="scoring",
        seconds=scoring_s,
        throughput=_rate(sum(len(fold.clips) for fold in predictions.folds), scoring_s),
        unit="test clips",
        peak_memory_mb=peak_memory_mb,
    )
    return (embedding, *_probes(predictions), scoring)


def _probes(predictions: FittedProbe) -> Iterator[StageRecord]:
    for number, fold in enumerate(predictions.folds):
        # The grid is tried on the first fold alone.
        outcomes = predictions.grid if number == 0 else (fold.outcome,)
        epochs = sum(outcome.epochs for outcome in outcomes)
        seen = epochs * _n_training_clips(predictions, fold)
        yield StageRecord(
            stage="probe",
            part=fold.fold.test,
            seconds=fold.seconds,
            # Neighbours learn without epochs.
            throughput=_rate(seen, fold.seconds) if epochs else None,
            unit="training clips",
            peak_memory_mb=fold.peak_memory_mb,
            peak_device_memory_mb=fold.peak_device_memory_mb,
            device_utilisation=fold.device_utilisation,
        )


def _n_training_clips(predictions: FittedProbe, fold: FoldPrediction) -> int:
    # A disturbed task may have the clips that are scored alone.
    own = training_clips(predictions.task.clean, fold.fold, predictions.protocol.subset)
    return sum(len(clips) for clips in own.values())


def _rate(amount: float, seconds: float) -> float | None:
    return amount / seconds if seconds > 0 else None
