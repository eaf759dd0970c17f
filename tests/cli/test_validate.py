from __future__ import annotations

import json
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

pytestmark = pytest.mark.usefixtures("quick_python")

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


HANGS = """
import os, time

def get_timestamp_embeddings(audio, model):
    with open(os.environ["BEGUN"] + ".tmp", "w") as file:
        file.write(str(os.getpid()))
    os.replace(os.environ["BEGUN"] + ".tmp", os.environ["BEGUN"])
    time.sleep(600)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_keeps_what_was_found_and_ends_the_model(
    tmp_path: Path, number: signal.Signals
) -> None:
    source = STATS.replace("scene_embedding_size = 3", "scene_embedding_size = 3.0")
    path, begun = write_model(tmp_path, source, extra=HANGS), tmp_path / "begun"
    as_json = ["--json"] if number == signal.SIGTERM else []
    process = subprocess.Popen(
        [sys.executable, "-m", "hearbench.cli", "validate", str(path), *as_json],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONWARNINGS": "ignore", "BEGUN": str(begun), "COLUMNS": "100"},
    )
    end = time.monotonic() + 240
    while not begun.exists() and process.poll() is None and time.monotonic() < end:
        time.sleep(0.05)
    assert begun.exists(), process.communicate()
    worker = psutil.Process(int(begun.read_text()))
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 130, stderr
    assert "Interrupted" in stderr
    assert "Traceback" not in stderr
    if as_json:
        told = json.loads(stdout)
        verdicts = {check["name"]: check["verdict"] for check in told["checks"]}
        assert (told["valid"], told["complete"]) == (False, False)
        assert (verdicts["load"], verdicts["scene-size"]) == ("pass", "error")
        assert verdicts["timestamp-shapes"] == verdicts["finite"] == "skipped"
    else:
        assert "found: 3.0 (float)" in stdout
        assert "skipped (the validation was stopped before): timestamp-shapes, " in stdout
        assert stdout.splitlines()[-1].startswith("stopped: 1 error, ")
    psutil.wait_procs([worker], timeout=60)
    assert not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE
