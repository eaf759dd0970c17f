from __future__ import annotations

import bz2
import errno
import gzip
import io
import lzma
import shutil
import struct
import tarfile
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from helpers_progress import Counts

from hearbench.errors import TaskError
from hearbench.tasks.archives import extract_members, is_archive, unpack_archive, unpacking

GB = 10**9
PACK: dict[str, Callable[[bytes], bytes]] = {
    ".tar": bytes,
    ".tar.gz": gzip.compress,
    ".tgz": gzip.compress,
    ".tar.bz2": bz2.compress,
    ".tar.xz": lzma.compress,
}


def tar(*members: tuple[str, bytes | None], **more: object) -> bytes:
    """A tar of files, and of folders where there is no content."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content or b"")
            info.type = tarfile.DIRTYPE if content is None else tarfile.REGTYPE
            for key, value in more.items():
                setattr(info, key, value)
            archive.addfile(info, io.BytesIO(content or b""))
    return out.getvalue()


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def put(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


GOOD = tar(("./a/x.wav", b"12345"), ("a/b/", None), ("y.txt", b"6"), ("a/b/z", b""))


@pytest.mark.parametrize("ending", PACK)
@pytest.mark.parametrize("misnamed", [False, True])
def test_each_kind_of_tar(tmp_path: Path, ending: str, misnamed: bool) -> None:
    path = put(tmp_path / ("download" if misnamed else f"c{ending}"), PACK[ending](GOOD))
    told = Counts()
    unpack_archive(path, tmp_path / "out", update=told)
    assert files(tmp_path / "out") == {"a/x.wav": b"12345", "y.txt": b"6", "a/b/z": b""}
    size = path.stat().st_size
    assert told[-1] == (size, size)
    assert sorted(told) == told
    assert {path.name for path in tmp_path.iterdir()} == {path.name, "out"}


def test_names_of_archives() -> None:
    names = ["a.tar", "a.TAR.GZ", "a.tgz", "a.tar.bz2", "a.tar.xz", "a.zip", "a.rar"]
    assert all(map(is_archive, names))
    assert not any(map(is_archive, ["a.wav", "a.gz", "a.z01", "targz", "a.csv"]))


def test_a_tar_from_before_ustar_goes_by_its_name(tmp_path: Path) -> None:
    old = bytearray(tar(("x", b"1")))
    old[257:265] = bytes(8)
    old[148:156] = b" " * 8
    old[148:156] = b"%06o\0 " % sum(old[:512])
    unpack_archive(put(tmp_path / "a.tar", bytes(old)), tmp_path / "out")
    assert files(tmp_path / "out") == {"x": b"1"}


def test_permissions_are_the_default_ones(tmp_path: Path) -> None:
    path = put(tmp_path / "a.tar", tar(("x", b"1"), mode=0o4777, uid=1234))
    unpack_archive(path, tmp_path / "out")
    (tmp_path / "plain").touch()
    assert (tmp_path / "out/x").stat().st_mode == (tmp_path / "plain").stat().st_mode
    assert (tmp_path / "out/x").stat().st_uid == (tmp_path / "plain").stat().st_uid


def test_what_macos_adds_is_left_out(tmp_path: Path) -> None:
    members = [(name, b"1") for name in ("__MACOSX/a/x", "a/._x", "a/.DS_Store", "a/x", "a/_._x")]
    unpack_archive(put(tmp_path / "a.tar", tar(*members)), tmp_path / "out")
    assert set(files(tmp_path / "out")) == {"a/x", "a/_._x"}
    assert not (tmp_path / "out/__MACOSX").exists()


def test_junk_that_would_land_outside_is_refused(tmp_path: Path) -> None:
    path = put(tmp_path / "a.tar", tar(("../._x", b"1")))
    with pytest.raises(TaskError, match="outside the folder"):
        unpack_archive(path, tmp_path / "out")


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ([("a", b"1"), ("./a", b"2")], "members of the same name (1): './a'"),
        ([("a", b"1"), ("a/b/c", b"2")], "below a member that is a file (1): 'a/b/c'"),
        ([("a/b", b"1"), ("a", b"2")], "same name as a folder (1): 'a'"),
        ([("a", b"1"), ("a", None)], "same name as a folder (1): 'a'"),
        ([("x" * 256, b"1")], "whose name no file can have (1)"),
        ([("a/" * 65 + "b", b"1")], "whose name no file can have (1)"),
        ([(".", b"1")], "whose name no file can have (1)"),
    ],
)
def test_members_in_each_others_way(
    tmp_path: Path, members: list[tuple[str, bytes | None]], said: str
) -> None:
    path = put(tmp_path / "a.tar", tar(*members))
    with pytest.raises(TaskError) as raised:
        unpack_archive(path, tmp_path / "out")
    assert said in str(raised.value)
    assert [path.name for path in tmp_path.iterdir()] == ["a.tar"]


def test_folders_may_come_twice_and_first_may_come_last(tmp_path: Path) -> None:
    content = tar(("./", None), ("a/b", b"1"), ("a", None), ("a/", None), (".", None))
    unpack_archive(put(tmp_path / "a.tar", content), tmp_path / "out")
    assert files(tmp_path / "out") == {"a/b": b"1"}


def test_the_good_ones_are_unpacked_for_those_who_ask(tmp_path: Path) -> None:
    path = put(tmp_path / "a.tar", tar(("../evil", b"1"), ("good", b"2"), ("good", b"3")))
    (tmp_path / "out").mkdir()
    problems = extract_members(path, tmp_path / "out")
    assert len(problems) == 2
    assert files(tmp_path) == {"a.tar": path.read_bytes(), "out/good": b"2"}


@pytest.mark.parametrize("ending", PACK)
def test_cut_off_anywhere(tmp_path: Path, ending: str) -> None:
    whole = PACK[ending](tar(*((f"f{i}", bytes([i]) * 700) for i in range(9))))
    # The padding after the end mark of a plain tar may be missing.
    end = 9 * (512 + 1024) if ending == ".tar" else len(whole) - 1
    for size in (*range(0, end, max(1, end // 40)), end):
        with pytest.raises(TaskError, match=r"a\.t.*can't be unpacked.*cut off"):
            unpack_archive(put(tmp_path / f"a{ending}", whole[:size]), tmp_path / "out")
        assert [path.name for path in tmp_path.iterdir()] == [f"a{ending}"]


def test_a_flipped_bit_is_seen_by_the_check_sum(tmp_path: Path) -> None:
    packed = bytearray(gzip.compress(tar(("x", bytes(range(256)) * 40)), compresslevel=0))
    packed[5000] ^= 1
    with pytest.raises(TaskError, match=r"CRC check failed"):
        unpack_archive(put(tmp_path / "a.tgz", bytes(packed)), tmp_path / "out")


def test_a_broken_header_in_the_middle_is_no_end(tmp_path: Path) -> None:
    broken = bytearray(tar(("x", b"1"), ("y", b"2")))
    broken[1024] ^= 1
    with pytest.raises(TaskError, match="no end, or a broken header"):
        unpack_archive(put(tmp_path / "a.tar", bytes(broken)), tmp_path / "out")


def header(name: str, size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    info = tarfile.TarInfo(name)
    info.size = size
    info.type = kind
    return info.tobuf(tarfile.GNU_FORMAT)


def gz_of_zeros(path: Path, begin: bytes, n_mib: int) -> Path:
    """A gzip of some bytes and many zeros, made from one packed MiB of them."""
    packer = zlib.compressobj(wbits=-15)
    head = packer.compress(begin) + packer.flush(zlib.Z_FULL_FLUSH)
    packer = zlib.compressobj(wbits=-15)
    mib = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    with path.open("wb") as file:
        file.write(b"\x1f\x8b\x08\0\0\0\0\0\0\x03" + head + mib * n_mib)
        file.write(zlib.compressobj(wbits=-15).flush() + struct.pack("<2L", 0, 0))
    return path


@pytest.mark.parametrize(
    ("begin", "said"),
    [
        (header("zeros", 10 * GB), "would unpack to 10 GB or more, over 200 times"),
        # sizes that aren't written count all the same
        (header("._zeros", 10 * GB), "would unpack to 10 GB or more, over 200 times"),
        (header("link", 10 * GB, tarfile.SYMTYPE), "follows the end, is too long"),
        (header("one", 512), "follows the end, is too long"),
        (header("long", 10 * GB, tarfile.GNUTYPE_LONGNAME), "a header.* is too long"),
        (header("pax", 10 * GB, tarfile.XHDTYPE), "a header.* is too long"),
    ],
)
def test_ten_gb_of_zeros_are_refused_at_once(tmp_path: Path, begin: bytes, said: str) -> None:
    path = gz_of_zeros(tmp_path / "a.tar.gz", begin, 9600)
    assert path.stat().st_size < 20e6
    tracemalloc.start()
    try:
        with pytest.raises(TaskError, match=said):
            unpack_archive(path, tmp_path / "out")
        assert tracemalloc.get_traced_memory()[1] < 30e6
    finally:
        tracemalloc.stop()
    assert [path.name for path in tmp_path.iterdir()] == ["a.tar.gz"]


def test_a_negative_size(tmp_path: Path) -> None:
    bad = bytearray(header("x", 0))
    bad[124:136] = b"\xff" * 12  # -1 in base 256
    bad[148:156] = b" " * 8
    bad[148:156] = b"%06o\0 " % sum(bad)
    with pytest.raises(TaskError, match="can't be unpacked"):
        unpack_archive(put(tmp_path / "a.tar", bytes(bad) + bytes(1024)), tmp_path / "out")


def test_many_small_members_count_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacking, "_HARMLESS_BYTES", 100_000)
    members = [(f"f{i}", bytes(10_000)) for i in range(12)]
    path = put(tmp_path / "a.tar.gz", gzip.compress(tar(*members), 9))
    assert 200 * path.stat().st_size < 120_000
    with pytest.raises(TaskError, match="over 200 times"):
        unpack_archive(path, tmp_path / "out")
    # what is less packed is as good as any
    put(path, gzip.compress(tar(*members), 0))
    unpack_archive(path, tmp_path / "out")
    assert len(files(tmp_path / "out")) == 12


def test_no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = 300_000_000
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
    path = put(tmp_path / "a.tar", tar(("x", bytes(40_000_000))))
    with pytest.raises(TaskError) as raised:
        unpack_archive(path, tmp_path / "out")
    assert f"at least 40 MB, 300 MB are free in {tmp_path}" in str(raised.value)
    free = 310_000_000
    unpack_archive(path, tmp_path / "out")
    assert (tmp_path / "out/x").stat().st_size == 40_000_000


def test_the_disk_fills_up_on_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(out: object, data: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(unpacking, "_write_all", full)
    path = put(tmp_path / "a.tar", tar(("x", bytes(5000))))
    with pytest.raises(TaskError) as raised:
        unpack_archive(path, tmp_path / "out")
    assert f"The disk is full: unpacking {path} into {tmp_path} needs 5 kB" in str(raised.value)
    assert [path.name for path in tmp_path.iterdir()] == ["a.tar"]


def test_neither_archive_nor_folder(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match=r"a\.tar can't be read: No such file"):
        unpack_archive(tmp_path / "a.tar", tmp_path / "out")
    with pytest.raises(TaskError, match=r"a\.wav is no archive"):
        unpack_archive(put(tmp_path / "a.wav", b"RIFF"), tmp_path / "out")
    path = put(tmp_path / "a.tar", GOOD)
    with pytest.raises(TaskError, match=r"can't be unpacked to .*a\.wav"):
        unpack_archive(path, tmp_path / "a.wav/out")
