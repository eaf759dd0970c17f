from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers_models import write_model
from helpers_tasks import make_scene_task

from hearbench.embeddings import run
from hearbench.embeddings.compute import embed
from hearbench.embeddings.gpu_meter import GpuMeter
from hearbench.models.loading import load_model
from hearbench.tasks.store import load_task
from hearbench.workspace import Workspace


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Stands in for the driver's program: notes what it was asked, answers, and stays."""

    def write(answers: str) -> Path:
        folder = tmp_path / "bin"
        folder.mkdir()
        program = folder / "nvidia-smi"
        program.write_text(
            f'#!/bin/sh\necho "$@" > {folder}/asked\nprintf "{answers}"\nexec sleep 600\n'
        )
        program.chmod(0o755)
        monkeypatch.setenv("PATH", str(folder), prepend=":")
        return folder / "asked"

    return write


def taken(meter: GpuMeter) -> float:
    """What the meter says as soon as it says anything."""
    for _ in range(6000):
        found = meter.take()
        if found is not None:
            return found
        time.sleep(0.01)
    pytest.fail("the meter said nothing")


def test_the_mean_of_what_the_driver_said(driver: Callable[[str], Path]) -> None:
    asked = driver(r"50\n[N/A]\n100\n90\n")
    with GpuMeter("cuda:1") as meter:
        for _ in range(6000):
            if len(meter._samples) == 3:
                break
            time.sleep(0.01)
        assert meter.take() == pytest.approx(0.8)
        assert meter.take() is None
    assert "--query-gpu=utilization.gpu" in asked.read_text()
    assert "--id=1" in asked.read_text()


def test_on_a_cpu_nothing_is_asked(driver: Callable[[str], Path]) -> None:
    asked = driver(r"50\n")
    with GpuMeter("cpu") as meter:
        time.sleep(0.1)
        assert meter.take() is None
    assert not asked.exists()


def test_without_the_program_nothing_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with GpuMeter("cuda") as meter:
        assert meter.take() is None


def test_an_error_ends_the_program_too(
    driver: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    driver(r"50\n")
    started: list[subprocess.Popen[str]] = []
    popen = subprocess.Popen

    def noted(*given: object, **more: object) -> subprocess.Popen[str]:
        started.append(popen(*given, **more))  # type: ignore[call-overload]
        return started[-1]

    monkeypatch.setattr(subprocess, "Popen", noted)

    def fail_while_it_runs() -> None:
        with GpuMeter("cuda") as meter:
            taken(meter)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_while_it_runs()
    assert started[0].poll() is not None


def test_it_stands_in_the_records_and_the_manifest(
    tmp_path: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = iter([0.5, None, 0.9])

    class Meter(GpuMeter):
        def take(self) -> float | None:
            return next(said)

    monkeypatch.setattr(run, "GpuMeter", Meter)
    task = load_task(make_scene_task(tmp_path / "task"), workspace=workspace)
    manifest = embed(
        load_model(write_model(tmp_path), workspace=workspace), task, workspace=workspace
    ).manifest
    first, second, third = manifest.shards
    assert [each.device_utilisation for each in manifest.shards] == [0.5, None, 0.9]
    assert second.device_utilisation is None
    expected = (0.5 * first.seconds + 0.9 * third.seconds) / (first.seconds + third.seconds)
    assert manifest.device_utilisation == pytest.approx(expected)
