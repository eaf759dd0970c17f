"""A Python that begins with torch and hearbench imported, for tests of what processes do.

To import them takes longer than most of what a test has done in a process of its own. Here one
process imports them, once, and each process that a test starts is a copy of that one. A copy has
the arguments, variables, folder, files and signals of the program that was started in its place,
and ends as it does. What a process imports, when it does, and how much memory it begins with can't
be tested so.

    with preloaded_programs(folder) as programs:
        subprocess.run([programs / "python", "-c", "print(1)"])
        subprocess.run([programs / "hearbench", "--version"])
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import gc
import importlib
import json
import os
import runpy
import secrets
import select
import signal
import socket
import subprocess
import sys
import threading
import types
import warnings
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np
import torch

MODULES = (
    "hearbench.cli.app",
    "hearbench.cli.evaluate",
    "hearbench.cli.compare",
    "hearbench.demo",
    "hearbench.evaluation",
    "hearbench.models.loading",
    "hearbench.probe.fit",
    "hearbench.results",
    "hearbench.validate",
    "pandas",
    "scipy.stats",
    "soundfile",
)

# What stands in the place of a process: it hands over all it was given, and passes signals on.
_PROGRAM = """
import array, json, os, signal, socket, sys

server = socket.socket(socket.AF_UNIX)
server.connect(ADDRESS)
files = [int(name) for name in os.listdir("/proc/self/fd")]
files = [file for file in files if file != server.fileno() and os.path.exists("/dev/fd/%d" % file)]
said = [sys.argv[0], ARGUMENTS + sys.argv[1:], os.getcwd(), dict(os.environ), files]
said = json.dumps(said).encode("ascii")
server.sendmsg(
    [len(said).to_bytes(8, "big")],
    [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", files))],
)
server.sendall(said)
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGABRT, signal.SIGHUP):
    if signal.getsignal(number) != signal.SIG_IGN:
        signal.signal(number, lambda number, _: server.sendall(bytes([number])))
for file in files:
    os.close(file)
answer = server.recv(4)
code = int.from_bytes(answer, "big", signed=True) if answer else 70
if code < 0:
    if -code != signal.SIGKILL:  # which nobody handles
        signal.signal(-code, signal.SIG_DFL)
    os.kill(os.getpid(), -code)
os._exit(code)
"""
_FIRST_FREE = 1000
_FLAGS = ("-B", "-E", "-I", "-S")


@contextlib.contextmanager
def preloaded_programs(folder: Path) -> Iterator[Path]:
    """The folder of programs ``python`` and ``hearbench``, which work inside of the ``with``.

    Where a system can't copy processes so, they are the usual ones.

    Args:
        folder: Where they are put.
    """
    if not hasattr(os, "pidfd_open"):
        _write_programs(folder, f'#!/bin/sh\nexec "{sys.executable}" {{words}} "$@"\n')
        yield folder
        return
    address = f"\0hearbench-{os.getpid()}-{secrets.token_hex(8)}"
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(address)
    listening.listen(64)
    head = f"#!{sys.executable} -IS\nADDRESS = {address!r}\nARGUMENTS = '{{words}}'.split()\n"
    _write_programs(folder, head, _PROGRAM)
    with subprocess.Popen(
        [sys.executable, __file__, str(listening.fileno())],
        stdin=subprocess.PIPE,
        pass_fds=[listening.fileno()],
        start_new_session=True,
    ) as server:
        listening.close()
        try:
            yield folder
        finally:
            assert server.stdin
            server.stdin.close()  # which ends it, as the end of these tests would


def _write_programs(folder: Path, head: str, rest: str = "") -> None:
    for name, words in (("python", ""), ("hearbench", "-m hearbench.cli")):
        program = folder / name
        program.write_text(head.format(words=words) + rest)
        program.chmod(0o755)


def _serve(listening: socket.socket) -> list[Any]:
    """Starts copies of this process until stdin ends; what a copy is to run, in each copy."""
    poll = select.poll()
    poll.register(0, select.POLLIN)
    poll.register(listening, select.POLLIN)
    connections: dict[int, tuple[socket.socket, int]] = {}  # with the process of each
    ends: dict[int, int] = {}  # of processes, with the connection of each
    while True:
        for file, _ in poll.poll():
            if file == 0:
                os._exit(0)
            elif file == listening.fileno():
                connection = listening.accept()[0]
                said, files = _request(connection)
                process = os.fork()
                if not process:
                    _become(said, files)
                    for each in (
                        listening,
                        connection,
                        *(kept for kept, _ in connections.values()),
                    ):
                        each.detach()  # they are closed
                    return said
                for handed in files:
                    os.close(handed)
                end = os.pidfd_open(process)
                connections[connection.fileno()] = connection, process
                ends[end] = connection.fileno()
                poll.register(connection, select.POLLIN)
                poll.register(end, select.POLLIN)
            elif file in ends:
                connection, process = connections.pop(ends.pop(file))
                code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
                poll.unregister(file)
                os.close(file)
                # Of a program that was killed nobody waits for the answer.
                with contextlib.suppress(OSError, KeyError), connection:
                    poll.unregister(connection)
                    connection.sendall(code.to_bytes(4, "big", signed=True))
            elif file in connections:
                connection, process = connections[file]
                signals = connection.recv(64)
                for number in signals:
                    os.kill(process, number)
                if not signals:  # it was killed
                    poll.unregister(connection)
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(process, signal.SIGKILL)
                    os.kill(process, signal.SIGKILL)  # where it has no group yet


def _request(connection: socket.socket) -> tuple[list[Any], list[int]]:
    header, files, _, _ = socket.recv_fds(connection, 8, 250)
    left, parts = int.from_bytes(header, "big"), []
    while left:
        parts.append(connection.recv(left))
        left -= len(parts[-1])
    return json.loads(b"".join(parts)), list(files)


def _become(said: list[Any], files: list[int]) -> None:
    """Takes over the variables, the folder and the files of the program that was started."""
    _, _, folder, variables, places = said
    os.setsid()
    high = [fcntl.fcntl(file, fcntl.F_DUPFD, _FIRST_FREE) for file in files]
    os.closerange(0, _FIRST_FREE)
    for file, place in zip(high, places, strict=True):
        os.dup2(file, place)
        os.close(file)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115
    sys.stdout = sys.__stdout__ = open(1, "w", closefd=False)  # type: ignore[misc] # noqa: SIM115
    sys.stderr = sys.__stderr__ = open(  # type: ignore[misc] # noqa: SIM115
        2, "w", errors="backslashreplace", buffering=1, closefd=False
    )
    os.environ.clear()
    os.environ.update(variables)
    os.chdir(folder)
    # Random numbers that nobody seeds are others in each process.
    torch.seed()
    np.random.seed()  # noqa: NPY002


def _run(said: list[Any]) -> None:
    """What a Python does with its arguments."""
    program, arguments = said[0], [*said[1]]
    sys.executable = str(Path(program).with_name("python"))
    added = [part for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part]
    flags = set(takewhile(_FLAGS.__contains__, arguments))
    arguments = arguments[len(flags) :]
    sys.dont_write_bytecode = "-B" in flags
    if flags & {"-E", "-I"}:
        added = []
    sys.path[:1] = added
    if arguments[0].startswith("-m"):
        # The name may stand by itself.
        module, *rest = [word for word in (arguments[0][2:], *arguments[1:]) if word]
        sys.argv = [module, *rest]
        sys.path.insert(0, str(Path.cwd()))
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    elif arguments[0] == "-c":
        sys.argv = ["-c", *arguments[2:]]
        sys.path.insert(0, "")
        main = sys.modules["__main__"] = types.ModuleType("__main__")
        exec(compile(arguments[1], "<string>", "exec"), main.__dict__)  # noqa: S102
    else:
        sys.argv = arguments
        sys.path.insert(0, str(Path(arguments[0]).parent))
        runpy.run_path(arguments[0], run_name="__main__")


if __name__ == "__main__":
    with warnings.catch_warnings():
        for module in MODULES:
            importlib.import_module(module)
    for name in ("fsync", "sync"):  # as in the tests themselves
        setattr(os, name, lambda *_: None)
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    wanted = _serve(socket.socket(fileno=int(sys.argv[1])))
    ended: int | str | None = 0
    try:
        _run(wanted)
    except SystemExit as exit_:
        ended = exit_.code
    except BaseException as error:  # noqa: BLE001
        sys.excepthook(type(error), error, error.__traceback__)
        ended = -signal.SIGINT if isinstance(error, KeyboardInterrupt) else 1
    if isinstance(ended, str):
        sys.stderr.write(f"{ended}\n")
        ended = 1
    # As an interpreter ends, but for taking its modules apart, which takes a third of a second.
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    if (ended or 0) < 0:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    os._exit(ended or 0)
