"""Clips classified by class names: by each template, by their ensemble, and by the best one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hearbench.embeddings.texts import TextEmbeddings
from hearbench.metrics import get_scene_score
from hearbench.results.aggregate import mean_std
from hearbench.results.clip_scores import needs_every_label
from hearbench.results.record import PartSummary
from hearbench.stats.clip_scores import ClipScore, scene_clip_score
from hearbench.stats.resampling import bootstrap, strata_of
from hearbench.tasks.prompts import ClassPrompts
from hearbench.tasks.store import PreparedTask
from hearbench.zero_shot.record import ClassesRecord, TemplateRecord, ZeroShotSummary
from hearbench.zero_shot.similarity import (
    N_RESAMPLES,
    SEED,
    Clips,
    Summary,
    class_probabilities,
    normalized,
    part_summary,
)

__all__ = ["Classes"]

_Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Classes:
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
        clips: Clips,
        temperature: float,
    ) -> Classes:
        """Compares clips with class names."""
        of_templates = np.stack([normalized(embedded.of(row)) for row in prompts.texts()])
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
            summary = Summary(tests, self._sizes(tests), get_scene_score(name).maximise, bounds)
            ensemble[name] = summary.of(points[0], replicates[0])
            with np.errstate(invalid="ignore"):  # infinities of both signs
                means = points[1:].mean(axis=0), replicates[1:].mean(axis=0)
            mean[name] = summary.of(*means)
            at = [1 + template for template in chosen], range(len(tests))
            best[name] = summary.of(points[at], replicates[at])
            each = [part_summary(row, tests) for row in points[1:]]
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
        found = bootstrap(folds, strata=strata, n_resamples=N_RESAMPLES, seed=SEED)
        return found, folds[0][0].bounds

    def _sizes(self, splits: Sequence[str]) -> list[int]:
        return [len(self.targets[split]) for split in splits]


def _best(scores: _Floats, name: str) -> int:
    """The first of the best; an undefined score is worse than any other."""
    signed = scores if get_scene_score(name).maximise else -scores
    return int(np.where(np.isnan(signed), -np.inf, signed).argmax())
