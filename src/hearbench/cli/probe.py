"""``hearbench probe``: from embeddings to a result."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hearbench.cli import options as o
from hearbench.cli.evaluate import evaluated, finish
from hearbench.cli.running import answers_only, verb
from hearbench.errors import EmbeddingError, HearError, UnknownNameError
from hearbench.workspace import Workspace, user_path

if TYPE_CHECKING:
    from hearbench.embeddings.manifest import Manifest
    from hearbench.embeddings.store import EmbeddingStore
    from hearbench.tasks.store import PreparedTask

__all__ = ["probe"]

_Source = Annotated[
    str,
    typer.Argument(
        metavar="STORE_OR_MODEL",
        help="A folder of embeddings as `hearbench embed` names it, or a model.",
        show_default=False,
    ),
]
_Task = Annotated[
    str | None,
    typer.Option(
        "--task",
        metavar="PATH_OR_NAME",
        help="The task of the embeddings; not needed if the cache holds it by name.",
    ),
]


@verb(
    "hearbench probe ~/.cache/hearbench/embeddings/notes-1.0.0-demo/my_model/0123456789abcdef \\\n"
    "    --task tasks/notes-1.0.0-demo --out results --protocol fast",
    "hearbench probe my_model.py --task tasks/notes-1.0.0-demo --out results --seed 7",
    options="task weights option protocol seed seeds only grid_points layers precision device "
    "workers max_memory cache out name overwrite dtype json",
)
def probe(
    source: _Source,
    choice: o.ModelChoiceOptions,
    training: o.TrainingOptions,
    place: o.WorkspaceOptions,
    output: o.OutputOptions,
    task: _Task = None,
) -> None:
    """Trains probes on embeddings that are there, and scores them.

    Writes OUT/MODEL/TASK/result.json, as `hearbench evaluate` does.
    """
    from hearbench.evaluation.run import evaluate_store

    with answers_only():
        workspace = place.workspace()
        setup = training.plan(workspace)
        o.make_folder(output.out, "the results", "Choose another --out.")
        folder = user_path(source)
        if folder.is_dir():
            if choice.weights or choice.option:
                raise HearError("--weights and --option belong to a model, not to embeddings.")
            results = evaluate_store(
                _store(folder, task, workspace),
                setup,
                output.out,
                name=output.name,
                overwrite=output.overwrite,
                workspace=workspace,
            )
        else:
            if task is None:
                raise HearError(
                    f"{source} is no folder of embeddings; to probe a model, say --task as well."
                )
            results = evaluated(
                choice.ref(source, workspace),
                task,
                protocol=setup,
                out=output.out,
                name=output.name,
                dtype=o.checked_dtype(output.dtype),
                overwrite=output.overwrite,
                workspace=workspace,
            )
    finish(results, as_json=output.json)


def _store(folder: Path, task: str | None, workspace: Workspace) -> EmbeddingStore:
    from hearbench.embeddings.store import EmbeddingStore, read_manifest

    manifest = read_manifest(folder)
    return EmbeddingStore.open(folder, _task_of(manifest, task, workspace), workspace=workspace)


def _task_of(manifest: Manifest, text: str | None, workspace: Workspace) -> PreparedTask:
    from hearbench.tasks.store import load_task

    name = manifest.task.name if text is None else text
    try:
        # What was published under the name may be another task; it isn't fetched for that.
        task = load_task(name, workspace=workspace, download=text is not None)
    except UnknownNameError as error:
        if text is not None:
            raise
        raise EmbeddingError(
            f"These are embeddings of {manifest.task.name}, which the cache doesn't hold. Say "
            "where it is with --task."
        ) from error
    if task.digest(manifest.model.sample_rate) != manifest.task.digest:
        raise EmbeddingError(
            f"These are embeddings of {manifest.task.name}, but not of {task.folder} as it is "
            "now: its audio, labels or splits are others. Embed that task, or name the right one."
        )
    return task
