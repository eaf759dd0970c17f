"""What the stages of an evaluation took, from what each of them noted."""

from __future__ import annotations

from collections.abc import Iterator

from hearbench.probe.predictions import FittedProbe, FoldPrediction
from hearbench.probe.training_clips import training_clips
from hearbench.results.record import StageRecord

__all__ = ["stage_records"]


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
    own = training_clips(predictions.task, fold.fold, predictions.protocol.subset)
    return sum(len(clips) for clips in own.values())


def _rate(amount: float, seconds: float) -> float | None:
    return amount / seconds if seconds > 0 else None
