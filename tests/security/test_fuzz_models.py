"""What stands beside a model, and what its process says: an answer, or one error."""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from helpers_fuzz import fuzzed, json_values, mutated_bytes, mutated_value, value_or_error
from helpers_models import write_model
from hypothesis import given
from hypothesis import strategies as st

from hearbench.errors import HearError
from hearbench.models.finding import parse_name
from hearbench.models.isolation import Worker, load_there
from hearbench.models.loaded import Interpreter, Loaded
from hearbench.models.loading import load_model
from hearbench.models.onnx_spec import read_spec
from hearbench.models.other_process import EndedWhy, OtherProcess, ProcessEndedError
from hearbench.workspace import Workspace

HERE = Interpreter(Path(sys.executable), timeout_s=300)
_SPEC = """
sample_rate = 16000
embedding_size = 288
hop_samples = 384
span_samples = 895
[output]
axes = ["clip", "time", "number"]
[input]
axes = ["clip", "time"]
[input.constants.mask]
value = 1
[[before]]
file = "model.onnx"
[before.input]
axes = ["clip", "time"]
[before.output]
axes = ["clip", "time", "number"]
"""
_FILES = (
    "~nobodyhere/x",
    "../" * 200,
    "x" * 300,
    "module:__main__/x",
    "module:json/../x",
    "\\u0000",
)


@fuzzed
@given(
    data=mutated_bytes(_SPEC.encode())
    | st.sampled_from(_FILES).map(lambda name: _SPEC.replace("model.onnx", name).encode())
    | st.just(b"a = " + b"[" * 5000)
)
def test_what_stands_beside_an_onnx_file(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    folder = tmp_path_factory.getbasetemp()
    (folder / "model.onnx").write_bytes(b"")
    (folder / "model.toml").write_bytes(data)
    value_or_error(lambda: read_spec(folder / "model.onnx"))


_NAMES = (
    "~nobodyhere/x.py",
    "x" * 5000,
    "a\0b",
    "hf:a\0b",
    "hf:~nobodyhere/x",
    "onnx:~x/y",
    "onnx:",
)


@fuzzed
@given(
    name=st.sampled_from(_NAMES)
    | st.text(alphabet="a.:/~\\\0é \n-_1", max_size=12).filter(lambda name: "hf:" not in name)
)
def test_names_of_models(name: str) -> None:
    found = value_or_error(lambda: parse_name(name))
    assert isinstance(found, HearError) or found.spec == name


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What an honest process answers, by command."""
    folder = tmp_path_factory.mktemp("honest")
    named = parse_name(str(write_model(folder)))
    process = OtherProcess(HERE, "honest")
    workspace = {"positional": [], "options": {}, "device": "cpu", "name": "stats"}
    found = {"import": process.ask("import", "a test", **named.target._asdict())}
    found["load"] = process.ask("load", "a test", **workspace)
    found["memory"] = process.ask("memory", "a test")
    process.close()
    return found


class _Forger(OtherProcess):
    """A process whose answers are written by somebody else."""

    def __init__(self, answers: Iterator[str]) -> None:
        self.name, self.interpreter = "forger", HERE
        self._answers, self._number, self.closed = answers, 0, False

    def ask(self, do: str, what: str, **arguments: Any) -> dict[str, Any]:
        assert json.dumps(arguments)
        self._number += 1
        answer = self._parsed(next(self._answers), do, what)
        self._check_violations(answer["violations"])
        done: dict[str, Any] = answer["done"]
        return done

    def _ends(self, how: str, why: EndedWhy = "crashed") -> ProcessEndedError:
        self.closed = True
        return ProcessEndedError(f"The process of {self.name} {how}", why)

    def close(self) -> None:
        self.closed = True


@fuzzed
@given(data=st.data())
def test_forged_answers(
    tmp_path_factory: pytest.TempPathFactory, answers: dict[str, Any], data: st.DataObject
) -> None:
    forged = data.draw(st.sampled_from(sorted(answers)))
    lines = []
    for number, do in enumerate(answers, start=1):
        whole = {"number": number, "done": answers[do], "violations": []}
        if do == forged:
            whole = data.draw(st.one_of(mutated_value(whole), mutated_value(whole), json_values))
        lines.append(json.dumps(whole))
    process = _Forger(itertools.chain(lines, itertools.repeat("{}")))
    folder = tmp_path_factory.getbasetemp()
    named = parse_name(str(write_model(folder)))
    workspace = Workspace(cache_dir=folder / "cache", device="cpu")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hearbench.models.isolation.start_process", lambda *_: process)
        loaded = value_or_error(lambda: load_there(named, None, {}, workspace, HERE))
        assert isinstance(loaded, Loaded) or process.closed
        if isinstance(loaded, Loaded):
            assert isinstance(loaded.engine, Worker)
            value_or_error(loaded.engine.memory)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere nobody knows")
def test_what_a_model_started_ends_with_it(tmp_path: Path, workspace: Workspace) -> None:
    extra = """
    import subprocess, sys

    def load_model(model_file_path=""):
        left = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"],
                                start_new_session=True)
        model = Stats()
        model.n_weights = left.pid
        return model
    """
    model = load_model(write_model(tmp_path, extra=extra), workspace=workspace, interpreter=HERE)
    assert model.n_weights is not None
    left = psutil.Process(model.n_weights)
    assert left.is_running()
    model.close()
    psutil.wait_procs([left], timeout=60)
    assert not left.is_running() or left.status() == psutil.STATUS_ZOMBIE
