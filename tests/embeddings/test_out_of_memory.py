from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers_models import calls, write_model
from helpers_tasks import make_event_task, make_scene_task

from hearbench.embeddings import batches
from hearbench.embeddings.batch_size import ran_out_of_memory
from hearbench.embeddings.compute import embed, embed_shards, missing_shards
from hearbench.errors import EmbeddingError, ModelError
from hearbench.models.loaded import Interpreter
from hearbench.models.loading import load_model
from hearbench.tasks.store import PreparedTask, load_task
from hearbench.workspace import Workspace

# Takes so many clips at a time, and spoils the audio of what is too much before it gives up. The
# embedding is one clip's own, by operations that give the same whatever stands beside it.
LIMITED = """
MOST = {most}
SEEN = []
def get_scene_embeddings(audio, model):
    SEEN.append(len(audio))
    if len(audio) > MOST:
        audio[:] = 7.0
        raise {error}
    return torch.stack([audio[:, 0], audio.amax(1), audio.amin(1)], 1)
"""
ALLOCATE = "torch.OutOfMemoryError('CUDA out of memory. Tried to allocate 2.00 GiB.')"


@pytest.fixture
def task(tmp_path: Path, workspace: Workspace) -> PreparedTask:
    return load_task(make_scene_task(tmp_path / "task"), workspace=workspace)


def limited(folder: Path, workspace: Workspace, most: int, error: str = ALLOCATE) -> Path:
    return write_model(folder, extra=LIMITED.format(most=most, error=error))


@pytest.mark.parametrize("error", [ALLOCATE, "MemoryError('no room')", "MemoryError"])
def test_half_as_many_clips_at_a_time_from_then_on(
    tmp_path: Path, workspace: Workspace, task: PreparedTask, error: str
) -> None:
    roomy = embed(
        load_model(limited(tmp_path / "roomy", workspace, 100), workspace=workspace),
        task,
        workspace=Workspace(tmp_path / "elsewhere", "cpu", 2),
    )
    assert roomy.manifest.reduced_batch is None
    model = load_model(limited(tmp_path, workspace, 4, error), workspace=workspace)
    store = embed(model, task, workspace=workspace)
    # One batch of 12 clips per split: 12 and 6 are too many, 3 fit, also in the next splits.
    seen = calls(model)
    assert seen == [12, 6, 3, 3, 3, 3, *[3] * 8]
    assert store.manifest.reduced_batch == 3
    assert [shard.reduced_batch for shard in store.manifest.shards] == [3, 3, 3]
    assert store.manifest.batch == 336
    assert store.digest == roomy.digest
    for split in task.splits:
        assert np.array_equal(store.scene(split), roomy.scene(split))


def test_a_remainder_that_fits_whole_is_not_reduced(
    tmp_path: Path, workspace: Workspace, task: PreparedTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "batch_clips", lambda *_: 5)
    monkeypatch.setattr(batches, "_SHARD_AUDIO_S", 1.25)
    model = load_model(limited(tmp_path, workspace, 3), workspace=workspace)
    names = missing_shards(model, task, workspace=workspace)
    embed_shards(model, task, names[:3], workspace=workspace)
    # Shards of 5, 5 and 2 clips.
    assert calls(model) == [5, 3, 2, 3, 2, 2]
    store = embed(model, task, workspace=workspace)
    sizes = [shard.reduced_batch for shard in store.manifest.shards]
    assert sizes == [3, 3, None, 3, 3, None, 3, 3, None]
    assert store.manifest.reduced_batch == 3


def test_events_keep_their_frames(tmp_path: Path, workspace: Workspace) -> None:
    task = load_task(make_event_task(tmp_path / "task"), workspace=workspace)
    whole = embed(
        load_model(write_model(tmp_path / "whole"), workspace=workspace), task, workspace=workspace
    )
    extra = """
    plain = get_timestamp_embeddings
    def get_timestamp_embeddings(audio, model):
        if len(audio) > 1:
            raise MemoryError
        return plain(audio, model)
    """
    model = load_model(write_model(tmp_path, extra=extra), workspace=workspace)
    store = embed(model, task, workspace=workspace)
    assert store.manifest.reduced_batch == 1
    for split in task.splits:
        for ours, theirs in zip(store.timestamps(split), whole.timestamps(split), strict=True):
            assert ours[0] == theirs[0]
            assert np.allclose(ours[1], theirs[1], rtol=1e-6, atol=1e-9)
            assert np.array_equal(ours[2], theirs[2])


@pytest.mark.usefixtures("quick_python")
def test_a_model_in_a_process_of_its_own(
    tmp_path: Path, workspace: Workspace, task: PreparedTask
) -> None:
    path = limited(tmp_path, workspace, 4)
    there = Interpreter(Path(sys.executable), timeout_s=300)
    model = load_model(path, workspace=workspace, interpreter=there)
    try:
        store = embed(model, task, workspace=workspace)
    finally:
        model.close()
    assert store.manifest.reduced_batch == 3
    here = load_model(limited(tmp_path / "here", workspace, 100), workspace=workspace)
    assert np.array_equal(store.scene("test"), embed(here, task, workspace=workspace).scene("test"))


def test_one_clip_that_does_not_fit_is_named(
    tmp_path: Path, workspace: Workspace, task: PreparedTask
) -> None:
    model = load_model(limited(tmp_path, workspace, 0), workspace=workspace)
    first = next(iter(task.splits["train"]))
    message = rf"train/{first}: stats runs out of memory on this one clip of 0\.2 s"
    with pytest.raises(EmbeddingError, match=message) as caught:
        embed(model, task, workspace=workspace)
    assert "Tried to allocate 2.00 GiB" in str(caught.value)
    assert calls(model) == [12, 6, 3, 2, 1]


def test_other_errors_are_not_tried_again(
    tmp_path: Path, workspace: Workspace, task: PreparedTask
) -> None:
    error = "RuntimeError('shapes differ')"
    model = load_model(limited(tmp_path, workspace, 4, error), workspace=workspace)
    with pytest.raises(ModelError, match="shapes differ"):
        embed(model, task, workspace=workspace)
    assert calls(model) == [12]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 20 MiB", True),
        ("torch.cuda.OutOfMemoryError: CUDA out of memory.", True),
        ("numpy._core._exceptions._ArrayMemoryError: Unable to allocate 7 TiB", True),
        ("RuntimeError: CUDA error: out of memory", True),
        ("RuntimeError: CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling create", True),
        ("tensorflow.python.framework.errors_impl.ResourceExhaustedError: OOM when", True),
        ("MemoryError", True),
        ("ValueError: shapes differ", False),
        ('    raise MemoryError("no")\nValueError: shapes differ', False),
        ("hearbench.errors.ModelError: memory", False),
    ],
)
def test_what_a_traceback_ends_with_decides(text: str, expected: bool) -> None:
    report = f'm: get_scene_embeddings failed on 2 x 8 samples:\n  File "m.py", line 1\n{text}'
    assert ran_out_of_memory(ModelError(report)) is expected


def test_what_the_libraries_really_raise() -> None:
    with pytest.raises(RuntimeError) as by_torch:
        torch.empty(1 << 60, dtype=torch.uint8)
    assert ran_out_of_memory(by_torch.value)
    with pytest.raises(MemoryError) as by_numpy:
        np.empty(1 << 60, dtype=np.uint8)
    assert ran_out_of_memory(by_numpy.value)
    assert not ran_out_of_memory(RuntimeError("memory"))
