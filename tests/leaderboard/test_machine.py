"""What a submission says of the machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from hearbench.errors import ModelError
from hearbench.leaderboard.machine import machine_facts
from hearbench.models.loaded import Interpreter


def _interpreter(path: Path, *lines: str) -> Interpreter:
    path.write_text("\n".join(["#!/bin/sh", *lines, ""]))
    path.chmod(0o755)
    return Interpreter(path)


def test_the_models_own_framework_is_asked(tmp_path: Path) -> None:
    said = """echo '{"cuda": "12.4", "cudnn": "9.1.0", "more": "x"}'"""
    host = _interpreter(tmp_path / "python", "echo a framework prints", said)
    assert machine_facts(host, "cuda:1") == {"device": "cuda:1", "cuda": "12.4", "cudnn": "9.1.0"}
    # Elsewhere there is nothing to be asked.
    assert machine_facts(Interpreter(tmp_path / "nothing"), "cpu") == {"device": "cpu"}


@pytest.mark.parametrize("line", ["exit 3", "echo nonsense", ":", "echo '[1]'"])
def test_an_interpreter_that_does_not_answer(line: str, tmp_path: Path) -> None:
    host = _interpreter(tmp_path / "python", line)
    with pytest.raises(ModelError, match="doesn't say which CUDA"):
        machine_facts(host, "cuda")
