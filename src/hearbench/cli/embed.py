"""``hearbench embed``: embeddings alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hearbench.cli import options as o
from hearbench.cli.evaluate import end
from hearbench.cli.running import answers_only, verb
from hearbench.cli.terminal import answer_json, answer_line

__all__ = ["embed_verb"]


@verb(
    "hearbench embed hearbench.models.crepe --option capacity=tiny --task tasks/notes-1.0.0-demo",
    options="weights option model_dtype device dtype cache workers python env sandbox timeout "
    "model_memory readable trust_code json",
)
def embed_verb(
    model: o.ModelSpec,
    task: o.Tasks,
    choice: o.HostedModelOptions,
    place: o.WorkspaceOptions,
    dtype: o.DtypeName = "float32",
    json: o.Json = False,
) -> None:
    """Computes a model's embeddings of tasks, and says where they are.

    They stay in the cache, where `hearbench evaluate` and `hearbench probe` find them. A run that
    was stopped resumes from its last finished shard.
    """
    from hearbench.evaluation.run import embed_tasks

    with answers_only():
        workspace = place.workspace()
        (ref,) = choice.refs([model], task, workspace)
        results = embed_tasks(ref, task, dtype=o.checked_dtype(dtype), workspace=workspace)
    described = [_described(store.folder, store.digest, store.manifest) for store in results.stores]
    if json:
        failed = [{"task": one.task, "error": one.text} for one in results.failures]
        answer_json({"embeddings": described, "failed": failed})
    else:
        for found in described:
            answer_line(f"{found['folder']}  {found['digest']}")
    end(results)


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
