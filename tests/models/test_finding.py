from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from hearbench.errors import ModelError
from hearbench.models.finding import find_model, import_error, parse_name
from hearbench.models.loading import load_model
from hearbench.workspace import Workspace

TWO = """
import torch
from scale_of import SCALE

class Sums(torch.nn.Module):
    sample_rate = 16000
    scene_embedding_size = 2
    timestamp_embedding_size = 2

    def __init__(self, factor):
        super().__init__()
        self.factor = factor * SCALE

class Api:
    def __init__(self, factor):
        self.factor = factor

    def load_model(self, model_file_path=""):
        return Sums(self.factor)

    def get_scene_embeddings(self, audio, model):
        return torch.stack([audio.sum(1), audio.abs().sum(1)], 1) * model.factor

    def get_timestamp_embeddings(self, audio, model):
        scene = self.get_scene_embeddings(audio, model)
        return scene[:, None], torch.zeros(len(audio), 1)

class small:
    inner = Api(1)

large = Api(100)
number = 7
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "two_models.py").write_text(TWO)
    (tmp_path / "scale_of.py").write_text("SCALE = 3\n")
    return tmp_path / "two_models.py"


def test_objects_in_a_file(file: Path, workspace: Workspace) -> None:
    audio = np.array([[0.25, -0.5], [0.5, 0.5]], dtype=np.float32)
    for attribute, factor in (("large", 300), ("small.inner", 3)):
        model = load_model(f"{file}:{attribute}", workspace=workspace)
        assert model.name == f"two_models.{attribute}"
        expected = factor * np.stack([audio.sum(1), np.abs(audio).sum(1)], 1)
        assert np.array_equal(model.scene(audio), expected)
    one = load_model(f"{file}:large", workspace=workspace)
    other = load_model(f"{file}:small.inner", workspace=workspace)
    assert one.digest != other.digest


def test_objects_in_a_module(
    file: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(file.parent))
    model = load_model("two_models:large", workspace=workspace)
    assert model.scene(np.ones((1, 4), np.float32)).tolist() == [[1200, 1200]]
    # A change of the module is another model, also in the same process.
    file.write_text(TWO.replace("Api(100)", "Api(1001)"))
    changed = load_model("two_models:large", workspace=workspace)
    assert changed.digest != model.digest
    assert changed.scene(np.ones((1, 4), np.float32)).tolist() == [[12012, 12012]]
    assert model.scene(np.ones((1, 4), np.float32)).tolist() == [[1200, 1200]]
    assert not {"two_models", "scale_of"} & set(sys.modules)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("{file}:huge", r"has no attribute 'huge'"),
        ("{file}:small.outer", r"has no attribute 'small.outer'"),
        ("{file}:number", r"number has no load_model"),
        ("{file}", r"two_models.py has no load_model"),
        ("gone.py:large", r"no model file gone.py"),
        ("no_such_module:large", r"no module named 'no_such_module'"),
        ("onnx:gone.onnx", r"no ONNX file gone.onnx"),
    ],
)
def test_what_is_not_there(file: Path, spec: str, said: str) -> None:
    with pytest.raises(ModelError, match=said):
        find_model(parse_name(spec.format(file=file)))


def test_a_name_that_says_its_weights(file: Path, workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"")
    with pytest.raises(ModelError, match="names its weights itself"):
        load_model(f"onnx:{tmp_path / 'm.onnx'}", file, workspace=workspace)


def test_a_checkpoint_in_an_environment_without_torch(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    named = parse_name(f"hf:{tmp_path}")
    assert str(import_error(named, "torch", "a traceback")) == (
        f"hf:{tmp_path} needs torch, which isn't installed where the model runs. Install torch and "
        "transformers into that environment."
    )
