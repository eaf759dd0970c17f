"""What nodes that share no disk hand to each other: folders of the cache, by way of a URL.

    <url>/<entry>/<parcel>.tar      some files of the entry
    <url>/<entry>/<parcel>.json     their names, and the digest of the tar; written last
    <url>/<kind>/<name>             notes: marks, and which process has a step in hand

An entry is a folder of the cache, whose name says what made it, so that it is the same in every
cache. Parcels are only ever added, each under a name of its own, so nothing that is being read is
ever replaced, and what a process that was killed left without its list is read by no one.
"""

from __future__ import annotations

import os
import re
import shutil
import tarfile
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, Protocol

from pydantic import AfterValidator, Field, ValidationError

from hearbench.digest import digest_file
from hearbench.errors import HearError
from hearbench.files import TEMPORARY_PREFIX, atomic_write
from hearbench.records import Record

__all__ = ["Exchange", "OneDisk", "Parcel", "UrlExchange"]

# Of audio, in a parcel; one that is larger is sent alone. It is what a transfer takes on disk.
_PARCEL_BYTES = 256 << 20
_UNFINISHED = ".unfinished.npz"
_SUFFIX = ".json"
# They have no folders, and asked for one they would make a bucket.
_OBJECT_STORES = {"abfs", "abfss", "az", "gcs", "gs", "oci", "oss", "s3", "s3a"}


class Exchange(Protocol):
    """Where a process gets what others left, and leaves what others may need."""

    def pull(self, entry: str, folder: Path) -> None:
        """Completes a folder by the files of an entry that it lacks.

        Raises:
            HearError: They can't be had.
        """
        ...

    def push(self, entry: str, folder: Path, names: Sequence[str] | None = None) -> None:
        """Adds to an entry the files of a folder that it lacks; by default all of them.

        Raises:
            HearError: They can't be left there.
        """
        ...


class OneDisk:
    """No exchange: all processes see the same cache."""

    def pull(self, entry: str, folder: Path) -> None:
        """Nothing: it is there."""

    def push(self, entry: str, folder: Path, names: Sequence[str] | None = None) -> None:
        """Nothing: it is seen."""


def _within(name: str) -> str:
    """A file's name that can't lead out of its folder.

    Raises:
        ValueError: It is something else.
    """
    path = PurePosixPath(name)
    if not name or "\\" in name or "\0" in name or path.is_absolute() or ".." in path.parts:
        raise ValueError(f"{name!r} is no name of a file in the folder")
    return name


class Parcel(Record):
    """What a parcel's list says.

    Attributes:
        files: Relative to the entry's folder, with ``/``.
        bytes: Size of the tar.
        sha256: SHA-256 of the tar.
    """

    format_version: Literal[1] = 1
    files: tuple[Annotated[str, AfterValidator(_within)], ...]
    bytes: int = Field(ge=0)
    sha256: str


@dataclass(frozen=True)
class UrlExchange:
    """An exchange at any place that fsspec knows.

    Attributes:
        url: URL of a folder, as ``s3://bucket/folder`` or ``file:///mnt/folder``.
    """

    url: str

    def __post_init__(self) -> None:
        if "://" not in self.url:
            raise HearError(
                f"--shared {self.shown}: a URL is needed, as s3://bucket/folder or "
                "file:///mnt/folder."
            )

    @property
    def shown(self) -> str:
        """The URL without a user's name and password."""
        return re.sub(r"//[^/@]*@", "//", self.url)

    def _place(self) -> tuple[Any, str]:
        """Its file system, and the folder there.

        Raises:
            HearError: The URL names no place that can be reached.
        """
        try:
            # Without types.
            url_to_fs = import_module("fsspec.core").url_to_fs
        except ImportError as error:
            raise HearError(
                "fsspec isn't installed: pip install 'hearbench[ray]'.", code="not_installed"
            ) from error
        # Which knows file systems that were made before.
        with _told(f"--shared {self.shown} can't be used"):
            fs, root = url_to_fs(self.url)
        return fs, str(root).rstrip("/")

    def check(self) -> None:
        """Tries whether the place keeps what is written to it.

        Raises:
            HearError: It doesn't, or can't be reached.
        """
        self.remove_note(self.open_mark())

    def open_mark(self) -> str:
        """Leaves a small file there, by which others find out whether they see the place.

        Returns:
            Its name, for `note` and `remove_note`.

        Raises:
            HearError: Nothing can be written there.
        """
        mark = f"marks/{uuid.uuid4().hex}"
        self.write_note(mark, "hearbench")
        if self.note(mark) is None:
            raise HearError(f"{self.shown} doesn't keep what is written to it.")
        return mark

    def note(self, name: str) -> str | None:
        """The text of a small file; None if there is none.

        Raises:
            HearError: The place can't be read.
        """
        fs, root = self._place()
        with _told(f"{self.shown} can't be read"):
            fs.invalidate_cache()
            try:
                return bytes(fs.cat_file(f"{root}/{name}")).decode("utf-8", "replace")
            except FileNotFoundError:
                return None

    def write_note(self, name: str, text: str) -> None:
        """Leaves a small file there, in the place of one of this name.

        Raises:
            HearError: Nothing can be written there.
        """
        fs, root = self._place()
        with _told(f"Nothing can be written to {self.shown}"):
            _make_folder(fs, f"{root}/{name}".rpartition("/")[0])
            fs.pipe_file(f"{root}/{name}", text.encode())

    def remove_note(self, name: str) -> None:
        """Removes a small file.

        Raises:
            HearError: It can't be removed.
        """
        fs, root = self._place()
        with _told(f"{name} can't be removed from {self.shown}"):
            fs.rm_file(f"{root}/{name}")

    def pull(self, entry: str, folder: Path) -> None:
        """Completes a folder by the files of an entry that it lacks; each appears whole.

        Raises:
            HearError: The place can't be read, or what is there is damaged.
        """
        for place, parcel in self._parcels(entry):
            lacking = [name for name in parcel.files if not (folder / name).is_file()]
            if lacking:
                self._take(place, parcel, lacking, folder)

    def push(self, entry: str, folder: Path, names: Sequence[str] | None = None) -> None:
        """Adds to an entry the files of a folder that it lacks.

        Left out are files that are being written, and states of trainings that aren't finished.

        Raises:
            HearError: The place can't be written to, or a file can't be read.
        """
        known = {name for _, parcel in self._parcels(entry) for name in parcel.files}
        found = _files_below(folder) if names is None else names
        # What says that others are complete comes after them.
        wanted = sorted(
            (name for name in found if name not in known),
            key=lambda name: (name == "manifest.json", name.endswith(_SUFFIX), name),
        )
        for some in _portions(folder, wanted):
            self._send(entry, folder, some)

    def _parcels(self, entry: str) -> list[tuple[str, Parcel]]:
        """Where the tars of an entry are, with their lists."""
        fs, root = self._place()
        place = f"{root}/{entry}"
        found = []
        with _told(f"{entry} can't be read from {self.shown}"):
            fs.invalidate_cache()
            try:
                paths = [str(path) for path in fs.ls(place, detail=False)]
            except FileNotFoundError:
                return []
            lists = [path for path in sorted(paths) if path.endswith(_SUFFIX)]
            for path, content in zip(lists, map(fs.cat_file, lists), strict=True):
                tar = f"{path.removesuffix(_SUFFIX)}.tar"
                try:
                    found.append((tar, Parcel.model_validate_json(content)))
                except ValidationError as error:
                    raise HearError(
                        f"{path} at {self.shown} can't be read by this version of hearbench "
                        f"({error.errors()[0]['msg']}). Remove it, or name another place."
                    ) from error
        return found

    def _take(self, place: str, parcel: Parcel, names: Sequence[str], folder: Path) -> None:
        fs, _ = self._place()
        with tempfile.TemporaryDirectory(prefix=TEMPORARY_PREFIX) as temporary:
            local = Path(temporary) / "parcel.tar"
            with _told(f"{place} can't be read from {self.shown}"):
                fs.get_file(place, str(local))
            if local.stat().st_size != parcel.bytes or digest_file(local) != parcel.sha256:
                raise HearError(
                    f"{place} at {self.shown} isn't what was written there. Remove it with the "
                    f"{_SUFFIX} beside it, and run the same command again.",
                    code="damaged",
                )
            _extract(local, names, folder)

    def _send(self, entry: str, folder: Path, names: Sequence[str]) -> None:
        fs, root = self._place()
        place = f"{root}/{entry}/{uuid.uuid4().hex}"
        with tempfile.TemporaryDirectory(prefix=TEMPORARY_PREFIX) as temporary:
            local = Path(temporary) / "parcel.tar"
            with tarfile.open(local, "w") as tar:
                for name in names:
                    _add(tar, name, folder / name)
            parcel = Parcel(
                files=tuple(names), bytes=local.stat().st_size, sha256=digest_file(local)
            )
            content = parcel.model_dump_json().encode()
            with _told(f"{entry} can't be written to {self.shown}"):
                _make_folder(fs, f"{root}/{entry}")
                fs.put_file(str(local), f"{place}.tar")
                # Not every place keeps a file hidden until it is whole.
                fs.pipe_file(f"{place}.new", content)
                fs.mv(f"{place}.new", f"{place}{_SUFFIX}")


@contextmanager
def _told(what: str) -> Iterator[None]:
    """Turns what a place's own library raises, which may be anything, into a message.

    Raises:
        HearError: Something went wrong.
    """
    try:
        yield
    except HearError:
        raise
    except Exception as error:
        first = str(error).strip().partition("\n")[0] or type(error).__name__
        raise HearError(f"{what}: {first.rstrip('.')}.") from error


def _make_folder(fs: Any, place: str) -> None:
    names = (fs.protocol,) if isinstance(fs.protocol, str) else fs.protocol
    if _OBJECT_STORES.isdisjoint(names):
        fs.makedirs(place, exist_ok=True)


def _files_below(folder: Path) -> list[str]:
    """Relative names of the finished files of a folder, with ``/``."""
    return [
        Path(place, name).relative_to(folder).as_posix()
        for place, _, names in os.walk(folder)
        for name in names
        if not name.startswith(TEMPORARY_PREFIX) and not name.endswith(_UNFINISHED)
    ]


def _portions(folder: Path, names: Sequence[str]) -> Iterator[list[str]]:
    some: list[str] = []
    total = 0
    for name in names:
        size = (folder / name).stat().st_size
        if some and total + size > _PARCEL_BYTES:
            yield some
            some, total = [], 0
        some.append(name)
        total += size
    if some:
        yield some


def _add(tar: tarfile.TarFile, name: str, path: Path) -> None:
    with path.open("rb") as file:
        member = tarfile.TarInfo(name)
        member.size = os.fstat(file.fileno()).st_size
        tar.addfile(member, file)


def _extract(local: Path, names: Sequence[str], folder: Path) -> None:
    left = set(names)
    with tarfile.open(local) as tar:
        for member in tar:
            source = tar.extractfile(member) if member.isreg() and member.name in left else None
            if source is None:
                continue
            # Audio is looked at before it is used, and there is much of it.
            durable = not member.name.endswith(".wav")
            with source, atomic_write(folder / member.name, durable=durable) as target:
                shutil.copyfileobj(source, target, 1 << 20)
            left.discard(member.name)
    if left:
        raise HearError(f"{min(left)} isn't in the parcel whose list names it.")
