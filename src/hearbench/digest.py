"""Content hashes: what the cache's entries are named by.

All digests are SHA-256 in hexadecimal. ``short`` cuts one for a folder's name; files that
record a digest record the whole.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

__all__ = ["digest_bytes", "digest_file", "digest_json", "digest_tree", "short"]

_BLOCK_BYTES = 1 << 20


def digest_bytes(data: bytes) -> str:
    """The SHA-256 of some bytes."""
    return hashlib.sha256(data).hexdigest()


def digest_file(path: Path) -> str:
    """The SHA-256 of a file's content, read in blocks."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def digest_tree(folder: Path) -> str:
    """The digest of all files of a folder: their names within it and their content.

    Links are followed. A folder that is found a second time, as in a circle, counts by where it
    was found first.
    """
    names: dict[Path, str | None] = {}
    seen: dict[str, str] = {}
    for place, folders, files in os.walk(folder, followlinks=True):
        here = Path(place)
        real = os.path.realpath(place)
        if real in seen:
            names[here] = seen[real]
            folders.clear()
            continue
        seen[real] = here.relative_to(folder).as_posix()
        folders.sort()
        names.update({here / name: None for name in files if (here / name).is_file()})
    return digest_json(
        [
            [str(path.relative_to(folder)), digest_file(path) if first is None else f"as {first}"]
            for path, first in sorted(names.items())
        ]
    )


def digest_json(value: Any) -> str:
    """The digest of a JSON value in one canonical form (sorted keys, no spaces, no NaN)."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return digest_bytes(text.encode("utf-8"))


def short(digest: str) -> str:
    """The first 16 digits, enough to name a cache entry."""
    return digest[:16]
