"""Checks of timestamps: their unit, spacing, beginning and end, and where frames really look."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hearbench.amounts import significant
from hearbench.validate.behaviour import repeats
from hearbench.validate.context import Context
from hearbench.validate.impulse import Aligned, Answered, align, answered
from hearbench.validate.model_process import TIMESTAMPS
from hearbench.validate.report import Finding, error, passed, skipped, warning
from hearbench.validate.shapes import LENGTHS_S
from hearbench.validate.signals import add_bursts, samples, white_noise

__all__ = [
    "check_timestamp_centres",
    "check_timestamp_end",
    "check_timestamp_hop",
    "check_timestamp_spacing",
    "check_timestamp_start",
    "check_timestamp_unit",
]

_SPACING_MS = 1.0
_LONGEST_HOP_MS = 50.0
# What the evaluation refuses; beyond it a late start is an error.
_LATEST_START_MS = 500.0
# Rounding of float32.
_SLACK_MS = 0.01
_END_SLACK_MS = 1.0
_UNITS = {
    "seconds": "multiply them by 1000",
    "samples": "multiply them by 1000 / sample_rate",
    "microseconds": "divide them by 1000",
    "numbers of frames": "multiply them by the hop in ms",
}


def check_timestamp_unit(context: Context) -> Finding:
    """Checks that timestamps are in milliseconds."""
    expected = "milliseconds"
    longest = context.frames[LENGTHS_S[-1]]
    times = longest.times_ms[0]
    if len(times) < 2:
        return skipped(expected, f"{longest.duration_ms / 1000:g} s of audio have a single frame")
    last, hop = float(times[-1]), context.hop_ms
    shown = f"the last of {len(times)} is {last:.6g} for {longest.duration_ms:.0f} ms of audio"
    unit = _other_unit(context)
    if unit is not None:
        return error(
            expected,
            f"{shown}: they look like {unit}",
            f"Return the frames' centres in ms: {_UNITS[unit]}.",
        )
    return passed(expected, f"the last is at {last:.6g}, hop {hop:.6g}")


def check_timestamp_spacing(context: Context) -> Finding:
    """Checks that timestamps ascend at a regular hop."""
    expected = "ascending, each hop within 1 ms of their mean"
    worst = 0.0
    for frames in context.frames.values():
        for times in frames.times_ms:
            hops = np.diff(times)
            where = f"for {frames.duration_ms / 1000:g} s of audio"
            if not np.isfinite(times).all():
                return error(
                    expected, f"NaN or infinity {where}", "Return the frames' centres in ms."
                )
            if len(hops) and hops.min() <= 0:
                at = int(hops.argmin())
                return error(
                    expected,
                    f"{where} frame {at} is at {times[at]:.3f} and frame {at + 1} at "
                    f"{times[at + 1]:.3f} ms",
                    "Return the centres in the order of the frames.",
                )
            apart = np.abs(hops - hops.mean()) if len(hops) else np.zeros(1)
            worst = max(worst, float(apart.max()))
            if worst > _SPACING_MS:
                at = int(apart.argmax())
                return error(
                    expected,
                    f"{where} frames {at} and {at + 1} are {hops[at]:.3f} ms apart, on average "
                    f"it is {hops.mean():.3f} ms",
                    "Look for padding, or blocks that are joined, in the model's framing. Rounding "
                    "to samples can't be the cause.",
                )
    if not context.hop_ms:
        return passed(expected, "a single frame per clip")
    return passed(expected, f"hop {context.hop_ms:.6g} ms, within {worst:.2g} ms")


def check_timestamp_hop(context: Context) -> Finding:
    """Checks that the hop is 50 ms at most."""
    expected = "at most 50 ms"
    if not context.hop_ms:
        return skipped(expected, "a single frame per clip")
    found = f"{context.hop_ms:.6g} ms"
    if context.hop_ms > _LONGEST_HOP_MS + _SLACK_MS:
        return warning(
            expected,
            found,
            "Event tasks are scored with a collar of 50 ms, and nothing can be placed more finely "
            "than frames are. Take frames more often; a model for scene tasks alone needn't.",
        )
    return passed(expected, found)


def check_timestamp_start(context: Context) -> Finding:
    """Checks that the first timestamp is within one hop of the clip's beginning."""
    expected = "the first within one hop of the clip's beginning"
    first = max(float(frames.times_ms[:, 0].max()) for frames in context.frames.values())
    early = min(float(frames.times_ms[:, 0].min()) for frames in context.frames.values())
    remedy = (
        "Pad the audio by half a frame in front, so that the first frame is centred on 0 ms, and "
        "count centres from the clip's beginning."
    )
    if early < -max(context.hop_ms / 2, _END_SLACK_MS):
        return error(expected, f"{early:.6g} ms, before the clip begins", remedy, blocks=False)
    found = f"{first:.6g} ms"
    if first > max(context.hop_ms, _LATEST_START_MS) and context.hop_ms:
        return error(expected, f"{found}, which event tasks refuse", remedy, blocks=False)
    if first > context.hop_ms + _SLACK_MS and context.hop_ms:
        return warning(expected, f"{found}, hop {context.hop_ms:.6g} ms", remedy)
    return passed(expected, found)


def check_timestamp_end(context: Context) -> Finding:
    """Checks that the last timestamp is at most one hop, and 50 ms, before the clip's end."""
    expected = "the last within one hop and 50 ms of the clip's end"
    allowed = min(context.hop_ms or _LONGEST_HOP_MS, _LONGEST_HOP_MS)
    gaps = {
        (frames.duration_ms, len(times)): frames.duration_ms - float(times[-1])
        for frames in context.frames.values()
        for times in frames.times_ms
    }
    (duration_ms, count), least = min(gaps.items(), key=lambda item: item[1])
    if least < -_END_SLACK_MS:
        return error(
            expected,
            f"{-least:.6g} ms beyond the end of {duration_ms / 1000:g} s, frame {count} of {count}",
            "Drop the frames that are padding alone. If it grows with the clip's length, look for "
            "a wrong sample rate or hop in the conversion to ms.",
        )
    (duration_ms, _), most = max(gaps.items(), key=lambda item: item[1])
    if most > allowed + _SLACK_MS:
        return warning(
            expected,
            f"{most:.6g} ms before the end of {duration_ms / 1000:g} s",
            "Pad the audio by half a frame behind, so that there are frames up to the clip's end: "
            "events there have none now.",
        )
    return passed(expected, f"at most {most:.4g} ms before it")


def _other_unit(context: Context) -> str | None:
    """The unit in which timestamps advance with the audio, if it isn't the millisecond."""
    frames = [found for found in context.frames.values() if found.times_ms.shape[1] > 1]
    last = np.array([found.times_ms[0, -1] for found in frames])
    duration_s = np.array([found.duration_ms / 1000 for found in frames])
    count = np.array([found.times_ms.shape[1] for found in frames])
    if not np.isfinite(last).all():
        return None
    hop_s = duration_s / count
    candidates = {
        "seconds": duration_s,
        "samples": duration_s * context.sample_rate,
        "microseconds": duration_s * 1e6,
    }
    if _near(last, duration_s * 1000, hop_s * 1000):
        return None
    for unit, ends in candidates.items():
        if _near(last, ends, ends / duration_s * hop_s):
            return unit
    # Only where they advance by one: a hop of 1 ms is none of these.
    if abs(context.hop_ms - 1.0) < 1e-3 and bool((count < duration_s * 500).all()):
        return "numbers of frames"
    return None


def _near(last: npt.NDArray[np.float64], ends: npt.NDArray[np.float64], hop: object) -> bool:
    """Whether last timestamps are where clips end, give or take some frames."""
    slack = 3 * np.asarray(hop) + 0.1 * ends
    return bool((np.abs(last - ends) <= slack).all())


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
