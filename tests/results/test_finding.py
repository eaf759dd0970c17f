from __future__ import annotations

from pathlib import Path

import pytest
from helpers_layers import fitted_layer, write_layer
from helpers_leaderboard import ESC50, write_made_up_result

from hearbench.comparison.reading import read_models
from hearbench.evaluation.results import load_results
from hearbench.results.finding import find_result_files, layer_folder, layer_folders


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """MODEL/TASK with the results of two layers."""
    place = tmp_path / "out/my_model" / ESC50
    for layer in (3, 12):
        write_layer(place, layer, fitted_layer(0.5))
    return write_made_up_result(tmp_path / "out", ESC50)


def test_layers_have_folders_of_two_digits(folder: Path) -> None:
    assert layer_folder(folder, 3) == folder / "layers/03"
    assert layer_folder(folder, 112) == folder / "layers/112"
    (folder / "layers/notes").mkdir()
    assert layer_folders(folder) == {3: folder / "layers/03", 12: folder / "layers/12"}
    assert layer_folders(folder.parent) == {}


@pytest.mark.parametrize("unfinished", [False, True])
def test_layers_are_not_results_of_their_own(folder: Path, unfinished: bool) -> None:
    if unfinished:
        (folder / "result.json").rename(folder / "result.later")
        write_made_up_result(folder.parents[1], ESC50, model="other")
    (found,) = find_result_files(folder.parents[1])
    assert found.parts[-3:] == ("other" if unfinished else "my_model", ESC50, "result.json")
    assert len(load_results(folder.parents[1])) == 1


def test_layers_are_found_where_they_are_named(folder: Path) -> None:
    found = find_result_files(folder / "layers")
    assert [file.parent.name for file in found] == ["03", "12"]
    named = read_models([folder / "layers", folder])
    assert [each.name for each in named] == [
        "my_model (layer 03)",
        "my_model (layer 12)",
        "my_model",
    ]


def test_a_folder_of_results_may_be_called_layers(tmp_path: Path) -> None:
    write_made_up_result(tmp_path / "layers", ESC50)
    assert find_result_files(tmp_path) == (tmp_path / "layers/my_model" / ESC50 / "result.json",)
