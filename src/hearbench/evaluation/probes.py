"""Probes as a set-up: trained by a protocol with one or several seeds, scored, written."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from hearbench.embeddings.compute import layers_of
from hearbench.embeddings.kinds import HasLayers, Wanted
from hearbench.errors import ProbeError
from hearbench.evaluation.existing import Inputs, differences_of_training, existing
from hearbench.evaluation.job import Job, Setup
from hearbench.evaluation.results import Made
from hearbench.evaluation.steps import TrainFold
from hearbench.files import TEMPORARY_PREFIX
from hearbench.metrics import get_score
from hearbench.probe.layers import LayersRecord, check_reading
from hearbench.probe.precision import precision_name
from hearbench.probe.protocol import DEFAULT_SEED, Protocol, by_shape, get_protocol
from hearbench.results import RESULT_FILE, Result, score, write_result
from hearbench.results.curve import FEW_LABELS
from hearbench.results.damage import PREDICTIONS, damaged_files
from hearbench.results.finding import LAYERS_FOLDER, SEEDS_FOLDER, layer_folder
from hearbench.results.robustness import PERTURBED, PERTURBED_TRAINING, ROBUSTNESS_FILE
from hearbench.results.uncertainty import UNCERTAINTY_FILE, write_uncertainty
from hearbench.workspace import Workspace

if TYPE_CHECKING:
    from hearbench.embeddings.kinds import Dtype
    from hearbench.embeddings.store import EmbeddingStore
    from hearbench.evaluation.job import Embeddings
    from hearbench.execution.executor import Step
    from hearbench.probe.predictions import FittedProbe
    from hearbench.tasks.spec import TaskMetadata
    from hearbench.tasks.store import PreparedTask
    from hearbench.tasks.task_type import TaskType

__all__ = ["ProbeSetup"]


@dataclass(frozen=True)
class ProbeSetup(Setup):
    """How probes are trained.

    Attributes:
        protocol: With its grid restricted as asked for.
        seeds: Seeds of the trainings; the first one's result is the task's.
        precision: Precision of the matrix products: ``float32`` or ``bfloat16``.
        layers: Layers of the model that a protocol on layers uses, negative ones from the end;
            empty for all.
    """

    protocol: Protocol
    seeds: tuple[int, ...]
    precision: str
    layers: tuple[int, ...] = ()

    @classmethod
    def of(
        cls,
        protocol: str | Protocol = "hear2021",
        seeds: int | Sequence[int] = 1,
        *,
        precision: str = "auto",
        workspace: Workspace | None = None,
        layers: Literal["all"] | Sequence[int] = "all",
    ) -> ProbeSetup:
        """A set-up as users describe it.

        Args:
            protocol: A protocol or its name.
            seeds: The seeds, or how many from the default one on.
            precision: ``float32``, ``bfloat16`` or ``auto``, which is what the device is fast at.
            workspace: Says the device; by default that of the environment.
            layers: Layers of the model that a protocol on layers uses, negative ones from the end.

        Raises:
            UnknownNameError: There is no such protocol.
            ProbeError: There is no such precision, no seed is given, or layers are named for a
                protocol that doesn't use them.
        """
        chosen = get_protocol(protocol) if isinstance(protocol, str) else protocol
        if isinstance(seeds, int):
            seeds = range(DEFAULT_SEED, DEFAULT_SEED + seeds)
        if not seeds:
            raise ProbeError("No seed is given; at least one is needed.")
        # Where nothing is random, all seeds give the same.
        trained = tuple(seeds) if chosen.is_random else (seeds[0],)
        numbers = () if layers == "all" else tuple(layers)
        if numbers and not chosen.reads_layers:
            raise ProbeError(
                f"Layers are named, and {chosen.name} uses none. Choose layers or weighted, or one "
                "of these on another grid, as layers:linear."
            )
        workspace = workspace or Workspace.from_environment()
        return cls(chosen, trained, precision_name(precision, workspace), numbers)

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
        """Refuses tasks that ask for unknown scores or whose embeddings the protocol can't read.

        And those of whose grid nothing would be left.
        """
        check_scores(task)
        check_reading(self.protocol, task)
        self.applied(task.metadata)

    def on(self, model: HasLayers, kind: TaskType, dtype: Dtype) -> tuple[ProbeSetup, Wanted]:
        """The set-up with the layers by their numbers, and which embeddings it takes.

        Raises:
            ModelError: The model doesn't give its layers, or not these.
        """
        what = self.protocol.what(kind)
        if not self.protocol.reads_layers:
            return self, Wanted(what, (), dtype, self.protocol.embed_batch)
        every = layers_of(model, "all")
        numbers = layers_of(model, self.layers) if self.layers else every
        protocol = self.protocol if numbers == every else self.protocol.with_layers(numbers)
        # Scene embeddings are small, so all are kept; frames of all layers may fill a disk.
        stored = every if what == "scene" else numbers
        wanted = Wanted(what, stored, dtype, protocol.embed_batch)
        return dataclasses.replace(self, protocol=protocol), wanted

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

    def waves(
        self, job: Job, embeddings: Embeddings, stores: Mapping[Embeddings, str]
    ) -> Iterator[Sequence[Step]]:
        """The grid on the first fold, a step per shape of networks; then all other folds at once.

        Networks of one shape are trained side by side, and layers at once.
        """
        protocol = self.applied(job.task.metadata)
        seeds = tuple(self.missing_seeds(job))
        # Neighbours learn nothing that could be kept.
        if protocol.neighbours or not seeds:
            return
        numbers: Sequence[int | None] = [None]
        if protocol.reads == "layers":
            numbers = protocol.layers or embeddings.wanted.layers
            protocol = protocol.of_one_layer()

        def steps(number: int, points: Sequence[int]) -> list[TrainFold]:
            return [
                TrainFold(
                    task=embeddings.task,
                    store=stores[embeddings],
                    # What a grid is drawn from isn't in its JSON, so the task's part is settled
                    # here.
                    protocol=protocol.model_dump_json(),
                    seeds=seeds,
                    precision=self.precision,
                    number=number,
                    points=tuple(points),
                    layer=layer,
                )
                for layer in numbers
            ]

        networks = protocol.networks
        # What one shape reaches decides when points of the next are given up by racing.
        groups = [range(len(networks))] if protocol.racing else by_shape(networks)
        yield [step for points in groups for step in steps(0, points)]
        yield [step for i in range(1, len(job.task.folds())) for step in steps(i, ())]

    def make(
        self,
        job: Job,
        store: EmbeddingStore,
        workspace: Workspace,
        further: Sequence[EmbeddingStore] = (),  # noqa: ARG002
    ) -> Made:
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
        if self.protocol.reads == "layers":
            trained = self._best_layers(folder, seeds, store, workspace)
        else:
            trained = self.fit(seeds, store, workspace)
        if self.seed in seeds:
            _clear(folder, keep=set(self.seeds) - set(seeds))
            if self.protocol.reads != "layers":
                shutil.rmtree(folder / LAYERS_FOLDER, ignore_errors=True)
        (folder / UNCERTAINTY_FILE).unlink(missing_ok=True)
        written = []
        for predictions in trained:
            place = self.folder_of(folder, predictions.seed)
            _clear(place)
            written.append(write_result(score(predictions), predictions, place))
        return written

    def fit(
        self, seeds: Sequence[int], store: EmbeddingStore, workspace: Workspace
    ) -> Sequence[FittedProbe]:
        """Trains probes with some of the seeds; what is trained already is kept in the cache."""
        # Brings torch along.
        from hearbench.probe.fit import fit_probes

        return fit_probes(
            store, self.protocol, seeds=seeds, precision=self.precision, workspace=workspace
        )

    def _best_layers(
        self, folder: Path, seeds: Sequence[int], store: EmbeddingStore, workspace: Workspace
    ) -> Sequence[FittedProbe]:
        """Probes every layer, and gives for each seed the probe of the layer that validated best.

        Results of each layer are written below the folder; those that were made from the same
        inputs are kept.
        """
        from hearbench.probe.kinds import kind_of

        of_one = dataclasses.replace(self, protocol=self.protocol.of_one_layer(), layers=())
        numbers = self.protocol.layers or store.layers
        for number in numbers:
            one = store.layer(number)
            job = Job(layer_folder(folder, number), store.task, Inputs.of(one), overwrite=True)
            if of_one.missing_seeds(job):
                workspace.progress.line(f"{store.task.name}: layer {number} of {numbers[-1]}")
                of_one.make(job, one, workspace)
        kind = kind_of(store, of_one.protocol, device="cpu", max_memory_bytes=0)
        found = []
        for seed in seeds:
            of_seed = [of_one.folder_of(layer_folder(folder, number), seed) for number in numbers]
            goodness = [kind.objective.goodness(_validation(place)) for place in of_seed]
            # The first of equals, as of grid points.
            best = numbers[goodness.index(max(goodness))]
            (fitted,) = of_one.fit([seed], store.layer(best), workspace)
            found.append(
                dataclasses.replace(
                    fitted,
                    protocol=self.applied(store.task.metadata),
                    layers=LayersRecord(numbers=tuple(numbers), chosen=best),
                )
            )
        return found


def _validation(folder: Path) -> float:
    """The mean over folds of what the chosen network reached in validation."""
    scores = [fold.validation_score for fold in Result.read(folder).folds]
    # Infinities of both signs have none.
    return sum(scores) / len(scores)


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
        (folder / ROBUSTNESS_FILE).unlink(missing_ok=True)
        for part in (FEW_LABELS, PERTURBED, PERTURBED_TRAINING):
            shutil.rmtree(folder / part, ignore_errors=True)
    (folder / RESULT_FILE).unlink(missing_ok=True)
    (folder / UNCERTAINTY_FILE).unlink(missing_ok=True)
    shutil.rmtree(folder / PREDICTIONS, ignore_errors=True)
    for rest in folder.glob(f"{TEMPORARY_PREFIX}*"):
        rest.unlink(missing_ok=True)
