"""Check of the function that embeds text, if the model has one."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hearbench.errors import EmbeddingError, ModelError
from hearbench.models.engine import Answer
from hearbench.validate.behaviour import BATCH, BATCH_ON_GPU, SAME, SAME_ON_GPU, moved
from hearbench.validate.context import Context
from hearbench.validate.model_process import SCENE
from hearbench.validate.report import Finding, error, passed, warning
from hearbench.worker.importing import TEXT_FUNCTION

__all__ = ["check_text"]

# Of different lengths, so that a batch of them has to be filled up.
_TEXTS = [
    "a sound of rain",
    "a dog",
    "someone is playing the violin while a crowd of people is talking in the background",
    "thunder",
]


def check_text(context: Context) -> Finding:
    """Checks that texts have one embedding each, of the size of scene embeddings.

    Raises:
        ModelError: The model isn't loaded, or its code fails.
        EmbeddingError: It returns another shape or type, or no finite numbers.
    """
    expected = "an embedding per text of the size of scene embeddings, the same for the same text"
    if context.loaded is None:
        raise ModelError("The model isn't loaded.")
    if not context.loaded.embeds_text:
        return passed(expected, "the model doesn't embed text")
    size = context.sizes.get(SCENE, 0)
    first = _embedded(context, _TEXTS, size)
    limits = (SAME_ON_GPU, BATCH_ON_GPU) if context.on_gpu else (SAME, BATCH)
    if (apart := moved(first, _embedded(context, _TEXTS, size))) > limits[0]:
        return error(
            expected,
            f"the same texts twice have other embeddings, by {apart:.2g} of their variation",
            "Call .eval() in load_model.",
        )
    alone = np.concatenate([_embedded(context, [one], size) for one in _TEXTS])
    if (apart := moved(first, alone)) > limits[1]:
        return error(
            expected,
            f"texts have other embeddings alone and beside others, by {apart:.2g} of their "
            "variation",
            "Hand the tokenizer's mask to the network, so that padding doesn't count.",
        )
    if (first == first[:1]).all():
        return warning(
            expected,
            f"all of {len(_TEXTS)} different texts have the same embedding",
            "See that the texts reach the network.",
        )
    return passed(expected, f"{len(_TEXTS)} texts of {size} dimensions each")


def _embedded(context: Context, texts: list[str], size: int) -> npt.NDArray[np.float32]:
    """The embeddings of texts, (n_texts, size)."""
    answer = context.process.call_on_texts(texts)
    where = f"{TEXT_FUNCTION} on {len(texts)} texts"
    return _of(answer, where, (len(texts), size))


def _of(answer: Answer, where: str, shape: tuple[int, int]) -> npt.NDArray[np.float32]:
    if answer.is_tuple:
        raise EmbeddingError(f"{where} returned {len(answer.items)} values, not an array.")
    array, dtype = answer.items[0].array, answer.items[0].facts.dtype
    if array is None or array.shape != shape:
        found = "no numbers" if array is None else f"embeddings {array.shape}"
        raise EmbeddingError(f"{where} returned {found}, not {shape}: texts, dimensions.")
    if dtype != "float32":
        raise EmbeddingError(f"{where} returned embeddings of {dtype}, not float32.")
    if not np.isfinite(array).all():
        raise EmbeddingError(f"{where} returned {np.sum(~np.isfinite(array))} NaN or infinite.")
    return array.astype(np.float32, copy=False)
