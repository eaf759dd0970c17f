"""Towers of neural codecs: the continuous latent that their quantiser gets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from hearbench.errors import ModelError
from hearbench.models.hf_towers import CONTEXT_S, Encoder, Overlapping
from hearbench.models.receptive import Convolution, stack_of

__all__ = ["Codec", "latent_of_convolutions", "latent_of_mimi"]

# Their first layers keep many channels at the audio's own rate.
BLOCK_S = 15.0
# As of the codecs' own normalisation.
SMALLEST_SCALE = 1e-8


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

    block_s = BLOCK_S

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
            ModelError: The encoder gives another number of frames.
        """
        if self.normalise:
            audio = audio / (audio.square().mean(1, keepdim=True).sqrt() + SMALLEST_SCALE)
        found = self.latent(self.encoder.net, audio[:, None].expand(-1, self.channels, -1))
        if found.shape[2] != self.stack.count(audio.shape[1]):
            raise ModelError(
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
