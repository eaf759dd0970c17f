"""A package of somebody else adds a task, a corpus and a score, without a change to hearbench."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

SOURCE = Path(__file__).parents[1] / "packages" / "hearbench-chirps"
RATE = 22050


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the package is installed to."""
    folder = tmp_path_factory.mktemp("plugin")
    shutil.copytree(SOURCE, folder / "source")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps"]
    command += ["--no-build-isolation", "--target", str(folder / "site"), str(folder / "source")]
    subprocess.run(command, check=True, timeout=600)
    return folder / "site"


pytestmark = pytest.mark.usefixtures("quick_python")


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Twelve chirps up and twelve down, by six birds."""
    folder = tmp_path / "corpus"
    folder.mkdir()
    rng = np.random.default_rng(0)
    seconds = np.arange(int(0.3 * RATE)) / RATE
    with zipfile.ZipFile(folder / "chirps.zip", "w") as archive:
        for label, (low, high) in {"up": (500, 3000), "down": (3000, 500)}.items():
            for i in range(12):
                phase = 2 * np.pi * (low * seconds + (high - low) / 0.6 * seconds**2)
                x = 0.3 * np.sin(phase) + 0.01 * rng.normal(size=len(seconds))
                name = f"{label}-bird{i % 6}-{i}.wav"
                soundfile.write(folder / name, x, RATE, subtype="PCM_16")
                archive.write(folder / name, f"chirps/{name}")
                (folder / name).unlink()
    return folder


def run(site: Path, *arguments: object) -> Any:
    environment = {**os.environ, "PYTHONPATH": str(site)}
    command = [sys.executable, "-m", "hearbench.cli", *map(str, arguments), "--json"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_its_task_is_listed_prepared_and_scored(site: Path, corpus: Path, tmp_path: Path) -> None:
    rows = run(site, "list", "catalog")["catalog"]
    (row,) = [row for row in rows if row["task"] == "chirps"]
    assert (row["clips"], row["scores"], row["from"]) == (
        24,
        ["worst_label_acc", "top1_acc"],
        ["corpus"],
    )

    answer = run(site, "prepare", "chirps", "--corpus-dir", corpus)
    (made,) = answer["prepared"]
    assert made["sample_rates"] == [RATE]
    assert sum(made["splits"].values()) == 24
    folder = Path(made["folder"])
    homes: dict[str, set[str]] = {}
    for split in made["splits"]:
        for name in json.loads((folder / f"{split}.json").read_text()):
            homes.setdefault(name.split("-")[1], set()).add(split)
    assert len(homes) == 6
    assert all(len(splits) == 1 for splits in homes.values())

    results = run(
        site, "evaluate", "hearbench.models.naive", "--task", "chirps", "--protocol", "faster",
        "--grid-points", 1, "--out", tmp_path / "results",
    )["results"]  # fmt: skip
    assert results[0]["task"] == "chirps-1.2.0-full"
    assert list(results[0]["scores"]) == ["worst_label_acc", "top1_acc"]
    assert results[0]["primary_score"] == "worst_label_acc"
    means = {name: score["mean"] for name, score in results[0]["scores"].items()}
    assert 0 <= means["worst_label_acc"] <= means["top1_acc"] <= 1


def test_without_the_package_there_is_no_such_task(corpus: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "hearbench.cli",
        "prepare",
        "chirps",
        "--corpus-dir",
        str(corpus),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 2
    assert "no task named 'chirps'" in done.stderr
