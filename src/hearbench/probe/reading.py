"""Reading in advance, so that training doesn't wait for the disk."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

__all__ = ["AHEAD", "read_ahead"]

T = TypeVar("T")

AHEAD = 4
"""Items that are read in advance unless it is said otherwise."""


def read_ahead(items: Iterator[T], count: int = AHEAD) -> Iterator[T]:
    """The same items, some of them made in advance by another thread."""
    done = object()
    with ThreadPoolExecutor(1, thread_name_prefix="hearbench-read") as reader:
        waiting = deque(reader.submit(next, items, done) for _ in range(count))
        while (item := waiting.popleft().result()) is not done:
            waiting.append(reader.submit(next, items, done))
            yield item  # type: ignore[misc]
