"""What fuzz tests share: mutations of valid files, and bounds on what reading one may take."""

from __future__ import annotations

import copy
import io
import json
import pickle
import resource
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydantic import BaseModel

from hearbench.errors import HearError

MOST_SECONDS = 20.0
"""Of computing: far more than any of these small inputs should take."""

_MOST_BYTES = 3 << 30
_STATUS = Path("/proc/self/statm")
_PAGE_BYTES = resource.getpagesize()

_NUMBERS = (
    *(0, -1, 1, 2**31, 2**63, -(2**63) - 1, 2**64, 10**400, -(10**400)),
    *(0.5, -0.0, 1e-320, 1e308, -1e308, float("nan"), float("inf"), float("-inf")),
)
_TEXTS = (
    *("", " ", ".", "..", "/", "../../x", "/etc/passwd", "C:\\x", "a/b", "a\\b", "a\0b", "nul"),
    *(
        "\ud800",
        "\u202e",
        "\ufeff",
        "٣",
        "²",
        "1" * 5000,
        "x" * 70_000,
        "=1+1",
        "<script>",
        "{{1}}",
    ),
    *("NaN", "Infinity", "-Infinity", "true", "null", "1e999", "\x1b[2J", "\r\n", '"', "'", "%00"),
)

numbers = st.sampled_from(_NUMBERS) | st.integers() | st.floats()
texts = st.sampled_from(_TEXTS) | st.text(max_size=20)
scalars = st.none() | st.booleans() | numbers | texts
json_values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
"""Anything that Python's JSON can write, which is more than JSON can hold."""


def fuzzed(test: Callable[..., None]) -> Callable[..., None]:
    """A property with as many examples as this run takes; above ``given``."""
    return settings.get_profile("security")(test)


def fuzzed_less(test: Callable[..., None]) -> Callable[..., None]:
    """The same for one whose examples take long."""
    usual = settings.get_profile("security")
    return settings(usual, max_examples=max(5, usual.max_examples // 5))(test)


@contextmanager
def bounded() -> Iterator[None]:
    """Fails where the block takes long, or more memory than a small input may."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    used_bytes = int(_STATUS.read_text().split()[0]) * _PAGE_BYTES if _STATUS.is_file() else 0
    if used_bytes:
        resource.setrlimit(resource.RLIMIT_AS, (used_bytes + _MOST_BYTES, before[1]))
    begin = time.process_time()  # which doesn't go on while others have the processor
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
    assert time.process_time() - begin < MOST_SECONDS


def value_or_error(function: Callable[[], Any]) -> Any:
    """What a function gives, or the error that hearbench raises on purpose; all else fails."""
    with bounded():
        try:
            value = function()
        except HearError as error:
            found = error
        else:
            return value
    assert str(found).strip()
    return found


@st.composite
def mutated_bytes(draw: st.DrawFn, data: bytes) -> bytes:
    """Bytes with a few places changed, cut out, doubled or inserted; or others altogether."""
    if draw(st.integers(0, 19)) == 0:
        return draw(st.binary(max_size=200))
    changed = bytearray(data)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(0, len(changed) - 1)))
        length = draw(st.integers(1, 16))
        what = draw(st.sampled_from(("set", "flip", "cut", "drop", "double", "insert")))
        if what == "set":
            changed[at : at + 4] = draw(
                st.sampled_from((b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x01"))
            )
        elif what == "flip" and changed:
            changed[at] ^= 1 << draw(st.integers(0, 7))
        elif what == "cut":
            del changed[at:]
        elif what == "drop":
            del changed[at : at + length]
        elif what == "double":
            changed[at:at] = changed[at : at + length]
        else:
            changed[at:at] = draw(st.binary(max_size=length))
    return bytes(changed)


def _places(value: Any, place: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [place]
    if isinstance(value, dict):
        for key, item in value.items():
            found += _places(item, (*place, key))
    elif isinstance(value, list):
        for i, item in enumerate(value[:5]):
            found += _places(item, (*place, i))
    return found


@st.composite
def mutated_value(draw: st.DrawFn, value: Any) -> Any:
    """A JSON value of which some entries are others, are missing, or are new."""
    changed = copy.deepcopy(value)
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.sampled_from(_places(changed)))
        if not place:
            if draw(st.integers(0, 9)) == 0:
                return draw(json_values)
            if isinstance(changed, dict):
                changed[draw(texts)] = draw(json_values)
            continue
        holder = changed
        for key in place[:-1]:
            holder = holder[key]
        what = draw(st.sampled_from(("set", "number", "text", "remove", "double", "rename")))
        if what == "remove":
            del holder[place[-1]]
        elif what == "double" and isinstance(holder, list):
            holder.append(copy.deepcopy(holder[place[-1]]))
        elif what == "rename" and isinstance(holder, dict):
            holder[draw(texts)] = holder.pop(place[-1])
        else:
            of = {"number": numbers, "text": texts}.get(what, json_values)
            holder[place[-1]] = draw(of)
    return changed


def written(value: Any) -> bytes:
    """A value as Python writes JSON, with NaN and lone surrogates where there are some."""
    return json.dumps(value).encode("utf-8", "surrogatepass")


def mutated_json(value: Any) -> st.SearchStrategy[bytes]:
    """The bytes of a JSON file: its value changed, its bytes changed, or very deep."""
    deep = st.sampled_from((b"[" * 100_000, b'{"a":' * 100_000, b"[" * 900 + b"]" * 900))
    values = mutated_value(value).map(written)
    return st.one_of(values, values, values, mutated_bytes(written(value)), deep)


def files_below(folder: Path) -> set[str]:
    """All that is below a folder, by its path from there."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def example_of(kind: type[BaseModel]) -> Any:
    """A JSON value that a record takes, or nearly: made from its schema, smallest things first."""
    schema = kind.model_json_schema()
    return _of_schema(schema, schema.get("$defs", {}))


def _of_schema(schema: dict[str, Any], known: dict[str, Any]) -> Any:
    if "$ref" in schema:
        return _of_schema(known[schema["$ref"].rpartition("/")[2]], known)
    for key in ("anyOf", "oneOf", "allOf"):
        if key in schema:
            return _of_schema(schema[key][0], known)
    if "const" in schema or "enum" in schema:
        return schema.get("const", schema.get("enum", [None])[0])
    what = schema.get("type")
    if what == "object":
        if "properties" in schema:
            return {key: _of_schema(own, known) for key, own in schema["properties"].items()}
        more = schema.get("additionalProperties")
        return {"test": _of_schema(more, known) if isinstance(more, dict) else 1}
    if what == "array":
        items = schema.get("prefixItems") or [schema.get("items", {})]
        return [_of_schema(item, known) for item in items]
    return {"string": "a", "integer": 1, "number": 0.5, "boolean": True}.get(str(what))


class _Trap:
    """What runs if anybody unpickles it."""

    sprung: list[str] = []  # noqa: RUF012

    def __reduce__(self) -> tuple[Callable[..., None], tuple[str]]:
        return _spring, ("sprung",)


def _spring(text: str) -> None:
    _Trap.sprung.append(text)


def _npy(array: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    return file.getvalue()


def _header(text: str, version: int = 1) -> bytes:
    length = len(text).to_bytes(2 if version == 1 else 4, "little")
    return b"\x93NUMPY" + bytes([version, 0]) + length + text.encode("latin-1") + b"\0" * 64


def _odd_arrays() -> list[bytes]:
    traps = np.array([_Trap()], dtype=object)
    zipped = io.BytesIO()
    np.savez(zipped, a=np.zeros(2), b=traps)
    shapes = ("(99999999999,)", "(-1,)", "(1, 2, 3)", "()", "(True,)", "('a',)", "(1e9,)", "1")
    kinds = ("'<f4'", "'O'", "'|O'", "[('a', 'O')]", "'<U10'", "'<M8[s]'", "'>f8'", "'V4'", "1")
    return [
        *(_npy(traps), _npy(np.array([_Trap(), 1.0], dtype=object)), zipped.getvalue()),
        pickle.dumps(_Trap()),
        *(_npy(np.full(4, value)) for value in (np.nan, np.inf, -1.0, 1e308, 1e-320)),
        *(_npy(np.zeros((2, 3), kind)) for kind in ("float16", "int64", "bool", "complex64", "S3")),
        *(
            _header(f"{{'descr': {kind}, 'fortran_order': False, 'shape': {shape}, }}\n")
            for kind in kinds
            for shape in shapes
        ),
        _header("(" * 5000 + ")" * 5000),
        _header("{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }\n", version=9),
        b"",
    ]


@st.composite
def mutated_array(draw: st.DrawFn, array: NDArray[Any]) -> bytes:
    """The bytes of a ``.npy`` file with numbers, shape, type or bytes changed; some are pickles."""
    what = draw(st.sampled_from(("numbers", "shape", "type", "bytes", "odd")))
    if what == "odd":
        return draw(st.sampled_from(_odd_arrays()))
    if what == "bytes":
        return draw(mutated_bytes(_npy(array)))
    changed = array.copy()
    if what == "shape":
        changed = draw(
            st.sampled_from((changed[:-1], changed[::-1], changed.T, changed.ravel(), changed[:0]))
        )
    elif what == "type":
        changed = changed.astype(draw(st.sampled_from(("f2", "f4", ">f8", "i8", "u1", "?", "c8"))))
    elif changed.size:
        for _ in range(draw(st.integers(1, 3))):
            at = draw(st.integers(0, changed.size - 1))
            values = (np.nan, np.inf, -np.inf, 1e308, 1e-300, -1.0, 0.0, 0.5, 2.0**62)
            with np.errstate(all="ignore"), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                changed.flat[at] = np.float64(draw(st.sampled_from(values))).astype(changed.dtype)
    return _npy(changed)


def no_trap_has_sprung() -> bool:
    """Whether nothing was unpickled."""
    return not _Trap.sprung
