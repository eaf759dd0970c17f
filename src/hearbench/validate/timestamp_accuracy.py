"""Whether frames are where their timestamps say: short sounds have to be found where they are."""

from __future__ import annotations

import numpy as np

from hearbench.amounts import significant
from hearbench.validate.behaviour import repeats
from hearbench.validate.context import Context
from hearbench.validate.impulse import Aligned, Answered, align, answered
from hearbench.validate.model_process import TIMESTAMPS
from hearbench.validate.report import Finding, error, passed, skipped, warning
from hearbench.validate.signals import add_bursts, samples, white_noise

__all__ = ["check_timestamp_centres"]

_SHORTEST_S, _LONGEST_S, _HOPS = 6.0, 30.0, 12
_N_SOUNDS = 9
# Sounds lie in this part of the clip, so that frames on both sides can answer.
_FROM, _TO = 0.25, 0.75
_GOLDEN = 0.6180339887
_SOUND_MS = 10.0
_LEVEL = 0.1
# One that all clips have, so that what is normalised by the loudest moment stays as it is.
_ANCHOR_MS = 100.0
_LEAST_SOUNDS = 4
_LEAST_LIMIT_MS, _LEAST_WARNING_MS = 25.0, 10.0
# What remembers or attends answers a little after the sound.
_LEAST_UNBOUNDED_MS = 15.0
_LEAST_SCATTER_MS = 100.0
# Of the embeddings' variation, from call to call.
_MOST_RANDOM = 0.01
# An answer that hardly follows the sound is no answer to it.
_LEAST_SPEED = 0.1
# Off by three quarters of a hop is nearer to the next frame than to one's own.
_SHARE_OF_HOP, _WARNING_SHARE = 0.75, 1 / 3
_EXPECTED = "a short sound moves the embeddings nearest to it most"


def check_timestamp_centres(context: Context) -> Finding:
    """Checks that a short sound moves most the embeddings whose timestamps are nearest to it."""
    hop_ms = context.hop_ms
    if not hop_ms:
        return skipped(_EXPECTED, "clips of 4 s have a single frame")
    if repeats(context).get(TIMESTAMPS, 0.0) > _MOST_RANDOM:
        return skipped(_EXPECTED, "the same call twice gives different embeddings, see determinism")
    duration_s = min(max(_SHORTEST_S, _HOPS * hop_ms / 1000), _LONGEST_S)
    at_ms, places, n_moved = _listen(context, duration_s)
    if len(places) < _LEAST_SOUNDS:
        if n_moved < _LEAST_SOUNDS:
            why = "most short sounds in noise move no embedding"
        else:
            why = "a short sound in noise moves all embeddings of the clip about as much"
        return skipped(_EXPECTED, f"{why}, so that nothing tells where frames look")
    return _judged(align(at_ms, places), at_ms, hop_ms)


def _listen(context: Context, duration_s: float) -> tuple[list[float], list[Answered], int]:
    """Sounds that were found, where frames answered to them, and how many moved any frame."""
    rate, hop_ms = context.sample_rate, context.hop_ms
    plain = white_noise(1, samples(duration_s, rate), _LEVEL)
    add_bursts(plain, [_ANCHOR_MS], _SOUND_MS, rate)
    before = context.timestamps(plain)
    times_ms = before.times_ms[0]
    at_ms, places, n_moved = [], [], 0
    span_ms = (_TO - _FROM) * duration_s * 1000
    for number in range(_N_SOUNDS):
        # At evenly spread distances from the frames, whatever the hop.
        within = number * _GOLDEN % 1.0 * hop_ms
        start_ms = _FROM * duration_s * 1000 + number * (span_ms - hop_ms) / _N_SOUNDS
        time_ms = round((start_ms // hop_ms * hop_ms + within) * rate / 1000) * 1000 / rate
        clip = plain.copy()
        add_bursts(clip, [time_ms], _SOUND_MS, rate)
        after = context.timestamps(clip)
        if after.embeddings.shape != before.embeddings.shape:
            continue  # a number of frames that depends on the content; the check of shapes tells
        apart = after.embeddings[0].astype(np.float64) - before.embeddings[0]
        change = np.linalg.norm(np.nan_to_num(apart, posinf=0.0, neginf=0.0), axis=1)
        n_moved += bool(change.max() > 0)
        place = answered(times_ms, change, hop_ms)
        if place is not None:
            at_ms.append(time_ms)
            places.append(place)
    return at_ms, places, n_moved


def _judged(found: Aligned, at_ms: list[float], hop_ms: float) -> Finding:
    width = 0.0 if found.bounded else found.width_ms
    speed = 1 + found.slope
    if found.scatter_ms > max(2 * hop_ms, _LEAST_SCATTER_MS, width / 4):
        return skipped(
            _EXPECTED,
            f"different frames answer to short sounds, with no order among them (within "
            f"{found.scatter_ms:.0f} ms), so that nothing tells where frames look",
        )
    if abs(speed) < _LEAST_SPEED:
        return skipped(_EXPECTED, "the same frames answer most, wherever a short sound is")
    least = max(hop_ms, _LEAST_LIMIT_MS)
    grows_ms = found.slope * (at_ms[-1] - at_ms[0])
    if abs(grows_ms) > 2 * max(least, width / 2):
        return error(
            _EXPECTED,
            f"timestamps advance by {significant(speed)} ms per ms of audio",
            "Look for a wrong sample rate or hop in the conversion of frames to ms, or frames "
            "that aren't in the order of time.",
        )
    limit_ms = max(_SHARE_OF_HOP * least, width / 4)
    shown = f"timestamps are {abs(found.offset_ms):.0f} ms too {_way(found.offset_ms)}"
    remedy = (
        "Return the middle of what each frame sees, not its beginning or end: frame i of n "
        "samples that begins at sample i * hop is centred on i * hop + n / 2, less what is padded "
        "in front."
    )
    if abs(found.offset_ms) > limit_ms:
        return error(_EXPECTED, shown, remedy)
    least_ms = _LEAST_WARNING_MS if found.bounded else _LEAST_UNBOUNDED_MS
    if abs(found.offset_ms) > max(_WARNING_SHARE * hop_ms, least_ms, width / 8):
        return warning(_EXPECTED, shown, remedy)
    return passed(_EXPECTED, f"within {max(1.0, abs(found.offset_ms)):.0f} ms")


def _way(offset_ms: float) -> str:
    return "late" if offset_ms > 0 else "early"
