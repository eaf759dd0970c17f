"""Overlapping frames of audio at an exact hop, in blocks of bounded memory.

Conventions: frame ``i`` is centred on ``i * hop_ms``, for as long as that lies within the clip;
the audio is padded with half a frame of zeros on both sides. The hop in samples is never
rounded before it is multiplied, so a hop such as 25 ms at 44.1 kHz (1102.5 samples) does not
drift.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import torch

__all__ = ["block_starts", "embed_every", "embed_frames", "frame_blocks", "frame_centres"]


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


def block_starts(
    n_clips: int, padded_size: int, centres: torch.Tensor, block_frames: int
) -> Iterator[npt.NDArray[np.int64]]:
    """Where frames begin in padded clips that are laid end to end, a bounded number at a time.

    Args:
        n_clips: Number of clips, all of one length.
        padded_size: Samples of a clip with its padding of half a frame on both sides.
        centres: In samples of the clip without padding, (n_frames,), as of ``frame_centres``;
            in the padded clip that is where the frames begin.
        block_frames: The most frames of a block.

    Yields:
        (rows,) of at most ``block_frames``; in all ``n_clips * n_frames``, clip after clip.
    """
    in_clip = centres.numpy()
    total = n_clips * len(in_clip)
    for first in range(0, total, block_frames):
        clip, frame = np.divmod(np.arange(first, min(first + block_frames, total)), len(in_clip))
        yield clip * padded_size + in_clip[frame]


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
    padded = torch.nn.functional.pad(audio, (half, half))
    windows = padded.flatten().unfold(0, frame_size, 1)
    first = 0
    for starts in block_starts(len(audio), padded.shape[1], centres, block_frames):
        last = first + len(starts)
        yield slice(first, last), windows[torch.from_numpy(starts).to(audio.device)]
        first = last


def embed_frames(
    audio: torch.Tensor,
    centres: torch.Tensor,
    *,
    frame_size: int,
    block_frames: int,
    network: Callable[[torch.Tensor], torch.Tensor],
) -> torch.Tensor:
    """What a network makes of every frame.

    Args:
        audio: (n_clips, n_samples).
        centres: In samples, (n_frames,), at least one.
        frame_size: In samples, even.
        block_frames: The most frames that the network gets at once.
        network: Frames (rows, frame_size), which it may change, to (rows, size).

    Returns:
        (n_clips, n_frames, size).
    """
    embeddings = torch.empty(0)
    for place, frames in frame_blocks(audio, centres, frame_size, block_frames):
        found = network(frames)
        if place.start == 0:
            embeddings = found.new_empty(len(audio) * len(centres), found.shape[1])
        embeddings[place] = found
    return embeddings.view(len(audio), len(centres), -1)


def embed_every(
    hop_ms: float,
    audio: torch.Tensor,
    *,
    sample_rate: int,
    frame_size: int,
    block_frames: int,
    network: Callable[[torch.Tensor], torch.Tensor],
) -> tuple[torch.Tensor, torch.Tensor]:
    """What a network makes of frames at a regular hop, and where these are centred.

    Args:
        hop_ms: Time between frames, in ms.
        audio: (n_clips, n_samples).
        sample_rate: In Hz.
        frame_size: As of ``embed_frames``.

    Returns:
        Embeddings (n_clips, n_frames, size) and frame centres in ms (n_clips, n_frames), as
        ``get_timestamp_embeddings`` returns them.
    """
    centres, centres_ms = frame_centres(audio.shape[1], sample_rate, hop_ms)
    embeddings = embed_frames(
        audio, centres, frame_size=frame_size, block_frames=block_frames, network=network
    )
    return embeddings, centres_ms.to(audio.device).expand(embeddings.shape[:2])
