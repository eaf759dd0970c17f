"""A damaged installation is noticed when the command starts."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import hearbench


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder that holds the package as an installer would have put it there."""
    package = tmp_path / "hearbench"
    shutil.copytree(
        Path(hearbench.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__")
    )
    information = tmp_path / "hearbench-0.1.0.dist-info"
    information.mkdir()
    metadata = ("Metadata-Version: 2.1", "Name: hearbench", "Version: 0.1.0")
    (information / "METADATA").write_text("\n".join([*metadata, ""]))
    rows = [
        f"{path.relative_to(tmp_path).as_posix()},,{path.stat().st_size}"
        for path in sorted(package.rglob("*"))
        if path.is_file()
    ]
    (information / "RECORD").write_text("\n".join([*rows, "hearbench-0.1.0.dist-info/RECORD,,"]))
    return tmp_path


def version_from(site: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "hearbench.cli", "--version"],
        env={**os.environ, "PYTHONPATH": str(site)},
        cwd=site,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_whole_installation_starts(site: Path) -> None:
    done = version_from(site)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("hearbench ")


@pytest.mark.parametrize("harm", ["emptied", "deleted", "replaced"])
@pytest.mark.parametrize("name", ["__init__.py", "errors.py", "tasks/catalog/esc50.toml"])
def test_a_damaged_file_is_named(site: Path, name: str, harm: str) -> None:
    path = site / "hearbench" / name
    if harm == "deleted":
        path.unlink()
    else:
        path.write_text("" if harm == "emptied" else "x = 1\n")
    done = version_from(site)
    assert done.returncode == 2
    assert str(path) in done.stderr
    assert "Traceback" not in done.stderr
