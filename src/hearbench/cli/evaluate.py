"""``hearbench evaluate``: a model on tasks, from audio to scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import typer

from hearbench.cli import cluster as c
from hearbench.cli import options as o
from hearbench.cli import places
from hearbench.cli.curve_tables import show_curves
from hearbench.cli.distances import EvaluatedDistances, evaluate_distances, show_distances
from hearbench.cli.evaluation import Evaluated, Gathered, evaluate_models, evaluate_tasks
from hearbench.cli.few_labels import Repeats, Shots, TrainFractions, few_labels_of
from hearbench.cli.running import BAD_INPUT, answers_only, verb
from hearbench.cli.stages import named_tasks
from hearbench.cli.tables import show_results
from hearbench.cli.terminal import Reporter, answer_json, say
from hearbench.errors import HearError

if TYPE_CHECKING:
    from hearbench.models.protocol import Model

__all__ = ["evaluate", "finish", "show_evaluated"]

Distance = Annotated[
    bool,
    typer.Option(
        "--distance",
        help="Train nothing: score the distances between scene embeddings, by retrieval and by "
        "telling same from different. Writes distance.json.",
    ),
]


@verb(
    "hearbench evaluate hearbench.models.naive --task demo-out/tasks/notes-1.0.0-demo --out out",
    "hearbench evaluate my_model.py --weights epoch9.pt --task a --task b --out results --json",
    "hearbench evaluate my_model.py other_model.py --task a --out results --seeds 5",
    "hearbench evaluate my_model.py --task a --out results --shots 1 --shots 10 --repeats 5",
    "hearbench evaluate my_model.py --task a --out results --distance",
    "hearbench evaluate one.py two.py --task all --out results --executor ray --address auto",
    "hearbench evaluate old_model.hear --python old/venv/bin/python --task a --out results",
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
    seeds: o.Seeds = 1,
    train_fraction: TrainFractions = None,
    shots: Shots = None,
    repeats: Repeats = None,
    distance: Distance = False,
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
    executor: c.ExecutorName = "local",
    address: c.Address = None,
    cpus_per_unit: c.CpusPerUnit = None,
    gpus_per_unit: c.GpusPerUnit = None,
    shared: c.SharedUrl = None,
    json: o.Json = False,
) -> None:
    """Evaluates models on tasks: embeddings, probes, scores with intervals.

    Writes OUT/MODEL/TASK/result.json, uncertainty.json and test.predicted-scores.json; further
    seeds' results go into seeds/ below it, those of few labels into few-labels/. Whatever stops
    it, the same command goes on from there; a model or task that fails doesn't keep the others
    from theirs. `--task all` stands for all tasks of the benchmark. With `--executor ray`
    processes of many machines do what takes long; the results are the same but for rounding.
    """
    with answers_only():
        share = c.share_of(executor, address, cpus_per_unit, gpus_per_unit, shared)
        c.check_folder(out)
        task = named_tasks(task)
        if distance:
            _check_no_probe(
                {
                    "--seeds": seeds > 1,
                    "--train-fraction": train_fraction,
                    "--shots": shots,
                    "--repeats": repeats,
                    "--only": only,
                    "--grid-points": grid_points,
                    "--protocol": protocol != "hear2021",
                }
            )
        few = few_labels_of(train_fraction, shots, repeats, seeds=seeds)
        workspace = o.settings_of(cache, device, workers, max_memory)
        plan = o.plan_of(protocol, seed, precision, only, grid_points, workspace, seeds)
        stored_as = o.checked_dtype(dtype)
        o.make_folder(out, "the results", "Choose another --out.")
        if len(model) > 1:
            _check_for_one(weights, option, name)
        reporter = Reporter()
        interpreter = places.interpreter_of(
            python, env, sandbox, timeout, model_memory, readable, task, workspace, reporter, model
        )

        def load(spec: str) -> Model:
            return o.get_model(spec, weights, option, workspace, interpreter)

        failures: c.Failures = {}
        if share is not None:
            batch = c.Batch(
                models=model,
                tasks=task,
                weights=weights,
                options=option,
                interpreter=interpreter,
                load=load,
                out=out,
                name=name,
                plan=None if distance else plan,
                dtype=stored_as,
                overwrite=overwrite,
                always=distance or bool(few),
            )
            failures = c.fill_on_cluster(batch, share, address, shared, workspace, reporter)

        if distance:
            measured = evaluate_models(
                model,
                task,
                load,
                lambda loaded, left, found: evaluate_distances(
                    loaded,
                    left,
                    out,
                    stored_as,
                    workspace,
                    reporter,
                    name=name,
                    overwrite=overwrite,
                    evaluated=found,
                ),
                EvaluatedDistances(),
                reporter,
                failures,
            )
        else:
            evaluated = evaluate_models(
                model,
                task,
                load,
                lambda loaded, left, found: evaluate_tasks(
                    loaded,
                    left,
                    out,
                    plan,
                    stored_as,
                    workspace,
                    reporter,
                    name=name,
                    overwrite=overwrite,
                    few=few,
                    evaluated=found,
                ),
                Evaluated(),
                reporter,
                failures,
            )
    if distance:
        finish(measured, lambda: show_distances(measured.results), as_json=json)
    else:
        finish(evaluated, lambda: show_evaluated(evaluated), as_json=json)


class Finished(Gathered, Protocol):
    """What can be told at the end."""

    def as_json(self) -> dict[str, Any]:
        """The stable form that programs read."""


def show_evaluated(evaluated: Evaluated) -> None:
    """Prints results, and curves where there are any."""
    show_results(evaluated.results)
    if evaluated.curves:
        show_curves([(path.parents[2].name, curve) for path, curve in evaluated.curves])


def finish(evaluated: Finished, show: Callable[[], None], *, as_json: bool) -> None:
    """Gives the answer, and ends with code 2 if a task failed, or as errors end that are bugs.

    Args:
        evaluated: What came of all models and tasks.
        show: Prints the results.
        as_json: Give them in JSON instead.
    """
    if as_json:
        answer_json(evaluated.as_json())
    elif evaluated.results:
        show()
    if evaluated.failed:
        total = len(evaluated.failed) + len(evaluated.results)
        if total > 1:
            names, what = _shown(evaluated)
            say(
                f"{len(evaluated.failed)} of {total} {what} failed: {', '.join(names)}. "
                "See the errors above."
            )
    if evaluated.unforeseen:
        raise evaluated.unforeseen[0]
    if evaluated.failed:
        raise typer.Exit(BAD_INPUT)


def _shown(evaluated: Gathered) -> tuple[list[str], str]:
    """What failed, and what it is: tasks where there is one model, or else models on tasks."""
    models = {model for model, _, _ in evaluated.failed}
    if len(models | {result.model.spec for _, result in evaluated.results}) == 1:
        return [task or model for model, task, _ in evaluated.failed], "tasks"
    shown = [f"{model} on {task}" if task else model for model, task, _ in evaluated.failed]
    return shown, "evaluations"


def _check_no_probe(given: Mapping[str, object]) -> None:
    """Refuses what belongs to probes where distances are wanted.

    Raises:
        HearError: Something of that kind is given.
    """
    found = [key for key, value in given.items() if value]
    if found:
        raise HearError(
            f"{' and '.join(found)} can't be given with --distance, which trains nothing. Run the "
            "command once with it and once without."
        )


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
