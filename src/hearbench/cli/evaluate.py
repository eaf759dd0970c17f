"""``hearbench evaluate``: a model on tasks, from audio to scores."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import typer

import hearbench
from hearbench.cli import options as o
from hearbench.cli.cluster import ClusterOptions
from hearbench.cli.running import BAD_INPUT, answers_only, verb
from hearbench.cli.terminal import answer_json, say
from hearbench.errors import HearError
from hearbench.evaluation import DEFAULT_REPEATS

if TYPE_CHECKING:
    from hearbench.evaluation.few_labels import FewLabels
    from hearbench.evaluation.job import Setup
    from hearbench.evaluation.perturbed import Perturbed
    from hearbench.evaluation.probes import ProbeSetup
    from hearbench.evaluation.results import Results, UntrainedResult
    from hearbench.results import Result
    from hearbench.workspace import Workspace

__all__ = ["end", "evaluate", "evaluated", "finish", "results_json", "show"]


@dataclass(frozen=True)
class SetupOptions(o.TrainingOptions):
    """Options for what is made of embeddings: probes, also of few labels, or what isn't trained."""

    PANEL: ClassVar[str] = "Further results"

    train_fraction: Annotated[
        list[float] | None,
        typer.Option(
            "--train-fraction",
            metavar="F",
            help="Share of the training clips to learn from as well, as 0.1. Repeatable.",
        ),
    ] = None
    shots: Annotated[
        list[int] | None,
        typer.Option(
            "--shots",
            metavar="K",
            min=1,
            help="Number of training clips per label to learn from as well. Repeatable.",
        ),
    ] = None
    repeats: Annotated[
        int | None,
        typer.Option(
            "--repeats",
            metavar="N",
            min=1,
            help="Number of times that each part is drawn and learned from; by default "
            f"{DEFAULT_REPEATS}.",
            show_default=False,
        ),
    ] = None

    perturb: Annotated[
        list[str] | None,
        typer.Option(
            "--perturb",
            metavar="KIND=VALUE",
            help="Disturbance of the test clips to score as well, as noise=10 (dB), "
            "noise=20,10,0, reverb=0.6+noise=10 or telephone. Repeatable. Writes robustness.json.",
        ),
    ] = None
    perturb_train: Annotated[
        bool,
        typer.Option(
            "--perturb-train",
            help="Disturb training and validation clips, too, and train on them.",
        ),
    ] = False
    distance: Annotated[
        bool,
        typer.Option(
            "--distance",
            help="Train nothing: score the distances between scene embeddings, by retrieval and by "
            "telling same from different. Writes distance.json.",
        ),
    ] = False
    clustering: Annotated[
        bool,
        typer.Option(
            "--clustering",
            help="Train nothing: divide the test clips into clusters, and compare them with the "
            "labels. Writes clustering.json.",
        ),
    ] = False

    zero_shot: Annotated[
        bool,
        typer.Option(
            "--zero-shot",
            help="Train nothing: compare clips with class names in words, by a model that embeds "
            "text as well. Writes zero-shot.json.",
        ),
    ] = False
    prompts: Annotated[
        Path | None,
        typer.Option(
            "--prompts",
            metavar="FILE",
            help="TOML file with class names and templates for --zero-shot; by default those of "
            "the catalog, or the labels in words.",
        ),
    ] = None

    @property
    def untrained(self) -> str | None:
        """The option that asks for a result without training; None where probes are wanted."""
        return next(iter(self._untrained()), None)

    def _untrained(self) -> list[str]:
        given = {
            "--distance": self.distance,
            "--clustering": self.clustering,
            "--zero-shot": self.zero_shot,
        }
        return [option for option, is_given in given.items() if is_given]

    def check(self) -> None:
        """Refuses options that don't fit together.

        Raises:
            HearError: They don't.
        """
        if self.perturb_train and not self.perturb:
            raise HearError("--perturb-train belongs to --perturb, which says how.")
        if len(self._untrained()) > 1:
            raise HearError(
                f"{' and '.join(self._untrained())} can't be given together. Run the command once "
                "with each; the results lie beside each other."
            )
        if self.prompts is not None and not self.zero_shot:
            raise HearError("--prompts belongs to --zero-shot.")
        if self.untrained is not None:
            self._check_no_probe(self.untrained)
        if not self.train_fraction and not self.shots:
            if self.repeats is not None:
                raise HearError(
                    "--repeats says how often parts of the training clips are drawn. Say which "
                    "with --train-fraction or --shots."
                )
        elif self.seeds > 1:
            raise HearError(
                "--seeds can't be given together with --train-fraction or --shots: every repeat "
                "has a seed of its own. Use --repeats, or run the command once for each."
            )

    def _check_no_probe(self, option: str) -> None:
        """Refuses what belongs to probes where an option trains none."""
        given = {
            "--seeds": self.seeds > 1,
            "--train-fraction": self.train_fraction,
            "--shots": self.shots,
            "--repeats": self.repeats,
            "--perturb": self.perturb,
            "--only": self.only,
            "--grid-points": self.grid_points,
            "--protocol": self.protocol != "hear2021",
        }
        found = [key for key, value in given.items() if value]
        if found:
            raise HearError(
                f"{' and '.join(found)} can't be given with {option}, which trains nothing. Run "
                "the command once with it and once without."
            )

    def wanted(self, workspace: Workspace) -> str | list[Setup]:
        """The set-ups that the options describe.

        Raises:
            HearError: They can't be used.
        """
        if self.prompts is not None:
            from hearbench.tasks.prompts import Prompts

            return [hearbench.ZeroShot(Prompts.from_toml(self.prompts))]
        if self.untrained is not None:
            return self.untrained.removeprefix("--")
        probe = self.plan(workspace)
        return [probe, *self.few_labels(probe), *self.perturbed(probe)]

    def few_labels(self, probe: ProbeSetup) -> list[FewLabels]:
        """The set-up of few labels that the options describe; none if they ask for none.

        Raises:
            HearError: A share isn't in (0, 1].
        """
        if not self.train_fraction and not self.shots:
            return []
        few = hearbench.FewLabels.of(
            probe,
            fractions=self.train_fraction or (),
            shots=self.shots or (),
            repeats=self.repeats or DEFAULT_REPEATS,
        )
        return [few]

    def perturbed(self, probe: ProbeSetup) -> list[Perturbed]:
        """The set-up of disturbed audio that the options describe; none if they ask for none.

        Raises:
            HearError: There is no such perturbation.
        """
        if not self.perturb:
            return []
        return [hearbench.Perturbed.of(probe, self.perturb, training=self.perturb_train)]


@verb(
    "hearbench evaluate hearbench.models.naive --task demo-out/tasks/notes-1.0.0-demo --out out",
    "hearbench evaluate my_model.py --weights epoch9.pt --task a --task b --out results --json",
    "hearbench evaluate my_model.py other_model.py --task a --out results --seeds 5",
    "hearbench evaluate my_model.py --task a --out results --shots 1 --shots 10 --repeats 5",
    "hearbench evaluate my_model.py --task a --out results --perturb noise=20,10,0",
    "hearbench evaluate my_model.py --task a --out results --distance",
    "hearbench evaluate my_model.py --task a --out results --clustering",
    "hearbench evaluate hf:laion/clap-htsat-unfused --option pooling=pooled --task esc50 "
    "--out results --zero-shot",
    "hearbench evaluate one.py two.py --task all --out results --executor ray --address auto",
    "hearbench evaluate old_model.hear --python old/venv/bin/python --task a --out results",
    options="task weights option model_dtype python env sandbox timeout model_memory readable "
    "trust_code protocol seed seeds only grid_points layers precision train_fraction shots repeats "
    "perturb perturb_train distance clustering zero_shot prompts device workers max_memory cache "
    "executor address cpus_per_unit gpus_per_unit shared shard out name overwrite dtype details "
    "json",
)
def evaluate(
    model: o.ModelSpecs,
    task: o.Tasks,
    choice: o.HostedModelOptions,
    setups: SetupOptions,
    place: ClusterOptions,
    output: o.OutputOptions,
    details: o.Details = False,
) -> None:
    """Evaluates models on tasks: embeddings, probes, scores with intervals.

    Writes OUT/MODEL/TASK/result.json, uncertainty.json and test.predicted-scores.json; further
    seeds' results go into seeds/ below it, those of few labels into few-labels/, those of disturbed
    audio into perturbed/. The same command resumes a run that was stopped; a model or task that
    fails doesn't stop the others. With `--task all` it takes all tasks of the benchmark, with
    `--task hear-11` those of a named subset. With `--executor ray` processes of many machines do
    the long work; the results are the same but for rounding.
    """
    with answers_only():
        place.share()  # before anything is loaded
        o.check_out(output.out)
        setups.check()
        if len(model) > 1:
            _check_for_one(choice, output.name)
        workspace = place.workspace()
        protocol = setups.wanted(workspace)
        o.make_folder(output.out, "the results", "Choose another --out.")
        models = choice.refs(model, task, workspace)
        with place.running(workspace) as executor:
            results = evaluated(
                models,
                task,
                protocol=protocol,
                out=output.out,
                name=output.name,
                dtype=o.checked_dtype(output.dtype),
                overwrite=output.overwrite,
                executor=executor,
                workspace=workspace,
            )
    untrained = setups.untrained is not None
    finish(results, as_json=output.json, distance=untrained, details=details)


def evaluated(*args: Any, **kwargs: Any) -> Results:
    """Evaluates as `hearbench.evaluate` does, and returns the failures even if all has failed."""
    try:
        return hearbench.evaluate(*args, **kwargs)
    except hearbench.EvaluationError as failed:
        return failed.results


def results_json(results: Results, *, distance: bool = False) -> dict[str, Any]:
    """The stable form that programs read.

    Args:
        distance: Whether distances, or another result without training, were asked for, whose JSON
            has no curves.
    """
    failed = [
        {"model": failure.model, "task": failure.task, "error": failure.text}
        for failure in results.failures
    ]
    found = [_result_json(path, result) for path, result in results.results]
    if distance:
        return {"results": found, "failed": failed}
    curves = [
        {"path": str(path), **curve.model_dump(mode="json")} for path, curve in results.curves
    ]
    answer = {"results": found, "curves": curves, "failed": failed}
    if results.robustness:
        answer["robustness"] = [
            {"path": str(path), **each.model_dump(mode="json")} for path, each in results.robustness
        ]
    return answer


def _result_json(path: Path, result: Result | UntrainedResult) -> dict[str, Any]:
    found: dict[str, Any] = {
        "model": result.model.name,
        "task": result.task.name,
        "path": str(path),
        "primary_score": result.primary_score,
    }
    scores: dict[str, dict[str, Any]] = {
        name: {"mean": summary.mean, "std": summary.std} for name, summary in result.scores.items()
    }
    if not isinstance(result, hearbench.Result):
        for name, summary in result.scores.items():
            interval = summary.interval
            scores[name]["interval"] = interval and [interval.low, interval.high]
        found["scores"] = scores
        if isinstance(result, hearbench.ZeroShotResult):
            found["classes"] = result.classes and result.classes.model_dump(mode="json")
        return found
    from hearbench.results.notes import notes_on
    from hearbench.results.uncertainty import read_uncertainty

    sure = read_uncertainty(path.parent)
    for name, score in sure.scores.items() if sure else ():
        scores[name]["mean"] = score.mean
        scores[name]["sources"] = {
            source: None if part is None else part.model_dump(mode="json")
            for source, part in (
                ("clips", score.clips),
                ("seeds", score.seeds),
                ("folds", score.folds),
                ("total", score.total),
            )
        }
    seeds = [result.seed] if sure is None else list(sure.seeds)
    return {**found, "seeds": seeds, "scores": scores, "notes": notes_on([(path, result)])}


def show(results: Results, *, details: bool = False) -> None:
    """Prints results, and curves where there are any.

    Args:
        details: Whether several models, too, have a table each.
    """
    # Not loaded for the help.
    from hearbench.cli.result_tables import (
        show_curves,
        show_matrix,
        show_results,
        show_untrained,
    )
    from hearbench.cli.robustness import show_robustness

    several = len(results.models) > 1 and not details
    if several:
        show_matrix(results)
    shown = [] if several else results.results
    show_untrained([one for _, one in shown if not isinstance(one, hearbench.Result)])
    probes = [(path, one) for path, one in shown if isinstance(one, hearbench.Result)]
    if probes:
        show_results(probes)
    if results.curves:
        show_curves([(path.parents[2].name, curve) for path, curve in results.curves])
    if results.robustness:
        show_robustness(results)


def finish(
    results: Results, *, as_json: bool, distance: bool = False, details: bool = False
) -> None:
    """Gives the answer, and ends with code 2 if a task failed, or as errors end that are bugs.

    Args:
        results: What came of all models and tasks.
        distance: As of `results_json`.
        details: As of `show`.
    """
    if as_json:
        answer_json(results_json(results, distance=distance))
    elif results.results:
        show(results, details=details)
    if results.failures:
        total = len(results.failures) + len(results.results)
        if total > 1:
            names, what = _shown(results)
            say(
                f"{len(results.failures)} of {total} {what} failed: {', '.join(names)}. "
                "See the errors above."
            )
    end(results)


def end(results: Results) -> None:
    """Ends a command as errors end that are bugs, or with code 2 if anything failed.

    Raises:
        typer.Exit: Something failed that the user can mend.
    """
    for failure in results.failures:
        if failure.is_unforeseen:
            raise failure.error
    if results.failures:
        raise typer.Exit(BAD_INPUT)


def _shown(results: Results) -> tuple[list[str], str]:
    """What failed, and what it is: tasks where there is one model, or else models on tasks."""
    failures = results.failures
    models = {failure.model for failure in failures}
    if len(models | {result.model.spec for result in results}) == 1:
        return [failure.task or failure.model for failure in failures], "tasks"
    return [failure.what for failure in failures], "evaluations"


def _check_for_one(choice: o.ModelChoiceOptions, name: str | None) -> None:
    """Refuses what belongs to one model where there are several.

    Raises:
        HearError: Something of that kind is given.
    """
    given = {"--weights": choice.weights, "--option": choice.option, "--name": name}
    found = [key for key, value in given.items() if value]
    if found:
        raise HearError(
            f"{' and '.join(found)} can't be given for several models at once. Evaluate the one "
            "that they belong to by itself."
        )
