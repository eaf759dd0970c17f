"""Frames as training data, in memory or streamed, and whole event probes on small stores."""

import dataclasses
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers_models import BANDS, write_model
from helpers_probe import post
from helpers_tasks import make_event_task
from scipy.ndimage import median_filter

from hearbench import embed, fit_probe, load_model, load_task, score
from hearbench.embeddings.ranges import clip_frames
from hearbench.embeddings.store import EmbeddingStore
from hearbench.errors import EmbeddingError
from hearbench.metrics import get_event_score
from hearbench.metrics.frame_arrays import FrameArrays
from hearbench.metrics.psds import PsdsParameters, psds
from hearbench.metrics.sound_event import event_scores
from hearbench.probe.data import BatchSpec
from hearbench.probe.frames import FrameData, LabelledClip, frame_data
from hearbench.probe.network import ProbeStack, Step
from hearbench.probe.objective import Objective
from hearbench.probe.outputs import MULTILABEL
from hearbench.probe.predictions import EventFoldPrediction
from hearbench.probe.protocol import GridPoint, Protocol
from hearbench.probe.reading import Reading
from hearbench.results import reference_form, write_result
from hearbench.tasks.clips import Event
from hearbench.workspace import Workspace

SMALL = Protocol(
    name="small",
    grid=tuple(
        GridPoint(hidden_layers=n, hidden_dim=16, lr=1e-2, max_epochs=30, check_every=3, patience=4)
        for n in (1, 0, 2)
    ),
    batch_size=64,
    nan_ends_point=False,
)


def store_of(tmp_path: Path, workspace: Workspace, **task: object) -> EmbeddingStore:
    path = make_event_task(tmp_path, clips=6, events_per_clip=4, **task)  # type: ignore[arg-type]
    model = load_model(str(write_model(tmp_path, BANDS)), workspace=workspace)
    return embed(model, load_task(path, workspace=workspace), workspace=workspace)


def labelled(store: EmbeddingStore, split: str) -> list[LabelledClip]:
    files = store.task.splits[split]
    return [
        LabelledClip(c, [e for e in files[c.clip] if isinstance(e, Event)])
        for c in clip_frames(store, split)
    ]


def data_of(store: EmbeddingStore, max_memory_bytes: int) -> FrameData:
    return frame_data(
        labelled(store, "train"),
        labelled(store, "valid"),
        store.task.vocabulary,
        grid=[post(250, 125), post(250, 250)],
        spec=BatchSpec(50, "cpu", torch.float32, max_memory_bytes),
    )


def test_frames_are_read_in_any_range(tmp_path: Path, workspace: Workspace) -> None:
    store = store_of(tmp_path, workspace)
    clips = clip_frames(store, "train")
    for clip, (name, embeddings, times) in zip(clips, store.timestamps("train"), strict=True):
        assert clip.clip == name
        np.testing.assert_array_equal(clip.timestamps_ms, times)
        np.testing.assert_array_equal(clip.read(0, len(clip)), embeddings)
        np.testing.assert_array_equal(clip.read(3, 7), embeddings[3:7])
    with pytest.raises(EmbeddingError, match="cut off"):
        clips[-1].read(0, 10**6)


def test_batches_are_cut_from_one_sequence_of_frames(tmp_path: Path, workspace: Workspace) -> None:
    store = store_of(tmp_path, workspace)
    data = data_of(store, 1 << 30)
    assert data.resident
    x = np.concatenate([e for _, e, _ in store.timestamps("train")])
    np.testing.assert_allclose(data.inputs.offset, x.mean(axis=0), rtol=1e-5, atol=1e-6)
    found = np.concatenate([batch.numpy() for batch, _ in data.epoch(1)])
    np.testing.assert_allclose(found, x - data.inputs.offset.numpy(), atol=1e-6)
    sizes = [len(batch) for batch, _ in data.epoch(1)]
    assert sizes[:-1] == [50] * (len(sizes) - 1)
    files = store.task.splits["train"]
    labels = list(store.task.vocabulary)
    expected = np.zeros((len(x), len(labels)), dtype=np.float32)
    row = 0
    for name, _, times in store.timestamps("train"):
        for t in times:
            for event in files[name]:
                assert isinstance(event, Event)
                if event.start_ms <= t <= event.end_ms:
                    expected[row, labels.index(event.label)] = 1
            row += 1
    np.testing.assert_array_equal(np.concatenate([y.numpy() for _, y in data.epoch(1)]), expected)


def test_streamed_frames_are_the_same_bits(tmp_path: Path, workspace: Workspace) -> None:
    store = store_of(tmp_path, workspace)
    resident, streamed = data_of(store, 1 << 30), data_of(store, 0)
    assert not streamed.resident
    assert streamed.valid_pieces is None
    assert streamed.n_batches == resident.n_batches
    assert torch.equal(streamed.inputs.mean, resident.inputs.mean)
    for _ in range(2):  # every epoch reads anew
        for (x, y), (u, v) in zip(resident.epoch(1), streamed.epoch(1), strict=True):
            assert torch.equal(x, u)
            assert torch.equal(y, v)


def test_validation_is_scipys_median_and_the_event_score(
    tmp_path: Path, workspace: Workspace
) -> None:
    store = store_of(tmp_path, workspace)
    data = data_of(store, 0)
    stack = ProbeStack(
        [GridPoint(hidden_layers=0)] * 2,
        [1, 2],
        reading=Reading(data.inputs.offset),
        n_labels=2,
        outputs=MULTILABEL,
        dtype=torch.float32,
    )
    for _ in range(60):
        for x, y in data.epoch(1):
            stack.train_steps([Step(x, y)])
    seen: list[float] = []

    def f_measure(reference: object, estimate: object, labels: object) -> float:
        from hearbench.metrics import get_event_score

        value = get_event_score("event_onset_200ms_fms")(reference, estimate, labels)  # type: ignore[arg-type]
        seen.append(value)
        return value

    validations = data.validate(stack, [1], Objective(f_measure, maximise=True))
    by_hand = []
    for min_duration_ms in (125, 250):
        estimate: dict[str, list[dict[str, object]]] = {}
        for clip, embeddings, times in store.timestamps("valid"):
            logits = stack.predict(torch.from_numpy(embeddings) - data.inputs.offset, [1])[0]
            probabilities = torch.sigmoid(logits).T.numpy()
            width = round(250 / float(np.mean(np.diff(times))))
            on = median_filter(probabilities, size=(width, 1)) > 0.5
            estimate[clip] = []
            for label in range(2):
                run: list[float] = []
                for t, is_on in [*zip(times, on[:, label], strict=True), (0.0, False)]:
                    if is_on:
                        run.append(t)
                    elif run:
                        if run[-1] - run[0] >= min_duration_ms:
                            name = store.task.vocabulary[label]
                            estimate[clip].append({"label": name, "start": run[0], "end": run[-1]})
                        run = []
        reference = {
            clip: [{"label": e.label, "start": e.start_ms, "end": e.end_ms} for e in events]  # type: ignore[union-attr]
            for clip, events in store.task.splits["valid"].items()
        }
        scored = event_scores(
            reference, estimate, list(store.task.vocabulary), "event_onset_200ms_fms"
        )
        by_hand.append(scored["f_measure"])
    assert seen == pytest.approx(by_hand, nan_ok=True)
    assert validations[0].score == max(by_hand)
    loss = data.validate(stack, [0, 1], Objective(f_measure, maximise=True, on_loss=True))
    frames = np.concatenate([e for _, e, _ in store.timestamps("valid")])
    are_on = torch.cat([y for _, y in data_of(store, 1 << 30).valid_pieces or []])
    logits = stack.predict(torch.from_numpy(frames) - data.inputs.offset)
    expected = [
        float(torch.nn.functional.binary_cross_entropy_with_logits(one.T, are_on.float()))
        for one in logits
    ]
    assert [v.score for v in loss] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("cells", [1, 1 << 26])
def test_validation_by_a_score_of_frames(
    tmp_path: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch, cells: int
) -> None:
    monkeypatch.setattr("hearbench.probe.frames._CELLS", cells)  # clips and networks one by one
    store = store_of(tmp_path, workspace)
    data = data_of(store, 0)
    stack = ProbeStack(
        [GridPoint(hidden_layers=0)] * 3,
        [1, 2, 3],
        reading=Reading(data.inputs.offset),
        n_labels=2,
        outputs=MULTILABEL,
        dtype=torch.float32,
    )
    # Untrained networks err more often than scores of real tasks look at.
    lenient = PsdsParameters(dtc=0.3, gtc=0.3, max_rate_per_hour=20_000.0)

    def area(*arguments: Any) -> float:
        return float(psds(*arguments, parameters=lenient)["psds"])

    found = data.validate(stack, [0, 2], Objective(area, maximise=True, reads="frames"))
    clips = list(store.timestamps("valid"))
    logits = stack.predict(
        torch.from_numpy(np.concatenate([x for _, x, _ in clips])) - data.inputs.offset, [0, 2]
    )
    bounds = np.cumsum([0, *(len(times) for _, _, times in clips)])
    times = np.concatenate([times for _, _, times in clips])
    for validation, own in zip(found, torch.sigmoid(logits), strict=True):
        frames = FrameArrays(own.T.numpy(), bounds, times)
        expected = area(data.reference, frames, store.task.vocabulary)
        assert validation.score == pytest.approx(expected, abs=1e-12)
        assert 0 < validation.score < 1
        assert validation.postprocessing == post(250, 250)
    by_loss = Objective(area, maximise=True, on_loss=True, reads="frames")
    f_measure = Objective(get_event_score("event_onset_200ms_fms"), maximise=True, on_loss=True)
    losses = [
        [each.score for each in data.validate(stack, [0, 2], objective)]
        for objective in (by_loss, f_measure)
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_an_event_task_goes_from_store_to_result(tmp_path: Path, workspace: Workspace) -> None:
    store = store_of(tmp_path, workspace)
    predictions = fit_probe(store, SMALL, workspace=workspace)
    result = score(predictions)
    summary = result.scores["event_onset_200ms_fms"]
    assert summary.mean > 0.6
    assert set(summary.parts) == {"f_measure", "precision", "recall"}
    assert summary.parts["f_measure"].mean == summary.mean
    assert not result.scores["segment_1s_er"].maximise
    (fold,) = predictions.folds
    assert isinstance(fold, EventFoldPrediction)
    write_result(result, predictions, tmp_path / "out")
    folder = tmp_path / "out/predictions"
    assert np.load(folder / "test.npy").shape == (fold.bounds[-1], 2)
    assert np.load(folder / "test.timestamps.npy").shape == (fold.bounds[-1],)
    import json

    events = {
        kind: json.loads((folder / f"test.{kind}.json").read_text())
        for kind in ("events", "reference")
    }
    assert list(events["reference"]) == list(store.task.splits["test"])
    found = event_scores(
        events["reference"], events["events"], list(store.task.vocabulary), "event_onset_200ms_fms"
    )
    assert found["f_measure"] == pytest.approx(summary.mean, abs=1e-12)
    form = reference_form(result)
    assert form["test"]["test_event_onset_200ms_fms_precision"] == found["precision"]
    assert dict(form["postprocessing"])["median_filter_ms"] == 250


def test_memory_changes_nothing_but_where_frames_are(tmp_path: Path, workspace: Workspace) -> None:
    store = store_of(tmp_path, workspace)
    roomy = fit_probe(store, SMALL, workspace=workspace)
    narrow = fit_probe(
        store,
        SMALL,
        workspace=dataclasses.replace(workspace, cache_dir=tmp_path / "b", max_memory_gb=0.0),
    )
    assert score(roomy).same_as(score(narrow))
    np.testing.assert_array_equal(roomy.folds[0].probabilities, narrow.folds[0].probabilities)


def test_a_model_that_finds_nothing_ends_early_and_it_is_said_so(
    tmp_path: Path, workspace: Workspace
) -> None:
    # No event is long enough to be kept, so the F-measure doesn't exist.
    store = store_of(
        tmp_path,
        workspace,
        evaluation_params={"event_postprocessing_grid": {"min_duration": [1e6]}},
    )
    lenient = score(fit_probe(store, SMALL, workspace=workspace))
    assert [point.validation_score for point in lenient.grid] == [0.0] * 3
    assert math.isnan(lenient.primary.mean)  # on the test split nothing is found either
    assert not lenient.notes
    assert [f.test_loss > 0 for f in lenient.folds] == [True]
    strict = score(
        fit_probe(store, SMALL.model_copy(update={"nan_ends_point": True}), workspace=workspace)
    )
    assert math.isnan(strict.primary.mean)
    assert strict.scores["segment_1s_er"].mean == pytest.approx(1.0)  # all that there is missed
    assert strict.folds[0].test_loss > 0
    assert strict.folds[0].postprocessing is not None
    assert [point.ended for point in strict.grid] == ["undefined_score"] * 3
    assert [point.validation_score for point in strict.grid] == [-math.inf] * 3
    assert "3 of 3 grid points ended early" in strict.notes[0]
    assert "No validation was defined" in strict.notes[1]


@pytest.mark.parametrize(
    ("change", "says"),
    [("ms / 1000", "seconds"), ("ms + 900", "begin at"), ("ms * 2", "past the end")],
)
def test_wrong_timestamps_stop_the_embedding(
    tmp_path: Path, workspace: Workspace, change: str, says: str
) -> None:
    task = load_task(make_event_task(tmp_path), workspace=workspace)
    source = BANDS.replace("ms.expand", f"({change}).expand")
    model = load_model(str(write_model(tmp_path, source)), workspace=workspace)
    with pytest.raises(EmbeddingError, match=says):
        embed(model, task, workspace=workspace)


PEAK = """
import sys
from pathlib import Path
import numpy as np, torch
from hearbench.embeddings.ranges import ClipFrames
from hearbench.probe.data import BatchSpec
from hearbench.probe.frames import LabelledClip, frame_data
from hearbench.probe.objective import Objective
from hearbench.probe.events import Postprocessing
from hearbench.probe.protocol import GridPoint
from hearbench.probe.training_loop import Training
from hearbench.tasks.clips import Event
from hearbench.worker.memory import peak_resident_mb
torch.set_num_threads(1)
path, n_clips, n_frames, size, budget = Path(sys.argv[1]), *map(int, sys.argv[2:])
base = peak_resident_mb()  # getrusage goes on from the process that started this one
header = np.lib.format.open_memmap(path, mode="r").offset
clips = []
for i in range(n_clips):
    times = np.arange(n_frames) * 2.0
    place = header + i * n_frames * size * 4
    frames = ClipFrames(f"{i}", times, path, np.dtype("float32"), place, size)
    clips.append(LabelledClip(frames, [Event("a", 10.0 + i, 500.0), Event("b", 600.0, 900.0)]))
grid = [Postprocessing(median_filter_ms=250, min_duration_ms=125)]
data = frame_data(clips[:-1], clips[-1:], ("a", "b"), grid=grid,
                  spec=BatchSpec(1024, "cpu", torch.float32, budget))
point = GridPoint(hidden_dim=16, max_epochs=1, check_every=1)
Training({1: [point]}, data, Objective(lambda *_: 0.5, True), fold=0, dtype=torch.float32).run()
print(data.resident, int((peak_resident_mb() - base) * (1 << 20)))
"""


def test_a_store_twenty_times_the_memory_is_trained_within_it(tmp_path: Path) -> None:
    n_clips, n_frames, size = 41, 16384, 128
    path = tmp_path / "frames.npy"
    stored = np.lib.format.open_memmap(
        path, mode="w+", dtype=np.float32, shape=(n_clips * n_frames, size)
    )
    rng = np.random.default_rng(0)
    for i in range(n_clips):
        stored[i * n_frames : (i + 1) * n_frames] = rng.standard_normal((n_frames, size))
    del stored
    budget = path.stat().st_size // 20
    answer = subprocess.run(
        [sys.executable, "-c", PEAK, *map(str, (path, n_clips, n_frames, size, budget))],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "MALLOC_ARENA_MAX": "1"},
    ).stdout.split()
    assert answer[0] == "False"
    overhead = 160 << 20  # what PyTorch itself takes up on its first steps
    assert int(answer[1]) < budget + overhead
    assert path.stat().st_size > budget + overhead
