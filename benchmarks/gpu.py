"""Everything that has to be known of a GPU, in one command and less than nine minutes.

    python benchmarks/gpu.py [--device auto] [--minutes 8.5] [--out build/gpu.json] [--parts ...]

Four parts, each with a share of the time. When its share is used up, what is left of a part is
skipped, which a line says; what fails is a row of its own and stops no other part. The end is
always one table, and the same as JSON. The exit code is 1 if a check of correctness failed.

* ``correctness``: training steps against the CPU's; a probe that was stopped and resumed, and one
  whose embeddings are read again in every epoch, bit for bit; batches of clips that grow, and
  shrink where memory runs out; scores of a task with classes, one with tags and one with events
  against the CPU's, within the spread of seeds.
* ``probe``: kernels per training step, their share of the time, waits for the device, and the
  roofline; the published grid side by side against the plain loop (`plain_loop.py`) on the same
  device, clips and frames.
* ``suite``: the probes of all tasks at their true sizes (`full_suite.py`), run where that is short
  and extrapolated where it isn't.
* ``embedding``: ``embed`` against the bare model (`embed.py`), and how busy the GPU is.

The roofline of a step is ``max(flop / rate, bytes / bandwidth)``: it can't be faster than that.
Rate is that of one large square product in the precision of the training, and bandwidth that of
one large copy, which reads and writes; both are measured here. ``flop`` is `roofline.operations`;
``bytes`` is `step_bytes`. A step's share of it is that time over the measured one.

Nothing needs a network. With ``--small`` the same runs at small sizes, as the tests do on a CPU:
there, what is compared with the CPU is compared with itself, and kernels are operations.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import numpy.typing as npt
import torch
from embed import measure as measure_embedding
from embed import noise_task
from full_suite import TASKS, cut, folds, task_time
from full_suite import measure as measure_steps
from plain_loop import plain_train
from probe import N_LABELS, make_embeddings, plain, stacked
from rich.console import Console
from rich.table import Table
from roofline import operations, steps_of, wait
from synthetic_store import StoreSpec, make_store

import hearbench
from hearbench.embeddings import batches, run
from hearbench.embeddings.batch_size import times_larger
from hearbench.embeddings.store import EmbeddingStore
from hearbench.metrics.classification import top1_accuracy
from hearbench.probe import frames, scenes
from hearbench.probe.fit import fit_probe, fit_probes
from hearbench.probe.kinds import kind_of
from hearbench.probe.network import ProbeStack, Step
from hearbench.probe.outputs import MULTICLASS, MULTILABEL, Outputs
from hearbench.probe.precision import exact_float32, resolve_precision
from hearbench.probe.predictions import FittedProbe
from hearbench.probe.protocol import HEAR2021, GridPoint, Protocol, by_shape
from hearbench.probe.reading import Attention, Inputs, Piece, Reading, WeightedLayers, as_tensor
from hearbench.progress import Progress, Update
from hearbench.tasks.store import load_task, with_rate
from hearbench.workspace import Workspace, available_cores

# Aims on one large GPU.
AIM_RATIO, AIM_SUITE_MINUTES, AIM_EMBEDDING = 50.0, 30.0, 0.9
# Of the time; what a part leaves is for those after it.
SHARES = {"correctness": 0.3, "probe": 0.25, "suite": 0.3, "embedding": 0.15}
# Steps of the check against the CPU, and by how much of their norm the logits may differ then.
STEPS, STEP_TOLERANCE = 10, 0.01
# By how many standard errors of the mean over seeds, of both, a score may differ from the CPU's.
STANDARD_ERRORS = 4.0
# Of a clip's norm: convolutions on a GPU multiply TensorFloat-32 unless a model says otherwise.
EMBEDDING_TOLERANCE = 2e-3


@dataclass(frozen=True)
class Sizes:
    """How large everything is; by default for a large GPU.

    Attributes:
        seeds: Of which scores are compared.
        store_size: Numbers per embedding where scores are compared.
        width: Of hidden layers.
        check_epochs: At most, where scores are compared.
        n_features: Numbers per embedding against the plain loop.
        clips: That both loops are trained on, for so many epochs.
        frames: That both loops are trained on.
        square: Rows of the product by which the rate is measured.
        copy_bytes: Of the copy by which the bandwidth is measured.
        suite: Tasks whose probes are timed; those that take less than `run_below_s` are run.
        embedded_s: Seconds of audio, for a transformer of so many layers of a width.
        batch_clips: Clips of the reference's batch where batches change; they last 1 s each.
    """

    seeds: int = 6
    store_size: int = 256
    width: int = 1024
    check_epochs: int = 60
    n_features: tuple[int, ...] = (128, 1024, 4096)
    clips: int = 4096
    epochs: int = 30
    frames: int = 24000
    square: int = 8192
    copy_bytes: int = 1 << 30
    suite: tuple[StoreSpec, ...] = TASKS
    run_below_s: float = 8.0
    embedded_s: float = 14400.0
    layers: tuple[int, int] = (12, 768)
    batch_clips: int = 84


SMALL = Sizes(
    seeds=2,
    store_size=24,
    width=16,
    check_epochs=6,
    n_features=(16,),
    clips=96,
    epochs=3,
    frames=240,
    square=128,
    copy_bytes=1 << 20,
    suite=(
        StoreSpec("few_clips", folds(20, 20, 20), 3, "top1_acc"),
        StoreSpec("few_frames", cut(4, 2, 2), 3, "event_onset_200ms_fms", clip_frames=40),
    ),
    run_below_s=0.0,
    embedded_s=12.0,
    layers=(1, 16),
    batch_clips=4,
)


@dataclass(frozen=True)
class Row:
    """A line of the table.

    Attributes:
        found: As text; `values` are the numbers.
        wanted: What it is held against.
        ok: Whether it is as wanted; None where nothing is wanted, or it wasn't found out.
    """

    part: str
    what: str
    found: str
    wanted: str = ""
    ok: bool | None = None
    values: Mapping[str, float | str | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Setting:
    """What all parts need to know.

    Attributes:
        folder: Takes whatever is written.
    """

    device: str
    sizes: Sizes
    folder: Path

    @property
    def torch_device(self) -> torch.device:
        """The device as PyTorch has it."""
        return torch.device(self.device)

    def workspace(self, name: str, device: str | None = None) -> Workspace:
        """One whose cache is new."""
        cores = available_cores()
        return Workspace(self.folder / "caches" / name, device or self.device, cores)


CHECKED = {
    "classes": StoreSpec("classes", folds(120, 120, 120), 10, "top1_acc"),
    "tags": StoreSpec("tags", cut(240, 80, 160), 20, "mAP", multilabel=True),
    "events": StoreSpec(
        "events", cut(12, 6, 8), 4, "event_onset_200ms_fms", clip_frames=160, events_per_s=1.0
    ),
}


def correctness(setting: Setting) -> Iterator[Row]:
    """Whether what the device computes is right."""
    yield from check_steps(setting)
    stores = {
        name: make_store(setting.folder / name, spec, setting.sizes.store_size)
        for name, spec in CHECKED.items()
    }
    yield from check_bits(setting, "classes", stores["classes"])
    yield from check_bits(setting, "events", stores["events"])
    yield from check_batches(setting)
    for name, store in stores.items():
        yield check_scores(setting, name, store, "float32")
    yield check_scores(setting, "classes", stores["classes"], "auto")


def checked_protocol(sizes: Sizes, *, shuffle: bool = False) -> Protocol:
    """A small grid, without a linear probe, which would win and isn't trained in bfloat16."""
    width = min(256, sizes.width)
    return Protocol(
        name="checked",
        grid=tuple(
            GridPoint(hidden_layers=layers, hidden_dim=width, lr=lr, max_epochs=sizes.check_epochs)
            for layers, lr in ((1, 1e-3), (2, 1e-3), (2, 3e-4))
        ),
        batch_size=64,
        nan_ends_point=False,
        shuffle=shuffle,
    )


class Clips:
    """Clips (n, frames, size) of a batch as `hearbench.probe.reading.Frames`, in two pieces."""

    def __init__(self, x: torch.Tensor) -> None:
        self.x = x

    def __len__(self) -> int:
        return len(self.x)

    def split(self, count: int) -> list[Clips]:
        """The same in batches of so many clips."""
        return [Clips(self.x[i : i + count]) for i in range(0, len(self), count)]

    def pieces(self) -> Iterator[Piece]:
        """All frames; the clips have different numbers of them."""
        for clips in torch.arange(len(self.x), device=self.x.device).tensor_split(2):
            yield Piece(clips, self.x[clips], clips % self.x.shape[1] + 1)


def check_steps(setting: Setting) -> Iterator[Row]:
    """Steps without dropout in float32 from the same weights: logits against the CPU's."""
    kinds: Mapping[str, tuple[Callable[[torch.Tensor], Reading], Outputs]] = {
        "classes": (Reading, MULTICLASS),
        "tags": (Reading, MULTILABEL),
        "weighted layers": (lambda offset: WeightedLayers(offset, 4), MULTICLASS),
        "frames by attention": (Attention, MULTICLASS),
    }
    for name, (reading, outputs) in kinds.items():
        for layers in (0, 2):
            expected, found = (
                stepped(device, reading, outputs, layers, min(256, setting.sizes.width))
                for device in ("cpu", setting.device)
            )
            error = float(np.linalg.norm(found - expected) / np.linalg.norm(expected))
            yield Row(
                "correctness",
                f"{STEPS} steps on {name}, {layers} hidden layers: logits against the CPU's",
                f"{error:.1e} of their norm",
                f"<= {STEP_TOLERANCE}",
                error <= STEP_TOLERANCE,
                {"relative_error": error},
            )


@exact_float32()
def stepped(
    device: str,
    reading: Callable[[torch.Tensor], Reading],
    outputs: Outputs,
    layers: int,
    width: int,
) -> npt.NDArray[np.float32]:
    """Logits (networks, labels, clips) after some steps on a device."""
    generator = torch.Generator().manual_seed(0)
    points = [
        GridPoint(hidden_layers=layers, hidden_dim=width, lr=lr, dropout=0.0)
        for lr in (1e-3, 3e-4, 1e-4)
    ]
    stack = ProbeStack(
        points,
        range(len(points)),
        reading=reading(torch.randn(64, generator=generator).to(device)),
        n_labels=N_LABELS,
        outputs=outputs,
        dtype=torch.float32,
    )
    by_frame = isinstance(stack.reading, Attention)
    given = torch.randn(256, *([6] if by_frame else []), 64, generator=generator).to(device)
    x: Inputs = Clips(given) if by_frame else given
    y = torch.randint(0, N_LABELS, (256,), generator=generator)
    if outputs is MULTILABEL:
        y = torch.nn.functional.one_hot(y, N_LABELS).float()
    stack.train_steps([Step(x, y.to(device))] * STEPS)
    logits: npt.NDArray[np.float32] = stack.predict(x).cpu().numpy()
    return logits


class StoppedError(Exception):
    """A training that was stopped on purpose."""


class Stopping(Progress):
    """Stops a training at its second update, after the first was saved."""

    @contextmanager
    def stage(
        self,
        what: str,  # noqa: ARG002 (the base's signature)
        unit: str = "",  # noqa: ARG002
        total: int | None = None,  # noqa: ARG002
    ) -> Iterator[Update]:
        """A stage whose updates are counted."""
        left = 1

        def update(done: int, total: int | None = None, text: str = "") -> None:  # noqa: ARG001
            nonlocal left
            left -= 1
            if left < 0:
                raise StoppedError

        yield update


def check_bits(setting: Setting, name: str, store: EmbeddingStore) -> Iterator[Row]:
    """Probes that were stopped, or whose embeddings are read again, against undisturbed ones."""
    for shuffle in (False, True):
        protocol = checked_protocol(setting.sizes, shuffle=shuffle)
        label = f"{name}, shuffled" if shuffle else name
        whole = fit_probe(store, protocol, workspace=setting.workspace(f"whole {label}"))
        # A GPU's room doesn't depend on what the workspace allows.
        no_room = [patch.object(module, "room_bytes", lambda *_: 0) for module in (scenes, frames)]
        workspace = replace(setting.workspace(f"read {label}"), max_memory_gb=0.0)
        with no_room[0], no_room[1]:
            streamed = fit_probe(store, protocol, workspace=workspace)
        yield same_bits(f"{label}: probe whose embeddings are read every epoch", whole, streamed)
    protocol = checked_protocol(setting.sizes)
    workspace = setting.workspace(f"stopped {name}")
    whole = fit_probe(store, protocol, workspace=setting.workspace(f"whole {name}"))
    try:
        stopping = replace(workspace, progress=Stopping())
        fit_probe(store, protocol, workspace=stopping, checkpoint_every_s=0.0)
    except StoppedError:
        pass
    stopped = any(workspace.cache_dir.rglob("*.unfinished.npz"))
    resumed = fit_probe(store, protocol, workspace=workspace)
    row = same_bits(f"{name}: probe that was stopped and resumed", whole, resumed)
    yield row if stopped else replace(row, found="no checkpoint was written", ok=False)


def same_bits(what: str, one: FittedProbe, other: FittedProbe) -> Row:
    """Whether two probes predict the same."""
    most = max(
        float(np.abs(a.probabilities - b.probabilities).max())
        for a, b in zip(one.folds, other.folds, strict=True)
    )
    found = "equal" if most == 0 else f"differs by up to {most:.1e}"
    return Row("correctness", what, found, "bit for bit", most == 0, {"largest_difference": most})


def check_scores(setting: Setting, name: str, store: EmbeddingStore, precision: str) -> Row:
    """Scores of several seeds against those of the CPU in float32."""
    seeds = range(1, setting.sizes.seeds + 1)
    protocol = checked_protocol(setting.sizes)
    scores = []
    for device, own in (("cpu", "float32"), (setting.device, precision)):
        workspace = setting.workspace(f"scores {name} {device} {own}", device)
        fitted = fit_probes(store, protocol, seeds=seeds, precision=own, workspace=workspace)
        scores.append([hearbench.score(one).primary.mean for one in fitted])
    expected, found = map(statistics.fmean, scores)
    # Where all seeds agree, some clips may still fall on the other side.
    n_scored = sum(len(store.clips(fold.test)) for fold in store.task.folds())
    error = math.hypot(*(statistics.stdev(own) / len(own) ** 0.5 for own in scores))
    tolerance = STANDARD_ERRORS * error + 2.0 / n_scored
    return Row(
        "correctness",
        f"score of {name} in {precision}, {len(seeds)} seeds",
        f"{found:.4f}, the CPU's {expected:.4f}",
        f"within {tolerance:.4f}",
        abs(found - expected) <= tolerance,
        {"score": found, "cpu_score": expected, "tolerance": tolerance},
    )


# As a network has it, a convolution, and a product over all clips of a batch. With `most`, clips
# take memory as if so many filled the device.
CHECKED_MODEL = """
import torch

class Net(torch.nn.Module):
    sample_rate = 16000
    scene_embedding_size = 64
    timestamp_embedding_size = 64

    def __init__(self, most):
        super().__init__()
        torch.manual_seed(0)
        self.most = most
        self.conv = torch.nn.Conv1d(1, 32, 400, 160)
        self.linear = torch.nn.Linear(32, 64)

def load_model(model_file_path="", most: int = 0):
    return Net(most)

def get_timestamp_embeddings(audio, model):
    if model.most and audio.is_cuda:
        total = torch.cuda.get_device_properties(audio.device).total_memory
        torch.empty(len(audio) * (total // model.most), dtype=torch.uint8, device=audio.device)
    elif model.most and len(audio) > model.most:
        raise MemoryError("no room")
    frames = model.linear(model.conv(audio[:, None]).relu().mT)
    ms = torch.arange(frames.shape[1], device=audio.device) * 10.0 + 12.5
    return frames, ms.expand(len(audio), -1)

def get_scene_embeddings(audio, model):
    return get_timestamp_embeddings(audio, model)[0].mean(1)
"""


def check_batches(setting: Setting) -> Iterator[Row]:
    """Batches that grow, and that are a third too large for the device."""
    batch = setting.sizes.batch_clips
    grown, error = embedded_twice(setting, "growing", most=0)
    enlarged = grown.manifest.enlarged_batch
    yield Row(
        "correctness",
        f"embeddings in batches that grow from {batch} clips, against the CPU's",
        f"{enlarged} clips, {error:.1e} of the norm",
        f"more, <= {EMBEDDING_TOLERANCE}",
        (enlarged or 0) > batch and error <= EMBEDDING_TOLERANCE,
        {"enlarged_batch": enlarged, "relative_error": error},
    )
    halved, error = embedded_twice(setting, "shrinking", most=3 * batch // 4)
    reduced = halved.manifest.reduced_batch
    yield Row(
        "correctness",
        f"embeddings where memory runs out at {batch} clips, against the CPU's",
        f"{reduced} clips, {error:.1e} of the norm",
        f"{batch // 2}, <= {EMBEDDING_TOLERANCE}",
        reduced == batch // 2 and error <= EMBEDDING_TOLERANCE,
        {"reduced_batch": reduced, "relative_error": error},
    )


def embedded_twice(setting: Setting, name: str, most: int) -> tuple[EmbeddingStore, float]:
    """Embeddings of a task: the device's, where `most` clips fit, and their error.

    Returns:
        The store, and how far a clip is from the CPU's at most, over its norm.
    """
    path = setting.folder / f"{name}.py"
    path.write_text(CHECKED_MODEL)
    batch = setting.sizes.batch_clips
    made = noise_task(setting.folder / name, 3 * (5 * batch // 2), 1.0, rates=(16000,))
    stores: list[EmbeddingStore] = []
    for device, bound in (("cpu", 0), (setting.device, most)):
        workspace = setting.workspace(f"{name} {len(stores)}", device)
        model = hearbench.load_model(str(path), workspace=workspace, interpreter=None, most=bound)
        task = with_rate(load_task(made, workspace=workspace), model.sample_rate)
        # Where the device isn't large, as if it were.
        large = times_larger(device) > 1 or not stores
        times = patch.object(run, "times_larger", lambda _: 3)
        with (
            nullcontext() if large else times,
            patch.object(batches, "batch_clips", lambda *_: batch),
        ):
            stores.append(hearbench.embed(model, task, workspace=workspace))
    expected, found = stores
    error = 0.0
    for split in found.task.splits:
        a, b = np.asarray(found.scene(split)), np.asarray(expected.scene(split))
        of_each = np.linalg.norm(a - b, axis=1) / np.linalg.norm(b, axis=1)
        error = max(error, float(of_each.max()))
    return found, error


@dataclass(frozen=True)
class Speed:
    """What the device can do at most.

    Attributes:
        flop_per_s: Floating point operations of a large product in the training's precision.
        bytes_per_s: Read and written by a large copy.
    """

    flop_per_s: float
    bytes_per_s: float


def probe(setting: Setting) -> Iterator[Row]:
    """How fast the probe is trained."""
    dtype = resolve_precision("auto", setting.device)
    speed = measured_speed(setting, dtype)
    yield Row(
        "probe",
        f"a product of {setting.sizes.square} rows; a copy",
        f"{speed.flop_per_s / 1e12:.3g} TFLOP/s in {name_of(dtype)}; "
        f"{speed.bytes_per_s / 1e9:.0f} GB/s",
        values=asdict(speed),
    )
    points = [
        point.model_copy(update={"hidden_dim": setting.sizes.width}) for point in HEAR2021.networks
    ]
    for n_features in setting.sizes.n_features:
        for group in by_shape(points):
            yield profiled(setting, [points[i] for i in group], n_features, speed)
        yield clips_against_plain(setting, points, n_features)
        yield frames_against_plain(setting, points, n_features)


def measured_speed(setting: Setting, dtype: torch.dtype) -> Speed:
    """By the best of some tries."""
    device, n, n_bytes = setting.torch_device, setting.sizes.square, setting.sizes.copy_bytes
    x = torch.randn(n, n, device=device).to(dtype)
    product = torch.empty_like(x)
    source = torch.zeros(n_bytes, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    with exact_float32():
        product_s = best_s(lambda: torch.mm(x, x, out=product), device)
    copy_s = best_s(lambda: target.copy_(source), device)
    return Speed(2 * n**3 / product_s, 2 * n_bytes / copy_s)


def best_s(call: Callable[[], object], device: torch.device) -> float:
    """Seconds of the fastest of some calls, after one that warms up."""
    call()
    return min(timed(call, device)[0] for _ in range(5))


def timed(call: Callable[[], Any], device: torch.device) -> tuple[float, Any]:
    """Seconds of a call, and what it gives."""
    wait(device)
    started = time.perf_counter()
    found = call()
    wait(device)
    return time.perf_counter() - started, found


def step_bytes(n: int, layers: int, sizes: tuple[int, int, int, int], itemsize: int) -> int:
    """Bytes that a step of several networks has to read and write, if nothing is done twice.

    For a weight, Adam reads and writes it and two moments in float32 and reads a gradient (28
    bytes); the rounded weight is written, and read forwards and backwards, and its gradient
    written and read (5 items). For a hidden unit and clip, what the product gives and what follows
    are each written once and read forwards and backwards (6 items). An embedding is read forwards
    and backwards (2 items), once for all networks.

    Args:
        sizes: Clips, numbers per embedding, width and labels.
        itemsize: Bytes of a number in the products' precision.
    """
    batch, features, width, labels = sizes
    weights = features * width + (layers - 1) * width * width + width * labels
    units = layers * width * batch
    shared = 2 * batch * features * itemsize
    return n * (weights * (28 + 5 * itemsize) + units * 6 * itemsize) + shared


@dataclass(frozen=True)
class Launches:
    """What a profiler saw, per step.

    Attributes:
        kernels: Kernels of a GPU; PyTorch's operations on a CPU.
        kernel_s: Seconds in which a kernel ran; None on a CPU.
        waits: How often the program waited for the device.
    """

    kernels: float
    kernel_s: float | None
    waits: float


def launches_of(steps: Callable[[int], None], device: torch.device, count: int = 5) -> Launches:
    """Profiles some steps."""
    activities = [torch.profiler.ProfilerActivity.CPU]
    if device.type == "cuda":
        activities.append(torch.profiler.ProfilerActivity.CUDA)
    with torch.profiler.profile(activities=activities) as profiler:
        steps(count)
        wait(device)
    events: list[Any] = list(profiler.events() or [])
    if device.type != "cuda":
        # Operations that others are made of count once.
        return Launches(sum(e.cpu_parent is None for e in events) / count, None, 0.0)
    kernels = [e for e in events if e.device_type.name == "CUDA"]
    kernel_us, end = 0.0, 0.0
    for start, stop in sorted((e.time_range.start, e.time_range.end) for e in kernels):
        kernel_us += max(0.0, stop - max(start, end))
        end = max(end, stop)
    # One is that at the end, and another the profiler's own.
    waits = sum("Synchronize" in event.name for event in events) - 2
    return Launches(len(kernels) / count, 1e-6 * kernel_us / count, max(0, waits) / count)


def profiled(setting: Setting, points: list[GridPoint], n_features: int, speed: Speed) -> Row:
    """Training steps of the networks of a shape on full batches."""
    device, dtype = setting.torch_device, resolve_precision("auto", setting.device)
    layers, width, _ = points[0].shape
    sizes = (min(HEAR2021.batch_size, setting.sizes.clips), n_features, width, 50)
    steps = steps_of(points, sizes, dtype, device)
    steps(2)
    step_s = best_s(lambda: steps(10), device) / 10
    seen = launches_of(steps, device)
    flop = operations(len(points), layers, sizes)
    n_bytes = step_bytes(len(points), layers, sizes, dtype.itemsize)
    share = max(flop / speed.flop_per_s, n_bytes / speed.bytes_per_s) / step_s
    in_kernels = None if seen.kernel_s is None else min(1.0, seen.kernel_s / step_s)
    return Row(
        "probe",
        f"step of {len(points)} networks of {layers} x {width} on {n_features} numbers",
        f"{1e3 * step_s:.2f} ms, {seen.kernels:.0f} kernels"
        + ("" if in_kernels is None else f" in {in_kernels:.0%} of the time")
        + f", {seen.waits:.1f} waits, {share:.0%} of the roofline",
        "no waits",
        seen.waits < 1,
        {
            "step_s": step_s,
            "kernels": seen.kernels,
            "kernel_share": in_kernels,
            "waits": seen.waits,
            "flop": flop,
            "bytes": n_bytes,
            "roofline_share": share,
        },
    )


def clips_against_plain(setting: Setting, points: Sequence[GridPoint], n_features: int) -> Row:
    """The whole grid with its validations, both loops on the device."""
    sizes, device = setting.sizes, setting.device
    rng = np.random.default_rng(n_features)
    centres = rng.standard_normal((N_LABELS, n_features)) * 5 / n_features**0.5
    train = make_embeddings(rng, sizes.clips, centres)
    valid = make_embeddings(rng, sizes.clips // 4, centres)

    def of(epochs: int) -> list[GridPoint]:
        return [point.model_copy(update={"max_epochs": epochs}) for point in points]

    def ours(epochs: int) -> list[float]:
        return stacked(of(epochs), train, valid, seed=0, precision="auto", device=device)

    ours(3), plain(of(3)[:1], train, valid, seed=0, device=device)
    ours_s, ours_scores = timed(lambda: ours(sizes.epochs), setting.torch_device)
    plain_s, plain_scores = timed(
        lambda: plain(of(sizes.epochs), train, valid, seed=0, device=device), setting.torch_device
    )
    scores = f"{statistics.fmean(ours_scores):.3f} and {statistics.fmean(plain_scores):.3f}"
    what = f"grid on {sizes.clips} clips of {n_features} numbers, {sizes.epochs} epochs"
    return against_plain(what, ours_s, plain_s, f"; scores {scores}")


def frames_against_plain(setting: Setting, points: Sequence[GridPoint], n_features: int) -> Row:
    """The grid's training steps of an epoch on frames, without validations, on the device."""
    device, name = setting.torch_device, f"frames-{n_features}"
    clip_frames = setting.sizes.frames // 10
    spec = StoreSpec(name, cut(10, 1, 1), 88, "event_onset_50ms_fms", clip_frames=clip_frames)
    store = make_store(setting.folder / name, spec, n_features)
    budget = setting.workspace(name).memory_budget_bytes()
    kind = kind_of(store, HEAR2021, device=setting.device, max_memory_bytes=budget)
    data = kind.training(store.task.folds()[0], resolve_precision("auto", setting.device))
    ours_s = 0.0
    for group in by_shape(points):
        own = [points[i] for i in group]
        step_s, _ = measure_steps(data, kind, own, steps=8, scale=1.0, clock=time.perf_counter)
        ours_s += step_s * data.n_batches
    epoch = [(as_tensor(x), y) for x, y in data.epoch(1)]
    x, y = (torch.cat([batch[i] for batch in epoch]).float().cpu() for i in (0, 1))
    valid = (x[:1], y[:1].numpy().astype(np.uint8))

    def theirs() -> None:
        for point in points:
            # The first validation would come after three epochs.
            one = point.model_copy(update={"max_epochs": 1}).model_dump()
            plain_train((x, y), valid, top1_accuracy, device=setting.device, **one)

    plain_s, _ = timed(theirs, device)
    what = f"grid on {len(x)} frames of {n_features} numbers, steps of an epoch"
    return against_plain(what, ours_s, plain_s)


def against_plain(what: str, ours_s: float, plain_s: float, more: str = "") -> Row:
    """How many times faster the grid is than the plain loop."""
    ratio = plain_s / ours_s
    return Row(
        "probe",
        what,
        f"{ratio:.1f} times the plain loop ({ours_s:.3g} s, plain {plain_s:.3g} s{more})",
        f">= {AIM_RATIO:.0f} times",
        ratio >= AIM_RATIO,
        {"ratio": ratio, "seconds": ours_s, "plain_seconds": plain_s},
    )


def suite(setting: Setting) -> Iterator[Row]:
    """The probes of all tasks, those with the fewest embeddings first."""
    specs = sorted(
        setting.sizes.suite, key=lambda s: sum(s.splits.values()) * max(1, s.clip_frames)
    )
    total_s = 0.0
    for i, spec in enumerate(specs, 1):
        found = task_time(
            spec,
            steps=8,
            epochs=150,
            run_below_s=setting.sizes.run_below_s,
            device=setting.device,
            clock=time.perf_counter,
        )
        total_s += found.usual_s
        validation_s = sum(stack.seconds(0, 150) for stack in found.stacks)
        how = "run" if found.measured else f"at 150 epochs, {validation_s:.1f} s of validations"
        yield Row(
            "suite",
            f"probes of {spec.name}",
            f"{found.usual_s:.1f} s ({how}); {i} of {len(specs)} in {total_s / 60:.1f} min",
            values={
                "seconds": found.usual_s,
                "measured": float(found.measured),
                "read_s": found.read_s,
                "validation_s": validation_s,
                "longest_s": found.longest_s,
            },
        )
    minutes = total_s / 60
    yield Row(
        "suite",
        f"probes of all {len(specs)} stores",
        f"{minutes:.1f} min",
        f"<= {AIM_SUITE_MINUTES:.0f} min",
        minutes <= AIM_SUITE_MINUTES,
        {"minutes": minutes},
    )


# As large as a base model of speech: 50 frames a second into a transformer of random weights.
TRANSFORMER = """
import torch

class Net(torch.nn.Module):
    sample_rate = 16000

    def __init__(self, layers, width):
        super().__init__()
        torch.manual_seed(0)
        self.scene_embedding_size = self.timestamp_embedding_size = width
        self.conv = torch.nn.Conv1d(1, width, 400, 320, padding=40)
        layer = torch.nn.TransformerEncoderLayer(
            width, max(1, width // 64), 4 * width, dropout=0.0, batch_first=True
        )
        self.encoder = torch.nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)

def load_model(model_file_path="", layers: int = 12, width: int = 768):
    return Net(layers, width).eval()

def get_timestamp_embeddings(audio, model):
    frames = model.encoder(torch.nn.functional.gelu(model.conv(audio[:, None])).mT)
    ms = torch.arange(frames.shape[1], device=audio.device) * 20.0 + 10.0
    return frames, ms.expand(len(audio), -1)

def get_scene_embeddings(audio, model):
    return get_timestamp_embeddings(audio, model)[0].mean(1)
"""


def embedding(setting: Setting) -> Iterator[Row]:
    """How much of the bare model's speed is left."""
    path = setting.folder / "transformer.py"
    path.write_text(TRANSFORMER)
    layers, width = setting.sizes.layers
    options: dict[str, Any] = {"layers": layers, "width": width}
    workspace = setting.workspace("embedding")
    for name, spec, own, share, aim in (
        (f"transformer of {layers} x {width}", str(path), options, 1.0, AIM_EMBEDDING),
        ("naive baseline", "hearbench.models.naive", {}, 0.1, None),
    ):
        model = hearbench.load_model(spec, workspace=workspace, interpreter=None, **own)
        clips = max(3, round(share * setting.sizes.embedded_s / 4))
        made = noise_task(setting.folder / name, clips, 4.0, rates=(model.sample_rate,))
        task = with_rate(load_task(made, workspace=workspace), model.sample_rate)
        found = measure_embedding(model, task, setting.folder, 2)
        at_once = f"{found.enlarged_batch} clips" if found.enlarged_batch else "usual batches"
        busy = "" if found.busy is None else f", GPU busy for {found.busy:.0%}"
        yield Row(
            "embedding",
            f"{name}, {found.audio_s:.0f} s of audio",
            f"{found.ratio:.2f} of the bare model, {found.whole_ratio:.2f} with loading, "
            f"{found.realtime:.0f}x realtime, {at_once}{busy}",
            f">= {aim}" if aim else "",
            found.ratio >= aim if aim else None,
            {
                "ratio": found.ratio,
                "ratio_with_loading": found.whole_ratio,
                "realtime": found.realtime,
                "enlarged_batch": found.enlarged_batch,
                "busy": found.busy,
            },
        )


PARTS: Mapping[str, Callable[[Setting], Iterator[Row]]] = {
    "correctness": correctness,
    "probe": probe,
    "suite": suite,
    "embedding": embedding,
}


class Report:
    """Rows as they are found, on the terminal and in a file.

    Args:
        out: The file, of JSON; it is right after every row.
        about: What everything is run on.
    """

    def __init__(self, out: Path, about: Mapping[str, Any], console: Console) -> None:
        self.rows: list[Row] = []
        self._out, self._about, self._console = out, about, console
        self._started = time.perf_counter()
        out.parent.mkdir(parents=True, exist_ok=True)

    @property
    def failed(self) -> bool:
        """Whether a check of correctness failed, or couldn't be made."""
        return any(row.part == "correctness" and row.ok is False for row in self.rows)

    def add(self, row: Row) -> None:
        """Takes a row."""
        self.rows.append(row)
        passed_s = time.perf_counter() - self._started
        text = {
            **self._about,
            "seconds": passed_s,
            "correct": not self.failed,
            "rows": [asdict(one) for one in self.rows],
        }
        self._out.write_text(json.dumps(text, indent=1) + "\n")
        self._console.print(f"{passed_s:6.1f} s  {row.part}: {row.what}: {row.found}")

    def show(self) -> None:
        """Prints the table."""
        marks = {True: "yes", False: "NO", None: ""}
        table = Table("part", "what", "found", "wanted", "ok")
        for row in self.rows:
            table.add_row(row.part, row.what, row.found, row.wanted, marks[row.ok])
        self._console.print(table)
        self._console.print(", ".join(f"{key} {value}" for key, value in self._about.items()))
        self._console.print(f"{self._out} has the same.")


def run_part(name: str, setting: Setting, report: Report, budget_s: float) -> None:
    """Runs a part until its time is used up; what fails is a row."""
    deadline = time.perf_counter() + budget_s
    if budget_s <= 0:
        report.add(Row(name, "all of it", "skipped, as the time is used up"))
        return
    try:
        for row in PARTS[name](setting):
            report.add(row)
            if time.perf_counter() > deadline:
                report.add(Row(name, "the rest of it", f"skipped after {budget_s:.0f} s"))
                return
    except Exception as error:  # noqa: BLE001 (whatever it is, the other parts are run)
        traceback.print_exc()
        text = f"{type(error).__name__}: {error}".partition("\n")[0]
        report.add(Row(name, "the rest of it", f"failed with {text}", ok=False))


def name_of(dtype: torch.dtype) -> str:
    """``bfloat16`` or ``float32``."""
    return str(dtype).removeprefix("torch.")


def about(device: str) -> dict[str, Any]:
    """What everything is run on."""
    on_gpu = device.startswith("cuda")
    return {
        "device": device,
        "name": torch.cuda.get_device_name(device) if on_gpu else "CPU",
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "cores": available_cores(),
        "precision": name_of(resolve_precision("auto", device)),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the parts; 1 if a check of correctness failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--minutes", type=float, default=8.5, help="for all parts together")
    parser.add_argument("--out", type=Path, default=Path("build/gpu.json"))
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--small", action="store_true", help="small sizes, as for a CPU")
    args = parser.parse_args(arguments)
    device = args.device
    if device == "auto":
        device = "cuda:0" if torch.cuda.is_available() else "cpu"
    report = Report(args.out, about(device), Console(width=180, highlight=False))
    end = time.perf_counter() + 60 * args.minutes

    def give_up() -> None:
        report.add(Row("all", "what hangs, and the rest", "given up", ok=False))
        report.show()
        os._exit(1)

    # What hangs on a device can't be ended otherwise.
    watchdog = threading.Timer(60 * args.minutes + 20, give_up)
    watchdog.daemon = True
    watchdog.start()
    shares = sum(SHARES[name] for name in args.parts)
    try:
        with tempfile.TemporaryDirectory(prefix="hearbench-gpu-") as folder:
            setting = Setting(device, SMALL if args.small else Sizes(), Path(folder))
            for name in args.parts:
                left_s = end - time.perf_counter()
                run_part(name, setting, report, left_s * SHARES[name] / shares)
                shares -= SHARES[name]
    finally:
        watchdog.cancel()
        report.show()
    return int(report.failed)


if __name__ == "__main__":
    sys.exit(main())
