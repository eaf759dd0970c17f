from __future__ import annotations

import math
import wave
from pathlib import Path

import numpy as np
import pytest
from helpers_cli import hearbench
from helpers_models import noise
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score
from sklearn.preprocessing import StandardScaler

import hearbench.demo as demo_content
from hearbench import embed, fit_probe, score
from hearbench.demo import DEMO_EVENT_CLIP, DEMO_TASKS, make_demo_tasks, write_starter_model
from hearbench.demo.sounds import (
    LAYERS,
    SOURCES,
    STROKES,
    draw_events,
    mixture,
    note,
    soundscape,
    stroke,
)
from hearbench.demo.tasks import _TASKS, _generator, _int16
from hearbench.models.loading import load_model
from hearbench.tasks.clips import Event
from hearbench.tasks.store import load_task
from hearbench.workspace import Workspace


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def tasks(folder: Path) -> list[Path]:
    workspace = Workspace(cache_dir=folder / "cache", device="cpu", workers=2)
    return make_demo_tasks(folder, workspace=workspace)


@pytest.mark.parametrize("midi", [48, 57, 69, 71])
def test_a_note_has_its_pitch(midi: int) -> None:
    x = note(midi, 1.0, 44100, np.random.default_rng(midi))
    # The distance between its harmonics, by the spectrum's own spectrum.
    cepstrum = np.fft.irfft(np.log(np.abs(np.fft.rfft(x * np.hanning(len(x)))) + 1e-3))
    f0 = 440 * 2 ** ((midi - 69) / 12)
    low, high = int(44100 / f0 / 1.4), int(44100 / f0 * 1.4)
    found = 44100 / (low + np.argmax(cepstrum[low:high]))
    assert abs(12 * math.log2(found / f0)) < 0.5


def test_sounds_stay_within_range() -> None:
    rng = np.random.default_rng(0)
    sounds = [stroke(label, 0.4, 44100, rng) for label in STROKES]
    sounds += [mixture(labels, 0.5, 44100, rng) for labels in ([], [*LAYERS])]
    sounds += [note(60, 0.5, 44100, rng)]
    for x in sounds:
        assert np.isfinite(x).all()
        assert 0.1 < np.abs(x).max() <= 0.5


def test_tasks_are_in_the_official_layout(tasks: list[Path], folder: Path) -> None:
    workspace = Workspace(cache_dir=folder / "cache", device="cpu", workers=2)
    notes, strokes, layers, pitch, yard = (load_task(path, workspace=workspace) for path in tasks)
    assert tuple(task.name for task in (notes, strokes, layers, pitch, yard)) == DEMO_TASKS
    assert notes.vocabulary == tuple(str(midi) for midi in range(48, 72))
    assert [len(notes.splits[s]) for s in ("train", "valid", "test")] == [144, 48, 72]
    assert len(strokes.folds()) == 3
    assert (pitch.vocabulary, pitch.metadata.prediction_type) == (("pitch_hz",), "regression")
    clip = list(pitch.splits["test"]).index("test-69-0.wav")
    assert pitch.targets("test")[clip].tolist() == [440.0]
    assert strokes.vocabulary == tuple(sorted(STROKES))
    targets = layers.targets("test")
    assert targets.shape == (96, 5)
    # Every subset equally often: each label in half of the clips, independent of the others.
    np.testing.assert_array_equal(targets.mean(0), 0.5)
    with wave.open(str(notes.audio_paths("test", 44100)[0])) as file:
        assert file.getnframes() == 22050
    assert (yard.kind, yard.vocabulary) == ("event", tuple(sorted(SOURCES)))
    assert yard.metadata.evaluation == ("event_onset_200ms_fms", "segment_1s_er")
    assert [len(yard.splits[s]) for s in ("train", "valid", "test")] == [8, 4, 6]
    assert DEMO_EVENT_CLIP in yard.splits["test"]
    for files in yard.splits.values():
        events = [event for found in files.values() for event in found]
        assert {event.label for event in events if isinstance(event, Event)} == set(SOURCES)


def test_events_of_one_label_are_kept_apart() -> None:
    overlaps = 0
    for seed in range(50):
        events = draw_events(6.0, 8, np.random.default_rng(seed))
        assert 3 <= len(events) <= 8
        assert list(events) == sorted(events, key=lambda event: event.start_ms)
        for i, one in enumerate(events):
            assert 0 <= one.start_ms < one.end_ms <= 6000
            assert 350 <= one.end_ms - one.start_ms < 900
            for other in events[i + 1 :]:
                if one.label == other.label:
                    assert other.start_ms - one.end_ms > 400
                overlaps += other.start_ms < one.end_ms
    assert overlaps > 50


@pytest.mark.parametrize("label", SOURCES)
def test_an_event_sounds_from_its_start_to_its_end(label: str) -> None:
    events = [Event(label, 1000, 1500)]
    x = soundscape(events, 3.0, 44100, np.random.default_rng(1))
    assert x.shape == (3 * 44100,)
    loud = np.flatnonzero(np.abs(x) > 0.01) / 44.1
    assert 1000 <= loud.min() < 1030
    # Between the last two knocks it may be quiet, and a bell has faded.
    assert 1400 < loud.max() <= 1500
    everything = [Event(name, 500, 1300) for name in SOURCES]
    assert np.abs(soundscape(everything, 2.0, 44100, np.random.default_rng(2))).max() <= 0.95


def test_pitch_in_hz_is_predicted_as_well_as_by_ridge_regression(
    tasks: list[Path], folder: Path
) -> None:
    workspace = Workspace(cache_dir=folder / "cache", device="cpu", workers=2)
    (path,) = [task for task in tasks if task.name.startswith("pitch-")]
    write_starter_model(folder / "ears.py")
    model = load_model(folder / "ears.py", workspace=workspace)
    store = embed(model, load_task(path, workspace=workspace), workspace=workspace)
    scaler = StandardScaler().fit(store.embeddings("train"))
    ridge = Ridge(alpha=1.0).fit(
        scaler.transform(store.embeddings("train")), store.task.targets("train")
    )
    predicted = ridge.predict(scaler.transform(store.embeddings("test")))
    of_ridge = r2_score(store.task.targets("test"), predicted)
    result = score(fit_probe(store, "linear", workspace=workspace))
    assert result.primary_score == "r2"
    # A linear probe, too, but one that stops early instead of being held small.
    assert 0.7 < of_ridge < 1
    assert abs(result.primary.mean - of_ridge) < 0.15
    near = score(fit_probe(store, "knn", workspace=workspace))
    assert near.primary.mean > of_ridge


def test_the_same_on_every_run(tasks: list[Path], folder: Path) -> None:
    for recipe, sounds in _TASKS:
        for sound in list(sounds())[::37]:
            path = folder / "corpora" / recipe.name / f"{sound.filestem}.wav"
            with wave.open(str(path)) as file:
                written = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2")
            np.testing.assert_array_equal(_int16(sound.make(_generator(path))), written)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.wav")}
    workspace = Workspace(cache_dir=folder / "cache", device="cpu", workers=1)
    assert make_demo_tasks(folder, workspace=workspace) == tasks
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*.wav")} == before


def test_the_starter_is_a_model(tmp_path: Path) -> None:
    path = tmp_path / "my_model.py"
    assert write_starter_model(path)
    model = load_model(path, workspace=Workspace(cache_dir=tmp_path, device="cpu"))
    audio = noise(2, 1.0, 16000)
    scene = model.scene(audio)
    embeddings, centres_ms = model.timestamps(audio)
    assert scene.shape == (2, 258)
    np.testing.assert_allclose(scene[:, :129], embeddings.mean(1), rtol=1e-5)
    np.testing.assert_array_equal(centres_ms[0], 50.0 * np.arange(21))
    # A frame at 50 ms, from its definition.
    frame = audio[0, 800 - 128 : 800 + 128] * np.hanning(257)[:-1]
    expected = np.log(np.abs(np.fft.rfft(frame)) ** 2 + 1e-4)
    np.testing.assert_allclose(embeddings[0, 1], expected, rtol=1e-3, atol=1e-4)
    path.write_text("mine")
    assert not write_starter_model(path)
    assert path.read_text() == "mine"


def test_only_the_tasks(tasks: list[Path], folder: Path) -> None:
    answer = hearbench("demo", "--out", folder, "--tasks-only", "--json")
    assert answer.json["tasks"] == [str(task) for task in tasks]
    assert Path(answer.json["model"]).name == "my_model.py"
    shown = hearbench("demo", "--out", folder, "--tasks-only")
    assert (shown.code, (folder / "results").exists()) == (0, False)
    assert all(str(task) in shown.stderr for task in tasks)


def test_the_demo_from_an_empty_folder(
    tasks: list[Path], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The tasks are there already; a smaller protocol keeps the test short.
    monkeypatch.setattr(demo_content, "DEMO_PROTOCOL", "faster")
    monkeypatch.setattr(demo_content, "DEMO_GRID_POINTS", 1)
    answer = hearbench("demo", "--out", folder, "--device", "cpu")
    assert answer.code == 0, answer.stderr
    for name in DEMO_TASKS:
        assert name in answer.stdout
        assert (folder / "results" / "hearbench.models.naive" / name / "result.json").is_file()
    assert f"hearbench evaluate {folder / 'my_model.py'}" in answer.stderr
    events = folder / "results" / "hearbench.models.naive" / DEMO_TASKS[-1]
    assert f"hearbench events plot {events} {DEMO_EVENT_CLIP}" in answer.stderr
    assert (events / "predictions" / "test.events.json").is_file()
    again = hearbench("demo", "--out", folder, "--device", "cpu", "--json")
    assert again.stderr.count("kept") == len(DEMO_TASKS) == 5
    assert [row["task"] for row in again.json["results"]] == list(DEMO_TASKS)
    own = hearbench(
        "evaluate", folder / "my_model.py", "--task", tasks[1], "--out", folder / "results",
        "--protocol", "fast", "--grid-points", 1, "--cache", folder / "cache", "--json",
    )  # fmt: skip
    assert own.code == 0, own.stderr
    # Strokes of six kinds are easily told apart by their spectra.
    assert own.json["results"][0]["scores"]["top1_acc"]["mean"] > 0.5
