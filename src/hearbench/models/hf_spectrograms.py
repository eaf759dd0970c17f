"""Towers of the encoders of spectrograms: Whisper, AST, CLAP and wav2vec2-BERT."""

from __future__ import annotations

from fractions import Fraction

import torch

from hearbench.models.hf_towers import CONTEXT_S, Consecutive, Encoder, Overlapping
from hearbench.models.receptive import Convolution, Frames, stack_of

__all__ = ["Clap", "SpectrogramTransformer", "StackedFilterbanks", "Whisper"]

# Kaldi's frames of 25 ms every 10 ms; the first one starts with the audio.
KALDI_FRAME_MS, KALDI_HOP_MS = 25, 10


def _kaldi(sample_rate: int) -> Convolution:
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
        spectra = _kaldi(self.sample_rate)
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
        self.stack = stack_of([_kaldi(self.sample_rate), Convolution(joined, joined)])
        self.frames = self.stack.frames
        # With one spectrogram frame alone, there is no variance to normalise by.
        two = stack_of([_kaldi(self.sample_rate), Convolution(2)])
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
