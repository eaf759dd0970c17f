"""``hearbench evaluate --distance``: from tasks to distances, with no probe.

As with results of probes, one that was made from the same inputs is kept, and one that was made
from others is never replaced unasked.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hearbench.amounts import duration
from hearbench.cli.evaluation import each_task
from hearbench.cli.kept import alone_in, kept, of_other_embeddings, result_folder
from hearbench.cli.stages import embed_task, find_task
from hearbench.cli.tables import number, output_console
from hearbench.cli.terminal import Reporter
from hearbench.errors import TaskError
from hearbench.workspace import Workspace

if TYPE_CHECKING:
    from hearbench.distance import DistanceResult, DistanceSummary
    from hearbench.embeddings.manifest import Dtype
    from hearbench.embeddings.store import EmbeddingStore
    from hearbench.models.fingerprint import Fingerprint
    from hearbench.models.protocol import Model
    from hearbench.tasks.store import PreparedTask

__all__ = [
    "DistanceInputs",
    "EvaluatedDistances",
    "evaluate_distances",
    "kept_distances",
    "measure_store",
    "show_distances",
]


@dataclass(frozen=True)
class DistanceInputs:
    """What a result of distances is made from.

    Attributes:
        model: Digest of the model, with what its function reads when it is called.
        fingerprint: What the model makes of a fixed signal.
        task: Digest of the task at the model's rate.
        dtype: Of the embeddings on disk.
    """

    model: str
    fingerprint: Fingerprint | None
    task: str
    dtype: str

    def differences(self, result: DistanceResult) -> list[str]:
        """In what a result was made from something else."""
        return of_other_embeddings(self, result)


@dataclass
class EvaluatedDistances:
    """What came of several tasks.

    Attributes:
        results: The path of each distance.json with its content, in the order of the tasks.
        failed: What went wrong: the model and the task as the user named them, the task None
            where it was the model itself, and the message.
        unforeseen: Errors among these that are bugs, or the system's.
    """

    results: list[tuple[Path, DistanceResult]] = field(default_factory=list)
    failed: list[tuple[str, str | None, str]] = field(default_factory=list)
    unforeseen: list[Exception] = field(default_factory=list)

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
                        name: {
                            "mean": summary.mean,
                            "std": summary.std,
                            "interval": None
                            if summary.interval is None
                            else [summary.interval.low, summary.interval.high],
                        }
                        for name, summary in result.scores.items()
                    },
                }
                for path, result in self.results
            ],
            "failed": [
                {"model": model, "task": task, "error": error} for model, task, error in self.failed
            ],
        }


def kept_distances(
    folder: Path, inputs: DistanceInputs, *, overwrite: bool
) -> DistanceResult | None:
    """The result that is in a folder already, if it was made from the same inputs.

    None if there is none, or one from other inputs that is to be overwritten.

    Raises:
        ResultError: It was made from others, or can't be read, and isn't to be overwritten.
    """
    from hearbench.distance import DISTANCE_FILE, DistanceResult

    return kept(
        folder / DISTANCE_FILE, DistanceResult.read, inputs.differences, overwrite=overwrite
    )


def measure_store(
    store: EmbeddingStore, folder: Path, workspace: Workspace, reporter: Reporter
) -> tuple[Path, DistanceResult]:
    """Measures a store's distances and writes the result into a folder.

    Raises:
        HearError: The task has no distances, or the result can't be written.
    """
    from hearbench.distance import distance_scores, write_distances

    result = distance_scores(store, workspace=workspace)
    path = write_distances(result, folder)
    reporter.line(f"{store.task.name}: wrote {path}")
    return path, result


def evaluate_distances(
    model: Model,
    tasks: Sequence[str | Path],
    out: Path,
    dtype: Dtype,
    workspace: Workspace,
    reporter: Reporter,
    *,
    name: str | None = None,
    overwrite: bool = False,
    evaluated: EvaluatedDistances | None = None,
) -> EvaluatedDistances:
    """Measures a model's distances on tasks; one that fails doesn't keep the others from theirs.

    Writes OUT/MODEL/TASK/distance.json; what else lies in that folder stays as it is. Event tasks
    are passed over where there are others, and fail where there are none.
    """
    evaluated = EvaluatedDistances() if evaluated is None else evaluated
    shown = [str(task) for task in dict.fromkeys(tasks)]
    skipped: list[tuple[str, str]] = []

    def look(text: str) -> tuple[Path, tuple[PreparedTask, Path, DistanceInputs]] | None:
        from hearbench.distance import check_distances

        task = find_task(text, workspace)
        try:
            check_distances(task)
        except TaskError as error:
            if len(shown) == 1:
                raise
            skipped.append((text, str(error)))
            reporter.line(f"{task.name}: skipped. {error}")
            return None
        folder = result_folder(out, model.name, name, task.name)
        check = model.check(task.kind)
        inputs = DistanceInputs(
            check.digest, check.fingerprint, task.digest(model.sample_rate), dtype
        )
        return None if keep(task, folder, inputs) else (folder, (task, folder, inputs))

    def keep(task: PreparedTask, folder: Path, inputs: DistanceInputs) -> bool:
        from hearbench.distance import DISTANCE_FILE

        there = kept_distances(folder, inputs, overwrite=overwrite)
        if there is None:
            return False
        path = folder / DISTANCE_FILE
        evaluated.results.append((path, there))
        reporter.line(f"{task.name}: kept {path}, which was made from the same inputs")
        return True

    def work(own: tuple[PreparedTask, Path, DistanceInputs]) -> None:
        task, folder, inputs = own
        with alone_in(folder, reporter):
            if keep(task, folder, inputs):
                return  # another process has measured the same meanwhile
            store = embed_task(model, task, dtype, workspace, reporter)
            evaluated.results.append(measure_store(store, folder, workspace, reporter))

    each_task(model.spec, tasks, look, work, evaluated, reporter)
    if len(skipped) == len(shown):
        evaluated.failed += [(model.spec, task, message) for task, message in skipped]
    return evaluated


def show_distances(results: Sequence[tuple[Path, DistanceResult]]) -> None:
    """Prints a table with a row per task, and below it what readers should know."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    console = output_console()
    for title in dict.fromkeys(_title(result) for _, result in results):
        table = Table(title=Text(title), title_justify="left", box=box.SIMPLE_HEAD)
        # Narrow enough for a terminal of 80 columns.
        table.add_column("task", overflow="fold")
        table.add_column("score", no_wrap=True)
        table.add_column("mean", no_wrap=True)
        table.add_column("interval", no_wrap=True)
        table.add_column("test\nclips", no_wrap=True, justify="right")
        table.add_column("time", no_wrap=True, justify="right")
        for _, result in results:
            if _title(result) == title:
                table.add_row(*(Text(cell) for cell in _cells(result)))
        console.print(table)
    for _, result in results:
        for note in result.notes:
            console.print(Text(f"{result.task.name}: {note}"))


def _title(result: DistanceResult) -> str:
    return (
        f"{result.model.name}, L1 distances of {result.embeddings.size} numbers, "
        f"{100 * result.level:g} % intervals"
    )


def _cells(result: DistanceResult) -> tuple[str, ...]:
    n_folds = len(result.splits)
    clips = str(sum(split.n_clips for split in result.splits))
    return (
        result.task.name,
        "\n".join(result.scores),
        "\n".join(number(summary.mean) for summary in result.scores.values()),
        "\n".join(_interval(summary) for summary in result.scores.values()),
        clips if n_folds == 1 else f"{clips}\n{n_folds} folds",
        duration(result.resources.embed_s + result.resources.distance_s),
    )


def _interval(summary: DistanceSummary) -> str:
    if summary.interval is None or math.isnan(summary.mean):
        return "unknown"
    return f"{summary.interval.low:.3f} to {summary.interval.high:.3f}"
