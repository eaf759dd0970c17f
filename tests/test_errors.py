"""Errors tell what kind of thing went wrong by class and code."""

from __future__ import annotations

import ast
import copy
from pathlib import Path

import pytest
from helpers_models import write_model
from helpers_tasks import make_event_task, make_scene_task

import hearbench
from hearbench.errors import CODES, HearError, ModelError, ResultError, TaskError
from hearbench.workspace import Workspace

SOURCE = Path(hearbench.__file__).parent


def test_every_code_is_described() -> None:
    used = {
        keyword.value.value
        for path in SOURCE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        for keyword in node.keywords
        if keyword.arg == "code"
        and isinstance(keyword.value, ast.Constant)
        and ast.unparse(node.func).endswith("Error")
    }
    assert used <= CODES.keys()
    assert used >= {"not_found", "damaged", "would_overwrite", "not_installed", "io"}
    classes = [HearError]
    for each in classes:
        classes += each.__subclasses__()
        assert each.code in CODES


def test_an_error_travels_between_processes() -> None:
    error = copy.deepcopy(TaskError("a/b is gone.", code="not_found"))
    assert (type(error), str(error), error.code) == (TaskError, "a/b is gone.", "not_found")
    assert TaskError("odd").code == "invalid"


@pytest.mark.parametrize(
    ("name", "kind", "code", "named"),
    [
        ("no_such_task", HearError, "unknown_name", "no_such_task"),
        ("no/such/task", TaskError, "not_found", "no/such/task"),
    ],
)
def test_tasks(
    name: str, kind: type[HearError], code: str, named: str, workspace: Workspace
) -> None:
    with pytest.raises(kind) as found:
        hearbench.load_task(name, workspace=workspace)
    assert found.value.code == code
    assert named in str(found.value)


def test_models(workspace: Workspace) -> None:
    with pytest.raises(ModelError) as found:
        hearbench.load_model("no/model.py", workspace=workspace)
    assert found.value.code == "not_found"
    assert "no/model.py" in str(found.value)


def test_evaluations(tmp_path: Path, workspace: Workspace) -> None:
    task, model = make_scene_task(tmp_path), str(write_model(tmp_path))

    def evaluate(protocol: str, task: Path = task) -> HearError:
        with pytest.raises(hearbench.EvaluationError) as found:
            hearbench.evaluate(
                model, task, protocol=protocol, out=tmp_path / "out", workspace=workspace
            )
        assert found.value.code == "failed"
        (failure,) = found.value.results.failures
        assert isinstance(failure.error, HearError)
        return failure.error

    hearbench.evaluate(model, task, protocol="knn", out=tmp_path / "out", workspace=workspace)
    refused = evaluate("linear")
    assert (type(refused), refused.code) == (ResultError, "would_overwrite")
    assert "result.json" in str(refused)
    unsuitable = evaluate("distance", make_event_task(tmp_path))
    assert isinstance(unsuitable, TaskError)
    assert unsuitable.code == "unsuitable"


def test_damage(tmp_path: Path, workspace: Workspace) -> None:
    task = hearbench.load_task(make_scene_task(tmp_path), workspace=workspace)
    with hearbench.load_model(write_model(tmp_path), workspace=workspace) as model:
        store = hearbench.embed(model, task, workspace=workspace)
    (store.folder / "manifest.json").write_bytes(b"{}")
    with pytest.raises(HearError) as found:
        hearbench.EmbeddingStore.open(store.folder, task, workspace=workspace)
    assert str(store.folder) in str(found.value)
