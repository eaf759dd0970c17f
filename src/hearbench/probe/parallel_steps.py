"""Independent workers on one processor that all take the same steps, each in its order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import torch

__all__ = ["take_steps"]

T = TypeVar("T")

# Steps whose batches are held at once.
_STEPS_AHEAD = 4


def take_steps(
    count: int, steps: Iterable[T], take: Callable[[int, T], None], *, threads: int
) -> None:
    """Lets each of several workers take every step, several workers at a time.

    No worker waits for another at the end of a step, so that all threads stay busy where the
    workers aren't a multiple of them; and while one multiplies, which is bound by the matrix
    unit, another may do what is bound by memory.

    Args:
        count: How many workers there are, numbered from 0.
        steps: The training steps; few of them are held at once.
        take: Called with a worker's number and a step; for one worker in the steps' order and
            never twice at the same time.
        threads: How many to use in all; what PyTorch does within one call is divided among them.
    """
    at_once = max(1, min(count, threads))
    if at_once == 1:
        for step in steps:
            for i in range(count):
                take(i, step)
        return

    def after(previous: Future[None] | None, i: int, step: T) -> None:
        if previous is not None:
            # Begun before this one, since all begin in the order of their submission.
            previous.result()
        take(i, step)

    before = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(
            at_once,
            thread_name_prefix="hearbench-train",
            # It holds for the thread that asks, and for those that are begun later.
            initializer=torch.set_num_threads,
            initargs=(threads // at_once,),
        ) as pool:
            latest: list[Future[None] | None] = [None] * count
            begun: deque[list[Future[None]]] = deque()
            for step in steps:
                futures = [pool.submit(after, latest[i], i, step) for i in range(count)]
                latest[:] = futures
                begun.append(futures)
                if len(begun) >= _STEPS_AHEAD:
                    _wait(begun.popleft())
            while begun:
                _wait(begun.popleft())
    finally:
        torch.set_num_threads(before)


def _wait(futures: Iterable[Future[None]]) -> None:
    for future in futures:
        future.result()
