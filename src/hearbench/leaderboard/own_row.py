"""A row of the table from results: a user's model beside the others.

A column holds the mean of the task's first score over its test splits. Beehive is the mean of two
tasks and stays empty without both. Scores are rounded to the nine decimals of the official table.
A ``card.toml`` in the folder of a model's results says what it was trained on.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hearbench.errors import ResultError
from hearbench.leaderboard.columns import leaderboard_tasks, tasks_of
from hearbench.leaderboard.csv_file import check_row
from hearbench.leaderboard.heard import heard_columns
from hearbench.leaderboard.recompute import has_predictions
from hearbench.leaderboard.result_checks import protocol_problems, result_problems
from hearbench.leaderboard.table import COLUMNS, Row
from hearbench.results.declared import declared_training_sets
from hearbench.results.finding import find_result_files, seed_folders
from hearbench.results.record import RESULT_FILE, Result
from hearbench.workspace import user_path

__all__ = [
    "OtherProtocolScore",
    "OwnRow",
    "Refusal",
    "find_named_results",
    "find_results",
    "names_of",
    "own_row",
    "own_rows",
    "row_of",
]

_DECIMALS = 9


@dataclass(frozen=True)
class Refusal:
    """A result that doesn't count.

    Attributes:
        where: Path of the result's file, or its task if it isn't in a file.
        reason: The reason in a sentence.
    """

    where: str
    reason: str

    def __str__(self) -> str:
        return f"{self.where}: {self.reason}"


@dataclass(frozen=True)
class OtherProtocolScore:
    """A score by another protocol than the table's, with which it can't be compared.

    Attributes:
        score: The mean of the task's first score over its test splits.
        fingerprint: Fingerprint of the protocol.
        protocol: The protocol in words.
        where: Path of the result's file, or its task if it isn't in a file.
    """

    task: str
    score: float
    fingerprint: str
    protocol: str
    where: str


@dataclass(frozen=True)
class OwnRow:
    """A model's row and the results that it is made of.

    Attributes:
        sources: By column that has a score, the results behind it, as files or tasks.
        refused: Results that don't count though their task does.
        elsewhere: Tasks whose results aren't on the leaderboard.
        notes: What a reader of the row should know, in sentences.
        by_other_protocols: Scores by other protocols, sound in themselves. They are refused and
            no part of the row, unless they were asked for.
        marked: By column whose score is by another protocol, as asked for, this in words.
    """

    row: Row
    sources: Mapping[str, tuple[str, ...]]
    refused: tuple[Refusal, ...]
    elsewhere: tuple[str, ...]
    notes: tuple[str, ...]
    by_other_protocols: tuple[OtherProtocolScore, ...] = ()
    marked: Mapping[str, str] = field(default_factory=dict)

    def enterable(self) -> Row:
        """The row, if it can stand in a leaderboard.

        Raises:
            ResultError: A result is refused (the message says which and why), or nothing is left.
        """
        if self.refused:
            lines = "\n".join(f"- {refusal}" for refusal in self.refused)
            raise ResultError(f"{self.row.model} has results that can't be entered:\n{lines}")
        if not self.sources:
            tasks = f" Not on it: {', '.join(self.elsewhere)}." if self.elsewhere else ""
            notes = "".join(f" {note}" for note in self.notes)
            raise ResultError(
                f"{self.row.model} has no result of a task that is on the leaderboard."
                f"{tasks}{notes}"
            )
        return self.row


@dataclass(frozen=True)
class _Found:
    result: Result
    folder: Path | None

    @property
    def where(self) -> str:
        return self.result.task.name if self.folder is None else str(self.folder / RESULT_FILE)


def find_results(place: Path) -> dict[Path, tuple[Path, ...]]:
    """Finds the results in and below a folder, by the model's folder.

    Args:
        place: A ``result.json``, its folder, a model's folder, or one of several models, as
            ``hearbench evaluate --out`` makes it.

    Returns:
        The files, sorted, by the folder that holds the tasks' folders of a model.

    Raises:
        ResultError: No result was found.
    """
    files = find_result_files(place)
    found: dict[Path, tuple[Path, ...]] = {}
    for file in files:
        model = file.absolute().parent.parent
        found[model] = (*found.get(model, ()), file)
    return found


def find_named_results(text: str) -> tuple[dict[Path, tuple[Path, ...]], str | None]:
    """Finds the results of ``RESULTS`` or ``RESULTS:NAME``.

    Returns:
        The files as `find_results` gives them, and the name for the model, if there is one.

    Raises:
        ResultError: There is no result, or a name for the results of several models.
    """
    place, name = user_path(text), None
    if not place.exists() and ":" in text:
        folder, _, name = text.rpartition(":")
        place = user_path(folder)
    found = find_results(place)
    if name is not None and len(found) > 1:
        raise ResultError(
            f"{text}: {place} has the results of {len(found)} models, {names_of(found)}, and one "
            "name can't be that of all. Name the folder of one."
        )
    return found, name


def names_of(found: Iterable[Path]) -> str:
    """The names of models' folders, for messages."""
    return ", ".join(folder.name for folder in found)


def own_rows(texts: Iterable[str], *, across_protocols: bool = False) -> list[OwnRow]:
    """Makes a row for each model in several ``RESULTS[:NAME]``.

    Args:
        across_protocols: As for `own_row`.

    Raises:
        ResultError: There are no results, they can't be read, or two models have one name, by
            which no one could tell them apart.
    """
    found = [find_named_results(text) for text in texts]
    rows = [
        own_row(files, name, across_protocols=across_protocols)
        for files_of, name in found
        for files in files_of.values()
    ]
    names = [own.row.model for own in rows]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise ResultError(
            f"Two of the models are called {twice[0]}. Give one another name: --with RESULTS:NAME."
        )
    return rows


def row_of(
    results: Sequence[Path | Result],
    name: str | None = None,
    *,
    url: str = "",
    submitted: str = "",
) -> Row:
    """Makes a model's row, in which every result must count.

    Args:
        results: Results, or the files or folders they are in; those of tasks that aren't on the
            leaderboard are left out.
        name: Name of the model, instead of the one in the results.
        url: Web address of the model's description.
        submitted: ISO date of the submission.

    Raises:
        ResultError: A result is refused (the message says which and why), the results are of
            several models, or nothing is left.
    """
    return own_row(results, name, url=url, submitted=submitted).enterable()


def own_row(
    results: Sequence[Path | Result],
    name: str | None = None,
    *,
    url: str = "",
    submitted: str = "",
    across_protocols: bool = False,
) -> OwnRow:
    """Makes a model's row as `row_of` does, but leaves out and lists results that are refused.

    Args:
        across_protocols: Whether results by other protocols count all the same, and are marked.

    Raises:
        ResultError: A file can't be read, two results are of the same task, the results are of
            several models, or name, URL or date can't stand in a row.
    """
    found = [_read(item) for item in results]
    if not found:
        raise ResultError("A row is made from results; none was named.")
    _check_one_model(found)
    counted = leaderboard_tasks()
    by_task: dict[str, _Found] = {}
    elsewhere: list[str] = []
    for item in found:
        task = item.result.task.name
        if task not in counted:
            elsewhere.append(task)
            continue
        if task in by_task:
            raise ResultError(
                f"{by_task[task].where} and {item.where} are both of {task}; keep one of them."
            )
        by_task[task] = item
    refused, used = [], {}
    others: dict[str, OtherProtocolScore] = {}
    for task, item in by_task.items():
        other_protocol = protocol_problems(item.result, counted[task])
        problems = result_problems(item.result, counted[task], item.folder)
        if other_protocol and not problems:
            others[task] = _by_other_protocol(item)
        if not across_protocols:
            problems = other_protocol or problems
        refused += [Refusal(item.where, problem) for problem in problems]
        if not problems:
            used[task] = item
    row, sources, notes = _assemble(used, by_task, name or found[0].result.model.name)
    why_heard = _heard(found)
    row = Row(row.model, url, submitted, row.scores, tuple(c for c in why_heard if c in sources))
    check_row(row)
    notes += tuple(
        f"{column}: the test data was in the training. {why_heard[column]}" for column in row.heard
    )
    marked = {}
    for column in sources if across_protocols else ():
        protocols = [others[part.name].protocol for part in tasks_of(column) if part.name in others]
        if protocols:
            marked[column] = " and ".join(dict.fromkeys(protocols))
    notes += tuple(
        f"{column}: by another protocol than the table's, {protocol}."
        for column, protocol in marked.items()
    )
    return OwnRow(
        row,
        sources,
        tuple(refused),
        tuple(sorted(elsewhere)),
        notes,
        tuple(others.values()),
        marked,
    )


def _heard(found: Iterable[_Found]) -> dict[str, str]:
    """The columns whose test was in the training, by the card in the model's folder of results."""
    places = {item.folder.absolute().parent for item in found if item.folder}
    sets = {name for place in sorted(places) for name in declared_training_sets(place) or ()}
    return heard_columns(sets)


def _by_other_protocol(item: _Found) -> OtherProtocolScore:
    result = item.result
    seeds = [each.seed for _, each in seed_folders(item.folder)] if item.folder else []
    return OtherProtocolScore(
        task=result.task.name,
        score=result.primary.mean,
        fingerprint=result.protocol_fingerprint,
        protocol=result.protocol_words(seeds),
        where=item.where,
    )


def _read(item: Path | Result) -> _Found:
    if isinstance(item, Result):
        return _Found(item, None)
    folder = item if item.is_dir() else item.parent
    return _Found(Result.read(item), folder)


def _check_one_model(found: Sequence[_Found]) -> None:
    first = found[0]
    for item in found[1:]:
        if item.result.model.digest != first.result.model.digest:
            raise ResultError(
                f"{first.where} and {item.where} are of different models: "
                f"{first.result.model.name} and {item.result.model.name}, with other weights, "
                "options or source. A row is that of one model; name its results alone."
            )


def _assemble(
    used: Mapping[str, _Found], seen: Mapping[str, _Found], name: str
) -> tuple[Row, dict[str, tuple[str, ...]], tuple[str, ...]]:
    scores: list[float | None] = []
    sources: dict[str, tuple[str, ...]] = {}
    notes: list[str] = []
    for column in COLUMNS:
        parts = tasks_of(column)
        there = [used[part.name] for part in parts if part.name in used]
        if len(there) < len(parts):
            missing = [part.name for part in parts if part.name not in seen]
            if there and missing:
                notes.append(
                    f"{column} is the mean of {len(parts)} tasks and stays empty without "
                    f"{', '.join(missing)}."
                )
            scores.append(None)
            continue
        mean = statistics.fmean(item.result.primary.mean for item in there)
        scores.append(round(mean, _DECIMALS))
        sources[column] = tuple(item.where for item in there)
        notes += _remarks(column, there)
    return Row(name, "", "", tuple(scores)), sources, tuple(notes)


def _remarks(column: str, there: Sequence[_Found]) -> list[str]:
    notes = []
    for item in there:
        if item.folder is not None and not has_predictions(item.folder):
            notes.append(
                f"{column}: no predictions lie beside {item.where}, so its score could not be "
                "computed again."
            )
        if item.result.precision != "float32":
            notes.append(f"{column}: the probe was trained in {item.result.precision}.")
    return notes
