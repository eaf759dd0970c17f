from __future__ import annotations

import shutil
import stat
import struct
import sys
import zlib
from pathlib import Path
from typing import Any

import pytest
import rarfile
from helpers_progress import Counts

from hearbench.errors import TaskError
from hearbench.tasks.archives import unpack_archive

STORED = 0x30
PACKED = 0x33
SOLID = 0x0008
ENCRYPTED = 0x0004


def block(kind: int, flags: int, body: bytes) -> bytes:
    """A block of RAR 1.5 to 4: check sum, type, flags, length of the head, the rest."""
    head = struct.pack("<BHH", kind, flags, 7 + len(body)) + body
    return struct.pack("<H", zlib.crc32(head) & 0xFFFF) + head


def rar(
    path: Path,
    *members: tuple[str, bytes],
    method: int = STORED,
    modes: dict[str, int] | None = None,
    flags: int = 0,
    declared: int | None = None,
) -> Path:
    """Writes a RAR 4 archive; what claims to be packed isn't really."""
    out = b"Rar!\x1a\x07\x00" + block(0x73, SOLID if method == PACKED else 0, bytes(6))
    for name, content in members:
        mode = (modes or {}).get(name, stat.S_IFDIR if name.endswith("/") else stat.S_IFREG)
        raw = name.rstrip("/").encode()
        size = len(content) if declared is None else declared
        body = struct.pack("<2LBLL2BHL", len(content), size, 3, zlib.crc32(content), 0x5A210000,
                           29, method, len(raw), mode | 0o644)  # fmt: skip
        kind = 0x80E0 if name.endswith("/") else 0x8000
        out += block(0x74, kind | flags, body + raw) + content
    path.write_bytes(out + block(0x7B, 0x4000, b""))
    return path


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def tool(folder: Path, output: bytes, code: int = 0) -> str:
    """A program that hands over the same bytes whatever it is asked."""
    (folder / "output").write_bytes(output)
    path = folder / "unrar"
    path.write_text(
        f"#!{sys.executable}\nimport sys, pathlib\n"
        f"if '-?' in sys.argv: sys.exit(0)\n"
        f"with open({str(folder / 'calls')!r}, 'a') as log: print(sys.argv[1:], file=log)\n"
        f"sys.stdout.buffer.write(pathlib.Path({str(folder / 'output')!r}).read_bytes())\n"
        f"sys.exit({code})\n"
    )
    path.chmod(0o755)
    return str(path)


TOOLS = ("UNRAR_TOOL", "UNAR_TOOL", "SEVENZIP_TOOL", "SEVENZIP2_TOOL", "BSDTAR_TOOL")


@pytest.fixture
def no_tools(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in TOOLS:
        monkeypatch.setattr(rarfile, name, "/nowhere/at-all")
    monkeypatch.setattr(rarfile, "CURRENT_SETUP", None)
    return monkeypatch


GOOD = (("c/", b""), ("c/x.wav", b"12345" * 1000), ("._x", b"junk"), ("y", b""), ("z", b"end"))
UNPACKED = {"c/x.wav": b"12345" * 1000, "y": b"", "z": b"end"}


def test_what_is_stored_takes_no_tool(tmp_path: Path, no_tools: Any) -> None:
    told = Counts()
    unpack_archive(rar(tmp_path / "a.rar", *GOOD), tmp_path / "out", update=told)
    assert files(tmp_path / "out") == UNPACKED
    assert told[-1] == (5003, 5003)


def test_what_is_packed_takes_one_run_of_a_tool(tmp_path: Path, no_tools: Any) -> None:
    (tmp_path / "bin").mkdir()
    output = b"".join(content for _, content in GOOD)
    no_tools.setattr(rarfile, "UNRAR_TOOL", tool(tmp_path / "bin", output))
    path = rar(tmp_path / "a.rar", *GOOD, method=PACKED)
    unpack_archive(path, tmp_path / "out")
    assert files(tmp_path / "out") == UNPACKED
    calls = (tmp_path / "bin/calls").read_text().splitlines()
    assert calls == [str(["p", "-inul", "-p-", "--", str(path)])]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda output: output[:-1], "'z' is not|holds less than the 3 bytes"),
        (lambda output: output + b"!", "holds more than it says"),
        (lambda output: output.replace(b"5", b"6", 1), r"'c/x\.wav' is not what its check sum"),
        (lambda _: b"", "holds less than the 5000 bytes"),
    ],
)
def test_a_tool_that_fails(tmp_path: Path, no_tools: Any, change: Any, said: str) -> None:
    (tmp_path / "bin").mkdir()
    output = change(b"".join(content for _, content in GOOD))
    no_tools.setattr(rarfile, "UNRAR_TOOL", tool(tmp_path / "bin", output, 3))
    path = rar(tmp_path / "a.rar", *GOOD, method=PACKED)
    with pytest.raises(TaskError, match=rf"({said}).*\(tried with unrar\)"):
        unpack_archive(path, tmp_path / "out")
    assert {path.name for path in tmp_path.iterdir()} == {"a.rar", "bin"}


def test_the_next_tool_is_tried(tmp_path: Path, no_tools: Any) -> None:
    output = b"".join(content for _, content in GOOD)
    for name, hands_over, variable in (
        ("some", output[:-1], "UNRAR_TOOL"),
        ("all", output, "SEVENZIP2_TOOL"),
    ):
        (tmp_path / name).mkdir()
        no_tools.setattr(rarfile, variable, tool(tmp_path / name, hands_over))
    unpack_archive(rar(tmp_path / "a.rar", *GOOD, method=PACKED), tmp_path / "out")
    assert files(tmp_path / "out") == UNPACKED
    assert (tmp_path / "some/calls").exists()


def test_no_tool_at_all(tmp_path: Path, no_tools: Any) -> None:
    path = rar(tmp_path / "a.rar", *GOOD, method=PACKED)
    with pytest.raises(TaskError, match=r"none of unrar, unar, 7z or bsdtar is installed.*by hand"):
        unpack_archive(path, tmp_path / "out")


@pytest.mark.skipif(shutil.which("unar") is None, reason="unar isn't installed")
def test_a_real_tool_hands_all_over_in_a_row(
    tmp_path: Path, no_tools: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_tools.setattr(rarfile, "UNAR_TOOL", "unar")
    no_tools.setattr(rarfile, "RAR_M0", 0)  # so that stored ones go the way of packed ones
    unpack_archive(rar(tmp_path / "a.rar", *GOOD), tmp_path / "out")
    assert files(tmp_path / "out") == UNPACKED


@pytest.mark.parametrize("method", [STORED, PACKED])
def test_bad_members_are_all_named(tmp_path: Path, no_tools: Any, method: int) -> None:
    names = ["good", "../evil", "/etc/evil", "C:/evil", "ln", "dev", "good", "good/below"]
    modes = {"ln": stat.S_IFLNK, "dev": stat.S_IFBLK}
    path = rar(tmp_path / "a.rar", *((n, b"1") for n in names), method=method, modes=modes)
    with pytest.raises(TaskError) as raised:
        unpack_archive(path, tmp_path / "out")
    message = str(raised.value)
    assert "outside the folder (3): '../evil'; '/etc/evil'; 'C:/evil'" in message
    assert "links, devices or the like (2): 'ln'; 'dev'" in message
    assert "members of the same name (1): 'good'" in message
    assert "below a member that is a file (1): 'good/below'" in message
    assert list(tmp_path.iterdir()) == [path]


def test_cut_off_and_damaged(tmp_path: Path, no_tools: Any) -> None:
    path = rar(tmp_path / "a.rar", *GOOD)
    content = path.read_bytes()
    for size in (0, 5, 7, 10, 20, 60, 100, 3000, len(content) - 60, len(content) - 7):
        path.write_bytes(content[:size])
        with pytest.raises(TaskError, match=r"a\.rar can't be unpacked.*cut off"):
            unpack_archive(path, tmp_path / "out")
    path.write_bytes(content.replace(b"12345", b"12346", 1))
    with pytest.raises(TaskError, match="CRC check failed"):
        unpack_archive(path, tmp_path / "out")
    assert list(tmp_path.iterdir()) == [path]


def test_encrypted(tmp_path: Path, no_tools: Any) -> None:
    path = rar(tmp_path / "a.rar", ("x", b"1"), flags=ENCRYPTED)
    with pytest.raises(TaskError, match=r"a\.rar is encrypted; unpack it by hand"):
        unpack_archive(path, tmp_path / "out")


def test_a_bomb_is_refused_before_any_tool_runs(tmp_path: Path, no_tools: Any) -> None:
    path = rar(tmp_path / "a.rar", ("x", b"1"), ("y", b"1"), method=PACKED, declared=4 * 10**9)
    with pytest.raises(TaskError, match=r"unpack to 8 GB or more, over 200 times"):
        unpack_archive(path, tmp_path / "out")
