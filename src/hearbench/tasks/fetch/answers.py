"""What a server's answer says, and its body as it was sent."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from hearbench.tasks.fetch.remote import reason_of

if TYPE_CHECKING:
    import requests

__all__ = ["BrokenError", "Span", "blocks", "is_chunked", "length_of", "missed_whole", "span_of"]

_BLOCK_BYTES = 1 << 16
# Of as many digits as a length can have; Python refuses to read thousands of them.
_LENGTH = re.compile(r"\d{1,18}", re.ASCII)
_CONTENT_RANGE = re.compile(r"bytes\s+(\d{1,18})-(\d{1,18})/(\d{1,18}|\*)", re.ASCII)
_RANGE_MISSED = re.compile(r"bytes\s+\*/(\d{1,18})", re.ASCII)


class BrokenError(Exception):
    """A body that ended before its end.

    Attributes:
        slow: Whether it was given up because hardly anything came.
    """

    def __init__(self, why: str, *, slow: bool = False) -> None:
        super().__init__(why)
        self.slow = slow


class Span(NamedTuple):
    """Which bytes of a file an answer holds: from `start` up to `end`, of `whole` if known."""

    start: int
    end: int
    whole: int | None


def span_of(response: requests.Response) -> Span | None:
    """What the Content-Range of a part says; None where it says nothing of use."""
    found = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", "").strip())
    if found is None:
        return None
    whole = None if found[3] == "*" else int(found[3])
    return Span(int(found[1]), int(found[2]) + 1, whole)


def missed_whole(response: requests.Response) -> int | None:
    """The length of the file by an answer that the wanted part lies beyond its end."""
    found = _RANGE_MISSED.fullmatch(response.headers.get("Content-Range", "").strip())
    return int(found[1]) if found else None


def length_of(response: requests.Response) -> int | None:
    """The length of the body in bytes, if it was said."""
    stated = response.headers.get("Content-Length", "").strip()
    return int(stated) if _LENGTH.fullmatch(stated) and not is_chunked(response) else None


def is_chunked(response: requests.Response) -> bool:
    """Whether the body comes in chunks, of which the last one is marked."""
    return "chunked" in response.headers.get("Transfer-Encoding", "").lower()


def blocks(response: requests.Response) -> Iterator[bytes]:
    """The body as it was sent, not decoded.

    Raises:
        BrokenError: The connection broke, or fell silent for too long.
    """
    from urllib3.exceptions import HTTPError

    try:
        # read1 gives what has come; read would lose it if the rest of a block never does.
        while block := response.raw.read1(_BLOCK_BYTES, decode_content=False):
            yield block
    except (HTTPError, OSError) as error:
        raise BrokenError(reason_of(error)) from error
