"""Every corpus that the reference prepared, parsed and arranged, against what it made of it."""

from __future__ import annotations

import functools
import hashlib
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import soundfile
from helpers_golden import GOLDEN_TASKS

from hearbench.tasks.arrange import arrange
from hearbench.tasks.catalog import get_spec
from hearbench.tasks.clips import Clip
from hearbench.tasks.corpora import CorpusPart, RawCorpus, get_parser

ClipsOf = Callable[[str], list[Clip]]


@pytest.fixture(scope="session")
def clips_of(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> ClipsOf:
    """The clips of a task's small corpus, unpacked and parsed once, by the task's name."""

    @functools.cache
    def unpacked(name: str) -> Path:
        folder = tmp_path_factory.mktemp(Path(name).stem)
        (archive,) = (shared / "data").glob(f"*/{name}")
        with zipfile.ZipFile(archive) as file:
            file.extractall(folder)
        return folder

    @functools.cache
    def parsed(task: str) -> list[Clip]:
        spec = get_spec(task)
        parts = tuple(
            CorpusPart(unpacked(download.file_name), download.split, download.name)
            for download in spec.downloads_of("small")
        )
        return list(get_parser(spec.corpus)(RawCorpus(parts, spec.options)))

    return parsed


def golden_of(shared: Path, task: str) -> dict[str, Any]:
    golden: dict[str, Any] = json.loads((shared / f"golden/preparation/{task}.json").read_text())
    return golden


def test_the_tasks_are_all_there_are(shared: Path) -> None:
    files = (shared / "golden/preparation").glob("*.json")
    assert sorted(path.stem for path in files) == sorted([*GOLDEN_TASKS, "functions"])


@pytest.mark.parametrize("task", GOLDEN_TASKS)
def test_files_splits_labels_and_vocabulary_equal_the_references(
    shared: Path, clips_of: ClipsOf, task: str
) -> None:
    golden = golden_of(shared, task)
    found = arrange(clips_of(task), get_spec(task).recipe("small", (48000,)))

    lines = ["idx,label", *(f"{i},{label}" for i, label in enumerate(found.vocabulary))]
    assert "\n".join(lines) + "\n" == golden["labelvocabulary.csv"]
    assert list(found.splits) == list(golden["splits"])
    for split, files in golden["splits"].items():
        assert list(found.splits[split]) == list(files)
        for file, items in files.items():
            got = found.splits[split][file]
            if golden["metadata"]["embedding_type"] == "scene":
                assert got == items
                continue
            assert [event["label"] for event in got] == [event["label"] for event in items]
            for key in ("start", "end"):
                times = [event[key] for event in items]
                assert [event[key] for event in got] == pytest.approx(times, rel=0, abs=1e-6)
    metadata = get_spec(task).recipe("small", (48000,)).metadata(tuple(found.splits))
    assert {**metadata, **golden["metadata"]} == metadata


def test_the_silence_is_cut_at_the_references_places(shared: Path, clips_of: ClipsOf) -> None:
    golden = golden_of(shared, "speech_commands")["audio"]
    checked = 0
    for clip in clips_of("speech_commands"):
        if clip.excerpt is None:
            continue
        start, n_samples = clip.excerpt.start, clip.excerpt.n_samples
        x, sample_rate = soundfile.read(clip.path, n_samples, start, dtype="int16")
        digest = hashlib.sha256(x.astype("<i2").tobytes()).hexdigest()[:16]
        assert [sample_rate, len(x), digest] == golden[f"{clip.split}/{clip.filestem}.wav"]["mono"]
        checked += 1
    # 978,528 samples at 16 kHz: a second from every half second on that ends before they do.
    assert checked == len(range(0, 978528 - 16000, 8000)) == 121


def test_the_other_fold_of_the_beehives_is_the_reverse(clips_of: ClipsOf) -> None:
    one, other = (
        {(clip.path, clip.label): clip.split for clip in clips_of(task)}
        for task in ("beehive_states_fold0", "beehive_states_fold1")
    )
    swapped = {"train": "test", "test": "train"}
    assert len(one) == 80
    assert {key: swapped[str(split)] for key, split in one.items()} == other
