from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hearbench.models.framing import (
    block_starts,
    embed_every,
    embed_frames,
    frame_blocks,
    frame_centres,
)


def test_frames_begin_at_zero_and_end_within_the_clip() -> None:
    centres, ms = frame_centres(16000, 16000, 250.0)
    assert centres.tolist() == [0, 4000, 8000, 12000, 16000]
    assert ms.tolist() == [0.0, 250.0, 500.0, 750.0, 1000.0]
    assert frame_centres(15999, 16000, 250.0)[0].tolist() == [0, 4000, 8000, 12000]
    assert frame_centres(1, 44100, 50.0)[0].tolist() == [0]


def test_a_hop_of_half_a_sample_does_not_drift() -> None:
    # 25 ms at 44.1 kHz are 1102.5 samples: 1200 s later a rounded hop would be 24000 off.
    centres, ms = frame_centres(1200 * 44100, 44100, 25.0)
    assert centres[-1] == 1200 * 44100
    assert ms[-1] == 1_200_000.0
    assert centres[:4].tolist() == [0, 1103, 2205, 3308]


@settings(max_examples=50, deadline=None)
@given(
    st.integers(1, 100_000),
    st.sampled_from([16000, 22050, 32000, 44100, 48000]),
    st.sampled_from([10.0, 12.5, 25.0, 33.3, 50.0, 250.0]),
)
def test_centres_are_the_exact_times_to_half_a_sample(n: int, rate: int, hop_ms: float) -> None:
    centres, ms = frame_centres(n, rate, hop_ms)
    hop = Fraction(str(hop_ms)) * rate / 1000
    exact = [i * hop for i in range(len(centres))]
    assert all(abs(e - int(c)) <= Fraction(1, 2) for e, c in zip(exact, centres, strict=True))
    assert exact[-1] <= n < exact[-1] + hop
    assert ms.dtype == torch.float32


@pytest.mark.parametrize("block", [1, 3, 7, 100])
def test_blocks_hold_the_frames_of_all_clips_in_order(block: int) -> None:
    audio = torch.arange(1, 31, dtype=torch.float32).reshape(3, 10)
    centres = torch.tensor([0, 3, 6, 9])
    rows = torch.full((12, 4), -1.0)
    for place, frames in frame_blocks(audio, centres, 4, block):
        assert len(frames) <= block
        rows[place] = frames
    padded = np.pad(audio.numpy(), ((0, 0), (2, 2)))
    expected = [padded[clip, c : c + 4] for clip in range(3) for c in (0, 3, 6, 9)]
    assert np.array_equal(rows.numpy(), np.stack(expected))


def test_changing_a_block_does_not_change_the_audio() -> None:
    audio = torch.ones(1, 8)
    for _, frames in frame_blocks(audio, torch.tensor([0, 4]), 4, 8):
        frames.zero_()
    assert audio.sum() == 8


def test_starts_run_through_clips_laid_end_to_end() -> None:
    centres = torch.tensor([0, 3, 6])
    blocks = [part.tolist() for part in block_starts(3, 14, centres, 4)]
    assert blocks == [[0, 3, 6, 14], [17, 20, 28, 31], [34]]


@pytest.mark.parametrize("block", [1, 4, 100])
def test_every_frame_goes_through_the_network_once(block: int) -> None:
    audio = torch.arange(1, 31, dtype=torch.float32).reshape(3, 10)
    sizes = []

    def first_and_sum(frames: torch.Tensor) -> torch.Tensor:
        sizes.append(len(frames))
        return torch.stack([frames[:, 0], frames.sum(1)], 1).double()

    centres = torch.tensor([0, 5, 10])
    found = embed_frames(audio, centres, frame_size=4, block_frames=block, network=first_and_sum)
    # Frames of the first clip, by hand: 0 0 1 2, 4 5 6 7, 9 10 0 0.
    assert found[0].tolist() == [[0.0, 3.0], [4.0, 22.0], [9.0, 19.0]]
    assert found[2].tolist() == [[0.0, 43.0], [24.0, 102.0], [29.0, 59.0]]
    assert found.dtype == torch.float64
    assert sum(sizes) == 9
    assert max(sizes) == min(block, 9)


def test_embeddings_at_a_hop_come_with_their_centres() -> None:
    audio = torch.zeros(2, 1600)
    audio[1, 800] = 1.0  # 50 ms
    embeddings, ms = embed_every(
        25.0,
        audio,
        sample_rate=16000,
        frame_size=4,
        block_frames=3,
        network=lambda frames: frames.sum(1, keepdim=True),
    )
    assert ms.tolist() == [[0.0, 25.0, 50.0, 75.0, 100.0]] * 2
    assert embeddings[..., 0].tolist() == [[0.0] * 5, [0.0, 0.0, 1.0, 0.0, 0.0]]
