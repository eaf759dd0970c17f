"""One ONNX file in ONNX Runtime: arrays of named axes in and out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from hearbench.errors import ModelError
from hearbench.models.onnx_spec import Stage

__all__ = ["Floats", "StageRunner"]

Floats = npt.NDArray[np.float32]

# ONNX Runtime's log level: errors come back as exceptions, which say the same.
_FATAL = 4
_INNER_AXES = ("clip", "time", "number")


class StageRunner:
    """One stage's file in ONNX Runtime: arrays (clips, time[, numbers]) in and out."""

    def __init__(self, stage: Stage, path: Path, device: str) -> None:
        self.stage = stage
        self.path = path
        self.session = _session(path, device)
        inputs = {item.name: item for item in self.session.get_inputs()}
        outputs = [item.name for item in self.session.get_outputs()]
        free = [name for name in inputs if name not in stage.input.constants]
        self.input = _chosen(path, "input", stage.input.name, free)
        self.output = _chosen(path, "output", stage.output.name, outputs)
        for name in stage.input.constants:
            if name not in inputs:
                raise ModelError(_no_such(path, "input", name, list(inputs)))
        unset = [name for name in free if name != self.input]
        if unset:
            raise ModelError(
                f"{path} has further inputs: {', '.join(unset)}. Give each a value in its "
                "TOML under [input.constants.NAME]."
            )
        shape = inputs[self.input].shape
        if len(shape) != len(stage.input.axes):
            raise ModelError(
                f"{path}: its input {self.input} has {len(shape)} axes, {shape}, and input.axes "
                f"in the TOML names {len(stage.input.axes)}."
            )
        self.fixed = _fixed_batch(stage, shape)

    def __call__(self, data: Floats) -> Floats:
        """(clips, time[, numbers]) to (clips, frames, numbers)."""
        window = self.stage.input.window
        if window is None:
            return self._in_batches(data)
        if data.shape[1] < window.size:
            raise ModelError(
                f"{self.path}: its window takes {window.size} steps and gets {data.shape[1]}; "
                "span_samples in the TOML is too small."
            )
        # A view: (clips, windows, size[, numbers]).
        cut = np.lib.stride_tricks.sliding_window_view(data, window.size, axis=1)
        cut = np.moveaxis(cut[:, :: window.hop], -1, 2)
        n_clips, n_windows = cut.shape[:2]
        found = []
        # The view is copied a batch at a time; all windows at once could fill the memory.
        for first in range(0, n_clips * n_windows, self.stage.batch_size):
            row = np.arange(first, min(first + self.stage.batch_size, n_clips * n_windows))
            found.append(self._in_batches(cut[row // n_windows, row % n_windows])[:, 0])
        return np.concatenate(found).reshape(n_clips, n_windows, -1)

    def _in_batches(self, data: Floats) -> Floats:
        size = self.fixed or self.stage.batch_size
        found = []
        for first in range(0, len(data), size):
            batch = data[first : first + size]
            missing = self.fixed - len(batch) if self.fixed else 0
            full = np.concatenate([batch, np.repeat(batch[:1], missing, 0)]) if missing else batch
            found.append(self._run(full)[: len(batch)])
        output = self.stage.output
        raw = np.concatenate(found)
        scaled: Floats = raw * np.float32(output.multiply) + np.float32(output.add)
        return scaled

    def _run(self, batch: Floats) -> Floats:
        axes = self.stage.input.axes
        present = [axis for axis in _INNER_AXES if axis in axes]
        inner = batch if "clip" in axes else batch[0]
        ordered = inner.transpose([present.index(axis) for axis in axes if axis != "one"])
        ones = tuple(i for i, axis in enumerate(axes) if axis == "one")
        ready = np.ascontiguousarray(np.expand_dims(ordered, ones), dtype=np.float32)
        feeds: dict[str, npt.NDArray[Any]] = {self.input: ready}
        for name, constant in self.stage.input.constants.items():
            shapes = {"input": ready.shape, "clip": (len(batch),)}
            shape = shapes[constant.shape] if isinstance(constant.shape, str) else constant.shape
            feeds[name] = np.full(shape, constant.value, np.dtype(constant.type))
        found = self._result(feeds)
        return self._inner(found, len(batch))

    def _result(self, feeds: dict[str, npt.NDArray[Any]]) -> npt.NDArray[Any]:
        from onnxruntime.capi import onnxruntime_pybind11_state as state

        failures = (state.Fail, state.InvalidArgument, state.RuntimeException, state.NotImplemented)
        try:
            return np.asarray(self.session.run([self.output], feeds)[0])
        except (*failures, ValueError) as error:
            shapes = ", ".join(f"{key} {value.shape}" for key, value in feeds.items())
            raise ModelError(f"{self.path} fails on {shapes}: {error}") from error

    def _inner(self, found: npt.NDArray[Any], n_clips: int) -> Floats:
        """What came out as (clips, time, numbers)."""
        axes = self.stage.output.axes
        long = [
            i for i, axis in enumerate(axes) if axis == "one" and found.shape[i : i + 1] != (1,)
        ]
        if found.ndim != len(axes) or long:
            raise ModelError(
                f"{self.path}: its output {self.output} is {found.shape}, which isn't "
                f"({', '.join(axes)}) as output.axes in the TOML says."
            )
        squeezed = found.squeeze(tuple(i for i, axis in enumerate(axes) if axis == "one"))
        present = [axis for axis in axes if axis != "one"]
        wanted = [axis for axis in _INNER_AXES if axis in present]
        ordered = squeezed.transpose([present.index(axis) for axis in wanted])
        missing = tuple(i for i, axis in enumerate(_INNER_AXES) if axis not in present)
        full = np.expand_dims(ordered, missing)
        if len(full) != n_clips:
            raise ModelError(
                f"{self.path}: {n_clips} clips or windows go in and {len(full)} come out; "
                "in the TOML, input.axes and output.axes should name 'clip' where there is one."
            )
        return full.astype(np.float32, copy=False)


def _session(path: Path, device: str) -> Any:
    try:
        import onnxruntime
        from onnxruntime.capi import onnxruntime_pybind11_state as state
    except ImportError as error:
        raise ModelError(
            "ONNX models need onnxruntime, which isn't installed here. Run: "
            "pip install 'hearbench[onnx]'"
        ) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.inter_op_num_threads = 1
    options.log_severity_level = _FATAL
    providers: list[Any] = ["CPUExecutionProvider"]
    kind, _, number = device.partition(":")
    if kind == "cuda" and "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        providers.insert(0, ("CUDAExecutionProvider", {"device_id": int(number or 0)}))
    failures = (state.Fail, state.InvalidProtobuf, state.InvalidGraph, state.NoSuchFile)
    others = (state.InvalidArgument, state.RuntimeException, state.NotImplemented)
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=providers)
    except (*failures, *others) as error:
        raise ModelError(f"{path} isn't a model that ONNX Runtime can load: {error}") from error


def _chosen(path: Path, what: str, name: str | None, names: list[str]) -> str:
    if name is None and len(names) == 1:
        return names[0]
    if name is None:
        raise ModelError(
            f"{path} has {len(names)} {what}s: {', '.join(names)}. Set {what}.name in its TOML"
            + (", and [input.constants] for the others." if what == "input" else ".")
        )
    if name not in names:
        raise ModelError(_no_such(path, what, name, names))
    return name


def _no_such(path: Path, what: str, name: str, names: list[str]) -> str:
    return f"{path} has no {what} {name!r} as its TOML says; it has: {', '.join(names)}."


def _fixed_batch(stage: Stage, shape: list[Any]) -> int:
    """How many clips each run must have, or 0 for any number."""
    if "clip" not in stage.input.axes:
        return 1
    size = shape[stage.input.axes.index("clip")]
    return size if isinstance(size, int) and size > 0 else 0
