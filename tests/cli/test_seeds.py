"""``--seeds N``: results of every seed, intervals, and what is kept."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers_cli import Answer, hearbench
from helpers_tasks import make_scene_task

from hearbench.results import Result

QUICK = ("--protocol", "faster", "--grid-points", "2")


@pytest.fixture
def folded(tmp_path: Path) -> Path:
    return make_scene_task(tmp_path / "t", name="folded", folds=True, clips_per_label=8)


def evaluate(model: object, task: object, out: Path, *more: object) -> Answer:
    return hearbench("evaluate", model, "--task", task, "--out", out, *QUICK, *more)


def test_every_seed_has_a_result_and_together_an_interval(
    model: Path, folded: Path, tmp_path: Path
) -> None:
    answer = evaluate(model, folded, tmp_path / "out", "--seeds", 3, "--json")
    assert answer.code == 0, answer.stderr
    (found,) = answer.json["results"]
    folder = Path(found["path"]).parent
    assert found["seeds"] == [42, 43, 44]
    results = [Result.read(folder), *(Result.read(folder / "seeds" / s) for s in ("43", "44"))]
    assert [result.seed for result in results] == [42, 43, 44]
    means = [result.scores["mAP"].mean for result in results]
    assert len(set(means)) > 1
    score = found["scores"]["mAP"]
    assert score["mean"] == pytest.approx(np.mean(means))
    assert score["sources"]["seeds"]["std"] == pytest.approx(np.std(means, ddof=1))
    per_fold = np.mean([list(r.scores["mAP"].per_fold.values()) for r in results], axis=0)
    assert score["sources"]["folds"]["std"] == pytest.approx(np.std(per_fold, ddof=1))
    assert score["sources"]["total"]["interval"]["low"] < score["mean"]
    # Each seed alone gives the same again, but for rounding.
    alone = evaluate(model, folded, tmp_path / "alone", "--seed", 44, "--json")
    other = Result.read(Path(alone.json["results"][0]["path"]))
    assert other.scores["mAP"].mean == pytest.approx(means[2], abs=0.02)


def test_more_seeds_later_train_the_new_ones_only(
    model: Path, folded: Path, tmp_path: Path
) -> None:
    first = evaluate(model, folded, tmp_path / "out", "--seeds", 2, "--json")
    folder = Path(first.json["results"][0]["path"]).parent
    kept = [folder / "result.json", folder / "seeds" / "43" / "result.json"]
    before = [path.read_bytes() for path in kept]
    more = evaluate(model, folded, tmp_path / "out", "--seeds", 3, "--json")
    assert more.code == 0, more.stderr
    assert [path.read_bytes() for path in kept] == before
    assert more.json["results"][0]["seeds"] == [42, 43, 44]
    # Asking for fewer changes nothing, and needs no cache.
    shutil.rmtree(tmp_path / "cache")
    fewer = evaluate(model, folded, tmp_path / "out", "--json")
    assert fewer.json == more.json
    assert "kept" in fewer.stderr


def test_what_was_replaced_leaves_no_seeds_behind(
    model: Path, folded: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert evaluate(model, folded, out, "--seeds", 3).code == 0
    refused = evaluate(model, folded, out, "--seed", 7, "--seeds", 2)
    assert refused.code == 2
    assert "seed 42 instead of 7" in refused.stderr
    replaced = evaluate(model, folded, out, "--seed", 7, "--seeds", 2, "--overwrite", "--json")
    assert replaced.code == 0, replaced.stderr
    assert replaced.json["results"][0]["seeds"] == [7, 8]
    folder = Path(replaced.json["results"][0]["path"]).parent
    assert [path.name for path in (folder / "seeds").iterdir()] == ["8"]


def test_the_tables(model: Path, folded: Path, tmp_path: Path) -> None:
    answer = evaluate(model, folded, tmp_path / "out", "--seeds", 2)
    assert "2 seeds from 42" in answer.stdout
    assert "95 % interval" in answer.stdout
    assert "where the uncertainty comes from" in answer.stdout
    sure = json.loads(
        (tmp_path / "out" / "stats" / "folded-1.0.0-full" / "uncertainty.json").read_text()
    )
    interval = sure["scores"]["top1_acc"]["total"]["interval"]
    assert f"{interval['low']:.3f} to {interval['high']:.3f}" in answer.stdout


def test_predictions_that_are_gone_leave_the_result_without_interval(
    model: Path, task: Path, tmp_path: Path
) -> None:
    first = evaluate(model, task, tmp_path / "out", "--json")
    folder = Path(first.json["results"][0]["path"]).parent
    shutil.rmtree(folder / "predictions")
    (folder / "uncertainty.json").unlink()
    again = evaluate(model, task, tmp_path / "out", "--json")
    assert again.code == 0
    assert "no intervals" in again.stderr
    assert "sources" not in again.json["results"][0]["scores"]["top1_acc"]


def test_where_nothing_is_random_one_seed_is_all(model: Path, task: Path, tmp_path: Path) -> None:
    answer = hearbench(
        "evaluate", model, "--task", task, "--out", tmp_path / "out", "--protocol", "knn",
        "--seeds", 5, "--json",
    )  # fmt: skip
    assert answer.code == 0, answer.stderr
    assert answer.json["results"][0]["seeds"] == [42]


def test_probe_takes_seeds_too(model: Path, task: Path, tmp_path: Path) -> None:
    embedded = hearbench("embed", model, "--task", task, "--json")
    (store,) = embedded.json["embeddings"]
    answer = hearbench(
        "probe",
        store["folder"],
        "--task",
        task,
        "--out",
        tmp_path / "out",
        *QUICK,
        "--seeds",
        2,
        "--json",
    )
    assert answer.code == 0, answer.stderr
    assert answer.json["results"][0]["seeds"] == [42, 43]


@pytest.mark.parametrize("more", [("--seeds", "3"), ("--shots", "2"), ("--repeats", "2")])
def test_distances_train_nothing(
    more: tuple[str, str], model: Path, task: Path, tmp_path: Path
) -> None:
    answer = hearbench(
        "evaluate", model, "--task", task, "--out", tmp_path / "out", "--distance", *more
    )
    assert answer.code == 2
    assert f"{more[0]} can't be given with --distance" in answer.stderr


def test_intervals_are_those_of_the_results_that_are_there(
    model: Path, folded: Path, tmp_path: Path
) -> None:
    first = evaluate(model, folded, tmp_path / "out", "--seeds", 2, "--json")
    folder = Path(first.json["results"][0]["path"]).parent
    sure = folder / "uncertainty.json"
    true = sure.read_text()
    # Whoever edited it, or made it of other results: it is made again.
    stated = json.loads(true)
    stated["scores"]["top1_acc"]["mean"] = 0.999
    sure.write_text(json.dumps(stated))
    again = evaluate(model, folded, tmp_path / "out", "--seeds", 2, "--json")
    assert again.json == first.json
    assert sure.read_text() == true
    # Where it can't be made, none is shown.
    (folder / "seeds" / "43" / "result.json").write_text("{}")
    broken = evaluate(model, folded, tmp_path / "out", "--json")
    assert broken.code == 0
    assert "no intervals" in broken.stderr
    assert not sure.exists()
    assert broken.json["results"][0]["seeds"] == [42]


def test_a_first_result_that_is_lost_takes_no_seeds_with_it(
    model: Path, folded: Path, tmp_path: Path
) -> None:
    first = evaluate(model, folded, tmp_path / "out", "--seeds", 3, "--json")
    folder = Path(first.json["results"][0]["path"]).parent
    (folder / "result.json").unlink()
    again = evaluate(model, folded, tmp_path / "out", "--json")
    assert again.code == 0, again.stderr
    assert again.json["results"][0]["seeds"] == [42, 43, 44]
    assert again.json["results"][0]["scores"] == first.json["results"][0]["scores"]


def test_too_many_seeds_are_refused(model: Path, task: Path, tmp_path: Path) -> None:
    answer = evaluate(model, task, tmp_path / "out", "--seeds", 10**11)
    assert answer.code == 2
    assert "--seeds" in answer.stderr
