"""The same work on many files, in threads, in order, with progress."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from typing import TypeVar

__all__ = ["Progress", "in_threads"]

Item = TypeVar("Item")
Result = TypeVar("Result")

Progress = Callable[[int, int], None]
"""Called as ``progress(done, total)`` from the caller's thread."""


def in_threads(
    work: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    workers: int,
    progress: Progress | None = None,
) -> list[Result]:
    """``[work(item) for item in items]`` with some threads.

    The first error is raised once the work that already runs has ended; the rest is not begun.
    The same goes for an interruption from the keyboard.

    Args:
        work: What is done to an item.
        items: What it is done to.
        workers: How many threads.
        progress: Called as ``progress(done, total)``, first with 0 and then after each item.
    """
    todo: Sequence[Item] = list(items)
    if progress is not None:
        progress(0, len(todo))
    with ThreadPoolExecutor(max(1, workers)) as pool:
        futures: list[Future[Result]] = [pool.submit(work, item) for item in todo]
        try:
            for done, future in enumerate(as_completed(futures), start=1):
                future.result()
                if progress is not None:
                    progress(done, len(todo))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
        return [future.result() for future in futures]
