"""Makes a function a verb: with options in groups, exit codes, a stdout for answers alone.

Options that several verbs share are handed to a verb as one object: a dataclass whose fields are
annotated as options, which the command line shows as options of their own, in a panel of the help:

    @dataclass(frozen=True)
    class CacheOptions:
        PANEL: ClassVar[str] = "Where it runs"
        cache: CacheDir = None
        workers: Workers = None

    @verb("hearbench count birds", options="details cache workers")
    def count(task: TaskName, cache: CacheOptions, details: Details = False) -> None:

Errors become messages instead of tracebacks.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import errno
import functools
import inspect
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, get_args, get_type_hints

import typer

from hearbench.cli.terminal import say
from hearbench.errors import HearError

__all__ = ["BAD_INPUT", "INTERRUPTED", "answers_only", "expand_groups", "interrupted", "verb"]

# Exit codes: what the user can mend; 128 and the number of SIGINT.
BAD_INPUT = 2
INTERRUPTED = 130


def verb(*examples: str, options: str = "") -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Turns the errors of a verb into messages and exit codes, and adds examples to its help.

    Args:
        *examples: Commands that the help shows.
        options: Names of options in the order of the help; see `expand_groups`.
    """

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        wrapped = _ending(expand_groups(function, options))
        title = "Example:" if len(examples) == 1 else "Examples:"
        lines = "\n".join(f"  {line}" for example in examples for line in example.split("\n"))
        # The control character keeps a paragraph's lines as they are.
        wrapped.__doc__ = f"{inspect.getdoc(function)}\n\n\b\n{title}\n{lines}"
        return wrapped

    return decorate


def _ending(function: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(function)
    def wrapped(**kwargs: Any) -> None:
        try:
            function(**kwargs)
        except HearError as error:
            say(f"error: {error}")
            raise typer.Exit(error.exit_code) from error
        except KeyboardInterrupt as error:
            interrupted()
            raise typer.Exit(INTERRUPTED) from error
        except OSError as error:
            described = _described(error, kwargs)
            if described is None:
                raise
            say(f"error: {described.filename}: {described.strerror}.")
            raise typer.Exit(BAD_INPUT) from error

    return wrapped


def _described(error: OSError, options: Mapping[str, object]) -> OSError | None:
    """An error of the user's system in words for the user; None where a bug may be the cause."""
    from hearbench.files import DiskError, disk_error, system_error
    from hearbench.workspace import Workspace, user_path

    if isinstance(error, DiskError):
        return error
    cache = options.get("cache")
    cache = cache if isinstance(cache, Path) else None
    ours = [Workspace.from_environment(cache_dir=cache).cache_dir]
    if isinstance(out := options.get("out"), Path):
        ours.append(user_path(out).resolve())
    if error.errno == errno.ENOENT and error.filename:
        # A file that was there when it was looked for, in a folder that only hearbench should
        # change.
        place = Path(os.fsdecode(error.filename))
        return disk_error(error, place) if any(map(place.is_relative_to, ours)) else None
    return system_error(error)


def interrupted() -> None:
    """Says how to resume."""
    say("Interrupted. Run the same command again to resume.")


@contextlib.contextmanager
def answers_only() -> Iterator[None]:
    """Sends to stderr what models and libraries print, so that stdout holds the answer alone."""
    stdout = sys.__stdout__
    if stdout is None or sys.stdout is not stdout:  # a test's or a notebook's
        with contextlib.redirect_stdout(sys.stderr):
            yield
        return
    # On the level of the file, where libraries written in C print to.
    stdout.flush()
    target = stdout.fileno()
    saved = os.dup(target)
    try:
        os.dup2(sys.stderr.fileno(), target)
        yield
    finally:
        stdout.flush()
        os.dup2(saved, target)
        os.close(saved)


def expand_groups(function: Callable[..., None], order: str = "") -> Callable[..., None]:
    """Makes a function that takes the fields of groups as keywords of their own.

    The default of an option is that of its field, or what the parameter's own default, an
    instance of the group, says. A field without a default is an option that must be given.

    Args:
        function: A verb. Each of its parameters is an option, an argument or a group.
        order: Names of options in the order in which the help shows them, behind what it doesn't
            name. A group's fields that it doesn't name are no options of this verb and keep
            their defaults. Empty where all are, group by group.

    Raises:
        TypeError: ``order`` names something that there isn't, or two options have one name.
    """
    hints = get_type_hints(function, include_extras=True)
    makers: dict[str, tuple[Callable[..., Any], set[str]]] = {}
    singles: list[str] = []
    options: dict[str, inspect.Parameter] = {}
    for name, parameter in inspect.signature(function).parameters.items():
        group, preset = hints[name], parameter.default
        if not dataclasses.is_dataclass(group):
            singles.append(name)
            options[name] = parameter.replace(annotation=group, kind=_KEYWORD)
            continue
        defaults = {field.name: field.default for field in dataclasses.fields(group)}
        makers[name] = hints[name], set(defaults)
        if preset is not parameter.empty:
            defaults = vars(preset)
            makers[name] = functools.partial(dataclasses.replace, preset), set(defaults)
        kinds = get_type_hints(group, include_extras=True)
        panels = _panels(group)
        for option, default in defaults.items():
            if option in options:
                raise TypeError(f"{function.__qualname__} has two options named {option!r}.")
            if default is dataclasses.MISSING:
                default = parameter.empty
            options[option] = inspect.Parameter(
                option, _KEYWORD, default=default, annotation=_in(panels[option], kinds[option])
            )
    if order:
        wanted = order.split()
        if unknown := [name for name in wanted if name not in options]:
            raise TypeError(f"{function.__qualname__} has no option {unknown[0]!r}.")
        options = {
            name: options[name]
            for name in [*(name for name in singles if name not in wanted), *wanted]
        }

    @functools.wraps(function)
    def expanded(**given: Any) -> None:
        groups = {
            name: make(**{option: given.pop(option) for option in fields & given.keys()})
            for name, (make, fields) in makers.items()
        }
        function(**given, **groups)

    expanded.__signature__ = inspect.Signature(list(options.values()))  # type: ignore[attr-defined]
    expanded.__annotations__ = {name: option.annotation for name, option in options.items()}
    return expanded


def _panels(group: Any) -> dict[str, str | None]:
    """The panel of each field: that of the class which declares it."""
    declared = reversed([base for base in group.__mro__ if dataclasses.is_dataclass(base)])
    return {
        name: vars(base).get("PANEL")
        for base in declared
        for name in vars(base).get("__annotations__", {})
    }


def _in(panel: str | None, kind: Any) -> Any:
    """An option's annotation with its panel, unless it names one itself."""
    base, *infos = get_args(kind)
    found = [
        copy.copy(info)
        if isinstance(info, typer.models.OptionInfo) and info.rich_help_panel is None
        else info
        for info in infos
    ]
    for old, info in zip(infos, found, strict=True):
        if info is not old:
            info.rich_help_panel = panel
    return functools.reduce(lambda whole, info: Annotated[whole, info], found, base)


_KEYWORD = inspect.Parameter.KEYWORD_ONLY
