"""What is prepared can be loaded, whatever files and labels are called and whenever events are."""

from __future__ import annotations

import csv
import io
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers_tasks import recipe, write_wav
from hypothesis import HealthCheck, example, given
from hypothesis import settings as bounded
from hypothesis import strategies as st

from hearbench.errors import TaskError
from hearbench.tasks import arrange as arranging
from hearbench.tasks.clips import Clip
from hearbench.tasks.from_csv import prepare_from_csv
from hearbench.tasks.own_recipe import OwnTask
from hearbench.tasks.prepare import prepare_task
from hearbench.tasks.store import load_task
from hearbench.workspace import Workspace

SPLITS = ("train", "valid", "test")
RATE = 8000


def corpus(folder: Path, names: Sequence[str], *, n: int = 800) -> Path:
    audio = folder / "audio"
    for name in names:
        write_wav(audio / name, np.full(n, 99, np.int16), RATE)
    return audio


def listed(folder: Path, rows: Sequence[Sequence[object]], *columns: str) -> Path:
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL).writerows([columns, *rows])
    path = folder / "clips.csv"
    path.write_bytes(text.getvalue().encode())
    return path


def prepared(path: Path, workspace: Workspace, **more: Any) -> Path:
    audio, out = path.parent / "audio", path.parent / "out"
    return prepare_from_csv(path, audio, OwnTask("t", **more), out, workspace=workspace)


ODD = [
    *(
        "a\rb",
        "a\nb",
        "a\r\nb",
        "\r",
        'say "x"',
        "a,b",
        "'",
        "a\x0bb",
        "a\x0cb",
        "a\x1cb",
        "a\x85b",
    ),
    *("a\u2028b", "a\x00b", "a\\b", "\ufeffa", "-", "=1+1", "007", "7", "-0", "1" * 5000),
    *("e\u0301", "\u00e9", "A", "a", "None", "nan", "\x1b[2J", "x" * 200_000, "#", "\u200b"),
]


@pytest.mark.parametrize("label", ODD)
def test_odd_labels(label: str, tmp_path: Path, workspace: Workspace) -> None:
    names = [f"{i}.wav" for i in range(6)]
    corpus(tmp_path, names)
    rows = [(name, "qq" if i % 2 else label, SPLITS[i // 2]) for i, name in enumerate(names)]
    try:
        folder = prepared(listed(tmp_path, rows, "path", "label", "split"), workspace)
    except TaskError:
        assert "\0" in label or len(label) > 100_000 or not label.strip()
        return
    task = load_task(folder, workspace=workspace)
    assert set(task.vocabulary) == {"qq", label.strip()}
    assert task.splits["train"]["0.wav"] == (label.strip(),)


@pytest.mark.parametrize(
    "labels", [("1" * 5000, "2"), ("9" * 4000, "2"), ("12345678901234567890", "3")]
)
def test_labels_of_many_digits(
    labels: tuple[str, str], tmp_path: Path, workspace: Workspace
) -> None:
    names = [f"{i}.wav" for i in range(6)]
    corpus(tmp_path, names)
    rows = [(name, labels[i % 2], SPLITS[i // 2]) for i, name in enumerate(names)]
    folder = prepared(listed(tmp_path, rows, "path", "label", "split"), workspace)
    assert set(load_task(folder, workspace=workspace).vocabulary) == set(labels)


@pytest.mark.parametrize(
    "name",
    [
        "a\\b.wav",
        ".a.wav",
        "..wav",
        "...wav",
        "CON.wav",
        "a b.wav",
        " a.wav",
        "a\rb.wav",
        "a\nb.wav",
        "a,b.wav",
        'a"b.wav',
        "\u00e9.wav",
        "A.wav",
        "a",
        "a.b.c.wav",
        "%s.wav",
        "task_metadata.json",
        *["é" * 120 + ".wav", "a:b.wav", "*.wav", "-.wav", "~.wav", "a\u2028b.wav", "\x1b[2J.wav"],
    ],
)
def test_odd_names(name: str, tmp_path: Path, workspace: Workspace) -> None:
    names = [name, "e\u0301.wav", *(f"{i}.wav" for i in range(4))]
    corpus(tmp_path, names)
    rows = [(each, "ab"[i % 2], SPLITS[i // 2]) for i, each in enumerate(names)]
    try:
        folder = prepared(listed(tmp_path, rows, "path", "label", "split"), workspace)
    except TaskError:
        assert "\\" in name or name.strip() != name or len(name.encode()) > 200
        return
    task = load_task(folder, workspace=workspace)
    assert [len(files) for files in task.splits.values()] == [2, 2, 2]


@bounded(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(
    labels=st.lists(st.text(max_size=6) | st.sampled_from(ODD[:20]), min_size=1, max_size=4),
    stems=st.lists(st.text(min_size=1, max_size=4), min_size=6, max_size=6, unique=True),
)
@example(labels=["a\rb"], stems=list("abcdef"))
@example(labels=["\ud800"], stems=list("abcdef"))
@example(labels=["x"], stems=["\ud800", *"bcdef"])
def test_rows_from_memory(
    labels: list[str], stems: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("any")
    workspace = Workspace(cache_dir=folder / "cache", device="cpu", workers=1)
    audio = corpus(folder, [f"{i}.wav" for i in range(6)])
    rows = [
        Clip(audio / f"{i}.wav", stem, labels[i % len(labels)], SPLITS[i // 2])
        for i, stem in enumerate(stems)
    ]
    made = recipe(mode="small", sample_rates=(RATE,))
    try:
        task = prepare_task(rows, made, folder, workspace=workspace)
    except TaskError:
        return
    loaded = load_task(task, workspace=workspace)
    assert set(loaded.vocabulary) == set(labels)
    assert {name: held for files in loaded.splits.values() for name, held in files.items()} == {
        f"{row.filestem}.wav": (row.label,) for row in rows
    }


def test_what_slips_through_is_found_before_the_task_is_finished(
    tmp_path: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    audio = corpus(tmp_path, [f"{i}.wav" for i in range(3)])
    rows = [Clip(audio / f"{i}.wav", f"a\\{i}", "x", split) for i, split in enumerate(SPLITS)]
    made = recipe(mode="small", sample_rates=(RATE,))
    monkeypatch.setattr(arranging, "filename_problem", lambda _: None)
    with pytest.raises(TaskError, match=r"isn't finished.*(?s:.*)train: 'a"):
        prepare_task(rows, made, tmp_path, workspace=workspace)
    with pytest.raises(TaskError, match="never finished"):
        load_task(tmp_path / "tasks", workspace=workspace)


@pytest.mark.parametrize(("duration_s", "rates"), [(1e-9, ()), (1e-4, (RATE, 1000))])
def test_a_duration_without_a_sample(
    duration_s: float, rates: tuple[int, ...], tmp_path: Path, workspace: Workspace
) -> None:
    names = [f"{i}.wav" for i in range(3)]
    corpus(tmp_path, names)
    rows = list(zip(names, "xxx", SPLITS, strict=True))
    path = listed(tmp_path, rows, "path", "label", "split")
    with pytest.raises(TaskError, match="less than a sample at"):
        prepared(path, workspace, duration_s=duration_s, sample_rates=rates)


def test_clips_shorter_than_a_sample_of_a_low_rate(tmp_path: Path, workspace: Workspace) -> None:
    names = [f"{i}.wav" for i in range(4)]
    corpus(tmp_path, names)
    corpus(tmp_path, names[3:], n=3)
    rows = list(zip(names, "xxxx", (*SPLITS, "train"), strict=True))
    path = listed(tmp_path, rows, "path", "label", "split")
    with pytest.raises(TaskError, match=r"3\.wav gives 3 samples of 8000 Hz, which are 0 at 1000"):
        prepared(path, workspace, sample_rates=(1000,))
    folder = prepared(path, workspace, sample_rates=(1000,), skip_corrupt=True)
    assert len(load_task(folder, workspace=workspace).splits["train"]) == 1


def test_a_header_that_names_any_rate(tmp_path: Path, workspace: Workspace) -> None:
    names = [f"{i}.wav" for i in range(4)]
    audio = corpus(tmp_path, names)
    data = bytearray((audio / "3.wav").read_bytes())
    data[24:28] = (2**31 - 1).to_bytes(4, "little")
    (audio / "3.wav").write_bytes(data)
    rows = list(zip(names, "xxxx", (*SPLITS, "train"), strict=True))
    path = listed(tmp_path, rows, "path", "label", "split")
    with pytest.raises(TaskError, match=r"3\.wav gives \d+ samples of 2147483647 Hz"):
        prepared(path, workspace, sample_rates=(RATE,), duration_s=10)


def events_of(folder: Path, times: Sequence[tuple[float, float]], n: int = RATE) -> Path:
    """A list of clips of n samples with the same events in each."""
    names = [f"{i}.wav" for i in range(6)]
    corpus(folder, names, n=n)
    rows = [
        (name, "ab"[i % 2], SPLITS[i // 2], *pair) for i, name in enumerate(names) for pair in times
    ]
    return listed(folder, rows, "path", "label", "split", "start_ms", "end_ms")


def test_events_in_seconds_beside_the_audio(tmp_path: Path, workspace: Workspace) -> None:
    long = 10 * RATE
    path = events_of(tmp_path, [(0.5, 4), (6, 10.1)], long)
    for more in ({}, {"duration_s": 12}):
        with pytest.raises(TaskError, match=r"t-1\.0\.0-full: .*in seconds, as all 12 end within"):
            prepared(path, workspace, **more)
    # One that is wrong by itself doesn't hide the others.
    path.write_text(path.read_text().replace("10.1", "9000", 1))
    with pytest.raises(TaskError, match=r"as 11 of 12 end within the first thousandth"):
        prepared(path, workspace)
    assert load_task(prepared(events_of(tmp_path, [(0.5, 4), (6, 20)], long), workspace))


def test_events_after_the_end_are_told(
    tmp_path: Path, workspace: Workspace, caplog: pytest.LogCaptureFixture
) -> None:
    path = events_of(tmp_path, [(10, 500), (900, 1100), (1000, 1200), (9000, 9500)])
    with caplog.at_level(logging.WARNING):
        folder = prepared(path, workspace)
    (said,) = [text for text in caplog.messages if "begin after" in text]
    assert "12 of 24 events" in said
    assert "in train/0.wav of 1000 ms" in said or "in train/1.wav of 1000 ms" in said
    assert len(load_task(folder, workspace=workspace).splits["train"]["0.wav"]) == 4
    caplog.clear()
    prepared(events_of(tmp_path, [(10, 500), (900, 1100)]), workspace, version="2")
    assert not [text for text in caplog.messages if "begin after" in text]


def test_an_event_that_never_ends(tmp_path: Path, workspace: Workspace) -> None:
    path = events_of(tmp_path, [(10, 500), (900, 1e12)])
    with pytest.raises(TaskError, match="more than an hour after their clip"):
        prepared(path, workspace)
    folder = prepared(path, workspace, duration_s=1)  # cut
    events = json.loads((folder / "test.json").read_text())
    for end, fits in ((3_600_900, True), (3_602_000, False), (1e12, False)):
        next(iter(events.values()))[0]["end"] = end
        (folder / "test.json").write_text(json.dumps(events))
        if fits:
            load_task(folder, workspace=workspace)
            continue
        with pytest.raises(TaskError, match=r"more than an hour after their clip \(1\)"):
            load_task(folder, workspace=workspace)


def test_a_clip_without_a_label(tmp_path: Path, workspace: Workspace) -> None:
    names = [f"{i}.wav" for i in range(9)]
    corpus(tmp_path, names)
    rows = [(name, "" if i == 2 else "ab"[i % 2], SPLITS[i // 3]) for i, name in enumerate(names)]
    path = listed(tmp_path, rows, "path", "label", "split")
    with pytest.raises(TaskError, match=r"1 of 9 clips has no label \(2\.wav\).*--multilabel"):
        prepared(path, workspace)
    task = load_task(prepared(path, workspace, multilabel=True), workspace=workspace)
    assert task.metadata.prediction_type == "multilabel"
    assert task.splits["train"]["2.wav"] == ()
    # With a label each it is the user's word alone.
    rows[2] = ("2.wav", "a", "train")
    path = listed(tmp_path, rows, "path", "label", "split")
    kinds = [
        load_task(
            prepared(path, workspace, version=str(wish), multilabel=wish), workspace=workspace
        )
        for wish in (False, True)
    ]
    assert [kind.metadata.prediction_type for kind in kinds] == ["multiclass", "multilabel"]


def test_the_mode_small_leaves_out_what_is_missing(
    tmp_path: Path, workspace: Workspace, caplog: pytest.LogCaptureFixture
) -> None:
    names = [f"{i}.wav" for i in range(6)]
    corpus(tmp_path, names)
    rows = [(name, "ab"[i % 2], SPLITS[i // 2]) for i, name in enumerate(names)]
    path = listed(tmp_path, [*rows, ("gone.wav", "a", "train")], "path", "label", "split")
    with pytest.raises(TaskError, match=r"line 8: .*gone"):
        prepared(path, workspace)
    task = load_task(prepared(path, workspace, mode="small"), workspace=workspace)
    assert "1 of the 7 files" in caplog.text
    assert sum(len(files) for files in task.splits.values()) == 6
