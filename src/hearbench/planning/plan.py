"""A plan of models on tasks: measured once per kind of work, then counted."""

from __future__ import annotations

import dataclasses
import shutil
import time
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import psutil
import torch

from hearbench._version import __version__
from hearbench.amounts import memory_size
from hearbench.embeddings.batches import batch_clips
from hearbench.embeddings.manifest import Dtype
from hearbench.embeddings.store import MANIFEST, read_manifest
from hearbench.errors import EmbeddingError, HearError
from hearbench.models.engine import InProcess
from hearbench.models.protocol import Model
from hearbench.planning import stages as s
from hearbench.planning.audio_speed import FileSpeed, ModelSpeed, measure_files, measure_model
from hearbench.planning.facts import TaskFacts
from hearbench.planning.fineness import fineness
from hearbench.planning.history import epochs_before
from hearbench.planning.probe_speed import ProbeSpeed, measure_probe, shape_of
from hearbench.planning.record import (
    FailedEstimate,
    Machine,
    Plan,
    Seconds,
    StageEstimate,
    TaskEstimate,
    Totals,
)
from hearbench.planning.result_speed import measure_result
from hearbench.planning.sizes import data_bytes
from hearbench.probe.protocol import Protocol
from hearbench.workspace import Workspace, available_cores, user_path

__all__ = ["DOWNLOAD_BYTES_PER_S", "Asked", "Planner", "plan_evaluation"]

DOWNLOAD_BYTES_PER_S = 20e6
"""What a download is reckoned with where nobody says otherwise."""

_MIB = 1 << 20
# Measured once for clips whose lengths and labels whose numbers are about the same.
_ALIKE = 2.0

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Asked:
    """How an evaluation would be run.

    Attributes:
        protocol: Of the probes, with its grid restricted as asked for.
        seeds: How many.
        precision: Of the products in training.
        dtype: Of the embeddings on disk.
        out: The folder of the results.
        budget_s: Seconds to spend on measuring a model with one length of clips.
        download_bytes_per_s: Of the network.
    """

    protocol: Protocol
    seeds: int = 1
    precision: torch.dtype = torch.float32
    dtype: Dtype = "float32"
    out: Path = Path("results")
    budget_s: float = 2.0
    download_bytes_per_s: float = DOWNLOAD_BYTES_PER_S


class Planner:
    """Gathers estimates, model by model.

    Args:
        asked: How the evaluation would be run.
        workspace: Cache, device, memory, and who shows progress.
    """

    def __init__(self, asked: Asked, workspace: Workspace) -> None:
        self.asked = asked
        self.workspace = workspace
        self.device = workspace.torch_device()
        self._started = time.perf_counter()
        self._measured: dict[Hashable, object] = {}
        # What a model before has downloaded or resampled is there for the next.
        self._reckoned: set[tuple[str, int]] = set()
        self._tasks: list[TaskEstimate] = []
        self._failed: list[FailedEstimate] = []
        self._memory_free = psutil.virtual_memory().available + self._own_bytes()

    def fail(self, model: str | None, task: str | None, error: HearError) -> None:
        """Notes that nothing can be said of a model or task."""
        self._failed.append(FailedEstimate(model=model, task=task, error=str(error)))

    def add(self, model: Model, tasks: Sequence[TaskFacts]) -> None:
        """Measures what a model takes for tasks; one that fails stops no other."""
        with self.workspace.progress.stage(f"measuring {model.name}", "tasks") as update:
            for number, facts in enumerate(tasks):
                update(number, len(tasks), facts.name)
                try:
                    self._tasks.append(self._estimate(model, facts))
                except HearError as error:
                    self.fail(model.spec, facts.name, error)

    def _estimate(self, model: Model, facts: TaskFacts) -> TaskEstimate:
        asked, workspace = self.asked, self.workspace
        files = self._files(facts, model.sample_rate)
        stages: list[StageEstimate] = []
        problems, notes = [], [f"assumed: {what}" for what in facts.assumed]
        if (facts.name, 0) not in self._reckoned:
            stages += s.fetch_and_check(facts, files, asked.download_bytes_per_s)
        if (facts.name, model.sample_rate) not in self._reckoned:
            left = self._left_to_resample(facts, model.sample_rate)
            resampling = s.resample(facts, files, model.sample_rate, left)
            stages += [resampling] if resampling is not None else []
        self._reckoned |= {(facts.name, 0), (facts.name, model.sample_rate)}
        if facts.folder is None and not facts.ready_made:
            problems.append(
                f"{facts.name} isn't published ready-made; `hearbench prepare` makes it from its "
                "corpus, whose size and time aren't in these numbers"
            )
        speed = self._model(model, facts)
        itemsize = np.dtype(asked.dtype).itemsize
        if self._is_embedded(model, facts):
            notes.append("embeddings are in the cache")
        else:
            stages.append(
                s.embed(
                    facts,
                    s.Embedding(
                        model=speed,
                        files=files,
                        batch=self._batch(facts, model.sample_rate),
                        itemsize=itemsize,
                        sample_rate=model.sample_rate,
                        base_bytes=self._model_bytes(model, speed),
                        one_device=model.device == "cpu",
                    ),
                )
            )
        protocol = asked.protocol.for_task(facts.task_name, facts.evaluation_params)
        budget = workspace.memory_budget_bytes()
        stages.append(
            s.probe(
                facts,
                self._probe(facts, speed, protocol),
                speed,
                seeds=asked.seeds,
                itemsize=asked.precision.itemsize,
                base_bytes=self._own_bytes(),
                max_memory_bytes=budget,
                stopping=s.Stopping(
                    self._fineness(facts),
                    epochs_before(facts.name, protocol.networks, workspace),
                ),
            )
        )
        stages.append(
            s.result(
                facts,
                speed,
                self._result(facts),
                seeds=asked.seeds,
                base_bytes=self._own_bytes(),
            )
        )
        held = data_bytes(facts, speed.embedding_size, speed.frames_per_s, asked.precision.itemsize)
        if held > budget:
            notes.append(
                f"{_gb(held)} of a fold's embeddings are more than {_gb(budget)} of --max-memory: "
                "every epoch reads them again, which isn't in these times"
            )
        problems += self._too_large(stages)
        return TaskEstimate(
            model=model.name,
            task=facts.name,
            stages=tuple(stages),
            problems=tuple(problems),
            notes=tuple(notes),
        )

    def _too_large(self, stages: Sequence[StageEstimate]) -> list[str]:
        return [
            f"{stage.stage} needs {_gb(stage.memory_bytes)} of memory, and {_gb(self._memory_free)}"
            " are free"
            for stage in stages
            if stage.memory_bytes is not None and stage.memory_bytes > self._memory_free
        ]

    def plan(self) -> Plan:
        """All of it so far."""
        workspace = self.workspace
        total = _total(self._tasks)
        free = shutil.disk_usage(_existing(workspace.cache_dir)).free
        problems = []
        if total.disk_high_bytes > free:
            problems.append(
                f"{_gb(total.disk_high_bytes)} are needed on disk, and {_gb(free)} are free where "
                f"the cache is ({workspace.cache_dir})"
            )
        results = sum(
            stage.disk_high_bytes
            for task in self._tasks
            for stage in task.stages
            if stage.stage == "result"
        )
        out = user_path(self.asked.out).absolute()
        room = shutil.disk_usage(_existing(out)).free
        if results > room:
            problems.append(
                f"{_gb(results)} are needed for the results, and {_gb(room)} are free in {out}"
            )
        return Plan(
            hearbench_version=__version__,
            machine=Machine(
                device=self.device,
                cores=available_cores(),
                workers=workspace.workers,
                cache_dir=str(workspace.cache_dir),
                disk_free_bytes=free,
                memory_free_bytes=self._memory_free,
                max_memory_bytes=workspace.memory_budget_bytes(),
            ),
            protocol=self.asked.protocol.name,
            seeds=self.asked.seeds,
            precision=str(self.asked.precision).removeprefix("torch."),
            measured_s=time.perf_counter() - self._started,
            tasks=tuple(self._tasks),
            failed=tuple(self._failed),
            total=total,
            problems=tuple(problems),
            fits=not (problems or self._failed or any(task.problems for task in self._tasks)),
        )

    def _once(self, key: Hashable, measure: Callable[[], T]) -> T:
        if key not in self._measured:
            self._measured[key] = measure()
        return self._measured[key]  # type: ignore[return-value]

    def _files(self, facts: TaskFacts, sample_rate: int) -> FileSpeed:
        key = ("files", facts.source_rate, sample_rate, _alike(facts.clip_s))
        return self._once(
            key,
            lambda: measure_files(
                self.workspace, facts.clip_s, source_rate=facts.source_rate, sample_rate=sample_rate
            ),
        )

    def _batch(self, facts: TaskFacts, sample_rate: int) -> int:
        return batch_clips(facts.clip_s if facts.fixed_duration else None, sample_rate)

    def _model(self, model: Model, facts: TaskFacts) -> ModelSpeed:
        batch = self._batch(facts, model.sample_rate)
        key = ("model", model.digest, facts.kind, _alike(facts.clip_s), _alike(batch))
        return self._once(
            key,
            lambda: measure_model(
                model, facts.kind, facts.clip_s, batch, budget_s=self.asked.budget_s
            ),
        )

    def _probe(self, facts: TaskFacts, model: ModelSpeed, protocol: Protocol) -> ProbeSpeed:
        frames = model.frames_per_s
        shape = shape_of(facts, model.embedding_size, frames, protocol.batch_size)
        # The first score decides how long a validation takes.
        key = (
            "probe",
            shape.n_features,
            _alike(shape.n_labels),
            shape.multilabel,
            _alike(shape.batch),
            _alike(shape.n_valid),
            shape.steps,
            facts.scores[0],
            facts.on_loss,
            protocol.name,
            protocol.networks,
            _alike(facts.clip_s) if facts.kind == "event" else 0,
        )
        return self._once(
            key,
            lambda: measure_probe(
                shape,
                facts,
                protocol,
                frames_per_s=frames,
                device=self.device,
                dtype=self.asked.precision,
                seeds=self.asked.seeds,
            ),
        )

    def _result(self, facts: TaskFacts) -> float:
        return self._once(("result", facts.name, facts.folder), lambda: measure_result(facts))

    def _fineness(self, facts: TaskFacts) -> float:
        return self._once(("fineness", facts.name, facts.folder), lambda: fineness(facts))

    def _own_bytes(self) -> int:
        return int(psutil.Process().memory_info().rss)

    def _model_bytes(self, model: Model, speed: ModelSpeed) -> int:
        """Of all processes while it embeds."""
        own = self._own_bytes()
        peak = round((speed.peak_memory_mb or 0) * _MIB)
        return max(own, peak) if isinstance(model.engine.engine, InProcess) else own + peak

    def _left_to_resample(self, facts: TaskFacts, sample_rate: int) -> float:
        """The share of the clips that isn't there at a rate.

        By the task's name alone, as its digest would take reading all of its audio.
        """
        root = self.workspace.path("resampled")
        folders = root.glob(f"{facts.name}-*/{sample_rate}") if root.is_dir() else ()
        found = max((sum(1 for _ in folder.rglob("*.wav")) for folder in folders), default=0)
        return max(0.0, 1 - found / facts.n_clips)

    def _is_embedded(self, model: Model, facts: TaskFacts) -> bool:
        """Whether a store of this model's and a task of that name is finished."""
        root = self.workspace.path("embeddings", facts.name, model.name)
        for path in root.glob(f"*/{MANIFEST}") if root.is_dir() else ():
            try:
                manifest = read_manifest(path.parent)
            except EmbeddingError:
                continue
            if manifest.model.digest == model.digest and manifest.dtype == self.asked.dtype:
                return True
        return False


def plan_evaluation(
    model: Model,
    tasks: Sequence[TaskFacts],
    asked: Asked,
    *,
    workspace: Workspace | None = None,
) -> Plan:
    """What evaluating one model on tasks takes, from some seconds of measuring.

    Args:
        model: The model; it embeds some seconds of noise.
        tasks: From `hearbench.planning.facts.task_facts`.
        asked: How it would be run.
        workspace: Cache, device, memory, and who shows progress; by default from the environment.
    """
    planner = Planner(asked, workspace or Workspace.from_environment())
    planner.add(model, tasks)
    return planner.plan()


def _total(tasks: Sequence[TaskEstimate]) -> Totals:
    stages = [stage for task in tasks for stage in task.stages]
    known = [stage.seconds for stage in stages if stage.seconds is not None]
    passing = max((stage.passing_bytes for stage in stages), default=0)
    return Totals(
        seconds=Seconds(
            low=sum(seconds.low for seconds in known),
            expected=sum(seconds.expected for seconds in known),
            high=sum(seconds.high for seconds in known),
        ),
        unknown=len(stages) - len(known),
        disk_bytes=sum(stage.disk_bytes for stage in stages),
        disk_high_bytes=sum(stage.disk_high_bytes for stage in stages) + passing,
        memory_bytes=max((stage.memory_bytes or 0 for stage in stages), default=0),
    )


def _alike(number: float) -> int:
    """The same for numbers that are within a factor of about two of each other."""
    return round(float(np.log(max(number, 1e-6)) / np.log(_ALIKE)))


def _existing(path: Path) -> Path:
    while not path.exists() and path != path.parent:
        path = path.parent
    return path


def _gb(size_bytes: float | None) -> str:
    return memory_size(size_bytes or 0)
