"""Check of the layers that a model gives at once, if it has functions for that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hearbench.errors import EmbeddingError, ModelError
from hearbench.models.engine import Answer
from hearbench.validate.behaviour import BATCH, BATCH_ON_GPU, SAME, SAME_ON_GPU, moved
from hearbench.validate.context import Context, clips_text
from hearbench.validate.model_process import SCENE, TIMESTAMPS
from hearbench.validate.report import Finding, error, passed, skipped, warning
from hearbench.validate.shapes import NOTHING_USABLE
from hearbench.validate.signals import contrasting, samples
from hearbench.worker.importing import LAYER_FUNCTIONS

__all__ = ["check_layers"]

Array = npt.NDArray[np.float32]

_OWN = dict(zip(LAYER_FUNCTIONS, (SCENE, TIMESTAMPS), strict=True))
_CLIP_S = 1.6
_TIMES_MS = 1e-3
# Of the embeddings' own variation, between a layer alone and the same among all.
_SAME_LAYER = 1e-5


def check_layers(context: Context) -> Finding:
    """Checks that all layers at once have the sizes, frames and numbers of one.

    Raises:
        ModelError: The model isn't loaded, or its code fails.
    """
    expected = "layers with the sizes and frames of the model's own embeddings"
    if context.loaded is None:
        raise ModelError("The model isn't loaded.")
    functions, said = context.loaded.layer_functions, context.loaded.attributes
    if not functions or said["layers"].get("type", "NoneType") == "NoneType":
        return passed(expected, "the model gives no layers beside its embeddings")
    count = said["layers"]["value"]
    wrong = _wrong_attributes(said)
    if wrong:
        return error(
            expected,
            wrong,
            "Set layers to how many layers the functions give, and layer to the number, from 0 on, "
            "of the one that the model's own embeddings are, or leave it out.",
        )
    usable = [name for name in functions if _OWN[name] in context.usable()]
    if not usable:
        return skipped(expected, NOTHING_USABLE)
    layer = said["layer"]["value"] if said["layer"]["there"] else None
    clips = contrasting(samples(_CLIP_S, context.sample_rate), context.sample_rate)
    # Before any call for layers, so that none of these can be what they fail for.
    due = {name: _Due.of(context, name, clips, count) for name in usable}
    doubts: dict[str, str] = {}
    for function in usable:
        doubts |= _doubts(context, function, due[function], layer)
    if doubts:
        return warning(expected, "; ".join(doubts), " ".join(dict.fromkeys(doubts.values())))
    names = " and ".join(name.replace("get_", "") for name in usable)
    stated = f", of which its own is {layer}" if layer is not None else ""
    return passed(expected, f"{count} layers{stated} ({names})")


def _wrong_attributes(said: Mapping[str, Mapping[str, Any]]) -> str:
    count, layer = said["layers"], said["layer"]
    if count["type"] != "int" or count["value"] < 1:
        return f"layers is {count['repr']} ({count['type']}), no positive int"
    if not layer["there"] or layer["type"] == "NoneType":
        return ""
    if layer["type"] != "int" or not 0 <= layer["value"] < count["value"]:
        return f"layer is {layer['repr']} ({layer['type']}), no int from 0 to {count['value'] - 1}"
    return ""


@dataclass(frozen=True)
class _Due:
    """What layers of some clips have to be like.

    Attributes:
        clips: (n_clips, n_samples).
        own: The model's own embeddings of them, (n_clips, ...).
        times: Of their frames, in ms; None of scenes.
        count: Layers.
    """

    clips: Array
    own: Array
    times: npt.NDArray[np.float64] | None
    count: int

    @classmethod
    def of(cls, context: Context, function: str, clips: Array, count: int) -> _Due:
        """By the model's own function for scenes or frames."""
        if _OWN[function] == SCENE:
            return cls(clips, context.scene(clips), None, count)
        frames = context.timestamps(clips)
        return cls(clips, frames.embeddings, frames.times_ms, count)


def _doubts(context: Context, function: str, due: _Due, layer: int | None) -> dict[str, str]:
    """What may matter about the layers that a function gives, each with its remedy.

    Raises:
        ModelError: The function fails.
        EmbeddingError: It gives other shapes, times or numbers than those of one layer.
    """
    where = f"{function} on {clips_text(due.clips, context.sample_rate)}"

    def layers(n_clips: int) -> Array:
        answer = context.call(function, due.clips[:n_clips])
        shape = (n_clips, due.count, *due.own.shape[1:])
        return _layers_of(answer, where, shape, None if due.times is None else due.times[:n_clips])

    every = layers(len(due.clips))
    if not np.isfinite(every).all():
        raise EmbeddingError(f"{where} returned {np.sum(~np.isfinite(every))} NaN or infinite.")
    limits = (SAME_ON_GPU, BATCH_ON_GPU) if context.on_gpu else (SAME, BATCH)
    apart = _most_moved(every, layers(len(due.clips)))
    if apart > limits[0]:
        return {
            f"{function} gives other layers from call to call, by {apart:.2g} of their variation": (
                "Call .eval() in load_model."
            )
        }
    same = SAME_ON_GPU if context.on_gpu else _SAME_LAYER
    if layer is not None and (apart := moved(due.own, every[:, layer])) > same:
        raise EmbeddingError(
            f"layer is {layer}, and layer {layer} of {where} isn't what {_OWN[function]} returns: "
            f"they differ by {apart:.2g} of their variation."
        )
    apart = _most_moved(every[:1], layers(1))
    if apart > limits[1]:
        return {
            f"{function} gives other layers alone and beside three others, by {apart:.2g} of their "
            "variation": "Normalise over each clip, not over the batch."
        }
    return {}


def _layers_of(
    answer: Answer, where: str, shape: tuple[int, ...], times: npt.NDArray[np.float64] | None
) -> Array:
    """The layers in an answer.

    Args:
        shape: That is due.
        times: The frames' centres in ms that are due; None of scenes.

    Raises:
        EmbeddingError: It holds something else.
    """
    due = 1 if times is None else 2
    if answer.is_tuple != (due == 2) or len(answer.items) != due:
        what = "embeddings alone" if due == 1 else "(embeddings, timestamps)"
        raise EmbeddingError(f"{where} returned {len(answer.items)} values and not {what}.")
    array, dtype = answer.items[0].array, answer.items[0].facts.dtype
    if array is None or array.shape != shape:
        found = "no numbers" if array is None else f"embeddings {array.shape}"
        raise EmbeddingError(
            f"{where} returned {found}, not {shape}: clips, layers, and what one layer has."
        )
    if dtype != "float32":
        raise EmbeddingError(f"{where} returned embeddings of {dtype}, not float32.")
    if times is not None:
        found_ms = answer.items[1].array
        if found_ms is None or found_ms.shape != times.shape:
            shown = None if found_ms is None else found_ms.shape
            raise EmbeddingError(f"{where} returned timestamps {shown}, not {times.shape}.")
        off = float(np.abs(found_ms.astype(np.float64) - times).max())
        if not off <= _TIMES_MS:
            raise EmbeddingError(
                f"{where} returned timestamps that are {off:.4g} ms from those of {TIMESTAMPS}."
            )
    return array.astype(np.float32, copy=False)


def _most_moved(one: Array, other: Array) -> float:
    """The greatest distance of a layer from the same layer."""
    return max(moved(one[:, k], other[:, k]) for k in range(one.shape[1]))
