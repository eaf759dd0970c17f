from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers_models import noise
from helpers_transformers import dac, encodec, mimi

from hearbench.worker import checkpoints as hf
from hearbench.worker.errors import UnusableError

transformers: Any = pytest.importorskip("transformers")


# How to make one, and its hop in samples.
CODECS: dict[str, tuple[Callable[[], tuple[Any, Any]], int]] = {
    "encodec": (lambda: encodec(num_filters=2), 640),
    "dac": (lambda: dac(2, 4, 5, 8, sample_rate=16000), 320),
    "mimi": (lambda: mimi(num_filters=2), 1920),
}


def _saved(name: str, folder: Path) -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net, extractor = CODECS[name][0]()
    net.eval().save_pretrained(folder)
    extractor.save_pretrained(folder)
    return net


@pytest.mark.parametrize("name", ["encodec", "dac"])
def test_frames_are_what_the_quantiser_gets(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = _saved(name, tmp_path)
    model = hf.load_model(str(tmp_path))
    hop = CODECS[name][1]
    audio = torch.from_numpy(noise(2, 50 * hop / model.sample_rate, model.sample_rate))
    got: list[torch.Tensor] = []
    method = "forward" if name == "dac" else "encode"
    own = getattr(net.quantizer, method)

    def tapped(latent: torch.Tensor, *rest: Any) -> Any:
        got.append(latent)
        return own(latent, *rest)

    monkeypatch.setattr(net.quantizer, method, tapped)
    with torch.no_grad():
        net.encode(audio[:, None])
    frames, _ = hf.get_timestamp_embeddings(audio, model)
    assert frames.shape[1] == 50
    assert torch.allclose(frames, got[0].transpose(1, 2), rtol=1e-4, atol=1e-5)


def test_mimis_frames_are_what_the_quantiser_gets_at_its_own_rate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = _saved("mimi", tmp_path)
    model = hf.load_model(str(tmp_path))
    assert model.sample_rate == 24000
    audio = torch.from_numpy(noise(1, 2.0, 24000))
    got: list[torch.Tensor] = []
    own = net.quantizer.encode

    def tapped(latent: torch.Tensor, *rest: Any) -> Any:
        got.append(latent)
        return own(latent, *rest)

    monkeypatch.setattr(net.quantizer, "encode", tapped)
    with torch.no_grad():
        net.encode(audio[None])
    frames, ms = hf.get_timestamp_embeddings(audio, model)
    assert ms[0].tolist() == pytest.approx([959.5 / 24 + 80 * index for index in range(25)])
    expected = got[0].transpose(1, 2)
    assert torch.allclose(frames, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["encodec", "mimi"])
def test_the_block_of_an_impulse_is_the_first_to_answer_in_a_causal_codec(
    name: str, tmp_path: Path
) -> None:
    _saved(name, tmp_path)
    model = hf.load_model(str(tmp_path))
    hop = CODECS[name][1]
    quiet = torch.from_numpy(noise(1, 30 * hop / model.sample_rate, model.sample_rate)) * 0.1
    # In the middle of blocks 7 and 20.
    at = [7 * hop + hop // 2, 20 * hop + hop // 2]
    loud = quiet.repeat(2, 1)
    loud[range(2), at] = 0.9
    before, ms = hf.get_timestamp_embeddings(quiet, model)
    after, _ = hf.get_timestamp_embeddings(loud, model)
    change = (after - before).norm(dim=2)
    first = [int(torch.nonzero(row > 1e-3 * row.max())[0]) for row in change]
    assert first == [7, 20]
    for number, place in zip(first, at, strict=True):
        assert abs(float(ms[0, number]) - place * 1000 / model.sample_rate) < 0.1


def test_windows_of_a_long_clip_join_in_a_codec_of_convolutions(tmp_path: Path) -> None:
    _saved("dac", tmp_path)
    audio = torch.from_numpy(noise(1, 21.0, 16000))
    whole = hf.load_model(str(tmp_path), window_s=30.0)
    cut = hf.load_model(str(tmp_path), window_s=5.0)
    assert len(cut.tower.windows(audio.shape[1])) > 5
    expected, whole_ms = hf.get_timestamp_embeddings(audio, whole)
    found, ms = hf.get_timestamp_embeddings(audio, cut)
    assert torch.equal(ms, whole_ms)
    assert torch.allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_encodecs_own_chunks_limit_the_windows_and_are_normalised(tmp_path: Path) -> None:
    net, extractor = encodec(
        sampling_rate=48000,
        audio_channels=2,
        normalize=True,
        chunk_length_s=1.0,
        overlap=0.01,
        use_causal_conv=False,
        norm_type="time_group_norm",
        num_filters=2,
        upsampling_ratios=[8, 5, 4, 2],
    )
    net.eval().save_pretrained(tmp_path)
    extractor.save_pretrained(tmp_path)
    model = hf.load_model(str(tmp_path))
    audio = torch.from_numpy(noise(1, 3.0, 48000))
    windows = model.tower.windows(audio.shape[1])
    assert {window.stop - window.start for window in windows} == {48000}
    found, ms = hf.get_timestamp_embeddings(audio, model)
    louder, _ = hf.get_timestamp_embeddings(audio * 0.25, model)
    assert ms.shape[1] == 450
    assert torch.allclose(found, louder, rtol=1e-3, atol=1e-4)
    with torch.no_grad():
        chunk = audio[:, :48000]
        chunk = chunk / chunk.square().mean().sqrt()
        expected = net.encoder(chunk[:, None].repeat(1, 2, 1))[0].T
    assert windows[0].last == 150 - 18
    assert torch.allclose(found[0, :132], expected[:132], rtol=1e-3, atol=1e-4)


def test_a_codec_has_no_layers(tmp_path: Path) -> None:
    _saved("dac", tmp_path)
    with pytest.raises(UnusableError, match="A codec has one latent; leave layer at -1"):
        hf.load_model(str(tmp_path), layer=0)


def test_a_codec_of_96_khz_keeps_its_rate(tmp_path: Path) -> None:
    _saved("dac", tmp_path)
    transformers.DacFeatureExtractor(sampling_rate=96000, hop_length=320).save_pretrained(tmp_path)
    assert hf.load_model(str(tmp_path)).sample_rate == 96000
