"""Writes docs/reference/cli.md, the help of all verbs, from the definitions of the command line.

``--check`` writes nothing, and ends with exit code 1 if the page isn't what would be written.
"""

from __future__ import annotations

import enum
import inspect
import sys
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pages
from typer.models import ArgumentInfo, OptionInfo, ParameterInfo

from hearbench.cli.app import VERBS

__all__ = ["PAGE", "page"]

PAGE = Path(__file__).resolve().parents[1] / "docs/reference/cli.md"

_HEAD = """\
# Commands

All that `hearbench --help` and the help of each verb say, on one page. `hearbench --version` shows
the version. Exit codes are 0 done, 1 a check failed, 2 bad input, 130 interrupted (the same
command goes on). Options that are repeatable are given once for each value.
"""


def page() -> str:
    """The whole page, as it has to be on disk."""
    verbs = list(_verbs())
    index = [f"- [`{name}`](#{_anchor(name)}): {_first_line(verb)}" for name, verb in verbs]
    parts = [_HEAD, "\n".join(index) + "\n", *(_section(name, verb) for name, verb in verbs)]
    return "\n".join(parts)


def _verbs() -> Iterator[tuple[str, Callable[..., Any]]]:
    """Every verb by all of its words, in the order of the help."""
    for words, verb in VERBS.items():
        command = verb.load()
        yield f"hearbench {words}", command.callback
        for word, below in getattr(command, "commands", {}).items():
            yield f"hearbench {words} {word}", below.callback


def _anchor(name: str) -> str:
    return name.replace(" ", "-")


def _first_line(verb: Callable[..., Any]) -> str:
    return (inspect.getdoc(verb) or "").partition("\n\n")[0].replace("\n", " ")


def _section(name: str, verb: Callable[..., Any]) -> str:
    text, _, examples = (inspect.getdoc(verb) or "").partition("\n\n\b\n")
    parameters = list(_parameters(verb))
    arguments = [row for row in parameters if isinstance(row[1], ArgumentInfo)]
    options = [row for row in parameters if isinstance(row[1], OptionInfo)]
    usage = " ".join(
        [name, *(_argument(*row) for row in arguments), *(["[OPTIONS]"] if options else [])]
    )
    lines = [f"## {name}", "", f"```\n{usage}\n```", "", text.strip(), ""]
    if examples:
        commands = inspect.cleandoc(examples.partition("\n")[2])
        lines += [f"```\n{commands}\n```", ""]
    for title, rows in (("argument", arguments), ("option", options)):
        if rows:
            lines += [f"| {title} | |", "| --- | --- |"]
            lines += [f"| {_names(*row)} | {_meaning(*row)} |" for row in rows]
            lines.append("")
    return "\n".join(lines)


def _parameters(verb: Callable[..., Any]) -> Iterator[tuple[str, ParameterInfo, Any, Any]]:
    """Name, typer's description, type and default of what a verb takes."""
    hints = typing.get_type_hints(verb, include_extras=True)
    for name, parameter in inspect.signature(verb).parameters.items():
        for extra in getattr(hints[name], "__metadata__", ()):
            if isinstance(extra, ParameterInfo):
                yield name, extra, typing.get_args(hints[name])[0], parameter.default


def _argument(name: str, info: ParameterInfo, _kind: Any, default: Any) -> str:
    shown = info.metavar or name.upper()
    return shown if default is inspect.Parameter.empty else f"[{shown}]"


def _names(name: str, info: ParameterInfo, kind: Any, _default: Any) -> str:
    if isinstance(info, ArgumentInfo):
        return _code(info.metavar or name.upper())
    # Typer takes what is written first for the default, also where it is a name.
    declared = [info.default] if isinstance(info.default, str) else []
    names = ", ".join([*declared, *(info.param_decls or [])] or [f"--{name.replace('_', '-')}"])
    value = info.metavar or _value(kind)
    return _code(f"{names} {value}".strip())


def _value(kind: Any) -> str:
    """What stands for the value where no name was given to it; nothing for a switch."""
    kinds = [kind, *typing.get_args(kind)]
    if bool in kinds:
        return ""
    for name, shown in ((Path, "PATH"), (int, "N"), (float, "X")):
        if name in kinds:
            return shown
    return "TEXT"


def _meaning(_name: str, info: ParameterInfo, _kind: Any, default: Any) -> str:
    said = (info.help or "").replace("|", r"\|").replace("\n", " ")
    facts = []
    if isinstance(info, OptionInfo) and default is inspect.Parameter.empty:
        facts.append("Required.")
    elif info.show_default and default not in (None, False, inspect.Parameter.empty):
        shown = default.value if isinstance(default, enum.Enum) else default
        facts.append(f"Default: {_code(str(shown))}.")
    if info.min is not None and info.max is not None:
        facts.append(f"{info.min} to {info.max}.")
    elif info.min is not None:
        facts.append(f"At least {info.min}.")
    return " ".join([said, *facts])


def _code(text: str) -> str:
    return "`" + text.replace("|", r"\|") + "`"


def main() -> int:
    """Writes the page, or says whether it is up to date."""
    return pages.run(__file__, PAGE, lambda _: page(), __doc__ or "")


if __name__ == "__main__":
    sys.exit(main())
