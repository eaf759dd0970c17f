"""The record of the benchmark's prepared tasks, and the md5s of its archives.

An md5 is looked for in the package's own data, then among those seen before (``pins.json`` in
the cache), then at the mirror (``md5sums.txt``) if there is one, then in the record's API. What
is found is kept, so that an archive can't change unnoticed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from hearbench.errors import DownloadError
from hearbench.files import SYNTAX_ERRORS, write_json
from hearbench.records import Record
from hearbench.tasks.fetch import RemoteFile, RetryPolicy, TransferError, read_remote
from hearbench.toml import tomllib
from hearbench.workspace import Workspace

__all__ = ["ArchiveRecord", "Known", "find_md5s", "load_record", "pin", "recall"]

_PINS = "pins.json"
_MD5SUMS = "md5sums.txt"
_MD5 = re.compile(r"[0-9a-fA-F]{32}")
_MD5SUM_LINE = re.compile(r"([0-9a-fA-F]{32})\s+\*?(\S.*)")
# Asked in passing: whoever sits behind a wall shouldn't wait for it.
_QUICK = RetryPolicy(attempts=1, connect_timeout_s=5.0, read_timeout_s=10.0)


class Known(Record):
    """Checks that are known of an archive.

    Attributes:
        md5: 32 hexadecimal digits.
        size_bytes: Its length, if known.
        source: Where the MD5 comes from.
    """

    md5: Annotated[str, Field(pattern="^[0-9a-f]{32}$")]
    size_bytes: int | None = None
    source: str = "the package"


class ArchiveRecord(Record):
    """The addresses of the archives.

    Attributes:
        api: Address of the record's description.
        place: Address below which the archives lie, with a slash at its end.
        archive: An archive's name, with ``{folder}`` for that of the task's folder.
        folders: The tasks of the benchmark, ``<task>-<version>-<mode>``.
        known: What is known of some of them, by their folders.
    """

    api: str
    place: str
    archive: str
    folders: tuple[str, ...]
    known: dict[str, Known] = Field(default_factory=dict)

    def archive_name(self, folder_name: str) -> str:
        """The name of a task's archive."""
        return self.archive.replace("{folder}", folder_name)

    def remote(self, folder_name: str, known: Known | None) -> RemoteFile:
        """A task's archive as something to fetch."""
        name = self.archive_name(folder_name)
        url = self.place + name
        return RemoteFile(
            name, url, known.md5 if known else None, known.size_bytes if known else None
        )


class _Pins(Record):
    format_version: Literal[1] = 1
    files: dict[str, Known] = Field(default_factory=dict)


def load_record() -> ArchiveRecord:
    """The record that the package knows of."""
    text = files("hearbench.tasks").joinpath("ready_made.toml").read_text(encoding="utf-8")
    return ArchiveRecord.model_validate(tomllib.loads(text))


def recall(folder_name: str, record: ArchiveRecord, workspace: Workspace) -> Known | None:
    """Looks up what is known of a task's archive, without the network."""
    known = record.known.get(folder_name)
    return known or _read_pins(workspace).files.get(record.archive_name(folder_name))


def find_md5s(
    folder_names: Sequence[str],
    record: ArchiveRecord,
    workspace: Workspace,
    *,
    in_passing: bool,
    policy: RetryPolicy | None = None,
) -> dict[str, Known | str]:
    """Asks mirror and record for the MD5s of archives; returns each, or why there is none.

    Each is asked at most once, however many tasks there are.

    Args:
        folder_names: ``<task>-<version>-<mode>`` each.
        workspace: Where the pins are, and the mirror.
        in_passing: Try the record once and not for long.
        policy: When to try again, where that isn't so.

    Raises:
        DownloadError: The record says something else than was seen before.
    """
    names = {folder_name: record.archive_name(folder_name) for folder_name in folder_names}
    found: dict[str, Known | str] = {}
    if workspace.mirror is not None and names:
        at_mirror = _at_mirror(set(names.values()), workspace.mirror)
        pin(at_mirror, workspace)
        found = {folder: at_mirror[name] for folder, name in names.items() if name in at_mirror}
    left = [folder_name for folder_name in folder_names if folder_name not in found]
    if not left:
        return found
    try:
        content = read_remote(record.api, policy=_QUICK if in_passing else policy)
        listed = dict(_listed(json.loads(content), record.api))
    except TransferError as error:
        why = f"the record's description at {record.api} can't be read: {error}"
        return found | dict.fromkeys(left, why)
    except SYNTAX_ERRORS as error:
        why = f"the record's description at {record.api} is no JSON: {error}"
        return found | dict.fromkeys(left, why)
    _check_unchanged(listed, record, workspace)
    pin(listed, workspace)
    return found | {
        folder: listed.get(
            names[folder], f"the record's description at {record.api} doesn't list {names[folder]}"
        )
        for folder in left
    }


def pin(found: Mapping[str, Known], workspace: Workspace) -> None:
    """Remembers md5s by the names of the archives; those that are known stay as they are."""
    pins = _read_pins(workspace)
    together = _Pins(files={**found, **pins.files})
    if together != pins:
        write_json(_pins_path(workspace), together.model_dump())


def _pins_path(workspace: Workspace) -> Path:
    return workspace.path(_PINS)


def _read_pins(workspace: Workspace) -> _Pins:
    path = _pins_path(workspace)
    try:
        return _Pins.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return _Pins()
    except (OSError, ValidationError) as error:
        # To pass over it would be to trust anything again.
        why = error.strerror if isinstance(error, OSError) else "it isn't what was written there"
        raise DownloadError(
            f"{path}, which holds the md5s of archives that were seen before, can't be read: "
            f"{why}. Mend or remove it."
        ) from error


def _at_mirror(names: Collection[str], mirror: str) -> dict[str, Known]:
    """Asks the mirror for the MD5s of some archives."""
    url = f"{mirror.rstrip('/')}/{_MD5SUMS}"
    try:
        text = read_remote(url, policy=_QUICK).decode("utf-8", errors="replace")
    except TransferError:
        return {}  # a mirror needn't have it; if it isn't there at all, the download says so
    known: dict[str, Known] = {}
    for line in text.splitlines():
        found = _MD5SUM_LINE.fullmatch(line.strip())
        name = found[2].removeprefix("./") if found else ""
        if found and name in names:
            known.setdefault(name, Known(md5=found[1].lower(), source=url))
    return known


def _listed(value: Any, source: str) -> Iterator[tuple[str, Known]]:
    """The files of a record, in any of the forms that its API has had."""
    entries = value.get("files", value.get("entries")) if isinstance(value, dict) else value
    if isinstance(entries, dict):
        entries = entries.get("entries", entries)
    if isinstance(entries, dict):
        entries = [
            {"key": key, **entry} for key, entry in entries.items() if isinstance(entry, dict)
        ]
    for entry in entries if isinstance(entries, list) else ():
        if not isinstance(entry, dict):
            continue
        name = entry.get("key", entry.get("filename"))
        md5 = str(entry.get("checksum", "")).removeprefix("md5:")
        size = entry.get("size", entry.get("filesize"))
        if isinstance(name, str) and _MD5.fullmatch(md5):
            size_bytes = size if isinstance(size, int) and size >= 0 else None
            yield name, Known(md5=md5.lower(), size_bytes=size_bytes, source=source)


def _check_unchanged(
    listed: Mapping[str, Known], record: ArchiveRecord, workspace: Workspace
) -> None:
    before = dict(_read_pins(workspace).files)
    before |= {record.archive_name(folder): known for folder, known in record.known.items()}
    changed = [
        f"- {name}: {known.md5} by {known.source}, now {listed[name].md5}"
        for name, known in before.items()
        if name in listed and listed[name].md5 != known.md5
    ]
    if changed:
        raise DownloadError(
            "\n".join(
                [
                    f"The record's description at {record.api} gives other md5s than were known:",
                    *changed,
                    "A published record doesn't change, so something is wrong: with the network, "
                    "with the record, or with what was seen first. If the new ones are right, "
                    f"remove the old ones from {_pins_path(workspace)}, and the tasks that were "
                    "made from them from the cache.",
                ]
            )
        )
