"""The VGGish baseline: a VGG network trained to tag the sound of videos.

16 kHz; magnitude spectra under a periodic Hann window of 25 ms (400 samples, transform of 512)
every 10 ms, 64 mel bands from 125 to 7500 Hz (HTK), ``log(x + 0.01)``; 96 such spectra are an
example of 15600 samples (0.96 s, and what the last window reaches beyond), from which the network
makes 128 numbers, none below 0.

Timestamps: every ``hop_ms`` (default 50 ms), the example centred there; audio is padded with
zeros. Scene: the mean over examples every 960 ms from the clip's beginning, edge to edge as in the
published preprocessing. What is left at the end counts as an example if at least half of one is
there (the published preprocessing drops it); a clip shorter than an example is padded to one.

The weights aren't part of hearbench. ``load_model`` takes a PyTorch state dict with the names of
the port torchvggish: ``features.N`` (convolutions 0, 3, 6, 8, 11, 13) and ``embeddings.N``
(0, 2, 4); ``pproc.*``, the whitening and 8-bit quantisation of the AudioSet release, isn't
applied.

Sources: Hershey et al., "CNN architectures for large-scale audio classification", ICASSP 2017;
the weights by Google (Apache 2.0), ported at https://github.com/harritaylor/torchvggish.
"""

from __future__ import annotations

from pathlib import Path

import torch

from hearbench.errors import ModelError
from hearbench.models.framing import embed_every, embed_frames
from hearbench.models.spectra import (
    assign_weights,
    check_hop,
    htk_filterbank,
    read_state_dict,
    stft_magnitudes,
)

__all__ = [
    "VggishModel",
    "get_scene_embeddings",
    "get_timestamp_embeddings",
    "load_model",
]

SAMPLE_RATE = 16000
WINDOW_SIZE, N_FFT, WINDOW_HOP = 400, 512, 160
N_MELS, LOW_HZ, HIGH_HZ = 64, 125.0, 7500.0
LOG_OFFSET = 0.01
EXAMPLE_FRAMES = 96
EXAMPLE_SIZE = (EXAMPLE_FRAMES - 1) * WINDOW_HOP + WINDOW_SIZE
EXAMPLE_HOP = EXAMPLE_FRAMES * WINDOW_HOP
EMBEDDING_SIZE = 128
# An example takes about 3 MB on its way through the first layers.
BLOCK_EXAMPLES = 32

# Channels of the 3 x 3 convolutions; 0 is a maximum over 2 x 2.
LAYERS = (64, 0, 128, 0, 256, 256, 0, 512, 512, 0)
HIDDEN_SIZE = 4096
WEIGHTS_URL = (
    "https://github.com/harritaylor/torchvggish/releases/download/v0.1/vggish-10086976.pth"
)


class VggishModel(torch.nn.Module):
    """Log-mel examples and the VGG network."""

    sample_rate = SAMPLE_RATE
    scene_embedding_size = EMBEDDING_SIZE
    timestamp_embedding_size = EMBEDDING_SIZE

    window: torch.Tensor
    filters: torch.Tensor

    def __init__(self, hop_ms: float = 50.0) -> None:
        super().__init__()
        self.hop_ms = hop_ms
        # The weights come from a file: nothing is drawn for 72 million parameters.
        with torch.device("meta"):
            self.features = _features()
            self.embeddings = torch.nn.Sequential(
                torch.nn.Linear(LAYERS[-2] * (EXAMPLE_FRAMES // 16) * (N_MELS // 16), HIDDEN_SIZE),
                torch.nn.ReLU(),
                torch.nn.Linear(HIDDEN_SIZE, HIDDEN_SIZE),
                torch.nn.ReLU(),
                torch.nn.Linear(HIDDEN_SIZE, EMBEDDING_SIZE),
                torch.nn.ReLU(),
            )
        filters = htk_filterbank(SAMPLE_RATE, N_FFT, N_MELS, LOW_HZ, HIGH_HZ)
        self.register_buffer("window", torch.hann_window(WINDOW_SIZE), persistent=False)
        self.register_buffer("filters", filters, persistent=False)

    def log_mel(self, audio: torch.Tensor) -> torch.Tensor:
        """Audio (n, 15600) to log-mel examples (n, 96, 64)."""
        magnitudes = stft_magnitudes(audio, self.window, N_FFT, WINDOW_HOP)
        return torch.log(magnitudes @ self.filters + LOG_OFFSET)

    def forward(self, audio: torch.Tensor) -> torch.Tensor:
        """Audio (n, 15600) to embeddings (n, 128)."""
        x = self.features(self.log_mel(audio)[:, None])
        # The dense layers were trained on time, band, channel, in this order.
        embeddings: torch.Tensor = self.embeddings(x.permute(0, 2, 3, 1).flatten(1))
        return embeddings


def _features() -> torch.nn.Sequential:
    layers: list[torch.nn.Module] = []
    before = 1
    for channels in LAYERS:
        if channels:
            layers += [torch.nn.Conv2d(before, channels, 3, padding=1), torch.nn.ReLU()]
            before = channels
        else:
            layers.append(torch.nn.MaxPool2d(2))
    return torch.nn.Sequential(*layers)


def load_model(model_file_path: str = "", hop_ms: float = 50.0) -> VggishModel:
    """The baseline with the weights of a file, in evaluation mode.

    Args:
        model_file_path: A PyTorch state dict with torchvggish's names.
        hop_ms: Time between timestamps.

    Raises:
        ModelError: No file is given, or it is unreadable or of another layout, or the hop is
            shorter than a sample.
    """
    check_hop("hearbench.models.vggish", "hop_ms", hop_ms, SAMPLE_RATE)
    if not model_file_path:
        raise ModelError(
            f"hearbench.models.vggish needs its weights. Download {WEIGHTS_URL} (288 MB) and hand "
            "it over with --weights vggish-10086976.pth"
        )
    path = Path(model_file_path)
    weights = {
        key: value for key, value in read_state_dict(path).items() if not key.startswith("pproc.")
    }
    model = VggishModel(hop_ms)
    assign_weights(model, weights, path, "VGGish's weights")
    return model


def get_timestamp_embeddings(
    audio: torch.Tensor, model: VggishModel
) -> tuple[torch.Tensor, torch.Tensor]:
    """Embeddings every ``hop_ms``, each of the 0.975 s around it.

    Args:
        audio: (n_clips, n_samples) in [-1, 1] at 16 kHz.
        model: Of ``load_model``.

    Returns:
        Embeddings (n_clips, n_frames, 128) and frame centres in ms (n_clips, n_frames).
    """
    return embed_every(
        model.hop_ms,
        audio,
        sample_rate=SAMPLE_RATE,
        frame_size=EXAMPLE_SIZE,
        block_frames=BLOCK_EXAMPLES,
        network=model,
    )


def get_scene_embeddings(audio: torch.Tensor, model: VggishModel) -> torch.Tensor:
    """One embedding per clip: the mean over examples every 960 ms.

    Args:
        audio: (n_clips, n_samples) in [-1, 1] at 16 kHz.
        model: Of ``load_model``.

    Returns:
        (n_clips, 128).
    """
    half = EXAMPLE_SIZE // 2
    count = max(0, audio.shape[1] - half) // EXAMPLE_HOP + 1
    if audio.shape[1] < half:
        audio = torch.nn.functional.pad(audio, (0, half - audio.shape[1]))
    centres = torch.arange(count) * EXAMPLE_HOP + half
    return embed_frames(
        audio, centres, frame_size=EXAMPLE_SIZE, block_frames=BLOCK_EXAMPLES, network=model
    ).mean(1)
