from __future__ import annotations

import gzip
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers_models import noise
from torch.nn import functional

from hearbench.errors import ModelError
from hearbench.models import openl3
from hearbench.models.loading import load_model

CHANNELS = (1, 64, 64, 128, 128, 256, 256, 512, 512)
Weights = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def weights() -> Weights:
    generator = torch.Generator().manual_seed(2)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator)

    weights = {}
    for k in range(8):
        before, after = CHANNELS[k : k + 2]
        weights[f"convs.{k}.weight"] = draw(after, before, 3, 3) * math.sqrt(2 / before / 9)
        weights[f"convs.{k}.bias"] = draw(after) * 0.1
        weights[f"norms.{k}.weight"] = 1 + 0.1 * draw(before)
        weights[f"norms.{k}.bias"] = 0.1 * draw(before)
        weights[f"norms.{k}.running_mean"] = 0.1 * draw(before)
        weights[f"norms.{k}.running_var"] = 1 + 0.1 * draw(before).abs()
    # What the input has after its conversion to decibels.
    weights["norms.0.running_mean"] += -40.0
    weights["norms.0.running_var"] *= 300.0
    return weights


@pytest.fixture(scope="module")
def weight_file(weights: Weights, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("openl3") / "weights.pth"
    torch.save(weights, path)
    return path


def write_keras(path: Path, weights: Weights, below: str = "") -> None:
    """A file as Keras writes it: layers in their order, under names that sort otherwise."""
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w") as file:
        root = file.create_group(below) if below else file
        layers: dict[str, dict[str, Any]] = {
            "input_1": {},
            "melspectrogram_1": {"Variable": np.zeros((3, 2)), "real_kernels": np.zeros((2, 1))},
        }
        for k in range(8):
            layers[f"batch_normalization_{k + 8}"] = {
                "gamma": weights[f"norms.{k}.weight"],
                "beta": weights[f"norms.{k}.bias"],
                "moving_mean": weights[f"norms.{k}.running_mean"],
                "moving_variance": weights[f"norms.{k}.running_var"],
            }
            name = f"conv2d_{k + 8}" if k < 7 else "audio_embedding_layer"
            layers[name] = {
                "kernel": np.einsum("oihw->hwio", weights[f"convs.{k}.weight"].numpy()),
                "bias": weights[f"convs.{k}.bias"],
            }
            layers[f"activation_{k + 8}"] = {}
        root.attrs["layer_names"] = [name.encode() for name in layers]
        for name, arrays in layers.items():
            group = root.create_group(name)
            group.attrs["weight_names"] = [f"{name}/{part}:0".encode() for part in arrays]
            for part, array in arrays.items():
                group[f"{name}/{part}:0"] = np.asarray(array)


def reference(x: torch.Tensor, weights: Weights, pooling: tuple[int, int]) -> torch.Tensor:
    """The network on dB spectrograms (n, bands, frames), layer by layer in float64."""
    w = {key: value.double() for key, value in weights.items()}

    def norm(x: torch.Tensor, k: int) -> torch.Tensor:
        scale, offset, mean, variance = (
            w[f"norms.{k}.{part}"][:, None, None]
            for part in ("weight", "bias", "running_mean", "running_var")
        )
        return (x - mean) / (variance + 0.001).sqrt() * scale + offset

    x = norm(x.double()[:, None], 0)
    for k in range(8):
        x = functional.conv2d(x, w[f"convs.{k}.weight"], w[f"convs.{k}.bias"], padding=1)
        if k == 7:
            break
        x = norm(x, k + 1).relu()
        if k in (1, 3, 5):
            x = functional.max_pool2d(x, 2, 2)
    rows, columns = x.shape[2] // pooling[0], x.shape[3] // pooling[1]
    patches = [
        x[:, :, i * pooling[0] : (i + 1) * pooling[0], j * pooling[1] : (j + 1) * pooling[1]]
        for i in range(rows)
        for j in range(columns)
    ]
    return torch.cat([patch.amax((2, 3)) for patch in patches], 1)


def slow_spectrogram(audio: np.ndarray[Any, Any], n_fft: int, n_mels: int) -> torch.Tensor:
    librosa = pytest.importorskip("librosa")
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)
    starts = range(0, 48000 if n_mels else 48000 - n_fft + 1, 242)
    padded = np.concatenate([audio, np.zeros(n_fft)]).astype(np.float64)
    x = np.abs([np.fft.rfft(padded[start : start + n_fft] * window) for start in starts]).T
    if n_mels:
        x = librosa.filters.mel(sr=48000, n_fft=n_fft, n_mels=n_mels) @ x
    db = 10 * np.log10(np.maximum(x, 1e-10))
    return torch.from_numpy(np.maximum(db - db.max(), -80.0))


# librosa says so of 256 bands; the published filters are empty there as well.
@pytest.mark.filterwarnings("ignore:Empty filters detected")
@pytest.mark.parametrize(
    ("input_repr", "n_fft", "n_mels", "shape", "pooling"),
    [
        ("mel256", 2048, 256, (256, 199), {512: (32, 24), 6144: (8, 8)}),
        ("mel128", 2048, 128, (128, 199), {512: (16, 24), 6144: (4, 8)}),
        ("linear", 512, 0, (257, 197), {512: (32, 24), 6144: (8, 8)}),
    ],
)
def test_spectrogram_and_network(
    weights: Weights,
    weight_file: Path,
    input_repr: str,
    n_fft: int,
    n_mels: int,
    shape: tuple[int, int],
    pooling: dict[int, tuple[int, int]],
) -> None:
    audio = noise(1, 1.0, 48000)
    t = np.arange(48000) / 48000
    audio[0] += (np.sin(2 * np.pi * 440 * t) * (t > 0.3)).astype(np.float32)
    for size in (512, 6144):
        model = openl3.load_model(str(weight_file), input_repr=input_repr, embedding_size=size)
        spectrogram = model.spectrogram(torch.from_numpy(audio))
        assert spectrogram.shape == (1, *shape)
        definition = slow_spectrogram(audio[0], n_fft, n_mels)
        # At a bin that cancels out, decibels show the rounding of float32 alone.
        assert (10 ** (spectrogram[0] / 10) - 10 ** (definition / 10)).abs().max() < 1e-5
        assert (spectrogram[0] - definition).abs().mean() < 1e-3
        found = model(torch.from_numpy(audio))
        assert found.shape == (1, size)
        expected = reference(spectrogram, weights, pooling[size])
        assert torch.allclose(found.double(), expected, rtol=1e-3, atol=1e-3)


def test_number_of_parameters(weight_file: Path) -> None:
    model = openl3.load_model(str(weight_file))
    assert not model.training
    # The paper's 4.7 million, with the stored statistics that Keras counts too.
    statistics = sum(buffer.numel() for name, buffer in model.named_buffers() if "running" in name)
    assert sum(parameter.numel() for parameter in model.parameters()) == 4_687_042
    assert statistics == 2 * 1409


@pytest.mark.parametrize("below", ["", "model_weights"])
def test_official_files_hold_the_same_weights(weights: Weights, tmp_path: Path, below: str) -> None:
    path = tmp_path / "openl3_audio_mel256_music.h5"
    write_keras(path, weights, below)
    found = openl3.load_model(str(path)).state_dict()
    for key, value in weights.items():
        assert torch.equal(found[key], value), key


def test_timestamps_scenes_and_batches(weight_file: Path) -> None:
    model = openl3.load_model(
        str(weight_file), input_repr="mel128", hop_ms=62.5, scene_hop_ms=125.0
    )
    audio = torch.from_numpy(noise(2, 0.2, 48000))
    embeddings, ms = openl3.get_timestamp_embeddings(audio, model)
    assert embeddings.shape == (2, 4, 512)
    assert ms.tolist() == [[0.0, 62.5, 125.0, 187.5]] * 2
    scene = openl3.get_scene_embeddings(audio, model)
    assert torch.allclose(scene, embeddings[:, ::2].mean(1), rtol=1e-4, atol=1e-4)
    assert torch.equal(scene, openl3.get_scene_embeddings(audio, model))
    alone = openl3.get_scene_embeddings(audio[1:], model)
    assert torch.allclose(scene[1:], alone, rtol=1e-4, atol=1e-4)


def test_default_hops(weight_file: Path) -> None:
    model = openl3.load_model(str(weight_file), input_repr="mel128")
    _, ms = openl3.get_timestamp_embeddings(torch.zeros(1, 2400), model)
    assert ms.tolist() == [[0.0, 50.0]]
    assert (model.hop_ms, model.scene_hop_ms) == (50.0, 500.0)
    assert openl3.get_scene_embeddings(torch.zeros(1, 5), model).isfinite().all()


def test_an_impulse_moves_the_windows_that_reach_it(weight_file: Path) -> None:
    model = openl3.load_model(str(weight_file), input_repr="mel128", hop_ms=250.0)
    audio = torch.zeros(1, 72000)
    audio[0, 36480] = 1.0  # 760 ms; windows reach 500 ms to either side
    embeddings, ms = openl3.get_timestamp_embeddings(audio, model)
    silence = openl3.get_scene_embeddings(torch.zeros(1, 5), model)
    differs = (embeddings[0] - silence).abs().amax(1) > 1e-3
    assert ms[0].tolist() == [250.0 * i for i in range(7)]
    assert ms[0][differs].tolist() == [500.0, 750.0, 1000.0, 1250.0]


def test_it_is_a_hear_model(weight_file: Path) -> None:
    model = load_model(
        "hearbench.models.openl3", weight_file, input_repr="mel128", embedding_size="6144"
    )
    assert (model.sample_rate, model.scene_embedding_size) == (48000, 6144)
    assert model.scene(noise(1, 0.05, 48000)).shape == (1, 6144)


def test_without_weights_the_message_says_where_they_are() -> None:
    with pytest.raises(ModelError, match=r"openl3_audio_linear_music-v0_4_0\.h5\.gz.*--weights"):
        openl3.load_model(input_repr="linear")


def test_unknown_options_list_those_that_are() -> None:
    with pytest.raises(ModelError, match="'mel64': mel256 or mel128 or linear"):
        openl3.load_model(input_repr="mel64")
    with pytest.raises(ModelError, match="embedding_size 100: 512 or 6144"):
        openl3.load_model(embedding_size=100)
    with pytest.raises(ModelError, match="scene_hop_ms is 0"):
        openl3.load_model(scene_hop_ms=0)


def test_files_that_hold_no_weights(tmp_path: Path, weights: Weights) -> None:
    h5py = pytest.importorskip("h5py")
    path = tmp_path / "weights.h5"
    with pytest.raises(ModelError, match="can't be read"):
        openl3.load_model(str(path))
    path.write_bytes(gzip.compress(b"weights"))
    with pytest.raises(ModelError, match="Unpack it with gunzip"):
        openl3.load_model(str(path))
    path.write_bytes(b"not weights")
    with pytest.raises(ModelError, match="isn't a weight file that torch can read"):
        openl3.load_model(str(path))
    with h5py.File(path, "w") as file:
        file["x"] = [1.0]
    with pytest.raises(ModelError, match="isn't a weight file of Keras"):
        openl3.load_model(str(path))
    write_keras(path, weights | {"convs.3.bias": torch.zeros(7)})
    with pytest.raises(ModelError, match=r"convs\.3\.bias should be \(128,\) and is \(7,\)"):
        openl3.load_model(str(path))


def test_without_h5py_the_message_names_the_extra(
    tmp_path: Path, weights: Weights, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "weights.h5"
    write_keras(path, weights)
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ModelError, match=r"pip install 'hearbench\[openl3\]'"):
        openl3.load_model(str(path))
