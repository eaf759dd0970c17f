"""What the validator says of models that do things their own way: nothing that isn't so."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers_nearby import Nearby
from helpers_quirks import QUIRKS, QUIRKY, Quirk, write_checkpoint

from hearbench.validate import validate_model
from hearbench.workspace import Workspace

# What an ear for short sounds could be wrong about, in 20 minutes of audio as well.
HARD_TO_PLACE = {"long_window", "normalises_the_clip", "whole_windows_only"}


def judge(quirk: Quirk, folder: Path, workspace: Workspace, quick: bool) -> None:
    weights = write_checkpoint(folder) if quirk.needs_checkpoint else None
    report = validate_model(quirk.spec, weights, quick=quick, workspace=workspace, **quirk.options)
    shown = "\n".join(f"{c.name}: {c.verdict}: {c.found}" for c in report.checks)
    assert {check.name for check in report.errors} == {*quirk.error}, shown
    assert {check.name for check in report.warnings} == {*quirk.warns}, shown


@pytest.fixture(autouse=True)
def nearby(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(QUIRKY))
    monkeypatch.setattr("hearbench.models.isolation.OtherProcess", Nearby)


@pytest.mark.parametrize("quirk", QUIRKS, ids=lambda quirk: quirk.name)
def test_a_quirky_model_is_valid(quirk: Quirk, tmp_path: Path, workspace: Workspace) -> None:
    judge(quirk, tmp_path, workspace, quick=quirk.name not in HARD_TO_PLACE)


@pytest.mark.real
@pytest.mark.parametrize("quirk", QUIRKS, ids=lambda quirk: quirk.name)
def test_a_quirky_model_is_valid_over_20_minutes(
    quirk: Quirk, tmp_path: Path, workspace: Workspace
) -> None:
    judge(quirk, tmp_path, workspace, quick=False)
