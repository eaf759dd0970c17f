from __future__ import annotations

from pathlib import Path

import pytest
from helpers_cli import hearbench
from helpers_tasks import make_event_task, make_scene_task


def rows(text: str, first: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines() if line.split()[:1] == [first]]


def test_stats(task: Path) -> None:
    answer = hearbench("tasks", "stats", task)
    assert answer.code == 0
    assert answer.stdout.splitlines()[0].rstrip() == "tones-1.0.0-full: multiclass scene task"
    assert "Optimised for top1_acc; audio at 16000 Hz." in answer.stdout
    # 12 clips of 0.25 s are 3 s.
    assert rows(answer.stdout, "valid") == [
        ["valid", "12", "0.001", "0.250", "0.250", "0.250", "0", "1.00"]
    ]
    assert rows(answer.stdout, "all")[0] == ["all", "36", "0.003", "0"]
    assert rows(answer.stdout, "b") == [["b", "4", "4", "4", "12"]]
    assert "The most frequent label is 1.0 times the rarest." in answer.stdout
    assert "has no clip" not in answer.stdout


def test_stats_as_json(task: Path, tmp_path: Path) -> None:
    plot = tmp_path / "a" / "task.svg"
    answer = hearbench("tasks", "stats", task, "--json", "--silence", "--plot", plot)
    assert answer.json["labels"]["c"] == {"train": 4, "valid": 4, "test": 4}
    assert answer.json["splits"][2]["silent"] == []
    assert answer.json["splits"][0]["hours"] == pytest.approx(3 / 3600)
    assert answer.json["plot"] == str(plot)
    assert "<svg" in plot.read_text(encoding="utf-8")


def test_many_labels_are_cut(tmp_path: Path) -> None:
    names = [f"l{i:02d}" for i in range(30)]
    folder = make_scene_task(
        tmp_path, labels=names, clips_per_label=1, duration_s=0.01, multilabel=True
    )
    answer = hearbench("tasks", "stats", folder)
    shown = [name for name in names if rows(answer.stdout, name)]
    assert shown == names[:10] + names[20:]
    assert "... 10 more, by --all" in answer.stdout
    answer = hearbench("tasks", "stats", folder, "--all")
    assert [name for name in names if rows(answer.stdout, name)] == names
    assert "more, by --all" not in answer.stdout


def test_missing_labels_are_named(tmp_path: Path) -> None:
    folder = make_scene_task(tmp_path, labels=["a", "[b]"], clips_per_label=1, mode="small")
    vocabulary = ["a", "[b]", *(f"z{i:02d}" for i in range(12))]
    lines = ["idx,label", *(f"{i},{label}" for i, label in enumerate(vocabulary))]
    (folder / "labelvocabulary.csv").write_text("\n".join(lines) + "\n")
    answer = hearbench("tasks", "stats", folder)
    first = ", ".join(f"z{i:02d}" for i in range(10))
    assert f"valid has no clip of 12 of the labels: {first} and 2 more\n" in answer.stdout
    assert rows(answer.stdout, "[b]") == [["[b]", "1", "1", "1", "3"]]
    answer = hearbench("tasks", "stats", folder, "--all")
    assert f"test has no clip of 12 of the labels: {first}, z10, z11\n" in answer.stdout
    assert "times the rarest" not in answer.stdout


def test_an_event_task(tmp_path: Path) -> None:
    # Per split two clips of three beeps of 300 ms in 2 s, and one clip without.
    folder = make_event_task(tmp_path)
    answer = hearbench("tasks", "stats", folder, "--silence", "--plot", tmp_path / "a.png")
    assert answer.code == 0
    assert rows(answer.stdout, "test")[1] == [
        *("test", "6", "0.300", "0.300", "0.300", "1", "30.0%", "0.0%")
    ]
    assert "Events of each of 2 labels" in answer.stdout
    assert rows(answer.stdout, "high") == [["high", "3", "3", "3", "9"]]
    assert "No clip is silent." in answer.stdout
    assert f"Drawn into {tmp_path / 'a.png'}." in answer.stderr
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_stats_refuses(task: Path, tmp_path: Path) -> None:
    for arguments, message in (
        (("nothing",), "There is no task 'nothing'"),
        ((tmp_path / "nowhere" / "x",), "there is no such file or folder"),
        ((task, "--plot", tmp_path / "a.jpg"), "written as .png, .svg or .pdf"),
    ):
        answer = hearbench("tasks", "stats", *arguments)
        assert (answer.code, answer.stdout) == (2, "")
        assert answer.stderr.startswith("error: ") or "\nerror: " in answer.stderr
        assert message in answer.stderr


def test_help() -> None:
    answer = hearbench("tasks", "--help")
    assert answer.code == 0
    assert "stats" in answer.stdout
