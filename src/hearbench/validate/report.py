"""The report of a validation: a verdict per check, and facts about the model.

The JSON form is that of these classes; ``format_version`` tells of changes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import Field, computed_field

from hearbench.records import Record

__all__ = [
    "CheckResult",
    "Finding",
    "ModelFacts",
    "Report",
    "Verdict",
    "error",
    "passed",
    "skipped",
    "warning",
]

Verdict = Literal["pass", "warning", "error", "skipped"]


class CheckResult(Record):
    """The result of one check.

    Attributes:
        name: Name of the check.
        verdict: ``error`` where scores would be wrong or missing, ``warning`` for what may
            matter, ``skipped`` for what couldn't be told.
        expected: What a correct model does.
        found: What this model does, or why the check was skipped.
        remedy: How to mend it; empty where nothing is to be mended.
        seconds: Wall-clock time.
    """

    name: str
    verdict: Verdict
    expected: str
    found: str
    remedy: str = ""
    seconds: float = 0.0


class ModelFacts(Record):
    """Facts that the validation learned of the model; None for what it didn't get to.

    Attributes:
        name: Short, fit for a folder.
        spec: As the user gave it.
        weights: The file or folder that was handed to it.
        options: Keyword options that were handed to its ``load_model``.
        python: The interpreter's program.
        kind: Class of what ``load_model`` returned.
        device: Device that audio was put on.
        sample_rate: Sample rate in Hz.
        scene_embedding_size: Dimensions of a scene embedding, as the model says.
        timestamp_embedding_size: Dimensions of a timestamp embedding, as the model says.
        hop_ms: Mean time between its timestamps, in ms.
        load_s: Time that ``load_model`` took, in s.
        peak_memory_mb: Most memory with 20 minutes of audio, in MiB.
        peak_memory_of: ``GPU`` or ``process``: which memory that is.
        versions: Of Python and of the libraries that it loaded.
    """

    name: str
    spec: str
    weights: str | None = None
    options: dict[str, str | int | float | bool] = Field(default_factory=dict)
    python: str
    kind: str | None = None
    device: str | None = None
    sample_rate: int | None = None
    scene_embedding_size: int | None = None
    timestamp_embedding_size: int | None = None
    hop_ms: float | None = None
    load_s: float | None = None
    peak_memory_mb: float | None = None
    peak_memory_of: Literal["GPU", "process"] | None = None
    versions: dict[str, str] = Field(default_factory=dict)


class Report(Record):
    """All checks of one model.

    Attributes:
        format_version: Version of this format.
        model: Facts about the model.
        quick: Whether checks that need 20 minutes of audio were left out.
        checks: The checks, in the order in which they ran.
        complete: Whether nothing stopped the validation.
        seconds: Wall-clock time.
    """

    format_version: Literal[1] = 1
    model: ModelFacts
    quick: bool
    checks: tuple[CheckResult, ...]
    complete: bool = True
    seconds: float

    @computed_field  # type: ignore[prop-decorator]
    @property
    def valid(self) -> bool:
        """Whether no check found an error, as far as all have run."""
        return self.complete and not self.errors

    @property
    def errors(self) -> tuple[CheckResult, ...]:
        """The checks that found an error."""
        return tuple(check for check in self.checks if check.verdict == "error")

    @property
    def warnings(self) -> tuple[CheckResult, ...]:
        """The checks that warn."""
        return tuple(check for check in self.checks if check.verdict == "warning")

    def check(self, name: str) -> CheckResult:
        """A check by its name.

        Raises:
            KeyError: It wasn't asked for, or there is none of that name.
        """
        for check in self.checks:
            if check.name == name:
                return check
        raise KeyError(name)


@dataclass(frozen=True)
class Finding:
    """The result of a check without its name; see :class:`CheckResult`.

    Attributes:
        blocks: Whether checks that need this one can't run.
    """

    verdict: Verdict
    expected: str
    found: str
    remedy: str = ""
    blocks: bool = False


def passed(expected: str, found: str) -> Finding:
    """Makes the finding of a check with nothing wrong."""
    return Finding("pass", expected, found)


def warning(expected: str, found: str, remedy: str) -> Finding:
    """Makes the finding of a check with something that may matter."""
    return Finding("warning", expected, found, remedy)


def error(expected: str, found: str, remedy: str, *, blocks: bool = True) -> Finding:
    """Makes the finding of a check with an error, which blocks further checks by default."""
    return Finding("error", expected, found, remedy, blocks)


def skipped(expected: str, why: str, *, blocks: bool = False) -> Finding:
    """Makes the finding of a check that couldn't tell."""
    return Finding("skipped", expected, why, "", blocks)
