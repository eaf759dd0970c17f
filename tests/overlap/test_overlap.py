"""Copies of test clips are found, and nothing else is taken for one."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from helpers_cli import hearbench
from helpers_tasks import write_wav
from overlap import missed, plant

from hearbench.audio import read_mono16, resample16
from hearbench.errors import HearError
from hearbench.overlap import find_overlap
from hearbench.tasks.store import PreparedTask, load_task
from hearbench.workspace import Workspace

RATE = 16000
CLIPS = tuple(f"clip{i}.wav" for i in range(8))
Samples = npt.NDArray[np.int16]


def rustle(seed: int, duration_s: float, level: float = 0.2) -> Samples:
    """Noise of a spectrum and an envelope that wander."""
    rng = np.random.default_rng(seed)
    n = round(duration_s * RATE)
    steps = np.linspace(0, 1, max(2, round(duration_s * 6)))
    t = np.linspace(0, 1, n)
    x = np.zeros(n)
    for low in (150, 400, 900, 1800):
        spectrum = np.fft.rfft(rng.standard_normal(n))
        hz = np.fft.rfftfreq(n, 1 / RATE)
        spectrum[(hz < low) | (hz > 2.2 * low)] = 0
        band = np.fft.irfft(spectrum, n)
        x += band / band.std() * np.interp(t, steps, rng.uniform(0, 1, len(steps)))
    y: Samples = np.rint(x / np.abs(x).max() * level * 32767).astype(np.int16)
    return y


def tone(hz: float, duration_s: float) -> Samples:
    t = np.arange(round(duration_s * RATE)) / RATE
    y: Samples = np.rint(9000 * np.sin(2 * np.pi * hz * t)).astype(np.int16)
    return y


def sounds() -> dict[str, Samples]:
    """Clips of 3 s, one of half a second, one silent and one a tone."""
    clips = {name: rustle(i, 3.0) for i, name in enumerate(CLIPS)}
    clips["short.wav"] = rustle(50, 0.5)
    clips["silent.wav"] = np.zeros(3 * RATE, np.int16)
    clips["tone.wav"] = tone(440, 3.0)
    return clips


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A task whose test clips are `sounds`."""
    folder = tmp_path_factory.mktemp("task") / "rustles-1.0.0-full"
    for split in ("train", "valid", "test"):
        clips = sounds() if split == "test" else {f"{split}.wav": rustle(99, 3.0)}
        for name, x in clips.items():
            write_wav(folder / str(RATE) / split / name, x, RATE)
        labels = {name: ["a" if i % 2 else "b"] for i, name in enumerate(clips)}
        (folder / f"{split}.json").write_text(json.dumps(labels))
    (folder / "labelvocabulary.csv").write_text("idx,label\n0,a\n1,b\n")
    metadata = {
        "task_name": "rustles",
        "version": "1.0.0",
        "embedding_type": "scene",
        "prediction_type": "multiclass",
        "split_mode": "trainvaltest",
        "sample_duration": 3.0,
        "evaluation": ["top1_acc"],
        "mode": "full",
        "splits": ["train", "valid", "test"],
    }
    (folder / "task_metadata.json").write_text(json.dumps(metadata))
    return folder


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(cache_dir=tmp_path / "cache", device="cpu")


@pytest.fixture
def task(folder: Path, workspace: Workspace) -> PreparedTask:
    return load_task(folder, workspace=workspace)


def test_a_part_is_found_where_it_is(
    task: PreparedTask, workspace: Workspace, tmp_path: Path
) -> None:
    clip = sounds()["clip3.wav"]
    part = clip[RATE // 2 : RATE // 2 + 2 * RATE]
    long = np.concatenate([rustle(60, 40.0), part, rustle(61, 3.0)])
    # In a format and at a rate of its own.
    write_wav(tmp_path / "audio/below/long.wav", resample16(long, RATE, 44100), 44100)
    write_wav(tmp_path / "audio/other.wav", rustle(62, 5.0), RATE)
    found = find_overlap(tmp_path / "audio", task, workspace)
    (copy,) = found.copies
    assert (copy.file, copy.clip) == ("below/long.wav", "test/clip3.wav")
    # Blocks are of an eighth of a second.
    assert copy.offset_s == pytest.approx(40.0, abs=0.13)
    assert copy.share == pytest.approx(2 / 3, abs=0.06)
    assert copy.score > 0.98
    assert (found.n_clips, found.n_files, found.unread) == (11, 2, {})
    assert found.clips == ("test/clip3.wav",)


@pytest.mark.parametrize("seed", [0, 1])
def test_planted_copies_are_found_and_no_others(
    seed: int, task: PreparedTask, workspace: Workspace, tmp_path: Path
) -> None:
    (tmp_path / "audio").mkdir()
    for i in range(5):
        write_wav(tmp_path / f"audio/other{i}.wav", rustle(100 + i, 4.0), RATE)
    planted = [
        one for one in plant(task, tmp_path / "audio", 11, seed) if one.clip.startswith("test/clip")
    ]
    assert len(planted) == len(CLIPS)
    found = find_overlap(tmp_path / "audio", task, workspace)
    assert missed(planted, found) == []
    others = {(copy.file, copy.clip) for copy in found.copies}
    others -= {(one.file, one.clip) for one in planted}
    # A tone's and silence's own copies aren't told from others; the short clip's may be found.
    assert {clip for _, clip in others} <= {"test/short.wav"}


def test_a_clip_of_half_a_second_is_found(
    task: PreparedTask, workspace: Workspace, tmp_path: Path
) -> None:
    x = np.concatenate([rustle(70, 2.0, 0.02), sounds()["short.wav"], rustle(71, 2.0, 0.02)])
    write_wav(tmp_path / "a.wav", x, RATE)
    (copy,) = find_overlap(tmp_path, task, workspace).copies
    assert copy.clip == "test/short.wav"
    assert copy.offset_s == pytest.approx(2.0, abs=0.13)


def test_silence_and_tones_match_nothing(
    task: PreparedTask, workspace: Workspace, tmp_path: Path
) -> None:
    write_wav(tmp_path / "silence.wav", np.zeros(5 * RATE, np.int16), RATE)
    write_wav(tmp_path / "a_tone.wav", tone(440, 4.0), RATE)
    write_wav(tmp_path / "tones.wav", tone(440, 4.0) + tone(880, 4.0) // 2, RATE)
    write_wav(tmp_path / "blip.wav", tone(300, 0.05), RATE)
    found = find_overlap(tmp_path, task, workspace)
    assert found.copies == ()
    assert "test/silent.wav" in found.unfit
    assert not {f"test/{name}" for name in CLIPS} & set(found.unfit)


def test_what_is_no_audio_is_named(
    task: PreparedTask, workspace: Workspace, tmp_path: Path
) -> None:
    (tmp_path / "broken.wav").write_bytes(b"RIFF")
    write_wav(tmp_path / "clip.wav", sounds()["clip0.wav"], RATE)
    found = find_overlap(tmp_path, task, workspace)
    assert list(found.unread) == ["broken.wav"]
    assert [copy.clip for copy in found.copies] == ["test/clip0.wav"]
    (copy,) = found.copies
    assert (copy.share, round(copy.score, 2)) == (1.0, 1.0)


def test_a_folder_without_audio_is_refused(
    task: PreparedTask, workspace: Workspace, tmp_path: Path
) -> None:
    with pytest.raises(HearError, match="nowhere") as missing:
        find_overlap(tmp_path / "nowhere", task, workspace)
    assert missing.value.code == "not_found"
    (tmp_path / "notes.txt").write_text("no audio")
    with pytest.raises(HearError, match="no audio"):
        find_overlap(tmp_path, task, workspace)


def test_the_verb_answers_in_three_forms(folder: Path, tmp_path: Path) -> None:
    audio = tmp_path / "audio"
    write_wav(audio / "clip.wav", sounds()["clip1.wav"], RATE)
    x, _ = read_mono16(audio / "clip.wav")
    write_wav(audio / "quiet.wav", x // -8, RATE)  # and of the other polarity
    out = tmp_path / "overlap.csv"
    shown = hearbench("overlap", audio, "--task", folder, "--csv", out)
    assert "1 of 11 test clips of rustles-1.0.0-full are in 2 of 2 files." in shown.stdout
    with out.open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["file"], row["clip"], row["share"]) for row in rows] == [
        ("clip.wav", "test/clip1.wav", "1.0"),
        ("quiet.wav", "test/clip1.wav", "1.0"),
    ]
    answer = json.loads(hearbench("overlap", audio, "--task", folder, "--json").stdout)
    assert answer["clips"] == ["test/clip1.wav"]
    assert [copy["file"] for copy in answer["copies"]] == ["clip.wav", "quiet.wav"]
