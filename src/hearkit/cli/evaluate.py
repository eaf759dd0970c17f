"""``hearkit evaluate``: a model on tasks, from audio to scores."""

from __future__ import annotations

from hearkit.cli import options as o
from hearkit.cli import places
from hearkit.cli.evaluation import Evaluated, evaluate_models, evaluate_tasks
from hearkit.cli.running import BAD_INPUT, answers_only, verb
from hearkit.cli.tables import show_results
from hearkit.cli.terminal import Reporter, answer_json, say
from hearkit.errors import HearError

__all__ = ["evaluate", "finish"]


@verb(
    "hearkit evaluate hearkit.models.naive --task demo-out/tasks/notes-1.0.0-demo --out results",
    "hearkit evaluate my_model.py --weights epoch9.pt --task a --task b --out results --json",
    "hearkit evaluate old_model.hear --python old/venv/bin/python --task a --out results",
)
def evaluate(
    model: o.ModelSpecs,
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
    python: places.Python = None,
    env: places.Env = None,
    sandbox: places.Sandbox = False,
    timeout: places.TimeoutS = None,
    model_memory: places.ModelMemory = None,
    readable: places.Readable = None,
    json: o.Json = False,
) -> None:
    """Evaluates models on tasks: embeddings, probes, scores.

    Writes OUT/MODEL/TASK/result.json and test.predicted-scores.json. Whatever stops it, the
    same command goes on from there; a model or task that fails doesn't keep the others from
    theirs.
    """
    with answers_only():
        settings = o.settings_of(cache, device, workers, max_memory)
        plan = o.plan_of(protocol, seed, precision, only, grid_points, settings)
        stored_as = o.checked_dtype(dtype)
        o.make_folder(out, "the results", "Choose another --out.")
        if len(model) > 1:
            _check_for_one(weights, option, name)
        reporter = Reporter()
        interpreter = places.interpreter_of(
            python, env, sandbox, timeout, model_memory, readable, task, settings, reporter
        )
        evaluated = evaluate_models(
            model,
            lambda spec: o.get_model(spec, weights, option, settings, interpreter),
            lambda loaded: evaluate_tasks(
                loaded,
                task,
                out,
                plan,
                stored_as,
                settings,
                reporter,
                name=name,
                overwrite=overwrite,
            ),
            reporter,
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
            names, what = _shown(evaluated)
            say(
                f"{len(evaluated.failed)} of {total} {what} failed: {', '.join(names)}. "
                "See the errors above."
            )
        raise typer.Exit(BAD_INPUT)


def _shown(evaluated: Evaluated) -> tuple[list[str], str]:
    """What failed, and what it is: tasks where there is one model, or else models on tasks."""
    models = {model for model, _, _ in evaluated.failed}
    if len(models | {result.model.spec for _, result in evaluated.results}) == 1:
        return [task or model for model, task, _ in evaluated.failed], "tasks"
    shown = [f"{model} on {task}" if task else model for model, task, _ in evaluated.failed]
    return shown, "evaluations"


def _check_for_one(weights: str | None, option: list[str] | None, name: str | None) -> None:
    """Refuses what belongs to one model where there are several.

    Raises:
        HearError: Something of that kind is given.
    """
    given = {"--weights": weights, "--option": option, "--name": name}
    found = [key for key, value in given.items() if value]
    if found:
        raise HearError(
            f"{' and '.join(found)} can't be given for several models at once. Evaluate the one "
            "that they belong to by itself."
        )
