"""Frameworks of models: which one a model belongs to, and how it is called.

``backend_of`` is the one place that tells frameworks apart; another framework is one more
class with the two methods of ``Backend`` and one more case there. TensorFlow is imported only
where the model is one of its own.
"""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Callable, Iterator
from typing import Any

from .errors import UnusableError
from .values import kind_of

__all__ = [
    "Backend",
    "BackendError",
    "TensorFlowBackend",
    "TorchBackend",
    "auto_device",
    "backend_of",
    "loading_on",
    "torch_devices",
]

# What torch's own allocator gives; kernels may sum in another order on memory aligned less.
_ALIGNMENT_BYTES = 64
# torch's names of devices; TensorFlow calls every accelerator a GPU.
_DEVICE = re.compile(r"(?P<kind>cpu|cuda|mps)(:(?P<index>\d+))?")


class BackendError(UnusableError):
    """The model is of an unknown framework, or a device doesn't exist."""


class Backend:
    """One framework's side of a call.

    Attributes:
        device: Where audio is put, as torch names it.
    """

    device: str

    def call(self, function: Callable[..., Any], heard: Any, model: Any) -> Any:
        """Calls an API function, without recording gradients.

        Args:
            function: Of the model's module.
            heard: Audio (n_clips, n_samples), or a list of texts, which is handed over as it is.
            model: What ``load_model`` returned.
        """
        raise NotImplementedError

    def peak_device_memory_mb(self) -> float | None:
        """The most that the process has had on the GPU in MiB; None on a CPU."""
        raise NotImplementedError


class TorchBackend(Backend):
    """PyTorch: the module is moved to the device, and audio follows it."""

    def __init__(self, model: Any, device: str) -> None:
        import torch

        try:
            # A model without parameters can be moved to a device that isn't there.
            torch.empty(0, device=device)
            model.to(device)
        except (RuntimeError, AssertionError, NotImplementedError) as error:
            raise BackendError(
                f"The model can't be moved to the device {device!r}: {_first_line(error)}. Its "
                f"torch has {', '.join(torch_devices())} here."
            ) from error
        self.device = _device_of(model, device)

    def call(self, function: Callable[..., Any], heard: Any, model: Any) -> Any:
        """Calls an API function on audio or texts, without recording gradients."""
        import torch

        if isinstance(heard, list):
            with torch.no_grad():
                return function(heard, model)
        if heard.ctypes.data % _ALIGNMENT_BYTES or not heard.flags.c_contiguous:
            tensor = torch.tensor(heard)
        else:
            tensor = torch.from_numpy(heard)
        with torch.no_grad():
            return function(tensor.to(self.device), model)

    def peak_device_memory_mb(self) -> float | None:
        """The most that torch has had allocated on the GPU in MiB; None on a CPU."""
        import torch

        if not self.device.startswith("cuda"):
            return None
        return float(torch.cuda.max_memory_allocated(self.device)) / (1 << 20)


class TensorFlowBackend(Backend):
    """TensorFlow 2: audio is put on the device, and what the model does is done there.

    Variables stay where ``load_model`` created them; TensorFlow copies what an operation on
    another device needs. See ``loading_on``.

    Args:
        device: As torch names it: ``"cpu"``, ``"cuda"``, ``"cuda:1"``.

    Raises:
        BackendError: TensorFlow has no such device.
    """

    def __init__(self, device: str) -> None:
        import tensorflow as tf

        _grow_memory(tf)
        self._place = _tensorflow_name(device)
        if not _has_device(tf, self._place):
            n_gpus = len(tf.config.list_logical_devices("GPU"))
            raise BackendError(
                f"TensorFlow doesn't see the device {device!r} ({self._place}); it sees {n_gpus} "
                f"GPU{'' if n_gpus == 1 else 's'}. Choose the device cpu, or install a TensorFlow "
                "that has GPU support and finds its CUDA libraries."
            )
        self.device = device

    def call(self, function: Callable[..., Any], heard: Any, model: Any) -> Any:
        """Calls an API function on audio or texts; only tapes record gradients."""
        import tensorflow as tf

        with tf.device(self._place):
            if not isinstance(heard, list):
                heard = tf.convert_to_tensor(heard, dtype=tf.float32)
            return function(heard, model)

    def peak_device_memory_mb(self) -> float | None:
        """The most that TensorFlow has had allocated on the GPU in MiB; None on a CPU."""
        import tensorflow as tf

        place = self._place[1:]
        if not place.startswith("GPU"):
            return None
        return float(tf.config.experimental.get_memory_info(place)["peak"]) / (1 << 20)


def backend_of(model: Any, device: str, name: str) -> Backend:
    """The backend of what a module's ``load_model`` returned, with the model on the device.

    Keras models are of the framework that Keras runs on.

    Raises:
        BackendError: It isn't a model of a known framework, or the device isn't there.
    """
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(model, torch.nn.Module):
        return TorchBackend(model, device)
    roots = {base.__module__.partition(".")[0] for base in type(model).__mro__}
    if "tensorflow" in roots:
        return TensorFlowBackend(device)
    if "keras" in roots:
        raise BackendError(
            f"{name}: load_model returned a Keras model ({type(model).__name__}), and Keras runs "
            "on neither TensorFlow nor PyTorch here. Set KERAS_BACKEND to tensorflow or torch."
        )
    raise BackendError(
        f"{name}: load_model should return a torch.nn.Module or a tf.Module and returned "
        f"{kind_of(model)}."
    )


def torch_devices() -> list[str]:
    """The devices that torch can use here, the CPU first."""
    import torch

    found = ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
    # Old ones have neither.
    mps = getattr(torch.backends, "mps", None)
    if mps is not None and mps.is_available():
        found.append("mps")
    xpu = getattr(torch, "xpu", None)
    if xpu is not None and xpu.is_available():
        found += [f"xpu:{index}" for index in range(xpu.device_count())]
    return found


def auto_device() -> str:
    """A GPU if the framework that is imported sees one, or else the CPU."""
    torch = sys.modules.get("torch")
    if torch is not None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    if "tensorflow" in sys.modules:
        import tensorflow as tf

        return "cuda" if _has_device(tf, "/GPU:0") else "cpu"
    return "cpu"


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
    except BackendError:
        place = None  # perhaps torch has it
    if place is None or not _has_device(tf, place):
        yield
        return
    with tf.device(place):
        yield


def _first_line(error: BaseException) -> str:
    # After it torch lists all the ways in which it can't be done.
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")


def _device_of(model: Any, asked: str) -> str:
    import torch

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
        raise BackendError(
            f"TensorFlow has no device {device!r}. Choose cpu, cuda, or one GPU such as cuda:0."
        )
    return f"/{'CPU' if match['kind'] == 'cpu' else 'GPU'}:{int(match['index'] or 0)}"


def _has_device(tf: Any, place: str) -> bool:
    kind, _, index = place[1:].partition(":")
    return int(index) < len(tf.config.list_logical_devices(kind))


def _grow_memory(tf: Any) -> None:
    # By default TensorFlow takes a GPU's whole memory, and torch or the next process gets none.
    try:
        for gpu in tf.config.get_visible_devices("GPU"):
            tf.config.experimental.set_memory_growth(gpu, True)
    except (RuntimeError, ValueError):
        return  # in use already, or the model's own code has said what it may take
