"""Towers feed a transformers encoder: how clips are cut into windows, and where frames are.

``Encoder`` holds a network and its feature extractor. A ``Tower`` cuts clips into windows and
turns those into frames; ``Overlapping`` and ``Consecutive`` are the two ways of cutting. Then
come the towers of encoders of samples, of spectrograms (Whisper, AST, CLAP, wav2vec2-BERT) and of
codecs, which give the continuous latent that their quantiser gets. Towers of encoders that
hearbench doesn't know are in ``measured``.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import torch

from ..errors import UnusableError
from .receptive import Convolution, Frames, Stack, stack_of
from .text import TextTower

__all__ = [
    "Clap",
    "Codec",
    "Consecutive",
    "Encoder",
    "Overlapping",
    "SpectrogramTransformer",
    "StackedFilterbanks",
    "Tower",
    "Waveform",
    "Whisper",
    "Window",
    "kaldi_frames",
    "latent_of_convolutions",
    "latent_of_mimi",
]

CONTEXT_S = 1.0
# Audio that is in the encoder at once: more clips than that go through one block at a time.
BLOCK_S = 60.0
# The first layers of codecs keep many channels at the audio's own rate.
CODEC_BLOCK_S = 15.0
# As of Wav2Vec2FeatureExtractor's normalisation.
SMALLEST_VARIANCE = 1e-7
# As of the codecs' own normalisation.
SMALLEST_SCALE = 1e-8
# Kaldi's frames of 25 ms every 10 ms; the first one starts with the audio.
KALDI_FRAME_MS, KALDI_HOP_MS = 25, 10


class Encoder(torch.nn.Module):
    """A transformers network, what prepares its input, and which of its layers is wanted.

    Attributes:
        layer: Hidden state: 0 enters the first layer, ``n_layers`` leaves the last.
        n_layers: -1 for a network that has one output and no layers to choose from.
        width: Numbers in a frame.
        are_alike: Whether all hidden states have the frames and the width of the last.
    """

    def __init__(self, net: Any, extractor: Any, layer: int, n_layers: int, width: int) -> None:
        super().__init__()
        self.net = net
        self.extractor = extractor
        self.layer = layer
        self.n_layers = n_layers
        self.width = width
        self.are_alike = True
        self._made: dict[str, Any] | None = None

    @property
    def layers(self) -> int:
        """How many hidden states one pass gives, all with the same frames; 0 if it gives one."""
        return self.n_layers + 1 if self.are_alike else 0

    @contextmanager
    def one_pass(self, layers: Sequence[int]) -> Iterator[None]:
        """Has the extractor and the network hear a window once, whose layers are asked for in turn.

        Within it, `layer` may be set, and all input has to be the same.

        Args:
            layers: Those that will be asked for. Of a single one, the network isn't asked for more.
        """
        own = self.layer
        self._made = {} if len(layers) > 1 else None
        try:
            yield
        finally:
            self.layer, self._made = own, None

    def once(self, name: str, make: Callable[[], Any]) -> Any:
        """What is made of a window: in `one_pass` the first time only, or else each time."""
        if self._made is None:
            return make()
        if name not in self._made:
            self._made[name] = make()
        return self._made[name]

    def asks_for_states(self) -> bool:
        """Whether the network has to give the hidden states beside its output."""
        return self._made is not None or self.layer != self.n_layers

    @property
    def sample_rate(self) -> int:
        """What the extractor expects, in Hz."""
        return int(self.extractor.sampling_rate)

    def setting(self, name: str) -> int:
        """A number that the extractor has to state.

        Raises:
            UnusableError: It doesn't, so it isn't the one that the network was trained with.
        """
        value = getattr(self.extractor, name, None)
        if value is None:
            raise self._mismatch(f"has no {name}")
        return int(value)

    def _mismatch(self, what: str) -> UnusableError:
        return UnusableError(
            f"The feature extractor {type(self.extractor).__name__} {what}, so it isn't that of "
            f"{type(self.net).__name__}. Put the preprocessor_config.json of the checkpoint beside "
            "its weights."
        )

    def features(self, audio: torch.Tensor, **options: Any) -> dict[str, torch.Tensor]:
        """What the extractor makes of clips (n, samples), on the device of the audio."""
        return dict(self.once("features", lambda: self._features(audio, options)))

    def _features(self, audio: torch.Tensor, options: dict[str, Any]) -> dict[str, torch.Tensor]:
        options = {"sampling_rate": self.sample_rate, "return_tensors": "pt", **options}
        taken = inspect.signature(type(self.extractor).__call__).parameters
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in taken.values()):
            options = {name: value for name, value in options.items() if name in taken}
        made = self.extractor(list(audio.detach().cpu().numpy()), **options)
        tensors = {key: torch.as_tensor(value) for key, value in made.items() if _is_array(value)}
        return {
            key: value.to(audio.device, torch.float32 if value.is_floating_point() else None)
            for key, value in tensors.items()
        }

    def input_features(self, audio: torch.Tensor, **options: Any) -> torch.Tensor:
        """The extractor's spectrograms.

        Raises:
            UnusableError: It gives none, so it isn't the one that the network was trained with.
        """
        made = self.features(audio, **options)
        if "input_features" not in made:
            raise self._mismatch(f"gives {', '.join(made)} and no input_features")
        return made["input_features"]

    def hidden(self, **inputs: torch.Tensor) -> torch.Tensor:
        """The chosen hidden state; the last is the model's output, after its final norm."""
        options = {"output_hidden_states": True} if self.asks_for_states() else {}
        made = self.once("output", lambda: self.net(**inputs, **options))
        is_last = self.layer == self.n_layers
        state: torch.Tensor = made.last_hidden_state if is_last else made.hidden_states[self.layer]
        return state


def _is_array(value: Any) -> bool:
    return isinstance(value, (torch.Tensor, np.ndarray))


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
        untimed: Why no one knows when its frames are, which is then for scenes alone.
        notes: What a result has to say of it, in sentences.
        text: What embeds text into the space of what the model pools itself, if anything does.
    """

    frames: Frames
    block_s: float = BLOCK_S
    step_samples: int = 1
    pooled_width: int | None = None
    untimed: str | None = None
    notes: tuple[str, ...] = ()
    text: TextTower | None

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.sample_rate = encoder.sample_rate
        self.width = encoder.width
        self.text = None

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


# ---- Encoders of spectrograms


def kaldi_frames(sample_rate: int) -> Convolution:
    """Kaldi's frames of samples."""
    return Convolution(sample_rate * KALDI_FRAME_MS // 1000, sample_rate * KALDI_HOP_MS // 1000)


class Whisper(Consecutive):
    """Log-mel frames, centred on multiples of their hop, through a stack of stride 2."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__(encoder)
        spectra_hop = encoder.setting("hop_length")
        stack = stack_of([Convolution(3, padding=1), Convolution(3, 2, padding=1)])
        hop = stack.frames.hop * spectra_hop
        self.frames = Frames(stack.frames.first * spectra_hop, hop)
        self.step_frames = int(encoder.net.config.max_source_positions)
        self.window_samples = int(self.step_frames * hop)

    def encode(self, audio: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Samples, padded to 30 s, to frames of 30 s."""
        made = self.encoder.input_features(
            audio, padding="max_length", max_length=self.window_samples
        )
        return self.encoder.hidden(input_features=made), None


class SpectrogramTransformer(Consecutive):
    """Kaldi's log-mel frames in patches, with two class tokens before them."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__(encoder)
        config = encoder.net.config
        spectra = kaldi_frames(self.sample_rate)
        patches = Convolution(config.patch_size, config.time_stride)
        self.frames = stack_of([spectra, patches]).frames
        self.step_frames = patches.count(config.max_length)
        self.window_samples = (config.max_length - 1) * spectra.stride + spectra.kernel
        self.frame_samples = spectra.kernel
        self.pooled_width = config.hidden_size

    def encode(self, audio: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Samples to the mean over the patches of each time, and to the class tokens' mean."""
        missing = max(0, self.frame_samples - audio.shape[1])
        made = self.encoder.features(torch.nn.functional.pad(audio, (0, missing)))
        tokens = self.encoder.hidden(input_values=made["input_values"])
        # Patches stand row after row, each row a frequency.
        grid = tokens[:, 2:].reshape(len(tokens), -1, self.step_frames, tokens.shape[2])
        return grid.mean(1), tokens[:, :2].mean(1)


class Clap(Consecutive):
    """The audio tower of CLAP; spectrograms of 10 s are stretched and folded into a square."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__(encoder)
        config, hop = encoder.net.config, encoder.setting("hop_length")
        self.window_samples = encoder.setting("nb_max_samples")
        columns = config.spec_size * (config.spec_size // config.num_mel_bins)
        per_frame = config.patch_stride[1] * 2 ** (len(config.depths) - 1)
        # Stretched so that the first and last spectrogram frames stay first and last.
        column = Fraction(self.window_samples // hop * hop, columns - 1)
        self.frames = Frames(column * Fraction(per_frame - 1, 2), column * per_frame)
        # Windows share a frame: one more step would leave a gap between them.
        self.step_frames = columns // per_frame - 1
        self.pooled_width = config.projection_dim

    def encode(self, audio: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Samples to the mean over frequency of the last grid, and to the shared space."""
        made = self.encoder.input_features(audio)
        # With fusion, the extractor marks a clip at random as longer than the window; none is.
        longer = torch.zeros(len(audio), 1, dtype=torch.bool, device=audio.device)
        net = self.encoder.net
        tower = net.audio_model(input_features=made, is_longer=longer)
        frames = tower.last_hidden_state.mean(2).transpose(1, 2)
        return frames, net.audio_projection(tower.pooler_output)


class StackedFilterbanks(Overlapping):
    """Kaldi's log-mel frames, normalised over the clip, several of them joined to a step.

    The extractor sees whole clips, as its normalisation wants it; windows are cut from what it
    makes. Frames that would be padding in part are left out, which the model would mask.
    """

    def __init__(self, encoder: Encoder, window_s: float) -> None:
        super().__init__(encoder)
        joined = encoder.setting("stride")
        self.stack = stack_of([kaldi_frames(self.sample_rate), Convolution(joined, joined)])
        self.frames = self.stack.frames
        # With one spectrogram frame alone, there is no variance to normalise by.
        two = stack_of([kaldi_frames(self.sample_rate), Convolution(2)])
        self.shortest = max(self.stack.size, two.size)
        self.step_samples = int(self.frames.hop)
        self.step = self.reach = 1
        self.context = round(CONTEXT_S * self.sample_rate / self.frames.hop)
        self.window_frames = self.stack.count(round(window_s * self.sample_rate))

    def n_frames(self, n_samples: int) -> int:
        """All whole steps."""
        return self.n_steps(n_samples)

    def n_steps(self, n_samples: int) -> int:
        """As many as the extractor makes."""
        return self.stack.count(max(n_samples, self.shortest))

    def prepare(self, audio: torch.Tensor) -> torch.Tensor:
        """The extractor's features of whole clips, (n_clips, steps, numbers)."""
        missing = max(0, self.shortest - audio.shape[1])
        padded = torch.nn.functional.pad(audio, (0, missing))
        return self.encoder.input_features(padded, pad_to_multiple_of=None)

    def encode(self, audio: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Steps (n, steps, numbers) to frames."""
        return self.encoder.hidden(input_features=audio), None


# ---- Codecs


class Codec(Overlapping):
    """Samples in, one latent for each block of a hop's samples out.

    A frame is timed at the middle of the block that it stands for, which is the one that the
    decoder makes of it. A causal codec has to put a block into this frame: an earlier one
    hasn't seen it, and a later one comes too late for the decoder.

    Args:
        encoder: The network is the codec.
        latent: From the network and audio (n, channels, samples) to (n, width, frames).
        hop: Samples in a block.
        window_s: Audio at once, at most; codecs with chunks of their own take one of those.
    """

    block_s = CODEC_BLOCK_S

    def __init__(
        self,
        encoder: Encoder,
        latent: Callable[[Any, torch.Tensor], torch.Tensor],
        hop: int,
        window_s: float,
    ) -> None:
        super().__init__(encoder)
        config = encoder.net.config
        self.latent = latent
        self.channels = int(getattr(config, "audio_channels", 1))
        self.normalise = bool(getattr(config, "normalize", False))
        self.stack = stack_of([Convolution(hop, hop)])
        self.frames = self.stack.frames
        self.step = self.reach = hop
        window_s = min(window_s, getattr(config, "chunk_length_s", None) or window_s)
        self.window_frames = self.stack.count(round(window_s * self.sample_rate))
        # Short chunks leave room for less.
        self.context = min(
            round(CONTEXT_S * self.sample_rate / self.frames.hop), self.window_frames // 8
        )

    def n_frames(self, n_samples: int) -> int:
        """Blocks whose middle lies within the clip."""
        return max(1, self.frames.count_before(n_samples))

    def n_steps(self, n_samples: int) -> int:
        """Samples, with zeros that fill the last block, as of the codecs' extractors."""
        return -(-n_samples // self.step) * self.step

    def prepare(self, audio: torch.Tensor) -> torch.Tensor:
        """Whole blocks."""
        missing = self.n_steps(audio.shape[1]) - audio.shape[1]
        return torch.nn.functional.pad(audio, (0, missing))

    def encode(self, audio: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Whole blocks (n, samples) to their latents.

        Raises:
            UnusableError: The encoder gives another number of frames.
        """
        if self.normalise:
            audio = audio / (audio.square().mean(1, keepdim=True).sqrt() + SMALLEST_SCALE)
        found = self.latent(self.encoder.net, audio[:, None].expand(-1, self.channels, -1))
        if found.shape[2] != self.stack.count(audio.shape[1]):
            raise UnusableError(
                f"{type(self.encoder.net).__name__} gives {found.shape[2]} frames for "
                f"{audio.shape[1]} samples, which aren't blocks of {self.step}. Wrap it in a "
                "module of your own."
            )
        return found.transpose(1, 2), None


def latent_of_convolutions(net: Any, audio: torch.Tensor) -> torch.Tensor:
    """Of codecs whose encoder ends in what is quantised: EnCodec, DAC."""
    found: torch.Tensor = net.encoder(audio)
    return found


def latent_of_mimi(net: Any, audio: torch.Tensor) -> torch.Tensor:
    """Of Mimi, whose transformer and downsampling were no part of its encoder at first."""
    found: Any = net.encoder(audio)
    if isinstance(found, torch.Tensor):
        states = net.encoder_transformer(found.transpose(1, 2)).last_hidden_state
        latent: torch.Tensor = net.downsample(states.transpose(1, 2))
    else:
        latent = found.latents
    return latent
