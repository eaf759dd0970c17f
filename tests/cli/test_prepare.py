from __future__ import annotations

import json
import wave
import zipfile
from pathlib import Path

import numpy as np
import pytest
from helpers_cli import hearbench
from helpers_tasks import tone, write_wav


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    rows = ["path,label"]
    for i, label in enumerate(("low", "high")):
        for k in range(20):
            x = tone(300.0 * (1 + i), 0.2 + 0.01 * k, 8000, rng)
            write_wav(tmp_path / "audio" / f"{label}{k}.wav", x, 8000)
            rows.append(f"{label}{k}.wav,{label}")
    (tmp_path / "clips.csv").write_text("\n".join(rows) + "\n")
    return tmp_path


def test_the_stable_form(corpus: Path) -> None:
    answer = hearbench(
        "prepare", "--from-csv", corpus / "clips.csv", "--audio", corpus / "audio",
        "--name", "two", "--out", corpus / "data", "--duration", 0.25, "--score", "mAP",
        "--score", "top1_acc", "--sample-rate", 16000, "--sample-rate", 8000, "--json",
    )  # fmt: skip
    assert answer.code == 0, answer.stderr
    folder = corpus / "data" / "tasks" / "two-1.0.0-full"
    assert answer.json["folder"] == str(folder)
    assert answer.json["splits"] == {"train": 32, "valid": 4, "test": 4}
    assert answer.json["sample_rates"] == [8000, 16000]
    metadata = json.loads((folder / "task_metadata.json").read_text())
    assert metadata["evaluation"] == ["mAP", "top1_acc"]
    with wave.open(str(next((folder / "16000" / "train").iterdir()))) as file:
        assert (file.getframerate(), file.getnframes()) == (16000, 4000)


def test_without_a_duration_clips_keep_their_lengths(corpus: Path) -> None:
    answer = hearbench(
        "prepare", "--from-csv", corpus / "clips.csv", "--audio", corpus / "audio",
        "--name", "two", "--out", corpus / "data", "--sample-rate", 8000, "--version", "2",
        "--mode", "small", "--folds", 4,
    )  # fmt: skip
    assert answer.code == 0, answer.stderr
    folder = corpus / "data" / "tasks" / "two-2-small"
    assert answer.stdout.strip() == str(folder)
    metadata = json.loads((folder / "task_metadata.json").read_text())
    assert metadata["sample_duration"] is None
    assert metadata["splits"] == ["fold00", "fold01", "fold02", "fold03"]
    lengths = set()
    for path in (folder / "8000").rglob("*.wav"):
        with wave.open(str(path)) as file:
            lengths.add(file.getnframes())
    assert lengths == {1600 + 80 * k for k in range(20)}


def test_by_default_into_the_cache_where_it_has_a_name(corpus: Path, model: Path) -> None:
    prepared = hearbench(
        "prepare", "--from-csv", corpus / "clips.csv", "--audio", corpus / "audio",
        "--name", "two", "--sample-rate", 16000,
    )  # fmt: skip
    assert prepared.code == 0, prepared.stderr
    listed = hearbench("list", "tasks", "--json").json["tasks"]
    assert [(row["task"], row["clips"]) for row in listed] == [("two-1.0.0-full", 40)]
    evaluated = hearbench(
        "evaluate", model, "--task", "two", "--out", corpus / "out", "--protocol", "faster",
        "--grid-points", 1, "--json",
    )  # fmt: skip
    assert evaluated.json["results"][0]["task"] == "two-1.0.0-full"
    slip = hearbench("evaluate", model, "--task", "tow", "--out", corpus / "out")
    assert "Did you mean 'two'" in slip.stderr


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"--from-csv": "nothing.csv"}, "is not there"),
        ({"--audio": "nowhere"}, "audio folder nowhere is not there"),
        ({"--name": "a/b"}, "'a/b'"),
        ({"--score": "top1"}, "Did you mean 'top1_acc'"),
        ({"--split-mode": "kfold"}, "There is no split mode 'kfold'"),
        ({"--folds": "2"}, "at least 3 folds"),
        ({"--duration": "-1"}, "positive number of seconds"),
        ({"--sample-rate": "0"}, "sample rate"),
    ],
)
def test_bad_input(change: dict[str, str], said: str, corpus: Path) -> None:
    given = {
        "--from-csv": str(corpus / "clips.csv"),
        "--audio": str(corpus / "audio"),
        "--name": "two",
        "--out": str(corpus / "data"),
        **change,
    }
    answer = hearbench("prepare", *(part for pair in given.items() for part in pair))
    assert answer.code == 2
    assert said in answer.stderr
    assert answer.stdout == ""


def test_an_archive_for_the_audio_folder(corpus: Path) -> None:
    (corpus / "sounds.zip").touch()
    answer = hearbench(
        "prepare", "--from-csv", corpus / "clips.csv", "--audio", corpus / "sounds.zip",
        "--name", "two", "--out", corpus / "data",
    )  # fmt: skip
    assert answer.code == 2
    assert "sounds.zip is no folder but an archive; unpack it" in " ".join(answer.stderr.split())


def test_clips_without_a_label_are_asked_about(corpus: Path) -> None:
    path = corpus / "clips.csv"
    path.write_text(path.read_text().replace("low3.wav,low", "low3.wav,"))
    command = (
        "prepare", "--from-csv", path, "--audio", corpus / "audio", "--name", "two",
        "--out", corpus / "data", "--mode", "small",
    )  # fmt: skip
    answer = hearbench(*command)
    assert answer.code == 2
    assert "1 of 40 clips has no label (low3.wav)" in " ".join(answer.stderr.split())
    assert not (corpus / "data").exists()
    answer = hearbench(*command, "--multilabel", "--json")
    assert answer.code == 0, answer.stderr
    assert answer.json["prediction_type"] == "multilabel"
    refused = hearbench("prepare", "esc50", "--multilabel")
    assert refused.code == 2
    assert "--multilabel only goes with --from-csv or --from-hf" in refused.stderr


def libricount(folder: Path, count: int = 40) -> Path:
    """A corpus of the catalog, small and not the official one; the folder that holds it."""
    rng = np.random.default_rng(1)
    with zipfile.ZipFile(folder / "libricount-train-small.zip", "w") as archive:
        for i in range(count):
            write_wav(folder / "x.wav", rng.integers(-999, 999, 4000, np.int16), 16000)
            archive.write(folder / "x.wav", f"test/{i % 4}_{i}.wav")
    (folder / "x.wav").unlink()
    return folder


def test_a_task_of_the_catalog(tmp_path: Path) -> None:
    place = libricount(tmp_path)
    refused = hearbench("prepare", "libricount", "--mode", "small", "--corpus-dir", place)
    assert refused.code == 2
    assert "another MD5" in refused.stderr
    assert "--trust-corpus" in refused.stderr
    answer = hearbench(
        "prepare", "libricount", "--mode", "small", "--corpus-dir", place, "--out", tmp_path / "o",
        "--trust-corpus", "--sample-rate", 16000, 8000, "--jobs", 2,
    )  # fmt: skip
    assert answer.code == 0, answer.stderr
    folder = tmp_path / "o/tasks/libricount-v1.0.0-hear2021-small"
    assert answer.stdout.strip() == str(folder)
    assert sorted(path.name for path in folder.iterdir() if path.is_dir()) == ["16000", "8000"]
    corpus = json.loads((folder / "task_metadata.json").read_text())["hearbench"]["corpus"]
    assert corpus["trusted"] is True
    assert corpus["files"][0]["official_md5"] == "25d1bd1e71800440d635171a8f41a5f7"


def test_several_tasks_of_which_some_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Nothing is to be had from the network.
    monkeypatch.setenv("HEARBENCH_MIRROR", "http://127.0.0.1:9/")
    monkeypatch.setattr("hearbench.tasks.fetch.transfer._pause", lambda *_: None, raising=False)
    place = libricount(tmp_path)
    (place / "esc50-all_folds-small.zip").write_text("no archive")
    answer = hearbench(
        "prepare", "esc50-small", "libricount-small", "--corpus-dir", place, "--trust-corpus",
        "--json",
    )  # fmt: skip
    assert answer.code == 2
    assert [task["name"] for task in answer.json["prepared"]] == [
        "libricount-v1.0.0-hear2021-small"
    ]
    assert [task["task"] for task in answer.json["failed"]] == ["esc50"]
    assert answer.stderr.splitlines()[-1] == "1 of 2 tasks are prepared; failed: esc50."


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["ESC50"], "Did you mean 'esc50'"),
        (["esc50", "--mode", "tiny"], "no mode 'tiny'. Known: full, small"),
        (["esc50", "--mode", ""], "no mode ''"),
        (["esc50-small", "--mode", "full"], "says the mode small, and --mode full"),
        ([], "Name either tasks of the catalog, or --from-csv, or --from-hf."),
        (["esc50", "--from-hf", "x"], "two of them can't be combined"),
        (["esc50", "--name", "x"], "--name only goes with --from-csv or --from-hf"),
        (["--from-hf", "x", "--trust-corpus"], "--trust-corpus only goes with a task"),
        (["--from-hf", "x", "--name", "x"], "needs --label-column"),
        (["--from-csv", "x", "--name", "x"], "needs --audio"),
        (["--from-csv", "x", "--audio", "."], "add --name"),
        (["esc50", "--sample-rate", "fast"], "a whole number of Hz"),
        (["esc50", "--sample-rate", "0"], "a sample rate must be a whole number"),
        (["esc50", "--corpus-dir", "nowhere"], "corpus folder nowhere is not there"),
    ],
)
def test_bad_requests(arguments: list[str], said: str) -> None:
    answer = hearbench("prepare", *arguments)
    assert answer.code == 2
    assert said in " ".join(answer.stderr.split())
