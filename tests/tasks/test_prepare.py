from __future__ import annotations

import errno
import json
import os
import shutil
import sys
import threading
import time
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import soundfile
from helpers_tasks import recipe, write_wav

from hearbench.audio.encode import write_wav16
from hearbench.errors import TaskError
from hearbench.locks import only_one
from hearbench.tasks.clips import Clip, Excerpt
from hearbench.tasks.prepare import Origin, prepare_task
from hearbench.tasks.store import load_task, with_rate
from hearbench.workspace import Workspace


def corpus(folder: Path, rate: int = 8000, count: int = 20) -> list[Clip]:
    rng = np.random.default_rng(3)
    for i in range(count):
        write_wav(folder / f"c{i:02d}.wav", rng.integers(-999, 999, rate // 5, np.int16), rate)
    return [Clip(folder / f"c{i:02d}.wav", f"c{i:02d}", f"l{i % 2}", split=split_of(i))
            for i in range(count)]  # fmt: skip


def split_of(i: int) -> str:
    return ("train", "train", "valid", "valid", "test", "test")[i % 6]


def test_the_highest_rate_of_the_corpus_is_kept(tmp_path: Path, workspace: Workspace) -> None:
    rows = corpus(tmp_path / "raw", 8000)
    folder = prepare_task(rows, recipe(), tmp_path, workspace=workspace)
    assert sorted(path.name for path in folder.iterdir() if path.is_dir()) == ["8000"]
    # at its own rate a clip is only cut
    x, _ = soundfile.read(rows[0].path, dtype="int16")
    y, _ = soundfile.read(folder / "8000/train/c00.wav", dtype="int16")
    assert np.array_equal(y, x[:800])
    # and a model's rate comes from it as if it had been prepared at that
    direct = prepare_task(
        rows, recipe(name="direct", sample_rates=(11025,)), tmp_path, workspace=workspace
    )
    later = with_rate(load_task(folder, workspace=workspace), 11025, workspace=workspace)
    for path in later.audio_paths("test", 11025):
        assert path.read_bytes() == (direct / "11025/test" / path.name).read_bytes()

    last = rows[-1]
    mixed = [*rows[:-1], Clip(tmp_path / "m.wav", last.filestem, last.label, last.split)]
    write_wav(tmp_path / "m.wav", np.ones(2205, np.int16), 22050)
    folder = prepare_task(mixed, recipe(name="mixed"), tmp_path, workspace=workspace)
    assert load_task(folder, workspace=workspace).sample_rates == (22050,)


def test_a_finished_task_gets_further_rates(
    tmp_path: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = corpus(tmp_path / "raw")
    folder = prepare_task(rows, recipe(sample_rates=(4000,)), tmp_path, workspace=workspace)
    times = {path: path.stat().st_mtime_ns for path in folder.rglob("*.wav")}
    # While it gets them, and after that broke off, it can be used.
    with monkeypatch.context() as patched:
        patched.setattr("hearbench.tasks.prepare.write_wav16", break_off_after(7))
        with pytest.raises(KeyboardInterrupt):
            prepare_task(rows, recipe(sample_rates=(8000, 11025)), tmp_path, workspace=workspace)
    assert load_task(folder, workspace=workspace).sample_rates == (4000,)
    prepare_task(rows, recipe(sample_rates=(8000, 11025)), tmp_path, workspace=workspace)
    assert load_task(folder, workspace=workspace).sample_rates == (4000, 8000, 11025)
    assert {path: path.stat().st_mtime_ns for path in times} == times
    direct = prepare_task(
        rows, recipe(sample_rates=(8000, 11025)), tmp_path / "direct", workspace=workspace
    )
    for path in direct.rglob("*.wav"):
        assert (folder / path.relative_to(direct)).read_bytes() == path.read_bytes()
    assert sorted(path.name for path in folder.iterdir() if path.is_dir()) == [
        "11025", "4000", "8000",
    ]  # fmt: skip


def test_other_rates_than_those_of_a_run_that_broke_off(
    tmp_path: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = corpus(tmp_path / "raw")
    with monkeypatch.context() as patched:
        patched.setattr("hearbench.tasks.prepare.write_wav16", break_off_after(5))
        with pytest.raises(KeyboardInterrupt):
            prepare_task(rows, recipe(sample_rates=(4000,)), tmp_path, workspace=workspace)
    folder = prepare_task(rows, recipe(sample_rates=(11025,)), tmp_path, workspace=workspace)
    assert load_task(folder, workspace=workspace).sample_rates == (11025,)


def break_off_after(count: int) -> Callable[..., None]:
    lock = threading.Lock()
    written = 0

    def write(path: Path, x: npt.NDArray[np.int16], rate: int, *, durable: bool) -> None:
        nonlocal written
        with lock:
            written += 1
            if written > count:
                raise KeyboardInterrupt
        write_wav16(path, x, rate, durable=durable)

    return write


def test_clips_that_are_parts_of_recordings(tmp_path: Path, workspace: Workspace) -> None:
    rng = np.random.default_rng(5)
    recordings = {
        "a": (rng.integers(-9999, 9999, 9000, np.int16), "PCM_16"),
        "b": (rng.integers(-9999, 9999, (9000, 2), np.int16), "PCM_16"),
        "c": (rng.uniform(-1, 1, 9000), "PCM_24"),
    }
    for name, (x, subtype) in recordings.items():
        soundfile.write(tmp_path / f"{name}.wav", x, 8000, subtype=subtype)
    rows = [
        Clip(tmp_path / f"{name}.wav", f"{name}-{i}", name, split_of(2 * i),
             excerpt=Excerpt(700 * i, 800))
        for name in recordings
        for i in range(6)
    ]  # fmt: skip
    folder = prepare_task(rows, recipe(), tmp_path, workspace=workspace)
    whole = {
        name: soundfile.read(tmp_path / f"{name}.wav", dtype="int16")[0].astype(int)
        for name in recordings
    }
    whole["b"] = (whole["b"].sum(1) + 1) >> 1
    for row in rows:
        name, i = row.filestem.split("-")
        y, _ = soundfile.read(
            folder / "8000" / str(row.split) / f"{row.filestem}.wav", dtype="int16"
        )
        assert np.array_equal(y, whole[name][700 * int(i) :][:800]), row.filestem

    beyond = [*rows[:-1], Clip(tmp_path / "c.wav", "c-5", "c", "test", excerpt=Excerpt(8500, 800))]
    with pytest.raises(TaskError, match=r"c\.wav has 9000 samples; 8500 to 9300 aren't there"):
        prepare_task(beyond, recipe(name="beyond"), tmp_path, workspace=workspace)


def test_parts_have_names_of_their_own(tmp_path: Path, workspace: Workspace) -> None:
    (row, *rest) = corpus(tmp_path / "raw")
    same = Clip(row.path, "other", row.label, row.split)
    with pytest.raises(TaskError, match="files of two names"):
        prepare_task([row, same, *rest], recipe(), tmp_path, workspace=workspace)
    parts = [
        Clip(row.path, f"part{i}", row.label, row.split, excerpt=Excerpt(i, 800)) for i in range(2)
    ]
    folder = prepare_task([*parts, *rest], recipe(), tmp_path, workspace=workspace)
    assert {"part0.wav", "part1.wav"} <= set(json.loads((folder / "train.json").read_text()))


def test_corrupt_clips_are_all_named_or_left_out(tmp_path: Path, workspace: Workspace) -> None:
    rows = corpus(tmp_path / "raw")
    bad = [rows[1].path, rows[8].path]
    for path in bad:
        path.write_bytes(b"RIFF this is no audio at all")
    with pytest.raises(TaskError, match="isn't finished") as caught:
        prepare_task(rows, recipe(), tmp_path, workspace=workspace)
    assert all(str(path) in str(caught.value) for path in bad)
    assert "--skip-corrupt" in str(caught.value)

    # The same folder is finished without them, and the others weren't decoded again.
    made = {p: p.stat().st_mtime_ns for p in (tmp_path / "tasks").rglob("*.wav")}
    assert len(made) == 18
    folder = prepare_task(rows, recipe(), tmp_path, skip_corrupt=True, workspace=workspace)
    assert {p: p.stat().st_mtime_ns for p in folder.rglob("*.wav")} == made
    task = load_task(folder, workspace=workspace)
    held = {split: set(files) for split, files in task.splits.items()}
    expected = {split: set[str]() for split in held}
    for i, row in enumerate(rows):
        if i not in (1, 8):
            expected[str(row.split)].add(f"{row.filestem}.wav")
    assert held == expected
    metadata = json.loads((folder / "task_metadata.json").read_text())
    assert metadata["hearbench"]["skipped_corrupt"] == ["train/c01.wav", "valid/c08.wav"]

    # A finished task stays, whether they are to be left out or not.
    before = (folder / "task_metadata.json").read_bytes()
    for skip in (False, True):
        prepare_task(rows, recipe(), tmp_path, skip_corrupt=skip, workspace=workspace)
    assert (folder / "task_metadata.json").read_bytes() == before


def test_a_split_of_nothing_but_corrupt_clips(tmp_path: Path, workspace: Workspace) -> None:
    rows = corpus(tmp_path / "raw")
    for row in rows:
        if row.split == "valid":
            row.path.write_bytes(b"nothing")
    with pytest.raises(TaskError, match="valid would be empty"):
        prepare_task(rows, recipe(), tmp_path, skip_corrupt=True, workspace=workspace)


def test_no_audio_at_all(tmp_path: Path, workspace: Workspace) -> None:
    rows = corpus(tmp_path / "raw")
    for row in rows:
        row.path.write_bytes(b"nothing")
    with pytest.raises(TaskError, match=r"none of its 20 files holds audio.*c00\.wav"):
        prepare_task(rows, recipe(), tmp_path, workspace=workspace)


def test_audio_that_a_power_cut_left_short_is_made_again(
    tmp_path: Path, workspace: Workspace
) -> None:
    rows = corpus(tmp_path / "raw")
    folder = prepare_task(rows, recipe(), tmp_path, workspace=workspace)
    whole = {path: path.read_bytes() for path in sorted(folder.rglob("*.wav"))}
    empty, short, zeros, gone, *others = whole
    empty.write_bytes(b"")
    os.truncate(short, 1000)
    zeros.write_bytes(bytes(len(whole[zeros])))
    gone.unlink()
    times = {path: path.stat().st_mtime_ns for path in others}
    prepare_task(rows, recipe(), tmp_path, workspace=workspace)
    assert {path: path.read_bytes() for path in sorted(folder.rglob("*.wav"))} == whole
    assert {path: path.stat().st_mtime_ns for path in others} == times


def test_an_origin_stands_for_the_files(tmp_path: Path, workspace: Workspace) -> None:
    rows = corpus(tmp_path / "raw")
    record = {"corpus": {"files": [{"name": "a.zip", "md5": "0" * 32}]}}

    def make(origin: Origin) -> Path:
        return prepare_task(rows, recipe(), tmp_path, origin=origin, workspace=workspace)

    folder = make(Origin("one", record))
    metadata = json.loads((folder / "task_metadata.json").read_text())
    assert metadata["hearbench"]["corpus"] == record["corpus"]
    # Nobody reads the files again: the origin says that they are the same.
    rows[0].path.write_bytes(b"changed")
    assert make(Origin("one", record)) == folder
    with pytest.raises(TaskError, match="prepared from other clips"):
        make(Origin("two", record))
    # Without an origin, or with one that can't tell, the files' contents count.
    rows = corpus(tmp_path / "raw")
    rows = [Clip(r.path, r.filestem, r.label, r.split) for r in rows]
    one = prepare_task(rows, recipe(name="plain"), tmp_path, workspace=workspace)
    two = prepare_task(
        rows, recipe(name="plain"), tmp_path, origin=Origin(None), workspace=workspace
    )
    assert one == two


def test_the_shuffle_knows_of_missing_files(tmp_path: Path, workspace: Workspace) -> None:
    """In the mode ``small``, files that are missing take part in the order of the others."""
    rng = np.random.default_rng(7)
    labels = [f"l{i}" for i in range(8)]
    rows = []
    for i in range(30):
        path = tmp_path / f"{i:02d}.wav"
        if i % 3 == 0:
            write_wav(path, np.ones(800, np.int16), 8000)
        rows += [Clip(path, path.stem, str(label), split_of(2 * i))
                 for label in rng.choice(labels, 4, replace=False)]  # fmt: skip
    folder = prepare_task(
        rows, recipe(mode="small", prediction_type="multilabel", scores=("mAP",)), tmp_path,
        workspace=workspace,
    )  # fmt: skip
    pandas = pytest.importorskip("pandas")
    from hearbench.tasks.splits import str2int

    table = pandas.DataFrame([(row.filestem, row.label) for row in rows], columns=["f", "l"])
    table = table.sort_values(["f", "l"], kind="stable")
    table = table.sample(frac=1, random_state=str2int("postprocess_all_metadata"))
    expected = {
        f"{stem}.wav": list(group["l"])
        for stem, group in table.groupby("f", sort=False)
        if int(stem) % 3 == 0
    }
    found = {}
    for split in ("train", "valid", "test"):
        found.update(json.loads((folder / f"{split}.json").read_text()))
    assert found == expected
    assert any(list(items) != sorted(items) for items in expected.values())


def test_one_process_at_a_time(
    tmp_path: Path, workspace: Workspace, caplog: pytest.LogCaptureFixture
) -> None:
    rows = corpus(tmp_path / "raw")
    made: list[Path] = []
    waiting = threading.Thread(
        target=lambda: made.append(prepare_task(rows, recipe(), tmp_path, workspace=workspace))
    )
    with only_one(tmp_path / "tasks" / ".tmp-t-1-full.lock", "a test") as alone:
        assert alone
        waiting.start()
        while not caplog.records:
            waiting.join(0.05)
        assert waiting.is_alive()
        assert [path.name for path in (tmp_path / "tasks").glob("[!.]*")] == []
    waiting.join()
    # It says who has the lock, since when, and for what.
    (record,) = caplog.records
    for part in (f"process {os.getpid()} on", "a test", "t-1-full"):
        assert part in record.getMessage()
    assert [path.name for path in (tmp_path / "tasks").iterdir()] == [made[0].name]


def test_a_disk_without_room_is_refused_before_it_is_full(
    tmp_path: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = corpus(tmp_path / "raw")
    # 20 clips of 0.1 s at 8 and 16 kHz, 2 bytes a sample
    needed = 20 * (800 + 1600) * 2
    usage = namedtuple("usage", "total used free")
    for free in (needed - 1, needed):
        monkeypatch.setattr("shutil.disk_usage", lambda _, free=free: usage(0, 0, free))
        if free < needed:
            with pytest.raises(TaskError, match="There is no room for t-1-full"):
                prepare_task(
                    rows, recipe(sample_rates=(8000, 16000)), tmp_path, workspace=workspace
                )
            assert list(tmp_path.rglob("tasks/**/*.wav")) == []
        else:
            prepare_task(rows, recipe(sample_rates=(8000, 16000)), tmp_path, workspace=workspace)


@pytest.mark.skipif(sys.platform != "linux", reason="names that are no text are Linux's")
def test_folders_whose_names_are_no_text(tmp_path: Path, workspace: Workspace) -> None:
    raw = Path(os.fsdecode(os.fsencode(tmp_path) + b"/b\xff"))
    rows = corpus(raw)
    folder = prepare_task(rows, recipe(), raw, workspace=workspace)
    assert len(load_task(folder, workspace=workspace).splits["train"]) == 8


def test_a_cache_that_remembers_nothing(
    tmp_path: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, *_: Any, **__: Any) -> None:
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    folder = prepare_task(corpus(tmp_path / "raw"), recipe(), tmp_path, workspace=workspace)
    time.sleep(0.05)  # what was only just written isn't remembered
    digest = load_task(folder, workspace=workspace).source_digest
    shutil.rmtree(workspace.cache_dir)
    monkeypatch.setattr("hearbench.tasks.inventory.write_json", refuse)
    assert load_task(folder, workspace=workspace).source_digest == digest
    assert not workspace.cache_dir.exists()
