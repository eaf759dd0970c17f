"""Towers of transformers encoders that hearbench doesn't know: their frames' times are measured.

What is assumed of them: the feature extractor that is saved with them takes clips at one rate,
the network takes what it makes and gives ``last_hidden_state`` (batch, frames, width), and frames
are at a constant hop of whole samples. All of that is put to the test when such a model is loaded
(see ``hf_timing``), and a model that fails is refused.

Frames that are centred in padding, beyond the audio, don't count. All clips of a batch are of one
length, so that an extractor pads them only as it would pad each alone.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch

from hearbench.errors import ModelError
from hearbench.models.hf_timing import Grid, measure
from hearbench.models.hf_towers import CONTEXT_S, Consecutive, Encoder, Overlapping, Tower

__all__ = ["layers_and_width", "measured_tower"]

# Shorter clips are filled up with silence: normalisation needs more than a frame or two.
SHORTEST_S = 0.25
# What a network or an extractor raises on input that it doesn't take.
FAILURES = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    ImportError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)


def measured_tower(encoder: Encoder, window_s: float) -> Tower:
    """The tower of an encoder of an unknown kind.

    Args:
        encoder: Its layer and width are settled.
        window_s: Longest audio at once, if its extractor doesn't fix that.

    Raises:
        ModelError: It isn't what this module's docstring assumes.
    """
    extractor = encoder.extractor
    fixed = getattr(extractor, "n_samples", None) or getattr(extractor, "nb_max_samples", None)
    grid = measure(lambda audio: _encode(encoder, audio), encoder.sample_rate, fixed)
    if grid.window_samples is not None:
        return MeasuredWindows(encoder, grid)
    return MeasuredClips(encoder, grid, window_s)


@torch.no_grad()
def layers_and_width(net: Any, extractor: Any) -> tuple[int, int]:
    """How many layers have states like a network's output, and how wide that is.

    Args:
        net: The encoder.
        extractor: Its feature extractor.

    Returns:
        The number of layers, or -1 where there is nothing but the output, and the width.

    Raises:
        ModelError: The network fails on audio, or its output isn't a row of frames.
    """
    encoder = Encoder(net, extractor, -1, -1, 0)
    # Not silence, which normalisation may divide by.
    audio = 0.1 * torch.randn(1, encoder.sample_rate, generator=torch.Generator().manual_seed(0))
    last = _call(encoder, audio, lambda inputs: encoder.hidden(**inputs))
    if not isinstance(last, torch.Tensor) or last.ndim != 3:
        raise ModelError("its last_hidden_state isn't (batch, frames, width)")
    try:
        states = _call(
            encoder, audio, lambda inputs: net(**inputs, output_hidden_states=True).hidden_states
        )
    except ModelError:
        states = None  # it knows no such option
    if not states or any(state.shape != last.shape for state in states):
        return -1, last.shape[2]
    return len(states) - 1, last.shape[2]


def _call(
    encoder: Encoder, audio: torch.Tensor, use: Callable[[dict[str, torch.Tensor]], Any]
) -> Any:
    """What the network makes of the extractor's output for clips (n, samples)."""
    short = round(SHORTEST_S * encoder.sample_rate) - audio.shape[1]
    audio = torch.nn.functional.pad(audio, (0, max(0, short)))
    accepted = inspect.signature(encoder.net.forward).parameters
    try:
        made = encoder.features(audio)
        return use({key: made[key] for key in made if key in accepted})
    except FAILURES as error:
        raise ModelError(
            f"{type(encoder.net).__name__} fails on {audio.shape[1] / encoder.sample_rate:.2f} s "
            f"of audio through {type(encoder.extractor).__name__}, {type(error).__name__}: {error}"
        ) from error


def _encode(encoder: Encoder, audio: torch.Tensor) -> torch.Tensor:
    found: torch.Tensor = _call(encoder, audio, lambda inputs: encoder.hidden(**inputs))
    if found.ndim != 3 or found.shape[0] != len(audio) or found.shape[2] != encoder.width:
        raise ModelError(
            f"{type(encoder.net).__name__} gives {tuple(found.shape)} for {len(audio)} clips, "
            f"which isn't (clips, frames, {encoder.width})"
        )
    return found


class MeasuredClips(Overlapping):
    """Clips of any length; long ones in windows."""

    def __init__(self, encoder: Encoder, grid: Grid, window_s: float) -> None:
        super().__init__(encoder)
        self.grid = grid
        self.frames = grid.frames
        self.step = int(grid.frames.hop)
        self.reach = max(1, grid.reach)
        self.context = round(CONTEXT_S * self.sample_rate / self.step)
        self.window_frames = grid.count(round(window_s * self.sample_rate))

    def n_frames(self, n_samples: int) -> int:
        """Frames that are centred within the clip."""
        within = self.frames.count_before(n_samples)
        return max(1, min(self.grid.count(self.n_steps(n_samples)), within))

    def n_steps(self, n_samples: int) -> int:
        """Samples, with zeros added up to a quarter of a second."""
        return max(n_samples, round(SHORTEST_S * self.sample_rate), self.reach)

    def prepare(self, audio: torch.Tensor) -> torch.Tensor:
        """Long enough for a frame."""
        missing = self.n_steps(audio.shape[1]) - audio.shape[1]
        return torch.nn.functional.pad(audio, (0, missing))

    def encode(self, audio: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Samples (n, samples) to frames.

        Raises:
            ModelError: There are fewer than there should be: the audio is too long for it.
        """
        found = _encode(self.encoder, audio)
        expected = self.grid.count(audio.shape[1])
        if found.shape[1] != expected:
            raise ModelError(
                f"{type(self.encoder.net).__name__} gives {found.shape[1]} frames for "
                f"{audio.shape[1] / self.sample_rate:.1f} s of audio, and {expected} were due. "
                "Give it shorter windows with the option window_s."
            )
        return found, None


class MeasuredWindows(Consecutive):
    """Windows of the length that the extractor fixes."""

    def __init__(self, encoder: Encoder, grid: Grid) -> None:
        super().__init__(encoder)
        self.frames = grid.frames
        self.step_frames = grid.window_frames
        self.window_samples = int(grid.window_samples or 0)

    def encode(self, audio: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Samples (n, samples), which the extractor fills up, to frames of a whole window."""
        return _encode(self.encoder, audio), None
