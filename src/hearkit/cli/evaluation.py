"""From tasks to results: what ``evaluate``, ``probe`` and ``demo`` share.

A result that is there already is kept if it was made from the same inputs; one that was made
from others is never replaced unasked.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hearkit.cli.options import ProbePlan
from hearkit.cli.terminal import Reporter, duration
from hearkit.errors import HearError, ResultError
from hearkit.settings import Settings

if TYPE_CHECKING:
    from hearkit.embeddings.manifest import Dtype
    from hearkit.embeddings.store import EmbeddingStore
    from hearkit.models.protocol import Model
    from hearkit.results import Result
    from hearkit.tasks.store import PreparedTask

__all__ = [
    "Evaluated",
    "Inputs",
    "check_evaluable",
    "embed_task",
    "evaluate_models",
    "evaluate_tasks",
    "kept_result",
    "probe_store",
    "result_folder",
]


@dataclass(frozen=True)
class Inputs:
    """What a result is made from.

    Attributes:
        model: Digest of the model.
        task: Digest of the task at the model's rate.
        dtype: Of the embeddings on disk.
        plan: How the probe is trained.
        task_name: Without version and mode.
    """

    model: str
    task: str
    dtype: str
    plan: ProbePlan
    task_name: str

    def differences(self, result: Result) -> list[str]:
        """In what a result was made from something else."""
        protocol = self.plan.protocol.for_task(self.task_name)
        found = []
        if result.model.digest != self.model:
            weights = f", weights {result.model.weights}" if result.model.weights else ""
            found.append(f"another model or checkpoint ({result.model.spec}{weights})")
        if result.task.digest != self.task:
            found.append("other content of the task")
        if result.embeddings.dtype != self.dtype:
            found.append(f"embeddings in {result.embeddings.dtype} instead of {self.dtype}")
        if result.protocol != protocol:
            same_name = result.protocol.name == protocol.name
            more = " of other content" if same_name else f" instead of {protocol.name}"
            found.append(f"the protocol {result.protocol.name}{more}")
        if result.seed != self.plan.seed:
            found.append(f"seed {result.seed} instead of {self.plan.seed}")
        if result.precision != self.plan.precision:
            found.append(f"training in {result.precision} instead of {self.plan.precision}")
        return found


@dataclass
class Evaluated:
    """What came of several tasks.

    Attributes:
        results: The path of each result.json with its content, in the order of the tasks.
        failed: What went wrong: the model and the task as the user named them, the task None
            where it was the model itself, and the message.
    """

    results: list[tuple[Path, Result]] = field(default_factory=list)
    failed: list[tuple[str, str | None, str]] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """The stable form that programs read."""
        return {
            "results": [
                {
                    "model": result.model.name,
                    "task": result.task.name,
                    "path": str(path),
                    "primary_score": result.primary_score,
                    "scores": {
                        name: {"mean": summary.mean, "std": summary.std}
                        for name, summary in result.scores.items()
                    },
                }
                for path, result in self.results
            ],
            "failed": [
                {"model": model, "task": task, "error": error} for model, task, error in self.failed
            ],
        }


def result_folder(out: Path, model: str, name: str | None, task: str) -> Path:
    """``out/<model>/<task>``.

    Raises:
        ResultError: The name of the model or task can't be a folder's.
    """
    chosen = model if name is None else name
    for part in (chosen, task):
        if not part or part.startswith(".") or set(part) & {"/", "\\", "\0"}:
            raise ResultError(f"{part!r} can't be the name of a result's folder.")
    return out / chosen / task


def check_evaluable(task: PreparedTask) -> None:
    """Finds out before hours of embedding what would fail after them.

    Raises:
        UnknownNameError: It asks for a score that doesn't exist.
    """
    from hearkit.metrics import get_event_score, get_scene_score

    for name in task.metadata.evaluation:
        if task.kind == "scene":
            get_scene_score(name)
        else:
            get_event_score(name)


def kept_result(folder: Path, inputs: Inputs, *, overwrite: bool) -> Result | None:
    """The result that is in a folder already, if it was made from the same inputs.

    None if there is none, or one from other inputs that is to be overwritten.

    Raises:
        ResultError: It was made from others, or can't be read, and isn't to be overwritten.
    """
    from hearkit.results import RESULT_FILE, Result

    path = folder / RESULT_FILE
    if not path.exists():
        return None
    remedy = (
        "Nothing was changed. Choose --name or another --out to keep both, or --overwrite to "
        "replace it."
    )
    try:
        result = Result.read(path)
    except ResultError as error:
        if overwrite:
            return None
        raise ResultError(f"{error} {remedy}") from error
    differences = inputs.differences(result)
    if differences and overwrite:
        return None
    if differences:
        raise ResultError(
            f"{path} holds a result that was made from other inputs: {', '.join(differences)}. "
            + remedy
        )
    return result


def embed_task(
    model: Model, task: PreparedTask, dtype: Dtype, settings: Settings, reporter: Reporter
) -> EmbeddingStore:
    """Resamples where needed and embeds, with progress.

    Raises:
        HearError: The task can't be resampled or embedded.
    """
    from hearkit.embeddings.compute import embed, store_folder
    from hearkit.embeddings.store import MANIFEST
    from hearkit.tasks.store import with_rate

    folder = store_folder(model, task, settings=settings, dtype=dtype)
    found = (folder / MANIFEST).is_file()
    with reporter.files(f"{task.name}: resampling to {model.sample_rate} Hz") as progress:
        task = with_rate(task, model.sample_rate, settings=settings, progress=progress)
    with reporter.embedding(f"{task.name}: embedding with {model.name}") as tell:
        store = embed(model, task, settings=settings, dtype=dtype, progress=tell)
    if found:
        reporter.line(f"{task.name}: embeddings found in the cache")
    else:
        manifest = store.manifest
        reporter.line(
            f"{task.name}: embedded {duration(manifest.audio_s)} of audio in "
            f"{duration(manifest.seconds)}"
        )
    return store


def probe_store(
    store: EmbeddingStore,
    plan: ProbePlan,
    folder: Path,
    settings: Settings,
    reporter: Reporter,
) -> tuple[Path, Result]:
    """Trains probes on a store and writes the result into a folder.

    Raises:
        HearError: The probe can't be trained, or the result can't be written.
    """
    from hearkit.probe.fit import fit_probe
    from hearkit.results import score, write_result

    with reporter.probing(f"{store.task.name}: training probes ({plan.protocol.name})") as tell:
        predictions = fit_probe(
            store,
            plan.protocol,
            seed=plan.seed,
            precision=plan.precision,
            settings=settings,
            progress=tell,
        )
    result = score(predictions)
    _clear(folder)
    path = write_result(result, predictions, folder)
    reporter.line(f"{store.task.name}: wrote {path}")
    return path, result


def _clear(folder: Path) -> None:
    """Makes way for a result: the old result.json first, so that no mixture looks finished."""
    from hearkit.files import TEMPORARY_PREFIX
    from hearkit.results import RESULT_FILE

    if not folder.is_dir():
        return
    (folder / RESULT_FILE).unlink(missing_ok=True)
    shutil.rmtree(folder / "predictions", ignore_errors=True)
    for rest in folder.glob(f"{TEMPORARY_PREFIX}*"):
        rest.unlink(missing_ok=True)


def evaluate_models(
    specs: Sequence[str],
    load: Callable[[str], Model],
    evaluate: Callable[[Model], Evaluated],
    reporter: Reporter,
) -> Evaluated:
    """Evaluates models one after the other; one that fails doesn't keep the others from it.

    Args:
        specs: The models, as the user named them.
        load: Loads one; each is loaded when it is its turn, and ended after it.
        evaluate: Evaluates one.
        reporter: Is told of models that can't be loaded.
    """
    evaluated = Evaluated()
    for spec in dict.fromkeys(specs):
        try:
            model = load(spec)
        except HearError as error:
            if len(specs) == 1:
                raise
            evaluated.failed.append((spec, None, str(error)))
            reporter.line(f"error: {spec}: {error}")
            continue
        try:
            found = evaluate(model)
        finally:
            model.close()
        evaluated.results += found.results
        evaluated.failed += found.failed
    return evaluated


def evaluate_tasks(
    model: Model,
    tasks: Sequence[str | Path],
    out: Path,
    plan: ProbePlan,
    dtype: Dtype,
    settings: Settings,
    reporter: Reporter,
    *,
    name: str | None = None,
    overwrite: bool = False,
) -> Evaluated:
    """Evaluates a model on tasks; one that fails doesn't keep the others from their results."""
    from hearkit.results import RESULT_FILE

    evaluated = Evaluated()
    shown = [str(task) for task in dict.fromkeys(tasks)]

    def attempt(task: str, work: Callable[[], None]) -> None:
        try:
            work()
        except HearError as error:
            evaluated.failed.append((model.spec, task, str(error)))
            reporter.line(f"error: {error}" if len(shown) == 1 else f"error: {task}: {error}")

    ready: list[tuple[str, PreparedTask, Path]] = []

    def look(text: str) -> None:
        from hearkit.tasks.store import load_task

        with reporter.steps() as steps:
            downloads = steps.downloads("fetching")
            task = load_task(text, settings=settings, progress=downloads)
        check_evaluable(task)
        folder = result_folder(out, model.name, name, task.name)
        inputs = Inputs(
            model=model.digest,
            task=task.digest(model.sample_rate),
            dtype=dtype,
            plan=plan,
            task_name=task.metadata.task_name,
        )
        kept = kept_result(folder, inputs, overwrite=overwrite)
        if kept is not None:
            path = folder / RESULT_FILE
            evaluated.results.append((path, kept))
            reporter.line(f"{task.name}: kept {path}, which was made from the same inputs")
        elif folder not in {place for _, _, place in ready}:
            ready.append((text, task, folder))

    def work(task: PreparedTask, folder: Path) -> None:
        store = embed_task(model, task, dtype, settings, reporter)
        evaluated.results.append(probe_store(store, plan, folder, settings, reporter))

    # All are looked at first: what is wrong with the last is better known now than tomorrow.
    for text in shown:
        attempt(text, lambda text=text: look(text))  # type: ignore[misc]
    for text, task, folder in ready:
        attempt(text, lambda task=task, folder=folder: work(task, folder))  # type: ignore[misc]
    return evaluated
