from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
from helpers_cli import hearbench
from helpers_tasks import make_event_task

QUICK = ("--protocol", "faster", "--grid-points", "1")


def test_embeddings_then_probe(model: Path, task: Path, tmp_path: Path) -> None:
    embedded = hearbench("embed", model, "--task", task, "--json")
    assert embedded.code == 0, embedded.stderr
    (store,) = embedded.json["embeddings"]
    assert store["clips"] == 36
    assert store["audio_s"] == 9.0
    assert sum(np.load(p).shape[0] for p in Path(store["folder"]).glob("shards/*.npy")) == 36
    probed = hearbench("probe", store["folder"], "--task", task, "--out", tmp_path / "a", *QUICK)
    assert probed.code == 0, probed.stderr
    evaluated = hearbench("evaluate", model, "--task", task, "--out", tmp_path / "b", *QUICK)
    assert "embeddings found in the cache" in evaluated.stderr
    place = Path("stats/tones-1.0.0-full/result.json")
    one, other = (json.loads((tmp_path / part / place).read_text()) for part in ("a", "b"))
    assert one.pop("resources").keys() == other.pop("resources").keys()
    assert one == other
    assert one["embeddings"]["digest"] == store["digest"]
    again = hearbench("probe", store["folder"], "--task", task, "--out", tmp_path / "a", *QUICK)
    assert "kept" in again.stderr


def test_plain_answer_of_embed(model: Path, task: Path) -> None:
    first = hearbench("embed", model, "--task", task)
    folder, digest = first.stdout.split()
    assert (Path(folder) / "manifest.json").is_file()
    assert len(digest) == 64
    again = hearbench("embed", model, "--task", task)
    assert again.stdout == first.stdout
    assert "embeddings found in the cache" in again.stderr


def test_embed_takes_event_tasks_too(model: Path, tmp_path: Path) -> None:
    events = make_event_task(tmp_path / "events")
    answer = hearbench("embed", model, "--task", events, "--task", "nothing", "--json")
    assert answer.code == 2
    assert answer.json["embeddings"][0]["kind"] == "event"
    assert answer.json["failed"][0]["task"] == "nothing"


def test_probe_a_model(model: Path, task: Path, tmp_path: Path) -> None:
    answer = hearbench(
        "probe", model, "--task", task, "--out", tmp_path / "out", "--json", "--dtype",
        "float16", *QUICK,
    )  # fmt: skip
    assert answer.code == 0, answer.stderr
    result = json.loads(Path(answer.json["results"][0]["path"]).read_text())
    assert result["embeddings"]["dtype"] == "float16"


def test_probe_finds_the_task_in_the_cache(
    model: Path, task: Path, tmp_path: Path, cache: Path
) -> None:
    folder = hearbench("embed", model, "--task", task).stdout.split()[0]
    lost = hearbench("probe", folder, "--out", tmp_path / "out", *QUICK)
    assert lost.code == 2
    assert "--task" in lost.stderr
    shutil.copytree(task, cache / "tasks" / task.name)
    found = hearbench("probe", folder, "--out", tmp_path / "out", *QUICK)
    assert found.code == 0, found.stderr


def test_bad_input_of_probe(model: Path, task: Path, tmp_path: Path) -> None:
    folder = hearbench("embed", model, "--task", task).stdout.split()[0]
    out = ("--out", tmp_path / "out", *QUICK)
    changed = shutil.copytree(task, tmp_path / "changed")
    labels = changed / "train.json"
    labels.write_text(labels.read_text().replace('"a"', '"b"'))
    calls = [
        (("probe", tmp_path, *out), "no finished embeddings"),
        (("probe", model, *out), "say --task"),
        (("probe", folder, "--task", changed, *out), "labels or splits are others"),
        (("probe", folder, "--task", task, "--option", "a=1", *out), "belong to a model"),
    ]
    for call, said in calls:
        answer = hearbench(*call)
        assert answer.code == 2
        assert said in answer.stderr
        assert "Traceback" not in answer.stderr
    manifest = Path(folder) / "manifest.json"
    manifest.write_text("{}")
    answer = hearbench("probe", folder, "--task", task, *out)
    assert answer.code == 2
    assert "Embedding again" in answer.stderr
