"""Archives as the benchmark published them, from file to task folder."""

from __future__ import annotations

import dataclasses
import gzip
import json
import tempfile
import zlib
from pathlib import Path

from pydantic import ValidationError

from hearbench.errors import TaskError
from hearbench.files import SYNTAX_ERRORS, TEMPORARY_PREFIX
from hearbench.tasks.archives import unpack_archive
from hearbench.tasks.archives.unpacking import UnwritableError, is_about_the_place
from hearbench.tasks.check import METADATA, read_task_folder
from hearbench.tasks.spec import TaskMetadata
from hearbench.workspace import Workspace

__all__ = ["unpack_published"]

_BLOCK_BYTES = 1 << 20


def unpack_published(
    archive: Path,
    target: Path,
    *,
    trusted: bool,
    workspace: Workspace,
) -> None:
    """Makes a task's folder of its archive.

    Args:
        archive: A ``.tar.gz`` that holds ``<anything>/tasks/<name of target>/``.
        target: The task's folder, which appears once all of it is there.
        trusted: Whether its content is known to be the published one; if not, all of it is
            looked at closely.
        workspace: How many threads look, and who shows progress.

    Raises:
        TaskError: It can't be unpacked, or holds something else.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=TEMPORARY_PREFIX, dir=target.parent) as work:
            content = Path(work) / "content"
            if not trusted:
                _read_to_the_end(archive)
            with workspace.progress.stage(f"unpacking {target.name}", "bytes") as update:
                update(0)
                unpack_archive(archive, content, update=update)
            folder = _task_in(content, archive, target.name)
            if not trusted:
                # What is remembered of files here is of no use anywhere else.
                here = dataclasses.replace(workspace, cache_dir=Path(work) / "cache")
                problems = read_task_folder(folder, here).problems
                if problems:
                    raise problems.error(
                        f"The archive {archive} can't be used; wrong are:",
                        "Get it again from a source that you trust.",
                    )
            try:
                folder.rename(target)
            except OSError:
                if not (target / METADATA).is_file():  # or another process was faster
                    raise
    except OSError as error:
        kind = UnwritableError if is_about_the_place(error) else TaskError
        raise kind(f"{archive} can't be unpacked to {target}: {error}.") from error


def _read_to_the_end(archive: Path) -> None:
    """Lets gzip compare its checksum, which comes last, behind the end of the tar."""
    try:
        with gzip.open(archive) as file:
            while file.read(_BLOCK_BYTES):
                pass
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise TaskError(
            f"The archive {archive} is damaged or no .tar.gz: {error}. Get it again from a source "
            "that you trust."
        ) from error


def _task_in(content: Path, archive: Path, folder_name: str) -> Path:
    """The only task in an unpacked archive, which must be the one that was wanted."""
    folders = [path.parent for path in content.rglob(METADATA)]
    shown = ", ".join(sorted(path.name for path in folders[:10])) or "none"
    if len(folders) != 1 or folders[0].name != folder_name:
        raise TaskError(
            f"The archive {archive} should hold the task {folder_name}, but the tasks in it are: "
            f"{shown}. It isn't used; get the right one."
        )
    try:
        text = (folders[0] / METADATA).read_text(encoding="utf-8-sig")
        metadata = TaskMetadata.model_validate(json.loads(text))
    except ValidationError as error:
        wrong = "; ".join(
            f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors()
        )
        raise TaskError(f"{METADATA} in the archive {archive} can't be used: {wrong}.") from error
    except SYNTAX_ERRORS as error:
        raise TaskError(f"{METADATA} in the archive {archive} is no JSON: {error}.") from error
    if metadata.name != folder_name:
        raise TaskError(
            f"The archive {archive} should hold the task {folder_name}, but its {METADATA} says "
            f"that it is {metadata.name}. It isn't used; get the right one."
        )
    return folders[0]
