"""Names of files that are safe everywhere, and addresses that are safe to follow."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from urllib.parse import urlsplit

from hearbench.errors import HearError

__all__ = ["safe_url", "slugs"]

_LENGTH = 60
# What Windows doesn't take as the name of a file, whatever follows the dot.
_RESERVED = {"con", "prn", "aux", "nul", *(f"{d}{n}" for d in ("com", "lpt") for n in range(10))}


def slugs(names: Sequence[str]) -> tuple[str, ...]:
    """A name of ``a-z``, ``0-9`` and ``-`` for each name, all of them different.

    A name keeps its slug whatever order the names come in. Where several come down to the same,
    all of them get a digest of the name behind it.

    Raises:
        HearError: A name is there twice.
    """
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise HearError(f"{twice[0]!r} is there twice; every model and task needs its own name.")
    plain = [_plain(name) for name in names]
    counts = Counter(plain)
    found = tuple(
        base if base and counts[base] == 1 and base not in _RESERVED else _with_digest(base, name)
        for base, name in zip(plain, names, strict=True)
    )
    clash = [slug for slug, count in Counter(found).items() if count > 1]
    if clash:
        both = [name for name, slug in zip(names, found, strict=True) if slug == clash[0]]
        raise HearError(f"{both[0]!r} and {both[1]!r} come down to one file; rename one of them.")
    return found


def _plain(name: str) -> str:
    ascii_only = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "-", ascii_only.lower()).strip("-")[:_LENGTH].strip("-")


def _with_digest(base: str, name: str) -> str:
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{base}-{digest}" if base else digest


def safe_url(url: str) -> str | None:
    """The address if it is one of the web, or None: nothing else becomes a link."""
    # Browsers drop blanks and control characters before they look at the scheme.
    if any(ord(character) <= 0x20 or ord(character) == 0x7F for character in url):
        return None
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        return None
    return url if parts.scheme in ("http", "https") and host else None
