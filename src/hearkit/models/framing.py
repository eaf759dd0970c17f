"""Overlapping frames of audio at an exact hop, in blocks of bounded memory.

Conventions: frame ``i`` is centred on ``i * hop_ms``, for as long as that lies within the clip;
the audio is padded with half a frame of zeros on both sides. The hop in samples is never
rounded before it is multiplied, so a hop such as 25 ms at 44.1 kHz (1102.5 samples) does not
drift.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import torch

__all__ = ["frame_blocks", "frame_centres"]


def frame_centres(
    n_samples: int, sample_rate: int, hop_ms: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Where the frames of a clip are centred.

    Args:
        n_samples: Length of the clip.
        sample_rate: In Hz.
        hop_ms: Time between frames, in ms; need not be a whole number of samples.

    Returns:
        The centres in samples, int64 (n_frames,), rounded to the nearest one, and in ms,
        float32 (n_frames,). There is always at least the frame at 0.
    """
    # The decimal that the caller wrote, not its nearest binary fraction.
    hop = Fraction(str(hop_ms)) * sample_rate / 1000
    count = int(n_samples // hop) + 1
    index = np.arange(count, dtype=np.int64)
    centres = (2 * hop.numerator * index + hop.denominator) // (2 * hop.denominator)
    return torch.from_numpy(centres), torch.from_numpy((index * hop_ms).astype(np.float32))


def frame_blocks(
    audio: torch.Tensor, centres: torch.Tensor, frame_size: int, block_frames: int
) -> Iterator[tuple[slice, torch.Tensor]]:
    """Cuts clips of one length into frames, a bounded number at a time.

    The frames of all clips stand in one row, clip after clip, so that short clips share a
    block and long ones are spread over several.

    Args:
        audio: (n_clips, n_samples).
        centres: In samples, (n_frames,), as of ``frame_centres``.
        frame_size: In samples, even.
        block_frames: The most frames that are held at once.

    Yields:
        Which of the ``n_clips * n_frames`` rows these are, and the frames
        (rows, frame_size), a copy that may be changed.
    """
    half = frame_size // 2
    windows = torch.nn.functional.pad(audio, (half, half)).unfold(1, frame_size, 1)
    starts = centres.to(audio.device)
    n_frames = len(starts)
    total = audio.shape[0] * n_frames
    for first in range(0, total, block_frames):
        last = min(first + block_frames, total)
        row = torch.arange(first, last, device=audio.device)
        clip = torch.div(row, n_frames, rounding_mode="floor")
        yield slice(first, last), windows[clip, starts[row % n_frames]]
