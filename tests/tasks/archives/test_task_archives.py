from __future__ import annotations

import gzip
import io
import tarfile
from pathlib import Path

import pytest
from helpers_tasks import make_scene_task

from hearbench.errors import TaskError
from hearbench.tasks.archives import unpack_archive
from hearbench.tasks.store import load_task
from hearbench.workspace import Workspace


def member(name: str, **more: object) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    for key, value in more.items():
        setattr(info, key, value)
    return info


def pack(path: Path, folder: Path | None, *members: tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        if folder is not None:
            archive.add(folder, arcname=f"hear-2021/tasks/{folder.name}")
        for info in members:
            content = b"evil" if info.isreg() else b""
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


BAD = [
    (member("../evil.txt"), "outside the folder"),
    (member("a/../../evil.txt"), "outside the folder"),
    (member("/tmp/evil.txt"), "outside the folder"),  # noqa: S108
    (member("C:/evil.txt"), "outside the folder"),
    (member("a\\..\\..\\evil.txt"), "outside the folder"),
    (member("link", type=tarfile.SYMTYPE, linkname="/etc"), "links, devices"),
    (member("link", type=tarfile.LNKTYPE, linkname="../x"), "links, devices"),
    (member("device", type=tarfile.CHRTYPE), "links, devices"),
    (member("pipe", type=tarfile.FIFOTYPE), "links, devices"),
]


@pytest.mark.parametrize(("bad", "said"), BAD)
def test_bad_members_are_refused(tmp_path: Path, bad: tarfile.TarInfo, said: str) -> None:
    archive = pack(tmp_path / "a.tar.gz", None, member("good.txt"), bad)
    with pytest.raises(TaskError, match=said) as raised:
        unpack_archive(archive, tmp_path / "deep/er/out")
    assert repr(bad.name) in str(raised.value)
    assert {path.name for path in tmp_path.rglob("*")} == {"a.tar.gz", "deep", "er"}


def test_good_members_are_unpacked(tmp_path: Path) -> None:
    folder = make_scene_task(tmp_path)
    unpack_archive(pack(tmp_path / "a.tar.gz", folder), tmp_path / "out")
    out = tmp_path / "out/hear-2021/tasks" / folder.name
    names = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    assert sorted(path.relative_to(out) for path in out.rglob("*") if path.is_file()) == names
    assert all((out / name).read_bytes() == (folder / name).read_bytes() for name in names)


def test_all_is_said_at_once(tmp_path: Path, workspace: Workspace) -> None:
    folder = make_scene_task(tmp_path)
    (folder / "labelvocabulary.csv").unlink()
    (folder / "16000/test/test-a-0.wav").unlink()
    archive = pack(tmp_path / "a.tar.gz", folder, *(bad for bad, _ in BAD))
    with pytest.raises(TaskError) as raised:
        load_task(archive, workspace=workspace)
    message = str(raised.value)
    for said in (
        "outside the folder (5)",
        "devices or the like (4)",
        "labelvocabulary",
        "test-a-0",
    ):
        assert said in message
    assert not list(workspace.cache_dir.glob("unpacked/*"))


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
def test_an_archive_that_was_cut_off(tmp_path: Path, workspace: Workspace, share: float) -> None:
    archive = pack(tmp_path / "a.tar.gz", make_scene_task(tmp_path))
    content = archive.read_bytes()
    archive.write_bytes(content[: int(share * len(content))])
    with pytest.raises(TaskError, match=r"a\.tar\.gz.*cut off"):
        load_task(archive, workspace=workspace)
    archive.write_bytes(content)
    assert load_task(archive, workspace=workspace).name == "tones-1.0.0-full"


@pytest.mark.parametrize(
    "content",
    [b"text", gzip.compress(b"no tar" * 200), b"\x1f\x8b" * 40],
    ids=["text", "no-tar", "no-gzip"],
)
def test_no_archive_at_all(tmp_path: Path, workspace: Workspace, content: bytes) -> None:
    (tmp_path / "a.tar.gz").write_bytes(content)
    with pytest.raises(TaskError, match=r"a\.tar\.gz can't be unpacked"):
        load_task(tmp_path / "a.tar.gz", workspace=workspace)


def test_an_archive_is_unpacked_once(tmp_path: Path, workspace: Workspace) -> None:
    archive = pack(tmp_path / "a.tar.gz", make_scene_task(tmp_path))
    first = load_task(archive, workspace=workspace)
    inode = first.folder.stat().st_ino
    second = load_task(archive, workspace=workspace)
    assert second.folder == first.folder
    assert second.folder.stat().st_ino == inode
    assert workspace.cache_dir in first.folder.parents
    # another content under the same name is another task
    pack(archive, make_scene_task(tmp_path / "other", labels=("x", "y")))
    assert load_task(archive, workspace=workspace).vocabulary == ("x", "y")


@pytest.mark.parametrize(
    ("name", "rate", "clips", "vocabulary"),
    [
        ("hear-2021.0.6-spoken_digit-1.0.9-small-44100", 44100, 100, tuple("0123456789")),
        (
            "hear-2021.1.1-beijing_opera-v1.0-hear2021-small-16000",
            16000,
            20,
            ("bangu", "daluo", "naobo", "xiaoluo"),
        ),
        (
            "hear-2021.1.1-gunshot_triangulation-v1.0-small-16000",
            16000,
            40,
            ("mic1", "mic2", "mic3", "mic4"),
        ),
    ],
)
def test_official_archives_load_as_they_are(
    shared: Path,
    workspace: Workspace,
    name: str,
    rate: int,
    clips: int,
    vocabulary: tuple[str, ...],
) -> None:
    task = load_task(shared / "data/archives" / f"{name}.tar.gz", workspace=workspace)
    assert task.sample_rates == (rate,)
    assert task.vocabulary == vocabulary
    assert sum(len(files) for files in task.splits.values()) == clips
    for split in task.splits:
        targets = task.targets(split)
        assert targets.sum(axis=1).tolist() == [1] * len(targets)
    assert len(task.folds()) == len(task.splits)
