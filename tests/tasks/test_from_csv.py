from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
import threading
import time
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import soxr
from helpers_progress import Noted, noting
from helpers_tasks import write_wav

from hearbench.audio.encode import write_wav16
from hearbench.errors import TaskError
from hearbench.tasks import prepare
from hearbench.tasks.from_csv import prepare_from_csv
from hearbench.tasks.own_recipe import OwnTask
from hearbench.tasks.store import load_task
from hearbench.workspace import Workspace

LABELS = ("cat", "dog", "owl")


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """60 short clips of 22.05 kHz and a list of them."""
    rng = np.random.default_rng(0)
    lines = ["path,label"]
    for i in range(60):
        length = 2000 + 10 * i
        x = rng.integers(-20000, 20000, length).astype(np.int16)
        write_wav(tmp_path / f"audio/c{i:02d}.wav", x, 22050)
        lines.append(f"c{i:02d}.wav,{LABELS[i // 20]}")
    (tmp_path / "clips.csv").write_text("\n".join(lines) + "\n")
    return tmp_path


def make(corpus: Path, workspace: Workspace, **more: Any) -> Path:
    task = OwnTask("pets", **{"duration_s": 0.1, "sample_rates": (16000,), **more})
    return prepare_from_csv(
        corpus / "clips.csv", corpus / "audio", task, corpus / "out", workspace=workspace
    )


def content(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_task_in_the_official_layout(corpus: Path, workspace: Workspace) -> None:
    folder = make(corpus, workspace, sample_rates=(16000, 22050))
    assert folder == corpus / "out/tasks/pets-1.0.0-full"
    metadata = json.loads((folder / "task_metadata.json").read_text())
    del metadata["hearbench"]
    assert metadata == {
        "task_name": "pets",
        "version": "1.0.0",
        "embedding_type": "scene",
        "prediction_type": "multiclass",
        "split_mode": "trainvaltest",
        "sample_duration": 0.1,
        "evaluation": ["top1_acc", "mAP", "d_prime", "aucroc"],
        "mode": "full",
        "splits": ["train", "valid", "test"],
    }
    assert (folder / "labelvocabulary.csv").read_bytes() == b"idx,label\n0,cat\n1,dog\n2,owl\n"
    assert sorted(path.name for path in folder.iterdir()) == [
        "16000",
        "22050",
        "labelvocabulary.csv",
        "task_metadata.json",
        "test.json",
        "train.json",
        "valid.json",
    ]
    task = load_task(folder, workspace=workspace)
    assert {split: len(files) for split, files in task.splits.items()} == {
        "train": 48,
        "valid": 6,
        "test": 6,
    }
    for path in task.audio_paths("test", 22050):
        source, _ = soundfile.read(corpus / "audio" / path.name, dtype="int16")
        expected = np.pad(source, (0, 2205))[:2205]
        x, rate = soundfile.read(path, dtype="int16")
        assert rate == 22050
        np.testing.assert_array_equal(x, expected)
        y, rate = soundfile.read(folder / "16000/test" / path.name, dtype="int16")
        resampled = np.rint(soxr.resample(expected.astype(float), 22050, 16000, quality="HQ"))
        np.testing.assert_array_equal(y, np.clip(resampled, -32768, 32767))
        assert len(y) == 1600


def test_without_a_duration_the_clips_keep_their_lengths(
    corpus: Path, workspace: Workspace
) -> None:
    task = load_task(
        make(corpus, workspace, duration_s=None, sample_rates=(22050,)), workspace=workspace
    )
    assert task.metadata.sample_duration is None
    for split in task.splits:
        for path in task.audio_paths(split, 22050):
            assert soundfile.info(path).frames == 2000 + 10 * int(path.stem[1:])


def test_new_folds(corpus: Path, workspace: Workspace) -> None:
    folder = make(corpus, workspace, split_mode="new_split_kfold", nfolds=4)
    task = load_task(folder, workspace=workspace)
    assert task.metadata.nfolds == 4
    assert [len(files) for files in task.splits.values()] == [15, 15, 15, 15]
    assert all(task.targets(split).any(axis=0).all() for split in task.splits)


def edit(corpus: Path, old: str, new: str) -> None:
    path = corpus / "clips.csv"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_several_labels_make_it_multilabel(corpus: Path, workspace: Workspace) -> None:
    edit(corpus, "c00.wav,cat\n", "c00.wav,owl\nc00.wav,cat\n")
    edit(corpus, "c01.wav,cat\n", "c01.wav,\n")
    task = load_task(make(corpus, workspace), workspace=workspace)
    assert task.metadata.prediction_type == "multilabel"
    assert task.metadata.evaluation == ("mAP", "d_prime", "aucroc", "top1_acc")
    labels = {name: held for files in task.splits.values() for name, held in files.items()}
    assert set(labels["c00.wav"]) == {"cat", "owl"}
    assert labels["c01.wav"] == ()


def test_events(corpus: Path, workspace: Workspace) -> None:
    lines = ["path,label,split,start_ms,end_ms"]
    for i in range(30):
        split = ("train", "valid", "test")[i % 3]
        lines.append(f"c{i:02d}.wav,{60 + i % 2},{split},10,50.25")
        lines.append(f"c{i:02d}.wav,{60 + i % 2},{split},80,150")
    lines.append("c30.wav,,train,,")
    (corpus / "clips.csv").write_text("\n".join(lines))
    folder = make(corpus, workspace)
    task = load_task(folder, workspace=workspace)
    assert task.kind == "event"
    assert task.metadata.evaluation == ("event_onset_200ms_fms", "segment_1s_er")
    assert task.vocabulary == ("60", "61")
    assert task.splits["train"]["c30.wav"] == ()
    written: list[dict[str, Any]] = json.loads((folder / "valid.json").read_text())["c01.wav"]
    assert sorted(written, key=lambda event: str(event["start"])) == [
        {"label": 61, "start": 10.0, "end": 50.25},
        {"label": 61, "start": 80.0, "end": 100.0},
    ]


def test_a_split_whose_events_are_all_cut_off(corpus: Path, workspace: Workspace) -> None:
    lines = ["path,label,split,start_ms,end_ms"]
    for i in range(30):
        split = ("train", "valid", "test")[i % 3]
        lines.append(f"c{i:02d}.wav,a,{split},{60 if split == 'test' else 10},80")
    (corpus / "clips.csv").write_text("\n".join(lines))
    with pytest.raises(TaskError, match=r"after 0\.05 s, test would be empty"):
        make(corpus, workspace, duration_s=0.05)
    with pytest.raises(TaskError, match=r"after 0\.005 s, test, train, valid would be empty"):
        make(corpus, workspace, duration_s=0.005, sample_rates=())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"scores": ["top1acc"]}, "no score named 'top1acc'. Did you mean 'top1_acc'"),
        ({"scores": ["segment_1s_er"]}, "'segment_1s_er' doesn't fit a task of kind 'scene'"),
        ({"scores": ["mAP", "mAP"]}, "'mAP' is named twice"),
        ({"duration_s": 0}, "positive number of seconds, not 0"),
        ({"duration_s": float("nan")}, "positive number of seconds, not nan"),
        ({"sample_rates": [0]}, "sample rate must be a whole number in .*not 0"),
        ({"sample_rates": [16000.5]}, "whole number in 100 to 768000 Hz, not 16000.5"),
        ({"sample_rates": ["16000"], "duration_s": 1}, "whole number in .* Hz, not 16000"),
        ({"version": "1/0"}, "the version '1/0' can't be part"),
        ({"split_mode": "new_split_kfold", "nfolds": 2}, "at least 3 folds"),
        ({"split_mode": "presplit_kfold"}, "need a column 'fold'"),
        ({"split_mode": "new_split_kfold", "nfolds": 30}, r"'cat' \(20\)"),
    ],
)
def test_settings_that_cannot_be(
    corpus: Path, workspace: Workspace, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(TaskError, match=said):
        make(corpus, workspace, **options)
    assert not (corpus / "out").exists()


def test_the_list_and_the_wish_must_agree(corpus: Path, workspace: Workspace) -> None:
    (corpus / "clips.csv").write_text("path,label,fold\nc00.wav,cat,0\n")
    with pytest.raises(TaskError, match="column 'fold', which makes it presplit_kfold"):
        make(corpus, workspace, split_mode="trainvaltest")


def test_a_finished_run_again_changes_nothing(
    corpus: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make(corpus, workspace)
    before = content(folder)
    with monkeypatch.context() as patched:
        patched.setattr(prepare, "read_mono16", None)  # nothing is decoded
        make(corpus, workspace)
    assert content(folder) == before
    # the same from copies of the files, and without the memory of their digests
    shutil.copytree(corpus / "audio", corpus / "copy")
    shutil.rmtree(workspace.cache_dir)
    prepare_from_csv(
        corpus / "clips.csv",
        corpus / "copy",
        OwnTask("pets", duration_s=0.1, sample_rates=(16000,)),
        corpus / "out",
        workspace=workspace,
    )
    assert content(folder) == before
    # what went missing is made again
    next(folder.rglob("*.wav")).unlink()
    make(corpus, workspace)
    assert content(folder) == before


def test_other_inputs_never_overwrite_a_task(corpus: Path, workspace: Workspace) -> None:
    folder = make(corpus, workspace)
    before = content(folder)
    with pytest.raises(TaskError, match="prepared from other clips or with other settings"):
        make(corpus, workspace, duration_s=0.2)
    write_wav(corpus / "audio/c00.wav", np.ones(99, np.int16), 22050)
    with pytest.raises(TaskError, match="prepared from other clips or with other settings"):
        make(corpus, workspace)
    assert content(folder) == before


def test_a_folder_of_something_else_is_left_alone(corpus: Path, workspace: Workspace) -> None:
    folder = corpus / "out/tasks/pets-1.0.0-full"
    folder.mkdir(parents=True)
    (folder / "thesis.txt").write_text("mine")
    with pytest.raises(TaskError, match="not empty, and not a preparation"):
        make(corpus, workspace)
    assert (folder / "thesis.txt").read_text() == "mine"


def interrupt_after(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    lock, seen = threading.Lock(), 0

    def write(path: Path, x: Any, rate: int, **how: Any) -> None:
        nonlocal seen
        with lock:
            seen += 1
            if seen > count:
                raise KeyboardInterrupt
        write_wav16(path, x, rate, **how)

    monkeypatch.setattr(prepare, "write_wav16", write)


def test_an_interrupted_run_is_finished_by_the_next(
    corpus: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    whole = content(make(corpus, workspace))
    folder = corpus / "out/tasks/pets-1.0.0-full"
    shutil.rmtree(folder)
    with monkeypatch.context() as patched:
        interrupt_after(20, patched)
        with pytest.raises(KeyboardInterrupt):
            make(corpus, workspace)
    made = {path: path.stat().st_mtime_ns for path in folder.rglob("*.wav")}
    assert len(made) == 20
    with pytest.raises(TaskError, match="never finished; run the same"):
        load_task(folder, workspace=workspace)
    (folder / "16000/train/.tmp-left").write_text("by a process that was killed")
    make(corpus, workspace)
    assert content(folder) == whole
    assert all(path.stat().st_mtime_ns == time for path, time in made.items())


def test_killed_runs_are_finished_by_the_next(corpus: Path, workspace: Workspace) -> None:
    whole = content(make(corpus, workspace))
    folder = corpus / "out/tasks/pets-1.0.0-full"
    shutil.rmtree(folder)
    program = (
        "import sys; from pathlib import Path; from hearbench.workspace import Workspace\n"
        "from hearbench.tasks import OwnTask, prepare_from_csv\n"
        "root = Path(sys.argv[1]); s = Workspace(root / 'cache', 'cpu', 2)\n"
        "task = OwnTask('pets', duration_s=0.1, sample_rates=(16000,))\n"
        "prepare_from_csv(root / 'clips.csv', root / 'audio', task, root / 'out', workspace=s)\n"
    )
    for count in (1, 25, 50):
        process = subprocess.Popen([sys.executable, "-c", program, str(corpus)])
        until = time.monotonic() + 240
        while process.poll() is None and time.monotonic() < until:
            if len(list(folder.rglob("*.wav"))) >= count:
                process.kill()
        process.wait()
    make(corpus, workspace)
    assert content(folder) == whole


def test_an_unfinished_run_gives_way_to_other_inputs(
    corpus: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        interrupt_after(20, patched)
        with pytest.raises(KeyboardInterrupt):
            make(corpus, workspace)
    folder = make(corpus, workspace, duration_s=0.05)
    task = load_task(folder, workspace=workspace)
    lengths = Counter(
        soundfile.info(path).frames
        for split in task.splits
        for path in task.audio_paths(split, 16000)
    )
    # 0.05 s at 22.05 kHz are 1103 samples (1102.5 and a half), which make 800 at 16 kHz
    assert lengths == {800: 60}


def test_all_corrupt_clips_are_named(corpus: Path, workspace: Workspace) -> None:
    (corpus / "audio/c03.wav").write_bytes(b"")
    (corpus / "audio/c07.wav").write_bytes(b"RIFF and nothing else")
    good = (corpus / "audio/c11.wav").read_bytes()
    (corpus / "audio/c11.wav").write_bytes(good[:1000])
    with pytest.raises(TaskError) as raised:
        make(corpus, workspace)
    message = str(raised.value)
    assert "can't be decoded (3)" in message
    assert all(f"c{i}.wav" in message for i in ("03", "07", "11"))
    folder = corpus / "out/tasks/pets-1.0.0-full"
    assert len(list(folder.rglob("*.wav"))) == 57
    for i in ("03", "07", "11"):
        (corpus / f"audio/c{i}.wav").write_bytes(good)
    assert make(corpus, workspace) == folder
    assert len(load_task(folder, workspace=workspace).splits["train"]) == 48


def test_progress_is_told(corpus: Path, workspace: Workspace) -> None:
    seen = Noted()
    make(corpus, noting(workspace, seen))
    assert [state[:3] for state in seen.states] == [
        ("pets: decoding and resampling", i, 60) for i in range(61)
    ]


def unzip(archive: Path, folder: Path) -> Path:
    with zipfile.ZipFile(archive) as file:
        file.extractall(folder)
    return folder


def test_spoken_digits(shared: Path, tmp_path: Path, workspace: Workspace) -> None:
    raw = unzip(shared / "data/corpora/free-spoken-digit-dataset.zip", tmp_path / "raw")
    folder = prepare_from_csv(
        shared / "golden/fsdd/clips.csv",
        raw / "free-spoken-digit-dataset",
        OwnTask("fsdd", duration_s=0.56, sample_rates=(16000,)),
        tmp_path,
        workspace=workspace,
    )
    task = load_task(folder, workspace=workspace)
    assert task.vocabulary == tuple("0123456789")
    assert {split: len(files) for split, files in task.splits.items()} == {
        f"fold{i:02d}": 500 for i in range(5)
    }
    with (shared / "golden/fsdd/clips.csv").open() as file:
        for row in csv.DictReader(file):
            assert task.splits[row["fold"]][Path(row["path"]).name] == (row["label"],)
    assert {path.stat().st_size for path in folder.rglob("*.wav")} == {44 + 2 * 8960}


@pytest.mark.real
def test_esc10(shared: Path, tmp_path: Path, workspace: Workspace) -> None:
    raw = unzip(shared / "data/corpora/esc-10.zip", tmp_path / "raw")
    folder = prepare_from_csv(
        shared / "golden/esc10/clips.csv",
        raw / "esc-10",
        OwnTask("esc10", duration_s=5.0, sample_rates=(16000,)),
        tmp_path,
        workspace=workspace,
    )
    task = load_task(folder, workspace=workspace)
    assert len(task.vocabulary) == 10
    assert [task.targets(split).sum(axis=0).tolist() for split in task.splits] == [[8] * 10] * 5
    assert {path.stat().st_size for path in folder.rglob("*.wav")} == {44 + 2 * 80000}


def test_a_task_of_the_benchmark_is_not_taken_the_name_of(
    corpus: Path, workspace: Workspace
) -> None:
    with pytest.raises(TaskError, match=r"esc50-v2\.0\.0-full is a task of the benchmark"):
        prepare_from_csv(
            corpus / "clips.csv",
            corpus / "audio",
            OwnTask("esc50", version="v2.0.0"),
            corpus / "out",
            workspace=workspace,
        )
    prepare_from_csv(
        corpus / "clips.csv",
        corpus / "audio",
        OwnTask("esc50", version="mine"),
        corpus / "out",
        workspace=workspace,
    )
