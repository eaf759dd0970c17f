"""Records: what is written to JSON files, and how it is read again."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PlainSerializer,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
)

from hearbench.errors import ResultError
from hearbench.files import SYNTAX_ERRORS, json_safe
from hearbench.strict_json import strict_json

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["GrownRecord", "Number", "Record", "StoredRecord", "read_record"]

# A result with a hundred folds and a thousand grid points has a tenth of it.
_MOST_BYTES = 64 << 20

Number = Annotated[
    float,
    BeforeValidator(lambda value: math.nan if value is None else value),
    PlainSerializer(json_safe, return_type=Any, when_used="json"),
]
"""A float that survives JSON: NaN as null, infinities as strings."""

R = TypeVar("R", bound=BaseModel)


class Record(BaseModel):
    """A value that is kept in JSON, can't be changed, and refuses keys that it doesn't know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class GrownRecord(Record):
    """A record that got further fields after its first version.

    They are left out of JSON where they hold their default, as earlier versions refuse keys that
    they don't know, and digests over such a record stay what they were.

    Attributes:
        LATER: Names of these fields.
    """

    LATER: ClassVar[tuple[str, ...]] = ()

    @model_serializer(mode="wrap")
    def _without_later_defaults(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        written: dict[str, Any] = write(self)
        for name in self.LATER:
            if getattr(self, name) == type(self).model_fields[name].default:
                written.pop(name, None)
        return written


class StoredRecord(Record):
    """A record that is a file of its own in a result's folder.

    Attributes:
        WHAT: What such a record is, for messages: ``a result``.
    """

    FILE: ClassVar[str]
    WHAT: ClassVar[str]

    @classmethod
    def read(cls, path: Path) -> Self:
        """Reads the record from its file, or from the folder that the file is in.

        Raises:
            ResultError: The file can't be read, or isn't such a record of a version that this
                one understands.
        """
        return read_record(cls, path, cls.FILE, cls.WHAT)

    def same_as(self, other: Self) -> bool:
        """Whether two records say the same of the same model.

        Time and memory aren't compared, nor is the model's fingerprint, which rounding changes.
        """
        ours, theirs = (
            one.model_dump_json(exclude={"resources": True, "model": {"fingerprint"}})
            for one in (self, other)
        )
        return ours == theirs


def read_record(kind: type[R], path: Path, name: str, what: str) -> R:
    """Reads a record of format version 1.

    Args:
        path: The record's file, or the folder that it is in.
        name: The file's name in a folder.
        what: What the file should be, for messages: ``a result``.

    Raises:
        ResultError: The file can't be read, isn't a record that this version understands, or is
            far larger than any could be.
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
