"""The validator as tests: a plug-in of pytest for the projects of models' authors.

    pytest --hear-model=my_package.hear --hear-weights=weights.pt

collects one test for each check, ``hear::timestamp-unit`` and so on. They fail, warn and are
skipped as the checks say. Nothing runs before the first of them does, and the validation runs
once, without the checks that were deselected. ``hear_model`` and the others of ``_INI`` in pytest's
own configuration do the same.

pytest loads this in every run of an environment that has hearbench, so it imports nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path

    from hearbench.validate import CheckResult, Report

__all__ = ["HearCheck", "HearCheckError", "HearModel", "HearWarning", "hear_report"]

_NODE = "hear"
# Keywords of ``validate_model`` itself.
_RESERVED = frozenset(
    {"spec", "weights", "workspace", "interpreter", "quick", "only", "skip", "stopped"}
)


class HearWarning(UserWarning):
    """What a check warns of; ``-W error::hearbench.pytest_plugin.HearWarning`` makes it fail."""


class HearCheckError(Exception):
    """A check found an error.

    Attributes:
        result: What it found.
    """

    def __init__(self, result: CheckResult) -> None:
        super().__init__(_told(result))
        self.result = result


class HearModel(pytest.Collector):
    """The model that was named; below it are the checks."""

    def collect(self) -> Iterator[HearCheck]:
        """One test for each check, without running any."""
        from hearbench.validate import CHECKS

        for name in CHECKS:
            item: HearCheck = HearCheck.from_parent(self, name=name)
            if self.config.pluginmanager.hasplugin("xdist"):
                # With --dist=loadgroup one process has them all, and validates once.
                item.add_marker(pytest.mark.xdist_group(_NODE))
            yield item


class HearCheck(pytest.Item):
    """One check of the model."""

    def runtest(self) -> None:
        """Says what the check said; the first one to be asked validates the model.

        Raises:
            HearCheckError: It failed.
        """
        validation = self.config.stash[_VALIDATION]
        if validation.told_that_it_failed:
            pytest.skip("the validation could not run; the first check says why")
        result = validation.report().check(self.name)
        if result.verdict == "skipped":
            pytest.skip(result.found)
        if result.verdict == "error":
            raise HearCheckError(result)
        if result.verdict == "warning":
            self.warn(HearWarning(_told(result)))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """The message of the check alone: the traceback would be hearbench's."""
        from hearbench.errors import HearError

        if excinfo.errisinstance((HearCheckError, HearWarning)):
            return str(excinfo.value)
        if excinfo.errisinstance(HearError):
            return f"the validation could not run: {excinfo.value}"
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int, str]:
        """The item's place for pytest: nowhere in particular."""
        return self.path, 0, self.nodeid


class _Validation:
    """The validation of the model that was named, run when somebody asks for it.

    Args:
        spec: Of the model.
        weights: To be handed to it.
        options: Keywords of its ``load_model``, as text.
        quick: Whether checks that need 20 minutes of audio are left out.

    Attributes:
        only: Names of the checks that are wanted; None for all.
        told_that_it_failed: Whether it could not run, and somebody knows.
    """

    def __init__(
        self, spec: str, weights: str | None, options: dict[str, Any], quick: bool
    ) -> None:
        self.spec = spec
        self.weights = weights
        self.options = options
        self.quick = quick
        self.only: tuple[str, ...] | None = None
        self.told_that_it_failed = False
        self._report: Report | None = None

    def report(self) -> Report:
        """The report.

        Raises:
            HearError: It could not run.
        """
        import hearbench.validate
        from hearbench.errors import HearError

        if self._report is None:
            try:
                self._report = hearbench.validate.validate_model(
                    self.spec, self.weights, quick=self.quick, only=self.only, **self.options
                )
            except HearError:
                self.told_that_it_failed = True
                raise
        return self._report


_VALIDATION = pytest.StashKey[_Validation]()


@pytest.fixture(scope="session")
def hear_report(pytestconfig: pytest.Config) -> Report:
    """The report on the model that was named, for tests of one's own.

    It has the facts (``hear_report.model.hop_ms``) and the checks
    (``hear_report.check("timestamp-unit").verdict``).
    """
    validation = pytestconfig.stash.get(_VALIDATION, None)
    if validation is None:
        pytest.fail("hear_report needs a model: give --hear-model, or hear_model in the ini file")
    return validation.report()


_INI = {
    "hear_model": ("string", "HEAR-API model to validate: its module or .py file"),
    "hear_weights": ("string", "file or folder that is handed to its load_model"),
    "hear_options": ("linelist", "options of its load_model, one KEY=VALUE a line"),
    "hear_quick": ("bool", "leave the checks out that need 20 minutes of audio"),
}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the options."""
    group = parser.getgroup("hearbench", "HEAR-API models")
    group.addoption("--hear-model", metavar="MODULE", help=_INI["hear_model"][1])
    group.addoption("--hear-weights", metavar="FILE", help=_INI["hear_weights"][1])
    group.addoption(
        "--hear-option",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="option of its load_model; may be given several times",
    )
    group.addoption("--hear-quick", action="store_true", help=_INI["hear_quick"][1])
    for name, (kind, text) in _INI.items():
        parser.addini(name, text, type=kind)  # type: ignore[arg-type]


def pytest_configure(config: pytest.Config) -> None:
    """Notes which model is to be validated, if any is."""
    named = config.getoption("--hear-model") or _from_root(config, config.getini("hear_model"))
    if not named:
        return
    weights = config.getoption("--hear-weights")
    config.stash[_VALIDATION] = _Validation(
        named,
        weights or _from_root(config, config.getini("hear_weights")) or None,
        _options([*config.getini("hear_options"), *config.getoption("--hear-option")]),
        bool(config.getoption("--hear-quick") or config.getini("hear_quick")),
    )


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Collects the checks beside the files, unless somebody wants certain files only."""
    report = yield
    if isinstance(collector, pytest.Session) and _wanted(collector.config) and report.passed:
        model: HearModel = HearModel.from_parent(collector, name=_NODE, nodeid=_NODE)
        report.result = [*report.result, model]
    return report


def pytest_collection_finish(session: pytest.Session) -> None:
    """Leaves out of the validation what no one will ask for."""
    validation = session.config.stash.get(_VALIDATION, None)
    if validation is None:
        return
    names = tuple(item.name for item in session.items if isinstance(item, HearCheck))
    whole = any("hear_report" in getattr(item, "fixturenames", ()) for item in session.items)
    validation.only = None if whole or not names else names


def _wanted(config: pytest.Config) -> bool:
    if _VALIDATION not in config.stash:
        return False
    files_named = config.args_source is pytest.Config.ArgsSource.ARGS
    return bool(config.getoption("--hear-model")) or not files_named


def _from_root(config: pytest.Config, text: str) -> str:
    """What an ini file says, with paths from where it is."""
    place = text.partition(":")[0]
    return str(config.rootpath / text) if place and (config.rootpath / place).exists() else text


def _options(pairs: list[str]) -> dict[str, str]:
    options = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        key = key.strip()
        if not (key.isidentifier() and equals):
            raise pytest.UsageError(f"an option of a HEAR model is KEY=VALUE, not {pair!r}")
        if key in _RESERVED:
            raise pytest.UsageError(f"an option named {key!r} can't be handed to a model")
        options[key] = value.strip()
    return options


def _told(result: CheckResult) -> str:
    # pytest's summary shows the first line.
    lines = [f"found: {result.found}", f"expected: {result.expected}"]
    if result.remedy:
        lines.append(f"remedy: {result.remedy}")
    return "\n".join(lines)
