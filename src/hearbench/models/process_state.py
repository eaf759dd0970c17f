"""The settings of this process that a model's code may change, read and put back.

Models share one process with each other and with the probe. What one of them sets for the whole
process, as a default type, a seed or a folder, is its own affair: it has it whenever its code
runs, and no one else has it.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Mapping
from typing import Any

from hearbench.models.framework_settings import numpy_settings, tensorflow_settings, torch_settings
from hearbench.models.python_settings import (
    Setting,
    exit_of_a_model,
    python_settings,
    system_settings,
)

__all__ = ["RANDOM", "ProcessState", "all_settings", "read_settings"]


class ProcessState:
    """What one model has changed of the process's settings.

    Between ``enter`` and ``leave`` its own values hold, and outside of these what was before.

    Args:
        begin: Values with which it begins, by the names of `all_settings`; elsewhere it begins with
            what it finds, but for ``os._exit``, which would end hearbench with all that it does.
    """

    def __init__(self, begin: Mapping[str, Any] | None = None) -> None:
        self.own = {"os._exit": exit_of_a_model(), **(begin or {})}
        self._others: dict[str, Any] = {}
        self._given: dict[str, Any] = {}

    def enter(self) -> None:
        """Sets what is the model's own."""
        self._others = self._given = read_settings()
        if self.own:
            self._given = {**self._others, **self.own}
            self._put(self.own, self._others, all_settings())

    def leave(self) -> None:
        """Keeps what the model has changed, and puts back what was before."""
        now, table = read_settings(), all_settings()
        if now != self._given:
            for name, value in now.items():
                if value != self._given.get(name, table[name].default):
                    self.own[name] = value
        others = {name: self._others.get(name, table[name].default) for name in self.own}
        self._put(others, now, table)
        self._others = self._given = {}

    def _put(
        self, wanted: Mapping[str, Any], there: Mapping[str, Any], table: Mapping[str, Setting]
    ) -> None:
        for name, value in wanted.items():
            if name in there and there[name] != value:
                table[name].set(value)


def read_settings() -> dict[str, Any]:
    """All settings of what is imported, by name."""
    modules = sys.modules
    return {name: one.get() for name, one in all_settings().items() if one.library in modules}


# Global random generators, which every copy of a model finds in the same state.
RANDOM = ("random", "numpy.random", "torch.random", "torch.cuda.random")


@functools.cache
def all_settings() -> Mapping[str, Setting]:
    """All that is looked after, by name, in the order in which it is put back."""
    return {
        **python_settings(),
        **system_settings(),
        **numpy_settings(),
        **torch_settings(),
        **tensorflow_settings(),
    }
