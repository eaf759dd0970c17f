"""A model's repository on this machine, and environments that need no network."""

from __future__ import annotations

import os
import subprocess
import sysconfig
import textwrap
from collections.abc import Mapping
from pathlib import Path

import pytest
from helpers_models import BANDS

from hearbench.models import environments
from hearbench.models.pythons import BasePython

NAME = "tone_bank"
CARD = """
model = "Tone bank"
team = "Tones"
authors = ["A. Body"]
url = "https://example.org/tones"
description = "Filters."
pretraining = "none"
api = "tone_bank"
licence = "Apache-2.0"
weights_licence = "CC-BY-4.0"
"""
# It wants a gain from a file, and hears the same whatever it is.
GOOD = BANDS.replace(
    "    return Bands()", "    assert float(open(model_file_path).read()) > 0\n    return Bands()"
)
# All clips sound alike to it.
DEAF = GOOD.replace("def get_scene_embeddings(audio, model):", "def _heard(audio, model):") + (
    "\ndef get_scene_embeddings(audio, model):\n    return torch.ones(len(audio), 16)\n"
)

# Builds a wheel of the module beside it with nothing but what comes with Python.
_BACKEND = """
import os, zipfile

def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    name = "tone_bank-0.5-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(wheel_directory, name), "w") as file:
        file.write("tone_bank.py")
        file.writestr("tone_bank-0.5.dist-info/METADATA",
                      "Metadata-Version: 2.1\\nName: tone-bank\\nVersion: 0.5\\n%s")
        file.writestr("tone_bank-0.5.dist-info/WHEEL",
                      "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        file.writestr("tone_bank-0.5.dist-info/RECORD", "")
    return name
"""


def git(folder: Path, *arguments: str) -> str:
    """Runs git in a folder with settings of the test's own."""
    named = ("-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "init.defaultBranch=main")
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    done = subprocess.run(
        ["git", *named, *arguments],  # noqa: S607
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout.strip()


def write_repository(
    folder: Path, versions: Mapping[str, str], *, card: str = CARD, needs: str = ""
) -> tuple[Path, dict[str, str]]:
    """A bare repository with a model's package, of which each version is a tag.

    Args:
        versions: The module's source, by tag.
        needs: Lines of the wheel's metadata, as ``Requires-Dist: torch``.

    Returns:
        The repository, and commits by tag.
    """
    tree = folder / "tree"
    tree.mkdir(parents=True)
    git(tree, "init", "--quiet")
    (tree / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        '[project]\nname = "tone-bank"\nversion = "0.5"\n'
    )
    (tree / "backend.py").write_text(_BACKEND % needs)
    (tree / "card.toml").write_text(card)
    commits = {}
    for tag, source in versions.items():
        (tree / "tone_bank.py").write_text(textwrap.dedent(source))
        git(tree, "add", "--all")
        git(tree, "commit", "--quiet", "--message", tag)
        git(tree, "tag", tag)
        commits[tag] = git(tree, "rev-parse", "HEAD")
    bare = folder / "tone-bank.git"
    git(folder, "clone", "--quiet", "--bare", str(tree), str(bare))
    return bare, commits


@pytest.fixture
def borrowed_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    """New environments have the packages of this one, and pip looks nowhere else."""
    here = sysconfig.get_path("purelib")

    def create(base: BasePython, folder: Path, tell: object) -> None:
        command = [str(base.program), "-m", "venv", "--without-pip", str(folder)]
        subprocess.run(command, check=True, timeout=120)
        (packages,) = folder.glob("lib/python*/site-packages")
        (packages / "borrowed.pth").write_text(f"{here}\n")

    monkeypatch.setattr(environments, "_create", create)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
