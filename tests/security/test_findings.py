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
from helpers_fuzz import bounded
from helpers_tasks import make_event_task, make_scene_task

from hearkit.audio.decode import read_float32, read_mono16
from hearkit.errors import AudioError, HearError, ModelError, ResultError, TaskError
from hearkit.files import is_file, read_npy
from hearkit.leaderboard.card import Card
from hearkit.models.answers import FORMS
from hearkit.models.onnx_spec import read_spec
from hearkit.results import Result
from hearkit.settings import Settings
from hearkit.tasks.catalog import TaskSpec
from hearkit.tasks.clip_table import read_clip_table
from hearkit.tasks.corpora.piano_notes import read_notes
from hearkit.tasks.corpora.tables import read_json_object
from hearkit.tasks.fetch.answers import length_of, span_of
from hearkit.tasks.store import load_task

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


def test_numbers_larger_than_a_float(tmp_path: Path, settings: Settings) -> None:
    folder = make_event_task(tmp_path)
    event = [{"label": "high", "start": 0, "end": 10**400}]
    listed = json.loads((folder / "train.json").read_text())
    (folder / "train.json").write_text(json.dumps({**listed, next(iter(listed)): event}))
    with pytest.raises(TaskError, match="no milliseconds from 0 on"):
        load_task(folder, settings=settings)


def test_an_index_of_thousands_of_digits(tmp_path: Path, settings: Settings) -> None:
    folder = make_scene_task(tmp_path, clips_per_label=1, duration_s=0.05)
    (folder / "labelvocabulary.csv").write_text(f"idx,label\n{'1' * 5000},a\n1,b\n2,c\n")
    with pytest.raises(TaskError, match="is not an index and a label"):
        load_task(folder, settings=settings)


def test_a_vocabulary_takes_time_by_its_length(tmp_path: Path, settings: Settings) -> None:
    folder = make_scene_task(tmp_path, clips_per_label=1, duration_s=0.05)
    lines = [f"{i},label {i}" for i in range(100_000)]
    (folder / "labelvocabulary.csv").write_text("\n".join(["idx,label", *lines]))
    with bounded(), pytest.raises(TaskError, match="wrong are"):
        load_task(folder, settings=settings)


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
    found = Settings.from_environment(environment={"HEARKIT_CACHE": "~nobodyhere/x"})
    assert found.cache_dir == Path.cwd() / "~nobodyhere" / "x"
    for text in ("a\0b", "~\0", "x" * 5000):
        with pytest.raises(HearError, match="can't be a path"):
            Settings.from_environment(environment={"HEARKIT_CACHE": text})
