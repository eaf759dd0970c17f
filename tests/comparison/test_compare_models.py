from __future__ import annotations

import csv
import dataclasses
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers_leaderboard import made_up_predictions, write_made_up_result
from scipy import stats

from hearbench.comparison.compare import compare
from hearbench.comparison.reading import read_models
from hearbench.comparison.record import CSV_COLUMNS
from hearbench.errors import HearError, ResultError
from hearbench.probe.protocol import HEAR2021
from hearbench.results import score, write_result
from hearbench.results.conditions import Conditions

ESC50 = "esc50-v2.0.0-full"
DCASE = "dcase2016_task2-hear2021-full"
FSD50K = "fsd50k-v1.0-full"
# Clips of each fold, of 20, that a model takes for another label.
WRONG = {"good": 1, "close": 2, "bad": 14}

THREE_POINTS = HEAR2021.restricted(first=3)


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    for model, wrong in WRONG.items():
        for task in (ESC50, DCASE):
            write_made_up_result(folder, task, model=model, wrong=wrong)
    return folder


def test_what_differs_and_what_does_not(out: Path) -> None:
    found = compare([out], n_resamples=1000, level=0.99)
    assert found.models == ("bad", "close", "good")
    dcase, esc = found.tasks
    assert (dcase.task, dcase.score, dcase.n_clips) == (DCASE, "event_onset_200ms_fms", 20)
    assert (esc.task, esc.score, esc.n_clips, esc.n_folds) == (ESC50, "top1_acc", 100, 5)
    verdicts = {(p.model_a, p.model_b): p.verdict for p in esc.pairs}
    assert verdicts == {
        ("bad", "close"): "close is better",
        ("bad", "good"): "good is better",
        ("close", "good"): "no difference shown",
    }
    assert {s.model: s.mean for s in esc.scores} == pytest.approx(
        {"good": 0.95, "close": 0.9, "bad": 0.3}
    )
    assert {s.model: s.rank for s in esc.scores} == {"good": 1, "close": 2, "bad": 3}
    assert found.n_tests == 6
    standing = {s.model: s for s in found.standings}
    assert standing["good"].mean_rank == 1
    assert (standing["good"].ahead, standing["good"].n_pairs) == (4, 4)
    assert standing["good"].share_ahead == 1
    assert (standing["bad"].mean_rank, standing["bad"].low, standing["bad"].high) == (3, 3, 3)
    assert standing["bad"].clearly_worse == 4
    assert esc.resolution is not None
    assert 0.02 < esc.resolution.paired < esc.resolution.detectable < 0.2


def test_p_is_that_of_a_paired_t_test_over_clips(out: Path) -> None:
    """Of a mean over clips that is known from scipy."""
    found = compare([out / "good", out / "bad"], n_resamples=4000)
    (esc,) = (task for task in found.tasks if task.task == ESC50)
    (pair,) = esc.pairs
    # Every fold is alike, so folds add nothing: 13 of 20 clips are right by one model alone.
    gains = np.repeat([1.0, 0.0], [65, 35])
    error = np.std(gains, ddof=1) / 10
    assert pair.difference == pytest.approx(0.65)
    assert pair.std == pytest.approx(error * math.sqrt(99 / 95), rel=0.04)
    half = stats.t.ppf(0.975, 95) * pair.std
    assert (pair.low_alone, pair.high_alone) == pytest.approx((0.65 - half, 0.65 + half))
    # Of two tests of which both find a difference one is the first and one the last.
    divisor = 2 if pair.p == min(task.pairs[0].p for task in found.tasks) else 1
    half = stats.t.ppf(1 - 0.025 / divisor, 95) * pair.std
    assert (pair.low, pair.high) == pytest.approx((0.65 - half, 0.65 + half))
    assert pair.p == pair.p_bootstrap
    assert math.isnan(pair.p_permutation)
    assert pair.p == pytest.approx(2 * stats.t.sf(0.65 / pair.std, 95))


def test_p_values_are_corrected_over_tasks_and_pairs(out: Path) -> None:
    found = compare([out], n_resamples=300)
    pairs = [pair for task in found.tasks for pair in task.pairs]
    order = sorted(pairs, key=lambda pair: pair.p)
    # Holm, step by step.
    least = 0.0
    for i, pair in enumerate(order):
        least = max(least, min(1.0, (len(order) - i) * pair.p))
        assert pair.p_holm == pytest.approx(least)
        assert (pair.better is not None) == (least <= 0.05)


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models that differ by little and by much, on tasks of three kinds of score."""
    folder = tmp_path_factory.mktemp("many")
    for i, wrong in enumerate((0, 0, 1, 3, 5, 12)):
        for task in (ESC50, DCASE, FSD50K):
            write_made_up_result(folder, task, model=f"m{i}", wrong=wrong)
    return folder


@pytest.mark.parametrize(
    ("test", "level", "baseline"),
    [
        ("bootstrap", 0.5, None),
        ("bootstrap", 0.95, None),
        ("bootstrap", 0.999, "m3"),
        ("permutation", 0.5, "best"),
        ("permutation", 0.95, None),
    ],
)
def test_words_p_intervals_and_ranks_never_contradict_each_other(
    many: Path, test: str, level: float, baseline: str | None
) -> None:
    found = compare([many], test=test, level=level, baseline=baseline, n_resamples=200)
    wide = 0
    for task in found.tasks:
        better = {frozenset((p.model_a, p.model_b)): p.better for p in task.pairs}
        for pair in task.pairs:
            assert (pair.better is None) == (pair.low <= 0 <= pair.high), pair
            assert (pair.better is None) == (pair.p_holm > 1 - level), pair
            assert (pair.better is None) == (pair.verdict == "no difference shown")
            # What is corrected holds what isn't.
            assert pair.low <= pair.low_alone <= pair.difference <= pair.high_alone <= pair.high
            known = [p for p in (pair.p_bootstrap, pair.p_permutation) if not math.isnan(p)]
            assert pair.p == max(known)
            assert len(known) == 1 + (test == "permutation")
            wide += pair.high > pair.high_alone
        for own in task.scores:
            ahead = [w for names, w in better.items() if own.model in names and w is not None]
            assert own.rank_low == 1 + sum(winner != own.model for winner in ahead)
            assert own.rank_high == 6 - sum(winner == own.model for winner in ahead)
            assert own.rank_low <= own.rank <= own.rank_high
    assert wide
    for standing in found.standings:
        each = [s for task in found.tasks for s in task.scores if s.model == standing.model]
        assert standing.low == pytest.approx(np.mean([s.rank_low for s in each]))
        assert standing.high == pytest.approx(np.mean([s.rank_high for s in each]))


def test_permutations_agree_with_all_permutations(out: Path) -> None:
    """Of the clips that tell two models apart, each votes for either with the same chance."""
    found = compare([out / "good", out / "close"], test="permutation", n_resamples=4000)
    (esc,) = (task for task in found.tasks if task.task == ESC50)
    # 5 clips, all for one model: p = 2 / 2^5.
    assert esc.pairs[0].p == pytest.approx(2 / 32, abs=0.012)
    again = compare([out / "close", out / "good"], test="permutation", n_resamples=4000)
    assert again.tasks[1].pairs[0].p == pytest.approx(esc.pairs[0].p, abs=0.02)


def test_same_seed_same_answer_and_the_order_of_models_does_not_matter(out: Path) -> None:
    first = compare([out], n_resamples=200, seed=3)
    assert compare([out], n_resamples=200, seed=3) == first
    assert compare([out], n_resamples=200, seed=4) != first
    turned = compare([out / name for name in ("good", "close", "bad")], n_resamples=200, seed=3)
    for one, other in zip(first.tasks, turned.tasks, strict=True):
        by_pair = {frozenset((p.model_a, p.model_b)): p for p in other.pairs}
        for pair in one.pairs:
            match = by_pair[frozenset((pair.model_a, pair.model_b))]
            assert match.p == pytest.approx(pair.p, rel=1e-6)
            assert match.difference == pytest.approx(-pair.difference)
            assert match.low == pytest.approx(-pair.high)


def test_where_lower_is_better(out: Path) -> None:
    found = compare([out / "bad", out / "good"], score="segment_1s_er", n_resamples=200)
    (task,) = found.tasks
    assert (task.task, task.maximise) == (DCASE, False)
    (pair,) = task.pairs
    assert pair.difference > 0
    assert pair.verdict == "good is better"
    assert {s.model: s.rank for s in task.scores} == {"good": 1, "bad": 2}
    assert found.notes == (f"Without the score segment_1s_er, and left out: {ESC50}.",)


def test_a_baseline(out: Path) -> None:
    named = compare([out], baseline="close", n_resamples=200)
    assert [(p.model_a, p.model_b) for p in named.tasks[0].pairs] == [
        ("bad", "close"),
        ("good", "close"),
    ]
    for test in ("bootstrap", "permutation"):
        best = compare([out], baseline="best", n_resamples=200, test=test)
        assert best.baseline == "good"
        assert {p.model_b for task in best.tasks for p in task.pairs} == {"good"}
        assert best.n_tests == 4


def test_scores_on_the_test_of_the_training_are_left_out(out: Path, tmp_path: Path) -> None:
    folder = tmp_path / "results"
    shutil.copytree(out, folder)
    (folder / "good/card.toml").write_text('training_sets = ["AudioSet", "ESC-50"]\n')
    found = compare([folder], n_resamples=20)
    dcase, esc = found.tasks
    assert [one.model for one in dcase.scores] == ["bad", "close", "good"]
    assert {one.model: one.rank for one in esc.scores} == {"close": 1, "bad": 2}
    (note,) = (note for note in found.notes if "trained on the test" in note)
    assert note.startswith(f"good was trained on the test data of {ESC50}")
    assert "0.950" in note
    (folder / "good/card.toml").write_text('training_sets = ["ESC-51"]\n')
    with pytest.raises(ResultError, match="ESC-51"):
        compare([folder], n_resamples=20)


def test_seeds_below_a_result_count(tmp_path: Path) -> None:
    for model, wrong in {"a": (2, 4, 6), "b": (3, 5, 7)}.items():
        for i, n_wrong in enumerate(wrong):
            predictions = dataclasses.replace(made_up_predictions(ESC50, wrong=n_wrong), seed=i)
            folder = tmp_path / model / ESC50
            write_result(
                score(predictions), predictions, folder / "seeds" / str(i) if i else folder
            )
    found = compare([tmp_path], n_resamples=500)
    (task,) = found.tasks
    assert [s.seeds for s in task.scores] == [(0, 1, 2)] * 2
    assert [s.mean for s in task.scores] == pytest.approx([0.8, 0.75])
    (pair,) = task.pairs
    # Paired clips would make much of it; the seeds' own luck doesn't.
    of_seeds = math.sqrt(2 * np.var([0.1, 0.2, 0.3], ddof=1) / 3)
    assert pair.std > 0.9 * of_seeds
    assert pair.better is None
    one = compare([tmp_path / "a" / ESC50 / "seeds/1", tmp_path / "a" / ESC50], n_resamples=50)
    assert one.models == ("a (seed 1)", "a")


def test_names_are_as_long_as_they_must_be(out: Path, tmp_path: Path) -> None:
    other = shutil.copytree(out / "good", tmp_path / "elsewhere" / "good")
    names = [e.name for e in read_models([out / "good", other, out / "bad" / ESC50])]
    assert names == [f"{out.name}/good", "elsewhere/good", "bad"]
    twice = read_models([out, out / "good", out / "good" / ESC50 / "result.json"])
    assert [e.name for e in twice] == ["bad", "close", "good"]
    assert [len(e.tasks) for e in twice] == [2, 2, 2]


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two models by a part of the grid, on ESC-50 alone."""
    folder = tmp_path_factory.mktemp("quick")
    for model, wrong in {"quick": 1, "slow": 15}.items():
        write_made_up_result(folder, ESC50, model=model, wrong=wrong, protocol=THREE_POINTS)
    return folder


def test_other_protocols_are_compared_when_asked_and_marked(out: Path, quick: Path) -> None:
    found = compare([out / "good", quick / "slow"], n_resamples=100, across_protocols=True)
    (task,) = found.tasks
    assert task.notes == (
        f"{ESC50}: evaluated by different protocols, good by hear2021; slow by hear2021[first=3].",
    )
    assert f"Tasks of one model only, left out: {DCASE}." in found.notes
    assert [(s.fingerprint, s.protocol_words) for s in task.scores] == [
        ("4d0612ca1b", "hear2021"),
        (Conditions(THREE_POINTS).fingerprint, "hear2021 with 3 of 8 grid points"),
    ]
    (pair,) = task.pairs
    assert pair.across_protocols
    assert pair.verdict == "good is better, by different protocols"
    assert [s.rank for s in task.scores] == [1, 2]
    assert [(s.mean_rank, s.group) for s in found.standings] == [(1, 0), (2, 0)]


def test_each_protocol_is_compared_apart(out: Path, quick: Path) -> None:
    found = compare([out, quick], n_resamples=100)
    assert found.models == ("bad", "close", "good", "quick", "slow")
    dcase, by_whole, by_part = found.tasks
    assert (dcase.task, by_whole.task, by_part.task) == (DCASE, ESC50, ESC50)
    assert {(s.model, s.rank) for s in by_whole.scores} == {("good", 1), ("close", 2), ("bad", 3)}
    assert {(s.model, s.rank) for s in by_part.scores} == {("quick", 1), ("slow", 2)}
    pairs = {(p.model_a, p.model_b) for task in found.tasks for p in task.pairs}
    assert pairs == {("bad", "close"), ("bad", "good"), ("close", "good"), ("quick", "slow")}
    assert not any(p.across_protocols for task in found.tasks for p in task.pairs)
    assert found.n_tests == 7
    standing = {s.model: (s.group, s.mean_rank, s.n_tasks) for s in found.standings}
    assert standing["good"] == (0, 1, 2)
    assert standing["bad"] == (0, 3, 2)
    assert standing["quick"] == (1, 1, 1)
    # The same as without the other protocol's models.
    alone = compare([quick], n_resamples=100).tasks[0].pairs[0]
    assert by_part.pairs[0].p == alone.p
    assert found.protocols == {
        "4d0612ca1b": "hear2021",
        Conditions(THREE_POINTS).fingerprint: "hear2021 with 3 of 8 grid points",
    }
    with pytest.raises(ResultError, match="--baseline best: the models are of several protocols"):
        compare([out, quick], baseline="best")


def test_a_model_without_others_of_its_protocol(out: Path, quick: Path) -> None:
    found = compare([out, quick / "quick"], n_resamples=50, baseline="best")
    assert found.baseline == "good"
    assert [len(task.scores) for task in found.tasks] == [3, 3]
    missing, note = found.notes
    assert missing == f"quick has no result of {DCASE}."
    assert "--across-protocols" in note
    assert f"{ESC50}: quick by hear2021 with 3 of 8 grid points, seed 42, float32." in note
    standing = found.standings[3]
    assert (standing.model, standing.group, standing.n_pairs) == ("quick", 1, 0)
    assert math.isnan(standing.mean_rank)
    with pytest.raises(ResultError, match="by the same protocol") as caught:
        compare([out / "good", quick / "quick"])
    assert f"- {ESC50}: good by hear2021, seed 42, float32" in str(caught.value)


def test_other_precisions_are_said(out: Path, tmp_path: Path) -> None:
    predictions = dataclasses.replace(
        made_up_predictions(ESC50, model="half", wrong=2), precision="bfloat16"
    )
    write_result(score(predictions), predictions, tmp_path / "half" / ESC50)
    found = compare([out / "good", out / "bad", tmp_path], n_resamples=50)
    assert found.tasks[1].notes == (
        f"{ESC50}: trained in different precisions, good, bad in float32; half in bfloat16.",
    )
    assert not any(pair.across_protocols for pair in found.tasks[1].pairs)


def test_a_model_of_two_protocols_joins_both(out: Path, tmp_path: Path) -> None:
    """One result by another protocol doesn't keep the model from the ranks of other tasks."""
    shutil.copytree(out / "good" / DCASE, tmp_path / "mixed" / DCASE)
    write_made_up_result(tmp_path, ESC50, model="mixed", wrong=2, protocol=THREE_POINTS)
    found = compare([out, tmp_path], n_resamples=50)
    assert [len(task.scores) for task in found.tasks] == [4, 3]
    assert {s.group for s in found.standings} == {0}
    assert {(s.model, s.mean_rank, s.n_tasks) for s in found.standings if s.model == "mixed"} == {
        ("mixed", 1.5, 1)
    }


def test_undefined_and_infinite_scores(tmp_path: Path) -> None:
    for model, wrong in {"perfect": 0, "flawless": 0, "fair": 3}.items():
        write_made_up_result(tmp_path, FSD50K, model=model, wrong=wrong)
    for test in ("bootstrap", "permutation"):
        found = compare([tmp_path], score="d_prime", n_resamples=50, test=test)
        (task,) = found.tasks
        assert f"{FSD50K}: d_prime of perfect is infinite." in task.notes
        assert all(math.isnan(pair.p) for pair in task.pairs)
        assert found.n_tests == 0
        verdicts = {pair.verdict for pair in task.pairs if math.isnan(pair.p)}
        assert verdicts <= {"can't be judged, as a score is undefined or infinite"}
    # Twenty clips without this model's only error are among its resamples.
    write_made_up_result(tmp_path, FSD50K, model="near", wrong=1)
    for test in ("bootstrap", "permutation"):
        found = compare(
            [tmp_path / "near", tmp_path / "fair"], score="d_prime", n_resamples=200, test=test
        )
        (pair,) = found.tasks[0].pairs
        assert math.isnan(pair.low)
        assert math.isnan(pair.p)
        assert (pair.better, pair.verdict.split(",")[0]) == (None, "can't be judged")
    ceiling = compare([tmp_path / "perfect", tmp_path / "flawless"], n_resamples=50)
    (task,) = ceiling.tasks
    (pair,) = task.pairs
    assert (task.score, pair.difference, pair.p) == ("mAP", 0, 1)
    assert pair.low < 0 < pair.high
    # Twenty clips without an error don't make a perfect model: scipy's Wilson interval.
    wilson = stats.binomtest(20, 20).proportion_ci(method="wilson")
    assert task.scores[0].low == pytest.approx(wilson.low)
    assert task.scores[0].high == 1


def test_bad_input(out: Path, tmp_path: Path) -> None:
    with pytest.raises(ResultError, match="There is only one model, good"):
        compare([out / "good"])
    with pytest.raises(ResultError, match="is not there, nor is a"):
        compare([out, tmp_path / "nothing"])
    with pytest.raises(ResultError, match="holds no result"):
        compare([out, tmp_path])
    with pytest.raises(ResultError, match=r"same task:\n- good: esc50.*\n- bad: dcase2016"):
        compare([out / "good" / ESC50, out / "bad" / DCASE])
    with pytest.raises(ResultError, match=r"no task has it\. There are aucroc, d_prime, event"):
        compare([out], score="accuracy")
    with pytest.raises(HearError, match=r"--baseline zzz: .*bad, close, good"):
        compare([out], baseline="zzz")
    with pytest.raises(HearError, match="use bootstrap or permutation"):
        compare([out], test="t")
    with pytest.raises(HearError, match=r"from 0\.001 to 0\.999"):
        compare([out], level=95)
    with pytest.raises(HearError, match="at least 2"):
        compare([out], n_resamples=1)
    mixed = tmp_path / "mixed"
    shutil.copytree(out / "good" / ESC50, mixed / ESC50)
    write_made_up_result(tmp_path, DCASE, model="mixed", digest="7" * 64)
    with pytest.raises(ResultError, match="are of different models, good and mixed"):
        compare([mixed, out / "bad"])


def test_other_clips_and_tampered_predictions(out: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(out / "good" / ESC50, tmp_path / "other" / ESC50)
    file = folder / "predictions/clips.json"
    text = file.read_text()
    file.write_text(text.replace('"fold02-3.wav"', '"new.wav"'))
    with pytest.raises(ResultError, match=r"other clips of fold02: fold02-3\.wav and 0 more"):
        compare([out / "bad", tmp_path])
    file.write_text(text)
    array = np.load(folder / "predictions/fold00.npy")
    array[7] = np.roll(array[7], 1)
    np.save(folder / "predictions/fold00.npy", array)
    with pytest.raises(ResultError, match="one of them has been edited"):
        compare([out / "bad", tmp_path])


def test_csv_has_a_row_per_pair_and_task(out: Path, tmp_path: Path) -> None:
    found = compare([out], n_resamples=50)
    found.write_csv(tmp_path / "found.csv")
    with (tmp_path / "found.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == CSV_COLUMNS
    assert len(rows) == 6
    pair = found.tasks[1].pairs[0]
    row = rows[3]
    assert (row["task"], row["model_a"], row["better"]) == (ESC50, "bad", "close")
    assert float(row["p_holm"]) == pair.p_holm
    assert float(row["mean_a"]) - float(row["mean_b"]) == pytest.approx(pair.difference)
    with pytest.raises(HearError, match="can't be written"):
        found.write_csv(out / "good" / ESC50)


def test_models_that_agree_say_nothing_of_what_clips_resolve(tmp_path: Path) -> None:
    a = write_made_up_result(tmp_path / "one", ESC50, model="a", wrong=5)
    b = write_made_up_result(tmp_path / "two", ESC50, model="b", wrong=5)
    found = compare([a, b])
    (task,) = found.tasks
    assert task.resolution is not None
    assert task.resolution.alone > 0.001
    assert math.isnan(task.resolution.paired)
    (pair,) = task.pairs
    assert pair.verdict == "no difference shown"
    assert pair.low < 0 < pair.high


def test_names_show_no_control_characters(tmp_path: Path) -> None:
    folder = write_made_up_result(tmp_path, ESC50, model="a")
    write_made_up_result(tmp_path, ESC50, model="b", digest="8" * 64)
    folder.parent.rename(tmp_path / "a\x1b[31m\n")
    found = compare([tmp_path])
    assert set(found.models) == {"a\\x1b[31m\\n", "b"}


def test_permutations_are_enough_for_the_correction(out: Path) -> None:
    found = compare([out], test="permutation", n_resamples=20)
    assert found.n_tests > 1
    # 20 permutations could not give a corrected p of 0.05.
    assert min(pair.p_holm for task in found.tasks for pair in task.pairs) <= 0.05


def without_fold(name: str, which: int, wrong: int, out: Path, model: str) -> None:
    """A result that has no score on one test split."""
    predictions = made_up_predictions(name, wrong=wrong, model=model)
    folds = list(predictions.scene_folds())
    folds[which] = dataclasses.replace(
        folds[which],
        probabilities=np.full_like(folds[which].probabilities, np.nan),
        loss=math.nan,
    )
    gap = dataclasses.replace(predictions, folds=tuple(folds))
    write_result(score(gap), gap, out / model / name)


@pytest.mark.parametrize("test", ["bootstrap", "permutation"])
def test_undefined_folds_are_left_out_of_differences(tmp_path: Path, test: str) -> None:
    without_fold(ESC50, 1, 3, tmp_path, "gap")
    write_made_up_result(tmp_path, ESC50, model="whole", wrong=11)
    found = compare([tmp_path], n_resamples=300, test=test)
    (task,) = found.tasks
    # Every fold has 20 clips, of which as many are wrong.
    assert {s.model: s.mean for s in task.scores} == pytest.approx({"gap": 0.85, "whole": 0.45})
    (pair,) = task.pairs
    assert pair.difference == pytest.approx(0.4)
    assert pair.better == "gap"
    assert 0 < pair.low < 0.4 < pair.high
    assert {s.model: s.rank for s in task.scores} == {"gap": 1, "whole": 2}
    assert all(s.rank_low <= s.rank <= s.rank_high for s in task.scores)
    assert task.resolution is not None
    assert any("undefined on 1 of 5 test splits" in note for note in task.notes)
