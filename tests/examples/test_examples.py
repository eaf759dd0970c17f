"""The example programs and the notebook, as a reader would run them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from helpers_cli import hearbench

from hearbench.demo import make_demo_tasks, write_starter_model
from hearbench.workspace import Workspace

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
NOTEBOOK = EXAMPLES / "first_steps.ipynb"
_EXECUTE = "from nbclient.cli import main; main()"
_TIMEOUT_S = 900


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("examples")
    make_demo_tasks(folder, workspace=Workspace(cache_dir=folder / "cache", device="cpu"))
    write_starter_model(folder / "my_model.py")
    return folder


def run(command: list[object], folder: Path) -> str:
    """Runs Python there; what it prints."""
    environment = {
        **os.environ,
        "HEARBENCH_CACHE": str(folder / "cache"),
        "HEARBENCH_DEVICE": "cpu",
        "HEARBENCH_NOTEBOOK_DIR": str(folder),
        # The kernel's own folders, and no looking at those of the user.
        "IPYTHONDIR": str(folder / "ipython"),
        "JUPYTER_RUNTIME_DIR": str(folder / "jupyter"),
    }
    done = subprocess.run(
        [sys.executable, *map(str, command)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.usefixtures("quick_python")
def test_models_are_compared(folder: Path) -> None:
    task = folder / "tasks/strokes-1.0.0-demo"
    shown = run([EXAMPLES / "compare_models.py", "my_model.py", "--tasks", task], folder)
    head, row = shown.splitlines()
    assert head.split("\t") == ["model", "strokes"]
    name, score = row.split("\t")
    assert name == "my_model"
    # One of six would be luck.
    assert 0.25 < float(score) <= 1


@pytest.mark.usefixtures("quick_python")
def test_a_network_is_evaluated_in_its_training(folder: Path) -> None:
    train, *tasks = (folder / f"tasks/{name}-1.0.0-demo" for name in ("strokes", "notes", "layers"))
    command = [EXAMPLES / "train_and_evaluate.py", "--train", train, "--tasks", *tasks]
    command += ["--epochs", 4, "--every", 4, "--protocol", "knn"]
    shown = run(command, folder)
    first, last = (line.split("\t") for line in shown.splitlines())
    assert (first[0], last[0]) == ("epoch 0", "epoch 4")
    for line in (first, last):
        named = [cell.split()[:2] for cell in line[1:]]
        assert [name for name, _ in named] == ["notes-1.0.0-demo", "layers-1.0.0-demo"]
        assert all(0 <= float(score) <= 1 for _, score in named)
    assert first[1:] != last[1:]
    kept = [path.name for path in (folder / "cache/embeddings/notes-1.0.0-demo").iterdir()]
    assert {"epoch-0", "epoch-4"} <= set(kept)
    assert run(command, folder) == shown


@pytest.mark.usefixtures("quick_python")
def test_errors_are_found(folder: Path) -> None:
    task = folder / "tasks/notes-1.0.0-demo"
    answer = hearbench(
        "evaluate", folder / "my_model.py", "--task", task, "--out", folder / "results",
        "--protocol", "faster", "--grid-points", 1, "--cache", folder / "cache", "--json",
    )  # fmt: skip
    result = folder / "results/my_model/notes-1.0.0-demo"
    lines = run([EXAMPLES / "look_at_errors.py", result, task], folder).splitlines()
    summary = answer.json["results"][0]["scores"]["pitch_acc"]["mean"]
    assert len(lines) == min(10, round(72 * (1 - summary)))
    assert all(line.startswith("test/") and "taken for" in line for line in lines)


def test_the_notebook_runs(folder: Path) -> None:
    executed = folder / "executed.ipynb"
    run(["-c", _EXECUTE, NOTEBOOK, "--output", executed.with_suffix("")], folder)
    kept, new = (json.loads(path.read_text("utf-8"))["cells"] for path in (NOTEBOOK, executed))
    assert [cell["source"] for cell in new] == [cell["source"] for cell in kept]
    assert any("pitch_acc" in json.dumps(cell.get("outputs", "")) for cell in new)
    assert not [cell for cell in kept if cell["cell_type"] == "code" and not cell["outputs"]]
