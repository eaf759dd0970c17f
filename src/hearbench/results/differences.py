"""In what two values of JSON differ, or two sets of scores."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from hearbench.results.aggregate import same_number
from hearbench.results.record import PartSummary, ScoreSummary

__all__ = ["content_difference", "score_differences"]


def score_differences(
    said: Mapping[str, ScoreSummary], found: Mapping[str, ScoreSummary]
) -> list[str]:
    """In which numbers two sets of scores differ by more than rounding, one line for each score."""
    problems = []
    for name in said:
        if name not in found:
            problems.append(f"{name} is no score of the predictions")
            continue
        if said[name].maximise != found[name].maximise:
            problems.append(f"{name}: whether higher is better is stated wrongly")
        for what, a, b in _pairs(said[name], found[name]):
            if not same_number(a, b):
                problems.append(f"{name}, {what}: {_text(a)} is stated, {_text(b)} is right")
                break
    return problems


def content_difference(
    stated: Any, right: Any, where: str = "", *, close: float = 1e-9
) -> str | None:
    """The place of the first difference between two values of JSON, rounding aside.

    Args:
        stated: The one.
        right: The other.
        where: Name of the place of both values.
        close: By how much two numbers may differ, as a share of the larger one or, if that is less
            than 1, in all.

    Returns:
        None if there is none.
    """
    if isinstance(right, Mapping) and isinstance(stated, Mapping):
        for key in dict.fromkeys([*right, *stated]):
            place = f"{where}.{key}".lstrip(".")
            if key not in right or key not in stated:
                return place
            found = content_difference(stated[key], right[key], place, close=close)
            if found is not None:
                return found
        return None
    if isinstance(right, list | tuple) and isinstance(stated, list | tuple):
        if len(right) != len(stated):
            return where
        pairs = enumerate(zip(stated, right, strict=True))
        differences = (content_difference(a, b, f"{where}.{i}", close=close) for i, (a, b) in pairs)
        return next((each for each in differences if each is not None), None)
    kinds = {type(value) for value in (stated, right)}
    if kinds <= {int, float}:
        a, b = float(stated), float(right)
        return None if math.isclose(a, b, rel_tol=close, abs_tol=close) else where
    return None if stated == right and len(kinds) == 1 else where


def _pairs(said: ScoreSummary, found: ScoreSummary) -> list[tuple[str, float | None, float | None]]:
    pairs = _numbers("", said, found)
    pairs += [
        (f"{part}, mean", said.parts[part].mean, None) for part in said.parts.keys() - found.parts
    ]
    for part in found.parts:
        if part in said.parts:
            pairs += _numbers(f"{part}, ", said.parts[part], found.parts[part])
        else:
            pairs.append((f"{part}, mean", None, found.parts[part].mean))
    return pairs


def _numbers(
    prefix: str, said: PartSummary, found: PartSummary
) -> list[tuple[str, float | None, float | None]]:
    splits = dict.fromkeys([*found.per_fold, *said.per_fold])
    return [
        *(
            (f"{prefix}{split}", said.per_fold.get(split), found.per_fold.get(split))
            for split in splits
        ),
        (f"{prefix}mean", said.mean, found.mean),
        (f"{prefix}standard deviation", said.std, found.std),
    ]


def _text(value: float | None) -> str:
    return "nothing" if value is None else f"{value:.9g}"
