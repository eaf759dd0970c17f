"""Running a submission again: whether its scores come from the model at its address.

Perfect predictions that were made up pass a check of the bundle, as nothing there contradicts them.
Here the model embeds the tasks' audio once more, probes are trained by the organiser's protocol,
and each submitted score is held against the interval of the new one. Of a task that the submission
doesn't have, an organiser's private one, a score is all that is kept.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from hearbench._version import __version__
from hearbench.errors import HearError, ResultError
from hearbench.evaluation.results import EvaluationError
from hearbench.leaderboard.bundle import RESULTS, SUBMISSION, link_problems, walk
from hearbench.leaderboard.origin import Origin
from hearbench.leaderboard.submission import Submission
from hearbench.models.ref import ModelRef
from hearbench.records import Number, Record, StoredRecord, read_record
from hearbench.results.finding import seed_folders
from hearbench.results.record import RESULT_FILE, Result
from hearbench.results.uncertainty import Range, read_uncertainty
from hearbench.tasks.catalog import catalog_task
from hearbench.tasks.check import METADATA
from hearbench.tasks.locate import TASKS_FOLDER
from hearbench.tasks.spec import is_plain_name
from hearbench.tasks.store import load_task
from hearbench.workspace import Workspace, user_path

if TYPE_CHECKING:
    from hearbench.evaluation.probes import ProbeSetup

__all__ = [
    "TOLERANCE",
    "Rerun",
    "RerunTask",
    "RerunTasks",
    "Submitted",
    "Verdict",
    "read_submitted",
    "rerun",
    "tasks_to_run",
]

TOLERANCE = 1e-3
"""How far beside the interval a submitted score may lie: what rounding does on other processors."""

Verdict = Literal["within", "not within", "private", "failed"]


class RerunTask(Record):
    """What came of one task.

    Attributes:
        task: Its name.
        score: Name of its first score; empty if nothing came of it.
        submitted: The score that was submitted; null of a private task.
        rerun: The score of the rerun; null if there is none.
        interval: Interval of the rerun's score over resampled test clips, widened by that over
            seeds where there are several; null of a private task, and where there is none.
        verdict: ``within`` if the submitted score lies in the interval, or beside it by no more
            than the tolerance; ``not within``; ``private`` for a task that wasn't submitted;
            ``failed``.
        why: Why it failed, or why it can't be compared; empty otherwise.
    """

    task: str
    score: str = ""
    submitted: Number | None = None
    rerun: Number | None = None
    interval: Range | None = None
    verdict: Verdict
    why: str = ""


class Rerun(StoredRecord):
    """What came of running a submission again. It holds no labels, clips or predictions.

    Attributes:
        format_version: Version of this layout.
        hearbench_version: Version that ran it.
        created: ISO date.
        model: Name on the leaderboard.
        address: Of the code that was run; null of a folder.
        commit: Of that code; null of a folder.
        same_model: Whether the digest of the model that was run is the submitted one's; null if
            nothing was run.
        sandbox: Whether the model ran in a sandbox.
        protocol: Name of the protocol.
        tolerance: How far beside its interval a score may lie.
        tasks: What came of each task.
    """

    FILE: ClassVar[str] = "rerun.json"
    WHAT: ClassVar[str] = "a rerun"

    format_version: Literal[1] = 1
    hearbench_version: str
    created: dt.date
    model: str
    address: str | None
    commit: str | None
    same_model: bool | None
    sandbox: bool
    protocol: str
    tolerance: float = TOLERANCE
    tasks: tuple[RerunTask, ...]

    @property
    def ok(self) -> bool:
        """Whether all that was submitted and run again lies within, and nothing failed."""
        return all(task.verdict in ("within", "private") for task in self.tasks)


@dataclass(frozen=True)
class Submitted:
    """A bundle as a rerun needs it; its predictions aren't read.

    Attributes:
        results: Its results by the name of the task; of several seeds the first one's.
    """

    submission: Submission
    results: Mapping[str, Result]


@dataclass(frozen=True)
class RerunTasks:
    """Tasks that are run again.

    Attributes:
        places: Where each task is found, by its name: a folder, or a name in the catalog.
        missing: Tasks of the submission that aren't on this machine.
    """

    places: Mapping[str, str]
    missing: tuple[str, ...]


def read_submitted(bundle: Path) -> Submitted:
    """Reads what a bundle submits: its record and the results.

    Run `hearbench.leaderboard.check.check_bundle` on it as well: here nothing is compared.

    Raises:
        ResultError: It is no bundle, holds links, or a record can't be read.
    """
    if not bundle.is_dir():
        raise ResultError(f"{bundle} is no folder.", code="not_found")
    # What links lead to must be neither read nor shown.
    links = link_problems(list(walk(bundle)), bundle)
    if links:
        raise ResultError(links[0])
    submission = read_record(Submission, bundle / SUBMISSION, SUBMISSION, "a submission")
    results = {}
    for path in sorted((bundle / RESULTS).glob(f"*/{RESULT_FILE}")):
        name = path.parent.name
        result = seed_folders(path.parent)[0][1]
        if not is_plain_name(name) or result.task.name != name:
            raise ResultError(f"{RESULTS}/{name!r} isn't the result of the task of that name.")
        results[name] = result
    return Submitted(submission, results)


def tasks_to_run(
    submitted: Submitted,
    named: Sequence[str],
    workspace: Workspace,
    *,
    only: Sequence[str] | None = None,
) -> RerunTasks:
    """Chooses the tasks of a rerun.

    Args:
        named: Paths or names of tasks: private ones, and those of the submission that are
            elsewhere than in the cache.
        only: Of the submission's tasks these alone; by default all. Those that are ``named`` are
            run in any case.

    Raises:
        TaskError: One that is named isn't a prepared task.
        ResultError: The submission has no such task, or there is nothing to run.
    """
    places = {}
    for text in named:
        place = user_path(text)
        # The model's process is kept from where it really is.
        shown = str(place.resolve()) if place.exists() else text
        places[load_task(shown, workspace=workspace).name] = shown
    unknown = [name for name in only or () if name not in submitted.results]
    if unknown:
        there = ", ".join(submitted.results) or "none"
        raise ResultError(f"The submission has no task {unknown[0]}. Its tasks are {there}.")
    missing = []
    for name in submitted.results if only is None else only:
        folder = workspace.path(TASKS_FOLDER, name)
        if name in places:
            continue
        if (folder / METADATA).is_file():
            places[name] = str(folder)
        elif catalog_task(name) is not None:
            places[name] = name
        else:
            missing.append(name)
    if not places and not missing:
        raise ResultError("There is no task to run again. Name one with --task.")
    return RerunTasks(places, tuple(missing))


def rerun(
    submitted: Submitted,
    model: ModelRef,
    tasks: RerunTasks,
    setup: ProbeSetup,
    *,
    origin: Origin | None = None,
    workspace: Workspace,
) -> Rerun:
    """Evaluates a submitted model once more, and compares scores.

    Results, with the predictions, stay in the cache: nothing of them is part of the answer but
    scores, and of private tasks the first score alone.

    Args:
        model: The model as it was installed from the submission's address.
        setup: The organiser's protocol and seeds, whatever the submission says.
        origin: Where the code was fetched from; None of a folder.
        workspace: Cache, device, memory and progress.

    Raises:
        ResultError: A private task is to be run without a sandbox.
        HearError: The model can't be loaded.
    """
    from hearbench.evaluation.run import evaluate

    private = [name for name in tasks.places if name not in submitted.results]
    sandbox = model.host is not None and model.host.sandbox
    if private and not sandbox:
        raise ResultError(
            f"{private[0]} is private: it is run in a sandbox only, as otherwise the model could "
            "read it. Leave --no-sandbox out."
        )
    rows = [
        RerunTask(task=name, submitted=submitted.results[name].primary.mean, verdict="failed",
                  why="The task isn't here. Prepare it, or name its folder with --task.")
        for name in tasks.missing
    ]  # fmt: skip
    same = None
    if tasks.places:
        loaded = model.load(workspace)
        try:
            same = loaded.digest == submitted.submission.model.digest
            found, failures = {}, {}
            for name, place in tasks.places.items():
                try:
                    made = evaluate(loaded, place, protocol=setup, workspace=workspace)
                    found[name] = made.results[0]
                except EvaluationError as error:  # noqa: PERF203
                    failures[name] = error.results.failures[0].text
        finally:
            loaded.close()
        for name in tasks.places:
            said = submitted.results.get(name)
            if name in failures:
                rows.append(_failed(name, said, failures[name]))
            else:
                path, result = found[name]
                if not isinstance(result, Result):
                    raise HearError(f"{setup.protocol.name} gives no probe's result of {name}.")
                rows.append(_row(name, said, result, path.parent))
    return Rerun(
        hearbench_version=__version__,
        created=dt.datetime.now(dt.timezone.utc).date(),
        model=submitted.submission.card.model,
        address=origin.address if origin else None,
        commit=origin.commit if origin else None,
        same_model=same,
        sandbox=sandbox,
        protocol=setup.protocol.name,
        tasks=tuple(sorted(rows, key=lambda row: (row.submitted is None, row.task))),
    )


def _failed(name: str, said: Result | None, why: str) -> RerunTask:
    if said is None:
        # A traceback or message may say what is in the task, or what the model has heard.
        return RerunTask(task=name, verdict="failed", why="It can't be evaluated.")
    first = (why.strip().splitlines() or ["It can't be evaluated."])[0]
    return RerunTask(task=name, submitted=said.primary.mean, verdict="failed", why=first)


def _row(name: str, said: Result | None, result: Result, folder: Path) -> RerunTask:
    score, mean = result.primary_score, result.primary.mean
    if said is None:
        return RerunTask(task=name, score=score, rerun=mean, verdict="private")
    interval = _interval(folder, score)
    why = _other_conditions(said, result)
    stated = said.primary.mean
    is_within = not why and _lies_in(stated, mean, interval)
    return RerunTask(
        task=name,
        score=score,
        submitted=stated,
        rerun=mean,
        interval=interval,
        verdict="within" if is_within else "not within",
        why=why,
    )


def _interval(folder: Path, score: str) -> Range | None:
    """The interval over clips, and over seeds where there are several; None if there is none."""
    sure = read_uncertainty(folder)
    if sure is None or score not in sure.scores:
        return None
    found = [
        source.interval
        for source in (sure.scores[score].clips, sure.scores[score].seeds)
        if source is not None
        and math.isfinite(source.interval.low)
        and math.isfinite(source.interval.high)
    ]
    if not found:
        return None
    return Range(low=min(one.low for one in found), high=max(one.high for one in found))


def _lies_in(stated: float, mean: float, interval: Range | None) -> bool:
    low, high = (mean, mean) if interval is None else (interval.low, interval.high)
    # A comparison with NaN is false, and an undefined score is within nothing.
    return low - TOLERANCE <= stated <= high + TOLERANCE


def _other_conditions(said: Result, result: Result) -> str:
    """Why two scores can't be compared; empty if they can."""
    if said.primary_score != result.primary_score:
        return f"The submission's first score is {said.primary_score}."
    if said.protocol != result.protocol:
        return f"The submission's protocol is {said.protocol.name}, and not this one."
    return ""
