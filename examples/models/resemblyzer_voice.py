"""Resemblyzer's voice encoder as a HEAR model: PyTorch weights from another package's wheel.

Needs: pip install --no-deps resemblyzer==0.1.4 (Apache-2.0; the package is never imported, and
neither are its dependencies). Then: hearbench run examples/models/resemblyzer_voice.py ...

16 kHz; 40 mel bands every 10 ms; each window of 1.6 s goes through three LSTM layers and gives
256 numbers of length 1. Timestamps: windows centred every 100 ms. Scene: the mean of windows
every 800 ms. Layers 0 to 2 are those of the LSTM, each the mean of its states over a window;
layer 3 is the embedding of the window, which is what the model gives unless the option `layer` says
otherwise. Source: Wan et al., "Generalized End-to-End Loss for Speaker Verification", ICASSP 2018.
"""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import torch

from hearbench.models.naive import mel_filterbank

SAMPLE_RATE = 16000
SIZE = 256
DEPTH = 3
N_MELS, FFT_SIZE, FFT_HOP = 40, 400, 160
WINDOW_FRAMES = 160
QUIETEST_RMS = 10 ** (-30 / 20)  # quieter clips are raised to -30 dB, as in training
BLOCK = 256  # windows at a time, which bounds the memory


class VoiceEncoder(torch.nn.Module):
    """Three LSTM layers, and the embedding that is made of the last one's last state."""

    sample_rate = SAMPLE_RATE
    scene_embedding_size = SIZE
    timestamp_embedding_size = SIZE
    layers = DEPTH + 1

    filters: torch.Tensor
    window: torch.Tensor

    def __init__(self, layer: int) -> None:
        super().__init__()
        self.layer = layer
        # One by one, as PyTorch's own stack of several gives the states of the last alone.
        self.lstm = torch.nn.ModuleList(
            torch.nn.LSTM(size, SIZE, batch_first=True) for size in (N_MELS, SIZE, SIZE)
        )
        self.linear = torch.nn.Linear(SIZE, SIZE)
        filters = torch.from_numpy(mel_filterbank(SAMPLE_RATE, FFT_SIZE, N_MELS))
        # Buffers follow the model to a GPU; persistent ones would be missing in the file.
        self.register_buffer("filters", filters, persistent=False)
        self.register_buffer("window", torch.hann_window(FFT_SIZE), persistent=False)

    def mel(self, audio: torch.Tensor) -> torch.Tensor:
        """Audio (clips, samples) to mel power (clips, frames, 40), frame i centred on 10 i ms."""
        rms = audio.square().mean(1, keepdim=True).sqrt()
        louder = audio * (QUIETEST_RMS / rms.clamp_min(1e-6)).clamp_min(1.0)
        spectrum = torch.stft(
            louder, FFT_SIZE, FFT_HOP, window=self.window, pad_mode="constant", return_complex=True
        )
        return (self.filters @ spectrum.abs().square()).transpose(1, 2)

    def forward(self, mel: torch.Tensor) -> torch.Tensor:
        """Windows (n, 160, 40) to layers (n, 4, 256)."""
        states, means = mel, []
        for lstm in self.lstm:
            states, _ = lstm(states)
            means.append(states.mean(1))
        embeddings = torch.relu(self.linear(states[:, -1]))
        return torch.stack([*means, torch.nn.functional.normalize(embeddings, dim=1)], 1)


def load_model(model_file_path: str = "", layer: int = DEPTH) -> VoiceEncoder:
    """The encoder with the weights of the installed resemblyzer, or of another such file."""
    path = Path(model_file_path) if model_file_path else _weights_in_the_wheel()
    weights = torch.load(path, map_location="cpu", weights_only=True)["model_state"]
    model = VoiceEncoder(range(DEPTH + 1)[layer])
    # Two numbers of the training's loss are in the file as well.
    kept = {k: v for k, v in weights.items() if not k.startswith("similarity")}
    model.load_state_dict({_of_one_layer(name): value for name, value in kept.items()})
    return model.eval()


def _of_one_layer(name: str) -> str:
    """``lstm.bias_hh_l2``, of a stack, as ``lstm.2.bias_hh_l0``, of the third layer by itself."""
    return re.sub(r"^lstm\.(\w+)_l(\d)$", r"lstm.\2.\1_l0", name)


def _weights_in_the_wheel() -> Path:
    spec = importlib.util.find_spec("resemblyzer")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("Run: pip install --no-deps resemblyzer==0.1.4")
    return Path(spec.submodule_search_locations[0]) / "pretrained.pt"


def get_timestamp_layers(
    audio: torch.Tensor, model: VoiceEncoder
) -> tuple[torch.Tensor, torch.Tensor]:
    """All layers of windows centred on 0, 100, 200 ... ms, zeros beyond the clip's ends."""
    layers = _embed(audio, model, hop_frames=10)
    ms = torch.arange(layers.shape[2], dtype=torch.float32, device=audio.device) * 100
    return layers, ms.expand(len(audio), -1)


def get_scene_layers(audio: torch.Tensor, model: VoiceEncoder) -> torch.Tensor:
    """All layers, each the mean over windows that are centred every 800 ms."""
    return _embed(audio, model, hop_frames=80).mean(2)


def get_timestamp_embeddings(
    audio: torch.Tensor, model: VoiceEncoder
) -> tuple[torch.Tensor, torch.Tensor]:
    """One layer of windows centred on 0, 100, 200 ... ms."""
    layers, ms = get_timestamp_layers(audio, model)
    return layers[:, model.layer], ms


def get_scene_embeddings(audio: torch.Tensor, model: VoiceEncoder) -> torch.Tensor:
    """One layer, the mean over windows that are centred every 800 ms."""
    return get_scene_layers(audio, model)[:, model.layer]


def _embed(audio: torch.Tensor, model: VoiceEncoder, hop_frames: int) -> torch.Tensor:
    """Layers (clips, 4, windows, 256) of all windows."""
    half = WINDOW_FRAMES // 2
    mel = torch.nn.functional.pad(model.mel(audio), (0, 0, half, half - 1))
    windows = mel.unfold(1, WINDOW_FRAMES, hop_frames).transpose(2, 3)
    n_clips, n_windows = windows.shape[:2]
    found = []
    for first in range(0, n_clips * n_windows, BLOCK):
        row = torch.arange(first, min(first + BLOCK, n_clips * n_windows), device=audio.device)
        clip = torch.div(row, n_windows, rounding_mode="floor")
        found.append(model(windows[clip, row % n_windows]))
    return torch.cat(found).view(n_clips, n_windows, model.layers, SIZE).transpose(1, 2)
