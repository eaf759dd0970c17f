"""Rar archives, through rarfile and whichever unpacking tool there is.

What is packed at all can be unpacked by a tool only. It is run once and hands over all members in
a row, which are told apart by their sizes and check sums: so no name goes to the tool, it writes
no files, and solid archives, where a member takes all before it to unpack, are read once.
"""

from __future__ import annotations

import subprocess
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from hearbench.errors import TaskError
from hearbench.tasks.archives.unpacking import (
    CHUNK_BYTES,
    DamagedError,
    Kind,
    Source,
    Targets,
    Unpacking,
    kind_of_mode,
)

__all__ = ["RAR_MAGIC", "extract_rar", "volumes_size_bytes"]

RAR_MAGIC = b"Rar!\x1a\x07"
"""How a rar archive begins."""

_TOOLS = ("unrar", "unar", "sevenzip", "sevenzip2", "bsdtar")  # as rarfile calls them
_BY_HAND = "unpack it by hand"
_FIRST_WITH_END_MARK = 29


def volumes_size_bytes(path: Path) -> int:
    """Size of an archive, all its volumes together; of the file alone if it isn't readable."""
    import rarfile

    try:
        with rarfile.RarFile(path) as archive:
            return sum(Path(volume).stat().st_size for volume in archive.volumelist())
    except (rarfile.Error, OSError, ValueError):
        return path.stat().st_size


def extract_rar(path: Path, unpacking: Unpacking) -> None:
    """Unpacks a rar; progress counts unpacked bytes.

    Raises:
        TaskError: It is no rar, cut off, damaged or encrypted; members can't be unpacked (all
            are named); no tool for it is installed; it is too big, or can't be written.
    """
    import rarfile

    ended = []

    def note_end(info: Any) -> None:
        ended.append(info.type == rarfile.RAR_BLOCK_ENDARC)

    try:
        with rarfile.RarFile(path, errors="strict", info_callback=note_end) as archive:
            if archive.needs_password():
                raise TaskError(
                    f"The archive {unpacking.shown} is encrypted; {_BY_HAND} with its password."
                )
            infos = archive.infolist()
            if not any(ended[-1:]) and not _is_old(infos):
                raise DamagedError("it has no end mark")
            members, folders = _choose(infos, unpacking)
            unpacking.expect(sum(info.file_size for info, target in members if target))
            _make_folders(folders, unpacking)
            if all(info.compress_type == rarfile.RAR_M0 for info, _ in members):
                _from_archive(archive, members, unpacking)
            else:
                _from_tools(path, members, folders, unpacking)
            unpacking.tell()
    except (rarfile.Error, EOFError, OSError, ValueError, DamagedError) as error:
        raise unpacking.damaged(error) from error


def _choose(
    infos: list[Any], unpacking: Unpacking
) -> tuple[list[tuple[Any, str | None]], list[str]]:
    """All files in the archive's order and where they go (None: are left out); the folders."""
    targets = Targets()
    files: list[tuple[Any, str | None]] = []
    folders = []
    for info in infos:
        kind = _kind(info)
        target = targets.admit(info.filename, kind)
        if kind is Kind.FOLDER:
            folders += [target] if target else []
        else:
            files.append((info, target))
    unpacking.refuse(targets.problems)
    return files, folders


def _make_folders(folders: list[str], unpacking: Unpacking) -> None:
    for folder in folders:
        unpacking.make_folder(folder)


def _kind(info: Any) -> Kind:
    import rarfile

    if info.file_redir is not None or info.is_symlink():
        return Kind.OTHER
    if info.host_os == rarfile.RAR_OS_UNIX and kind_of_mode(info.mode) is Kind.OTHER:
        return Kind.OTHER
    return Kind.FOLDER if info.is_dir() else Kind.FILE


def _is_old(infos: list[Any]) -> bool:
    """Whether it was made by a rar before 3.0, which wrote no end marks."""
    return bool(infos) and all(info.extract_version < _FIRST_WITH_END_MARK for info in infos)


def _from_archive(
    archive: Any, members: list[tuple[Any, str | None]], unpacking: Unpacking
) -> None:
    for info, target in members:
        if target is not None:
            with archive.open(info) as source:
                unpacking.write(source, target, info.file_size)


def _from_tools(
    path: Path, members: list[tuple[Any, str | None]], folders: list[str], unpacking: Unpacking
) -> None:
    """Takes the first tool that succeeds: some know no rar at all, some only some kinds."""
    failed: dict[str, DamagedError] = {}
    for command in _commands(path):
        error = _failure(command, members, unpacking)
        if error is None:
            return
        failed[Path(command[0]).name] = error
        unpacking.start_over()
        _make_folders(folders, unpacking)
    if failed:
        first = next(iter(failed.values()))
        raise DamagedError(f"{first} (tried with {', '.join(failed)})") from first
    raise TaskError(
        f"{unpacking.shown} can't be unpacked: rar archives need a tool, and none of unrar, unar, "
        "7z or bsdtar is installed. Install one (Debian: apt install unar; macOS: brew install "
        f"unar; Windows: WinRAR or 7-Zip on the PATH), or {_BY_HAND}."
    )


def _commands(path: Path) -> Iterator[list[str]]:
    """The commands by which each installed tool writes all of an archive to its output."""
    import rarfile

    for tool in _TOOLS:
        try:
            setup = rarfile.tool_setup(**{name: name == tool for name in _TOOLS}, force=True)
        except rarfile.RarCannotExec:
            continue
        yield setup.open_cmdline(None, str(path.resolve()))


def _failure(
    command: list[str], members: list[tuple[Any, str | None]], unpacking: Unpacking
) -> DamagedError | None:
    try:
        _from_tool(command, members, unpacking)
    except DamagedError as error:
        return error
    return None


def _from_tool(
    command: list[str], members: list[tuple[Any, str | None]], unpacking: Unpacking
) -> None:
    with subprocess.Popen(  # noqa: S603 - a fixed command and the archive's full path
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        try:
            if process.stdout is None:
                raise DamagedError("the tool has no output")
            for info, target in members:
                member = _Member(process.stdout, info)
                if target is None:
                    while member.read(CHUNK_BYTES):
                        pass
                else:
                    unpacking.write(member, target, info.file_size)
                member.check()
            if process.stdout.read(1):
                raise DamagedError("it holds more than it says")
            if process.wait() and any(info.CRC is None for info, _ in members):
                # There is another kind of check sum too, which only the tool knows.
                raise DamagedError("a member is not what its check sum says")
        finally:
            process.kill()


class _Member(Source):
    """A member's share of what the tool hands over."""

    def __init__(self, stream: IO[bytes], info: Any) -> None:
        self._stream = stream
        self._info = info
        self._left_bytes: int = info.file_size
        self._crc = 0

    def read(self, size: int, /) -> bytes:
        data = self._stream.read(min(size, self._left_bytes))
        self._left_bytes -= len(data)
        self._crc = zlib.crc32(data, self._crc)
        return data

    def check(self) -> None:
        if self._left_bytes or self._info.CRC not in (None, self._crc):
            raise DamagedError(f"{self._info.filename!r} is not what its check sum says")
