"""``hearbench demo``: from nothing to a table of scores, offline."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hearbench.cli import options as o
from hearbench.cli.evaluate import evaluated, finish
from hearbench.cli.running import answers_only, verb
from hearbench.cli.terminal import answer_json, say

__all__ = ["demo"]

_MODEL = "hearbench.models.naive"
_STARTER = "my_model.py"


@verb(
    "hearbench demo --out demo-out",
    "hearbench demo --tasks-only",
)
def demo(
    out: Annotated[
        Path,
        typer.Option("--out", metavar="DIR", help="Folder that takes tasks, cache and results."),
    ] = Path("demo-out"),
    tasks_only: Annotated[
        bool,
        typer.Option("--tasks-only", help="Make only the tasks and a model to start from."),
    ] = False,
    device: o.Device = None,
    cache: Annotated[
        Path | None,
        typer.Option(
            "--cache",
            metavar="DIR",
            help="Folder of the cache; by default DIR/cache.",
            show_default=False,
        ),
    ] = None,
    workers: o.Workers = None,
    json: o.Json = False,
) -> None:
    """Evaluates a baseline on four small synthesised tasks, offline.

    Everything goes into one folder; a second run only shows the table again.
    """
    with answers_only():
        from hearbench.demo import (
            DEMO_EVENT_CLIP,
            DEMO_GRID_POINTS,
            DEMO_ONLY,
            DEMO_PROTOCOL,
            make_demo_tasks,
            write_starter_model,
        )

        cache = out / "cache" if cache is None else cache
        workspace = o.WorkspaceOptions(cache=cache, device=device, workers=workers).workspace()
        tasks = make_demo_tasks(out, workspace=workspace)
        write_starter_model(out / _STARTER)
    if tasks_only:
        _show_made(tasks, out / _STARTER, as_json=json)
        return
    with answers_only():
        training = o.TrainingOptions(
            protocol=DEMO_PROTOCOL, only=list(DEMO_ONLY), grid_points=DEMO_GRID_POINTS
        )
        plan = training.plan(workspace)
        results = evaluated(
            _MODEL,
            tasks,
            protocol=plan,
            out=out / "results",
            overwrite=True,  # the demo of another version left its own here
            workspace=workspace,
        )
    finish(results, as_json=json)
    if not json:
        plan_options = " ".join(
            [f"--protocol {DEMO_PROTOCOL}"]
            + [f"--only {only}" for only in DEMO_ONLY]
            + [f"--grid-points {DEMO_GRID_POINTS}"]
        )
        say(_next_steps(out, tasks, plan.protocol.name, plan_options, DEMO_EVENT_CLIP))


def _show_made(tasks: list[Path], model: Path, *, as_json: bool) -> None:
    if as_json:
        answer_json({"tasks": [str(task) for task in tasks], "model": str(model)})
        return
    for path in (*tasks, model):
        say(str(path))
    out = model.parent / "results"
    say(f"Next: hearbench evaluate {model} --task {tasks[0]} --protocol knn --out {out}")


def _next_steps(out: Path, tasks: list[Path], protocol: str, plan_options: str, clip: str) -> str:
    results = out / "results"
    return f"""\
The scores are by '{protocol}', a small part of a small protocol.
Published scores are made by 'hear2021', the default of `hearbench evaluate`.

Next, look at the events of a clip, annotated and found:

  hearbench events plot {results / _MODEL / tasks[-1].name} {clip} \\
      --out {out / "events.png"}

evaluate a model of your own, which {out / _STARTER} is a complete start for:

  hearbench evaluate {out / _STARTER} --task {tasks[0]} \\
      {plan_options} --out {results}

and make a task of your own, from a CSV file with the columns path and label:

  hearbench prepare --from-csv clips.csv --audio recordings --name mine --out {out}

`hearbench list` shows tasks, models, protocols and scores; `hearbench VERB --help` has examples."""
