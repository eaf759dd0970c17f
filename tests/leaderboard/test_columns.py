from __future__ import annotations

import pytest

from hearbench.errors import UnknownNameError
from hearbench.leaderboard.columns import (
    column_facts,
    column_of,
    columns_of_domains,
    domain_of,
    find_column,
    leaderboard_tasks,
    tasks_of,
)
from hearbench.leaderboard.table import COLUMNS


def test_every_column_has_tasks_and_beehive_two() -> None:
    assert len(leaderboard_tasks()) == 20
    assert {column: len(tasks_of(column)) for column in COLUMNS} == {
        column: 2 if column == "Beehive" else 1 for column in COLUMNS
    }
    assert column_of("esc50-v2.0.0-full") == "ESC-50"
    assert column_of("esc50-v2.0.0-small") is None


@pytest.mark.parametrize(
    ("text", "column"),
    [("esc-50", "ESC-50"), ("esc50", "ESC-50"), ("Gtzan genre", "GTZAN Genre")],
)
def test_a_column_by_any_of_its_names(text: str, column: str) -> None:
    assert find_column(text) == column


def test_columns_of_domains() -> None:
    speech, music, both = (
        columns_of_domains(domains) for domains in (["speech"], ["music"], ["music", "speech"])
    )
    # As the published table of tasks has them: Speech Commands twice among the six of speech.
    assert speech == (
        "CREMA-D", "Libricount", "Speech commands 5h", "Speech commands full",
        "Vocal Imitation", "VoxLingua107 top 10",
    )  # fmt: skip
    assert set(both) == {*speech, *music}
    assert both == tuple(column for column in COLUMNS if column in both)
    assert columns_of_domains([]) == ()


def test_what_does_not_exist() -> None:
    with pytest.raises(UnknownNameError, match="no column 'ESC51'"):
        find_column("ESC51")
    with pytest.raises(UnknownNameError, match="no domain 'musik'"):
        columns_of_domains(["music", "musik"])


def test_facts_of_columns() -> None:
    facts = column_facts("ESC-50")
    # 2000 recordings of five seconds.
    assert (facts.domain, facts.clips) == ("environment", 2000)
    assert facts.hours == pytest.approx(2000 * 5 / 3600)
    unknown = column_facts("mine")
    assert (unknown.domain, unknown.tasks, unknown.clips) == ("other", (), None)
    assert domain_of("mine") == "other"
