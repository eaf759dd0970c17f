"""What `hearbench evaluate --distance` does, below its options."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from helpers_tasks import make_event_task, make_scene_task
from rich.console import Console

from hearbench.cli.evaluate import evaluated, results_json
from hearbench.cli.result_tables import show_untrained
from hearbench.distance import DistanceResult
from hearbench.evaluation.results import Results
from hearbench.files import json_safe
from hearbench.progress import TerminalProgress
from hearbench.workspace import Workspace


class Run:
    """Evaluates the model of the tests; what it said is in ``said``."""

    def __init__(self, model: Path) -> None:
        self.model = model
        self.said = ""

    def __call__(self, tasks: list[Path], out: Path, **more: Any) -> Results:
        stream = io.StringIO()
        console = Console(file=stream, width=1000)
        workspace = Workspace.from_environment(progress=TerminalProgress(console))
        found = evaluated(
            self.model, tasks, protocol="distance", out=out, workspace=workspace, **more
        )
        self.said = stream.getvalue()
        return found


def distances(found: Results) -> list[tuple[Path, DistanceResult]]:
    assert all(isinstance(result, DistanceResult) for result in found)
    return [(path, one) for path, one in found.results if isinstance(one, DistanceResult)]


@pytest.fixture
def run(model: Path) -> Run:
    return Run(model)


def test_a_result_lies_beside_that_of_a_probe(run: Run, task: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out" / "stats" / "tones-1.0.0-full"
    folder.mkdir(parents=True)
    (folder / "result.json").write_text("{}")
    found = run([task], tmp_path / "out")
    ((path, result),) = distances(found)
    assert not found.failures
    assert path == folder / "distance.json"
    assert (folder / "result.json").read_text() == "{}"
    assert json.loads(path.read_text())["scores"].keys() == result.scores.keys()
    assert f"tones-1.0.0-full: wrote {path}" in run.said
    assert "tones-1.0.0-full: measuring distances\n" in run.said
    shown = json_safe(results_json(found, distance=True))
    assert shown["failed"] == []
    (one,) = shown["results"]
    assert one["model"] == "stats"
    assert one["path"] == str(path)
    auc = one["scores"]["same_different_auc"]
    assert auc["mean"] == result.scores["same_different_auc"].mean
    low, high = auc["interval"]
    assert low < auc["mean"] < high


def test_the_same_again_keeps_the_result(run: Run, task: Path, tmp_path: Path) -> None:
    ((path, first),) = run([task], tmp_path / "out").results
    before = path.stat().st_mtime_ns
    ((_, again),) = run([task], tmp_path / "out").results
    assert again.model_dump_json() == first.model_dump_json()
    assert path.stat().st_mtime_ns == before
    assert "kept" in run.said


def test_other_inputs_never_replace_a_result_unasked(run: Run, task: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    ((path, _),) = run([task], out).results
    before = path.read_bytes()
    refused = run([task], out, dtype="float16")
    (message,) = [failure.text for failure in refused.failures]
    assert "embeddings in float32 instead of float16" in message
    assert "--overwrite" in message
    assert path.read_bytes() == before
    ((named, _),) = run([task], out, dtype="float16", name="half").results
    assert named == out / "half" / "tones-1.0.0-full" / "distance.json"
    replaced = run([task], out, dtype="float16", overwrite=True)
    assert not replaced.failures
    assert json.loads(path.read_text())["embeddings"]["dtype"] == "float16"
    # What isn't what was written is damaged; without digests it may be somebody else's.
    path.write_text("{}")
    ((_, made),) = distances(run([task], out))
    assert made.embeddings.dtype == "float32"
    path.write_text("{}")
    (path.parent / "SHA256SUMS").unlink()
    (message,) = [failure.text for failure in run([task], out).failures]
    assert "Nothing was changed" in message


def test_event_tasks_are_refused_and_beside_others_passed_over(
    run: Run, task: Path, tmp_path: Path
) -> None:
    events = make_event_task(tmp_path)
    alone = run([events], tmp_path / "out")
    (failure,) = alone.failures
    assert failure.task == str(events)
    assert "event task" in failure.text
    assert "--distance" in failure.text
    both = run([events, task], tmp_path / "out")
    assert not both.failures
    assert len(both.results) == 1
    assert "beeps-1.0.0-full: skipped." in run.said
    several = run([events, make_event_task(tmp_path, name="more")], tmp_path / "out")
    assert [failure.task for failure in several.failures] == [
        str(events),
        str(tmp_path / "more-1.0.0-full"),
    ]


def test_a_run_that_is_stopped_leaves_no_file(
    run: Run, task: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("hearbench.metrics.distance.retrieval_scores", stop)
        with pytest.raises(KeyboardInterrupt):
            run([task], tmp_path / "out")
    assert not list((tmp_path / "out").rglob("*.json"))
    assert len(run([task], tmp_path / "out").results) == 1


def test_the_table(
    run: Run, task: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folds = make_scene_task(tmp_path, name="folded", folds=True)
    single = make_scene_task(tmp_path, name="single", clips_per_label=1)
    found = run([task, folds, single], tmp_path / "out")
    show_untrained([result for _, result in distances(found)])
    shown = capsys.readouterr().out
    assert "stats on folded-1.0.0-full" in shown
    assert "distances of 3 dimensions, 36 test clips in 3 folds, 95 % intervals" in shown
    score = distances(found)[0][1].scores["retrieval_mAP"]
    assert score.interval is not None
    lines = shown.splitlines()
    first = next(i for i, line in enumerate(lines) if "retrieval_mAP" in line)
    l2, cosine = (
        distances(found)[0][1].scores[f"{kind}_retrieval_mAP"] for kind in ("l2", "cosine")
    )
    assert lines[first].split()[1:] == [f"{each.mean:.3f}" for each in (score, l2, cosine)]
    assert f"{score.interval.low:.3f} to {score.interval.high:.3f}" in lines[first + 1]
    assert "same_different_eer" in shown
    assert "undefined" in shown
    assert "single-1.0.0-full: No two clips of test are same" in shown
