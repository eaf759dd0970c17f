"""Texts from anywhere, made harmless for a terminal."""

from __future__ import annotations

import re

__all__ = ["printable"]

# Codes that would colour, move or clear somebody's terminal, and characters that turn the text
# around them, or break its lines elsewhere than everybody thinks.
_CONTROL = re.compile(
    "\x1b\\[[0-?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f-\x9f"
    "\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]"
)
_HALF = re.compile("[\ud800-\udfff]")  # of a character, which no terminal can be sent


def printable(text: str) -> str:
    """A text without the characters that would steer a terminal; its lines stay."""
    return _HALF.sub("\N{REPLACEMENT CHARACTER}", _CONTROL.sub("", text))
