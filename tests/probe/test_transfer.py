"""Copying ahead, on a device that is made up: it copies late, and says so when it is asked."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from helpers_models import BANDS, write_model
from helpers_tasks import make_event_task, make_scene_task

from hearbench import embed, fit_probe, load_model, load_task, score
from hearbench.errors import EmbeddingError
from hearbench.probe import frames, scenes, transfer
from hearbench.probe.protocol import GridPoint, Protocol
from hearbench.probe.transfer import Lane, Mark, room_bytes, stream_through, stream_to
from hearbench.workspace import Workspace

SMALL = Protocol(
    name="small",
    batch_size=7,
    grid=tuple(
        GridPoint(hidden_layers=layers, hidden_dim=8, lr=1e-2, max_epochs=4, check_every=2)
        for layers in (1, 0)
    ),
    nan_ends_point=False,
)


class _Copied:
    def __init__(self, done: Future[None]) -> None:
        self.done = done

    def synchronize(self) -> None:
        self.done.result(120)


class _Computed:
    def __init__(self, lane: LateLane) -> None:
        self.lane = lane

    def synchronize(self) -> None:
        self.lane.computing -= 1


class LateLane:
    """Copies one after the other, a moment after it was asked to.

    Attributes:
        buffers: Sizes of the host's memory that was asked for.
        begun: Copies that were begun.
        computing: Items whose computation nobody has waited for.
    """

    def __init__(self, wait: Callable[[], object] = lambda: time.sleep(0.002)) -> None:
        self.buffers: list[tuple[int, torch.dtype]] = []
        self.begun = 0
        self.computing = 0
        self.most_computing = 0
        self._wait = wait
        self._pool = ThreadPoolExecutor(1)

    def buffer(self, count: int, dtype: torch.dtype) -> torch.Tensor:
        self.buffers.append((count, dtype))
        return torch.empty(count, dtype=dtype)

    def copy(self, sources: Sequence[torch.Tensor]) -> tuple[tuple[torch.Tensor, ...], Mark]:
        assert threading.current_thread() is not threading.main_thread()
        self.begun += 1
        # What hasn't arrived is anything but right.
        tensors = tuple(torch.full_like(one, -1) for one in sources)

        def late() -> None:
            self._wait()
            for tensor, one in zip(tensors, sources, strict=True):
                tensor.copy_(one)

        return tensors, _Copied(self._pool.submit(late))

    def receive(self, tensors: Sequence[torch.Tensor], copied: Mark) -> None:
        copied.synchronize()
        assert tensors

    def mark(self) -> Mark:
        self.computing += 1
        self.most_computing = max(self.most_computing, self.computing)
        return _Computed(self)


def items(count: int) -> list[tuple[npt.NDArray[Any], ...]]:
    """Arrays of several sizes and kinds, none twice the same."""
    rng = np.random.default_rng(0)
    sizes = itertools.cycle([5, 3, 8, 5])
    return [
        (rng.random((size, 4), dtype=np.float32), rng.integers(0, 9, size))
        for _, size in zip(range(count), sizes, strict=False)
    ]


def test_everything_arrives_as_it_was() -> None:
    given, lane = items(20), LateLane()
    # Kept, so that a tensor that is written to later is found out.
    found = list(stream_through(lane, iter(given)))
    for (x, y), (u, v) in zip(given, found, strict=True):
        np.testing.assert_array_equal(u.numpy(), x)
        np.testing.assert_array_equal(v.numpy(), y)
        assert v.dtype == torch.int64
    # Two buffers, each with one array of either kind, which grew once at most.
    assert lane.begun == 20
    assert len(lane.buffers) <= 2 * 2 * 2
    assert {dtype for _, dtype in lane.buffers} == {torch.float32, torch.int64}


def test_no_more_than_two_are_copied_ahead() -> None:
    lane = LateLane()
    for taken, _ in enumerate(stream_through(lane, iter(items(12))), 1):
        time.sleep(0.01)
        assert lane.begun <= taken + 2
    assert 1 <= lane.most_computing <= 3


def test_a_buffer_that_was_not_fetched_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    # The counter-example: without waiting, late copies find the next items' numbers.
    monkeypatch.setattr(_Copied, "synchronize", lambda _: None)
    all_are_given = threading.Event()
    given, lane = items(20), LateLane(lambda: all_are_given.wait(120))
    found = list(stream_through(lane, iter(given)))
    all_are_given.set()
    lane._pool.shutdown()
    assert any(
        not np.array_equal(u.numpy(), x) for (x, _), (u, _) in zip(given, found, strict=True)
    )


def test_an_error_of_the_reader_arrives() -> None:
    def broken() -> Iterator[tuple[npt.NDArray[Any], ...]]:
        yield from items(3)
        raise EmbeddingError("cut off")

    stream = stream_through(LateLane(), broken())
    assert len(list(itertools.islice(stream, 3))) == 3
    with pytest.raises(EmbeddingError, match="cut off"):
        next(stream)


def test_on_a_cpu_nothing_is_copied() -> None:
    given = items(6)
    for (x, y), (u, v) in zip(given, stream_to(torch.device("cpu"), iter(given)), strict=True):
        assert u.data_ptr() == x.ctypes.data
        assert v.data_ptr() == y.ctypes.data


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("kind", ["scene", "event"])
@pytest.mark.parametrize("max_memory_gb", [0.0, 1.0])
def test_a_probe_is_the_same_bits_whatever_way_its_data_came(
    tmp_path: Path,
    workspace: Workspace,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    shuffle: bool,
    max_memory_gb: float,
) -> None:
    make = {"scene": make_scene_task, "event": make_event_task}[kind]
    model = load_model(str(write_model(tmp_path, BANDS)), workspace=workspace)
    task = load_task(make(tmp_path / "task"), workspace=workspace)
    store = embed(model, task, workspace=workspace)
    protocol = SMALL.model_copy(update={"shuffle": shuffle})
    plain = fit_probe(store, protocol, workspace=workspace)
    used: list[Lane] = []

    def by_lane(
        _: torch.device, given: Iterator[tuple[npt.NDArray[Any], ...]], __: int = 4
    ) -> Iterator[tuple[torch.Tensor, ...]]:
        used.append(LateLane(lambda: time.sleep(0.0002)))
        return stream_through(used[-1], given)

    for module in (frames, scenes):
        monkeypatch.setattr(module, "stream_to", by_lane)
    other = dataclasses.replace(
        workspace, cache_dir=tmp_path / "other", max_memory_gb=max_memory_gb
    )
    copied = fit_probe(store, protocol, workspace=other)
    assert len(used) > (4 if max_memory_gb == 0.0 else 1)
    assert score(plain).same_as(score(copied))
    for a, b in zip(plain.folds, copied.folds, strict=True):
        np.testing.assert_array_equal(a.probabilities, b.probabilities)


def test_the_room_on_a_gpu_is_half_of_what_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    gib = 1 << 30
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (60 * gib, 80 * gib))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda _: 14 * gib)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda _: 4 * gib)
    assert room_bytes("cuda:1", 3 * gib) == 35 * gib
    assert room_bytes("cpu", 3 * gib) == 3 * gib


def test_the_order_of_what_a_gpu_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """With streams that only note; whether hardware does as it is told, this can't tell."""
    told: list[str] = []

    class Stream:
        def __init__(self, device: torch.device, name: str = "copying") -> None:
            self.device, self.name = device, name

        def record_event(self) -> str:
            told.append(f"event on {self.name}")
            return f"end of {self.name}"

        def wait_event(self, event: str) -> None:
            told.append(f"{self.name} waits for {event}")

    @contextlib.contextmanager
    def stream(used: Stream) -> Iterator[None]:
        told.append(f"begin {used.name}")
        yield
        told.append(f"leave {used.name}")

    class Source:
        def to(self, device: torch.device, *, non_blocking: bool) -> Source:
            told.append(f"copy to {device}, {non_blocking}")
            return self

        def record_stream(self, used: Stream) -> None:
            told.append(f"memory used by {used.name}")

    monkeypatch.setattr(
        torch,
        "cuda",
        SimpleNamespace(
            Stream=Stream,
            stream=stream,
            current_stream=lambda device: Stream(device, "computing"),
        ),
    )
    lane = transfer._CudaLane(torch.device("cuda", 1))
    tensors, copied = lane.copy([Source()])  # type: ignore[list-item]
    lane.receive(tensors, copied)
    lane.mark()
    assert told == [
        "begin copying",
        "copy to cuda:1, True",
        "event on copying",
        "leave copying",
        "computing waits for end of copying",
        "memory used by computing",
        "event on computing",
    ]
