"""``hearbench submit``: from a model's package to a submission that a maintainer can check."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

import typer

from hearbench.cli import options as o
from hearbench.cli.running import BAD_INPUT, answers_only, verb
from hearbench.cli.terminal import answer_line, say

__all__ = ["submit"]

# As the leaderboard's scores are: in full precision wherever they are made.
_TRAINING = o.TrainingOptions(precision="float32")


@dataclass(frozen=True)
class SubmissionOptions:
    """Options for what goes into a submission, and for where it is written."""

    PANEL: ClassVar[str] = "Submission"

    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Folder that takes the submission.")
    ]
    card: Annotated[
        Path | None,
        typer.Option(
            "--card",
            metavar="F",
            help="The card; `hearbench init-model` writes one. By default card.toml in the source "
            "folder.",
        ),
    ] = None
    task: Annotated[
        list[str] | None,
        typer.Option(
            "--task",
            metavar="PATH_OR_NAME",
            help="A prepared task; by default the leaderboard's tasks that are in the cache. "
            "Repeatable.",
        ),
    ] = None
    results: Annotated[
        Path | None,
        typer.Option(
            "--results", metavar="DIR", help="Folder of results; those that exist are used."
        ),
    ] = None
    quick: Annotated[
        bool, typer.Option("--quick", help="Validate without the checks on 20 minutes of audio.")
    ] = False


@verb(
    "hearbench submit . --card card.toml --out submission",
    "hearbench submit my_package.hear --weights w.pt --card card.toml --out out --task esc50",
    "hearbench submit git+https://github.com/org/my-model@v1.0 --out submission \\\n"
    "    --weights https://example.org/my-model.pt",
    options="card out task results quick weights python sandbox timeout model_memory readable "
    "trust_code protocol seed only grid_points precision device workers max_memory cache",
)
def submit(
    model: Annotated[
        str,
        typer.Argument(
            metavar="PACKAGE",
            help="Source folder of the package, or the address of a git repository, as "
            "git+https://HOST/ORG/REPO@REVISION, which is installed into an environment of its "
            "own; or a module that is installed here.",
            show_default=False,
        ),
    ],
    wanted: SubmissionOptions,
    choice: o.HostedModelOptions,
    place: o.WorkspaceOptions,
    training: o.TrainingOptions = _TRAINING,
) -> None:
    """Validates and evaluates a model, and writes its submission to the leaderboard.

    The folder holds the row, the text of a pull request, the validator's report, and every result
    with its predictions. `hearbench leaderboard check` is what a maintainer runs on it.
    """
    from hearbench.leaderboard.package import find_package
    from hearbench.leaderboard.submitting import (
        Candidate,
        InvalidModelError,
        cached_leaderboard_tasks,
        make_submission,
    )

    out = wanted.out
    with answers_only():
        workspace = place.workspace()
        package = find_package(model, workspace, card=wanted.card, weights=choice.weights)
        card = package.card
        setup = training.plan(workspace)
        tasks = wanted.task or cached_leaderboard_tasks(workspace)
        choice = dataclasses.replace(
            choice,
            weights=package.weights,
            option=[f"{key}={value}" for key, value in card.options.items()],
            env=package.tree,
        )
        (ref,) = choice.refs([package.module], tasks, workspace)
        kept = wanted.results or out.with_name(f"{out.name}.results")
        o.make_folder(kept, "the results", "Choose another --results or --out.")
        origin = package.origin_with(choice.python)
        candidate = Candidate(card, ref, tasks, setup, kept, wanted.quick, origin)
        try:
            submission, measured = make_submission(candidate, out, workspace)
        except InvalidModelError as error:
            for check in error.report.errors:
                say(f"error: {check.name}: {check.found} {check.remedy}".rstrip())
            say(str(error))
            raise typer.Exit(error.exit_code) from error
    scores = submission.row().scores
    there = sum(score is not None for score in scores)
    answer_line(f"{out}: {submission.card.model}, {there} of {len(scores)} columns")
    answer_line(f"  pull request: {out / 'pull_request.md'}")
    answer_line(f"  check it:     hearbench leaderboard check {out}")
    if measured.failures:
        raise typer.Exit(BAD_INPUT)
