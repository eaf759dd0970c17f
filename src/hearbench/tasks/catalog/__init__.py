"""The tasks that hearbench knows: one TOML file each, and those of other packages.

Another package adds one through an entry point of the group ``hearbench.tasks``: the name is the
task's, the object a :class:`TaskSpec` or a function without arguments that returns one.
"""

from __future__ import annotations

import functools
from importlib.metadata import EntryPoint, entry_points
from importlib.resources import files

from hearbench.errors import TaskError, UnknownNameError
from hearbench.registry import did_you_mean
from hearbench.tasks.catalog.schema import Download, FilePart, ModeSpec, TaskSpec, TfdsSource

__all__ = [
    "Download",
    "FilePart",
    "ModeSpec",
    "TaskSpec",
    "TfdsSource",
    "catalog_folder",
    "catalog_names",
    "catalog_task",
    "get_spec",
]

_GROUP = "hearbench.tasks"
_SUFFIX = ".toml"


def catalog_names() -> list[str]:
    """Names of all tasks, sorted; nothing is read or imported for it."""
    return sorted({*_built_in(), *(point.name for point in entry_points(group=_GROUP))})


def get_spec(name: str) -> TaskSpec:
    """The facts of a task.

    Raises:
        UnknownNameError: There is no task of that name.
        TaskError: Another package says that it has one, and it can't be used.
    """
    if name in _built_in():
        return _read(name)
    for point in entry_points(group=_GROUP):
        if point.name == name:
            return _load(point)
    raise UnknownNameError(
        f"There is no task named {name!r}. {did_you_mean(name, catalog_names())}"
    )


@functools.cache
def _built_in() -> frozenset[str]:
    names = (item.name for item in files(__name__).iterdir())
    return frozenset(name.removesuffix(_SUFFIX) for name in names if name.endswith(_SUFFIX))


@functools.cache
def _read(name: str) -> TaskSpec:
    file = files(__name__) / f"{name}{_SUFFIX}"
    return TaskSpec.from_text(file.read_text(encoding="utf-8"), file.name)


def _load(point: EntryPoint) -> TaskSpec:
    package = point.dist.name if point.dist else point.value
    what = f"The task {point.name!r} of the package {package} ({point.value})"
    try:
        found = point.load()
        spec = found() if callable(found) else found
    except Exception as error:
        raise TaskError(
            f"{what} can't be loaded: {type(error).__name__}: {error}\nMend or remove the package."
        ) from error
    if not isinstance(spec, TaskSpec):
        raise TaskError(
            f"{what} is no TaskSpec, nor a function that returns one, but {type(spec).__name__}."
        )
    if spec.name != point.name:
        raise TaskError(f"{what} calls itself {spec.name!r}; both names must be the same.")
    return spec


def catalog_task(text: str) -> tuple[TaskSpec, str] | None:
    """The task and mode of the catalog that a text names; None if it names none.

    Args:
        text: ``esc50`` (in its usual mode), ``esc50-small``, or ``esc50-v2.0.0-small``. What it
            stands for never depends on which tasks are there.
    """
    names = catalog_names()
    if text in names:
        spec = get_spec(text)
        return spec, spec.default_mode
    # Only tasks that the text may mean are read.
    for spec in (get_spec(name) for name in names if text.startswith(f"{name}-")):
        for mode in spec.modes:
            if text in {f"{spec.name}-{mode}", spec.folder_name(mode)}:
                return spec, mode
    return None


def catalog_folder(text: str) -> str | None:
    """The folder name of the task and mode that a text names; None if it names none."""
    found = catalog_task(text)
    return None if found is None else found[0].folder_name(found[1])
