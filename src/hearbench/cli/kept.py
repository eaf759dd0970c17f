"""Results that are there already: from which inputs they were made, and whether they stay.

A result that was made from the same inputs is kept; one that was made from others is never
replaced unasked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from hearbench.cli.options import ProbePlan
from hearbench.cli.terminal import Reporter
from hearbench.errors import ResultError

if TYPE_CHECKING:
    from hearbench.distance import DistanceResult
    from hearbench.models.fingerprint import Fingerprint
    from hearbench.probe.protocol import Protocol as ProbeProtocol
    from hearbench.results import Result
    from hearbench.tasks.spec import TaskMetadata
    from hearbench.tasks.store import PreparedTask

__all__ = [
    "Inputs",
    "alone_in",
    "check_evaluable",
    "kept",
    "kept_result",
    "of_other_embeddings",
    "result_folder",
    "seed_folder",
]

R = TypeVar("R")


class _MadeFrom(Protocol):
    """What every result is made from; attributes as of `Inputs`."""

    @property
    def model(self) -> str: ...
    @property
    def fingerprint(self) -> Fingerprint | None: ...
    @property
    def task(self) -> str: ...
    @property
    def dtype(self) -> str: ...


@dataclass(frozen=True)
class Inputs:
    """What a result is made from.

    Attributes:
        model: Digest of the model, with what its function reads when it is called.
        fingerprint: What the model makes of a fixed signal; None if that isn't known.
        task: Digest of the task at the model's rate.
        dtype: Of the embeddings on disk.
        plan: How the probe is trained.
        metadata: Of the task.
        seed: Of the training.
    """

    model: str
    fingerprint: Fingerprint | None
    task: str
    dtype: str
    plan: ProbePlan
    metadata: TaskMetadata
    seed: int

    def differences(self, result: Result) -> list[str]:
        """In what a result was made from something else."""
        protocol = applied(self.plan, self.metadata)
        found = of_other_embeddings(self, result)
        if not result.protocol.trains_as(protocol, result.primary_score):
            same_name = result.protocol.name == protocol.name
            more = " of other content" if same_name else f" instead of {protocol.name}"
            found.append(f"the protocol {result.protocol.name}{more}")
        if _follows_earlier_rule(result):
            found.append("an earlier version's rule for undefined scores")
        if result.seed != self.seed:
            found.append(f"seed {result.seed} instead of {self.seed}")
        if result.precision != self.plan.precision:
            found.append(f"training in {result.precision} instead of {self.plan.precision}")
        return found


def _follows_earlier_rule(result: Result) -> bool:
    """Whether undefined scores were treated as earlier versions did, so that scores are others."""
    from hearbench.results.aggregate import mean_std, same_number

    # Nothing was left of a grid point with an undefined validation, and no mean with such a fold.
    if any(each.ended == "undefined_score" and not each.best_epoch for each in result.grid):
        return True
    return not all(
        same_number(summary.mean, mean_std(list(summary.per_fold.values()))[0])
        for summary in result.scores.values()
    )


def applied(plan: ProbePlan, metadata: TaskMetadata) -> ProbeProtocol:
    """The plan's protocol as it is applied to a task.

    Raises:
        ProbeError: Nothing is left of its grid, or some of its points aren't validated.
    """
    return plan.protocol.for_task(metadata.task_name, metadata.evaluation_params)


def of_other_embeddings(inputs: _MadeFrom, result: Result | DistanceResult) -> list[str]:
    """In what the embeddings of a result of any kind are others: model, task and dtype."""
    found = result.model.differences(inputs.model, inputs.fingerprint)
    if result.task.digest != inputs.task:
        found.append("other content of the task")
    if result.embeddings.dtype != inputs.dtype:
        found.append(f"embeddings in {result.embeddings.dtype} instead of {inputs.dtype}")
    return found


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


def seed_folder(folder: Path, plan: ProbePlan, seed: int) -> Path:
    """Where a seed's result goes: the first one's into the task's folder, others below it."""
    from hearbench.results.seeds import SEEDS_FOLDER

    return folder if seed == plan.seed else folder / SEEDS_FOLDER / str(seed)


@contextmanager
def alone_in(folder: Path, reporter: Reporter) -> Iterator[None]:
    """Keeps other processes out of a result's folder while the block runs; waits for them.

    Args:
        folder: ``out/<model>/<task>``, which need not be there.
        reporter: Is told who is in there, if anybody is.
    """
    from hearbench.locks import lock_beside, one_after_another

    with one_after_another(lock_beside(folder), f"writing {folder}", reporter.line):
        yield


def check_evaluable(task: PreparedTask, plan: ProbePlan | None) -> None:
    """Finds out before hours of embedding what would fail after them.

    Raises:
        UnknownNameError: It asks for a score that doesn't exist.
        ProbeError: Nothing is left of the protocol's grid, or some of its points aren't validated.
    """
    from hearbench.metrics import get_event_score, get_scene_score

    for name in task.metadata.evaluation:
        if task.kind == "scene":
            get_scene_score(name)
        else:
            get_event_score(name)
    if plan is not None:
        applied(plan, task.metadata)


def kept_result(folder: Path, inputs: Inputs, *, overwrite: bool) -> Result | None:
    """The result that is in a folder already, if it was made from the same inputs.

    None if there is none, a damaged one, or one from other inputs that is to be overwritten.

    Raises:
        ResultError: It was made from others, or can't be read, and isn't to be overwritten.
    """
    from hearbench.results import RESULT_FILE, Result

    return kept(folder / RESULT_FILE, Result.read, inputs.differences, overwrite=overwrite)


def kept(
    path: Path,
    read: Callable[[Path], R],
    differences: Callable[[R], Sequence[str]],
    *,
    overwrite: bool,
) -> R | None:
    """As `kept_result`, of any kind of result.

    Args:
        path: Its file.
        read: Reads it.
        differences: In what it was made from something else than what is wanted now.
        overwrite: Whether to replace it then.

    Raises:
        ResultError: It can't be read, or was made from something else, and isn't to be replaced.
    """
    from hearbench.results.damage import damaged_files, note_file
    from hearbench.sums import note_if_none
    from hearbench.tasks.inventory import tell_damaged

    if not path.exists():
        return None
    damaged = damaged_files(path.parent, path.name)
    broken = [path.parent / name for name in damaged]
    if path.name in damaged:
        # What it was made from can't be told.
        tell_damaged(broken, "evaluated again")
        return None
    remedy = (
        "Nothing was changed. Choose --name or another --out to keep both, or --overwrite to "
        "replace it."
    )
    try:
        result = read(path)
    except ResultError as error:
        if overwrite:
            return None
        raise ResultError(f"{error} {remedy}") from error
    found = differences(result)
    if found and overwrite:
        return None
    if found:
        raise ResultError(
            f"{path} holds a result that was made from other inputs: {', '.join(found)}. {remedy}"
        )
    if damaged:
        tell_damaged(broken, "evaluated again")
        return None
    note_if_none(path.parent, lambda: note_file(path.parent, path.name))
    return result
