"""One answer of a server, heard by a thread of its own, so that waiting for it can end.

A server that sends a byte now and then keeps each single read of the network going. So there is a
limit to how long the head of an answer may take, with all the addresses that it is led through, and
a least speed of its body. Of an answer that leads elsewhere nothing but the head is read.
"""

from __future__ import annotations

import contextlib
import queue
import re
import threading
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote, urldefrag, urljoin, urlsplit

from hearbench.tasks.fetch.remote import (
    PassingError,
    RetryPolicy,
    TransferError,
    is_bad_certificate,
    is_http,
    reason_of,
    shown,
)

if TYPE_CHECKING:
    import requests

__all__ = ["BrokenError", "Listener", "is_chunked", "length_of", "missed_whole", "span_of"]

_LEADING = {301, 302, 303, 307, 308}
_MOST_REDIRECTS = 10
_LOOK_S = 0.2  # between two looks whether anyone still listens
# What an address may consist of, with what is quoted already.
_SAFE = "%/:=&?~#+!$,;'@()*[]"
_BLOCK_BYTES = 1 << 16
# Of as many digits as a length can have; Python refuses to read thousands of them.
_LENGTH = re.compile(r"\d{1,18}", re.ASCII)
_CONTENT_RANGE = re.compile(r"bytes\s+(\d{1,18})-(\d{1,18})/(\d{1,18}|\*)", re.ASCII)
_RANGE_MISSED = re.compile(r"bytes\s+\*/(\d{1,18})", re.ASCII)


class Listener:
    """A request that is made at once, and its answer."""

    def __init__(self, url: str, headers: Mapping[str, str], policy: RetryPolicy) -> None:
        self._url = url
        self._headers = dict(headers)
        self._policy = policy
        self._heard: queue.Queue[requests.Response | bytes | BaseException | None] = queue.Queue(4)
        self._gone = False
        threading.Thread(target=self._listen, name="hearbench-listen", daemon=True).start()

    def answer(self) -> requests.Response:
        """Waits for the answer, whose body is still to come.

        Raises:
            TransferError: There is no answer, and won't be.
            PassingError: There is no answer, or it takes too long.
        """
        import requests

        limit_s = self._policy.connect_timeout_s + self._policy.read_timeout_s
        try:
            answer = self._heard.get(timeout=limit_s)
        except queue.Empty:
            why = f"no whole answer from {urlsplit(self._url).netloc} within {limit_s:g} s"
            raise PassingError(why, common=True) from None
        if isinstance(answer, BaseException):
            raise answer
        if not isinstance(answer, requests.Response):
            raise TypeError("A body came before its head.")
        return answer

    def blocks(self) -> Iterator[bytes]:
        """Yields the body as it was sent, not decoded.

        Raises:
            BrokenError: The connection broke, fell silent, or is too slow to go on with.
        """
        while True:
            began, n_bytes = time.monotonic(), 0
            while (left_s := began + self._policy.slow_s - time.monotonic()) > 0:
                try:
                    block = self._heard.get(timeout=left_s)
                except queue.Empty:
                    break
                if isinstance(block, BaseException):
                    raise block
                if not isinstance(block, bytes):
                    return
                n_bytes += len(block)
                yield block
            least = self._policy.least_bytes_per_s
            if n_bytes < least * self._policy.slow_s:
                raise BrokenError(
                    f"less than {least} bytes per second came for {self._policy.slow_s:g} s",
                    slow=True,
                )

    def close(self) -> None:
        """Ends the listening; what is still to come is dropped with its connection."""
        self._gone = True

    def _listen(self) -> None:
        try:
            with contextlib.closing(_session()) as session:
                response = self._asked(session)
                with response:
                    self._tell(response)
                    for block in _blocks(response):
                        self._tell(block)
                self._tell(None)
        except _GoneError:
            return
        except BaseException as error:  # noqa: BLE001 - the other thread raises it again
            with contextlib.suppress(_GoneError):
                self._tell(error)

    def _tell(self, item: requests.Response | bytes | BaseException | None) -> None:
        while not self._gone:
            with contextlib.suppress(queue.Full):
                self._heard.put(item, timeout=_LOOK_S)
                return
        raise _GoneError

    def _asked(self, session: requests.Session) -> requests.Response:
        """The first answer on the way that leads nowhere else."""
        url = self._url
        for _ in range(_MOST_REDIRECTS + 1):
            response = self._get(session, url)
            place = response.headers.get("Location")
            if response.status_code not in _LEADING or not place:
                return response
            response.close()
            url = _next_address(url, place)
            if self._gone:
                raise _GoneError
        raise TransferError(
            f"leads to more than {_MOST_REDIRECTS} addresses in turn, at last {url}"
        )

    def _get(self, session: requests.Session, url: str) -> requests.Response:
        from requests import exceptions
        from urllib3.exceptions import HTTPError

        timeout_s = (self._policy.connect_timeout_s, self._policy.read_timeout_s)
        try:
            return session.get(url, headers=self._headers, stream=True, timeout=timeout_s)
        except (exceptions.ConnectionError, exceptions.Timeout) as error:
            why = f"no answer from {urlsplit(url).netloc}: {reason_of(error)}"
            if is_bad_certificate(error):
                raise TransferError(why, common=True) from error
            raise PassingError(why, common=True) from error
        except (exceptions.RequestException, HTTPError, ValueError) as error:
            at = "" if url == self._url else f"leads to {shown(url)}: "
            raise TransferError(f"{at}{reason_of(error)}") from error


class _GoneError(Exception):
    """No one listens any more."""


def _session() -> requests.Session:
    """A session that follows nothing by itself, as it would read all of each body on the way."""
    import requests

    class Session(requests.Session):
        def get_redirect_target(self, resp: requests.Response) -> None:
            """Follows nothing."""

    return Session()


def _next_address(url: str, location: str) -> str:
    """The address that an answer leads to.

    Raises:
        TransferError: It is no address that can be asked.
    """
    try:
        # Headers are read as Latin-1, and mostly meant as UTF-8.
        found = urldefrag(urljoin(url, quote(location.encode("latin-1"), safe=_SAFE))).url
    except ValueError:
        found = ""
    if not is_http(found):
        raise TransferError(
            f"{shown(url)} leads to {shown(location)!r}, which is no http or https address"
        )
    return found


class BrokenError(Exception):
    """A body that ended before its end.

    Attributes:
        slow: Whether it was given up because hardly anything came.
    """

    def __init__(self, why: str, *, slow: bool = False) -> None:
        super().__init__(why)
        self.slow = slow


class _Span(NamedTuple):
    """The bytes of a file that an answer holds: from `start` up to `end`, of `whole` if known."""

    start: int
    end: int
    whole: int | None


def span_of(response: requests.Response) -> _Span | None:
    """Reads the Content-Range of a part; None where it says nothing of use."""
    found = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", "").strip())
    if found is None:
        return None
    whole = None if found[3] == "*" else int(found[3])
    return _Span(int(found[1]), int(found[2]) + 1, whole)


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


def _blocks(response: requests.Response) -> Iterator[bytes]:
    """Yields the body as it was sent, not decoded.

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
