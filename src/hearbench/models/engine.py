"""What runs a loaded model's functions: this process, or another interpreter.

``Model`` checks and describes; an engine calls. ``InProcess`` is the one for models of this
process, ``hearbench.models.isolation`` has the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from hearbench.errors import ModelError
from hearbench.models.source import SourceScope, call_traceback
from hearbench.worker.backends import Backend
from hearbench.worker.memory import peak_resident_mb
from hearbench.worker.values import Facts, facts_of, take_apart, to_numpy

__all__ = ["Answer", "Engine", "InProcess", "Memory", "Returned"]


@dataclass(frozen=True)
class Returned:
    """One value that a function of a model returned.

    Attributes:
        facts: What it was, before it became an array.
        array: Its numbers; None if it holds none.
        problem: Why it holds none.
    """

    facts: Facts
    array: npt.NDArray[Any] | None
    problem: str = ""


@dataclass(frozen=True)
class Answer:
    """What a function of a model returned.

    Attributes:
        items: The values: one, or those of a tuple or list.
        is_tuple: Whether it was a tuple or list.
    """

    items: tuple[Returned, ...]
    is_tuple: bool


@dataclass(frozen=True)
class Memory:
    """The most memory that the process of a model has used so far, in MiB.

    Attributes:
        resident_mb: Of the process; None where the system doesn't tell.
        device_mb: Of its framework on the GPU; None on a CPU.
    """

    resident_mb: float | None
    device_mb: float | None


class Engine(Protocol):
    """Runs the functions of one loaded model.

    Attributes:
        device: Where audio is put.
    """

    @property
    def device(self) -> str:
        """Where audio is put, as torch names it."""
        ...

    def call(self, function: str, audio: npt.NDArray[np.float32]) -> Answer:
        """Calls a function of the API on audio (n_clips, n_samples).

        Raises:
            ModelError: The model's own code failed; the message says how.
        """
        ...

    def memory(self) -> Memory:
        """The peak so far."""
        ...

    def guard(self, folders: Sequence[Path]) -> None:
        """Says which folders the model has no business in."""
        ...

    def close(self) -> None:
        """Ends what runs for the model alone."""
        ...


class InProcess:
    """A model of this process.

    Args:
        module: The object with the API's functions.
        loaded: What its ``load_model`` returned.
        backend: Of its framework.
        scope: In which its functions must be called.
    """

    def __init__(self, module: Any, loaded: Any, backend: Backend, scope: SourceScope) -> None:
        self.module = module
        self.loaded = loaded
        self.backend = backend
        self.scope = scope

    @property
    def device(self) -> str:
        """Where audio is put, as torch names it."""
        return self.backend.device

    def call(self, function: str, audio: npt.NDArray[np.float32]) -> Answer:
        """Calls a function of the API on audio (n_clips, n_samples).

        Raises:
            ModelError: The model's own code failed, with the end of its traceback.
        """
        with self.scope:
            try:
                result = self.backend.call(getattr(self.module, function), audio, self.loaded)
            except Exception as error:
                raise ModelError(call_traceback(error)) from error
        values, is_tuple = take_apart(result, function)
        return Answer(tuple(_returned(value) for value in values), is_tuple)

    def memory(self) -> Memory:
        """The peak of this process so far, which is more than this model's own."""
        return Memory(peak_resident_mb(), self.backend.peak_device_memory_mb())

    def guard(self, folders: Sequence[Path]) -> None:
        """Does nothing: code in this process can read what this process can."""

    def close(self) -> None:
        """Does nothing: the model goes with its last reference."""


def _returned(value: Any) -> Returned:
    facts = facts_of(value)
    try:
        return Returned(facts, to_numpy(value))
    except (TypeError, ValueError) as error:
        return Returned(facts, None, str(error))
