from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch

from hearbench.worker.checkpoints.receptive import (
    ChunkedFrames,
    Convolution,
    Frames,
    convolutions,
    stack_of,
)
from hearbench.worker.errors import UnusableError

WAV2VEC2 = convolutions((10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2))
STACKS = {
    "wav2vec2": WAV2VEC2,
    "whisper": [Convolution(3, padding=1), Convolution(3, 2, padding=1)],
    "moonshine": convolutions((127, 7, 3), (64, 3, 2)),
    "dilated": [Convolution(5, 2, 3, 2), Convolution(4, 3, 0, 3), Convolution(3, 1, 2)],
}


def _network(layers: list[Convolution]) -> torch.nn.Sequential:
    """The same stack by torch, all taps 1."""
    network = torch.nn.Sequential(
        *(
            torch.nn.Conv1d(1, 1, c.kernel, c.stride, c.padding, c.dilation, bias=False)
            for c in layers
        )
    ).double()
    for parameter in network.parameters():
        torch.nn.init.ones_(parameter)
    return network


@pytest.mark.parametrize("name", sorted(STACKS))
def test_centres_and_size_are_those_of_torchs_gradients(name: str) -> None:
    stack = stack_of(STACKS[name])
    network = _network(STACKS[name])
    audio = torch.zeros(1, 1, 6000, dtype=torch.float64, requires_grad=True)
    out = network(audio)[0, 0]
    centres = stack.frames.centres(len(out))
    # In the middle, where no padding hides a part of what a frame sees.
    for frame in (len(out) // 2, len(out) // 2 + 1):
        (gradient,) = torch.autograd.grad(out[frame], audio, retain_graph=True)
        seen = torch.nonzero(gradient[0, 0]).flatten()
        assert Fraction(int(seen[0] + seen[-1]), 2) == centres[frame]
        assert int(seen[-1] - seen[0]) + 1 == stack.size


@pytest.mark.parametrize("name", sorted(STACKS))
def test_counts_are_torchs(name: str) -> None:
    stack = stack_of(STACKS[name])
    network = _network(STACKS[name])
    first = next(n for n in range(1, 2000) if stack.count(n))
    for n_samples in [*range(first, first + 50), 1999, 2000, 5437]:
        out = network(torch.zeros(1, 1, n_samples, dtype=torch.float64))
        assert stack.count(n_samples) == out.shape[-1]


def test_wav2vec2_sees_25_ms_every_20_ms() -> None:
    stack = stack_of(WAV2VEC2)
    assert stack.size == 400
    assert stack.frames == Frames(Fraction(399, 2), Fraction(320))
    assert stack.count(16000) == 49
    assert stack.count(399) == 0
    assert stack.span(49) == 400 + 48 * 320
    assert stack.frames.centres_ms(3, 16000).tolist() == [12.46875, 32.46875, 52.46875]


def test_centres_do_not_drift_over_20_minutes() -> None:
    frames = Frames(Fraction(1, 3), Fraction(2205, 2))  # 25 ms at 44.1 kHz
    ms = frames.centres_ms(48000, 44100)
    assert ms[-1] == float((Fraction(1, 3) + 47999 * Fraction(2205, 2)) * 1000 / 44100)
    assert np.allclose(np.diff(ms), 25.0, rtol=0, atol=1e-9)


def test_frames_within_audio_are_counted_to_its_last_sample() -> None:
    frames = Frames(Fraction(0), Fraction(320))
    assert [frames.count_before(n) for n in (1, 320, 321, 640, 641)] == [1, 1, 2, 2, 3]
    assert Frames(Fraction(399, 2), Fraction(320)).count_before(200) == 0
    assert Frames(Fraction(399, 2), Fraction(320)).count_before(201) == 1


def test_what_cannot_be_a_convolution_is_refused() -> None:
    with pytest.raises(UnusableError, match="kernel, stride and dilation are at least 1"):
        Convolution(3, 0)
    with pytest.raises(UnusableError, match="2 kernels"):
        convolutions((3, 3), (2,))


def test_frames_of_chunks() -> None:
    # Chunks of 100 steps, and of each the frames at 0, 40 and 80.
    frames = ChunkedFrames(Fraction(5), Fraction(100, 3), 3, 40)
    assert frames.centres(5) == [5, 45, 85, 105, 145]
    assert frames.centres_ms(5, 10).tolist() == [500, 4500, 8500, 10500, 14500]
    for n_samples, count in ((5, 0), (6, 1), (45, 1), (46, 2), (105, 3), (106, 4), (1000, 30)):
        assert frames.count_before(n_samples) == count
