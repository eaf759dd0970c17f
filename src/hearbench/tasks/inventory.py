"""Inventory of a folder: the content digest of every file, and the fitness of audio.

Hashing a corpus takes as long as reading it, so what was found is remembered in the cache under
the file's size, times of modification and change, and inode. What a memory holds is guarded by a
digest of its own, as a damaged one would make up other contents.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hearbench.audio.decode import prepared_wav
from hearbench.digest import digest_bytes, digest_file, digest_json, short
from hearbench.errors import AudioError
from hearbench.files import (
    CLOCK_STEP_NS,
    SYNTAX_ERRORS,
    can_keep_stamp,
    file_stamp,
    is_file,
    write_json,
)
from hearbench.tasks.parallel import in_threads
from hearbench.workspace import Workspace

__all__ = [
    "FileFacts",
    "changed_files",
    "content_digests",
    "md5_digests",
    "md5_of",
    "remember_md5",
    "tell_damaged",
    "wav_facts",
]

_BLOCK_BYTES = 1 << 20
_FORMAT_VERSION = 2
_STAMP = 4  # numbers in a file's stamp
_told: set[str] = set()


@dataclass(frozen=True)
class FileFacts:
    """A file's content digest, and for a WAV its rate in Hz or what is wrong with it."""

    digest: str
    sample_rate: int | None = None
    problem: str | None = None


def wav_facts(folder: Path, names: Sequence[str], workspace: Workspace) -> list[FileFacts]:
    """Facts of prepared WAVs by their names below a folder, in order; all must exist."""

    def look(path: Path) -> FileFacts:
        try:
            data = path.read_bytes()
        except OSError as error:
            return FileFacts("", None, f"can't be read: {error.strerror}")
        try:
            _, rate = prepared_wav(path, data)
        except AudioError as error:
            said = str(error).removeprefix(str(path)).strip(": .")
            return FileFacts(digest_bytes(data), None, said)
        return FileFacts(digest_bytes(data), rate)

    return _remembered("wav", folder, names, workspace, look)


def content_digests(folder: Path, names: Sequence[str], workspace: Workspace) -> list[str]:
    """Content digests of any files by their names below a folder, in order; all must exist."""
    facts = _remembered("file", folder, names, workspace, lambda path: FileFacts(digest_file(path)))
    return [fact.digest for fact in facts]


def changed_files(folder: Path, expected: Mapping[str, str], workspace: Workspace) -> list[str]:
    """The files below a folder that aren't there, can't be read, or hold something else.

    Args:
        expected: Content digests by relative name.
        workspace: Where the cache is, and how many threads.
    """

    def look(path: Path) -> FileFacts:
        try:
            return FileFacts(digest_file(path))
        except OSError as error:
            return FileFacts("", None, f"can't be read: {error.strerror}")

    there = [name for name in expected if is_file(folder / name)]
    facts = _remembered("file", folder, there, workspace, look)
    found = {name: fact.digest for name, fact in zip(there, facts, strict=True)}
    return [name for name, digest in expected.items() if found.get(name) != digest]


def tell_damaged(paths: Sequence[Path], what_follows: str) -> None:
    """Says in one line which files of the cache or of results aren't what was written.

    Args:
        paths: The files; nothing is said where there are none.
        what_follows: What happens to them, as ``made again``.
    """
    # Looked at twice, it is reported once.
    state = str([(path, file_stamp(path) if path.exists() else None) for path in paths])
    if not paths or state in _told:
        return
    _told.add(state)
    others = f" and {len(paths) - 1} more files" if len(paths) > 1 else ""
    logging.getLogger(__name__).warning(
        "%s%s: damaged (not what was written there); %s", paths[0], others, what_follows
    )


def md5_digests(folder: Path, names: Sequence[str], workspace: Workspace) -> list[str]:
    """MD5s of any files by their names below a folder, in order; all must exist.

    It is what the sources of corpora publish; the cache's own keys are SHA-256.
    """
    facts = _remembered("md5", folder, names, workspace, lambda path: FileFacts(md5_of(path)))
    return [fact.digest for fact in facts]


def remember_md5(folder: Path, name: str, md5: str, workspace: Workspace) -> None:
    """Notes the MD5 of a file that was hashed elsewhere, for :func:`md5_digests`."""
    time.sleep(CLOCK_STEP_NS / 1e9)  # or what was only just written wouldn't be remembered
    _remembered("md5", folder, [name], workspace, lambda path: FileFacts(md5))  # noqa: ARG005


def md5_of(path: Path, *, each_block: Callable[[], None] | None = None) -> str:
    """The MD5 of a file's content in hexadecimal; ``each_block`` may raise to end it early."""
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
            if each_block is not None:
                each_block()
    return digest.hexdigest()


def _remembered(
    kind: str,
    folder: Path,
    names: Sequence[str],
    workspace: Workspace,
    look: Callable[[Path], FileFacts],
) -> list[FileFacts]:
    place = short(digest_bytes(os.fsencode(folder.resolve())))
    memory = workspace.path("digests", f"{kind}-{place}.json")
    known = _recall(memory)
    stamps = {name: file_stamp(folder / name) for name in names}
    new = [name for name, stamp in stamps.items() if known.get(name, ())[:_STAMP] != stamp]
    now_ns = time.time_ns()
    found = in_threads(lambda name: look(folder / name), new, workers=workspace.workers)
    fresh = dict(zip(new, found, strict=True))
    for name, facts in fresh.items():
        known[name] = [*stamps[name], facts.digest, facts.sample_rate, facts.problem]
    answers = [FileFacts(*known[name][_STAMP:]) for name in names]
    # What could not be read may be readable the next time.
    fleeting = {
        name
        for name, facts in fresh.items()
        if not facts.digest or can_keep_stamp(stamps[name], now_ns)
    }
    if len(fleeting) < len(fresh):
        kept = {name: entry for name, entry in known.items() if name not in fleeting}
        record = {"format_version": _FORMAT_VERSION, "sha256": digest_json(kept), "files": kept}
        try:
            write_json(memory, record, indent=None)
        except OSError as error:
            # A cache that others fill may well be read-only; it then takes longer every time.
            logging.getLogger(__name__).info("%s isn't remembered: %s", folder, error)
    return answers


def _recall(memory: Path) -> dict[str, list[Any]]:
    """Reads what is remembered: nothing where it is missing or unusable, as it is only a cache."""
    try:
        value = json.loads(memory.read_text(encoding="utf-8"))
    except (OSError, *SYNTAX_ERRORS):
        return {}
    if not isinstance(value, dict) or value.get("format_version") != _FORMAT_VERSION:
        return {}
    files = value.get("files")
    if not isinstance(files, dict) or value.get("sha256") != digest_json(files):
        return {}
    return files
