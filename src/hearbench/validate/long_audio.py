"""Checks with 20 minutes of audio, the longest that a model must take: memory, and drift."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hearbench.amounts import memory_size
from hearbench.embeddings.align import check_timestamps
from hearbench.errors import EmbeddingError, HearError
from hearbench.models.engine import Memory
from hearbench.validate.context import Context, Frames
from hearbench.validate.impulse import Numbers, answered, level_of, standing_out
from hearbench.validate.model_process import SCENE, TIMESTAMPS
from hearbench.validate.report import Finding, error, passed, skipped, warning
from hearbench.validate.shapes import NOTHING_USABLE
from hearbench.validate.signals import add_bursts, samples, white_noise

__all__ = ["LIMIT_MB", "LONG_S", "LongRun", "check_memory", "check_timestamp_drift", "long_run"]

# How long the audio is, and the MiB of memory that embedding it may take.
LONG_S = 1200.0
LIMIT_MB = 16 << 10
_LEVEL, _SOUND_MS = 0.05, 100.0
# Distances that repeat nowhere, so that sounds can't be taken for each other.
_PATTERN_MS = (0.0, 1370.0, 3910.0, 5530.0, 8830.0, 11290.0, 14890.0, 17510.0)
_EARLY_MS, _LATE_MS = 20_000.0, 1_160_000.0
# How far from its place the pattern is looked for, and how much around it is looked at.
_REACH_MS = 18_000.0
_GOLDEN = 0.6180339887
_CONTRAST = 1.5
# Any rounding of a hop shows as several times this.
_LEAST_LIMIT_MS = 50.0
_OUT_OF_MEMORY = (
    "out of memory",
    "outofmemory",
    "memoryerror",
    "can't allocate memory",
    "cannot allocate memory",
    "resource_exhausted",
    "resourceexhausted",
    "bad_alloc",
    "sigkill",
)


@dataclass(frozen=True)
class LongRun:
    """Results for 20 minutes of audio; ``problems`` has the failures.

    Attributes:
        problems: By function: why it has no results.
        times_ms: (n_frames,) timestamps of the embeddings.
        finite: By function, whether embeddings and timestamps are.
        heard: Where frames heard the early and the late sounds: how much they stand out, by
            timestamp.
        sounds_ms: Where the early and the late sounds are.
        memory: The peak after both.
    """

    problems: dict[str, HearError]
    times_ms: Numbers | None
    finite: dict[str, bool]
    heard: tuple[tuple[Numbers, Numbers], ...]
    sounds_ms: tuple[npt.NDArray[np.float64], ...]
    memory: Memory | None


def long_run(context: Context) -> LongRun:
    """Hands 20 minutes to the model, once for all checks."""
    if isinstance(context.long, LongRun):
        return context.long
    rate = context.sample_rate
    problems: dict[str, HearError] = {}
    sounds_ms = tuple(_sounds(start_ms, context.hop_ms, rate) for start_ms in (_EARLY_MS, _LATE_MS))
    # Long enough to be heard by frames that don't overlap.
    sound_ms = float(np.clip(1.5 * context.hop_ms, _SOUND_MS, 1000.0))
    audio = white_noise(1, samples(LONG_S, rate), _LEVEL)
    for places_ms in sounds_ms:
        add_bursts(audio, list(places_ms), sound_ms, rate)
    finite: dict[str, bool] = {}
    heard: tuple[tuple[Numbers, Numbers], ...] = ()
    times_ms, memory = None, None
    usable = context.usable()
    try:
        if TIMESTAMPS in usable:
            frames = context.timestamps(audio)
            times_ms = frames.times_ms[0]
            finite[TIMESTAMPS] = _finite(frames)
            heard = tuple(_around(frames, places_ms) for places_ms in sounds_ms)
            del frames
    except HearError as problem:
        problems[TIMESTAMPS] = problem
    try:
        if SCENE in usable:
            finite[SCENE] = bool(np.isfinite(context.scene(audio)).all())
    except HearError as problem:
        problems[SCENE] = problem
    if not problems:
        memory = context.process.memory()
    context.long = LongRun(problems, times_ms, finite, heard, sounds_ms, memory)
    return context.long


def check_memory(context: Context) -> Finding:
    """20 minutes fit into 16 GB."""
    expected = "20 minutes of audio within 16 GB of GPU memory"
    if not context.usable():
        return skipped(expected, NOTHING_USABLE)
    run = long_run(context)
    remedy = (
        "Work through long audio in blocks of bounded length, whose embeddings alone are kept; "
        "attention over all frames takes memory as the square of the length."
    )
    if run.problems:
        function, problem = next(iter(run.problems.items()))
        text = str(problem)
        if any(sign in text.lower() for sign in _OUT_OF_MEMORY):
            return error(expected, text, remedy)
        return skipped(expected, f"{function} fails on 20 minutes, see lengths")
    memory = run.memory or Memory(None, None)
    if memory.device_mb:
        context.peak_mb = (memory.device_mb, "GPU")
        found = f"peak {memory_size(memory.device_mb * (1 << 20))} allocated on the GPU"
        return (
            error(expected, found, remedy)
            if memory.device_mb > LIMIT_MB
            else passed(expected, found)
        )
    if memory.resident_mb is None:
        return skipped(expected, "this system doesn't tell what a process uses")
    context.peak_mb = (memory.resident_mb, "process")
    found = (
        f"peak {memory_size(memory.resident_mb * (1 << 20))} resident in the model's process, "
        "on a CPU, with its libraries, the audio and the embeddings"
    )
    if memory.resident_mb > LIMIT_MB:
        return warning(expected, found, f"{remedy} On a GPU it may be less: try --device cuda.")
    return passed(expected, found)


def check_timestamp_drift(context: Context) -> Finding:
    """Checks that frames at the end of 20 minutes are as near to their timestamps as the first."""
    expected = "the last frames of 20 minutes are as well placed as the first"
    run = long_run(context)
    if run.times_ms is None:
        return skipped(expected, "20 minutes of audio can't be embedded, see lengths")
    remedy = (
        "Round each frame's centre to samples by itself and never the hop: a hop of 1102.5 "
        "samples that is cut to 1102 is off by half a second after 20 minutes. Compute times in "
        "float64 until the end."
    )
    try:
        check_timestamps(run.times_ms, LONG_S * 1000)
    except EmbeddingError as problem:
        return error(expected, str(problem), remedy)
    offsets, widths = [], []
    for (times_ms, loud), places_ms in zip(run.heard, run.sounds_ms, strict=True):
        placed = _placed(times_ms, loud, places_ms, context.hop_ms)
        if placed is None:
            return skipped(
                expected,
                "sounds among noise don't stand out in the embeddings, so that nothing tells "
                f"where they are; the timestamps themselves are regular, up to "
                f"{run.times_ms[-1] / 1000:.3f} s",
            )
        offsets.append(placed[0])
        widths.append(placed[1])
    drift_ms = offsets[1] - offsets[0]
    minutes = (_LATE_MS - _EARLY_MS) / 60_000
    limit_ms = max(2 * context.hop_ms, _LEAST_LIMIT_MS, max(widths) / 8)
    if abs(drift_ms) > limit_ms:
        way = "later" if drift_ms > 0 else "earlier"
        return error(
            expected,
            f"within {minutes:.0f} minutes timestamps get {abs(drift_ms):.0f} ms {way} than the "
            f"sound: {abs(drift_ms) / (_LATE_MS - _EARLY_MS):.4%}",
            remedy,
        )
    return passed(expected, f"within {max(1.0, abs(drift_ms)):.0f} ms over {minutes:.0f} minutes")


def _sounds(start_ms: float, hop_ms: float, sample_rate: int) -> npt.NDArray[np.float64]:
    """The pattern, at evenly spread distances from the frames."""
    phases = np.arange(len(_PATTERN_MS)) * _GOLDEN % 1.0 * hop_ms
    at_ms = start_ms + np.array(_PATTERN_MS) + phases
    return np.round(at_ms * sample_rate / 1000) * 1000 / sample_rate


def _around(frames: Frames, places_ms: npt.NDArray[np.float64]) -> tuple[Numbers, Numbers]:
    times_ms = frames.times_ms[0]
    near = (times_ms >= places_ms[0] - _REACH_MS - 2000) & (
        times_ms <= places_ms[-1] + _REACH_MS + 2000
    )
    embeddings = np.nan_to_num(frames.embeddings[0][near], posinf=0.0, neginf=0.0)
    if not len(embeddings):
        return np.zeros(0), np.zeros(0)
    return times_ms[near], standing_out(embeddings)


def _placed(
    times_ms: Numbers, loud: Numbers, places_ms: npt.NDArray[np.float64], hop_ms: float
) -> tuple[float, float] | None:
    """How late the timestamps of sounds are, and how wide the frames answer; None if unheard."""
    if len(times_ms) < len(places_ms):
        return None
    shifts = np.arange(-_REACH_MS, _REACH_MS, max(hop_ms / 2, 10.0))
    wanted = places_ms[None, :] + shifts[:, None]
    # The median bears with sounds that the model doesn't hear, or the clip's end.
    scores = np.median(np.interp(wanted, times_ms, loud), axis=1)
    best = int(scores.argmax())
    if scores[best] < _CONTRAST * float(np.median(scores)):
        return None
    errors, widths = [], []
    reach_ms = max(3 * hop_ms, 400.0)
    for place_ms in places_ms:
        near = np.abs(times_ms - place_ms - shifts[best]) <= reach_ms
        if near.sum() < 3:
            continue
        place = answered(times_ms[near], loud[near] - loud[near].min(), hop_ms)
        if place is not None:
            errors.append(place.centroid_ms - place_ms)
            widths.append(place.width_ms)
    if len(errors) < len(places_ms) / 2:
        return None
    return level_of(np.array(errors)), float(np.median(widths))


def _finite(frames: Frames) -> bool:
    return bool(np.isfinite(frames.embeddings).all() and np.isfinite(frames.times_ms).all())
