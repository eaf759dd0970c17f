"""Reading the records that lie in a result's folder."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from hearbench.errors import ResultError
from hearbench.files import SYNTAX_ERRORS
from hearbench.strict_json import strict_json

__all__ = ["read_record"]

# A result with a hundred folds and a thousand grid points has a tenth of it.
_MOST_BYTES = 64 << 20

R = TypeVar("R", bound=BaseModel)


def read_record(kind: type[R], path: Path, name: str, what: str) -> R:
    """Reads a record of format version 1.

    Args:
        kind: Of the record.
        path: Its file, or the folder that it is in.
        name: Of the file in a folder.
        what: It should be, for messages: ``a result``.

    Raises:
        ResultError: It isn't there, isn't one that this version understands, or is far larger
            than any could be.
    """
    file = path / name if path.is_dir() else path
    try:
        with file.open("rb") as stream:
            # One byte more than there may be: the size that a file says it has can be another.
            content = stream.read(_MOST_BYTES + 1)
        if len(content) > _MOST_BYTES:
            raise ResultError(
                f"{file} is not {what}: it has more than {_MOST_BYTES >> 20} MiB. Look what "
                "wrote it there."
            )
        return kind.model_validate(strict_json(content))
    except OSError as error:
        raise ResultError(f"{file} can't be read: {error.strerror}.") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise ResultError(
            f"{file} is not {what} of format version 1: {where}: {first['msg']}."
        ) from error
    except SYNTAX_ERRORS as error:
        raise ResultError(
            f"{file} is not {what} of format version 1: the file is not valid JSON: {error}."
        ) from error
