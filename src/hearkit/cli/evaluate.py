"""``hearkit evaluate``: a model on tasks, from audio to scores."""

from __future__ import annotations

from hearkit.cli import options as o
from hearkit.cli.evaluation import Evaluated, evaluate_tasks
from hearkit.cli.running import BAD_INPUT, answers_only, verb
from hearkit.cli.tables import show_results
from hearkit.cli.terminal import Reporter, answer_json, say

__all__ = ["evaluate", "finish"]


@verb(
    "hearkit evaluate hearkit.models.naive --task demo-out/tasks/notes-1.0.0-demo --out results",
    "hearkit evaluate my_model.py --weights epoch9.pt --task a --task b --out results --json",
)
def evaluate(
    model: o.ModelSpec,
    task: o.Tasks,
    out: o.Out,
    weights: o.Weights = None,
    option: o.ModelOptions = None,
    protocol: o.ProtocolName = "hear2021",
    seed: o.Seed = 42,
    device: o.Device = None,
    name: o.Name = None,
    overwrite: o.Overwrite = False,
    only: o.Only = None,
    grid_points: o.GridPoints = None,
    precision: o.Precision = "auto",
    dtype: o.DtypeName = "float32",
    cache: o.CacheDir = None,
    workers: o.Workers = None,
    max_memory: o.MaxMemory = None,
    json: o.Json = False,
) -> None:
    """Evaluates a model on tasks: embeddings, probes, scores.

    Writes OUT/MODEL/TASK/result.json and test.predicted-scores.json. Whatever stops it, the
    same command goes on from there; a task that fails doesn't keep the others from theirs.
    """
    with answers_only():
        settings = o.settings_of(cache, device, workers, max_memory)
        plan = o.plan_of(protocol, seed, precision, only, grid_points, settings)
        stored_as = o.checked_dtype(dtype)
        o.make_folder(out, "the results", "Choose another --out.")
        loaded = o.get_model(model, weights, option, settings)
        evaluated = evaluate_tasks(
            loaded,
            task,
            out,
            plan,
            stored_as,
            settings,
            Reporter(),
            name=name,
            overwrite=overwrite,
        )
    finish(evaluated, as_json=json)


def finish(evaluated: Evaluated, *, as_json: bool) -> None:
    """Gives the answer, and ends with code 2 if a task failed."""
    import typer

    if as_json:
        answer_json(evaluated.as_json())
    elif evaluated.results:
        show_results(evaluated.results)
    if evaluated.failed:
        total = len(evaluated.failed) + len(evaluated.results)
        if total > 1:
            names = ", ".join(task for task, _ in evaluated.failed)
            say(f"{len(evaluated.failed)} of {total} tasks failed: {names}. See the errors above.")
        raise typer.Exit(BAD_INPUT)
