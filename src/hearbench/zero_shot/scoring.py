"""From embeddings of clips and texts to a zero-shot result."""

from __future__ import annotations

import datetime as dt
import math
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version

import numpy as np
import numpy.typing as npt

from hearbench._version import __version__
from hearbench.digest import digest_bytes
from hearbench.embeddings.store import EmbeddingStore
from hearbench.embeddings.texts import TextEmbeddings
from hearbench.errors import EmbeddingError, UnsuitableTaskError
from hearbench.metrics import get_scene_score
from hearbench.results.aggregate import mean_std
from hearbench.results.clip_scores import needs_every_label
from hearbench.results.record import EmbeddingsRecord, PartSummary
from hearbench.results.uncertainty import Range
from hearbench.stats.clip_scores import ClipScore, scene_clip_score
from hearbench.stats.intervals import UNBOUNDED, bootstrap_interval
from hearbench.stats.resampling import bootstrap, strata_of
from hearbench.tasks.prompts import ClassPrompts, Prompts, class_prompts
from hearbench.tasks.store import PreparedTask
from hearbench.workspace import Workspace
from hearbench.zero_shot.record import (
    TEMPERATURE,
    ClassesRecord,
    TemplateRecord,
    ZeroShotResources,
    ZeroShotResult,
    ZeroShotSplit,
    ZeroShotSummary,
)

__all__ = ["Texts", "class_probabilities", "texts_of", "zero_shot_scores"]

_LEVEL, _N_RESAMPLES, _SEED = 0.95, 1000, 0

_Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Texts:
    """The texts that a task's clips are compared with.

    Attributes:
        classes: Class names and templates.
    """

    classes: ClassPrompts

    @cached_property
    def all(self) -> tuple[str, ...]:
        """Every text once."""
        return tuple(dict.fromkeys(text for row in self.classes.texts() for text in row))


def texts_of(task: PreparedTask, prompts: Prompts | None = None) -> Texts:
    """The texts of a task.

    Args:
        prompts: The user's; by default those of the catalog, for tasks that it has.

    Raises:
        UnsuitableTaskError: It is an event task, has one label alone, or its classes can't be put
            into words.
        UnknownNameError: There are words for a label that the task hasn't got.
        TaskError: Two classes have the same name.
    """
    classes = class_prompts(task, prompts)
    if len(classes.names) == 1:
        raise UnsuitableTaskError(
            f"{task.name} has one label, so there is nothing to tell apart by class names."
        )
    return Texts(classes)


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
        clips = _Clips(store, notes)
        classes = _Classes.of(task, texts.classes, embedded, clips, temperature)
        scores, record = classes.scored(task.metadata.evaluation)
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
        level=_LEVEL,
        n_resamples=_N_RESAMPLES,
        resampling_seed=_SEED,
        primary_score=next(iter(scores)),
        scores=scores,
        classes=record,
        splits=tuple(
            ZeroShotSplit(test=test, n_clips=len(store.clips(test)), n_captions=0) for test in tests
        ),
        notes=(*notes, *manifest.notes),
        resources=ZeroShotResources(
            created=dt.datetime.now(dt.timezone.utc).isoformat(timespec="seconds"),
            embed_s=manifest.seconds,
            score_s=time.perf_counter() - begun,
            audio_s=manifest.audio_s,
            embed_peak_memory_mb=manifest.peak_memory_mb,
            embeddings_path=str(store.folder),
        ),
    )


def class_probabilities(
    clips: npt.NDArray[np.floating], texts: npt.NDArray[np.floating], temperature: float | None
) -> npt.NDArray[np.float64]:
    """Probabilities of classes by the cosine similarity of clips with the classes' texts.

    Args:
        clips: (n_clips, size) embeddings.
        texts: (..., n_classes, size) embeddings.
        temperature: What similarities are divided by before the softmax over classes; None for the
            similarities as they are.

    Returns:
        (..., n_clips, n_classes). An embedding of zeros has a similarity of 0 with everything.
    """
    cosines: _Floats = _normalized(clips) @ np.swapaxes(_normalized(texts), -1, -2)
    return cosines if temperature is None else _softmax(cosines / temperature)


@dataclass(frozen=True)
class _Clips:
    """Embeddings of a task's clips.

    Attributes:
        notes: Receives what a reader should know of them.
    """

    store: EmbeddingStore
    notes: list[str]

    def of(self, split: str) -> npt.NDArray[np.float32]:
        """(n_clips, size), all finite."""
        found = self.store.scene(split)
        if not np.isfinite(found).all():
            raise EmbeddingError(
                f"The embeddings of {self.store.task.name} by {self.store.manifest.model.name} "
                f"hold numbers that aren't finite in the split {split}, which are like no text. "
                f"Mend the model, delete {self.store.folder} and embed again."
            )
        zeros = int((~found.any(axis=1)).sum())
        if zeros:
            self.notes.append(
                f"{zeros} clips of {split} have an embedding of zeros, whose similarity with every "
                "text is taken to be 0."
            )
        return found


def _normalized(embeddings: npt.NDArray[np.floating]) -> _Floats:
    wide = embeddings.astype(np.float64)
    # A norm of tiny or huge numbers would be 0 or infinite.
    largest = np.abs(wide).max(axis=-1, keepdims=True)
    wide = np.divide(wide, largest, out=np.zeros_like(wide), where=largest > 0)
    norms = np.linalg.norm(wide, axis=-1, keepdims=True)
    found: _Floats = np.divide(wide, norms, out=np.zeros_like(wide), where=norms > 0)
    return found


@dataclass(frozen=True)
class _Classes:
    """Clips classified by class names, of each split that tests or chooses.

    Attributes:
        prompts: Class names and templates.
        folds: Test and validation split of each fold.
        predictions: By split, (1 + n_templates, n_clips, n_labels): by the ensemble of templates,
            and by each.
        targets: By split, (n_clips, n_labels).
        temperature: None where clips may have several labels.
    """

    prompts: ClassPrompts
    folds: Sequence[tuple[str, str]]
    predictions: Mapping[str, _Floats]
    targets: Mapping[str, npt.NDArray[np.uint8]]
    temperature: float | None

    @classmethod
    def of(
        cls,
        task: PreparedTask,
        prompts: ClassPrompts,
        embedded: TextEmbeddings,
        clips: _Clips,
        temperature: float,
    ) -> _Classes:
        """Compares clips with class names."""
        of_templates = np.stack([_normalized(embedded.of(row)) for row in prompts.texts()])
        texts = np.concatenate([of_templates.mean(axis=0)[None], of_templates])
        sharp = None if task.metadata.prediction_type == "multilabel" else temperature
        folds = [(fold.test, fold.valid) for fold in task.folds()]
        splits = list(dict.fromkeys(split for fold in folds for split in fold))
        predictions = {}
        for split in splits:
            predictions[split] = class_probabilities(clips.of(split), texts, sharp)
        targets = {split: task.targets(split) for split in splits}
        return cls(prompts, folds, predictions, targets, sharp)

    def scored(self, names: Sequence[str]) -> tuple[dict[str, ZeroShotSummary], ClassesRecord]:
        """The scores of the ensemble of templates, and what the templates give by themselves.

        Args:
            names: Names of the scores, the one that chooses a template first.
        """
        n_templates = len(self.prompts.templates)
        validation = self._points(names[0], [valid for _, valid in self.folds])[1:]
        chosen = [_best(column, names[0]) for column in validation.T]
        ensemble, mean, best = {}, {}, {}
        std: dict[str, float | None] = {}
        alone: list[dict[str, PartSummary]] = [{} for _ in range(n_templates)]
        tests = [test for test, _ in self.folds]
        for name in names:
            points = self._points(name, tests)
            replicates, bounds = self._replicates(name, tests)
            summary = _Summary(tests, self._sizes(tests), get_scene_score(name).maximise, bounds)
            ensemble[name] = summary.of(points[0], replicates[0])
            with np.errstate(invalid="ignore"):  # infinities of both signs
                means = points[1:].mean(axis=0), replicates[1:].mean(axis=0)
            mean[name] = summary.of(*means)
            at = [1 + template for template in chosen], range(len(tests))
            best[name] = summary.of(points[at], replicates[at])
            each = [_part(row, tests) for row in points[1:]]
            std[name] = mean_std([part.mean for part in each])[1]
            for scores, part in zip(alone, each, strict=True):
                scores[name] = part
        templates = tuple(
            TemplateRecord(
                template=template,
                validation=dict(zip([valid for _, valid in self.folds], row.tolist(), strict=True)),
                scores=scores,
            )
            for template, row, scores in zip(self.prompts.templates, validation, alone, strict=True)
        )
        record = ClassesRecord(
            names=self.prompts.names,
            temperature=self.temperature,
            templates=templates,
            mean=mean,
            std=std,
            best=best,
            chosen={
                test: self.prompts.templates[template]
                for test, template in zip(tests, chosen, strict=True)
            },
        )
        return ensemble, record

    def _points(self, name: str, splits: Sequence[str]) -> _Floats:
        """(1 + n_templates, n_splits) scores."""
        score = get_scene_score(name)
        found: _Floats = np.array(
            [
                [score(row, self.targets[split]) for row in self.predictions[split]]
                for split in splits
            ]
        ).T
        return found

    def _replicates(self, name: str, tests: Sequence[str]) -> tuple[_Floats, tuple[float, float]]:
        """(1 + n_templates, n_tests, n_resamples) scores of resampled clips, and their bounds."""
        folds: list[list[ClipScore]] = [
            [scene_clip_score(name, row, self.targets[test]) for row in self.predictions[test]]
            for test in tests
        ]
        strata = [
            strata_of(self.targets[test]) if needs_every_label(name) else None for test in tests
        ]
        found = bootstrap(folds, strata=strata, n_resamples=_N_RESAMPLES, seed=_SEED)
        return found, folds[0][0].bounds

    def _sizes(self, splits: Sequence[str]) -> list[int]:
        return [len(self.targets[split]) for split in splits]


def _softmax(logits: _Floats) -> _Floats:
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    found: _Floats = powers / powers.sum(axis=-1, keepdims=True)
    return found


def _best(scores: _Floats, name: str) -> int:
    """The first of the best; an undefined score is worse than any other."""
    signed = scores if get_scene_score(name).maximise else -scores
    return int(np.where(np.isnan(signed), -np.inf, signed).argmax())


@dataclass(frozen=True)
class _Summary:
    """Means over test splits, with intervals over their clips.

    Attributes:
        n_clips: Of each test split.
        bounds: Least and largest value that the score can take.
    """

    tests: Sequence[str]
    n_clips: Sequence[int]
    maximise: bool
    bounds: tuple[float, float] = UNBOUNDED

    def of(self, points: _Floats, replicates: _Floats) -> ZeroShotSummary:
        """One score.

        Args:
            points: (n_tests,).
            replicates: (n_tests, n_resamples).
        """
        there = ~np.isnan(points)
        part = _part(points, self.tests)
        interval = None
        # As for probes, a score that is infinite in a resample has no interval.
        if there.any() and np.isfinite(points[there]).all() and not np.isinf(replicates).any():
            found = bootstrap_interval(
                part.mean,
                replicates[there].mean(axis=0),
                n_clips=[n for n, defined in zip(self.n_clips, there, strict=True) if defined],
                level=_LEVEL,
                bounds=self.bounds,
            )
            if not math.isnan(found.low):
                interval = Range(low=found.low, high=found.high)
        return ZeroShotSummary(
            mean=part.mean,
            std=part.std,
            per_fold=part.per_fold,
            maximise=self.maximise,
            interval=interval,
        )


def _part(points: _Floats, tests: Sequence[str]) -> PartSummary:
    mean, std = mean_std(points.tolist())
    return PartSummary(mean=mean, std=std, per_fold=dict(zip(tests, points.tolist(), strict=True)))
