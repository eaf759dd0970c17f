from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from helpers_models import noise

from hearbench.models import hub, wav2vec2

transformers: Any = pytest.importorskip("transformers")


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """The architecture of the default checkpoint, small and with random weights."""
    config = transformers.Wav2Vec2Config(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        conv_dim=[16] * 7,
        conv_bias=True,
        feat_extract_norm="layer",
        do_stable_layer_norm=True,
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=2,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        transformers.Wav2Vec2ForPreTraining(config).save_pretrained(tmp_path)
    transformers.Wav2Vec2FeatureExtractor(return_attention_mask=True).save_pretrained(tmp_path)
    return tmp_path


def test_scene_is_the_mean_of_the_last_hidden_state(checkpoint: Path) -> None:
    model = wav2vec2.load_model(str(checkpoint))
    audio = torch.from_numpy(noise(2, 1.0, 16000)) - 0.2
    net = transformers.Wav2Vec2Model.from_pretrained(checkpoint).eval()
    extractor = transformers.Wav2Vec2FeatureExtractor.from_pretrained(checkpoint)
    inputs = extractor(list(audio.numpy()), sampling_rate=16000, return_tensors="pt")
    with torch.no_grad():
        expected = net(**inputs).last_hidden_state
    embeddings, ms = wav2vec2.get_timestamp_embeddings(audio, model)
    scene = wav2vec2.get_scene_embeddings(audio, model)
    assert torch.allclose(embeddings, expected, rtol=1e-3, atol=1e-4)
    assert torch.allclose(scene, expected.mean(1), rtol=1e-3, atol=1e-4)
    assert ms[1].tolist() == [12.46875 + 20.0 * index for index in range(49)]


def test_the_default_is_the_checkpoint_of_hear(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def fake(text: str) -> Path:
        asked.append(text)
        return checkpoint

    monkeypatch.setattr(hub, "resolve", fake)
    assert wav2vec2.default_weights(layer=-1) == checkpoint
    assert wav2vec2.load_model().scene_embedding_size == 16
    assert asked == ["facebook/wav2vec2-large-100k-voxpopuli"] * 2
