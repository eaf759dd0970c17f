"""Tasks from anybody: metadata, vocabularies, labels, events, lists of clips, task files."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from helpers_fuzz import (
    files_below,
    fuzzed,
    mutated_bytes,
    mutated_json,
    texts,
    value_or_error,
)
from helpers_tasks import make_event_task, make_scene_task
from hypothesis import given
from hypothesis import strategies as st

import hearbench.tasks.catalog
from hearbench.errors import HearError
from hearbench.tasks.catalog import TaskSpec
from hearbench.tasks.corpora.tables import read_json_object, read_rows
from hearbench.tasks.from_csv import prepare_from_csv
from hearbench.tasks.own_recipe import OwnTask
from hearbench.tasks.store import PreparedTask, load_task
from hearbench.workspace import Workspace


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tasks")
    make_scene_task(folder, clips_per_label=1, duration_s=0.05)
    make_event_task(folder)
    return folder


def _loaded(folder: Path, name: str, data: bytes) -> PreparedTask | HearError:
    """The task with one of its files changed, which is put back afterwards."""
    file = folder / name
    before = file.read_bytes()
    workspace = Workspace(cache_dir=folder.parent / "cache", device="cpu", workers=1)
    there = files_below(folder)
    try:
        file.write_bytes(data)
        found: PreparedTask | HearError = value_or_error(
            lambda: load_task(folder, workspace=workspace, download=False)
        )
        assert isinstance(found, PreparedTask | HearError)
        if isinstance(found, PreparedTask):
            value_or_error(lambda: [found.digest(16000), found.folds()])
            for split in found.splits if found.kind == "scene" else ():
                value_or_error(lambda split=split: found.targets(split))  # type: ignore[misc]
    finally:
        file.write_bytes(before)
    assert files_below(folder) == there
    return found


def _json(path: Path) -> Any:
    return json.loads(path.read_text())


@pytest.mark.parametrize("task", ["tones-1.0.0-full", "beeps-1.0.0-full"])
@pytest.mark.parametrize("name", ["task_metadata.json", "train.json"])
@fuzzed
@given(data=st.data())
def test_metadata_labels_and_events(place: Path, task: str, name: str, data: st.DataObject) -> None:
    folder = place / task
    _loaded(folder, name, data.draw(mutated_json(_json(folder / name))))


def _table(rows: list[list[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode("utf-8", "surrogatepass")


@st.composite
def mutated_table(draw: st.DrawFn, rows: list[list[str]]) -> bytes:
    """The bytes of a CSV file with some cells, or bytes, changed."""
    if draw(st.booleans()):
        return draw(mutated_bytes(_table(rows)))
    changed = [list(row) for row in rows]
    for _ in range(draw(st.integers(1, 3))):
        row = changed[draw(st.integers(0, len(changed) - 1))]
        at = draw(st.integers(0, len(row)))
        row[at : at + draw(st.integers(0, 1))] = [draw(texts)]
    if draw(st.integers(0, 9)) == 0:
        changed.append(["x" * 140_000])
    return _table(changed)


@fuzzed
@given(data=mutated_table([["idx", "label"], ["0", "a"], ["1", "b"], ["2", "c"]]))
def test_vocabularies(place: Path, data: bytes) -> None:
    _loaded(place / "tones-1.0.0-full", "labelvocabulary.csv", data)


_ROWS = [
    ["path", "label", "split"],
    *([f"{split}-a-0.wav", "a", split] for split in ("train", "valid", "test")),
    *([f"{split}-b-0.wav", "b", split] for split in ("train", "valid", "test")),
]
_EVENT_ROWS = [
    ["path", "label", "fold", "start_ms", "end_ms"],
    *([f"train-{label}-0.wav", label, str(i), "0", "10.5"] for i, label in enumerate("abc")),
]


@pytest.mark.parametrize("rows", [_ROWS, _EVENT_ROWS], ids=["scene", "event"])
@fuzzed
@given(data=st.data())
def test_lists_of_clips(
    place: Path,
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[list[str]],
    data: st.DataObject,
) -> None:
    top = tmp_path_factory.mktemp("lists")
    audio = top / "audio"
    audio.mkdir()
    for path in (place / "tones-1.0.0-full" / "16000").glob("*/*.wav"):
        shutil.copyfile(path, audio / path.name)
    (top / "clips.csv").write_bytes(data.draw(mutated_table(rows)))
    there = files_below(top)
    workspace = Workspace(cache_dir=top / "cache", device="cpu", workers=1)
    value_or_error(
        lambda: prepare_from_csv(
            top / "clips.csv",
            audio,
            OwnTask("mine", mode="small"),
            top / "out",
            workspace=workspace,
        )
    )
    new = files_below(top) - there
    assert all(name.split("/")[0] in {"out", "cache"} for name in new), new
    shutil.rmtree(top)


@fuzzed
@given(
    data=mutated_table([["name", "label", "fold"], ["a.wav", "dog", "1"], ["b.wav", "cat", "2"]])
)
def test_tables_of_corpora(place: Path, data: bytes) -> None:
    path = place / "table.csv"
    path.write_bytes(data)

    def read() -> None:
        for row in read_rows(path, ("name", "label", "fold")):
            for of in (row.text, row.relative_path, row.number, row.flag):
                value_or_error(lambda of=of: of("name"))  # type: ignore[misc]
            value_or_error(lambda row=row: row.integer("fold", lowest=1))  # type: ignore[misc]

    value_or_error(read)


@fuzzed
@given(data=mutated_json({"a": {"b": [1, 2.5, "c"]}}))
def test_json_of_corpora(place: Path, data: bytes) -> None:
    path = place / "corpus.json"
    path.write_bytes(data)
    value_or_error(lambda: read_json_object(path))


_CATALOG = Path(hearbench.tasks.catalog.__file__).parent


@st.composite
def mutated_toml(draw: st.DrawFn, text: str) -> str:
    """A TOML text with lines changed, swapped, doubled or nested deeply."""
    lines = text.splitlines()
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(lines) - 1))
        what = draw(st.sampled_from(("drop", "double", "value", "raw", "deep")))
        key = lines[at].partition("=")[0]
        if what == "drop":
            del lines[at]
        elif what == "double":
            lines.insert(at, lines[at])
        elif what == "value":
            value = draw(
                st.sampled_from(("nan", "inf", "-1", "0", "1e999", "9" * 400, "[]", "{}", "''"))
                | texts.map(json.dumps)
            )
            lines[at] = f"{key} = {value}"
        elif what == "raw":
            lines[at] = draw(texts)
        else:
            lines[at] = f"{key} = {'[' * 5000}{']' * 5000}"
        lines = lines or [""]
    return "\n".join(lines)


@pytest.mark.parametrize("name", ["esc50", "fsd50k", "dcase2016_task2"])
@fuzzed
@given(data=st.data())
def test_task_files(place: Path, name: str, data: st.DataObject) -> None:
    text = (_CATALOG / f"{name}.toml").read_text(encoding="utf-8")
    path = place / "task.toml"
    path.write_bytes(data.draw(mutated_toml(text)).encode("utf-8", "surrogatepass"))
    found = value_or_error(lambda: TaskSpec.from_toml(path))
    if isinstance(found, TaskSpec):
        value_or_error(lambda: found.recipe(found.default_mode, (16000,)))
