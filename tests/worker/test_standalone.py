"""The code that is sent to other interpreters needs nothing of hearbench, and runs on old ones."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import hearbench.worker
from hearbench.models.other_process import open_places

FOLDER = Path(hearbench.worker.__file__).parent
FILES = sorted(FOLDER.rglob("*.py"))
# Frameworks are imported inside functions, once a model has imported them.
AT_THE_TOP = {"numpy", *sys.stdlib_module_names}
WITHIN = AT_THE_TOP | {"torch", "tensorflow", "transformers"}


@pytest.mark.parametrize("path", FILES, ids=[str(path.relative_to(FOLDER)) for path in FILES])
def test_nothing_but_the_standard_library_and_numpy(path: Path) -> None:
    # Only imported for models that are of that framework.
    is_torch = path.parent.name == "checkpoints" or path.name == "network.py"
    at_the_top = AT_THE_TOP | ({"torch"} if is_torch else set())
    tree = ast.parse(path.read_text(), feature_version=(3, 7))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [str(node.module)]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        allowed = at_the_top if node in tree.body else WITHIN
        assert {name.partition(".")[0] for name in names} <= allowed


def runs(place: str | Path) -> bool:
    return subprocess.run([str(place), "-c", ""], capture_output=True).returncode == 0


@pytest.mark.parametrize("version", ["3.7", "3.8", "3.9", "3.12", "3.13"])
def test_other_pythons_compile_it(version: str, tmp_path: Path) -> None:
    places = [
        shutil.which(f"python{version}"),
        *sorted((Path.home() / ".pyenv" / "versions").glob(f"{version}.*/bin/python")),
    ]
    # One that a manager of versions stands in for may be there and not run.
    found = [place for place in places if place and runs(place)]
    if not found:
        pytest.skip(f"no Python {version} here")
    copy = shutil.copytree(FOLDER, tmp_path / "hearbench_worker")
    command = [str(found[-1]), "-m", "compileall", "-q", str(copy)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_it_starts_without_hearbench(tmp_path: Path) -> None:
    """In an interpreter that sees the standard library and numpy alone."""
    import numpy as np

    shutil.copytree(FOLDER, tmp_path / "hearbench_worker")
    (tmp_path / "numpy").symlink_to(Path(np.__file__).parent)
    libraries = Path(np.__file__).parent.parent / "numpy.libs"
    if libraries.is_dir():
        (tmp_path / "numpy.libs").symlink_to(libraries)
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "from hearbench_worker.serve import main; main()"
    )
    commands = '{"number": 5, "do": "memory", "with": {}}\n'
    files = [*open_places().values()]
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code, ",".join(map(str, files)), "0"],
        input=commands,
        capture_output=True,
        text=True,
        timeout=300,
        pass_fds=files,
    )
    for file in files:
        os.close(file)
    assert done.returncode == 0, done.stderr
    start, answer, end = done.stdout.split("\n")
    assert (start, end) == ("", "")
    assert '"number": 5' in answer
    assert '"device_mb": null' in answer
