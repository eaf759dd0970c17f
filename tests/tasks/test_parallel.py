from __future__ import annotations

import threading
import time

import pytest
from helpers_progress import Counts

from hearbench.tasks.parallel import in_threads


def test_results_stand_in_order() -> None:
    def work(i: int) -> int:
        time.sleep(0.001 * (9 - i))
        return i * i

    assert in_threads(work, range(10), workers=4) == [i * i for i in range(10)]


def test_progress_counts_what_is_done() -> None:
    seen = Counts()
    in_threads(str, "abc", workers=2, update=seen)
    assert seen == [(0, 3), (1, 3), (2, 3), (3, 3)]


def test_after_an_error_nothing_more_is_begun() -> None:
    begun, lock = 0, threading.Lock()

    def work(i: int) -> None:
        nonlocal begun
        with lock:
            begun += 1
        if i == 3:
            raise ValueError("three")
        time.sleep(0.05)

    with pytest.raises(ValueError, match="three"):
        in_threads(work, range(1000), workers=2)
    assert begun < 100
