from __future__ import annotations

import math
from pathlib import Path

import pytest
from helpers_cli import hearbench
from helpers_tasks import make_event_task, make_scene_task

from hearbench.probe.protocol import GridPoint
from hearbench.results import Result
from hearbench.results.notes import notes_on


def evaluate(model: Path, task: Path, out: Path, *more: object) -> tuple[list[str], str, Result]:
    """The notes in JSON, the table of the same again, and the result."""
    command = ("evaluate", model, "--task", task, "--out", out, *more)
    first = hearbench(*command, "--json")
    assert first.code == 0, first.stderr
    (found,) = first.json["results"]
    return found["notes"], hearbench(*command).stdout, Result.read(Path(found["path"]))


def test_a_short_training_is_told(model: Path, task: Path, tmp_path: Path) -> None:
    notes, shown, result = evaluate(model, task, tmp_path, "--protocol", "faster")
    # Twelve training clips are one batch, so an epoch is a step.
    (fold,) = result.folds
    assert notes == [
        f"tones-1.0.0-full: the probes took {fold.epochs} training steps; scores of so short a "
        "training say little. Use --protocol linear, knn or hear2021."
    ]
    assert shown.endswith(f"{notes[0]}\n")
    assert "training steps" not in result.model_dump_json()


def test_steps_are_epochs_times_batches(model: Path, tmp_path: Path) -> None:
    folds = make_scene_task(tmp_path / "t", name="folded", folds=True)
    _, _, result = evaluate(
        model, folds, tmp_path / "out", "--protocol", "faster", "--grid-points", 2
    )
    path = tmp_path / "out/stats/folded-1.0.0-full/result.json"
    epochs = [fold.epochs for fold in result.folds]

    def notes_with(n_train: float, batch_size: int, max_epochs: int = 10) -> list[str]:
        """Of the same training on more clips, or longer."""
        stages = [
            stage.model_copy(update={"throughput": stage.throughput * n_train / 12})
            if stage.stage == "probe" and stage.throughput
            else stage
            for stage in result.resources.stages
        ]
        point = result.grid[result.chosen].point
        assert isinstance(point, GridPoint)
        longer = point.model_copy(update={"max_epochs": max_epochs})
        grid = list(result.grid)
        grid[result.chosen] = grid[result.chosen].model_copy(update={"point": longer})
        changed = {
            "grid": tuple(grid),
            "protocol": result.protocol.model_copy(update={"batch_size": batch_size}),
            "resources": result.resources.model_copy(update={"stages": tuple(stages)}),
        }
        return notes_on([(path, result.model_copy(update=changed))])

    for n_train, batch_size, batches in ((12, 1024, 1), (12, 5, 3), (5000, 1024, 5)):
        few, most = min(epochs) * batches, max(epochs) * batches
        shown = str(few) if few == most else f"{few} to {most}"
        (note,) = notes_with(n_train, batch_size)
        assert f"the probes took {shown} training steps" in note
    # Enough steps; and few of many, as nothing more was to be learned.
    assert notes_with(1024 * 100, 1024) == []
    assert notes_with(12, 1024, max_epochs=500) == []
    earlier = result.resources.model_copy(update={"stages": ()})
    assert notes_on([(path, result.model_copy(update={"resources": earlier}))]) == []


def test_frames_are_what_events_are_learned_from(model: Path, tmp_path: Path) -> None:
    events = make_event_task(tmp_path / "events")
    quick = ("--protocol", "faster", "--grid-points", 1)
    (note,), _, result = evaluate(model, events, tmp_path / "out", *quick)
    assert note.startswith("beeps-1.0.0-full: the probes took ")
    path = tmp_path / "out/stats/beeps-1.0.0-full/result.json"
    (path.parent / "predictions/test.npy").unlink()
    assert notes_on([(path, result)]) == []


@pytest.mark.parametrize("protocol", ["knn", "linear"])
def test_of_others_there_is_nothing_to_tell(
    protocol: str, model: Path, task: Path, tmp_path: Path
) -> None:
    quick = ("--protocol", protocol, "--grid-points", 1)
    notes, shown, _ = evaluate(model, task, tmp_path, *quick)
    assert notes == []
    assert "training steps" not in shown


def test_several_tasks_are_told_of_in_one_line(model: Path, task: Path, tmp_path: Path) -> None:
    other = make_scene_task(tmp_path / "t", name="others")
    quick = ("--protocol", "faster", "--grid-points", 1)
    shown = hearbench("evaluate", model, "--task", task, "--task", other, "--out", tmp_path, *quick)
    lines = [line for line in shown.stdout.splitlines() if "training steps" in line]
    assert len(lines) == 1
    assert lines[0].startswith("tones-1.0.0-full, others-1.0.0-full: the probes took ")


def test_why_a_score_of_events_is_undefined(model: Path, tmp_path: Path) -> None:
    events = make_event_task(tmp_path / "events")
    quick = ("--protocol", "faster", "--grid-points", 1)
    _, _, result = evaluate(model, events, tmp_path / "out", *quick)
    path = tmp_path / "out/stats/beeps-1.0.0-full/result.json"
    name = result.primary_score
    summary = result.scores[name]
    nothing = {"mean": math.nan, "per_fold": {"test": math.nan}}
    for undefined, said in (
        (("precision",), "no event was predicted."),
        (("recall",), "the clips hold no event."),
        (("precision", "recall"), "the clips hold no event."),
        ((), "no event was predicted, or the clips hold none."),
    ):
        parts = {
            part: each.model_copy(update=nothing if part in undefined else {})
            for part, each in summary.parts.items()
        }
        changed = summary.model_copy(update={**nothing, "parts": parts})
        notes = notes_on([(path, result.model_copy(update={"scores": {name: changed}}))])
        assert f"beeps-1.0.0-full: {name} is undefined on test: there, {said}" in notes
    untrained = result.folds[0].model_copy(update={"validation_score": math.nan})
    notes = notes_on([(path, result.model_copy(update={"folds": (untrained,)}))])
    assert any("(no event was predicted, or the clips hold none)" in note for note in notes)
