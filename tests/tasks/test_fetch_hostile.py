"""Servers that mean harm, or have lost their way: each costs bounded time, memory and disk."""

from __future__ import annotations

import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hearbench.errors import DownloadError
from hearbench.tasks.fetch import (
    RemoteFile,
    RetryPolicy,
    TransferError,
    fetch,
    read_remote,
    transfer,
)
from hearbench.workspace import Workspace

SWIFT = RetryPolicy(attempts=2, first_wait_s=0.0, read_timeout_s=5.0)
SLOW = RetryPolicy(
    attempts=2, first_wait_s=0.0, connect_timeout_s=0.2, read_timeout_s=0.3, slow_s=0.4
)
LONGEST_S = 10.0  # what a hostile answer lasts if nobody hangs up
MUCH = 64 << 20
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
KNOWN = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"


class _Handler(socketserver.StreamRequestHandler):
    server: _Server

    def handle(self) -> None:
        path = self.rfile.readline().split()[1].decode()
        while self.rfile.readline().strip():
            pass
        self.server.asked.append(path)
        pieces = self.server.answers[path]
        until = time.monotonic() + LONGEST_S
        try:
            for piece in pieces():
                self.wfile.write(piece)
                self.server.sent += len(piece)
                if time.monotonic() > until or self.server.sent > MUCH:
                    return
        except OSError:
            pass  # the client has hung up


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: dict[str, Callable[[], Iterator[bytes]]] = {}
        self.asked: list[str] = []
        self.sent = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


@contextmanager
def _running() -> Iterator[_Server]:
    with _Server() as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        try:
            yield server
        finally:
            server.shutdown()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[_Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with _running() as one:
        yield one


def once(*pieces: bytes) -> Callable[[], Iterator[bytes]]:
    return lambda: iter(pieces)


def endless(head: bytes, piece: bytes, wait_s: float = 0.0) -> Callable[[], Iterator[bytes]]:
    def pieces() -> Iterator[bytes]:
        yield head
        while True:
            yield piece
            time.sleep(wait_s)

    return pieces


def whole(body: bytes) -> Callable[[], Iterator[bytes]]:
    return once(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body), body)


def leading(place: bytes) -> bytes:
    return b"HTTP/1.1 302 Found\r\nLocation: " + place + b"\r\n"


def test_the_body_of_a_redirect_is_not_read(server: _Server) -> None:
    head = leading(b"b?x=1%20\xc3\xbc#part") + b"Content-Length: 1000000000000\r\n\r\n"
    server.answers = {
        "/far/a": endless(head, bytes(1 << 20)),
        "/far/b?x=1%20%C3%BC": whole(b"content"),
    }
    assert read_remote(f"{server.url}/far/a", policy=SWIFT) == b"content"
    assert server.asked == ["/far/a", "/far/b?x=1%20%C3%BC"]
    assert server.sent < MUCH


def test_no_more_than_the_known_size_is_received(
    server: _Server, tmp_path: Path, workspace: Workspace
) -> None:
    server.answers["/a"] = endless(CHUNKED, b"100000\r\n" + bytes(1 << 20) + b"\r\n")
    file = RemoteFile("a", f"{server.url}/a", "0" * 32, 3000)
    with pytest.raises(DownloadError, match=r"a from .*/a: has more than the 3000 bytes"):
        fetch([file], tmp_path / "out", workspace=workspace, policy=SWIFT)
    assert not [*(tmp_path / "out").iterdir()]
    assert server.asked == ["/a"]
    assert server.sent < MUCH


def test_of_unknown_size_a_disk_is_not_filled(
    server: _Server, tmp_path: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.answers["/a"] = endless(CHUNKED, b"10000\r\n" + bytes(1 << 16) + b"\r\n")
    monkeypatch.setattr(transfer, "_LOOK_BYTES", 1 << 18)
    monkeypatch.setattr(transfer, "_RESERVE_BYTES", 1 << 62)
    with pytest.raises(DownloadError, match=r"disk of .* has only"):
        fetch([RemoteFile("a", f"{server.url}/a")], tmp_path, workspace=workspace, policy=SWIFT)
    assert (1 << 18) <= (tmp_path / "a.part").stat().st_size <= (1 << 19)


@pytest.mark.parametrize(
    "place",
    [
        *(b"http://[::1", b"http://", b"ftp://127.0.0.1/x", b"file:///etc/passwd", b"\xff:\xfe"),
        *(b"http://127.0.0.1:999999/", b"http://a..b/", b"http://" + b"a" * 300 + b".x/"),
        *(b"http://\x1b[2J/", b"//[", b"javascript:alert(1)", b"http://" + b"a" * 9000),
    ],
)
def test_where_nothing_can_be(
    server: _Server, tmp_path: Path, workspace: Workspace, place: bytes
) -> None:
    server.answers["/a"] = once(leading(place) + b"\r\n")
    url = f"{server.url}/a"
    with pytest.raises(DownloadError) as caught:
        fetch([RemoteFile("a", url)], tmp_path, workspace=workspace, policy=SWIFT)
    assert f"a from {url}: " in str(caught.value)
    assert "leads to" in str(caught.value) or "no answer from" in str(caught.value)
    assert len(str(caught.value)) < 2000


def test_redirects_in_a_circle_end(server: _Server) -> None:
    server.answers = {
        "/a": once(leading(b"/b") + b"\r\n"),
        "/b": once(leading(b"/a") + b"\r\n"),
    }
    with pytest.raises(TransferError, match=r"more than 10 addresses in turn, at last .*/b"):
        read_remote(f"{server.url}/a", policy=SWIFT)
    assert len(server.asked) == 11


@pytest.mark.parametrize(
    ("head", "piece"),
    [
        (KNOWN, b"x"),
        (CHUNKED, b"1\r\nx\r\n"),
        (CHUNKED + b"1;", b"x"),  # the length of a chunk, which never ends
        (CHUNKED + b"0\r\n", b"a: b\r\n"),  # headers after the body
        (b"HTTP/1.1 200 OK\r\n", b"x"),
        (b"", b"H"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    ],
    ids=["body", "chunks", "chunk", "trailer", "header", "status", "continue"],
)
def test_a_drip_is_given_up(server: _Server, head: bytes, piece: bytes) -> None:
    server.answers["/a"] = endless(head, piece, 0.02)
    with pytest.raises(
        TransferError, match=r"(less than 1000 bytes per second|within 0\.5 s).*tried"
    ):
        read_remote(f"{server.url}/a", policy=SLOW)
    assert server.asked == ["/a", "/a"]


@pytest.mark.parametrize(
    "piece",
    [b"HTTP/1.1 100 Continue\r\n\r\n" * 1000, b"HTTP/1.1 200 OK" + b"a" * 70_000, b"a: b\r\n"],
)
def test_heads_without_end(server: _Server, piece: bytes) -> None:
    server.answers["/a"] = endless(b"" if piece[:1] == b"H" else b"HTTP/1.1 200 OK\r\n", piece)
    with pytest.raises(TransferError, match=r"no (whole )?answer from"):
        read_remote(f"{server.url}/a", policy=SLOW)
