"""Making a submission: a model is validated and evaluated, and what came of it written down."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hearbench._version import __version__
from hearbench.errors import HearError, ResultError
from hearbench.evaluation.results import EvaluationError, Results
from hearbench.leaderboard.bundle import write_bundle
from hearbench.leaderboard.card import Card
from hearbench.leaderboard.columns import leaderboard_tasks
from hearbench.leaderboard.machine import machine_facts
from hearbench.leaderboard.origin import Origin
from hearbench.leaderboard.own_row import own_row
from hearbench.leaderboard.rules import card_problems
from hearbench.leaderboard.submission import (
    MeasuredModel,
    Submission,
    missing_columns,
    rate_problem,
)
from hearbench.leaderboard.table import COLUMNS
from hearbench.models.ref import ModelRef
from hearbench.tasks.check import METADATA
from hearbench.tasks.locate import TASKS_FOLDER
from hearbench.validate import Report, validate_model
from hearbench.workspace import Workspace

if TYPE_CHECKING:
    from hearbench.evaluation.probes import ProbeSetup
    from hearbench.models.model import Model

__all__ = ["Candidate", "InvalidModelError", "cached_leaderboard_tasks", "make_submission"]


class InvalidModelError(HearError):
    """A model isn't valid, so it wasn't evaluated.

    Args:
        report: What the validator found.
    """

    exit_code = 1

    def __init__(self, spec: str, report: Report) -> None:
        super().__init__(
            f"{spec} isn't valid, so nothing was evaluated. `hearbench validate {spec}` says more."
        )
        self.report = report


@dataclass(frozen=True)
class Candidate:
    """A model that is to be submitted, and how it is measured.

    Attributes:
        model: The model, with the options that the card states.
        tasks: Names or folders of tasks.
        results: Folder that keeps the results; those that exist are used.
        quick: Whether the checks on 20 minutes of audio are left out.
        origin: Where its code and weights come from, if from an address.
    """

    card: Card
    model: ModelRef
    tasks: Sequence[str]
    setup: ProbeSetup
    results: Path
    quick: bool = False
    origin: Origin | None = None


def cached_leaderboard_tasks(workspace: Workspace) -> list[str]:
    """Lists the leaderboard's tasks that are in the cache.

    Raises:
        HearError: There is none.
    """
    found = [
        name
        for name in leaderboard_tasks()
        if workspace.path(TASKS_FOLDER, name, METADATA).is_file()
    ]
    if not found:
        raise HearError(
            "None of the leaderboard's tasks is in the cache. Download them with `hearbench tasks "
            "download`, prepare them with `hearbench prepare`, or name tasks with --task."
        )
    return found


def make_submission(
    candidate: Candidate, out: Path, workspace: Workspace
) -> tuple[Submission, Results]:
    """Validates and evaluates a model, and writes its submission.

    Args:
        out: Folder that takes the row, the text of a pull request, the validator's report, and
            every result with its predictions.
        workspace: Cache, device, memory and progress.

    Returns:
        The submission, and the results with what failed.

    Raises:
        InvalidModelError: The model isn't valid.
        ResultError: The card is against the rules, or no task could be evaluated.
        HearError: The model can't be loaded, its sample rate is none of the challenge's, or the
            folder can't be written.
    """
    from hearbench.evaluation.run import evaluate

    ref = candidate.model
    against = card_problems(candidate.card, has_weights=ref.weights is not None)
    if against:
        raise ResultError(f"The card is against the rules: {'; '.join(against)}")
    report = validate_model(
        ref.spec,
        ref.weights,
        workspace=workspace,
        interpreter=ref.host,
        quick=candidate.quick,
        only=None,
        skip=None,
        stopped=None,
        **candidate.card.options,
    )
    if not report.valid:
        raise InvalidModelError(ref.spec, report)
    problem = rate_problem(report.model.sample_rate)
    if problem:
        raise HearError(f"{ref.spec} can't be submitted: {problem}")
    model = ref.load(workspace)
    try:
        results = evaluate(
            model,
            candidate.tasks,
            protocol=candidate.setup,
            out=candidate.results,
            name="submitted",
            workspace=workspace,
        )
    except EvaluationError as error:
        raise ResultError("No task could be evaluated, so there is nothing to submit.") from error
    finally:
        model.close()
    return _write(out, candidate, model, report, results), results


def _write(
    out: Path, candidate: Candidate, model: Model, report: Report, results: Results
) -> Submission:
    card = candidate.card
    folders = {result.task.name: path.parent for path, result in results.results}
    today = dt.datetime.now(dt.timezone.utc).date()
    own = own_row(list(folders.values()), card.model, url=card.url, submitted=today.isoformat())
    failed: Mapping[str, str] = {str(one.task): one.text for one in results.failures}
    refused = {Path(item.where).parent.name: item.reason for item in own.refused}
    submission = Submission(
        hearbench_version=__version__,
        created=today,
        card=card,
        model=MeasuredModel(
            n_weights=model.n_weights,
            sample_rate=model.sample_rate,
            scene_embedding_size=model.scene_embedding_size,
            timestamp_embedding_size=model.timestamp_embedding_size,
            hop_ms=report.model.hop_ms,
            digest=model.digest,
            weights_digest=model.weights_digest,
            versions=report.model.versions,
        ),
        scores=dict(zip(COLUMNS, own.row.scores, strict=True)),
        tasks=tuple(sorted(folders)),
        missing=missing_columns(own.row, card.missing, {**failed, **refused}),
        origin=candidate.origin,
        machine=machine_facts(candidate.model.host, model.device),
    )
    write_bundle(out, submission, report, folders)
    return submission
