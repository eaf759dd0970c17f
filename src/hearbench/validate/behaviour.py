"""Whether a clip's embeddings depend on its audio alone, and stay sound for odd audio."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hearbench.embeddings.align import check_timestamps
from hearbench.errors import EmbeddingError, HearError, ModelError
from hearbench.validate.context import Context, clips_text
from hearbench.validate.long_audio import LONG_S, long_run
from hearbench.validate.model_process import SCENE, TIMESTAMPS, remedy_for
from hearbench.validate.report import Finding, error, passed, skipped, warning
from hearbench.validate.shapes import LENGTHS_S, NOTHING_USABLE
from hearbench.validate.signals import contrasting, dc, samples, silence, square, white_noise

__all__ = [
    "BATCH",
    "BATCH_ON_GPU",
    "SAME",
    "SAME_ON_GPU",
    "check_batch_independence",
    "check_determinism",
    "check_finite",
    "check_lengths",
    "check_state",
    "moved",
    "repeats",
]

_CLIP_S = 1.6
# Of the embeddings' own variation. Sums in another order change about 1e-6 of it on a CPU, and on
# a GPU, whose convolutions may round to 10 bits and choose another algorithm, more.
SAME, SAME_ON_GPU = 1e-4, 2e-3
BATCH, BATCH_ON_GPU = 1e-3, 1e-2
_RANDOM = "the same call twice gives different embeddings, see determinism"


def moved(one: npt.NDArray[np.float32], other: npt.NDArray[np.float32]) -> float:
    """Distance of embeddings, relative to their variation; infinite for different shapes.

    Args:
        one: (n_clips, ...) embeddings.
        other: Embeddings of the same clips.
    """
    if one.shape != other.shape or not np.array_equal(np.isfinite(one), np.isfinite(other)):
        return float("inf")
    a = np.nan_to_num(one, posinf=0.0, neginf=0.0).astype(np.float64)
    b = np.nan_to_num(other, posinf=0.0, neginf=0.0).astype(np.float64)
    apart = np.sqrt(np.square(a - b).reshape(len(a), -1).mean(1)).max()
    rows = a.reshape(-1, a.shape[-1])
    # A large constant brings more rounding with it.
    scale = (rows - rows.mean(0)).std() + 1e-2 * np.sqrt(np.square(rows).mean())
    return float(apart / scale) if scale else float(apart > 0)


def check_batch_independence(context: Context) -> Finding:
    """Checks that a clip has the same embeddings alone and beside others."""
    expected = "the same embeddings alone and in a batch of four"
    if not context.usable():
        return skipped(expected, NOTHING_USABLE)
    limit = BATCH_ON_GPU if context.on_gpu else BATCH
    if max(repeats(context).values()) > limit:
        return skipped(expected, _RANDOM)
    clips = _clips(context)
    apart = {}
    for function in context.usable():
        together = context.embed(function, clips)
        alone = np.concatenate([context.embed(function, clip[None]) for clip in clips])
        apart[function] = moved(together, alone)
    return _verdict(
        expected,
        apart,
        limit,
        "with its neighbours they change by",
        "Call .eval() in load_model, so that batch normalisation uses its stored statistics; "
        "normalise over each clip, never over the batch.",
    )


def check_state(context: Context) -> Finding:
    """Checks that a call changes nothing for those that follow.

    A function that fails for what was called before it is told of here, whichever check found it.
    """
    expected = "each function works and returns the same whatever was called before"
    if len(context.usable()) < 2:
        return skipped(expected, "it takes both functions, and one fails")
    limit = SAME_ON_GPU if context.on_gpu else SAME
    if max(repeats(context).values()) > limit:
        return skipped(expected, _RANDOM)
    clips, others = _clips(context), _clips(context, seed=1)
    told = []
    earlier = {}
    for function, between in ((TIMESTAMPS, SCENE), (SCENE, TIMESTAMPS)):
        # What the other one changes may have been changed by its first call, for good.
        context.process.end()
        before = context.embed(function, clips)
        context.embed(between, others)
        apart = moved(before, context.embed(function, clips))
        if function == TIMESTAMPS:
            earlier = {function: before, between: context.embed(between, clips)}
        if apart > limit:
            told.append(f"after {between}, {function} gives other embeddings by {_share(apart)}")
    if told:
        return warning(
            expected,
            "; ".join(told),
            "Keep what belongs to one call in local variables and not in the model; switch "
            "between modes, if at all, within one call.",
        )
    # The second process stays, and the first one's embeddings are kept for comparison.
    context.earlier = earlier
    return passed(expected, "unchanged by calls")


def check_determinism(context: Context) -> Finding:
    """Checks that the same clips have the same embeddings twice, and in another process."""
    expected = "the same embeddings twice, and when the model is loaded anew"
    if not context.usable():
        return skipped(expected, NOTHING_USABLE)
    limit = SAME_ON_GPU if context.on_gpu else SAME
    apart = repeats(context)
    if max(apart.values()) > limit:
        return _verdict(
            expected,
            apart,
            limit,
            "from call to call they change by",
            "Call .eval() in load_model, which turns dropout off; leave out noise and random "
            "crops, or draw them from a generator that each call seeds.",
        )
    state = context.findings.get("state")
    if state is not None and state.verdict == "warning":
        return passed(expected, "twice the same; not loaded anew, as calls change the model")
    clips = _clips(context)
    before = context.earlier
    if not before:
        before = {function: context.embed(function, clips) for function in context.usable()}
        context.process.end()
    apart = {
        name: moved(embeddings, context.embed(name, clips)) for name, embeddings in before.items()
    }
    return _verdict(
        expected,
        apart,
        limit,
        "when the model is loaded anew they change by",
        "Weights that come out of no file are random: seed a generator of their own in load_model. "
        "Embeddings of an interrupted run would be those of two models.",
    )


def repeats(context: Context) -> dict[str, float]:
    """Measures how far embeddings of the same clips change from call to call, by function.

    Raises:
        ModelError: No function returns embeddings of the right shape.
    """
    if context.repeats is None:
        clips = _clips(context)
        context.repeats = {
            function: moved(context.embed(function, clips), context.embed(function, clips))
            for function in context.usable()
        }
    if not context.repeats:
        raise ModelError(NOTHING_USABLE)
    return context.repeats


def _clips(context: Context, seed: int = 0) -> npt.NDArray[np.float32]:
    return contrasting(samples(_CLIP_S, context.sample_rate), context.sample_rate, seed)


def _verdict(
    expected: str, apart: dict[str, float], limit: float, how: str, remedy: str
) -> Finding:
    bad = {function: value for function, value in apart.items() if value > limit}
    if not bad:
        return passed(expected, f"within {max(apart.values()):.1g} of their variation")
    told = "; ".join(f"{function}: {how} {_share(value)}" for function, value in bad.items())
    return warning(expected, told, remedy)


def _share(value: float) -> str:
    """Writes a distance as a share of the embeddings' variation."""
    if not np.isfinite(value):
        return "their shape, or which are NaN"
    digits = ".0%" if value >= 0.1 else ".2g"
    return f"{value:{digits}} of their variation"


# Each with how many samples are added, so that some are odd and none divides by a hop.
_LENGTHS = ((0.05, 0), (0.05, 1), (0.1, -1), (0.25, 0), (0.5, 1), (0.987, 0), (3.0, 1), (10.0, -1))
_LONGER = ((61.0, 1),)
_LEVEL = 0.5
_SHORT_UP_TO_S, _LONG_FROM_S = 0.9, 5.0
_ODD_CLIP_S = 2.0
_CONSTANT = (
    "Add a small constant before a logarithm, a root or a division (1e-6), also where a clip is "
    "normalised by its own level."
)
_BLOCKS = "Work through long audio in blocks of bounded length, up to its end."
_TIMES = (
    "timestamp-unit",
    "timestamp-spacing",
    "timestamp-start",
    "timestamp-end",
    "timestamp-centres",
)


@dataclass(frozen=True)
class _Problem:
    """A fault of a function's answer to a clip.

    Attributes:
        remedy: What to do about it, whatever the clip.
        finite: Whether it isn't just NaN or infinity.
    """

    text: str
    remedy: str
    length_s: float
    finite: bool = True


def check_lengths(context: Context) -> Finding:
    """Checks clips of every length from 50 ms to 20 minutes."""
    expected = "embeddings for 50 ms to 20 minutes of audio, odd lengths too"
    if not context.usable():
        return skipped(expected, NOTHING_USABLE)
    lengths = _LENGTHS if context.quick else _LENGTHS + _LONGER
    problems: dict[str, list[_Problem]] = {}
    for length_s, more in lengths:
        n_samples = max(1, samples(length_s, context.sample_rate) + more)
        clip = white_noise(1, n_samples, _LEVEL)
        for function in context.usable():
            problem = _problem(context, function, clip, length_s)
            if problem is not None:
                problems.setdefault(function, []).append(problem)
    tried = len(lengths) + (not context.quick)
    if not context.quick:
        for function, problem in _long_problems(context).items():
            problems.setdefault(function, []).append(problem)
    if problems:
        told = []
        for several in problems.values():
            rest = f"\nand at {len(several) - 1} other lengths" if len(several) > 1 else ""
            told.append(several[0].text + rest)
        return error(expected, "\n".join(told), _remedy(problems, tried), blocks=False)
    last = "10 s (--quick)" if context.quick else "20 minutes"
    only = "" if len(context.usable()) == 2 else f" ({context.usable()[0]} alone)"
    return passed(expected, f"{tried} lengths up to {last}{only}")


def _remedy(problems: dict[str, list[_Problem]], tried: int) -> str:
    """What to do about clips of several lengths: about the lengths, if it is these."""
    found = [problem for several in problems.values() for problem in several]
    remedies = list(dict.fromkeys(problem.remedy for problem in found if problem.remedy))
    if all(len(several) == tried for several in problems.values()):
        # The checks of shapes have had two clips and four at a time, at full level.
        remedies.append("It is not the length: each of these is a clip by itself, at half level.")
    elif min(problem.length_s for problem in found) > _LONG_FROM_S:
        remedies.append(_BLOCKS)
    elif max(problem.length_s for problem in found) < _SHORT_UP_TO_S:
        remedies.append(
            "Pad clips that are shorter than a frame with zeros, and make at least one frame of "
            "any clip; leave out standard deviations over a single frame."
        )
    elif any(problem.finite for problem in found):
        remedies.append(
            "Pad audio with zeros to the length that the framing needs, and drop what it adds."
        )
    return " ".join(remedies)


def check_finite(context: Context) -> Finding:
    """Checks that no audio gives NaN or infinity."""
    expected = "no NaN or infinity for noise, silence, full scale and DC"
    if not context.usable():
        return skipped(expected, NOTHING_USABLE)
    n_samples = samples(_ODD_CLIP_S, context.sample_rate)
    clips = {
        "silence": silence(n_samples),
        "a full-scale square wave": square(n_samples, context.sample_rate),
        "DC": dc(n_samples),
    }
    bad = _noise_not_finite(context)
    for what, clip in clips.items():
        bad += [_at(context, function, what, clip) for function in context.usable()]
    told = {text: remedy for text, remedy in bad if text}
    if told:
        return error(
            expected,
            ("\n" if any("\n" in text for text in told) else "; ").join(told),
            " ".join(dict.fromkeys(told.values())),
            blocks=False,
        )
    return passed(expected, "no NaN, no infinity")


def _noise_not_finite(context: Context) -> list[tuple[str, str]]:
    frames = context.frames.get(LENGTHS_S[-1])
    have = {TIMESTAMPS: frames.embeddings if frames else None, SCENE: context.scenes}
    return [
        (f"{counts} for white noise ({function})", _CONSTANT)
        for function, embeddings in have.items()
        if embeddings is not None and (counts := _not_finite(embeddings))
    ]


def _at(
    context: Context, function: str, what: str, clip: npt.NDArray[np.float32]
) -> tuple[str, str]:
    """What is wrong with a function's embeddings of a clip, and what to do; empty if nothing is."""
    try:
        counts = _not_finite(context.embed(function, clip))
    except HearError as problem:
        return f"{what}: {problem}", remedy_for(problem)
    return (f"{counts} for {what} ({function})", _CONSTANT) if counts else ("", "")


def _problem(
    context: Context, function: str, clip: npt.NDArray[np.float32], length_s: float
) -> _Problem | None:
    """What is wrong with a function's embeddings of a clip."""
    where = f"{function} on {clips_text(clip, context.sample_rate)}"
    try:
        if function == SCENE:
            embeddings = context.scene(clip)
        else:
            frames = context.timestamps(clip)
            embeddings = frames.embeddings
            # What is wrong with them at any length has been said.
            if not context.failed(*_TIMES):
                try:
                    check_timestamps(frames.times_ms[0], frames.duration_ms)
                except EmbeddingError as problem:
                    return _Problem(f"{where}: {problem}", "", length_s)
    except HearError as problem:
        # An answer of the wrong shape is a matter of the length, or else is said in full.
        shape = isinstance(problem, EmbeddingError)
        return _Problem(str(problem), "" if shape else remedy_for(problem), length_s)
    counts = _not_finite(embeddings)
    return _Problem(f"{where}: {counts}", _CONSTANT, length_s, finite=False) if counts else None


def _long_problems(context: Context) -> dict[str, _Problem]:
    run = long_run(context)
    minutes = f"{LONG_S / 60:g} minutes"
    problems = {
        function: _Problem(str(problem), remedy_for(problem), LONG_S)
        for function, problem in run.problems.items()
    }
    for function, finite in run.finite.items():
        if not finite:
            problems[function] = _Problem(
                f"{function} on {minutes}: NaN or infinity", _CONSTANT, LONG_S, finite=False
            )
    if TIMESTAMPS in run.finite and TIMESTAMPS not in problems and run.times_ms is not None:
        # Times past the end are drift, which has a check of its own.
        duration_ms = LONG_S * 1000
        within = run.times_ms[run.times_ms <= duration_ms]
        if len(within) and not context.failed(*_TIMES):
            try:
                check_timestamps(within, duration_ms)
            except EmbeddingError as problem:
                problems[TIMESTAMPS] = _Problem(f"{TIMESTAMPS} on {minutes}: {problem}", "", LONG_S)
    return problems


def _not_finite(array: npt.NDArray[np.float32]) -> str:
    """``"3 NaN and 2 infinite of 100"``; empty if all are finite."""
    n_nan, n_infinite = int(np.isnan(array).sum()), int(np.isinf(array).sum())
    told = [f"{n} {what}" for n, what in ((n_nan, "NaN"), (n_infinite, "infinite")) if n]
    return f"{' and '.join(told)} of {array.size}" if told else ""
