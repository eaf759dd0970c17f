from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hearbench.errors import TaskError
from hearbench.tasks.catalog import Download, TaskSpec

WHOLE = """
name = "birds"
version = "v1"
title = "Birds"
about = "Tells birds apart."
domain = "environment"
embedding_type = "scene"
prediction_type = "multiclass"
split_mode = "new_split_kfold"
nfolds = 5
sample_duration_s = 2.5
scores = ["top1_acc", "mAP"]
default_mode = "full"
corpus = "birds"
homepage = "https://example.org/birds"
licence = "CC0"

[[downloads]]
split = "train"
url = "https://example.org/files/birds%20one.zip?download=1"
md5 = "0123456789abcdef0123456789ABCDEF"

[modes.full]

[modes.small]
sample_duration_s = 1
"""


def spec_with(*changes: tuple[str, str]) -> TaskSpec:
    text = WHOLE
    for old, new in changes:
        assert text.count(old) == 1
        text = text.replace(old, new)
    return TaskSpec.from_text(text, "birds.toml")


def test_a_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "birds.toml"
    path.write_text(WHOLE, encoding="utf-8")
    spec = TaskSpec.from_toml(path)
    (download,) = spec.downloads_of("small")
    assert download.file_name == "birds one.zip"
    assert download.md5 == "0123456789abcdef" * 2
    assert download.files[0].url == "https://example.org/files/birds%20one.zip?download=1"
    recipe = spec.recipe("small", (8000, 16000))
    assert recipe.folder_name == spec.folder_name("small") == "birds-v1-small"
    assert recipe.metadata(("fold00", "fold01", "fold02", "fold03", "fold04")) == {
        "task_name": "birds",
        "version": "v1",
        "mode": "small",
        "embedding_type": "scene",
        "prediction_type": "multiclass",
        "split_mode": "new_split_kfold",
        "nfolds": 5,
        "sample_duration": 1.0,
        "evaluation": ["top1_acc", "mAP"],
        "splits": ["fold00", "fold01", "fold02", "fold03", "fold04"],
    }
    assert recipe.sample_rates == (8000, 16000)
    assert recipe.strict_labels is False
    assert spec.recipe("full", (8000,)).sample_duration_s == 2.5


def test_facts_cannot_be_changed() -> None:
    spec = spec_with()
    for thing, name in ((spec, "name"), (spec.modes["full"], "clips"), (spec.downloads[0], "url")):
        with pytest.raises(ValueError, match="frozen"):
            setattr(thing, name, "x")


FOLDS = 'split_mode = "new_split_kfold"\nnfolds = 5'
TRAIN_VALID_TEST = 'split_mode = "trainvaltest"'


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ([('"environment"', '"space"')], "domain: .*'speech', 'environment' or 'music'"),
        ([('"scene"', '"scenes"')], "embedding_type: .*'scene' or 'event'"),
        (
            [('"multiclass"', '"one"')],
            "prediction_type: .*'multilabel' or 'regression'",
        ),
        ([('"new_split_kfold"', '"kfold"')], "split_mode: .*'trainvaltest', 'new_split_kfold' or"),
        ([('name = "birds"', 'name = "../birds"')], "name: '../birds' can't be part of a folder"),
        (
            [('version = "v1"', 'version = "1 0"')],
            "version: '1 0' can't be part of a folder's name",
        ),
        ([("[modes.small]", '[modes."a/b"]')], "modes.a/b.*'a/b' can't be part of a folder's name"),
        ([('title = "Birds"', 'title = " "')], "title: "),
        ([('title = "Birds"', "title = 5")], "title: Input should be a valid string"),
        ([('title = "Birds"\n', "")], r"keys that are missing \(1\): title"),
        ([('licence = "CC0"', 'license = "CC0"')], r"missing \(1\): licence"),
        ([('licence = "CC0"', 'license = "CC0"')], "license. Did you mean 'licence'"),
        ([("[modes.full]", "[modes.full]\nclip = 5")], "modes.full.clip. Did you mean 'clips'"),
        (
            [("[modes.full]", "[modes.full]\nclips = 0")],
            "modes.full.clips: .*greater than or equal",
        ),
        ([("[modes.full]", "[modes.full]\nclips = true")], "modes.full.clips: .*valid integer"),
        ([("[modes.full]", "[modes.full]\nhours = -1.0")], "modes.full.hours: .*greater than 0"),
        ([("[modes.full]", '[modes.full]\nleaderboard = ""')], "modes.full.leaderboard: "),
        ([("nfolds = 5", "nfolds = 2")], "nfolds: .*greater than or equal to 3"),
        ([("nfolds = 5", 'nfolds = "5"')], "nfolds: .*valid integer"),
        ([("nfolds = 5\n", "")], "split_mode 'new_split_kfold' needs nfolds"),
        (
            [('"new_split_kfold"', '"trainvaltest"')],
            "nfolds belongs to new_split_kfold and presplit",
        ),
        (
            [(FOLDS, TRAIN_VALID_TEST), ("[modes.full]", "[modes.full]\nnfolds = 4")],
            "modes.full: nfolds belongs to new_split_kfold and presplit_kfold",
        ),
        ([("= 2.5", '= "2.5"')], "sample_duration_s: .*valid number"),
        ([("= 2.5", "= 0")], "sample_duration_s: .*greater than 0"),
        ([("= 2.5", "= inf")], "sample_duration_s: .*finite"),
        ([("= 2.5", "= nan")], "sample_duration_s: "),
        ([('["top1_acc", "mAP"]', "[]")], "scores: .*at least 1"),
        ([('"mAP"]', '"maP"]')], "no score named 'maP'. Did you mean 'mAP'"),
        ([('"mAP"]', '"top1_acc"]')], "'top1_acc' is named twice"),
        ([('"mAP"]', '"segment_1s_er"]')], "'segment_1s_er' doesn't fit a task of kind 'scene'"),
        ([('"scene"', '"event"')], "prediction_type of an event task is 'multilabel'"),
        ([('default_mode = "full"', 'default_mode = "5h"')], "'5h', and the modes are full, small"),
        (
            [('"https://example.org/birds"', '"example.org"')],
            "homepage: 'example.org' is no address",
        ),
        ([('url = "https', 'url = "ftp')], "downloads.0.url: .*begins with http:// or https://"),
        ([("birds%20one.zip", "")], "downloads.0.url: .*doesn't end in the name of a file"),
        ([("birds%20one.zip", "a%2F..%2Fb")], "doesn't end in the name of a file"),
        ([("ABCDEF", "ABCDE")], "downloads.0.md5: .*is no MD5, which has 32 hex digits"),
        ([("ABCDEF", "ABCDEG")], "downloads.0.md5: .*is no MD5, which has 32 hex digits"),
        ([("md5 =", "md =")], "downloads.0.md. Did you mean 'md5'"),
        ([('url = "', 'xyz = "')], "downloads.0.xyz. Known: split, name, url, md5"),
        ([('split = "train"\n', "")], "downloads.0: a download has split, name or both"),
        ([('md5 = "', 'zipname = "')], "downloads.0: zipname belongs to a download with parts"),
        (
            [("[modes.full]", "[modes.full]\nmax_duration_s = 0")],
            "max_duration_s: a duration is a pos",
        ),
        ([("[modes.full]", "[modes.full]\nmax_duration_s = true")], "of seconds, not True"),
        (
            [("[modes.full]", "[modes.full]\nmax_duration_s = { train = 5 }")],
            "modes.full: max_duration_s of a task with folds is one number, for every fold",
        ),
        (
            [
                (FOLDS, TRAIN_VALID_TEST),
                ("[modes.full]", "[modes.full]\nmax_duration_s = { train = 5, dev = 2 }"),
            ],
            "modes.full.max_duration_s: it has numbers for train, valid or test, not for",
        ),
        (
            [(FOLDS, TRAIN_VALID_TEST), ("[modes.full]", "[modes.full]\nmax_duration_s = 5")],
            "modes.full: max_duration_s of trainvaltest has numbers for train, valid or test",
        ),
        (
            [
                ("sample_duration_s = 2.5\n", ""),
                ("[modes.full]", "[modes.full]\nmax_duration_s = 5"),
            ],
            "modes.full: max_duration_s needs sample_duration_s",
        ),
        (
            [
                (
                    "[modes.full]",
                    "[modes.full]\nsplit_percentage = { train = 60, valid = 20, test = 20 }",
                )
            ],
            "modes.full: split_percentage belongs to trainvaltest",
        ),
        (
            [
                (FOLDS, TRAIN_VALID_TEST),
                ("[modes.full]", "[modes.full]\nsplit_percentage = { train = 60, valid = 20 }"),
            ],
            "modes.full: split_percentage has numbers for train .* valid and test",
        ),
        (
            [
                (FOLDS, TRAIN_VALID_TEST),
                (
                    "[modes.full]",
                    "[modes.full]\nsplit_percentage = { train = 60, valid = 20, test = 10 }",
                ),
            ],
            "modes.full: split_percentage adds up to 90",
        ),
        (
            [("[modes.full]", "[modes.full]\n[evaluation_params.early]\nx = [1]")],
            "evaluation_params.early.*'event_postprocessing_grid' or 'task_specific_param_grid'",
        ),
        (
            [
                (
                    "[modes.full]",
                    "[modes.full]\n[evaluation_params.event_postprocessing_grid]\n"
                    "median_filter_ms = [150]",
                )
            ],
            "event_postprocessing_grid belongs to event tasks",
        ),
        (
            [('licence = "CC0"', 'licence = "CC0"\noriginals = ["a"]')],
            "originals belongs to a task w",
        ),
        (
            [("[modes.full]", '[tfds]\nname = "a"\nversion = "1"\nsplits = []\n[modes.full]')],
            "tfds.splits: .*at least 1",
        ),
    ],
)
def test_what_a_file_may_not_say(changes: list[tuple[str, str]], said: str) -> None:
    with pytest.raises(TaskError, match=said) as raised:
        spec_with(*changes)
    lines = str(raised.value).splitlines()
    assert lines[0] == "The task file birds.toml can't be used; wrong are:"
    assert lines[-1] == "Mend these."
    assert "pydantic" not in str(raised.value)


def test_all_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(TaskError) as raised:
        spec_with(('"environment"', '"space"'), ("ABCDEF", "x"), ("nfolds = 5", "nfold = 5"))
    assert str(raised.value).count("\n") == 3
    for said in ("domain", "downloads.0.md5", "nfold. Did you mean 'nfolds'"):
        assert said in str(raised.value)


def test_two_files_of_one_name() -> None:
    again = '[[downloads]]\nname = "b"\nurl = "http://example.com/birds%20one.zip"\n[modes.full]'
    with pytest.raises(TaskError, match=r"downloads: downloads of one name: birds one\.zip"):
        spec_with(("[modes.full]", again))


PARTS = [{"url": f"https://example.org/a.{end}", "md5": "0" * 32} for end in ("z01", "zip")]


def test_an_archive_in_parts() -> None:
    values = {"split": "train", "parts": PARTS, "zipname": "a.zip"}
    download = Download.model_validate(values)
    assert download.file_name == "a.zip"
    assert [part.file_name for part in download.files] == ["a.z01", "a.zip"]
    for changes, said in (
        ({"zipname": "b.zip"}, "zipname is the name of the last part, 'a.zip', not 'b.zip'"),
        ({"zipname": None}, "zipname is the name of the last part"),
        ({"url": "https://example.org/a.zip"}, "either url or parts"),
        ({"md5": "0" * 32}, "each part has its own md5"),
        ({"parts": PARTS[1:] * 2}, "parts of one name: a.zip"),
        ({"parts": []}, "either url or parts"),
    ):
        with pytest.raises(ValueError, match=said):
            Download.model_validate({**values, **changes})


@pytest.mark.parametrize("text", ["name = ", "name = 'a'\nname = 'b'", "\x00"])
def test_what_is_no_toml(tmp_path: Path, text: str) -> None:
    path = tmp_path / "birds.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(TaskError, match=r"birds\.toml is no TOML: "):
        TaskSpec.from_toml(path)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match=r"none\.toml can't be read"):
        TaskSpec.from_toml(tmp_path / "none.toml")
    (tmp_path / "latin.toml").write_bytes(b'title = "\xe9"')
    with pytest.raises(TaskError, match=r"latin\.toml can't be read"):
        TaskSpec.from_toml(tmp_path / "latin.toml")


ESC50 = (files("hearbench.tasks.catalog") / "esc50.toml").read_text(encoding="utf-8")
KEYS = [line.split(" = ")[0] for line in WHOLE.splitlines() if " = " in line]
ANYTHING: st.SearchStrategy[Any] = st.one_of(
    st.integers(-(2**62), 2**62).map(str),
    st.floats().map(repr),
    st.booleans().map(lambda x: str(x).lower()),
    st.text("abc /.:\u00e9", max_size=8).map(lambda text: f'"{text}"'),
    st.sampled_from(["[]", "[1]", '["a"]', "{}", "{ a = 1 }", "[[]]", "1979-05-27", "07:32:00"]),
)


@given(st.sampled_from(KEYS), ANYTHING)
def test_any_value_anywhere_is_taken_or_explained(key: str, value: str) -> None:
    lines = WHOLE.splitlines()
    index = next(i for i, line in enumerate(lines) if line.startswith(f"{key} = "))
    lines[index] = f"{key} = {value}"
    try:
        spec = TaskSpec.from_text("\n".join(lines), "birds.toml")
    except TaskError as error:
        assert str(error).startswith("The task file birds.toml")  # noqa: PT017
    else:
        assert isinstance(spec, TaskSpec)


@given(st.text(max_size=60), st.integers(0, len(ESC50)), st.integers(0, 40))
def test_any_text_is_taken_or_explained(text: str, at: int, drop: int) -> None:
    broken = ESC50[:at] + text + ESC50[at + drop :]
    try:
        spec = TaskSpec.from_text(broken, "esc50.toml")
    except TaskError as error:
        assert str(error).startswith("The task file esc50.toml")  # noqa: PT017
    else:
        assert isinstance(spec, TaskSpec)
