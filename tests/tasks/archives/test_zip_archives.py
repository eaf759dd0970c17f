from __future__ import annotations

import io
import stat
import struct
import zipfile
import zlib
from pathlib import Path

import pytest
from helpers_progress import Counts

from hearbench.errors import TaskError
from hearbench.tasks.archives import unpack_archive, unpacking


def make(path: Path, *members: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


def special(name: str, mode: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.create_system = 3
    info.external_attr = (mode | 0o644) << 16
    return info


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


METHODS = [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]


@pytest.mark.parametrize("method", METHODS)
def test_each_method(tmp_path: Path, method: int) -> None:
    long = bytes(range(256)) * 400
    path = make(tmp_path / "a.zip", ("a/x.wav", long), ("e/", b""), ("y", b""), method=method)
    told = Counts()
    unpack_archive(path, tmp_path / "out", update=told)
    assert files(tmp_path / "out") == {"a/x.wav": long, "y": b""}
    assert (tmp_path / "out/e").is_dir()
    assert told[-1] == (102_400, 102_400)
    assert {total for _, total in told} == {102_400}


def test_a_zip_after_a_program_and_misnamed(tmp_path: Path) -> None:
    path = make(tmp_path / "a.zip", ("x", b"1"))
    (tmp_path / "a.exe").write_bytes(b"MZ" + bytes(500) + path.read_bytes())
    unpack_archive(tmp_path / "a.exe", tmp_path / "out")
    assert files(tmp_path / "out") == {"x": b"1"}


def test_bad_members_are_all_named(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    outside = ["../evil", "a/../../evil", "/etc/evil", "C:/evil", "a/c:evil", "..\\evil"]
    modes = {"ln": stat.S_IFLNK, "dev": stat.S_IFBLK, "tty": stat.S_IFCHR, "pipe": stat.S_IFIFO}
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("good", b"1")
        for name in outside:
            archive.writestr(name, b"evil")
        for name, mode in modes.items():
            archive.writestr(special(name, mode), b"/etc")
        archive.writestr(special("plain", stat.S_IFREG), b"1")
        archive.writestr("good/below", b"1")
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("good", b"2")
    with pytest.raises(TaskError) as raised:
        unpack_archive(path, tmp_path / "out")
    message = str(raised.value)
    assert "outside the folder (6)" in message
    assert "links, devices or the like (4): 'ln'; 'dev'; 'tty'; 'pipe'" in message
    assert "below a member that is a file (1): 'good/below'" in message
    assert "members of the same name (1): 'good'" in message
    assert all(repr(name) in message for name in outside)
    assert "plain" not in message
    assert list(tmp_path.iterdir()) == [path]


def test_what_macos_adds_is_left_out(tmp_path: Path) -> None:
    path = make(tmp_path / "a.zip", ("__MACOSX/._x", b"1"), ("x", b"2"), (".DS_Store", b"3"))
    unpack_archive(path, tmp_path / "out")
    assert files(tmp_path / "out") == {"x": b"2"}


def test_encrypted(tmp_path: Path) -> None:
    path = make(tmp_path / "a.zip", ("x", b"1"), ("secret.wav", b"2"))
    content = bytearray(path.read_bytes())
    place = content.rfind(b"PK\x01\x02")
    content[place + 8] |= 1
    path.write_bytes(content)
    with pytest.raises(TaskError, match=r"encrypted; unpack it by hand.*\(1\): 'secret\.wav'"):
        unpack_archive(path, tmp_path / "out")


def test_a_method_that_python_lacks(tmp_path: Path) -> None:
    path = make(tmp_path / "a.zip", ("x.wav", b"1"), method=zipfile.ZIP_STORED)
    content = bytearray(path.read_bytes())
    content[8] = content[content.find(b"PK\x01\x02") + 10] = 9  # deflate64, as Windows has it
    path.write_bytes(content)
    with pytest.raises(TaskError, match=r"'x\.wav' of .*a\.zip is packed in a way .*by hand"):
        unpack_archive(path, tmp_path / "out")


def test_damaged_members_and_archives(tmp_path: Path) -> None:
    path = make(tmp_path / "a.zip", ("good", b"0" * 99), ("x.wav", b"12345" * 99), method=0)
    content = path.read_bytes()
    path.write_bytes(content.replace(b"12345", b"12346", 1))
    with pytest.raises(TaskError, match=r"a\.zip can't be unpacked: 'x\.wav': Bad CRC-32"):
        unpack_archive(path, tmp_path / "out")
    for size in range(0, len(content), 10):
        path.write_bytes(content[:size])
        with pytest.raises(TaskError, match=r"a\.zip can't be unpacked.*cut off"):
            unpack_archive(path, tmp_path / "out")
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kept", [0.3, 0.9])
def test_packed_content_that_ends_early(tmp_path: Path, method: int, kept: float) -> None:
    noise = b"".join(zlib.crc32(bytes([i % 256, i // 256])).to_bytes(4, "big") for i in range(5000))
    path = make(tmp_path / "a.zip", ("x", noise), method=method)
    content = bytearray(path.read_bytes())
    place = content.rfind(b"PK\x01\x02")
    begin = int(kept * place)
    content[begin : place - 1] = bytes(place - 1 - begin)
    path.write_bytes(content)
    with pytest.raises(TaskError, match=r"a\.zip can't be unpacked: 'x': "):
        unpack_archive(path, tmp_path / "out")


def test_names_in_utf8_that_do_not_say_so(tmp_path: Path) -> None:
    path = make(tmp_path / "a.zip", ("größe.wav", b"1"))
    content = bytearray(path.read_bytes())
    for magic, at in ((b"PK\x03\x04", 7), (b"PK\x01\x02", 9)):
        assert content[content.find(magic) + at] == 8
        content[content.find(magic) + at] = 0
    path.write_bytes(content)
    assert zipfile.ZipFile(path).namelist() != ["größe.wav"]
    unpack_archive(path, tmp_path / "out")
    assert files(tmp_path / "out") == {"größe.wav": b"1"}


def bomb(path: Path, n_mib: int, n_entries: int = 1) -> Path:
    """Zeros, packed MiB by MiB; several entries share them, as is the way of bombs."""
    packer = zlib.compressobj(wbits=-15)
    mib = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    packed = mib * n_mib + zlib.compressobj(wbits=-15).flush()
    sizes = (len(packed), n_mib << 20)
    out = io.BytesIO()
    out.write(struct.pack("<4s5H3L2H", b"PK\3\4", 20, 0, 8, 0, 33, 0, *sizes, 1, 0) + b"x")
    out.write(packed)
    begin = out.tell()
    for i in range(n_entries):
        name = b"x" if n_entries == 1 else b"%d" % i
        out.write(struct.pack("<4s6H3L", b"PK\1\2", 20, 20, 0, 8, 0, 33, 0, *sizes))
        out.write(struct.pack("<5H2L", len(name), 0, 0, 0, 0, 0, 0) + name)
    length = out.tell() - begin
    out.write(struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, n_entries, n_entries, length, begin, 0))
    path.write_bytes(out.getvalue())
    return path


@pytest.mark.parametrize(("n_mib", "n_entries"), [(4000, 1), (1500, 7)])
def test_a_bomb_is_refused_before_anything_is_written(
    tmp_path: Path, n_mib: int, n_entries: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpacking.Unpacking, "write", lambda *_: pytest.fail("written"))
    path = bomb(tmp_path / "a.zip", n_mib, n_entries)
    size = {1: "4.19 GB", 7: "11 GB"}[n_entries]
    with pytest.raises(TaskError, match=rf"unpack to {size} or more, over 200 times"):
        unpack_archive(path, tmp_path / "out")


def test_no_more_is_written_than_was_said(tmp_path: Path) -> None:
    content = bytearray(bomb(tmp_path / "a.zip", 3).read_bytes())
    place = content.rfind(b"PK\1\2")
    struct.pack_into("<L", content, place + 24, 1000)
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(TaskError, match=r"'x': Bad CRC-32"):
        unpack_archive(tmp_path / "a.zip", tmp_path / "out")
    struct.pack_into("<L", content, place + 16, zlib.crc32(bytes(1000)))
    (tmp_path / "a.zip").write_bytes(content)
    unpack_archive(tmp_path / "a.zip", tmp_path / "out")
    assert files(tmp_path / "out") == {"x": bytes(1000)}


def test_less_than_was_said(tmp_path: Path) -> None:
    content = bytearray(make(tmp_path / "a.zip", ("x", b"12345")).read_bytes())
    struct.pack_into("<L", content, content.rfind(b"PK\1\2") + 24, 6)
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(TaskError, match=r"'x': it holds less than the 6 bytes it should"):
        unpack_archive(tmp_path / "a.zip", tmp_path / "out")


def test_a_zip_with_64_bit_sizes(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive, archive.open("x", "w", force_zip64=True) as file:
        file.write(b"1234")
    unpack_archive(path, tmp_path / "out")
    assert files(tmp_path / "out") == {"x": b"1234"}


def test_an_interrupted_one_leaves_nothing(tmp_path: Path) -> None:
    path = make(tmp_path / "a.zip", ("x", b"1"), ("y", b"2"))

    def stop(done: int, total: int | None = None, text: str = "") -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        unpack_archive(path, tmp_path / "out", update=stop)
    assert list(tmp_path.iterdir()) == [path]
