"""One model in a process of its own: imported, loaded, called."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any, Mapping, Sequence

import numpy as np

from .arrays import PLACES, SharedArrays
from .backends import Backend, TorchBackend, auto_device, backend_of, loading_on
from .errors import UnusableError
from .import_side_effects import ImportWatch, random_digests, seeded_perhaps
from .importing import (
    API_FUNCTIONS,
    Target,
    attributes_of,
    embeds_text,
    files_below,
    import_target,
    layer_functions,
    missing_functions,
    package_places,
    submodules_with,
)
from .imports import all_read
from .memory import peak_resident_mb
from .reads import ReadWatch
from .signature import parameters_of
from .tracebacks import own_traceback
from .values import facts_of, kind_of, notes_of, take_apart, to_numpy
from .weights import weight_count

__all__ = ["Session", "SessionError"]

_FRAMEWORKS = ("numpy", "torch", "tensorflow", "keras")


class SessionError(Exception):
    """A failure of the model's code.

    Attributes:
        text: The end of its traceback, or one sentence.
        missing: The module that couldn't be found, if that is why.
        is_plain: Whether the text is a message to the model's user.
    """

    def __init__(self, text: str, missing: str | None = None, is_plain: bool = False) -> None:
        super().__init__(text)
        self.text = text
        self.missing = missing
        self.is_plain = is_plain


class Session:
    """The steps from a name to embeddings, in their order.

    Args:
        arrays: Where audio comes from and embeddings go to.

    Raises:
        SessionError: From any step: what the model's own code raised, as it would be printed.
    """

    def __init__(self, arrays: SharedArrays) -> None:
        self.arrays = arrays
        self.watch = ImportWatch()
        self._target = Target("", False, "")
        self._module: Any = None
        self._api: Any = None
        self._loaded: Any = None
        self._backend: Backend | None = None
        self._has_returned = False
        self._reads = ReadWatch([])

    def guard(self, folders: list[str], allowed: list[str]) -> dict[str, Any]:
        """Names the folders that the model must not read."""
        self.watch.guard(folders, allowed)
        return {}

    def import_model(
        self, place: str, is_file: bool, attribute: str, is_network: bool
    ) -> dict[str, Any]:
        """Imports a module and looks for the API in it."""
        self._target = Target(place, is_file, attribute, is_network)
        self._loaded = self._backend = None
        self._has_returned = False
        before = random_digests()
        self.watch.begin_import(self._target)
        self._reads = ReadWatch(self.watch.own)
        try:
            with self._reads.recording():
                self._module, self._api = import_target(self._target)
            missing_names = missing_functions(self._api)
        except BaseException as error:
            missing = error.name if isinstance(error, ModuleNotFoundError) else None
            raise SessionError(own_traceback(error), missing) from error
        finally:
            effects: dict[str, Any] = dict(self.watch.end())
        after = random_digests()
        effects["random"] = seeded_perhaps(before, after)
        below: list[str] = []
        if missing_names and self._api is self._module:
            below = submodules_with(self._module, API_FUNCTIONS)
        return {
            "missing": missing_names,
            "below": below,
            "parameters": None if missing_names else self._parameters(),
            "effects": effects,
            "random_digests": after,
            "watched": self.watch.available,
        }

    def load(
        self, positional: Sequence[Any], options: Mapping[str, Any], device: str, name: str
    ) -> dict[str, Any]:
        """Loads the model and puts it on a device, ``auto`` for a GPU if there is one."""
        wanted = auto_device() if device == "auto" else device
        begin = time.perf_counter()
        with loading_on(wanted), self._reads.recording():
            try:
                self._loaded = self._api.load_model(*positional, **options)
                self._has_returned = True
                # Loading may have been what imported the framework.
                wanted = auto_device() if device == "auto" else device
                self._backend = backend_of(self._loaded, wanted, name)
                seconds = time.perf_counter() - begin
                # Attributes may be properties, which are the model's code as well.
                attributes = {
                    key: _described(self._loaded, key) for key in attributes_of(self._api)
                }
                n_weights = weight_count(self._loaded)
                notes = notes_of(self._loaded)
                has_text = embeds_text(self._api, self._loaded)
            except UnusableError as error:
                raise SessionError(str(error), is_plain=True) from error
            except BaseException as error:
                raise SessionError(own_traceback(error)) from error
        return {
            "kind": kind_of(self._loaded),
            "device": self._backend.device,
            "seconds": seconds,
            "attributes": attributes,
            "layer_functions": layer_functions(self._api),
            "embeds_text": has_text,
            "sources": self._sources(),
            "versions": {**_versions(), **self._libraries()},
            "n_weights": n_weights,
            "notes": notes,
        }

    def call(
        self, function: str, shape: Sequence[int], texts: list[str] | None = None
    ) -> dict[str, Any]:
        """Calls a function on the audio that is in its place, or on texts."""
        heard: Any = texts
        if texts is None:
            heard = np.asarray(self.arrays.open("audio", "<f4", shape))
        begin = time.perf_counter()
        try:
            if self._backend is None:
                raise RuntimeError("The model isn't loaded.")
            with self._reads.recording():
                result = self._backend.call(getattr(self._api, function), heard, self._loaded)
            seconds = time.perf_counter() - begin
            # What comes back may be an object of the model's own class.
            values, is_tuple = take_apart(result, function)
            items = [self._hand_over(*pair) for pair in zip(PLACES[1:], values)]
        except UnusableError as error:
            raise SessionError(str(error), is_plain=True) from error
        except BaseException as error:
            raise SessionError(own_traceback(error)) from error
        return {"items": items, "count": len(values), "is_tuple": is_tuple, "seconds": seconds}

    def returned(self) -> dict[str, Any]:
        """Describes what ``load_model`` returned, also where it is no model."""
        if not self._has_returned:
            return {"kind": None, "roots": []}
        bases = type(self._loaded).__mro__
        roots = sorted({base.__module__.partition(".")[0] for base in bases})
        return {"kind": kind_of(self._loaded), "roots": roots}

    def gradients(self, function: str, shape: Sequence[int]) -> dict[str, Any]:
        """Whether what a function returns carries gradients where the caller leaves them on."""
        audio = np.array(self.arrays.open("audio", "<f4", shape))
        if not isinstance(self._backend, TorchBackend):
            return {"requires_grad": False}
        import torch

        try:
            tensor = torch.from_numpy(audio).to(self._backend.device)
            with torch.enable_grad():
                result = getattr(self._api, function)(tensor, self._loaded)
        except BaseException as error:
            raise SessionError(own_traceback(error)) from error
        values, _ = take_apart(result, function)
        return {"requires_grad": any(facts_of(value).requires_grad for value in values)}

    def reads(self) -> dict[str, Any]:
        """Lists what the model has read so far."""
        return all_read(self._reads, self._module, self._target)

    def memory(self) -> dict[str, Any]:
        """The peak memory so far."""
        device_mb = self._backend.peak_device_memory_mb() if self._backend else None
        return {"resident_mb": peak_resident_mb(), "device_mb": device_mb}

    def _parameters(self) -> list[list[Any]] | None:
        found = parameters_of(self._api.load_model)
        return None if found is None else [list(item) for item in found]

    def _hand_over(self, name: str, value: Any) -> dict[str, Any]:
        said: dict[str, Any] = {"facts": list(facts_of(value)), "dtype": None, "problem": ""}
        try:
            array = to_numpy(value)
        except (TypeError, ValueError) as error:
            said["problem"] = str(error)
            return said
        if array.dtype.kind not in "fiub":
            said["problem"] = f"it holds {array.dtype}"
            return said
        self.arrays.new(name, array.dtype.str, array.shape)[...] = array
        said["dtype"], said["shape"] = array.dtype.str, list(array.shape)
        return said

    def _libraries(self) -> dict[str, str]:
        """Versions of further libraries that the code of this package uses for the model."""
        is_own = self._target.place.startswith(__package__ + ".")
        return dict(self._loaded.libraries) if is_own else {}

    def _sources(self) -> dict[str, Any]:
        if self._target.is_file:
            folder = Path(self._target.place).parent
            files = sorted(str(path) for path in files_below(folder, sys.modules))
            return {"folder": str(folder), "files": files}
        return {"places": package_places(self._module)}


def _described(loaded: Any, name: str) -> dict[str, Any]:
    """An attribute in a form that another process can read."""
    try:
        value = getattr(loaded, name)
    except AttributeError:
        return {"there": False}
    said = {"there": True, "type": type(value).__name__, "repr": repr(value)[:200], "value": None}
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        said["value"] = value
    elif isinstance(value, np.integer):
        said["value"] = int(value)
    return said


def _versions() -> dict[str, str]:
    found = {"python": ".".join(str(part) for part in sys.version_info[:3])}
    for name in _FRAMEWORKS:
        version = getattr(sys.modules.get(name), "__version__", None)
        if version is not None:
            found[name] = str(version)
    return found
