"""Reads files that anyone may have edited, and says what is wrong with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import numpy.typing as npt
from pydantic import TypeAdapter, ValidationError

from hearbench.errors import ResultError
from hearbench.files import SYNTAX_ERRORS, read_npy
from hearbench.strict_json import strict_json

__all__ = ["REMEDY", "read_array", "read_json"]

REMEDY = "Evaluate again, and leave the folder as it is."

_MOST_JSON_BYTES = 256 << 20

T = TypeVar("T")


def read_json(file: Path, kind: TypeAdapter[T]) -> T:
    """The content of a JSON file, which must be of a kind.

    Raises:
        ResultError: The file can't be read, isn't of that kind, or is larger than it can be.
    """
    try:
        if file.stat().st_size > _MOST_JSON_BYTES:
            raise ResultError(f"{file} is larger than it can be. {REMEDY}")
        return kind.validate_python(strict_json(file.read_bytes()))
    except OSError as error:
        raise ResultError(f"{file} can't be read: {error.strerror}. {REMEDY}", code="io") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise ResultError(f"{file}: {where}: {first['msg']}. {REMEDY}") from error
    except SYNTAX_ERRORS as error:
        raise ResultError(f"{file} is not valid JSON: {error}. {REMEDY}") from error


def read_array(file: Path) -> npt.NDArray[Any]:
    """An array of any shape and type, memory-mapped.

    Raises:
        ResultError: The file can't be read, or isn't an array.
    """
    try:
        return read_npy(file, mmap=True)
    except OSError as error:
        raise ResultError(f"{file} can't be read: {error.strerror}. {REMEDY}", code="io") from error
    except ValueError as error:
        raise ResultError(f"{file} is not an array: {error}. {REMEDY}") from error
