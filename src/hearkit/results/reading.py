"""Reading the records that lie in a result's folder."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from hearkit.errors import ResultError

__all__ = ["read_record"]

R = TypeVar("R", bound=BaseModel)


def read_record(kind: type[R], path: Path, name: str, what: str) -> R:
    """Reads a record of format version 1.

    Args:
        kind: Of the record.
        path: Its file, or the folder that it is in.
        name: Of the file in a folder.
        what: It should be, for messages: ``a result``.

    Raises:
        ResultError: It isn't there, or isn't one that this version understands.
    """
    file = path / name if path.is_dir() else path
    try:
        return kind.model_validate_json(file.read_bytes())
    except OSError as error:
        raise ResultError(f"{file} can't be read: {error.strerror}.") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise ResultError(
            f"{file} is not {what} of format version 1: {where}: {first['msg']}."
        ) from error
