from __future__ import annotations

import os
import threading
import time

import pytest

from hearbench.models.other_process import Lines, Tail


def test_lines_come_one_by_one_and_then_none() -> None:
    reader, writer = os.pipe()
    lines = Lines(os.fdopen(reader, "rb"))
    with pytest.raises(TimeoutError):
        lines.get(0.05)
    os.write(writer, b"a\nb\xff\n")
    assert lines.get(5) == "a\n"
    assert lines.get(5) == "b\N{REPLACEMENT CHARACTER}\n"
    os.close(writer)
    assert lines.get(5) is None


def test_who_writes_without_end_has_to_wait() -> None:
    reader, writer = os.pipe()
    lines = Lines(os.fdopen(reader, "rb"))
    written: list[int] = []
    stopped = threading.Event()

    def write() -> None:
        written.extend(os.write(writer, b"x" * (1 << 20)) for _ in range(100))
        os.close(writer)
        stopped.set()

    threading.Thread(target=write, daemon=True).start()
    time.sleep(0.5)
    # A few pieces of 4 MiB wait, and what the pipe itself holds; not all of 100 MiB.
    assert sum(written) < 40 << 20
    lines.finish()
    assert stopped.wait(120)


def test_the_tail_is_short_and_fit_for_a_terminal() -> None:
    reader, writer = os.pipe()
    tail = Tail(os.fdopen(reader, "rb"))
    for i in range(1000):
        os.write(writer, f"\x1b[31mline {i}\x1b[0m\x07\r\n".encode())
    os.write(writer, b"y" * 5000)
    os.close(writer)
    tail.finish(5)
    lines = tail.text().splitlines()
    assert len(lines) == 20
    assert lines[0] == "line 981"
    assert lines[-1] == "y" * 300
    assert tail.text(lambda line: line.endswith("9")).splitlines()[-1] == "line 999"
