"""Tasks of the catalog from raw corpora: equal to the reference's, audio bit for bit."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from helpers_golden import GOLDEN_TASKS
from helpers_http import md5_hex, serving

from hearbench.errors import TaskError
from hearbench.tasks.from_corpus import CatalogSource, prepare_from_corpus
from hearbench.tasks.store import load_task
from hearbench.workspace import Workspace

RATES = (16000, 22050, 32000, 44100, 48000)
COMPRESSED = (".webm", ".ogg", ".mp3")


def samples_and_hash(path: Path) -> list[Any]:
    x, rate = soundfile.read(path, dtype="int16")
    assert rate == int(path.parts[-3])
    return [len(x), hashlib.sha256(x.astype("<i2").tobytes()).hexdigest()[:16]]


def same_items(found: list[Any], expected: list[Any], kind: str) -> bool:
    if kind == "scene":
        return found == expected
    return [event["label"] for event in found] == [event["label"] for event in expected] and all(
        abs(one[key] - two[key]) < 1e-6
        for one, two in zip(found, expected, strict=True)
        for key in ("start", "end")
    )


@pytest.mark.parametrize("name", GOLDEN_TASKS)
def test_equal_to_the_reference(name: str, shared: Path, tmp_path: Path) -> None:
    golden = json.loads((shared / f"golden/preparation/{name}.json").read_text())
    workspace = Workspace(tmp_path / "cache", "cpu", 2)
    folders = (shared / "data/corpora", shared / "data/standins")
    synthetic = golden["corpus"] != "official small"
    if synthetic:
        with pytest.raises(TaskError, match="another MD5"):
            prepare_from_corpus(
                name, tmp_path, CatalogSource(folders), mode="small", workspace=workspace
            )
    folder = prepare_from_corpus(
        name,
        tmp_path,
        CatalogSource(folders, trust_corpus=synthetic, sample_rates=RATES),
        mode="small",
        workspace=workspace,
    )
    assert folder == tmp_path / "tasks" / golden["folder"]
    assert (folder / "labelvocabulary.csv").read_text() == golden["labelvocabulary.csv"]
    metadata = json.loads((folder / "task_metadata.json").read_text())
    assert {**metadata, **golden["metadata"]} == metadata
    assert metadata["hearbench"]["corpus"].get("trusted", False) is synthetic
    kind = metadata["embedding_type"]
    for split, files in golden["splits"].items():
        found = json.loads((folder / f"{split}.json").read_text())
        assert list(found) == list(files)
        assert [f for f in files if not same_items(found[f], files[f], kind)] == []
    lossy = compressed_stems(workspace.cache_dir)
    written = {str(path.relative_to(folder)) for path in folder.rglob("*.wav")}
    assert written == {f"{rate}/{key}" for key in golden["audio"] for rate in RATES}
    for key, facts in golden["audio"].items():
        for rate in RATES:
            found = samples_and_hash(folder / str(rate) / key)
            if Path(key).stem in lossy:
                assert abs(found[0] - facts[str(rate)][0]) <= 300
            else:
                assert found == facts[str(rate)], f"{rate}/{key}"
    assert bool(lossy) is (name == "coughvid")
    load_task(folder, workspace=workspace)


def compressed_stems(cache: Path) -> set[str]:
    return {path.stem for path in (cache / "corpora").rglob("*") if path.suffix in COMPRESSED}


def test_free_spoken_digits_as_they_were_recorded(
    shared: Path, tmp_path: Path, workspace: Workspace
) -> None:
    """The original corpus behind a task of TensorFlow Datasets, with names of its own."""
    folder = prepare_from_corpus(
        "spoken_digit", tmp_path, CatalogSource((shared / "data/corpora",)), workspace=workspace
    )
    assert folder.name == "spoken_digit-1.0.9-full"
    metadata = json.loads((folder / "task_metadata.json").read_text())
    assert "official" in " ".join(metadata["hearbench"]["corpus"]["notes"])
    with (shared / "golden/fsdd/clips.csv").open(newline="") as file:
        golden = {
            Path(row["path"]).name: (row["fold"], row["label"]) for row in csv.DictReader(file)
        }
    found = {
        name: (split, labels[0])
        for split, files in load_task(folder, workspace=workspace).splits.items()
        for name, labels in files.items()
    }
    assert found == golden


def small_libricount(folder: Path) -> dict[str, tuple[int, np.ndarray[Any, Any]]]:
    """Forty clips with 0 to 3 speakers, in a folder to be zipped."""
    rng = np.random.default_rng(11)
    made = {}
    for i in range(40):
        x = rng.integers(-9999, 9999, 30000, np.int16)
        made[f"{i % 4}_{i:03d}"] = (i % 4, x)
        folder.mkdir(exist_ok=True, parents=True)
        soundfile.write(folder / f"{i % 4}_{i:03d}.wav", x, 22050, subtype="PCM_16")
        (folder / f"{i % 4}_{i:03d}.json").write_text("{}")
    return made


def test_a_corpus_from_a_mirror(tmp_path: Path) -> None:
    made = small_libricount(tmp_path / "raw/test")
    archive = shutil.make_archive(str(tmp_path / "libricount-train-small"), "zip", tmp_path / "raw")
    data = Path(archive).read_bytes()
    with serving() as source:
        source.files["libricount-train-small.zip"] = data
        workspace = Workspace(tmp_path / "cache", "cpu", 2, mirror=source.url)
        # What the mirror has isn't what the catalog says.
        with pytest.raises(Exception, match=f"{md5_hex(data)}"):
            prepare_from_corpus("libricount", tmp_path, mode="small", workspace=workspace)
    assert not (tmp_path / "tasks").exists()
    folder = prepare_from_corpus(
        "libricount", tmp_path, CatalogSource((tmp_path,), trust_corpus=True), mode="small",
        workspace=Workspace(tmp_path / "cache", "cpu", 2),
    )  # fmt: skip
    assert [path.name for path in folder.iterdir() if path.is_dir()] == ["22050"]
    task = load_task(folder, workspace=Workspace(tmp_path / "cache", "cpu", 2))
    labels = {name: label for files in task.splits.values() for name, (label,) in files.items()}
    assert labels == {f"{stem}.wav": str(count) for stem, (count, _) in made.items()}
    for split in task.splits:
        for path in task.audio_paths(split, 22050):
            x, _ = soundfile.read(path, dtype="int16")
            whole = made[path.stem][1]
            assert np.array_equal(x, np.pad(whole, (0, 44100 - len(whole))))


def test_what_was_made_stays_until_the_corpus_is_another(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "cache", "cpu", 2)

    def make(seed_folder: str) -> Path:
        return prepare_from_corpus(
            "libricount", tmp_path / "out", mode="small", workspace=workspace,
            source=CatalogSource((tmp_path / seed_folder,), trust_corpus=True),
        )  # fmt: skip

    small_libricount(tmp_path / "raw")
    for place in ("one", "two"):
        (tmp_path / place).mkdir()
        name = tmp_path / place / "libricount-train-small"
        shutil.make_archive(str(name), "zip", tmp_path / "raw")
        (tmp_path / "raw/0_000.wav").write_bytes((tmp_path / "raw/0_004.wav").read_bytes())
    folder = make("one")
    times = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert make("one") == folder
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == times
    with pytest.raises(TaskError, match="prepared from other clips"):
        make("two")
