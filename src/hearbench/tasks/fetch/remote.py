"""Remote files, the patience with their servers, and the errors of transfers."""

from __future__ import annotations

import random
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from urllib.parse import quote, urlsplit

__all__ = [
    "PassingError",
    "RemoteFile",
    "RetryPolicy",
    "StoppedError",
    "TransferError",
    "is_bad_certificate",
    "is_http",
    "place_of",
    "reason_of",
    "retry_after_s",
    "shown",
]

_LONGEST_SHOWN = 200
_DEEPEST = 10  # how far an error's causes are followed; they are three or four deep


@dataclass(frozen=True)
class RemoteFile:
    """A file that can be fetched over HTTP.

    Attributes:
        name: Its name in the folder it goes to, without a path.
        url: Where it is, http or https.
        md5: 32 hexadecimal digits, if known.
        size_bytes: Its length, if known.
    """

    name: str
    url: str
    md5: str | None = None
    size_bytes: int | None = None


@dataclass(frozen=True)
class RetryPolicy:
    """Limits of patience: when to try again, and when to give up.

    Attributes:
        attempts: Tries in a row that bring no byte that wasn't there before.
        attempts_in_all: Tries of one file, whatever they bring.
        first_wait_s: Wait after the first failure; it doubles with every further one.
        longest_wait_s: Where the doubling ends.
        jitter: Share of a wait that chance may take off, so that many clients don't return
            at once.
        longest_retry_after_s: Longest wait that a server may ask for with Retry-After; if it asks
            for more, that is an error.
        connect_timeout_s: Longest wait for a connection.
        read_timeout_s: Longest wait between two packets; with that for a connection, the most
            that the head of an answer may take.
        slow_s: Longest time that a body may come more slowly than at the least speed.
        least_bytes_per_s: Least speed of a body.
    """

    attempts: int = 5
    attempts_in_all: int = 100
    first_wait_s: float = 1.0
    longest_wait_s: float = 60.0
    jitter: float = 0.5
    longest_retry_after_s: float = 300.0
    connect_timeout_s: float = 15.0
    read_timeout_s: float = 60.0
    slow_s: float = 60.0
    least_bytes_per_s: int = 1000

    def wait_s(self, failures: int, asked_s: float | None, generator: random.Random) -> float:
        """The wait after so many failures in a row, if the server asked for ``asked_s``."""
        doubled_s = self.first_wait_s * 2.0 ** min(failures - 1, 30)
        backed_off_s = min(doubled_s, self.longest_wait_s)
        return max(backed_off_s * (1 - self.jitter * generator.random()), asked_s or 0.0)


class TransferError(Exception):
    """A file that can't be fetched, in words that follow its name and address.

    Attributes:
        by_hand: Whether it would help to download the file by other means.
        common: Whether other files of that host or for that disk would fail alike.
    """

    def __init__(self, why: str, *, by_hand: bool = True, common: bool = False) -> None:
        super().__init__(why)
        self.by_hand = by_hand
        self.common = common


class PassingError(Exception):
    """A failure that may be over at the next try.

    Attributes:
        asked_s: The wait that the server asked for, in seconds.
        common: Whether other files of that host would fail alike.
        idle: Whether the try counts as one that brought nothing, though a little may have come.
    """

    def __init__(
        self,
        why: str,
        *,
        asked_s: float | None = None,
        common: bool = False,
        idle: bool = False,
    ) -> None:
        super().__init__(why)
        self.asked_s = asked_s
        self.common = common
        self.idle = idle


class StoppedError(Exception):
    """A transfer that was told to stop.

    Attributes:
        why: What had gone wrong with it before, if anything.
    """

    def __init__(self, why: str | None) -> None:
        super().__init__(why or "stopped")
        self.why = why


def is_http(url: str) -> bool:
    """Whether an address is one of http or https, with a host."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.netloc)


def place_of(file: RemoteFile, mirror: str | None) -> str:
    """The address that a file is fetched from, its own or the mirror's."""
    return file.url if mirror is None else f"{mirror.rstrip('/')}/{quote(file.name)}"


def shown(text: str) -> str:
    """Shortens what a server says for a message."""
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."


def retry_after_s(header: str | None) -> float | None:
    """The wait that a Retry-After header asks for: in seconds, or until a date."""
    if header is None:
        return None
    if header.strip().isdecimal():
        return float(header)
    try:
        when = parsedate_to_datetime(header)
    except (ValueError, OverflowError):
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=timezone.utc)
    return max(0.0, (when - datetime.now(timezone.utc)).total_seconds())


def reason_of(error: BaseException) -> str:
    """The cause of a network error, without the names of the classes above it."""
    at = error
    for at in _way_down(error):
        if isinstance(at, OSError) and at.strerror:
            return at.strerror
    return str(at) or type(at).__name__


def is_bad_certificate(error: BaseException) -> bool:
    """Whether a network error is about a certificate that can't be trusted."""
    return any(isinstance(at, ssl.SSLCertVerificationError) for at in _way_down(error))


def _way_down(error: BaseException) -> Iterator[BaseException]:
    """An error and what it was made of; libraries keep that in various places."""
    at: BaseException | None = error
    for _ in range(_DEEPEST):
        if at is None:
            return
        yield at
        inside = [getattr(at, "reason", None), *at.args, at.__cause__, at.__context__]
        at = next((item for item in inside if isinstance(item, BaseException)), None)
