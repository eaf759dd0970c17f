from __future__ import annotations

import io
import json
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from helpers_http import Source, md5_hex, serving
from helpers_progress import Noted, noting

from hearbench.errors import DownloadError, HearError, TaskError
from hearbench.tasks.catalog import TaskSpec, get_spec
from hearbench.tasks.from_corpus import obtain_corpus
from hearbench.workspace import Workspace


@pytest.fixture
def source() -> Iterator[Source]:
    with serving() as found:
        yield found


def wav(value: int) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, np.full(100, value, np.int16), 8000, format="WAV", subtype="PCM_16")
    return file.getvalue()


def zipped(**files: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in files.items():
            archive.writestr(f"top/{name}.wav", data)
    return file.getvalue()


def spec(downloads: list[dict[str, Any]], **more: Any) -> TaskSpec:
    return TaskSpec.model_validate(
        {
            "name": "t", "version": "1", "title": "T", "about": "A test.", "domain": "music",
            "embedding_type": "scene", "prediction_type": "multiclass",
            "split_mode": "trainvaltest", "sample_duration_s": 1.0, "scores": ["top1_acc"],
            "default_mode": "full", "corpus": "esc50", "homepage": "https://example.org",
            "licence": "CC0", "downloads": downloads, "modes": {"full": {}}, **more,
        }
    )  # fmt: skip


A, B = zipped(a=wav(1), b=wav(2)), zipped(c=wav(3))


def two(md5_a: str | None = None) -> TaskSpec:
    place = "https://example.org/files"
    return spec(
        [
            {"split": "train", "url": f"{place}/a.zip?download=1", "md5": md5_a or md5_hex(A)},
            {"split": "test", "url": f"{place}/b.zip", "md5": md5_hex(B)},
        ]
    )


def mirrored(workspace: Workspace, source: Source) -> Workspace:
    return Workspace(workspace.cache_dir, "cpu", 2, mirror=source.url)


def test_files_come_from_the_users_folders(tmp_path: Path, workspace: Workspace) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    (tmp_path / "one/a.zip").write_bytes(A)
    (tmp_path / "two/b.zip").write_bytes(B)
    found = obtain_corpus(
        two(), "full", corpus_dirs=[tmp_path / "one", tmp_path / "two"], workspace=workspace
    )
    names = sorted(path.name for path in found.corpus.folder("train").rglob("*.wav"))
    assert names == ["a.wav", "b.wav"]
    assert (found.corpus.folder("test") / "top/c.wav").read_bytes() == wav(3)
    assert found.origin().record == {
        "corpus": {
            "files": [
                {"name": "a.zip", "md5": md5_hex(A)},
                {"name": "b.zip", "md5": md5_hex(B)},
            ]
        }
    }
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == ["a.zip"]


def test_what_is_missing_is_downloaded_once(
    tmp_path: Path, workspace: Workspace, source: Source
) -> None:
    (tmp_path / "a.zip").write_bytes(A)
    source.files["b.zip"] = B
    told = Noted()
    for _ in range(2):
        found = obtain_corpus(
            two(),
            "full",
            corpus_dirs=[tmp_path],
            workspace=noting(mirrored(workspace, source), told),
        )
        assert (found.corpus.folder("test") / "top/c.wav").read_bytes() == wav(3)
    assert [asked.name for asked in source.asked] == ["b.zip"]
    assert ("downloading b.zip", len(B), len(B), "") in told.states
    # Unpacked once each.
    assert len(told.opened) == len(set(told.opened)) == 3


def test_other_files_are_refused_unless_trusted(tmp_path: Path, workspace: Workspace) -> None:
    wrong = zipped(a=wav(9), b=wav(9))
    (tmp_path / "a.zip").write_bytes(wrong)
    (tmp_path / "b.zip").write_bytes(B)
    with pytest.raises(TaskError, match="another MD5") as caught:
        obtain_corpus(two(), "full", corpus_dirs=[tmp_path], workspace=workspace)
    for part in (str(tmp_path / "a.zip"), md5_hex(wrong), md5_hex(A), "--trust-corpus"):
        assert part in str(caught.value)
    assert "b.zip" not in str(caught.value)
    found = obtain_corpus(
        two(), "full", corpus_dirs=[tmp_path], trust_corpus=True, workspace=workspace
    )
    record = found.origin().record["corpus"]
    assert record["trusted"] is True
    assert record["files"] == [
        {"name": "a.zip", "md5": md5_hex(wrong), "official_md5": md5_hex(A)},
        {"name": "b.zip", "md5": md5_hex(B)},
    ]
    # It isn't taken for the right one afterwards.
    (tmp_path / "a.zip").write_bytes(A)
    again = obtain_corpus(two(), "full", corpus_dirs=[tmp_path], workspace=workspace)
    assert (again.corpus.folder("train") / "top/a.wav").read_bytes() == wav(1)
    assert again.origin().digest != found.origin().digest


def test_a_wrong_download_is_never_trusted(
    tmp_path: Path, workspace: Workspace, source: Source
) -> None:
    source.files.update({"a.zip": B, "b.zip": B})
    with pytest.raises(DownloadError, match=r"a\.zip"):
        obtain_corpus(two(), "full", trust_corpus=True, workspace=mirrored(workspace, source))
    assert not (workspace.cache_dir / "corpora").exists()


def test_plain_files_and_split_archives(tmp_path: Path, workspace: Workspace) -> None:
    downloads = [
        {"split": "train", "url": f"https://example.org/mic{i}.wav", "md5": md5_hex(wav(i))}
        for i in (1, 2)
    ]
    for i in (1, 2):
        (tmp_path / f"mic{i}.wav").write_bytes(wav(i))
    found = obtain_corpus(spec(downloads), "full", corpus_dirs=[tmp_path], workspace=workspace)
    for i, part in enumerate(found.corpus.parts, start=1):
        # Each has a folder of its own, away from what else lies beside it.
        assert [path.name for path in part.folder.iterdir()] == [f"mic{i}.wav"]
        assert (part.folder / f"mic{i}.wav").read_bytes() == wav(i)


def test_what_is_no_file_is_named(tmp_path: Path, workspace: Workspace) -> None:
    (tmp_path / "a.zip").mkdir()
    (tmp_path / "b.zip").symlink_to(tmp_path / "gone")
    with pytest.raises(TaskError) as caught:
        obtain_corpus(two(), "full", corpus_dirs=[tmp_path], workspace=workspace)
    assert f"{tmp_path / 'a.zip'} is a folder" in str(caught.value)
    assert f"{tmp_path / 'b.zip'} is no file" in str(caught.value)


def test_a_folder_that_is_not_there(tmp_path: Path, workspace: Workspace) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(TaskError, match="file is a file, not a folder"):
        obtain_corpus(two(), "full", corpus_dirs=[tmp_path / "file"], workspace=workspace)
    with pytest.raises(TaskError, match="gone is not there"):
        obtain_corpus(two(), "full", corpus_dirs=[tmp_path / "gone"], workspace=workspace)


def export(folder: Path, split: str, count: int = 2) -> None:
    (folder / "audio").mkdir(parents=True, exist_ok=True)
    lines = ["filename,label"]
    for i in range(count):
        name = f"tfds_id_crema-d-{split}-{i}.wav"
        (folder / "audio" / name).write_bytes(wav(i))
        lines.append(f"{name},ANG")
    (folder / f"{split}_labels.csv").write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize("layout", ["together", "by split", "below the name", "archives"])
def test_exports_of_tensorflow_datasets(tmp_path: Path, workspace: Workspace, layout: str) -> None:
    task = get_spec("tfds_crema_d")
    for split in ("train", "valid", "test"):
        if layout == "together":
            export(tmp_path, split)
        elif layout == "by split":
            export(tmp_path / split, split)
        elif layout == "below the name":
            export(tmp_path / "crema_d", split)
        else:
            export(tmp_path / "made" / split, split)
            with tarfile.open(tmp_path / f"crema_d-{split}.tar.gz", "w:gz") as archive:
                archive.add(tmp_path / "made" / split, ".")
    found = obtain_corpus(task, "full", corpus_dirs=[tmp_path], workspace=workspace)
    labels = sorted(
        path.name for part in found.corpus.parts for path in part.folder.rglob("*_labels.csv")
    )
    assert labels == ["test_labels.csv", "train_labels.csv", "valid_labels.csv"]
    assert (found.origin().digest is None) == (layout != "archives")


def test_originals_behind_tensorflow_datasets(tmp_path: Path, workspace: Workspace) -> None:
    task = get_spec("spoken_digit")
    with pytest.raises(TaskError, match=r"spoken_digit-train\.zip.*recordings.*Looked in"):
        obtain_corpus(task, "full", corpus_dirs=[tmp_path], workspace=workspace)
    with pytest.raises(TaskError, match="no folder was named"):
        obtain_corpus(task, "full", workspace=workspace)
    recordings = tmp_path / "recordings"
    recordings.mkdir()
    (recordings / "7_ann_0.wav").write_bytes(wav(1))
    for named in (tmp_path, recordings):
        found = obtain_corpus(task, "full", corpus_dirs=[named], workspace=workspace)
        assert [part.folder for part in found.corpus.parts] == [recordings]


@pytest.mark.parametrize("member", ["../out.wav", "/out.wav"])
def test_a_bad_archive_is_refused(tmp_path: Path, workspace: Workspace, member: str) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(member, wav(1))
    (tmp_path / "a.zip").write_bytes(file.getvalue())
    (tmp_path / "b.zip").write_bytes(B)
    with pytest.raises(HearError, match=r"a\.zip"):
        obtain_corpus(
            two(md5_hex(file.getvalue())), "full", corpus_dirs=[tmp_path], workspace=workspace
        )
    assert list(workspace.cache_dir.rglob("*.wav")) == []
    assert json.dumps(sorted(path.name for path in tmp_path.iterdir())) == json.dumps(
        sorted(["a.zip", "b.zip", "cache"])
    )
