"""The audio encoder inside a published model.

A checkpoint often holds more than hearing: a language model behind the encoder, a decoder, a
vocoder. The whole is built without memory for its numbers, the encoder is looked for by the
names that such parts have, and only its weights are read.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import torch

from ..errors import UnusableError
from .reading import Checkpoint

__all__ = ["Part", "audio_part", "loaded_with"]

# Names of the part that hears, in classes of transformers; the first line goes before the second.
NAMES = (
    (
        *("audio_tower", "audio_model", "audio_encoder", "speech_encoder", "sound_encoder"),
        *("audio_tokenizer", "acoustic_tokenizer_encoder", "codec_model", "encoder_model"),
    ),
    ("encoder",),
)
# Where a name alone doesn't lead to it, by model_type.
PATHS = {"phi4_multimodal": "model.embed_tokens_extend.audio_embed.encoder"}
# Parts of codecs that make sound.
OUTWARD = re.compile("(^|_)decoder|^upsample$|^vocoder$")


@dataclass(frozen=True)
class Part:
    """A module of a published model, which is a model of its own.

    Attributes:
        whole: The class of the published model; None where that is code of the checkpoint's own.
        path: Attributes that lead from there to the part, with dots; empty for the whole.
        config: Of the part.
    """

    whole: Any
    path: str
    config: Any


def audio_part(checkpoint: Checkpoint, config: Any) -> Part:
    """The part of a published model that hears, or the whole where no part does.

    Args:
        checkpoint: Where it is, and what may be run.
        config: Of the whole.

    Raises:
        UnusableError: transformers has no such model.
    """
    if checkpoint.has_own_code:
        return Part(None, "", config)
    library = checkpoint.library
    names = getattr(config, "architectures", None) or ()
    # The names are the checkpoint's, which could be of anything.
    named = (getattr(library, str(name), None) for name in names)
    kinds = (kind for kind in named if isinstance(kind, type))
    kind = next((kind for kind in kinds if issubclass(kind, library.PreTrainedModel)), None)
    try:
        with torch.device("meta"):
            # Without a class, transformers would ask on a terminal whether code may be run.
            trust = checkpoint.trust_code
            whole = (
                library.AutoModel.from_config(config, trust_remote_code=trust)
                if kind is None
                else kind(config)
            )
    except (AttributeError, ImportError, LookupError, RuntimeError, TypeError, ValueError) as error:
        checkpoint.refuse_code(error)
        name = kind.__name__ if kind else f"a model of type {config.model_type!r}"
        raise UnusableError(f"transformers can't build {name}: {error}") from error
    parts = {
        path: part
        for path, part in whole.named_modules()
        if path and isinstance(part, library.PreTrainedModel)
    }
    paths = [PATHS[config.model_type]] if config.model_type in PATHS else []
    for known in NAMES:
        called = [path for path in parts if path.rsplit(".", 1)[-1] in known]
        paths += sorted(called, key=lambda path: path.count("."))
    for path in paths:
        if path in parts:
            return Part(type(whole), path, parts[path].config)
    return Part(type(whole), "", config)


def loaded_with(library: Any, kind: Any, path: str) -> Any:
    """A class that loads as a published one does, and holds nothing but one of its parts.

    Args:
        library: transformers.
        kind: The class of the whole.
        path: Of the part; empty for all but what makes sound.
    """

    class Part(kind):  # type: ignore[misc]
        def __init__(self, config: Any, *args: Any, **options: Any) -> None:
            super().__init__(config, *args, **options)
            _keep(self, path)
            self.all_tied_weights_keys: dict[str, str] = {}

        def tie_weights(self, *args: Any, **options: Any) -> None:
            """What could be tied isn't there."""

        def get_output_embeddings(self) -> None:
            """Older versions ask for them, to tie them."""

    # Some classes read more files, for what they say or draw.
    Part.from_pretrained = classmethod(library.PreTrainedModel.from_pretrained.__func__)
    # By which transformers looks up what older checkpoints call the weights.
    Part.__name__ = Part.__qualname__ = kind.__name__
    Part.__module__ = kind.__module__
    return Part


def _keep(module: torch.nn.Module, path: str) -> None:
    """Takes out all but a part, and of a part that is a codec what makes sound."""
    name, _, rest = path.partition(".")
    for other, _ in list(module.named_children()):
        if other != name if name else hasattr(module, "encode") and OUTWARD.search(other):
            setattr(module, other, torch.nn.Identity())
    if name:
        _keep(getattr(module, name), rest)
