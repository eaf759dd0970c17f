from __future__ import annotations

import dataclasses
import errno
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers_http import Fault, Source, md5_hex, serving
from helpers_progress import Noted, State, noting
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from hearbench.errors import DownloadError
from hearbench.locks import lock_beside, only_one
from hearbench.tasks.fetch import (
    RemoteFile,
    RetryPolicy,
    TooLittleRoomError,
    fetch,
    fetch_each,
    read_remote,
)
from hearbench.tasks.fetch.remote import reason_of, retry_after_s
from hearbench.tasks.inventory import md5_digests
from hearbench.workspace import Workspace

CONTENT = random.Random(1).randbytes(100_000)
OTHER = random.Random(2).randbytes(120_000)
SWIFT = RetryPolicy(attempts=3, attempts_in_all=12, first_wait_s=0.0)


@pytest.fixture
def source(monkeypatch: pytest.MonkeyPatch) -> Iterator[Source]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving() as one:
        one.files["a.bin"] = CONTENT
        one.others["a.bin"] = OTHER
        yield one


def remote(source: Source, name: str = "a.bin", *, md5: str | None = "") -> RemoteFile:
    known = md5_hex(source.files[name]) if md5 == "" else md5
    return RemoteFile(name, f"{source.url}/far/{name}", known)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def get(
    source: Source, folder: Path, workspace: Workspace, *, policy: RetryPolicy = SWIFT
) -> list[Path]:
    return fetch([remote(source)], folder, workspace=workspace, policy=policy)


def test_files_come_whole_and_in_order(
    source: Source, tmp_path: Path, workspace: Workspace
) -> None:
    wanted = []
    for i in range(7):
        source.files[f"{i} ü.bin"] = bytes([i]) * 1000 * i
        name = f"{i} ü.bin"
        wanted.append(
            RemoteFile(name, f"{source.url}/{i}%20x", md5_hex(source.files[name]), 1000 * i)
        )
    # the mirror replaces the place and takes the quoted name
    workspace = dataclasses.replace(workspace, mirror=f"{source.url}/mirror/")
    threads: set[int] = set()
    seen = Noted(lambda _state: threads.add(threading.get_ident()))
    source.files |= {f"{i}%20%C3%BC.bin": source.files[f"{i} ü.bin"] for i in range(7)}
    out = tmp_path / "deep/out"
    paths = fetch(wanted, out, workspace=noting(workspace, seen), policy=SWIFT, at_once=3)
    assert paths == [out / f"{i} ü.bin" for i in range(7)]
    assert [path.read_bytes() for path in paths] == [bytes([i]) * 1000 * i for i in range(7)]
    assert names(out) == [path.name for path in paths]
    assert len(source.asked) == 7
    assert threads == {threading.get_ident()}
    for i in range(7):
        states = [state for state in seen.states if state.stage == f"downloading {i} ü.bin"]
        assert states[0][1:3] == (0, None)
        assert states[-1][1:3] == (1000 * i, 1000 * i)
    # a second time nothing is asked for
    fetch(wanted, out, workspace=workspace, policy=SWIFT)
    assert len(source.asked) == 7


def test_a_broken_connection_is_gone_on_from(
    source: Source, tmp_path: Path, workspace: Workspace
) -> None:
    source.faults["a.bin"] = [Fault("drop", 30_000), Fault("drop", 20_000), Fault("drop", 40_000)]
    (path,) = get(source, tmp_path / "out", workspace)
    assert path.read_bytes() == CONTENT
    assert source.ranges("a.bin") == [None, "bytes=30000-", "bytes=50000-", "bytes=90000-"]
    assert {one.if_range for one in source.asked[1:]} == {f'"{md5_hex(CONTENT)}"'}
    assert names(tmp_path / "out") == ["a.bin"]


def test_another_run_goes_on(source: Source, tmp_path: Path, workspace: Workspace) -> None:
    source.faults["a.bin"] = [Fault("drop", 30_000), *[Fault("refuse")] * 2]
    with pytest.raises(DownloadError, match="tried 3 times") as raised:
        get(source, tmp_path, workspace)
    message = str(raised.value)
    for said in ("1 of 1", "a.bin", f"{source.url}/far/a.bin", str(tmp_path), "--corpus-dir"):
        assert said in message
    assert names(tmp_path) == ["a.bin.part", "a.bin.part.json"]
    assert (tmp_path / "a.bin.part").read_bytes() == CONTENT[:30_000]
    get(source, tmp_path, workspace)
    assert (tmp_path / "a.bin").read_bytes() == CONTENT
    assert source.ranges("a.bin") == [None, *["bytes=30000-"] * 3]
    assert names(tmp_path) == ["a.bin", "cache"]  # the cache remembers the md5


@pytest.mark.parametrize(
    ("faults", "ranges"),
    [
        # all of it again, though a part was asked for
        ([Fault("drop", 9000), Fault("ignore")], [None, "bytes=9000-"]),
        # another file by now, and then the first one again
        ([Fault("drop", 9000), Fault("version"), Fault("none")], None),
        # a part that begins elsewhere
        ([Fault("drop", 9000), Fault("shift")], [None, "bytes=9000-", None]),
        # wrong bytes at the end of a resumed file
        ([Fault("drop", 9000), Fault("garble")], [None, "bytes=9000-", None]),
        # chunks, whole and broken
        ([Fault("chunks")], [None]),
        ([Fault("chunks", 9000)], [None, "bytes=9000-"]),
        # the length isn't said, so that the end can't be told from a break
        ([Fault("unframed")], [None]),
        ([Fault("unframed", 9000)], [None, None]),
        ([Fault("status", 500), Fault("status", 503)], [None] * 3),
        ([Fault("status", 408), Fault("status", 425)], [None] * 3),
        ([Fault("status", 502), Fault("status", 504)], [None] * 3),
        ([Fault("refuse"), Fault("status", 429, {"Retry-After": "0"})], [None] * 3),
        ([Fault("stall", 9000)], [None, "bytes=9000-"]),
        # nothing left to send, it says, but doesn't say of what
        ([Fault("drop", 9000), Fault("status", 416), Fault("none")], [None, "bytes=9000-", None]),
    ],
)
def test_what_is_wrong_once_is_made_good(
    source: Source,
    tmp_path: Path,
    workspace: Workspace,
    faults: list[Fault],
    ranges: list[str | None] | None,
) -> None:
    source.faults["a.bin"] = list(faults)
    # Only a server that stalls is to be waited for in vain; a busy machine isn't one.
    stalls = any(fault.kind == "stall" for fault in faults)
    policy = dataclasses.replace(SWIFT, read_timeout_s=1.0) if stalls else SWIFT
    if ranges is None:
        # one answer of another version is wrong as it is, and said to be
        with pytest.raises(DownloadError, match=md5_hex(OTHER)):
            get(source, tmp_path / "out", workspace)
        assert names(tmp_path / "out") == []
        ranges = [None, "bytes=9000-", None]
        source.faults["a.bin"] = []
    get(source, tmp_path / "out", workspace, policy=policy)
    assert (tmp_path / "out/a.bin").read_bytes() == CONTENT
    assert source.ranges("a.bin") == ranges
    assert names(tmp_path / "out") == ["a.bin"]


def test_wrong_bytes(source: Source, tmp_path: Path, workspace: Workspace) -> None:
    source.faults["a.bin"] = [Fault("garble")]
    with pytest.raises(DownloadError) as raised:
        get(source, tmp_path, workspace)
    garbled = md5_hex(bytes(255 - byte for byte in CONTENT))
    for said in ("100000 bytes", garbled, md5_hex(CONTENT), f"{source.url}/far/a.bin"):
        assert said in str(raised.value)
    assert names(tmp_path) == []
    assert len(source.asked) == 1
    # resumed, thrown away, and wrong again
    source.faults["a.bin"] = [Fault("drop", 10), Fault("garble"), Fault("garble"), Fault("none")]
    with pytest.raises(DownloadError, match=garbled):
        get(source, tmp_path, workspace)
    assert names(tmp_path) == []
    assert source.ranges("a.bin")[1:] == [None, "bytes=10-", None]
    get(source, tmp_path, workspace)
    assert (tmp_path / "a.bin").read_bytes() == CONTENT


def test_wrong_lengths(source: Source, tmp_path: Path, workspace: Workspace) -> None:
    file = dataclasses.replace(remote(source), size_bytes=len(CONTENT))
    source.faults["a.bin"] = [Fault("cut", 1)]
    with pytest.raises(DownloadError, match="has 99999 bytes, expected are 100000"):
        fetch([file], tmp_path / "1", workspace=workspace, policy=SWIFT)
    assert names(tmp_path / "1") == []
    # without an md5 the length alone must do
    file = dataclasses.replace(file, md5=None)
    source.faults["a.bin"] = [Fault("cut", 1)]
    with pytest.raises(DownloadError, match="has 99999 bytes, expected are 100000"):
        fetch([file], tmp_path / "2", workspace=workspace, policy=SWIFT)
    # broken off where nothing says so
    source.faults["a.bin"] = [Fault("unframed", 5000)]
    fetch([file], tmp_path / "2", workspace=workspace, policy=SWIFT)
    assert (tmp_path / "2/a.bin").read_bytes() == CONTENT
    assert source.ranges("a.bin")[2:] == [None, "bytes=5000-"]


def test_without_an_md5_what_cannot_be_told_is_refused(
    source: Source, tmp_path: Path, workspace: Workspace
) -> None:
    file = remote(source, md5=None)
    source.faults["a.bin"] = [Fault("unframed")]
    with pytest.raises(DownloadError, match="can't be told whether all of it came"):
        fetch([file], tmp_path / "out", workspace=workspace, policy=SWIFT)
    # and without a validator nothing is gone on from
    source.validators = False
    source.faults["a.bin"] = [Fault("drop", 9000), Fault("none")]
    fetch([file], tmp_path / "out", workspace=workspace, policy=SWIFT)
    assert (tmp_path / "out/a.bin").read_bytes() == CONTENT
    assert source.ranges("a.bin") == [None, None, None]


def test_a_file_that_changed_between_two_runs(
    source: Source, tmp_path: Path, workspace: Workspace
) -> None:
    file = remote(source, md5=None)
    source.faults["a.bin"] = [Fault("drop", 30_000), Fault("refuse"), Fault("refuse")]
    with pytest.raises(DownloadError):
        fetch([file], tmp_path, workspace=workspace, policy=SWIFT)
    source.files["a.bin"] = OTHER
    fetch([file], tmp_path, workspace=workspace, policy=SWIFT)
    assert (tmp_path / "a.bin").read_bytes() == OTHER
    assert source.asked[-1].range == "bytes=30000-"
    assert source.asked[-1].if_range == f'"{md5_hex(CONTENT)}"'


def test_a_server_that_goes_on_with_another_version(
    source: Source, tmp_path: Path, workspace: Workspace
) -> None:
    source.others["a.bin"] = OTHER[: len(CONTENT)]
    source.faults["a.bin"] = [Fault("drop", 30_000), Fault("rash")]
    fetch([remote(source, md5=None)], tmp_path / "out", workspace=workspace, policy=SWIFT)
    assert (tmp_path / "out/a.bin").read_bytes() == CONTENT
    assert source.ranges("a.bin") == [None, "bytes=30000-", None]


def test_another_place_is_begun_anew(source: Source, tmp_path: Path, workspace: Workspace) -> None:
    file = remote(source, md5=None)
    source.faults["a.bin"] = [Fault("drop", 30_000), Fault("status", 404)]
    with pytest.raises(DownloadError, match="404"):
        fetch([file], tmp_path, workspace=workspace, policy=SWIFT)
    elsewhere = dataclasses.replace(workspace, mirror=f"{source.url}/elsewhere")
    fetch([file], tmp_path, workspace=elsewhere, policy=SWIFT)
    assert (tmp_path / "a.bin").read_bytes() == CONTENT
    assert source.ranges("a.bin") == [None, "bytes=30000-", None]


def test_notes_that_cannot_be_used(source: Source, tmp_path: Path, workspace: Workspace) -> None:
    (tmp_path / "a.bin.part").write_bytes(CONTENT[:500])
    (tmp_path / "a.bin.part.json").write_text('{"format_version": 2}')
    get(source, tmp_path, workspace)
    assert source.ranges("a.bin") == [None]
    assert (tmp_path / "a.bin").read_bytes() == CONTENT


def test_a_complete_part_is_not_asked_for_again(
    source: Source, tmp_path: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    source.faults["a.bin"] = [Fault("drop", 99_999), Fault("refuse"), Fault("refuse")]
    with pytest.raises(DownloadError):
        get(source, tmp_path, workspace)
    asked = len(source.asked)
    with (tmp_path / "a.bin.part").open("ab") as file:
        file.write(CONTENT[-1:])
    get(source, tmp_path, workspace)
    assert len(source.asked) == asked
    assert (tmp_path / "a.bin").read_bytes() == CONTENT


@pytest.mark.parametrize("code", [401, 403, 404, 410])
def test_some_answers_are_final(
    source: Source, tmp_path: Path, workspace: Workspace, code: int
) -> None:
    source.faults["a.bin"] = [Fault("status", code)]
    with pytest.raises(DownloadError, match=rf"a\.bin from .*the server says {code} "):
        get(source, tmp_path / "out", workspace)
    assert len(source.asked) == 1
    assert names(tmp_path / "out") == []


def test_a_server_that_asks_to_wait(
    source: Source, tmp_path: Path, workspace: Workspace, caplog: pytest.LogCaptureFixture
) -> None:
    source.faults["a.bin"] = [Fault("status", 429, {"Retry-After": "1"})]
    begin = time.monotonic()
    get(source, tmp_path / "1", workspace)
    assert time.monotonic() - begin >= 1.0
    assert len(source.asked) == 2
    assert caplog.records == []  # over before anybody wonders
    source.faults["a.bin"] = [Fault("status", 503, {"Retry-After": "4000"})]
    with pytest.raises(DownloadError, match=r"says 503 .*asks to wait 4000 s"):
        get(source, tmp_path / "2", workspace)
    assert len(source.asked) == 3


def test_a_long_wait_is_said(
    source: Source, tmp_path: Path, workspace: Workspace, caplog: pytest.LogCaptureFixture
) -> None:
    source.faults["a.bin"] = [Fault("refuse"), Fault("status", 503, {"Retry-After": "2"})]
    get(source, tmp_path / "out", workspace)
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        (
            "WARNING",
            f"{source.url}/far/a.bin: the server says 503 Service Unavailable; trying again in "
            "2 s (3 of 3)",
        )
    ]


def test_waits_grow_up_to_a_limit() -> None:
    policy = RetryPolicy(first_wait_s=1.0, longest_wait_s=10.0, jitter=0.5)
    generator = random.Random(0)
    for failures, longest in ((1, 1.0), (2, 2.0), (3, 4.0), (4, 8.0), (5, 10.0), (5000, 10.0)):
        waits = [policy.wait_s(failures, None, generator) for _ in range(200)]
        assert longest / 2 <= min(waits) < 0.55 * longest
        assert 0.95 * longest < max(waits) <= longest
    assert policy.wait_s(1, 7.0, generator) == 7.0


def test_what_retry_after_says() -> None:
    assert retry_after_s(None) is None
    assert retry_after_s("12") == 12.0
    assert retry_after_s("soon") is None
    assert retry_after_s("Wed, 21 Oct 99999999999999999999 07:28:00 GMT") is None
    assert retry_after_s("Wed, 21 Oct 2015 07:28:00 GMT") == 0.0
    distant = retry_after_s("Fri, 01 Jan 2100 00:00:00 GMT")
    assert distant is not None
    assert distant > 1e9


def test_addresses_that_are_not_http(source: Source, tmp_path: Path, workspace: Workspace) -> None:
    (tmp_path / "x").write_bytes(CONTENT)
    for url in (f"file://{tmp_path}/x", "ftp://127.0.0.1/x", "x", "http://", "http://[x/"):
        with pytest.raises(DownloadError, match="no http or https address"):
            fetch([RemoteFile("x", url)], tmp_path / "out", workspace=workspace, policy=SWIFT)
    for url in (f"file://{tmp_path}/x", "ftp://127.0.0.1/x"):
        source.faults["a.bin"] = [Fault("redirect", headers={"Location": url})]
        with pytest.raises(DownloadError, match="no http or https address"):
            get(source, tmp_path / "out", workspace)
    assert names(tmp_path / "out") == []
    source.faults["a.bin"] = [Fault("redirect", headers={"Location": f"{source.url}/b/a.bin"})]
    get(source, tmp_path / "out", workspace)
    assert (tmp_path / "out/a.bin").read_bytes() == CONTENT


def test_a_server_that_is_not_there(tmp_path: Path, workspace: Workspace) -> None:
    with serving() as gone:
        url = gone.url
    file = RemoteFile("a.bin", f"{url}/a.bin")
    with pytest.raises(DownloadError, match=r"no answer from 127.*Connection refused.*3 times"):
        fetch([file], tmp_path / "out", workspace=workspace, policy=SWIFT)
    assert names(tmp_path / "out") == []


def test_what_is_there_is_checked_and_kept(
    source: Source, tmp_path: Path, workspace: Workspace
) -> None:
    (tmp_path / "a.bin").write_bytes(OTHER)
    (tmp_path / "b.bin").write_bytes(b"12345")
    (tmp_path / "c.bin").write_bytes(b"any")
    files = [
        remote(source),
        RemoteFile("b.bin", source.url, None, 4),
        RemoteFile("c.bin", source.url),
    ]
    with pytest.raises(DownloadError) as raised:
        fetch(files, tmp_path, workspace=workspace, policy=SWIFT)
    for said in (md5_hex(OTHER), md5_hex(CONTENT), "b.bin has 5 bytes, expected are 4", "away"):
        assert said in str(raised.value)
    assert "c.bin" not in str(raised.value)
    assert (tmp_path / "a.bin").read_bytes() == OTHER
    (tmp_path / "a.bin").write_bytes(CONTENT)
    paths = fetch(files[:1] + files[2:], tmp_path, workspace=workspace, policy=SWIFT)
    assert paths == [tmp_path / "a.bin", tmp_path / "c.bin"]
    assert source.asked == []


def test_md5s_are_remembered(
    tmp_path: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(CONTENT)
    time.sleep(0.05)  # what was written just now may change within the same tick of the clock
    assert md5_digests(tmp_path, ["a.bin"], workspace) == [md5_hex(CONTENT)]
    with monkeypatch.context() as unreadable:
        unreadable.setattr("hearbench.tasks.inventory.md5_of", None)
        assert md5_digests(tmp_path, ["a.bin"], workspace) == [md5_hex(CONTENT)]
    stamp = path.stat()
    path.write_bytes(bytes(len(CONTENT)))
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert md5_digests(tmp_path, ["a.bin"], workspace) == [md5_hex(bytes(len(CONTENT)))]


def test_names_that_cannot_be(source: Source, tmp_path: Path, workspace: Workspace) -> None:
    for name in ("", "..", "../a", "a/b", "a\\b"):
        with pytest.raises(DownloadError, match="can't name a file"):
            fetch([RemoteFile(name, source.url)], tmp_path, workspace=workspace)
    two = [remote(source), dataclasses.replace(remote(source), url="http://127.0.0.1/b")]
    with pytest.raises(DownloadError, match=r"Two different files.*a\.bin"):
        fetch(two, tmp_path, workspace=workspace)
    twice = fetch([remote(source)] * 2, tmp_path, workspace=workspace, policy=SWIFT)
    assert twice == [tmp_path / "a.bin"] * 2
    assert len(source.asked) == 1


def test_all_failures_are_said_at_once(
    source: Source, tmp_path: Path, workspace: Workspace
) -> None:
    for name in ("b.bin", "c.bin", "d.bin"):
        source.files[name] = CONTENT
    source.faults |= {
        "a.bin": [Fault("stall", 20_000)],
        "b.bin": [Fault("status", 500)],
        "c.bin": [Fault("status", 404, late=True)],
    }
    wanted = [remote(source, name) for name in ("a.bin", "b.bin", "c.bin", "d.bin")]
    # Longer than the server stalls, which it does until the end of the test.
    patient = dataclasses.replace(SWIFT, first_wait_s=600.0, read_timeout_s=600.0)
    with pytest.raises(DownloadError) as raised:
        fetch(wanted, tmp_path, workspace=workspace, at_once=3, policy=patient)
    heading, *failed, left, by_hand = str(raised.value).splitlines()
    assert heading == "2 of 4 files can't be fetched:"
    assert failed == [
        f"- b.bin from {source.url}/far/b.bin: the server says 500 Internal Server Error",
        f"- c.bin from {source.url}/far/c.bin: the server says 404 Not Found",
    ]
    assert left.startswith("Not fetched yet: a.bin, d.bin.")
    assert "download b.bin, c.bin by hand" in by_hand
    assert str(tmp_path) in by_hand
    assert {one.name for one in source.asked} == {"a.bin", "b.bin", "c.bin"}
    assert (tmp_path / "a.bin.part").read_bytes() == CONTENT[:20_000]
    source.closing.set()  # lets go of what is still waiting for the rest of a.bin
    time.sleep(0.2)
    fetch(wanted, tmp_path, workspace=workspace, policy=SWIFT)
    assert all((tmp_path / file.name).read_bytes() == CONTENT for file in wanted)
    assert source.ranges("a.bin") == [None, "bytes=20000-"]


def test_what_fails_alone_keeps_no_other_from_coming(
    source: Source, tmp_path: Path, workspace: Workspace
) -> None:
    for name in ("b.bin", "c.bin", "d.bin", "e.bin", "f.bin"):
        source.files[name] = CONTENT
    source.faults |= {"a.bin": [Fault("status", 404)], "c.bin": [Fault("garble")]}
    tmp_path.joinpath("e.bin").write_bytes(OTHER)
    tmp_path.joinpath("f.bin").write_bytes(CONTENT)
    wanted = [remote(source, f"{letter}.bin") for letter in "abcdef"]
    results = fetch_each(
        wanted,
        tmp_path,
        workspace=workspace,
        at_once=1,
        policy=SWIFT,
        hand_in="take DIR",
    )
    assert [results[i] for i in (1, 3, 5)] == [tmp_path / f"{letter}.bin" for letter in "bdf"]
    assert all((tmp_path / f"{letter}.bin").read_bytes() == CONTENT for letter in "bdf")
    assert str(results[0]).splitlines() == [
        "1 of 1 files can't be fetched:",
        f"- a.bin from {source.url}/far/a.bin: the server says 404 Not Found",
        f"If that doesn't pass, download a.bin by hand and put it into {tmp_path}, or hand in the "
        "folder that holds it: take DIR",
    ]
    assert md5_hex(bytes(255 - byte for byte in CONTENT)) in str(results[2])
    assert f"e.bin has the md5 {md5_hex(OTHER)}" in str(results[4])
    assert (tmp_path / "e.bin").read_bytes() == OTHER
    assert [one.name for one in source.asked] == ["a.bin", "b.bin", "c.bin", "d.bin"]


def test_what_fails_for_all_is_said_once(
    source: Source, tmp_path: Path, workspace: Workspace
) -> None:
    with serving() as gone:
        url = gone.url
    source.faults["a.bin"] = [Fault("status", 404)]
    wanted = [remote(source), *(RemoteFile(f"{i}.bin", f"{url}/{i}.bin") for i in range(4))]
    first, *others = fetch_each(
        wanted, tmp_path / "out", workspace=workspace, at_once=1, policy=SWIFT
    )
    assert "404" in str(first)
    assert len({id(error) for error in others}) == 1
    heading, failed, left, by_hand = str(others[0]).splitlines()
    assert heading == "1 of 5 files can't be fetched:"
    assert failed.startswith(f"- 0.bin from {url}/0.bin: no answer from 127.0.0.1:")
    assert left.startswith("Not fetched yet: 1.bin, 2.bin, 3.bin.")
    assert by_hand.endswith("hearbench prepare TASK --corpus-dir DIR")


def test_too_little_room_for_all(
    source: Source, tmp_path: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hearbench.tasks.fetch.many.free_bytes", lambda _: 150_000)
    files = [RemoteFile(name, source.url, None, 100_000) for name in ("a.bin", "b.bin")]
    with pytest.raises(TooLittleRoomError, match=r"200000 bytes are needed, .* has 150000 free"):
        fetch_each(files, tmp_path / "out", workspace=workspace, policy=SWIFT)
    assert source.asked == []


def test_too_little_room(
    source: Source, tmp_path: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hearbench.tasks.fetch.many.free_bytes", lambda _: 70_000)
    file = dataclasses.replace(remote(source), size_bytes=100_000)
    with pytest.raises(DownloadError, match=r"100000 bytes are needed, .* has 70000 free"):
        fetch([file], tmp_path / "out", workspace=workspace, policy=SWIFT)
    assert source.asked == []
    # what is there already counts
    source.faults["a.bin"] = [Fault("drop", 40_000), Fault("status", 404)]
    with pytest.raises(DownloadError, match="404"):
        get(source, tmp_path / "out", workspace)
    fetch([file], tmp_path / "out", workspace=workspace, policy=SWIFT)
    assert (tmp_path / "out/a.bin").read_bytes() == CONTENT
    # the length is known from the server alone
    monkeypatch.setattr("hearbench.tasks.fetch.transfer.free_bytes", lambda _: 99_999)
    with pytest.raises(DownloadError, match=r"needs 100000 bytes more.*99999 free") as raised:
        get(source, tmp_path / "2", workspace)
    assert "by hand" not in str(raised.value)


def test_a_disk_that_fills_up_on_the_way(
    source: Source, tmp_path: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = 50_000
    write = os.write

    def full(handle: int, data: bytes) -> int:
        nonlocal left
        if not left:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        done = write(handle, data[:left])
        left -= done
        return done

    with monkeypatch.context() as patch:
        patch.setattr("hearbench.tasks.fetch.part.os.write", full)
        with pytest.raises(DownloadError, match="is full; the 50000 bytes") as raised:
            get(source, tmp_path / "out", workspace)
    assert "Make room" in str(raised.value)
    assert (tmp_path / "out/a.bin.part").read_bytes() == CONTENT[:50_000]
    get(source, tmp_path / "out", workspace)
    assert (tmp_path / "out/a.bin").read_bytes() == CONTENT
    assert source.ranges("a.bin") == [None, "bytes=50000-"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 2 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount, umount = shutil.which("mount"), shutil.which("umount")
    if mount is None or umount is None:
        pytest.skip("there is no mount command")
    command = [mount, "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"a small disk can't be mounted: {done.stderr.strip()}")
    yield folder
    subprocess.run([umount, str(folder)], check=True, capture_output=True)


def test_a_real_disk_that_is_full(source: Source, small_disk: Path, workspace: Workspace) -> None:
    content = random.Random(3).randbytes(1_500_000)
    source.files["a.bin"] = content
    # a length that is known is refused before anything is written
    (small_disk / "ballast").write_bytes(bytes(1_000_000))
    with pytest.raises(DownloadError, match="needs 1500000 bytes more"):
        get(source, small_disk, workspace)
    assert names(small_disk) == ["ballast"]
    # one that isn't fills the disk
    source.faults["a.bin"] = [Fault("chunks")]
    with pytest.raises(DownloadError, match="is full"):
        get(source, small_disk, workspace)
    assert names(small_disk) == ["a.bin.part", "a.bin.part.json", "ballast"]
    part = (small_disk / "a.bin.part").read_bytes()
    assert 900_000 < len(part) < 1_200_000
    assert part == content[: len(part)]
    (small_disk / "ballast").unlink()
    get(source, small_disk, workspace)
    assert (small_disk / "a.bin").read_bytes() == content
    assert source.ranges("a.bin") == [None, None, f"bytes={len(part)}-"]


def test_an_interruption(source: Source, tmp_path: Path) -> None:
    """Ctrl-C while a server stalls: the process ends at once, and the next run goes on."""
    source.faults["a.bin"] = [Fault("stall", 30_000)]
    code = (
        "import sys; from pathlib import Path\n"
        "from hearbench.workspace import Workspace\n"
        "from hearbench.tasks.fetch import RemoteFile, fetch\n"
        "out = Path(sys.argv[1])\n"
        "try:\n"
        "    fetch([RemoteFile('a.bin', sys.argv[2], sys.argv[3])], out,"
        " workspace=Workspace(cache_dir=out / 'cache'))\n"
        "except KeyboardInterrupt:\n"
        "    sys.exit(130)\n"
    )
    file = remote(source)
    command = [sys.executable, "-c", code, str(tmp_path), file.url, str(file.md5)]
    process = subprocess.Popen(command)
    try:
        assert source.stalled.wait(120)
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        # Sooner than it would have tried again by itself.
        assert process.wait(RetryPolicy().read_timeout_s - 1) == 130
    finally:
        process.kill()
        process.wait()
    assert (tmp_path / "a.bin.part").read_bytes() == CONTENT[:30_000]
    get(source, tmp_path, Workspace(cache_dir=tmp_path / "cache"))
    assert (tmp_path / "a.bin").read_bytes() == CONTENT
    assert source.ranges("a.bin") == [None, "bytes=30000-"]


def test_an_error_of_the_caller_stops_it(
    source: Source, tmp_path: Path, workspace: Workspace
) -> None:
    def bad(state: State) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fetch([remote(source)], tmp_path, workspace=noting(workspace, Noted(bad)), policy=SWIFT)


def test_one_writer_at_a_time(source: Source, tmp_path: Path, workspace: Workspace) -> None:
    with only_one(lock_beside(tmp_path / "a.bin"), "a test") as alone:
        assert alone
        with pytest.raises(DownloadError, match=rf"fetching it: .* {os.getpid()} on"):
            get(source, tmp_path, workspace)
    assert source.asked == []
    get(source, tmp_path, workspace)
    assert (tmp_path / "a.bin").read_bytes() == CONTENT


def test_a_folder_that_cannot_be(source: Source, tmp_path: Path, workspace: Workspace) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(DownloadError, match="file"):
        get(source, tmp_path / "file", workspace)


def test_a_small_text(source: Source) -> None:
    assert read_remote(f"{source.url}/a.bin", policy=SWIFT) == CONTENT


def test_the_reason_of_an_error() -> None:
    inner = OSError(errno.ECONNREFUSED, "refused")
    assert reason_of(ValueError("outer", inner)) == "refused"
    assert reason_of(ValueError("outer")) == "outer"
    assert reason_of(ValueError()) == "ValueError"


FAULTS = st.one_of(
    st.builds(
        Fault,
        st.sampled_from(["drop", "cut", "chunks", "unframed"]),
        st.integers(0, len(CONTENT) + 10),
    ),
    st.builds(Fault, st.sampled_from(["refuse", "garble", "ignore", "shift", "version", "none"])),
    st.builds(Fault, st.just("status"), st.sampled_from([404, 408, 416, 429, 500, 503])),
)
# Servers that err, but don't lie about what they send.
HONEST = FAULTS.filter(lambda fault: fault.kind not in {"garble", "cut"})


@pytest.fixture(scope="module")
def shared_source() -> Iterator[Source]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NO_PROXY", "127.0.0.1")
        with serving() as one:
            yield one


@hypothesis_settings(max_examples=80, deadline=None)
@given(st.lists(FAULTS, max_size=6), st.booleans(), st.booleans())
def test_the_file_is_right_or_not_there(
    shared_source: Source, faults: list[Fault], validators: bool, size_known: bool
) -> None:
    source = shared_source
    source.files["a.bin"], source.others["a.bin"] = CONTENT, OTHER
    source.faults["a.bin"], source.validators = list(faults), validators
    file = RemoteFile("a.bin", f"{source.url}/a.bin", md5_hex(CONTENT))
    if size_known:
        file = dataclasses.replace(file, size_bytes=len(CONTENT))
    with tempfile.TemporaryDirectory() as name:
        target = Path(name) / "out/a.bin"
        workspace = Workspace(cache_dir=Path(name) / "cache")
        try:
            fetch([file], target.parent, workspace=workspace, policy=SWIFT)
        except DownloadError:
            assert not target.exists()
            source.faults["a.bin"] = []
            fetch([file], target.parent, workspace=workspace, policy=SWIFT)
        assert target.read_bytes() == CONTENT
        assert names(target.parent) == ["a.bin"]


@hypothesis_settings(max_examples=60, deadline=None)
@given(st.lists(HONEST, max_size=6), st.booleans())
def test_without_an_md5_it_is_one_version(
    shared_source: Source, faults: list[Fault], validators: bool
) -> None:
    source = shared_source
    source.files["a.bin"], source.others["a.bin"] = CONTENT, OTHER
    source.faults["a.bin"], source.validators = list(faults), validators
    file = RemoteFile("a.bin", f"{source.url}/a.bin")
    with tempfile.TemporaryDirectory() as name:
        target = Path(name) / "out/a.bin"
        workspace = Workspace(cache_dir=Path(name) / "cache")
        try:
            fetch([file], target.parent, workspace=workspace, policy=SWIFT)
        except DownloadError:
            assert not target.exists()
        else:
            assert target.read_bytes() in {CONTENT, OTHER}
