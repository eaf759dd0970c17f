"""Finds the task that a user names: a folder, an archive, or a name in the cache."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from hearbench.digest import short
from hearbench.errors import TaskError, UnknownNameError
from hearbench.files import TEMPORARY_PREFIX, atomic_folder
from hearbench.registry import did_you_mean, nearest_path
from hearbench.sums import SUMS_FILE, note_if_none, read_whole_sums, sums_of, write_sums
from hearbench.tasks.archives import extract_members
from hearbench.tasks.catalog import catalog_folder, catalog_names
from hearbench.tasks.check import METADATA, read_task_folder
from hearbench.tasks.inventory import changed_files, content_digests, tell_damaged
from hearbench.tasks.problems import Problems
from hearbench.workspace import Workspace, user_path

__all__ = ["TASKS_FOLDER", "UNFINISHED", "Place", "locate"]

TASKS_FOLDER = "tasks"
UNFINISHED = ".prepare.json"
"""Lies in a task folder while it is being prepared."""

_DEPTH = 3  # an archive unpacks to <anything>/tasks/<task>/
_ARCHIVES = (".tar.gz", ".tgz")
_REMEDY = "Nothing was unpacked. Download the archive again from a source that you trust."


@dataclass(frozen=True)
class Place:
    """A task's folder, how to name it in messages, and problems that came up on the way."""

    folder: Path
    shown: str
    problems: Problems = field(default_factory=Problems)


def locate(
    path_or_name: str | Path, workspace: Workspace, fetch: Callable[[str], Path] | None = None
) -> Place:
    """The folder of a task, its archive unpacked into the cache if it is one.

    Args:
        path_or_name: A folder, an archive, or a name.
        fetch: Gets a task of the catalog by its folder's name if it isn't in the cache; by
            default that is an error.

    Raises:
        TaskError: There is nothing, no task, or more than one; or a bad archive.
        UnknownNameError: It is a plain name, and no task in the cache has it.
    """
    text = str(path_or_name)
    path = user_path(path_or_name)
    try:
        if not text:
            raise TaskError("No task is named.")
        if path.is_dir():
            folder = _only_task(path, str(path_or_name))
            return Place(folder, str(folder))
        if path.is_file():
            return _unpacked(path, workspace)
    except (OSError, ValueError) as error:
        raise TaskError(f"{path_or_name} can't be read: {error}.") from error
    if "/" in text or "\\" in text or text.endswith(_ARCHIVES):
        raise TaskError(
            f"{text!r}: there is no such file or folder.{nearest_path(path)} A task is named by "
            "its folder, its .tar.gz, or its name in the cache.",
            code="not_found",
        )
    return _named(text, workspace, fetch)


def _tasks_below(folder: Path, depth: int = _DEPTH) -> tuple[list[Path], list[Path]]:
    """Finished and unfinished task folders at or below a folder, sorted."""
    if (folder / METADATA).is_file():
        return [folder], []
    if (folder / UNFINISHED).is_file():
        return [], [folder]
    finished: list[Path] = []
    unfinished: list[Path] = []
    if depth > 0:
        for below in sorted(path for path in folder.iterdir() if path.is_dir()):
            if not below.name.startswith("."):
                some, others = _tasks_below(below, depth - 1)
                finished += some
                unfinished += others
    return finished, unfinished


def _only_task(folder: Path, shown: str) -> Path:
    finished, unfinished = _tasks_below(folder)
    if len(finished) == 1:
        return finished[0].resolve()
    if len(finished) > 1:
        names = ", ".join(str(path.relative_to(folder)) for path in finished[:10])
        if len(finished) > 10:
            names += f" and {len(finished) - 10} more"
        raise TaskError(f"{shown} holds {len(finished)} tasks; name one of them: {names}")
    if unfinished:
        raise TaskError(
            f"The task {unfinished[0]} was never finished; run the same `hearbench prepare` again, "
            "which goes on where it stopped."
        )
    raise TaskError(
        f"{shown} is no task: there is no {METADATA} in it or in the folders below. A task "
        "folder has it beside labelvocabulary.csv, a JSON per split and a folder per sample rate.",
        code="not_found",
    )


def _unpacked(archive: Path, workspace: Workspace) -> Place:
    archive = archive.resolve()
    if not archive.name.endswith(_ARCHIVES):
        raise TaskError(f"{archive} is a file but no .tar.gz; give a task's folder or archive.")
    stem = archive.name
    for ending in _ARCHIVES:
        stem = stem.removesuffix(ending)
    digest = content_digests(archive.parent, [archive.name], workspace)[0]
    folder = workspace.path("unpacked", f"{stem}-{short(digest)}")
    sums = read_whole_sums(folder) or {}
    damaged = changed_files(folder, sums, workspace)
    tell_damaged([folder / name for name in damaged], f"unpacking {archive} again")
    if damaged or not sums:
        shutil.rmtree(folder, ignore_errors=True)
        with atomic_folder(folder) as temporary:
            problems = extract_members(archive, temporary)
            if problems:
                # It is refused; what else is wrong is said in the same breath.
                finished, _ = _tasks_below(temporary)
                for task in finished:
                    problems.merge(read_task_folder(task, workspace).problems)
                raise problems.error(f"The archive {archive} can't be used; wrong are:", _REMEDY)
            files = [path for path in temporary.rglob("*") if path.is_file()]
            write_sums(temporary, sums_of(temporary, files))
    return Place(_only_task(folder, str(archive)), str(archive))


def _refuse_damaged(folder: Path, workspace: Workspace) -> None:
    """Refuses a task of the cache whose files aren't what they were when it was first used.

    Raises:
        TaskError: Some aren't.
    """
    sums = read_whole_sums(folder)
    damaged = [SUMS_FILE] if sums is None else changed_files(folder, sums, workspace)
    if damaged:
        more = f" and {len(damaged) - 1} more files" if len(damaged) > 1 else ""
        raise TaskError(
            f"{folder / damaged[0]}{more}: damaged (not what was written there). Remove {folder} "
            f"and get the task again, by `hearbench tasks download {folder.name}` or by the same "
            "`hearbench prepare`.",
            code="damaged",
        )
    note_if_none(folder, lambda: write_sums(folder, sums_of(folder, _files_of(folder))))


def _files_of(folder: Path) -> list[Path]:
    return [
        path
        for path in folder.rglob("*")
        if path.is_file()
        and not any(part.startswith(TEMPORARY_PREFIX) for part in path.relative_to(folder).parts)
    ]


def _named(name: str, workspace: Workspace, fetch: Callable[[str], Path] | None) -> Place:
    """A task by its folder's name, or by the task's name alone if that is clear."""
    root = workspace.path(TASKS_FOLDER)
    folders = []
    if root.is_dir():
        folders = sorted(
            path
            for path in root.iterdir()
            if path.is_dir() and not path.name.startswith(TEMPORARY_PREFIX)
        )
    wanted = catalog_folder(name)
    exact = [path for path in folders if path.name == (wanted or name)]
    if wanted is not None and not exact:
        if fetch is None:
            raise UnknownNameError(
                f"The task {wanted} isn't here yet. `hearbench tasks download {wanted}` fetches it "
                f"ready-made if it is published, and `hearbench prepare {wanted}` makes it from "
                "its corpus."
            )
        exact = [fetch(wanted)]
    found = exact or [path for path in folders if path.name.startswith(f"{name}-")]
    if len(found) == 1:
        task = _only_task(found[0], name)
        _refuse_damaged(task, workspace)
        return Place(task, f"{name} ({found[0]})")
    if found:
        raise TaskError(
            f"{len(found)} tasks in the cache are called {name}: "
            f"{', '.join(path.name for path in found)}. Name one in full."
        )
    known = {*(path.name for path in folders), *(_task_name(path) for path in folders)}
    raise UnknownNameError(
        f"There is no task {name!r}: no file or folder of that name, none in {root}, and none in "
        f"the catalog. {did_you_mean(name, sorted({*known, *catalog_names()}))}"
    )


def _task_name(folder: Path) -> str:
    return folder.name.rsplit("-", 2)[0]
