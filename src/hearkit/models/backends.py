"""Which framework a loaded model belongs to, and how audio goes in and numbers come out.

``backend_of`` is the one place that tells frameworks apart; another framework is one more
class with the two methods of ``Backend`` and one more case there. TensorFlow is imported only
where the model is one of its own.
"""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch

from hearkit.errors import ModelError

__all__ = [
    "Backend",
    "TensorFlowBackend",
    "TorchBackend",
    "backend_of",
    "loading_on",
    "to_numpy",
]

# What torch's own allocator gives; kernels may sum in another order on memory aligned less.
_ALIGNMENT_BYTES = 64
# torch's names of devices; TensorFlow calls every accelerator a GPU.
_DEVICE = re.compile(r"(?P<kind>cpu|cuda|mps)(:(?P<index>\d+))?")


class Backend(Protocol):
    """One framework's side of a call."""

    device: str

    def call(
        self, function: Callable[..., Any], audio: npt.NDArray[np.float32], model: object
    ) -> Any:
        """Calls an API function on audio (n_clips, n_samples) without recording gradients."""
        ...


class TorchBackend:
    """PyTorch: the module is moved to the device, and audio follows it."""

    def __init__(self, model: torch.nn.Module, device: str) -> None:
        try:
            model.to(device)
        except (RuntimeError, AssertionError) as error:
            raise ModelError(
                f"The model can't be moved to the device {device!r}: {error}. Choose a device "
                "that is here, such as cpu."
            ) from error
        self.device = _device_of(model, device)

    def call(
        self, function: Callable[..., Any], audio: npt.NDArray[np.float32], model: object
    ) -> Any:
        """Calls an API function on audio (n_clips, n_samples) without recording gradients."""
        if audio.ctypes.data % _ALIGNMENT_BYTES or not audio.flags.c_contiguous:
            tensor = torch.tensor(audio)
        else:
            tensor = torch.from_numpy(audio)
        with torch.no_grad():
            return function(tensor.to(self.device), model)


class TensorFlowBackend:
    """TensorFlow 2: audio is put on the device, and what the model does is done there.

    Variables stay where ``load_model`` created them; TensorFlow copies what an operation on
    another device needs. See ``loading_on``.

    Args:
        device: As torch names it: ``"cpu"``, ``"cuda"``, ``"cuda:1"``.

    Raises:
        ModelError: TensorFlow has no such device.
    """

    def __init__(self, device: str) -> None:
        import tensorflow as tf

        _grow_memory(tf)
        self._place = _tensorflow_name(device)
        if not _has_device(tf, self._place):
            n_gpus = len(tf.config.list_logical_devices("GPU"))
            raise ModelError(
                f"TensorFlow doesn't see the device {device!r} ({self._place}); it sees {n_gpus} "
                f"GPU{'' if n_gpus == 1 else 's'}. Choose the device cpu, or install a TensorFlow "
                "that has GPU support and finds its CUDA libraries."
            )
        self.device = device

    def call(
        self, function: Callable[..., Any], audio: npt.NDArray[np.float32], model: object
    ) -> Any:
        """Calls an API function on audio (n_clips, n_samples); only tapes record gradients."""
        import tensorflow as tf

        with tf.device(self._place):
            return function(tf.convert_to_tensor(audio, dtype=tf.float32), model)


def backend_of(model: object, device: str, name: str) -> Backend:
    """The backend of what a module's ``load_model`` returned, with the model on the device.

    Keras models are of the framework that Keras runs on.

    Raises:
        ModelError: It isn't a model of a framework that hearkit runs, or the device isn't there.
    """
    if isinstance(model, torch.nn.Module):
        return TorchBackend(model, device)
    roots = {base.__module__.partition(".")[0] for base in type(model).__mro__}
    if "tensorflow" in roots:
        return TensorFlowBackend(device)
    if "keras" in roots:
        raise ModelError(
            f"{name}: load_model returned a Keras model ({type(model).__name__}), and Keras runs "
            "on neither TensorFlow nor PyTorch here. Set KERAS_BACKEND to tensorflow or torch."
        )
    raise ModelError(
        f"{name}: load_model should return a torch.nn.Module or a tf.Module and returned "
        f"{type(model).__module__}.{type(model).__qualname__}."
    )


@contextlib.contextmanager
def loading_on(device: str) -> Iterator[None]:
    """Makes TensorFlow, where it is imported already, create variables on a device.

    It is for the time before a model's framework is known: what TensorFlow doesn't have is left
    to ``backend_of`` to refuse, if the model turns out to be one of its own.

    Args:
        device: As torch names it.
    """
    if "tensorflow" not in sys.modules:
        yield
        return
    import tensorflow as tf

    _grow_memory(tf)
    try:
        place = _tensorflow_name(device)
    except ModelError:
        place = None  # perhaps torch has it
    if place is None or not _has_device(tf, place):
        yield
        return
    with tf.device(place):
        yield


def to_numpy(value: Any) -> npt.NDArray[Any]:
    """A tensor of any framework, device and type, an array, or nested lists, as a numpy array.

    Raises:
        TypeError, ValueError: It holds no numbers, such as a tensor of a graph that didn't run.
    """
    if isinstance(value, torch.Tensor):
        tensor = value.detach().cpu()
        # numpy has no bfloat16.
        return tensor.float().numpy() if tensor.dtype == torch.bfloat16 else tensor.numpy()
    try:
        array = np.asarray(value)
    except NotImplementedError as error:  # what TensorFlow raises for symbolic tensors
        raise TypeError(str(error)) from error
    # TensorFlow's bfloat16 and float8, which count as opaque bytes elsewhere.
    if array.dtype.type.__module__.partition(".")[0] == "ml_dtypes":
        return array.astype(np.float32)
    return array


def _device_of(model: torch.nn.Module, asked: str) -> str:
    # Some modules move themselves to a GPU, or override .to; audio goes where they are.
    device = torch.device(asked)
    found = [tensor.device for tensor in (*model.parameters(), *model.buffers())]
    if not found or any(
        item.type == device.type and device.index in (None, item.index) for item in found
    ):
        return asked
    return str(found[0])


def _tensorflow_name(device: str) -> str:
    match = _DEVICE.fullmatch(device)
    if match is None:
        raise ModelError(
            f"TensorFlow has no device {device!r}. Choose cpu, cuda, or one GPU such as cuda:0."
        )
    return f"/{'CPU' if match['kind'] == 'cpu' else 'GPU'}:{int(match['index'] or 0)}"


def _has_device(tf: Any, place: str) -> bool:
    kind, _, index = place.removeprefix("/").partition(":")
    return int(index) < len(tf.config.list_logical_devices(kind))


def _grow_memory(tf: Any) -> None:
    # By default TensorFlow takes a GPU's whole memory, and torch or the next process gets none.
    try:
        for gpu in tf.config.get_visible_devices("GPU"):
            tf.config.experimental.set_memory_growth(gpu, True)
    except (RuntimeError, ValueError):
        return  # in use already, or the model's own code has said what it may take
