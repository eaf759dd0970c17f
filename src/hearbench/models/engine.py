"""What runs a loaded model's functions: this process, or another interpreter.

``Model`` checks and describes; an engine calls. ``InProcess`` is the one for models of this
process, ``hearbench.models.isolation`` has the other.
"""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from hearbench.errors import ModelError
from hearbench.models.identity import Seen
from hearbench.models.reading import Reading
from hearbench.models.source import SourceScope, call_traceback
from hearbench.worker.backends import Backend
from hearbench.worker.errors import UnusableError
from hearbench.worker.memory import peak_resident_mb
from hearbench.worker.values import Facts, facts_of, take_apart, to_numpy

__all__ = ["Answer", "Engine", "Given", "Heard", "InProcess", "Memory", "Renewed", "Returned"]

Heard = npt.NDArray[np.float32] | list[str]
"""What a function of the API gets: audio (n_clips, n_samples), or texts."""

# Calls, and looks at what was read, after which a model replaces nothing more in libraries.
_SEARCHED_CALLS = 8


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
        """The device on which audio is put, as torch names it."""
        ...

    def call(self, function: str, heard: Heard) -> Answer:
        """Calls a function of the API on audio (n_clips, n_samples), or on texts.

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

    def seen(self) -> Seen:
        """The files and variables that the model has read so far beside its source."""
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
        reading: Notes what it reads; None for a model of hearbench's own.
    """

    def __init__(
        self,
        module: Any,
        loaded: Any,
        backend: Backend,
        scope: SourceScope,
        reading: Reading | None = None,
    ) -> None:
        self.module = module
        self.loaded = loaded
        self.backend = backend
        self.scope = scope
        self.reading = reading
        scope.searches = _SEARCHED_CALLS

    @property
    def device(self) -> str:
        """The device on which audio is put, as torch names it."""
        return self.backend.device

    def call(self, function: str, heard: Heard) -> Answer:
        """Calls a function of the API on audio (n_clips, n_samples), or on texts.

        Raises:
            ModelError: The model's own code failed, with the end of its traceback.
        """
        if self.loaded is None:
            raise ModelError("The model was closed.")
        with self.scope, self.reading.recording() if self.reading else nullcontext():
            try:
                result = self.backend.call(getattr(self.module, function), heard, self.loaded)
                # What comes back may be an object of the model's own class.
                values, is_tuple = take_apart(result, function)
                return Answer(tuple(_returned(value) for value in values), is_tuple)
            except KeyboardInterrupt:
                raise  # the user's
            except UnusableError as error:
                raise ModelError(str(error)) from error
            except BaseException as error:  # sys.exit, too, would end hearbench
                raise ModelError(call_traceback(error)) from error

    def memory(self) -> Memory:
        """The peak of this process so far, which is more than this model's own."""
        return Memory(peak_resident_mb(), self.backend.peak_device_memory_mb())

    def guard(self, folders: Sequence[Path]) -> None:
        """Does nothing: code in this process can read what this process can."""

    def seen(self) -> Seen:
        """The files and variables that the model has read so far beside its source."""
        if self.reading is None:
            return Seen()
        with self.scope:
            return self.reading.seen()

    def close(self) -> None:
        """Lets the model go, so that its memory is free for another."""
        model = weakref.ref(self.loaded) if self.loaded is not None else lambda: None
        self.module = self.loaded = None
        self.scope.modules.clear()
        # Looking for circles takes a fifth of a second; mostly the model was in none.
        if model() is not None:
            gc.collect()


class Renewed:
    """An engine for a model that is loaded again when one that no one has called is wanted.

    A model's functions may change it, so that what it gives depends on the calls before.

    Args:
        engine: Runs the model that was loaded first.
        load: Loads another, in all things like it.

    Attributes:
        ready_for: The function that was called on a new model with a fixed signal, and no other
            since; None if it isn't so.
    """

    def __init__(self, engine: Engine, load: Callable[[], Engine]) -> None:
        self.engine = engine
        self._load = load
        self._is_new = True
        self.ready_for: str | None = None
        self._guarded: list[Path] = []

    @property
    def device(self) -> str:
        """The device on which audio is put, as torch names it."""
        return self.engine.device

    def call(self, function: str, heard: Heard) -> Answer:
        """Calls a function of the API on audio (n_clips, n_samples), or on texts.

        Raises:
            ModelError: The model's own code failed; the message says how.
        """
        self._is_new, self.ready_for = False, None
        return self.engine.call(function, heard)

    def memory(self) -> Memory:
        """The peak so far."""
        return self.engine.memory()

    def guard(self, folders: Sequence[Path]) -> None:
        """Says which folders the model has no business in."""
        self._guarded = [*dict.fromkeys([*self._guarded, *folders])]
        self.engine.guard(folders)

    def renew(self) -> None:
        """Loads the model again if it was called; before, the other one is let go.

        Raises:
            ModelError: It can't be loaded again, or has changed meanwhile.
        """
        if self._is_new:
            return
        self.engine.close()
        self.engine = self._load()
        self.engine.guard(self._guarded)
        self._is_new, self.ready_for = True, None

    def verify(self) -> None:
        """Does nothing: whoever loads it again sees whether it is still the same."""

    def seen(self) -> Seen:
        """The files and variables that the model has read so far beside its source."""
        return self.engine.seen()

    def close(self) -> None:
        """Ends what runs for the model alone."""
        self.engine.close()


class Given(Renewed):
    """An engine for a model that was given as an object, of which there is only the one.

    Args:
        engine: Calls it.
        weights: Gives digests of its weights as they are now.
    """

    def __init__(self, engine: InProcess, weights: Callable[[], Mapping[str, str]]) -> None:
        super().__init__(engine, self._itself)
        self._object = engine
        self._weights = weights
        self._expected = weights()

    def _itself(self) -> Engine:
        return self.engine

    def renew(self) -> None:
        """Does nothing: it is called as it is."""

    def verify(self) -> None:
        """Makes sure that it is what it was.

        Raises:
            ModelError: Its weights have changed since it was handed over.
        """
        if self._object.loaded is not None and self._weights() != self._expected:
            raise ModelError(
                "The model's weights have changed since it was given to load_model, so that its "
                "embeddings belong to another model. Call load_model again after each change."
            )

    def close(self) -> None:
        """Lets the object go, which stays its owner's."""
        self._object.module = self._object.loaded = None


def _returned(value: Any) -> Returned:
    facts = facts_of(value)
    try:
        return Returned(facts, to_numpy(value))
    except (TypeError, ValueError) as error:
        return Returned(facts, None, str(error))
