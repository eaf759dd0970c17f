"""Clips found by captions and captions by clips; where captions lie in a task."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers_cli import hearbench as run
from helpers_tasks import make_scene_task, tone, write_wav
from helpers_zero_shot import write_reader
from sklearn.metrics.pairwise import cosine_similarity

import hearbench
from hearbench import ZeroShot, ZeroShotResult
from hearbench.errors import TaskError
from hearbench.evaluation.task_ref import TaskRef
from hearbench.execution.executor import Context
from hearbench.execution.remote_cache import UrlExchange
from hearbench.execution.shard import Shard
from hearbench.tasks.from_csv import prepare_from_csv
from hearbench.tasks.own_recipe import OwnTask
from hearbench.tasks.store import PreparedTask
from hearbench.workspace import Workspace

WORDS = ["low", "dull", "soft", "high", "sharp", "loud"]


def write_corpus(folder: Path, *, n_clips: int = 24, labels: bool = False) -> Path:
    """Tones with one to three captions each, some of which several clips have; a row each."""
    rng = np.random.default_rng(0)
    rows = []
    for number in range(n_clips):
        pitch = number % 6
        write_wav(
            folder / "audio" / f"{number}.wav", tone(300 + 200 * pitch, 0.2, 16000, rng), 16000
        )
        captions = [f"a {WORDS[pitch]} tone"]
        captions += [f"clip {number}, {extra}" for extra in range(number % 3)]
        split = "train" if number < 3 else "valid" if number < 6 else "test"
        for caption in captions:
            row = {"path": f"{number}.wav", "split": split, "caption": caption}
            rows.append(row | ({"label": WORDS[pitch % 3]} if labels else {}))
    return write_rows(folder / "clips.csv", rows)


def write_rows(path: Path, rows: list[dict[str, str]]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def prepared(folder: Path, workspace: Workspace, **options: Any) -> PreparedTask:
    path = write_corpus(folder, **options)
    made = prepare_from_csv(
        path, folder / "audio", OwnTask("tones", mode="small"), folder, workspace=workspace
    )
    return hearbench.load_task(made, workspace=workspace)


def test_captions_lie_beside_the_official_files(tmp_path: Path, workspace: Workspace) -> None:
    task = prepared(tmp_path, workspace)
    assert task.vocabulary == ("captioned",)
    assert task.captions["test"]["8.wav"] == ("a soft tone", "clip 8, 0", "clip 8, 1")
    assert {split: len(files) for split, files in task.captions.items()} == {
        "train": 3,
        "valid": 3,
        "test": 18,
    }
    # What else reads the layout finds what it knows.
    assert json.loads((task.folder / "test.json").read_text())["8.wav"] == ["captioned"]
    assert json.loads((task.folder / "captions.json").read_text())["valid"]["3.wav"] == [
        "a high tone"
    ]
    assert "captions: of 24 clips" in repr(task)
    # They are part of the task's content.
    said = json.loads((task.folder / "captions.json").read_text())
    said["test"]["8.wav"][0] = "another"
    (task.folder / "captions.json").write_text(json.dumps(said))
    changed = hearbench.load_task(task.folder, workspace=workspace)
    assert changed.digest(16000) != task.digest(16000)
    (task.folder / "captions.json").unlink()
    assert hearbench.load_task(task.folder, workspace=workspace).captions == {}


@pytest.mark.parametrize(
    ("captions", "names"),
    [
        ([], "no JSON object"),
        ({"test": []}, "no JSON object"),
        ({"test": {"none.wav": ["a"]}}, "test/none.wav"),
        ({"other": {"a_0.wav": ["a"]}}, "other/a_0.wav"),
        ({"test": {"NAME": "a"}}, "no list of texts"),
        ({"test": {"NAME": ["a", " "]}}, "no list of texts"),
    ],
)
def test_captions_that_cant_be_are_told_of(
    tmp_path: Path, workspace: Workspace, captions: object, names: str
) -> None:
    path = make_scene_task(tmp_path, clips_per_label=1)
    name = next(iter(json.loads((path / "test.json").read_text())))
    (path / "captions.json").write_text(json.dumps(captions).replace("NAME", name))
    with pytest.raises(TaskError) as caught:
        hearbench.load_task(path, workspace=workspace)
    assert names in str(caught.value)


def test_a_list_says_what_is_wrong_with_its_captions(tmp_path: Path, workspace: Workspace) -> None:
    def refused(rows: list[dict[str, str]]) -> str:
        path = write_rows(tmp_path / "bad.csv", rows)
        with pytest.raises(TaskError) as caught:
            prepare_from_csv(
                path, tmp_path / "audio", OwnTask("bad"), tmp_path, workspace=workspace
            )
        return str(caught.value)

    write_corpus(tmp_path, n_clips=3)
    row = {"path": "0.wav", "label": "a", "caption": "one"}
    assert "stand twice" in refused([row, row])
    assert "keep either 'caption'" in refused([row | {"start_ms": "1", "end_ms": "2"}])
    assert "'caption'" in refused([{"path": "0.wav", "label": "a", "captoin": "one"}])
    # Without captions, labels are needed as ever.
    assert "'label' is missing" in refused([{"path": "0.wav"}])


def test_captions_of_a_clip_that_cant_be_decoded_go_with_it(
    tmp_path: Path, workspace: Workspace
) -> None:
    path = write_corpus(tmp_path)
    (tmp_path / "audio" / "8.wav").write_bytes(b"no audio")
    own = OwnTask("tones", mode="small", skip_corrupt=True)
    made = prepare_from_csv(path, tmp_path / "audio", own, tmp_path, workspace=workspace)
    task = hearbench.load_task(made, workspace=workspace)
    assert "8.wav" not in task.captions["test"]
    assert len(task.captions["test"]) == 17


def test_labels_and_captions_go_together(tmp_path: Path, workspace: Workspace) -> None:
    task = prepared(tmp_path, workspace, labels=True)
    assert task.metadata.prediction_type == "multiclass"
    assert task.vocabulary == ("dull", "low", "soft")
    out = tmp_path / "out"
    results = hearbench.evaluate(
        write_reader(tmp_path), task.folder, protocol=ZeroShot(), out=out, workspace=workspace
    )
    (result,) = list(results)
    assert isinstance(result, ZeroShotResult)
    assert result.primary_score == task.metadata.evaluation[0]
    assert result.classes is not None
    assert "text_to_audio_recall_at_1" in result.scores


def test_scores_are_those_of_the_slow_way(tmp_path: Path, workspace: Workspace) -> None:
    task = prepared(tmp_path, workspace)
    path = write_reader(tmp_path)
    results = hearbench.evaluate(
        path, task.folder, protocol="zero-shot", out=tmp_path / "out", workspace=workspace
    )
    (result,) = list(results)
    assert isinstance(result, ZeroShotResult)
    assert result.classes is None
    assert result.primary_score == "text_to_audio_mAP_at_10"
    model = hearbench.load_model(path, workspace=workspace)
    store = hearbench.embed(model, task, workspace=workspace)
    clips = {
        clip: x.astype(np.float64)
        for clip, x in zip(store.clips("test"), store.scene("test"), strict=True)
    }
    captions = {clip: list(task.captions["test"][clip]) for clip in clips}
    texts = sorted({text for own in captions.values() for text in own})
    embedded = dict(zip(texts, model.texts(texts).astype(np.float64), strict=True))

    def found(query: np.ndarray[Any, Any], documents: dict[str, Any], right: set[str]) -> Any:
        ranked = sorted(
            documents,
            key=lambda name: (
                -float(cosine_similarity(query[None], documents[name][None])[0, 0]),
                name in right,
            ),
        )
        hits = [name in right for name in ranked[:10]]
        precision = sum(sum(hits[: i + 1]) / (i + 1) for i, hit in enumerate(hits) if hit)
        return [*(any(hits[:k]) for k in (1, 5, 10)), precision / min(10, len(right))]

    by_text = [
        found(embedded[text], clips, {other for other in captions if text in captions[other]})
        for own in captions.values()
        for text in own
    ]
    by_clip = [found(clips[clip], embedded, set(captions[clip])) for clip in clips]
    for way, rows in (("text_to_audio", by_text), ("audio_to_text", by_clip)):
        names = [*(f"{way}_recall_at_{k}" for k in (1, 5, 10)), f"{way}_mAP_at_10"]
        for name, expected in zip(names, np.mean(rows, axis=0), strict=True):
            assert result.scores[name].mean == pytest.approx(expected), name
    (split,) = result.splits
    assert (split.n_clips, split.n_captions) == (18, len(by_text))
    interval = result.scores["text_to_audio_recall_at_5"].interval
    assert interval is not None
    assert interval.low < result.scores["text_to_audio_recall_at_5"].mean < interval.high


def test_captions_travel_with_the_task(tmp_path: Path, workspace: Workspace) -> None:
    task = prepared(tmp_path, workspace)
    alone = hearbench.evaluate(
        write_reader(tmp_path), task.folder, protocol="zero-shot", workspace=workspace
    )
    other = Workspace(cache_dir=tmp_path / "other", device="cpu", workers=2)
    shared = hearbench.evaluate(
        tmp_path / "reader.py",
        task.folder,
        protocol="zero-shot",
        executor=Shard(1, 1, other),
        workspace=other,
    )
    (one,), (two,) = list(alone), list(shared)
    assert isinstance(one, ZeroShotResult)
    assert one.same_as(two)  # type: ignore[arg-type]
    # Processes with a cache of their own get them by way of an exchange.
    exchange = UrlExchange((tmp_path / "bucket").as_uri())
    ref = TaskRef.sent(task, exchange)
    away = Workspace(cache_dir=tmp_path / "away", device="cpu", workers=1)
    labels = ref.load_labels(Context(away, exchange))
    assert labels.captions == task.captions


def test_the_command_line_prepares_and_evaluates(tmp_path: Path, workspace: Workspace) -> None:
    path = write_corpus(tmp_path)
    cache = ["--cache", workspace.cache_dir]
    made = run(
        "prepare", "--from-csv", path, "--audio", tmp_path / "audio", "--name", "tones",
        "--mode", "small", "--out", tmp_path, *cache,
    )  # fmt: skip
    assert made.code == 0, made.stderr
    shown = run(
        "evaluate", write_reader(tmp_path), "--task", tmp_path / "tasks", "--zero-shot",
        "--out", tmp_path / "out", "--device", "cpu", *cache,
    )  # fmt: skip
    assert shown.code == 0, shown.stderr
    assert "text_to_audio_recall_at_10" in shown.stdout
    assert "template" not in shown.stdout.replace("of templates", "")
