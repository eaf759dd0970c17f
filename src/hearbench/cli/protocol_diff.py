"""``hearbench protocol diff``: in what two protocols differ, or those of two results."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from hearbench.cli import options as o
from hearbench.cli.render import show
from hearbench.cli.running import answers_only, verb
from hearbench.cli.terminal import answer_json

if TYPE_CHECKING:
    from hearbench.results.conditions import Conditions

__all__ = ["diff"]

_DIFFERENT = 1
_NAMED = "Name of a protocol, or folder or file of results."


@verb(
    "hearbench protocol diff hear2021 fast",
    "hearbench protocol diff hear2021 results/my_model/esc50-v2.0.0-full",
    "hearbench protocol diff results/my_model results-of-others/their_model --json",
)
def diff(
    a: Annotated[str, typer.Argument(metavar="A", help=_NAMED, show_default=False)],
    b: Annotated[str, typer.Argument(metavar="B", help=_NAMED, show_default=False)],
    json: o.Json = False,
) -> None:
    """Says in what two protocols differ, or those of two results.

    Scores can be compared where nothing differs; seeds are told, and don't count.
    Exit codes: 0 nothing differs, 1 something does.
    """
    from hearbench.results.conditions import diff_protocols, find_conditions

    with answers_only():
        first, second = find_conditions(a), find_conditions(b)
        differences = diff_protocols(first, second)
    if json:
        answer_json(
            {
                "same": not differences,
                "a": _as_json(a, first),
                "b": _as_json(b, second),
                "differences": differences,
            }
        )
    else:
        show(f"A: {first.words()} ({first.fingerprint})")
        show(f"B: {second.words()} ({second.fingerprint})", "")
        show(*(differences or ["Nothing differs: their scores of a task can be compared."]))
    if differences:
        raise typer.Exit(_DIFFERENT)


def _as_json(named: str, found: Conditions) -> dict[str, object]:
    return {
        "named": named,
        "fingerprint": found.fingerprint,
        "words": found.words(),
        "seeds": list(found.seeds),
    }
