"""The naive baseline in Keras 3: what ``hearbench.models.naive`` does, to rounding.

The window, the mel filters and the random matrix are that module's own, and so are the places
of the frames; see there for the numbers and the source. It runs on whatever Keras runs on
(``KERAS_BACKEND``); hearbench itself takes TensorFlow and PyTorch.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hearbench.errors import ModelError
from hearbench.models import naive
from hearbench.models.framing import block_starts, frame_centres

try:
    import keras
    from keras import ops
except ImportError as error:
    raise ModelError(
        "hearbench.models.naive_keras needs Keras 3 and the framework that it runs on, and they "
        f"don't import: {error}. Install hearbench[tensorflow]."
    ) from error

__all__ = ["NaiveModel", "get_scene_embeddings", "get_timestamp_embeddings", "load_model"]

BLOCK_FRAMES = naive.BLOCK_FRAMES


class NaiveModel(keras.Model):  # type: ignore[misc]
    """Log-mel bands and their random projection."""

    sample_rate = naive.SAMPLE_RATE
    scene_embedding_size = naive.EMBEDDING_SIZE
    timestamp_embedding_size = naive.EMBEDDING_SIZE

    def __init__(self) -> None:
        # Whatever precision is set for all of Keras.
        super().__init__(name="naive", trainable=False, dtype="float32")
        source = naive.load_model()
        self.window = self._constant("window", source.window.numpy())
        self.filters = self._constant("filters", source.filters.numpy())
        self.projection = self._constant("projection", source.projection.numpy())

    def _constant(self, name: str, value: Any) -> Any:
        weight = self.add_weight(
            name=name, shape=value.shape, initializer="zeros", trainable=False, dtype="float32"
        )
        weight.assign(value)
        return weight

    def log_mel(self, frames: Any) -> Any:
        """Frames (n, 4096) to log-mel bands (n, 256)."""
        real, imaginary = ops.rfft(frames * self.window)
        power = ops.square(real) + ops.square(imaginary)
        return ops.log(ops.matmul(power, self.filters) + naive.LOG_OFFSET)

    def call(self, frames: Any) -> Any:
        """Frames (n, 4096) to embeddings (n, 4096)."""
        return ops.matmul(self.log_mel(frames), self.projection)


def load_model(model_file_path: str = "") -> NaiveModel:  # noqa: ARG001 - part of the HEAR API
    """The baseline; it has no weights, so the path is ignored."""
    return NaiveModel()


def get_timestamp_embeddings(audio: Any, model: NaiveModel) -> tuple[Any, Any]:
    """Embeddings every 50 ms.

    Args:
        audio: float32 tensor (n_clips, n_samples) in [-1, 1] at 44.1 kHz.
        model: Of ``load_model``.

    Returns:
        Embeddings (n_clips, n_frames, 4096) and frame centres in ms (n_clips, n_frames).
    """
    bands, centres_ms = _bands(audio, model, naive.TIMESTAMP_HOP_MS)
    n_clips, n_frames, _ = bands.shape
    rows = ops.matmul(ops.reshape(bands, (n_clips * n_frames, naive.N_MELS)), model.projection)
    embeddings = ops.reshape(rows, (n_clips, n_frames, naive.EMBEDDING_SIZE))
    return embeddings, ops.broadcast_to(centres_ms, (n_clips, n_frames))


def get_scene_embeddings(audio: Any, model: NaiveModel) -> Any:
    """One embedding per clip: the mean over frames every 250 ms.

    Args:
        audio: float32 tensor (n_clips, n_samples) in [-1, 1] at 44.1 kHz.
        model: Of ``load_model``.

    Returns:
        (n_clips, 4096).
    """
    bands, _ = _bands(audio, model, naive.SCENE_HOP_MS)
    # The projection is linear, so the mean may come first and is projected once per clip.
    return ops.matmul(ops.mean(bands, axis=1), model.projection)


def _bands(audio: Any, model: NaiveModel, hop_ms: float) -> tuple[Any, Any]:
    """Log-mel bands (n_clips, n_frames, 256), a block of frames at a time; centres in ms.

    Only the bands of a whole clip are held, a sixteenth of its embeddings; never its frames.
    """
    n_clips, n_samples = audio.shape
    centres, centres_ms = frame_centres(n_samples, naive.SAMPLE_RATE, hop_ms)
    half = naive.FRAME_SIZE // 2
    padded = ops.pad(audio, ((0, 0), (half, half)))
    flat = ops.reshape(padded, (-1,))
    within = np.arange(naive.FRAME_SIZE)
    blocks = [
        model.log_mel(ops.take(flat, starts[:, None] + within))
        for starts in block_starts(n_clips, padded.shape[1], centres, BLOCK_FRAMES)
    ]
    bands = ops.reshape(ops.concatenate(blocks, 0), (n_clips, len(centres), naive.N_MELS))
    return bands, ops.convert_to_tensor(centres_ms.numpy())
