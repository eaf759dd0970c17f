from __future__ import annotations

import dataclasses
import gzip
import json
import logging
import shutil
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from helpers_http import Fault, Source, md5_hex, serving
from helpers_progress import Noted, noting
from helpers_tasks import make_scene_task

from hearbench.errors import DownloadError, TaskError, UnknownNameError
from hearbench.tasks.fetch import RetryPolicy
from hearbench.tasks.ready_made import (
    fetch_each_ready_made,
    fetch_ready_made,
    ready_made_file,
    ready_made_names,
    unpublished,
)
from hearbench.tasks.record import ArchiveRecord, Known, load_record
from hearbench.tasks.store import load_task
from hearbench.workspace import Workspace

TASK = "tones-1.0.0-full"
ARCHIVE = f"hear2021-{TASK}-48000.tar.gz"
SWIFT = RetryPolicy(attempts=3, first_wait_s=0.0)


@pytest.fixture
def source(monkeypatch: pytest.MonkeyPatch) -> Iterator[Source]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving() as one:
        yield one


def packed(tmp_path: Path, folder: Path | None = None, *, inside: str = "") -> bytes:
    """A task's archive as the published ones are."""
    folder = folder or make_scene_task(tmp_path / "made", clips_per_label=1)
    path = tmp_path / "packed.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        archive.add(folder, arcname=inside or f"hear-2021.0.6/tasks/{folder.name}")
    content = path.read_bytes()
    path.unlink()
    return content


def record_at(source: Source, known: dict[str, Known] | None = None) -> ArchiveRecord:
    return ArchiveRecord(
        api=f"{source.url}/api/6332517",
        place=f"{source.url}/files/",
        archive="hear2021-{folder}-48000.tar.gz",
        folders=(TASK,),
        known=known or {},
    )


def list_it(source: Source, *archives: tuple[str, bytes]) -> None:
    value = {
        "files": [
            {"key": name, "size": len(content), "checksum": f"md5:{md5_hex(content)}"}
            for name, content in archives
        ]
    }
    source.files["6332517"] = json.dumps(value).encode()


def get(source: Source, workspace: Workspace, **more: Any) -> Path:
    more = {"record": record_at(source), "policy": SWIFT, **more}
    return fetch_ready_made(TASK, workspace=workspace, **more)


def nothing_left(workspace: Workspace) -> bool:
    tasks = workspace.cache_dir / "tasks"
    return not tasks.is_dir() or not any(tasks.iterdir())


def test_what_the_record_has() -> None:
    record = load_record()
    assert ready_made_names() == record.folders
    assert len(set(record.folders)) == 20
    assert record.api == "https://zenodo.org/api/records/6332517"
    assert record.known["beehive_states_fold0-v2-full"].md5 == "f9e045f9b2ddf5643edc1143304c80aa"
    assert record.known["beehive_states_fold1-v2-full"].md5 == "8bced7ce8336bf23fd61c61f04aee109"


def test_every_task_of_the_leaderboard_is_named(shared: Path, workspace: Workspace) -> None:
    facts = json.loads((shared / "spec/tasks.json").read_text())
    for name in ready_made_names():
        task = next(task for task in facts if name.startswith(f"{task}-{facts[task]['version']}-"))
        mode = name.removeprefix(f"{task}-{facts[task]['version']}-")
        assert mode in facts[task]["modes"]
    file = ready_made_file("beehive_states_fold1-v2-full", workspace)
    assert file.url == (
        "https://zenodo.org/records/6332517/files/"
        "hear2021-beehive_states_fold1-v2-full-48000.tar.gz"
    )
    assert file.md5 == "8bced7ce8336bf23fd61c61f04aee109"
    assert ready_made_file("esc50-v2.0.0-full", workspace).md5 is None


def test_a_task_is_downloaded_and_unpacked(
    source: Source, workspace: Workspace, tmp_path: Path
) -> None:
    content = packed(tmp_path)
    source.files[ARCHIVE] = content
    list_it(source, (ARCHIVE, content), ("other.tar.gz", b"x"))
    source.faults[ARCHIVE] = [Fault("drop", 1000), Fault("status", 503)]
    seen = Noted()
    folder = get(source, noting(workspace, seen))
    assert folder == workspace.cache_dir / "tasks" / TASK
    made = tmp_path / "made" / TASK
    names = sorted(path.relative_to(made) for path in made.rglob("*"))
    assert sorted(path.relative_to(folder) for path in folder.rglob("*")) == names
    assert load_task(TASK, workspace=workspace).name == TASK
    assert source.ranges(ARCHIVE) == [None, "bytes=1000-", "bytes=1000-"]
    assert (f"downloading {ARCHIVE}", len(content), len(content), "") in seen.states
    assert seen.stages == [f"downloading {ARCHIVE}", f"unpacking {TASK}"]
    assert [path.name for path in folder.parent.iterdir()] == [TASK]
    assert list((workspace.cache_dir / "downloads/ready-made").iterdir()) == []
    # a second time nothing is asked for
    asked = len(source.asked)
    assert get(source, workspace) == folder
    assert len(source.asked) == asked
    pins = json.loads((workspace.cache_dir / "pins.json").read_text())
    assert pins["files"][ARCHIVE]["md5"] == md5_hex(content)
    assert pins["files"][ARCHIVE]["size_bytes"] == len(content)
    assert pins["files"]["other.tar.gz"]["md5"] == md5_hex(b"x")


@pytest.mark.parametrize("form", ["filename", "entries", "entries list", "top"])
def test_other_forms_of_the_description(
    source: Source, workspace: Workspace, tmp_path: Path, form: str
) -> None:
    content = source.files[ARCHIVE] = packed(tmp_path)
    md5, size = md5_hex(content), len(content)
    entry = {"key": ARCHIVE, "size": size, "checksum": f"md5:{md5}"}
    value: Any = {
        "filename": {"files": [{"filename": ARCHIVE, "filesize": size, "checksum": md5}]},
        "entries": {"files": {"enabled": True, "entries": {ARCHIVE: entry}}},
        "entries list": {"files": {"entries": [3, {"key": "x"}, entry]}},
        "top": {"entries": [entry]},
    }[form]
    source.files["6332517"] = json.dumps(value).encode()
    assert (get(source, workspace) / "task_metadata.json").is_file()


def test_an_archive_that_is_not_the_published_one(
    source: Source, workspace: Workspace, tmp_path: Path
) -> None:
    content = packed(tmp_path)
    source.files[ARCHIVE] = packed(tmp_path, make_scene_task(tmp_path / "b", labels=("x", "y")))
    list_it(source, (ARCHIVE, content))
    with pytest.raises(DownloadError, match=rf"{ARCHIVE}.*bytes, expected are"):
        get(source, workspace)
    known = {TASK: Known(md5=md5_hex(content))}
    with pytest.raises(DownloadError, match=md5_hex(content)):
        get(source, workspace, record=record_at(source, known))
    assert nothing_left(workspace)
    assert list((workspace.cache_dir / "downloads/ready-made").iterdir()) == []


def test_a_record_that_changed(source: Source, workspace: Workspace, tmp_path: Path) -> None:
    content = source.files[ARCHIVE] = packed(tmp_path)
    list_it(source, (ARCHIVE, content), ("other", b"1"))
    get(source, workspace)
    list_it(source, ("hear2021-more-48000.tar.gz", content), ("other", b"2"))
    with pytest.raises(DownloadError) as raised:
        fetch_ready_made("more", workspace=workspace, record=record_at(source), policy=SWIFT)
    for said in ("- other:", md5_hex(b"1"), md5_hex(b"2"), "pins.json"):
        assert said in str(raised.value)
    # also against what the package knows
    known = {"tones-2": Known(md5=md5_hex(b"3"))}
    list_it(source, ("hear2021-tones-2-48000.tar.gz", b"4"))
    with pytest.raises(DownloadError, match=f"{md5_hex(b'3')} by the package"):
        fetch_ready_made("more", workspace=workspace, record=record_at(source, known), policy=SWIFT)


def test_pins_that_cannot_be_read(source: Source, workspace: Workspace) -> None:
    workspace.cache_dir.mkdir()
    (workspace.cache_dir / "pins.json").write_text('{"files": []}')
    with pytest.raises(DownloadError, match=r"pins\.json.*Mend or remove"):
        get(source, workspace)


def test_without_an_md5_nothing_is_downloaded(source: Source, workspace: Workspace) -> None:
    with pytest.raises(DownloadError, match="404") as raised:
        get(source, workspace)
    advice = f"hearbench tasks download {TASK} --corpus-dir DIR"
    for said in (ARCHIVE, f"{source.url}/files/{ARCHIVE}", advice, "/api/6332517"):
        assert said in str(raised.value)
    for content in (b"<html>", b"[1]", b'{"files": 3}', b'{"files": [{"key": "x"}]}'):
        source.files["6332517"] = content
        with pytest.raises(DownloadError, match=r"no JSON|doesn't list"):
            get(source, workspace)
    assert source.ranges(ARCHIVE) == []


def test_tasks_that_are_not_there(source: Source, workspace: Workspace) -> None:
    list_it(source)
    for name in ("tone-1.0.0-full", "../tones", "a/b", ""):
        with pytest.raises(UnknownNameError, match="no ready-made task"):
            fetch_ready_made(name, workspace=workspace, record=record_at(source), policy=SWIFT)
    (workspace.cache_dir / "tasks" / TASK).mkdir(parents=True)
    with pytest.raises(TaskError, match="no finished task"):
        get(source, workspace)


def test_tasks_that_are_not_published() -> None:
    for name, said in (
        ("spoken_digit-v1.0.9-full", "There is no ready-made task"),  # no such version
        (
            "spoken_digit-1.0.9-full",
            "spoken_digit-1.0.9-full isn't published ready-made; `hearbench prepare spoken_digit "
            "--mode full` makes it from its corpus.",
        ),
        (
            "esc50-v2.0.0-small",
            "esc50-v2.0.0-small isn't published ready-made, only esc50-v2.0.0-full; `hearbench "
            "prepare esc50 --mode small` makes it from its corpus.",
        ),
    ):
        assert str(unpublished(name)).startswith(said)


def three(source: Source, tmp_path: Path) -> tuple[ArchiveRecord, dict[str, str]]:
    """A record with three tasks that the server has, and their archives' names."""
    archives = {}
    for name in ("one", "two", "three"):
        folder = make_scene_task(tmp_path / "made", name=name, clips_per_label=1)
        archives[folder.name] = f"hear2021-{folder.name}-48000.tar.gz"
        source.files[archives[folder.name]] = packed(tmp_path, folder)
    return record_at(source).model_copy(update={"folders": tuple(archives)}), archives


def test_several_at_a_time(source: Source, mirrored: Workspace, tmp_path: Path) -> None:
    record, archives = three(source, tmp_path)
    lost, *others = archives
    sums = [f"{md5_hex(source.files[name])}  {name}" for name in archives.values()]
    source.files["md5sums.txt"] = "\n".join(sums).encode()
    del source.files[archives[lost]]
    source.meeting = threading.Barrier(3)
    source.faults = {name: [Fault("meet")] for name in archives.values()}
    seen = Noted()
    outcomes = list(
        fetch_each_ready_made(
            [*archives, lost],
            workspace=noting(mirrored, seen),
            record=record,
            policy=RetryPolicy(attempts=1),
        )
    )
    assert not source.meeting.broken  # none was answered before all were asked for
    assert [names for names, _ in outcomes] == [(lost,), *((name,) for name in others)]
    assert isinstance(outcomes[0].result, DownloadError)
    assert "404" in str(outcomes[0].result)
    assert [result for _, result in outcomes[1:]] == [
        mirrored.cache_dir / "tasks" / name for name in others
    ]
    assert all(load_task(name, workspace=mirrored).name == name for name in others)
    assert sorted(one.name for one in source.asked) == sorted([*archives.values(), "md5sums.txt"])
    assert set(seen.stages[:2]) == {f"downloading {archives[name]}" for name in others}
    assert seen.stages[2:] == [f"unpacking {name}" for name in others]


def test_a_cause_that_all_share_is_one_outcome(
    source: Source, workspace: Workspace, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    record, archives = three(source, tmp_path)
    mine, *others = archives
    (tmp_path / archives[mine]).write_bytes(source.files[archives[mine]])
    outcomes = list(
        fetch_each_ready_made(
            list(archives),
            workspace=workspace,
            record=record,
            policy=SWIFT,
            corpus_dirs=[tmp_path],
        )
    )
    assert outcomes[0].names == tuple(others)
    for said in ("2 archives", "404", "hearbench tasks download NAME --corpus-dir DIR"):
        assert said in str(outcomes[0].result)
    assert outcomes[1:] == [((mine,), workspace.cache_dir / "tasks" / mine)]
    assert [one.name for one in source.asked] == ["6332517"]
    assert [archives[mine] in record.getMessage() for record in caplog.records] == [True]
    # from a mirror without md5s all are taken, with one warning
    caplog.clear()
    mirrored = dataclasses.replace(workspace, mirror=source.url)
    outcomes = list(
        fetch_each_ready_made(list(archives), workspace=mirrored, record=record, policy=SWIFT)
    )
    assert outcomes == [((name,), workspace.cache_dir / "tasks" / name) for name in archives]
    (warning,) = caplog.records
    assert all(archives[name] in warning.getMessage() for name in others)


def test_what_does_not_fit_together_comes_one_by_one(
    source: Source, workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record, archives = three(source, tmp_path)
    list_it(source, *((name, source.files[name]) for name in archives.values()))
    sizes = [len(source.files[name]) for name in archives.values()]
    monkeypatch.setattr("hearbench.tasks.fetch.many.free_bytes", lambda _: max(sizes))
    outcomes = list(
        fetch_each_ready_made(list(archives), workspace=workspace, record=record, policy=SWIFT)
    )
    assert outcomes == [((name,), workspace.cache_dir / "tasks" / name) for name in archives]
    assert [one.name for one in source.asked] == ["6332517", *archives.values()]


@pytest.fixture
def mirrored(source: Source, workspace: Workspace) -> Workspace:
    return dataclasses.replace(workspace, mirror=f"{source.url}/mirror/")


def test_a_mirror_with_md5sums(
    source: Source, mirrored: Workspace, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    content = source.files[ARCHIVE] = packed(tmp_path)
    source.files["md5sums.txt"] = f"{'0' * 32}  x\n{md5_hex(content)} *./{ARCHIVE}\n".encode()
    source.faults[ARCHIVE] = [Fault("garble")]
    with pytest.raises(DownloadError, match=md5_hex(content)):
        get(source, mirrored)
    assert (get(source, mirrored) / "task_metadata.json").is_file()
    assert "6332517" not in {one.name for one in source.asked}
    assert caplog.records == []


def test_a_mirror_without_md5s(
    source: Source, mirrored: Workspace, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    content = source.files[ARCHIVE] = packed(tmp_path)
    with caplog.at_level(logging.WARNING):
        folder = get(source, mirrored)
    assert ARCHIVE in caplog.text
    assert "isn't known" in caplog.text
    # asked for once each, without patience
    assert len(source.ranges("6332517")) == len(source.ranges("md5sums.txt")) == 1
    pins = json.loads((mirrored.cache_dir / "pins.json").read_text())
    assert pins["files"][ARCHIVE]["md5"] == md5_hex(content)
    # what was seen is what is expected from then on
    folder.rename(tmp_path / "away")
    source.files[ARCHIVE] = packed(tmp_path, make_scene_task(tmp_path / "b", seed=1))
    with pytest.raises(DownloadError, match=r"expected (is|are)"):
        get(source, mirrored)


def test_without_an_md5_an_archive_is_looked_at_closely(
    source: Source, mirrored: Workspace, tmp_path: Path
) -> None:
    good = packed(tmp_path)
    flawed = make_scene_task(tmp_path / "flawed", clips_per_label=1)
    (flawed / "16000/test/test-a-0.wav").unlink()
    for content, said in (
        (good[:-8] + bytes(4) + good[-4:], "CRC"),  # behind the end of the tar
        (good[: len(good) // 2], "damaged or no"),
        (b"<html>", "damaged or no"),
        (packed(tmp_path, flawed), "test-a-0"),
        (gzip.compress(b"no tar"), ARCHIVE),
    ):
        source.files[ARCHIVE] = content
        with pytest.raises(TaskError, match=said) as raised:
            get(source, mirrored)
        archive = mirrored.cache_dir / "downloads/ready-made" / ARCHIVE
        assert f"{archive} was removed" in str(raised.value)
        assert nothing_left(mirrored)
        assert list((mirrored.cache_dir / "downloads/ready-made").iterdir()) == []
        assert not (mirrored.cache_dir / "pins.json").exists()
    source.files[ARCHIVE] = good
    assert (get(source, mirrored) / "task_metadata.json").is_file()


def test_an_archive_is_kept_where_there_is_no_room(
    source: Source, mirrored: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = source.files[ARCHIVE] = packed(tmp_path)
    archive = mirrored.cache_dir / "downloads/ready-made" / ARCHIVE
    with monkeypatch.context() as patch:
        # More than the download takes, less than what stays free when it is unpacked.
        patch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=100_000_000))
        with pytest.raises(TaskError) as raised:
            get(source, mirrored)
    for said in ("with what comes next it needs at least", "100 MB are free in"):
        assert said in str(raised.value)
    assert f"The archive is kept at {archive}" in str(raised.value)
    assert nothing_left(mirrored)
    assert archive.read_bytes() == content
    assert (get(source, mirrored) / "task_metadata.json").is_file()
    assert source.ranges(ARCHIVE) == [None]
    assert not archive.exists()


def test_an_archive_of_another_task(source: Source, workspace: Workspace, tmp_path: Path) -> None:
    other = make_scene_task(tmp_path / "other", name="others")
    two = tmp_path / "two"
    make_scene_task(two)
    make_scene_task(two, name="others")
    broken = make_scene_task(tmp_path / "broken", prediction_type="?")
    for content in (
        packed(tmp_path, other),
        packed(tmp_path, other, inside=f"x/tasks/{TASK}"),
        packed(tmp_path, two),
        packed(tmp_path, other / "16000"),
        packed(tmp_path, broken),
    ):
        source.files[ARCHIVE] = content
        known = {TASK: Known(md5=md5_hex(content))}
        with pytest.raises(TaskError, match=f"should hold the task {TASK}|prediction_type: Input"):
            get(source, workspace, record=record_at(source, known))
        assert nothing_left(workspace)
        # the md5 is right, so another download would bring the same
        (workspace.cache_dir / "downloads/ready-made" / ARCHIVE).unlink()


def test_an_archive_that_is_handed_in(
    source: Source, workspace: Workspace, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / ARCHIVE).write_bytes(packed(tmp_path))
    wrong = record_at(source, {TASK: Known(md5="0" * 32)})
    with pytest.raises(
        DownloadError, match=f"{md5_hex((mine / ARCHIVE).read_bytes())}.*{'0' * 32}"
    ):
        get(source, workspace, corpus_dirs=[tmp_path, mine], record=wrong)
    assert nothing_left(workspace)
    folder = get(source, workspace, corpus_dirs=[tmp_path, mine])
    assert (folder / "task_metadata.json").is_file()
    assert (mine / ARCHIVE).is_file()
    assert source.ranges(ARCHIVE) == []
    assert "isn't known" in caplog.text
    # what a user hands in is no authority
    assert not (workspace.cache_dir / "pins.json").exists()


@pytest.mark.parametrize(
    ("archive", "folder_name", "clips"),
    [
        ("hear-2021.0.6-spoken_digit-1.0.9-small-44100", "spoken_digit-1.0.9-small", 100),
        (
            "hear-2021.1.1-beijing_opera-v1.0-hear2021-small-16000",
            "beijing_opera-v1.0-hear2021-small",
            20,
        ),
    ],
)
def test_archives_of_the_benchmark(
    shared: Path,
    source: Source,
    mirrored: Workspace,
    archive: str,
    folder_name: str,
    clips: int,
) -> None:
    content = (shared / f"data/archives/{archive}.tar.gz").read_bytes()
    source.files[f"hear2021-{folder_name}-48000.tar.gz"] = content
    source.faults[f"hear2021-{folder_name}-48000.tar.gz"] = [Fault("drop", 400_000)]
    folder = fetch_ready_made(
        folder_name, workspace=mirrored, record=record_at(source), policy=SWIFT
    )
    task = load_task(folder_name, workspace=mirrored)
    assert task.folder == folder
    assert sum(len(files) for files in task.splits.values()) == clips
