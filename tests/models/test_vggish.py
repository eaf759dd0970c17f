from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from helpers_models import noise
from torch.nn import functional

from hearbench.errors import ModelError
from hearbench.models import vggish
from hearbench.models.loading import load_model

# As torchvggish names them; written out, so that a renamed layer is noticed.
SHAPES: dict[str, tuple[int, ...]] = {
    "features.0": (64, 1, 3, 3),
    "features.3": (128, 64, 3, 3),
    "features.6": (256, 128, 3, 3),
    "features.8": (256, 256, 3, 3),
    "features.11": (512, 256, 3, 3),
    "features.13": (512, 512, 3, 3),
    "embeddings.0": (4096, 12288),
    "embeddings.2": (4096, 4096),
    "embeddings.4": (128, 4096),
}


def random_weights() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    weights = {}
    for name, shape in SHAPES.items():
        spread = math.sqrt(2 / math.prod(shape[1:]))
        weights[f"{name}.weight"] = torch.randn(shape, generator=generator) * spread
        weights[f"{name}.bias"] = torch.randn(shape[0], generator=generator) * 0.1
    return weights


@pytest.fixture(scope="module")
def weights() -> dict[str, torch.Tensor]:
    return random_weights()


@pytest.fixture(scope="module")
def weight_file(
    weights: dict[str, torch.Tensor], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("vggish") / "vggish.pth"
    pproc = {"pproc.pca_matrix": torch.eye(128), "pproc.pca_means": torch.zeros(128, 1)}
    torch.save(weights | pproc, path)
    yield path
    path.unlink()  # 288 MB, which pytest would keep for three runs


@pytest.fixture(scope="module")
def model(weight_file: Path) -> vggish.VggishModel:
    return vggish.load_model(str(weight_file))


def slow_log_mel(audio: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """(15600,) to (96, 64), by the sums of the definition."""

    def mel(hz: float) -> float:
        return 2595 * math.log10(1 + hz / 700)

    window = np.array([0.5 - 0.5 * math.cos(2 * math.pi * i / 400) for i in range(400)])
    turns = np.exp(-2j * np.pi * np.outer(np.arange(257), np.arange(400)) / 512)
    edges = [mel(125) + i * (mel(7500) - mel(125)) / 65 for i in range(66)]
    filters = np.zeros((257, 64))
    for k in range(1, 257):
        at = mel(k * 16000 / 512)
        for band in range(64):
            low, centre, high = edges[band : band + 3]
            if low < at <= centre:
                filters[k, band] = (at - low) / (centre - low)
            elif centre < at < high:
                filters[k, band] = (high - at) / (high - centre)
    rows = [np.abs(turns @ (audio[i * 160 : i * 160 + 400] * window)) for i in range(96)]
    return np.log(np.array(rows) @ filters + 0.01)


def test_log_mel_examples_are_those_of_the_definition(model: vggish.VggishModel) -> None:
    audio = noise(1, 0.975, 16000)
    audio += 0.3 * np.sin(2 * np.pi * 1000 * np.arange(15600) / 16000).astype(np.float32)
    found = model.log_mel(torch.from_numpy(audio))
    assert found.shape == (1, 96, 64)
    assert np.abs(found[0].numpy() - slow_log_mel(audio[0].astype(np.float64))).max() < 1e-4


def test_the_network_is_that_of_the_paper(
    model: vggish.VggishModel, weights: dict[str, torch.Tensor]
) -> None:
    assert sum(parameter.numel() for parameter in model.parameters()) == 72_141_184
    audio = torch.from_numpy(noise(2, 0.975, 16000))
    x = torch.from_numpy(np.stack([slow_log_mel(row.double().numpy()) for row in audio]))[:, None]
    w = {key: value.double() for key, value in weights.items()}
    for name in SHAPES:
        if name == "embeddings.0":
            # Time, band, channel, as the dense layers of the TensorFlow original take them.
            x = torch.stack([x[:, :, t, f] for t in range(6) for f in range(4)], 1).flatten(1)
        if name.startswith("features"):
            x = functional.conv2d(x, w[f"{name}.weight"], w[f"{name}.bias"], padding=1).relu()
            if name not in ("features.6", "features.11"):
                x = functional.max_pool2d(x, 2, 2)
        else:
            x = (x @ w[f"{name}.weight"].T + w[f"{name}.bias"]).relu()
    found = model(audio)
    assert found.shape == (2, 128)
    assert (found > 0).any()
    assert torch.allclose(found.double(), x, rtol=1e-3, atol=1e-3)


def test_timestamps_shapes_and_batches(weight_file: Path) -> None:
    model = vggish.load_model(str(weight_file), hop_ms=100.0)
    assert not model.training
    audio = torch.from_numpy(noise(2, 0.75, 16000))
    embeddings, ms = vggish.get_timestamp_embeddings(audio, model)
    assert embeddings.shape == (2, 8, 128)
    assert ms.tolist() == [[100.0 * i for i in range(8)]] * 2
    again, _ = vggish.get_timestamp_embeddings(audio, model)
    assert torch.equal(embeddings, again)
    alone, _ = vggish.get_timestamp_embeddings(audio[1:], model)
    assert torch.allclose(embeddings[1:], alone, rtol=1e-4, atol=1e-5)
    # The example at 500 ms, cut by hand: 7800 samples to either side, zeros beyond the clip.
    middle = functional.pad(audio, (7800, 7800))[:, 8000 : 8000 + 15600]
    assert torch.allclose(embeddings[:, 5], model(middle), rtol=1e-4, atol=1e-5)


def test_default_hop_is_50_ms(model: vggish.VggishModel) -> None:
    embeddings, ms = vggish.get_timestamp_embeddings(torch.zeros(1, 1600), model)
    assert ms.tolist() == [[0.0, 50.0, 100.0]]
    assert embeddings.shape == (1, 3, 128)


def test_an_impulse_moves_the_examples_that_reach_it(weight_file: Path) -> None:
    model = vggish.load_model(str(weight_file), hop_ms=75.0)
    audio = torch.zeros(1, 32000)
    audio[0, 16160] = 1.0  # 1010 ms; examples reach 487.5 ms to either side
    with_impulse, ms = vggish.get_timestamp_embeddings(audio, model)
    silent, _ = vggish.get_timestamp_embeddings(torch.zeros(1, 32000), model)
    differs = (with_impulse - silent).abs().amax(2)[0] > 1e-4
    assert ms[0][differs].tolist() == [75.0 * i for i in range(7, 20)]  # 525 to 1425


@pytest.mark.parametrize(
    ("n_samples", "starts"),
    [
        (800, [0]),  # 50 ms
        (15600, [0]),
        (23159, [0]),
        (23160, [0, 15360]),  # half of the second example is there
        (30960, [0, 15360]),
        (38520, [0, 15360, 30720]),
    ],
)
def test_a_scene_is_the_mean_of_examples_edge_to_edge(
    model: vggish.VggishModel, n_samples: int, starts: list[int]
) -> None:
    audio = torch.from_numpy(noise(1, n_samples / 16000, 16000))
    padded = functional.pad(audio, (0, 40000))
    expected = model(torch.cat([padded[:, start : start + 15600] for start in starts])).mean(0)
    found = vggish.get_scene_embeddings(audio, model)
    assert found.shape == (1, 128)
    assert torch.allclose(found[0], expected, rtol=1e-4, atol=1e-5)


def test_it_is_a_hear_model(weight_file: Path) -> None:
    model = load_model("hearbench.models.vggish", weight_file, hop_ms="200")
    assert (model.sample_rate, model.scene_embedding_size) == (16000, 128)
    embeddings, ms = model.timestamps(noise(1, 0.4, 16000))
    assert embeddings.shape == (1, 3, 128)
    assert ms.tolist() == [[0.0, 200.0, 400.0]]


def test_without_weights_the_message_says_where_they_are() -> None:
    with pytest.raises(
        ModelError, match=r"releases/download/v0\.1/vggish-10086976\.pth.*--weights"
    ):
        vggish.load_model()


def test_weights_of_another_network(tmp_path: Path) -> None:
    path = tmp_path / "other.pth"
    torch.save({"features.0.weight": torch.zeros(3)}, path)
    with pytest.raises(ModelError, match=r"features\.0\.weight should be \(64, 1, 3, 3\) and is"):
        vggish.load_model(str(path))
    torch.save([1], path)
    with pytest.raises(ModelError, match="holds a list; a state dict is needed"):
        vggish.load_model(str(path))
    path.write_bytes(b"not weights")
    with pytest.raises(ModelError, match=r"other\.pth isn't a weight file"):
        vggish.load_model(str(path))


def test_a_tensor_too_many(tmp_path: Path) -> None:
    path = tmp_path / "more.pth"
    weights = {f"{name}.weight": torch.zeros(1).expand(shape) for name, shape in SHAPES.items()}
    weights |= {f"{name}.bias": torch.zeros(shape[0]) for name, shape in SHAPES.items()}
    torch.save(weights | {"classifier.weight": torch.zeros(2)}, path)
    with pytest.raises(ModelError, match=r"it has no place for classifier\.weight"):
        vggish.load_model(str(path))


@pytest.mark.parametrize("hop_ms", [0.0, -1.0, math.nan, math.inf, 0.01])
def test_hops_without_frames(hop_ms: float) -> None:
    with pytest.raises(ModelError, match="hop_ms is"):
        vggish.load_model("weights.pth", hop_ms=hop_ms)
