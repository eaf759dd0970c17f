"""The same work on many files, in threads, in order, with progress."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from typing import TypeVar

from hearbench.progress import Update

__all__ = ["in_threads"]

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_threads(
    work: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    workers: int,
    update: Update | None = None,
) -> list[Result]:
    """``[work(item) for item in items]`` with some threads.

    The first error is raised once the work that already runs has ended; the rest is not begun.
    The same goes for an interruption from the keyboard.

    Args:
        update: Receives progress from the caller's thread, first 0 and then after each item.
    """
    todo: Sequence[Item] = list(items)
    if update is not None:
        update(0, len(todo))
    with ThreadPoolExecutor(max(1, workers)) as pool:
        futures: list[Future[Result]] = [pool.submit(work, item) for item in todo]
        try:
            for done, future in enumerate(as_completed(futures), start=1):
                future.result()
                if update is not None:
                    update(done, len(todo))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
        return [future.result() for future in futures]
