"""Which samples each frame of a stack of convolutions sees, exactly.

Times are instants of samples: sample ``i`` is at ``i / sample_rate``, so a frame over samples 0
to 399 is centred on sample 199.5. All sums are of whole numbers and fractions; nothing drifts.

Source: Araujo, Norris and Sim, "Computing Receptive Fields of Convolutional Neural Networks",
Distill, 2019.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from ..errors import UnusableError

__all__ = ["ChunkedFrames", "Convolution", "Frames", "Stack", "convolutions", "stack_of"]


@dataclass(frozen=True)
class Convolution:
    """One convolution, or pooling, along time.

    Attributes:
        kernel: Taps.
        stride: Between outputs, in inputs.
        padding: Inputs added on each side.
        dilation: Between taps, in inputs.

    Raises:
        UnusableError: A kernel, stride or dilation below 1, or a padding below 0.
    """

    kernel: int
    stride: int = 1
    padding: int = 0
    dilation: int = 1

    def __post_init__(self) -> None:
        if min(self.kernel, self.stride, self.dilation) < 1 or self.padding < 0:
            raise UnusableError(
                f"{self} can't be a convolution: kernel, stride and dilation are at least 1, "
                "padding at least 0."
            )

    @property
    def reach(self) -> int:
        """Inputs from the first tap to the last, both counted."""
        return self.dilation * (self.kernel - 1) + 1

    def count(self, n_inputs: int) -> int:
        """Outputs for a number of inputs; padding alone makes none."""
        if n_inputs < 1:
            return 0
        return max(0, (n_inputs + 2 * self.padding - self.reach) // self.stride + 1)


@dataclass(frozen=True)
class Frames:
    """Frames at a constant hop.

    Attributes:
        first: Centre of frame 0, in samples; may lie before the audio where there is padding.
        hop: Between centres, in samples.
    """

    first: Fraction
    hop: Fraction

    def centres(self, n_frames: int) -> list[Fraction]:
        """Centres in samples, exactly."""
        return [self.first + index * self.hop for index in range(n_frames)]

    def centres_ms(self, n_frames: int, sample_rate: int) -> npt.NDArray[np.float64]:
        """Centres in ms, (n_frames,), each the nearest float64."""
        scale = Fraction(1000, sample_rate)
        first, hop = self.first * scale, self.hop * scale
        # One division of whole numbers per frame is one rounding per frame.
        denominator = first.denominator * hop.denominator
        start, step = int(first * denominator), int(hop * denominator)
        index = np.arange(n_frames, dtype=np.int64)
        return (start + index * step) / float(denominator)

    def count_before(self, n_samples: int) -> int:
        """How many frames are centred within audio of a length, on its last sample at most."""
        return max(0, int((n_samples - 1 - self.first) // self.hop) + 1)


@dataclass(frozen=True)
class ChunkedFrames(Frames):
    """Frames of chunks that a network takes one by one, each at a constant hop from its start.

    The last frame of a chunk may be closer to the next chunk's first than frames are otherwise.

    Attributes:
        hop: Between centres, in samples, on average.
        per_chunk: Frames of a chunk.
        inner_hop: Between centres in a chunk, in samples.
    """

    per_chunk: int
    inner_hop: int

    def centres(self, n_frames: int) -> list[Fraction]:
        """Centres in samples, exactly."""
        chunk = self.hop * self.per_chunk
        places = (divmod(index, self.per_chunk) for index in range(n_frames))
        return [self.first + whole * chunk + inner * self.inner_hop for whole, inner in places]

    def centres_ms(self, n_frames: int, sample_rate: int) -> npt.NDArray[np.float64]:
        """Centres in ms, (n_frames,), each the nearest float64."""
        return np.array([float(at * 1000 / sample_rate) for at in self.centres(n_frames)])

    def count_before(self, n_samples: int) -> int:
        """How many frames are centred within audio of a length, on its last sample at most."""
        whole, rest = divmod(n_samples - 1 - self.first, self.hop * self.per_chunk)
        count = int(whole) * self.per_chunk + min(self.per_chunk, int(rest // self.inner_hop) + 1)
        return max(0, count)


@dataclass(frozen=True)
class Stack:
    """Convolutions one after the other, over samples.

    Attributes:
        layers: From the one that sees the samples on.
        size: Receptive field of a frame, in samples.
        frames: Centres of the frames.
    """

    layers: tuple[Convolution, ...]
    size: int
    frames: Frames

    def count(self, n_samples: int) -> int:
        """Frames for audio of a length; 0 where it is shorter than the kernels."""
        for layer in self.layers:
            n_samples = layer.count(n_samples)
        return n_samples

    def span(self, n_frames: int) -> int:
        """Samples that a number of frames see together, from the first to the last."""
        return self.size + (n_frames - 1) * int(self.frames.hop)


def stack_of(layers: Iterable[Convolution]) -> Stack:
    """What a stack of convolutions does to time.

    Args:
        layers: From the one that sees the samples on.
    """
    layers = tuple(layers)
    size, hop, first = 1, 1, Fraction(0)
    for layer in layers:
        first += hop * (Fraction(layer.reach - 1, 2) - layer.padding)
        size += hop * (layer.reach - 1)
        hop *= layer.stride
    return Stack(layers, size, Frames(first, Fraction(hop)))


def convolutions(kernels: Sequence[int], strides: Sequence[int]) -> list[Convolution]:
    """Unpadded convolutions from two lists of one length, as configurations hold them.

    Raises:
        UnusableError: The lists differ in length, or hold what can't be a convolution.
    """
    if len(kernels) != len(strides):
        raise UnusableError(f"There are {len(kernels)} kernels {kernels} but strides {strides}.")
    pairs = zip(kernels, strides)
    return [Convolution(operator.index(kernel), operator.index(stride)) for kernel, stride in pairs]
