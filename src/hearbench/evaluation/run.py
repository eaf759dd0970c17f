"""Evaluating models on tasks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from hearbench.digest import digest_json, short
from hearbench.embeddings.compute import layers_of, store_folder
from hearbench.embeddings.kinds import Dtype, HasLayers, Wanted
from hearbench.errors import EmbeddingError, HearError, UnsuitableTaskError
from hearbench.evaluation.clustering import Clustering
from hearbench.evaluation.distances import Distances
from hearbench.evaluation.existing import Inputs, result_folder
from hearbench.evaluation.job import Embeddings, Job, Setup
from hearbench.evaluation.probes import ProbeSetup
from hearbench.evaluation.results import EvaluationError, Failure, Made, Results
from hearbench.evaluation.steps import load_model
from hearbench.evaluation.task_ref import TaskRef
from hearbench.evaluation.workflow import evaluation, fetching, finish, unfinished
from hearbench.evaluation.zero_shot import ZeroShot
from hearbench.execution.executor import InProcess, drive
from hearbench.execution.remote_cache import OneDisk
from hearbench.models import loading
from hearbench.models.known import KnownModel
from hearbench.models.model import Model
from hearbench.models.ref import ModelRef
from hearbench.tasks.store import load_task
from hearbench.tasks.subsets import expand_subsets
from hearbench.workspace import Workspace, user_path

if TYPE_CHECKING:
    from hearbench.embeddings.store import EmbeddingStore
    from hearbench.execution.executor import Executor, Flow
    from hearbench.probe.protocol import Protocol
    from hearbench.tasks.store import PreparedTask
    from hearbench.tasks.task_type import TaskType

__all__ = ["embed_tasks", "evaluate", "evaluate_store", "named_tasks"]

ALL_TASKS = "all"
_UNTRAINED: Mapping[str, Callable[[], Setup]] = {
    "distance": Distances,
    "clustering": Clustering,
    "zero-shot": ZeroShot,
}


def evaluate(
    model: object,
    tasks: str | Path | Sequence[str | Path],
    *,
    protocol: str | Protocol | Setup | Sequence[Setup] = "hear2021",
    seeds: int | Sequence[int] = 1,
    out: str | Path | None = None,
    name: str | None = None,
    dtype: Dtype = "float32",
    overwrite: bool = False,
    executor: Executor | None = None,
    workspace: Workspace | None = None,
) -> Results:
    """Evaluates models on tasks: embeds the tasks' audio, trains probes, and scores them.

    Tasks that the benchmark publishes are downloaded, and audio is resampled, where need be. What
    was stopped resumes when the same is called again, results that were made from the same inputs
    are kept, and a failure of one model or task doesn't stop the others.

    Args:
        model: A model, or several in a list: its import name, the path of its ``.py`` file or
            another form that `load_model` takes; a `ModelRef`; a loaded `Model`; or an object that
            `load_model` takes, as a ``torch.nn.Module`` with the two functions of the HEAR API.
        tasks: Names or folders of tasks; ``"all"`` stands for all that the benchmark publishes,
            ``"hear-11"`` and the like for a named subset of them (see `task_subsets`).
        protocol: How probes are trained: a protocol or its name; ``"distance"`` to train nothing
            and score distances between embeddings, ``"clustering"`` to compare their clusters with
            labels, ``"zero-shot"`` to compare clips with class names; or set-ups, as `FewLabels`.
        seeds: Seeds of the trainings, or how many. Where there are several, scores are means over
            them, and intervals say how much they differ.
        out: Folder that receives ``MODEL/TASK/result.json``; by default one in the cache.
        name: What the model's folder is called; by default as the model.
        dtype: Type of the embeddings on disk: ``float32`` or ``float16``.
        overwrite: Whether results that were made from other inputs are replaced.
        executor: Runs the steps; by default this process. `hearbench.execution` has others.
        workspace: Cache, device, memory and progress; by default the executor's, or else from the
            environment.

    Returns:
        Results by model and task, with failures.

    Raises:
        EvaluationError: Nothing could be evaluated.
        HearError: The one model can't be loaded, or an argument can't be used.
    """
    if workspace is None:
        of_executor = executor and executor.context.workspace
        workspace = of_executor or Workspace.from_environment()
    if dtype not in get_args(Dtype):
        raise EmbeddingError(f"Embeddings are stored as {' or '.join(get_args(Dtype))}: {dtype!r}.")
    setups = _setups(protocol, seeds, workspace)
    models = list(model) if isinstance(model, list | tuple) else [model]
    if name is not None and len(models) > 1:
        raise HearError("A name can't be given for several models at once.")
    texts = [tasks] if isinstance(tasks, str | Path) else tasks
    if not models or not texts:
        raise HearError(f"There is no {'task' if models else 'model'} to evaluate.")
    if not setups:
        raise HearError("There is no set-up to evaluate by.")
    run = _Run(
        executor=executor or InProcess(workspace),
        workspace=workspace,
        setups=setups,
        tasks=named_tasks([str(text) for text in texts]),
        out=None if out is None else user_path(out),
        name=name,
        dtype=dtype,
        overwrite=overwrite,
    )
    results = run.results
    try:
        for flows, what in run.flows(models):
            for (spec, task), error in drive(run.executor, flows, what).items():
                run.fail(spec, task, error)
    finally:
        run.executor.context.close()
    if results.failures and not (results.results or results.stores):
        raise EvaluationError(results)
    return results


def embed_tasks(
    model: object,
    tasks: Sequence[str | Path],
    *,
    dtype: Dtype = "float32",
    layers: Literal["all"] | Sequence[int] = (),
    executor: Executor | None = None,
    workspace: Workspace | None = None,
) -> Results:
    """Embeds tasks with a model, and makes nothing of it; a task that fails stops no other.

    Args:
        model: As `evaluate` takes it.
        tasks: Names or folders of tasks.
        dtype: Type of the embeddings on disk: ``float32`` or ``float16``.
        layers: Layers of the model, all in one pass, as `embed` takes them.
        executor: Runs the steps; by default this process.
        workspace: Cache, device, memory and progress; by default from the environment.

    Returns:
        Results with ``stores``, and failures.

    Raises:
        HearError: The model can't be loaded, or an argument can't be used.
    """
    setup = _OnlyEmbed(layers if layers == "all" else tuple(layers))
    try:
        return evaluate(
            model, tasks, protocol=setup, dtype=dtype, executor=executor, workspace=workspace
        )
    except EvaluationError as failed:
        return failed.results


def evaluate_store(
    store: EmbeddingStore,
    setup: Setup,
    out: Path,
    *,
    name: str | None = None,
    overwrite: bool = False,
    workspace: Workspace,
) -> Results:
    """Evaluates embeddings that exist already, without their model.

    Args:
        setup: What is made of them.
        out: Folder that receives ``MODEL/TASK/result.json``.
        name: What the model's folder is called; by default as the model.
        overwrite: Whether results that were made from other inputs are replaced.
        workspace: Cache, device, memory and progress.

    Raises:
        HearError: The task doesn't fit, or a result was made from other inputs.
    """
    manifest, task = store.manifest, store.task
    setup.check(task)
    job = Job(
        folder=result_folder(out, manifest.model.name if name is None else name, task.name),
        task=task,
        inputs=Inputs.of(store),
        overwrite=overwrite,
    )
    results = Results()
    results.add(finish(job, setup, lambda: [store], workspace))
    return results


def named_tasks(texts: Sequence[str]) -> list[str]:
    """Tasks as the user named them, each once.

    In the place of ``all`` stand the tasks that the benchmark publishes, and in that of a named
    subset, as ``hear-11``, its tasks.
    """
    if ALL_TASKS not in texts:
        return expand_subsets(texts)
    # Brings along what downloads need.
    from hearbench.tasks.ready_made import ready_made_names

    found: list[str] = []
    for text in texts:
        found += ready_made_names() if text == ALL_TASKS else [text]
    return expand_subsets(found)


def _setups(
    protocol: str | Protocol | Setup | Sequence[Setup],
    seeds: int | Sequence[int],
    workspace: Workspace,
) -> list[Setup]:
    from hearbench.probe.protocol import Protocol

    if isinstance(protocol, Setup):
        return [protocol]
    if isinstance(protocol, str) and protocol in _UNTRAINED:
        return [_UNTRAINED[protocol]()]
    if isinstance(protocol, str | Protocol):
        return [ProbeSetup.of(protocol, seeds, workspace=workspace)]
    return list(protocol)


@dataclass(frozen=True)
class _OnlyEmbed(Setup):
    """Nothing is made of the embeddings; they stay in the cache."""

    layers: Literal["all"] | tuple[int, ...]

    def on(self, model: HasLayers, kind: TaskType, dtype: Dtype) -> tuple[Setup, Wanted]:
        """The embeddings of the layers, or what the kind of task takes."""
        wanted = Wanted.of(kind, dtype)
        if self.layers:
            wanted = replace(wanted, layers=layers_of(model, self.layers))
        return self, wanted

    def make(
        self,
        job: Job,  # noqa: ARG002
        store: EmbeddingStore,
        workspace: Workspace,  # noqa: ARG002
        further: Sequence[EmbeddingStore] = (),  # noqa: ARG002
    ) -> Made:
        """The embeddings."""
        return Made(stores=[store])


@dataclass(frozen=True)
class _Planned:
    """A job with all that its flow needs."""

    spec: str
    task: str
    job: Job
    embeddings: Embeddings
    setups: list[Setup]


@dataclass
class _Run:
    """One call of `evaluate`."""

    executor: Executor
    workspace: Workspace
    setups: list[Setup]
    tasks: list[str]
    out: Path | None
    name: str | None
    dtype: Dtype
    overwrite: bool
    results: Results = field(default_factory=Results)
    _refs: dict[str, TaskRef] = field(default_factory=dict)
    _tasks: dict[str, PreparedTask | Exception] = field(default_factory=dict)
    _seen: set[tuple[ModelRef, Path, str]] = field(default_factory=set)

    def flows(
        self, models: Sequence[object]
    ) -> Iterator[tuple[dict[tuple[str, str], Flow], str | None]]:
        """Plans all models.

        Yields:
            The flows of models' tasks that run side by side, by model and task as the user named
            them, and how the stage that shows them is called; None where each shows itself.
        """
        if self.executor.parallel:
            self._find_tasks()
        planned: list[_Planned] = []
        seen: set[ModelRef] = set()
        for given in models:
            try:
                ref = self._model_ref(given)
                if ref in seen:
                    continue
                seen.add(ref)
                model = self._known(ref)
            except Exception as error:
                if len(models) == 1:
                    raise
                self.fail(_shown(given), None, error)
                continue
            planned += self._plan(ref, model)
            # In one process a model does its work before the next one is loaded.
            if not self.executor.parallel:
                for one in planned:
                    yield {(one.spec, one.task): self._flow(one)}, None
                planned = []
        if planned:
            what = f"embedding, training and scoring, {len(planned)} in all"
            yield {(one.spec, one.task): self._flow(one) for one in planned}, what

    def _model_ref(self, model: object) -> ModelRef:
        if isinstance(model, ModelRef):
            return model
        if isinstance(model, str | Path):
            return ModelRef(str(model))
        if self.executor.parallel:
            raise HearError(
                "A model that is an object of this process can't be evaluated by others. Give its "
                "file or import name."
            )
        if not isinstance(model, Model):
            model = loading.load_model(model, name=self.name, workspace=self.workspace)
        ref = ModelRef(model.spec, options=(("digest", model.digest),))
        self.executor.context.lend(ref, model)
        return ref

    def _known(self, ref: ModelRef) -> KnownModel:
        context = self.executor.context
        return KnownModel(ref, self.workspace, lambda: load_model(ref, context))

    def _plan(self, ref: ModelRef, model: KnownModel) -> list[_Planned]:
        """Looks at all tasks: what is wrong with the last is better known now than tomorrow."""
        planned: list[_Planned] = []
        unsuitable: list[Failure] = []
        for text in self.tasks:
            try:
                one = self._look(ref, model, text)
            except UnsuitableTaskError as error:  # noqa: PERF203
                unsuitable.append(Failure(ref.spec, text, error))
                if len(self.tasks) > 1:
                    self.workspace.progress.line(f"{text}: skipped. {error}")
            except Exception as error:  # noqa: BLE001 - told here, and again at the end
                self.fail(ref.spec, text, error)
            else:
                if one is not None:
                    planned.append(one)
        # A task of another kind is no failure where there are others.
        if len(unsuitable) == len(self.tasks):
            for failure in unsuitable:
                self.fail(failure.model, failure.task, failure.error)
        return planned

    def _look(self, ref: ModelRef, model: KnownModel, text: str) -> _Planned | None:
        """Finds out what there is to do for a task; None if there is nothing left."""
        task = self._task(text)
        for setup in self.setups:
            setup.check(task)
        applied = [setup.on(model, task.task_type, self.dtype) for setup in self.setups]
        setups, wanted = [setup for setup, _ in applied], applied[0][1]
        if any(other != wanted for _, other in applied):
            raise HearError("These set-ups take different embeddings; evaluate them one by one.")
        identity, fingerprint = model.identity(wanted.called, layers=bool(wanted.layers))
        digest = task.digest(model.sample_rate)
        inputs = Inputs(identity, fingerprint, digest, self.dtype)
        out = self._kept_in_cache(inputs, setups) if self.out is None else self.out
        folder = result_folder(out, model.name if self.name is None else self.name, task.name)
        if (ref, folder, digest) in self._seen:
            return None  # the same task by another name
        self._seen.add((ref, folder, digest))
        job = Job(folder, task, inputs, self.overwrite)
        left, kept = unfinished(job, setups, self.workspace)
        for made in kept:
            self.results.add(made)
        if not left:
            return None
        context = self.executor.context
        task_ref = self._refs.get(text) or TaskRef.on_disk(task)
        context.lend(task_ref, task)
        if self._sends:
            # What is in this cache already needn't be made again.
            place = store_folder(model.load(), task, workspace=self.workspace, wanted=wanted)
            if place.is_dir():
                context.exchange.push(place.relative_to(self.workspace.cache_dir).as_posix(), place)
        embeddings = Embeddings(ref, identity, model.sample_rate, task_ref, wanted)
        return _Planned(ref.spec, text, job, embeddings, left)

    def _kept_in_cache(self, inputs: Inputs, setups: Sequence[Setup]) -> Path:
        """A folder for results of these inputs and set-ups alone."""
        made_from = [inputs.model, inputs.task, inputs.dtype, *map(repr, setups)]
        return self.workspace.path("results", short(digest_json(made_from)))

    def _task(self, text: str) -> PreparedTask:
        """A task, loaded once for all models."""
        if text not in self._tasks:
            try:
                # What other processes couldn't fetch isn't tried again.
                download = not self.executor.parallel
                self._tasks[text] = load_task(text, workspace=self.workspace, download=download)
            except Exception as error:  # noqa: BLE001 - told for each model
                self._tasks[text] = error
        found = self._tasks[text]
        if isinstance(found, Exception):
            raise found
        return found

    def _flow(self, planned: _Planned) -> Flow:
        return evaluation(
            planned.job,
            planned.embeddings,
            planned.setups,
            workspace=self.workspace,
            parallel=self.executor.parallel,
            finished=self.results.add,
        )

    def fail(self, spec: str, task: str | None, error: Exception) -> None:
        """Keeps what went wrong with a model or one of its tasks, so that the others can go on."""
        failure = Failure(spec, task, error)
        self.results.failures.append(failure)
        shown = f"{spec} on {task}" if self.executor.parallel else task
        if task is None:
            shown = spec
        elif len(self.tasks) == 1 and not self.executor.parallel:
            shown = None
        text = failure.text if shown is None else f"{shown}: {failure.text}"
        self.workspace.progress.line(f"error: {text}")

    @property
    def _sends(self) -> bool:
        """Whether other processes have caches of their own."""
        return not isinstance(self.executor.context.exchange, OneDisk)

    def _find_tasks(self) -> None:
        """Brings tasks to where other processes find them; what fails is told for each model."""
        context = self.executor.context
        if self._sends:
            self._send_tasks()
        # What is named by its place is nowhere else.
        away = [
            text
            for text in self.tasks
            if text not in self._refs and (not self._sends or _is_name(text))
        ]
        if not away:
            return
        fetched: dict[str, TaskRef] = {}
        flows: dict[str, Flow] = {text: fetching(text, fetched, sent=self._sends) for text in away}
        errors = drive(self.executor, flows, f"fetching tasks, {len(away)} in all")
        self._tasks.update(errors)
        if self._sends:
            for ref in fetched.values():
                ref.bring_home(self.workspace, context.exchange)
        self._refs.update(fetched)

    def _send_tasks(self) -> None:
        """Leaves at the exchange what tasks are on this machine."""
        exchange = self.executor.context.exchange
        what = f"sending tasks, {len(self.tasks)} in all"
        with self.workspace.progress.stage(what) as update:
            for done, text in enumerate(self.tasks, start=1):
                try:
                    task = load_task(text, workspace=self.workspace, download=False)
                except HearError:
                    continue
                self._tasks[text] = task
                self._refs[text] = TaskRef.sent(task, exchange)
                update(done, len(self.tasks), text)


def _shown(model: object) -> str:
    """A model as the user named it; of an object the name of its class."""
    if isinstance(model, ModelRef | Model):
        return model.spec
    return str(model) if isinstance(model, str | Path) else type(model).__qualname__


def _is_name(task: str) -> bool:
    """Whether a task is named by its name, and not by a place on this machine."""
    return not (user_path(task).exists() or set(task) & set("/\\"))
