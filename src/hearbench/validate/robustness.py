"""Audio that models don't expect: very short, odd and long clips, silence, full scale, DC."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hearbench.embeddings.align import check_timestamps
from hearbench.errors import EmbeddingError, HearError
from hearbench.validate.lab import SCENE, TIMESTAMPS
from hearbench.validate.long_audio import LONG_S, long_run
from hearbench.validate.report import Finding, error, passed, skipped
from hearbench.validate.shapes import LENGTHS_S, NOTHING_USABLE
from hearbench.validate.signals import dc, samples, silence, square, white_noise
from hearbench.validate.trial import Trial, clips_text

__all__ = ["check_finite", "check_lengths"]

# Each with how many samples are added, so that some are odd and none divides by a hop.
_LENGTHS = ((0.05, 0), (0.05, 1), (0.1, -1), (0.25, 0), (0.5, 1), (0.987, 0), (3.0, 1), (10.0, -1))
_LONGER = ((61.0, 1),)
_LEVEL = 0.5
_SHORT_UP_TO_S, _LONG_FROM_S = 0.9, 5.0
_CLIP_S = 2.0
_TIMES = (
    "timestamp-unit",
    "timestamp-spacing",
    "timestamp-start",
    "timestamp-end",
    "timestamp-centres",
)


def check_lengths(trial: Trial) -> Finding:
    """Every length from 50 ms to 20 minutes."""
    expected = "embeddings for 50 ms to 20 minutes of audio, odd lengths too"
    if not trial.usable():
        return skipped(expected, NOTHING_USABLE)
    lengths = _LENGTHS if trial.quick else _LENGTHS + _LONGER
    problems: dict[str, list[str]] = {}
    failing_s = []
    for length_s, more in lengths:
        n_samples = max(1, samples(length_s, trial.sample_rate) + more)
        clip = white_noise(1, n_samples, _LEVEL)
        for function in trial.usable():
            problem = _problem(trial, function, clip)
            if problem:
                problems.setdefault(function, []).append(problem)
                failing_s.append(length_s)
    if not trial.quick:
        for function, text in _long_problems(trial).items():
            problems.setdefault(function, []).append(text)
            failing_s.append(LONG_S)
    if problems:
        told = []
        for several in problems.values():
            rest = f"\nand at {len(several) - 1} other lengths" if len(several) > 1 else ""
            told.append(several[0] + rest)
        return error(expected, "\n".join(told), _remedy(failing_s), blocks=False)
    tried = len(lengths) + (not trial.quick)
    last = "10 s (--quick)" if trial.quick else "20 minutes"
    only = "" if len(trial.usable()) == 2 else f" ({trial.usable()[0]} alone)"
    return passed(expected, f"{tried} lengths up to {last}{only}")


def _remedy(failing_s: list[float]) -> str:
    if min(failing_s) > _LONG_FROM_S:
        return "Work through long audio in blocks of bounded length, up to its end."
    if max(failing_s) < _SHORT_UP_TO_S:
        return (
            "Pad clips that are shorter than a frame with zeros, and make at least one frame of "
            "any clip; leave out standard deviations over a single frame."
        )
    return "Pad audio with zeros to the length that the framing needs, and drop what it adds."


def check_finite(trial: Trial) -> Finding:
    """Neither NaN nor infinity for any audio."""
    expected = "no NaN or infinity for noise, silence, full scale and DC"
    if not trial.usable():
        return skipped(expected, NOTHING_USABLE)
    n_samples = samples(_CLIP_S, trial.sample_rate)
    clips = {
        "silence": silence(n_samples),
        "a full-scale square wave": square(n_samples, trial.sample_rate),
        "DC": dc(n_samples),
    }
    bad = _noise_not_finite(trial)
    for what, clip in clips.items():
        bad += [told for function in trial.usable() if (told := _told(trial, function, what, clip))]
    if bad:
        return error(
            expected,
            "; ".join(bad) if all("\n" not in text for text in bad) else "\n".join(bad),
            "Add a small constant before a logarithm, a root or a division (1e-6), also where a "
            "clip is normalised by its own level.",
            blocks=False,
        )
    return passed(expected, "no NaN, no infinity")


def _told(trial: Trial, function: str, what: str, clip: npt.NDArray[np.float32]) -> str:
    try:
        counts = _not_finite(trial.embed(function, clip))
    except HearError as problem:
        return f"{what}: {problem}"
    return f"{counts} for {what} ({function})" if counts else ""


def _noise_not_finite(trial: Trial) -> list[str]:
    frames = trial.frames.get(LENGTHS_S[-1])
    have = {TIMESTAMPS: frames.embeddings if frames else None, SCENE: trial.scenes}
    bad = []
    for function, embeddings in have.items():
        counts = "" if embeddings is None else _not_finite(embeddings)
        if counts:
            bad.append(f"{counts} for white noise ({function})")
    return bad


def _problem(trial: Trial, function: str, clip: npt.NDArray[np.float32]) -> str:
    """What is wrong with a function's embeddings of a clip; empty if nothing is."""
    where = f"{function} on {clips_text(clip, trial.sample_rate)}"
    try:
        if function == SCENE:
            embeddings = trial.scene(clip)
        else:
            frames = trial.timestamps(clip)
            embeddings = frames.embeddings
            # What is wrong with them at any length has been said.
            if not trial.failed(*_TIMES):
                try:
                    check_timestamps(frames.times_ms[0], frames.duration_ms)
                except EmbeddingError as problem:
                    return f"{where}: {problem}"
    except HearError as problem:
        return str(problem)
    counts = _not_finite(embeddings)
    return f"{where}: {counts}" if counts else ""


def _long_problems(trial: Trial) -> dict[str, str]:
    run = long_run(trial)
    problems = dict(run.problems)
    for function, finite in run.finite.items():
        if not finite:
            problems[function] = f"{function} on {LONG_S / 60:g} minutes: NaN or infinity"
    if TIMESTAMPS in run.finite and TIMESTAMPS not in problems and run.times_ms is not None:
        # Times past the end are drift, which has a check of its own.
        duration_ms = LONG_S * 1000
        within = run.times_ms[run.times_ms <= duration_ms]
        if len(within) and not trial.failed(*_TIMES):
            try:
                check_timestamps(within, duration_ms)
            except EmbeddingError as problem:
                problems[TIMESTAMPS] = f"{TIMESTAMPS} on {LONG_S / 60:g} minutes: {problem}"
    return problems


def _not_finite(array: npt.NDArray[np.float32]) -> str:
    """``"3 NaN and 2 infinite of 100"``; empty if all are finite."""
    n_nan, n_infinite = int(np.isnan(array).sum()), int(np.isinf(array).sum())
    told = [f"{n} {what}" for n, what in ((n_nan, "NaN"), (n_infinite, "infinite")) if n]
    return f"{' and '.join(told)} of {array.size}" if told else ""
