"""JSON of strangers, which must mean the same to whoever reads it.

Python's reader takes the last of two equal keys, other readers the first; ``NaN``, ``Infinity`` and
``1e400`` are numbers to some and errors to others; half of a surrogate pair can't be written again.
None of that is in what hearbench writes.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from typing import Any

__all__ = ["strict_json"]

# As many digits as a 64-bit integer has.
_MOST_DIGITS = 20
_LONGEST = 60
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def strict_json(content: bytes) -> Any:
    """What a JSON text in UTF-8 says.

    Raises:
        ValueError: It isn't JSON, or has a key twice in one object, a number that isn't one or is
            larger than any float, an integer of more than 20 digits, or half a surrogate pair.
        RecursionError: It is nested too deeply.
    """
    text = content.decode("utf-8")
    value = json.loads(
        text,
        object_pairs_hook=_once,
        parse_constant=_no_number,
        parse_float=_finite,
        parse_int=_short,
    )
    if _SURROGATE.search(text):
        try:
            json.dumps(value, ensure_ascii=False).encode("utf-8")
        except UnicodeEncodeError as error:
            raise ValueError("a text in it has half of a surrogate pair") from error
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        (twice, _), *_ = Counter(key for key, _ in pairs).most_common(1)
        raise ValueError(f"the key {twice[:_LONGEST]!r} is twice in one object")
    return found


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is no number of JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:_LONGEST]} is larger than a number can be")
    return value


def _short(text: str) -> int:
    if len(text) > _MOST_DIGITS:
        raise ValueError(f"{text[:_LONGEST]} has more digits than an integer can have")
    return int(text)
