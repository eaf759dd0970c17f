"""What the TOML beside an ONNX file says: rate, timing, inputs, outputs.

The smallest one, for ``model.onnx`` that takes (clips, samples) and returns (clips, frames,
numbers), in ``model.toml``::

    sample_rate = 16000
    embedding_size = 288
    hop_samples = 384     # from one embedding to the next
    span_samples = 895    # what one embedding sees; the least audio that gives one
    [output]
    axes = ["clip", "time", "number"]

All times are in samples at ``sample_rate``, so nothing is rounded. Without ``[[before]]`` stages
and windows the file's own time axis gives the timestamps; with ``input.window`` each window
gives one embedding.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from hearbench.errors import ModelError
from hearbench.models.rates import HIGHEST_RATE, LOWEST_RATE
from hearbench.registry import did_you_mean

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["Constant", "Input", "OnnxSpec", "Output", "Stage", "Window", "read_spec"]

MODEL_SUFFIXES = (".onnx", ".ort")
MODULE_PREFIX = "module:"

Positive = Annotated[int, Field(ge=1)]
NotNegative = Annotated[int, Field(ge=0)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Text = Annotated[str, Field(min_length=1)]
Axis = Literal["clip", "time", "number", "one"]
Axes = Annotated[tuple[Axis, ...], Field(min_length=1)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Constant(_Part):
    """A further input that always holds one value, such as an attention mask of ones.

    Attributes:
        value: What fills it.
        type: Its type in the ONNX file.
        shape: ``input`` for the main input's shape, ``clip`` for (clips,), or sizes; ``[]`` is
            a scalar.
    """

    value: int | Number
    type: Literal["float32", "int64", "int32", "bool"] = "int64"
    shape: Literal["input", "clip"] | tuple[Positive, ...] = "input"


class Window(_Part):
    """Overlapping windows along the input's time axis, each one an item of the batch.

    Attributes:
        size: Steps of that axis: samples, or frames of the stage before.
        hop: Steps from one window to the next.
    """

    size: Positive
    hop: Positive


class Input(_Part):
    """How a stage's data goes in.

    Attributes:
        name: Name of the input; may be left out where only one is no constant.
        axes: What each axis holds; ``one`` is an axis of length 1. Without ``clip``, clips go
            in one by one.
        window: Cuts the time axis into windows.
        constants: Further inputs by name.
    """

    name: Text | None = None
    axes: Axes = ("clip", "time")
    window: Window | None = None
    constants: dict[Text, Constant] = {}


class Output(_Part):
    """How a stage's numbers come out.

    Attributes:
        name: Name of the output; may be left out where there is only one.
        axes: What each axis holds; ``one`` is an axis of length 1.
        multiply: Factor on what comes out.
        add: Added after that.
    """

    name: Text | None = None
    axes: Axes = ("clip", "number")
    multiply: Number = 1.0
    add: Number = 0.0


class Stage(_Part):
    """One ONNX file.

    Attributes:
        file: Path, absolute or from the TOML's folder, or ``module:PACKAGE/PATH`` for a file
            inside an installed package, which isn't imported.
        input: How data goes in.
        output: How it comes out.
        batch_size: The most clips or windows per run; 1 for a file whose numbers for one
            depend on its neighbours. A size that is fixed in the file is always kept.
    """

    file: Text | None = None
    input: Input = Input()
    output: Output = Output()
    batch_size: Positive = 32

    @model_validator(mode="after")
    def _axes_make_sense(self) -> Stage:
        for where, axes in (("input", self.input.axes), ("output", self.output.axes)):
            for axis in ("clip", "time", "number"):
                if axes.count(axis) > 1:
                    raise ValueError(f"{where}.axes names {axis!r} twice")
        if "time" not in self.input.axes:
            raise ValueError("input.axes has no 'time'")
        if "number" not in self.output.axes:
            raise ValueError("output.axes has no 'number'")
        if self.input.window and "time" in self.output.axes:
            raise ValueError(
                "input.window makes one row of numbers per window, so output.axes can't have "
                "'time'; use 'one' for an axis of length 1"
            )
        if not self.input.window and "time" not in self.output.axes:
            raise ValueError("output.axes has no 'time', so input.window is needed")
        return self


class OnnxSpec(Stage):
    """All that hearbench has to know of an ONNX model.

    Attributes:
        sample_rate: In Hz.
        embedding_size: Numbers per frame.
        hop_samples: From one embedding to the next.
        span_samples: Audio that one embedding sees: the least that gives one.
        first_centre_samples: Centre of the first span; default its middle.
        pad_start_samples: Zeros put before the audio.
        pad_end_samples: Zeros put after it. Audio shorter than one span is padded further.
        scale: Factor on audio in [-1, 1], such as 32768 for int16-scaled floats.
        segment_s: Longer audio goes through in segments of this length, which bounds memory.
            A segment's numbers don't see the next segment beyond their own span.
        pooling: A clip's embedding from its frames': ``mean``, ``max``, or ``mean_std`` for
            mean and standard deviation one after the other.
        before: Stages that run first, such as a mel spectrogram.
    """

    sample_rate: Annotated[int, Field(ge=LOWEST_RATE, le=HIGHEST_RATE)]
    embedding_size: Positive
    hop_samples: Positive
    span_samples: Positive
    first_centre_samples: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    pad_start_samples: NotNegative = 0
    pad_end_samples: NotNegative = 0
    scale: Number = 1.0
    segment_s: Annotated[float, Field(gt=0, le=1200)] = 30.0
    pooling: Literal["mean", "max", "mean_std"] = "mean"
    before: tuple[Stage, ...] = ()

    @property
    def scene_embedding_size(self) -> int:
        """Numbers per clip."""
        return self.embedding_size * (2 if self.pooling == "mean_std" else 1)

    @property
    def centre_samples(self) -> float:
        """Where the first embedding is centred in the audio; before its start if negative."""
        centre = self.first_centre_samples
        middle = (self.span_samples - 1) / 2
        return (middle if centre is None else centre) - self.pad_start_samples

    @model_validator(mode="after")
    def _stages_follow(self) -> OnnxSpec:
        stages = (*self.before, self)
        if any(stage.file is None for stage in self.before):
            raise ValueError("every stage in before needs its file")
        if "number" in stages[0].input.axes:
            raise ValueError("the first stage takes samples, so its input.axes has no 'number'")
        if any("number" not in stage.input.axes for stage in stages[1:]):
            raise ValueError("a stage after another takes its numbers: input.axes needs 'number'")
        if self.centre_samples < 0:
            raise ValueError(
                "pad_start_samples is more than the first centre, so timestamps would be negative"
            )
        return self


def read_spec(path: Path) -> tuple[OnnxSpec, tuple[Path, ...]]:
    """The settings of a model and its ONNX files, in the order in which they run.

    Args:
        path: An ``.onnx`` or ``.ort`` file with a TOML of the same stem beside it, or a TOML
            that names its ``file``.

    Raises:
        ModelError: A file is missing, or the TOML can't be used; says what is allowed.
    """
    if path.suffix not in (*MODEL_SUFFIXES, ".toml"):
        raise ModelError(
            f"{path} isn't an ONNX model. Give a file that ends in .onnx or .ort with a .toml of "
            "the same name beside it, or that .toml."
        )
    toml = path.with_suffix(".toml")
    spec = _parse(toml)
    if path.suffix == ".toml":
        main = _located(spec.file, toml) if spec.file else _beside(toml)
    elif spec.file and _located(spec.file, toml).resolve() != path.resolve():
        raise ModelError(
            f"{toml}: its file is {spec.file}, which isn't {path.name} beside it. Remove that "
            "line, or give the .toml as the model."
        )
    else:
        main = path
    if not main.is_file():
        raise ModelError(f"There is no ONNX file {main}.")
    stages = tuple(_located(stage.file, toml) for stage in spec.before if stage.file)
    return spec, (*stages, main)


def _beside(toml: Path) -> Path:
    for suffix in MODEL_SUFFIXES:
        if toml.with_suffix(suffix).is_file():
            return toml.with_suffix(suffix)
    raise ModelError(
        f"{toml} names no file, and there is no {toml.stem}.onnx or {toml.stem}.ort beside it."
    )


def _located(name: str, toml: Path) -> Path:
    if not name.startswith(MODULE_PREFIX):
        # Not pathlib's, which fails where a name has no home folder.
        path = toml.parent / os.path.expanduser(name)  # noqa: PTH111
        if not _is_file(path):
            raise ModelError(f"{toml}: there is no file {path}.")
        return path
    package, _, inside = name.removeprefix(MODULE_PREFIX).partition("/")
    if not package.isidentifier() or not inside:
        raise ModelError(f"{toml}: {name!r} should read module:PACKAGE/PATH.")
    try:
        found = importlib.util.find_spec(package)
    except (ImportError, ValueError):  # what has no place of its own, such as __main__
        found = None
    folders = list(found.submodule_search_locations or []) if found else []
    for folder in folders:
        if _is_file(Path(folder) / inside):
            return Path(folder) / inside
    missing = f"has no {inside}; try another version of it" if folders else "isn't installed here"
    raise ModelError(f"{toml}: it needs {name!r}, and the package {package} {missing}.")


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False  # too long for a path, or with a character that no path has


def _parse(toml: Path) -> OnnxSpec:
    try:
        values: dict[str, Any] = tomllib.loads(toml.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ModelError(
            f"There is no {toml}. An ONNX model needs this file, which says its sample_rate, "
            "embedding_size, hop_samples, span_samples, input and output."
        ) from error
    except (OSError, ValueError, RecursionError) as error:  # of TOML that is none, or very deep
        raise ModelError(f"{toml} is no TOML that can be read: {error}.") from error
    try:
        return OnnxSpec.model_validate(values)
    except ValidationError as error:
        raise ModelError(_explain(toml, error)) from error


_PARTS: dict[str, type[BaseModel]] = {
    "input": Input,
    "output": Output,
    "before": Stage,
    "window": Window,
    "constants": Constant,
}


def _explain(toml: Path, error: ValidationError) -> str:
    lines = []
    for item in error.errors(include_url=False):
        place = item["loc"]
        key = ".".join(map(str, place))
        if item["type"] == "extra_forbidden":
            part: type[BaseModel] = next(
                (_PARTS[str(name)] for name in place[-2::-1] if str(name) in _PARTS), OnnxSpec
            )
            known = did_you_mean(str(place[-1]), list(part.model_fields))
            lines.append(f"{key}: there is no such key. {known}")
        elif item["type"] == "missing":
            lines.append(f"{key}: missing")
        else:
            message = item["msg"].removeprefix("Value error, ")
            given = (
                f" (given: {item['input']!r})" if place and item["type"] != "value_error" else ""
            )
            lines.append(f"{key}: {message}{given}" if key else message)
    return f"{toml} can't be used:\n" + "\n".join(f"- {line}" for line in lines)
