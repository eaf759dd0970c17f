"""The record of a submission, and the text of its pull request."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from hearbench.leaderboard.card import Card
from hearbench.leaderboard.columns import tasks_of
from hearbench.leaderboard.heard import HEARD_MARK, HEARD_NOTE, heard_columns
from hearbench.leaderboard.letters import is_invisible
from hearbench.leaderboard.machine import Fact
from hearbench.leaderboard.origin import Origin
from hearbench.leaderboard.table import COLUMNS, Row
from hearbench.models.rates import SAMPLE_RATES
from hearbench.records import GrownRecord, Record

__all__ = ["MeasuredModel", "Submission", "missing_columns", "pull_request", "rate_problem"]


def rate_problem(sample_rate: int | None) -> str | None:
    """Why a leaderboard can't take a model of a sample rate; None if it can, or isn't known."""
    if sample_rate is None or sample_rate in SAMPLE_RATES:
        return None
    return (
        f"the model's sample rate is {sample_rate} Hz, and the challenge's rules name "
        f"{', '.join(map(str, SAMPLE_RATES))} Hz. Let it resample from one of these."
    )


def _column(name: str) -> str:
    if name not in COLUMNS:
        raise ValueError(f"there is no column {name!r}")
    return name


Column = Annotated[str, AfterValidator(_column)]


class MeasuredModel(Record):
    """Facts of a model that are measured, where the submission form asked for them.

    Attributes:
        n_weights: Number of parameters that the model has learned.
        sample_rate: Sample rate in Hz.
        scene_embedding_size: Dimensions of the embedding of a clip.
        timestamp_embedding_size: Dimensions of the embedding of a frame.
        hop_ms: Mean time between timestamps; None if it wasn't measured.
        digest: Hash of the model's source, weights and options.
        weights_digest: SHA-256 of the weights, if they are a file.
        versions: Versions of the interpreter and libraries that ran it.
    """

    n_weights: int
    sample_rate: int
    scene_embedding_size: int
    timestamp_embedding_size: int
    hop_ms: float | None
    digest: str
    weights_digest: str | None
    versions: dict[str, str]


class Submission(GrownRecord):
    """The record of a submission: all of it but its results.

    Attributes:
        format_version: Version of this form.
        hearbench_version: Version of hearbench that made it.
        created: ISO date.
        card: The team's card.
        model: Measured facts of the model.
        scores: Scores by column, None where the task wasn't run.
        tasks: Names of all tasks that were run, those that aren't on the leaderboard included.
        missing: Reasons why columns have no score, by column.
        origin: Where its code and weights can be had; null of a folder that was submitted.
        machine: The device that ran the model, and the versions of CUDA and cuDNN there, by
            ``device``, ``cuda`` and ``cudnn``; empty in submissions of earlier versions.
    """

    LATER: ClassVar[tuple[str, ...]] = ("origin", "machine")

    format_version: Literal[1] = 1
    hearbench_version: str
    created: dt.date
    card: Card
    model: MeasuredModel
    scores: dict[Column, float | None]
    tasks: tuple[str, ...]
    missing: dict[str, str]
    origin: Origin | None = None
    machine: dict[Fact, str] = Field(default={})

    def row(self) -> Row:
        """The submission's row of the leaderboard."""
        scores = tuple(self.scores.get(column) for column in COLUMNS)
        heard = tuple(heard_columns(self.card.training_sets or ()))
        return Row(self.card.model, self.card.url, self.created.isoformat(), scores, heard)


def missing_columns(row: Row, said: Mapping[str, str], failed: Mapping[str, str]) -> dict[str, str]:
    """Gives the reasons why columns of a row are empty, from the card or from failed tasks.

    Args:
        said: Reasons of the card, by column, task or name in the catalog.
        failed: Error messages by task.
    """
    reasons = {}
    for column, score in zip(COLUMNS, row.scores, strict=True):
        if score is not None:
            continue
        names = {column, *(task.name for task in tasks_of(column))}
        names |= {task.spec.name for task in tasks_of(column)}
        own = [text for key, text in said.items() if key in names]
        wrong = [text.splitlines()[0] for key, text in failed.items() if key in names]
        reasons[column] = "; ".join([*own, *wrong]) or "not run"
    return reasons


def pull_request(submission: Submission, warnings: Sequence[str]) -> str:
    """Writes the text of a pull request: the answers of the submission form, in Markdown."""
    card, model = submission.card, submission.model
    row = submission.row()
    n_scores = sum(score is not None for score in row.scores)
    size = f"{model.scene_embedding_size} / {model.timestamp_embedding_size}"
    weights = f"{model.n_weights:,}" if model.n_weights else "none"
    hop = "" if model.hop_ms is None else f", a frame every {model.hop_ms:g} ms"
    licence = card.licence + (f"; weights: {card.weights_licence}" if card.weights_licence else "")
    versions = ", ".join(f"{name} {version}" for name, version in model.versions.items())
    answers = {
        "Model": card.model,
        "Team": card.team,
        "Authors": ", ".join(card.authors),
        "Address": card.url,
        "Paper": card.paper or "none",
        "Weights": card.weights_url or "in the package",
        "Licence": licence,
        "Pre-trained on": f"{card.pretraining}. {card.pretraining_data}".strip(),
        "Known training sets": _declared(card),
        "Learned numbers": weights,
        "Scene / timestamp embedding size": size + hop,
        "Sample rate": f"{model.sample_rate} Hz",
        "Ran with": versions,
        "Tasks": f"{n_scores} of {len(COLUMNS)} columns",
    }
    answers |= _whence(submission)
    lines = [f"# {_inline(card.model)}", "", _block(card.description), ""]
    lines += ["| | |", "| --- | --- |"]
    lines += [f"| {key} | {_inline(value)} |" for key, value in answers.items()]
    lines += ["", "| task | score |", "| --- | --- |"]
    for column, score in zip(COLUMNS, row.scores, strict=True):
        value = (
            f"{score + 0.0:.4f}"  # as otherwise -0.0 keeps its sign
            if score is not None
            else _inline(submission.missing.get(column, "not run"))
        )
        if score is not None and column in row.heard:
            value += f" {HEARD_MARK}"
        lines.append(f"| {column} | {value} |")
    if row.heard:
        lines += ["", HEARD_NOTE]
    perhaps = heard_columns(card.training_sets or (), "perhaps")
    if perhaps:
        lines += ["", "Test clips may have been in the training:", ""]
        lines += [f"- {column}: {_inline(why)}" for column, why in perhaps.items()]
    others = [task for task in submission.tasks if task not in _on_the_table()]
    if others:
        lines += ["", f"Also evaluated: {_inline(', '.join(others))}."]
    if warnings:
        lines += ["", "The validator warns of:", ""]
        lines += [f"- {_inline(text)}" for text in warnings]
    return "\n".join(lines) + "\n"


def _whence(submission: Submission) -> dict[str, str]:
    """The answers of a submission that says where it comes from, and what it ran on."""
    answers, origin, machine = {}, submission.origin, submission.machine
    if origin is not None:
        answers["Code"] = f"{origin.address}, commit {origin.commit}"
        if origin.weights_sha256 is not None:
            answers["Weights' SHA-256"] = f"{origin.weights_sha256}, {origin.weights_bytes} bytes"
    if machine:
        answers["Ran on"] = ", ".join(f"{name} {said}" for name, said in machine.items())
    return answers


def _declared(card: Card) -> str:
    if card.training_sets is None:
        return "not declared"
    return ", ".join(card.training_sets) or "none of them"


def _on_the_table() -> set[str]:
    return {task.name for column in COLUMNS for task in tasks_of(column)}


def _inline(text: str) -> str:
    """A text that stays in its cell, and in which no tag or link becomes one."""
    for letter, written in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("|", "\\|")):
        text = text.replace(letter, written)
    for letter in "`[]":
        text = text.replace(letter, f"\\{letter}")
    shown = " ".join(text.split())
    return "".join("\N{REPLACEMENT CHARACTER}" if is_invisible(c) else c for c in shown)


def _block(text: str) -> str:
    return "\n\n".join(_inline(part) for part in text.split("\n\n") if part.strip())
