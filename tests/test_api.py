from __future__ import annotations

import importlib

import hearkit
import hearkit.tasks


def test_all_is_sorted_and_complete() -> None:
    for module, more in ((hearkit, {"__version__"}), (hearkit.tasks, set[str]())):
        assert module.__all__ == sorted(module.__all__)
        assert set(module.__all__) == {*module._HOMES, *more}
        assert dir(module) == module.__all__


def test_every_name_is_the_one_of_its_home() -> None:
    for name, home in hearkit._HOMES.items():
        assert getattr(hearkit, name) is getattr(importlib.import_module(home), name)
    for name, home in hearkit.tasks._HOMES.items():
        found = getattr(importlib.import_module(f"hearkit.tasks.{home}"), name)
        assert getattr(hearkit.tasks, name) is found


def test_what_is_not_there() -> None:
    assert not hasattr(hearkit, "no_such_name")
    assert not hasattr(hearkit.tasks, "no_such_name")
