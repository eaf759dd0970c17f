from __future__ import annotations

import csv
import string
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hearbench.errors import ResultError
from hearbench.leaderboard.cells import date_problem, model_problem, name_key, text_problem
from hearbench.leaderboard.csv_file import (
    check_row,
    format_table,
    parse_table,
    read_table,
    write_table,
)
from hearbench.leaderboard.official import official_table, official_text
from hearbench.leaderboard.table import COLUMNS, Row, Table

HEAD = "Model,URL,Submission Date," + ",".join(COLUMNS)
SCORES = ",".join(["0.5"] * len(COLUMNS))


def one_row(model: str = "m", url: str = "https://a.org", date: str = "2023-01-05") -> str:
    return f"{HEAD}\n{model},{url},{date},{SCORES}"


def test_the_official_file_is_the_shared_one_and_round_trips(shared: Path, tmp_path: Path) -> None:
    data = (shared / "data/leaderboard.csv").read_bytes()
    assert official_text().encode() == data
    write_table(read_table(shared / "data/leaderboard.csv"), tmp_path / "again.csv")
    assert (tmp_path / "again.csv").read_bytes() == data


def test_the_packaged_table() -> None:
    table = official_table()
    assert format_table(table) == official_text()
    assert len(table) == 34
    assert sum(row.is_complete for row in table) == 13
    # As Python's csv module reads the file, without anything of what is tested.
    lines = list(csv.DictReader(official_text().splitlines()))
    for row, line in zip(table, lines, strict=True):
        assert (row.model, row.url, row.submitted) == tuple(
            line[key] for key in ("Model", "URL", "Submission Date")
        )
        assert row.scores == tuple(float(line[c]) if line[c] else None for c in COLUMNS)


def test_the_former_form_is_read_and_the_official_one_written() -> None:
    lines = []
    for line in csv.reader(official_text().splitlines()):
        del line[2]
        lines.append(",".join(line))
    former = "\n".join(lines).replace("FSD50K", "FSD50k") + "\n"
    table = parse_table(former, "old.csv")
    official = official_table()
    assert table.rows == tuple(replace(row, submitted="") for row in official)
    assert format_table(table).startswith(HEAD + "\n")
    assert parse_table(format_table(table), "new") == table


@pytest.mark.parametrize(
    "change",
    [
        lambda text: "\ufeff" + text,
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text + "\n\n",
        lambda text: text + "\n" + "," * (len(COLUMNS) + 2) + "\n",
        lambda text: "\n".join(
            ",".join(f'"{cell}"' for cell in line.split(",")) for line in text.split("\n")
        ),
    ],
    ids=["byte order mark", "CRLF", "blank lines", "row of nothing", "quoted"],
)
def test_harmless_variants_read_alike(change: Callable[[str], str], tmp_path: Path) -> None:
    path = tmp_path / "board.csv"
    path.write_bytes(change(official_text()).encode())
    assert read_table(path) == official_table()


def test_columns_in_another_order_are_put_in_the_official_one() -> None:
    lines = list(csv.reader(official_text().splitlines()))
    order = sorted(range(len(lines[0])), key=lambda i: lines[0][i])
    text = "\n".join(",".join(line[i] for i in order) for line in lines)
    assert parse_table(text, "x") == official_table()


def cells_with(column: str, cell: str) -> str:
    row = one_row().split("\n")[1].split(",")
    row[HEAD.split(",").index(column)] = cell
    return f"{HEAD}\n{','.join(row)}"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is empty"),
        (HEAD.replace("ESC-50", "ESC50"), "column 8 is called 'ESC50'.*'ESC-50'"),
        (HEAD.replace(",ESC-50", ""), "ESC-50 are missing"),
        (HEAD + ",ESC-50", "columns 8 and 23 are both 'ESC-50'"),
        (HEAD + ",FSD50k", "columns 9 and 23 are both 'FSD50K'"),
        (HEAD.replace(",", ";"), "semicolons"),
        (one_row() + "," + "0.1", "line 2 has 23 cells where the head has 22"),
        (one_row() + "\n" + one_row().split("\n")[1], "line 3, Model: 'm' is in line 2 already"),
        (
            one_row("My Model") + "\n" + one_row("mymodel").split("\n")[1],
            "'mymodel' is in line 2 already, there as 'My Model'",
        ),
        (one_row(model=""), "line 2, Model: the name is missing"),
        (one_row(model=" m"), "begins or ends with a space"),
        (one_row(model='"a, b"'), "'a, b' has a comma"),
        (one_row(model='"a ""b"""'), "has a double quote"),
        (one_row(model='"a\nb"'), "line's end"),
        (one_row(model="a\u202eb"), r"can't be seen \(U\+202E\)"),
        (one_row(model="=1+1"), "formula"),
        (one_row(url="javascript:alert(1)"), "line 2, URL: .*doesn't begin with http"),
        (one_row(url="//a.org"), "doesn't begin with http"),
        (one_row(url="https://"), "names no host"),
        (one_row(url="https://a.org/\x01"), r"U\+0001"),
        (one_row(url="https://user:pw@a.org"), "user name"),
        (one_row(url="https://[a.org"), "is no URL"),
        (one_row(date="05.01.2023"), "line 2, Submission Date: '05.01.2023' is neither"),
        (one_row(date="2023-02-30"), "is no date: day"),
        (one_row(date="20230105"), "is neither"),
        (one_row(date="hear 2021"), "is neither"),
        (cells_with("Gunshot", "85.2"), "line 2, Gunshot: '85.2' isn't in 0 to 1; if .*percent"),
        (cells_with("Gunshot", "85%"), "divide it by 100"),
        (cells_with("Gunshot", "-0.1"), "isn't in 0 to 1; scores are fractions"),
        (cells_with("Gunshot", "1e400"), "isn't in 0 to 1"),
        (cells_with("Gunshot", "nan"), "leave the cell of a missing one empty"),
        (cells_with("Gunshot", "-Inf"), "leave the cell of a missing one empty"),
        (cells_with("Gunshot", "n/a"), "leave the cell of a missing one empty"),
        (cells_with("Gunshot", "0.5 (est.)"), "is no number"),
        (cells_with("Gunshot", "1_0"), "is no number"),
        (cells_with("Gunshot", "0٫5"), "is no number"),
        (one_row(model='"open'), "line 2 is no CSV"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(text: str, says: str) -> None:
    with pytest.raises(ResultError, match=rf"(?s)^board\.csv.*{says}"):
        parse_table(text, "board.csv")


def test_all_problems_are_listed_up_to_ten() -> None:
    rows = [one_row(f"m{i}", "ftp://x", "soon").split("\n")[1] for i in range(8)]
    with pytest.raises(ResultError) as caught:
        parse_table("\n".join([HEAD, *rows]), "b")
    lines = str(caught.value).split("\n")
    assert len(lines) == 12
    assert lines[-1] == "- and 6 more"


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (one_row().encode("utf-16"), "UTF-16"),
        (one_row("caf\xe9").encode("latin-1"), "line 2: the byte 0xe9 is not UTF-8"),
    ],
)
def test_other_encodings_are_named(data: bytes, says: str, tmp_path: Path) -> None:
    (tmp_path / "b.csv").write_bytes(data)
    with pytest.raises(ResultError, match=says):
        read_table(tmp_path / "b.csv")


def test_files_that_cannot_be_read_or_written(tmp_path: Path) -> None:
    with pytest.raises(ResultError, match="can't be read"):
        read_table(tmp_path / "none.csv")
    (tmp_path / "file").write_text("")
    with pytest.raises(ResultError, match="can't be written"):
        write_table(official_table(), tmp_path / "file" / "b.csv")


def test_numbers_are_written_short_and_without_an_exponent() -> None:
    scores: tuple[float | None, ...] = (0.0, 1.0, 1e-7, 0.1 + 0.2, None, -0.0)
    row = Row("m", "", "", scores + (None,) * (len(COLUMNS) - len(scores)))
    line = format_table(Table(COLUMNS, (row,))).split("\n")[1]
    assert line.split(",")[3:9] == ["0", "1", "0.0000001", "0.30000000000000004", "", "0"]


def test_what_would_not_be_read_back_is_not_written(tmp_path: Path) -> None:
    blank = (None,) * len(COLUMNS)
    bad = [
        (Row("a,b", "", "", blank),),
        (Row("a", "data:x", "", blank),),
        (Row("a", "", "today", blank),),
        (Row("a", "", "", (1.5, *blank[1:])),),
        (Row("a", "", "", (float("nan"), *blank[1:])),),
        (Row("a", "", "", blank[1:]),),
        (Row("a", "", "", blank), Row("A ", "", "", blank)),
        (Row("a", "", "", blank),) * 2,
    ]
    path = tmp_path / "b.csv"
    path.write_text("before")
    for rows in bad:
        with pytest.raises(ResultError, match="can't be written; wrong are"):
            write_table(Table(COLUMNS, rows), path)
    with pytest.raises(ResultError, match="official ones are"):
        write_table(Table(COLUMNS[1:], ()), path)
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(ResultError, match="The row of 'a'"):
        check_row(bad[1][0])


names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=30).filter(
    lambda text: not text_problem(text) and not model_problem(text)
)
dates = st.one_of(st.just(""), st.just("HEAR 2021"), st.dates().map(lambda day: day.isoformat()))
urls = st.one_of(
    st.just(""),
    st.text(string.ascii_letters + string.digits + "-._~/?#=&%()", max_size=20).map(
        lambda path: f"https://example.org/{path}"
    ),
)
scores = st.lists(
    st.one_of(st.none(), st.floats(0, 1)), min_size=len(COLUMNS), max_size=len(COLUMNS)
).map(tuple)
rows = st.builds(Row, model=names, url=urls, submitted=dates, scores=scores)


@settings(max_examples=40, deadline=None)
@given(st.lists(rows, max_size=4, unique_by=lambda row: name_key(row.model)))
def test_any_table_is_read_back_as_it_was_written(listed: list[Row]) -> None:
    table = Table(COLUMNS, tuple(listed))
    text = format_table(table)
    assert parse_table(text, "x") == table
    assert format_table(parse_table(text, "x")) == text


@given(st.dates())
def test_every_day_is_a_date(day: object) -> None:
    assert date_problem(str(day)) is None
