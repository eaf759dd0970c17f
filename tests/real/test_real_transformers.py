"""Checkpoints in environments with other versions of transformers, which pip installs. Minutes."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from helpers_models import noise
from helpers_transformers import SMALL, wave, whisper

from hearbench import load_model
from hearbench.models.loaded import Interpreter
from hearbench.workspace import Workspace

pytestmark = [
    pytest.mark.real,
    # Of AST's own 128 bands.
    pytest.mark.filterwarnings("ignore:At least one mel filter:UserWarning"),
]
transformers: Any = pytest.importorskip("transformers")

VERSIONS = ("4.40.2", "4.57.1")


@pytest.fixture(scope="module", params=VERSIONS)
def python(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter with an older transformers, and the torch of this one."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    program = folder / "bin" / "python"
    install = [str(program), "-m", "pip", "install", "-q", f"transformers=={request.param}"]
    done = subprocess.run(install, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"pip can't install transformers {request.param}: {done.stderr[-300:]}")
    # What isn't in its own folder is looked for in this interpreter's.
    (own,) = folder.glob("lib/python*/site-packages")
    (own / "zz_more.pth").write_text(sysconfig.get_paths()["purelib"])
    return program


def _ast() -> tuple[Any, Any]:
    return transformers.ASTModel(
        transformers.ASTConfig(**SMALL)
    ), transformers.ASTFeatureExtractor()


@pytest.mark.parametrize("make", [wave, whisper, _ast])
def test_old_and_new_transformers_give_the_same_embeddings(
    make: Any, python: Path, tmp_path: Path
) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net, extractor = make()
    folder = tmp_path / "checkpoint"
    net.save_pretrained(folder)
    extractor.save_pretrained(folder)
    workspace = Workspace(cache_dir=tmp_path / "cache", device="cpu", workers=1)
    audio = noise(2, 1.3, 16000)
    found: list[npt.NDArray[np.float32]] = []
    times: list[npt.NDArray[np.float32]] = []
    digests = []
    for host in (None, Interpreter(python)):
        with load_model(f"hf:{folder}", workspace=workspace, interpreter=host) as model:
            embeddings, centres_ms = model.timestamps(audio)
            found.append(embeddings)
            times.append(centres_ms)
            digests.append(model.digest)
    assert np.allclose(found[0], found[1], atol=1e-5)
    assert np.array_equal(times[0], times[1])
    # Which libraries ran it is part of what it is known by.
    assert digests[0] != digests[1]
