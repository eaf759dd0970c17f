from __future__ import annotations

import json
import shutil
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from helpers_progress import Noted, noting
from helpers_tasks import make_event_task, make_scene_task

from hearbench.audio.decode import read_float32
from hearbench.audio.resample import resample16
from hearbench.errors import TaskError
from hearbench.tasks import store
from hearbench.tasks.clips import Event
from hearbench.tasks.store import FoldSplit, load_task, with_rate
from hearbench.workspace import Workspace


def test_a_scene_task(tmp_path: Path, workspace: Workspace) -> None:
    folder = make_scene_task(tmp_path, labels=("60", "61"), clips_per_label=2)
    task = load_task(folder, workspace=workspace)
    assert (task.name, task.kind, task.folder) == ("tones-1.0.0-full", "scene", folder)
    assert task.vocabulary == ("60", "61")
    assert task.sample_rates == (16000,)
    assert list(task.splits) == ["train", "valid", "test"]
    assert dict(task.splits["valid"]) == {
        "valid-60-0.wav": ("60",),
        "valid-60-1.wav": ("60",),
        "valid-61-0.wav": ("61",),
        "valid-61-1.wav": ("61",),
    }
    assert task.targets("valid").tolist() == [[1, 0], [1, 0], [0, 1], [0, 1]]
    assert task.targets("valid").dtype == np.uint8
    paths = task.audio_paths("valid", 16000)
    assert [path.name for path in paths] == list(task.splits["valid"])
    assert len(read_float32(paths[0], expected_rate=16000)) == 4000
    assert task.folds() == (FoldSplit("test", "valid", ("train",)),)


def test_an_event_task(tmp_path: Path, workspace: Workspace) -> None:
    folder = make_event_task(tmp_path, clips=2)
    task = load_task(folder, workspace=workspace)
    assert task.kind == "event"
    events = task.splits["train"]["train-0.wav"]
    written = json.loads((folder / "train.json").read_text())["train-0.wav"]
    assert events == tuple(Event(e["label"], e["start"], e["end"]) for e in written)
    assert len(events) == 3
    assert task.splits["train"]["train-1.wav"] == ()
    with pytest.raises(TaskError, match="event task"):
        task.targets("train")


def test_labels_of_a_multilabel_clip(tmp_path: Path, workspace: Workspace) -> None:
    task = load_task(make_scene_task(tmp_path, multilabel=True), workspace=workspace)
    assert task.targets("train").sum(axis=1).tolist() == [1, 2, 1, 2] * 3


def test_each_fold_is_tested_once_and_the_next_validates(
    tmp_path: Path, workspace: Workspace
) -> None:
    folder = make_scene_task(tmp_path, folds=True)
    extra = json.loads((folder / "task_metadata.json").read_text())
    extra.update(splits=["fold00", "fold01", "fold02", "fold03"], nfolds=4)
    (folder / "task_metadata.json").write_text(json.dumps(extra))
    files = {name.replace("02", "03"): v for name, v in _labels(folder, "fold02").items()}
    (folder / "fold03.json").write_text(json.dumps(files))
    shutil.copytree(folder / "16000/fold02", folder / "16000/fold03")
    for path in (folder / "16000/fold03").iterdir():
        path.rename(path.with_name(path.name.replace("02", "03")))
    assert load_task(folder, workspace=workspace).folds() == (
        FoldSplit("fold00", "fold01", ("fold02", "fold03")),
        FoldSplit("fold01", "fold02", ("fold00", "fold03")),
        FoldSplit("fold02", "fold03", ("fold00", "fold01")),
        FoldSplit("fold03", "fold00", ("fold01", "fold02")),
    )


def _labels(folder: Path, split: str) -> dict[str, list[str]]:
    content: dict[str, list[str]] = json.loads((folder / f"{split}.json").read_text())
    return content


def test_the_digest_follows_the_content_not_the_place(tmp_path: Path, workspace: Workspace) -> None:
    folder = make_scene_task(tmp_path / "a", sample_rates=(8000, 16000))
    task = load_task(folder, workspace=workspace)
    same = load_task(
        make_scene_task(tmp_path / "b", sample_rates=(8000, 16000)), workspace=workspace
    )
    assert same.source_digest == task.source_digest
    assert same.digest(8000) == task.digest(8000) != task.digest(16000)
    assert len({task.digest(rate) for rate in (8000, 16000, 22050, 44100)}) == 4

    path = folder / "16000/train/train-a-0.wav"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    changed = load_task(folder, workspace=workspace)
    assert changed.source_digest != task.source_digest
    assert changed.digest(22050) != task.digest(22050)

    path = folder / "8000/train/train-a-0.wav"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    again = load_task(folder, workspace=workspace)
    assert again.digest(8000) != changed.digest(8000)
    assert again.digest(16000) == changed.digest(16000)


def test_the_digest_follows_labels_and_metadata(tmp_path: Path, workspace: Workspace) -> None:
    digests = set()
    for i, change in enumerate(
        [{}, {"evaluation": ["mAP"]}, {"sample_duration": 0.5}, {"version": "2"}]
    ):
        folder = make_scene_task(tmp_path / str(i), **change)  # type: ignore[arg-type]
        digests.add(load_task(folder, workspace=workspace).source_digest)
    folder = make_scene_task(tmp_path / "labels")
    files = _labels(folder, "train")
    files["train-a-0.wav"] = ["b"]
    (folder / "train.json").write_text(json.dumps(files))
    digests.add(load_task(folder, workspace=workspace).source_digest)
    assert len(digests) == 5


def test_a_lost_or_spoilt_memory_changes_nothing(tmp_path: Path, workspace: Workspace) -> None:
    folder = make_scene_task(tmp_path)
    time.sleep(0.03)  # what was only just written isn't remembered
    digest = load_task(folder, workspace=workspace).source_digest
    for memory in (workspace.cache_dir / "digests").iterdir():
        memory.write_text('{"format_version": 1, "files": {"train/train-a-0.wav": [1, 2]}}')
    assert load_task(folder, workspace=workspace).source_digest == digest
    for memory in (workspace.cache_dir / "digests").iterdir():
        memory.write_text("spoilt")
    assert load_task(folder, workspace=workspace).source_digest == digest


def test_a_rate_that_is_missing_is_resampled_from_the_highest(
    tmp_path: Path, workspace: Workspace
) -> None:
    folder = make_scene_task(tmp_path, sample_rates=(8000, 32000), varying_lengths=True)
    task = load_task(folder, workspace=workspace)
    with pytest.raises(TaskError, match="no audio at 16000 Hz, only at 8000, 32000"):
        task.audio_paths("train", 16000)
    seen = Noted()
    made = with_rate(task, 16000, workspace=noting(workspace, seen))
    assert made.sample_rates == (8000, 16000, 32000)
    assert made.source_digest == task.source_digest
    assert made.digest(16000) == task.digest(16000)
    assert seen.counts == [(i, 36) for i in range(37)]
    for split in task.splits:
        pairs = zip(task.audio_paths(split, 32000), made.audio_paths(split, 16000), strict=True)
        for source, path in pairs:
            x, _ = soundfile.read(source, dtype="int16")
            y, rate = soundfile.read(path, dtype="int16")
            assert rate == 16000
            expected = np.rint(soxr.resample(x.astype(float), 32000, 16000, quality="HQ"))
            np.testing.assert_array_equal(y, np.clip(expected, -32768, 32767))
    assert workspace.cache_dir in made.audio_paths("train", 16000)[0].parents
    # a further rate is again made from what the task came with
    assert with_rate(made, 44100, workspace=workspace).source_rate == 32000


def test_a_rate_that_is_there_is_the_task_itself(tmp_path: Path, workspace: Workspace) -> None:
    task = load_task(make_scene_task(tmp_path), workspace=workspace)
    assert with_rate(task, 16000, workspace=workspace) is task


def test_loading_at_a_rate(tmp_path: Path, workspace: Workspace) -> None:
    folder = make_scene_task(tmp_path)
    task = load_task(folder, workspace=workspace, sample_rate=22050)
    assert task.sample_rates == (16000, 22050)
    with pytest.raises(TaskError, match="positive"):
        load_task(folder, workspace=workspace, sample_rate=0)


def test_interrupted_resampling_is_finished_by_the_next(
    tmp_path: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = load_task(make_scene_task(tmp_path), workspace=workspace)
    lock, calls = threading.Lock(), 0

    def failing(x: np.ndarray, rate_in: int, rate_out: int) -> np.ndarray:
        nonlocal calls
        with lock:
            calls += 1
            if calls > 10:
                raise KeyboardInterrupt
        return resample16(x, rate_in, rate_out)

    monkeypatch.setattr(store, "resample16", failing)
    with pytest.raises(KeyboardInterrupt):
        with_rate(task, 8000, workspace=workspace)
    made = {path: path.stat().st_mtime_ns for path in workspace.cache_dir.rglob("8000/*/*.wav")}
    assert len(made) == 10

    counted = 0

    def counting(x: np.ndarray, rate_in: int, rate_out: int) -> np.ndarray:
        nonlocal counted
        with lock:
            counted += 1
        return resample16(x, rate_in, rate_out)

    monkeypatch.setattr(store, "resample16", counting)
    told = Noted()
    whole = with_rate(task, 8000, workspace=noting(workspace, told))
    assert counted == 36 - 10
    # Of what is there already nothing is told, and where nothing is missing nothing at all.
    assert told.counts == [(done, 36 - 10) for done in range(36 - 10 + 1)]
    idle = Noted()
    with_rate(task, 8000, workspace=noting(workspace, idle))
    assert not idle.states
    assert all(path.stat().st_mtime_ns == time for path, time in made.items())
    assert all(path.is_file() for split in task.splits for path in whole.audio_paths(split, 8000))


def test_audio_that_vanishes_is_a_task_error(tmp_path: Path, workspace: Workspace) -> None:
    folder = make_scene_task(tmp_path)
    task = load_task(folder, workspace=workspace)
    (folder / "16000/train/train-b-1.wav").unlink()
    with pytest.raises(TaskError, match=r"8000 Hz.*train-b-1\.wav"):
        with_rate(task, 8000, workspace=workspace)


def test_an_unknown_split_is_said(tmp_path: Path, workspace: Workspace) -> None:
    task = load_task(make_scene_task(tmp_path), workspace=workspace)
    with pytest.raises(TaskError, match="no split 'dev'; there are train, valid, test"):
        task.targets("dev")
