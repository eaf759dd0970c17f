"""``hearbench embed``: embeddings alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from hearbench.cli import options as o
from hearbench.cli import places
from hearbench.cli.evaluation import each_task
from hearbench.cli.running import BAD_INPUT, answers_only, verb
from hearbench.cli.stages import embed_task
from hearbench.cli.terminal import Reporter, answer_json, answer_line

if TYPE_CHECKING:
    from hearbench.tasks.store import PreparedTask

__all__ = ["embed_verb"]


@dataclass
class _Embedded:
    """What came of several tasks: descriptions of their embeddings, and what went wrong."""

    results: list[dict[str, Any]] = field(default_factory=list)
    failed: list[tuple[str, str | None, str]] = field(default_factory=list)
    unforeseen: list[Exception] = field(default_factory=list)


@verb(
    "hearbench embed hearbench.models.crepe --option capacity=tiny --task tasks/notes-1.0.0-demo",
    options="weights option device dtype cache workers python env sandbox timeout model_memory "
    "readable json",
)
def embed_verb(
    model: o.ModelSpec,
    task: o.Tasks,
    choice: o.ModelChoiceOptions,
    place: o.WorkspaceOptions,
    host: places.HostOptions,
    dtype: o.DtypeName = "float32",
    json: o.Json = False,
) -> None:
    """Computes a model's embeddings of tasks, and says where they are.

    They stay in the cache, where `hearbench evaluate` and `hearbench probe` find them. A run that
    was stopped goes on from its last finished shard.
    """
    embedded = _Embedded()
    with answers_only():
        workspace = place.workspace()
        stored_as = o.checked_dtype(dtype)
        reporter = Reporter()
        interpreter = host.interpreter([model], task, workspace, reporter)
        loaded = choice.load(model, workspace, interpreter)

        def look(text: str) -> tuple[Path, PreparedTask]:
            from hearbench.tasks.store import load_task

            prepared = load_task(text, workspace=workspace)
            return prepared.folder, prepared

        def work(prepared: PreparedTask) -> None:
            store = embed_task(loaded, prepared, stored_as, workspace, reporter)
            embedded.results.append(_described(store.folder, store.digest, store.manifest))

        try:
            each_task(model, task, look, work, embedded, reporter)
        finally:
            loaded.close()
    if json:
        failed = [{"task": text, "error": error} for _, text, error in embedded.failed]
        answer_json({"embeddings": embedded.results, "failed": failed})
    else:
        for found in embedded.results:
            answer_line(f"{found['folder']}  {found['digest']}")
    if embedded.unforeseen:
        raise embedded.unforeseen[0]
    if embedded.failed:
        raise typer.Exit(BAD_INPUT)


def _described(folder: Path, digest: str, manifest: Any) -> dict[str, Any]:
    return {
        "model": manifest.model.name,
        "task": manifest.task.name,
        "folder": str(folder),
        "digest": digest,
        "kind": manifest.kind,
        "dtype": manifest.dtype,
        "clips": sum(len(shard.clips) for shard in manifest.shards),
        "audio_s": manifest.audio_s,
        "seconds": manifest.seconds,
    }
