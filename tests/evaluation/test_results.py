"""What an evaluation returns: found by names, shown as tables, read again from folders."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from helpers_layers import write_layers_result, write_weighted_result
from helpers_leaderboard import DCASE, ESC50, write_made_up_result
from helpers_models import BANDS, write_model
from helpers_tasks import make_event_task, make_scene_task

import hearbench
from hearbench import Result, Results, load_results
from hearbench.distance import DistanceResult
from hearbench.errors import HearError, ResultError, UnknownNameError
from hearbench.probe.protocol import get_protocol
from hearbench.results.splits import SceneSplit
from hearbench.workspace import Workspace


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of two models on a task with folds and one with events; of one, distances, too."""
    root = tmp_path_factory.mktemp("results")
    workspace = Workspace(root / "cache", "cpu", 2)
    tasks = [make_scene_task(root, folds=True), make_event_task(root)]
    models = [str(write_model(root, name="stats")), str(write_model(root, BANDS, "bands"))]
    out = root / "out"
    hearbench.evaluate(models, tasks, protocol="knn", out=out, workspace=workspace)
    hearbench.evaluate(
        models[0], tasks[0], protocol="distance", out=root / "distances", workspace=workspace
    )
    return out


@pytest.fixture
def results(out: Path) -> Results:
    return load_results(out)


def stored(out: Path, model: str, task: str, name: str) -> dict[str, object]:
    """A file beside a result, as JSON."""
    found: dict[str, object] = json.loads((out / model / task / name).read_text())
    return found


def test_results_are_found_by_model_and_task(results: Results, out: Path) -> None:
    assert results.models == ["bands", "stats"]
    assert results.tasks == ["beeps-1.0.0-full", "tones-1.0.0-full"]
    assert len(results) == 4
    result = results["stats", "tones"]
    assert isinstance(result, Result)
    assert result == results["stats", "tones-1.0.0-full"]
    assert result == Result.read(out / "stats/tones-1.0.0-full")
    assert results.path(("stats", "tones")) == out / "stats/tones-1.0.0-full/result.json"
    with pytest.raises(UnknownNameError, match="2 results on tones"):
        results["tones"]
    with pytest.raises(UnknownNameError, match="esc50"):
        results["stats", "esc50"]


def test_a_frame_has_a_row_per_score(results: Results, out: Path) -> None:
    frame = results.to_frame()
    n_scores = sum(len(result.scores) for result in results)
    assert len(frame) == n_scores
    sure = stored(out, "bands", "tones-1.0.0-full", "uncertainty.json")
    for name, score in sure["scores"].items():  # type: ignore[attr-defined]
        (row,) = frame.query(
            f"model == 'bands' and task == 'tones-1.0.0-full' and score == '{name}'"
        ).itertuples()
        interval = score["total"]["interval"]
        assert (row.mean, row.low, row.high) == (
            score["mean"], interval["low"], interval["high"],
        )  # fmt: skip
        assert (row.protocol, row.seed, row.n_seeds, row.n_folds) == ("knn", 42, 1, 3)
        assert row.protocol_fingerprint == "650ed0a8d0"
    primary = frame[frame.is_primary]
    assert sorted(primary.task) == ["beeps-1.0.0-full"] * 2 + ["tones-1.0.0-full"] * 2


def test_the_best_is_bold(results: Results) -> None:
    means = {
        (result.model.name, result.task.name): result.primary.mean
        for result in results
        if isinstance(result, Result)
    }
    for line in results.to_markdown().splitlines()[2:]:
        _, task, _, bands, stats, _ = (cell.strip() for cell in line.split("|"))
        best = np.nanmax([means["bands", task], means["stats", task]])
        assert bands.startswith("**") == (means["bands", task] == best)
        assert stats.startswith("**") == (means["stats", task] == best)
        assert f"{means['bands', task]:.3f}" in bands
    page = results._repr_html_()
    assert page.count("<b>") >= 2
    assert "color: gray" in page


def test_a_repr_fits_a_screen(results: Results) -> None:
    shown = repr(results)
    assert "2 models, 4 results" in shown
    assert all(len(line) <= 100 for line in shown.splitlines())
    assert len(repr(results["stats", "tones"]).splitlines()) == 2


def test_names_are_no_markup(results: Results) -> None:
    path, result = results.results[0]
    odd = Results([(path.parents[2] / "<b>x" / path.parent.name / path.name, result)])
    assert "<b>x" not in odd._repr_html_()
    assert "&lt;b&gt;x" in odd._repr_html_()


def test_a_plot_has_a_point_per_model_and_task(results: Results) -> None:
    figure = results.plot()
    (axes,) = figure.axes
    lines = [np.asarray(line.get_xdata(), dtype=float) for line in axes.lines]
    means = [result.scores[result.primary_score].mean for result in results]
    drawn = [x.item() for x in lines if x.size == 1]
    assert np.array_equal(np.sort(drawn), np.sort(means), equal_nan=True)
    assert [text.get_text().split("\n")[0] for text in axes.get_yticklabels()] == results.tasks


def test_a_model_s_protocols_have_rows_of_their_own(tmp_path: Path) -> None:
    write_layers_result(tmp_path / "a")
    weights = {f"fold0{i}": (0.2, 0.7, 0.1) for i in range(5)}
    write_weighted_result(tmp_path / "b", [weights])
    write_made_up_result(tmp_path / "a", DCASE)
    rows = load_results(tmp_path).to_table().to_json()
    # Of 20 clips of a fold 4 are wrong in the best layer, and 2 in the sum.
    assert [(row["score"], str(row["my_model"])[:5]) for row in rows] == [
        ("event_onset_200ms_fms", "1.000"),
        ("top1_acc, layers[first=3]", "0.800"),
        ("top1_acc, weighted[first=3]", "0.900"),
    ]


def test_layers_are_a_table_and_a_picture(tmp_path: Path, results: Results) -> None:
    write_layers_result(tmp_path / "out")
    write_made_up_result(tmp_path / "out", DCASE)
    found = load_results(tmp_path)
    assert len(found) == 2
    rows = found.layers().to_json()
    assert [(row["layer"], row["chosen"]) for row in rows] == [
        (2, False),
        (4, True),
        (7, False),
        (None, None),
    ]
    # Of 20 clips of a fold 1, 4 and 10 are wrong.
    assert [row["mean"] for row in rows] == pytest.approx([0.95, 0.8, 0.5, 0.8])
    (axes,) = found.plot_layers("mAP").axes
    assert axes.get_ylabel() == "mAP"
    with pytest.raises(HearError, match="no results of layers"):
        results.plot_layers()


def test_models_are_compared(results: Results) -> None:
    found = results.compare()
    assert set(found.models) == {"bands", "stats"}
    assert {task.task for task in found.tasks} == set(results.tasks)


def test_predictions_lie_beside_a_result(results: Results, out: Path) -> None:
    result = results["stats", "tones"]
    assert isinstance(result, Result)
    split = result.predictions().splits["fold01"]
    assert isinstance(split, SceneSplit)
    kept = np.load(out / "stats/tones-1.0.0-full/predictions/fold01.npy")
    assert np.array_equal(split.probabilities, kept)
    unread = Result.model_validate_json((out / "stats/tones-1.0.0-full/result.json").read_text())
    assert unread == result
    with pytest.raises(ResultError, match="read from its folder"):
        unread.predictions()


def test_distances_are_results(out: Path) -> None:
    results = load_results(out.parent / "distances")
    result = results["tones"]
    assert isinstance(result, DistanceResult)
    score = results.scores("tones")["retrieval_mAP"]
    summary = result.scores["retrieval_mAP"]
    assert summary.interval is not None
    assert (score.mean, score.low, score.high) == (
        summary.mean, summary.interval.low, summary.interval.high,
    )  # fmt: skip
    assert set(results.to_frame().protocol) == {"distance"}


def test_the_protocol_tells_a_probe_from_distances(out: Path) -> None:
    results = load_results(out, out.parent / "distances")
    assert isinstance(results["stats", "tones"], Result)
    assert isinstance(results["stats", "tones", "knn"], Result)
    assert isinstance(results["stats", "tones", "distance"], DistanceResult)
    with pytest.raises(UnknownNameError, match="of bands on tones by distance"):
        results["bands", "tones", "distance"]
    assert set(results.compare().models) == {"bands", "stats"}
    with pytest.raises(ResultError, match="no model"):
        load_results(out.parent / "distances").compare()


def test_folders_of_any_depth(out: Path) -> None:
    assert len(load_results(out / "stats")) == 2
    assert len(load_results(out / "stats/tones-1.0.0-full", out / "bands")) == 3
    with pytest.raises(ResultError, match="holds no result"):
        load_results(out.parent / "tones-1.0.0-full")


def test_scores_by_different_protocols_have_rows_of_their_own(tmp_path: Path) -> None:
    for model, wrong, protocol in (("good", 1, "hear2021"), ("bad", 5, "faster")):
        write_made_up_result(
            tmp_path, ESC50, model=model, wrong=wrong, protocol=get_protocol(protocol)
        )
    assert sorted(load_results(tmp_path).to_markdown().splitlines()[2:]) == [
        f"| {ESC50} | top1_acc, faster | **0.750** |  |",
        f"| {ESC50} | top1_acc, hear2021 |  | **0.950** |",
    ]
