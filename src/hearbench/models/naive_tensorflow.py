"""The naive baseline in TensorFlow: what ``hearbench.models.naive`` does, to rounding.

The window, the mel filters and the random matrix are that module's own, and so are the places
of the frames; see there for the numbers and the source.
"""

from __future__ import annotations

from typing import Any

from hearbench.errors import ModelError
from hearbench.models import naive
from hearbench.models.framing import block_starts, frame_centres

try:
    import tensorflow as tf
except ImportError as error:
    raise ModelError(
        f"hearbench.models.naive_tensorflow needs TensorFlow, which doesn't import: {error}. "
        "Install hearbench[tensorflow]."
    ) from error

__all__ = ["NaiveModel", "get_scene_embeddings", "get_timestamp_embeddings", "load_model"]

BLOCK_FRAMES = naive.BLOCK_FRAMES


class NaiveModel(tf.Module):  # type: ignore[misc]
    """Log-mel bands and their random projection."""

    sample_rate = naive.SAMPLE_RATE
    scene_embedding_size = naive.EMBEDDING_SIZE
    timestamp_embedding_size = naive.EMBEDDING_SIZE

    def __init__(self) -> None:
        super().__init__(name="naive")
        source = naive.load_model()
        self.window = tf.Variable(source.window.numpy(), trainable=False, name="window")
        self.filters = tf.Variable(source.filters.numpy(), trainable=False, name="filters")
        self.projection = tf.Variable(source.projection.numpy(), trainable=False, name="projection")

    def log_mel(self, frames: tf.Tensor) -> tf.Tensor:
        """Frames (n, 4096) to log-mel bands (n, 256)."""
        spectrum = tf.signal.rfft(frames * self.window)
        power = tf.square(tf.math.real(spectrum)) + tf.square(tf.math.imag(spectrum))
        return tf.math.log(tf.matmul(power, self.filters) + naive.LOG_OFFSET)

    def __call__(self, frames: tf.Tensor) -> tf.Tensor:
        """Frames (n, 4096) to embeddings (n, 4096)."""
        return tf.matmul(self.log_mel(frames), self.projection)


def load_model(model_file_path: str = "") -> NaiveModel:  # noqa: ARG001 - part of the HEAR API
    """The baseline; it has no weights, so the path is ignored."""
    return NaiveModel()


def get_timestamp_embeddings(audio: tf.Tensor, model: NaiveModel) -> tuple[tf.Tensor, tf.Tensor]:
    """Embeddings every 50 ms.

    Args:
        audio: float32 (n_clips, n_samples) in [-1, 1] at 44.1 kHz.
        model: Of ``load_model``.

    Returns:
        Embeddings (n_clips, n_frames, 4096) and frame centres in ms (n_clips, n_frames).
    """
    bands, centres_ms = _bands(audio, model, naive.TIMESTAMP_HOP_MS)
    n_clips, n_frames, _ = bands.shape
    rows = tf.matmul(tf.reshape(bands, (n_clips * n_frames, naive.N_MELS)), model.projection)
    embeddings = tf.reshape(rows, (n_clips, n_frames, naive.EMBEDDING_SIZE))
    return embeddings, tf.broadcast_to(centres_ms, (n_clips, n_frames))


def get_scene_embeddings(audio: tf.Tensor, model: NaiveModel) -> tf.Tensor:
    """One embedding per clip: the mean over frames every 250 ms.

    Args:
        audio: float32 (n_clips, n_samples) in [-1, 1] at 44.1 kHz.
        model: Of ``load_model``.

    Returns:
        (n_clips, 4096).
    """
    bands, _ = _bands(audio, model, naive.SCENE_HOP_MS)
    # The projection is linear, so the mean may come first and is projected once per clip.
    return tf.matmul(tf.reduce_mean(bands, axis=1), model.projection)


def _bands(audio: tf.Tensor, model: NaiveModel, hop_ms: float) -> tuple[tf.Tensor, Any]:
    """Log-mel bands (n_clips, n_frames, 256), a block of frames at a time; centres in ms.

    Only the bands of a whole clip are held, a sixteenth of its embeddings; never its frames.
    """
    n_clips, n_samples = audio.shape
    centres, centres_ms = frame_centres(n_samples, naive.SAMPLE_RATE, hop_ms)
    half = naive.FRAME_SIZE // 2
    padded = tf.pad(audio, ((0, 0), (half, half)))
    flat = tf.reshape(padded, (-1,))
    within = tf.range(naive.FRAME_SIZE, dtype=tf.int64)
    blocks = [
        model.log_mel(tf.gather(flat, starts[:, None] + within))
        for starts in block_starts(n_clips, padded.shape[1], centres, BLOCK_FRAMES)
    ]
    bands = tf.reshape(tf.concat(blocks, 0), (n_clips, len(centres), naive.N_MELS))
    return bands, centres_ms.numpy()
