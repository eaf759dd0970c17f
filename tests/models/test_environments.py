from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from helpers_progress import Noted, noting

from hearbench.errors import ModelError
from hearbench.locks import only_one
from hearbench.models import environments
from hearbench.models.environments import (
    list_environments,
    make_environment,
)
from hearbench.models.pythons import BasePython, find_python
from hearbench.workspace import Workspace

# Builds a wheel of the package beside it with nothing but what comes with Python.
_BACKEND = """
import os, zipfile

def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    print("building on stdout")
    {extra}
    name = "hk_tiny-0.5-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(wheel_directory, name), "w") as file:
        file.write("hk_tiny.py")
        file.writestr("hk_tiny-0.5.dist-info/METADATA",
                      "Metadata-Version: 2.1\\nName: hk-tiny\\nVersion: 0.5\\n{needs}")
        file.writestr("hk_tiny-0.5.dist-info/WHEEL",
                      "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        file.writestr("hk_tiny-0.5.dist-info/RECORD", "")
    return name
"""


def _write_tree(folder: Path, *, extra: str = "pass", needs: str = "") -> Path:
    folder.mkdir()
    (folder / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        '[project]\nname = "hk-tiny"\nversion = "0.5"\n'
    )
    (folder / "backend.py").write_text(_BACKEND.format(extra=extra, needs=needs))
    (folder / "hk_tiny.py").write_text("import numpy\nshown = 'tiny ' + numpy.__version__\n")
    return folder


def _write_wheel(folder: Path, name: str, version: str) -> None:
    info = f"{name}-{version}.dist-info"
    contents = {
        f"{name}.py": f"__version__ = '{version}'\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = f"{info}/RECORD,,\n"
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as file:
        for place, text in contents.items():
            digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest())
            record += f"{place},sha256={digest.rstrip(b'=').decode()},{len(text)}\n"
            file.writestr(place, text)
        file.writestr(f"{info}/RECORD", record)


@pytest.fixture(scope="module")
def offline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Pip finds a numpy and a model in a folder, and looks nowhere else."""
    wheels = tmp_path_factory.mktemp("wheels")
    _write_wheel(wheels, "numpy", "0.9")
    _write_wheel(wheels, "hk_model", "1.0")
    _write_wheel(wheels, "hk_model", "2.0")
    with pytest.MonkeyPatch.context() as patch:
        for key in [key for key in os.environ if key.startswith("PIP_")]:
            patch.delenv(key)
        patch.setenv("PIP_CONFIG_FILE", os.devnull)
        patch.setenv("PIP_NO_INDEX", "1")
        patch.setenv("PIP_FIND_LINKS", str(wheels))
        yield wheels


@pytest.fixture(scope="module")
def made(offline: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """The interpreter of an environment that was made as it always is, and what was told."""
    folder = tmp_path_factory.mktemp("made")
    told = Noted()
    tree = _write_tree(folder / "tiny-src")
    python = make_environment(str(tree), workspace=Workspace(folder / "cache", progress=told))
    return python, [state.text for state in told.states]


@pytest.fixture
def quick(made: tuple[Path, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """New environments share the pip of the one that was made: installing it takes seconds."""
    (installed,) = made[0].parents[1].glob("lib/python*/site-packages")
    shared = tmp_path / "pip"
    shared.mkdir()
    for path in installed.glob("pip*"):
        (shared / path.name).symlink_to(path)

    def create(base: BasePython, folder: Path, tell: object) -> None:
        subprocess.run([base.program, "-m", "venv", "--without-pip", folder], check=True)
        (packages,) = folder.glob("lib/python*/site-packages")
        (packages / "pip.pth").write_text(f"{shared}\n")

    monkeypatch.setattr(environments, "_create", create)


def _shown(python: Path, code: str) -> str:
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_a_source_tree_is_installed_beside_numpy(made: tuple[Path, list[str]]) -> None:
    python, told = made
    folder = python.parents[1]
    assert _shown(python, "import hk_tiny; print(hk_tiny.shown)") == "tiny 0.9"
    # As a copy, which doesn't change with the tree.
    place = _shown(python, "import hk_tiny; print(hk_tiny.__file__)")
    assert Path(place).is_relative_to(folder)
    assert folder.parent.name == "environments"
    assert folder.name.startswith("tiny-src-")
    record = json.loads((folder / "environment.json").read_text())
    assert record["packages"][:2] == ["hk-tiny @ " + record["packages"][0][10:], "numpy==0.9"]
    assert record["python_version"] == find_python(None).version_text
    assert told[0] == f"Making an environment with Python {record['python_version']}"
    assert any(line.startswith("Successfully installed hk-tiny-0.5 numpy-0.9") for line in told)
    (found,) = list_environments(Workspace(cache_dir=folder.parents[1]))
    assert (found.folder, found.python, found.created) == (folder, python, record["created"])
    # Nothing is left beside it.
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_it_is_made_once(
    made: tuple[Path, list[str]], workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    python, _ = made
    cache = python.parents[3]
    tree = cache.parent / "tiny-src"
    told = Noted()
    again = make_environment(
        str(tree), workspace=Workspace(cache, progress=told), python=sys.executable
    )
    assert (again, told.lines, told.states) == (python, [], [])


@pytest.mark.usefixtures("quick")
def test_a_changed_tree_gets_another_one(made: tuple[Path, list[str]], tmp_path: Path) -> None:
    first, _ = made
    cache = first.parents[3]
    shutil.copytree(cache.parent / "tiny-src", tmp_path / "tiny-src")
    (tmp_path / "tiny-src" / "hk_tiny.py").write_text("shown = 'changed'\n")
    workspace = Workspace(cache_dir=cache)
    second = make_environment(str(tmp_path / "tiny-src"), workspace=workspace)
    code = "import hk_tiny; print(hk_tiny.shown)"
    assert [_shown(python, code) for python in (first, second)] == ["tiny 0.9", "changed"]
    assert {found.python for found in list_environments(workspace)} == {first, second}
    shutil.rmtree(second.parents[1])
    assert [found.python for found in list_environments(workspace)] == [first]


@pytest.mark.usefixtures("quick")
def test_a_requirement_is_installed(workspace: Workspace) -> None:
    told = Noted()
    python = make_environment("hk-model==1.0", workspace=noting(workspace, told))
    (said,) = told.lines
    where = f"a new environment, {python.parents[1]} (Python {platform.python_version()})"
    assert said.startswith(f"pip installs hk-model==1.0 and all that it depends on into {where}. ")
    code = "import hk_model; print(hk_model.__version__)"
    assert _shown(python, code) == "1.0"
    (found,) = list_environments(workspace)
    assert found.spec == "hk-model==1.0"
    assert {"hk_model==1.0", "numpy==0.9"} <= set(found.packages)


@pytest.mark.usefixtures("quick")
def test_what_pip_says_last_is_in_the_error(tmp_path: Path, workspace: Workspace) -> None:
    tree = _write_tree(tmp_path / "src", needs="Requires-Dist: hk-missing==3\\n")
    with pytest.raises(ModelError) as caught:
        make_environment(str(tree), workspace=workspace)
    text = str(caught.value)
    assert text.startswith(f"pip can't install {tree} with Python {find_python(None).version_text}")
    assert "No matching distribution found for hk-missing==3" in text
    assert len(text.splitlines()) <= 22
    assert not any((workspace.cache_dir / "environments").glob("*"))


@pytest.mark.usefixtures("quick")
def test_an_interruption_ends_pip_and_leaves_nothing(tmp_path: Path, workspace: Workspace) -> None:
    marker = tmp_path / "building"
    wait = f"import time; open({str(marker)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    tree = _write_tree(tmp_path / "src", extra=wait)

    def interrupt() -> None:
        while not (marker.is_file() and marker.read_text()):
            pause.wait(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    pause = threading.Event()
    thread = threading.Thread(target=interrupt, daemon=True)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        make_environment(str(tree), workspace=workspace)
    thread.join()
    # It was pip's child, and what collects orphans may be slow.
    with contextlib.suppress(psutil.NoSuchProcess):
        assert psutil.Process(int(marker.read_text())).status() == psutil.STATUS_ZOMBIE
    assert not any((workspace.cache_dir / "environments").glob("*"))


@pytest.mark.usefixtures("quick")
def test_one_that_was_not_finished_is_made_anew(tmp_path: Path, workspace: Workspace) -> None:
    tree = _write_tree(tmp_path / "src")
    python = make_environment(str(tree), workspace=workspace)
    folder = python.parents[1]
    (folder / "left").write_text("")
    record = folder / "environment.json"
    whole = record.read_text()
    python.rename(folder / "away")
    assert list_environments(workspace) == []
    (folder / "away").rename(python)
    record.unlink()
    assert list_environments(workspace) == []
    record.write_text(whole[:20])
    assert list_environments(workspace) == []
    assert make_environment(str(tree), workspace=workspace) == python
    (found,) = list_environments(workspace)
    assert found.folder == folder
    assert not (folder / "left").exists()


@pytest.mark.usefixtures("quick")
def test_two_make_it_once(tmp_path: Path, workspace: Workspace) -> None:
    tree = _write_tree(tmp_path / "src")
    told = Noted()
    threads = [
        threading.Thread(
            target=make_environment,
            args=(str(tree),),
            kwargs={"workspace": noting(workspace, told)},
        )
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (found,) = list_environments(workspace)
    assert sum(state.text.startswith("Making") for state in told.states) == 1
    waiting = [
        line for line in told.lines if line.startswith(f"making {found.folder}: waiting for")
    ]
    assert len(waiting) == 1
    assert f"process {os.getpid()}" in waiting[0]
    with only_one(found.folder.with_name(f".tmp-{found.folder.name}.lock")) as alone:
        assert alone


def _fake_python(path: Path, version: str, has_venv: bool) -> Path:
    said = json.dumps(
        {"version": [int(part) for part in version.split(".")], "program": str(path)}
        | {"venv": has_venv}
    )
    path.write_text(f"#!/bin/sh\necho '{said}'\n")
    path.chmod(0o755)
    return path


def test_interpreters_that_cannot_are_refused(
    tmp_path: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = str(_write_tree(tmp_path / "src"))
    old = _fake_python(tmp_path / "old", "3.6.15", True)
    with pytest.raises(ModelError, match=r"is Python 3\.6\.15; models run on 3\.7 or later"):
        make_environment(tree, workspace=workspace, python=old)
    monkeypatch.setenv("PATH", str(tmp_path))
    bare = _fake_python(tmp_path / "bare", "3.9.2", False)
    with pytest.raises(ModelError, match=r"the package python3\.9-venv\), or uv"):
        make_environment(tree, workspace=workspace, python=bare)
    # Where uv is, it does it.
    uv = tmp_path / "uv"
    uv.write_text('#!/bin/sh\necho "uv got $@"\nexit 1\n')
    uv.chmod(0o755)
    with pytest.raises(ModelError, match=rf"uv got venv --seed --python {bare} {tmp_path}/cache"):
        make_environment(tree, workspace=workspace, python=bare)
    assert not any((workspace.cache_dir / "environments").glob("*"))


@pytest.mark.real
def test_a_real_tree_gets_the_numpy_that_it_needs(tmp_path: Path, workspace: Workspace) -> None:
    try:
        base = find_python("3.9")
    except ModelError as error:
        pytest.skip(str(error))
    tree = tmp_path / "old-src"
    (tree / "old_model").mkdir(parents=True)
    (tree / "setup.py").write_text(
        textwrap.dedent(
            """
            from setuptools import setup
            setup(name="old-model", version="0.1", packages=["old_model"],
                  install_requires=["numpy<2"])
            """
        )
    )
    (tree / "old_model" / "__init__.py").write_text("")
    (tree / "old_model" / "api.py").write_text("import numpy\n")
    python = make_environment(str(tree), workspace=workspace, python="3.9")
    code = "import sys, old_model.api as a; print(sys.version_info[:2], a.numpy.__version__)"
    shown = _shown(python, code)
    assert shown.startswith("(3, 9) 1.")
    (found,) = list_environments(workspace)
    assert found.python_version == base.version_text
    shutil.rmtree(found.folder)


# One that lists what a wheel holds, as setup.py does, and knows nothing of editing.
_LISTS = """
import os, zipfile

def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    return _wheel(wheel_directory, {listed!r})
{editing}
def _wheel(folder, names, path=None):
    name = "hk_listed-0.5-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(folder, name), "w") as file:
        for place in names:
            file.write(place)
        if path:
            file.writestr("hk_listed.pth", path)
        info = "hk_listed-0.5.dist-info/"
        file.writestr(info + "METADATA", "Metadata-Version: 2.1\\nName: hk-listed\\nVersion: 0.5\\nRequires-Dist: hk-model\\n")
        file.writestr(info + "WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        file.writestr(info + "RECORD", "")
    return name
"""  # noqa: E501
_EDITING = """
def build_editable(wheel_directory, config_settings=None, metadata_directory=None):
    return _wheel(wheel_directory, [], os.getcwd() + "\\n")
"""
_FILES = {
    "hk_api/__init__.py": "",
    "hk_api/hear.py": "import hk_layers.conv as c\nfrom . import sizes\nshown = 'hear', c.width\n",
    # Of this name there is a package that the model depends on.
    "hk_api/sizes.py": "from hk_model import __version__\n",
    "hk_api/labels.csv": "a,b\n",
    "hk_api/tests/test_hear.py": "",
    "hk_api/README.md": "",
    "hk_layers/conv.py": "width = 3\n",
    "hk_model/__init__.py": "",
    "setup.py": "import hk_layers\n",
}
_WHOLE = ["hk_api/__init__.py", "hk_api/hear.py", "hk_api/sizes.py", "hk_api/labels.csv"]


def _listing_tree(folder: Path, listed: list[str], *, editing: bool = False) -> Path:
    _write_tree(folder)
    backend = _LISTS.format(listed=listed, editing=_EDITING if editing else "")
    (folder / "backend.py").write_text(backend)
    (folder / "hk_tiny.py").unlink()
    for name, text in _FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("editing", "listed", "lacked"),
    [
        # No packages at all, the module itself, one that it imports, a file of data.
        (True, [], ("hk_api", "hk_layers")),
        (False, ["hk_api/__init__.py", "hk_layers/conv.py"], ("hk_api/hear.py",)),
        (True, _WHOLE, ("hk_layers",)),
        (False, [*_WHOLE[:-1], "hk_layers/conv.py"], ("hk_api/labels.csv",)),
        # All that is needed; tests and documentation aren't.
        (False, [*_WHOLE, "hk_layers/conv.py"], ()),
    ],
    ids=["nothing", "module", "imported", "data", "whole"],
)
def test_what_a_copy_lacks_is_read_where_it_lies(
    tmp_path: Path, workspace: Workspace, editing: bool, listed: list[str], lacked: tuple[str, ...]
) -> None:
    tree = _listing_tree(tmp_path / "listed", listed, editing=editing)
    told = Noted()
    python = make_environment(str(tree), workspace=noting(workspace, told), modules=["hk_api.hear"])
    (found,) = list_environments(workspace)
    assert found.python == python
    assert found.editable == (tree if lacked else None)
    assert set(lacked) <= set(found.lacked)
    assert bool(found.lacked) == bool(lacked)
    assert any("for editing" in state.text for state in told.states) == bool(lacked)
    code = "import hk_api.hear as h, os; print(h.shown, h.__file__, os.listdir(h.__file__[:-7]))"
    shown = _shown(python, code)
    assert "('hear', 3)" in shown
    assert _shown(python, "import hk_api.sizes as s; print(s.__version__)") == "2.0"
    assert "labels.csv" in shown
    assert (str(tree) in shown) == bool(lacked)
    # Found again, and not made again.
    assert make_environment(str(tree), workspace=workspace, modules=["hk_api.hear"]) == python


@pytest.mark.usefixtures("quick")
def test_what_is_read_in_place_counts_by_content_and_place(
    tmp_path: Path, workspace: Workspace
) -> None:
    tree = _listing_tree(tmp_path / "listed", ["hk_api/__init__.py"])

    def made(folder: Path, *modules: str) -> Path:
        return make_environment(str(folder), workspace=workspace, modules=modules)

    # An environment that was made for less is mended when more is asked of it.
    first = made(tree)
    assert [one.editable for one in list_environments(workspace)] == [None]
    assert made(tree, "hk_api.hear") == first
    assert [one.editable for one in list_environments(workspace)] == [tree]
    # The same files elsewhere may change without these.
    (tmp_path / "other").mkdir()
    other = shutil.copytree(tree, tmp_path / "other" / "listed")
    second = made(other, "hk_api.hear")
    assert second != first
    assert str(other) in _shown(second, "import hk_api.hear as h; print(h.__file__)")
    assert made(other, "hk_api.hear") == second
    # What is read there is part of what the environment is.
    (tree / "hk_layers" / "conv.py").write_text("width = 4\n")
    third = made(tree, "hk_api.hear")
    assert third not in (first, second)
    assert "4" in _shown(third, "import hk_api.hear as h; print(h.shown)")
    assert len(list_environments(workspace)) == 3
