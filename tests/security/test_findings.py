"""What fuzzing found, each as one small case that fails without its mending."""

from __future__ import annotations

import gc
import io
import json
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from helpers_cli import hearbench
from helpers_fuzz import bounded
from helpers_leaderboard import write_made_up_result
from helpers_models import write_model
from helpers_tasks import make_event_task, make_scene_task
from helpers_views import write_event_result

import hearbench as hearbench_package
from hearbench.audio.decode import read_float32, read_mono16
from hearbench.embeddings.compute import embed
from hearbench.embeddings.ranges import array_file
from hearbench.errors import (
    AudioError,
    EmbeddingError,
    HearError,
    ModelError,
    ProbeError,
    ResultError,
    TaskError,
)
from hearbench.files import is_file, read_npy
from hearbench.leaderboard.card import Card
from hearbench.models.answers import FORMS
from hearbench.models.loading import load_model
from hearbench.models.onnx_spec import read_spec
from hearbench.planning.facts import task_facts
from hearbench.probe.events import DEFAULT_POSTPROCESSING, events_from_frames
from hearbench.results import Result
from hearbench.tasks.catalog import TaskSpec
from hearbench.tasks.corpora.maestro import read_notes
from hearbench.tasks.corpora.tables import read_json_object
from hearbench.tasks.fetch.listening import length_of, span_of
from hearbench.tasks.from_csv import read_clip_table
from hearbench.tasks.store import load_task
from hearbench.views.events import EventPredictions
from hearbench.workspace import Workspace

DEEP = "[" * 100_000


def test_deeply_nested_files(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(DEEP)
    (tmp_path / "x.toml").write_text(f"a = {DEEP}")
    (tmp_path / "x.onnx").write_bytes(b"")
    with pytest.raises(TaskError, match="is no JSON"):
        read_json_object(tmp_path / "x.json")
    with pytest.raises(TaskError, match="is no TOML"):
        TaskSpec.from_toml(tmp_path / "x.toml")
    with pytest.raises(ResultError, match="isn't a TOML file"):
        Card.read(tmp_path / "x.toml")
    with pytest.raises(ModelError, match="is no TOML"):
        read_spec(tmp_path / "x.onnx")
    with pytest.raises(ResultError):
        Result.read(tmp_path / "x.json")
    for name in ("result.json", "predictions/test.events.json", "predictions/labels.json"):
        folder = write_event_result(tmp_path / "result")
        (folder / name).write_text(DEEP)
        with pytest.raises(ResultError, match=rf"{name} is not .*valid JSON"):
            EventPredictions.read(folder).clip("a.wav")


@pytest.mark.parametrize("content", [DEEP, "[]", '{"a.wav": 1}', "null"])
def test_splits_that_a_plan_can_not_read(
    tmp_path: Path, workspace: Workspace, content: str
) -> None:
    folder = make_event_task(tmp_path)
    (folder / "train.json").write_text(content)
    with pytest.raises(TaskError, match="can't be read"):
        task_facts(str(folder), workspace)


def test_numbers_larger_than_a_float(tmp_path: Path, workspace: Workspace) -> None:
    folder = make_event_task(tmp_path)
    event = [{"label": "high", "start": 0, "end": 10**400}]
    listed = json.loads((folder / "train.json").read_text())
    (folder / "train.json").write_text(json.dumps({**listed, next(iter(listed)): event}))
    with pytest.raises(TaskError, match="no milliseconds from 0 on"):
        load_task(folder, workspace=workspace)


def test_an_index_of_thousands_of_digits(tmp_path: Path, workspace: Workspace) -> None:
    folder = make_scene_task(tmp_path, clips_per_label=1, duration_s=0.05)
    (folder / "labelvocabulary.csv").write_text(f"idx,label\n{'1' * 5000},a\n1,b\n2,c\n")
    with pytest.raises(TaskError, match="is not an index and a label"):
        load_task(folder, workspace=workspace)


def test_a_vocabulary_takes_time_by_its_length(tmp_path: Path, workspace: Workspace) -> None:
    folder = make_scene_task(tmp_path, clips_per_label=1, duration_s=0.05)
    lines = [f"{i},label {i}" for i in range(100_000)]
    (folder / "labelvocabulary.csv").write_text("\n".join(["idx,label", *lines]))
    with bounded(), pytest.raises(TaskError, match="wrong are"):
        load_task(folder, workspace=workspace)


@pytest.mark.parametrize("name", ["x" * 5000, "a/" * 3000 + "b"])
def test_clips_whose_paths_are_too_long(tmp_path: Path, name: str) -> None:
    (tmp_path / "clips.csv").write_text(f"path,label\n{name},a\n")
    with pytest.raises(TaskError, match="files that are missing"):
        read_clip_table(tmp_path / "clips.csv", tmp_path)
    assert not is_file(name)


def test_lengths_of_thousands_of_digits() -> None:
    class Response:
        headers = {"Content-Range": f"bytes 0-1/{'9' * 5000}", "Content-Length": "9" * 5000}  # noqa: RUF012

    response: Any = Response()
    assert span_of(response) is None
    assert length_of(response) is None


def _zipped() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.npy", b"x")
    return file.getvalue()


def _header(text: str) -> bytes:
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode("latin-1")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x80\x04N.",
        _zipped(),
        _header("("),
        _header("\0"),
        _header("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }\n"),
        _header("{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999,), }\n"),
        _header("{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }\n"),
    ],
)
@pytest.mark.parametrize("mmap", [True, False])
def test_what_is_no_array(tmp_path: Path, data: bytes, mmap: bool) -> None:
    (tmp_path / "x.npy").write_bytes(data)
    with bounded(), pytest.raises(ValueError, match=r"numpy's format"):
        read_npy(tmp_path / "x.npy", mmap=mmap)


def test_samples_far_beyond_full_scale(tmp_path: Path) -> None:
    x = np.array([[3e38, 3e38], [-3e38, 0], [0.5, 0.5]], dtype=np.float32)
    soundfile.write(tmp_path / "x.wav", x, 8000, subtype="FLOAT")
    assert read_mono16(tmp_path / "x.wav")[0].tolist() == [32767, -32768, 16384]
    x[1] = np.inf, -np.inf
    soundfile.write(tmp_path / "x.wav", x, 8000, subtype="FLOAT")
    with pytest.raises(AudioError, match="no numbers"):
        read_mono16(tmp_path / "x.wav")


def test_a_file_that_leads_before_its_beginning(tmp_path: Path) -> None:
    # An AIFF file with a chunk that is longer than it says: libsndfile looks for the next one in
    # the wrong place, and goes back by too much. pytest tells of errors that Python only prints.
    common = b"COMM" + struct.pack(">I", 18) + bytes.fromhex("0001000000100010400bfa00000000000000")
    sound, note = (name + struct.pack(">I", 3) for name in (b"SSND", b"ANNO"))
    body = b"AIFF" + common + note + bytes(16) + sound + bytes(64)
    data = b"FORM" + struct.pack(">I", len(body)) + body
    (tmp_path / "x.wav").write_bytes(data)
    with pytest.raises(AudioError):
        read_float32(tmp_path / "x.wav")
    gc.collect()


def test_a_midi_file_that_claims_gigabytes(tmp_path: Path) -> None:
    pytest.importorskip("pretty_midi")
    (tmp_path / "x.mid").write_bytes(b"MThd\xff\xff\xff\xff\0\1\0\2\0\x60MTrk")
    with bounded(), pytest.raises(TaskError, match="can't be read as MIDI"):
        read_notes(tmp_path / "x.mid")


@pytest.mark.parametrize("do", ["import", "load", "memory", "returned", "gradients"])
def test_an_answer_needs_all_of_its_keys(do: str) -> None:
    # Whoever reads an answer takes every key of it to be there.
    required = [name for name, field in FORMS[do].model_fields.items() if field.is_required()]
    assert required == list(FORMS[do].model_fields)


def test_a_cache_is_a_path_or_an_error() -> None:
    found = Workspace.from_environment(environment={"HEARBENCH_CACHE": "~nobodyhere/x"})
    assert found.cache_dir == Path.cwd() / "~nobodyhere" / "x"
    for text in ("a\0b", "~\0", "x" * 5000):
        with pytest.raises(HearError, match="can't be a path"):
            Workspace.from_environment(environment={"HEARBENCH_CACHE": text})


def test_places_of_results_that_can_not_be(tmp_path: Path) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    for place in ("x" * 300, loop / "x"):
        answer = hearbench("report", place)
        assert answer.code == 2
        assert answer.stderr.startswith("error: ")


@pytest.mark.parametrize(
    "arguments",
    [
        ("leaderboard", "show", "--with", "{path}"),
        ("leaderboard", "show", "--with", "{path}:name"),
        ("leaderboard", "build", "--results", "{path}", "--out", "site"),
        (
            "embed",
            "hearbench.models.naive",
            "--task",
            "{path}",
            "--sandbox",
            "--readable",
            "{path}",
        ),
        ("embed", "hearbench.models.naive", "--task", "{path}", "--python", "{path}"),
        ("plan", "hearbench.models.naive", "--task", "{path}"),
        ("probe", "{path}", "--task", "{path}", "--out", "out"),
        ("validate", "hearbench.models.naive", "--weights", "{path}"),
    ],
)
@pytest.mark.parametrize("path", ["~nobodyhere/x", "x" * 300])
def test_homes_of_nobody_and_names_too_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], path: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HEARBENCH_CACHE", str(tmp_path / "cache"))
    answer = hearbench(*(text.format(path=path) for text in arguments))
    assert answer.code == 2
    assert any(line.startswith("error: ") for line in answer.stderr.splitlines()), answer.stderr


def test_pathlib_finds_no_homes() -> None:
    # Path.expanduser fails for a stranger's; hearbench.workspace.user_path doesn't.
    root = Path(hearbench_package.__file__).parent
    wrong = [path for path in root.rglob("*.py") if ".expanduser()" in path.read_text()]
    assert wrong == []


@pytest.fixture
def result_json(tmp_path: Path) -> Path:
    return write_made_up_result(tmp_path, "esc50-v2.0.0-full") / "result.json"


def test_a_first_score_that_is_none_of_the_scores(result_json: Path) -> None:
    content = json.loads(result_json.read_text())
    result_json.write_text(json.dumps({**content, "primary_score": "nonsense"}))
    with pytest.raises(ResultError, match="primary_score is none of the scores: 'nonsense'"):
        Result.read(result_json)


@pytest.mark.parametrize("key", ["median_filter_ms", "min_duration_ms"])
@pytest.mark.parametrize("value", ["-1", "1e999", "NaN"])
def test_lengths_that_are_none(result_json: Path, key: str, value: str) -> None:
    content = json.loads(result_json.read_text())
    content["folds"][0]["postprocessing"] = {"median_filter_ms": 250, "min_duration_ms": 0}
    result_json.write_text(json.dumps(content))
    assert Result.read(result_json).folds[0].postprocessing is not None
    content["folds"][0]["postprocessing"][key] = float(value)
    result_json.write_text(json.dumps(content))
    named = rf"folds\.0\.postprocessing\.{key}" if value == "-1" else "no number of JSON"
    with pytest.raises(ResultError, match=named):
        Result.read(result_json)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_timestamps_that_are_no_numbers(value: float) -> None:
    times = np.array([0.0, 50.0, 0.0, value, 100.0])
    with pytest.raises(ProbeError, match=rf"clip 1 have {value} ms"):
        events_from_frames(np.ones((5, 1)), [0, 2, 5], times, DEFAULT_POSTPROCESSING)


@pytest.mark.parametrize(
    "array",
    [
        *(np.zeros((2, 2), dtype) for dtype in ("<i4", ">f4", "<f8", "<c8", "S3", "f4,f4")),
        np.zeros((2, 2), "<f4", order="F"),
        None,
    ],
    ids=lambda array: "none" if array is None else array.dtype.str,
)
def test_embeddings_of_other_numbers(tmp_path: Path, workspace: Workspace, array: Any) -> None:
    task = load_task(make_scene_task(tmp_path, clips_per_label=1), workspace=workspace)
    model = load_model(write_model(tmp_path), workspace=workspace)
    store = embed(model, task, workspace=workspace)
    file = store.manifest.shards[0].embeddings
    assert array_file(store, file).dtype == np.float32
    path = store.folder / "shards" / file.name
    if array is None:
        path.write_bytes(_header("("))
    else:
        np.save(path, array)
    with pytest.raises(EmbeddingError, match=r"can't be read .*Embedding again"):
        array_file(store, file)


@pytest.mark.parametrize(
    ("name", "dtype"), [("test.bounds", "f8"), ("test.timestamps", "S8"), ("test", "c8")]
)
def test_frames_of_other_numbers(tmp_path: Path, name: str, dtype: str) -> None:
    folder = write_event_result(tmp_path)
    path = folder / "predictions" / f"{name}.npy"
    np.save(path, np.load(path).astype(dtype))
    with pytest.raises(ResultError, match=rf"{name}\.npy (doesn't say|holds|has the shape)"):
        EventPredictions.read(folder).clip("a.wav")


def test_timestamps_without_a_shape(tmp_path: Path) -> None:
    folder = write_event_result(tmp_path)
    np.save(folder / "predictions" / "test.timestamps.npy", np.float64(1))
    with pytest.raises(ResultError, match=r"timestamps\.npy holds float64 \(\), and not times"):
        EventPredictions.read(folder).clip("a.wav")
