"""A process of another interpreter that serves one model: started, asked, ended.

It runs the code of ``hearbench.worker``, which needs numpy and the model's framework there, and
nothing of hearbench. Commands and answers are lines of JSON. Whatever it does, it becomes one error
with the last lines that it printed.

Arrays lie in files without a name, of which both processes hold descriptors: nothing else can open
them, and they are gone with the last process that holds them, however it ends. The other side maps
them. This one reads and writes, as a map of a file that the other truncates would end this process.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
import numpy.typing as npt
import psutil

import hearbench.worker
from hearbench.errors import ModelError
from hearbench.files import SYNTAX_ERRORS
from hearbench.models.answers import FORMS, Fault, Form, Violations
from hearbench.models.loaded import Interpreter
from hearbench.models.pythons import describe_interpreter
from hearbench.printable import printable
from hearbench.worker.arrays import PLACES

__all__ = [
    "CallFailedError",
    "EndedWhy",
    "Lines",
    "OtherProcess",
    "ProcessEndedError",
    "Tail",
    "open_places",
]

# From where it lies, under a name of its own, and with nothing of hearbench around it.
_BOOT = (
    "import sys, importlib.util as u; name = 'hearbench_worker'; folder = sys.argv[1]; "
    "spec = u.spec_from_file_location("
    "name, folder + '/__init__.py', submodule_search_locations=[folder]); "
    "sys.modules[name] = u.module_from_spec(spec); spec.loader.exec_module(sys.modules[name]); "
    "from hearbench_worker.serve import main; "
    "sys.path[:] = [item for item in sys.path if item]; main()"
)
_CODE = Path(hearbench.worker.__file__).parent
# Variables that say where this interpreter's packages are, which another has none of.
_OWN_VARIABLES = ("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "VIRTUAL_ENV")
# Those that say where the benchmark's data is, or make tests of it.
_OWN_PREFIXES = ("HEARBENCH_", "COV_", "PYTEST_")
# Of a stack that Python writes when it crashes: the boot line, and what no reader needs.
_NOISE = ('  File "<string>", line 1 in <module>', "Extension modules:")
_START_S, _END_S = 120.0, 5.0
_SIGNAL_CODE = 128

EndedWhy = Literal["crashed", "hung", "nonsense", "read"]
"""Why a process ended."""


class CallFailedError(ModelError):
    """A command failed in the worker's process, which goes on.

    Attributes:
        missing: The module that couldn't be imported, if that is why.
        is_plain: Whether the message is for the model's user, and no traceback.
    """

    def __init__(self, text: str, missing: str | None, is_plain: bool = False) -> None:
        super().__init__(text)
        self.missing = missing
        self.is_plain = is_plain


class ProcessEndedError(ModelError):
    """The worker's process crashed, or was ended.

    Attributes:
        why: Which of them: ``crashed``, ``hung``, ``nonsense`` for an answer that can't be
            understood, ``read`` for a file that belongs to the benchmark.
    """

    def __init__(self, text: str, why: EndedWhy) -> None:
        super().__init__(text)
        self.why = why


class OtherProcess:
    """A process of another interpreter that serves one model.

    Args:
        interpreter: Which, and what it may do.
        name: Of the model, for messages.
        readable: What it has to read in a sandbox, beside the interpreter's own files.
        hidden: Folders of the benchmark, which it mustn't read.
        allowed: Folders and files below those that it may.

    Raises:
        ModelError: The interpreter can't be used, or the process doesn't start.
        HearError: There is no sandbox on this system.

    Attributes:
        readable: What it has to read in a sandbox; None outside of one.
        libraries: Where its interpreter's packages are.
    """

    def __init__(
        self,
        interpreter: Interpreter,
        name: str,
        readable: Sequence[Path] = (),
        hidden: Sequence[Path] = (),
        allowed: Sequence[Path] = (),
    ) -> None:
        self.name = name
        self.interpreter = interpreter
        self._guarded: set[Path] = set()
        self._allowed = tuple(allowed)
        self._number = 0
        self._ended = ""
        described = describe_interpreter(interpreter.python)
        self.libraries = described.folders
        self.readable: tuple[Path, ...] | None = None
        self._most_bytes = int((interpreter.memory_gb or 0) * (1 << 30))
        self._places = open_places()
        files = tuple(self._places.values())
        code_folder = None
        if interpreter.trust_code and not interpreter.sandbox:
            code_folder = tempfile.mkdtemp(prefix="hearbench-code-")
        self._free_places = weakref.finalize(self, _close, files, code_folder)
        command = [str(interpreter.python), "-B", "-c", _BOOT, str(_CODE)]
        command += [",".join(map(str, files)), str(self._most_bytes)]
        environment = _environment(interpreter.python)
        if interpreter.sandbox:
            from hearbench.models.sandbox import sandbox_environment, sandboxed

            self.readable = tuple(
                path.absolute() for path in (*described.folders, *interpreter.readable, *readable)
            )
            command = sandboxed(
                command,
                readable=[*described.folders, _CODE, *interpreter.readable, *readable],
                hidden=hidden,
                allowed=[*allowed, _CODE],
            )
            environment = sandbox_environment(environment)
        if interpreter.trust_code:
            # transformers copies a checkpoint's code there, and would run an older copy.
            environment["HF_MODULES_CACHE"] = code_folder or "/tmp/code"  # noqa: S108 - its own
        self._process = subprocess.Popen(  # noqa: S603
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            pass_fds=files,
            start_new_session=True,
        )
        commands, answers, prints = _pipes(self._process)
        self._commands = commands
        self._lines = Lines(answers)
        self._tail = Tail(prints)
        # Also where no one calls close, at the latest when this interpreter ends.
        self._finalizer = weakref.finalize(self, _end, self._process)
        if self._answer_line("to start", _START_S).strip():
            raise self.nonsense("its start")
        self.guard(hidden)

    @property
    def pid(self) -> int:
        """The number of the process, or of the sandbox around it."""
        return self._process.pid

    def ask(self, do: str, what: str, **arguments: Any) -> dict[str, Any]:
        """Has a command done.

        Args:
            what: In words, for messages.
            **arguments: Of the command; they can be written as JSON.

        Raises:
            CallFailedError: The model's code failed; the process goes on.
            ModelError: The process crashed, hangs, or answers nonsense. It is ended.
        """
        self._number += 1
        line = json.dumps({"number": self._number, "do": do, "with": arguments})
        self.check_alive()
        try:
            self._commands.write(line.encode() + b"\n")
            self._commands.flush()
        except OSError as error:
            raise self._crashed(what) from error
        text = self._answer_line(what, self.interpreter.timeout_s)
        answer = self._parsed(text, do, what)
        self._check_violations(answer["violations"])
        fault = answer.get("fault")
        if fault is not None:
            raise CallFailedError(printable(fault["text"]), fault["missing"], fault["is_plain"])
        done: dict[str, Any] = answer["done"]
        return done

    def _parsed(self, text: str, do: str, what: str) -> dict[str, Any]:
        """An answer, once it is sure that it has the form of one to that command."""
        try:
            answer = json.loads(text)
            fault = answer.get("fault")
            fits = answer["number"] == self._number
            Violations.model_validate(answer)
            if fault is None:
                FORMS.get(do, Form).model_validate(answer["done"])
            else:
                Fault.model_validate(fault)
        except (*SYNTAX_ERRORS, TypeError, KeyError, AttributeError) as error:
            raise self.nonsense(what) from error
        if not fits:
            raise self.nonsense(what)
        found: dict[str, Any] = answer
        return found

    def nonsense(self, what: str) -> ProcessEndedError:
        """Ends the process for an answer that can't be understood; the error to be raised."""
        return self._ends(
            f"gave an answer that can't be understood {_when(what)}, and was ended.", "nonsense"
        )

    def guard(self, folders: Sequence[Path]) -> None:
        """Has reads below folders refused and told of, but for what is allowed there."""
        if folders and not self._guarded.issuperset(folders):
            self._guarded.update(folders)
            self.ask(
                "guard",
                "a command",
                folders=sorted(map(str, self._guarded)),
                allowed=[str(path) for path in self._allowed],
            )

    @property
    def places(self) -> Mapping[str, int]:
        """Descriptors of the files where audio and embeddings lie, by the names of the places."""
        return self._places

    def hand_over(self, audio: npt.NDArray[np.float32]) -> None:
        """Puts audio (n_clips, n_samples) where the process expects it.

        Raises:
            OSError: There is no room.
        """
        self.check_alive()
        _write_shared(self._places["audio"], audio)

    def take(self, name: str, dtype: str, shape: Sequence[int]) -> npt.NDArray[np.generic]:
        """A copy of the array that the process says to have left.

        Raises:
            OSError, ValueError, TypeError, OverflowError: There is no such array.
        """
        self.check_alive()
        return _read_shared(self._places[name], dtype, shape, self._most_bytes or None)

    def check_alive(self) -> None:
        """Fails if the process was ended.

        Raises:
            ModelError: It was; the message says why.
        """
        if self._ended:
            raise ModelError(f"Its process has ended before: {self._ended}")

    def last_lines(self) -> str:
        """The end of what the process printed, with a line before it; empty if it is silent."""
        text = self._tail.text(_not_of_the_worker)
        return f"\nThe last lines that it printed:\n{text}" if text else ""

    def close(self) -> None:
        """Ends the process."""
        self._ended = self._ended or "it was closed."
        self._finalizer()
        self._free_places()
        self._lines.finish()

    def _answer_line(self, what: str, timeout_s: float) -> str:
        try:
            line = self._lines.get(timeout_s)
        except TimeoutError:
            raise self._hangs(what, timeout_s) from None
        except KeyboardInterrupt:
            self.close()
            raise
        if line is None:
            raise self._crashed(what)
        return line

    def _crashed(self, what: str) -> ProcessEndedError:
        try:
            code = self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            return self._ends(f"closed its connection to hearbench {_when(what)}.")
        if self.interpreter.sandbox and code > _SIGNAL_CODE:
            code = _SIGNAL_CODE - code  # as shells and bubblewrap tell of a signal
        if code < 0:
            ending = f"was ended by {signal.Signals(-code).name}"
        else:
            ending = f"ended itself with exit code {code}"
        return self._ends(f"{ending} {_when(what)}.")

    def _hangs(self, what: str, timeout_s: float) -> ProcessEndedError:
        # The worker writes where it is when it is told to abort.
        with contextlib.suppress(OSError):
            os.killpg(self._process.pid, signal.SIGABRT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_END_S)
        return self._ends(
            f"gave no answer {_when(what)} within {timeout_s:g} s and was ended. Allow more time "
            "with --timeout if it is merely slow.",
            "hung",
        )

    def _ends(self, how: str, why: EndedWhy = "crashed") -> ProcessEndedError:
        self._finalizer()
        self._free_places()
        self._lines.finish()
        self._tail.finish(_END_S)
        self._ended = f"it {how}"
        return ProcessEndedError(f"The process of {self.name} {how}{self.last_lines()}", why)

    def _check_violations(self, paths: Sequence[str]) -> None:
        if paths:
            more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
            raise self._ends(
                f"tried to read {printable(paths[0])}{more}, which belongs to the benchmark, and "
                "was ended. A model sees the audio that it is handed, and nothing else of a task.",
                "read",
            )


def _not_of_the_worker(line: str) -> bool:
    """Whether a printed line is the model's: stacks begin with the frames that called it."""
    return f'File "{_CODE}' not in line and not line.startswith(_NOISE)


def _environment(python: Path) -> dict[str, str]:
    own = () if python == Path(sys.executable) else _OWN_VARIABLES
    return {
        key: value
        for key, value in os.environ.items()
        if key not in own and not key.startswith(_OWN_PREFIXES)
    }


def _when(what: str) -> str:
    return what if what.startswith("to ") else f"during {what}"


def _pipes(process: subprocess.Popen[bytes]) -> tuple[IO[bytes], IO[bytes], IO[bytes]]:
    if process.stdin is None or process.stdout is None or process.stderr is None:
        raise RuntimeError("The process was started without pipes.")
    return process.stdin, process.stdout, process.stderr


def _started_by(pid: int) -> list[psutil.Process]:
    """The processes that one has started, also those that have left its group."""
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.Error:
        return []  # it has ended, and no one knows whose they were


def _end(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(OSError):
        _pipes(process)[0].close()
    started = _started_by(process.pid)
    with contextlib.suppress(OSError):
        os.killpg(process.pid, signal.SIGKILL)
    for other in started:
        with contextlib.suppress(psutil.Error):
            other.kill()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_END_S)


def _close(files: Sequence[int], folder: str | None) -> None:
    for file in files:
        os.close(file)
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)


_LONGEST_LINE_BYTES = 4 << 20
_KEPT_BYTES = 16 << 10
_MOST_WAITING = 4
_SHOWN_LINES, _SHOWN_COLUMNS = 20, 300


class Lines:
    """Lines of a pipe, read by a thread of its own, so that waiting for one can end.

    Args:
        pipe: It is read until it ends.
    """

    def __init__(self, pipe: IO[bytes]) -> None:
        # Bounded, so that a process that writes without end waits instead of filling memory.
        self._queue: queue.Queue[str | None] = queue.Queue(_MOST_WAITING)
        self._pipe = pipe
        self._dropping = False
        threading.Thread(target=self._read, name="hearbench-answers", daemon=True).start()

    def get(self, timeout_s: float) -> str | None:
        """The next line; None after the last.

        Raises:
            TimeoutError: None came in time.
        """
        try:
            return self._queue.get(timeout=timeout_s)
        except queue.Empty:
            raise TimeoutError from None

    def finish(self) -> None:
        """Drops what no one has read, so that the thread can end with the pipe."""
        self._dropping = True
        with contextlib.suppress(queue.Empty):
            while True:
                self._queue.get_nowait()

    def _read(self) -> None:
        with self._pipe as pipe:
            while line := pipe.readline(_LONGEST_LINE_BYTES):
                if not self._dropping:
                    self._queue.put(line.decode(errors="replace"))
        if not self._dropping:
            self._queue.put(None)


class Tail:
    """The end of what a pipe brings, in bounded memory.

    Args:
        pipe: It is read until it ends.
    """

    def __init__(self, pipe: IO[bytes]) -> None:
        self._kept = b""
        self._pipe = pipe
        self._thread = threading.Thread(target=self._read, name="hearbench-prints", daemon=True)
        self._thread.start()

    def finish(self, timeout_s: float) -> None:
        """Waits for the end of the pipe, which a process that outlives its parent may hold."""
        self._thread.join(timeout_s)

    def text(self, wanted: Callable[[str], bool] = bool) -> str:
        """The last lines, of those that are wanted, fit for a terminal."""
        lines = self._kept.decode(errors="replace").replace("\r", "\n").splitlines()
        shown = [printable(line).rstrip()[:_SHOWN_COLUMNS] for line in lines]
        return "\n".join([line for line in shown if line and wanted(line)][-_SHOWN_LINES:])

    def _read(self) -> None:
        with self._pipe as pipe:
            while chunk := pipe.read1(1 << 16):  # type: ignore[attr-defined]
                self._kept = (self._kept + chunk)[-_KEPT_BYTES:]


_KINDS = "fiub"
_MEMORY_FOLDER = Path("/dev/shm")  # noqa: S108
_LEAST_FREE_BYTES = 2 << 30


def open_places() -> dict[str, int]:
    """Descriptors of new files by the names of their places, in memory where there is room."""
    return {name: _nameless() for name in PLACES}


def _write_shared(file: int, array: npt.NDArray[np.float32]) -> None:
    """Writes an array to its place.

    Raises:
        OSError: There is no room.
    """
    data = memoryview(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    # Before writing, so that the other side never maps less than it is told of.
    if os.fstat(file).st_size < len(data) and hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file, 0, len(data))
    done = 0
    while done < len(data):
        done += os.pwrite(file, data[done:], done)


def _read_shared(
    file: int, dtype: str, shape: Sequence[int], most_bytes: int | None = None
) -> npt.NDArray[np.generic]:
    """A copy of the array that the other process says to have left in a place.

    Args:
        file: The place's descriptor.
        dtype: As the process says, in numpy's words.
        most_bytes: How large it may be; None for any size.

    Raises:
        OSError, ValueError, TypeError: What it says doesn't fit what is there.
    """
    kind = np.dtype(dtype)
    sizes = [int(size) for size in shape]
    if kind.kind not in _KINDS or min(sizes, default=0) < 0:
        raise ValueError(f"{dtype} of {shape} are no numbers")
    size_bytes = kind.itemsize
    for size in sizes:
        size_bytes *= size
    if not size_bytes:
        return np.zeros(sizes, kind)
    if most_bytes is not None and size_bytes > most_bytes:
        raise ValueError(f"{size_bytes} bytes are more than the model's process may have")
    # Before this process takes memory for it: a file may be long without holding anything.
    if _written_bytes(file) < size_bytes:
        raise ValueError(f"there are less than {size_bytes} bytes")
    found = np.empty(sizes, kind)
    data = memoryview(found.reshape(-1).view(np.uint8).data)
    done = 0
    while done < size_bytes:
        read = os.preadv(file, [data[done:]], done)
        if not read:
            raise ValueError("the file became shorter while it was read")
        done += read
    return found


def _nameless() -> int:
    with tempfile.TemporaryFile(prefix="hearbench-", dir=_folder()) as file:
        return os.dup(file.fileno())


def _folder() -> Path | None:
    """A folder in memory if there is one with room, or else that of temporary files."""
    if not _MEMORY_FOLDER.is_dir() or not os.access(_MEMORY_FOLDER, os.W_OK):
        return None
    room = shutil.disk_usage(_MEMORY_FOLDER).free >= _LEAST_FREE_BYTES
    return _MEMORY_FOLDER if room else None


def _written_bytes(file: int) -> int:
    """How much of a file there is up to its end or its first hole."""
    size = os.fstat(file).st_size
    # Elsewhere what is mapped and written may count as a hole until it is on the disk.
    if not size or sys.platform != "linux":
        return size
    try:
        return os.lseek(file, 0, os.SEEK_HOLE)
    except OSError:
        return size  # a file system that doesn't know of holes
