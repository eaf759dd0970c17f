from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from helpers_cli import hearbench
from helpers_models import STATS, write_model

FAILS = """
def load_model(path=""):
    raise KeyError("layer")

get_scene_embeddings = get_timestamp_embeddings = load_model
"""


def test_a_mistake_is_shown_with_what_to_do(tmp_path: Path) -> None:
    path = write_model(tmp_path, STATS.replace("scene_embedding_size = 3", ""))
    answer = hearbench("validate", path, "--only", "scene-size", "--only", "timestamp-size")
    assert answer.code == 1
    assert "expected: scene_embedding_size, an int" in answer.stdout
    assert "to do: Give the model the attribute scene_embedding_size" in answer.stdout
    assert "not valid: 1 error" in answer.stdout


def test_skipped_checks_stand_together(tmp_path: Path) -> None:
    path = write_model(tmp_path, FAILS)
    answer = hearbench("validate", path, "--only", "timestamp-unit")
    assert answer.code == 1
    assert "KeyError: 'layer'" in answer.stdout
    told = [line for line in answer.stdout.splitlines() if line.startswith("skipped")]
    assert told == [
        "skipped (as load isn't right): model-kind, sample-rate, timestamp-shapes, timestamp-unit"
    ]


def test_json(model: Path) -> None:
    answer = hearbench("validate", model, "--only", "sample-rate", "--json")
    assert answer.code == 0
    assert answer.stderr == f"validating {model}\n"
    assert answer.json["valid"] is True
    assert answer.json["model"]["sample_rate"] == 16000
    assert [check["name"] for check in answer.json["checks"]][-1] == "sample-rate"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["a_module_that_nobody_has"], "There is no module named"),
        (["missing.py"], "There is no model file"),
        (["MODEL", "--only", "hops"], "There is no check 'hops'"),
        (["MODEL", "--option", "quick=1"], "can't be handed to a model"),
        (["MODEL", "--weights", "missing.pt"], "There are no weights"),
        (["MODEL", "--device", "cuda:77"], "can't be moved to the device"),
    ],
)
def test_what_could_not_run(model: Path, arguments: list[str], told: str) -> None:
    answer = hearbench("validate", *(str(model) if text == "MODEL" else text for text in arguments))
    assert answer.code == 2
    assert told in answer.stderr
    assert answer.stdout == ""


def test_an_interrupt_ends_the_model(tmp_path: Path) -> None:
    path = write_model(tmp_path, extra="import time\ndef load_model(p=''):\n    time.sleep(60)")
    process = subprocess.Popen(
        [sys.executable, "-m", "hearbench.cli", "validate", str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
    )
    found: list[psutil.Process] = []
    end = time.monotonic() + 20
    while not found and time.monotonic() < end:
        time.sleep(0.1)
        found = [
            child
            for child in psutil.Process(process.pid).children()
            if any("hearbench_worker" in text for text in child.cmdline())
        ]
    assert found, "the model's process has not been started"
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=20)
    assert process.returncode == 130, stderr
    assert stdout == ""
    assert "Interrupted" in stderr
    psutil.wait_procs(found, timeout=5)
    assert not found[0].is_running()
