"""Answers commands about one model: a line of JSON in, a line of JSON out.

Commands come through what was standard input, answers go through what was standard output. The
model gets neither: it reads nothing, and what it prints goes where its errors go.
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import os
import signal
import sys
import threading
import time
from typing import Any, Callable

from .arrays import PLACES, SharedArrays
from .memory import limit_memory
from .session import Session, SessionError

__all__ = ["main"]

_LOOK_S = 1.0


def main() -> None:
    """Serves until the commands end.

    Arguments of the program: the descriptors of the places of shared arrays, with commas between
    them, and the limit of memory in bytes, 0 for none.
    """
    files, limit = [int(file) for file in sys.argv[-2].split(",")], int(sys.argv[-1])
    for file in files:
        os.set_inheritable(file, False)  # what the model starts has no business with them
    _end_with_parent()
    commands = os.fdopen(os.dup(0), "r", encoding="utf-8")
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    # What a model has printed when it crashes mustn't be lost with it.
    sys.stdout = os.fdopen(1, "w", 1, closefd=False, errors="backslashreplace")
    # Where a process crashes, or is told to abort as it hangs, the last lines say where it was.
    signal.signal(signal.SIGABRT, signal.SIG_DFL)
    faulthandler.enable()
    if limit:
        limit_memory(limit)
    session = Session(SharedArrays(dict(zip(PLACES, files))))
    known: dict[str, Callable[..., dict[str, Any]]] = {
        "guard": session.guard,
        "import": session.import_model,
        "load": session.load,
        "call": session.call,
        "returned": session.returned,
        "gradients": session.gradients,
        "memory": session.memory,
        "reads": session.reads,
    }
    answers.write("\n")
    answers.flush()
    for line in commands:
        command = json.loads(line)
        answer: dict[str, Any] = {"number": command["number"]}
        try:
            answer["done"] = known[command["do"]](**command["with"])
        except SessionError as fault:
            answer["fault"] = {
                "text": fault.text,
                "missing": fault.missing,
                "is_plain": fault.is_plain,
            }
        answer["violations"] = session.watch.take_violations()
        for stream in (sys.stdout, sys.stderr):
            # The model may have closed or replaced them.
            with contextlib.suppress(ValueError, OSError, AttributeError):
                stream.flush()
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def _end_with_parent() -> None:
    """Ends this process if the other one has gone without a word."""
    parent = os.getppid()

    def look() -> None:
        while os.getppid() == parent:
            time.sleep(_LOOK_S)
        os._exit(1)

    threading.Thread(target=look, daemon=True).start()
