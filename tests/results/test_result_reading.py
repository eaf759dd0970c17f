from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers_leaderboard import write_made_up_result

from hearbench import records
from hearbench.distance import DistanceResult
from hearbench.errors import ResultError
from hearbench.results import RESULT_FILE, Result
from hearbench.results.aggregate import same_number
from hearbench.results.curve import Curve
from hearbench.results.uncertainty import Uncertainty

ESC50 = "esc50-v2.0.0-full"
READERS: list[tuple[Callable[[Path], object], str]] = [
    (Result.read, "a result"),
    (DistanceResult.read, "a result of distances"),
    (Uncertainty.read, "a record of uncertainty"),
    (Curve.read, "a curve"),
]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_made_up_result(tmp_path_factory.mktemp("results"), ESC50, wrong=6)


def test_a_folder_or_its_file(made: Path) -> None:
    result = Result.read(made)
    assert result == Result.read(made / RESULT_FILE)
    assert result.task.name == ESC50


@pytest.mark.parametrize(("read", "what"), READERS)
@pytest.mark.parametrize("depth", [300, 100_000])
def test_a_deeply_nested_record_is_none(
    read: Callable[[Path], object], what: str, depth: int, tmp_path: Path
) -> None:
    path = tmp_path / "deep.json"
    path.write_text('{"notes": ' + "[" * depth + "]" * depth + "}")
    with pytest.raises(ResultError, match=f"deep.json is not {what} of format version 1: "):
        read(path)


def test_a_deep_record_with_a_known_field_is_none(made: Path, tmp_path: Path) -> None:
    content = json.loads((made / RESULT_FILE).read_text())
    content["versions"] = "DEEP"
    path = tmp_path / RESULT_FILE
    path.write_text(json.dumps(content).replace('"DEEP"', '{"a": ' * 5000 + "1" + "}" * 5000))
    with pytest.raises(ResultError, match=r"is not a result of format version 1: .*recursion"):
        Result.read(path)


@pytest.mark.parametrize(("read", "what"), READERS)
def test_a_far_too_large_record_is_none(
    read: Callable[[Path], object],
    what: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(records, "_MOST_BYTES", 2 << 20)
    path = tmp_path / "large.json"
    path.write_bytes(b" " * (2 << 20))
    with pytest.raises(ResultError, match=f"large.json is not {what} of format version 1"):
        read(path)
    path.write_bytes(b" " * ((2 << 20) + 1))
    with pytest.raises(ResultError, match=f"large.json is not {what}: it has more than 2 MiB"):
        read(path)


def test_what_never_ends_is_read_no_further(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "_MOST_BYTES", 1 << 20)
    with pytest.raises(ResultError, match="more than 1 MiB"):
        Result.read(Path("/dev/zero"))


def test_a_file_that_is_none_or_no_text(tmp_path: Path) -> None:
    with pytest.raises(ResultError, match=r"result\.json can't be read: No such file"):
        Result.read(tmp_path / RESULT_FILE)
    (tmp_path / RESULT_FILE).write_bytes(b"\xff\xfe")
    with pytest.raises(ResultError, match="is not a result of format version 1: the file"):
        Result.read(tmp_path)


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        (0.5, 0.5 + 1e-12, True),
        (0.5, 0.5 + 1e-8, False),
        (0.0, 1e-12, True),
        (1e12, 1e12 + 1, True),
        (float("nan"), None, True),
        (None, None, True),
        (None, 0.0, False),
        (float("nan"), 0.0, False),
        (float("inf"), float("inf"), True),
        (float("inf"), -float("inf"), False),
    ],
)
def test_the_same_but_for_rounding(a: float | None, b: float | None, *, same: bool) -> None:
    assert same_number(a, b) is same
    assert same_number(b, a) is same
