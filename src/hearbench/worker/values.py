"""Values that a model returned, as numpy arrays, and their description."""

from __future__ import annotations

import sys
from typing import Any, NamedTuple

import numpy as np

__all__ = ["Facts", "facts_of", "kind_of", "notes_of", "take_apart", "to_numpy"]


class Facts(NamedTuple):
    """A returned value, before it became an array.

    Attributes:
        kind: Its class, as ``torch.Tensor``.
        dtype: As numpy or torch name it, without the library's name; None for what has none.
        shape: None for what has none.
        device: As its framework names it; None for what has none.
        requires_grad: Whether gradients hang on it.
        contiguous: Whether its numbers are beside each other, in order.
    """

    kind: str
    dtype: str | None
    shape: tuple[int, ...] | None
    device: str | None
    requires_grad: bool
    contiguous: bool


def take_apart(value: Any, function: str) -> tuple[list[Any], bool]:
    """The values that a function returned, and whether they came in a tuple or list.

    Embeddings of scenes or texts are one value, so a list of them is nested numbers.
    """
    is_one = function in ("get_scene_embeddings", "get_text_embeddings")
    several = tuple if is_one else (tuple, list)
    return (list(value), True) if isinstance(value, several) else ([value], False)


def facts_of(value: Any) -> Facts:
    """Describes a returned value."""
    shape = getattr(value, "shape", None)
    dtype = getattr(value, "dtype", None)
    device = getattr(value, "device", None)
    return Facts(
        kind_of(value),
        None if dtype is None else _dtype_name(dtype),
        _numbers(shape),
        None if device is None else str(device),
        bool(getattr(value, "requires_grad", False)),
        _contiguous(value),
    )


def kind_of(value: Any) -> str:
    """The full name of a value's class."""
    return f"{type(value).__module__}.{type(value).__qualname__}"


def notes_of(loaded: Any) -> list[str]:
    """What a model wants results to say of it: the sentences of its ``hearbench_notes``."""
    said = getattr(loaded, "hearbench_notes", None)
    if not isinstance(said, (list, tuple)):
        return []
    return [str(note) for note in said if isinstance(note, str)]


def to_numpy(value: Any) -> Any:
    """A tensor of any framework, device and type, an array, or nested lists, as a numpy array.

    Raises:
        TypeError, ValueError: It holds no numbers, such as a tensor of a graph that didn't run.
    """
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.Tensor):
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


def _numbers(shape: Any) -> tuple[int, ...] | None:
    try:
        return None if shape is None else tuple(int(size) for size in shape)
    except (TypeError, ValueError):
        return None  # a shape that isn't known, as of a graph


def _dtype_name(dtype: Any) -> str:
    # TensorFlow's have a name, torch's are printed with the library's.
    return str(getattr(dtype, "name", dtype)).rpartition(".")[2]


def _contiguous(value: Any) -> bool:
    flags = getattr(value, "flags", None)
    if flags is not None:
        return bool(getattr(flags, "c_contiguous", True))
    asked = getattr(value, "is_contiguous", None)
    return bool(asked()) if callable(asked) else True
