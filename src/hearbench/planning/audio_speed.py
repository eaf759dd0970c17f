"""How fast audio is read, checked, resampled and embedded here, by trying it for some seconds."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hearbench.audio.decode import prepared_wav
from hearbench.audio.encode import write_wav16
from hearbench.audio.resample import resample16
from hearbench.digest import digest_bytes
from hearbench.models.protocol import Model
from hearbench.workspace import Workspace

__all__ = ["FileSpeed", "ModelSpeed", "measure_files", "measure_model", "noise"]

_LONGEST_S = 30.0
_MOST_CALLS = 10
_GROWTH = 4
_FULL_SCALE = 32767
_FILES_BYTES = 16 << 20
_MOST_FILES = 64
_SEED = 0


def noise(n_clips: int, n_samples: int) -> npt.NDArray[np.float32]:
    """Quiet white noise (n_clips, n_samples), the same in every call."""
    rng = np.random.default_rng(_SEED)
    return (0.1 * rng.standard_normal((n_clips, n_samples))).clip(-1, 1).astype(np.float32)


@dataclass(frozen=True)
class ModelSpeed:
    """What embedding noise took.

    Attributes:
        clip_s: Length of the clips that were tried, in seconds.
        clips: Of a call.
        calls: That were timed.
        s_per_audio_s: Seconds per second of audio, the median over calls.
        frames_per_s: Frames per second of audio; 0 for scene embeddings.
        embedding_size: Numbers per clip or frame.
        peak_memory_mb: Of the process that the model runs in, MiB; None if it isn't known.
    """

    clip_s: float
    clips: int
    calls: int
    s_per_audio_s: float
    frames_per_s: float
    embedding_size: int
    peak_memory_mb: float | None


def measure_model(
    model: Model, kind: str, clip_s: float, batch: int, *, budget_s: float
) -> ModelSpeed:
    """Embeds noise for about some seconds.

    Args:
        model: The model.
        kind: ``scene`` or ``event``.
        clip_s: Length of a clip; at most 30 s of it are tried.
        batch: Clips that are embedded together; fewer are tried if a call would take too long.
        budget_s: Seconds to spend. Two calls of one clip are made whatever they take: the first,
            which doesn't count, and one that does.

    Raises:
        ModelError: The model's own code fails.
        EmbeddingError: It gives other shapes than it promises.
    """
    tried_s = min(clip_s, _LONGEST_S)
    n_samples = max(1, round(tried_s * model.sample_rate))

    def call(clips: int) -> tuple[float, int]:
        audio = noise(clips, n_samples)
        started = time.perf_counter()
        frames = 0
        if kind == "event":
            frames = model.timestamps(audio)[0].shape[1]
        else:
            model.scene(audio)
        return time.perf_counter() - started, frames

    call(1)
    spent_s, frames = call(1)
    clips, last_s = 1, spent_s
    # Up to a batch as in the evaluation, unless one call of it would take most of the budget.
    while clips < batch and spent_s + _GROWTH * last_s < budget_s:
        clips = min(batch, _GROWTH * clips)
        last_s = call(clips)[0]
        spent_s += last_s
    times = [last_s]
    while spent_s + last_s < budget_s and len(times) < _MOST_CALLS:
        last_s = call(clips)[0]
        spent_s += last_s
        times.append(last_s)
    memory = model.engine.memory()
    return ModelSpeed(
        clip_s=tried_s,
        clips=clips,
        calls=len(times),
        s_per_audio_s=statistics.median(times) / (clips * tried_s),
        frames_per_s=frames / tried_s,
        embedding_size=(
            model.timestamp_embedding_size if kind == "event" else model.scene_embedding_size
        ),
        peak_memory_mb=memory.resident_mb,
    )


@dataclass(frozen=True)
class FileSpeed:
    """What handling files of noise took, per second of audio, with as many threads as are used.

    Attributes:
        check_s: To read a file at the source's rate and take its digest.
        resample_s: To read one, resample it and write it.
        read_s: To read one at the model's rate.
    """

    check_s: float
    resample_s: float
    read_s: float


def measure_files(
    workspace: Workspace, clip_s: float, *, source_rate: int, sample_rate: int
) -> FileSpeed:
    """Writes some seconds of noise into the cache's file system, and handles them as a run does.

    What is read has just been written, so it mostly comes from memory: a disk that is slower
    than decoding isn't seen.

    Args:
        workspace: Where the cache is, and how many threads.
        clip_s: Length of a clip; at most 30 s of it are tried.
        source_rate: In Hz, of the files that are there.
        sample_rate: In Hz, of the model.

    Raises:
        OSError: The cache can't be written.
    """
    tried_s = min(clip_s, _LONGEST_S)
    count = int(_FILES_BYTES / (2 * tried_s * source_rate))
    count = max(2, workspace.workers, min(_MOST_FILES, count))
    workspace.cache_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".plan-", dir=workspace.cache_dir) as folder:
        root = Path(folder)
        sources = [root / f"{i}.wav" for i in range(count)]
        x = (noise(1, round(tried_s * source_rate))[0] * _FULL_SCALE).astype(np.int16)
        for path in sources:
            write_wav16(path, x, source_rate, durable=False)

        def check(path: Path) -> None:
            data = path.read_bytes()
            prepared_wav(path, data)
            digest_bytes(data)

        def resample(path: Path) -> None:
            read, rate = prepared_wav(path, path.read_bytes())
            made = resample16(read, rate, sample_rate)
            write_wav16(path.with_suffix(".new"), made, sample_rate, durable=False)

        def read(path: Path) -> None:
            found, _ = prepared_wav(path, path.read_bytes())
            _ = found.astype(np.float32) * np.float32(1 / 32768)

        resample(sources[0])  # the filter is designed once, not per file
        audio_s = count * tried_s
        check_s = _threaded(check, sources, workspace.workers) / audio_s
        resample_s = _threaded(resample, sources, workspace.workers) / audio_s
        made = [path.with_suffix(".new") for path in sources]
        read_s = _threaded(read, made, max(1, workspace.workers // 2)) / audio_s
    return FileSpeed(check_s, resample_s, read_s)


def _threaded(work: Callable[[Path], None], paths: list[Path], workers: int) -> float:
    started = time.perf_counter()
    with ThreadPoolExecutor(max(1, workers)) as pool:
        for _ in pool.map(work, paths):
            pass
    return time.perf_counter() - started
