from __future__ import annotations

from pathlib import Path

import pytest
from helpers_leaderboard import write_made_up_result

from hearbench.errors import ResultError
from hearbench.leaderboard.site import ScoreInterval
from hearbench.leaderboard.site.own import OwnResult, own_models
from hearbench.results import Result
from hearbench.results.uncertainty import UNCERTAINTY_FILE, uncertainty

TASK = "esc50-v2.0.0-full"


def test_the_interval_beside_a_result(tmp_path: Path) -> None:
    folder = write_made_up_result(tmp_path, TASK, wrong=4)
    assert OwnResult.read(folder).interval is None
    record = uncertainty(folder, n_resamples=200)
    (folder / UNCERTAINTY_FILE).write_text(record.model_dump_json())
    found = OwnResult.read(folder).interval
    total = record.scores[record.primary_score].total
    assert found is not None
    assert total is not None
    assert (found.low, found.high) == (total.interval.low, total.interval.high)
    # 16 of 20 clips on each of five folds, with one seed.
    assert found.low < 0.8 < found.high
    assert (found.level, found.sources) == (0.95, ("test clips", "folds"))
    (folder / UNCERTAINTY_FILE).write_text("{}")
    with pytest.raises(ResultError, match="not a record of uncertainty"):
        OwnResult.read(folder)


def test_an_interval_that_is_not_known(tmp_path: Path) -> None:
    folder = write_made_up_result(tmp_path, TASK)
    record = uncertainty(folder, n_resamples=20)
    scores = {
        name: score.model_copy(update={"total": None}) for name, score in record.scores.items()
    }
    unknown = record.model_copy(update={"scores": scores})
    (folder / UNCERTAINTY_FILE).write_text(unknown.model_dump_json())
    assert OwnResult.read(folder).interval is None


def test_intervals_belong_to_scores_of_one_result(tmp_path: Path) -> None:
    names = ("beehive_states_fold0-v2-full", "beehive_states_fold1-v2-full", TASK)
    read = [Result.read(write_made_up_result(tmp_path, name, model="m")) for name in names]
    interval = ScoreInterval(0.1, 0.2, 0.9, ("test clips",))
    (own,) = own_models(OwnResult(result, interval) for result in read).values()
    assert own.interval_behind("ESC-50", read[2].primary.mean) is interval
    # A score that these results aren't behind, and one that is the mean of two.
    assert own.interval_behind("ESC-50", 0.123) is None
    mean = (read[0].primary.mean + read[1].primary.mean) / 2
    assert len(own.behind("Beehive", mean)) == 2
    assert own.interval_behind("Beehive", mean) is None
