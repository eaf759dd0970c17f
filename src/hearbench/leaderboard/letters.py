"""Finds letters that can't be seen, and look-alikes of other alphabets."""

from __future__ import annotations

import unicodedata

__all__ = ["invisible_letter", "is_invisible", "look", "mixed_scripts"]

# Default_Ignorable_Code_Point of the Unicode Character Database, as far as the category doesn't
# say so; the ranges are reserved for good.
_IGNORABLE = (
    *((0x034F, 0x034F), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F), (0x2065, 0x2065)),
    *((0x3164, 0x3164), (0xFE00, 0xFE0F), (0xFFA0, 0xFFA0), (0xFFF0, 0xFFF8)),
    (0xE0000, 0xE0FFF),
)
# Letters and symbols whose picture is empty.
_BLANK = (0x2800, 0x1D159)
# Alphabets of which one stands beside another as a matter of course.
_TOGETHER = {"HIRAGANA": "CJK", "KATAKANA": "CJK", "HANGUL": "CJK", "BOPOMOFO": "CJK"}
_WIDE = ("FULLWIDTH", "HALFWIDTH")
# More marks than that on one letter climb into the lines above.
_MOST_MARKS = 2
# Small letters and signs, and what they are taken for at a glance.
_ALIKE = dict(
    zip(
        "авекмнорстухіјѕԁһԛԝґӏαβεηικνορτυχζօոսցհ01|iıɑɡ",
        "abekmhopctyxljsdhqwrlabenlknoptuxzonughollllag",
        strict=True,
    )
)


def is_invisible(letter: str) -> bool:
    """Whether a letter can't be seen, or moves what stands around it; a space is seen."""
    code = ord(letter)
    return (
        (unicodedata.category(letter)[0] in "CZ" and letter != " ")
        or any(low <= code <= high for low, high in _IGNORABLE)
        or code in _BLANK
    )


def invisible_letter(text: str, *, joining: bool = False) -> str | None:
    """The first letter that can't be seen, or that moves what stands around it; None for none.

    Args:
        text: Any text, without its lines' ends.
        joining: Whether what joins or parts the letters of some languages, and what chooses the
            look of an emoji, is fine, as in running text.
    """
    marks = 0
    for i, letter in enumerate(text):
        if joining and letter in "\u200c\u200d\ufe0e\ufe0f":
            continue
        marks = marks + 1 if unicodedata.category(letter) in ("Mn", "Me") else 0
        # A mark at the beginning stands on what is before the text.
        if is_invisible(letter) or marks > _MOST_MARKS or (marks and not i):
            return letter
    return None


def mixed_scripts(text: str) -> tuple[str, ...]:
    """The alphabets of a text, if a word has letters of several; empty if none has."""
    for word in text.split():
        found = dict.fromkeys(_script(letter) for letter in word if letter.isalpha())
        if len(found) > 1:
            return tuple(found)
    return ()


def look(text: str) -> str:
    """The key under which texts that look alike at a glance are the same."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return "".join(_ALIKE.get(letter, letter) for letter in folded if letter.isalnum())


def _script(letter: str) -> str:
    words = unicodedata.name(letter, "UNKNOWN").split()
    first = words[1] if words[0] in _WIDE and len(words) > 1 else words[0]
    first = _TOGETHER.get(first, first)
    return first.title()
