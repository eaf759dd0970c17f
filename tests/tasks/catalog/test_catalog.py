from __future__ import annotations

import csv
import json
import sys
import types
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import EntryPoint
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from hearbench.errors import TaskError, UnknownNameError
from hearbench.tasks import catalog
from hearbench.tasks.catalog import Download, TaskSpec, catalog_names, get_spec
from hearbench.tasks.problems import Problems

NAMES = [
    "beehive_states_fold0",
    "beehive_states_fold1",
    "beijing_opera",
    "coughvid",
    "dcase2016_task2",
    "esc50",
    "fsd50k",
    "gunshot_triangulation",
    "libricount",
    "maestro",
    "mridangam_stroke",
    "mridangam_tonic",
    "nsynth_pitch",
    "nsynth_pitch_kfold",
    "speech_commands",
    "spoken_digit",
    "tfds_crema_d",
    "tfds_gtzan",
    "tfds_gtzan_music_speech",
    "tfds_speech_commands",
    "vocal_imitation",
    "vox_lingua_top10",
]

# Beehive stands for the mean of two tasks.
COLUMNS = {
    "Beehive": ["beehive_states_fold0-v2-full", "beehive_states_fold1-v2-full"],
    "Beijing Opera": ["beijing_opera-v1.0-hear2021-full"],
    "CREMA-D": ["tfds_crema_d-1.0.0-full"],
    "DCASE 2016": ["dcase2016_task2-hear2021-full"],
    "ESC-50": ["esc50-v2.0.0-full"],
    "FSD50K": ["fsd50k-v1.0-full"],
    "GTZAN Genre": ["tfds_gtzan-1.0.0-full"],
    "GTZAN Music/Speech": ["tfds_gtzan_music_speech-1.0.0-full"],
    "Gunshot": ["gunshot_triangulation-v1.0-full"],
    "Libricount": ["libricount-v1.0.0-hear2021-full"],
    "Maestro 5h": ["maestro-v3.0.0-5h"],
    "Mridangam Stroke": ["mridangam_stroke-v1.5-full"],
    "Mridangam Tonic": ["mridangam_tonic-v1.5-full"],
    "NSynth Pitch 50h": ["nsynth_pitch-v2.2.3-50h"],
    "NSynth Pitch 5h": ["nsynth_pitch-v2.2.3-5h"],
    "Speech commands 5h": ["speech_commands-v0.0.2-5h"],
    "Speech commands full": ["speech_commands-v0.0.2-full"],
    "Vocal Imitation": ["vocal_imitation-v1.1.3-full"],
    "VoxLingua107 top 10": ["vox_lingua_top10-hear2021-full"],
}


def columns() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name in NAMES:
        spec = get_spec(name)
        for mode, facts in spec.modes.items():
            if facts.leaderboard is not None:
                found.setdefault(facts.leaderboard, []).append(spec.folder_name(mode))
    return found


def test_all_22_tasks_are_there() -> None:
    assert [name for name in catalog_names() if name in NAMES] == NAMES
    on_disk = {item.name for item in files("hearbench.tasks.catalog").iterdir()}
    assert {f"{name}.toml" for name in NAMES} == {n for n in on_disk if n.endswith(".toml")}


@pytest.mark.parametrize("name", NAMES)
def test_a_task_is_called_as_its_file(name: str) -> None:
    spec = get_spec(name)
    assert spec.name == name
    assert get_spec(name) is spec


def test_the_leaderboards_columns() -> None:
    assert columns() == COLUMNS


def test_the_leaderboards_columns_are_those_of_the_table(shared: Path) -> None:
    with (shared / "data/leaderboard.csv").open(encoding="utf-8", newline="") as file:
        header = next(csv.reader(file))
    assert header[:3] == ["Model", "URL", "Submission Date"]
    assert header[3:] == list(COLUMNS)


def test_facts_of_some_tasks() -> None:
    fsd50k = get_spec("fsd50k")
    assert fsd50k.prediction_type == "multilabel"
    assert fsd50k.duration_of("full") is None
    assert fsd50k.hours_of("full") == 108.3
    dev, eval_, *rest = fsd50k.downloads_of("full")
    assert [part.file_name for part in dev.parts] == [
        *(f"FSD50K.dev_audio.z{i:02d}" for i in range(1, 6)),
        "FSD50K.dev_audio.zip",
    ]
    assert eval_.file_name == "FSD50K.eval_audio.zip"
    assert [item.file_name for item in rest] == ["FSD50K.ground_truth.zip", "FSD50K.metadata.zip"]
    assert fsd50k.downloads_of("small")[0].split == "train"

    maestro = get_spec("maestro").recipe("5h", (16000, 48000))
    assert (maestro.nfolds, maestro.sample_duration_s, maestro.max_duration_s) == (5, 120, 4500)
    assert maestro.sample_rates == (16000, 48000)
    assert maestro.use_scoring_for_early_stopping is False
    small = get_spec("maestro").recipe("small", (16000,))
    assert (small.nfolds, small.sample_duration_s, small.max_duration_s) == (4, 5, None)

    dcase = get_spec("dcase2016_task2")
    assert dcase.recipe("full", (1,)).split_percentage == {"train": 60, "valid": 20, "test": 20}
    assert dcase.recipe("small", (1,)).split_percentage is None
    commands = get_spec("speech_commands").recipe("5h", (1,))
    assert commands.max_duration_s == {"train": 16000, "valid": 2000}
    beehive = get_spec("beehive_states_fold1")
    assert beehive.options == {"train_hive": "hive3", "test_hive": "hive1"}
    assert [beehive.duration_of(mode) for mode in ("full", "5h", "small")] == [600, 30, 2]
    assert get_spec("tfds_gtzan").downloads_of("full") == ()
    assert get_spec("tfds_gtzan").originals[:2] == ("genres", "genres.tar.gz")


@pytest.mark.parametrize(
    ("name", "mode", "hours"),
    [
        ("esc50", "full", 2000 * 5 / 3600),
        ("maestro", "5h", 185 / 30),
        ("nsynth_pitch", "5h", 5000 / 900),
        ("beehive_states_fold0", "full", 96.0),
        ("coughvid", "full", None),
        ("beehive_states_fold0", "5h", None),
    ],
)
def test_hours(name: str, mode: str, hours: float | None) -> None:
    assert get_spec(name).hours_of(mode) == pytest.approx(hours)


def test_names_that_are_nearly_right() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'esc50'"):
        get_spec("esc-50")
    with pytest.raises(UnknownNameError, match=r"no mode 'fulll'\. Did you mean 'full'"):
        get_spec("esc50").recipe("fulll", (16000,))
    for method in ("mode", "downloads_of", "duration_of", "hours_of", "folder_name"):
        with pytest.raises(UnknownNameError, match="'maestro' has no mode 'full'"):
            getattr(get_spec("maestro"), method)("full")


@pytest.mark.parametrize("name", NAMES)
def test_recipes_are_sound(name: str) -> None:
    spec = get_spec(name)
    for mode in spec.modes:
        problems = Problems()
        spec.recipe(mode, (48000,)).check(problems)
        assert problems.lines() == []


# Every fact of the benchmark's own list, walked key by key, so that none can be passed over.


def downloads(facts: list[dict[str, Any]]) -> Iterator[Download]:
    for item in facts:
        known = {"split", "name", "url", "md5", "zipname", "multipart_zip_urls"}
        assert set(item) <= known
        parts = item.get("multipart_zip_urls", [])
        values = {key: value for key, value in item.items() if key != "multipart_zip_urls"}
        yield Download.model_validate({**values, "parts": parts})


def limits(facts: Mapping[str, float | None] | float | None) -> Mapping[str, float] | float | None:
    if isinstance(facts, Mapping):
        return {split: limit for split, limit in facts.items() if limit is not None} or None
    return facts


TASK_FACTS: dict[str, Callable[[TaskSpec, Any], bool]] = {
    "task_name": lambda spec, fact: spec.name == fact,
    "version": lambda spec, fact: spec.version == fact,
    "embedding_type": lambda spec, fact: spec.embedding_type == fact,
    "prediction_type": lambda spec, fact: spec.prediction_type == fact,
    "split_mode": lambda spec, fact: spec.split_mode == fact,
    "sample_duration": lambda spec, fact: spec.sample_duration_s == fact,
    "evaluation": lambda spec, fact: spec.scores == tuple(fact),
    "evaluation_params": lambda spec, fact: spec.evaluation_params == fact,
    "use_scoring_for_early_stopping": (
        lambda spec, fact: spec.use_scoring_for_early_stopping is fact
    ),
    "default_mode": lambda spec, fact: spec.default_mode == fact,
    "modes": lambda spec, fact: set(spec.modes) == set(fact),
    "download_urls": lambda spec, fact: spec.downloads == tuple(downloads(fact)),
    "nfolds": lambda spec, fact: spec.nfolds == fact,
    "tfds_task_name": lambda spec, fact: spec.tfds is not None and spec.tfds.name == fact,
    "tfds_task_version": lambda spec, fact: spec.tfds is not None and spec.tfds.version == fact,
    "extract_splits": (
        lambda spec, fact: (
            spec.tfds is not None
            and spec.tfds.splits == tuple(fact)
            and spec.options["splits"] == fact
        )
    ),
    "pitch_range_min": lambda spec, fact: spec.options["pitch_min"] == fact,
    "pitch_range_max": lambda spec, fact: spec.options["pitch_max"] == fact,
    "max_task_duration_by_fold": (
        lambda spec, fact: (
            fact is None and {m.max_duration_s for m in spec.modes.values()} == {None}
        )
    ),
}
MODE_FACTS: dict[str, Callable[[TaskSpec, str, Any], bool]] = {
    "max_task_duration_by_fold": (
        lambda spec, mode, fact: spec.recipe(mode, (1,)).max_duration_s == limits(fact)
    ),
    "max_task_duration_by_split": (
        lambda spec, mode, fact: spec.recipe(mode, (1,)).max_duration_s == limits(fact)
    ),
    "download_urls": lambda spec, mode, fact: spec.downloads_of(mode) == tuple(downloads(fact)),
    "sample_duration": lambda spec, mode, fact: spec.duration_of(mode) == fact,
    "split_percentage": lambda spec, mode, fact: spec.mode(mode).split_percentage == fact,
    "nfolds": lambda spec, mode, fact: spec.recipe(mode, (1,)).nfolds == fact,
}
# Where a fact isn't listed, the catalog must not have one.
TASK_WITHOUT: dict[str, Callable[[TaskSpec], bool]] = {
    "evaluation_params": lambda spec: spec.evaluation_params is None,
    "use_scoring_for_early_stopping": lambda spec: spec.use_scoring_for_early_stopping,
    "download_urls": lambda spec: spec.downloads == (),
    "nfolds": lambda spec: spec.nfolds is None,
    "tfds_task_name": lambda spec: spec.tfds is None,
}
MODE_WITHOUT: dict[str, Callable[[TaskSpec, str], bool]] = {
    "download_urls": lambda spec, mode: spec.mode(mode).downloads is None,
    "sample_duration": lambda spec, mode: spec.mode(mode).sample_duration_s is None,
    "split_percentage": lambda spec, mode: spec.mode(mode).split_percentage is None,
    "nfolds": lambda spec, mode: spec.mode(mode).nfolds is None,
}


@pytest.mark.parametrize("name", NAMES)
def test_every_fact_of_the_benchmarks_list(shared: Path, name: str) -> None:
    everything = json.loads((shared / "spec/tasks.json").read_text(encoding="utf-8"))
    assert sorted(everything) == NAMES
    facts, spec = everything[name], get_spec(name)
    different = [key for key, fact in facts.items() if not TASK_FACTS[key](spec, fact)]
    different += [
        key for key, without in TASK_WITHOUT.items() if key not in facts and not without(spec)
    ]
    for mode, own in facts["modes"].items():
        different += [
            f"{mode}.{key}" for key, fact in own.items() if not MODE_FACTS[key](spec, mode, fact)
        ]
        different += [
            f"{mode}.{key}"
            for key, without in MODE_WITHOUT.items()
            if key not in own and not without(spec, mode)
        ]
        if not {"max_task_duration_by_fold", "max_task_duration_by_split"} & set(own):
            assert spec.mode(mode).max_duration_s is None
    assert different == []


def test_clips_and_seconds_are_those_of_the_benchmarks_table(shared: Path) -> None:
    lines = (shared / "spec/2-tasks.md").read_text(encoding="utf-8").splitlines()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if "|" in line]
    table = {row[0]: row for row in rows if row[0] in COLUMNS}
    assert list(table) == list(COLUMNS)
    specs = {
        spec.folder_name(mode): (spec, mode) for spec in map(get_spec, NAMES) for mode in spec.modes
    }
    for column, folders in COLUMNS.items():
        _, folder, kind, split, seconds, clips, scores = table[column]
        assert folder == " and ".join(folders)
        for spec, mode in (specs[name] for name in folders):
            assert kind == f"{spec.embedding_type}, {spec.prediction_type}"
            assert spec.mode(mode).clips == int(clips)
            duration = spec.duration_of(mode)
            assert (seconds if duration is None else float(seconds)) in (
                duration,
                "0.3 to 30, uncut",
            )
            usual = ["top1_acc", "mAP", "d_prime", "aucroc"]
            named = usual if scores == "G" else scores.replace(";", ",").split(", ")
            assert list(spec.scores) == named
            folds = {"trainvaltest": "train/valid/test", "presplit_kfold": "the corpus's 5 folds"}
            assert split.startswith(folds.get(spec.split_mode, f"{spec.nfolds} new folds"))


@pytest.mark.parametrize("name", NAMES)
def test_metadata_are_the_references(shared: Path, name: str) -> None:
    path = shared / f"golden/preparation/{name}.json"
    if not path.is_file():
        pytest.skip("the reference has prepared no small corpus of it")
    golden = json.loads(path.read_text(encoding="utf-8"))
    facts = golden["metadata"]
    spec = get_spec(name)
    assert spec.folder_name("small") == golden["folder"]
    metadata = spec.recipe("small", (16000,)).metadata(tuple(facts["splits"]))
    assert {**metadata, **facts} == metadata
    assert set(metadata) - set(facts) <= {
        "nfolds",
        "evaluation_params",
        "use_scoring_for_early_stopping",
    }
    # Where the corpus is a stand-in, the official one may hold another number of clips.
    clips = spec.modes["small"].clips
    assert clips in (None, sum(map(len, golden["splits"].values())))


# Tasks of other packages.


def spec_of_another(**changes: Any) -> TaskSpec:
    values = get_spec("esc50").model_dump()
    return TaskSpec.model_validate({**values, "name": "other", **changes})


@pytest.fixture
def another_package(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], None]:
    """Registers an object as the task ``other`` of a module ``another_package``."""

    def register(thing: Any) -> None:
        module = types.ModuleType("another_package")
        module.task = thing  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "another_package", module)
        points = [EntryPoint("other", "another_package:task", "hearbench.tasks")]
        monkeypatch.setattr(catalog, "entry_points", lambda **_: points)

    return register


@pytest.mark.parametrize("as_function", [False, True])
def test_a_task_of_another_package(
    another_package: Callable[[Any], None], as_function: bool
) -> None:
    spec = spec_of_another()
    another_package((lambda: spec) if as_function else spec)
    assert catalog_names() == sorted([*NAMES, "other"])
    assert get_spec("other") is spec
    assert get_spec("esc50").name == "esc50"
    with pytest.raises(UnknownNameError, match="Did you mean 'other'"):
        get_spec("othr")


def fails() -> TaskSpec:
    return spec_of_another(domain="music?")


@pytest.mark.parametrize(
    ("thing", "said"),
    [
        (fails, r"can't be loaded: ValidationError.*domain"),
        (5, "is no TaskSpec, nor a function that returns one, but int"),
        (dict, "but dict"),
        (lambda: spec_of_another(name="another"), "calls itself 'another'"),
    ],
)
def test_a_broken_task_of_another_package(
    another_package: Callable[[Any], None], thing: Any, said: str
) -> None:
    another_package(thing)
    with pytest.raises(TaskError, match=f"(?s)another_package:task.*{said}"):
        get_spec("other")


def test_a_package_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    points = [EntryPoint("other", "no_such_package:task", "hearbench.tasks")]
    monkeypatch.setattr(catalog, "entry_points", lambda **_: points)
    with pytest.raises(TaskError, match=r"no_such_package:task.*ModuleNotFoundError"):
        get_spec("other")
