from __future__ import annotations

import importlib

import hearbench
import hearbench.tasks


def test_all_is_sorted_and_complete() -> None:
    for module, more in ((hearbench, {"__version__"}), (hearbench.tasks, set[str]())):
        assert module.__all__ == sorted(module.__all__)
        assert set(module.__all__) == {*module._HOMES, *more}
        assert dir(module) == module.__all__


def test_every_name_is_the_one_of_its_home() -> None:
    for name, home in hearbench._HOMES.items():
        assert getattr(hearbench, name) is getattr(importlib.import_module(home), name)
    for name, home in hearbench.tasks._HOMES.items():
        found = getattr(importlib.import_module(f"hearbench.tasks.{home}"), name)
        assert getattr(hearbench.tasks, name) is found


def test_what_is_not_there() -> None:
    assert not hasattr(hearbench, "no_such_name")
    assert not hasattr(hearbench.tasks, "no_such_name")
