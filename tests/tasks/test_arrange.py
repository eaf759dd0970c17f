from __future__ import annotations

import functools
from pathlib import Path

import helpers_tasks
import pytest

from hearbench.errors import TaskError
from hearbench.tasks.arrange import arrange, looks_integer
from hearbench.tasks.clips import Clip

recipe = functools.partial(helpers_tasks.recipe, sample_duration_s=1.0)


def files(folder: Path, count: int) -> list[Path]:
    paths = [folder / f"c{i:03d}.wav" for i in range(count)]
    for path in paths:
        path.touch()
    return paths


def test_groups_stay_together(tmp_path: Path) -> None:
    rows = [
        Clip(path, path.stem, f"l{i % 2}", split_key=f"speaker{i // 4}")
        for i, path in enumerate(files(tmp_path, 40))
    ]
    for changes in ({}, {"split_mode": "new_split_kfold", "nfolds": 4}):
        found = arrange(rows, recipe(**changes))
        home = {file: split for split, names in found.splits.items() for file in names}
        assert len(home) == 40
        for i in range(0, 40, 4):
            assert len({home[row.filestem + ".wav"] for row in rows[i : i + 4]}) == 1


def test_splits_that_are_given_stay(tmp_path: Path) -> None:
    paths = files(tmp_path, 30)
    rows = [
        Clip(path, path.stem, "x", split="test" if i < 6 else "train")
        for i, path in enumerate(paths)
    ]
    found = arrange(rows, recipe())
    assert list(found.splits["test"]) == [f"c{i:03d}.wav" for i in range(6)]
    # train keeps its ratio to valid: of 24, round(24 * 10 / 90) = 3
    assert {split: len(names) for split, names in found.splits.items()} == {
        "train": 21,
        "valid": 3,
        "test": 6,
    }


def test_a_split_that_lacks_a_label(tmp_path: Path) -> None:
    rows = [
        Clip(
            path, path.stem, "rare" if i == 0 else "often", split=("train", "valid", "test")[i % 3]
        )
        for i, path in enumerate(files(tmp_path, 9))
    ]
    with pytest.raises(TaskError, match=r"valid lacks 1 \(rare\); test lacks 1 \(rare\)"):
        arrange(rows, recipe())
    assert arrange(rows, recipe(mode="small")).vocabulary == ("often", "rare")


def test_an_event_task_may_lack_a_label_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [
        Clip(
            path,
            path.stem,
            "rare" if i == 0 else "often",
            split=("train", "valid", "test")[i % 3],
            start_ms=0,
            end_ms=9,
        )
        for i, path in enumerate(files(tmp_path, 9))
    ]
    arrange(rows, recipe(embedding_type="event", prediction_type="multilabel"))
    assert "valid lacks 1 (rare)" in caplog.text


def test_events_after_the_end_are_dropped(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    paths = files(tmp_path, 9)
    rows = [
        Clip(path, path.stem, "a", ("train", "valid", "test")[i % 3], 0.0 if i else 2000.0, 2500.0)
        for i, path in enumerate(paths)
    ]
    rows.append(Clip(paths[1], "c001", "a", "valid", 999.0, 1000.0))
    rows.append(Clip(paths[1], "c001", "a", "valid", 1000.0, 1001.0))
    found = arrange(rows, recipe(embedding_type="event", prediction_type="multilabel"))
    assert "c000" in caplog.text
    assert "c000.wav" not in found.splits["train"]
    events = sorted((e["start"], e["end"]) for e in found.splits["valid"]["c001.wav"])
    assert events == [(0.0, 1000.0), (999.0, 1000.0)]


def test_a_split_is_subsampled(tmp_path: Path) -> None:
    rows = [
        Clip(path, path.stem, f"l{i % 2}", split=("train", "valid", "test")[i % 3])
        for i, path in enumerate(files(tmp_path, 30))
    ]
    found = arrange(rows, recipe(max_duration_s={"train": 4.0, "valid": 3.5}))
    assert [len(names) for names in found.splits.values()] == [4, 3, 10]


def test_all_contradictions_are_said_at_once(tmp_path: Path) -> None:
    a, b, c = files(tmp_path, 3)
    rows = [
        Clip(a, "a", "x", split="train"),
        Clip(b, "a", "x", split="test"),
        Clip(c, "c", "x"),
        Clip(c, "c", "y"),
        Clip(tmp_path / "gone.wav", "gone", None),
    ]
    with pytest.raises(TaskError) as raised:
        arrange(rows, recipe())
    for said in ("one name", "two splits", "c002.wav has 2", "gone.wav has 0", "are missing (1)"):
        assert said in str(raised.value)


def test_missing_files_are_dropped_in_the_small_mode(tmp_path: Path) -> None:
    rows = [Clip(path, path.stem, "x") for path in files(tmp_path, 20)]
    rows.append(Clip(tmp_path / "gone.wav", "gone", "x"))
    found = arrange(rows, recipe(mode="small"))
    assert sum(map(len, found.splits.values())) == 20


@pytest.mark.parametrize(
    ("labels", "integers"),
    [(["0", "10", "-3"], True), (["1", "a"], False), (["01", "2"], False), (["1.0"], False)],
)
def test_labels_that_look_like_integers(labels: list[str], integers: bool) -> None:
    assert looks_integer(labels) is integers


def test_integers_are_sorted_as_integers(tmp_path: Path) -> None:
    rows = [
        Clip(path, path.stem, str(8 + i % 4), split=("train", "valid", "test")[i % 3])
        for i, path in enumerate(files(tmp_path, 36))
    ]
    found = arrange(rows, recipe())
    assert found.vocabulary == (8, 9, 10, 11)
    assert found.splits["train"]["c003.wav"] == [11]
