from __future__ import annotations

from pathlib import Path

import pytest
from helpers_cli import hearbench
from helpers_leaderboard import DCASE, ESC50, write_made_up_result

from hearbench.probe.protocol import HEAR2021


def test_a_protocol_and_results_by_a_part_of_it(tmp_path: Path) -> None:
    one_point = HEAR2021.restricted(first=2)
    folder = write_made_up_result(tmp_path, DCASE, protocol=one_point)
    answer = hearbench("protocol", "diff", "hear2021", folder)
    assert answer.code == 1
    first, second, *rest = answer.stdout.splitlines()
    assert first == "A: hear2021 (4d0612ca1b)"
    assert second.startswith("B: hear2021 with 2 of 8 grid points, seed 42, float32 (")
    assert rest == ["", "A trains 8 grid points; B 2 of them."]
    same = hearbench("protocol", "diff", one_point.name, folder)
    assert same.code == 0
    assert same.stdout.splitlines()[-1].startswith("Nothing differs")


def test_json(tmp_path: Path) -> None:
    folder = write_made_up_result(tmp_path, ESC50)
    answer = hearbench("protocol", "diff", folder, "knn", "--json")
    assert answer.code == 1
    assert answer.json == {
        "same": False,
        "a": {
            "named": str(folder),
            "fingerprint": "4d0612ca1b",
            "words": "hear2021, seed 42, float32",
            "seeds": [42],
        },
        "b": {"named": "knn", "fingerprint": "650ed0a8d0", "words": "knn", "seeds": []},
        "differences": [
            "A trains networks (8 grid points); B asks the nearest training examples "
            "(8 grid points)."
        ],
    }


@pytest.mark.parametrize("name", ["nothing", "hear2021[size=2]", "."])
def test_bad_input(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    answer = hearbench("protocol", "diff", "hear2021", name)
    assert (answer.code, answer.stdout) == (2, "")
    assert answer.stderr.startswith("error: ")
