"""The test predictions of a model on a task: written, read again and scored.

    predictions = Predictions.read(Path("results/my_model/esc50-v2.0.0-full"))
    predictions.scores()["top1_acc"].mean

What is read is what somebody may have edited: see `hearbench.results.splits`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from hearbench.errors import ResultError
from hearbench.files import write_json
from hearbench.metrics import get_score
from hearbench.results.aggregate import mean_std
from hearbench.results.damage import PREDICTIONS
from hearbench.results.record import RESULT_FILE, PartSummary, Result, ScoreSummary
from hearbench.results.splits import SPLIT_OF, Split
from hearbench.results.untrusted import REMEDY, read_json
from hearbench.tasks.spec import is_plain_name
from hearbench.tasks.task_type import TaskType

if TYPE_CHECKING:
    from hearbench.probe.predictions import FittedProbe
    from hearbench.tasks.store import PreparedTask

__all__ = ["Predictions"]

_CLIPS, _LABELS = "clips.json", "labels.json"
_CLIPS_CONTENT = TypeAdapter(dict[str, list[str]])
_LABELS_CONTENT = TypeAdapter(list[str])


@dataclass(frozen=True)
class Predictions:
    """The predictions of all test splits.

    Attributes:
        score_names: The scores that they are made for.
        splits: The test splits by name, in the order of the task's folds.
    """

    task_type: TaskType
    labels: tuple[str, ...]
    score_names: tuple[str, ...]
    splits: Mapping[str, Split]

    @classmethod
    def of(cls, fitted: FittedProbe) -> Predictions:
        """What a probe predicted."""
        task = fitted.task
        split_of = SPLIT_OF[task.task_type]
        splits = [split_of.of(fold, task.vocabulary) for fold in fitted.folds]
        return cls(
            task.task_type,
            task.vocabulary,
            task.metadata.evaluation,
            {split.name: split for split in splits},
        )

    @classmethod
    def read(cls, folder: Path, result: Result | None = None) -> Predictions:
        """The predictions that lie beside a result.

        Arrays are mapped, and what isn't used is neither read nor checked; `verify` checks all.

        Args:
            folder: The result's, with ``result.json`` and ``predictions/``.
            result: The result, if it is read already.

        Raises:
            ResultError: The result can't be read, or the predictions are missing or of other
                splits, clips or labels than the result.
            UnknownNameError: The result is of a kind of task that doesn't exist.
        """
        result = Result.read(folder) if result is None else result
        place = folder / PREDICTIONS
        if not place.is_dir():
            raise ResultError(f"{folder} has no {PREDICTIONS}/. Evaluate again.")
        clips = _read_clips(place / _CLIPS, result, folder)
        labels = _read_labels(place / _LABELS, result.n_labels)
        split_of = SPLIT_OF[result.task_type]
        return cls(
            result.task_type,
            tuple(labels),
            tuple(result.scores),
            {
                fold.test: split_of.read(place, fold, clips[fold.test], labels)
                for fold in result.folds
            },
        )

    def write(self, folder: Path) -> None:
        """Writes ``predictions/`` into a result's folder.

        Raises:
            OSError: It can't be written.
        """
        place = folder / PREDICTIONS
        for split in self.splits.values():
            split.write(place, self.score_names)
        write_json(place / _LABELS, list(self.labels))
        write_json(place / _CLIPS, {name: list(s.clips) for name, s in self.splits.items()})

    def verify(self, task: PreparedTask | None = None) -> None:
        """Reads all files and checks that each follows from the others.

        Args:
            task: The task, if its labels and clips are to be compared as well.

        Raises:
            ResultError: A file is missing, isn't what it should be, or contradicts another or
                the task.
            UnknownNameError: There is no such score.
        """
        if task is not None:
            self._compare_clips(task)
        for split in self.splits.values():
            split.verify(self.score_names, task)

    def scores(self) -> dict[str, ScoreSummary]:
        """All scores, over the test splits.

        Raises:
            UnknownNameError: There is no such score.
        """
        return {name: self._summary(name) for name in self.score_names}

    def _summary(self, name: str) -> ScoreSummary:
        score = get_score(self.task_type, name)

        def over_splits(part: str) -> dict[str, Any]:
            per_fold = {
                test: math.nan if split.is_blank else float(split.parts(name)[part])
                for test, split in self.splits.items()
            }
            mean, std = mean_std(list(per_fold.values()))
            return {"mean": mean, "std": std, "per_fold": per_fold}

        return ScoreSummary(
            **over_splits(score.main),
            maximise=score.maximise,
            parts={part: PartSummary(**over_splits(part)) for part in score.parts_in_results},
        )

    def _compare_clips(self, task: PreparedTask) -> None:
        if task.vocabulary != self.labels:
            raise ResultError(f"{_LABELS} isn't the vocabulary of {task.name}. {REMEDY}")
        for name, split in self.splits.items():
            if sorted(task.splits.get(name, ())) != sorted(split.clips):
                raise ResultError(
                    f"{_CLIPS}: the clips of {name} aren't those of {task.name}. {REMEDY}"
                )


def _read_clips(file: Path, result: Result, folder: Path) -> dict[str, list[str]]:
    """The clips of the result's test splits."""
    tests = [fold.test for fold in result.folds]
    strange = [test for test in tests if not is_plain_name(test)]
    if strange:
        raise ResultError(
            f"{folder / RESULT_FILE}: {strange[0]!r} can't be the name of a split. {REMEDY}"
        )
    splits = read_json(file, _CLIPS_CONTENT)
    if sorted(splits) != sorted(tests) or len(set(tests)) < len(tests):
        raise ResultError(
            f"{file} has the test splits {', '.join(splits) or 'none'}, and the result "
            f"{', '.join(tests)}. {REMEDY}"
        )
    for fold in result.folds:
        clips = splits[fold.test]
        if len(set(clips)) < len(clips):
            raise ResultError(f"{file}: clips of {fold.test} are there twice. {REMEDY}")
        if not clips or len(clips) != fold.n_clips:
            raise ResultError(
                f"{file} has {len(clips)} clips of {fold.test}, and the result {fold.n_clips}. "
                f"{REMEDY}"
            )
    return splits


def _read_labels(file: Path, n_labels: int) -> list[str]:
    labels = read_json(file, _LABELS_CONTENT)
    if len(labels) != n_labels or len(set(labels)) != n_labels:
        raise ResultError(
            f"{file} has {len(set(labels))} labels, and the result {n_labels}. {REMEDY}"
        )
    return labels
