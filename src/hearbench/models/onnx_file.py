"""Any ONNX file as a HEAR model, by a TOML beside it.

The TOML says what an ONNX file doesn't: rate, timing, which axis is which; see
:mod:`hearbench.models.onnx_spec` for its keys. ``examples/models`` has two for published models.
The files run in ONNX Runtime, on the GPU where the audio is there and onnxruntime-gpu is
installed, otherwise on the CPU with as many threads as PyTorch has.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from hearbench.errors import ModelError
from hearbench.models.onnx_spec import OnnxSpec, Stage, read_spec

__all__ = [
    "Floats",
    "OnnxModel",
    "get_scene_embeddings",
    "get_timestamp_embeddings",
    "load_model",
    "weight_files",
]


class OnnxModel(torch.nn.Module):
    """ONNX files that run one after the other, as one HEAR model."""

    device_anchor: torch.Tensor

    def __init__(self, spec: OnnxSpec, files: tuple[Path, ...]) -> None:
        super().__init__()
        self.spec = spec
        self.files = files
        self.sample_rate = spec.sample_rate
        self.timestamp_embedding_size = spec.embedding_size
        self.scene_embedding_size = spec.scene_embedding_size
        # Nothing of ONNX Runtime moves with .to; where this goes, the audio goes.
        self.register_buffer("device_anchor", torch.zeros(0), persistent=False)
        self._runners = {"cpu": self._load("cpu")}
        self.eval()

    def _load(self, device: str) -> tuple[_StageRunner, ...]:
        stages = (*self.spec.before, self.spec)
        return tuple(
            _StageRunner(stage, file, device)
            for stage, file in zip(stages, self.files, strict=True)
        )

    def forward(self, audio: torch.Tensor) -> torch.Tensor:
        """Audio (n_clips, n_samples) to embeddings (n_clips, n_frames, embedding_size).

        Raises:
            ModelError: A file gives another number of frames, or frames of another size, than its
                TOML says.
        """
        device = str(audio.device)
        if device not in self._runners:
            self._runners[device] = self._load(device)
        samples = audio.detach().to("cpu", torch.float32).numpy()
        spec = self.spec
        n_frames = self._n_frames(samples.shape[1])
        embeddings = np.empty((len(samples), n_frames, spec.embedding_size), np.float32)
        for clips, frames in self._blocks(len(samples), n_frames):
            piece = self._piece(samples[clips], frames)
            for runner in self._runners[device]:
                piece = runner(piece)
            expected = (len(samples[clips]), frames.stop - frames.start, spec.embedding_size)
            if piece.shape != expected:
                length = (expected[1] - 1) * spec.hop_samples + spec.span_samples
                raise ModelError(
                    f"{self.files[-1]}: {length} samples should give {expected[1]} embeddings of "
                    f"{expected[2]} numbers by hop_samples, span_samples and embedding_size in "
                    f"its TOML, and give {piece.shape[1]} of {piece.shape[2]}."
                )
            embeddings[clips, frames] = piece
        return torch.from_numpy(embeddings).to(audio.device)

    def centres_ms(self, n_samples: int) -> torch.Tensor:
        """Centres of the frames of such a clip in ms, float32 (n_frames,)."""
        index = np.arange(self._n_frames(n_samples))
        samples = self.spec.centre_samples + index * self.spec.hop_samples
        ms = samples * 1000.0 / self.sample_rate
        # A clip shorter than half a span would else have a centre beyond its end.
        return torch.from_numpy(np.minimum(ms, n_samples * 1000.0 / self.sample_rate)).float()

    def _n_frames(self, n_samples: int) -> int:
        spec = self.spec
        padded = n_samples + spec.pad_start_samples + spec.pad_end_samples
        return max(0, padded - spec.span_samples) // spec.hop_samples + 1

    def _blocks(self, n_clips: int, n_frames: int) -> Iterator[tuple[slice, slice]]:
        """Clips and frames that go through together: about segment_s of audio each."""
        spec = self.spec
        longest = int(spec.segment_s * spec.sample_rate)
        most = max(1, (longest - spec.span_samples) // spec.hop_samples + 1)
        # Segments of even length, so that no last one is much shorter than the others.
        count = -(-n_frames // most)
        edges = [n_frames * i // count for i in range(count + 1)]
        length = (-(-n_frames // count) - 1) * spec.hop_samples + spec.span_samples
        together = max(1, longest // length)
        for first in range(0, n_clips, together):
            for start, stop in itertools.pairwise(edges):
                yield slice(first, min(first + together, n_clips)), slice(start, stop)

    def _piece(self, samples: Floats, frames: slice) -> Floats:
        """The audio that these frames see, padded and scaled."""
        spec = self.spec
        start = frames.start * spec.hop_samples - spec.pad_start_samples
        stop = start + (frames.stop - 1 - frames.start) * spec.hop_samples + spec.span_samples
        there = samples[:, max(0, start) : max(0, stop)]
        after = max(0, stop - max(start, 0) - there.shape[1])
        padded = np.pad(there, ((0, 0), (max(0, -start), after)))[:, : stop - start]
        scaled: Floats = padded * np.float32(spec.scale)
        return scaled


def load_model(model_file_path: str) -> OnnxModel:
    """An ONNX model by its TOML.

    Args:
        model_file_path: ``model.onnx`` or ``model.ort`` with ``model.toml`` beside it, or a
            TOML that names its ``file``.

    Raises:
        ModelError: onnxruntime is missing, a file is missing, the TOML can't be used, or it
            doesn't fit the ONNX file.
    """
    # Not pathlib's, which fails where a name has no home folder.
    spec, files = read_spec(Path(os.path.expanduser(model_file_path)))  # noqa: PTH111
    return OnnxModel(spec, files)


def weight_files(weights: Path) -> list[Path]:
    """All files that decide a model's numbers: its TOML and its ONNX files.

    Raises:
        ModelError: One is missing, or the TOML can't be used.
    """
    return [weights.with_suffix(".toml"), *read_spec(weights)[1]]


def get_timestamp_embeddings(
    audio: torch.Tensor, model: OnnxModel
) -> tuple[torch.Tensor, torch.Tensor]:
    """Embeddings at the model's own hop.

    Args:
        audio: (n_clips, n_samples) in [-1, 1] at the model's rate.
        model: Of ``load_model``.

    Returns:
        Embeddings (n_clips, n_frames, size) and frame centres in ms (n_clips, n_frames).

    Raises:
        ModelError: An ONNX file fails, or gives other sizes than its TOML says.
    """
    embeddings: torch.Tensor = model(audio)
    centres_ms = model.centres_ms(audio.shape[1]).to(audio.device)
    return embeddings, centres_ms.expand(embeddings.shape[:2])


def get_scene_embeddings(audio: torch.Tensor, model: OnnxModel) -> torch.Tensor:
    """One embedding per clip: the frames', pooled as the TOML says.

    Args:
        audio: (n_clips, n_samples) in [-1, 1] at the model's rate.
        model: Of ``load_model``.

    Returns:
        (n_clips, size).

    Raises:
        ModelError: An ONNX file fails, or gives other sizes than its TOML says.
    """
    frames: torch.Tensor = model(audio)
    if model.spec.pooling == "max":
        return frames.amax(1)
    if model.spec.pooling == "mean_std":
        return torch.cat([frames.mean(1), frames.std(1, correction=0)], 1)
    return frames.mean(1)


Floats = npt.NDArray[np.float32]

# ONNX Runtime's log level: errors come back as exceptions, which say the same.
_FATAL = 4
_INNER_AXES = ("clip", "time", "number")


class _StageRunner:
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
