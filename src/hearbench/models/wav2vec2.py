"""The wav2vec2 baseline of HEAR 2021.

16 kHz; the last hidden state of a wav2vec 2.0 model. Timestamps: every frame, 20 ms apart, at
the true centres of the convolution stack. Scene: the mean over frames.

The default is ``facebook/wav2vec2-large-100k-voxpopuli`` (CC BY-NC 4.0), from the Hugging Face
hub; any checkpoint of :mod:`hearbench.models.huggingface` can take its place.

Sources: Baevski, Zhou, Mohamed and Auli, "wav2vec 2.0", NeurIPS 2020; Wang et al., "VoxPopuli",
ACL 2021; the HEAR 2021 baseline "wav2vec2" (Turian et al., 2022, arXiv:2203.03022).
"""

from __future__ import annotations

from pathlib import Path

from hearbench.models import huggingface
from hearbench.models.huggingface import (
    AudioEncoder,
    get_scene_embeddings,
    get_timestamp_embeddings,
    weight_files,
)

__all__ = [
    "default_weights",
    "get_scene_embeddings",
    "get_timestamp_embeddings",
    "load_model",
    "weight_files",
]

CHECKPOINT = "facebook/wav2vec2-large-100k-voxpopuli"


def default_weights(**options: object) -> Path:  # noqa: ARG001 - the same for all options
    """The folder of the default checkpoint, downloaded if it isn't there yet.

    Raises:
        DownloadError: It can't be.
        HearError: transformers isn't installed.
    """
    return huggingface.resolve(CHECKPOINT)


def load_model(
    model_file_path: str = "",
    layer: int = -1,
    pooling: str = "mean",
    hop_ms: float | None = None,
    window_s: float = 30.0,
) -> AudioEncoder:
    """The baseline, or another checkpoint in its place.

    Args:
        model_file_path: A folder written by ``save_pretrained``, or a name on the hub; default:
            the checkpoint above.
        layer: As of :func:`hearbench.models.huggingface.load_model`.

    Raises:
        ModelError: An encoder of another kind, a bad option, an incomplete checkpoint.
        DownloadError: The checkpoint can't be downloaded.
        HearError: transformers isn't installed.
    """
    return huggingface.load_model(model_file_path or CHECKPOINT, layer, pooling, hop_ms, window_s)
