"""Each model of the folder of bad models gets its verdicts, and nothing else.

Most of them are validated in this process: one of its own for each would mean to import torch
each time. What needs a process has one always, and with ``real`` all have.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from helpers_nearby import Nearby
from helpers_progress import Noted, State, noting

from hearbench.models.loaded import Interpreter
from hearbench.validate import CHECKS, Report, validate_model
from hearbench.workspace import Workspace

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FOLDER = Path(__file__).resolve().parents[1] / "bad_models"


@dataclass(frozen=True)
class Bad:
    """What the index says of a model.

    Attributes:
        name: Of its file.
        error: Checks that find an error.
        warning: Checks that warn.
        may: Checks that may do either.
        says: What the message of the first of them holds.
        full: Whether 20 minutes of audio are needed.
        process: Whether a process of its own is.
        limit_mb: What the model may take, where it isn't 16 GiB.
    """

    name: str
    error: tuple[str, ...] = ()
    warning: tuple[str, ...] = ()
    may: tuple[str, ...] = ()
    says: str = ""
    full: bool = False
    process: bool = False
    limit_mb: int | None = None

    @property
    def path(self) -> Path:
        return FOLDER / f"{self.name}.py"


def _index() -> list[Bad]:
    said = tomllib.loads((FOLDER / "index.toml").read_text())

    def values(facts: Mapping[str, Any]) -> dict[str, Any]:
        return {key: tuple(v) if isinstance(v, list) else v for key, v in facts.items()}

    return [Bad(name, **values(facts)) for name, facts in said.items()]


MODELS = _index()
# What they do is also done by models of the isolation's own tests; these come with `real`.
LIKE_THE_ISOLATIONS = {
    "prints_garbage",
    "prints_megabytes",
    "replaces_stdout",
    "closes_stdout",
    "import_reads_labels",
    "exits",
}


def validated(bad: Bad, workspace: Workspace, **options: Any) -> Report:
    return validate_model(bad.path, quick=not bad.full, workspace=workspace, **options)


def judge(bad: Bad, report: Report) -> None:
    """The verdicts are those of the index."""
    shown = "\n".join(f"{c.name}: {c.verdict}: {c.found}" for c in report.checks)
    for verdict, wanted in (("error", bad.error), ("warning", bad.warning)):
        found = {check.name for check in report.checks if check.verdict == verdict}
        assert found - {*bad.may} == {*wanted} - {*bad.may}, shown
        assert found >= {*wanted}, shown
    assert report.valid == (not report.errors)
    told = [report.check(name) for name in (*bad.error, *bad.warning)]
    assert all(check.found and check.expected and check.remedy for check in told), shown
    assert not told or bad.says in told[0].found, shown


@pytest.mark.parametrize(
    "bad", [bad for bad in MODELS if not bad.process], ids=lambda bad: bad.name
)
def test_a_bad_model_gets_its_verdict(
    bad: Bad, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hearbench.models.isolation.OtherProcess", Nearby)
    report = validated(bad, workspace)
    judge(bad, report)
    assert [check.name for check in report.checks] == list(CHECKS)


@pytest.fixture
def others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """Settings under which a model can know where the tasks are."""
    cache = tmp_path / "hearbench"
    (cache / "tasks").mkdir(parents=True)
    (cache / "tasks" / "test.json").write_text("{}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return Workspace(cache_dir=cache, device="cpu")


def in_a_process(
    bad: Bad,
    workspace: Workspace,
    monkeypatch: pytest.MonkeyPatch,
    only: tuple[str, ...] | None = None,
) -> Report:
    if bad.limit_mb is not None:
        monkeypatch.setattr("hearbench.validate.long_audio.LIMIT_MB", bad.limit_mb)
    interpreter = Interpreter(Path(sys.executable), timeout_s=300.0)

    def wait_no_longer_than_needed(state: State) -> None:
        # To import torch may take long on a busy machine; the one that hangs has it by then.
        hanging = bad.name == "hangs" and state.text in bad.error
        object.__setattr__(interpreter, "timeout_s", 1.0 if hanging else 300.0)

    workspace = noting(workspace, Noted(wait_no_longer_than_needed))
    return validated(bad, workspace, interpreter=interpreter, only=only)


@pytest.mark.usefixtures("quick_python")
@pytest.mark.parametrize(
    "bad",
    [bad for bad in MODELS if bad.process and bad.name not in LIKE_THE_ISOLATIONS],
    ids=lambda bad: bad.name,
)
def test_a_process_gets_its_verdict(
    bad: Bad, others: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Loading it anew, for the checks that do, is left to the whole validation below.
    only = (*bad.error, *bad.warning) or ("timestamp-shapes", "scene-shapes")
    judge(bad, in_a_process(bad, others, monkeypatch, only))


@pytest.mark.real
@pytest.mark.parametrize("bad", MODELS, ids=lambda bad: bad.name)
def test_a_bad_model_gets_its_verdict_in_a_process(
    bad: Bad, others: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = in_a_process(bad, others, monkeypatch)
    judge(bad, report)
    assert [check.name for check in report.checks] == list(CHECKS)


def test_the_index_is_about_the_files_of_the_folder() -> None:
    assert {bad.name for bad in MODELS} == {path.stem for path in FOLDER.glob("*.py")}
    named = {name for bad in MODELS for name in (*bad.error, *bad.warning, *bad.may)}
    assert named <= set(CHECKS)


def test_every_check_has_a_bad_model() -> None:
    assert {name for bad in MODELS for name in (*bad.error, *bad.warning)} == set(CHECKS)
