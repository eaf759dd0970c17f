"""Models given as objects: in which forms, and how they are called.

Their functions are called as they are, where the object lies: it isn't copied, moved or loaded
again. Training goes on afterwards as if nothing had been.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import Any

import torch

from hearbench.digest import digest_bytes
from hearbench.errors import ModelError
from hearbench.models.engine import InProcess
from hearbench.models.fingerprint import signal
from hearbench.models.object_content import tensors_of
from hearbench.models.source import SourceScope
from hearbench.worker.backends import Backend, TorchBackend, backend_of
from hearbench.worker.importing import API_FUNCTIONS, missing_functions
from hearbench.worker.values import kind_of

__all__ = ["ATTRIBUTES", "Methods", "ObjectScope", "api_of", "backend_for", "signal_digest"]

ATTRIBUTES = ("sample_rate", "scene_embedding_size", "timestamp_embedding_size")
"""What a loaded model says of itself."""

_FUNCTIONS = API_FUNCTIONS[1:]


class Methods:
    """The functions of the API for a model that has them as methods.

    Args:
        modules: Torch modules that are in evaluation mode meanwhile.
    """

    def __init__(self, modules: Sequence[torch.nn.Module]) -> None:
        self._modules = modules

    def get_scene_embeddings(self, audio: Any, model: Any) -> Any:
        """What the method of that name returns for audio (n_clips, n_samples)."""
        with _evaluating(self._modules):
            return model.get_scene_embeddings(audio)

    def get_timestamp_embeddings(self, audio: Any, model: Any) -> Any:
        """What the method of that name returns for audio (n_clips, n_samples)."""
        with _evaluating(self._modules):
            return model.get_timestamp_embeddings(audio)


class ObjectScope(SourceScope):
    """Gives an object its own settings of the process, and leaves the modules to the user."""

    def _is_own(self, name: str, *, replaced: bool) -> bool:  # noqa: ARG002
        return False


class _WhereItIs(TorchBackend):
    """PyTorch, with the model left where it is."""

    def __init__(self, device: str) -> None:
        self.device = device


def api_of(given: object) -> Any | None:
    """The object with the three functions, if it is one; None for a model with two methods.

    Raises:
        ModelError: It is neither.
    """
    if isinstance(given, type):
        raise ModelError(
            f"{given.__qualname__} is a class; give an object of it, as {given.__qualname__}()."
        )
    wanted = (*ATTRIBUTES, *_FUNCTIONS)
    lacks = [name for name in wanted if not hasattr(given, name)]
    if not isinstance(given, ModuleType) and not lacks:
        return None
    missing = missing_functions(given)
    if not missing:
        return given
    what = f"The module {given.__name__}" if isinstance(given, ModuleType) else kind_of(given)
    raise ModelError(
        f"{what} is no model: it lacks {', '.join(missing)} of the API's three functions, and as a "
        f"loaded model it lacks {', '.join(lacks)}. A model is given as a name or path, as a "
        "module or object with load_model, get_scene_embeddings(audio, model) and "
        "get_timestamp_embeddings(audio, model), or as an object with "
        "get_scene_embeddings(audio), get_timestamp_embeddings(audio), sample_rate, "
        "scene_embedding_size and timestamp_embedding_size."
    )


def backend_for(loaded: object, modules: Sequence[torch.nn.Module], device: str) -> Backend:
    """What calls an object: it gets tensors on the device where its own lie.

    Args:
        loaded: The object.
        modules: The torch modules in it.
        device: Where audio is put for an object that holds no tensors.

    Raises:
        BackendError: TensorFlow has no such device.
    """
    for _, tensor in tensors_of(modules):
        return _WhereItIs(str(tensor.device))
    roots = {base.__module__.partition(".")[0] for base in type(loaded).__mro__}
    if roots & {"tensorflow", "keras"}:
        return backend_of(loaded, device, kind_of(loaded))
    return _WhereItIs(device)


def signal_digest(engine: InProcess, sample_rate: int, name: str) -> str:
    """Digest of the embeddings of a fixed signal, bit by bit, in the place of weights.

    Args:
        engine: Calls the model.
        sample_rate: The model's, in Hz.
        name: Of the model, for messages.

    Raises:
        ModelError: Neither of its functions can embed the signal.
    """
    found = []
    for function in _FUNCTIONS:
        with contextlib.suppress(ModelError):
            answer = engine.call(function, signal(sample_rate))
            found += [item.array.tobytes() for item in answer.items if item.array is not None]
    if not found:
        raise ModelError(
            f"{name} can't be told from other models: its weights can't be looked at, and it "
            "can't embed a fixed signal of a second."
        )
    return digest_bytes(b"".join(found))


@contextlib.contextmanager
def _evaluating(modules: Sequence[torch.nn.Module]) -> Iterator[None]:
    """Switches modules to evaluation mode, and each of their parts back to what it was."""
    before = [(part, part.training) for module in modules for part in module.modules()]
    try:
        for module in modules:
            module.eval()
        yield
    finally:
        for part, training in before:
            part.training = training
