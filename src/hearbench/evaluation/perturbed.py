"""Disturbed audio as a set-up: what probes score on it, and what scores lose."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hearbench.errors import HearError, ResultError, UnsuitableTaskError
from hearbench.evaluation.job import Embeddings, Job, Setup
from hearbench.evaluation.probes import ProbeSetup
from hearbench.evaluation.results import Made
from hearbench.files import write_json
from hearbench.perturb import Perturbation, parse_perturbations
from hearbench.results import RESULT_FILE
from hearbench.results.damage import note_file
from hearbench.results.robustness import (
    ROBUSTNESS_FILE,
    Robustness,
    build_robustness,
    perturbed_folder,
)
from hearbench.tasks.catalog import catalog_task
from hearbench.tasks.store import Disturbance

if TYPE_CHECKING:
    from hearbench.embeddings.kinds import Dtype, HasLayers, Wanted
    from hearbench.embeddings.store import EmbeddingStore
    from hearbench.execution.executor import Step
    from hearbench.tasks.store import PreparedTask
    from hearbench.tasks.task_type import TaskType
    from hearbench.workspace import Workspace

__all__ = ["Perturbed"]

_PITCH_SCORES = {"pitch_acc", "chroma_acc"}
_WHY = {
    "pitch": "it changes the pitch, which the labels name",
    "level": "it changes the level, which the labels follow",
    "sources": "it adds sounds that the labels would have to name or count",
}


@dataclass(frozen=True)
class Perturbed(Setup):
    """Probes that learned from audio as it came, asked about disturbed audio.

    Attributes:
        probe: How they are trained. Trainings on clean audio are those of this set-up, which the
            cache keeps.
        perturbations: What is done to the audio, each by itself.
        training: Whether training and validation clips are disturbed, too, so that every
            perturbation has trainings of its own.
    """

    probe: ProbeSetup
    perturbations: tuple[Perturbation, ...]
    training: bool = False

    @classmethod
    def of(
        cls, probe: ProbeSetup, perturbations: Sequence[str], *, training: bool = False
    ) -> Perturbed:
        """A set-up as users describe it.

        Args:
            perturbations: Texts as ``noise=20,10,0``, ``reverb=0.6+noise=10`` or ``telephone``; see
                `hearbench.perturb.parse_perturbations`.
            training: Whether training and validation clips are disturbed, too.

        Raises:
            HearError: There is no such perturbation, or none is given.
            UnknownNameError: There is no such kind of perturbation, or no such named set.
        """
        chosen = {each.recipe: each for text in perturbations for each in parse_perturbations(text)}
        if not chosen:
            raise HearError("No perturbation is given; name at least one, as noise=10.")
        return cls(probe, tuple(chosen.values()), training)

    def check(self, task: PreparedTask) -> None:
        """Refuses perturbations by which a clip's labels would no longer be right.

        Raises:
            UnsuitableTaskError: There is one among them.
            HearError: The task or the probe can't be used.
        """
        self.probe.check(task)
        follow = _labels_follow(task)
        for each in self.perturbations:
            if wrong := sorted(each.changes & follow):
                raise UnsuitableTaskError(
                    f"{each.name} can't be used on {task.name}: {_WHY[wrong[0]]}. Leave it out for "
                    "this task."
                )

    def on(self, model: HasLayers, kind: TaskType, dtype: Dtype) -> tuple[Perturbed, Wanted]:
        """The set-up as it is applied to a model, and which embeddings it takes."""
        probe, wanted = self.probe.on(model, kind, dtype)
        return dataclasses.replace(self, probe=probe), wanted

    def further(self, embeddings: Embeddings) -> list[Embeddings]:
        """The embeddings of disturbed audio, in the order of the perturbations."""
        return [
            dataclasses.replace(
                embeddings,
                task=dataclasses.replace(
                    embeddings.task, perturbation=each.recipe, training=self.training
                ),
            )
            for each in self.perturbations
        ]

    def is_finished(self, job: Job) -> bool:
        """Tells whether every result exists, and the record of what scores lose with it."""
        if any(self.probe.missing_seeds(part) for part in self._parts(job)):
            return False
        known = _read(job.folder)
        return known is not None and self._fits(known, job)

    def kept(self, job: Job, workspace: Workspace) -> Made:
        """The record that exists."""
        path = job.folder / ROBUSTNESS_FILE
        workspace.progress.line(
            f"{job.task.name}: kept {path}, which was made from the same inputs"
        )
        return Made(robustness=[(path, Robustness.read(path))])

    def waves(
        self, job: Job, embeddings: Embeddings, stores: Mapping[Embeddings, str]
    ) -> Iterator[Sequence[Step]]:
        """Trainings on disturbed audio, perturbation by perturbation."""
        if not self.training:
            return
        for part, further in zip(self._parts(job), self.further(embeddings), strict=True):
            yield from self.probe.waves(part, further, stores)

    def make(
        self,
        job: Job,
        store: EmbeddingStore,
        workspace: Workspace,
        further: Sequence[EmbeddingStore] = (),
    ) -> Made:
        """Asks the probes about disturbed audio, and writes results and what scores lose.

        Raises:
            ResultError: A result or the record can't be written, or results don't belong together.
        """
        progress = workspace.progress
        if not (job.folder / RESULT_FILE).is_file() or self.probe.missing_seeds(job):
            self.probe.make(job, store, workspace)
        for perturbation, part, other in zip(
            self.perturbations, self._parts(job), further, strict=True
        ):
            if not (missing := self.probe.missing_seeds(part)):
                continue
            tested = other if self.training else store.tested_on(other)
            for path in self.probe.train(part.folder, missing, tested, workspace):
                progress.line(f"{job.task.name}, {perturbation.name}: wrote {path}")
        path = job.folder / ROBUSTNESS_FILE
        with progress.stage(f"{job.task.name}: what scores lose"):
            made = build_robustness(job.folder, self._all(job), seeds=self.probe.seeds)
        try:
            write_json(path, made.model_dump(mode="json"))
            note_file(job.folder, ROBUSTNESS_FILE)
        except OSError as error:
            raise ResultError(f"{path} can't be written: {error.strerror}.", code="io") from error
        progress.line(f"{job.task.name}: wrote {path}")
        return Made(robustness=[(path, made)])

    def _parts(self, job: Job) -> list[Job]:
        """The disturbed task in the place of the task, for each perturbation."""
        return [
            dataclasses.replace(
                job,
                folder=perturbed_folder(job.folder, each.recipe, training=self.training),
                inputs=dataclasses.replace(
                    job.inputs,
                    task=Disturbance(job.task, each, self.training).digest(job.inputs.task),
                ),
            )
            for each in self.perturbations
        ]

    def _all(self, job: Job) -> list[tuple[Perturbation, bool]]:
        """These perturbations, after those of earlier runs that were made from the same inputs."""
        mine = [(each, self.training) for each in self.perturbations]
        known = _read(job.folder)
        if known is None or not self._fits(known, job, others=True):
            return mine
        names = {each.recipe: each for each in self.perturbations}
        before = []
        for point in known.points:
            if point.training == self.training and point.recipe in names:
                continue
            each = dataclasses.replace(Perturbation.parse(point.recipe), name=point.name)
            one = Perturbed(self.probe, (each,), point.training)
            if not one.probe.missing_seeds(one._parts(job)[0]):
                before.append((each, point.training))
        return [*before, *mine]

    def _fits(self, known: Robustness, job: Job, *, others: bool = False) -> bool:
        """Whether a record is of these inputs and seeds, and has these perturbations."""
        if known.task.digest != job.inputs.task or known.seeds != self.probe.seeds:
            return False
        there = {(point.name, point.recipe, point.training) for point in known.points}
        mine = {(each.name, each.recipe, self.training) for each in self.perturbations}
        return others or mine <= there


def _read(folder: Path) -> Robustness | None:
    """The record in a folder; None if there is none, or it can be made again."""
    try:
        return Robustness.read(folder)
    except ResultError:
        return None  # missing, damaged, or of another version


def _labels_follow(task: PreparedTask) -> frozenset[str]:
    """What of a sound the task's labels would have to follow."""
    metadata = task.metadata
    known = catalog_task(task.name)
    follow = set(known[0].labels_follow) if known else set()
    if _PITCH_SCORES & set(metadata.evaluation):
        follow.add("pitch")
    # What is in a clip is what its labels say, all of it.
    if metadata.prediction_type == "multilabel":
        follow.add("sources")
    return frozenset(follow)
