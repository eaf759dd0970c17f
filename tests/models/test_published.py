"""Published models run by their names: what the name stands for, where they run, what they need."""

from __future__ import annotations

import importlib
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers_cli import hearbench as command
from helpers_tasks import make_scene_task
from helpers_transformers import SMALL
from helpers_zoo import FAMILY, put_into_zoo, written

import hearbench
from hearbench.errors import DownloadError, HearError, ModelError
from hearbench.models import finding, published
from hearbench.models.finding import published as find_published
from hearbench.models.loaded import Interpreter
from hearbench.workspace import Workspace

NETS = """
import torch

class Large(torch.nn.Module):
    def __init__(self, scale=1.0):
        super().__init__()
        self.scale = scale
        self.weight = torch.nn.Parameter(torch.ones(3))

    def forward(self, audio):
        peaks = audio[:, : audio.shape[1] // 320 * 320].unflatten(1, (-1, 320)).amax(2)
        return {"frames": self.scale * peaks[:, :, None] * self.weight}

def large(scale=1.0):
    return Large(scale)
"""
NETWORK = FAMILY.replace(
    'output = "0"\n',
    'output = "frames"\nweights_file = true\n'
    'hop_ms = 10\nfirst_ms = 5\noptions = { output = "frames", scale = 2 }\n',
)


@pytest.fixture(scope="module")
def other_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment that has the package chirp, and torch."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, symlinks=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "here.pth").write_text(f"{Path(torch.__file__).parents[1]}\n")
    (packages / "chirp").mkdir()
    (packages / "chirp" / "__init__.py").touch()
    (packages / "chirp" / "nets.py").write_text(NETS)
    return folder / "bin" / "python"


@pytest.fixture
def asked(
    other_python: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> list[tuple[tuple[str, ...], str | None]]:
    """The environments that are asked for, in place of which there is always the same."""
    put_into_zoo(monkeypatch, written(tmp_path, NETWORK))
    made = []

    def make(requirements: tuple[str, ...], *, workspace: Workspace, python: str | None) -> Path:
        made.append((requirements, python))
        return other_python

    monkeypatch.setattr(published, "make_environment", make)
    return made


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "large.pt"
    torch.save({"weight": torch.tensor([1.0, 2.0, 3.0])}, path)
    return path


def clicks() -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    audio = np.zeros((2, 32000), dtype=np.float32)
    audio[0, 3333] = audio[1, 31999] = 1
    return audio


def test_a_network_of_a_package_in_its_environment(
    asked: list[tuple[tuple[str, ...], str | None]], weights: Path, workspace: Workspace
) -> None:
    model = hearbench.load_model("Chirp-Large", weights, workspace=workspace)
    assert asked == [(("chirp==1.0", "einops"), "3.11")]
    assert (model.name, model.spec) == ("chirp-large", "chirp-large")
    assert (model.sample_rate, model.timestamp_embedding_size) == (32000, 3)
    frames, centres = model.timestamps(clicks())
    assert centres[0, :3].tolist() == [5, 15, 25]
    assert frames[0, 10].tolist() == [2, 4, 6]
    assert np.argmax(frames[1, :, 0]) == 99
    assert model.scene(clicks())[0] == pytest.approx([0.02, 0.04, 0.06])

    # What the name stands for already isn't told, and what is changed is.
    other = hearbench.load_model("chirp-large", weights, workspace=workspace, scale=3)
    assert other.name == "chirp-large-scale=3"
    assert other.digest != model.digest
    assert other.timestamps(clicks())[0][0, 10].tolist() == [3, 6, 9]
    # The user's own interpreter is taken as it is.
    n_asked = len(asked)
    own = Interpreter(Path(sys.prefix) / "bin" / "python3")
    with pytest.raises(ModelError, match="no module named 'chirp' here"):
        hearbench.load_model("chirp-large", weights, workspace=workspace, interpreter=own)
    assert len(asked) == n_asked


def test_limits_hold_in_its_environment(other_python: Path, workspace: Workspace) -> None:
    recipe = find_published("dasheng-base")
    assert recipe is not None
    asked = Interpreter(Path(sys.executable), timeout_s=7, memory_gb=2)
    assert published.host_of(recipe, workspace, asked) == asked
    assert published.host_of(recipe, workspace, None) is None
    assert published.host_of(None, workspace, asked) == asked


def test_the_validator_runs_it(
    asked: list[tuple[tuple[str, ...], str | None]], weights: Path, workspace: Workspace
) -> None:
    report = hearbench.validate_model(
        "chirp-large", weights, workspace=workspace, only=["timestamp-centres", "scene-size"]
    )
    assert report.valid
    assert (report.model.name, report.model.hop_ms) == ("chirp-large", 10)
    assert len(asked) == 1


def test_no_network_runs_without_its_weights(
    asked: list[tuple[tuple[str, ...], str | None]], workspace: Workspace
) -> None:
    with pytest.raises(ModelError) as caught:
        hearbench.load_model("chirp-large", workspace=workspace)
    assert str(caught.value) == (
        "chirp-large needs its weights: download the file and name it with --weights.\n"
        "chirp-large is net:chirp.nets:large: pip installs chirp==1.0, einops into an environment "
        "of its own, unless --python PATH names one that has them; its weights are those of "
        "https://example.org/large.pt, unless --weights PATH names a copy."
    )
    assert asked == []


def test_a_network_in_a_file(tmp_path: Path, workspace: Workspace) -> None:
    (tmp_path / "nets.py").write_text(NETS)
    facts: dict[str, Any] = {
        "sample_rate": "32000",
        "output": "frames",
        "hop_ms": "10",
        "first_ms": "5",
    }
    model = hearbench.load_model(f"net:{tmp_path}/nets.py:Large", workspace=workspace, **facts)
    assert model.name.startswith("net-nets.Large-first_ms=5.0-hop_ms=10.0-output=frames")
    assert model.timestamps(clicks())[0][0, 10].tolist() == [1, 1, 1]
    (tmp_path / "nets.py").write_text(NETS.replace("scale=1.0", "scale=5.0"))
    changed = hearbench.load_model(f"net:{tmp_path}/nets.py:Large", workspace=workspace, **facts)
    assert changed.digest != model.digest
    with pytest.raises(ModelError, match=r"nets\.py names no function or class that makes"):
        hearbench.load_model(f"net:{tmp_path}/nets.py", workspace=workspace)
    with pytest.raises(ModelError, match="has no attribute 'Small'"):
        hearbench.load_model(f"net:{tmp_path}/nets.py:Small", workspace=workspace)
    with pytest.raises(ModelError, match="has no framez: a dict with frames"):
        hearbench.load_model(f"net:{tmp_path}/nets.py:Large", workspace=workspace, output="framez")


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    transformers: Any = importlib.import_module("transformers")
    torch.manual_seed(3)
    config = transformers.Wav2Vec2Config(**SMALL, conv_dim=[16] * 7, num_conv_pos_embeddings=16)
    transformers.Wav2Vec2Model(config).save_pretrained(tmp_path / "copy")
    transformers.Wav2Vec2FeatureExtractor().save_pretrained(tmp_path / "copy")
    return tmp_path / "copy"


def test_a_copy_of_a_checkpoint(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workspace: Workspace
) -> None:
    put_into_zoo(monkeypatch, written(tmp_path, FAMILY))
    model = hearbench.load_model("chirp-small", checkpoint, workspace=workspace)
    direct = hearbench.load_model(f"hf:{checkpoint}", workspace=workspace)
    assert (model.name, model.sample_rate) == ("chirp-small", 16000)
    audio = np.random.default_rng(1).uniform(-1, 1, (1, 8000)).astype(np.float32)
    assert np.array_equal(model.scene(audio), direct.scene(audio))


def test_what_cannot_be_had_is_said_in_one_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workspace: Workspace
) -> None:
    asked = []

    def unreachable(name: str, **keywords: object) -> Path:
        asked.append(name)
        raise DownloadError("no route to host")

    monkeypatch.setattr(finding, "resolve", unreachable)
    text = FAMILY.replace('revision = "v1"\n', "")
    put_into_zoo(monkeypatch, written(tmp_path, text))
    with pytest.raises(DownloadError) as caught:
        hearbench.load_model("chirp-small", workspace=workspace)
    assert asked == ["chirp/small"]
    assert str(caught.value) == (
        "no route to host\n"
        "chirp-small is hf:chirp/small: its weights are those of huggingface.co/chirp/small "
        "(90 MB), unless --weights PATH names the folder with a copy of its files."
    )
    task = make_scene_task(tmp_path / "task")
    for arguments in (["validate"], ["evaluate", "--task", task, "--out", tmp_path / "out"]):
        shown = command(*arguments, "chirp-small", "--cache", workspace.cache_dir)
        assert (shown.code, shown.stdout) == (2, "")
        assert shown.stderr == f"error: {caught.value}\n"


def test_code_of_its_own_is_not_even_fetched_unless_allowed(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workspace: Workspace
) -> None:
    asked = []

    def copied(name: str, *, with_code: bool) -> Path:
        asked.append((name, with_code))
        return checkpoint

    monkeypatch.setattr(finding, "resolve", copied)
    put_into_zoo(
        monkeypatch, written(tmp_path, FAMILY.replace('"v1"\n', '"v1"\ntrust_code = true\n'))
    )
    with pytest.raises(ModelError, match=r"brings Python code of its own, .* --trust-code"):
        hearbench.load_model("chirp-small", workspace=workspace)
    assert asked == []
    host = Interpreter(Path(sys.executable), trust_code=True)
    model = hearbench.load_model("chirp-small", workspace=workspace, interpreter=host)
    assert (model.name, model.sample_rate) == ("chirp-small", 16000)
    assert asked == [("chirp/small@v1", True)]


def test_a_name_that_only_stands_for_facts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workspace: Workspace
) -> None:
    text = FAMILY.replace(
        'spec = "hf:chirp/small"\nrevision = "v1"', 'spec = ""\nneeds = "a licence to sing"'
    )
    put_into_zoo(monkeypatch, written(tmp_path, text))
    with pytest.raises(ModelError) as caught:
        hearbench.load_model("chirp-small", workspace=workspace)
    assert str(caught.value) == "chirp-small can't be run by its name: a licence to sing."


def test_what_is_here_comes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workspace: Workspace
) -> None:
    put_into_zoo(monkeypatch, written(tmp_path, FAMILY.replace("chirp-small", "chirping")))
    assert find_published("chirping") is not None
    (tmp_path / "chirping").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    assert find_published("chirping") is not None
    assert find_published("Chirping.py") is None
    assert find_published("./chirping") is None
    (tmp_path / "chirping.py").write_text("")
    importlib.invalidate_caches()
    assert find_published("chirping") is None
    monkeypatch.chdir(tmp_path)
    (tmp_path / "chirp-large").mkdir()
    assert find_published("chirp-large") is not None
    (tmp_path / "chirp-large").rmdir()
    (tmp_path / "chirp-large").touch()
    assert find_published("chirp-large") is None


def test_names_like_it_are_proposed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workspace: Workspace
) -> None:
    put_into_zoo(monkeypatch, written(tmp_path, FAMILY))
    for name, end in (
        ("chirp-smal", "Did you mean 'chirp-small' or 'chirp-large'?"),
        ("qqq", "`hearbench list models` shows the published models that are known by name."),
        ("no.such.module", "or give the path of its .py file."),
    ):
        with pytest.raises(HearError) as caught:
            hearbench.load_model(name, workspace=workspace)
        assert str(caught.value).endswith(end)


def test_importing_it_loads_nothing_heavy() -> None:
    code = (
        "import sys; from hearbench.models import finding;"
        "print({'torch', 'transformers', 'huggingface_hub'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
