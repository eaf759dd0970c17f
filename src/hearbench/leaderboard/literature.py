"""HEAR scores that papers and READMEs report: with what code, and where each can be read.

They stand in ``literature.csv``, a line per score, with its value as the source has it. They are
shown beside a leaderboard's rows and never ranked with them: other code, seeds and tasks give other
scores.
"""

from __future__ import annotations

import csv
import functools
import io
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from importlib.resources import files
from typing import Literal

from pydantic import ValidationError, field_validator

from hearbench.errors import ResultError, UnknownNameError
from hearbench.leaderboard.cells import model_problem, url_problem
from hearbench.leaderboard.columns import find_column
from hearbench.leaderboard.letters import invisible_letter
from hearbench.records import Record
from hearbench.tasks.subsets import task_subsets

__all__ = [
    "LiteratureRow",
    "LiteratureScore",
    "literature",
    "literature_rows",
    "literature_text",
    "read_literature",
    "score_text",
]

_FILE = "literature.csv"
_COLUMNS = (
    "model", "task", "value", "unit", "metric", "plus_minus", "plus_minus_of", "year", "code",
    "subset", "seeds", "source", "place", "note",
)  # fmt: skip
_WHOLE = "all"
_MOST_DIGITS = 4

# It looks through the installed packages, and each of few names comes many times.
_find_column = functools.cache(find_column)
# Powers of ten; with them a number keeps its last zeros.
_UNITS = {"percent": -2, "share": 0}


class LiteratureScore(Record):
    """A model's score on a task, as a paper or README has it.

    Attributes:
        model: The model by the source's name for it.
        column: Column of the leaderboard whose task it is.
        score: In 0 to 1, with the digits of the source.
        metric: What kind of score it is, where the source says so.
        plus_minus: What follows ± in the source, in 0 to 1.
        plus_minus_of: What that is.
        year: Year of the paper, or of the README's last change.
        code: Protocol of the code that made it: the official one, a fork's, or ``unknown``.
        subset: Named subset that the source reports; ``all``, or empty for another choice of tasks.
        seeds: How many seeds it is a mean over; None where the source doesn't say.
        source: Web address.
        place: Where in the source.
        note: What else a reader should know.
    """

    model: str
    column: str
    score: Decimal
    metric: str
    plus_minus: Decimal | None
    plus_minus_of: Literal["", "95% interval over seeds", "standard deviation over folds"]
    year: int
    code: Literal["hear2021", "mwmae", "listen", "wavjepa", "encodecmae", "unknown"]
    subset: str
    seeds: int | None
    source: str
    place: str
    note: str

    @field_validator("column")
    @classmethod
    def _known_column(cls, text: str) -> str:
        try:
            return _find_column(text)
        except UnknownNameError as error:
            raise ValueError(str(error)) from error

    @field_validator("score", "plus_minus")
    @classmethod
    def _is_share(cls, value: Decimal | None) -> Decimal | None:
        if value is not None and not 0 <= value <= 1:
            raise ValueError(f"{value} isn't in 0 to 1; the unit is percent or share")
        return value

    @field_validator("model")
    @classmethod
    def _is_named(cls, text: str) -> str:
        return _without(model_problem(text), text)

    @field_validator("source")
    @classmethod
    def _is_address(cls, text: str) -> str:
        return _without(url_problem(text) if text else "it has no address", text)

    @field_validator("subset")
    @classmethod
    def _known_subset(cls, text: str) -> str:
        known = text in ("", _WHOLE) or text in task_subsets()
        return _without(None if known else f"there is no subset {text!r}", text)

    @field_validator("place", "note", "metric")
    @classmethod
    def _can_be_seen(cls, text: str) -> str:
        return _without("it has a hidden character" if invisible_letter(text) else None, text)


def _without(problem: str | None, text: str) -> str:
    if problem:
        raise ValueError(problem)
    return text


@dataclass(frozen=True)
class LiteratureRow:
    """The scores of a model in one table of a source.

    Attributes:
        scores: By column, in the order of the source.
    """

    scores: dict[str, LiteratureScore]

    @property
    def first(self) -> LiteratureScore:
        """One of the scores, for what they have in common: model, source, place, code, year."""
        return next(iter(self.scores.values()))


def literature_text() -> str:
    """The CSV that comes with the package."""
    return (files("hearbench.leaderboard") / _FILE).read_text(encoding="utf-8")


@functools.cache
def literature() -> tuple[LiteratureScore, ...]:
    """The scores in `literature_text`; nothing is asked of the network."""
    return read_literature(literature_text(), _FILE)


def read_literature(text: str, where: str) -> tuple[LiteratureScore, ...]:
    """Reads scores from the text of a CSV, and checks each.

    Args:
        where: Name of the text in messages.

    Raises:
        ResultError: A line is wrong: an unknown task, code or subset, no address, a score outside
            0 to 1, or a score that is there twice. The message names the line.
    """
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    found: dict[tuple[str, ...], LiteratureScore] = {}
    try:
        for cells in reader:
            score = _score(cells)
            key = (score.model, score.column, score.source, score.place)
            if key in found:
                raise ValueError(f"{score.model} has a score on {score.column} from there already")
            found[key] = score
    except ValidationError as error:
        first = error.errors()[0]
        what = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        raise ResultError(f"{where}, line {reader.line_num}: {what}.") from error
    except (csv.Error, ValueError) as error:
        raise ResultError(f"{where}, line {reader.line_num}: {error}.") from error
    return tuple(found.values())


def _score(cells: dict[str, str]) -> LiteratureScore:
    """A line's score; here alone percent become shares."""
    if set(cells) != set(_COLUMNS) or None in cells.values():
        raise ValueError(f"it hasn't the cells {', '.join(_COLUMNS)}")
    facts: dict[str, object] = {
        name: cells[name] for name in LiteratureScore.model_fields if name in cells
    }
    unit, deviation = cells["unit"], cells["plus_minus"]
    if unit not in _UNITS:
        raise ValueError(f"the unit {unit!r} is neither {' nor '.join(_UNITS)}")
    return LiteratureScore.model_validate(
        facts
        | {
            "column": cells["task"],
            "score": _number(cells["value"]).scaleb(_UNITS[unit]),
            "plus_minus": _number(deviation).scaleb(_UNITS[unit]) if deviation else None,
            "seeds": cells["seeds"] or None,
        }
    )


def _number(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation as error:
        raise ValueError(f"{text!r} is no number") from error


def score_text(score: Decimal) -> str:
    """A score with the digits of its source, but no more than four."""
    digits = -int(score.as_tuple().exponent)
    return f"{score:.{min(digits, _MOST_DIGITS)}f}"


def literature_rows(scores: Iterable[LiteratureScore]) -> tuple[LiteratureRow, ...]:
    """Gathers the scores of each model, source by source as they come; nothing is ranked."""
    found: dict[tuple[str, ...], dict[str, LiteratureScore]] = {}
    for score in scores:
        key = (score.source, score.place, score.model)
        found.setdefault(key, {})[score.column] = score
    return tuple(map(LiteratureRow, found.values()))
