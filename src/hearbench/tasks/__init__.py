"""Tasks: the catalog, downloading and preparing them, loading, checking and resampling."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hearbench.tasks.archives import unpack_archive
    from hearbench.tasks.catalog import TaskSpec, catalog_names, get_spec
    from hearbench.tasks.clips import Clip, Event, Excerpt, Label
    from hearbench.tasks.from_corpus import CatalogSource, prepare_from_corpus
    from hearbench.tasks.from_csv import prepare_from_csv
    from hearbench.tasks.from_hf import HfDataset, prepare_from_hf
    from hearbench.tasks.own_recipe import OwnTask
    from hearbench.tasks.prepare import prepare_task
    from hearbench.tasks.recipe import Recipe
    from hearbench.tasks.spec import TaskMetadata
    from hearbench.tasks.stats import TaskStats, task_stats
    from hearbench.tasks.store import FoldSplit, PreparedTask, load_task, with_rate
    from hearbench.tasks.subsets import TaskSubset, task_subsets

__all__ = [
    "CatalogSource",
    "Clip",
    "Event",
    "Excerpt",
    "FoldSplit",
    "HfDataset",
    "Label",
    "OwnTask",
    "PreparedTask",
    "Recipe",
    "TaskMetadata",
    "TaskSpec",
    "TaskStats",
    "TaskSubset",
    "catalog_names",
    "get_spec",
    "load_task",
    "prepare_from_corpus",
    "prepare_from_csv",
    "prepare_from_hf",
    "prepare_task",
    "task_stats",
    "task_subsets",
    "unpack_archive",
    "with_rate",
]

# Imported when first used: what fetches over the network is of no use to whoever only loads a task.
_HOMES = {
    "CatalogSource": "from_corpus",
    "Clip": "clips",
    "Event": "clips",
    "Excerpt": "clips",
    "FoldSplit": "store",
    "HfDataset": "from_hf",
    "Label": "clips",
    "OwnTask": "own_recipe",
    "PreparedTask": "store",
    "Recipe": "recipe",
    "TaskMetadata": "spec",
    "TaskSpec": "catalog",
    "TaskStats": "stats",
    "TaskSubset": "subsets",
    "catalog_names": "catalog",
    "get_spec": "catalog",
    "load_task": "store",
    "prepare_from_corpus": "from_corpus",
    "prepare_from_csv": "from_csv",
    "prepare_from_hf": "from_hf",
    "prepare_task": "prepare",
    "task_stats": "stats",
    "task_subsets": "subsets",
    "unpack_archive": "archives",
    "with_rate": "store",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return list(__all__)
