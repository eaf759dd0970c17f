"""The transfer of one file over HTTP, in several tries if need be, and right or not at all.

A try goes on where the last one stopped (Range), but only if the file is still the one that was
begun (If-Range with its ETag or date, and the answer's Content-Range is checked). A server that
sends all of it again is taken at its word. What was put together from several answers and has
the wrong md5 is fetched once more from the start.
"""

from __future__ import annotations

import contextlib
import logging
import random
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from hearbench._version import __version__
from hearbench.tasks.fetch.listening import (
    BrokenError,
    Listener,
    is_chunked,
    length_of,
    missed_whole,
    span_of,
)
from hearbench.tasks.fetch.part import Part, PartNotes, free_bytes, open_part
from hearbench.tasks.fetch.remote import (
    PassingError,
    RemoteFile,
    RetryPolicy,
    StoppedError,
    TransferError,
    is_http,
    retry_after_s,
    shown,
)
from hearbench.tasks.inventory import md5_of

if TYPE_CHECKING:
    import requests

__all__ = ["Transfer"]

_OK, _PARTIAL, _NOT_SATISFIABLE = 200, 206, 416
_PASSING = {408, 425, 429, 500, 502, 503, 504}
_RESERVE_BYTES = 256 << 20  # left free, for the system and whatever else runs
_LOOK_BYTES = 16 << 20  # between two looks at what is free
_TOLD_WAIT_S = 2.0  # a shorter wait is over before anybody wonders


class Transfer:
    """The fetching of one file.

    Args:
        file: What it should be.
        url: Where to fetch it from.
        folder: Where it goes; it exists.
        stop: Once it is set, the transfer ends at the next block.
        report: Called as ``report(bytes done, bytes in all if known)`` from this thread.
    """

    def __init__(
        self,
        file: RemoteFile,
        url: str,
        folder: Path,
        *,
        policy: RetryPolicy,
        stop: threading.Event,
        report: Callable[[int, int | None], None],
    ) -> None:
        self._file = file
        self._url = url
        self._target = folder / file.name
        self._policy = policy
        self._stop = stop
        self._report = report
        self._trouble: str | None = None  # what went wrong last
        self._doubtful = False  # the bytes are from several answers, or may be cut off

    def run(self) -> Path:
        """Fetches the file and returns its path.

        Raises:
            TransferError: It can't be had, or isn't what it should be.
            StoppedError: It was told to stop; what came is kept.
        """
        if not is_http(self._url):
            raise TransferError("is no http or https address")
        try:
            with open_part(self._target) as part:
                self._fetch(part)
        except OSError as error:
            raise TransferError(f"{self._target}: {error}", by_hand=False) from error
        return self._target

    def _fetch(self, part: Part) -> None:
        """Receives the file, if need be once more from the start, and finishes it."""
        again = True
        while True:
            self._receive(part)
            wrong = self._what_is_wrong(part)
            if wrong is None:
                part.finish()
                return
            part.discard()
            if not (again and self._doubtful):
                raise TransferError(wrong)
            again, self._trouble = False, wrong

    def _receive(self, part: Part) -> None:
        """Tries until the file is complete."""
        generator = random.Random()
        failures, furthest = 0, part.size
        for attempt in range(1, self._policy.attempts_in_all + 1):
            self._go_on()
            try:
                self._try(part)
            except PassingError as error:
                self._trouble = str(error)
                failures = 1 if part.size > furthest and not error.idle else failures + 1
                furthest = max(furthest, part.size)
                last = attempt == self._policy.attempts_in_all
                if last or failures >= self._policy.attempts:
                    why = self._gave_up(error, attempt)
                    raise TransferError(why, common=error.common) from error
                wait_s = self._policy.wait_s(failures, error.asked_s, generator)
                if error.asked_s is not None and error.asked_s > self._policy.longest_retry_after_s:
                    asked = f"{error}, and asks to wait {error.asked_s:.0f} s"
                    raise TransferError(asked) from error
                if wait_s >= _TOLD_WAIT_S and not self._stop.is_set():
                    logging.getLogger(__name__).warning(
                        "%s: %s; trying again in %.0f s (%d of %d)",
                        self._url,
                        error,
                        wait_s,
                        failures + 1,
                        self._policy.attempts,
                    )
                self._stop.wait(wait_s)
            else:
                return

    def _gave_up(self, error: PassingError, attempts: int) -> str:
        return str(error) if attempts == 1 else f"{error} (tried {attempts} times)"

    def _go_on(self) -> None:
        if self._stop.is_set():
            raise StoppedError(self._trouble)

    def _try(self, part: Part) -> None:
        offset = self._begin(part)
        notes = part.notes() if offset else None
        if notes is not None and offset == self._whole(notes):
            self._doubtful = True
            self._report(offset, offset)
            return
        headers = {"User-Agent": f"hearbench/{__version__}", "Accept-Encoding": "identity"}
        if notes is not None:
            headers["Range"] = f"bytes={offset}-"
            if notes.validator:
                headers["If-Range"] = notes.validator
        with contextlib.closing(Listener(self._url, headers, self._policy)) as listener:
            response = listener.answer()
            if response.status_code == _OK:
                size = self._begin_whole(response, part)
                self._take(listener, part, size)
            elif response.status_code == _PARTIAL and notes is not None:
                whole, end = self._begin_rest(response, part, notes)
                self._take(listener, part, whole, end)
            elif response.status_code == _NOT_SATISFIABLE and notes is not None:
                self._take_none(response, part, notes)
            else:
                self._refuse(response)

    def _begin(self, part: Part) -> int:
        """The number of bytes from which it can resume; the others are dropped."""
        if not part.size:
            return 0
        notes = part.notes()
        if notes is not None and notes.url == self._url and (notes.validator or self._file.md5):
            sizes = {notes.size_bytes, self._file.size_bytes} - {None}
            if len(sizes) < 2 and part.size <= (self._whole(notes) or part.size):
                return part.size
        part.discard()
        return 0

    def _whole(self, notes: PartNotes) -> int | None:
        """The file's length in bytes, if it was said."""
        return notes.size_bytes if self._file.size_bytes is None else self._file.size_bytes

    def _begin_whole(self, response: requests.Response, part: Part) -> int | None:
        """Prepares to receive all of the file, from the start; its length, if it was said."""
        size = length_of(response)
        if size is not None:
            self._check_size(size, part)
            self._check_room(size, after=part)
        if self._file.md5 is None:
            self._check_that_it_can_be_told(response, size)
        self._doubtful = size is None and not is_chunked(response)
        etag = response.headers.get("ETag", "")
        part.restart(
            PartNotes(
                url=self._url,
                # A weak one doesn't promise the same bytes.
                etag=etag if etag.startswith('"') else None,
                last_modified=response.headers.get("Last-Modified"),
                size_bytes=size,
            )
        )
        return size

    def _begin_rest(
        self, response: requests.Response, part: Part, notes: PartNotes
    ) -> tuple[int | None, int]:
        """Prepares to receive what is missing, if the answer is about that and the same file.

        Returns:
            The length of the file, if anybody said it, and where the answer ends.
        """
        span = span_of(response)
        if span is None or span.start != part.size or span.end <= part.size:
            raise self._another(part)
        wholes = {span.whole, self._whole(notes)} - {None}
        if len(wholes) > 1 or self._is_another(response, notes):
            raise self._another(part)
        whole = next(iter(wholes), None)
        # Where the length of the file isn't known, only its md5 tells whether this is the end.
        if span.end > whole if whole is not None else self._file.md5 is None:
            raise self._another(part)
        self._check_room(span.end - part.size)
        self._doubtful = True
        return whole, span.end

    def _take_none(self, response: requests.Response, part: Part, notes: PartNotes) -> None:
        """Nothing is left to send; whether that is because all of it is here."""
        whole = missed_whole(response)
        if whole != part.size or self._whole(notes) not in {None, whole}:
            raise self._another(part)
        if self._is_another(response, notes):
            raise self._another(part)
        self._doubtful = True

    def _take(
        self, listener: Listener, part: Part, whole: int | None, end: int | None = None
    ) -> None:
        """Receives a body and appends it, up to where it may go and not a byte further."""
        known = self._file.size_bytes
        end = whole if end is None else end
        looked = part.size
        self._report(part.size, whole)
        try:
            for block in listener.blocks():
                if end is not None and part.size + len(block) > end:
                    part.discard()
                    raise PassingError("the server sent more than it said")
                if known is not None and part.size + len(block) > known:
                    part.discard()
                    raise TransferError(f"has more than the {known} bytes that are expected")
                if end is None and part.size - looked >= _LOOK_BYTES:
                    looked = part.size
                    self._check_reserve(part)
                part.append(block)
                self._trouble = None
                self._report(part.size, whole)
                self._go_on()
        except BrokenError as error:
            why = f"the connection broke after {part.size} bytes: {error}"
            raise PassingError(why, idle=error.slow) from error
        whole = known if whole is None else whole
        if whole is not None and part.size < whole:
            raise PassingError(f"the connection broke after {part.size} of {whole} bytes")

    def _is_another(self, response: requests.Response, notes: PartNotes) -> bool:
        """Whether an answer about a part of the file says that it is of another version."""
        said = [
            (response.headers.get("ETag"), notes.etag),
            (response.headers.get("Last-Modified"), notes.last_modified),
        ]
        return any(now and then and now != then for now, then in said)

    def _another(self, part: Part) -> PassingError:
        part.discard()
        return PassingError("the server did not go on with the same file")

    def _refuse(self, response: requests.Response) -> None:
        why = f"the server says {response.status_code} {shown(response.reason or '')}".rstrip()
        if response.url != self._url:
            why += f" at {shown(response.url)}, where it leads to"
        if response.status_code in _PASSING:
            raise PassingError(why, asked_s=retry_after_s(response.headers.get("Retry-After")))
        raise TransferError(why)

    def _check_size(self, size: int, part: Part) -> None:
        expected = self._file.size_bytes
        if expected is not None and size != expected:
            part.discard()
            raise TransferError(f"has {size} bytes, expected are {expected}")

    def _check_room(self, needed: int, *, after: Part | None = None) -> None:
        free = free_bytes(self._target.parent) + (after.size if after else 0)
        if needed > free:
            raise TransferError(
                f"needs {needed} bytes more, and the disk of {self._target.parent} has {free} "
                "free. Make room, and run the same again.",
                by_hand=False,
            )

    def _check_reserve(self, part: Part) -> None:
        """Stops a file of unknown length before it fills the disk."""
        free = free_bytes(self._target.parent)
        if free < _RESERVE_BYTES:
            raise TransferError(
                f"the server doesn't say how long it is; {part.size} bytes came and are kept, and "
                f"the disk of {self._target.parent} has only {free} free. Make room, and run the "
                "same again.",
                by_hand=False,
                common=True,
            )

    def _check_that_it_can_be_told(self, response: requests.Response, size: int | None) -> None:
        """Without an md5 there must be a way to tell that the file is all there, as it is."""
        if size is None and self._file.size_bytes is None and not is_chunked(response):
            raise TransferError(
                "the server doesn't say how long it is and its md5 isn't known, so that it can't "
                "be told whether all of it came"
            )
        encoding = response.headers.get("Content-Encoding", "identity")
        if encoding != "identity":
            raise TransferError(
                f"the server sends it encoded ({encoding}) though that wasn't asked for, and "
                "its md5 isn't known"
            )

    def _what_is_wrong(self, part: Part) -> str | None:
        expected = self._file.size_bytes
        if expected is not None and part.size != expected:
            return f"has {part.size} bytes, expected are {expected}; what came is removed"
        if self._file.md5 is None:
            return None
        md5 = md5_of(part.path, each_block=self._go_on)
        if md5 != self._file.md5.lower():
            return (
                f"what came ({part.size} bytes) has the md5 {md5}, expected is "
                f"{self._file.md5.lower()}; it is removed"
            )
        return None
