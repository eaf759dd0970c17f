from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers_progress import Noted, noting
from helpers_tasks import make_event_task, make_scene_task, write_task

from hearbench.errors import TaskError
from hearbench.tasks.stats import Spread, TaskStats, task_stats
from hearbench.tasks.store import load_task
from hearbench.workspace import Workspace


def stats_of(folder: Path, workspace: Workspace, *, listen: bool = False) -> TaskStats:
    return task_stats(load_task(folder, workspace=workspace), listen=listen, workspace=workspace)


def test_a_scene_task(tmp_path: Path, workspace: Workspace) -> None:
    # Per split: labels a, b, c; of each, clips of 0.25, 0.375, 0.5 and 0.25 s; every second clip
    # has the next label as well.
    folder = make_scene_task(
        tmp_path, multilabel=True, varying_lengths=True, sample_rates=(8000, 16000)
    )
    stats = stats_of(folder, workspace)
    assert (stats.name, stats.kind, stats.counted) == ("tones-1.0.0-full", "scene", "clips")
    assert (stats.prediction_type, stats.split_mode) == ("multilabel", "trainvaltest")
    assert stats.scores == ("mAP", "aucroc")
    assert stats.sample_rates == (8000, 16000)
    assert stats.sample_duration_s is None
    assert stats.labels == ("a", "b", "c")
    assert [split.name for split in stats.splits] == ["train", "valid", "test"]
    seconds = 3 * (0.25 + 0.375 + 0.5 + 0.25)
    for split, durations_s in zip(stats.splits, stats.durations_s, strict=True):
        assert split.clips == 12
        assert split.hours == pytest.approx(seconds / 3600)
        assert split.duration == Spread(0.25, 0.3125, 0.5)
        assert split.unlabelled == 0
        assert split.labels_per_clip == 1.5
        assert split.silent is None
        assert split.events is None
        assert Counter(durations_s.tolist()) == {0.25: 6, 0.375: 3, 0.5: 3}
    # 4 clips of its own and 2 of the label before it
    assert stats.counts.tolist() == [[6, 6, 6]] * 3
    assert stats.clips == 36
    assert stats.hours == pytest.approx(3 * seconds / 3600)
    assert stats.missing == {}
    assert stats.imbalance == 1.0
    assert [len(lengths) for lengths in stats.event_durations_s] == [0, 0, 0]


def test_labels_that_are_missing_and_clips_without_any(
    tmp_path: Path, workspace: Workspace
) -> None:
    splits = {
        "train": {"0.wav": ["b"], "1.wav": ["b", "c"], "2.wav": ["b"], "3.wav": []},
        "valid": {"4.wav": ["b"], "5.wav": ["a"]},
        "test": {"6.wav": ["c"]},
    }
    folder = make_scene_task(tmp_path, name="x")
    metadata = json.loads((folder / "task_metadata.json").read_text())
    rng = np.random.default_rng(0)
    audio = {
        split: {name: rng.integers(1, 99, 160).astype(np.int16) for name in files}
        for split, files in splits.items()
    }
    audio["valid"]["5.wav"][:] = 0
    audio["valid"]["4.wav"][:-1] = 0
    folder = write_task(
        tmp_path / "y" / "x-1.0.0-full",
        metadata={**metadata, "prediction_type": "multilabel", "sample_duration": 0.02},
        vocabulary=["a", "b", "c", "d"],
        splits=splits,
        audio=audio,
        sample_rates=[8000],
    )
    stats = stats_of(folder, workspace, listen=True)
    assert stats.counts.tolist() == [[0, 3, 1, 0], [1, 1, 0, 0], [0, 0, 1, 0]]
    assert stats.missing == {"train": ("a", "d"), "valid": ("c", "d"), "test": ("a", "b", "d")}
    assert stats.imbalance is None
    assert [stats.labels[i] for i in stats.by_frequency()] == ["b", "c", "a", "d"]
    assert [split.unlabelled for split in stats.splits] == [1, 0, 0]
    assert [split.labels_per_clip for split in stats.splits] == [1.0, 1.0, 1.0]
    assert [split.silent for split in stats.splits] == [(), ("5.wav",), ()]
    value = json.loads(json.dumps(stats.to_json()))
    assert value["labels"]["b"] == {"train": 3, "valid": 1, "test": 0}
    assert value["missing"]["valid"] == ["c", "d"]
    assert value["imbalance"] is None
    assert value["clips"] == 7
    assert value["splits"][1] == {
        "name": "valid",
        "clips": 2,
        "hours": pytest.approx(2 * 0.02 / 3600),
        "duration": {"shortest_s": 0.02, "median_s": 0.02, "longest_s": 0.02},
        "unlabelled": 0,
        "labels_per_clip": 1.0,
        "silent": ["5.wav"],
        "events": None,
    }


def event(label: str, start: float, end: float) -> dict[str, Any]:
    return {"label": label, "start": start, "end": end}


def test_events(tmp_path: Path, workspace: Workspace) -> None:
    train: dict[str, list[Any]] = {
        # Three at once from 400 to 500 ms; the last two touch, but don't overlap.
        "0.wav": [
            event("x", 0, 500),
            event("y", 200, 600),
            event("x", 400, 700),
            event("y", 700, 900),
        ],
        # It ends 500 ms after the clip.
        "1.wav": [event("y", 750, 1500)],
        "2.wav": [],
    }
    splits: dict[str, dict[str, list[Any]]] = {
        "train": train,
        "valid": {"3.wav": [event("x", 100, 100), event("x", 300, 300)]},
        "test": {"4.wav": []},
    }
    folder = make_event_task(tmp_path, name="z")
    metadata = json.loads((folder / "task_metadata.json").read_text())
    audio = {
        split: {name: np.zeros(8000, np.int16) for name in files} for split, files in splits.items()
    }
    folder = write_task(
        tmp_path / "w" / "z-1.0.0-full",
        metadata={**metadata, "sample_duration": 1.0},
        vocabulary=["x", "y"],
        splits=splits,
        audio=audio,
        sample_rates=[8000],
    )
    stats = stats_of(folder, workspace)
    assert stats.counted == "events"
    assert stats.counts.tolist() == [[2, 3], [2, 0], [0, 0]]
    assert stats.missing == {"valid": ("y",), "test": ("x", "y")}
    first, second, third = (split.events for split in stats.splits)
    assert first is not None
    assert second is not None
    assert third is not None
    assert (first.count, first.most_at_once, first.beyond) == (5, 3, 1)
    assert first.duration is not None
    assert first.duration.shortest_s == pytest.approx(0.2)
    assert first.duration.median_s == pytest.approx(0.4)
    assert first.duration.longest_s == pytest.approx(0.75)
    # Of 3 s: 0 to 900 and 750 to 1000 ms with an event, 200 to 600 ms with two or more.
    assert first.active == pytest.approx(1.15 / 3)
    assert first.overlapping == pytest.approx(0.4 / 3)
    assert np.sort(stats.event_durations_s[0]) == pytest.approx([0.2, 0.3, 0.4, 0.5, 0.75])
    assert (second.count, second.most_at_once, second.active) == (2, 1, 0.0)
    assert (third.count, third.duration, third.most_at_once) == (0, None, 0)
    assert [split.unlabelled for split in stats.splits] == [1, 0, 1]
    assert [split.labels_per_clip for split in stats.splits] == [1.0, 1.0, 0.0]


def brute_force(events: list[tuple[int, int]], length_ms: int) -> tuple[int, int, int]:
    """The most at once, and the ms with one and two events, looked at ms by ms."""
    levels = [sum(s <= ms < e for s, e in events) for ms in range(length_ms)]
    return max(levels), sum(n >= 1 for n in levels), sum(n >= 2 for n in levels)


def test_overlaps_as_counted_ms_by_ms(tmp_path: Path, workspace: Workspace) -> None:
    rng = np.random.default_rng(5)
    folder = make_event_task(tmp_path, clips=4, duration_s=1.0)
    train = json.loads((folder / "train.json").read_text())
    times = {}
    for name in train:
        starts = rng.integers(0, 900, 20)
        pairs = [(int(s), int(min(s + rng.integers(1, 200), 1000))) for s in starts]
        times[name] = pairs
        train[name] = [event("high", float(s), float(e)) for s, e in pairs]
    (folder / "train.json").write_text(json.dumps(train))
    found = stats_of(folder, workspace).splits[0].events
    expected = [brute_force(pairs, 1000) for pairs in times.values()]
    assert found is not None
    assert found.most_at_once == max(most for most, _, _ in expected)
    assert found.active == pytest.approx(sum(one for _, one, _ in expected) / 4000)
    assert found.overlapping == pytest.approx(sum(two for _, _, two in expected) / 4000)


def test_folds_and_progress(tmp_path: Path, workspace: Workspace) -> None:
    folder = make_scene_task(tmp_path, folds=True, clips_per_label=2)
    task = load_task(folder, workspace=workspace)
    seen = Noted()
    stats = task_stats(task, workspace=noting(workspace, seen))
    assert [split.name for split in stats.splits] == ["fold00", "fold01", "fold02"]
    assert seen.counts == [(i, 18) for i in range(19)]
    assert stats.sample_duration_s == 0.25


def test_audio_that_is_gone(tmp_path: Path, workspace: Workspace) -> None:
    task = load_task(make_scene_task(tmp_path), workspace=workspace)
    (task.folder / "16000/valid/valid-b-1.wav").unlink()
    with pytest.raises(TaskError, match=r"tones-1.0.0-full can't be counted: .*valid-b-1\.wav"):
        task_stats(task, workspace=workspace)
