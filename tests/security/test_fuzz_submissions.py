"""Submissions and leaderboards from anybody: a report, whatever is in the folder."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from helpers_fuzz import (
    bounded,
    files_below,
    fuzzed,
    fuzzed_less,
    mutated_array,
    mutated_bytes,
    mutated_json,
    no_trap_has_sprung,
    value_or_error,
)
from helpers_leaderboard import made_up_task, write_honest_submission
from hypothesis import given
from hypothesis import strategies as st

from hearbench.digest import digest_file
from hearbench.leaderboard.card import Card
from hearbench.leaderboard.check import check_bundle
from hearbench.leaderboard.csv_file import format_table, parse_table, read_table
from hearbench.leaderboard.official import official_table
from hearbench.leaderboard.table import Table

_TASKS = ("esc50-v2.0.0-full", "dcase2016_task2-hear2021-full")


@dataclass(frozen=True)
class Bundle:
    """A submission that can be taken, and its files by their paths."""

    folder: Path
    files: dict[str, bytes]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = write_honest_submission(tmp_path_factory.mktemp("bundle"))
    names = [name for name in files_below(folder) if (folder / name).is_file()]
    return Bundle(folder, {name: (folder / name).read_bytes() for name in sorted(names)})


def _sums(folder: Path) -> bytes:
    """What a forger writes who knows of the checksums."""
    files = [p for p in sorted(folder.rglob("*")) if p.is_file() and p.name != "SHA256SUMS"]
    lines = [f"{digest_file(p)}  {p.relative_to(folder).as_posix()}\n" for p in files]
    return "".join(lines).encode()


def test_the_bundle_can_be_taken(bundle: Bundle) -> None:
    report = check_bundle(bundle.folder, official_table(), made_up_task)
    # The made-up tasks have no audio, so their digest is another than the results'.
    assert all("another version" in problem for problem in report.problems)
    assert check_bundle(bundle.folder, official_table(), lambda _: None).problems == ()


@fuzzed
@given(data=st.data())
def test_edited_submissions(bundle: Bundle, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(bundle.files)))
    path, whole = bundle.folder / name, bundle.files[name]
    if name.endswith(".json"):
        changed = data.draw(mutated_json(json.loads(whole)))
    elif name.endswith(".npy"):
        changed = data.draw(mutated_array(np.load(path, allow_pickle=False)))
    else:
        changed = data.draw(mutated_bytes(whole))
    sums = bundle.folder / "SHA256SUMS"
    try:
        path.write_bytes(changed)
        if path != sums:
            sums.write_bytes(_sums(bundle.folder))
        with bounded():
            report = check_bundle(bundle.folder, official_table(), lambda _: None)
        assert all(text.isprintable() for text in (*report.problems, *report.notes))
        # Whoever mended the checksums changed a file that says something, or said the same again.
        assert report.ok in (True, False)
    finally:
        path.write_bytes(whole)
        sums.write_bytes(bundle.files["SHA256SUMS"])
    assert no_trap_has_sprung()


@fuzzed_less
@given(data=st.data())
def test_folders_with_more_in_them(
    tmp_path_factory: pytest.TempPathFactory, bundle: Bundle, data: st.DataObject
) -> None:
    top = tmp_path_factory.mktemp("more")
    some = data.draw(st.sets(st.sampled_from(sorted(bundle.files)), max_size=12))
    for name in some:
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_bytes(bundle.files[name])
    odd = data.draw(
        st.sampled_from(("results/.. ", "results/a b/result.json", "row.csv/x", "x\n\x1b[2Jy"))
    )
    if not any(part in bundle.files and part in some for part in (odd, odd.partition("/")[0])):
        (top / odd).parent.mkdir(parents=True, exist_ok=True)
        (top / odd).write_bytes(b"x")
    with bounded():
        report = check_bundle(top, official_table(), lambda _: None)
    assert not report.ok


_TABLE = "\n".join(format_table(official_table()).split("\n")[:6])


@fuzzed
@given(data=mutated_bytes(_TABLE.encode()))
def test_leaderboards(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "leaderboard.csv"
    path.write_bytes(data)
    table = value_or_error(lambda: read_table(path))
    if isinstance(table, Table):
        # What is taken can be written, and is read as the same.
        assert parse_table(format_table(table), "again") == table


_CARD = """
model = "Mine"
team = "We"
authors = ["A. Body"]
url = "https://example.org/mine"
description = "A model."
pretraining = "none"
api = "mine"
licence = "MIT"
[missing]
maestro = "too long"
"""


@fuzzed
@given(
    data=mutated_bytes(_CARD.encode())
    | st.just(b"a = " + b"[" * 5000)
    | st.just(b"a = " + b"9" * 5000)
)
def test_cards(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "card.toml"
    path.write_bytes(data)
    value_or_error(lambda: Card.read(path))
