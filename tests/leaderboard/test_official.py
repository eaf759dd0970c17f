from __future__ import annotations

from pathlib import Path

import pytest

from hearbench.errors import ResultError
from hearbench.leaderboard.csv_file import read_table
from hearbench.leaderboard.official import enter_row, official_table, table_or_official
from hearbench.leaderboard.table import Row

MINE = Row("Mine", "", "2024-02-29", (0.5, *(None,) * 18))


def test_a_new_file_begins_with_the_official_table(tmp_path: Path) -> None:
    path = tmp_path / "board.csv"
    assert enter_row(MINE, path) is None
    assert table_or_official(path).rows == (*official_table().rows, MINE)
    assert table_or_official(None) == official_table()


def test_a_row_is_replaced_on_request_only(tmp_path: Path) -> None:
    path = tmp_path / "board.csv"
    enter_row(MINE, path)
    assert enter_row(MINE, path) == MINE  # nothing changes
    better = Row("Mine", "", "2025-01-01", (0.6, *(None,) * 18))
    with pytest.raises(ResultError, match="submitted 2024-02-29"):
        enter_row(better, path)
    assert read_table(path).rows[-1] == MINE
    assert enter_row(better, path, overwrite=True) == MINE
    assert read_table(path).rows[-1] == better
    assert len(read_table(path)) == 35


def test_names_that_differ_in_case_alone_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "board.csv"
    with pytest.raises(ResultError, match="'OpenL3', from which 'openl3' differs in case"):
        enter_row(Row("openl3", "", "", MINE.scores), path, overwrite=True)
    assert not path.exists()
