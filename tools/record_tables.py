"""Fills the tables of docs/formats.md from the records that are written to disk.

A table stands between ``<!-- record: module.Class -->`` and ``<!-- end -->``: a row for every key,
with its type in JSON, whether it must be there, and what the class's docstring says of it.
``--check`` writes nothing, and ends with exit code 1 if the page isn't what would be written.
"""

from __future__ import annotations

import importlib
import inspect
import json
import re
import sys
import types
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import pages
from pydantic import BaseModel

from hearbench.embeddings.manifest import ModelRecord
from hearbench.models.model import Model
from hearbench.results.record import Number

__all__ = ["PAGE", "fields", "filled", "records"]

PAGE = Path(__file__).resolve().parents[1] / "docs/formats.md"

_TABLE = re.compile(r"<!-- record: ([\w.]+) -->\n.*?<!-- end -->", re.DOTALL)
_ENTRY = re.compile(r"^ {4}(\w+): ", re.MULTILINE)
_PLAIN = {str: "text", int: "integer", float: "number", bool: "true or false", type(None): "null"}
_IN_JSON = {"None": "null", "True": "true", "False": "false"}
_WORDS = re.compile(rf"\b(?:{'|'.join(_IN_JSON)})\b")
# What isn't a record of its own but a value in the form of the standard library.
_VALUES = {"date": "date", "datetime": "time", "Path": "text", "Any": "anything"}


def filled(page: str) -> str:
    """The page with the tables as they have to be."""

    def table(found: re.Match[str]) -> str:
        rows = "\n".join(_rows(_class(found[1])))
        return f"<!-- record: {found[1]} -->\n\n{rows}\n\n<!-- end -->"

    return _TABLE.sub(table, page)


def records(page: str) -> list[type[BaseModel]]:
    """The classes whose tables are on the page, in its order."""
    return [_class(found[1]) for found in _TABLE.finditer(page)]


def fields(page: str, kind: type[BaseModel]) -> list[str]:
    """The keys that the page has for a record, in its order."""
    for found in _TABLE.finditer(page):
        if _class(found[1]) is kind:
            return re.findall(r"^\| `(\w+)`", found[0], re.MULTILINE)
    return []


def _class(name: str) -> type[BaseModel]:
    module, _, own = name.rpartition(".")
    found = getattr(importlib.import_module(module), own)
    if not (isinstance(found, type) and issubclass(found, BaseModel)):
        raise TypeError(f"{name} is no record")
    return found


# Whose attributes a record has, and whose docstring describes them.
_DESCRIBED_BY: Mapping[type[BaseModel], type] = {ModelRecord: Model}


def _rows(kind: type[BaseModel]) -> Iterator[str]:
    hints = typing.get_type_hints(kind, include_extras=True)
    said = _attributes(kind)
    yield "| key | type | meaning |"
    yield "| --- | --- | --- |"
    for name, field in kind.model_fields.items():
        needed = "" if field.is_required() else ", optional"
        meaning = said.get(name, "").replace("|", r"\|")
        yield f"| `{name}` | {_shown(hints[name])}{needed} | {meaning} |"


def _attributes(kind: type[BaseModel]) -> Mapping[str, str]:
    """What docstrings say of each key, those of the classes above included."""
    found: dict[str, str] = {}
    for each in reversed((*kind.__mro__, _DESCRIBED_BY.get(kind, object))):
        text = inspect.cleandoc(each.__doc__ or "").partition("Attributes:\n")[2]
        parts = _ENTRY.split(f"\n{text}".partition("\n\n")[0])
        for name, meaning in zip(parts[1::2], parts[2::2], strict=True):
            text = " ".join(meaning.split()).replace("``", "`")
            found[name] = _WORDS.sub(lambda word: _IN_JSON[word[0]], text)
    return found


def _shown(kind: Any) -> str:
    """A type as a reader of JSON knows it."""
    if kind == Number:
        return "number or NaN"
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        return _shown(arguments[0])
    if origin is Literal:
        return " or ".join(f"`{json.dumps(v) if v is False else v}`" for v in arguments)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(dict.fromkeys(_shown(each) for each in arguments))
    if origin in (tuple, list):
        return f"list of {_shown(arguments[0])}"
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return f"object: {_shown(arguments[0])} to {_shown(arguments[1])}"
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return f"[{kind.__name__}](#{kind.__name__.lower()})"
    return _PLAIN.get(kind) or _VALUES[getattr(kind, "__name__", str(kind).rpartition(".")[2])]


def main() -> int:
    """Writes the page, or says whether it is up to date."""
    return pages.run(__file__, PAGE, filled, __doc__ or "")


if __name__ == "__main__":
    sys.exit(main())
