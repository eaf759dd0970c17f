"""Published models of packages run by their names, in environments made for them.

Their weights are random, of the published classes, in files as their makers publish them. pip
fetches the packages from its registry. torchaudio's compiled part needs CUDA's libraries, and
none of these models uses it, so pip is given a wheel without.
"""

from __future__ import annotations

import base64
import hashlib
import os
import subprocess
import sys
import textwrap
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from hearbench import load_model, validate_model
from hearbench.models import zoo
from hearbench.models.environments import list_environments
from hearbench.models.published import host_of
from hearbench.workspace import Workspace

pytestmark = pytest.mark.real


@dataclass(frozen=True)
class Package:
    """How a package's model is made and called as its makers say.

    Attributes:
        weights: Program that writes random weights to ``path``.
        call: Expression of frames (clips, frames, size) of ``audio`` (clips, samples), in which
            ``path`` is the weights' file.
        in_hub: Name of the weights' file in torch's cache, where no path can be given.
    """

    weights: str
    call: str
    in_hub: str = ""


PACKAGES = {
    "dasheng-base-package": Package(
        """
        from dasheng.pretrained.pretrained import Dasheng
        config = dict(embed_dim=768, depth=12, num_heads=12)
        torch.save({"model": Dasheng(**config).state_dict(), "config": config}, path)
        """,
        "__import__('dasheng').dasheng_base(path).eval()(audio)",
    ),
    "panns-cnn14": Package(
        """
        from panns_hear.models import Cnn14
        torch.save({"model": Cnn14(32000, 1024, 320, 64, 50, 14000, 527).state_dict()}, path)
        """,
        "__import__('panns_hear').load_model(path, 'cpu').eval()(audio)['embedding'][:, None]",
    ),
    "wav2clip": Package(
        """
        import wav2clip
        from wav2clip.model.encoder import MLPLayers
        net = wav2clip.get_model(pretrained=False)
        state = {"audio_encoder." + k: v for k, v in net.encoder.state_dict().items()}
        more = {"audio_transform." + k: v for k, v in MLPLayers().state_dict().items()}
        torch.save({**state, **more}, path)
        """,
        "torch.cat([__import__('wav2clip').get_model()(clip[None]) for clip in audio])[:, None]",
        "Wav2CLIP.pt",
    ),
    "openbeats-large-as20k": Package(
        """
        from openbeats.beats_encoder import BeatsEncoder
        cfg = dict(encoder_layers=2, encoder_embed_dim=48, encoder_ffn_embed_dim=96,
                   encoder_attention_heads=2, embed_dim=32)
        net = BeatsEncoder(input_size=0, beats_config=cfg)
        torch.save({"cfg": cfg, "model": net.state_dict()}, path)
        """,
        """torch.stack([torch.from_numpy(__import__('openbeats.model').model.OpenBeats
        .from_pretrained(path).encode(clip)['patch_embeddings']).unflatten(0, (-1, 8)).mean(1)
        for clip in audio])""",
    ),
    "mule-torch": Package(
        """
        from mule_torch import MuleModel
        MuleModel(mel_fb=torch.rand(96, 1025)).save_pretrained(path)
        """,
        "__import__('mule_torch').MuleModel.from_pretrained(model_dir=path)(audio)[:, None]",
    ),
    "openl3-env-512-package": Package(
        """
        from torchopenl3.models import PytorchOpenl3
        torch.save(PytorchOpenl3("env", "mel256", 512).state_dict(), path)
        """,
        """torch.stack([__import__('torchopenl3').core.load_audio_embedding_model(
        'mel256', 'env', 512)(torch.stack([*clip.split(48000)])[:, None]) for clip in audio])""",
        "torchopenl3_mel256_env_512.pth.tar",
    ),
}


# Of the validator's, without those that need minutes of a large network's time.
CHECKS = (
    "timestamp-centres",
    "timestamp-start",
    "timestamp-end",
    "timestamp-hop",
    "embedding-sizes",
    "batch-independence",
    "determinism",
    "finite",
)


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with torchaudio's Python part, and the torch that runs hearbench."""
    folder = tmp_path_factory.mktemp("wheels")
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "-q", "torchaudio"]
    subprocess.run(command, check=True, cwd=folder)
    (wheel,) = folder.glob("torchaudio-*.whl")
    _without_compiled(wheel)
    wheel.unlink()
    (folder / "constraints.txt").write_text(f"torch=={torch.__version__}\n")
    return folder


def _without_compiled(wheel: Path) -> None:
    name, version = wheel.name.split("-")[:2]
    old, new = f"{name}-{version}", f"{name}-{version}+python"
    record = []
    with (
        zipfile.ZipFile(wheel) as given,
        zipfile.ZipFile(wheel.with_name(f"{new}-py3-none-any.whl"), "w") as made,
    ):
        for place in given.namelist():
            content = given.read(place)
            place = place.replace(f"{old}.dist-info", f"{new}.dist-info")
            if place.endswith((".so", "/RECORD", "/")):
                continue
            if place.endswith("/METADATA"):
                content = content.replace(version.encode(), f"{version}+python".encode(), 1)
            if place.endswith("/WHEEL"):
                content = b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
            made.writestr(place, content)
            digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode()
            record.append(f"{place},sha256={digest.rstrip('=')},{len(content)}")
        record.append(f"{new}.dist-info/RECORD,,")
        made.writestr(f"{new}.dist-info/RECORD", "\n".join([*record, ""]))


def _run(python: Path, text: str, **values: object) -> None:
    lines = [f"{key} = {value!r}" for key, value in values.items()]
    begin = ["import torch, numpy", "torch.manual_seed(0)", *lines]
    program = "\n".join([*begin, textwrap.dedent(text)])
    subprocess.run([python, "-W", "ignore", "-c", program], check=True)


@pytest.mark.parametrize("name", PACKAGES)
def test_a_package_runs_as_its_makers_call_it(
    name: str, registry: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package, recipe = PACKAGES[name], zoo.get(name)
    links = os.environ.get("PIP_FIND_LINKS", "")
    monkeypatch.setenv("PIP_FIND_LINKS", f"{links} {registry}".strip())
    monkeypatch.setenv("PIP_CONSTRAINT", str(registry / "constraints.txt"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    workspace = Workspace(cache_dir=tmp_path / "cache", device="cpu")
    host = host_of(recipe, workspace, None)
    assert host is not None
    (made,) = list_environments(workspace)
    assert made.python == host.python

    path = tmp_path / "weights.pt"
    if package.in_hub:
        path = tmp_path / "torch" / "hub" / "checkpoints" / package.in_hub
        path.parent.mkdir(parents=True)
    _run(host.python, package.weights, path=str(path))
    weights = None if package.in_hub else path

    audio = np.random.default_rng(5).normal(0, 0.1, (2, 2 * recipe.sample_rate))
    np.save(tmp_path / "audio.npy", audio.astype(np.float32))
    upstream = f"""
    audio = torch.from_numpy(numpy.load({str(tmp_path / "audio.npy")!r}))
    with torch.no_grad():
        numpy.save({str(tmp_path / "frames.npy")!r}, {package.call})
    """
    _run(host.python, upstream, path=str(path))
    expected = np.load(tmp_path / "frames.npy")

    model = load_model(name, weights, workspace=workspace)
    assert model.name == name
    if recipe.width is not None and name != "openbeats-large-as20k":
        assert model.timestamp_embedding_size == recipe.width
    found = model.scene(audio.astype(np.float32))
    assert found == pytest.approx(expected.mean(1), abs=1e-5)
    if recipe.first_ms is None:
        return
    if "window_ms" not in recipe.options:
        assert model.timestamps(audio.astype(np.float32))[0] == pytest.approx(expected, abs=1e-5)

    report = validate_model(name, weights, workspace=workspace, only=CHECKS)
    assert report.valid, report.errors
    (centres,) = [check for check in report.checks if check.name == "timestamp-centres"]
    assert centres.verdict == "pass", centres
