"""`hearbench.evaluate`: what is made, what is kept, and what a failure leaves the others."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers_models import BANDS, write_model
from helpers_progress import Noted, noting
from helpers_tasks import make_event_task, make_scene_task

import hearbench
from hearbench.distance import DistanceResult
from hearbench.errors import (
    EmbeddingError,
    HearError,
    ModelError,
    ProbeError,
    ResultError,
    TaskError,
    UnknownNameError,
)
from hearbench.evaluation.few_labels import FewLabels
from hearbench.evaluation.job import Setup
from hearbench.evaluation.probes import ProbeSetup
from hearbench.evaluation.results import EvaluationError, Results
from hearbench.evaluation.run import embed_tasks, evaluate_store, named_tasks
from hearbench.execution.shard import Shard
from hearbench.probe.predictions import SceneFoldPrediction
from hearbench.probe.protocol import FASTER
from hearbench.results import Result
from hearbench.results.uncertainty import read_uncertainty
from hearbench.workspace import Workspace

TASK = "tones-1.0.0-full"
QUICK = FASTER.restricted(first=1)
# Hears nothing at a gain of 0, which is what its weights say.
WEIGHED = BANDS.replace(
    'def load_model(model_file_path=""):\n    return Bands()',
    "def load_model(path):\n    model = Bands()\n"
    "    with open(path) as file:\n        model.gain = int(file.read())\n    return model",
).replace("rfft(audio)", "rfft(audio * model.gain)")


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three tones, four clips of each per split; train, valid and test."""
    return make_scene_task(tmp_path_factory.mktemp("task"))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model(tmp_path, BANDS, "bands")


@pytest.fixture
def told() -> Noted:
    return Noted()


@pytest.fixture
def workspace(workspace: Workspace, told: Noted) -> Workspace:
    return noting(workspace, told)


def only(results: Results) -> tuple[Path, Result]:
    """The one result that there is."""
    ((path, result),) = results.results
    assert isinstance(result, Result)
    return path, result


def test_it_is_the_five_functions_in_one(
    model: Path, task: Path, tmp_path: Path, workspace: Workspace
) -> None:
    results = hearbench.evaluate(
        model, task, protocol=QUICK, seeds=[3], out=tmp_path / "out", workspace=workspace
    )
    path, result = only(results)
    assert path == tmp_path / "out/bands" / TASK / "result.json"
    assert result == Result.read(path)
    assert results.failures == []
    other = Workspace(cache_dir=tmp_path / "other", device="cpu")
    store = hearbench.embed(
        hearbench.load_model(model, workspace=other),
        hearbench.load_task(task, workspace=other),
        workspace=other,
    )
    predictions = hearbench.fit_probe(store, protocol=QUICK, seed=3, workspace=other)
    assert result.same_as(hearbench.score(predictions))
    targets = np.load(path.parent / "predictions/test.targets.npy")
    predicted = np.load(path.parent / "predictions/test.npy")
    (fold,) = predictions.folds
    assert isinstance(fold, SceneFoldPrediction)
    assert np.array_equal(predicted, fold.probabilities)
    hits = targets[np.arange(12), predicted.argmax(1)]
    assert result.scores["top1_acc"].mean == pytest.approx(hits.mean(), abs=1e-12)


def test_failures_leave_the_others_their_results(
    task: Path, tmp_path: Path, workspace: Workspace, told: Noted
) -> None:
    first, last = (write_model(tmp_path, BANDS, name) for name in ("first", "last"))
    broken = write_model(tmp_path, "import no_such_library", "broken")
    silent = write_model(tmp_path, BANDS, "silent", "get_scene_embeddings = None")
    missing = tmp_path / "nowhere"
    others = make_scene_task(tmp_path, name="others")
    results = hearbench.evaluate(
        [str(first), broken, silent, last],
        [task, missing, str(others)],
        protocol="knn",
        out=tmp_path / "out",
        workspace=workspace,
    )
    assert [path for path, _ in results.results] == [
        tmp_path / "out" / name / each / "result.json"
        for name in ("first", "last")
        for each in (TASK, "others-1.0.0-full")
    ]
    # The tones are as far apart as the bands of their spectra.
    assert [result.scores["top1_acc"].mean for result in results] == [1.0] * 4
    of_broken = [one for one in results.failures if one.model == str(broken)]
    assert [(one.task, type(one.error)) for one in of_broken] == [(None, ModelError)]
    assert "no_such_library" in of_broken[0].text
    of_silent = [one for one in results.failures if one.model == str(silent)]
    assert of_silent
    assert all(isinstance(one.error, HearError) for one in of_silent)
    of_last = [one for one in results.failures if one.model == str(last)]
    assert [(one.task, type(one.error)) for one in of_last] == [(str(missing), TaskError)]
    assert str(missing) in of_last[0].text
    assert not any(one.is_unforeseen for one in results.failures)
    said = [line for line in told.lines if line.startswith("error: ")]
    assert len(said) == len(results.failures)


def test_a_bug_is_a_failure_with_its_traceback(
    model: Path, task: Path, tmp_path: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = ProbeSetup.make

    def fails(setup: ProbeSetup, job: Any, *rest: Any) -> Any:
        if job.task.name == TASK:
            raise RuntimeError("a bug of ours")
        return make(setup, job, *rest)

    monkeypatch.setattr(ProbeSetup, "make", fails)
    others = make_scene_task(tmp_path, name="others")
    results = hearbench.evaluate(model, [task, others], protocol="knn", workspace=workspace)
    assert [result.task.name for result in results] == ["others-1.0.0-full"]
    (failure,) = results.failures
    assert failure.is_unforeseen
    assert "a bug of ours" in failure.text
    assert "test_run.py" in failure.text


def test_the_same_again_makes_nothing(
    model: Path, task: Path, tmp_path: Path, workspace: Workspace, told: Noted
) -> None:
    out = tmp_path / "out"
    path, result = only(
        hearbench.evaluate(model, task, protocol=QUICK, out=out, workspace=workspace)
    )
    before = {file: file.read_bytes() for file in out.rglob("*") if file.is_file()}
    written = path.stat().st_mtime_ns
    told.lines.clear()
    told.opened.clear()
    # Not even from the cache.
    shutil.rmtree(workspace.cache_dir)
    again = hearbench.evaluate(model, task, protocol=QUICK, out=out, workspace=workspace)
    assert only(again) == (path, result)
    assert path.stat().st_mtime_ns == written
    assert {file: file.read_bytes() for file in out.rglob("*") if file.is_file()} == before
    assert told.lines == [f"{TASK}: kept {path}, which was made from the same inputs"]
    assert told.opened == []


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"protocol": FASTER.restricted(first=2)}, "protocol faster[first=1] instead of faster"),
        ({"seeds": [7]}, "seed 42 instead of 7"),
        ({"dtype": "float16"}, "embeddings in float32 instead of float16"),
    ],
)
def test_a_result_of_other_inputs_is_never_replaced_unasked(
    change: dict[str, Any],
    named: str,
    model: Path,
    task: Path,
    tmp_path: Path,
    workspace: Workspace,
) -> None:
    given: dict[str, Any] = {
        "protocol": QUICK, "seeds": [42], "out": tmp_path / "out", "workspace": workspace
    }  # fmt: skip
    path, _ = only(hearbench.evaluate(model, task, **given))
    before = path.read_bytes()
    with pytest.raises(EvaluationError) as refused:
        hearbench.evaluate(model, task, **given | change)
    (failure,) = refused.value.results.failures
    assert (failure.model, failure.task) == (str(model), str(task))
    assert isinstance(failure.error, ResultError)
    assert str(path) in str(refused.value)
    assert named in str(refused.value)
    assert path.read_bytes() == before
    apart, _ = only(hearbench.evaluate(model, task, name="apart", **given | change))
    assert apart == tmp_path / "out/apart" / TASK / "result.json"
    assert path.read_bytes() == before
    replaced, _ = only(hearbench.evaluate(model, task, overwrite=True, **given | change))
    assert replaced == path
    assert path.read_bytes() != before


def test_without_a_folder_results_are_in_the_cache_by_their_inputs(
    task: Path, tmp_path: Path, workspace: Workspace, told: Noted
) -> None:
    weights = tmp_path / "weights.txt"
    weights.write_text("1")
    model = hearbench.ModelRef(str(write_model(tmp_path, WEIGHED, "weighed")), str(weights))

    def path_and_accuracy(**more: Any) -> tuple[Path, float]:
        found = hearbench.evaluate(model, task, workspace=workspace, **{"protocol": "knn", **more})
        path, result = only(found)
        assert path.is_relative_to(workspace.path("results"))
        return path, result.scores["top1_acc"].mean

    hears = path_and_accuracy()
    assert hears[1] == 1.0
    assert path_and_accuracy() == hears
    assert told.lines[-1] == f"{TASK}: kept {hears[0]}, which was made from the same inputs"
    others = [path_and_accuracy(**more)[0] for more in (
        {"dtype": "float16"}, {"protocol": QUICK}, {"protocol": QUICK, "seeds": [7]},
    )]  # fmt: skip
    weights.write_text("0")
    deaf = path_and_accuracy()
    # All clips are alike to it, and each label is that of a third.
    assert deaf[1] == pytest.approx(1 / 3)
    assert len({hears[0], deaf[0], *others}) == 5
    weights.write_text("1")
    assert path_and_accuracy() == hears


def test_a_task_that_is_named_twice_is_evaluated_once(
    model: Path, task: Path, tmp_path: Path, workspace: Workspace
) -> None:
    copy = shutil.copytree(task, tmp_path / "copy" / TASK)
    other = make_scene_task(tmp_path / "other", seed=1)
    for out in (tmp_path / "a", tmp_path / "b"):
        tasks: list[str | Path] = [task, str(task), f"{task}/", copy]
        # The second time there is a result already.
        for _ in range(2):
            results = hearbench.evaluate(model, tasks, protocol="knn", out=out, workspace=workspace)
            path, _ = only(results)
            assert path == out / "bands" / TASK / "result.json"
            assert results.failures == []
    # Of the same name, and another one.
    results = hearbench.evaluate(
        model, [task, other], protocol="knn", out=tmp_path / "c", workspace=workspace
    )
    assert only(results)[0] == tmp_path / "c/bands" / TASK / "result.json"
    (failure,) = results.failures
    assert failure.task == str(other)
    assert isinstance(failure.error, ResultError)
    assert "other content of the task" in failure.text


def test_all_stands_for_the_published_tasks() -> None:
    assert named_tasks(["mine", "mine", "other"]) == ["mine", "other"]
    published = named_tasks(["mine", "all", "esc50-v2.0.0-full"])
    assert published[0] == "mine"
    assert len(published) == len(set(published)) > 19
    assert len(named_tasks(["mine", "hear-11"])) == 12
    assert named_tasks(["all", "hear-11"]) == named_tasks(["all"])


def test_a_protocol_can_be_given_in_several_forms(
    model: Path, task: Path, tmp_path: Path, workspace: Workspace
) -> None:
    out = tmp_path / "out"

    def evaluate(protocol: Any) -> Results:
        return hearbench.evaluate(model, task, protocol=protocol, out=out, workspace=workspace)

    path, by_object = only(evaluate(QUICK))
    assert by_object.protocol.name == "faster[first=1]"
    ((distance_path, distances),) = evaluate("distance").results
    assert isinstance(distances, DistanceResult)
    assert distance_path == path.with_name("distance.json")
    assert distances.primary_score == "retrieval_mAP"
    probe = ProbeSetup.of(QUICK)
    few = evaluate(FewLabels.of(probe, shots=[2, 1], repeats=2))
    assert few.results == []
    ((curve_path, curve),) = few.curves
    assert curve_path == path.parent / "few-labels/curve.json"
    assert [(point.part.shots, point.n_clips) for point in curve.points] == [(1, 3), (2, 6)]
    both = evaluate([probe, FewLabels.of(probe, shots=[1], repeats=2)])
    assert only(both) == (path, by_object)
    assert len(both.curves) == 1
    by_name = hearbench.evaluate(model, task, protocol="knn", workspace=workspace)
    assert only(by_name)[1].protocol.name == "knn"


def test_seeds_are_a_number_or_named(
    model: Path, task: Path, tmp_path: Path, workspace: Workspace
) -> None:
    def seeds_of(seeds: Any, protocol: Any = QUICK) -> tuple[Path, tuple[int, ...], int]:
        found = hearbench.evaluate(model, task, protocol=protocol, seeds=seeds, workspace=workspace)
        path, result = only(found)
        sure = read_uncertainty(path.parent)
        assert sure is not None
        for name, score in sure.scores.items():
            assert score.mean == pytest.approx(np.mean(list(score.per_seed.values())))
            assert score.per_seed[result.seed] == result.scores[name].mean
        return path.parent, sure.seeds, result.seed

    folder, seeds, first = seeds_of(2)
    assert (seeds, first) == ((42, 43), 42)
    assert Result.read(folder / "seeds/43").seed == 43
    folder, seeds, first = seeds_of([7, 3])
    assert (set(seeds), first) == ({3, 7}, 7)
    assert Result.read(folder / "seeds/3").seed == 3
    # Where nothing is random, one is enough.
    assert seeds_of([5, 6], "knn")[1:] == ((5,), 5)


def test_a_model_can_be_loaded_already(
    model: Path, task: Path, tmp_path: Path, workspace: Workspace
) -> None:
    loaded = hearbench.load_model(model, workspace=workspace)
    path, by_object = only(hearbench.evaluate(loaded, task, protocol="knn", workspace=workspace))
    assert by_object.model.name == "bands"
    # It is its owner's, and still there.
    store = hearbench.embed(
        loaded, hearbench.load_task(task, workspace=workspace), workspace=workspace
    )
    assert store.digest == by_object.embeddings.digest
    by_path = hearbench.evaluate([str(model)], [task], protocol="knn", workspace=workspace)
    assert only(by_path) == (path, by_object)
    with pytest.raises(HearError, match="object of this process can't be evaluated by others"):
        hearbench.evaluate(loaded, task, executor=Shard(1, 2, workspace), workspace=workspace)


def test_nothing_could_be_evaluated(
    model: Path, task: Path, tmp_path: Path, workspace: Workspace
) -> None:
    missing = [str(tmp_path / name) for name in ("nowhere", "elsewhere")]
    with pytest.raises(EvaluationError) as failed:
        hearbench.evaluate(model, missing, workspace=workspace)
    failures = failed.value.results.failures
    assert [(one.model, one.task) for one in failures] == [(str(model), each) for each in missing]
    assert all(isinstance(one.error, TaskError) for one in failures)
    assert all(each in str(failed.value) for each in missing)
    broken = write_model(tmp_path, "raise SystemExit(0)", "broken")
    with pytest.raises(EvaluationError) as failed:
        hearbench.evaluate([broken, tmp_path / "gone.py"], task, workspace=workspace)
    assert [one.task for one in failed.value.results.failures] == [None, None]
    # One model alone fails as it is loaded.
    with pytest.raises(ModelError, match=r"There is no model file .*gone\.py"):
        hearbench.evaluate(tmp_path / "gone.py", task, workspace=workspace)


@pytest.mark.parametrize(
    ("given", "error", "says"),
    [
        ({"protocol": "hear2012"}, UnknownNameError, "Did you mean 'hear2021'"),
        ({"dtype": "int8"}, EmbeddingError, "float32 or float16: 'int8'"),
        ({"seeds": 0}, ProbeError, "No seed is given"),
        ({"seeds": []}, ProbeError, "No seed is given"),
        ({"name": "mine", "model": ["a.py", "b.py"]}, HearError, "several models at once"),
        ({"name": "a/b"}, EvaluationError, "'a/b' can't be the name of a result's folder"),
    ],
)
def test_arguments_that_cant_be_used(
    given: dict[str, Any],
    error: type[HearError],
    says: str,
    model: Path,
    task: Path,
    workspace: Workspace,
) -> None:
    with pytest.raises(error) as found:
        hearbench.evaluate(
            **{"model": model, "tasks": task, "protocol": "knn", "workspace": workspace, **given}
        )
    assert says in str(found.value)
    assert not workspace.path("embeddings").exists()


def test_embeddings_alone_and_what_is_made_of_them(
    model: Path, task: Path, tmp_path: Path, workspace: Workspace
) -> None:
    events = make_event_task(tmp_path)
    embedded = embed_tasks(model, [task, tmp_path / "nowhere", events], workspace=workspace)
    assert [store.task.name for store in embedded.stores] == [TASK, "beeps-1.0.0-full"]
    assert [one.task for one in embedded.failures] == [str(tmp_path / "nowhere")]
    assert embedded.results == []
    nothing = embed_tasks(model, [tmp_path / "nowhere"], workspace=workspace)
    assert (nothing.stores, len(nothing.failures)) == ([], 1)
    setup: Setup = ProbeSetup.of("knn")
    store, out = embedded.stores[0], tmp_path / "out"
    path, result = only(evaluate_store(store, setup, out, workspace=workspace))
    whole = hearbench.evaluate(model, task, protocol="knn", workspace=workspace)
    assert result.same_as(only(whole)[1])
    written = path.stat().st_mtime_ns
    assert only(evaluate_store(store, setup, out, workspace=workspace)) == (path, result)
    assert path.stat().st_mtime_ns == written
    with pytest.raises(ResultError, match="instead of faster"):
        evaluate_store(store, ProbeSetup.of(QUICK), out, workspace=workspace)


@pytest.mark.parametrize(("models", "tasks", "named"), [([], ["a"], "model"), (["m"], [], "task")])
def test_nothing_to_evaluate(
    models: list[str], tasks: list[str], named: str, workspace: Workspace
) -> None:
    with pytest.raises(HearError, match=f"There is no {named} to evaluate"):
        hearbench.evaluate(models, tasks, workspace=workspace)
    with pytest.raises(HearError, match="There is no set-up"):
        hearbench.evaluate("m", "a", protocol=[], workspace=workspace)


def test_an_object_that_is_no_model_stops_no_other(tmp_path: Path, workspace: Workspace) -> None:
    model, task = str(write_model(tmp_path)), make_scene_task(tmp_path)
    results = hearbench.evaluate([{}, model], task, protocol="knn", workspace=workspace)
    assert [result.model.name for result in results] == ["stats"]
    (failure,) = results.failures
    assert (failure.model, failure.task) == ("dict", None)
    assert isinstance(failure.error, ModelError)


def test_precision_follows_the_device_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def multiplies(device: torch.device) -> bool:
        asked.append(str(device))
        return device.index == 3

    monkeypatch.setattr("hearbench.probe.precision._multiplies_bfloat16", multiplies)
    monkeypatch.setenv("HEARBENCH_DEVICE", "cuda:3")
    assert ProbeSetup.of("knn").precision == "bfloat16"
    cpu = Workspace.from_environment(device="cpu")
    assert ProbeSetup.of("knn", workspace=cpu).precision == "float32"
    assert asked == ["cuda:3", "cpu"]
