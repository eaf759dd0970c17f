"""Published models, whose audio encoder is inside, against transformers' own calls of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers_models import noise
from helpers_published import PUBLISHED, save

from hearbench.worker import checkpoints as hf
from hearbench.worker.errors import UnusableError

transformers: Any = pytest.importorskip("transformers")
safetensors_torch: Any = pytest.importorskip("safetensors.torch")


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_the_encoder_inside_a_published_model(name: str, tmp_path: Path) -> None:
    family = PUBLISHED[name]
    net, extractor = save(family, tmp_path)
    model = hf.load_model(str(tmp_path))
    rate = extractor.sampling_rate
    assert model.sample_rate == rate
    assert model.hearbench_notes == ()
    frames = model.tower.frames
    assert (float(frames.hop), float(frames.first)) == pytest.approx((family.hop, family.first))
    # A whole number of every family's steps.
    audio = torch.from_numpy(noise(2, 2.4, rate))
    found, ms = hf.get_timestamp_embeddings(audio, model)
    assert ms[0, 0] == pytest.approx(family.first * 1000 / rate)
    assert 0 <= 2400 - float(ms[0, -1]) < 2.5 * family.hop * 1000 / rate
    made = extractor([audio[1].numpy()], sampling_rate=rate, return_tensors="pt", **family.call)
    with torch.no_grad():
        expected = family.own(net, made)
    expected = expected[:, family.skip : family.skip + found.shape[1]]
    assert found.shape[1] == expected.shape[1]
    assert torch.allclose(found[1:], expected, rtol=1e-5, atol=1e-5)
    # No other part is in memory.
    n_weights = sum(weight.numel() for weight in model.parameters())
    assert n_weights < sum(weight.numel() for weight in net.parameters())


def test_a_feature_extractor_inside_a_processor(tmp_path: Path) -> None:
    save(PUBLISHED["voxtral"], tmp_path)
    own = tmp_path / "preprocessor_config.json"
    settings = {"feature_extractor": json.loads(own.read_text()), "processor_class": "Voxtral"}
    (tmp_path / "processor_config.json").write_text(json.dumps(settings))
    own.unlink()
    model = hf.load_model(str(tmp_path))
    assert type(model.tower.encoder.extractor).__name__ == "WhisperFeatureExtractor"


def test_no_other_weights_are_read(tmp_path: Path) -> None:
    save(PUBLISHED["qwen2_audio"], tmp_path)
    audio = torch.from_numpy(noise(1, 2.0, 16000))
    expected, _ = hf.get_timestamp_embeddings(audio, hf.load_model(str(tmp_path)))
    path = tmp_path / "model.safetensors"
    weights = safetensors_torch.load_file(path)
    kept = {name: weight for name, weight in weights.items() if "audio_tower." in name}
    assert 0 < len(kept) < len(weights)
    safetensors_torch.save_file(kept, path, {"format": "pt"})
    found, _ = hf.get_timestamp_embeddings(audio, hf.load_model(str(tmp_path)))
    assert torch.equal(found, expected)
    # Weights of the encoder are missed.
    kept.popitem()
    safetensors_torch.save_file(kept, path, {"format": "pt"})
    with pytest.raises(UnusableError, match=r"1 weights are missing, such as .*audio_tower"):
        hf.load_model(str(tmp_path))


def test_a_mask_that_is_true_where_there_is_padding(tmp_path: Path) -> None:
    config = transformers.Gemma3nAudioConfig(
        hidden_size=16,
        conf_num_attention_heads=2,
        conf_num_hidden_layers=2,
        sscp_conv_channel_size=(8, 4),
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = transformers.Gemma3nAudioEncoder(config).eval()
    net.save_pretrained(tmp_path)
    extractor = transformers.Gemma3nAudioFeatureExtractor()
    extractor.save_pretrained(tmp_path)
    model = hf.load_model(str(tmp_path))
    audio = torch.from_numpy(noise(1, 4.0, 16000))
    found, ms = hf.get_timestamp_embeddings(audio, model)
    made = extractor([audio[0].numpy()], sampling_rate=16000, return_tensors="pt")
    with torch.no_grad():
        expected = net(made["input_features"], ~made["input_features_mask"]).last_hidden_state
    assert torch.allclose(found, expected[:, : found.shape[1]], rtol=1e-5, atol=1e-5)
    assert not torch.allclose(found, torch.zeros(()))
    # Spectra of 512 samples every 160, two unpadded convolutions of 3, and every fourth frame.
    assert ms[0, :2].tolist() == pytest.approx([(255.5 + 160 + 320) / 16, 160 + 735.5 / 16])


def test_the_page_on_models_lists_the_classes_that_are_compared() -> None:
    page = (Path(__file__).parents[2] / "docs" / "models.md").read_text(encoding="utf-8")
    for family in PUBLISHED.values():
        rate = family.settings.get("sampling_rate", family.rate) / 1000
        times = f"{family.hop / rate:.3g} | {family.first / rate:.3g}"
        assert f"| `{family.kind}` | {rate:g} | {times} |" in page
