"""Files that are either whole or not there.

Everything that hearbench writes goes through here: into a temporary file beside the target,
flushed to disk, then renamed over it. A process that is killed leaves at most a file whose
name begins with ``.tmp-``, which nothing ever reads.
"""

from __future__ import annotations

import errno
import json
import math
import mmap
import os
import shutil
import tempfile
import tokenize
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

__all__ = [
    "CLOCK_STEP_NS",
    "SYNTAX_ERRORS",
    "TEMPORARY_PREFIX",
    "DiskError",
    "atomic_folder",
    "atomic_write",
    "can_keep_stamp",
    "disk_error",
    "file_stamp",
    "flush_disk",
    "is_file",
    "json_safe",
    "json_text",
    "mapped_rows",
    "read_npy",
    "system_error",
    "write_json",
    "write_npy",
    "write_npy_head",
    "write_text",
]

TEMPORARY_PREFIX = ".tmp-"

# The clock of a disk ticks in steps: what is changed within the step in which it was looked at has
# the same stamp before and after. Old kinds of disks count whole seconds.
CLOCK_STEP_NS = 20_000_000
_COARSE_CLOCK_STEP_NS = 2_000_000_000
_S_NS = 1_000_000_000

# Of a mapped array that is copied.
_BLOCK_BYTES = 1 << 24

SYNTAX_ERRORS = (ValueError, RecursionError)
"""What Python's readers of JSON and TOML raise: it is none, or nested too deeply."""

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_NO_RIGHTS = {errno.EACCES, errno.EPERM, errno.EROFS}
_GONE = {errno.ENOENT, errno.ESTALE, errno.ENOTDIR}
_ABOUT_DISKS = {*_NO_ROOM, *_NO_RIGHTS, *_GONE, errno.ENAMETOOLONG, errno.EIO, errno.EISDIR}
# What the user's system says, as opposed to what a bug of hearbench would cause.
_SYSTEM = {*_ABOUT_DISKS, errno.ELOOP} - {errno.ENOENT, errno.ESTALE, errno.EFBIG}
_FULL_BYTES = 1 << 20

_NPY_MAGIC = b"\x93NUMPY"
# All that numpy raises of headers that no one but a forger writes.
_NO_ARRAY = (
    *(EOFError, ValueError, TypeError, OverflowError, MemoryError, SyntaxError),
    *(RecursionError, tokenize.TokenError),
)


@contextmanager
def atomic_write(path: Path, *, durable: bool = True) -> Iterator[BinaryIO]:
    """Opens a binary file that appears at ``path`` when the block ends without an error.

    Parent folders are made. On an error nothing is left behind and ``path`` is unchanged. A link
    is followed; what is there but no file, as a pipe or ``/dev/stdout``, is written to directly.

    Args:
        path: Where the file is to appear.
        durable: Whether it must be on the disk by then, and its name in the folder. Waiting for
            the disk takes longer than writing a short file; without it a power cut, unlike a
            kill, may leave the file cut off, so whoever does without looks at the file before
            trusting it, or calls `flush_disk` before saying that it is there.

    Raises:
        DiskError: It can't be written.
    """
    with _said_of(path):
        if path.is_symlink() or path.exists():
            if path.exists() and not path.is_file() and not path.is_dir():
                with path.open("wb") as stream:
                    yield stream
                return
            path = path.resolve()
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(
            prefix=TEMPORARY_PREFIX, suffix=path.suffix, dir=path.parent
        )
        temporary = Path(name)
        try:
            with os.fdopen(handle, "w+b") as file:
                yield file
                file.flush()
                if durable:
                    os.fsync(file.fileno())
            temporary.chmod(0o666 & ~_umask())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        if durable:
            _sync_folder(path.parent)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yields an empty folder that becomes ``path`` when the block ends without an error.

    If ``path`` exists by then (another process was faster) the new one is dropped. What is in the
    folder is on the disk before it has its name.

    Raises:
        DiskError: It can't be written.
    """
    with _said_of(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=TEMPORARY_PREFIX, dir=path.parent))
        try:
            yield temporary
            temporary.chmod(0o777 & ~_umask())
            flush_disk()
            try:
                temporary.rename(path)
            except OSError:
                if not path.is_dir():
                    raise
            _sync_folder(path.parent)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def flush_disk() -> None:
    """Waits until all that was written is on the disk.

    Once for thousands of files it takes a hundredth of waiting for each of them.
    """
    if hasattr(os, "sync"):  # not on Windows
        os.sync()


def file_stamp(path: str | Path) -> list[int]:
    """What changes whenever a file does: size, times of modification and of change, inode.

    The time of modification can be set by anybody, as archives and ``rsync -t`` do; the time of
    change can't.
    """
    stat = os.stat(path)  # noqa: PTH116 - of thousands of files
    return [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]


def can_keep_stamp(stamp: Sequence[int], at_ns: int) -> bool:
    """Tells whether a file could have been changed at a time, or after it, and have this stamp.

    Args:
        stamp: As `file_stamp` gives it.
        at_ns: In nanoseconds since 1970.
    """
    times = stamp[1:3]
    coarse = not any(time_ns % _S_NS for time_ns in times)
    return max(times) + (_COARSE_CLOCK_STEP_NS if coarse else CLOCK_STEP_NS) > at_ns


class DiskError(OSError):
    """An error of the system whose text names the disk and says what to do."""


def disk_error(error: OSError, path: Path) -> DiskError:
    """The same error with what its reader needs: path, disk, free space, and what to do.

    Args:
        path: What was to be written.
    """
    if isinstance(error, DiskError):
        return error
    number, said = error.errno, error.strerror or str(error)
    disk, free_bytes = _disk_of(path)
    if number is None and free_bytes is not None and free_bytes < _FULL_BYTES:
        number, said = errno.ENOSPC, os.strerror(errno.ENOSPC)  # as numpy words it: so many of so
    if number in _NO_ROOM:
        free = "" if free_bytes is None else f", {free_bytes / 1e9:.3f} GB free"
        said += (
            f" (the disk at {disk}{free}). Make room, or name a folder on another disk: --cache or "
            "HEARBENCH_CACHE is that of the cache, from which `hearbench cache clear` removes what "
            "can be made again"
        )
    elif number in _NO_RIGHTS:
        said += (
            f" (the disk at {disk}). Name a folder that you may write to: --cache or "
            "HEARBENCH_CACHE is that of the cache"
        )
    elif number == errno.ENAMETOOLONG:
        said += ". Name a folder with a shorter path, or give a shorter name"
    elif number == errno.EISDIR:
        said = "a folder lies where this file belongs. Remove it, and run the same command again"
    elif number in _GONE:
        said += (
            ". Its folder was there before and has been removed. Run the same command again, and "
            "remove nothing while it runs"
        )
    return DiskError(number, said, str(path))


def system_error(error: OSError) -> DiskError | None:
    """What the user's system says, described by `disk_error`; None where a bug may be the cause."""
    if error.errno not in _SYSTEM:
        return None
    # The disk that is full isn't always named: it may be that of temporary files.
    return disk_error(error, Path(os.fsdecode(error.filename or tempfile.gettempdir())))


@contextmanager
def _said_of(path: Path) -> Iterator[None]:
    """Turns errors of the system into `DiskError`, but those that are of something else."""
    try:
        yield
    except OSError as error:
        # What the caller's block reads, or writes elsewhere, has a name of its own; what a
        # network's library raises is an error of the system as well.
        named = error.filename if isinstance(error.filename, (str, os.PathLike)) else None
        if named is not None and Path(named).parent not in path.parents:
            raise
        described = disk_error(error, path)
        if described.errno not in _ABOUT_DISKS:
            raise
        raise described from error


def _disk_of(path: Path) -> tuple[Path, int | None]:
    """The place where the disk of a path is mounted, and the bytes that are free there."""
    place = path.absolute()
    try:
        while not place.exists() and place != place.parent:
            place = place.parent
        free_bytes = shutil.disk_usage(place).free
        while not place.is_mount() and place != place.parent:
            place = place.parent
    except OSError:
        return place, None
    return place, free_bytes


def _sync_folder(folder: Path) -> None:
    """Waits until the names in a folder are on the disk, where the system can do that."""
    if os.name == "nt":
        return
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return  # a folder that may be written but not read
    try:
        os.fsync(handle)
    except OSError:
        return  # some network disks can't
    finally:
        os.close(handle)


def is_file(path: Path | str) -> bool:
    """Whether there is a file at a path that others wrote; what can't be a path has none."""
    try:
        return Path(path).is_file()
    except (OSError, ValueError):
        return False  # too long, or with a character that no path has


def write_text(path: Path, text: str) -> None:
    """Writes UTF-8 text atomically."""
    with atomic_write(path) as file:
        file.write(text.encode("utf-8"))


def write_json(path: Path, value: Any, *, indent: int | None = 1) -> None:
    """Writes valid JSON atomically: NaN as null, infinities as strings; keys keep their order."""
    write_text(path, json_text(value, indent=indent))


def json_text(value: Any, *, indent: int | None = 1) -> str:
    """The text that `write_json` writes."""
    return json.dumps(json_safe(value), indent=indent, allow_nan=False) + "\n"


def json_safe(value: Any) -> Any:
    """The same value with NaN as None and infinities as "Infinity" and "-Infinity"."""
    if isinstance(value, float):
        if math.isnan(value):
            return None
        if math.isinf(value):
            return "Infinity" if value > 0 else "-Infinity"
        return float(value)
    if isinstance(value, dict):
        return {key: json_safe(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [json_safe(item) for item in value]
    return value


def write_npy(path: Path, array: npt.NDArray[Any]) -> None:
    """Writes an array as ``.npy`` atomically; one that is mapped isn't read into memory whole."""
    if not isinstance(array, np.memmap) or array.ndim == 0:
        with atomic_write(path) as file:
            np.lib.format.write_array(file, np.ascontiguousarray(array), allow_pickle=False)
        return
    rows = max(1, _BLOCK_BYTES // max(1, array.nbytes // max(1, len(array))))
    with atomic_write(path) as file:
        write_npy_head(file, array.dtype, array.shape)
        for start in range(0, len(array), rows):
            file.write(mapped_rows(array, start, start + rows).tobytes())


def write_npy_head(file: BinaryIO, dtype: npt.DTypeLike, shape: tuple[int, ...]) -> None:
    """Writes what stands in a ``.npy`` file before the numbers, of an array in C order."""
    descr = np.lib.format.dtype_to_descr(np.dtype(dtype))
    head = {"descr": descr, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, head)


def mapped_rows(array: npt.NDArray[Any], start: int, stop: int) -> npt.NDArray[Any]:
    """Some rows of an array.

    Of one that is mapped they are mapped again, so that the memory that they take is given back
    with them, and not only with the whole array.
    """
    stop = min(stop, len(array))
    if not isinstance(array, np.memmap) or stop <= start:
        return array[start:stop]
    # A part of a mapped array says that it begins where the whole does.
    if not isinstance(array.base, mmap.mmap) or not array.flags.c_contiguous:
        return array[start:stop]
    row_bytes = array.nbytes // len(array)
    if array.filename is None or row_bytes == 0:
        return array[start:stop]
    return np.memmap(
        array.filename,
        dtype=array.dtype,
        mode="r",
        offset=array.offset + start * row_bytes,
        shape=(stop - start, *array.shape[1:]),
    )


def read_npy(path: Path, *, mmap: bool = False) -> npt.NDArray[Any]:
    """Reads a ``.npy`` file, memory-mapped on request; never a pickle.

    Raises:
        OSError: It can't be read.
        ValueError: It is no array, or one of objects.
    """
    with path.open("rb") as file:
        # numpy would take other forms for archives, or for pickles.
        if file.read(len(_NPY_MAGIC)) != _NPY_MAGIC:
            raise ValueError("it isn't in numpy's format")
    try:
        array: npt.NDArray[Any] = np.load(path, mmap_mode="r" if mmap else None, allow_pickle=False)
    except _NO_ARRAY as error:
        raise ValueError(f"it isn't in numpy's format: {error}") from error
    return array


def _umask() -> int:
    # The only portable way to read the mask is to set it.
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
