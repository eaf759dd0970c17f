from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch
from helpers_models import noise

from hearbench.models import naive

# librosa 0.11.0: librosa.filters.mel(sr=44100, n_fft=4096, n_mels=256), cells (band, bin).
LIBROSA = {
    (0, 1): 0.0444563552737236,
    (10, 16): 0.05979502946138382,
    (61, 90): 0.047185782343149185,
    (100, 168): 0.02816181816160679,
    (180, 605): 0.00937189906835556,
    (255, 2015): 0.002836148953065276,
    (255, 2040): 0.0007045113015919924,
    (100, 169): 0.01541230734437704,
}
LIBROSA_SUM = 23.771734931897868


def test_the_filters_are_librosas() -> None:
    filters = naive.mel_filterbank(44100, 4096, 256)
    assert filters.shape == (256, 2049)
    for cell, value in LIBROSA.items():
        assert filters[cell] == pytest.approx(value, rel=1e-5, abs=1e-9)
    assert filters.sum(dtype=np.float64) == pytest.approx(LIBROSA_SUM, rel=1e-6)


def test_the_filters_are_librosas_in_every_cell() -> None:
    librosa_filters = pytest.importorskip("librosa.filters")
    ours = naive.mel_filterbank(44100, 4096, 256)
    assert np.abs(ours - librosa_filters.mel(sr=44100, n_fft=4096, n_mels=256)).max() < 1e-8


def test_the_projection_is_torch_rand_at_seed_0() -> None:
    torch.manual_seed(7)
    model = naive.load_model()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        expected = torch.rand(256, 4096) / 16
    assert torch.equal(model.projection, expected)
    # The first number of torch's generator at seed 0, and no global state was touched.
    assert model.projection[0, 0].item() == pytest.approx(0.49625658988952637 / 16)
    torch.manual_seed(7)
    first = torch.rand(1)
    torch.manual_seed(7)
    naive.load_model()
    assert torch.equal(first, torch.rand(1))


def _reference(frame: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    # The formula in float64, straight.
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(4096) / 4096)
    power = np.abs(np.fft.rfft(frame.astype(np.float64) * window)) ** 2
    bands = np.log(naive.mel_filterbank(44100, 4096, 256).astype(np.float64) @ power + 1e-4)
    projected: npt.NDArray[np.float64] = bands @ naive.load_model().projection.double().numpy()
    return projected


def test_timestamps_are_the_formula_of_every_frame() -> None:
    audio = noise(2, 0.12, 44100)
    with torch.no_grad():
        found, ms = naive.get_timestamp_embeddings(torch.from_numpy(audio), naive.load_model())
    assert found.shape == (2, 3, 4096)
    assert ms.tolist() == [[0.0, 50.0, 100.0]] * 2
    padded = np.pad(audio, ((0, 0), (2048, 2048)))
    for clip in range(2):
        for i in range(3):
            expected = _reference(padded[clip, i * 2205 : i * 2205 + 4096])
            assert np.allclose(found[clip, i].numpy(), expected, rtol=1e-4, atol=1e-3)


def test_a_scene_is_the_mean_over_frames_every_250_ms() -> None:
    audio = noise(2, 0.6, 44100)
    with torch.no_grad():
        found = naive.get_scene_embeddings(torch.from_numpy(audio), naive.load_model())
    assert found.shape == (2, 4096)
    padded = np.pad(audio, ((0, 0), (2048, 2048)))
    for clip in range(2):
        frames = [_reference(padded[clip, i * 11025 : i * 11025 + 4096]) for i in range(3)]
        assert np.allclose(found[clip].numpy(), np.mean(frames, 0), rtol=1e-4, atol=1e-3)


def test_clips_do_not_depend_on_their_batch() -> None:
    audio = torch.from_numpy(noise(5, 0.5, 44100))
    model = naive.load_model()
    with torch.no_grad():
        together = naive.get_scene_embeddings(audio, model)
        alone = naive.get_scene_embeddings(audio[3:4], model)
    assert torch.allclose(together[3], alone[0], rtol=1e-5)


@pytest.mark.parametrize("samples", [1, 100, 2205])
def test_very_short_clips_and_silence_work(samples: int) -> None:
    model = naive.load_model()
    with torch.no_grad():
        scene = naive.get_scene_embeddings(torch.zeros(1, samples), model)
        frames, _ = naive.get_timestamp_embeddings(torch.zeros(1, samples), model)
    # Silence: every band is log(1e-4).
    expected = np.log(1e-4) * model.projection.sum(0)
    assert torch.allclose(scene[0], expected, rtol=1e-4)
    assert torch.allclose(frames[0, 0], expected, rtol=1e-4)


def test_long_audio_is_framed_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    audio = torch.from_numpy(noise(3, 1.0, 44100))
    model = naive.load_model()
    with torch.no_grad():
        whole, _ = naive.get_timestamp_embeddings(audio, model)
        monkeypatch.setattr(naive, "BLOCK_FRAMES", 5)
        parts, _ = naive.get_timestamp_embeddings(audio, model)
    assert torch.allclose(whole, parts, rtol=1e-5)
