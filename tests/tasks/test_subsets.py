from __future__ import annotations

import pytest

from hearbench.errors import UnknownNameError
from hearbench.leaderboard.columns import column_of
from hearbench.leaderboard.table import COLUMNS
from hearbench.tasks import task_subsets
from hearbench.tasks.from_corpus import catalog_tasks
from hearbench.tasks.ready_made import ready_made_folders, ready_made_names
from hearbench.tasks.subsets import expand_subsets

# The heads of the papers' tables, in their order.
GRAM = {
    "DCASE": "DCASE 2016",
    "FSD50K": "FSD50K",
    "LC": "Libricount",
    "ESC-50": "ESC-50",
    "CD": "CREMA-D",
    "VL": "VoxLingua107 top 10",
    "SC-5": "Speech commands 5h",
    "NS": "NSynth Pitch 5h",
    "BO": "Beijing Opera",
    "Mri-S": "Mridangam Stroke",
    "Mri-T": "Mridangam Tonic",
}
MW_MAE = {
    "Beijing-Opera": "Beijing Opera",
    "CREMA-D": "CREMA-D",
    "ESC-50": "ESC-50",
    "LibriCount": "Libricount",
    "Mridangam-S": "Mridangam Stroke",
    "Mridangam-T": "Mridangam Tonic",
    "NSynth-Pitch-5h": "NSynth Pitch 5h",
    "SpeechCommands-5h": "Speech commands 5h",
    "FSD50k": "FSD50K",
    "VoxLingua": "VoxLingua107 top 10",
}


def columns(subset: str) -> list[str | None]:
    return [column_of(task) for task in task_subsets()[subset].tasks]


def test_the_subsets_are_those_of_the_papers() -> None:
    assert sorted(map(str, columns("hear-11"))) == sorted(GRAM.values())
    assert sorted(map(str, columns("hear-10"))) == sorted(MW_MAE.values())
    assert columns("hear-open") == [
        "DCASE 2016",
        "NSynth Pitch 50h",
        "NSynth Pitch 5h",
        "Speech commands 5h",
        "Speech commands full",
    ]


@pytest.mark.parametrize("name", ["hear-11", "hear-10", "hear-open"])
def test_every_task_is_published_and_in_the_order_of_the_table(name: str) -> None:
    subset = task_subsets()[name]
    assert set(subset.tasks) <= set(ready_made_names())
    order = [COLUMNS.index(column) for column in columns(name) if column is not None]
    assert order == sorted(order)
    assert len(order) == len(subset.tasks)
    assert subset.about.endswith(".")
    assert "arXiv:" in subset.source or "https://" in subset.source


def test_a_subset_stands_for_its_tasks_wherever_tasks_are_named() -> None:
    eleven = list(task_subsets()["hear-11"].tasks)
    assert expand_subsets(["mine", "hear-10", "hear-11", "mine"])[:1] == ["mine"]
    assert set(expand_subsets(["hear-10", "hear-11"])) == set(eleven)
    assert len(expand_subsets(["hear-10", "hear-11"])) == 11
    assert list(ready_made_folders("hear-11")) == eleven
    assert ("nsynth_pitch", "5h") in catalog_tasks(["hear-11"])
    assert len(catalog_tasks(["hear-11", "esc50"])) == 11
    with pytest.raises(UnknownNameError, match="Did you mean 'hear-11'"):
        ready_made_folders("hear_11")
