"""Content hashes: what the cache's entries are named by.

All digests are SHA-256 in hexadecimal. ``short`` cuts one for a folder's name; files that
record a digest record the whole.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

__all__ = ["digest_bytes", "digest_file", "digest_json", "short"]

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


def digest_json(value: Any) -> str:
    """The digest of a JSON value in one canonical form (sorted keys, no spaces, no NaN)."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return digest_bytes(text.encode("utf-8"))


def short(digest: str) -> str:
    """The first 16 digits, enough to name a cache entry."""
    return digest[:16]
