"""The README is followed to the letter, from an empty folder."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import tasks_table

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text("utf-8")
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_TIMEOUT_S = 900


def blocks(language: str) -> list[str]:
    """The fenced blocks of a language, in their order."""
    return [text for found, text in _BLOCK.findall(README) if found == language]


def run(command: list[str], folder: Path, programs: Path) -> str:
    """Runs a command there with the hearbench of a folder of programs; what it prints."""
    environment = {
        **os.environ,
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "HEARBENCH_CACHE": str(folder / "cache"),
        "HEARBENCH_DEVICE": "cpu",
    }
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=_TIMEOUT_S
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.skipif(os.name == "nt", reason="its commands are for a POSIX shell")
def test_the_readme_to_the_letter(tmp_path: Path, preloaded: Path) -> None:
    model, program = blocks("python")
    (tmp_path / "my_model.py").write_text(model, "utf-8")
    shown = "".join(run(["sh", "-eu", "-c", text], tmp_path, preloaded) for text in blocks("bash"))
    assert "valid" in shown
    assert "notes-1.0.0-demo" in shown
    assert "GURA Fuse Cat H+w+C" in shown
    assert (tmp_path / "results/my_model/yard-1.0.0-demo/result.json").is_file()
    (tmp_path / "program.py").write_text(program, "utf-8")
    printed = run(["python", "program.py"], tmp_path, preloaded)
    found = re.search(r"pitch_acc +([\d.]+) \(", printed)
    assert found
    # Of 24 notes a spectrum tells many apart, and no guess does.
    assert 0.3 < float(found[1]) <= 1


def test_the_model_has_ten_lines() -> None:
    lines = [line for line in blocks("python")[0].splitlines() if line.strip()]
    assert len(lines) == 10


def test_every_make_target_is_there() -> None:
    targets = re.findall(r"^make (\w+)", README, re.MULTILINE)
    assert targets == ["demo", "test"]
    for target in targets:
        make = shutil.which("make")
        assert make
        subprocess.run([make, "-n", target], cwd=ROOT, check=True, capture_output=True)


def test_the_table_of_tasks_is_the_catalog() -> None:
    page = tasks_table.PAGE.read_text("utf-8")
    assert tasks_table.table() in page
    assert tasks_table.written(page) == page


def test_links_lead_somewhere() -> None:
    links = [link for link in re.findall(r"\]\(([^)]+)\)", README) if "://" not in link]
    assert len(links) > 10
    for link in links:
        place, _, anchor = link.partition("#")
        assert (ROOT / place).exists(), link
        if anchor:
            headings = re.findall(r"^#+ (.+)$", (ROOT / place).read_text(), re.MULTILINE)
            assert anchor in [heading.lower().replace(" ", "-") for heading in headings], link


def test_every_command_exists() -> None:
    from hearbench.cli.app import VERBS

    named = set(re.findall(r"hearbench ([a-z][a-z-]+)", README))
    words = {"does", "doesn", "has", "changes", "to"}  # where a sentence goes on
    assert named - words <= {name.partition(" ")[0] for name in VERBS}
