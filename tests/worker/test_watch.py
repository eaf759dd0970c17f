"""What a watched process notes and refuses; each case in a process, as hooks can't be removed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import json, os, sys
import numpy as np
from hearbench.worker.watch import Watch, random_states
watch = Watch()
folder = sys.argv[1]
before = random_states()
watch.begin()
try:
    {code}
except OSError as error:
    print("refused" if "belongs to the benchmark" in str(error) else "failed", file=sys.stderr)
effects = watch.end()
after = random_states()
effects["random"] = sorted(name for name in before if before[name] != after[name])
effects["violations"] = watch.take_violations()
print(json.dumps(effects))
"""


def watched(
    code: str, folder: Path, python: str | Path = sys.executable
) -> tuple[dict[str, list[str]], str]:
    program = PROGRAM.format(code=code)
    done = subprocess.run(
        [python, "-c", program, str(folder)], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, list[str]] = json.loads(done.stdout)
    return found, done.stderr


NOTHING: dict[str, list[str]] = {
    "network": [],
    "writes": [],
    "programs": [],
    "random": [],
    "violations": [],
}


@pytest.mark.parametrize(
    ("code", "kind", "what"),
    [
        ("import socket; socket.create_connection(('127.0.0.1', 9), 1)", "network", "127.0.0.1"),
        ("open(folder + '/a.txt', 'w').close()", "writes", "{folder}/a.txt"),
        ("os.close(os.open(folder + '/b', os.O_CREAT | os.O_WRONLY))", "writes", "{folder}/b"),
        ("os.mkdir(folder + '/c')", "writes", "{folder}/c"),
        ("os.system('true')", "programs", "true"),
        ("import subprocess; subprocess.run(['true'])", "programs", "true"),
        ("import random; random.seed(1)", "random", "random"),
        ("np.random.seed(1)", "random", "numpy.random"),
        ("np.random.rand()", "random", "numpy.random"),
        ("import torch; torch.manual_seed(0)", "random", "torch"),
        ("import torch; torch.rand(1)", "random", "torch"),
    ],
)
def test_effects_are_noted(
    code: str, kind: str, what: str, tmp_path: Path, preloaded: Path
) -> None:
    found, _ = watched(code, tmp_path, preloaded / "python")
    assert any(what.format(folder=tmp_path) in item for item in found[kind]), found


@pytest.mark.parametrize(
    "code",
    [
        "open(sys.executable, 'rb').close()",
        "import torch",
        "np.random.default_rng(0).normal(); np.random.RandomState(3).rand()",
        "open(os.devnull, 'w').close()",
    ],
)
def test_what_is_no_effect_is_not_noted(code: str, tmp_path: Path) -> None:
    found, _ = watched(code, tmp_path)
    assert found == NOTHING


def test_a_generator_of_ones_own_is_no_effect(tmp_path: Path, preloaded: Path) -> None:
    code = "import torch; torch.Generator().manual_seed(3)"
    found, _ = watched(code, tmp_path, preloaded / "python")
    assert found == NOTHING


@pytest.mark.parametrize(
    ("code", "refused"),
    [
        ("open(folder + '/tasks/test.json').read()", True),
        ("open(folder + '/tasks/../tasks/test.json').read()", True),
        ("os.listdir(folder + '/tasks')", True),
        ("open(folder + '/link').read()", True),
        ("np.load(folder + '/tasks/x.npy')", True),
        ("open(folder + '/tasks/models/w.bin').read()", False),
        ("open(folder + '/tasks2').read()", False),
        ("os.listdir(folder)", False),
    ],
)
def test_guarded_folders(code: str, refused: bool, tmp_path: Path) -> None:
    (tmp_path / "tasks" / "models").mkdir(parents=True)
    for name in ("tasks/test.json", "tasks/x.npy", "tasks/models/w.bin", "tasks2"):
        (tmp_path / name).write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "tasks" / "test.json")
    guard = "watch.guard([folder + '/tasks'], [folder, folder + '/tasks/models'])"
    found, stderr = watched(f"{guard}; {code}", tmp_path)
    assert ("refused" in stderr) == refused
    assert bool(found["violations"]) == refused
    assert "failed" not in stderr
