"""Getting what is read to the device while that computes, and how much it has room for.

What is computed on a CPU is where it was read to. To a GPU, arrays go through buffers of
page-locked memory, from which the device fetches them by itself: while one batch is learned from,
the next is copied and the one after it read. There are two such buffers, and one isn't written to
before it was fetched. Nothing but the time depends on this.
"""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, TypeVar

import numpy.typing as npt
import torch

__all__ = ["Lane", "Mark", "read_ahead", "room_bytes", "stream_through", "stream_to"]

T = TypeVar("T")

_BUFFERS = 2
_AHEAD = 4  # items that are read in advance


class Mark(Protocol):
    """A point in the work that a device was given; an event of CUDA is one."""

    def synchronize(self) -> None:
        """Waits until the device has come so far."""


class Lane(Protocol):
    """A way to a device on which it copies beside what it computes."""

    def buffer(self, count: int, dtype: torch.dtype) -> torch.Tensor:
        """Memory of the host (count,) that the device can fetch from by itself."""

    def copy(self, sources: Sequence[torch.Tensor]) -> tuple[tuple[torch.Tensor, ...], Mark]:
        """Begins to copy, and returns at once.

        Args:
            sources: Parts of buffers, which stay as they are until the mark is reached.

        Returns:
            The tensors on the device, which nothing may use before `receive`, and the end of the
            copy.
        """

    def receive(self, tensors: Sequence[torch.Tensor], copied: Mark) -> None:
        """Lets whatever is computed from here on wait for the copy, on the device alone."""

    def mark(self) -> Mark:
        """The end of what has been given to compute so far."""


class _CudaLane:
    """A stream of its own beside the one that computes.

    Args:
        device: The device, with its number.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def buffer(self, count: int, dtype: torch.dtype) -> torch.Tensor:
        with torch.cuda.device(self._device):
            return torch.empty(count, dtype=dtype, pin_memory=True)

    def copy(self, sources: Sequence[torch.Tensor]) -> tuple[tuple[torch.Tensor, ...], Mark]:
        with torch.cuda.stream(self._stream):
            tensors = tuple(one.to(self._device, non_blocking=True) for one in sources)
            return tensors, self._stream.record_event()

    def receive(self, tensors: Sequence[torch.Tensor], copied: Mark) -> None:
        computing = torch.cuda.current_stream(self._device)
        computing.wait_event(copied)  # type: ignore[arg-type]
        for tensor in tensors:
            # Its memory belongs to the copying stream, and mustn't be given away before this
            # one is done with it.
            tensor.record_stream(computing)

    def mark(self) -> Mark:
        now: Mark = torch.cuda.current_stream(self._device).record_event()
        return now


@functools.cache
def _cuda_lane(device: torch.device) -> Lane:
    # One for all: memory that PyTorch has once taken for a stream doesn't go to another.
    return _CudaLane(device)


class _Buffer:
    """What one item's arrays are copied from."""

    def __init__(self, lane: Lane) -> None:
        self._lane = lane
        self._memory: dict[tuple[int, torch.dtype], torch.Tensor] = {}
        self._fetched: Mark | None = None

    def copy(self, arrays: Sequence[npt.NDArray[Any]]) -> tuple[tuple[torch.Tensor, ...], Mark]:
        if self._fetched is not None:
            self._fetched.synchronize()
        sources = [self._filled(i, torch.from_numpy(array)) for i, array in enumerate(arrays)]
        tensors, self._fetched = self._lane.copy(sources)
        return tensors, self._fetched

    def _filled(self, position: int, source: torch.Tensor) -> torch.Tensor:
        key = (position, source.dtype)
        if key not in self._memory or len(self._memory[key]) < source.numel():
            self._memory[key] = self._lane.buffer(source.numel(), source.dtype)
        return self._memory[key][: source.numel()].view(source.shape).copy_(source)


def stream_through(
    lane: Lane, items: Iterator[Sequence[npt.NDArray[Any]]]
) -> Iterator[tuple[torch.Tensor, ...]]:
    """Arrays as tensors on a lane's device, two items ahead of what is computed with them.

    Args:
        lane: To the device.
        items: Read by another thread.

    Yields:
        An item's tensors, which may be kept.
    """
    buffers = [_Buffer(lane) for _ in range(_BUFFERS)]
    copies = (buffers[i % _BUFFERS].copy(arrays) for i, arrays in enumerate(items))
    used: deque[Mark] = deque()
    for tensors, copied in read_ahead(copies, _BUFFERS):
        lane.receive(tensors, copied)
        yield tensors
        # Otherwise a device that is slower than the disk would pile up batches.
        used.append(lane.mark())
        if len(used) > _BUFFERS:
            used.popleft().synchronize()


def stream_to(
    device: torch.device, items: Iterator[Sequence[npt.NDArray[Any]]], count: int = _AHEAD
) -> Iterator[tuple[torch.Tensor, ...]]:
    """Arrays as tensors on a device, read and copied in advance.

    Args:
        device: As a tensor has it.
        items: Read by another thread.
        count: How many are read in advance, where they aren't copied in advance too.
    """
    if device.type == "cuda":
        yield from stream_through(_cuda_lane(device), items)
        return
    for arrays in read_ahead(items, count):
        yield tuple(torch.from_numpy(array).to(device) for array in arrays)


def room_bytes(device: str, max_memory_bytes: int) -> int:
    """What the embeddings of a fold may take on the device that computes with them.

    Args:
        device: A torch device. Of a GPU's memory it is half of what is free, or kept by this
            process without being in use: the rest is for networks and what they compute.
        max_memory_bytes: Memory of the host, in which a CPU computes, that embeddings may take.
    """
    if torch.device(device).type != "cuda":
        return max_memory_bytes
    free, _ = torch.cuda.mem_get_info(device)
    kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return (free + kept) // 2


def read_ahead(items: Iterator[T], count: int = _AHEAD) -> Iterator[T]:
    """The same items, some of them made in advance by another thread."""
    done = object()
    with ThreadPoolExecutor(1, thread_name_prefix="hearbench-read") as reader:
        waiting = deque(reader.submit(next, items, done) for _ in range(count))
        while (item := waiting.popleft().result()) is not done:
            waiting.append(reader.submit(next, items, done))
            yield item  # type: ignore[misc]
