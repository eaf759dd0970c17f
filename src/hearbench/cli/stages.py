"""The stages of an evaluation: finding a task, embedding it, training probes on it."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hearbench.amounts import duration
from hearbench.cli.intervals import write_uncertainty
from hearbench.cli.kept import Inputs, kept_result, seed_folder
from hearbench.cli.options import ProbePlan
from hearbench.cli.terminal import Reporter
from hearbench.workspace import Workspace

if TYPE_CHECKING:
    from hearbench.embeddings.manifest import Dtype
    from hearbench.embeddings.store import EmbeddingStore
    from hearbench.models.protocol import Model
    from hearbench.results import Result
    from hearbench.tasks.store import PreparedTask

__all__ = ["embed_task", "find_task", "missing_seeds", "named_tasks", "probe_store"]


ALL_TASKS = "all"


def named_tasks(texts: Sequence[str]) -> list[str]:
    """Tasks as the user named them, with ``all`` for those that the benchmark publishes."""
    if ALL_TASKS not in texts:
        return list(dict.fromkeys(texts))
    # Brings along what downloads need.
    from hearbench.tasks.ready_made import ready_made_names

    found: list[str] = []
    for text in texts:
        found += ready_made_names() if text == ALL_TASKS else [text]
    return list(dict.fromkeys(found))


def find_task(text: str, workspace: Workspace) -> PreparedTask:
    """Loads a task by its place or name, downloading it if need be.

    Raises:
        HearError: There is none, or it isn't as it should be.
    """
    from hearbench.tasks.store import load_task

    return load_task(text, workspace=workspace)


def embed_task(
    model: Model, task: PreparedTask, dtype: Dtype, workspace: Workspace, reporter: Reporter
) -> EmbeddingStore:
    """Resamples where needed and embeds, with progress.

    Raises:
        HearError: The task can't be resampled or embedded.
    """
    from hearbench.embeddings.compute import embed, store_folder
    from hearbench.embeddings.store import MANIFEST
    from hearbench.tasks.store import with_rate

    folder = store_folder(model, task, workspace=workspace, dtype=dtype)
    found = (folder / MANIFEST).is_file()
    task = with_rate(task, model.sample_rate, workspace=workspace)
    store = embed(model, task, workspace=workspace, dtype=dtype)
    if found:
        reporter.line(f"{task.name}: embeddings found in the cache")
    else:
        manifest = store.manifest
        reporter.line(
            f"{task.name}: embedded {duration(manifest.audio_s)} of audio in "
            f"{duration(manifest.seconds)}"
        )
        for note in manifest.notes:
            reporter.once(f"note: {note}")
    return store


def missing_seeds(folder: Path, inputs: Inputs, *, overwrite: bool) -> list[int]:
    """The seeds of a plan whose results aren't there, or are to be overwritten.

    Raises:
        ResultError: One was made from other inputs, and isn't to be overwritten.
    """
    return [
        seed
        for seed in inputs.plan.seeds
        if kept_result(
            seed_folder(folder, inputs.plan, seed),
            dataclasses.replace(inputs, seed=seed),
            overwrite=overwrite,
        )
        is None
    ]


def probe_store(
    store: EmbeddingStore,
    plan: ProbePlan,
    folder: Path,
    workspace: Workspace,
    reporter: Reporter,
    *,
    seeds: Sequence[int] | None = None,
    part_of_a_curve: bool = False,
) -> tuple[Path, Result]:
    """Trains probes on a store and writes the results into a folder.

    Args:
        store: Embeddings of a task.
        plan: How the probe is trained.
        folder: That of the task; further seeds' results go below it.
        workspace: Cache, device and memory.
        reporter: Is told how it gets on.
        seeds: Those of the plan that are trained; all by default.
        part_of_a_curve: Whether it is one of many, of which only the curve tells.

    Returns:
        The first seed's result.

    Raises:
        HearError: The probe can't be trained, or the result can't be written.
    """
    from hearbench.probe.fit import fit_probes
    from hearbench.results import RESULT_FILE, Result, score, write_result
    from hearbench.results.uncertainty import UNCERTAINTY_FILE

    wanted = list(plan.seeds if seeds is None else seeds)
    trained = fit_probes(
        store, plan.protocol, seeds=wanted, precision=plan.precision, workspace=workspace
    )
    if plan.seed in wanted:
        _clear(folder, keep=set(plan.seeds) - set(wanted))
    (folder / UNCERTAINTY_FILE).unlink(missing_ok=True)
    for predictions in trained:
        place = seed_folder(folder, plan, predictions.seed)
        _clear(place)
        path = write_result(score(predictions), predictions, place)
        if not part_of_a_curve:
            reporter.line(f"{store.task.name}: wrote {path}")
    if not part_of_a_curve:
        write_uncertainty(folder, store.task.name, reporter)
    return folder / RESULT_FILE, Result.read(folder)


def _clear(folder: Path, keep: Collection[int] | None = None) -> None:
    """Makes way for a result: the old result.json first, so that no mixture looks finished.

    Args:
        folder: Of the result.
        keep: Given for a task's folder: the further seeds whose results belong to the new one.
    """
    from hearbench.files import TEMPORARY_PREFIX
    from hearbench.results import RESULT_FILE
    from hearbench.results.curve import FEW_LABELS
    from hearbench.results.damage import PREDICTIONS, damaged_files
    from hearbench.results.seeds import SEEDS_FOLDER
    from hearbench.results.uncertainty import UNCERTAINTY_FILE

    if not folder.is_dir():
        return
    replaced = (folder / RESULT_FILE).is_file() and not damaged_files(folder, RESULT_FILE)
    if keep is not None and replaced:
        # With it goes what belonged to it; before it, so that what is left of an interrupted
        # replacement fits together. What belongs to a damaged one stays: it is made again.
        for further in (folder / SEEDS_FOLDER).glob("*"):
            if further.name not in {str(seed) for seed in keep}:
                shutil.rmtree(further, ignore_errors=True)
        shutil.rmtree(folder / FEW_LABELS, ignore_errors=True)
    (folder / RESULT_FILE).unlink(missing_ok=True)
    (folder / UNCERTAINTY_FILE).unlink(missing_ok=True)
    shutil.rmtree(folder / PREDICTIONS, ignore_errors=True)
    for rest in folder.glob(f"{TEMPORARY_PREFIX}*"):
        rest.unlink(missing_ok=True)
