"""Tasks, models, protocols and scores to choose from, each as rows of plain values."""

from __future__ import annotations

import ast
import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

import hearbench.models
from hearbench.errors import UnknownNameError
from hearbench.metrics import (
    EventScore,
    SceneScore,
    event_score_names,
    get_event_score,
    get_regression_score,
    get_scene_score,
    regression_score_names,
    score_names,
)
from hearbench.models import zoo
from hearbench.probe.protocol import get_protocol, protocol_names
from hearbench.results.conditions import Conditions
from hearbench.tasks.catalog import TaskSpec, catalog_names, get_spec
from hearbench.tasks.check import METADATA
from hearbench.tasks.locate import TASKS_FOLDER
from hearbench.tasks.ready_made import ready_made_names
from hearbench.tasks.spec import TaskMetadata
from hearbench.tasks.subsets import task_subsets
from hearbench.worker.importing import API_FUNCTIONS, submodules_with
from hearbench.workspace import Workspace

__all__ = [
    "Row",
    "baselines",
    "catalog",
    "protocols",
    "published_model",
    "scores",
    "subsets",
    "tasks",
]

_DEPTH = 3
_FULL_RATE = 48000
_BYTES_PER_SAMPLE = 2

Row = dict[str, Any]
"""One thing: names of what is said of it, and values that JSON can hold."""


def catalog(workspace: Workspace) -> list[Row]:
    """Every mode of every task of the catalog."""
    specs = [get_spec(name) for name in catalog_names()]
    return [
        _catalog_row(spec, mode, workspace)
        for spec in sorted(specs, key=lambda spec: (spec.domain, spec.name))
        for mode in spec.modes
    ]


def _catalog_row(spec: TaskSpec, mode: str, workspace: Workspace) -> Row:
    folder = workspace.path(TASKS_FOLDER, spec.folder_name(mode))
    here = _task(folder)
    chosen, hours = spec.mode(mode), spec.hours_of(mode)
    corpus = "corpus" if spec.downloads_of(mode) else "TFDS export"
    return {
        "task": spec.name,
        "version": spec.version,
        "mode": mode,
        "title": spec.title,
        "about": spec.about,
        "domain": spec.domain,
        "kind": spec.embedding_type,
        "labels": spec.prediction_type,
        "clips": chosen.clips,
        "hours": None if hours is None else round(hours, 2),
        "scores": list(spec.scores),
        "bytes_at_48000": (
            None if hours is None else round(hours * 3600 * _FULL_RATE * _BYTES_PER_SAMPLE)
        ),
        "licence": spec.licence,
        "homepage": spec.homepage,
        "leaderboard": chosen.leaderboard,
        "from": (
            ["ready-made", corpus] if spec.folder_name(mode) in ready_made_names() else [corpus]
        ),
        "sample_rates_here": here["sample_rates"] if here else [],
        "folder": str(folder) if here else None,
    }


def subsets() -> list[Row]:
    """The named subsets of the benchmark's tasks."""
    return [
        {"subset": name, **subset.model_dump(mode="json")}
        for name, subset in task_subsets().items()
    ]


def tasks(workspace: Workspace, folder: Path | None) -> list[Row]:
    """The tasks below a folder, or in the cache if none is given.

    Raises:
        UnknownNameError: There is no such folder.
    """
    if folder is not None and not folder.is_dir():
        raise UnknownNameError(f"There is no folder {folder}.")
    root = workspace.path(TASKS_FOLDER) if folder is None else folder
    folders = {path.resolve() for path in _below(root)} if root.is_dir() else set()
    rows = (_task(path) for path in folders)
    return sorted((row for row in rows if row), key=lambda row: (row["task"], row["folder"]))


def _below(folder: Path, depth: int = _DEPTH) -> Iterator[Path]:
    """Task folders at or below a folder."""
    if (folder / METADATA).is_file():
        yield folder
    elif depth > 0:
        for below in sorted(folder.iterdir()):
            if below.is_dir() and not below.name.startswith("."):
                yield from _below(below, depth - 1)


def _task(folder: Path) -> Row | None:
    try:
        metadata = TaskMetadata.model_validate_json((folder / METADATA).read_bytes())
        clips = sum(
            len(json.loads((folder / f"{split}.json").read_bytes())) for split in metadata.splits
        )
    except (OSError, ValueError, ValidationError, TypeError):
        return None  # a list shows what can be used; load_task says what is wrong with the rest
    rates = sorted(int(path.name) for path in folder.iterdir() if path.name.isdecimal())
    return {
        "task": metadata.name,
        "kind": metadata.embedding_type,
        "labels": metadata.prediction_type,
        "splits": len(metadata.splits),
        "clips": clips,
        "scores": list(metadata.evaluation),
        "sample_rates": rates,
        "folder": str(folder),
    }


def baselines() -> list[Row]:
    """The modules of hearbench that follow the HEAR API, found without importing any."""
    rows = []
    for name in sorted(submodules_with(hearbench.models, API_FUNCTIONS)):
        spec = importlib.util.find_spec(name)
        source = Path(spec.origin).read_text("utf-8") if spec and spec.origin else ""
        # The docstring is read from the source: importing the module would load torch.
        about = (ast.get_docstring(ast.parse(source)) or "").partition("\n")[0]
        rows.append({"model": name, "about": about})
    return rows


def published_model(recipe: zoo.Recipe) -> Row:
    """The facts of a published model."""
    facts = recipe.model_dump(mode="json", exclude={"name"})
    return {"model": recipe.name, "needs_environment": recipe.needs_environment, **facts}


def protocols() -> list[Row]:
    """The protocols of training."""
    return [
        {
            "protocol": protocol.name,
            "fingerprint": Conditions(protocol).fingerprint,
            "grid_points": len(protocol.grid),
            "max_epochs": sorted({point.max_epochs for point in protocol.networks}),
            "batch_size": protocol.batch_size,
            "about": protocol.about(),
            "grid": [point.label() for point in protocol.grid],
        }
        for protocol in map(get_protocol, protocol_names())
    ]


def scores() -> list[Row]:
    """The scores of clips, those of predicted numbers, and those of events."""
    found: list[SceneScore | EventScore] = [get_scene_score(name) for name in score_names()]
    found += [get_regression_score(name) for name in regression_score_names()]
    found += [get_event_score(name) for name in event_score_names()]
    return [
        {"score": score.name, "about": score.title, "higher_is_better": score.maximise}
        for score in found
    ]
