"""Checks of what the functions return for white noise: shapes, sizes, types."""

from __future__ import annotations

import re

from hearbench.errors import EmbeddingError
from hearbench.models.engine import Returned
from hearbench.validate.context import Context
from hearbench.validate.model_process import SCENE, TIMESTAMPS
from hearbench.validate.report import Finding, error, passed, skipped, warning
from hearbench.validate.signals import samples, white_noise

__all__ = [
    "LENGTHS_S",
    "NOTHING_USABLE",
    "check_embedding_dtype",
    "check_embedding_sizes",
    "check_gradients",
    "check_return_types",
    "check_scene_shapes",
    "check_timestamp_shapes",
]

# None a whole number of common hops.
LENGTHS_S = (1.07, 1.98, 4.0)
_SCENE_S = 2.74
_N_CLIPS, _N_SCENES = 2, 4
_ATTRIBUTES = {SCENE: "scene_embedding_size", TIMESTAMPS: "timestamp_embedding_size"}
NOTHING_USABLE = "neither function returns embeddings of the right shape"
_FRAMEWORKS = ("torch", "tensorflow", "keras")
_DEVICE = re.compile(r"(cpu|cuda|gpu|mps)(?::(\d+))?", re.IGNORECASE)


def check_timestamp_shapes(context: Context) -> Finding:
    """Checks that embeddings are (clips, frames, size) and timestamps (clips, frames)."""
    expected = "(embeddings, timestamps): (clips, frames, size) and (clips, frames)"
    found = []
    for length_s in LENGTHS_S:
        noise = white_noise(_N_CLIPS, samples(length_s, context.sample_rate))
        try:
            frames = context.anyhow_timestamps(noise)
        except EmbeddingError as problem:
            return error(
                expected,
                str(problem),
                "Return a tuple of two tensors: for every clip of the batch the embeddings of its "
                "frames, and as many timestamps, also when all clips have the same.",
            )
        finally:
            if context.latest is not None:
                context.answers[TIMESTAMPS, length_s] = context.latest
        context.frames[length_s] = frames
        found.append(str(frames.embeddings.shape[1]))
    sizes = {frames.embeddings.shape[2] for frames in context.frames.values()}
    if len(sizes) > 1:
        return error(
            expected,
            f"another size for every length: {', '.join(map(str, sorted(sizes)))}",
            "The size must not depend on the clip's length.",
        )
    times = context.frames[LENGTHS_S[-1]].times_ms[0]
    context.hop_ms = float((times[-1] - times[0]) / (len(times) - 1)) if len(times) > 1 else 0.0
    lengths = ", ".join(f"{length_s:g}" for length_s in LENGTHS_S)
    return passed(expected, f"{', '.join(found)} frames for {lengths} s")


def check_scene_shapes(context: Context) -> Finding:
    """Checks that embeddings are (clips, size)."""
    expected = "embeddings (clips, size)"
    noise = white_noise(_N_SCENES, samples(_SCENE_S, context.sample_rate))
    try:
        context.scenes = context.anyhow_scene(noise)
    except EmbeddingError as problem:
        return error(
            expected,
            str(problem),
            "Return one tensor with a row for every clip of the batch, and nothing beside it.",
        )
    finally:
        if context.latest is not None:
            context.answers[SCENE, _SCENE_S] = context.latest
    return passed(expected, str(context.scenes.shape))


def check_embedding_sizes(context: Context) -> Finding:
    """Checks that the attributes say how many dimensions embeddings have."""
    expected = "as many dimensions as the attributes say"
    have = _sizes(context)
    wrong = [
        f"{_ATTRIBUTES[name]} is {context.sizes[name]}, and {name} returns {size}"
        for name, size in have.items()
        if name in context.sizes and context.sizes[name] != size
    ]
    if wrong:
        return error(expected, "; ".join(wrong), "Set the attributes to what is returned.")
    told = [f"{size} ({name})" for name, size in have.items() if name in context.sizes]
    if not told:
        return skipped(expected, "nothing to compare, as sizes or embeddings are missing")
    return passed(expected, ", ".join(told).replace("get_", "").replace("_embeddings", ""))


def check_embedding_dtype(context: Context) -> Finding:
    """Checks that embeddings are float32."""
    expected = "float32"
    wrong = {}
    for (name, _), answer in context.answers.items():
        dtype = answer.items[0].facts.dtype
        if dtype != "float32":
            wrong[name] = dtype or f"{answer.items[0].facts.kind}, which has no dtype"
    if not context.answers:
        return skipped(expected, "there are no embeddings")
    if wrong:
        return error(
            expected,
            "; ".join(f"{name}: {dtype}" for name, dtype in wrong.items()),
            "Return embeddings.float() (TensorFlow: tf.cast(embeddings, tf.float32)).",
            blocks=False,
        )
    return passed(expected, "float32")


def check_return_types(context: Context) -> Finding:
    """Checks for float32 tensors of the model's framework, on the audio's device, in one piece."""
    expected = "tensors of the framework on the audio's device; float32 timestamps"
    device = context.loaded.device if context.loaded else "cpu"
    told: dict[str, None] = {}
    for (name, _), answer in context.answers.items():
        for item, what in zip(answer.items, ("embeddings", "timestamps"), strict=False):
            for problem in _problems(item, what, device):
                told[f"{what} of {name} {problem}"] = None
    if not context.answers:
        return skipped(expected, "there are no embeddings")
    if told:
        return warning(
            expected,
            "; ".join(told),
            "hearbench converts them, other tools that run HEAR models may not: return tensors "
            "made on audio.device, timestamps.float(), embeddings.contiguous().",
        )
    return passed(expected, "they are")


def check_gradients(context: Context) -> Finding:
    """Checks that nothing that is returned hangs on gradients."""
    expected = "no gradients where the caller has turned them off"
    forced: list[str] = []
    for (name, _), answer in context.answers.items():
        if any(item.facts.requires_grad for item in answer.items) and name not in forced:
            forced.append(name)
    if forced:
        return warning(
            expected,
            f"{' and '.join(forced)} records gradients although the caller turned them off",
            "Leave out torch.enable_grad() and requires_grad_(): every layer's activations are "
            "kept for them, many times the memory.",
        )
    if not context.usable():
        return skipped(expected, NOTHING_USABLE)
    noise = white_noise(_N_CLIPS, samples(LENGTHS_S[0], context.sample_rate))
    left_on = [name for name in context.usable() if context.gradients(name, noise)]
    if left_on:
        # As of most models: only a caller other than hearbench would pay for it.
        return passed(expected, "none, as long as the caller turns them off, as hearbench does")
    return passed(expected, "none, whoever calls")


def _sizes(context: Context) -> dict[str, int]:
    have = {}
    if context.scenes is not None:
        have[SCENE] = int(context.scenes.shape[1])
    if context.frames:
        have[TIMESTAMPS] = int(next(iter(context.frames.values())).embeddings.shape[2])
    return have


def _problems(item: Returned, what: str, device: str) -> list[str]:
    facts, found = item.facts, []
    package = facts.kind.partition(".")[0]
    if package not in _FRAMEWORKS:
        found.append(f"are {facts.kind.replace('builtins.', '')}")
    elif facts.device is not None and _place(facts.device) != _place(device):
        found.append(f"are on {facts.device}, the audio on {device}")
    if what == "timestamps" and facts.dtype is not None and facts.dtype != "float32":
        found.append(f"are {facts.dtype}")
    # Timestamps may be one row that is shown for every clip.
    if what == "embeddings" and not facts.contiguous:
        found.append("aren't contiguous")
    return found


def _place(device: str) -> tuple[str, int]:
    """Kind and number of a device as torch or TensorFlow names it."""
    named = _DEVICE.findall(device)
    if not named:
        return device, 0
    kind, number = named[-1]
    kind = {"gpu": "cuda"}.get(kind.lower(), kind.lower())
    return kind, int(number or 0)
