from __future__ import annotations

import importlib

import hearkit


def test_all_is_sorted_and_complete() -> None:
    assert hearkit.__all__ == sorted(hearkit.__all__)
    assert set(hearkit.__all__) == {*hearkit._HOMES, "__version__"}
    assert dir(hearkit) == hearkit.__all__


def test_every_name_is_the_one_of_its_home() -> None:
    for name, home in hearkit._HOMES.items():
        assert getattr(hearkit, name) is getattr(importlib.import_module(home), name)


def test_what_is_not_there() -> None:
    assert not hasattr(hearkit, "no_such_name")
