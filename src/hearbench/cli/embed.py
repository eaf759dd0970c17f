"""``hearbench embed``: embeddings alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from hearbench.cli import options as o
from hearbench.cli.evaluate import end
from hearbench.cli.running import answers_only, verb
from hearbench.cli.terminal import answer_json, answer_line

__all__ = ["embed_verb"]

Layers = Annotated[
    str,
    typer.Option(
        "--layers",
        metavar="NUMBERS",
        help="Layers to embed in one pass, as 4,8,last, or all.",
        show_default=False,
    ),
]


@verb(
    "hearbench embed hearbench.models.crepe --option capacity=tiny --task tasks/notes-1.0.0-demo",
    "hearbench embed hf:checkpoints/wav2vec2 --layers 4,8,last --task tasks/beeps-1.0.0-demo",
    options="weights option model_dtype python env sandbox timeout model_memory readable "
    "trust_code device workers cache layers dtype json",
)
def embed_verb(
    model: o.ModelSpec,
    task: o.Tasks,
    choice: o.HostedModelOptions,
    place: o.WorkspaceOptions,
    layers: Layers = "",
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
        results = embed_tasks(
            ref,
            task,
            dtype=o.checked_dtype(dtype),
            layers=o.layer_numbers(layers) if layers else (),
            workspace=workspace,
        )
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
        **({"layers": manifest.layers} if manifest.layers else {}),
        "dtype": manifest.dtype,
        "clips": sum(len(shard.clips) for shard in manifest.shards),
        "audio_s": manifest.audio_s,
        "seconds": manifest.seconds,
    }
