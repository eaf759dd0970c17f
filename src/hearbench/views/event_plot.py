"""Events of one clip over time: reference, prediction, and the probabilities behind them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hearbench.errors import HearError, ResultError, UnknownNameError
from hearbench.files import atomic_write, write_text
from hearbench.registry import did_you_mean
from hearbench.views.event_predictions import ClipPredictions, EventPredictions
from hearbench.views.event_status import ClipComparison, ComparedEvent, Status, compare_clip

__all__ = ["EventPlot", "plot_events"]

_MOST_LANES = 40
# Lanes of a clip without any event, so that there is something to see.
_LIKELIEST = 5
_STATUSES: tuple[Status, ...] = ("matched", "missed", "spurious")


@dataclass(frozen=True)
class EventPlot:
    """What is drawn of a clip.

    Attributes:
        clip: Its name.
        task: The task's name.
        model: The model's name.
        labels: The vocabulary.
        comparison: All of the clip's events and its scores.
        start_s: Where the time axis begins.
        end_s: Where it ends.
        lanes: Positions of the drawn labels in the vocabulary, from the top.
        events: The events that are drawn, in the order of their starts.
        timestamps_ms: (n_frames,) of the frames that are drawn.
        probabilities: (n_frames, n_lanes) of them.
        notes: What isn't drawn, and why; sentences.
    """

    clip: str
    task: str
    model: str
    labels: tuple[str, ...]
    comparison: ClipComparison
    start_s: float
    end_s: float
    lanes: tuple[int, ...]
    events: tuple[ComparedEvent, ...]
    timestamps_ms: npt.NDArray[np.float64]
    probabilities: npt.NDArray[np.float32]
    notes: tuple[str, ...]

    @property
    def counts(self) -> dict[Status, int]:
        """How many pairs, missed and spurious events are drawn."""
        found = Counter(event.status for event in self.events)
        return {status: found[status] for status in _STATUSES}

    def score_line(self) -> str:
        """The score's name and its parts on the whole clip."""
        parts, comparison = self.comparison.parts, self.comparison
        text = ", ".join(
            f"{name} {_number(parts[part])}"
            for name, part in (
                ("F-measure", "f_measure"),
                ("precision", "precision"),
                ("recall", "recall"),
            )
        )
        rule = comparison.rule_in_words()
        if comparison.score.endswith("_fms"):
            return f"{comparison.score} of this clip ({rule}): {text}"
        return f"{comparison.score} of this clip: {_number(comparison.value)}; by {rule}: {text}"


def plot_events(
    result: Path,
    clip: str,
    out: Path,
    *,
    labels: Sequence[str] | None = None,
    start_s: float | None = None,
    end_s: float | None = None,
) -> EventPlot:
    """Draws the reference and the predicted events of a clip.

    Which events match is decided on the whole clip by the rule of the result's primary score,
    so parts of a clip show the same as the whole of it.

    Args:
        result: An event task's result folder or its ``result.json``.
        clip: Name of a test clip.
        out: The file to write: ``.png``, or ``.html`` for a page with the figure, a summary and
            a table of the events.
        labels: The labels to draw; by default those with an event, 40 of them at most.
        start_s: Begin of what is drawn, in s; by default the clip's.
        end_s: End of what is drawn, in s; by default the clip's.

    Returns:
        What was drawn.

    Raises:
        HearError: matplotlib isn't installed, or the file's ending or the times make no sense.
        UnknownNameError: There is no such clip or label.
        ResultError: The result can't be read or isn't that of an event task, or the file can't
            be written.
    """
    ending = out.suffix.lower()
    if ending not in (".png", ".html"):
        raise HearError(f"{out}: plots are written as .png or .html; choose such a name.")
    predictions = EventPredictions.read(result)
    plot = _arrange(predictions, predictions.clip(clip), labels, start_s, end_s)
    # matplotlib is only loaded once there is something to draw.
    from hearbench.views.event_figure import draw, write_png, write_svg
    from hearbench.views.event_page import event_page

    figure = draw(plot)
    try:
        if ending == ".png":
            with atomic_write(out) as file:
                write_png(figure, file)
        else:
            write_text(out, event_page(plot, write_svg(figure)))
    except OSError as error:
        raise ResultError(f"{out} can't be written: {error.strerror}.") from error
    return plot


def _arrange(
    predictions: EventPredictions,
    clip: ClipPredictions,
    labels: Sequence[str] | None,
    start_s: float | None,
    end_s: float | None,
) -> EventPlot:
    begin, end = _window(clip, start_s, end_s)
    notes: list[str] = []
    comparison = compare_clip(clip, predictions.labels, predictions.result.primary_score)
    within = [
        event
        for event in comparison.events
        if event.end_ms >= begin * 1000.0 and event.start_ms <= end * 1000.0
    ]
    if labels:
        wanted = _positions(labels, predictions)
        within = [event for event in within if event.label in wanted]
        notes.append("Only the labels that were asked for are drawn.")
    else:
        wanted = list({event.label: None for event in within})
    if not wanted:
        wanted = _likeliest(clip.probabilities)
        notes.append("No event here; the likeliest labels are shown.")
    if len(wanted) > _MOST_LANES:
        frequent = Counter(dict.fromkeys(wanted, 0))
        frequent.update(event.label for event in within)
        notes.append(
            f"{_MOST_LANES} of {len(wanted)} labels are drawn, those with the most events; "
            "name others to see them."
        )
        wanted = [label for label, _ in frequent.most_common(_MOST_LANES)]
        within = [event for event in within if event.label in wanted]
    if start_s is not None or end_s is not None:
        notes.append(f"Only {begin:g} to {end:g} s of {clip.length_ms / 1000.0:.3f} s are drawn.")
    lanes = _ordered(wanted, predictions.labels)
    shown = (clip.timestamps_ms >= begin * 1000.0) & (clip.timestamps_ms <= end * 1000.0)
    probabilities = clip.probabilities[shown][:, list(lanes)]
    if len(probabilities) and not np.isfinite(probabilities).any():
        notes.append("Probabilities are undefined: no probe could be chosen.")
    return EventPlot(
        clip=clip.name,
        task=predictions.result.task.name,
        model=predictions.result.model.name,
        labels=predictions.labels,
        comparison=comparison,
        start_s=begin,
        end_s=end,
        lanes=lanes,
        events=tuple(within),
        timestamps_ms=clip.timestamps_ms[shown],
        probabilities=probabilities,
        notes=tuple(notes),
    )


def _window(
    clip: ClipPredictions, start_s: float | None, end_s: float | None
) -> tuple[float, float]:
    length_s = clip.length_ms / 1000.0
    begin = 0.0 if start_s is None else start_s
    # A clip without frames or events still has an axis.
    end = (length_s or 1.0) if end_s is None else end_s
    finite = math.isfinite(begin) and math.isfinite(end)
    if not finite or not 0 <= begin < end or begin > length_s:
        raise HearError(
            f"From {begin:g} to {end:g} s is no stretch of the clip {clip.name!r}, which is "
            f"{length_s:.3f} s long."
        )
    return begin, end


def _positions(labels: Sequence[str], predictions: EventPredictions) -> list[int]:
    task = predictions.result.task.name
    index = {label: i for i, label in enumerate(predictions.labels)}
    for label in labels:
        if label not in index:
            raise UnknownNameError(
                f"{task} has no label {label!r}. {did_you_mean(label, list(index))}"
            )
    return list(dict.fromkeys(index[label] for label in labels))


def _likeliest(probabilities: npt.NDArray[np.float32]) -> list[int]:
    highest = np.nan_to_num(probabilities).max(axis=0, initial=0.0)
    return [int(i) for i in np.argsort(-highest, kind="stable")[:_LIKELIEST]]


def _ordered(wanted: Sequence[int], labels: Sequence[str]) -> tuple[int, ...]:
    """In the order of the vocabulary; numbers, as of notes, with the highest on top."""
    if all(label.isdecimal() for label in labels):
        return tuple(sorted(wanted, key=lambda label: -int(labels[label])))
    return tuple(sorted(wanted))


def _number(value: float) -> str:
    return "undefined" if math.isnan(value) else f"{value:.3f}"
