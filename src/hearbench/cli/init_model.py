"""``hearbench init-model``: the skeleton of a model's package."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hearbench.cli.running import verb
from hearbench.cli.terminal import answer_line

__all__ = ["init_model"]


@verb("hearbench init-model my-model", "hearbench init-model my-model --out models/my-model")
def init_model(
    name: Annotated[
        str, typer.Argument(help="Name of the project, as my-model.", show_default=False)
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="DIR",
            help="Folder that takes it; by default ./NAME.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Writes the skeleton of a model's package, which works as it is.

    It has a module with the HEAR API, a pyproject.toml, tests that include hearbench's checks, and
    the card of a submission.
    """
    from hearbench.leaderboard.skeleton import write_skeleton

    folder = Path(name) if out is None else out
    for path in write_skeleton(name, folder):
        answer_line(path)
    module = f"{name.replace('-', '_')}.hear"
    answer_line(f"\nNext: python -m pip install -e {folder}, then hearbench validate {module}")
