"""From embeddings of clips and texts to a zero-shot result."""

from __future__ import annotations

import datetime as dt
import platform
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import version

import numpy as np

from hearbench._version import __version__
from hearbench.digest import digest_bytes
from hearbench.embeddings.store import EmbeddingStore
from hearbench.embeddings.texts import TextEmbeddings
from hearbench.errors import UnsuitableTaskError
from hearbench.results.record import EmbeddingsRecord
from hearbench.tasks.prompts import ClassPrompts, Prompts, class_prompts
from hearbench.tasks.store import PreparedTask
from hearbench.workspace import Workspace
from hearbench.zero_shot.classes import Classes
from hearbench.zero_shot.record import (
    TEMPERATURE,
    ClassesRecord,
    ZeroShotResources,
    ZeroShotResult,
    ZeroShotSplit,
    ZeroShotSummary,
)
from hearbench.zero_shot.retrieval import caption_scores
from hearbench.zero_shot.similarity import LEVEL, N_RESAMPLES, SEED, Clips

__all__ = ["Texts", "texts_of", "zero_shot_scores"]


@dataclass(frozen=True)
class Texts:
    """The texts that a task's clips are compared with.

    Attributes:
        classes: Class names and templates; None where the task has captions alone.
        captions: By test split and clip, those of clips that have some.
    """

    classes: ClassPrompts | None
    captions: Mapping[str, Mapping[str, tuple[str, ...]]] = field(default_factory=dict)

    @cached_property
    def all(self) -> tuple[str, ...]:
        """Every text once."""
        rows = [*(self.classes.texts() if self.classes else ())]
        rows += [texts for clips in self.captions.values() for texts in clips.values()]
        return tuple(dict.fromkeys(text for row in rows for text in row))


def texts_of(task: PreparedTask, prompts: Prompts | None = None) -> Texts:
    """The texts of a task.

    Args:
        prompts: The user's; by default those of the catalog, for tasks that it has.

    Raises:
        UnsuitableTaskError: It is an event task, has one label alone and no captions, or its
            classes can't be put into words.
        UnknownNameError: There are words for a label that the task hasn't got.
        TaskError: Two classes have the same name.
    """
    classes = class_prompts(task, prompts)
    tests = [fold.test for fold in task.folds()]
    captions = {test: task.captions[test] for test in tests if task.captions.get(test)}
    if len(classes.names) > 1:
        return Texts(classes, captions)
    if not captions:
        raise UnsuitableTaskError(
            f"{task.name} has one label, so there is nothing to tell apart by class names, and no "
            "captions of its test clips."
        )
    return Texts(None, captions)


def zero_shot_scores(
    store: EmbeddingStore,
    texts: Texts,
    embedded: TextEmbeddings,
    *,
    temperature: float = TEMPERATURE,
    workspace: Workspace | None = None,
) -> ZeroShotResult:
    """Scores clips by their similarity with texts; nothing is trained.

    Args:
        store: Scene embeddings of the task.
        texts: The task's texts.
        embedded: Their embeddings by the same model.
        temperature: What similarities are divided by before the softmax over classes, above 0. The
            best class doesn't depend on it, the order of clips under a label does.
        workspace: Who shows progress; by default from the environment.

    Raises:
        EmbeddingError: The store is damaged, or an embedding isn't finite.
    """
    workspace = workspace or Workspace.from_environment()
    task, manifest = store.task, store.manifest
    begun = time.perf_counter()
    notes: list[str] = []
    with workspace.progress.stage(f"{task.name}: comparing clips with texts"):
        clips = Clips(store, notes)
        scores: dict[str, ZeroShotSummary] = {}
        record: ClassesRecord | None = None
        if texts.classes is not None:
            classes = Classes.of(task, texts.classes, embedded, clips, temperature)
            scores, record = classes.scored(task.metadata.evaluation)
        if texts.captions:
            scores |= caption_scores(clips, texts.captions, embedded)
    tests = [fold.test for fold in task.folds()]
    model = manifest.model.model_copy(
        update={"later_files": {**manifest.model.later_files, **embedded.later_files}}
    )
    return ZeroShotResult(
        hearbench_version=__version__,
        model=model,
        task=manifest.task,
        prediction_type=task.metadata.prediction_type,
        n_labels=len(task.vocabulary),
        embeddings=EmbeddingsRecord(
            digest=store.digest,
            dtype=manifest.dtype,
            size=manifest.model.scene_embedding_size,
            kind=manifest.kind,
        ),
        texts_digest=digest_bytes(np.ascontiguousarray(embedded.of(texts.all)).tobytes()),
        n_texts=len(texts.all),
        versions={
            "python": platform.python_version(),
            **{name: version(name) for name in ("numpy", "scipy")},
        },
        level=LEVEL,
        n_resamples=N_RESAMPLES,
        resampling_seed=SEED,
        primary_score=next(iter(scores)),
        scores=scores,
        classes=record,
        splits=tuple(
            ZeroShotSplit(
                test=test,
                n_clips=len(store.clips(test)),
                n_captions=sum(map(len, texts.captions.get(test, {}).values())),
            )
            for test in tests
        ),
        notes=tuple(dict.fromkeys([*notes, *manifest.notes])),
        resources=ZeroShotResources(
            created=dt.datetime.now(dt.timezone.utc).isoformat(timespec="seconds"),
            embed_s=manifest.seconds,
            score_s=time.perf_counter() - begun,
            audio_s=manifest.audio_s,
            embed_peak_memory_mb=manifest.peak_memory_mb,
            embeddings_path=str(store.folder),
        ),
    )
