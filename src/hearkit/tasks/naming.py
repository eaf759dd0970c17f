"""What a user may call a task of the catalog."""

from __future__ import annotations

from hearkit.tasks.catalog import catalog_names, get_spec

__all__ = ["catalog_folder"]


def catalog_folder(text: str) -> str | None:
    """The folder name of a task of the catalog; None if the text names none.

    Args:
        text: ``esc50`` (in its usual mode), ``esc50-small``, or ``esc50-v2.0.0-small``. What it
            stands for never depends on which tasks are there.
    """
    names = catalog_names()
    if text in names:
        spec = get_spec(text)
        return spec.folder_name(spec.default_mode)
    # Only tasks that the text may mean are read.
    for spec in (get_spec(name) for name in names if text.startswith(f"{name}-")):
        for mode in spec.modes:
            if text in {f"{spec.name}-{mode}", spec.folder_name(mode)}:
                return spec.folder_name(mode)
    return None
