"""A package of somebody else adds a regression task, by less than 20 lines of code."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from helpers_tasks import write_wav

SOURCE = Path(__file__).parents[1] / "packages" / "hearbench-pitches"

pytestmark = pytest.mark.usefixtures("quick_python")


def test_its_task_is_prepared_and_scored(tmp_path: Path) -> None:
    shutil.copytree(SOURCE, tmp_path / "source")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps"]
    command += ["--no-build-isolation", "--target", str(tmp_path / "site")]
    subprocess.run([*command, str(tmp_path / "source")], check=True, timeout=600)
    seconds = np.arange(4000) / 16000
    (tmp_path / "corpus").mkdir()
    with zipfile.ZipFile(tmp_path / "corpus" / "pitches.zip", "w") as archive:
        for hz in np.geomspace(100, 4000, 60).round().astype(int).tolist():
            write_wav(tmp_path / "x.wav", 9000 * np.sin(2 * np.pi * hz * seconds), 16000)
            archive.write(tmp_path / "x.wav", f"pitches/{hz}.wav")

    def run(*arguments: object) -> dict[str, list[dict[str, object]]]:
        environment = {**os.environ, "PYTHONPATH": _joined(tmp_path / "site")}
        command = [sys.executable, "-m", "hearbench.cli", *map(str, arguments), "--json"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        found: dict[str, list[dict[str, object]]] = json.loads(done.stdout)
        return found

    (made,) = run("prepare", "pitches", "--corpus-dir", tmp_path / "corpus")["prepared"]
    assert (made["prediction_type"], made["labels"]) == ("regression", 1)
    (result,) = run(
        "evaluate", "hearbench.models.naive", "--task", "pitches", "--protocol", "knn",
        "--out", tmp_path / "results",
    )["results"]  # fmt: skip
    scores = result["scores"]
    assert isinstance(scores, dict)
    assert list(scores) == ["r2", "mae"]
    # The nearest tones are those of about the same pitch.
    assert 0.9 < scores["r2"]["mean"] < 1
    assert 0 < scores["mae"]["mean"] < 400


def test_the_package_is_short() -> None:
    text = (SOURCE / "hearbench_pitches" / "__init__.py").read_text()
    assert len([line for line in text.splitlines() if line.strip()]) < 20
    assert [node.name for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)] == [
        "task",
        "clips",
    ]


def _joined(site: Path) -> str:
    return os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH")]))
