"""What pip can install, and what stands for its content."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from hearbench.digest import digest_file, digest_json
from hearbench.errors import ModelError
from hearbench.workspace import user_path

__all__ = ["Installable", "installable"]

_NAME = re.compile(r"\s*([A-Za-z0-9][\w.-]*)\s*(\[[^\]]*\])?\s*", re.ASCII)
_REQUIREMENT = re.compile(_NAME.pattern + r"[@<>=!~(].+", re.ASCII)
_ARCHIVES = (".whl", ".tar.gz", ".zip")
_UNSAFE = re.compile(r"[^A-Za-z0-9._+-]+")
# What building and testing leave in a source tree; those of the second kind at its top only.
_NO_SOURCE = re.compile(
    r"\.git|\.hg|\.svn|__pycache__|.+\.egg-info|\.(mypy|pytest|ruff)_cache|\.tox|\.nox|\.venv"
)
_BUILT = ("build", "dist")


@dataclass(frozen=True)
class Installable:
    """Something that pip can install.

    Attributes:
        spec: As it was asked for.
        name: Fit for a folder.
        argument: For pip.
        content: What stands for it in the key.
    """

    spec: str
    name: str
    argument: str
    content: dict[str, str]

    @property
    def is_tree(self) -> bool:
        """Whether it is a source tree, whose folder the argument is."""
        return "tree" in self.content


def installable(spec: str) -> Installable:
    """What a source tree, an archive or a requirement stands for.

    Args:
        spec: A folder with ``pyproject.toml`` or ``setup.py``, a wheel or another archive, or one
            requirement with a version or an address.

    Raises:
        ModelError: It is none of them, or can't be read.
    """
    path = user_path(spec)
    is_archive = spec.endswith(_ARCHIVES) and "@" not in spec
    try:
        if spec and path.is_dir():
            if not any((path / name).is_file() for name in ("pyproject.toml", "setup.py")):
                raise ModelError(
                    f"{spec} has no pyproject.toml and no setup.py, so pip can't install it. Give "
                    "the folder that has one."
                )
            path = path.resolve()
            return Installable(spec, _safe(path.name), str(path), {"tree": _tree_digest(path)})
        if is_archive and path.is_file():
            path = path.resolve()
            content = {"archive": path.name, "digest": digest_file(path)}
            return Installable(spec, _safe(path.name), str(path), content)
    except OSError as error:
        raise ModelError(f"{spec} can't be read: {error}.") from error
    match = _REQUIREMENT.fullmatch(spec)
    if match is None or is_archive or path.exists():
        # Of a folder that is misspelt, pip would install what strangers have called so.
        version = f" With its version it would be one: {spec}==1.2" if _NAME.fullmatch(spec) else ""
        raise ModelError(
            f"{spec!r} is no source tree that is there, and no requirement of pip. Give a folder "
            f"with a pyproject.toml or setup.py, or one requirement such as name==1.2.{version}"
        )
    return Installable(spec, _safe(match[1]), spec.strip(), {"requirement": spec.strip()})


def _tree_digest(folder: Path) -> str:
    """Over the files of a source tree, without what is no source."""
    lines = []
    for place, folders, files in os.walk(folder):
        here = Path(place)
        top = here == folder
        folders[:] = sorted(name for name in folders if _is_source(here / name, top))
        for name in sorted([*files, *(name for name in folders if (here / name).is_symlink())]):
            path = here / name
            # A link counts by where it leads, and a file also by what it holds.
            link = os.fspath(path.readlink()) if path.is_symlink() else ""
            content = digest_file(path) if path.is_file() else ""
            lines.append([path.relative_to(folder).as_posix(), link, content])
    return digest_json(lines)


def _is_source(folder: Path, top: bool) -> bool:
    if _NO_SOURCE.fullmatch(folder.name) or (top and folder.name in _BUILT):
        return False
    return not (folder / "pyvenv.cfg").is_file()


def _safe(text: str) -> str:
    return _UNSAFE.sub("-", text).strip("-.") or "model"
