from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers_models import noise
from helpers_transformers import SMALL, WHISPER

from hearbench.worker import checkpoints as hf
from hearbench.worker.errors import UnusableError

transformers: Any = pytest.importorskip("transformers")


@pytest.fixture
def bert(tmp_path: Path) -> Path:
    """wav2vec2-BERT of two layers, with random weights."""
    config = transformers.Wav2Vec2BertConfig(**SMALL)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        transformers.Wav2Vec2BertModel(config).save_pretrained(tmp_path)
    # As in the published checkpoint, where padding isn't zero.
    transformers.SeamlessM4TFeatureExtractor(padding_value=1.0).save_pretrained(tmp_path)
    return tmp_path


@pytest.mark.parametrize("n_spectra", [100, 101])
def test_wav2vec2_berts_frames_are_transformers_own(bert: Path, n_spectra: int) -> None:
    audio = torch.from_numpy(noise(2, (400 + 160 * (n_spectra - 1)) / 16000, 16000))
    net = transformers.AutoModel.from_pretrained(bert).eval()
    extractor = transformers.AutoFeatureExtractor.from_pretrained(bert)
    inputs = extractor(list(audio.numpy()), sampling_rate=16000, return_tensors="pt")
    # An odd frame is joined with padding, and masked.
    masked = int((inputs["attention_mask"][0] == 0).sum())
    assert masked == n_spectra % 2
    with torch.no_grad():
        out = net(**inputs, output_hidden_states=True)
    for layer, expected in ((-1, out.last_hidden_state), (1, out.hidden_states[1])):
        model = hf.load_model(str(bert), layer=layer)
        found, ms = hf.get_timestamp_embeddings(audio, model)
        assert found.shape[1] == 50
        assert torch.allclose(found, expected[:, :50], rtol=1e-3, atol=1e-4)
        assert ms[0].tolist() == pytest.approx([17.46875 + 20.0 * index for index in range(50)])


def test_wav2vec2_berts_long_clips_are_normalised_as_a_whole(bert: Path) -> None:
    loud = np.where(np.arange(20 * 16000) < 10 * 16000, 1.0, 0.1)[None].astype(np.float32)
    audio = torch.from_numpy(noise(1, 20.0, 16000) * loud)
    whole = hf.load_model(str(bert), layer=0, window_s=30.0)
    cut = hf.load_model(str(bert), layer=0, window_s=5.0)
    assert len(cut.tower.windows(audio.shape[1])) > 5
    expected, whole_ms = hf.get_timestamp_embeddings(audio, whole)
    found, ms = hf.get_timestamp_embeddings(audio, cut)
    assert torch.equal(ms, whole_ms)
    assert torch.allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_an_extractor_of_another_kind_is_refused(bert: Path) -> None:
    transformers.Wav2Vec2FeatureExtractor().save_pretrained(bert)
    with pytest.raises(UnusableError, match="Wav2Vec2FeatureExtractor has no stride"):
        hf.load_model(str(bert))


def test_whisper_with_an_extractor_of_samples_is_refused(tmp_path: Path) -> None:
    config = transformers.WhisperConfig(**WHISPER)
    transformers.WhisperModel(config).save_pretrained(tmp_path)
    transformers.Wav2Vec2FeatureExtractor().save_pretrained(tmp_path)
    with pytest.raises(UnusableError, match="Wav2Vec2FeatureExtractor has no hop_length"):
        hf.load_model(str(tmp_path))
