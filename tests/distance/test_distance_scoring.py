"""From a store of embeddings to a result of distances, and its file."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from helpers_models import BANDS, write_model
from helpers_progress import Noted, noting
from helpers_tasks import make_event_task, make_scene_task
from scipy import stats
from scipy.spatial.distance import cdist
from sklearn.metrics import average_precision_score, roc_auc_score

from hearbench import embed, load_model, load_task
from hearbench.distance import DISTANCE_FILE, DistanceResult, distance_scores, write_distances
from hearbench.distance.scoring import mean_error, share_interval
from hearbench.embeddings.store import EmbeddingStore
from hearbench.errors import EmbeddingError, ResultError, TaskError
from hearbench.metrics.distance import measure_distances
from hearbench.metrics.distance_blocks import Sameness
from hearbench.metrics.distance_errors import standard_errors
from hearbench.sums import SUMS_FILE
from hearbench.workspace import Workspace

NAMES = [
    "retrieval_mAP",
    *("retrieval_p_at_1", "retrieval_p_at_5", "retrieval_p_at_10"),
    *("same_different_auc", "same_different_eer"),
]


def store_of(path: Path, tmp_path: Path, workspace: Workspace) -> EmbeddingStore:
    model = load_model(str(write_model(tmp_path, BANDS)), workspace=workspace)
    return embed(model, load_task(path, workspace=workspace), workspace=workspace)


ALL_NAMES = [*NAMES, *(f"{kind}_{name}" for kind in ("l2", "cosine") for name in NAMES)]


@pytest.mark.parametrize("multilabel", [False, True])
@pytest.mark.parametrize(
    ("prefix", "metric"), [("", "cityblock"), ("l2_", "euclidean"), ("cosine_", "cosine")]
)
def test_scores_are_scikit_learns_on_the_test_split(
    prefix: str, metric: Literal["cityblock"], multilabel: bool, tmp_path: Path,
    workspace: Workspace,
) -> None:  # fmt: skip
    store = store_of(
        make_scene_task(tmp_path, clips_per_label=6, multilabel=multilabel), tmp_path, workspace
    )
    result = distance_scores(store, workspace=workspace)
    x, targets = store.scene("test"), store.task.targets("test").astype(int)
    distances, same = cdist(x, x, metric), targets @ targets.T > 0
    upper = np.triu_indices(len(x), 1)
    precisions = [
        average_precision_score(np.delete(same[i], i), -np.delete(distances[i], i))
        for i in range(len(x))
    ]
    assert list(result.scores) == ALL_NAMES
    scores = {name: result.scores[f"{prefix}{name}"] for name in NAMES}
    assert scores["retrieval_mAP"].mean == pytest.approx(np.mean(precisions), abs=1e-9)
    assert scores["same_different_auc"].mean == pytest.approx(
        roc_auc_score(same[upper], -distances[upper]), abs=1e-9
    )
    nearest = [same[i, np.argsort(distances[i])[1]] for i in range(len(x))]
    assert scores["retrieval_p_at_1"].mean == pytest.approx(np.mean(nearest))
    (split,) = result.splits
    assert (split.test, split.n_clips, split.n_queries) == ("test", 18, 18)
    assert split.n_same + split.n_different == 18 * 17 // 2
    assert split.n_same == same[upper].sum()
    assert [name for name, score in scores.items() if not score.maximise] == [NAMES[-1]]
    assert all(score.std is None for score in result.scores.values())


def test_each_fold_is_scored_by_itself(tmp_path: Path, workspace: Workspace) -> None:
    store = store_of(make_scene_task(tmp_path, clips_per_label=5, folds=True), tmp_path, workspace)
    told = Noted()
    result = distance_scores(store, workspace=noting(workspace, told))
    auc = []
    for split in ("fold00", "fold01", "fold02"):
        sameness = Sameness.of(store.task.targets(split), multilabel=False)
        auc.append(measure_distances(store.scene(split), sameness).pairs.auc)
    score = result.scores["same_different_auc"]
    assert list(score.per_fold) == ["fold00", "fold01", "fold02"]
    assert list(score.per_fold.values()) == auc
    assert score.mean == pytest.approx(np.mean(auc))
    assert score.std == pytest.approx(np.std(auc, ddof=1))
    assert told.stages == ["tones-1.0.0-full: measuring distances"]
    assert told.states[0][1:] == (0, 270, "fold00, 1 of 3, l1: measuring distances")
    assert told.counts[-1] == (270, 270)
    assert told.counts == sorted(told.counts)


def test_the_interval_is_of_the_mean_over_folds(tmp_path: Path, workspace: Workspace) -> None:
    path = make_scene_task(tmp_path, clips_per_label=5, folds=True, labels=("1", "2", "3", "4"))
    model = load_model(str(write_model(tmp_path)), workspace=workspace)
    store = embed(model, load_task(path, workspace=workspace), workspace=workspace)
    result = distance_scores(store, workspace=workspace, level=0.9)
    errors = []
    for split in ("fold00", "fold01", "fold02"):
        sameness = Sameness.of(store.task.targets(split), multilabel=False)
        measured = measure_distances(store.scene(split), sameness)
        errors.append(standard_errors(store.scene(split), sameness, measured).auc)
    score = result.scores["same_different_auc"]
    error = math.sqrt(sum(one**2 for one in errors)) / 3
    assert score.standard_error == pytest.approx(error)
    assert score.interval is not None
    assert score.interval.low < score.mean < score.interval.high
    # Near enough to a half, the logit scale is a straight one.
    width = score.interval.high - score.interval.low
    assert width == pytest.approx(2 * stats.t.ppf(0.95, 57) * error, rel=0.05)


def test_a_result_is_written_and_read_back(tmp_path: Path, workspace: Workspace) -> None:
    store = store_of(make_scene_task(tmp_path), tmp_path, workspace)
    result = distance_scores(store, workspace=workspace)
    path = write_distances(result, tmp_path / "out")
    assert path == tmp_path / "out" / DISTANCE_FILE
    read = DistanceResult.read(tmp_path / "out")
    assert read == DistanceResult.read(path)
    assert read.model_dump_json() == result.model_dump_json()
    assert read.same_as(distance_scores(store, workspace=workspace))
    assert {file.name for file in path.parent.iterdir()} == {DISTANCE_FILE, SUMS_FILE}


def test_a_file_that_is_no_result_says_so(tmp_path: Path) -> None:
    with pytest.raises(ResultError, match="can't be read"):
        DistanceResult.read(tmp_path / "none.json")
    (tmp_path / DISTANCE_FILE).write_text(json.dumps({"format_version": 2}))
    with pytest.raises(ResultError, match="not a result of distances of format version 1"):
        DistanceResult.read(tmp_path)


def test_clips_without_another_of_their_kind_are_told_of(
    tmp_path: Path, workspace: Workspace
) -> None:
    store = store_of(make_scene_task(tmp_path, clips_per_label=1), tmp_path, workspace)
    result = distance_scores(store, workspace=workspace)
    assert all(math.isnan(score.mean) for score in result.scores.values())
    assert all(score.interval is None for score in result.scores.values())
    assert result.splits[0].n_queries == 0
    assert "test (3)" in result.notes[0]
    assert result.notes[1] == "No two clips of test are same: there are no scores."
    path = write_distances(result, tmp_path / "out")
    assert json.loads(path.read_text())["scores"]["retrieval_mAP"]["mean"] is None
    assert DistanceResult.read(path).same_as(result)


def test_one_label_has_no_different_pair(tmp_path: Path, workspace: Workspace) -> None:
    store = store_of(make_scene_task(tmp_path, labels=("a",)), tmp_path, workspace)
    result = distance_scores(store, workspace=workspace)
    assert result.scores["retrieval_mAP"].mean == 1.0
    # All queries agree, which says nothing of others.
    assert result.scores["retrieval_mAP"].interval is None
    assert math.isnan(result.scores["same_different_auc"].mean)
    assert "No two clips of test are different" in result.notes[0]


def test_event_tasks_have_no_distances(tmp_path: Path, workspace: Workspace) -> None:
    store = store_of(make_event_task(tmp_path), tmp_path, workspace)
    with pytest.raises(TaskError, match="event task"):
        distance_scores(store, workspace=workspace)


def test_numbers_that_are_not_finite_are_refused(
    tmp_path: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = store_of(make_scene_task(tmp_path), tmp_path, workspace)
    monkeypatch.setattr(
        EmbeddingStore, "scene", lambda *_: np.full((12, 16), np.inf, dtype=np.float32)
    )
    with pytest.raises(EmbeddingError, match="aren't finite in the split test"):
        distance_scores(store, workspace=workspace)


def test_errors_of_a_mean_over_folds() -> None:
    assert mean_error([3.0, 4.0]) == pytest.approx(2.5)
    assert mean_error([0.0, 0.0]) is None
    assert mean_error([0.1, math.nan]) is None


def test_intervals_stay_between_0_and_1() -> None:
    found = share_interval(0.98, 0.02, 100, 1, 0.95)
    assert found is not None
    assert 0.8 < found.low < 0.98 < found.high < 1
    # The delta method: the interval on the logit scale, brought back.
    reach = stats.t.ppf(0.975, 99) * 0.02 / (0.98 * 0.02)
    assert math.log(found.high / (1 - found.high)) == pytest.approx(math.log(49) + reach)
    assert share_interval(1.0, 0.02, 100, 1, 0.95) is None
    assert share_interval(0.5, None, 100, 1, 0.95) is None
    wide = share_interval(0.5, 0.1, 100, 1, 0.99)
    assert wide is not None
    assert wide.high - wide.low > found.high - found.low


def test_intervals_of_the_auc_and_of_map_cover_what_they_should() -> None:
    rng = np.random.default_rng(0)
    centres = 0.7 * rng.standard_normal((6, 6))
    means, errors = [], []
    for _ in range(200):
        labels = rng.integers(0, 6, 60)
        x = (centres[labels] + rng.standard_normal((60, 6))).astype(np.float32)
        sameness = Sameness.of(np.eye(6, dtype=np.int64)[labels], multilabel=False)
        measured = measure_distances(x, sameness)
        found = standard_errors(x, sameness, measured)
        precision = float(np.nanmean(measured.retrieval.average_precision))
        means.append((precision, measured.pairs.auc))
        errors.append((found.mean_average_precision, found.auc))
    for column in (0, 1):
        truth = np.mean([mean[column] for mean in means])
        covered = 0
        for mean, error in zip(means, errors, strict=True):
            interval = share_interval(mean[column], error[column], 60, 1, 0.95)
            assert interval is not None
            covered += int(interval.low <= truth <= interval.high)
        assert 0.93 <= covered / 200 <= 0.99


CONSTANT = """
import torch
class Model(torch.nn.Module):
    sample_rate = 16000
    scene_embedding_size = timestamp_embedding_size = 3
def load_model(path=""):
    return Model()
def get_scene_embeddings(audio, model):
    return torch.full((len(audio), 3), 7.0)
def get_timestamp_embeddings(audio, model):
    return torch.full((len(audio), 1, 3), 7.0), torch.zeros(len(audio), 1)
"""


def test_equal_embeddings_are_told_of(tmp_path: Path, workspace: Workspace) -> None:
    model = load_model(str(write_model(tmp_path, CONSTANT)), workspace=workspace)
    task = load_task(make_scene_task(tmp_path, folds=True), workspace=workspace)
    result = distance_scores(embed(model, task, workspace=workspace), workspace=workspace)
    assert "All clips of fold00, fold01, fold02 have the same embedding" in result.notes[0]
    assert result.scores["same_different_auc"].mean == 0.5


def test_a_fold_without_a_score_is_left_out(tmp_path: Path, workspace: Workspace) -> None:
    path = make_scene_task(tmp_path, clips_per_label=6, folds=True)
    file = path / "fold01.json"
    # All clips of a fold of one label: none is different from another.
    labels = json.loads(file.read_text())
    file.write_text(json.dumps({name: ["a"] for name in labels}))
    result = distance_scores(store_of(path, tmp_path, workspace), workspace=workspace)
    auc = result.scores["same_different_auc"]
    values = [auc.per_fold["fold00"], auc.per_fold["fold02"]]
    assert math.isnan(auc.per_fold["fold01"])
    assert auc.mean == pytest.approx(np.mean(values))
    assert auc.std == pytest.approx(np.std(values, ddof=1))
    assert auc.standard_error is not None
    assert auc.interval is not None
    assert auc.interval.low < auc.mean < auc.interval.high
