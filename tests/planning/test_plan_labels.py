"""Numbers of labels, against vocabularies that others made."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from pathlib import Path

import pytest

from hearbench.planning.facts import n_labels_of
from hearbench.tasks.catalog import catalog_names, get_spec

# Tasks whose small mode has all labels of the full one.
COMPLETE = (
    *("beehive_states_fold0", "beijing_opera", "coughvid", "dcase2016_task2"),
    *("gunshot_triangulation", "mridangam_tonic", "speech_commands", "spoken_digit"),
    *("tfds_crema_d", "tfds_gtzan_music_speech"),
)


def vocabulary(shared: Path, name: str) -> list[str]:
    found = json.loads((shared / "golden" / "preparation" / f"{name}.json").read_text())
    return [row["label"] for row in csv.DictReader(io.StringIO(found["labelvocabulary.csv"]))]


def known(name: str) -> int:
    found = n_labels_of(get_spec(name))
    assert found is not None
    return found


@pytest.mark.parametrize("name", COMPLETE)
def test_as_many_as_the_small_task_has(shared: Path, name: str) -> None:
    assert known(name) == len(vocabulary(shared, name))


def test_never_fewer_than_a_small_task_has(shared: Path) -> None:
    files = sorted((shared / "golden" / "preparation").glob("*.json"))
    names = [path.stem for path in files if path.stem != "functions"]
    assert len(names) > len(COMPLETE)
    for name in names:
        assert known(name) >= len(vocabulary(shared, name)), name


def test_pitches_lie_within_their_range(shared: Path) -> None:
    for name in ("maestro", "nsynth_pitch", "nsynth_pitch_kfold"):
        pitches = [int(label) for label in vocabulary(shared, name)]
        assert max(pitches) - min(pitches) + 1 == known(name) == 88


def test_as_many_as_the_corpus_lists(shared: Path) -> None:
    path = shared / "data" / "corpora" / "fsd50k-ground_truth-small.zip"
    with zipfile.ZipFile(path) as archive:
        rows = archive.read("FSD50K.ground_truth/vocabulary.csv").decode().splitlines()
    assert known("fsd50k") == len({row.split(",")[0] for row in rows})


def test_every_task_of_the_catalog_has_a_number() -> None:
    for name in catalog_names():
        assert known(name) >= 2


def test_what_the_options_say_counts() -> None:
    spec = get_spec("vox_lingua_top10")
    assert known("vox_lingua_top10") == 10
    assert n_labels_of(spec.model_copy(update={"options": {"languages": 7}})) == 7
    other = spec.model_copy(update={"name": "nothing_known", "options": {}})
    assert n_labels_of(other) is None
