"""The settings of this process that a model's code may change, read and put back.

Models share one process with each other and with the probe. What one of them sets for the whole
process, as a default type, a seed or a folder, is its own affair: it has it whenever its code
runs, and no one else has it. No framework is imported here: only what a model has imported is
looked at.
"""

from __future__ import annotations

import ctypes
import functools
import pickle
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np

from hearbench.models.python_settings import (
    ABSENT,
    Setting,
    exit_of_a_model,
    python_settings,
    system_settings,
)

__all__ = [
    "RANDOM",
    "ProcessState",
    "read_settings",
]


class ProcessState:
    """Changes that one model has made to the process's settings.

    Between ``enter`` and ``leave`` its own values hold, and outside of these what was before.

    Args:
        begin: Values with which it begins, by the names that `read_settings` gives; elsewhere it
            begins with what it finds, but for ``os._exit``, which would end hearbench with all
            that it does.
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
            self._put(self.own, self._others, _all_settings())

    def leave(self) -> None:
        """Keeps what the model has changed, and puts back what was before."""
        now, table = read_settings(), _all_settings()
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
    return {name: one.get() for name, one in _all_settings().items() if one.library in modules}


# Global random generators, which every copy of a model finds in the same state.
RANDOM = ("random", "numpy.random", "torch.random", "torch.cuda.random")


@functools.cache
def _all_settings() -> Mapping[str, Setting]:
    """All that is looked after, by name, in the order in which it is put back."""
    return {
        **python_settings(),
        **system_settings(),
        **_numpy_settings(),
        **_torch_settings(),
        **_tensorflow_settings(),
    }


def _numpy_settings() -> dict[str, Setting]:
    """Settings of numpy, by name."""
    return {
        "numpy.random": Setting("numpy", _NUMPY.read, _NUMPY.put),
        "numpy.errors": Setting("numpy", np.geterr, lambda value: np.seterr(**value)),
        "numpy.error_call": Setting("numpy", np.geterrcall, np.seterrcall),
        "numpy.print": Setting(
            "numpy", np.get_printoptions, lambda value: np.set_printoptions(**value)
        ),
    }


class _NumpyRandom:
    """The global generator of numpy, whose state takes long to ask for.

    Args:
        seen: Raw memory of its Mersenne twister, and the state that was read of it.
    """

    _SIZE = 625 * 4  # of 624 numbers and a position

    def __init__(self) -> None:
        self.seen: tuple[bytes, bytes] | None = None

    def read(self) -> bytes:
        """The state, as it can be compared."""
        raw = None
        generator = np.random.get_bit_generator()  # type: ignore[attr-defined]
        if type(generator) is np.random.MT19937:
            raw = ctypes.string_at(generator.ctypes.state_address, self._SIZE)
            if self.seen is not None and self.seen[0] == raw:
                return self.seen[1]
        state = pickle.dumps(np.random.get_state(legacy=False))  # noqa: NPY002
        self.seen = None if raw is None else (raw, state)
        return state

    def put(self, state: bytes) -> None:
        """Sets a state."""
        # What the raw memory doesn't tell is a second normal number that waits; so look again.
        self.seen = None
        np.random.set_state(pickle.loads(state))  # noqa: NPY002, S301


_NUMPY = _NumpyRandom()


def _torch_settings() -> dict[str, Setting]:
    """Settings of torch, by name; each function is called only where torch is imported."""
    found = {
        "torch.random": Setting("torch", _torch_random, _set_torch_random),
        "torch.cuda.random": Setting("torch", _cuda_random, _set_cuda_random, ()),
        "torch.type": Setting("torch", _tensor_type, _set_tensor_type),
        "torch.device": Setting("torch", _default_device, _set_default_device),
        "torch.threads": _pair("get_num_threads", "set_num_threads"),
        "torch.grad": _pair("is_grad_enabled", "set_grad_enabled"),
        "torch.anomalies": _pair("is_anomaly_enabled", "autograd.set_detect_anomaly"),
        "torch.autocast_cache": _pair("is_autocast_cache_enabled", "set_autocast_cache_enabled"),
        "torch.denormals": Setting("torch", _flushes_denormals, _flush_denormals),
        "torch.deterministic": Setting("torch", _deterministic, _set_deterministic),
        "torch.precision": Setting("torch", _precision, _set_precision),
    }
    for device in ("cpu", "cuda"):
        found[f"torch.autocast_{device}"] = _pair(
            "is_autocast_enabled", "set_autocast_enabled", device
        )
        found[f"torch.autocast_{device}_type"] = _pair(
            "get_autocast_dtype", "set_autocast_dtype", device
        )
    for kind in ("flash", "mem_efficient", "math", "cudnn"):
        found[f"torch.{kind}_attention"] = _pair(
            f"backends.cuda.{kind}_sdp_enabled", f"backends.cuda.enable_{kind}_sdp"
        )
    for name in _TORCH_SWITCHES:
        found[f"torch.{name}"] = _switch(name)
    return found


# How products of float32 are computed is said in these places from 2.9 on, the first of which sets
# others.
_PRECISIONS = (
    "backends.fp32_precision",
    "backends.cuda.matmul.fp32_precision",
    "backends.cudnn.fp32_precision",
    "backends.cudnn.conv.fp32_precision",
    "backends.cudnn.rnn.fp32_precision",
    "backends.mkldnn.fp32_precision",
    "backends.mkldnn.matmul.fp32_precision",
    "backends.mkldnn.conv.fp32_precision",
    "backends.mkldnn.rnn.fp32_precision",
)
# Further attributes that say how torch computes.
_TORCH_SWITCHES = (
    "backends.cuda.matmul.allow_fp16_reduced_precision_reduction",
    "backends.cuda.matmul.allow_bf16_reduced_precision_reduction",
    "backends.cudnn.enabled",
    "backends.cudnn.benchmark",
    "backends.cudnn.deterministic",
    "backends.mkldnn.enabled",
    "utils.deterministic.fill_uninitialized_memory",
)


@functools.cache
def _in_torch(path: str) -> Any:
    found: Any = sys.modules["torch"]
    for name in path.split("."):
        found = getattr(found, name)
    return found


def _pair(get: str, put: str, *first: Any) -> Setting:
    """A setting that torch has two functions for."""
    return Setting(
        "torch",
        lambda: _in_torch(get)(*first),
        lambda value: _in_torch(put)(*first, value),
    )


def _switch(path: str) -> Setting:
    place, _, name = path.rpartition(".")

    def get() -> Any:
        # The old names of what has a newer one, and names that this torch hasn't.
        try:
            return getattr(_in_torch(place), name)
        except (AttributeError, RuntimeError):
            return ABSENT

    def put(value: Any) -> None:
        if value is not ABSENT:
            setattr(_in_torch(place), name, value)

    return Setting("torch", get, put)


def _torch_random() -> bytes:
    state: bytes = sys.modules["torch"].get_rng_state().numpy().tobytes()
    return state


def _set_torch_random(state: bytes) -> None:
    torch = sys.modules["torch"]
    torch.set_rng_state(torch.frombuffer(bytearray(state), dtype=torch.uint8))


def _cuda_random() -> tuple[bytes, ...]:
    cuda = sys.modules["torch"].cuda
    if not cuda.is_initialized():
        return ()
    return tuple(one.get_state().numpy().tobytes() for one in cuda.default_generators)


def _set_cuda_random(states: tuple[bytes, ...]) -> None:
    torch = sys.modules["torch"]
    # Where the model was the first to use a GPU there is nothing to put back.
    for generator, state in zip(torch.cuda.default_generators, states, strict=False):
        generator.set_state(torch.frombuffer(bytearray(state), dtype=torch.uint8))


def _tensor_type() -> tuple[str, Any]:
    """The default type, and the device that came with it before there was a default device."""
    torch = sys.modules["torch"]
    return torch._C._get_default_device(), torch.get_default_dtype()  # noqa: SLF001


def _set_tensor_type(value: tuple[str, Any]) -> None:
    torch = sys.modules["torch"]
    device, dtype = value
    if torch._C._get_default_device() != device:  # noqa: SLF001
        place = "torch" if device == "cpu" else f"torch.{device}"
        torch.set_default_tensor_type(f"{place}.FloatTensor")
    torch.set_default_dtype(dtype)


def _default_device() -> str | None:
    # torch's own function tries the device out, which may not be there.
    context = getattr(sys.modules["torch"]._GLOBAL_DEVICE_CONTEXT, "device_context", None)  # noqa: SLF001
    return None if context is None else str(context.device)


def _set_default_device(device: str | None) -> None:
    sys.modules["torch"].set_default_device(device)


_TINY = 5e-324


def _flushes_denormals() -> bool:
    # Also libraries switch this for the whole thread, when they are loaded.
    return _TINY * 1.0 == 0.0


def _flush_denormals(value: bool) -> None:
    sys.modules["torch"].set_flush_denormal(value)


def _deterministic() -> tuple[bool, bool]:
    torch = sys.modules["torch"]
    return (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )


def _set_deterministic(value: tuple[bool, bool]) -> None:
    sys.modules["torch"].use_deterministic_algorithms(value[0], warn_only=value[1])


@functools.cache
def _precisions() -> tuple[Setting, ...]:
    return tuple(_switch(path) for path in _PRECISIONS)


def _precision() -> tuple[Any, ...]:
    try:
        old = sys.modules["torch"].get_float32_matmul_precision()
    except RuntimeError:
        old = None  # said in the new way, of which the old one can't tell
    return (old, *(one.get() for one in _precisions()))


def _set_precision(value: tuple[Any, ...]) -> None:
    # All of them, as the old way sets some of the others.
    if value[0] is not None:
        sys.modules["torch"].set_float32_matmul_precision(value[0])
    for one, new in zip(_precisions(), value[1:], strict=True):
        one.set(new)


def _tensorflow_settings() -> dict[str, Setting]:
    """Settings of TensorFlow and Keras, by name."""
    context = "tensorflow.python.eager.context"
    keras = "keras.src.backend.common.global_state"
    return {
        "keras.floatx": _module_pair("keras.src.backend.config", "floatx", "float32"),
        "keras.epsilon": _module_pair("keras.src.backend.config", "epsilon", 1e-7),
        "keras.images": _module_pair(
            "keras.src.backend.config", "image_data_format", "channels_last"
        ),
        "keras.policy": _tracked(keras, "GLOBAL_STATE_TRACKER", "dtype_policy"),
        "keras.random": _tracked(keras, "GLOBAL_STATE_TRACKER", "global_seed_generator"),
        "tensorflow.random": Setting(context, _tensorflow_random, _set_tensorflow_random),
    }


def _module_pair(module: str, name: str, default: Any) -> Setting:
    def get() -> Any:
        return getattr(sys.modules[module], name)()

    def put(value: Any) -> None:
        getattr(sys.modules[module], f"set_{name}")(value)

    return Setting(module, get, put, default)


def _tracked(module: str, holder: str, name: str) -> Setting:
    return Setting(
        module,
        lambda: getattr(getattr(sys.modules[module], holder), name, None),
        lambda value: setattr(getattr(sys.modules[module], holder), name, value),
    )


def _tensorflow_random() -> tuple[Any, Any]:
    context: Any = sys.modules["tensorflow.python.eager.context"].context()
    return context._seed, getattr(context, "_rng", None)  # noqa: SLF001


def _set_tensorflow_random(value: tuple[Any, Any] | None) -> None:
    context: Any = sys.modules["tensorflow.python.eager.context"].context()
    if value is None or value[1] is None:
        context._set_global_seed(None)  # noqa: SLF001
        return
    # The generator itself, which has gone on from its seed.
    context._seed, context._rng = value  # noqa: SLF001
