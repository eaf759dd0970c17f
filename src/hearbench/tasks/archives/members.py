"""Rules for the members of archives: which may be unpacked, and where to."""

from __future__ import annotations

import re
import stat
from enum import Enum

from hearbench.tasks.problems import Problems

__all__ = ["Kind", "Targets", "kind_of_mode", "new_problems"]

_OUTSIDE = "members that would land outside the folder"
_SPECIAL = "members that are links, devices or the like"
_NAMELESS = "members whose name no file can have"
_TWICE = "members of the same name"
_BELOW_FILE = "members below a member that is a file"
_ON_FOLDER = "files of the same name as a folder"

_DRIVE = re.compile(r"[A-Za-z]:")
_MAX_PART_BYTES = 255
_MAX_DEPTH = 64  # folders are made and removed recursively
_SHOWN_CHARACTERS = 200
_EXAMPLES = 20


class Kind(Enum):
    """The kinds of members; only the first two are ever made."""

    FILE = "file"
    FOLDER = "folder"
    OTHER = "link, device or the like"


def kind_of_mode(mode: int) -> Kind | None:
    """The kind of a member by its Unix mode; None if that doesn't say."""
    return {0: None, stat.S_IFREG: Kind.FILE, stat.S_IFDIR: Kind.FOLDER}.get(
        stat.S_IFMT(mode), Kind.OTHER
    )


def new_problems() -> Problems:
    """Makes an empty list of problems with members, which shows more examples than others do."""
    return Problems(examples=_EXAMPLES)


class Targets:
    """The files and folders that an archive's members become, each admitted once.

    Attributes:
        problems: What is wrong with the members that were not admitted.
    """

    def __init__(self) -> None:
        self.problems = new_problems()
        self._files: set[str] = set()
        self._folders: set[str] = set()

    def admit(self, name: str, kind: Kind) -> str | None:
        """Decides where a member goes: a relative path with slashes.

        Args:
            name: Its name in the archive, with slashes.

        Returns:
            None if it isn't to be made: it is refused (:attr:`problems` has it then), is the
            folder itself, or is what macOS adds on its own (``__MACOSX/``, ``._x``,
            ``.DS_Store``).
        """
        parts = [part for part in name.split("/") if part not in ("", ".")]
        wrong = _what_is_wrong(name, parts, kind)
        if wrong is None and _is_junk(parts):
            return None
        target = "/".join(parts)
        wrong = wrong or self._conflict(target, kind)
        if wrong is not None:
            self.problems.add(wrong, _shown(name))
            return None
        self._folders.update(_parents(target))
        if kind is Kind.FILE:
            self._files.add(target)
            return target
        self._folders.add(target)
        return target or None

    def _conflict(self, target: str, kind: Kind) -> str | None:
        if not self._files.isdisjoint(_parents(target)):
            return _BELOW_FILE
        if kind is Kind.FILE:
            if target in self._files:
                return _TWICE
            return _ON_FOLDER if target in self._folders else None
        return _ON_FOLDER if target in self._files else None


def _what_is_wrong(name: str, parts: list[str], kind: Kind) -> str | None:
    # A drive or backslash is harmless here, but names another place on Windows.
    if name.startswith("/") or ".." in parts or "\\" in name or any(map(_DRIVE.match, parts)):
        return _OUTSIDE
    if kind is Kind.OTHER:
        return _SPECIAL
    if (
        "\0" in name
        or (kind is Kind.FILE and (not parts or name.endswith("/")))
        or len(parts) > _MAX_DEPTH
        or any(len(part.encode("utf-8", "surrogateescape")) > _MAX_PART_BYTES for part in parts)
    ):
        return _NAMELESS
    return None


def _is_junk(parts: list[str]) -> bool:
    if not parts:
        return False
    return "__MACOSX" in parts or parts[-1] == ".DS_Store" or parts[-1].startswith("._")


def _parents(target: str) -> list[str]:
    return [target[: match.start()] for match in re.finditer("/", target)]


def _shown(name: str) -> str:
    return repr(name if len(name) <= _SHOWN_CHARACTERS else f"{name[:_SHOWN_CHARACTERS]}...")
