"""What a result holds, as it stands in ``result.json``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, PrivateAttr, model_validator

from hearbench.embeddings.manifest import ModelRecord, TaskRecord
from hearbench.errors import ResultError
from hearbench.probe.grid import GridResult, Postprocessing
from hearbench.probe.layers import LayersRecord
from hearbench.probe.protocol import Protocol
from hearbench.records import GrownRecord, Number, Record, StoredRecord
from hearbench.tasks.task_type import TaskType, task_type

if TYPE_CHECKING:
    from hearbench.results.predictions import Predictions

__all__ = [
    "RESULT_FILE",
    "EmbeddingsRecord",
    "FoldResult",
    "GridResult",
    "LayersRecord",
    "Number",
    "PartSummary",
    "Postprocessing",
    "Resources",
    "Result",
    "ScoreSummary",
    "StageRecord",
]

RESULT_FILE = "result.json"


class PartSummary(Record):
    """One number over the test splits.

    Attributes:
        mean: Unweighted mean over test splits, those that are undefined left out.
        std: Sample standard deviation over these folds (ddof 1); None with a single test split.
        per_fold: The number of each test split.
    """

    mean: Number
    std: Number | None
    per_fold: dict[str, Number]


class ScoreSummary(PartSummary):
    """One score of a task.

    Attributes:
        maximise: Whether higher is better.
        parts: The numbers that it is made of, by name: precision and recall of an F-measure.
    """

    maximise: bool
    parts: dict[str, PartSummary] = Field(default_factory=dict)


class FoldResult(Record):
    """One training and its test split.

    Attributes:
        test: The split that is scored.
        valid: The split that chose.
        train: The splits that were learned from.
        n_clips: Clips in the test split.
        test_loss: Mean loss on it; null if there is no prediction.
        validation_score: The best validation of the chosen grid point; the worst there is, an
            infinity, if the first one was undefined already.
        best_epoch: After which epoch that was, from 1; 0 if there was no validation.
        epochs: How many were trained.
        postprocessing: How frames became events in the best validation and in the test (event
            tasks).
    """

    test: str
    valid: str
    train: tuple[str, ...]
    n_clips: int
    test_loss: Number
    validation_score: Number
    best_epoch: int
    epochs: int
    postprocessing: Postprocessing | None = None

    @property
    def is_blank(self) -> bool:
        """Whether there is no prediction, so that every score is undefined."""
        return math.isnan(self.test_loss) or math.isnan(self.validation_score)


class EmbeddingsRecord(Record):
    """Which embeddings were scored.

    Attributes:
        digest: Digest of their content.
        dtype: On disk.
        size: Numbers per embedding.
        kind: ``scene`` or ``event``.
    """

    digest: str
    dtype: str
    size: int
    kind: str


class StageRecord(Record):
    """What one stage of an evaluation took.

    Attributes:
        stage: ``embedding``, ``probe`` or ``scoring``.
        part: The test split of a probe; None where the stage is of the whole task.
        seconds: Wall-clock time, of whoever computed it: what a run finds in the cache counts
            with the time that it took when it was made.
        throughput: How much of ``unit`` came through per second; None where it isn't known.
        unit: ``seconds of audio``, ``training clips`` (each as often as a network of the grid has
            learned from it) or ``test clips``.
        peak_memory_mb: The most memory that the process had had resident when the stage was over,
            MiB; None where it wasn't looked at.
        peak_device_memory_mb: The most on the GPU, MiB; None on a CPU.
        device_utilisation: Mean share of the time in which the GPU was busy, 0 to 1; None where
            it isn't known.
    """

    stage: str
    part: str | None = None
    seconds: float
    throughput: float | None = None
    unit: str
    peak_memory_mb: float | None = None
    peak_device_memory_mb: float | None = None
    device_utilisation: float | None = None


class Resources(Record):
    """What it took; all that may differ between two runs of the same thing.

    Attributes:
        created: When the result was written, UTC, ISO 8601.
        embed_s: Seconds to embed the task.
        probe_s: Seconds to train and score.
        fold_s: Seconds of ``probe_s`` per test split; the first one's include the grid.
        audio_s: Seconds of audio that were embedded.
        embed_peak_memory_mb: Peak resident memory while embedding, MiB, where known.
        probe_peak_memory_mb: Peak resident memory of the process that wrote the result, MiB.
        embeddings_path: Folder of the embeddings.
        stages: The same by stage, with throughput; empty in results of earlier versions.
    """

    created: str
    embed_s: float
    probe_s: float
    fold_s: dict[str, float]
    audio_s: float
    embed_peak_memory_mb: float | None
    probe_peak_memory_mb: float | None
    embeddings_path: str
    stages: tuple[StageRecord, ...] = ()


class Result(GrownRecord, StoredRecord):  # noqa: PLW1641 - its scores are in dictionaries
    """The scores of one model on one task, with all that made them.

    Attributes:
        format_version: Version of this layout.
        hearbench_version: Version of hearbench that made the result.
        model: The model, with digests of its weights and source.
        task: The task, with the digest of its content at the model's rate.
        kind: ``scene`` or ``event``.
        prediction_type: ``multiclass``, ``multilabel`` or ``regression``.
        n_labels: Size of the vocabulary.
        embeddings: The embeddings that were scored.
        protocol: All that affects the score, under its name.
        seed: Seed for weight initialisation and dropout.
        device: Device that the probe was trained on.
        precision: Precision of the matrix products during training.
        versions: Versions of Python and of the libraries that computed.
        primary_score: The one that was optimised.
        scores: All of the task's, in its order.
        folds: The trainings, in the protocol's order.
        chosen: Position in ``grid`` of the point that was used.
        grid: The grid points, in the protocol's order.
        notes: Sentences that a reader of the scores should know.
        resources: Time and memory.
        layers: The layers that were learned from; left out where embeddings were read as they are.
    """

    FILE = RESULT_FILE
    WHAT = "a result"
    LATER: ClassVar[tuple[str, ...]] = ("layers",)

    format_version: Literal[1] = 1
    hearbench_version: str
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
    layers: LayersRecord | None = None
    _folder: Path | None = PrivateAttr(default=None)

    @model_validator(mode="after")
    def _check_primary_score(self) -> Result:
        if self.primary_score not in self.scores:
            raise ValueError(f"primary_score is none of the scores: {self.primary_score!r}")
        return self

    @property
    def task_type(self) -> TaskType:
        """The kind of task.

        Raises:
            UnknownNameError: There is no such kind.
        """
        return task_type(self.kind, self.prediction_type)

    @property
    def primary(self) -> ScoreSummary:
        """The task's first score."""
        return self.scores[self.primary_score]

    @property
    def protocol_fingerprint(self) -> str:
        """Fingerprint of the protocol: ten hexadecimal digits over all that decides its scores.

        Scores of one task can be compared where it is the same; seeds and machines don't change it.
        """
        from hearbench.results.conditions import Conditions

        return Conditions.of(self).fingerprint

    def protocol_words(self, seeds: Sequence[int] = ()) -> str:
        """The protocol in words: ``hear2021, seeds 42 to 44, float32``.

        Args:
            seeds: Seeds of all trainings, where there are more than the result's own.
        """
        from hearbench.results.conditions import Conditions

        return Conditions.of(self, seeds).words()

    @classmethod
    def read(cls, path: Path) -> Result:
        """Reads a result from its ``result.json``, or from the folder that this is in.

        Raises:
            ResultError: The file can't be read, or isn't a result of a version that this one
                understands.
        """
        result = super().read(path)
        result._folder = path if path.is_dir() else path.parent  # noqa: SLF001 - its own class
        return result

    def predictions(self) -> Predictions:
        """What was predicted for the test clips, of a result that was read from a folder.

        Raises:
            ResultError: The result wasn't read from a folder, or its predictions are missing.
        """
        from hearbench.results.predictions import Predictions

        if self._folder is None:
            raise ResultError("Only a result that was read from its folder has predictions.")
        return Predictions.read(self._folder, self)

    def __repr__(self) -> str:
        scores = ", ".join(f"{name} {score.mean:.3f}" for name, score in self.scores.items())
        return (
            f"Result of {self.model.name} on {self.task.name}, protocol {self.protocol.name}, "
            f"seed {self.seed}\n{scores}"
        )

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        # Wherever it was read from.
        return isinstance(other, Result) and self.__dict__ == other.__dict__
