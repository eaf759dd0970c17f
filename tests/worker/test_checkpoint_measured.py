from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers_models import noise
from helpers_transformers import SMALL, parakeet, qwen2_audio, speech_to_text

from hearbench.worker import checkpoints as hf
from hearbench.worker.checkpoints.measured import (
    AnyEncoder,
    MeasuredClips,
    Stated,
    StatedWindows,
    Untimed,
    measured_tower,
)
from hearbench.worker.errors import UnusableError

transformers: Any = pytest.importorskip("transformers")


# Of models that hearbench doesn't name; hop and first centre by hand, in samples at 16000 Hz:
# Kaldi's frames of 400 samples through two padded convolutions of stride 2; centred spectra every
# 160 samples through three; and Whisper's frames, 320 samples apart, in pairs.
MAKERS = {
    "speech_to_text": (speech_to_text, 640, 199.5),
    "parakeet_encoder": (parakeet, 1280, 0.0),
    "qwen2_audio_encoder": (qwen2_audio, 640, 160.0),
}


@pytest.fixture(params=sorted(MAKERS))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def _saved(name: str, folder: Path) -> Path:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net, extractor = MAKERS[name][0]()
    net.save_pretrained(folder)
    extractor.save_pretrained(folder)
    return folder


def test_unknown_encoders_are_timed_to_a_quarter_of_a_hop(name: str, tmp_path: Path) -> None:
    folder = _saved(name, tmp_path)
    _, hop, first = MAKERS[name]
    model = hf.load_model(str(folder))
    assert (model.sample_rate, model.timestamp_embedding_size) == (16000, 16)
    assert model.tower.frames.hop == hop
    assert abs(float(model.tower.frames.first) - first) <= hop / 4
    audio = torch.from_numpy(noise(3, 3.1, 16000))
    frames, ms = hf.get_timestamp_embeddings(audio, model)
    alone, _ = hf.get_timestamp_embeddings(audio[1:2], model)
    again, _ = hf.get_timestamp_embeddings(audio, model)
    assert torch.equal(frames, again)
    assert torch.allclose(frames[1:2], alone, rtol=1e-4, atol=1e-5)
    assert ms.diff(dim=1).numpy() == pytest.approx(hop / 16)
    # As many as are centred within the audio, or one less where the network gives no more.
    assert frames.shape[1] in (n := (49600 - 1 - int(first)) // hop + 1, n - 1)
    assert 3100 - 2.5 * hop / 16 < float(ms[0, -1]) <= 3100
    for duration_s in (0.01, 0.1, 0.24):
        short, short_ms = hf.get_timestamp_embeddings(audio[:, : round(duration_s * 16000)], model)
        assert short.isfinite().all()
        assert float(short_ms[0, -1]) <= duration_s * 1000


def test_frames_are_those_of_transformers(tmp_path: Path) -> None:
    folder = _saved("speech_to_text", tmp_path)
    audio = torch.from_numpy(noise(1, 2.0, 16000))
    net = transformers.AutoModel.from_pretrained(folder).get_encoder().eval()
    extractor = transformers.AutoFeatureExtractor.from_pretrained(folder)
    inputs = extractor(audio[0].numpy(), sampling_rate=16000, return_tensors="pt")
    with torch.no_grad():
        out = net(inputs["input_features"], output_hidden_states=True)
    for layer, expected in ((-1, out.last_hidden_state), (0, out.hidden_states[0])):
        model = hf.load_model(str(folder), layer=layer)
        found, _ = hf.get_timestamp_embeddings(audio, model)
        assert torch.allclose(found, expected[:, : found.shape[1]], rtol=1e-3, atol=1e-4)


def test_long_clips_are_cut_on_the_measured_grid(tmp_path: Path) -> None:
    folder = _saved("parakeet_encoder", tmp_path)
    model = hf.load_model(str(folder), layer=0, window_s=5.0)
    audio = torch.from_numpy(noise(1, 17.0, 16000))
    windows = model.tower.windows(audio.shape[1])
    assert len(windows) > 4
    assert all(window.start % 1280 == 0 for window in windows)
    found, ms = hf.get_timestamp_embeddings(audio, model)
    first = float(model.tower.frames.first) / 16
    assert ms[0].numpy() == pytest.approx([first + 80 * n for n in range(ms.shape[1])], abs=1e-3)
    whole = hf.load_model(str(folder), layer=0)
    expected, _ = hf.get_timestamp_embeddings(audio, whole)
    # Windows are normalised one by one, so their frames are close to the whole clip's, not equal.
    likeness = torch.nn.functional.cosine_similarity(found, expected, dim=2)
    late = torch.nn.functional.cosine_similarity(found[:, 1:], expected[:, :-1], dim=2)
    assert likeness.mean() > 0.99
    assert likeness.mean() > late.mean() + 0.01


def test_a_known_architecture_is_measured_where_its_convolutions_are() -> None:
    encoder = AnyEncoder(_wav2vec2(), transformers.Wav2Vec2FeatureExtractor(do_normalize=True), -1)
    assert (encoder.axis, encoder.width) == (2, 16)
    tower = measured_tower(encoder, 30.0, Stated())
    assert isinstance(tower, MeasuredClips)
    assert tower.frames.hop == 320
    assert tower.grid.reach == 400
    assert abs(float(tower.frames.first) - 199.5) <= 80


def _wav2vec2() -> Any:
    config = transformers.Wav2Vec2Config(
        **SMALL, conv_dim=[16] * 7, feat_extract_norm="layer", add_adapter=False
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return transformers.Wav2Vec2Model(config).eval()


def test_layers_of_another_length_have_times_of_their_own(tmp_path: Path) -> None:
    folder = _saved("speech_to_text", tmp_path / "three")
    with pytest.raises(UnusableError, match="There is no layer 3: the model has 0 to 2"):
        hf.load_model(str(folder), layer=3)
    # Its output is half as long as its layers' states.
    folder = _saved("qwen2_audio_encoder", tmp_path / "one")
    model = hf.load_model(str(folder), layer=1)
    assert model.tower.frames.hop == 320
    assert abs(float(model.tower.frames.first)) <= 80


def test_a_model_of_text_is_refused_whatever_its_extractor(tmp_path: Path) -> None:
    config = transformers.BertConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32
    )
    transformers.BertModel(config).save_pretrained(tmp_path)
    transformers.Wav2Vec2FeatureExtractor().save_pretrained(tmp_path)
    with pytest.raises(UnusableError, match=r"'bert' model, .* can't be used .* BertModel fails"):
        hf.load_model(str(tmp_path))


def _looking_back() -> AnyEncoder:
    # Its convolutions see 31 frames of the past each, and nothing of what is to come.
    config = transformers.Wav2Vec2BertConfig(**SMALL)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = transformers.Wav2Vec2BertModel(config).eval()
    return AnyEncoder(net, transformers.SeamlessM4TFeatureExtractor(), -1)


def test_an_encoder_that_cannot_be_timed_is_for_scenes() -> None:
    encoder = _looking_back()
    tower = measured_tower(encoder, 30.0, Stated())
    assert isinstance(tower, Untimed)
    assert re.search(r"hops away from where they should|answers to what is at", tower.untimed or "")
    model = hf.AudioEncoder(tower, "mean+max", None)
    assert model.hearbench_notes == (
        f"the times of its frames aren't known, so it is for scenes alone: {tower.untimed}",
    )
    audio = torch.from_numpy(noise(2, 1.5, 16000))
    found = hf.get_scene_embeddings(audio, model)
    with torch.no_grad():
        tokens = encoder.tokens(audio)
    assert torch.allclose(found, torch.cat([tokens.mean(1), tokens.amax(1)], 1), atol=1e-6)
    with pytest.raises(UnusableError, match=r"times of its frames aren't known: .*hop_ms"):
        hf.get_timestamp_embeddings(audio, model)
    # Longer than a window: what it hears of 65 s are three windows.
    long = torch.from_numpy(noise(1, 65.0, 16000))
    assert [window.start for window in tower.windows(long.shape[1])] == [0, 480000, 960000]
    assert hf.get_scene_embeddings(long, model).shape == (1, 32)


def test_times_that_are_stated_count_where_none_can_be_measured() -> None:
    tower = measured_tower(_looking_back(), 30.0, Stated(hop_ms=20.0, first_ms=17.5))
    assert isinstance(tower, StatedWindows)
    model = hf.AudioEncoder(tower, "mean", None)
    audio = torch.from_numpy(noise(2, 1.5, 16000))
    frames, ms = hf.get_timestamp_embeddings(audio, model)
    assert frames.shape == (2, 75, 16)
    assert ms[0].numpy() == pytest.approx([17.5 + 20 * n for n in range(75)])
    assert "20 ms apart from 17.5 ms on because options say so" in model.hearbench_notes[0]
    assert re.search(r"impulses (don't confirm: |are answered )", model.hearbench_notes[0])


def test_stated_times_are_refused_where_times_are_known(tmp_path: Path) -> None:
    folder = _saved("qwen2_audio_encoder", tmp_path)
    with pytest.raises(UnusableError, match="first_ms is for models whose frames can't be timed"):
        hf.load_model(str(folder), hop_ms=20.0, first_ms=10.0)
    with pytest.raises(UnusableError, match=r"tokens is '1,8'; it is how many tokens come before"):
        hf.load_model(str(folder), tokens="1,8")


def test_an_extractor_that_cuts_long_windows_says_to_make_them_shorter(tmp_path: Path) -> None:
    model = hf.load_model(str(_saved("speech_to_text", tmp_path)))
    own = model.tower.encoder.extractor

    class Cutting:
        sampling_rate = 16000

        def __call__(self, clips: list[Any], **options: Any) -> Any:
            return own([clip[:80000] for clip in clips], **options)

    model.tower.encoder.extractor = Cutting()
    with pytest.raises(UnusableError, match=r"125 frames for 10\.0 s .* 250 were due.*window_s"):
        hf.get_timestamp_embeddings(torch.from_numpy(noise(1, 10.0, 16000)), model)
