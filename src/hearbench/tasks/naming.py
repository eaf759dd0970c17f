"""Names by which a user may call a task of the catalog."""

from __future__ import annotations

from hearbench.tasks.catalog import TaskSpec, catalog_names, get_spec

__all__ = ["catalog_folder", "catalog_task"]


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
