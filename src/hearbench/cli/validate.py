"""``hearbench validate``: whether a model follows the HEAR API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from hearbench.amounts import duration
from hearbench.cli import options as o
from hearbench.cli.render import show
from hearbench.cli.running import INTERRUPTED, answers_only, verb
from hearbench.cli.terminal import answer_json, say
from hearbench.errors import ModelError
from hearbench.table import Column, Styled, Table

if TYPE_CHECKING:
    from rich.text import Text

    from hearbench.validate import CheckResult, Report

__all__ = ["validate"]

_INVALID = 1
_STYLES = {"pass": "green", "warning": "yellow", "error": "bold red"}
_RESERVED = ("quick", "only", "skip", "stopped")


@verb(
    "hearbench validate my_model.py --weights epoch9.pt",
    "hearbench validate my_package.hear --quick --json",
    "hearbench validate my_model.py --only timestamp-centres --only timestamp-drift",
    options="weights option model_dtype python env sandbox timeout model_memory readable "
    "trust_code quick only skip device cache json",
)
def validate(
    model: o.ModelSpec,
    choice: o.HostedModelOptions,
    place: o.WorkspaceOptions,
    quick: Annotated[
        bool, typer.Option("--quick", help="Leave out the checks on 20 minutes of audio.")
    ] = False,
    only: Annotated[
        list[str] | None,
        typer.Option(
            "--only", metavar="CHECK", help="Run this check and those it needs. Repeatable."
        ),
    ] = None,
    skip: Annotated[
        list[str] | None,
        typer.Option("--skip", metavar="CHECK", help="Leave this check out. Repeatable."),
    ] = None,
    json: o.Json = False,
) -> None:
    """Checks a model: the API, its timestamps, odd audio, memory.

    The model runs in a process of its own. Exit codes: 0 valid, perhaps with warnings; 1 not
    valid; 2 it could not run, as there is no such module, file, interpreter or device; 130
    interrupted: the checks that were finished are shown. docs/validator.md describes each check.
    """
    from hearbench.validate import validate_model

    # What was found before something stopped it.
    so_far: list[Report] = []
    try:
        with answers_only():
            given = choice.keywords()
            for key in _RESERVED:
                if key in given:
                    raise ModelError(f"An option named {key!r} can't be handed to a model.")
            workspace = place.workspace()
            interpreter = choice.interpreter([model], (), workspace)
            report = validate_model(
                model,
                choice.weights,
                workspace=workspace,
                interpreter=interpreter,
                quick=quick,
                only=only,
                skip=skip,
                stopped=so_far.append,
                **given,
            )
    except BaseException as error:
        for unfinished in so_far:
            _answer(unfinished, json)
        if isinstance(error, KeyboardInterrupt):
            say("Interrupted; the model's process has been ended.")
            raise typer.Exit(INTERRUPTED) from error
        raise
    _answer(report, json)
    if not report.valid:
        raise typer.Exit(_INVALID)


def _answer(report: Report, json: bool) -> None:
    if json:
        answer_json(report.model_dump(mode="json"))
    else:
        _show(report)


def _show(report: Report) -> None:
    table = Table([Column("check"), Column("verdict"), Column("found", _details, wrap="anywhere")])
    for check in report.checks:
        if check.verdict != "skipped":
            table.add(check.name, Styled(check.verdict, _STYLES[check.verdict]), check)
    show(table)
    for reason, names in _skipped(report).items():
        show(Styled(f"skipped ({reason}): {', '.join(names)}", "dim"))
    show(_model_line(report))
    show(Styled(_summary(report), "green" if report.valid else "bold red"))


def _skipped(report: Report) -> dict[str, list[str]]:
    """The checks that were skipped, by the reason."""
    found: dict[str, list[str]] = {}
    for check in report.checks:
        if check.verdict == "skipped":
            found.setdefault(check.found, []).append(check.name)
    return found


def _details(check: CheckResult) -> Text:
    from rich.text import Text

    if check.verdict == "pass":
        return Text(check.found)
    parts = (("expected", check.expected), ("found", check.found), ("to do", check.remedy))
    text = Text()
    for label, told in parts:
        if not told:
            continue
        if text:
            text.append("\n")
        text.append(f"{label}: ", style="bold")
        # A traceback keeps its lines together.
        text.append(f"\n{told}" if "\n" in told else told)
    return text


def _model_line(report: Report) -> str:
    facts = report.model
    versions = ", ".join(f"{name} {version}" for name, version in facts.versions.items())
    parts = [
        facts.spec,
        f"{facts.sample_rate} Hz" if facts.sample_rate else "",
        f"on {facts.device}" if facts.device else "",
        versions,
    ]
    return ", ".join(part for part in parts if part)


def _summary(report: Report) -> str:
    counts = [
        f"{len(found)} {what}{'' if len(found) == 1 else 's'}"
        for found, what in ((report.errors, "error"), (report.warnings, "warning"))
        if found
    ]
    n_skipped = sum(check.verdict == "skipped" for check in report.checks)
    if n_skipped:
        counts.append(f"{n_skipped} skipped")
    more = f": {', '.join(counts)}" if counts else ""
    verdict = "valid" if report.valid else "not valid" if report.complete else "stopped"
    return f"{verdict}{more} ({duration(report.seconds)})"
