"""Networks that compute in another precision than float32."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers_models import noise, write_model
from helpers_transformers import clap, dac, speech_to_text, wave, whisper

from hearbench.errors import ModelError
from hearbench.models.loading import load_model
from hearbench.worker import checkpoints as hf
from hearbench.worker.errors import UnusableError
from hearbench.workspace import Workspace

transformers: Any = pytest.importorskip("transformers")


MAKERS = {
    "wav2vec2": wave,
    "whisper": whisper,
    "clap": clap,
    "dac": dac,
    "speech-to-text": speech_to_text,
}


def _saved(name: str, folder: Path) -> str:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net, extractor = MAKERS[name]()
    net.save_pretrained(folder)
    extractor.save_pretrained(folder)
    return str(folder)


@pytest.mark.parametrize("name", sorted(MAKERS))
def test_bfloat16_is_close_to_float32_at_the_same_times(name: str, tmp_path: Path) -> None:
    folder = _saved(name, tmp_path)
    full = hf.load_model(folder)
    half = hf.load_model(folder, model_dtype="bfloat16")
    assert {parameter.dtype for parameter in full.parameters()} == {torch.float32}
    assert {parameter.dtype for parameter in half.parameters()} == {torch.bfloat16}
    audio = torch.from_numpy(noise(2, 1.3, full.sample_rate))
    expected, ms = hf.get_timestamp_embeddings(audio, full)
    found, half_ms = hf.get_timestamp_embeddings(audio, half)
    assert found.dtype == torch.float32
    assert torch.equal(ms, half_ms)
    # Numbers have 8 bits, so each is off by up to 2^-9, and layers add to that.
    error = float((found - expected).norm() / expected.norm())
    assert 1e-4 < error < 0.1
    scene = hf.get_scene_embeddings(audio, half)
    assert scene.dtype == torch.float32
    assert torch.allclose(scene, found.mean(1), atol=1e-5)


def test_it_is_part_of_what_the_model_is_known_by(tmp_path: Path, workspace: Workspace) -> None:
    folder = _saved("wav2vec2", tmp_path / "w2v")
    full = load_model(f"hf:{folder}", workspace=workspace)
    half = load_model(f"hf:{folder}", workspace=workspace, model_dtype="bfloat16")
    assert (full.name, half.name) == ("hf-w2v", "hf-w2v-model_dtype=bfloat16")
    assert full.digest != half.digest
    assert full.weights_digest == half.weights_digest
    assert dict(half.options) == {"model_dtype": "bfloat16"}
    assert half.scene(noise(1, 0.5, 16000)).dtype == np.float32


def test_where_there_is_no_such_precision(tmp_path: Path, workspace: Workspace) -> None:
    folder = _saved("wav2vec2", tmp_path / "w2v")
    with pytest.raises(UnusableError, match="'int8'; it is float32, bfloat16 or float16"):
        hf.load_model(folder, model_dtype="int8")
    path = write_model(tmp_path)
    with pytest.raises(ModelError, match=r"can't compute in bfloat16: its load_model has no key"):
        load_model(path, workspace=workspace, model_dtype="bfloat16")
