"""``hearbench embed``: embeddings alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from hearbench.cli import options as o
from hearbench.cli import places
from hearbench.cli.running import BAD_INPUT, answers_only, verb
from hearbench.cli.stages import embed_task
from hearbench.cli.terminal import Reporter, answer_json
from hearbench.errors import HearError

__all__ = ["embed_verb"]


@verb(
    "hearbench embed hearbench.models.crepe --option capacity=tiny --task tasks/notes-1.0.0-demo",
)
def embed_verb(
    model: o.ModelSpec,
    task: o.Tasks,
    weights: o.Weights = None,
    option: o.ModelOptions = None,
    device: o.Device = None,
    dtype: o.DtypeName = "float32",
    cache: o.CacheDir = None,
    workers: o.Workers = None,
    python: places.Python = None,
    env: places.Env = None,
    sandbox: places.Sandbox = False,
    timeout: places.TimeoutS = None,
    model_memory: places.ModelMemory = None,
    readable: places.Readable = None,
    json: o.Json = False,
) -> None:
    """Computes a model's embeddings of tasks, and says where they are.

    They stay in the cache, where `hearbench evaluate` and `hearbench probe` find them. A run that
    was stopped goes on from its last finished shard.
    """
    stores: list[dict[str, Any]] = []
    failed: list[dict[str, str]] = []
    with answers_only():
        settings = o.settings_of(cache, device, workers)
        stored_as = o.checked_dtype(dtype)
        reporter = Reporter()
        interpreter = places.interpreter_of(
            python, env, sandbox, timeout, model_memory, readable, task, settings, reporter
        )
        loaded = o.get_model(model, weights, option, settings, interpreter)
        from hearbench.tasks.store import load_task

        for text in dict.fromkeys(task):
            try:
                prepared = load_task(text, settings=settings)
                store = embed_task(loaded, prepared, stored_as, settings, reporter)
            except HearError as error:
                failed.append({"task": text, "error": str(error)})
                reporter.line(f"error: {text}: {error}" if len(task) > 1 else f"error: {error}")
                continue
            stores.append(_described(store.folder, store.digest, store.manifest))
        loaded.close()
    if json:
        answer_json({"embeddings": stores, "failed": failed})
    else:
        for found in stores:
            typer.echo(f"{found['folder']}  {found['digest']}")
    if failed:
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
