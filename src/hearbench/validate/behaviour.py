"""Whether a clip's embeddings depend on its audio alone."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hearbench.errors import ModelError
from hearbench.validate.context import Context
from hearbench.validate.model_process import SCENE, TIMESTAMPS
from hearbench.validate.report import Finding, passed, skipped, warning
from hearbench.validate.shapes import NOTHING_USABLE
from hearbench.validate.signals import contrasting, samples

__all__ = ["check_batch_independence", "check_determinism", "check_state", "moved", "repeats"]

_CLIP_S = 1.6
# Of the embeddings' own variation. Sums in another order change about 1e-6 of it on a CPU, and on
# a GPU, whose convolutions may round to 10 bits and choose another algorithm, more.
_SAME, _SAME_ON_GPU = 1e-4, 2e-3
_BATCH, _BATCH_ON_GPU = 1e-3, 1e-2
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
    limit = _BATCH_ON_GPU if context.on_gpu else _BATCH
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
    limit = _SAME_ON_GPU if context.on_gpu else _SAME
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
    limit = _SAME_ON_GPU if context.on_gpu else _SAME
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
