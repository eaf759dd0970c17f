"""Archives from anybody: nothing lands outside the folder, nothing is left of what was refused."""

from __future__ import annotations

import io
import stat
import tarfile
import warnings
import zipfile
from pathlib import Path

import pytest
from helpers_fuzz import files_below, fuzzed, mutated_bytes, texts, value_or_error
from hypothesis import given
from hypothesis import strategies as st

from hearbench.errors import HearError
from hearbench.tasks.archives import extract_members, unpack_archive

_PARTS = ("a", "b", "..", ".", "", "A", "a.wav", "/", "..\\c", "C:", "c\0d", "nul", "x" * 300)
_names = st.lists(st.sampled_from(_PARTS), min_size=1, max_size=4).map("/".join) | texts
_kinds = st.sampled_from(
    ("file", "file", "file", "folder", "symlink", "hardlink", "fifo", "device")
)
_LONGEST_NAME = 10_000  # what a zip can hold, in UTF-8
_members = st.lists(st.tuples(_names, _kinds, st.binary(max_size=64)), max_size=5)

_TYPES = {
    "file": tarfile.REGTYPE,
    "folder": tarfile.DIRTYPE,
    "symlink": tarfile.SYMTYPE,
    "hardlink": tarfile.LNKTYPE,
    "fifo": tarfile.FIFOTYPE,
    "device": tarfile.CHRTYPE,
}
_MODES = {
    "file": stat.S_IFREG,
    "folder": stat.S_IFDIR,
    "symlink": stat.S_IFLNK,
    "hardlink": stat.S_IFREG,
    "fifo": stat.S_IFIFO,
    "device": stat.S_IFCHR,
}


def _tar(members: list[tuple[str, str, bytes]], packing: str, form: int) -> bytes:
    file = io.BytesIO()
    with tarfile.open(
        fileobj=file, mode=f"w:{packing}", format=form, errors="surrogateescape"
    ) as tar:  # type: ignore[call-overload]
        for name, kind, data in members:
            info = tarfile.TarInfo(name.replace("\0", "_"))
            info.type = _TYPES[kind]
            info.linkname = "../outside" if "link" in kind else ""
            info.size = len(data) if kind == "file" else 0
            try:
                tar.addfile(info, io.BytesIO(data))
            except (ValueError, UnicodeError):
                continue  # a name that this form can't hold
    return file.getvalue()


def _zip(members: list[tuple[str, str, bytes]], method: int) -> bytes:
    file = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(file, "w", method) as archive:
        warnings.simplefilter("ignore")  # of names that are there twice
        for name, kind, data in members:
            info = zipfile.ZipInfo("_")
            info.filename = name[:_LONGEST_NAME]
            info.compress_type = method
            info.external_attr = (_MODES[kind] | 0o644) << 16
            try:
                archive.writestr(info, data)
            except (ValueError, UnicodeError):
                continue
    return file.getvalue()


_tars = st.builds(
    _tar,
    _members,
    st.sampled_from(("", "gz", "bz2", "xz")),
    st.sampled_from((tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT)),
)
_zips = st.builds(_zip, _members, st.sampled_from((0, 8, 12, 14)))
_RAR = bytes.fromhex("526172211a0700cf907300000d00000000000000")
_RAR5 = bytes.fromhex("526172211a07010033 92b5e50a01050600050101808000".replace(" ", ""))


def _is_unpacked(top: Path, name: str, data: bytes) -> None:
    """Unpacks an archive that lies beside a folder which nobody may touch."""
    (top / "outside").mkdir()
    (top / "outside" / "kept").write_bytes(b"kept")
    (top / name).write_bytes(data)
    there = files_below(top)
    found = value_or_error(lambda: unpack_archive(top / name, top / "target"))
    new = files_below(top) - there
    assert (top / "outside" / "kept").read_bytes() == b"kept"
    if isinstance(found, HearError):
        assert new == set()
    assert all(item.split("/")[0] == "target" for item in new), new
    for path in (top / "target").rglob("*"):
        mode = path.lstat().st_mode
        assert stat.S_ISREG(mode) or stat.S_ISDIR(mode)
        assert path.lstat().st_nlink == 1 or path.is_dir()


@pytest.mark.parametrize("name", ["x.zip", "x.tar.gz", "x"])
@fuzzed
@given(data=st.data())
def test_archives_of_odd_members(
    tmp_path_factory: pytest.TempPathFactory, name: str, data: st.DataObject
) -> None:
    _is_unpacked(tmp_path_factory.mktemp("odd"), name, data.draw(_tars | _zips))


@pytest.mark.parametrize("name", ["x.zip", "x.tar.gz", "x.rar", "x"])
@fuzzed
@given(data=st.data())
def test_damaged_archives(
    tmp_path_factory: pytest.TempPathFactory, name: str, data: st.DataObject
) -> None:
    rars = st.sampled_from((_RAR, _RAR5))
    whole = data.draw(rars if name == "x.rar" else _tars | _zips)
    _is_unpacked(tmp_path_factory.mktemp("damaged"), name, data.draw(mutated_bytes(whole)))


@fuzzed
@given(data=st.data())
def test_archives_of_tasks(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    top = tmp_path_factory.mktemp("task")
    whole = data.draw(_tars)
    (top / "x.tar.gz").write_bytes(data.draw(st.just(whole) | mutated_bytes(whole)))
    (top / "target").mkdir()
    there = files_below(top)
    value_or_error(lambda: extract_members(top / "x.tar.gz", top / "target"))
    new = files_below(top) - there
    assert all(item.split("/")[0] == "target" for item in new), new
