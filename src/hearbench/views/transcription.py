"""Predicted events as notes, scored as music transcription is.

The scores are those of mir_eval (Raffel et al., "mir_eval: A Transparent Implementation of
Common MIR Metrics", ISMIR 2014), module ``transcription``: a note counts as found if its pitch
is right and its onset within 50 ms; for the second score its offset must also be within 50 ms
or 20 % of the reference note's length, whichever is more.

These differ from hearbench's event scores in small ways: mir_eval rounds time differences to
0.1 ms before it compares them, and gives 0 where hearbench's scores are undefined.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hearbench.errors import HearError, ResultError
from hearbench.metrics.event_lists import EventArrays
from hearbench.views.events import EventPredictions

__all__ = ["SHORTEST_NOTE_MS", "label_pitches", "transcription_scores"]

SHORTEST_NOTE_MS = 0.01
"""Length given to notes that have none, well below the 0.1 ms that mir_eval resolves."""

_MIDI_NUMBERS = {str(number): number for number in range(128)}
_ONSET_TOLERANCE_S = 0.05
_OFFSET_RATIOS: dict[str, float | None] = {"onset": None, "onset_offset": 0.2}
_PARTS = ("precision", "recall", "f_measure", "overlap")

_Floats = npt.NDArray[np.float64]


def transcription_scores(result: Path) -> dict[str, Any]:
    """Scores the test predictions of an event task as notes.

    Labels that are MIDI note numbers ("0" to "127") have the pitch of that note; see
    `label_pitches` for others. mir_eval takes no notes without a length, as the prediction of a
    single frame is: they end 0.01 ms after they start, and are counted in the answer.

    Args:
        result: The result's folder or its ``result.json``.

    Returns:
        ``onset`` and ``onset_offset``, each with ``mean`` (over clips) and ``pooled`` (notes of
        all clips together) of ``precision``, ``recall``, ``f_measure`` and ``overlap``, the mean
        ratio of common to whole duration of the pairs found; ``pooled`` also has the counts
        ``Nref``, ``Nsys`` and ``Ntp``. ``clips`` has both scores of each clip alone. A clip
        without a note in either list is undefined (NaN), and not in the mean; with notes in one
        of them only it counts as 0, as in mir_eval. ``n_clips`` counts all clips,
        ``n_undefined`` the undefined ones, ``lengthened`` the notes without a length of either
        list, ``labels_as_midi`` the labels taken as note numbers; ``model`` and ``task`` are
        names.

    Raises:
        HearError: mir_eval isn't installed.
        ResultError: The result can't be read, isn't that of an event task, or has an event that
            ends before it starts.
    """
    transcription = _mir_eval()
    predictions = EventPredictions.read(result)
    pitches = label_pitches(predictions.labels)
    tallies = {name: _Tally() for name in _OFFSET_RATIOS}
    clips: dict[str, dict[str, dict[str, float]]] = {}
    lengthened = {"reference": 0, "estimate": 0}
    for clip, *lists in predictions.events():
        notes = []
        for what, events in zip(lengthened, lists, strict=True):
            intervals, count = _intervals(events, f"{predictions.folder}, {what} of {clip!r}")
            lengthened[what] += count
            notes.append((intervals, pitches[events.label]))
        (reference, reference_hz), (estimate, estimate_hz) = _from_zero(notes)
        clips[clip] = {}
        for name, ratio in _OFFSET_RATIOS.items():
            pairs: list[tuple[int, int]] = []
            if len(reference) and len(estimate):
                pairs = transcription.match_notes(
                    reference,
                    reference_hz,
                    estimate,
                    estimate_hz,
                    onset_tolerance=_ONSET_TOLERANCE_S,
                    offset_ratio=ratio,
                )
            overlap = float(transcription.average_overlap_ratio(reference, estimate, pairs))
            clips[clip][name] = tallies[name].add(
                len(reference), len(estimate), len(pairs), overlap
            )
    return {
        "model": predictions.result.model.name,
        "task": predictions.result.task.name,
        "n_clips": len(clips),
        "n_undefined": sum(math.isnan(scores["onset"]["recall"]) for scores in clips.values()),
        "lengthened": lengthened,
        "labels_as_midi": sum(label in _MIDI_NUMBERS for label in predictions.labels),
        **{name: tally.summary() for name, tally in tallies.items()},
        "clips": clips,
    }


def label_pitches(labels: Sequence[str]) -> _Floats:
    """Gives each label a pitch, no two of them less than a semitone apart.

    MIDI note numbers have the pitch of equal temperament with 440 Hz for 69. Other labels stand
    for no pitch, so they are put above the last of those, one semitone after the other: mir_eval
    only asks whether two pitches are within 50 cents.

    Args:
        labels: The vocabulary, without repetitions.

    Returns:
        (n_labels,) in Hz.
    """
    others = iter(range(len(_MIDI_NUMBERS), len(_MIDI_NUMBERS) + len(labels)))
    notes = [_MIDI_NUMBERS[x] if x in _MIDI_NUMBERS else next(others) for x in labels]
    hertz: _Floats = 440.0 * 2.0 ** ((np.array(notes, dtype=np.float64) - 69.0) / 12.0)
    return hertz


@dataclass
class _Tally:
    """Counts and scores, added up over clips."""

    n_reference: int = 0
    n_estimate: int = 0
    n_matched: int = 0
    overlaps: float = 0.0
    clips: list[dict[str, float]] = field(default_factory=list)

    def add(
        self, n_reference: int, n_estimate: int, n_matched: int, overlap: float
    ) -> dict[str, float]:
        """Adds a clip and returns its scores."""
        self.n_reference += n_reference
        self.n_estimate += n_estimate
        self.n_matched += n_matched
        self.overlaps += n_matched * overlap
        scores = _scores(n_reference, n_estimate, n_matched, overlap)
        if n_reference or n_estimate:
            self.clips.append(scores)
        return scores

    def summary(self) -> dict[str, dict[str, float]]:
        """Returns means over clips, and the scores of all notes together."""
        overlap = self.overlaps / self.n_matched if self.n_matched else 0.0
        return {
            "mean": {
                part: math.fsum(clip[part] for clip in self.clips) / len(self.clips)
                if self.clips
                else math.nan
                for part in _PARTS
            },
            "pooled": {
                **_scores(self.n_reference, self.n_estimate, self.n_matched, overlap),
                "Nref": self.n_reference,
                "Nsys": self.n_estimate,
                "Ntp": self.n_matched,
            },
        }


def _scores(n_reference: int, n_estimate: int, n_matched: int, overlap: float) -> dict[str, float]:
    if not n_reference and not n_estimate:
        return dict.fromkeys(_PARTS, math.nan)
    precision = n_matched / n_estimate if n_estimate else 0.0
    recall = n_matched / n_reference if n_reference else 0.0
    total = precision + recall
    f_measure = 2 * precision * recall / total if total else 0.0
    return dict(zip(_PARTS, (precision, recall, f_measure, overlap), strict=True))


def _intervals(events: EventArrays, where: str) -> tuple[_Floats, int]:
    """Returns (n_events, 2) starts and ends in seconds, and how many had to be lengthened."""
    backwards = np.flatnonzero(events.offset_ms < events.onset_ms)
    if len(backwards):
        i = int(backwards[0])
        raise ResultError(
            f"{where}: an event goes from {events.onset_ms[i]} to {events.offset_ms[i]} ms. "
            "Notes can't end before they start."
        )
    end_ms = np.maximum(events.offset_ms, events.onset_ms + SHORTEST_NOTE_MS)
    intervals = np.stack([events.onset_ms, end_ms], axis=1) / 1000.0
    return intervals, int(np.count_nonzero(end_ms > events.offset_ms))


def _from_zero(notes: list[tuple[_Floats, _Floats]]) -> list[tuple[_Floats, _Floats]]:
    # mir_eval refuses negative times, though only differences of times matter to it.
    earliest = min(float(intervals.min(initial=0.0)) for intervals, _ in notes)
    return [(intervals - earliest, hertz) for intervals, hertz in notes]


def _mir_eval() -> Any:
    try:
        import mir_eval.transcription  # type: ignore[import-untyped]
    except ImportError as error:
        raise HearError(
            "Transcription scores need mir_eval, which isn't installed. Install it with "
            "`pip install 'hearbench[transcription]'`.",
            code="not_installed",
        ) from error
    return mir_eval.transcription
