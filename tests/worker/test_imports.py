"""What a model's source imports."""

from __future__ import annotations

import importlib.machinery
import sys
import types
from pathlib import Path

import pytest

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
