"""What a model's source imports."""

from __future__ import annotations

import importlib.machinery
import sys
import types
from pathlib import Path

import pytest

from hearbench.worker.importing import files_below
from hearbench.worker.imports import imports_of


def test_packages_that_say_where_they_lie_by_paths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "site-packages" / "odd_package"
    odd = types.ModuleType("odd_package")
    odd.__spec__ = importlib.machinery.ModuleSpec("odd_package", None, is_package=True)
    odd.__spec__.submodule_search_locations = [place]  # type: ignore[list-item]
    monkeypatch.setitem(sys.modules, "odd_package", odd)
    model = tmp_path / "model.py"
    model.write_text("import odd_package.networks\n")
    assert imports_of([str(model)], [], None).packages == {"odd_package": [str(place)]}


class PutOff(types.ModuleType):
    """A module that a package imports when something of it is asked for, here one that fails."""

    def __getattr__(self, name: str) -> object:
        raise ImportError(name)


def test_modules_that_are_put_off_are_left_alone(tmp_path: Path) -> None:
    loaded = types.ModuleType("loaded")
    loaded.__file__ = str(tmp_path / "loaded.py")
    modules = {"put_off": PutOff("put_off"), "loaded": loaded}
    assert files_below(tmp_path, modules) == {tmp_path / "loaded.py"}
