from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from helpers_tasks import make_event_task, make_scene_task, tone, write_wav

from hearbench.embeddings import batches
from hearbench.embeddings.batches import Batch, batch_clips, batches_of, plan_shards, read_ahead
from hearbench.errors import EmbeddingError
from hearbench.tasks.store import PreparedTask, load_task
from hearbench.workspace import Workspace


@pytest.mark.parametrize(
    ("duration_s", "rate", "clips"),
    [
        # int(0.7 * 120 / duration * 16000 / rate), by hand
        (0.56, 16000, 149),  # 149.999... in floats, in this order of operations
        (1.0, 16000, 84),
        (1.0, 44100, 30),
        (4.0, 16000, 21),
        (5.0, 48000, 5),
        (120.0, 16000, 1),
        (600.0, 48000, 1),
        (None, 16000, 1),
    ],
)
def test_the_batch_is_the_references(duration_s: float | None, rate: int, clips: int) -> None:
    assert batch_clips(duration_s, rate) == clips


@pytest.fixture
def task(tmp_path: Path, workspace: Workspace) -> PreparedTask:
    folder = make_scene_task(tmp_path, clips_per_label=40, duration_s=0.5)
    return load_task(folder, workspace=workspace)


def test_batches_follow_the_files_and_never_span_splits(task: PreparedTask) -> None:
    found = list(batches_of(plan_shards(task, 16000, 8)))
    # 120 clips per split in batches of 168.
    assert [len(batch.clips) for batch in found] == [120, 120, 120]
    found = list(batches_of(plan_shards(task, 16000, 8)))
    for batch, (split, files) in zip(found, task.splits.items(), strict=True):
        assert batch.shard.split == split
        assert list(batch.clips) == list(files)
        assert [path.name for path in batch.paths] == list(files)


def test_shards_are_whole_batches_of_bounded_size(
    task: PreparedTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "batch_clips", lambda *_: 8)
    monkeypatch.setattr(batches, "_SHARD_AUDIO_S", 10.0)  # 20 clips: two batches of 8
    shards = plan_shards(task, 16000, 8)
    assert [len(shard.clips) for shard in shards] == [16] * 7 + [8] + [16] * 7 + [8] + [16] * 7 + [
        8
    ]
    assert [shard.name for shard in shards[6:9]] == ["train-00006", "train-00007", "valid-00000"]
    assert [batch.last for batch in batches_of(shards[:2])] == [False, True, False, True]
    # An embedding of 5 MB: one batch per shard, though 64 MB would hold 12 clips.
    assert {len(shard.clips) for shard in plan_shards(task, 16000, 5 << 18)} == {8}


def test_event_shards_are_bounded_by_their_frames(tmp_path: Path, workspace: Workspace) -> None:
    task = load_task(make_event_task(tmp_path, clips=9), workspace=workspace)
    # 2 s are 40 frames; of 64 MB each clip takes 40 * 4 * 1e6 / 64e6: one batch of 42.
    assert [len(shard.clips) for shard in plan_shards(task, 16000, 1_000_000)] == [9, 9, 9]
    assert plan_shards(task, 16000, 1_000_000)[0].batch == 42


def test_varying_lengths_are_never_batched(tmp_path: Path, workspace: Workspace) -> None:
    folder = make_scene_task(tmp_path, varying_lengths=True, clips_per_label=30)
    task = load_task(folder, workspace=workspace)
    shards = plan_shards(task, 16000, 8)
    assert {len(batch.clips) for batch in batches_of(shards)} == {1}
    assert [len(shard.clips) for shard in shards] == [64, 26] * 3


def test_audio_arrives_in_order_and_is_what_was_written(task: PreparedTask) -> None:
    shards = plan_shards(task, 16000, 8)
    read = list(read_ahead(batches_of(shards), 16000, workers=3))
    assert [batch.shard.split for batch, _ in read] == ["train", "valid", "test"]
    for batch, audio in read:
        assert audio.shape == (120, 8000)
        assert audio.dtype == np.float32
        assert audio.ctypes.data % 64 == 0
        raw = np.frombuffer(batch.paths[7].read_bytes()[44:], "<i2")
        assert np.array_equal(audio[7], raw / np.float32(32768))


def test_reading_stays_a_bounded_number_of_batches_ahead(
    task: PreparedTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "batch_clips", lambda *_: 2)
    lock, alive, most = threading.Lock(), 0, 0
    read = batches.read_batch

    def counted(batch: Batch, rate: int) -> npt.NDArray[np.float32]:
        nonlocal alive, most
        with lock:
            alive += 1
            most = max(most, alive)
        return read(batch, rate)

    monkeypatch.setattr(batches, "read_batch", counted)
    seen = 0
    for _ in read_ahead(batches_of(plan_shards(task, 16000, 8)), 16000, workers=2):
        if seen < 10:
            time.sleep(0.01)  # a model slower than the disk
        with lock:
            alive -= 1
        seen += 1
    assert seen == 180
    # Waiting: workers + 2; and the one that the model has.
    assert 2 <= most <= 5


def test_few_large_batches_wait(task: PreparedTask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "batch_clips", lambda *_: 2)
    monkeypatch.setattr(batches, "_AHEAD_BYTES", 1)
    begun: list[str] = []
    read = batches.read_batch

    def noted(batch: Batch, rate: int) -> npt.NDArray[np.float32]:
        begun.append(batch.clips[0])
        return read(batch, rate)

    monkeypatch.setattr(batches, "read_batch", noted)
    stream = read_ahead(batches_of(plan_shards(task, 16000, 8)), 16000, workers=8)
    next(stream)
    until = time.monotonic() + 60
    while len(begun) < 2 and time.monotonic() < until:
        time.sleep(0.01)
    time.sleep(0.05)  # for a third that shouldn't be
    assert len(begun) == 2
    stream.close()


def test_closing_stops_the_threads(task: PreparedTask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "batch_clips", lambda *_: 2)
    stream = read_ahead(batches_of(plan_shards(task, 16000, 8)), 16000, workers=4)
    next(stream)
    stream.close()
    names = [thread.name for thread in threading.enumerate()]
    assert not any(name.startswith("hearbench-read") for name in names)


def test_a_clip_of_another_length_is_named(task: PreparedTask) -> None:
    rng = np.random.default_rng(0)
    path = task.audio_paths("valid", 16000)[5]
    write_wav(path, tone(300, 0.4, 16000, rng), 16000)
    with pytest.raises(EmbeddingError, match=rf"valid/{path.name} has 6400 .* others have 8000"):
        list(read_ahead(batches_of(plan_shards(task, 16000, 8)), 16000, workers=2))


def test_a_clip_that_cannot_be_read_is_named(task: PreparedTask) -> None:
    path = task.audio_paths("test", 16000)[3]
    path.write_bytes(b"RIFF")
    with pytest.raises(EmbeddingError, match=rf"test/{path.name} can't be embedded"):
        list(read_ahead(batches_of(plan_shards(task, 16000, 8)), 16000, workers=2))
    path.unlink()
    with pytest.raises(EmbeddingError, match=rf"test/{path.name} can't be embedded"):
        list(read_ahead(batches_of(plan_shards(task, 16000, 8)), 16000, workers=2))
