"""Models that embed text: in this process, in another, as objects; and what is refused."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers_models import STATS, noise, write_model

from hearbench.errors import EmbeddingError, ModelError
from hearbench.models.loaded import Interpreter
from hearbench.models.loading import load_model
from hearbench.workspace import Workspace

HERE = Interpreter(Path(sys.executable))
LETTERS = """
SEEN = []

def get_text_embeddings(texts, model):
    assert not torch.is_grad_enabled()
    SEEN.append(len(texts))
    return torch.tensor([[float(text.count(letter)) for letter in "abc"] for text in texts])
"""
TEXTS = ["a cab", "", "Ärger ▁ 犬 \n b"]
COUNTS = [[2.0, 1.0, 1.0], [0.0, 0.0, 0.0], [0.0, 1.0, 0.0]]


@pytest.mark.parametrize("interpreter", [None, HERE], ids=["here", "there"])
def test_a_module_embeds_text(
    tmp_path: Path, workspace: Workspace, interpreter: Interpreter | None
) -> None:
    path = write_model(tmp_path, extra=LETTERS)
    with load_model(path, workspace=workspace, interpreter=interpreter) as model:
        assert model.embeds_text
        found = model.texts(TEXTS)
        assert model.texts([]).shape == (0, 3)
        # After audio, and before it.
        assert model.scene(noise(2, 0.1, 16000)).shape == (2, 3)
        np.testing.assert_array_equal(model.texts(TEXTS), found)
    assert found.dtype == np.float32
    assert found.tolist() == COUNTS


def test_many_texts_go_through_in_blocks(tmp_path: Path, workspace: Workspace) -> None:
    model = load_model(write_model(tmp_path, extra=LETTERS), workspace=workspace)
    texts = ["a" * count for count in range(130)]
    assert model.texts(texts)[:, 0].tolist() == list(range(130))
    assert model.engine.engine.module.SEEN == [64, 64, 2]  # type: ignore[attr-defined]


@pytest.mark.skipif(find_spec("tensorflow") is None, reason="needs tensorflow")
def test_a_module_of_tensorflow_embeds_text(tmp_path: Path, workspace: Workspace) -> None:
    source = """
    import tensorflow as tf

    class Counts(tf.Module):
        sample_rate = 16000
        scene_embedding_size = timestamp_embedding_size = 1

    def load_model(model_file_path=""):
        return Counts()

    def get_scene_embeddings(audio, model):
        return tf.reduce_mean(audio, 1, keepdims=True)

    def get_timestamp_embeddings(audio, model):
        return audio[:, :1, None], tf.zeros((audio.shape[0], 1))

    def get_text_embeddings(texts, model):
        return tf.constant([[float(len(text))] for text in texts])
    """
    with load_model(write_model(tmp_path, source), workspace=workspace, interpreter=HERE) as model:
        assert model.texts(["a", "abc"]).tolist() == [[1.0], [3.0]]


class Net(torch.nn.Module):
    sample_rate = 16000
    scene_embedding_size = timestamp_embedding_size = 1

    def __init__(self) -> None:
        super().__init__()
        self.factor = torch.nn.Parameter(torch.tensor(2.0))

    def get_scene_embeddings(self, audio: torch.Tensor) -> torch.Tensor:
        return audio.mean(1, keepdim=True)

    def get_timestamp_embeddings(self, audio: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return audio[:, :1, None], torch.zeros(len(audio), 1)


class Reader(Net):
    def get_text_embeddings(self, texts: list[str]) -> torch.Tensor:
        assert not self.training
        return self.factor * torch.tensor([[float(len(text))] for text in texts])


def test_an_object_embeds_text(workspace: Workspace) -> None:
    net = Reader()
    model = load_model(net, workspace=workspace)
    assert model.embeds_text
    assert model.texts(["a", "abc"]).tolist() == [[2.0], [6.0]]
    assert net.training


def test_a_model_without_it_says_so(tmp_path: Path, workspace: Workspace) -> None:
    # The second has the function and says that this model of it embeds no text.
    for extra in ("", LETTERS + "Stats.embeds_text = False\n"):
        path = write_model(tmp_path, STATS, extra=extra)
        model = load_model(path, workspace=workspace)
        assert not model.embeds_text
        with pytest.raises(ModelError, match="stats doesn't embed text") as caught:
            model.texts(["a"])
        assert "get_text_embeddings" in str(caught.value)
    assert not load_model(Net(), workspace=workspace).embeds_text


@pytest.mark.parametrize(
    ("returned", "error", "names"),
    [
        ("torch.zeros(len(texts), 4)", EmbeddingError, "should be (2, 3) and are (2, 4)"),
        ("torch.zeros(1, 3)", EmbeddingError, "should be (2, 3) and are (1, 3)"),
        ("(torch.zeros(2, 3), 1)", EmbeddingError, "returned 2 values"),
        ("texts", EmbeddingError, "should be float32"),
        ("1 / 0", ModelError, "get_text_embeddings failed on 2 texts"),
    ],
)
def test_what_it_returns_is_checked(
    tmp_path: Path, workspace: Workspace, returned: str, error: type[Exception], names: str
) -> None:
    extra = f"def get_text_embeddings(texts, model):\n    return {returned}\n"
    model = load_model(write_model(tmp_path, extra=extra), workspace=workspace)
    with pytest.raises(error) as caught:
        model.texts(["a", "b"])
    assert names in str(caught.value)
