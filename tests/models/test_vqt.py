from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from helpers_models import noise

from hearbench.errors import ModelError
from hearbench.models import vqt
from hearbench.models.loading import load_model

HZ = [32.70319566 * 2 ** (k / 24) for k in range(216)]


@pytest.fixture(scope="module")
def model() -> vqt.VqtModel:
    return vqt.load_model()


@pytest.mark.parametrize("k", [0, 100, 215])
def test_a_bin_is_the_sum_of_the_definition(model: vqt.VqtModel, k: int) -> None:
    audio = noise(1, 0.5, 44100)[0].astype(np.float64)
    alpha = (2 ** (1 / 12) - 1) / (2 ** (1 / 12) + 1)
    length = 44100 / (alpha * HZ[k] + 24.7 * alpha / 0.108)
    centre, total, weight = 11025, 0j, 0.0  # 250 ms
    for n in range(-math.floor(length / 2), math.floor(length / 2) + 1):
        window = math.cos(math.pi * n / length) ** 2
        turn = 2 * math.pi * HZ[k] * n / 44100
        total += audio[centre + n] * window * complex(math.cos(turn), -math.sin(turn))
        weight += window
    expected = math.log(abs(total) / weight * math.sqrt(length) + 1e-4)
    embeddings, ms = vqt.get_timestamp_embeddings(
        torch.from_numpy(audio.astype(np.float32))[None], model
    )
    assert ms[0, 5] == 250.0
    assert float(embeddings[0, 5, k]) == pytest.approx(expected, abs=1e-3)


def test_magnitudes_are_those_of_librosa(model: vqt.VqtModel) -> None:
    librosa = pytest.importorskip("librosa")
    audio = noise(1, 1.0, 44100)
    # 2205 samples are 50 ms, and odd, so that librosa doesn't resample either.
    expected = np.abs(
        librosa.vqt(
            audio[0],
            sr=44100,
            hop_length=2205,
            fmin=32.70319566,
            n_bins=216,
            bins_per_octave=24,
            gamma=None,
            tuning=0.0,
            sparsity=0.0,
        )
    )
    embeddings, _ = vqt.get_timestamp_embeddings(torch.from_numpy(audio), model)
    found = np.exp(embeddings[0].numpy().T) - 1e-4
    assert found.shape == expected.shape == (216, 21)
    # librosa's windows sit up to a sample off centre; measured, that is 1 % at the top.
    assert np.abs(found - expected).max() < 0.02 * expected.max()


@pytest.mark.parametrize("k", [24, 120, 200])
def test_a_tone_is_loudest_in_its_bin(model: vqt.VqtModel, k: int) -> None:
    t = np.arange(22050) / 44100
    tone = torch.from_numpy((0.5 * np.sin(2 * np.pi * HZ[k] * t)).astype(np.float32))[None]
    embeddings, ms = vqt.get_timestamp_embeddings(tone, model)
    assert int(embeddings[0, ms[0] == 250.0].argmax()) == k


def test_shapes_hops_batches_and_the_mean() -> None:
    model = vqt.load_model(hop_ms=25.0)  # 1102.5 samples
    audio = torch.from_numpy(noise(3, 1.0, 44100))
    embeddings, ms = vqt.get_timestamp_embeddings(audio, model)
    assert embeddings.shape == (3, 41, 216)
    assert ms[2].tolist() == [25.0 * i for i in range(41)]
    scene = vqt.get_scene_embeddings(audio, model)
    assert torch.allclose(scene, embeddings.mean(1))
    alone = vqt.get_scene_embeddings(audio[1:2], model)
    assert torch.allclose(scene[1:2], alone, rtol=1e-4, atol=1e-4)
    assert torch.equal(scene, vqt.get_scene_embeddings(audio, model))


def test_an_impulse_moves_the_nearest_embedding_most(model: vqt.VqtModel) -> None:
    audio = torch.zeros(1, 44100)
    audio[0, 22271] = 1.0  # 505 ms
    embeddings, ms = vqt.get_timestamp_embeddings(audio, model)
    rise = (embeddings[0] - math.log(1e-4)).sum(1)
    assert ms[0, int(rise.argmax())] == 500.0
    # The longest window reaches 66 ms to either side.
    assert ms[0][rise > 1e-3].tolist() == [450.0, 500.0, 550.0]


def test_short_and_silent_clips_give_numbers(model: vqt.VqtModel) -> None:
    assert vqt.get_scene_embeddings(torch.zeros(1, 5), model).isfinite().all()
    embeddings, ms = vqt.get_timestamp_embeddings(torch.zeros(1, 2205), model)
    assert ms.tolist() == [[0.0, 50.0]]
    assert embeddings.numpy() == pytest.approx(math.log(1e-4))


def test_it_is_a_hear_model() -> None:
    model = load_model("hearbench.models.vqt", hop_ms="20")
    assert (model.sample_rate, model.scene_embedding_size) == (44100, 216)
    assert model.scene(noise(2, 0.1, 44100)).shape == (2, 216)
    with pytest.raises(ModelError, match="hop_ms is 0"):
        vqt.load_model(hop_ms=0)
