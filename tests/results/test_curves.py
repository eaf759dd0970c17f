"""Curves found in folders, and which of them stand side by side."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers_curves import TASK, clip_counts, shots, write_point

from hearbench.errors import ResultError
from hearbench.results.curve import build_curve
from hearbench.results.curves import find_curves, side_by_side

OTHER = "speech_commands-v0.0.2-full"


def write(folder: Path, task: str = TASK) -> Path:
    write_point(folder / task, shots(1), 0.4, task_name=task)
    curve = build_curve(folder / task, clip_counts)
    path = folder / task / "few-labels" / "curve.json"
    path.write_text(curve.model_dump_json())
    return path


def test_of_several_models_common_tasks_are_shown(tmp_path: Path) -> None:
    paths = [write(tmp_path / "a"), write(tmp_path / "b"), write(tmp_path / "b", OTHER)]
    found = find_curves([tmp_path])
    assert [one.path for one in found] == paths
    assert [one.model for one in found] == ["a", "b", "b"]
    chosen = side_by_side(found)
    assert {task: list(by_model) for task, by_model in chosen.tasks.items()} == {TASK: ["a", "b"]}
    assert chosen.left_out == (OTHER,)


def test_of_one_model_all_tasks_are_shown(tmp_path: Path) -> None:
    file = write(tmp_path / "b")
    write(tmp_path / "b", OTHER)
    # A file that is named twice is one curve.
    chosen = side_by_side(find_curves([file, tmp_path / "b"]))
    assert set(chosen.tasks) == {TASK, OTHER}
    assert chosen.left_out == ()


def test_no_common_task(tmp_path: Path) -> None:
    write(tmp_path / "a")
    write(tmp_path / "b", OTHER)
    with pytest.raises(ResultError, match="no common task"):
        side_by_side(find_curves([tmp_path]))
    with pytest.raises(ResultError, match=f"{TASK} has no score 'bleu'"):
        side_by_side(find_curves([tmp_path / "a"]), "bleu")
