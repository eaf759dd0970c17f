"""Text towers of checkpoints: their embeddings are transformers' own, in the shared space."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers_models import noise
from helpers_transformers import clap, clap_with_text

from hearbench.models.loaded import Interpreter
from hearbench.models.loading import load_model
from hearbench.worker import checkpoints as hf
from hearbench.worker.errors import UnusableError
from hearbench.workspace import Workspace

transformers: Any = pytest.importorskip("transformers")

TEXTS = ["a sound of rain", "a dog", "someone plays the violin in a crowd of people"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    place = tmp_path_factory.mktemp("clap")
    clap_with_text(place)
    return place


def test_texts_are_embedded_as_by_the_whole_network(folder: Path) -> None:
    model = hf.load_model(str(folder), pooling="pooled")
    assert model.embeds_text
    found = hf.get_text_embeddings(TEXTS, model)
    net = transformers.ClapModel.from_pretrained(folder).eval()
    tokens = transformers.AutoTokenizer.from_pretrained(folder)(
        TEXTS, padding=True, return_tensors="pt"
    )
    with torch.no_grad():
        expected = net.get_text_features(tokens["input_ids"], tokens["attention_mask"])
    assert found.shape == (3, model.scene_embedding_size)
    unit = torch.nn.functional.normalize(found, dim=1)
    assert torch.allclose(unit, expected.pooler_output, atol=1e-6)
    alone = torch.cat([hf.get_text_embeddings([text], model) for text in TEXTS])
    assert torch.allclose(found, alone, atol=1e-5)


def test_audio_and_text_are_as_far_apart_as_in_the_whole_network(folder: Path) -> None:
    model = hf.load_model(str(folder), pooling="pooled")
    clip = torch.from_numpy(noise(1, 2.0, 48000))
    extractor = transformers.AutoFeatureExtractor.from_pretrained(folder)
    tokens = transformers.AutoTokenizer.from_pretrained(folder)(
        TEXTS, padding=True, return_tensors="pt"
    )
    net = transformers.ClapModel.from_pretrained(folder).eval()
    heard = extractor([clip[0].numpy()], sampling_rate=48000, return_tensors="pt")
    with torch.no_grad():
        out = net(input_features=heard["input_features"].float(), **tokens)
    expected = (out.logits_per_audio / net.logit_scale_a.exp())[0].detach().numpy()
    audio = hf.get_scene_embeddings(clip, model).numpy()[0].astype(np.float64)
    texts = hf.get_text_embeddings(TEXTS, model).numpy().astype(np.float64)
    cosines = texts @ audio / np.linalg.norm(texts, axis=1) / np.linalg.norm(audio)
    np.testing.assert_allclose(cosines, expected, atol=1e-6)


def test_a_text_of_any_length_is_embedded(folder: Path) -> None:
    model = hf.load_model(str(folder), pooling="pooled")
    # 64 positions are left behind that of the padding.
    same = hf.get_text_embeddings(["a" * 64, "a" * 500], model)
    assert torch.equal(same[0], same[1])


def test_half_precision_reaches_the_text_tower(folder: Path) -> None:
    whole = hf.get_text_embeddings(TEXTS, hf.load_model(str(folder), pooling="pooled"))
    model = hf.load_model(str(folder), pooling="pooled", model_dtype="bfloat16")
    found = hf.get_text_embeddings(TEXTS, model)
    assert model.tower.text is not None
    assert next(model.tower.text.net.parameters()).dtype == torch.bfloat16
    assert found.dtype == torch.float32
    assert 0 < (found - whole).abs().max() < 0.1 * whole.abs().max()


def test_other_scene_embeddings_arent_in_the_space_of_texts(folder: Path) -> None:
    model = hf.load_model(str(folder))
    assert not model.embeds_text
    with pytest.raises(UnusableError, match="pooling=pooled"):
        hf.get_text_embeddings(TEXTS, model)


def test_an_audio_tower_alone_embeds_no_text(tmp_path: Path) -> None:
    for part in clap():
        part.save_pretrained(tmp_path)
    model = hf.load_model(str(tmp_path), pooling="pooled")
    assert not model.embeds_text
    with pytest.raises(UnusableError, match="no text tower"):
        hf.get_text_embeddings(TEXTS, model)


def test_a_missing_tokenizer_is_named(folder: Path, tmp_path: Path) -> None:
    for path in folder.iterdir():
        if not path.name.startswith("tokenizer"):
            (tmp_path / path.name).symlink_to(path)
    model = hf.load_model(str(tmp_path), pooling="pooled")
    with pytest.raises(UnusableError, match="no tokenizer"):
        hf.get_text_embeddings(TEXTS, model)


def test_a_process_of_its_own_gives_the_same(folder: Path, workspace: Workspace) -> None:
    here = load_model(f"hf:{folder}", pooling="pooled", workspace=workspace)
    expected = here.texts(TEXTS)
    assert here.embeds_text
    with load_model(
        f"hf:{folder}",
        pooling="pooled",
        workspace=workspace,
        interpreter=Interpreter(Path(sys.executable)),
    ) as there:
        np.testing.assert_allclose(there.texts(TEXTS), expected, atol=1e-6)
        assert there.embeds_text


def test_another_tokenizer_is_another_model(
    folder: Path, tmp_path: Path, workspace: Workspace
) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / folder.name))
    digest = load_model(f"hf:{copy}", workspace=workspace).digest
    assert load_model(f"hf:{folder}", workspace=workspace).digest == digest
    tokenizer = copy / "tokenizer.json"
    tokenizer.write_text(tokenizer.read_text().replace('"b"', '"\u0100b"'))
    assert load_model(f"hf:{copy}", workspace=workspace).digest != digest
