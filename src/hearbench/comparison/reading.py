"""The models and tasks that the named results are of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hearbench.errors import ResultError
from hearbench.results.conditions import Conditions
from hearbench.results.curve import FEW_LABELS
from hearbench.results.finding import (
    LAYERS_FOLDER,
    SEEDS_FOLDER,
    find_result_files,
    layer_folder,
    seed_folders,
    telling_name,
)
from hearbench.results.record import RESULT_FILE, Result

__all__ = ["ModelResults", "model_folder", "read_models"]

_PARTS = {SEEDS_FOLDER: "seed {}", LAYERS_FOLDER: "layer {}", FEW_LABELS: "{}"}


@dataclass(frozen=True)
class ModelResults:
    """A model and its results.

    Attributes:
        name: Name as it is shown; no two are alike.
        tasks: By task, the folders of the results of its seeds, the first seed's first.
        first: By task, the first seed's result.
        seeds: By task, the seeds of the trainings, the first seed first.
        conditions: By task, the protocol behind the scores; without how it reads layers where
            these are compared.
    """

    name: str
    tasks: dict[str, tuple[Path, ...]]
    first: dict[str, Result]
    seeds: dict[str, tuple[int, ...]]
    conditions: dict[str, Conditions]


@dataclass(frozen=True)
class _Home:
    """Place of the results that are compared as one model.

    Attributes:
        folder: A model's folder.
        part: The seed, layer or number of labels that its results are of; else empty.
        reading: How layers are used, where these are compared as models; else empty.
    """

    folder: Path
    part: str
    reading: str = ""


def read_models(places: Sequence[Path], *, layers: bool = False) -> tuple[ModelResults, ...]:
    """Reads the models in several folders, in the folders' order; each model's tasks by name.

    Two models are as many as there are folders of models, whatever the models are called, so
    that a model can be compared with its other self.

    Args:
        places: Each a task's result (its folder or ``result.json``), a model's folder, or one of
            several models, as ``hearbench evaluate --out`` makes it.
        layers: Whether a result of the protocol ``layers`` is two models: its best layer by
            validation, and its last layer. Weighted and attentive results are named so, then.

    Raises:
        ResultError: There is no result, or one that can't be read; or a model's folder has
            results of several models, or two of a task.
    """
    homes: dict[_Home, list[Path]] = {}
    for place in places:
        for file in find_result_files(place):
            folder = _resolved(file).parent
            home = _home(folder)
            for reading, own in (_readings(folder) if layers else {"": folder}).items():
                folders = homes.setdefault(replace(home, reading=reading), [])
                if own not in folders:
                    folders.append(own)
    names = _names(list(homes))
    return tuple(
        _model(name, folders, layers=layers)
        for name, folders in zip(names, homes.values(), strict=True)
    )


def model_folder(folder: Path) -> Path:
    """The folder of a model's results, by that of one of them, of its seeds or of its layers."""
    return _home(folder).folder


def _resolved(file: Path) -> Path:
    """The path without links and ``..``, unless its links lead in a circle."""
    try:
        return file.resolve()
    except (OSError, RuntimeError):  # links in a circle; reading it will say so
        return file.absolute()


def _home(folder: Path) -> _Home:
    parts = []
    while folder.parent.name in _PARTS:
        parts.append(_PARTS[folder.parent.name].format(folder.name))
        folder = folder.parent.parent
    return _Home(folder.parent, ", ".join(reversed(parts)))


def _readings(folder: Path) -> dict[str, Path]:
    """The folders that a result is compared by, by how layers are used there."""
    result = Result.read(folder)
    if result.layers is not None and result.layers.chosen is not None:
        last = layer_folder(folder, result.layers.numbers[-1])
        return {"best layer": folder, "last layer": last}
    return {"" if result.protocol.reads == "embeddings" else result.protocol.reads: folder}


def _names(homes: Sequence[_Home]) -> list[str]:
    """The folders' names, with as much of their paths as tells them apart."""
    names = []
    for home in homes:
        rivals = [
            other.folder
            for other in homes
            if other.folder != home.folder and other.reading == home.reading
        ]
        name = _shown(telling_name(home.folder, rivals))
        name += f" ({home.part})" if home.part else ""
        names.append(f"{name} [{home.reading}]" if home.reading else name)
    return names


def _shown(name: str) -> str:
    """A name without what would steer a terminal, and without bytes that are no text."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in name)


def _model(name: str, folders: Sequence[Path], *, layers: bool) -> ModelResults:
    tasks: dict[str, tuple[Path, ...]] = {}
    first: dict[str, Result] = {}
    seeds: dict[str, tuple[int, ...]] = {}
    for folder in folders:
        result = Result.read(folder)
        task = result.task.name
        if task in tasks:
            raise ResultError(
                f"{tasks[task][0] / RESULT_FILE} and {folder / RESULT_FILE} are both of {task}, "
                "and of one model; name one of them alone."
            )
        for other_task, other in first.items():
            if other.model.digest != result.model.digest:
                raise ResultError(
                    f"{folder / RESULT_FILE} and {tasks[other_task][0] / RESULT_FILE} are of "
                    f"different models, {result.model.name} and {other.model.name}, with other "
                    "weights, options or source, in one model's folder. Name the results alone "
                    "that belong together."
                )
        found = seed_folders(folder)
        tasks[task] = tuple(each for each, _ in found)
        seeds[task] = tuple(each.seed for _, each in found)
        first[task] = result
    conditions = {task: Conditions.of(result) for task, result in first.items()}
    if layers:
        conditions = {task: _beside_layers(each) for task, each in conditions.items()}
    return ModelResults(name, dict(sorted(tasks.items())), first, seeds, conditions)


def _beside_layers(conditions: Conditions) -> Conditions:
    """The same of a protocol that takes the embeddings as they are."""
    return replace(conditions, protocol=conditions.protocol.of_one_layer())
