"""Which checks run, and what comes of models that fail in one way or another."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from helpers_models import STATS, write_model
from helpers_nearby import Nearby
from helpers_progress import Noted, State, noting

from hearbench.errors import EmbeddingError, ModelError, UnknownNameError
from hearbench.models.loaded import Interpreter
from hearbench.models.other_process import CallFailedError, ProcessEndedError
from hearbench.validate import CHECKS, Report, validate_model
from hearbench.validate.model_process import RAISED, remedy_for
from hearbench.workspace import Workspace

pytestmark = pytest.mark.usefixtures("quick_python")


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(cache_dir=tmp_path / "cache", device="cpu")


BAD = Path(__file__).resolve().parents[1] / "bad_models"


@pytest.fixture
def nearby(monkeypatch: pytest.MonkeyPatch) -> None:
    """Models run in this process."""
    monkeypatch.setattr("hearbench.models.isolation.OtherProcess", Nearby)


def test_names() -> None:
    assert len(set(CHECKS)) == len(CHECKS) == 29
    assert CHECKS[0] == "import"


def test_only_what_is_asked_for_and_what_it_needs(tmp_path: Path, workspace: Workspace) -> None:
    path = write_model(tmp_path)
    told = Noted()
    report = validate_model(path, workspace=noting(workspace, told), only=["timestamp-hop"])
    assert [check.name for check in report.checks] == [
        *("import", "api-functions", "load", "model-kind", "sample-rate", "timestamp-shapes"),
        *("timestamp-unit", "timestamp-spacing", "timestamp-hop"),
    ]
    assert report.valid
    assert report.check("timestamp-hop").found == "50 ms"
    assert told.states[0] == (f"validating {path}", 0, 9, "import")
    assert told.states[-1] == (f"validating {path}", 9, 9, "")
    facts = report.model
    assert (facts.name, facts.sample_rate, facts.hop_ms, facts.device) == (
        *("stats", 16000, 50.0, "cpu"),
    )
    assert facts.versions["torch"]
    with pytest.raises(KeyError):
        report.check("memory")


def test_the_report_is_json(tmp_path: Path, workspace: Workspace) -> None:
    report = validate_model(write_model(tmp_path), workspace=workspace, only=["import"])
    said = json.loads(report.model_dump_json())
    assert said["format_version"] == 1
    assert said["valid"] is True
    assert said["checks"][0]["verdict"] == "pass"
    del said["valid"]
    assert Report.model_validate_json(json.dumps(said)) == report


def test_one_mistake_is_one_error(tmp_path: Path, workspace: Workspace) -> None:
    seconds = STATS.replace("* 50.0 + 25.0", "* 0.05 + 0.025")
    report = validate_model(
        write_model(tmp_path, seconds),
        workspace=workspace,
        quick=True,
        skip=["determinism", "state"],
    )
    assert [check.name for check in report.errors] == ["timestamp-unit"]
    assert "seconds" in report.errors[0].found
    assert "1000" in report.errors[0].remedy
    reasons = {check.name: check.found for check in report.checks if check.verdict == "skipped"}
    # The root is named, not the check in between.
    assert reasons["timestamp-drift"] == reasons["timestamp-end"] == "as timestamp-unit isn't right"
    assert "20 minutes" in reasons["memory"]
    assert "determinism" not in reasons


CRASHES = """
import os

def get_scene_embeddings(audio, model):
    os.abort()
"""


def test_after_a_crash_the_other_checks_go_on(tmp_path: Path, workspace: Workspace) -> None:
    report = validate_model(
        write_model(tmp_path, extra=CRASHES),
        workspace=workspace,
        only=["scene-shapes", "embedding-dtype", "finite"],
    )
    assert [check.name for check in report.errors] == ["scene-shapes"]
    assert "SIGABRT" in report.errors[0].found
    assert report.check("finite").verdict == "pass"
    assert report.check("embedding-dtype").verdict == "pass"


SLOW = """
import time

def load_model(path=""):
    time.sleep(60)

get_scene_embeddings = get_timestamp_embeddings = load_model
"""


def test_a_hang_is_an_error(tmp_path: Path, workspace: Workspace) -> None:
    interpreter = Interpreter(Path(sys.executable), timeout_s=300.0)

    def wait_no_longer_than_needed(state: State) -> None:
        # To start and to import may take long on a busy machine.
        object.__setattr__(interpreter, "timeout_s", 1.5 if state.text == "load" else 300.0)

    report = validate_model(
        write_model(tmp_path, SLOW.replace("60", "600")),
        workspace=noting(workspace, Noted(wait_no_longer_than_needed)),
        interpreter=interpreter,
        only=["load"],
    )
    assert [check.name for check in report.errors] == ["load"]
    assert "within 1.5 s" in report.errors[0].found


UNSEEDED = """
def load_model(path=""):
    model = Stats()
    model.gain = torch.rand(1)
    return model

def get_timestamp_embeddings(audio, model):
    frames = audio[:, : audio.shape[1] // 800 * 800].reshape(len(audio), -1, 800)
    ms = torch.arange(frames.shape[1]) * 50.0 + 25.0
    return frames.mean(2, keepdim=True) * model.gain, ms.expand(len(audio), -1)

def get_scene_embeddings(audio, model):
    return torch.stack([audio.mean(1), audio.std(1), audio.abs().amax(1)], 1) * model.gain
"""


@pytest.mark.parametrize("only", [["determinism"], ["state", "determinism"]])
def test_weights_that_nobody_seeded(
    tmp_path: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch, only: list[str]
) -> None:
    if len(only) > 1:  # once by processes is enough
        monkeypatch.setattr("hearbench.models.isolation.OtherProcess", Nearby)
    report = validate_model(write_model(tmp_path, extra=UNSEEDED), workspace=workspace, only=only)
    found = report.check("determinism")
    assert found.verdict == "warning"
    assert "loaded anew" in found.found
    assert "get_scene_embeddings" in found.found
    assert "get_timestamp_embeddings" in found.found


def test_what_cannot_run_is_raised(tmp_path: Path, workspace: Workspace) -> None:
    path = write_model(tmp_path)
    with pytest.raises(ModelError, match="no module named 'a_module_that_nobody_has'"):
        validate_model("a_module_that_nobody_has", workspace=workspace)
    with pytest.raises(ModelError, match="no model file"):
        validate_model(tmp_path / "missing.py", workspace=workspace)
    with pytest.raises(ModelError, match="no weights at"):
        validate_model(path, tmp_path / "missing.pt", workspace=workspace)
    with pytest.raises(ModelError, match="no interpreter"):
        validate_model(path, workspace=workspace, interpreter=Interpreter(tmp_path / "python"))
    with pytest.raises(UnknownNameError, match="'timestamp-hop'"):
        validate_model(path, workspace=workspace, only=["timestamp-hops"])
    with pytest.raises(UnknownNameError, match="can't be skipped"):
        validate_model(path, workspace=workspace, skip=["load"])


def test_an_option_that_is_not_there(tmp_path: Path, workspace: Workspace) -> None:
    with pytest.raises(ModelError, match="no option 'hop'"):
        validate_model(write_model(tmp_path, SLOW), workspace=workspace, hop=3)


@pytest.mark.usefixtures("nearby")
@pytest.mark.parametrize("stop", [KeyboardInterrupt, RuntimeError])
def test_what_was_found_before_it_was_stopped_is_told(
    tmp_path: Path, workspace: Workspace, stop: type[BaseException]
) -> None:
    told: list[Report] = []

    def stop_at(state: State) -> None:
        if state.text == "timestamp-size":
            raise stop

    source = STATS.replace("scene_embedding_size = 3", "scene_embedding_size = 3.0")
    with pytest.raises(stop):
        validate_model(
            write_model(tmp_path, source),
            workspace=noting(workspace, Noted(stop_at)),
            stopped=told.append,
        )
    (report,) = told
    assert [check.name for check in report.checks] == list(CHECKS)
    done = report.checks[: CHECKS.index("timestamp-size")]
    assert [check.name for check in done if check.verdict != "pass"] == ["scene-size"]
    assert {check.verdict for check in report.checks[len(done) :]} == {"skipped"}
    assert "stopped" in report.checks[-1].found
    assert not report.complete
    assert report.model.sample_rate == 16000
    # No error so far is not the same as valid.
    whole = validate_model(write_model(tmp_path), workspace=workspace, only=["scene-size"])
    assert whole.complete
    assert whole.valid
    assert not whole.model_copy(update={"complete": False}).valid


@pytest.mark.usefixtures("nearby")
@pytest.mark.parametrize("device", ["cpu", "cuda:77"])
def test_what_cannot_be_validated_has_no_report(tmp_path: Path, device: str) -> None:
    told: list[Report] = []
    spec = write_model(tmp_path) if device != "cpu" else "a_module_that_nobody_has"
    with pytest.raises(ModelError):
        validate_model(
            spec, workspace=Workspace(tmp_path / "cache", device=device), stopped=told.append
        )
    assert told == []


@pytest.mark.usefixtures("nearby")
def test_the_order_of_calls_is_told_whichever_check_finds_it(workspace: Workspace) -> None:
    path = BAD / "scene_fails_after_timestamps.py"
    asked = {"workspace": workspace, "only": ["timestamp-shapes", "scene-shapes"]}
    report = validate_model(path, **asked)  # type: ignore[arg-type]
    assert [check.name for check in report.errors] == ["state"]
    assert report.check("scene-shapes").verdict == "pass"
    assert [check.name for check in report.checks][-1] == "state"
    assert "hooks are left over" in report.errors[0].found
    # Without it, a check finds what it finds.
    report = validate_model(path, **asked, skip=["state"])  # type: ignore[arg-type]
    assert [check.name for check in report.errors] == ["scene-shapes"]


class Crashing(Nearby):
    """A process that ends where its model raises."""

    def ask(self, do: str, _what: str, **arguments: Any) -> dict[str, Any]:
        try:
            return super().ask(do, _what, **arguments)
        except CallFailedError as error:
            text = f"The process was ended by SIGABRT:\n{error}"
            raise ProcessEndedError(text, "crashed") from None


def test_a_crash_after_other_calls_is_told_as_one(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hearbench.models.isolation.OtherProcess", Crashing)
    report = validate_model(
        BAD / "scene_fails_after_timestamps.py",
        workspace=workspace,
        only=["scene-shapes", "finite"],
    )
    assert [check.name for check in report.errors] == ["state"]
    found = report.errors[0].found
    assert "get_scene_embeddings works when called first, and fails after get_timestamp" in found
    assert "SIGABRT" in found
    assert report.check("scene-shapes").verdict == "pass"
    assert report.check("finite").found == "as state isn't right"


FAILS_AND_NAN = """
def get_scene_embeddings(audio, model):
    if not audio.any():
        raise ValueError("nothing to hear")
    return torch.stack([audio.mean(1), audio.std(1), 0 / audio.std(1)], 1)
"""


@pytest.mark.usefixtures("nearby")
def test_the_advice_fits_what_happened(tmp_path: Path, workspace: Workspace) -> None:
    def advice(path: Path, check: str) -> str:
        report = validate_model(path, workspace=workspace, quick=True, only=[check])
        assert report.check(check).verdict == "error"
        return report.check(check).remedy

    assert advice(BAD / "raises_on_silence.py", "finite") == RAISED
    numbers = advice(BAD / "nan_on_silence.py", "finite")
    assert "small constant" in numbers
    assert advice(write_model(tmp_path, extra=FAILS_AND_NAN), "finite") in (
        f"{RAISED} {numbers}",
        f"{numbers} {RAISED}",
    )
    # The lengths are the cause only if not all of them fail.
    short = advice(BAD / "fails_on_50_ms.py", "lengths")
    assert "shorter than a frame" in short
    alone = advice(BAD / "needs_a_batch.py", "lengths")
    assert RAISED in alone
    assert "not the length" in alone
    assert "zeros" not in alone


def test_every_end_has_its_remedy() -> None:
    ends = [
        ProcessEndedError("it ended", "crashed"),
        ProcessEndedError("it ended", "hung"),
        ProcessEndedError("it ended", "nonsense"),
        ProcessEndedError("it ended", "read"),
    ]
    wrapped = ModelError("get_scene_embeddings on one clip: it ended")
    wrapped.__cause__ = ends[1]
    remedies = [remedy_for(end) for end in ends]
    assert len({*remedies, RAISED}) == 5
    assert "--timeout" in remedies[1]
    assert remedy_for(wrapped) == remedies[1]
    assert remedy_for(CallFailedError("ValueError", None)) == RAISED
    assert "docs/models.md" in remedy_for(EmbeddingError("returned embeddings (3,)"))


@pytest.mark.usefixtures("nearby")
def test_layers_are_told_of(workspace: Workspace) -> None:
    report = validate_model(BAD / "layered.py", workspace=workspace, only=["layers"])
    assert report.check("layers").found == (
        "3 layers, of which its own is 2 (scene_layers and timestamp_layers)"
    )
    assert [check.name for check in report.checks][-3:] == [
        *("timestamp-shapes", "scene-shapes", "layers"),
    ]
    report = validate_model(BAD / "base.py", workspace=workspace, only=["layers"])
    assert report.check("layers").verdict == "pass"
    assert report.check("layers").found == "the model gives no layers beside its embeddings"
