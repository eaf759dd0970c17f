"""Python code that a checkpoint brings: run only where it is allowed, and never in this process."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers_models import noise

from hearbench.errors import HearError, ModelError
from hearbench.models.loaded import Interpreter
from hearbench.models.loading import load_model
from hearbench.models.sandbox import sandboxed
from hearbench.workspace import Workspace

pytest.importorskip("transformers")
safetensors_torch: Any = pytest.importorskip("safetensors.torch")

RATE, HOP = 24000, 240

CONFIGURATION = """
from transformers import PretrainedConfig

class OwnConfig(PretrainedConfig):
    model_type = "own_net"

    def __init__(self, width=4, sample_rate=24000, **options):
        super().__init__(**options)
        self.width = width
        self.sample_rate = sample_rate
"""
MODELING = """
import os
from pathlib import Path

import torch
from transformers import PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput

from .configuration_own import OwnConfig

GAIN = 1.0
if {mark!r}:
    Path({mark!r}, str(os.getpid())).touch()

class OwnModel(PreTrainedModel):
    config_class = OwnConfig

    def __init__(self, config):
        super().__init__(config)
        self.conv = torch.nn.Conv1d(1, config.width, 480, 240)
        self.post_init()

    def _init_weights(self, module):
        pass

    def forward(self, wave):
        return BaseModelOutput(last_hidden_state=GAIN * self.conv(wave[:, None]).transpose(1, 2))
"""


def _checkpoint(folder: Path, mark: Path | None = None) -> dict[str, torch.Tensor]:
    """Files of a model whose class is its own; gives its weights."""
    folder.mkdir()
    (folder / "configuration_own.py").write_text(CONFIGURATION)
    (folder / "modeling_own.py").write_text(MODELING.format(mark=str(mark or "")))
    config = {
        "model_type": "own_net",
        "auto_map": {
            "AutoConfig": "configuration_own.OwnConfig",
            "AutoModel": "modeling_own.OwnModel",
        },
    }
    (folder / "config.json").write_text(json.dumps(config))
    generator = torch.Generator().manual_seed(0)
    weights = {
        "conv.weight": torch.randn(4, 1, 480, generator=generator),
        "conv.bias": torch.randn(4, generator=generator),
    }
    safetensors_torch.save_file(weights, folder / "model.safetensors", {"format": "pt"})
    return weights


def _host(**options: Any) -> Interpreter:
    return Interpreter(Path(sys.executable), trust_code=True, **options)


def _own_folders() -> set[Path]:
    return set(Path(tempfile.gettempdir()).glob("hearbench-code-*"))


def test_code_runs_in_another_process_and_a_changed_line_is_another_model(
    tmp_path: Path, workspace: Workspace
) -> None:
    marks = tmp_path / "marks"
    marks.mkdir()
    folder, before = tmp_path / "checkpoint", _own_folders()
    weights = _checkpoint(folder, marks)
    audio = noise(2, 1.0, RATE)
    digests, sums = [], []
    for gain in ("1.0", "3.0"):
        code = (folder / "modeling_own.py").read_text()
        (folder / "modeling_own.py").write_text(code.replace("GAIN = 1.0", f"GAIN = {gain}"))
        host = _host()
        with load_model(f"hf:{folder}", workspace=workspace, interpreter=host) as model:
            assert model.sample_rate == RATE
            embeddings, centres_ms = model.timestamps(audio)
            digests.append((model.digest, model.weights_digest, model.source_digest))
        frames = np.lib.stride_tricks.sliding_window_view(audio, 480, 1)[:, ::HOP]
        expected = frames @ weights["conv.weight"][:, 0].numpy().T + weights["conv.bias"].numpy()
        assert np.allclose(embeddings, float(gain) * expected, atol=1e-3)
        assert np.allclose(np.diff(centres_ms), 10.0)
        assert abs(float(centres_ms[0, 0]) - 239.5 / 24) < 2.5
        sums.append(embeddings.sum())
    assert sums[1] == pytest.approx(3 * sums[0], rel=1e-3)
    assert digests[0][0] != digests[1][0]
    assert digests[0][1] != digests[1][1]
    assert digests[0][2] == digests[1][2]
    ran = {int(path.name) for path in marks.iterdir()}
    assert len(ran) == 2
    assert os.getpid() not in ran
    # transformers' copies of the code are gone.
    assert _own_folders() == before


def test_code_runs_in_the_sandbox(tmp_path: Path, workspace: Workspace) -> None:
    try:
        sandboxed(["/bin/true"], readable=[])
    except HearError as error:
        pytest.skip(str(error))
    marks = tmp_path / "marks"
    marks.mkdir()
    folder = tmp_path / "checkpoint"
    _checkpoint(folder)
    host = _host(sandbox=True)
    with load_model(f"hf:{folder}", workspace=workspace, interpreter=host) as model:
        embeddings, _ = model.timestamps(noise(1, 1.0, RATE))
    assert embeddings.shape == (1, 99, 4)


def test_without_leave_the_refusal_names_the_flag(tmp_path: Path, workspace: Workspace) -> None:
    marks = tmp_path / "marks"
    marks.mkdir()
    folder = tmp_path / "checkpoint"
    _checkpoint(folder, marks)
    with pytest.raises(ModelError, match=r"isn't run unless --trust-code allows it\. Read the c"):
        load_model(f"hf:{folder}", workspace=workspace)
    with pytest.raises(ModelError, match=r"isn't run in hearbench's own process\. Use --trust-c"):
        load_model("hearbench.worker.checkpoints:trusting", folder, workspace=workspace)
    assert not [*marks.iterdir()]


def test_code_of_another_repository_is_refused(tmp_path: Path, workspace: Workspace) -> None:
    folder = tmp_path / "checkpoint"
    _checkpoint(folder)
    text = (folder / "config.json").read_text().replace("modeling_own.Own", "org/x--modeling.Own")
    (folder / "config.json").write_text(text)
    with pytest.raises(ModelError, match=r"takes code from another repository, org/x, which"):
        load_model(f"hf:{folder}", workspace=workspace, interpreter=_host())
