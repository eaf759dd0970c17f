"""The plug-in, in projects of their own: with reports made up here, and with real ones."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import hearbench.pytest_plugin
import hearbench.validate
from hearbench.errors import ModelError
from hearbench.validate import CHECKS, CheckResult, ModelFacts, Report

pytest_plugins = ["pytester"]

BAD = Path(__file__).parent / "bad_models"
REPORT = Report(
    model=ModelFacts(name="m", spec="m", python="python", hop_ms=50.0),
    quick=False,
    checks=tuple(
        CheckResult(name=name, verdict="pass", expected="good", found="good") for name in CHECKS
    ),
    seconds=1.0,
)


def verdicts(**changed: str) -> Report:
    """A report with some checks that didn't pass."""
    names = {name.replace("_", "-"): verdict for name, verdict in changed.items()}
    checks = tuple(
        check.model_copy(
            update={
                "verdict": names[check.name],
                "expected": f"what {check.name} wants",
                "found": f"what {check.name} finds",
                "remedy": f"how {check.name} is mended",
            }
        )
        if check.name in names
        else check
        for check in REPORT.checks
    )
    assert [check.verdict for check in checks].count("pass") == len(checks) - len(names)
    return REPORT.model_copy(update={"checks": checks})


class Validator:
    """Stands in for the validator, and counts."""

    def __init__(self, says: Report | Exception) -> None:
        self.says = says
        self.calls: list[tuple[str, Any, Mapping[str, Any]]] = []

    def __call__(self, spec: str, weights: Any = None, **keywords: Any) -> Report:
        self.calls.append((spec, weights, keywords))
        if isinstance(self.says, Exception):
            raise self.says
        return self.says


@pytest.fixture
def validator(monkeypatch: pytest.MonkeyPatch) -> Validator:
    standing_in = Validator(REPORT)
    monkeypatch.setattr(hearbench.validate, "validate_model", standing_in)
    return standing_in


def run(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    # What others do at the end of a session takes longer than the session.
    left_out = ("cacheprovider", "unraisableexception", "hypothesispytest")
    without = [word for name in left_out for word in ("-p", f"no:{name}")]
    # This run's filters of warnings hold in there as well.
    return pytester.runpytest_inprocess(*without, "-W", "always", *arguments)


def test_a_test_per_check_is_collected_and_nothing_runs(
    pytester: pytest.Pytester, validator: Validator
) -> None:
    result = run(pytester, "--hear-model", "some.module", "--collect-only", "-q")
    tests = [line for line in result.outlines if "::" in line]
    assert tests == [f"hear::{name}" for name in CHECKS]
    assert validator.calls == []
    assert result.ret == 0


def test_all_checks_of_a_run_are_one_validation(
    pytester: pytest.Pytester, validator: Validator
) -> None:
    weights = pytester.mkdir("weights")
    result = run(
        pytester,
        *("--hear-model", "some.module", "--hear-weights", str(weights), "--hear-quick"),
        *("--hear-option", "hop_ms=25", "--hear-option", "mode=a=b"),
    )
    result.assert_outcomes(passed=len(CHECKS))
    keywords = {"quick": True, "only": CHECKS, "hop_ms": "25", "mode": "a=b"}
    assert validator.calls == [("some.module", str(weights), keywords)]


def test_errors_fail_with_the_remedy_warnings_warn_and_the_rest_is_skipped(
    pytester: pytest.Pytester, validator: Validator
) -> None:
    validator.says = verdicts(
        timestamp_unit="error", timestamp_hop="warning", timestamp_drift="skipped"
    )
    result = run(pytester, "--hear-model", "some.module", "-rs")
    result.assert_outcomes(passed=len(CHECKS) - 2, failed=1, skipped=1, warnings=1)
    result.stdout.fnmatch_lines(
        [
            "*hear::timestamp-unit*",
            "found: what timestamp-unit finds",
            "expected: what timestamp-unit wants",
            "remedy: how timestamp-unit is mended",
        ],
        consecutive=True,
    )
    result.stdout.fnmatch_lines(["*HearWarning: found: what timestamp-hop finds"])
    result.stdout.fnmatch_lines(["SKIPPED*what timestamp-drift finds"])
    result.stdout.no_fnmatch_line("*Traceback*")
    assert result.ret == pytest.ExitCode.TESTS_FAILED


def test_options_are_not_those_of_the_validator() -> None:
    parameters = inspect.signature(hearbench.validate.validate_model).parameters.values()
    named = {item.name for item in parameters if item.kind is not item.VAR_KEYWORD}
    assert named == hearbench.pytest_plugin._RESERVED


def test_warnings_can_be_made_errors(pytester: pytest.Pytester, validator: Validator) -> None:
    validator.says = verdicts(timestamp_hop="warning")
    result = run(pytester, "--hear-model", "m", "-W", "error::hearbench.pytest_plugin.HearWarning")
    result.assert_outcomes(passed=len(CHECKS) - 1, failed=1)


def test_what_could_not_run_is_said_once(pytester: pytest.Pytester, validator: Validator) -> None:
    validator.says = ModelError("There is no module named 'some' here.")
    result = run(pytester, "--hear-model", "some.module")
    result.assert_outcomes(failed=1, skipped=len(CHECKS) - 1)
    result.stdout.fnmatch_lines(["the validation could not run: There is no module named 'some'*"])
    assert len(validator.calls) == 1


def test_the_ini_file_names_a_model_from_where_it_is(
    pytester: pytest.Pytester, validator: Validator, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makeini(
        """
        [pytest]
        hear_model = src/mine.py
        hear_weights = weights.pt
        hear_quick = true
        hear_options =
            hop_ms = 25
            mode=all
        """
    )
    pytester.mkdir("src").joinpath("mine.py").touch()
    pytester.path.joinpath("weights.pt").touch()
    pytester.makepyfile(test_own="def test_own(): pass")
    below = pytester.mkdir("below")
    monkeypatch.chdir(below)
    run(pytester, "--rootdir", "..", "-c", "../tox.ini").assert_outcomes(passed=len(CHECKS))
    root = pytester.path
    options = {"hop_ms": "25", "mode": "all"}
    assert validator.calls == [
        (
            str(root / "src" / "mine.py"),
            str(root / "weights.pt"),
            {"quick": True, "only": CHECKS, **options},
        )
    ]


def test_the_ini_file_leaves_runs_of_certain_files_alone(
    pytester: pytest.Pytester, validator: Validator
) -> None:
    pytester.makeini("[pytest]\nhear_model = some.module\n")
    pytester.makepyfile(test_own="def test_own(): pass")
    run(pytester).assert_outcomes(passed=1 + len(CHECKS))
    assert len(validator.calls) == 1
    run(pytester, "test_own.py").assert_outcomes(passed=1)
    run(pytester, "-k", "timestamp-unit").assert_outcomes(passed=1, deselected=len(CHECKS))
    assert validator.calls[-1][2]["only"] == ("timestamp-unit",)
    run(pytester, "-k", "test_own").assert_outcomes(passed=1, deselected=len(CHECKS))
    assert len(validator.calls) == 2
    both = run(pytester, "test_own.py", "--hear-model", "other")
    both.assert_outcomes(passed=1 + len(CHECKS))
    assert validator.calls[-1][0] == "other"


def test_without_a_model_nothing_is_collected_or_imported(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        test_own="""
        import sys

        def test_own():
            assert "hearbench.pytest_plugin" in sys.modules
            heavy = {"hearbench.validate", "numpy", "pydantic", "torch"}
            assert not heavy & set(sys.modules)
        """
    )
    pytester.runpytest_subprocess().assert_outcomes(passed=1)


def test_the_report_is_there_for_tests_of_ones_own(
    pytester: pytest.Pytester, validator: Validator
) -> None:
    pytester.makepyfile(
        """
        def test_hop(hear_report):
            assert hear_report.model.hop_ms == 50.0
            assert hear_report.check("timestamp-unit").verdict == "pass"
        """
    )
    run(pytester, "--hear-model", "m").assert_outcomes(passed=1 + len(CHECKS))
    assert len(validator.calls) == 1
    # A report is a whole one, whatever was deselected.
    run(pytester, "--hear-model", "m", "-k", "test_hop or timestamp-unit")
    assert [call[2]["only"] for call in validator.calls] == [None, None]
    without = run(pytester)
    without.assert_outcomes(errors=1)
    without.stdout.fnmatch_lines(["*hear_report needs a model*"])


def test_an_option_without_a_value_is_refused(
    pytester: pytest.Pytester, validator: Validator
) -> None:
    result = run(pytester, "--hear-model", "m", "--hear-option", "hop_ms")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*KEY=VALUE, not 'hop_ms'"])
    taken = run(pytester, "--hear-model", "m", "--hear-option", "quick=1")
    taken.stderr.fnmatch_lines(["*'quick' can't be handed to a model"])


@pytest.mark.usefixtures("quick_python")
def test_a_good_model_passes(pytester: pytest.Pytester) -> None:
    spec = BAD / "base.py"
    result = pytester.runpytest_subprocess(
        f"--hear-model={spec}", "-k", "timestamp", "--hear-quick"
    )
    names = [name for name in CHECKS if name.startswith("timestamp-")]
    # Drift needs 20 minutes of audio.
    result.assert_outcomes(passed=len(names) - 1, skipped=1, deselected=len(CHECKS) - len(names))
    assert result.ret == 0


@pytest.mark.usefixtures("quick_python")
def test_a_bad_model_fails_in_the_check_of_its_fault(pytester: pytest.Pytester) -> None:
    spec = BAD / "timestamps_in_seconds.py"
    result = pytester.runpytest_subprocess(f"--hear-model={spec}", "-ktimestamp", "-rf")
    failed = [line for line in result.outlines if line.startswith("FAILED")]
    assert [line.partition("::")[2].split(" ")[0] for line in failed] == ["timestamp-unit"]
    result.stdout.fnmatch_lines(["*hear::timestamp-unit*", "found: *", "expected: *", "remedy: *"])
    assert result.ret == pytest.ExitCode.TESTS_FAILED


def test_loading_the_plug_in_costs_little() -> None:
    code = (
        "import sys, pytest\n"
        "before = set(sys.modules)\n"
        "import hearbench.pytest_plugin\n"
        "print(*sorted(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["hearbench", "hearbench._version", "hearbench.pytest_plugin"]
