"""A model's repository on this machine, and environments that need no network."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sysconfig
import textwrap
from collections.abc import Mapping
from pathlib import Path

import pytest
from helpers_cli import hearbench
from helpers_http import serving
from helpers_models import BANDS
from helpers_tasks import make_scene_task

from hearbench.digest import digest_bytes
from hearbench.leaderboard.bundle import write_bundle
from hearbench.leaderboard.submission import Submission
from hearbench.models import environments
from hearbench.models.pythons import BasePython
from hearbench.validate.report import Report

QUICK = ("--protocol", "knn", "--device", "cpu")
NAME = "tone_bank"
CARD = """
model = "Tone bank"
team = "Tones"
authors = ["A. Body"]
url = "https://example.org/tones"
description = "Filters."
pretraining = "none"
training_sets = []
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
    folder: Path,
    versions: Mapping[str, str],
    *,
    card: str = CARD,
    needs: str = "",
    forgets_module: bool = False,
) -> tuple[Path, dict[str, str]]:
    """A bare repository with a model's package, of which each version is a tag.

    Args:
        versions: The module's source, by tag.
        needs: Lines of the wheel's metadata, as ``Requires-Dist: torch``.
        forgets_module: Whether the wheel lacks the module, so that it is read in its tree.

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
    backend = _BACKEND % needs
    if forgets_module:
        backend = backend.replace('file.write("tone_bank.py")', "pass")
    (tree / "backend.py").write_text(backend)
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


def whole_way(tmp_path: Path, needs: str = "") -> None:
    """Submits a version of a model from its address, checks it, runs it and another one again.

    Args:
        needs: As of `write_repository`.
    """
    bare, commits = write_repository(tmp_path / "git", {"v1": GOOD, "v2": DEAF}, needs=needs)
    task = make_scene_task(tmp_path, name="tones")
    private = make_scene_task(tmp_path / "private", name="secret", seed=1)
    bundle = tmp_path / "submission"
    with serving() as source:
        source.files["gain.txt"] = b"2.5"
        url = f"{source.url}/gain.txt"
        made = hearbench(
            *("submit", f"git+file://{bare}@v1", "--weights", url, "--out", bundle),
            *("--task", task, "--quick", *QUICK),
        )
        assert made.code == 0, made.stderr
        said = json.loads((bundle / "submission.json").read_text())
        assert said["origin"]["commit"] == commits["v1"]
        assert said["origin"]["weights_sha256"] == digest_bytes(b"2.5")
        assert said["card"]["weights_url"] == url
        assert said["machine"] == {"device": "cpu"}
        assert commits["v1"] in (bundle / "pull_request.md").read_text()
        checked = hearbench("leaderboard", "check", bundle, "--task", task)
        assert checked.code == 0, checked.stdout

        record = tmp_path / "rerun.json"
        again = hearbench(
            *("leaderboard", "rerun", bundle, "--task", task, "--task", private, *QUICK),
            *("--json", "--out", record),
        )
        assert again.code == 0, again.stderr
        rows = {row["task"]: row for row in again.json["tasks"]}
        honest = rows["tones-1.0.0-full"]
        assert (honest["verdict"], again.json["same_model"]) == ("within", True)
        assert honest["submitted"] == honest["rerun"] == 1.0
        secret = rows["secret-1.0.0-full"]
        assert secret.pop("rerun") == 1.0
        assert secret == {
            "task": "secret-1.0.0-full",
            "score": "top1_acc",
            "submitted": None,
            "interval": None,
            "verdict": "private",
            "why": "",
        }
        assert again.json["commit"] == commits["v1"]
        # Nothing of the private task but its name and its score is published.
        assert not re.search(r"\.wav|label|predict|private/", record.read_text())

        # The same scores and predictions, made up for a model that gives others.
        doctored = doctor(bundle, commits["v2"], tmp_path)
        passed = hearbench("leaderboard", "check", doctored, "--task", task)
        assert passed.code == 0, passed.stdout
        caught = hearbench("leaderboard", "rerun", doctored, "--task", task, *QUICK)
        assert caught.code == 1, caught.stderr
        assert "not within" in caught.stdout
        assert "0.3333" in caught.stdout
        assert "another digest" in caught.stderr


def doctor(bundle: Path, commit: str, tmp_path: Path) -> Path:
    """The bundle as if it came from another commit, with all that follows from its record."""
    said = Submission.model_validate_json((bundle / "submission.json").read_text())
    assert said.origin is not None
    said = said.model_copy(update={"origin": said.origin.model_copy(update={"commit": commit})})
    report = Report.model_validate_json((bundle / "validation.json").read_text())
    results = {path.name: path for path in (bundle / "results").iterdir()}
    write_bundle(tmp_path / "doctored", said, report, results)
    return tmp_path / "doctored"
