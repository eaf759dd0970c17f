"""Where a model runs: options of the verbs that run one, and what is read from them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hearbench.workspace import Workspace, user_path

if TYPE_CHECKING:
    from hearbench.models.loaded import Interpreter

__all__ = [
    "Env",
    "HostOptions",
    "ModelMemory",
    "Python",
    "Readable",
    "Sandbox",
    "TimeoutS",
    "interpreter_of",
]

Python = Annotated[
    str | None,
    typer.Option(
        "--python",
        metavar="P",
        help="Run the model in another interpreter, as venv/bin/python; with --env also a version.",
    ),
]
Env = Annotated[
    str | None,
    typer.Option(
        "--env",
        metavar="SPEC",
        help="Run the model in an environment made for it: from a source tree, or a requirement "
        "of pip.",
    ),
]
Sandbox = Annotated[
    bool,
    typer.Option(
        "--sandbox", help="Run the model without a network and with only the files it needs."
    ),
]
TimeoutS = Annotated[
    float | None,
    typer.Option(
        "--timeout",
        metavar="S",
        min=1,
        help="Seconds that a model in a process of its own may take for one call; 1800 by default.",
    ),
]
ModelMemory = Annotated[
    float | None,
    typer.Option(
        "--model-memory",
        metavar="GB",
        min=0.1,
        help="Memory in GiB that a model in a process of its own may allocate.",
    ),
]
Readable = Annotated[
    list[Path] | None,
    typer.Option(
        "--readable", metavar="PATH", help="Path that the sandbox lets the model read. Repeatable."
    ),
]


@dataclass(frozen=True)
class HostOptions:
    """The process in which a model runs."""

    python: Python = None
    env: Env = None
    sandbox: Sandbox = False
    timeout: TimeoutS = None
    model_memory: ModelMemory = None
    readable: Readable = None

    def interpreter(
        self, models: Sequence[str], tasks: Sequence[str], workspace: Workspace
    ) -> Interpreter | None:
        """The other Python that the options describe; None if they ask for none.

        Args:
            models: The models that an environment is made for, as they were named.
            tasks: Tasks that the models must not read, as they were named.
            workspace: Takes the environment.

        Raises:
            ModelError: The environment can't be made.
        """
        return interpreter_of(
            self.python,
            self.env,
            self.sandbox,
            self.timeout,
            self.model_memory,
            self.readable,
            tasks,
            workspace,
            models,
        )


def interpreter_of(
    python: str | None,
    env: str | None,
    sandbox: bool,
    timeout_s: float | None,
    memory_gb: float | None,
    readable: Sequence[Path] | None,
    tasks: Sequence[str],
    workspace: Workspace,
    models: Sequence[str] = (),
) -> Interpreter | None:
    """The other Python that the options describe; None if they ask for none.

    An environment that is made serves ``models``, as they were named.

    Raises:
        ModelError: The environment can't be made.
    """
    from hearbench.models.loaded import Interpreter

    more = [user_path(path).absolute() for path in readable or ()]
    if env is not None:
        from hearbench.models.editable import import_name
        from hearbench.models.environments import make_environment, what_is_at

        place = make_environment(
            env,
            workspace=workspace,
            python=python,
            modules=[name for spec in models if (name := import_name(spec))],
        )
        made = what_is_at(place.parents[1])
        if made is not None and made.editable is not None:
            workspace.progress.line(
                f"{env} is installed for editing, and its code read from {made.editable}: an "
                f"installed copy lacks {_few(made.lacked)}."
            )
            more.append(made.editable)
    elif python is not None:
        place = _program(python)
    elif sandbox or timeout_s or memory_gb or readable:
        place = Path(sys.executable)
    else:
        return None
    return Interpreter(
        python=place,
        timeout_s=timeout_s or Interpreter.timeout_s,
        sandbox=sandbox,
        memory_gb=memory_gb,
        readable=tuple(more),
        hidden=tuple(path.resolve() for path in map(user_path, tasks) if path.exists()),
    )


def _few(items: Sequence[str]) -> str:
    rest = f" and {len(items) - 3} more" if len(items) > 3 else ""
    return ", ".join(items[:3]) + rest


def _program(python: str) -> Path:
    from hearbench.models.pythons import find_python

    path = user_path(python)
    # Not resolved: an environment's python is a link, and finds its packages by its own place.
    return path.absolute() if path.exists() else Path(find_python(python).program).absolute()
