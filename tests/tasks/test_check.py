from __future__ import annotations

import json
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers_tasks import make_event_task, make_scene_task, write_wav

from hearbench.errors import TaskError
from hearbench.tasks.store import load_task
from hearbench.workspace import Workspace


def edit(path: Path, change: Callable[[Any], Any]) -> None:
    value = json.loads(path.read_text())
    path.write_text(json.dumps(change(value)))


def in_metadata(**changes: Any) -> Callable[[Path], None]:
    return lambda folder: edit(folder / "task_metadata.json", lambda value: {**value, **changes})


def in_train(files: dict[str, Any]) -> Callable[[Path], None]:
    return lambda folder: edit(folder / "train.json", lambda value: {**value, **files})


def text(name: str, content: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        (folder / name).write_text(content)

    return write


def gone(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def extra(name: str, rate: int = 16000) -> Callable[[Path], None]:
    return lambda folder: write_wav(folder / name, np.ones(9, np.int16), rate)


AUDIO = "16000/train/train-a-0.wav"

SCENE_DAMAGES = [
    (gone("task_metadata.json"), "no task_metadata.json"),
    (text("task_metadata.json", "{"), "no valid JSON.*task_metadata.json"),
    (text("task_metadata.json", "[]"), "valid dictionary"),
    (text("task_metadata.json", "null"), "valid dictionary"),
    (text("task_metadata.json", "[" * 100_000), "no valid JSON"),
    (in_metadata(task_name="../../x"), "task_name: '../../x' can't be part"),
    (in_metadata(sample_duration="long"), "sample_duration: .*number"),
    (in_metadata(sample_duration=-1), "sample_duration: .*greater than 0"),
    (in_metadata(evaluation=[]), "evaluation: "),
    (in_metadata(embedding_type="frame"), "embedding_type: .*'scene' or 'event'"),
    (in_metadata(splits=["train", "test"]), "train, valid and test are needed"),
    (in_metadata(splits=["train", "valid", "test", "../up"]), "'../up' can't name a file"),
    (in_metadata(split_mode="new_split_kfold", nfolds=5), "nfolds: is 5, but there are 3"),
    (gone("labelvocabulary.csv"), "missing .*labelvocabulary.csv"),
    (text("labelvocabulary.csv", ""), "first line is missing"),
    (text("labelvocabulary.csv", "label,idx\na,0\n"), "not idx,label"),
    (text("labelvocabulary.csv", "idx,label\n0,a\n0,b\n1,c\n"), "index 0 stands twice"),
    (text("labelvocabulary.csv", "idx,label\n0,a\n1,a\n2,c\n"), "label 'a' stands twice"),
    (text("labelvocabulary.csv", "idx,label\n0,a\n2,b\n3,c\n"), "indices are not 0 to 2"),
    (text("labelvocabulary.csv", "idx,label\nzero,a\n"), "row 2 is not an index and a label"),
    (text("labelvocabulary.csv", "idx,label\n0,a\n1,b\n"), r"outside the vocabulary \(6\)"),
    (gone("valid.json"), "missing .*valid.json"),
    (text("valid.json", '{"a": NaN}'), "labels are no list .1.: valid/a"),
    (text("valid.json", "[1]"), "no JSON object of files .*valid.json"),
    (text("valid.json", "{}"), "without a file .*valid.json"),
    (text("valid.json", '{"a.wav": ["a"], "a.wav": ["b"]}'), "twice in one file .*'a.wav'"),
    (in_train({"../../evil.wav": ["a"]}), "names that are paths .*evil"),
    (in_train({"train-a-0.wav": "a"}), "labels are no list .*train/train-a-0.wav"),
    (in_train({"train-a-0.wav": []}), "without exactly one label .*train/train-a-0.wav has 0"),
    (in_train({"train-a-0.wav": ["a", "b"]}), "without exactly one label .*has 2"),
    (in_train({"train-a-0.wav": [1.5]}), "neither text nor integer .*1.5"),
    (in_train({"train-a-0.wav": [True]}), "neither text nor integer .*True"),
    (in_train({"train-a-0.wav": ["zebra"]}), "outside the vocabulary .*'zebra'"),
    (in_train({"valid-a-0.wav": ["a"]}), "in two splits .*valid-a-0.wav in train and valid"),
    (gone(AUDIO), rf"missing \(1\): {AUDIO}"),
    (extra("16000/train/more.wav"), r"no split names \(1\): 16000/train/more.wav"),
    (extra("16000/dev/more.wav"), "no split names .*16000/dev/more.wav"),
    (extra(AUDIO, rate=8000), f"another rate than its folder .*{AUDIO} has 8000 Hz"),
    (text(AUDIO, ""), f"can't be used .*{AUDIO}: is empty"),
    (text(AUDIO, "RIFF"), f"can't be used .*{AUDIO}: can't be decoded"),
]


@pytest.mark.parametrize(("damage", "said"), SCENE_DAMAGES)
def test_damage_is_said(
    tmp_path: Path, workspace: Workspace, damage: Callable[[Path], None], said: str
) -> None:
    folder = make_scene_task(tmp_path, clips_per_label=2)
    load_task(folder, workspace=workspace)  # whole, and remembered in the cache
    damage(folder)
    with pytest.raises(TaskError, match=said) as raised:
        load_task(folder, workspace=workspace)
    assert str(folder) in str(raised.value)
    assert len(str(raised.value)) < 4000


@pytest.mark.parametrize(
    ("event", "said"),
    [
        ({"label": "high", "start": 10, "end": 9}, "end before they start .*10 to 9 ms"),
        ({"label": "high", "start": -1, "end": 9}, "no milliseconds"),
        ({"label": "high", "start": "1", "end": 9}, "no milliseconds"),
        ({"label": "high", "end": 9}, "without label, start and end"),
        ("high", "without label, start and end"),
        ({"label": None, "start": 1, "end": 9}, "neither text nor integer"),
        ({"label": "zebra", "start": 1, "end": 9}, "outside the vocabulary"),
    ],
)
def test_damaged_events_are_said(
    tmp_path: Path, workspace: Workspace, event: Any, said: str
) -> None:
    folder = make_event_task(tmp_path)
    in_train({"train-0.wav": [event]})(folder)
    with pytest.raises(TaskError, match=said):
        load_task(folder, workspace=workspace)


def test_all_that_is_wrong_is_said_at_once(tmp_path: Path, workspace: Workspace) -> None:
    folder = make_scene_task(tmp_path, clips_per_label=4)
    in_train({"train-a-0.wav": ["zebra"], "valid-a-0.wav": ["a"]})(folder)
    for path in (folder / "16000/test").iterdir():
        path.unlink()
    extra("16000/train/more.wav")(folder)
    text("labelvocabulary.csv", "idx,label\n0,a\n1,b\n3,c\n")(folder)
    with pytest.raises(TaskError) as raised:
        load_task(folder, workspace=workspace)
    message = str(raised.value)
    for said in ("zebra", "two splits", "missing (13)", "and 8 more", "more.wav", "0 to 2"):
        assert said in message


def test_stereo_in_a_prepared_task_is_said(tmp_path: Path, workspace: Workspace) -> None:
    folder = make_scene_task(tmp_path)
    with wave.open(str(folder / AUDIO), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes(bytes(400))
    with pytest.raises(TaskError, match="2 channels of PCM_16"):
        load_task(folder, workspace=workspace)


def test_hidden_files_are_passed_over(tmp_path: Path, workspace: Workspace) -> None:
    folder = make_scene_task(tmp_path)
    (folder / "16000/train/._train-a-0.wav").write_text("left by another system")
    (folder / "16000/.DS_Store").write_text("the same")
    load_task(folder, workspace=workspace)


def test_a_byte_order_mark_is_no_damage(tmp_path: Path, workspace: Workspace) -> None:
    folder = make_scene_task(tmp_path)
    for name in ("task_metadata.json", "labelvocabulary.csv", "train.json"):
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(b"\xef\xbb\xbf" + content)
    assert load_task(folder, workspace=workspace).vocabulary == ("a", "b", "c")
