"""What a zero-shot result holds, as it stands in ``zero-shot.json``."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from hearbench.embeddings.manifest import ModelRecord, TaskRecord
from hearbench.records import Record, StoredRecord
from hearbench.results.record import EmbeddingsRecord, Number, PartSummary
from hearbench.results.uncertainty import Range

__all__ = [
    "TEMPERATURE",
    "ZERO_SHOT_FILE",
    "ClassesRecord",
    "TemplateRecord",
    "ZeroShotResources",
    "ZeroShotResult",
    "ZeroShotSplit",
    "ZeroShotSummary",
]

ZERO_SHOT_FILE = "zero-shot.json"
TEMPERATURE = 0.07
"""What similarities are divided by before the softmax: where contrastive training mostly begins."""


class ZeroShotSummary(PartSummary):
    """One score.

    Attributes:
        maximise: Whether higher is better.
        interval: Interval of the mean by bootstrap over the test clips; None where it is unknown.
    """

    maximise: bool
    interval: Range | None


class TemplateRecord(Record):
    """One template by itself.

    Attributes:
        template: The text around a class name.
        validation: The primary score on each validation split.
        scores: On the test splits, by name.
    """

    template: str
    validation: dict[str, Number]
    scores: dict[str, PartSummary]


class ClassesRecord(Record):
    """How clips were classified by class names.

    Attributes:
        names: Class names, in the order of the task's labels.
        temperature: What similarities were divided by before the softmax over classes; None where
            clips may have several labels, whose similarities are scored as they are.
        templates: Each template by itself.
        mean: The mean of each score over templates, with the interval of this mean.
        std: Sample standard deviation of each score over templates; None with one template.
        best: The scores of the template that is best in validation, chosen for each fold.
        chosen: Which template that is, by test split.
    """

    names: tuple[str, ...]
    temperature: float | None
    templates: tuple[TemplateRecord, ...] = Field(min_length=1)
    mean: dict[str, ZeroShotSummary]
    std: dict[str, Number | None]
    best: dict[str, ZeroShotSummary]
    chosen: dict[str, str]


class ZeroShotSplit(Record):
    """One test split.

    Attributes:
        test: Name of the split.
        n_clips: Its clips.
        n_captions: Their captions.
    """

    test: str
    n_clips: int
    n_captions: int


class ZeroShotResources(Record):
    """What it took; all that may differ between two runs of the same thing.

    Attributes:
        created: When the result was written, UTC, ISO 8601.
        embed_s: Seconds to embed the task's clips.
        score_s: Seconds to compare and to score.
        audio_s: Seconds of audio that were embedded, those of other splits included.
        embed_peak_memory_mb: Peak resident memory while embedding, MiB, where known.
        embeddings_path: Where the embeddings were kept.
    """

    created: str
    embed_s: float
    score_s: float
    audio_s: float
    embed_peak_memory_mb: float | None
    embeddings_path: str


class ZeroShotResult(StoredRecord):
    """The zero-shot scores of one model on one task, with all that made them.

    Attributes:
        format_version: Of this layout.
        hearbench_version: That made it.
        model: Which model, with digests of its weights and source.
        task: Which task, with the digest of its content at the model's rate.
        prediction_type: ``multiclass`` or ``multilabel``.
        n_labels: Size of the vocabulary.
        embeddings: Which embeddings of clips.
        texts_digest: Digest of the embeddings of texts.
        n_texts: How many texts there were.
        similarity: ``cosine``, of normalized embeddings.
        versions: Versions of the libraries that computed.
        level: Confidence level of the intervals.
        n_resamples: Bootstrap resamples behind them.
        resampling_seed: Decided what they are.
        primary_score: The first of the task's scores, or of those by captions.
        scores: By name: the task's own, by the ensemble of templates, and those by captions.
        classes: How clips were classified; None where the task has captions alone.
        splits: Test splits in the order of the task's folds.
        notes: What a reader of the scores should know, in sentences.
        resources: Time and memory.
    """

    FILE = ZERO_SHOT_FILE
    WHAT = "a zero-shot result"

    format_version: Literal[1] = 1
    hearbench_version: str
    model: ModelRecord
    task: TaskRecord
    prediction_type: str
    n_labels: int
    embeddings: EmbeddingsRecord
    texts_digest: str
    n_texts: int
    similarity: Literal["cosine"] = "cosine"
    versions: dict[str, str]
    level: float = Field(gt=0, lt=1)
    n_resamples: int
    resampling_seed: int
    primary_score: str
    scores: dict[str, ZeroShotSummary] = Field(min_length=1)
    classes: ClassesRecord | None
    splits: tuple[ZeroShotSplit, ...] = Field(min_length=1)
    notes: tuple[str, ...] = ()
    resources: ZeroShotResources

    def __repr__(self) -> str:
        scores = ", ".join(f"{name} {score.mean:.3f}" for name, score in self.scores.items())
        return f"Zero-shot result of {self.model.name} on {self.task.name}\n{scores}"

    __str__ = __repr__
