from __future__ import annotations

import random
import shutil
import struct
import subprocess
import zlib
from collections.abc import Sequence
from pathlib import Path

import pytest
from helpers_progress import Counts

from hearbench.errors import TaskError
from hearbench.tasks.archives import unpack_archive, unpack_split_zip
from hearbench.tasks.archives import zip as split_zip

ZIP = shutil.which("zip")
noise = random.Random(1).randbytes
CONTENT = {
    "c/a.wav": noise(1500),
    "c/b.wav": noise(90),
    "c/d/long.wav": noise(4000),
    "c/empty": b"",
    "c/größe.txt": b"x" * 700,
}


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def split(folder: Path, part_bytes: int, *, wide: bool = False, stem: str = "x") -> list[Path]:
    """Writes CONTENT, stored, as a split zip: whatever doesn't fit a part goes into the next.

    ``wide`` ones have each number that may have 64 bits (or the part's 32) in that form.
    """
    stream = bytearray(b"PK\x07\x08")
    entries = []
    for name, content in CONTENT.items():
        raw = name.encode()
        place = divmod(len(stream), part_bytes)
        sizes = (zlib.crc32(content), len(content), len(content))
        stream += struct.pack("<4s5H3L2H", b"PK\3\4", 45, 0x800, 0, 0, 33, *sizes, len(raw), 0)
        stream += raw + content
        entries.append((raw, sizes, place))
    begin = divmod(len(stream), part_bytes)
    directory = bytearray()
    for raw, (crc, packed, size), (part, offset) in entries:
        other = struct.pack("<2HB", 0x5455, 1, 0)
        extra = other
        if wide:
            extra += struct.pack("<2H3QL", 1, 28, size, packed, offset, part)
            packed = size = offset = 0xFFFFFFFF
            part = 0xFFFF
        directory += struct.pack("<4s6H", b"PK\1\2", 45, 45, 0x800, 0, 0, 33)
        directory += struct.pack("<3L3H", crc, packed, size, len(raw), len(extra), 2)
        directory += struct.pack("<2H2L", part, 0, 0, offset) + raw + extra + b"hi"
    stream += directory
    # The end record is never split.
    end_bytes = 22 + (76 if wide else 0)
    if part_bytes - len(stream) % part_bytes < end_bytes:
        stream += bytes(part_bytes - len(stream) % part_bytes)
    last = len(stream) // part_bytes
    n = len(entries)
    if wide:
        at = len(stream) % part_bytes
        numbers = (last, begin[0], n, n, len(directory), begin[1])
        stream += struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, *numbers)
        stream += struct.pack("<4sLQL", b"PK\6\7", last, at, last + 1)
        stream += struct.pack("<4s4H2LH", b"PK\5\6", *[0xFFFF] * 4, *[0xFFFFFFFF] * 2, 0)
    else:
        numbers = (last, begin[0], n, n, len(directory), begin[1])
        stream += struct.pack("<4s4H2LH", b"PK\5\6", *numbers, 0)
    paths = []
    for number in range(last + 1):
        ending = "zip" if number == last else f"z{number + 1:02d}"
        paths.append(folder / f"{stem}.{ending}")
        paths[-1].write_bytes(stream[number * part_bytes : (number + 1) * part_bytes])
    return paths


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("part_bytes", [150, 997, 2000, 100_000])
def test_parts_in_any_order_and_folder(tmp_path: Path, part_bytes: int, wide: bool) -> None:
    parts = split(tmp_path, part_bytes, wide=wide)
    assert len(parts) == 1 or part_bytes < 100_000
    (tmp_path / "other").mkdir()
    parts[0] = parts[0].rename(tmp_path / "other" / parts[0].name)
    told = Counts()
    random.Random(0).shuffle(parts)
    unpack_split_zip(parts, tmp_path / "out", update=told)
    assert files(tmp_path / "out") == CONTENT
    total = sum(map(len, CONTENT.values()))
    assert told[-1] == (total, total)
    assert sorted(told) == told


def test_the_last_part_stands_for_all_beside_it(tmp_path: Path) -> None:
    split(tmp_path, 2000, stem="other")
    parts = split(tmp_path, 1000)
    unpack_archive(tmp_path / "x.zip", tmp_path / "out")
    assert files(tmp_path / "out") == CONTENT
    parts[1].unlink()
    with pytest.raises(TaskError, match=r"isn't complete: there is no x\.z02\. It takes all"):
        unpack_archive(tmp_path / "x.zip", tmp_path / "out2")


def without(parts: Sequence[Path], *names: str) -> list[Path]:
    return [path for path in parts if path.name not in names]


def test_parts_that_do_not_make_up_one(tmp_path: Path) -> None:
    parts = split(tmp_path, 1000)
    assert len(parts) == 6 + 1
    cases = {
        r"there is no x\.z02, x\.z05\. It takes all": without(parts, "x.z02", "x.z05"),
        # the last numbered one, of which only the end record knows
        r"there is no x\.z06\. It takes all": without(parts, "x.z06"),
        r"there is no x\.zip\. It takes all": without(parts, "x.zip"),
        r"same part twice: .*x\.z01 and .*x\.z01": [*parts, parts[0]],
        r"parts of 2 split zips": [*parts[:-1], tmp_path / "y.zip"],
        r"x\.wav is no part of a split zip": [*parts, tmp_path / "x.wav"],
        r"No part of a split zip": [],
        r"last of 7 parts, but 8 are given": [*parts, tmp_path / "x.z07"],
    }
    (tmp_path / "x.z07").write_bytes(b"more")
    for said, given in cases.items():
        with pytest.raises(TaskError, match=said):
            unpack_split_zip(given, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_damaged_or_cut_off_part_is_named(tmp_path: Path) -> None:
    parts = split(tmp_path, 1000)
    whole = [path.read_bytes() for path in parts]
    parts[3].write_bytes(whole[3][:500] + bytes([whole[3][500] ^ 1]) + whole[3][501:])
    with pytest.raises(TaskError, match=r"'c/d/long\.wav' \(in x\.z02, .*x\.z04.*\): Bad CRC-32"):
        unpack_split_zip(parts, tmp_path / "out")
    parts[3].write_bytes(whole[3][:-1])
    with pytest.raises(TaskError, match=r"'c/d/long\.wav' \(in x\.z02, .*x\.z04.*cut off"):
        unpack_split_zip(parts, tmp_path / "out")
    parts[3].write_bytes(whole[3])
    parts[-1].write_bytes(whole[-1][:-5])
    with pytest.raises(TaskError, match=r"x\.zip can't be unpacked: it has no end record"):
        unpack_split_zip(parts, tmp_path / "out")
    parts[-1].write_bytes(whole[-1])
    parts[5].write_bytes(b"")
    with pytest.raises(
        TaskError, match=r"x\.zip can't be unpacked: its directory points beyond part 6"
    ):
        unpack_split_zip(parts, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_numbered_part_alone_is_no_zip(tmp_path: Path) -> None:
    split(tmp_path, 1000)
    with pytest.raises(TaskError, match="can't be unpacked"):
        unpack_archive(tmp_path / "x.z01", tmp_path / "out")


def test_members_are_looked_at_as_in_any_zip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(CONTENT, "../evil", b"1")
    with pytest.raises(TaskError, match=r"outside the folder \(1\): '\.\./evil'"):
        unpack_split_zip(split(tmp_path, 1000), tmp_path / "out")
    assert not (tmp_path / "evil").exists()


def test_parts_beyond_4_gib_are_read_where_they_lie(tmp_path: Path) -> None:
    """Parts with holes: 6 GB that take no room; the last member lies behind them."""
    hole = 3_000_000_000
    content = noise(1000)
    paths = [tmp_path / "x.z01", tmp_path / "x.z02", tmp_path / "x.zip"]
    for path in paths[:2]:
        with path.open("wb") as file:
            file.truncate(hole)
    sizes = (zlib.crc32(content), len(content), len(content))
    local = struct.pack("<4s5H3L2H", b"PK\3\4", 45, 0, 0, 0, 33, *sizes, 5, 0) + b"x.wav"
    entry = struct.pack("<4s6H3L", b"PK\1\2", 45, 45, 0, 0, 0, 33, *sizes)
    entry += struct.pack("<5H2L", 5, 0, 0, 1, 0, 0, hole - 600) + b"x.wav"
    with paths[1].open("r+b") as file:
        file.seek(hole - 600)
        file.write((local + content)[:600])
    rest = (local + content)[600:]
    end = struct.pack("<4s4H2LH", b"PK\5\6", 2, 2, 1, 1, len(entry), len(rest), 0)
    paths[2].write_bytes(rest + entry + end)
    unpack_split_zip(paths, tmp_path / "out")
    assert files(tmp_path / "out") == {"x.wav": content}


def test_one_part_is_open_at_a_time(tmp_path: Path) -> None:
    parts = split(tmp_path, 150)
    assert len(parts) > 40
    open_files = Path("/proc/self/fd")
    if not open_files.is_dir():
        pytest.skip("no /proc")
    before = len(list(open_files.iterdir()))
    most = 0

    def count(done: int, total: int | None = None, text: str = "") -> None:
        nonlocal most
        most = max(most, len(list(open_files.iterdir())))

    unpack_split_zip(parts, tmp_path / "out", update=count)
    assert most - before <= 3
    assert len(list(open_files.iterdir())) == before


def test_a_hundred_parts_go_by_number(tmp_path: Path) -> None:
    names = [f"x.z{number:02d}" for number in range(1, 102)] + ["x.ZIP"]
    paths = [tmp_path / name for name in names]
    assert split_zip.order_parts(sorted(paths)) == paths


@pytest.mark.skipif(ZIP is None, reason="Info-ZIP's zip isn't installed")
@pytest.mark.parametrize("level", ["-0", "-6"])
def test_what_zip_itself_splits(tmp_path: Path, level: str) -> None:
    content = {f"c/{i}.bin": noise(10_000 + 3000 * i) for i in range(25)}
    content["c/größe.txt"] = b"text " * 30_000
    for name, data in content.items():
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_bytes(data)
    command = [str(ZIP), level, "-q", "-r", "-s", "64k", str(tmp_path / "x.zip"), "c"]
    subprocess.run(command, cwd=tmp_path / "in", check=True, timeout=300)
    parts = list(tmp_path.glob("x.*"))
    assert len(parts) > 15
    unpack_split_zip(parts, tmp_path / "out")
    assert files(tmp_path / "out") == content
