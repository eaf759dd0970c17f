"""Results that exist already: kept, refused, replaced or made again."""

from __future__ import annotations

from pathlib import Path

import pytest

from hearbench.errors import ResultError
from hearbench.evaluation.existing import existing, result_folder
from hearbench.results.damage import note_file


def read(path: Path) -> str:
    text = path.read_text()
    if text == "unreadable":
        raise ResultError(f"{path} can't be read.")
    return text


def differences(result: str) -> list[str]:
    return [] if result == "wanted" else [f"{result} instead of wanted", "seed 1 instead of 2"]


def look(path: Path, *, overwrite: bool = False) -> str | None:
    return existing(path, read, differences, overwrite=overwrite)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "result.json"


def test_a_result_of_the_same_inputs_is_kept(path: Path) -> None:
    assert look(path) is None
    path.write_text("wanted")
    assert look(path) == "wanted"
    # From now on damage is noticed.
    assert "result.json" in (path.parent / "SHA256SUMS").read_text()
    assert look(path, overwrite=True) == "wanted"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("other", "made from other inputs: other instead of wanted, seed 1 instead of 2."),
        ("unreadable", "can't be read."),
    ],
)
def test_another_is_replaced_if_asked_for(path: Path, text: str, says: str) -> None:
    path.write_text(text)
    with pytest.raises(ResultError) as refused:
        look(path)
    assert str(path) in str(refused.value)
    assert says in str(refused.value)
    assert "Nothing was changed. Choose --name or another --out" in str(refused.value)
    assert path.read_text() == text
    assert look(path, overwrite=True) is None


def test_a_damaged_one_is_made_again(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path.write_text("wanted")
    note_file(path.parent, path.name)
    path.write_text("other")
    assert look(path) is None
    assert str(path) in caplog.text
    assert "evaluated again" in caplog.text


@pytest.mark.parametrize("name", ["", "..", ".hidden", "a/b", "a\\b", "a\0b"])
def test_names_that_cant_be_folders(tmp_path: Path, name: str) -> None:
    assert result_folder(tmp_path, "model", "task") == tmp_path / "model" / "task"
    for model, task in ((name, "task"), ("model", name)):
        with pytest.raises(ResultError) as refused:
            result_folder(tmp_path, model, task)
        assert f"{name!r} can't be the name of a result's folder" in str(refused.value)
