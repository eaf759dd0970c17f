"""Probes as a set-up: trained by a protocol with one or several seeds, scored, written."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hearbench.errors import ProbeError
from hearbench.evaluation.existing import differences_of_training, existing
from hearbench.evaluation.job import Setup
from hearbench.evaluation.results import Made
from hearbench.evaluation.steps import TrainFold
from hearbench.files import TEMPORARY_PREFIX
from hearbench.metrics import get_score
from hearbench.probe.protocol import DEFAULT_SEED, Protocol, by_shape, get_protocol
from hearbench.results import RESULT_FILE, Result, score, write_result
from hearbench.results.curve import FEW_LABELS
from hearbench.results.damage import PREDICTIONS, damaged_files
from hearbench.results.finding import SEEDS_FOLDER
from hearbench.results.uncertainty import UNCERTAINTY_FILE, write_uncertainty
from hearbench.workspace import Workspace

if TYPE_CHECKING:
    from hearbench.embeddings.store import EmbeddingStore
    from hearbench.evaluation.job import Job
    from hearbench.evaluation.task_ref import TaskRef
    from hearbench.execution.executor import Step
    from hearbench.tasks.spec import TaskMetadata
    from hearbench.tasks.store import PreparedTask

__all__ = ["ProbeSetup"]


@dataclass(frozen=True)
class ProbeSetup(Setup):
    """How probes are trained.

    Attributes:
        protocol: With its grid restricted as asked for.
        seeds: Seeds of the trainings; the first one's result is the task's.
        precision: Precision of the matrix products: ``float32`` or ``bfloat16``.
    """

    protocol: Protocol
    seeds: tuple[int, ...]
    precision: str

    @classmethod
    def of(
        cls,
        protocol: str | Protocol = "hear2021",
        seeds: int | Sequence[int] = 1,
        *,
        precision: str = "auto",
        device: str | None = None,
    ) -> ProbeSetup:
        """A set-up as users describe it.

        Args:
            protocol: A protocol or its name.
            seeds: The seeds, or how many from the default one on.
            precision: ``float32``, ``bfloat16`` or ``auto``, which is what the device is fast at.
            device: A torch device; by default that of the environment's workspace.

        Raises:
            UnknownNameError: There is no such protocol.
            ProbeError: There is no such precision, or no seed is given.
        """
        from hearbench.probe.precision import resolve_precision

        chosen = get_protocol(protocol) if isinstance(protocol, str) else protocol
        if isinstance(seeds, int):
            seeds = range(DEFAULT_SEED, DEFAULT_SEED + seeds)
        if not seeds:
            raise ProbeError("No seed is given; at least one is needed.")
        # Where nothing is random, all seeds give the same.
        trained = tuple(seeds) if chosen.is_random else (seeds[0],)
        if device is None:
            device = Workspace.from_environment().torch_device()
        dtype = resolve_precision(precision, device)
        return cls(chosen, trained, str(dtype).removeprefix("torch."))

    @property
    def seed(self) -> int:
        """The first seed."""
        return self.seeds[0]

    def applied(self, metadata: TaskMetadata) -> Protocol:
        """The protocol as it is applied to a task.

        Raises:
            ProbeError: Nothing is left of its grid, or some of its points aren't validated.
        """
        return self.protocol.for_task(metadata.task_name, metadata.evaluation_params)

    def check(self, task: PreparedTask) -> None:
        """Refuses tasks that ask for unknown scores, and of whose grid nothing would be left."""
        check_scores(task)
        self.applied(task.metadata)

    def is_finished(self, job: Job) -> bool:
        """Tells whether every seed's result exists."""
        return not self.missing_seeds(job)

    def missing_seeds(self, job: Job) -> list[int]:
        """The seeds whose results don't exist, or are to be overwritten.

        Raises:
            ResultError: One was made from other inputs, and isn't to be overwritten.
        """
        return [seed for seed in self.seeds if self.existing_result(job, seed) is None]

    def existing_result(self, job: Job, seed: int) -> Result | None:
        """A seed's result, if it was made from the same inputs.

        Raises:
            ResultError: It was made from others, or can't be read, and isn't to be overwritten.
        """
        protocol = self.applied(job.task.metadata)

        def differences(result: Result) -> list[str]:
            return [
                *job.inputs.differences(result),
                *differences_of_training(result, protocol, seed, self.precision),
            ]

        path = self.folder_of(job.folder, seed) / RESULT_FILE
        return existing(path, Result.read, differences, overwrite=job.overwrite)

    def folder_of(self, folder: Path, seed: int) -> Path:
        """Where a seed's result goes: the first one's into the job's folder, others below it."""
        return folder if seed == self.seed else folder / SEEDS_FOLDER / str(seed)

    def kept(self, job: Job, workspace: Workspace) -> Made:
        """The result that exists, with its intervals."""
        path = job.folder / RESULT_FILE
        workspace.progress.line(
            f"{job.task.name}: kept {path}, which was made from the same inputs"
        )
        write_uncertainty(job.folder, job.task.name, workspace)
        return Made(results=[(path, Result.read(path))])

    def waves(self, job: Job, task: TaskRef, store: str) -> Iterator[Sequence[Step]]:
        """The grid on the first fold, a step per shape of networks; then all other folds at once.

        Networks of one shape are trained side by side.
        """
        protocol = self.applied(job.task.metadata)
        seeds = tuple(self.missing_seeds(job))
        # Neighbours learn nothing that could be kept.
        if protocol.neighbours or not seeds:
            return

        def step(number: int, points: Sequence[int]) -> TrainFold:
            return TrainFold(
                task=task,
                store=store,
                # What a grid is drawn from isn't in its JSON, so the task's part is settled here.
                protocol=protocol.model_dump_json(),
                seeds=seeds,
                precision=self.precision,
                number=number,
                points=tuple(points),
            )

        networks = protocol.networks
        # What one shape reaches decides when points of the next are given up by racing.
        groups = [range(len(networks))] if protocol.racing else by_shape(networks)
        yield [step(0, points) for points in groups]
        yield [step(i, ()) for i in range(1, len(job.task.folds()))]

    def make(self, job: Job, store: EmbeddingStore, workspace: Workspace) -> Made:
        """Trains what isn't trained yet, scores it, and writes results and intervals."""
        progress = workspace.progress
        for path in self.train(job.folder, self.missing_seeds(job), store, workspace):
            progress.line(f"{job.task.name}: wrote {path}")
        write_uncertainty(job.folder, job.task.name, workspace)
        return Made(results=[(job.folder / RESULT_FILE, Result.read(job.folder))])

    def train(
        self, folder: Path, seeds: Sequence[int], store: EmbeddingStore, workspace: Workspace
    ) -> list[Path]:
        """Trains probes with some of the seeds, and writes their results.

        Args:
            folder: That of the first seed's result; others go below it.
            seeds: Those that are trained.

        Returns:
            The path of each seed's ``result.json``.

        Raises:
            HearError: The probe can't be trained, or a result can't be written.
        """
        from hearbench.probe.fit import fit_probes

        trained = fit_probes(
            store, self.protocol, seeds=seeds, precision=self.precision, workspace=workspace
        )
        if self.seed in seeds:
            _clear(folder, keep=set(self.seeds) - set(seeds))
        (folder / UNCERTAINTY_FILE).unlink(missing_ok=True)
        written = []
        for predictions in trained:
            place = self.folder_of(folder, predictions.seed)
            _clear(place)
            written.append(write_result(score(predictions), predictions, place))
        return written


def check_scores(task: PreparedTask) -> None:
    """Refuses tasks that ask for scores that don't exist.

    Raises:
        UnknownNameError: The task asks for one.
    """
    for name in task.metadata.evaluation:
        get_score(task.task_type, name)


def _clear(folder: Path, keep: Collection[int] | None = None) -> None:
    """Makes way for a result: the old result.json first, so that no mixture looks finished.

    Args:
        folder: Folder of the result.
        keep: Given for a task's folder: the further seeds whose results belong to the new one.
    """
    if not folder.is_dir():
        return
    replaced = (folder / RESULT_FILE).is_file() and not damaged_files(folder, RESULT_FILE)
    if keep is not None and replaced:
        # With it goes what belonged to it; before it, so that what is left of an interrupted
        # replacement fits together. What belongs to a damaged one stays: it is made again.
        for further in (folder / SEEDS_FOLDER).glob("*"):
            if further.name not in {str(seed) for seed in keep}:
                shutil.rmtree(further, ignore_errors=True)
        shutil.rmtree(folder / FEW_LABELS, ignore_errors=True)
    (folder / RESULT_FILE).unlink(missing_ok=True)
    (folder / UNCERTAINTY_FILE).unlink(missing_ok=True)
    shutil.rmtree(folder / PREDICTIONS, ignore_errors=True)
    for rest in folder.glob(f"{TEMPORARY_PREFIX}*"):
        rest.unlink(missing_ok=True)
