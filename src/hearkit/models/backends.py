"""Which framework a loaded model belongs to, and how audio goes in and numbers come out.

``backend_of`` is the one place that tells frameworks apart; another framework is one more
class with the two methods of ``Backend`` and one more case there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch

from hearkit.errors import ModelError

__all__ = ["Backend", "TorchBackend", "backend_of", "to_numpy"]

# What torch's own allocator gives; kernels may sum in another order on memory aligned less.
_ALIGNMENT_BYTES = 64


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


def backend_of(model: object, device: str, name: str) -> Backend:
    """The backend of what a module's ``load_model`` returned, with the model on the device.

    Raises:
        ModelError: It isn't a model of a framework that hearkit runs.
    """
    if isinstance(model, torch.nn.Module):
        return TorchBackend(model, device)
    roots = {base.__module__.partition(".")[0] for base in type(model).__mro__}
    if roots & {"tensorflow", "keras"}:
        raise ModelError(
            f"{name}: load_model returned a TensorFlow model ({type(model).__name__}); this "
            "version of hearkit runs PyTorch models."
        )
    raise ModelError(
        f"{name}: load_model should return a torch.nn.Module and returned "
        f"{type(model).__module__}.{type(model).__qualname__}."
    )


def to_numpy(value: Any) -> npt.NDArray[Any]:
    """A tensor of any device and type, an array, or nested lists, as a numpy array."""
    if isinstance(value, torch.Tensor):
        tensor = value.detach().cpu()
        # numpy has no bfloat16.
        return tensor.float().numpy() if tensor.dtype == torch.bfloat16 else tensor.numpy()
    return np.asarray(value)


def _device_of(model: torch.nn.Module, asked: str) -> str:
    # Some modules move themselves to a GPU, or override .to; audio goes where they are.
    device = torch.device(asked)
    found = [tensor.device for tensor in (*model.parameters(), *model.buffers())]
    if not found or any(
        item.type == device.type and device.index in (None, item.index) for item in found
    ):
        return asked
    return str(found[0])
