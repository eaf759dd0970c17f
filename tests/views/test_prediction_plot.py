"""Pictures of test predictions, looked at by the data in them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers_cli import hearbench
from helpers_models import BANDS, write_model
from helpers_tasks import make_event_task, make_scene_task, tone, write_wav
from matplotlib.collections import PathCollection
from sklearn.metrics import confusion_matrix, precision_recall_curve

from hearbench import evaluate, load_results
from hearbench.demo.tasks import _TASKS
from hearbench.errors import HearError
from hearbench.results.predictions import Predictions
from hearbench.results.splits import SceneSplit
from hearbench.tasks.clips import Clip
from hearbench.tasks.prepare import prepare_task
from hearbench.views.prediction_plot import draw_predictions
from hearbench.workspace import Workspace


def result_on(task: Path, tmp_path: Path, workspace: Workspace) -> Path:
    model = write_model(tmp_path, BANDS)
    evaluate(str(model), [task], protocol="knn", out=tmp_path / "results", workspace=workspace)
    return tmp_path / "results" / model.stem / task.name


def split_of(folder: Path) -> SceneSplit:
    (split,) = Predictions.read(folder).splits.values()
    assert isinstance(split, SceneSplit)
    return split


def test_classes_are_a_confusion_matrix(tmp_path: Path, workspace: Workspace) -> None:
    labels = ("a$b", "b", "c")
    folder = result_on(make_scene_task(tmp_path, labels=labels), tmp_path, workspace)
    figure = draw_predictions(folder)
    axes = figure.axes[0]
    split = split_of(folder)
    expected = confusion_matrix(
        split.targets.argmax(axis=1), split.probabilities.argmax(axis=1), normalize="true"
    )
    np.testing.assert_allclose(axes.images[0].get_array(), expected)  # type: ignore[arg-type]
    assert [text.get_text() for text in axes.get_yticklabels()] == list(labels)
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted", "true")


@pytest.mark.parametrize("n_labels", [3, 9])
def test_tags_are_precision_by_recall(tmp_path: Path, workspace: Workspace, n_labels: int) -> None:
    labels = tuple("abcdefghi"[:n_labels])
    task = make_scene_task(tmp_path, labels=labels, multilabel=True, clips_per_label=6)
    folder = result_on(task, tmp_path, workspace)
    axes = draw_predictions(folder).axes[0]
    names = [str(line.get_label()) for line in axes.lines]
    if n_labels > 7:
        kinds = ["highest", "median", "lowest", "mean of 9 labels ("]
        assert all(a.startswith(b) for a, b in zip(names, kinds, strict=True))
        return
    assert sorted(name[0] for name in names) == list(labels)
    split = split_of(folder)
    for line in axes.lines:
        i = labels.index(str(line.get_label())[0])
        precision, recall, _ = precision_recall_curve(
            split.targets[:, i], split.probabilities[:, i]
        )
        drawn = set(
            zip(*np.round(np.asarray(line.get_data(), dtype=float), 6).tolist(), strict=True)
        )
        # Its last point is no threshold.
        of_sklearn = zip(recall[:-1].round(6), precision[:-1].round(6), strict=True)
        assert set(of_sklearn) <= drawn


def test_numbers_are_predicted_against_true(tmp_path: Path, workspace: Workspace) -> None:
    ((recipe, sounds),) = [pair for pair in _TASKS if pair[0].name == "pitch"]
    rows = []
    for sound in list(sounds())[::6]:
        path = tmp_path / "corpus" / f"{sound.filestem}.wav"
        (number,) = sound.values
        write_wav(path, tone(number.value, 0.2, 16000, np.random.default_rng(0)), 16000)
        for value in (number.value, -number.value):
            label = "up" if value > 0 else "down"
            rows.append(Clip(path, sound.filestem, label, sound.split, value=value))
    folder = result_on(
        prepare_task(rows, recipe, tmp_path, workspace=workspace), tmp_path, workspace
    )
    (task,) = load_results(folder).tasks
    figure = load_results(folder).plot_predictions(task)
    split = split_of(folder)
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["down", "up"]
    for i, axes in enumerate(figure.axes):
        (points,) = [each for each in axes.collections if isinstance(each, PathCollection)]
        expected = np.stack([split.targets[:, i], split.probabilities[:, i]], axis=1)
        np.testing.assert_allclose(np.asarray(points.get_offsets()), expected)
        (line,) = axes.lines
        np.testing.assert_array_equal(line.get_xdata(), line.get_ydata())


def test_events_are_drawn_elsewhere(tmp_path: Path, workspace: Workspace) -> None:
    model = write_model(tmp_path, BANDS)
    task = make_event_task(tmp_path)
    evaluate(str(model), [task], protocol="knn", out=tmp_path / "results", workspace=workspace)
    with pytest.raises(HearError, match="hearbench events plot"):
        draw_predictions(tmp_path / "results" / model.stem / task.name)


def test_the_verb_writes_a_picture(tmp_path: Path, workspace: Workspace) -> None:
    folder = result_on(make_scene_task(tmp_path), tmp_path, workspace)
    out = tmp_path / "x.png"
    answer = hearbench("predictions", "plot", folder / "result.json", "--out", out)
    assert (answer.code, answer.stdout) == (0, f"{out}\n")
    assert out.read_bytes().startswith(b"\x89PNG")
    assert hearbench("predictions", "plot", folder, "--out", tmp_path / "x.txt").code == 2
