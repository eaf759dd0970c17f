"""What it takes to feed a transformers encoder: windows, and where their frames are.

``Encoder`` holds a network and its feature extractor. A ``Tower`` cuts clips into windows and
turns those into frames; ``Overlapping`` and ``Consecutive`` are the two ways of cutting.
``Waveform``, for encoders of samples, is here; the others are in ``hf_spectrograms``,
``hf_codecs`` and ``hf_measured``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import torch

from hearbench.errors import ModelError
from hearbench.models.receptive import Frames, Stack

__all__ = ["Consecutive", "Encoder", "Overlapping", "Tower", "Waveform", "Window"]

CONTEXT_S = 1.0
# Audio that is in the encoder at once: more clips than that go through one block at a time.
BLOCK_S = 60.0
# As of Wav2Vec2FeatureExtractor's normalisation.
SMALLEST_VARIANCE = 1e-7


class Encoder(torch.nn.Module):
    """A transformers network, what prepares its input, and which of its layers is wanted.

    Attributes:
        layer: Hidden state: 0 enters the first layer, ``n_layers`` leaves the last.
        n_layers: -1 for a network that has one output and no layers to choose from.
        width: Numbers in a frame.
    """

    def __init__(self, net: Any, extractor: Any, layer: int, n_layers: int, width: int) -> None:
        super().__init__()
        self.net = net
        self.extractor = extractor
        self.layer = layer
        self.n_layers = n_layers
        self.width = width

    @property
    def sample_rate(self) -> int:
        """What the extractor expects, in Hz."""
        return int(self.extractor.sampling_rate)

    def setting(self, name: str) -> int:
        """A number that the extractor has to state.

        Raises:
            ModelError: It doesn't, so it isn't the one that the network was trained with.
        """
        value = getattr(self.extractor, name, None)
        if value is None:
            raise self._mismatch(f"has no {name}")
        return int(value)

    def _mismatch(self, what: str) -> ModelError:
        return ModelError(
            f"The feature extractor {type(self.extractor).__name__} {what}, so it isn't that of "
            f"{type(self.net).__name__}. Put the preprocessor_config.json of the checkpoint beside "
            "its weights."
        )

    def features(self, audio: torch.Tensor, **options: Any) -> dict[str, torch.Tensor]:
        """What the extractor makes of clips (n, samples), on the device of the audio."""
        made = self.extractor(
            list(audio.detach().cpu().numpy()),
            sampling_rate=self.sample_rate,
            return_tensors="pt",
            **options,
        )
        return {
            key: value.to(audio.device, torch.float32 if value.is_floating_point() else None)
            for key, value in made.items()
        }

    def input_features(self, audio: torch.Tensor, **options: Any) -> torch.Tensor:
        """The extractor's spectrograms.

        Raises:
            ModelError: It gives none, so it isn't the one that the network was trained with.
        """
        made = self.features(audio, **options)
        if "input_features" not in made:
            raise self._mismatch(f"gives {', '.join(made)} and no input_features")
        return made["input_features"]

    def hidden(self, **inputs: torch.Tensor) -> torch.Tensor:
        """The chosen hidden state; the last is the model's output, after its final norm."""
        if self.layer == self.n_layers:
            last: torch.Tensor = self.net(**inputs).last_hidden_state
            return last
        state: torch.Tensor = self.net(**inputs, output_hidden_states=True).hidden_states[
            self.layer
        ]
        return state


@dataclass(frozen=True)
class Window:
    """Steps of a prepared clip that go through the encoder together, and what they give.

    Attributes:
        start: First step.
        stop: The step after the last.
        first: Number of the first frame that counts, among all frames of the clip.
        last: The number after the last one's.
        skip: Frames of the window before the first that counts.
    """

    start: int
    stop: int
    first: int
    last: int
    skip: int


class Tower(torch.nn.Module, ABC):
    """An encoder with the rules by which clips go in and frames come out.

    Attributes:
        frames: Centres of a clip's frames.
        block_s: Audio that may be in the encoder at once.
        step_samples: Samples in one step of what ``prepare`` gives.
        pooled_width: Numbers in what the model pools itself, if it does.
    """

    frames: Frames
    block_s: float = BLOCK_S
    step_samples: int = 1
    pooled_width: int | None = None

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.sample_rate = encoder.sample_rate
        self.width = encoder.width

    @abstractmethod
    def windows(self, n_samples: int) -> list[Window]:
        """Windows that give every frame of a clip once, in order."""

    @abstractmethod
    def encode(self, audio: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Windows (n, steps, ...) to frames (n, frames, width), and pooled (n, pooled_width)."""

    def prepare(self, audio: torch.Tensor) -> torch.Tensor:
        """What is done to whole clips (n_clips, n_samples) before they are cut into windows."""
        return audio


class Overlapping(Tower):
    """Encoders of any length; long clips in windows with context on either side.

    Attributes:
        step: Steps from one frame to the next.
        reach: Steps that a window's first frame takes.
        window_frames: The most frames of a window, those of the context counted.
        context: Frames on either side of a window that are left to its neighbours.
    """

    step: int
    reach: int
    window_frames: int
    context: int

    @abstractmethod
    def n_frames(self, n_samples: int) -> int:
        """Frames of a clip that count, 1 at least."""

    @abstractmethod
    def n_steps(self, n_samples: int) -> int:
        """Steps that ``prepare`` makes of a clip."""

    def windows(self, n_samples: int) -> list[Window]:
        """Windows of one length, moved back at the clip's end; short clips are one window."""
        n_frames = self.n_frames(n_samples)
        if n_frames <= self.window_frames:
            return [Window(0, self.n_steps(n_samples), 0, n_frames, 0)]
        span = self.reach + (self.window_frames - 1) * self.step
        found: list[Window] = []
        done = 0
        while done < n_frames:
            # The last window is moved back to be as long as the others.
            first = min(max(0, done - self.context), n_frames - self.window_frames)
            end = first + self.window_frames
            last = end if end == n_frames else end - self.context
            start = first * self.step
            found.append(Window(start, start + span, done, last, done - first))
            done = last
        return found


class Waveform(Overlapping):
    """Samples in, frames of a convolution stack out."""

    def __init__(self, encoder: Encoder, stack: Stack, window_s: float) -> None:
        super().__init__(encoder)
        self.stack = stack
        self.frames = stack.frames
        self.normalise = bool(getattr(encoder.extractor, "do_normalize", False))
        self.step = int(stack.frames.hop)
        self.reach = stack.size
        self.context = round(CONTEXT_S * self.sample_rate / stack.frames.hop)
        self.window_frames = stack.count(round(window_s * self.sample_rate))

    def n_frames(self, n_samples: int) -> int:
        """All frames of the stack."""
        return self.stack.count(self.n_steps(n_samples))

    def n_steps(self, n_samples: int) -> int:
        """Samples, with zeros added up to what one frame takes."""
        return max(n_samples, self.stack.size)

    def prepare(self, audio: torch.Tensor) -> torch.Tensor:
        """Normalised, if the extractor does, and as long as one frame at least."""
        if self.normalise:
            variance, mean = torch.var_mean(audio, 1, correction=0, keepdim=True)
            audio = (audio - mean) / torch.sqrt(variance + SMALLEST_VARIANCE)
        missing = self.n_steps(audio.shape[1]) - audio.shape[1]
        return torch.nn.functional.pad(audio, (0, missing))

    def encode(self, audio: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Samples (n, samples) to frames."""
        return self.encoder.hidden(input_values=audio), None


class Consecutive(Tower):
    """Models that take so many samples and no more.

    Attributes:
        window_samples: What they take.
        step_frames: Frames that a window adds, so that the grid of centres stays regular.
    """

    window_samples: int
    step_frames: int

    def windows(self, n_samples: int) -> list[Window]:
        """Windows one after the other; the last one is as short as the clip leaves it."""
        n_frames = max(1, self.frames.count_before(n_samples))
        found = []
        for first in range(0, n_frames, self.step_frames):
            start = round(first * self.frames.hop)
            stop = min(start + self.window_samples, n_samples)
            last = min(first + self.step_frames, n_frames)
            found.append(Window(start, stop, first, last, 0))
        return found
