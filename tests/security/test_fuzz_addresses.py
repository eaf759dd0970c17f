"""Addresses, answers of servers and variables of the environment: used, or one error."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from helpers_fuzz import fuzzed, json_values, texts, value_or_error
from helpers_http import Fault, serving
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from hearbench.errors import HearError
from hearbench.leaderboard.cells import url_problem
from hearbench.tasks.catalog.schema import Download, FilePart
from hearbench.tasks.fetch import RemoteFile, TransferError, many, read_remote
from hearbench.tasks.fetch.listening import length_of, missed_whole, span_of
from hearbench.tasks.fetch.many import fetch
from hearbench.tasks.fetch.remote import RetryPolicy, is_http, place_of, retry_after_s
from hearbench.tasks.record import _listed, load_record
from hearbench.workspace import Workspace, user_path

_PIECES = (
    *("http", "https", "file", "javascript", ":", "//", "/", "@", "[", "]", "::1", "%2e%2e", "%2F"),
    *("example.org", "..", "a.zip", "?", "#", " ", "\n", "\\", "\0", "%00", "é", "٣", ":99999"),
)
addresses = st.lists(st.sampled_from(_PIECES), max_size=8).map("".join) | texts
headers = (
    st.sampled_from(("bytes 0-1/2", "bytes */9", "9" * 5000, "Mon, 01 Jan 99999 00:00:00 GMT"))
    | st.builds("bytes {}-{}/{}".format, *[st.integers(0, 10**30)] * 3)
    | st.builds("Mon, 01 Jan 2024 00:00:00 {}".format, st.integers(-(10**9), 10**9))
    | texts
)


@fuzzed
@given(text=addresses)
def test_addresses_of_files(text: str) -> None:
    try:
        part = FilePart(url=text)
    except ValidationError:
        return
    assert is_http(part.url)
    # Nothing that it is called leads out of a folder.
    assert part.file_name not in {"", ".", ".."}
    assert not set(part.file_name) & set("/\\\0")
    assert Path("folder", part.file_name).parent == Path("folder")
    assert Download(split="x", url=text).file_name == part.file_name


@fuzzed
@given(text=addresses)
def test_addresses_of_models(text: str) -> None:
    if url_problem(text) is None and text:
        assert text.lower().startswith(("http://", "https://"))
        assert not set(text) & set(" \\")


@fuzzed
@given(name=addresses, url=addresses)
def test_what_can_not_be_fetched_is_said(name: str, url: str) -> None:
    if is_http(url):
        return  # somebody's server, who shouldn't be asked
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(cache_dir=Path(folder) / "cache")
        target = Path(folder) / "target"
        file = RemoteFile(name, url)
        assert isinstance(place_of(file, None), str)
        found = value_or_error(
            lambda: fetch([file], target, workspace=workspace, policy=RetryPolicy(attempts=1))
        )
        assert isinstance(found, HearError)
        assert not target.exists() or not any(path.is_file() for path in target.rglob("*"))


class _Response:
    """What a server sent before the body."""

    def __init__(self, headers: dict[str, str]) -> None:
        self.headers = headers


@fuzzed
@given(text=headers)
def test_what_servers_say(text: str) -> None:
    response: Any = _Response({"Content-Range": text, "Content-Length": text})
    span, whole, length = span_of(response), missed_whole(response), length_of(response)
    assert span is None or span.start >= 0
    assert whole is None or whole >= 0
    assert length is None or length >= 0
    wait_s = retry_after_s(text)
    assert wait_s is None or wait_s >= 0


@fuzzed
@given(value=json_values)
def test_descriptions_of_records(value: Any) -> None:
    entry = {"key": "a", "checksum": "md5:" + "0" * 32, "size": value}
    for listed in (value, {"files": value}, {"entries": {"a": value}}, {"files": [entry, value]}):
        for name, known in _listed(listed, "here"):
            assert isinstance(name, str)
            assert known.size_bytes is None or known.size_bytes >= 0
    assert load_record().remote("x", None).url.startswith("https://")


_VALUES = ("~nobodyhere/x", "x" * 5000, "\0", "", " ", "http://[::1", "banana", "~", "/dev/null/x")


@fuzzed
@given(values=st.tuples(*[st.sampled_from(_VALUES) | texts] * 3))
def test_variables_of_the_environment(values: tuple[str, str, str]) -> None:
    names = ("HEARBENCH_CACHE", "HEARBENCH_DEVICE", "HEARBENCH_MIRROR")
    environment = dict(zip(names, values, strict=True))
    found = value_or_error(lambda: Workspace.from_environment(environment=environment))
    assert isinstance(found, HearError) or found.cache_dir.is_absolute()


@pytest.mark.parametrize("text", ["a\0b", "x" * 5000, "\ud800"])
def test_what_is_no_path(text: str) -> None:
    with pytest.raises(HearError, match="can't be a path"):
        user_path(text)


def test_a_strangers_home_is_a_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert user_path("~/x") == tmp_path / "x"
    assert user_path("~nobodyhere/x") == Path("~nobodyhere/x")


@pytest.mark.parametrize("said", [True, False])
def test_small_texts_from_the_network_stay_small(
    monkeypatch: pytest.MonkeyPatch, said: bool
) -> None:
    monkeypatch.setattr(many, "_MOST_BYTES", 1000)
    with serving() as source:
        source.files = {"small": b"x" * 1000, "large": b"x" * 2000}
        if not said:
            source.faults = {"large": [Fault("chunks")]}
        assert read_remote(f"{source.url}/small") == b"x" * 1000
        with pytest.raises(TransferError, match="can't be right"):
            read_remote(f"{source.url}/large", policy=RetryPolicy(attempts=1))
