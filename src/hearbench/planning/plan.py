"""The plan of an evaluation: a dry run for each model and task, and arithmetic over its counts."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from hearbench._version import __version__
from hearbench.amounts import memory_size
from hearbench.embeddings.compute import name_and_digest
from hearbench.embeddings.kinds import Wanted
from hearbench.embeddings.store import MANIFEST, read_manifest
from hearbench.errors import EmbeddingError, HearError
from hearbench.evaluation.run import named_tasks
from hearbench.models.ref import ModelRef
from hearbench.planning.dry_run import dry_run
from hearbench.planning.estimates import Asked, Estimates, own_bytes
from hearbench.planning.facts import TaskFacts, task_facts
from hearbench.planning.record import (
    FailedEstimate,
    Machine,
    Plan,
    Seconds,
    StageEstimate,
    TaskEstimate,
    Totals,
)
from hearbench.tasks.task_type import task_type
from hearbench.workspace import Workspace, available_cores, user_path

if TYPE_CHECKING:
    from hearbench.models.model import Model

__all__ = ["plan_evaluation"]


def plan_evaluation(
    models: Sequence[ModelRef | str],
    tasks: Sequence[str],
    asked: Asked | None = None,
    *,
    workspace: Workspace | None = None,
) -> Plan:
    """Estimates what evaluating models on tasks takes: time, disk and memory per stage.

    Models embed some noise, and probes are trained on noise for some steps, on this machine.
    Nothing is downloaded or kept. A model or task that fails doesn't stop the others.

    Args:
        models: Import names, paths or references of models.
        tasks: Names or folders of tasks, which needn't exist here; ``"all"`` stands for all that
            the benchmark publishes.
        asked: How the evaluation would be run; by default as `hearbench.evaluate` does.
        workspace: Cache, device, memory and progress; by default from the environment.
    """
    started = time.perf_counter()
    planner = _Planner(asked or Asked(), workspace or Workspace.from_environment())
    facts = planner.facts(tasks)
    for ref in dict.fromkeys(ModelRef(one) if isinstance(one, str) else one for one in models):
        planner.add(ref, facts)
    return planner.plan(time.perf_counter() - started)


class _Planner:
    """Gathers estimates, model by model."""

    def __init__(self, asked: Asked, workspace: Workspace) -> None:
        self.asked = asked
        self.workspace = workspace
        self.memory_free = psutil.virtual_memory().available + own_bytes()
        self._tasks: list[TaskEstimate] = []
        self._failed: list[FailedEstimate] = []
        # What an earlier model has downloaded or resampled exists for the next one.
        self._present: set[tuple[str, int]] = set()

    def facts(self, tasks: Sequence[str]) -> list[TaskFacts]:
        """What is known of tasks, each once."""
        found = {}
        for text in named_tasks(tasks):
            with self._noted(None, text):
                facts = task_facts(text, self.workspace)
                found[facts.name, facts.folder] = facts
        return list(found.values())

    @contextlib.contextmanager
    def _noted(self, model: str | None, task: str | None) -> Iterator[None]:
        """Keeps what goes wrong with a model or task, so that the others go on."""
        try:
            yield
        except HearError as error:
            self._failed.append(FailedEstimate(model=model, task=task, error=str(error)))

    def add(self, ref: ModelRef, tasks: Sequence[TaskFacts]) -> None:
        """Estimates a model's evaluation on tasks."""
        with self._noted(ref.spec, None):
            model = ref.load(self.workspace)
            what = f"measuring {model.name}"
            with contextlib.closing(model), self.workspace.progress.stage(what, "tasks") as update:
                for number, facts in enumerate(tasks):
                    update(number, len(tasks), facts.name)
                    with self._noted(ref.spec, facts.name):
                        self._tasks.append(self._estimate(model, facts))

    def _estimate(self, model: Model, facts: TaskFacts) -> TaskEstimate:
        asked, workspace = self.asked, self.workspace
        ran = dry_run(
            model,
            facts,
            asked.setup,
            dtype=asked.dtype,
            embed_s=asked.embed_s,
            workspace=workspace,
        )
        on = Estimates(facts, ran, asked, model)
        left = 1 - _share_resampled(facts, model.sample_rate, workspace)
        embedded = self._is_embedded(model, facts)
        budget = workspace.memory_budget_bytes()
        stages = []
        if (facts.name, 0) not in self._present:
            stages += [on.fetch()] if facts.folder is None else []
            stages.append(on.check())
        if (facts.name, model.sample_rate) not in self._present and left:
            stages.append(on.resample(left))
        if not embedded:
            stages.append(on.embed())
        stages += [on.probe(budget), on.result()]
        self._present |= {(facts.name, 0), (facts.name, model.sample_rate)}
        return TaskEstimate(
            model=model.name,
            task=facts.name,
            stages=tuple(stages),
            problems=tuple(self._problems(facts, stages)),
            notes=tuple(_notes(facts, embedded, on.data_bytes, budget)),
        )

    def _problems(self, facts: TaskFacts, stages: Sequence[StageEstimate]) -> Iterator[str]:
        if facts.folder is None and not facts.ready_made:
            yield (
                f"{facts.name} isn't published ready-made; `hearbench prepare` makes it from its "
                "corpus, whose size and time aren't in these numbers"
            )
        for stage in stages:
            if stage.memory_bytes is not None and stage.memory_bytes > self.memory_free:
                yield (
                    f"{stage.stage} needs {memory_size(stage.memory_bytes)} of memory, and "
                    f"{memory_size(self.memory_free)} are free"
                )

    def _is_embedded(self, model: Model, facts: TaskFacts) -> bool:
        """Whether a finished store of this model and of a task of that name exists."""
        _, wanted = self.asked.setup.on(model, task_type(facts.kind), self.asked.dtype)
        name, digest = name_and_digest(model, wanted)
        root = self.workspace.path("embeddings", facts.name, name)
        for path in root.glob(f"*/{MANIFEST}"):
            try:
                manifest = read_manifest(path.parent)
            except EmbeddingError:
                continue
            batch = None if wanted.batch is None else manifest.batch
            held = Wanted(manifest.embedded.what, manifest.layers, manifest.dtype, batch)
            if manifest.model.digest == digest and held == wanted:
                return True
        return False

    def plan(self, measured_s: float) -> Plan:
        """All estimates, added up and compared with what is free."""
        workspace, setup = self.workspace, self.asked.setup
        total = _total([stage for task in self._tasks for stage in task.stages])
        free = _free_bytes(workspace.cache_dir)
        problems = []
        if total.disk_high_bytes > free:
            problems.append(
                f"{memory_size(total.disk_high_bytes)} are needed on disk, and {memory_size(free)} "
                f"are free where the cache is ({workspace.cache_dir})"
            )
        last = [task.stages[-1] for task in self._tasks]
        results, out = sum(stage.disk_high_bytes for stage in last), user_path(self.asked.out)
        room = _free_bytes(out.absolute())
        if results > room:
            problems.append(
                f"{memory_size(results)} are needed for the results, and {memory_size(room)} are "
                f"free in {out.absolute()}"
            )
        return Plan(
            hearbench_version=__version__,
            machine=Machine(
                device=workspace.torch_device(),
                cores=available_cores(),
                workers=workspace.workers,
                cache_dir=str(workspace.cache_dir),
                disk_free_bytes=free,
                memory_free_bytes=self.memory_free,
                max_memory_bytes=workspace.memory_budget_bytes(),
            ),
            protocol=setup.protocol.name,
            seeds=len(setup.seeds),
            precision=setup.precision,
            measured_s=measured_s,
            tasks=tuple(self._tasks),
            failed=tuple(self._failed),
            total=total,
            problems=tuple(problems),
            fits=not (problems or self._failed or any(task.problems for task in self._tasks)),
        )


def _notes(facts: TaskFacts, embedded: bool, held: int, budget: int) -> Iterator[str]:
    for what in facts.assumed:
        yield f"assumed: {what}"
    if embedded:
        yield "embeddings are in the cache"
    if held > budget:
        yield (
            f"{memory_size(held)} of a fold's embeddings are more than {memory_size(budget)} of "
            "--max-memory: every epoch reads them again, which isn't in these times"
        )


def _share_resampled(facts: TaskFacts, sample_rate: int, workspace: Workspace) -> float:
    """The share of the clips that exists at a rate.

    Found by the task's name alone, as its digest would need all of its audio.
    """
    if sample_rate in (facts.rates_here or (facts.source_rate,)):
        return 1.0
    folders = workspace.path("resampled").glob(f"{facts.name}-*/{sample_rate}")
    found = max((sum(1 for _ in folder.rglob("*.wav")) for folder in folders), default=0)
    return min(1.0, found / facts.n_clips)


def _total(stages: Sequence[StageEstimate]) -> Totals:
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


def _free_bytes(path: Path) -> int:
    """Free bytes where a path is or would be."""
    while not path.exists() and path != path.parent:
        path = path.parent
    return shutil.disk_usage(path).free
