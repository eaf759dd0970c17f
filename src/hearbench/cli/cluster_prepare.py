"""``hearbench prepare --executor ray``: several corpora at the same time, on many machines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hearbench.cli.cluster import on_cluster
from hearbench.cli.preparing import CatalogSource
from hearbench.errors import TaskError
from hearbench.workspace import Workspace

if TYPE_CHECKING:
    from hearbench.evaluation.preparing import Prepared
    from hearbench.execution.ray_cluster import Share
    from hearbench.tasks.store import PreparedTask

__all__ = ["prepare_on_cluster"]


def prepare_on_cluster(
    wanted: Sequence[tuple[str, str]],
    source: CatalogSource,
    out: Path | None,
    share: Share,
    address: str | None,
    shared: str | None,
    workspace: Workspace,
) -> Callable[[str, str], PreparedTask]:
    """Has a cluster prepare tasks.

    Args:
        wanted: Names and modes.
        source: How they are prepared.
        out: Folder that takes ``tasks/``; None for the cache.
        share: What one step takes of the cluster.
        address: Of the cluster; None starts one on this machine.
        shared: URL by which nodes that don't see the cache hand over what they make.
        workspace: Of the command.

    Returns:
        A function that gives a task by its name and mode, or says why it couldn't be prepared.

    Raises:
        HearError: The cluster or the URL can't be used, or a task can't be had from there.
    """
    from hearbench.evaluation.preparing import PrepareCorpus, preparing
    from hearbench.evaluation.task_ref import TaskRef
    from hearbench.execution.executor import drive
    from hearbench.tasks.catalog import get_spec
    from hearbench.tasks.locate import TASKS_FOLDER
    from hearbench.tasks.store import load_task

    corpora: dict[str, list[tuple[str, str]]] = {}
    for name, mode in wanted:
        corpora.setdefault(get_spec(name).corpus, []).append((name, mode))
    steps = [
        PrepareCorpus(
            tasks=tuple(tasks),
            out=None if out is None or shared is not None else str(out.resolve()),
            corpus_dirs=tuple(str(folder.resolve()) for folder in source.corpus_dirs),
            trust_corpus=source.trust,
            skip_corrupt=source.skip_corrupt,
            sample_rates=source.sample_rates,
            sent=shared is not None,
        )
        for tasks in corpora.values()
    ]
    target = workspace.cache_dir if out is None else out
    target.mkdir(parents=True, exist_ok=True)
    prepared: Prepared = {}
    with on_cluster(workspace, address, share, shared) as cluster:
        what = f"cluster: preparing tasks, {len(wanted)} in all"
        failures = drive(cluster, preparing(steps, prepared), what)
        for step in steps:
            if step.label() in failures:
                prepared.update(dict.fromkeys(step.tasks, str(failures[step.label()])))
        if shared is not None:
            for place in prepared.values():
                if isinstance(place, TaskRef):
                    place.bring(target / TASKS_FOLDER / place.name, cluster.context.exchange)

    def give(name: str, mode: str) -> PreparedTask:
        found = prepared[name, mode]
        if isinstance(found, str):
            raise TaskError(found)
        folder = target / TASKS_FOLDER / found.name if found.folder is None else Path(found.folder)
        return load_task(folder, workspace=workspace)

    return give
