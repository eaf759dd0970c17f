"""Full disks, folders that vanish, and two processes at the same result."""

from __future__ import annotations

import errno
import os
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
from helpers_cli import Answer, hearbench
from helpers_tasks import make_scene_task

from hearbench.files import DiskError, write_text
from hearbench.locks import holder_of, lock_beside, only_one
from hearbench.probe.checkpoint import Checkpoint


def evaluate(model: Path, task: Path, out: Path) -> Answer:
    return hearbench("evaluate", model, "--task", task, "--out", out, "--protocol", "knn", "--json")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_named(
    number: int, model: Path, task: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(DiskError) as caught:
            write_text(tmp_path / "a.txt", "x")
        answer = evaluate(model, task, tmp_path / "out")
    assert caught.value.errno == number
    assert caught.value.filename == str(tmp_path / "a.txt")
    assert list(tmp_path.glob("*.txt")) == []
    assert answer.code == 2
    assert "Traceback" not in answer.stderr
    assert "fails" not in answer.stderr
    for part in (str(tmp_path / "cache"), os.strerror(number), "GB free", "HEARBENCH_CACHE"):
        assert part in answer.stderr
    assert evaluate(model, task, tmp_path / "out").code == 0


def test_of_a_full_disk_while_resampling_there_is_one_line(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    low = make_scene_task(tmp_path / "low", sample_rates=(8000,))

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", full)
        answer = evaluate(model, low, tmp_path / "out")
    assert answer.code == 2
    assert "Traceback" not in answer.stderr
    assert answer.stderr.count(os.strerror(errno.ENOSPC)) == 1


@pytest.mark.parametrize("lost", ["shards", "embeddings", "."])
def test_a_cache_that_vanished_in_part_heals(
    lost: str, model: Path, task: Path, tmp_path: Path
) -> None:
    first = evaluate(model, task, tmp_path / "one")
    for folder in [tmp_path / "cache" / lost, *(tmp_path / "cache").rglob(lost)]:
        shutil.rmtree(folder, ignore_errors=True)
    again = evaluate(model, task, tmp_path / "two")
    assert again.code == 0, again.stderr
    assert again.json["results"][0]["scores"] == first.json["results"][0]["scores"]


@pytest.mark.parametrize(
    "pattern",
    [
        *("out/**/result.json", "out/**/SHA256SUMS", "cache/**/manifest.json"),
        *("cache/**/shards/test-*.npy", "cache/**/fingerprint.json", "cache/**/test/*.wav"),
        "cache/**/*.finished.npz",
    ],
)
def test_a_folder_in_the_place_of_a_file_is_named(
    pattern: str, model: Path, tmp_path: Path
) -> None:
    task = make_scene_task(tmp_path / "low", sample_rates=(8000,))
    options = ("--protocol", "faster", "--grid-points", 1, "--json")

    def run() -> Answer:
        return hearbench("evaluate", model, "--task", task, "--out", tmp_path / "out", *options)

    first = run()
    assert first.code == 0
    file = next(path for path in tmp_path.glob(pattern) if path.is_file())
    if pattern.startswith("cache"):
        shutil.rmtree(tmp_path / "out")  # what is kept needs no cache
    if pattern.endswith(".npz"):
        shutil.rmtree(tmp_path / "cache" / "embeddings")
    file.unlink()
    file.mkdir()
    answer = run()
    assert answer.code == 2
    assert "Traceback" not in answer.stderr
    assert f"{file}" in answer.stderr
    assert "a folder lies where this file belongs. Remove it" in answer.stderr
    assert answer.json["failed"][0]["task"] == str(task)
    file.rmdir()
    again = run()
    assert again.code == 0, again.stderr
    assert again.json["results"][0]["scores"] == first.json["results"][0]["scores"]


def test_the_second_of_two_waits_and_keeps_what_the_first_made(
    model: Path, task: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "out" / "stats" / "tones-1.0.0-full"
    other = tmp_path / "other"
    assert evaluate(model, task, other).code == 0
    waited = threading.Event()

    def waits(_: float) -> None:
        waited.set()
        threading.Event().wait(0.05)

    monkeypatch.setattr("hearbench.locks.time.sleep", waits)
    answers: list[Answer] = []
    second = threading.Thread(
        target=lambda: answers.append(evaluate(model, task, tmp_path / "out"))
    )
    with only_one(lock_beside(folder), "a test") as alone:
        assert alone
        holder = holder_of(lock_beside(folder))
        assert holder is not None
        assert (holder.pid, holder.what) == (os.getpid(), "a test")
        second.start()
        assert waited.wait(60)
        shutil.copytree(other / "stats" / folder.name, folder)
    second.join()
    assert answers[0].code == 0
    assert f"process {os.getpid()} on {holder.host}" in answers[0].stderr
    assert "kept" in answers[0].stderr
    assert sorted(path.name for path in folder.parent.iterdir()) == [folder.name]


@pytest.mark.parametrize("place", [0, 40, 300, -40, -1])
def test_a_kept_training_that_is_damaged_counts_for_nothing(
    place: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "a.npz"
    Checkpoint(path).save({"a": 1}, {"x": np.arange(64.0)})
    loaded = Checkpoint(path).load()
    assert loaded is not None
    assert loaded[0] == {"a": 1}
    content = bytearray(path.read_bytes())
    content[place] ^= 4
    path.write_bytes(content)
    assert Checkpoint(path).load() is None
    assert str(path) in caplog.text
