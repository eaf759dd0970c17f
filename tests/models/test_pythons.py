from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from hearbench.errors import ModelError
from hearbench.models.pythons import find_python


@pytest.fixture
def nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH and a pyenv without interpreters; the folder on the PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    return folder


def _program(path: Path, script: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def _fake(path: Path, version: list[int]) -> Path:
    """A program that says of itself that it is a Python."""
    said = json.dumps({"version": version, "program": str(path), "venv": True})
    return _program(path, f"echo '{said}'")


def test_by_default_it_is_the_running_interpreter() -> None:
    found = find_python(None)
    assert found.version == sys.version_info[:3]
    assert found.version_text == ".".join(map(str, sys.version_info[:3]))
    # Not that of an environment, which it may be running in.
    assert os.path.realpath(found.program) == os.path.realpath(sys.executable)
    assert Path(sys.base_prefix) in found.program.parents
    assert found.has_venv


def test_a_path_or_a_program_of_the_path_is_taken(nothing: Path) -> None:
    python = _fake(nothing / "my-python", [3, 8, 1])
    assert find_python(python).version == (3, 8, 1)
    assert find_python("my-python").program == python
    assert find_python(sys.executable).version == sys.version_info[:3]


def test_a_version_is_looked_for_everywhere(nothing: Path, tmp_path: Path) -> None:
    running = find_python(f"{sys.version_info[0]}.{sys.version_info[1]}")
    assert running.version == sys.version_info[:3]
    # A shim of pyenv that finds nothing, and a program that isn't what it is called.
    _program(nothing / "python3.5", "echo 'pyenv: command not found' >&2; exit 127")
    _fake(nothing / "python3.4", [3, 3, 0])
    for version in ("3.5.9", "3.5.10", "3.50.1", "3.4.2"):
        python = tmp_path / "pyenv" / "versions" / version / "bin" / "python"
        _fake(python, [int(part) for part in version.split(".")])
    assert find_python("3.5").version == (3, 5, 10)
    assert find_python("3.5.9").version == (3, 5, 9)
    assert find_python("3.4").version == (3, 4, 2)
    _fake(nothing / "python3.5", [3, 5, 1])
    assert find_python("3.5").version == (3, 5, 1)
    assert find_python("3.5.9").version == (3, 5, 9)


def test_uv_is_asked_last_and_may_download(
    nothing: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = tmp_path / "uv-python"
    log = tmp_path / "log"
    said = json.dumps({"version": [3, 5, 2], "program": str(python), "venv": False})
    monkeypatch.setenv("SCRIPT", f"#!/bin/sh\necho '{said}'\n")
    _program(
        nothing / "uv",
        f'echo "$@" >> {log}\n'
        f'case "$2" in install) printf "%s" "$SCRIPT" > {python}; /bin/chmod +x {python};; '
        f"*) [ -e {python} ] && echo {python};; esac",
    )
    found = find_python("3.5")
    assert (found.program, found.version, found.has_venv) == (python, (3, 5, 2), False)
    find = "python find --no-python-downloads 3.5"
    assert log.read_text().splitlines() == [find, "python install 3.5", find]


def test_what_is_no_python_is_refused(nothing: Path, tmp_path: Path) -> None:
    python = tmp_path / "pyenv" / "versions" / "3.8.1" / "bin" / "python"
    _fake(python, [3, 8, 1])
    with pytest.raises(
        ModelError, match=r"no Python 3\.5\.7: none is called python3\.5 on the"
    ) as e:
        find_python("3.5.7")
    assert "pyenv has 3.8.1, and uv isn't installed" in str(e.value)
    _program(nothing / "uv", "exit 2")
    with pytest.raises(ModelError, match="uv can't get it either"):
        find_python("3.5")
    with pytest.raises(ModelError, match="There is no interpreter venv/bin/python"):
        find_python("venv/bin/python")
    for script in ("exit 1", "echo nonsense", "echo '{}'"):
        with pytest.raises(ModelError, match="isn't a Python that can be used"):
            find_python(_program(nothing / "odd", script))
