from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from helpers_models import write_model
from helpers_progress import Noted, State, noting
from helpers_tasks import make_event_task, make_scene_task

from hearbench.audio.decode import read_float32
from hearbench.embeddings import batches
from hearbench.embeddings.compute import embed, store_folder
from hearbench.embeddings.run import _pace
from hearbench.embeddings.store import EmbeddingStore
from hearbench.errors import EmbeddingError, ModelError
from hearbench.models.loading import load_model
from hearbench.tasks.store import PreparedTask, load_task
from hearbench.workspace import Workspace


@pytest.fixture
def task(tmp_path: Path, workspace: Workspace) -> PreparedTask:
    return load_task(make_scene_task(tmp_path / "task"), workspace=workspace)


@pytest.fixture
def events(tmp_path: Path, workspace: Workspace) -> PreparedTask:
    return load_task(make_event_task(tmp_path / "task"), workspace=workspace)


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "batch_clips", lambda *_: 2)
    monkeypatch.setattr(batches, "_SHARD_AUDIO_S", 1.0)


def test_scene_embeddings_of_every_clip_in_file_order(
    tmp_path: Path, workspace: Workspace, task: PreparedTask
) -> None:
    model = load_model(write_model(tmp_path), workspace=workspace)
    store = embed(model, task, workspace=workspace)
    for split, files in task.splits.items():
        assert store.clips(split) == list(files)
        audio = np.stack([read_float32(path) for path in task.audio_paths(split, 16000)])
        found = store.scene(split)
        assert found.dtype == np.float32
        assert np.allclose(found[:, 0], audio.mean(1), atol=1e-6)
        assert np.allclose(found[:, 2], np.abs(audio).max(1))
    with pytest.raises(EmbeddingError, match="scene task"):
        next(store.timestamps("train"))
    with pytest.raises(EmbeddingError, match="no split 'dev'"):
        store.scene("dev")


def test_timestamp_embeddings_clip_by_clip(
    tmp_path: Path, workspace: Workspace, events: PreparedTask, small_shards: None
) -> None:
    model = load_model(write_model(tmp_path), workspace=workspace)
    store = embed(model, events, workspace=workspace)
    seen = list(store.timestamps("valid"))
    assert [name for name, _, _ in seen] == list(events.splits["valid"]) == store.clips("valid")
    for (_, embeddings, ms), path in zip(seen, events.audio_paths("valid", 16000), strict=True):
        frames = read_float32(path).reshape(-1, 800)
        assert np.allclose(embeddings[:, 0], frames.mean(1), atol=1e-6)
        assert embeddings.dtype == np.float32
        assert ms.dtype == np.float64
        assert ms.tolist() == [50.0 * i + 25 for i in range(40)]
    with pytest.raises(EmbeddingError, match="event task"):
        store.scene("train")


def test_the_manifest_says_what_made_it(
    tmp_path: Path, workspace: Workspace, task: PreparedTask
) -> None:
    path = write_model(tmp_path, extra="def load_model(p='', k=1):\n    return Stats()")
    model = load_model(path, workspace=workspace, k="2")
    store = embed(model, task, workspace=workspace)
    manifest = store.manifest
    assert store.folder == store_folder(model, task, workspace=workspace)
    assert store.folder.parent.parent == workspace.cache_dir / "embeddings" / task.name
    assert store.folder.parent.name == "stats-k=2" == manifest.model.name
    assert manifest.key.startswith(store.folder.name)
    assert (manifest.model.options, manifest.model.digest) == ({"k": 2}, model.digest)
    assert manifest.task.digest == task.digest(16000)
    assert (manifest.kind, manifest.dtype, manifest.batch) == ("scene", "float32", 336)
    assert manifest.audio_s == pytest.approx(36 * 0.25)
    assert manifest.seconds > 0
    assert manifest.peak_memory_mb is None or manifest.peak_memory_mb > 10


BATCH_DEPENDENT = """
def get_scene_embeddings(audio, model):
    # Which clips share a batch, and at which place.
    n = torch.arange(len(audio)).float()
    return torch.stack([n, torch.full_like(n, len(audio)), audio.mean().expand(len(audio))], 1)
"""


def test_the_composition_of_batches_is_kept(
    tmp_path: Path, workspace: Workspace, task: PreparedTask
) -> None:
    model = load_model(write_model(tmp_path, extra=BATCH_DEPENDENT), workspace=workspace)
    found = embed(model, task, workspace=workspace).scene("train")
    # 12 clips of 0.25 s per split; int(0.7 * 120 / 0.25 * 16000 / 16000) = 336 fit.
    assert found[:, 0].tolist() == list(range(12))
    assert set(found[:, 1]) == {12.0}


def test_a_run_that_was_interrupted_computes_the_rest_alone(
    tmp_path: Path, workspace: Workspace, task: PreparedTask, small_shards: None
) -> None:
    extra = f"""
    from pathlib import Path
    LOG = Path({str(tmp_path / "calls")!r})
    def get_scene_embeddings(audio, model):
        with LOG.open("a") as file:
            file.write("x")
        return audio[:, :3] * 1.0
    """
    path = write_model(tmp_path, extra=extra)
    model = load_model(path, workspace=workspace)

    def stop_after(state: State) -> None:
        if state.done >= 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        embed(model, task, workspace=noting(workspace, Noted(stop_after)))
    folder = store_folder(model, task, workspace=workspace)
    assert not (folder / "manifest.json").exists()
    with pytest.raises(EmbeddingError, match="no finished embeddings"):
        EmbeddingStore.open(folder, task)
    records = sorted(folder.glob("shards/*.json"))
    assert 4 <= len(records) <= 5
    calls = len((tmp_path / "calls").read_text())
    told = Noted()
    store = embed(model, task, workspace=noting(workspace, told))
    assert told.stages == ["tones-1.0.0-full: embedding with stats"]
    assert told.counts[0] == (4 * len(records), 36)
    assert told.counts[-1] == (36, 36)
    assert re.fullmatch(r"0 s left, [\d.]+ clips/s, \d+x realtime", told.states[-1].text)
    # And the signal, twice.
    assert len((tmp_path / "calls").read_text()) - calls == 18 - 2 * len(records) + 2
    again = embed(model, task, workspace=Workspace(tmp_path / "other", "cpu", 2))
    assert again.digest == store.digest
    # Finished: nothing is called again.
    calls = len((tmp_path / "calls").read_text())
    assert embed(model, task, workspace=workspace).digest == store.digest
    assert len((tmp_path / "calls").read_text()) == calls


def test_a_finished_shard_that_was_damaged_is_computed_again(
    tmp_path: Path, workspace: Workspace, task: PreparedTask, small_shards: None
) -> None:
    model = load_model(write_model(tmp_path), workspace=workspace)
    store = embed(model, task, workspace=workspace)
    (store.folder / "manifest.json").unlink()
    arrays = sorted(store.folder.glob("shards/*.npy"))
    data = bytearray(arrays[0].read_bytes())
    data[-1] ^= 1
    arrays[0].write_bytes(data)
    arrays[1].write_bytes(b"")
    arrays[2].unlink()
    (store.folder / "shards" / "valid-00000.json").write_text("{}")
    told = Noted()
    again = embed(model, task, workspace=noting(workspace, told))
    assert told.counts[0] == (36 - 4 * 4, 36)
    assert again.digest == store.digest
    again.verify()


KILLED = """
import itertools, os, sys, time
from pathlib import Path
from hearbench.embeddings import batches
from hearbench.embeddings.compute import embed
from hearbench.models.loading import load_model
from hearbench.workspace import Workspace
from hearbench.tasks.store import load_task

batches._SHARD_AUDIO_S = 0.5
batches.batch_clips = lambda *_: 2
workspace = Workspace(Path(sys.argv[3]), "cpu", 2)
# What is to be killed mustn't end before, however fast the machine is.
sleep, calls = time.sleep, itertools.count(1)
time.sleep = lambda s: sleep(s if next(calls) <= int(sys.argv[4]) else 60)
model = load_model(sys.argv[1], workspace=workspace)
print(os.getpid(), flush=True)
embed(model, load_task(sys.argv[2], workspace=workspace), workspace=workspace)
"""


def test_a_killed_run_resumes_to_the_same_digest(
    tmp_path: Path, workspace: Workspace, task: PreparedTask, preloaded: Path
) -> None:
    slow = """
    import time
    def get_scene_embeddings(audio, model):
        time.sleep(0.04)
        return audio[:, 100:103] * 1.0
    """
    path, script = write_model(tmp_path, extra=slow), tmp_path / "run.py"
    script.write_text(textwrap.dedent(KILLED))

    def run(cache: Path, kill_after_s: float | None) -> int:
        # There are 18 batches, and two calls before them.
        most_calls = "1000" if kill_after_s is None else "8"
        given = map(str, (script, path, task.folder, cache, most_calls))
        command = [str(preloaded / "python"), *given]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            begun = int(process.stdout.readline())
            if kill_after_s is not None:
                time.sleep(kill_after_s)
                os.kill(begun, signal.SIGKILL)
            return process.wait()

    assert run(tmp_path / "whole", None) == 0
    moments = random.Random(0)
    for _ in range(2):
        assert run(tmp_path / "killed", moments.uniform(0, 0.3)) == -signal.SIGKILL
    assert run(tmp_path / "killed", None) == 0
    model = load_model(path, workspace=workspace)
    stores = [
        embed(model, task, workspace=Workspace(tmp_path / name, "cpu", 2))
        for name in ("whole", "killed")
    ]
    assert stores[0].digest == stores[1].digest
    stores[1].verify()
    assert np.array_equal(stores[0].scene("test"), stores[1].scene("test"))


def test_two_runs_at_once_leave_one_whole_store(
    tmp_path: Path, workspace: Workspace, task: PreparedTask, small_shards: None
) -> None:
    # Embeddings that differ from run to run: whatever is recorded must fit its arrays.
    extra = """
    def get_scene_embeddings(audio, model):
        return torch.rand(len(audio), 3)
    """
    path = write_model(tmp_path, extra=extra)
    models = [load_model(path, workspace=workspace) for _ in range(2)]
    stores: list[EmbeddingStore] = []
    threads = [
        threading.Thread(target=lambda m=m: stores.append(embed(m, task, workspace=workspace)))
        for m in models
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(stores) == 2
    folder = stores[0].folder
    EmbeddingStore.open(folder, task).verify()
    assert embed(models[0], task, workspace=workspace).scene("test").shape == (12, 3)


def test_another_checkpoint_of_the_same_name_gets_a_folder_of_its_own(
    tmp_path: Path, workspace: Workspace, task: PreparedTask
) -> None:
    extra = """
    from pathlib import Path
    def load_model(path):
        m = Stats()
        m.add = float(Path(path).read_text())
        return m
    def get_scene_embeddings(audio, model):
        return torch.full((len(audio), 3), model.add)
    """
    path, weights = write_model(tmp_path, extra=extra), tmp_path / "w.txt"
    stores = []
    for number in ("1", "2"):
        weights.write_text(number)
        model = load_model(path, weights, workspace=workspace)
        stores.append(embed(model, task, workspace=workspace))
        assert set(stores[-1].scene("train").ravel()) == {float(number)}
    assert stores[0].folder.parent == stores[1].folder.parent
    assert stores[0].folder != stores[1].folder
    assert stores[0].digest != stores[1].digest


def test_float16_on_disk_and_its_overflow(
    tmp_path: Path, workspace: Workspace, task: PreparedTask, events: PreparedTask
) -> None:
    model = load_model(write_model(tmp_path), workspace=workspace)
    exact = embed(model, task, workspace=workspace)
    half = embed(model, task, workspace=workspace, dtype="float16")
    assert half.folder != exact.folder
    assert half.scene("train").dtype == np.float32
    assert np.array_equal(half.scene("train"), exact.scene("train").astype(np.float16))
    stored = np.load(half.folder / "shards" / half.manifest.shards[0].embeddings.name)
    assert stored.dtype == np.float16
    _, embeddings, ms = next(
        embed(model, events, workspace=workspace, dtype="float16").timestamps("test")
    )
    assert embeddings.dtype == np.float32
    assert ms[-1] == 1975.0
    extra = "def get_scene_embeddings(audio, model):\n    return audio[:, :3] * 0 + 70000.0"
    large = load_model(write_model(tmp_path, extra=extra, name="large"), workspace=workspace)
    assert embed(large, task, workspace=workspace).scene("test").max() == 70000.0
    first = next(iter(task.splits["train"]))
    with pytest.raises(EmbeddingError, match=rf"{first} reaches 70000, beyond float16"):
        embed(large, task, workspace=workspace, dtype="float16")
    with pytest.raises(EmbeddingError, match="float32 or float16: 'int8'"):
        embed(model, task, workspace=workspace, dtype="int8")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("value", "counts"), [("nan", "1 NaN and 0 infinite"), ("inf", "0 NaN and 1")]
)
def test_numbers_that_are_none_stop_it_with_the_clips_name(
    tmp_path: Path, workspace: Workspace, task: PreparedTask, value: str, counts: str
) -> None:
    extra = f"""
    def get_scene_embeddings(audio, model):
        out = torch.ones(len(audio), 3)
        out[7, 1] = float("{value}")
        return out
    """
    model = load_model(write_model(tmp_path, extra=extra), workspace=workspace)
    clip = list(task.splits["train"])[7]
    with pytest.raises(EmbeddingError, match=rf"the embedding of {clip} holds {counts}"):
        embed(model, task, workspace=workspace)


def test_large_numbers_whose_sum_overflows_are_fine(
    tmp_path: Path, workspace: Workspace, task: PreparedTask
) -> None:
    extra = "def get_scene_embeddings(audio, model):\n    return torch.full((len(audio), 3), 3e38)"
    model = load_model(write_model(tmp_path, extra=extra), workspace=workspace)
    assert embed(model, task, workspace=workspace).scene("test").min() == np.float32(3e38)


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ("torch.ones(12, 2), None", "timestamps of|embeddings of"),
        ("torch.ones(len(audio), 0, 1), torch.ones(len(audio), 0)", "no frames for 32000 samples"),
        (
            "torch.ones(len(audio), 2, 1), torch.full((len(audio), 2), float('nan'))",
            "the timestamps of train-0.wav",
        ),
    ],
)
def test_wrong_outputs_stop_it_with_the_first_clips_name(
    tmp_path: Path, workspace: Workspace, events: PreparedTask, returned: str, message: str
) -> None:
    extra = f"def get_timestamp_embeddings(audio, model):\n    return {returned}"
    model = load_model(write_model(tmp_path, extra=extra), workspace=workspace)
    with pytest.raises(EmbeddingError, match=message) as caught:
        embed(model, events, workspace=workspace)
    assert "beeps-1.0.0-full, train/train-0.wav (and 2 clips after it)" in str(caught.value)


def test_a_failing_model_is_told_with_the_clip(
    tmp_path: Path, workspace: Workspace, task: PreparedTask
) -> None:
    extra = "def get_scene_embeddings(audio, model):\n    raise ValueError('too short')"
    model = load_model(write_model(tmp_path, extra=extra), workspace=workspace)
    with pytest.raises(ModelError, match=r"train/train-a-0\.wav(?s:.*)too short"):
        embed(model, task, workspace=workspace)


def test_audio_is_resampled_to_the_models_rate(
    tmp_path: Path, workspace: Workspace, task: PreparedTask
) -> None:
    path = write_model(tmp_path, extra="Stats.sample_rate = 22050")
    store = embed(load_model(path, workspace=workspace), task, workspace=workspace)
    assert store.manifest.model.sample_rate == 22050
    assert store.manifest.audio_s == pytest.approx(36 * 0.25, rel=1e-3)
    assert 22050 in store.task.sample_rates


@pytest.mark.parametrize("damage", ["flip", "cut", "missing", "manifest", "version", "list"])
def test_a_damaged_store_is_made_whole(
    tmp_path: Path,
    workspace: Workspace,
    task: PreparedTask,
    small_shards: None,
    damage: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    model = load_model(write_model(tmp_path), workspace=workspace)
    store = embed(model, task, workspace=workspace)
    manifest = store.folder / "manifest.json"
    before = manifest.read_bytes()
    path = min(store.folder.glob("shards/*.npy"))
    if damage == "flip":
        times = path.stat()
        path.write_bytes(path.read_bytes()[:-1] + bytes([path.read_bytes()[-1] ^ 1]))
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
        with pytest.raises(EmbeddingError, match=path.name):
            EmbeddingStore.open(store.folder, task, workspace=workspace)
        with pytest.raises(EmbeddingError, match=path.name):
            store.verify()
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:-1])
    elif damage == "missing":
        path.unlink()
    elif damage == "manifest":
        path = manifest
        path.write_bytes(before[:100])
    elif damage == "version":
        path = manifest
        path.write_bytes(before.replace(b'"format_version": 1', b'"format_version": 2'))
    else:
        path = manifest
        (store.folder / "SHA256SUMS").write_text("")
    told = Noted()
    again = embed(model, task, workspace=noting(workspace, told))
    again.verify()
    assert again.digest == store.digest
    assert EmbeddingStore.open(store.folder, task, workspace=workspace).digest == store.digest
    # The shard alone is computed again.
    assert told.counts[0] == (36 if path == manifest else 32, 36)
    assert [str(path) in record.getMessage() for record in caplog.records] == [True]


def test_progress_knows_pace_and_time_left() -> None:
    assert _pace(20, 20, 40.0, 4.0) == "4.0 s left, 5.0 clips/s, 10x realtime"


def test_the_official_archive_with_the_shared_model(shared: Path, workspace: Workspace) -> None:
    archive = "hear-2021.0.6-spoken_digit-1.0.9-small-44100.tar.gz"
    task = load_task(shared / "data" / "archives" / archive, workspace=workspace)
    model = load_model(shared / "models" / "logmel_stats.py", workspace=workspace)
    store = embed(model, task, workspace=workspace)
    for split, files in task.splits.items():
        found = store.scene(split)
        assert found.shape == (len(files), 128)
        assert found.std() > 0.1
