"""Results: scores, what made them, and the files that they are kept in.

A result is a folder::

    result.json                   this module's `Result`
    test.predicted-scores.json    the same scores in the published evaluation's own form
    predictions/clips.json        file names per test split, in the order of the rows
    predictions/labels.json       the vocabulary
    predictions/<split>.npy       float32 probabilities (n_clips or n_frames, n_labels)

and of a scene task ``<split>.targets.npy``, uint8 multi-hot labels (n_clips, n_labels); of an
event task, whose frames stand clip after clip::

    predictions/<split>.bounds.npy       int64 (n_clips + 1,) first frame of each clip
    predictions/<split>.timestamps.npy   float64 (n_frames,) in ms
    predictions/<split>.events.json      what was found: {clip: [{"label", "start", "end"}]}, ms
    predictions/<split>.reference.json   what was annotated, likewise
    predictions/<split>.per_label.json   all parts of all scores, overall and per label

Numbers that JSON can't hold are null where undefined (NaN), and the strings ``"Infinity"`` and
``"-Infinity"``. Two runs of the same thing differ in ``resources`` alone.
"""

from __future__ import annotations

import datetime as dt
import math
import platform
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, ValidationError

from hearkit._version import __version__
from hearkit.embeddings.manifest import ModelRecord, TaskRecord
from hearkit.errors import ResultError
from hearkit.files import json_safe, write_json, write_npy
from hearkit.metrics import get_event_score, get_scene_score
from hearkit.probe.predictions import EventFoldPrediction, FoldPrediction, Predictions
from hearkit.probe.protocol import GridPoint, Protocol
from hearkit.probe.search import Outcome

__all__ = [
    "EmbeddingsRecord",
    "FoldResult",
    "GridResult",
    "Number",
    "PartSummary",
    "PostprocessingRecord",
    "Resources",
    "Result",
    "ScoreSummary",
    "reference_form",
    "score",
    "write_result",
]

RESULT_FILE = "result.json"
REFERENCE_FILE = "test.predicted-scores.json"

Number = Annotated[
    float,
    BeforeValidator(lambda value: math.nan if value is None else value),
    PlainSerializer(json_safe, return_type=Any, when_used="json"),
]
"""A float that survives JSON: NaN as null, infinities as strings."""


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PartSummary(_Record):
    """One number over the test splits.

    Attributes:
        mean: Unweighted mean over test splits.
        std: Sample standard deviation over folds (ddof 1); None with a single test split.
        per_fold: By test split.
    """

    mean: Number
    std: Number | None
    per_fold: dict[str, Number]


class ScoreSummary(PartSummary):
    """One score of a task.

    Attributes:
        maximise: Whether higher is better.
        parts: What it is made of, by name: precision and recall of an F-measure.
    """

    maximise: bool
    parts: dict[str, PartSummary] = Field(default_factory=dict)


class PostprocessingRecord(_Record):
    """How frames became events; both in ms."""

    median_filter_ms: float
    min_duration_ms: float


class FoldResult(_Record):
    """One training and its test split.

    Attributes:
        test: The split that is scored.
        valid: The split that chose.
        train: The splits that were learned from.
        n_clips: Clips in the test split.
        test_loss: Mean loss on it.
        validation_score: The best validation of the chosen grid point.
        best_epoch: After which epoch that was; 0 if no validation was defined.
        epochs: How many were trained.
        postprocessing: Of the best validation, with which the test was scored (event tasks).
    """

    test: str
    valid: str
    train: tuple[str, ...]
    n_clips: int
    test_loss: Number
    validation_score: Number
    best_epoch: int
    epochs: int
    postprocessing: PostprocessingRecord | None = None


class GridResult(_Record):
    """How a grid point fared on the first fold.

    Attributes:
        point: Its hyperparameters.
        validation_score: Its best validation; null where a validation was undefined.
        best_epoch: After which epoch.
        epochs: How many were trained.
        ended: ``patience``, ``max_epochs`` or ``undefined_score``.
        postprocessing: Of the best validation (event tasks).
    """

    point: GridPoint
    validation_score: Number
    best_epoch: int
    epochs: int
    ended: str
    postprocessing: PostprocessingRecord | None = None


class EmbeddingsRecord(_Record):
    """Which embeddings were scored.

    Attributes:
        digest: Of their content.
        dtype: On disk.
        size: Numbers per embedding.
        kind: ``scene`` or ``event``.
    """

    digest: str
    dtype: str
    size: int
    kind: str


class Resources(_Record):
    """What it took; all that may differ between two runs of the same thing.

    Attributes:
        created: When the result was written, UTC, ISO 8601.
        embed_s: Seconds to embed the task.
        probe_s: Seconds to train and score.
        fold_s: Of these, per test split; the first holds the grid.
        audio_s: Seconds of audio that were embedded.
        embed_peak_memory_mb: Peak resident memory while embedding, MiB, where known.
        probe_peak_memory_mb: Peak resident memory of the process that wrote the result, MiB.
        embeddings_path: Where the embeddings were kept.
    """

    created: str
    embed_s: float
    probe_s: float
    fold_s: dict[str, float]
    audio_s: float
    embed_peak_memory_mb: float | None
    probe_peak_memory_mb: float | None
    embeddings_path: str


class Result(_Record):
    """The scores of one model on one task, with all that made them.

    Attributes:
        format_version: Of this layout.
        hearkit_version: That made it.
        model: Which model, with digests of its weights and source.
        task: Which task, with the digest of its content at the model's rate.
        kind: ``scene`` or ``event``.
        prediction_type: ``multiclass`` or ``multilabel``.
        n_labels: Size of the vocabulary.
        embeddings: Which embeddings.
        protocol: All that affects the score, under its name.
        seed: Of the training.
        device: Where it was trained.
        precision: Of the matrix products in training.
        versions: Of the libraries that computed.
        primary_score: The one that was optimised.
        scores: All of the task's, in its order.
        folds: In the protocol's order.
        chosen: Position in ``grid`` of the point that was used.
        grid: In the protocol's order.
        notes: What a reader of the scores should know, in sentences.
        resources: Time and memory.
    """

    format_version: Literal[1] = 1
    hearkit_version: str
    model: ModelRecord
    task: TaskRecord
    kind: str
    prediction_type: str
    n_labels: int
    embeddings: EmbeddingsRecord
    protocol: Protocol
    seed: int
    device: str
    precision: str
    versions: dict[str, str]
    primary_score: str
    scores: dict[str, ScoreSummary] = Field(min_length=1)
    folds: tuple[FoldResult, ...] = Field(min_length=1)
    chosen: int
    grid: tuple[GridResult, ...]
    notes: tuple[str, ...] = ()
    resources: Resources

    @property
    def primary(self) -> ScoreSummary:
        """The task's first score."""
        return self.scores[self.primary_score]

    @classmethod
    def read(cls, path: Path) -> Result:
        """Reads a ``result.json``, or the one in a folder.

        Raises:
            ResultError: It isn't there, or isn't a result that this version understands.
        """
        file = path / RESULT_FILE if path.is_dir() else path
        try:
            return cls.model_validate_json(file.read_bytes())
        except OSError as error:
            raise ResultError(f"{file} can't be read: {error.strerror}.") from error
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "the file"
            raise ResultError(
                f"{file} is not a result of format version 1: {where}: {first['msg']}."
            ) from error

    def same_as(self, other: Result) -> bool:
        """Whether both say the same but for what they took."""
        return self.model_dump_json(exclude={"resources"}) == other.model_dump_json(
            exclude={"resources"}
        )


def score(predictions: Predictions) -> Result:
    """Scores test predictions by all of the task's scores.

    Raises:
        UnknownNameError: The task asks for a score that doesn't exist.
    """
    metadata = predictions.task.metadata
    manifest = predictions.embeddings
    scene = manifest.kind == "scene"
    sizes = manifest.model.scene_embedding_size, manifest.model.timestamp_embedding_size
    return Result(
        hearkit_version=__version__,
        model=manifest.model,
        task=manifest.task,
        kind=manifest.kind,
        prediction_type=metadata.prediction_type,
        n_labels=len(predictions.task.vocabulary),
        embeddings=EmbeddingsRecord(
            digest=predictions.embeddings_digest,
            dtype=manifest.dtype,
            size=sizes[0] if scene else sizes[1],
            kind=manifest.kind,
        ),
        protocol=predictions.protocol,
        seed=predictions.seed,
        device=predictions.device,
        precision=predictions.precision,
        versions=_versions(),
        primary_score=metadata.evaluation[0],
        scores={name: _summary(name, predictions) for name in metadata.evaluation},
        folds=tuple(_fold_result(fold) for fold in predictions.folds),
        chosen=predictions.chosen,
        grid=tuple(_grid_result(outcome) for outcome in predictions.grid),
        notes=_notes(predictions),
        resources=Resources(
            created=dt.datetime.now(dt.timezone.utc).isoformat(timespec="seconds"),
            embed_s=manifest.seconds,
            probe_s=sum(fold.seconds for fold in predictions.folds),
            fold_s={fold.fold.test: fold.seconds for fold in predictions.folds},
            audio_s=manifest.audio_s,
            embed_peak_memory_mb=manifest.peak_memory_mb,
            probe_peak_memory_mb=_peak_memory_mb(),
            embeddings_path=predictions.embeddings_path,
        ),
    )


def write_result(result: Result, predictions: Predictions, folder: Path) -> Path:
    """Writes a result's folder, ``result.json`` last.

    Returns:
        The path of ``result.json``.

    Raises:
        ResultError: The folder can't be written.
    """
    try:
        place = folder / "predictions"
        for fold in predictions.folds:
            write_npy(place / f"{fold.fold.test}.npy", fold.probabilities)
            if isinstance(fold, EventFoldPrediction):
                _write_events(fold, predictions, place)
            else:
                write_npy(place / f"{fold.fold.test}.targets.npy", fold.targets)
        write_json(place / "labels.json", list(predictions.task.vocabulary))
        write_json(
            place / "clips.json", {fold.fold.test: list(fold.clips) for fold in predictions.folds}
        )
        write_json(folder / REFERENCE_FILE, reference_form(result))
        write_json(folder / RESULT_FILE, result.model_dump(mode="json"))
    except OSError as error:
        raise ResultError(f"The result can't be written to {folder}: {error.strerror}.") from error
    return folder / RESULT_FILE


def reference_form(result: Result) -> dict[str, Any]:
    """The content of ``test.predicted-scores.json``, as the published evaluation wrote it."""
    parts: dict[str, dict[str, float]] = {}
    for fold in result.folds:
        scores = {f"test_{name}": s.per_fold[fold.test] for name, s in result.scores.items()}
        for name, summary in result.scores.items():
            for part, numbers in summary.parts.items():
                scores[f"test_{name}_{part}"] = numbers.per_fold[fold.test]
        parts[fold.test] = {
            **scores,
            "test_score": scores[f"test_{result.primary_score}"],
            "test_loss": fold.test_loss,
            "validation_score": fold.validation_score,
            "epoch": fold.best_epoch,
            "time_in_min": result.resources.fold_s[fold.test] / 60,
        }
    whole: dict[str, Any] = dict(parts)
    if len(parts) > 1:
        aggregated: dict[str, float] = {}
        for key in next(iter(parts.values())):
            mean, std = _mean_std([part[key] for part in parts.values()])
            aggregated[f"{key}_mean"] = mean
            aggregated[f"{key}_std"] = math.nan if std is None else std
        whole["aggregated_scores"] = aggregated
    return {
        **whole,
        "hparams": {
            **result.grid[result.chosen].point.model_dump(),
            "batch_size": result.protocol.batch_size,
        },
        "postprocessing": _reference_postprocessing(result),
        "score_mode": "max" if result.primary.maximise else "min",
        "embedding_path": result.resources.embeddings_path,
    }


def _reference_postprocessing(result: Result) -> list[list[str | float]]:
    way = result.folds[0].postprocessing
    if way is None:
        return []
    return [
        ["median_filter_ms", way.median_filter_ms],
        ["min_duration", way.min_duration_ms],
    ]


def _write_events(fold: EventFoldPrediction, predictions: Predictions, place: Path) -> None:
    name, labels = fold.fold.test, list(predictions.task.vocabulary)
    write_npy(place / f"{name}.bounds.npy", fold.bounds)
    write_npy(place / f"{name}.timestamps.npy", fold.timestamps_ms)
    write_json(place / f"{name}.events.json", fold.estimate.to_mapping(fold.clips, labels))
    write_json(place / f"{name}.reference.json", fold.reference.to_mapping(fold.clips, labels))
    parts = {
        score: get_event_score(score).parts(fold.reference, fold.estimate, labels)
        for score in predictions.task.metadata.evaluation
    }
    write_json(place / f"{name}.per_label.json", parts)


def _summary(name: str, predictions: Predictions) -> ScoreSummary:
    """One score over the test splits; here the kinds of task part."""
    if predictions.task.kind == "scene":
        metric = get_scene_score(name)
        return ScoreSummary(
            **_over_folds(
                {
                    fold.fold.test: metric(fold.probabilities, fold.targets)
                    for fold in predictions.scene_folds()
                    if not _is_undefined(fold)
                },
                predictions,
            ),
            maximise=metric.maximise,
        )
    event_metric = get_event_score(name)
    labels = list(predictions.task.vocabulary)
    found = {
        fold.fold.test: event_metric.parts(fold.reference, fold.estimate, labels)
        for fold in predictions.event_folds()
        if not _is_undefined(fold)
    }
    by_part = {
        part: _over_folds({test: parts[part] for test, parts in found.items()}, predictions)
        for part in event_metric.parts_in_results
    }
    return ScoreSummary(
        **by_part[event_metric.main],
        maximise=event_metric.maximise,
        parts={part: PartSummary(**numbers) for part, numbers in by_part.items()},
    )


def _is_undefined(fold: FoldPrediction | EventFoldPrediction) -> bool:
    return math.isnan(fold.outcome.validation_score)


def _over_folds(values: Mapping[str, float], predictions: Predictions) -> dict[str, Any]:
    tests = [fold.fold.test for fold in predictions.folds]
    per_fold = {test: float(values.get(test, math.nan)) for test in tests}
    mean, std = _mean_std(list(per_fold.values()))
    return {"mean": mean, "std": std, "per_fold": per_fold}


def _notes(predictions: Predictions) -> tuple[str, ...]:
    notes = []
    event = predictions.task.kind == "event"
    why = "a validation predicted no event at all, so that" if event else "in a validation"
    dropped = sum(outcome.ended == "undefined_score" for outcome in predictions.grid)
    if dropped:
        notes.append(
            f"{dropped} of {len(predictions.grid)} grid points were dropped: {why} the score was "
            f"undefined, which ends a grid point under {predictions.protocol.name!r}."
        )
    undefined = [fold.fold.test for fold in predictions.folds if _is_undefined(fold)]
    if undefined:
        notes.append(
            f"No grid point had a defined validation score for the test split "
            f"{', '.join(undefined)}, so there is no score. Other protocols count undefined "
            "validations as 0 and go on."
        )
    return tuple(notes)


def _mean_std(values: list[float]) -> tuple[float, float | None]:
    if len(values) == 1:
        return values[0], None
    if not all(math.isfinite(value) for value in values):
        # Infinities of both signs have no mean; those of one sign have no deviation.
        with np.errstate(invalid="ignore"):
            return float(np.mean(values)), math.nan
    return statistics.fmean(values), statistics.stdev(values)


def _fold_result(fold: FoldPrediction | EventFoldPrediction) -> FoldResult:
    return FoldResult(
        test=fold.fold.test,
        valid=fold.fold.valid,
        train=fold.fold.train,
        n_clips=len(fold.clips),
        test_loss=fold.loss,
        validation_score=fold.outcome.validation_score,
        best_epoch=fold.outcome.best_epoch,
        epochs=fold.outcome.epochs,
        postprocessing=_way(fold.outcome),
    )


def _way(outcome: Outcome) -> PostprocessingRecord | None:
    way = outcome.postprocessing
    if way is None:
        return None
    return PostprocessingRecord(
        median_filter_ms=way.median_filter_ms, min_duration_ms=way.min_duration_ms
    )


def _grid_result(outcome: Outcome) -> GridResult:
    return GridResult(
        point=outcome.point,
        validation_score=outcome.validation_score,
        best_epoch=outcome.best_epoch,
        epochs=outcome.epochs,
        ended=outcome.ended,
        postprocessing=_way(outcome),
    )


def _versions() -> dict[str, str]:
    from importlib.metadata import version

    found: Mapping[str, str] = {name: version(name) for name in ("numpy", "scipy", "torch", "soxr")}
    return {"python": platform.python_version(), **found}


def _peak_memory_mb() -> float | None:
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Kibibytes on Linux, bytes on macOS.
    return peak / (1 << 20) if platform.system() == "Darwin" else peak / 1024
