"""``hearkit demo``: from nothing to a table of scores, offline."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hearkit.cli import options as o
from hearkit.cli.evaluate import finish
from hearkit.cli.evaluation import evaluate_tasks
from hearkit.cli.running import answers_only, verb
from hearkit.cli.terminal import Reporter, say

__all__ = ["demo"]

_MODEL = "hearkit.models.naive"
_STARTER = "my_model.py"


@verb(
    "hearkit demo --out demo-out",
)
def demo(
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Folder that takes all of it.")
    ] = Path("demo-out"),
    device: o.Device = None,
    cache: Annotated[
        Path | None,
        typer.Option("--cache", metavar="DIR", help="By default DIR/cache.", show_default=False),
    ] = None,
    workers: o.Workers = None,
    json: o.Json = False,
) -> None:
    """Evaluates a baseline on three small synthesised tasks, offline.

    Everything goes into one folder; a second run only shows the table again.
    """
    with answers_only():
        from hearkit.demo import (
            DEMO_GRID_POINTS,
            DEMO_PROTOCOL,
            make_demo_tasks,
            write_starter_model,
        )

        settings = o.settings_of(out / "cache" if cache is None else cache, device, workers)
        reporter = Reporter()
        with reporter.files("synthesising three small tasks") as progress:
            tasks = make_demo_tasks(out, settings=settings, progress=progress)
        plan = o.plan_of(DEMO_PROTOCOL, 42, "auto", None, DEMO_GRID_POINTS, settings)
        model = o.get_model(_MODEL, None, None, settings)
        evaluated = evaluate_tasks(
            model,
            tasks,
            out / "results",
            plan,
            "float32",
            settings,
            reporter,
            overwrite=True,  # the demo of another version left its own here
        )
        write_starter_model(out / _STARTER)
    finish(evaluated, as_json=json)
    if not json:
        say(_next_steps(out, tasks[0], DEMO_PROTOCOL, DEMO_GRID_POINTS))


def _next_steps(out: Path, task: Path, protocol: str, points: int) -> str:
    return f"""\
These are the first {points} grid points of the protocol '{protocol}', at most 50 epochs each.
Published scores are made by 'hear2021', which is what `hearkit evaluate` takes unless told
otherwise.

Next, a model of your own. {out / _STARTER} is a complete one to start from:

  hearkit evaluate {out / _STARTER} --task {task} \\
      --protocol {protocol} --grid-points {points} --out {out / "results"}

and a task of your own, from a CSV file with the columns path and label:

  hearkit prepare --from-csv clips.csv --audio recordings --name mine --out {out}

`hearkit list` shows what there is, and `hearkit VERB --help` an example of every verb."""
