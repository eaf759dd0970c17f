"""Workers that take the same steps, several at a time."""

import threading
from collections.abc import Iterator

import pytest
import torch

from hearbench.probe.parallel_steps import take_steps


@pytest.mark.parametrize("threads", [1, 2, 3, 8])
@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_each_takes_every_step_in_order_and_never_two_at_once(count: int, threads: int) -> None:
    taken: list[list[int]] = [[] for _ in range(count)]
    busy = [threading.Lock() for _ in range(count)]

    def take(i: int, step: int) -> None:
        assert busy[i].acquire(blocking=False)
        taken[i].append(step)
        busy[i].release()

    take_steps(count, iter(range(50)), take, threads=threads)
    assert taken == [list(range(50))] * count


def test_several_work_at_the_same_time_with_their_share_of_threads() -> None:
    # Passes only once both are there; would wait for ever one after the other.
    together = threading.Barrier(2, timeout=120)
    shares = []

    def take(_: int, __: int) -> None:
        together.wait()
        shares.append(torch.get_num_threads())

    before = torch.get_num_threads()
    take_steps(2, range(3), take, threads=2)
    assert shares == [1] * 6
    assert torch.get_num_threads() == before


def test_few_steps_are_held_at_once() -> None:
    done, ahead = [0, 0, 0], []

    def steps() -> Iterator[int]:
        for i in range(40):
            ahead.append(i - min(done))
            yield i

    def take(i: int, _: int) -> None:
        done[i] += 1

    take_steps(3, steps(), take, threads=2)
    assert max(ahead) <= 4
    assert done == [40, 40, 40]


def test_what_goes_wrong_is_told_and_the_threads_are_given_back() -> None:
    before = torch.get_num_threads()

    def take(i: int, step: int) -> None:
        if (i, step) == (1, 3):
            raise ValueError("it went wrong")

    with pytest.raises(ValueError, match="it went wrong"):
        take_steps(3, range(100), take, threads=2)
    assert torch.get_num_threads() == before
