"""The skeleton of a model's package: a model that works, to put your own network into."""

from __future__ import annotations

import keyword
import re
from pathlib import Path

from hearbench.demo import write_starter_model
from hearbench.errors import HearError
from hearbench.files import write_text
from hearbench.leaderboard.card import CARD_FILE

__all__ = ["write_skeleton"]

_NAME = re.compile(r"[a-z][a-z0-9_]*(?:-[a-z0-9_]+)*")
_TEMPLATES = Path(__file__).with_name("skeleton_files")


def write_skeleton(name: str, folder: Path) -> list[Path]:
    """Writes a package with a HEAR API, its tests and its card.

    Args:
        name: Name of the project, such as ``my-model``; its module is ``my_model``.
        folder: Folder of the project; it may exist, but not hold any of the files.

    Returns:
        The files that were written.

    Raises:
        HearError: The name can't be a package's, or files are there already. Nothing was written.
    """
    package = name.replace("-", "_")
    if not _NAME.fullmatch(name) or keyword.iskeyword(package):
        raise HearError(
            f"{name!r} can't be the name of a package: use lower-case letters, digits, - and _, "
            "and begin with a letter."
        )
    places = {
        "pyproject.toml": folder / "pyproject.toml",
        "README.md": folder / "README.md",
        "card.toml": folder / CARD_FILE,
        "test_hear.py": folder / "tests" / "test_hear.py",
    }
    source = folder / "src" / package
    written = [*places.values(), source / "__init__.py", source / "hear.py"]
    taken = [str(path.relative_to(folder)) for path in written if path.exists()]
    if taken:
        raise HearError(
            f"{folder} holds {', '.join(taken)} already. Nothing was written; choose another --out."
        )
    for template, place in places.items():
        text = (_TEMPLATES / f"{template}.txt").read_text(encoding="utf-8")
        write_text(place, text.replace("{{package}}", package).replace("{{project}}", name))
    write_text(source / "__init__.py", f'"""The model {name}; its HEAR API is in ``hear``."""\n')
    write_starter_model(source / "hear.py")
    return written
