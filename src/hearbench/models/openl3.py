"""The OpenL3 baseline: the audio half of a network that matches sounds and pictures.

48 kHz; windows of 1 s as spectrograms of ``input_repr``, through eight 3 x 3 convolutions, the
maximum over patches of which is the embedding:

========== =========================================== ==================== =====================
input_repr spectrogram (bands x frames)                maxima for 512       maxima for 6144
========== =========================================== ==================== =====================
mel256     2048-sample transforms, 256 bands (256 x 199)      32 x 24              8 x 8
mel128     2048-sample transforms, 128 bands (128 x 199)      16 x 24              4 x 8
linear     512-sample transforms (257 x 197)                  32 x 24              8 x 8
========== =========================================== ==================== =====================

Transforms under a periodic Hann window begin every 242 samples (those for mel bands reach into
zeros at the window's end); magnitudes, mel bands as librosa's default (Slaney's scale and area
normalisation, 0 to 24 kHz), ``10 log10(max(x, 1e-10))`` below the window's loudest value, no more
than 80 dB below it. An embedding therefore hardly knows how loud its window is.

Timestamps: every ``hop_ms`` (default 50 ms; OpenL3's own default is 100 ms), the window centred
there. Scene: the mean over windows every ``scene_hop_ms`` (default 500 ms), centred alike. Audio
is padded with zeros.

The weights aren't part of hearbench. ``load_model`` takes the official Keras files
``openl3_audio_<input_repr>_<music or env>.h5`` (unpacked), or a PyTorch state dict. In the order
of the Keras file the layers are a normalisation of the input, then convolution, normalisation
and ReLU seven times, with maxima over 2 x 2 after the second, fourth and sixth convolution, then
the convolution ``audio_embedding_layer``. Whatever the file calls them, the k-th normalisation
becomes ``norms.k`` (gamma, beta, moving_mean, moving_variance: weight, bias, running_mean,
running_var; epsilon 1e-3) and the k-th convolution ``convs.k`` (kernel height x width x in x out:
weight out x in x height x width), both from 0; layers without such weights, as the spectrogram
is, are passed over.

Sources: Cramer, Wu, Salamon and Bello, "Look, listen and learn more: design choices for deep
audio embeddings", ICASSP 2019; https://github.com/marl/openl3 (code MIT, weights CC BY 4.0).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from hearbench.errors import ModelError
from hearbench.models.framing import embed_every
from hearbench.models.naive import mel_filterbank
from hearbench.models.spectra import assign_weights, check_hop, read_state_dict, stft_magnitudes

__all__ = [
    "OpenL3Model",
    "get_scene_embeddings",
    "get_timestamp_embeddings",
    "load_model",
]

SAMPLE_RATE = 48000
WINDOW_SIZE = 48000
TRANSFORM_HOP = 242
N_FFT = {"mel256": 2048, "mel128": 2048, "linear": 512}
N_MELS = {"mel256": 256, "mel128": 128}
SMALLEST, DYNAMIC_RANGE_DB = 1e-10, 80.0
CHANNELS = (64, 64, 128, 128, 256, 256, 512, 512)
# Convolutions, counted from 0, after whose ReLU the maximum over 2 x 2 is taken.
POOLED = (1, 3, 5)
# Maxima over (bands, frames) that leave 1 x 1 or 4 x 3 patches.
POOLING = {
    "mel256": {512: (32, 24), 6144: (8, 8)},
    "mel128": {512: (16, 24), 6144: (4, 8)},
    "linear": {512: (32, 24), 6144: (8, 8)},
}
# Keras's default, with which the weights were trained.
NORM_EPS = 1e-3
# A window takes about 30 MB on its way through the first layers.
BLOCK_WINDOWS = 8

_MAGIC_HDF5 = b"\x89HDF\r\n\x1a\n"
_MAGIC_GZIP = b"\x1f\x8b"
_NORM_PARTS = {
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
_CONV_PARTS = {"kernel": "weight", "bias": "bias"}


class OpenL3Model(torch.nn.Module):
    """Spectrograms of windows and the convolutional network."""

    sample_rate = SAMPLE_RATE

    window: torch.Tensor
    filters: torch.Tensor | None

    def __init__(
        self,
        input_repr: str = "mel256",
        embedding_size: int = 512,
        hop_ms: float = 50.0,
        scene_hop_ms: float = 500.0,
    ) -> None:
        super().__init__()
        self.hop_ms, self.scene_hop_ms = hop_ms, scene_hop_ms
        self.scene_embedding_size = embedding_size
        self.timestamp_embedding_size = embedding_size
        self.pooling = POOLING[input_repr][embedding_size]
        sizes = (1, *CHANNELS)
        with torch.device("meta"):
            self.norms = torch.nn.ModuleList(
                torch.nn.BatchNorm2d(size, eps=NORM_EPS) for size in sizes[:-1]
            )
            self.convs = torch.nn.ModuleList(
                torch.nn.Conv2d(before, after, 3, padding=1)
                for before, after in zip(sizes, CHANNELS, strict=False)
            )
        n_fft = N_FFT[input_repr]
        filters = None
        if input_repr in N_MELS:
            filters = torch.from_numpy(mel_filterbank(SAMPLE_RATE, n_fft, N_MELS[input_repr]).T)
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)
        self.register_buffer("filters", filters, persistent=False)

    def spectrogram(self, audio: torch.Tensor) -> torch.Tensor:
        """Windows (n, 48000) to dB below their maximum (n, bands, frames)."""
        n_fft = len(self.window)
        if self.filters is not None:
            last = (WINDOW_SIZE - 1) // TRANSFORM_HOP * TRANSFORM_HOP
            audio = functional.pad(audio, (0, last + n_fft - WINDOW_SIZE))
        bands = stft_magnitudes(audio, self.window, n_fft, TRANSFORM_HOP)
        if self.filters is not None:
            bands = bands @ self.filters
        db = 10.0 * torch.log10(bands.clamp_min(SMALLEST))
        below = db - db.amax((1, 2), keepdim=True)
        return below.clamp_min(-DYNAMIC_RANGE_DB).transpose(1, 2)

    def forward(self, audio: torch.Tensor) -> torch.Tensor:
        """Windows (n, 48000) to embeddings (n, 512) or (n, 6144)."""
        x = self.norms[0](self.spectrogram(audio)[:, None])
        for i, conv in enumerate(self.convs[:-1]):
            x = torch.relu_(self.norms[i + 1](conv(x)))
            if i in POOLED:
                x = functional.max_pool2d(x, 2)
        x = functional.max_pool2d(self.convs[-1](x), self.pooling)
        # Keras flattens band, frame, channel, in this order.
        return x.permute(0, 2, 3, 1).flatten(1)


def load_model(
    model_file_path: str = "",
    input_repr: str = "mel256",
    embedding_size: int = 512,
    hop_ms: float = 50.0,
    scene_hop_ms: float = 500.0,
) -> OpenL3Model:
    """The baseline with the weights of a file, in evaluation mode.

    Args:
        model_file_path: An official ``.h5`` file (needs ``hearbench[openl3]``), or a PyTorch
            state dict.
        input_repr: ``"mel256"``, ``"mel128"`` or ``"linear"``; the one the weights are for.
        embedding_size: 512 or 6144.
        hop_ms: Time between timestamps.
        scene_hop_ms: Time between the windows whose mean is the scene embedding.

    Raises:
        ModelError: An option that isn't one of those; no file, an unreadable one or one of
            another layout; h5py isn't installed.
    """
    if input_repr not in POOLING:
        raise ModelError(
            f"hearbench.models.openl3 has no input_repr {input_repr!r}: {' or '.join(POOLING)}."
        )
    if embedding_size not in POOLING[input_repr]:
        raise ModelError(
            f"hearbench.models.openl3 has no embedding_size {embedding_size}: 512 or 6144."
        )
    check_hop("hearbench.models.openl3", "hop_ms", hop_ms, SAMPLE_RATE)
    check_hop("hearbench.models.openl3", "scene_hop_ms", scene_hop_ms, SAMPLE_RATE)
    if not model_file_path:
        name = f"openl3_audio_{input_repr}_music"
        raise ModelError(
            f"hearbench.models.openl3 needs its weights. Download "
            f"https://github.com/marl/openl3/raw/models/{name}-v0_4_0.h5.gz (or ..._env-..., "
            f"trained on environmental sounds), unpack it with gunzip and hand it over with "
            f"--weights {name}-v0_4_0.h5"
        )
    path = Path(model_file_path)
    model = OpenL3Model(input_repr, embedding_size, hop_ms, scene_hop_ms)
    assign_weights(model, _read(path), path, "OpenL3's audio weights")
    return model


def _read(path: Path) -> dict[str, torch.Tensor]:
    try:
        with path.open("rb") as file:
            start = file.read(len(_MAGIC_HDF5))
    except OSError as error:
        raise ModelError(f"{path} can't be read: {error}") from error
    if start.startswith(_MAGIC_GZIP):
        raise ModelError(f"{path} is compressed. Unpack it with gunzip first.")
    return _read_keras(path) if start == _MAGIC_HDF5 else read_state_dict(path)


def _read_keras(path: Path) -> dict[str, torch.Tensor]:
    try:
        import h5py
    except ImportError as error:
        raise ModelError(
            f"Reading {path} needs h5py. Run: pip install 'hearbench[openl3]'"
        ) from error
    weights: dict[str, torch.Tensor] = {}
    counts = {"norms": 0, "convs": 0}
    try:
        with h5py.File(path, "r") as file:
            # A file of the whole model keeps its weights one level down.
            root = file.get("model_weights", file)
            for layer in root.attrs["layer_names"]:
                parts = _layer_parts(root[_text(layer)])
                for kind, names in (("norms", _NORM_PARTS), ("convs", _CONV_PARTS)):
                    if parts.keys() != names.keys():
                        continue
                    for part, array in parts.items():
                        if part == "kernel":
                            array = array.transpose(3, 2, 0, 1)
                        tensor = torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))
                        weights[f"{kind}.{counts[kind]}.{names[part]}"] = tensor
                    counts[kind] += 1
    except (OSError, KeyError, ValueError) as error:
        raise ModelError(f"{path} isn't a weight file of Keras: {error}") from error
    return weights


def _layer_parts(group: Any) -> dict[str, Any]:
    """A layer's arrays by their own names, such as ``kernel`` of ``conv2d_1/kernel:0``."""
    names = [_text(name) for name in group.attrs["weight_names"]]
    return {name.rsplit("/", 1)[-1].split(":")[0]: group[name][()] for name in names}


def _text(name: Any) -> str:
    return name.decode("utf-8") if isinstance(name, bytes) else str(name)


def get_timestamp_embeddings(
    audio: torch.Tensor, model: OpenL3Model
) -> tuple[torch.Tensor, torch.Tensor]:
    """Embeddings every ``hop_ms``, each of the second around it.

    Args:
        audio: (n_clips, n_samples) in [-1, 1] at 48 kHz.
        model: Of ``load_model``.

    Returns:
        Embeddings (n_clips, n_frames, size) and frame centres in ms (n_clips, n_frames).
    """
    return _embed(audio, model, model.hop_ms)


def get_scene_embeddings(audio: torch.Tensor, model: OpenL3Model) -> torch.Tensor:
    """One embedding per clip: the mean over windows every ``scene_hop_ms``.

    Args:
        audio: (n_clips, n_samples) in [-1, 1] at 48 kHz.
        model: Of ``load_model``.

    Returns:
        (n_clips, size).
    """
    return _embed(audio, model, model.scene_hop_ms)[0].mean(1)


def _embed(
    audio: torch.Tensor, model: OpenL3Model, hop_ms: float
) -> tuple[torch.Tensor, torch.Tensor]:
    return embed_every(
        hop_ms,
        audio,
        sample_rate=SAMPLE_RATE,
        frame_size=WINDOW_SIZE,
        block_frames=BLOCK_WINDOWS,
        network=model,
    )
