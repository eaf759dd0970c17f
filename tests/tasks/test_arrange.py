from __future__ import annotations

import csv
import io
import json
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from hearkit.errors import TaskError
from hearkit.tasks.arrange import arrange, looks_integer
from hearkit.tasks.clips import Clip
from hearkit.tasks.recipe import Recipe

# Just enough about each corpus to get its rows; the files need not hold audio to be arranged.


def names_in(archive: Path) -> list[str]:
    with zipfile.ZipFile(archive) as file:
        return [name for name in file.namelist() if not name.endswith("/")]


def text_in(archive: Path, name: str) -> str:
    with zipfile.ZipFile(archive) as file:
        return file.read(name).decode()


def wavs(corpora: Path, archive: str) -> Iterable[Path]:
    return (Path(name) for name in names_in(corpora / archive) if name.endswith(".wav"))


def beijing_opera(shared: Path) -> list[Clip]:
    files = wavs(shared / "data/corpora", "beijing_opera-train-small.zip")
    return [Clip(path, path.stem, path.stem.split("__")[-1].split("-")[-2]) for path in files]


def mridangam(which: int) -> Callable[[Path], list[Clip]]:
    def clips(shared: Path) -> list[Clip]:
        files = wavs(shared / "data/corpora", "mridangam-train-small.zip")
        return [
            Clip(path, path.stem, path.stem.split("__")[-1].split("-")[which]) for path in files
        ]

    return clips


def gunshot(shared: Path) -> list[Clip]:
    files = wavs(shared / "data/corpora", "gunshot_triangulation.zip")
    return [
        Clip(path, path.stem, path.stem.split("_")[0], split_key=path.stem.split("_")[-1])
        for path in files
    ]


def esc50(shared: Path) -> list[Clip]:
    archive = shared / "data/corpora/esc50-all_folds-small.zip"
    table = csv.DictReader(io.StringIO(text_in(archive, "ESC-50-master/meta/esc50.csv")))
    meta = {row["filename"]: row for row in table}
    return [
        Clip(
            path,
            path.stem,
            meta[path.name]["category"],
            split=f"fold{int(meta[path.name]['fold']) - 1:02d}",
        )
        for path in wavs(shared / "data/corpora", archive.name)
    ]


def tfds(*archives: str) -> Callable[[Path], list[Clip]]:
    def clips(shared: Path) -> list[Clip]:
        rows = []
        for name in archives:
            archive = shared / "data/corpora" / name
            labels: dict[str, str] = {}
            for inside in names_in(archive):
                if inside.endswith("_labels.csv"):
                    for row in csv.DictReader(io.StringIO(text_in(archive, inside))):
                        labels[row["filename"]] = row["label"]
            rows += [
                Clip(path, path.stem, labels[path.name])
                for path in wavs(shared / "data/corpora", name)
            ]
        return rows

    return clips


def dcase2016(shared: Path) -> list[Clip]:
    rows = []
    for name in ("train_dev", "test_public"):
        archive = shared / f"data/standins/dcase2016_task2_{name}-small.zip"
        inside = names_in(archive)
        audio = {Path(path).stem: Path(path) for path in inside if path.endswith(".wav")}
        for path in inside:
            if path.endswith(".txt") and "annotation" in path:
                for line in text_in(archive, path).splitlines():
                    start, end, label = line.split("\t")
                    rows.append(
                        Clip(
                            audio[Path(path).stem],
                            Path(path).stem,
                            label,
                            start_ms=float(start) * 1000,
                            end_ms=float(end) * 1000,
                        )
                    )
    return rows


CORPORA: dict[str, tuple[Callable[[Path], list[Clip]], dict[str, Any]]] = {
    "beijing_opera": (beijing_opera, {}),
    "mridangam_stroke": (mridangam(-3), {}),
    "mridangam_tonic": (mridangam(-2), {}),
    "gunshot_triangulation": (gunshot, {}),
    "esc50": (esc50, {}),
    "spoken_digit": (tfds("spoken_digit-small.zip"), {}),
    "tfds_gtzan_music_speech": (tfds("gtzan_music_speech-small.zip"), {}),
    "tfds_crema_d": (
        tfds("crema_d-train-small.zip", "crema_d-valid-small.zip", "crema_d-test-small.zip"),
        {},
    ),
    "dcase2016_task2": (
        dcase2016,
        {},  # the small mode, unlike the full one, is cut 80/10/10
    ),
}


@pytest.mark.parametrize("name", CORPORA)
def test_files_splits_labels_and_vocabulary_equal_the_references(
    shared: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    golden = json.loads((shared / f"golden/preparation/{name}.json").read_text())
    clips, more = CORPORA[name]
    facts = golden["metadata"]
    recipe = Recipe(
        name=facts["task_name"],
        version=facts["version"],
        mode=facts["mode"],
        embedding_type=facts["embedding_type"],
        prediction_type=facts["prediction_type"],
        split_mode=facts["split_mode"],
        nfolds=len(facts["splits"]),
        sample_duration_s=facts["sample_duration"],
        scores=tuple(facts["evaluation"]),
        **more,
    )
    rows = clips(shared)
    monkeypatch.setattr(Path, "is_file", lambda _: True)  # they lie in the archives
    found = arrange(rows, recipe)

    lines = ["idx,label", *(f"{i},{label}" for i, label in enumerate(found.vocabulary))]
    assert "\n".join(lines) + "\n" == golden["labelvocabulary.csv"]
    assert list(found.splits) == list(golden["splits"])
    for split, files in golden["splits"].items():
        assert list(found.splits[split]) == list(files)
        for file, items in files.items():
            got = found.splits[split][file]
            if facts["embedding_type"] == "scene":
                assert got == items
                continue
            assert [event["label"] for event in got] == [event["label"] for event in items]
            for key in ("start", "end"):
                times = [event[key] for event in items]
                assert [event[key] for event in got] == pytest.approx(times, abs=1e-6)
    assert {**recipe.metadata(tuple(found.splits)), **facts} == recipe.metadata(tuple(found.splits))


def files(folder: Path, count: int) -> list[Path]:
    paths = [folder / f"c{i:03d}.wav" for i in range(count)]
    for path in paths:
        path.touch()
    return paths


def recipe(**changes: Any) -> Recipe:
    settings: dict[str, Any] = {
        "name": "t",
        "version": "1",
        "mode": "full",
        "embedding_type": "scene",
        "prediction_type": "multiclass",
        "split_mode": "trainvaltest",
        "sample_duration_s": 1.0,
        "scores": ("top1_acc",),
    }
    return Recipe(**{**settings, **changes})


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
