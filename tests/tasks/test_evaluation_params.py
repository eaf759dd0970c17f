"""What a task's metadata may change in the protocol, and what is refused when it is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from helpers_tasks import make_event_task, make_scene_task

from hearbench.errors import TaskError
from hearbench.tasks.evaluation_params import evaluation_params
from hearbench.tasks.recipe import Recipe
from hearbench.tasks.store import load_task
from hearbench.workspace import Workspace

BAD_GRIDS: list[tuple[Any, str]] = [
    ({"lr": [0]}, r"lr\.0"),
    ({"lr": [1e-3, -1]}, r"lr\.1"),
    ({"lr": 0.1}, "lr"),
    ({"lr": []}, "lr"),
    ({"lr": [True]}, r"lr\.0"),
    ({"lr": ["0.1"]}, r"lr\.0"),
    ({"lr": [None]}, r"lr\.0"),
    ({"lr": [[0.1]]}, r"lr\.0"),
    ({"max_epochs": [50.5]}, r"max_epochs\.0"),
    ({"max_epochs": [0]}, r"max_epochs\.0"),
    ({"max_epochs": [True]}, r"max_epochs\.0"),
    ({"dropout": [1.0]}, r"dropout\.0"),
    ({"hidden_layers": [-1]}, r"hidden_layers\.0"),
    ({"hidden_layers": [10**9]}, r"hidden_layers\.0"),
    ({"hidden_dim": [10**30]}, r"hidden_dim\.0"),
    ({"max_epochs": [10**400]}, r"max_epochs\.0"),
    ({"batch_size": [512, 1024]}, "batch_size"),
    ({"batch_size": [1]}, r"batch_size\.0"),
    ({"initialization": ["xavier"]}, r"initialization\.0"),
    ({"norm_after_activation": [True]}, "norm_after_activation"),
    ({"learning_rate": [0.1]}, "learning_rate"),
    ({"optim": ["SGD"]}, "optim"),
    ({"check_every": [1]}, "check_every"),
    ({"max_epochs": [2, 50], "check_val_every_n_epoch": [3]}, "no validation"),
    ({"lr": [0.1] * 200, "dropout": [0.1] * 200}, "combinations"),
    ([1], "task_specific_param_grid"),
    ("fast", "task_specific_param_grid"),
]


@pytest.mark.parametrize(("grid", "says"), BAD_GRIDS)
def test_grids_that_cannot_be_are_refused(grid: Any, says: str) -> None:
    with pytest.raises(TaskError, match=says):
        evaluation_params({"task_specific_param_grid": grid})


@pytest.mark.parametrize("kind", ["scene", "event"])
def test_they_are_refused_when_the_task_is_loaded(
    tmp_path: Path, workspace: Workspace, kind: str
) -> None:
    make = make_scene_task if kind == "scene" else make_event_task
    params = {"task_specific_param_grid": {"lr": [0], "hidden_layer": [1]}}
    folder = make(tmp_path, evaluation_params=params)
    with pytest.raises(TaskError) as caught:
        load_task(folder, workspace=workspace)
    said = str(caught.value)
    assert "evaluation_params: task_specific_param_grid.lr.0" in said
    assert "hidden_layer can't be set" in said
    assert "hidden_layers" in said


def test_postprocessing_is_looked_at_where_there_are_events(
    tmp_path: Path, workspace: Workspace
) -> None:
    params = {"event_postprocessing_grid": {"min_duration": [-5]}, "notes": "anything"}
    events = make_event_task(tmp_path / "e", evaluation_params=params)
    with pytest.raises(TaskError, match=r"min_duration\.0"):
        load_task(events, workspace=workspace)
    scenes = make_scene_task(tmp_path / "s", evaluation_params=params)
    # It means nothing there, and is in the task's metadata as it was.
    assert load_task(scenes, workspace=workspace).metadata.evaluation_params == params


def test_none_of_them_is_prepared() -> None:
    recipe = Recipe(
        "a", "1", "full", "scene", "multiclass", "trainvaltest", 1.0, ("top1_acc",),
        evaluation_params={"task_specific_param_grid": {"lr": []}},
    )  # fmt: skip
    with pytest.raises(TaskError, match=r"task_specific_param_grid\.lr"):
        recipe.refuse_bad()


def test_values_by_the_names_of_grid_points() -> None:
    own = {"max_epochs": [50], "check_val_every_n_epoch": [1, 2], "norm_after_activation": [False]}
    read = evaluation_params({"task_specific_param_grid": own}).task_specific_param_grid
    assert read is not None
    assert read.values() == {"max_epochs": [50], "check_every": [1, 2]}
    assert evaluation_params(None) == evaluation_params({"task_specific_param_grid": None})
