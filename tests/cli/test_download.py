from __future__ import annotations

import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers_cli import hearbench
from helpers_http import Fault, Source, md5_hex, serving
from helpers_tasks import make_scene_task

from hearbench.tasks.record import ArchiveRecord

TASKS = {
    "esc50": ("esc50-v2.0.0-full", "v2.0.0", "full"),
    "esc50-small": ("esc50-v2.0.0-small", "v2.0.0", "small"),
    "libricount": ("libricount-v1.0.0-hear2021-full", "v1.0.0-hear2021", "full"),
    "maestro": ("maestro-v3.0.0-5h", "v3.0.0", "5h"),
}


def folder_of(task: str) -> str:
    return TASKS[task][0]


def archive_of(task: str) -> str:
    return f"hear2021-{folder_of(task)}-48000.tar.gz"


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Source]:
    """A mirror with an archive of each of the tasks."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving() as one:
        for task, (folder, version, mode) in TASKS.items():
            name = task.removesuffix("-small")
            made = make_scene_task(
                tmp_path / "made" / task, name=name, clips_per_label=1, version=version, mode=mode
            )
            packed = tmp_path / "packed.tar.gz"
            with tarfile.open(packed, "w:gz") as archive:
                archive.add(made, arcname=f"hear/tasks/{folder}")
            one.files[archive_of(task)] = packed.read_bytes()
        sums = [f"{md5_hex(content)}  {name}\n" for name, content in one.files.items()]
        one.files["md5sums.txt"] = "".join(sums).encode()
        yield one


def test_several_tasks(source: Source, cache: Path) -> None:
    wanted = ["esc50", "libricount", "maestro"]
    del source.files[archive_of("libricount")]
    source.meeting = threading.Barrier(3)
    source.faults = {archive_of(task): [Fault("meet")] for task in wanted}
    answer = hearbench("tasks", "download", *wanted, "--mirror", source.url)
    assert not source.meeting.broken  # all were asked for before one was answered
    assert answer.code == 2
    here = [cache / "tasks" / folder_of(task) for task in ("esc50", "maestro")]
    assert answer.stdout.splitlines() == [str(path) for path in here]
    assert all((path / "task_metadata.json").is_file() for path in here)
    said = answer.stderr.splitlines()
    for task in ("esc50", "maestro"):
        assert f"downloading {archive_of(task)}" in said
        assert f"unpacking {folder_of(task)}" in said
        assert f"{folder_of(task)}: here" in said
    lost = folder_of("libricount")
    assert [line for line in said if line.startswith("error: ")] == [
        f"error: {lost}: 1 of 1 files can't be fetched:"
    ]
    assert "404" in answer.stderr
    assert said[-1] == f"2 of 3 tasks are here; failed: {lost}."
    assert len(source.ranges("md5sums.txt")) == 1
    # the same again, as JSON: only what is missing is asked for
    source.asked.clear()
    answer = hearbench("tasks", "download", *wanted, "--mirror", source.url, "--json")
    assert answer.code == 2
    assert answer.json["downloaded"] == [{"task": path.name, "folder": str(path)} for path in here]
    assert [(one["task"], "404" in one["error"]) for one in answer.json["failed"]] == [(lost, True)]
    assert {one.name for one in source.asked} == {archive_of("libricount")}


def test_one_task(source: Source, cache: Path) -> None:
    answer = hearbench("tasks", "download", "esc50", "--mirror", source.url)
    assert (answer.code, answer.stdout) == (0, f"{cache / 'tasks' / folder_of('esc50')}\n")
    assert "tasks are here" not in answer.stderr
    del source.files[archive_of("maestro")]
    answer = hearbench("tasks", "download", "maestro", "--mirror", source.url)
    assert (answer.code, answer.stdout) == (2, "")
    assert "error: 1 of 1 files can't be fetched:" in answer.stderr
    assert "hearbench tasks download maestro-v3.0.0-5h --corpus-dir DIR" in answer.stderr


def test_a_task_that_is_not_published(source: Source, cache: Path) -> None:
    answer = hearbench("tasks", "download", "esc50-small")
    assert (answer.code, answer.stdout) == (2, "")
    assert "`hearbench prepare esc50 --mode small`" in answer.stderr
    assert source.asked == []
    # a mirror may have it
    answer = hearbench("tasks", "download", "esc50-small", "--mirror", source.url)
    assert (answer.code, answer.stdout) == (0, f"{cache / 'tasks' / folder_of('esc50-small')}\n")
    answer = hearbench("tasks", "download", "spoken_digit-1.0.9-full")
    assert "`hearbench prepare spoken_digit --mode full` makes it" in answer.stderr
    answer = hearbench("tasks", "download", "esc51", "--mirror", source.url)
    assert answer.code == 2
    assert "There is no task 'esc51' in the catalog." in answer.stderr


def test_a_mirror_that_lacks_it_too(source: Source) -> None:
    del source.files[archive_of("esc50-small")]
    answer = hearbench("tasks", "download", "esc50-small", "--mirror", source.url)
    assert answer.code == 2
    assert "404" in answer.stderr
    assert "`hearbench prepare esc50 --mode small`" in answer.stderr


def test_a_common_cause_is_said_once(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    record = ArchiveRecord(
        api=f"{source.url}/api/6332517",
        place=f"{source.url}/files/",
        archive="hear2021-{folder}-48000.tar.gz",
        folders=tuple(folder_of(task) for task in TASKS),
    )
    monkeypatch.setattr("hearbench.tasks.ready_made.load_record", lambda: record)
    answer = hearbench("tasks", "download", "leaderboard")
    assert (answer.code, answer.stdout) == (2, "")
    error, summary = answer.stderr.splitlines()
    assert error.startswith("error: 4 archives aren't downloaded")
    assert "404" in error
    assert summary == f"0 of 4 tasks are here; failed: {', '.join(record.folders)}."
    assert len(source.asked) == 1
