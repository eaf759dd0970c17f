"""From tasks to results: what ``evaluate``, ``probe`` and ``demo`` share.

Results that are there already are `hearbench.cli.kept`'s.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from hearbench.cli.intervals import read_uncertainty, write_uncertainty
from hearbench.cli.kept import Inputs, alone_in, check_evaluable, kept_result, result_folder
from hearbench.cli.options import ProbePlan
from hearbench.cli.stages import embed_task, find_task, missing_seeds, probe_store
from hearbench.cli.terminal import Reporter
from hearbench.errors import HearError
from hearbench.results.notes import notes_on
from hearbench.worker.tracebacks import own_traceback
from hearbench.workspace import Workspace

if TYPE_CHECKING:
    from hearbench.cli.few_labels import FewLabels
    from hearbench.embeddings.manifest import Dtype
    from hearbench.embeddings.store import EmbeddingStore
    from hearbench.models.protocol import Model
    from hearbench.probe.protocol import Protocol as ProbeProtocol
    from hearbench.results import Result
    from hearbench.results.curve import Curve
    from hearbench.tasks.store import PreparedTask

__all__ = [
    "Evaluated",
    "Gathered",
    "each_task",
    "evaluate_models",
    "evaluate_tasks",
    "note_failure",
]


@dataclass
class Evaluated:
    """What came of several tasks.

    Attributes:
        results: The path of each result.json with its content, in the order of the tasks.
        curves: The path of each curve.json with its content, where few labels were learned from.
        failed: What went wrong: the model and the task as the user named them, the task None
            where it was the model itself, and the message.
        unforeseen: Errors among these that are bugs, or the system's.
    """

    results: list[tuple[Path, Result]] = field(default_factory=list)
    curves: list[tuple[Path, Curve]] = field(default_factory=list)
    failed: list[tuple[str, str | None, str]] = field(default_factory=list)
    unforeseen: list[Exception] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """The stable form that programs read."""
        return {
            "results": [_result_json(path, result) for path, result in self.results],
            "curves": [
                {"path": str(path), **curve.model_dump(mode="json")} for path, curve in self.curves
            ],
            "failed": [
                {"model": model, "task": task, "error": error} for model, task, error in self.failed
            ],
        }


def _result_json(path: Path, result: Result) -> dict[str, Any]:
    sure = read_uncertainty(path.parent)
    found: dict[str, Any] = {
        "model": result.model.name,
        "task": result.task.name,
        "path": str(path),
        "primary_score": result.primary_score,
        "seeds": [result.seed] if sure is None else list(sure.seeds),
        "scores": {
            name: {"mean": summary.mean, "std": summary.std}
            for name, summary in result.scores.items()
        },
        "notes": notes_on([(path, result)]),
    }
    for name, score in sure.scores.items() if sure else ():
        found["scores"][name]["mean"] = score.mean
        found["scores"][name]["sources"] = {
            source: None if part is None else part.model_dump(mode="json")
            for source, part in (
                ("clips", score.clips),
                ("seeds", score.seeds),
                ("folds", score.folds),
                ("total", score.total),
            )
        }
    return found


class Gathered(Protocol):
    """What comes of several models or tasks: results, and failures."""

    @property
    def results(self) -> list[Any]:
        """The path of each result with its content."""

    @property
    def failed(self) -> list[tuple[str, str | None, str]]:
        """Model, task (None where it was the model itself) and message of what went wrong."""

    @property
    def unforeseen(self) -> list[Exception]:
        """Errors that are bugs, or the system's: one of them ends the command when all is done."""


def note_failure(evaluated: Gathered, spec: str, task: str | None, error: Exception) -> str:
    """Keeps what went wrong with a model or one of its tasks, so that the others can go on.

    Returns:
        What to say of it: its message, or the end of its traceback if nobody foresaw it.
    """
    from hearbench.files import system_error

    text = str(error)
    if isinstance(error, OSError) and (described := system_error(error)):
        text = f"{described.filename}: {described.strerror}."
    elif not isinstance(error, HearError):
        evaluated.unforeseen.append(error)
        text = f"hearbench itself fails:\n{own_traceback(error)}"
    evaluated.failed.append((spec, task, text))
    return text


G = TypeVar("G", bound=Gathered)


def evaluate_models(
    specs: Sequence[str],
    tasks: Sequence[str],
    load: Callable[[str], Model],
    evaluate: Callable[[Model, Sequence[str], G], object],
    evaluated: G,
    reporter: Reporter,
    failures: Mapping[tuple[str, str], str] | None = None,
) -> G:
    """Evaluates models one after the other; one that fails doesn't keep the others from it.

    Args:
        specs: The models, as the user named them.
        tasks: Likewise.
        load: Loads one; each is loaded when it is its turn, and ended after it.
        evaluate: Evaluates one on tasks, and adds what comes of it.
        evaluated: What it is added to.
        reporter: Is told of models that can't be loaded.
        failures: By model and task, why others couldn't do their part of it; these are left out.
    """
    failures = failures or {}
    for spec in dict.fromkeys(specs):
        for task in dict.fromkeys(tasks):
            if (spec, task) in failures:
                error = failures[spec, task]
                evaluated.failed.append((spec, task, error))
                reporter.line(f"error: {spec} on {task}: {error}")
        left = [task for task in tasks if (spec, task) not in failures]
        if not left:
            continue
        try:
            model = load(spec)
        except Exception as bad:
            if len(specs) == 1:
                raise
            reporter.line(f"error: {spec}: {note_failure(evaluated, spec, None, bad)}")
            continue
        try:
            evaluate(model, left, evaluated)
        finally:
            model.close()
    return evaluated


W = TypeVar("W")


def each_task(
    spec: str,
    tasks: Sequence[str | Path],
    look: Callable[[str], tuple[Path, W] | None],
    work: Callable[[W], None],
    evaluated: Gathered,
    reporter: Reporter,
) -> None:
    """Looks at all tasks, then works on those that need it; one that fails stops no other.

    That holds for errors that nobody foresaw as well. They are kept, so that one of them ends the
    command with its traceback, once the rest is done.

    Args:
        spec: The model, as the user named it.
        tasks: As the user named them.
        look: Finds out what there is to do for a task: its folder and the work, or None. All
            are looked at first: what is wrong with the last is better known now than tomorrow.
        work: Does it; once for each folder.
        evaluated: Is told of failures.
        reporter: Likewise.
    """
    shown = [str(task) for task in dict.fromkeys(tasks)]
    ready: dict[Path, tuple[str, W]] = {}

    def attempt(task: str, do: Callable[[], None]) -> None:
        try:
            do()
        except Exception as error:  # noqa: BLE001 - told here, and again at the end
            said = note_failure(evaluated, spec, task, error)
            reporter.line(f"error: {said}" if len(shown) == 1 else f"error: {task}: {said}")

    def note(text: str) -> None:
        found = look(text)
        if found is not None:
            ready.setdefault(found[0], (text, found[1]))

    for text in shown:
        attempt(text, functools.partial(note, text))
    for text, left in ready.values():
        attempt(text, functools.partial(work, left))


@dataclass(frozen=True)
class _Work:
    """What is left to do for a task."""

    task: PreparedTask
    folder: Path
    inputs: Inputs
    lacks_seeds: bool


def evaluate_tasks(
    model: Model,
    tasks: Sequence[str | Path],
    out: Path,
    plan: ProbePlan,
    dtype: Dtype,
    workspace: Workspace,
    reporter: Reporter,
    *,
    name: str | None = None,
    overwrite: bool = False,
    few: FewLabels | None = None,
    evaluated: Evaluated | None = None,
) -> Evaluated:
    """Evaluates a model on tasks; one that fails doesn't keep the others from their results.

    Args:
        model: The model.
        tasks: As the user named them.
        out: Takes MODEL/TASK/result.json.
        plan: How probes are trained.
        dtype: Of the embeddings on disk.
        workspace: Cache, device and memory.
        reporter: Is told how it gets on.
        name: Of the model's folder.
        overwrite: Replace results that were made from other inputs.
        few: Parts of the training clips that are learned from as well.
        evaluated: What the outcome is added to.
    """
    from hearbench.cli.few_labels import check_few_labels
    from hearbench.results import RESULT_FILE, Result

    evaluated = Evaluated() if evaluated is None else evaluated

    def look(text: str) -> tuple[Path, _Work] | None:
        task = find_task(text, workspace)
        check_evaluable(task, plan)
        if few:
            check_few_labels(few, task)
        folder = result_folder(out, model.name, name, task.name)
        inputs = Inputs(
            model=model.check(task.kind).digest,
            fingerprint=model.check(task.kind).fingerprint,
            task=task.digest(model.sample_rate),
            dtype=dtype,
            plan=plan,
            metadata=task.metadata,
            seed=plan.seed,
        )
        missing = missing_seeds(folder, inputs, overwrite=overwrite)
        if not missing:
            keep(task, folder)
        return (folder, _Work(task, folder, inputs, bool(missing))) if missing or few else None

    def keep(task: PreparedTask, folder: Path) -> None:
        kept = folder / RESULT_FILE
        evaluated.results.append((kept, Result.read(kept)))
        reporter.line(f"{task.name}: kept {kept}, which was made from the same inputs")
        write_uncertainty(folder, task.name, reporter)

    def work(own: _Work) -> None:
        with alone_in(own.folder, reporter):
            # Looked at again: another process may have been at the same meanwhile.
            missing = missing_seeds(own.folder, own.inputs, overwrite=overwrite)
            if own.lacks_seeds and not missing:
                keep(own.task, own.folder)
            if not missing and not few:
                return
            store = embed_task(model, own.task, dtype, workspace, reporter)
            if missing:
                evaluated.results.append(
                    probe_store(store, plan, own.folder, workspace, reporter, seeds=missing)
                )
            if few:
                evaluated.curves.append(_curve(few, own, store, workspace, reporter, overwrite))

    each_task(model.spec, tasks, look, work, evaluated, reporter)
    return evaluated


def _curve(
    few: FewLabels,
    own: _Work,
    store: EmbeddingStore,
    workspace: Workspace,
    reporter: Reporter,
    overwrite: bool,
) -> tuple[Path, Curve]:
    """Trains what is missing of a curve."""
    from hearbench.cli.few_labels import evaluate_few_labels

    def planned(protocol: ProbeProtocol, seed: int) -> ProbePlan:
        return dataclasses.replace(own.inputs.plan, protocol=protocol, seeds=(seed,))

    def kept(protocol: ProbeProtocol, seed: int, folder: Path) -> Result | None:
        inputs = dataclasses.replace(own.inputs, plan=planned(protocol, seed), seed=seed)
        return kept_result(folder, inputs, overwrite=overwrite)

    def train(protocol: ProbeProtocol, seed: int, folder: Path) -> object:
        return probe_store(
            store, planned(protocol, seed), folder, workspace, reporter, part_of_a_curve=True
        )

    plan = own.inputs.plan
    return evaluate_few_labels(
        few, own.task, plan.protocol, plan.seed, own.folder, reporter, kept=kept, train=train
    )
