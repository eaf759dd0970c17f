"""A web server on this machine that can be told to misbehave."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

STALL_S = 240.0  # longer than any test waits, and the end of it if the test is gone


@dataclass(frozen=True)
class Fault:
    """What is wrong with one answer.

    Kinds: ``status`` (of code ``n``), ``drop`` and ``stall`` (after ``n`` bytes of the body),
    ``refuse`` (closes without an answer), ``garble`` (right length, wrong bytes), ``cut`` (sends
    and announces ``n`` bytes too few), ``ignore`` (all of the file though a range was asked for),
    ``shift`` (a range that begins elsewhere than asked), ``chunks`` (in chunks, broken after
    ``n`` bytes if not 0), ``unframed`` (without a length, broken after ``n`` bytes if not 0),
    ``version`` (another version of the file, this once), ``rash`` (the same, but in the middle of
    another one), ``redirect`` (to the address in ``headers``), ``meet`` (all of the file, once as
    many are asked for as ``Source.meeting`` waits for; closes if they never are). One that is
    ``late`` comes half a second after the server has begun to stall.
    """

    kind: str
    n: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    late: bool = False


@dataclass(frozen=True)
class Asked:
    """A request as the server saw it."""

    name: str
    range: str | None
    if_range: str | None


@dataclass
class Source:
    """Files, what goes wrong with the answers to come, and what was asked for so far."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    others: dict[str, bytes] = field(default_factory=dict)
    faults: dict[str, list[Fault]] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    validators: bool = True
    closing: threading.Event = field(default_factory=threading.Event)
    stalled: threading.Event = field(default_factory=threading.Event)
    meeting: threading.Barrier | None = None

    def ranges(self, name: str) -> list[str | None]:
        return [one.range for one in self.asked if one.name == name]


def md5_hex(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()  # noqa: S324


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    source: Source

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass

    def do_GET(self) -> None:
        source = self.source
        self.close_connection = True
        name = self.path.rpartition("/")[2].partition("?")[0]
        source.asked.append(Asked(name, self.headers["Range"], self.headers["If-Range"]))
        waiting = source.faults.get(name, [])
        fault = waiting.pop(0) if waiting else Fault("none")
        if fault.late and source.stalled.wait(STALL_S):
            source.closing.wait(0.5)
        if fault.kind == "refuse" or (fault.kind == "meet" and not self._met()):
            return
        if fault.kind in {"status", "redirect"} or name not in source.files:
            code = fault.n if fault.kind == "status" else 302 if fault.kind == "redirect" else 404
            self._head(code, {"Content-Length": "0", **fault.headers})
            return
        content = source.others[name] if fault.kind in {"version", "rash"} else source.files[name]
        headers: dict[str, str] = {}
        if source.validators:
            headers["ETag"] = f'"{md5_hex(content)}"'
        start, code = self._start(headers.get("ETag"), fault)
        if start >= len(content) > 0:
            self._head(416, {"Content-Range": f"bytes */{len(content)}", "Content-Length": "0"})
            return
        if fault.kind == "shift":
            start = max(0, start - 7)
        if code == 206:
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        self._body(code, headers, content[start:], fault)

    def _met(self) -> bool:
        try:
            if self.source.meeting is not None:
                self.source.meeting.wait(60)
        except threading.BrokenBarrierError:
            return False
        return True

    def _start(self, etag: str | None, fault: Fault) -> tuple[int, int]:
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers["Range"] or "")
        condition = self.headers["If-Range"]
        if (
            wanted is None
            or fault.kind == "ignore"
            or (condition and condition != etag and fault.kind != "rash")
        ):
            return 0, 200
        return int(wanted[1]), 206

    def _head(self, code: int, headers: Mapping[str, str]) -> None:
        self.send_response(code)
        for key, value in {**headers, "Connection": "close"}.items():
            self.send_header(key, value)
        self.end_headers()

    def _body(self, code: int, headers: dict[str, str], body: bytes, fault: Fault) -> None:
        if fault.kind == "garble":
            body = bytes(255 - byte for byte in body)
        if fault.kind == "cut":
            body = body[: max(0, len(body) - fault.n)]
        sent = body[: fault.n] if fault.kind in {"drop", "stall"} else body
        if fault.kind in {"chunks", "unframed"} and fault.n:
            sent = body[: fault.n]
        if fault.kind == "chunks":
            self._head(code, {**headers, "Transfer-Encoding": "chunked"})
            for i in range(0, len(sent), 1000):
                piece = sent[i : i + 1000]
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            if not fault.n:
                self.wfile.write(b"0\r\n\r\n")
            return
        if fault.kind != "unframed":
            headers["Content-Length"] = str(len(body))
        self._head(code, headers)
        self.wfile.write(sent)
        if fault.kind == "stall":
            self.wfile.flush()
            self.source.stalled.set()
            self.source.closing.wait(STALL_S)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # clients that go away are what is tested


@contextmanager
def serving() -> Iterator[Source]:
    """A server on 127.0.0.1 that ends with the block."""
    source = Source()
    handler = type("Handler", (_Handler,), {"source": source})
    with _Server(("127.0.0.1", 0), handler) as server:
        source.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield source
        finally:
            source.closing.set()
            server.shutdown()
            thread.join(5)
