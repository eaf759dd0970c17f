"""What lies in a folder: the content digest of every file, and the fitness of audio.

Hashing a corpus takes as long as reading it, so what was found is remembered in the cache under
the file's size and time of modification.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hearbench.audio.decode import prepared_wav
from hearbench.digest import digest_bytes, digest_file, short
from hearbench.errors import AudioError
from hearbench.files import SYNTAX_ERRORS, write_json
from hearbench.settings import Settings
from hearbench.tasks.parallel import in_threads

__all__ = [
    "FileFacts",
    "content_digests",
    "md5_digests",
    "md5_of",
    "remember_md5",
    "wav_facts",
]

_BLOCK_BYTES = 1 << 20
_FORMAT_VERSION = 1


@dataclass(frozen=True)
class FileFacts:
    """A file's content digest, and for a WAV its rate in Hz or what is wrong with it."""

    digest: str
    sample_rate: int | None = None
    problem: str | None = None


def wav_facts(folder: Path, names: Sequence[str], settings: Settings) -> list[FileFacts]:
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

    return _remembered("wav", folder, names, settings, look)


def content_digests(folder: Path, names: Sequence[str], settings: Settings) -> list[str]:
    """Content digests of any files by their names below a folder, in order; all must exist."""
    facts = _remembered("file", folder, names, settings, lambda path: FileFacts(digest_file(path)))
    return [fact.digest for fact in facts]


def md5_digests(folder: Path, names: Sequence[str], settings: Settings) -> list[str]:
    """MD5s of any files by their names below a folder, in order; all must exist.

    It is what the sources of corpora publish; the cache's own keys are SHA-256.
    """
    facts = _remembered("md5", folder, names, settings, lambda path: FileFacts(md5_of(path)))
    return [fact.digest for fact in facts]


def remember_md5(folder: Path, name: str, md5: str, settings: Settings) -> None:
    """Notes the MD5 of a file that was hashed elsewhere, for :func:`md5_digests`."""
    _remembered("md5", folder, [name], settings, lambda path: FileFacts(md5))  # noqa: ARG005


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
    settings: Settings,
    look: Callable[[Path], FileFacts],
) -> list[FileFacts]:
    place = short(digest_bytes(os.fsencode(folder.resolve())))
    memory = settings.cache_dir / "digests" / f"{kind}-{place}.json"
    known = _recall(memory)
    stamps = {name: _stamp(folder / name) for name in names}
    new = [name for name, stamp in stamps.items() if known.get(name, ())[:2] != stamp]
    found = in_threads(lambda name: look(folder / name), new, workers=settings.workers)
    fresh = dict(zip(new, found, strict=True))
    for name, facts in fresh.items():
        known[name] = [*stamps[name], facts.digest, facts.sample_rate, facts.problem]
    answers = [FileFacts(*known[name][2:]) for name in names]
    # What could not be read may be readable the next time.
    kept = {name: entry for name, entry in known.items() if entry[2]}
    if any(facts.digest for facts in fresh.values()):
        try:
            write_json(memory, {"format_version": _FORMAT_VERSION, "files": kept}, indent=None)
        except OSError as error:
            # A cache that others fill may well be read-only; it then takes longer every time.
            logging.getLogger(__name__).info("%s isn't remembered: %s", folder, error)
    return answers


def _stamp(path: Path) -> list[int]:
    stat = path.stat()
    return [stat.st_size, stat.st_mtime_ns]


def _recall(memory: Path) -> dict[str, list[Any]]:
    """What is remembered; nothing where the memory is missing or unusable: it is only a cache."""
    try:
        value = json.loads(memory.read_text(encoding="utf-8"))
    except (OSError, *SYNTAX_ERRORS):
        return {}
    if not isinstance(value, dict) or value.get("format_version") != _FORMAT_VERSION:
        return {}
    files = value.get("files")
    if not isinstance(files, dict):
        return {}
    return {
        name: entry
        for name, entry in files.items()
        if isinstance(entry, list) and len(entry) == 5 and isinstance(entry[2], str)
    }
