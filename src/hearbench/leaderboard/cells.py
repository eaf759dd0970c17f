"""Checks of the table's cells, each of which says what is wrong, or returns None.

The table goes through spreadsheets, web pages and terminals, so texts that any of them would
take for something else are refused here.
"""

from __future__ import annotations

import datetime as dt
import re
import unicodedata
from urllib.parse import urlsplit

from hearbench.leaderboard.letters import invisible_letter, is_invisible
from hearbench.leaderboard.table import OFFICIAL_ROUND

__all__ = [
    "date_problem",
    "model_problem",
    "name_key",
    "score_of",
    "score_problem",
    "text_problem",
    "url_problem",
]

_NUMBER = re.compile(r"(\d+(\.\d*)?|\.\d+)([eE][-+]?\d{1,3})?", re.ASCII)
_SIGNED = re.compile(r"[-+]?" + _NUMBER.pattern, re.ASCII)
_DATE = re.compile(r"(\d{4})-(\d{2})-(\d{2})", re.ASCII)
_PARTING = {",": "a comma", '"': "a double quote", "\n": "a line's end", "\r": "a line's end"}
_LONGEST = 500
# What a spreadsheet takes for the beginning of a formula.
_FORMULA = ("=", "+", "-", "@")


def name_key(model: str) -> str:
    """The key under which names that no one would tell apart are the same.

    It has the letters, whatever their case and width, without spaces and what can't be seen.
    """
    folded = unicodedata.normalize("NFKC", model).casefold()
    return "".join(letter for letter in folded if letter != " " and not is_invisible(letter))


def text_problem(text: str) -> str | None:
    """Says what keeps a text out of a cell."""
    for letter in text:
        if letter in _PARTING:
            return f"{_shown(text)} has {_PARTING[letter]}, which a cell can't hold; take it out"
    hidden = invisible_letter(text)
    if hidden is not None:
        return (
            f"{_shown(text)} has a character that can't be seen (U+{ord(hidden):04X}), or that "
            "hides others; take it out"
        )
    if text != text.strip():
        return f"{_shown(text)} begins or ends with a space; take it away"
    if len(text) > _LONGEST:
        return f"{_shown(text)} has {len(text)} characters; {_LONGEST} are the most"
    return None


def model_problem(text: str) -> str | None:
    """Says what is wrong with a model's name."""
    if not text:
        return "the name is missing; every row has one"
    if text.startswith(_FORMULA):
        return (
            f"{_shown(text)} begins with {text[0]!r}, which a spreadsheet would take for a "
            "formula; begin it with a letter"
        )
    if not name_key(text):
        return f"{_shown(text)} has nothing to be read; give a name"
    return None


def url_problem(text: str) -> str | None:
    """Says what is wrong with a URL, which may be empty."""
    if not text:
        return None
    remedy = "give a whole address, as https://example.org/model"
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        return f"{_shown(text)} is no URL ({error}); {remedy}"
    if parts.scheme.lower() not in ("http", "https"):
        return f"{_shown(text)} doesn't begin with http:// or https://; {remedy}"
    if not host:
        return f"{_shown(text)} names no host; {remedy}"
    if " " in text or "\\" in text:
        return f"{_shown(text)} has a space or a backslash; {remedy}"
    if parts.username is not None or parts.password is not None:
        return f"{_shown(text)} has a user name before the host; {remedy}"
    return None


def date_problem(text: str) -> str | None:
    """Says what is wrong with a date of submission, which may be empty."""
    if text in ("", OFFICIAL_ROUND):
        return None
    found = _DATE.fullmatch(text)
    if found:
        try:
            dt.date(*map(int, found.groups()))
        except ValueError as error:
            return f"{_shown(text)} is no date: {error}"
        return None
    return f"{_shown(text)} is neither {OFFICIAL_ROUND!r} nor a date as 2023-09-26"


def score_problem(text: str) -> str | None:
    """Says what is wrong with a score, which may be empty."""
    if not text:
        return None
    if _NUMBER.fullmatch(text) and 0 <= float(text) <= 1:
        return None
    if text.strip().lower().lstrip("+-") in ("nan", "inf", "infinity", "na", "n/a", "none", "null"):
        return f"{_shown(text)} is no score; leave the cell of a missing one empty"
    if text.strip().endswith("%") or (_SIGNED.fullmatch(text) and 1 < float(text) <= 100):
        return f"{_shown(text)} isn't in 0 to 1; if it is in percent, divide it by 100"
    if _SIGNED.fullmatch(text):
        return f"{_shown(text)} isn't in 0 to 1; scores are fractions"
    return f"{_shown(text)} is no number; scores are fractions as 0.85, and a missing one is empty"


def score_of(text: str) -> float:
    """Reads the score of a cell that has passed `score_problem`."""
    return float(text)


def _shown(text: str) -> str:
    shown = repr(text if len(text) <= 60 else f"{text[:57]}...")
    return "".join(f"\\u{ord(c):04x}" if is_invisible(c) else c for c in shown)
