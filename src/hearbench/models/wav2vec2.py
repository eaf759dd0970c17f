"""The wav2vec2 baseline of HEAR 2021.

16 kHz; the last hidden state of a wav2vec 2.0 model. Timestamps: every frame, 20 ms apart, at
the true centres of the convolution stack. Scene: the mean over frames.

The default is ``facebook/wav2vec2-large-100k-voxpopuli`` (CC BY-NC 4.0), from the Hugging Face
hub; any checkpoint of transformers can take its place, see :mod:`hearbench.worker.checkpoints`.

Sources: Baevski, Zhou, Mohamed and Auli, "wav2vec 2.0", NeurIPS 2020; Wang et al., "VoxPopuli",
ACL 2021; the HEAR 2021 baseline "wav2vec2" (Turian et al., 2022, arXiv:2203.03022).
"""

from __future__ import annotations

from pathlib import Path

from hearbench.models import hub
from hearbench.models.hub import weight_files
from hearbench.worker import checkpoints
from hearbench.worker.checkpoints import (
    AudioEncoder,
    get_scene_embeddings,
    get_timestamp_embeddings,
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
        HearError: The hub's client isn't installed.
    """
    return hub.resolve(CHECKPOINT)


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
        layer: As of :func:`hearbench.worker.checkpoints.load_model`.

    Raises:
        UnusableError: An encoder of another kind, a bad option, an incomplete checkpoint, or
            transformers isn't installed.
        ModelError: A folder that holds no checkpoint.
        DownloadError: The checkpoint can't be downloaded.
    """
    folder = hub.resolve(model_file_path or CHECKPOINT)
    return checkpoints.load_model(str(folder), layer, pooling, hop_ms, window_s)
