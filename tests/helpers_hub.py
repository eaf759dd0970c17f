"""A stand-in of the Hugging Face hub on 127.0.0.1."""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

__all__ = ["Hub", "hub_serving"]


@dataclass
class Hub:
    """What is served, and what was asked for.

    Attributes:
        address: Of the server.
        commits: Files by their paths, by commit, of the one repository ``org/name``.
        revisions: Commits by the names of branches and tags.
        downloaded: Paths of files whose content was sent.
    """

    address: str
    commits: Mapping[str, Mapping[str, bytes]]
    revisions: Mapping[str, str]
    downloaded: list[str] = field(default_factory=list)


@contextlib.contextmanager
def hub_serving(
    commits: Mapping[str, Mapping[str, bytes]], revisions: Mapping[str, str]
) -> Iterator[Hub]:
    """Serves the repository ``org/name`` while the block runs."""
    hub = Hub("", commits, revisions)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self._answer(with_body=False)

        def do_GET(self) -> None:
            self._answer(with_body=True)

        def _answer(self, *, with_body: bool) -> None:
            path = unquote(urlsplit(self.path).path)
            if path.startswith("/api/models/org/name"):
                rest = path.removeprefix("/api/models/org/name").strip("/")
                revision = rest.removeprefix("revision/") if rest else "main"
                commit = self._commit(revision)
                if commit is None:
                    self._send(404, b"{}", {"X-Error-Code": "RevisionNotFound"}, with_body)
                    return
                said = {
                    "id": "org/name",
                    "sha": commit,
                    "siblings": [{"rfilename": name} for name in hub.commits[commit]],
                }
                self._send(200, json.dumps(said).encode(), {}, with_body)
                return
            if path.startswith("/org/name/resolve/"):
                revision, _, name = path.removeprefix("/org/name/resolve/").partition("/")
                commit = self._commit(revision)
                if commit is not None and name in hub.commits[commit]:
                    content = hub.commits[commit][name]
                    if with_body:
                        hub.downloaded.append(name)
                    etag = hashlib.sha256(content).hexdigest()
                    self._send(
                        200, content, {"X-Repo-Commit": commit, "ETag": f'"{etag}"'}, with_body
                    )
                    return
                code = "EntryNotFound" if commit is not None else "RevisionNotFound"
                self._send(404, b"{}", {"X-Error-Code": code}, with_body)
                return
            self._send(404, b"{}", {"X-Error-Code": "RepoNotFound"}, with_body)

        def _commit(self, revision: str) -> str | None:
            commit = hub.revisions.get(revision, revision)
            return commit if commit in hub.commits else None

        def _send(
            self, status: int, content: bytes, headers: Mapping[str, str], with_body: bool
        ) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if with_body:
                self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
