from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from helpers_layers import write_layers_result
from helpers_leaderboard import made_up_predictions, write_made_up_result

from hearbench.amounts import duration
from hearbench.errors import ResultError
from hearbench.report.format import mebibytes, moment, percent, rate
from hearbench.report.summary import report_of, summarise
from hearbench.results import Resources, Result, StageRecord, score

ESC50 = "esc50-v2.0.0-full"
DCASE = "dcase2016_task2-hear2021-full"


def result_of(
    task: str,
    *,
    embed_s: float,
    stages: tuple[StageRecord, ...],
    model: str = "mine",
    seed: int = 1,
) -> Result:
    """A result that took what a test says."""
    result = score(made_up_predictions(task, model=model))
    probe_s = sum(stage.seconds for stage in stages if stage.stage == "probe")
    took = Resources(
        created="2026-01-02T03:04:05+00:00",
        embed_s=embed_s,
        probe_s=probe_s,
        fold_s={stage.part or "": stage.seconds for stage in stages if stage.stage == "probe"},
        audio_s=40.0,
        embed_peak_memory_mb=300.0,
        probe_peak_memory_mb=None,
        embeddings_path="",
        stages=stages,
    )
    return result.model_copy(update={"resources": took, "seed": seed})


def stages_of(embed_s: float, *probe_s: float) -> tuple[StageRecord, ...]:
    folds = (
        StageRecord(stage="probe", part=f"f{i}", seconds=s, throughput=100.0, unit="training clips")
        for i, s in enumerate(probe_s)
    )
    embedding = StageRecord(
        stage="embedding", seconds=embed_s, throughput=40 / embed_s, unit="seconds of audio"
    )
    return embedding, *folds, StageRecord(stage="scoring", seconds=0.5, unit="test clips")


def test_time_by_stage_over_all_results() -> None:
    one = result_of(ESC50, embed_s=2.0, stages=stages_of(2.0, 3.0, 4.0))
    other = result_of(DCASE, embed_s=5.0, stages=stages_of(5.0, 1.0))
    report = summarise([(Path("a"), one), (Path("b"), other)])
    assert [each.seconds for each in report.results] == [9.5, 6.5]
    assert [(t.stage, t.seconds) for t in report.totals] == [
        ("embedding", 7.0),
        ("probe", 8.0),
        ("scoring", 1.0),
    ]
    assert [t.share for t in report.totals] == [7 / 16, 8 / 16, 1 / 16]
    assert (report.seconds, report.peak_memory_mb) == (16.0, 300.0)


def test_embeddings_that_results_share_count_once() -> None:
    first = result_of(ESC50, embed_s=2.0, stages=stages_of(2.0, 3.0))
    second = result_of(ESC50, embed_s=2.0, stages=stages_of(2.0, 1.0), seed=2)
    # Made anew, and so counted anew.
    again = result_of(ESC50, embed_s=2.5, stages=stages_of(2.5, 1.0), seed=3)
    report = summarise([(Path(str(r.seed)), r) for r in (first, second, again)])
    assert [each.shares_embeddings for each in report.results] == [False, True, False]
    assert [each.seconds for each in report.results] == [5.5, 1.5, 4.0]
    assert report.totals[0].seconds == 4.5
    # What was found is shown all the same.
    assert report.results[1].stages[0].seconds == 2.0


def test_a_result_without_stages_has_those_that_are_known() -> None:
    stages = stages_of(2.0, 3.0, 4.0)
    result = result_of(ESC50, embed_s=2.0, stages=stages)
    took = result.resources.model_copy(update={"stages": ()})
    old = result.model_copy(update={"resources": took})
    (shown,) = summarise([(Path("a"), old)]).results
    assert [(s.stage, s.part, s.seconds) for s in shown.stages] == [
        ("embedding", None, 2.0),
        ("probe", "f0", 3.0),
        ("probe", "f1", 4.0),
    ]
    assert shown.stages[0].throughput == 20.0
    assert shown.stages[1].throughput is None
    assert shown.seconds == 9.0


def test_folders_are_searched_and_what_is_named_twice_counts_once(tmp_path: Path) -> None:
    folder = write_made_up_result(tmp_path, ESC50)
    write_made_up_result(tmp_path, DCASE)
    seed = (folder / "result.json").read_text().replace('"seed": 42', '"seed": 7')
    (folder / "seeds/7").mkdir(parents=True)
    (folder / "seeds/7/result.json").write_text(seed)
    report = report_of([tmp_path, folder, folder / "result.json"])
    assert sorted((each.task, each.seed) for each in report.results) == [
        (DCASE, 42),
        (ESC50, 7),
        (ESC50, 42),
    ]
    assert [each.seed for each in report_of([folder]).results] == [42, 7]
    with pytest.raises(ResultError, match=r"holds no result\.json"):
        report_of([tmp_path / "my_model" / ESC50 / "predictions"])


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0 s"),
        (0.0004, "0.4 ms"),
        (0.0124, "12 ms"),
        (8.24, "8.2 s"),
        (59.97, "1 min 00 s"),
        (185.2, "3 min 05 s"),
        (3599.8, "1 h 00 min"),
        (7799.0, "2 h 10 min"),
    ],
)
def test_times_in_words(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_rates_and_sizes_in_words() -> None:
    audio, first, second, _ = stages_of(2.0, 3.0, 1.0)
    assert rate([audio]) == "20.0 x real time"
    assert rate([audio], short=True) == "20.0 x"
    # 300 clips in 3 s and 7000 in 1 s.
    fast = second.model_copy(update={"throughput": 7000.0})
    assert rate([first, fast]) == "1 825 training clips/s"
    assert rate([first, fast], short=True) == "1 825 clips/s"
    assert rate([first, second.model_copy(update={"throughput": None})]) == ""
    assert rate([first.model_copy(update={"throughput": 0.123})]) == "0.12 training clips/s"
    assert rate([]) == ""
    assert [mebibytes(size) for size in (None, 374.2, 12595.2)] == ["", "374 MiB", "12.3 GiB"]


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0.0, "0 %"),
        (0.0001, "under 1 %"),
        (0.0099, "under 1 %"),
        (0.01, "1 %"),
        (0.456, "46 %"),
        (0.99, "99 %"),
        (0.9999, "over 99 %"),
        (1.0, "100 %"),
    ],
)
def test_shares_in_words(share: float, text: str) -> None:
    assert percent(share) == text


@pytest.mark.parametrize(
    ("iso", "text"),
    [
        ("2026-11-22T12:13:06+00:00", "2026-11-22 12:13 UTC"),
        ("2026-11-22T01:13:06+02:00", "2026-11-21 23:13 UTC"),
        ("2026-11-22T12:13:06", "2026-11-22T12:13:06"),
        ("0001-01-01T00:00:00+14:00", "0001-01-01T00:00:00+14:00"),
        ("<b>", "<b>"),
    ],
)
def test_moments_in_words(iso: str, text: str) -> None:
    assert moment(iso) == text


def test_all_layers_that_were_tried_count(tmp_path: Path) -> None:
    write_layers_result(tmp_path, seeds=(42, 43))
    found = report_of([tmp_path])
    assert [each.seed for each in found.results] == [42, 43]
    # Five folds of each of three layers, a second each; one pass over the audio for both seeds.
    assert [each.seconds_of("probe") for each in found.results] == [15.0, 15.0]
    assert [each.seconds_of("embedding") for each in found.results] == [1.0, 0.0]
    shutil.rmtree(tmp_path / "my_model" / ESC50 / "layers")
    assert report_of([tmp_path]).results[0].seconds_of("probe") == 5.0
