"""The parts of a corpus: events in time, and rows of clips before preparation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["Clip", "Event", "Excerpt", "Item", "Label", "Value", "label_of"]

Label = str
"""A label in memory; files may hold it as an integer, and it is always ``str()`` of that."""


@dataclass(frozen=True, slots=True)
class Event:
    """A labelled stretch of a clip, in milliseconds from the clip's start."""

    label: Label
    start_ms: float
    end_ms: float


@dataclass(frozen=True, slots=True)
class Value:
    """A number that a clip has as a whole, in the units of what the label names."""

    label: Label
    value: float


Item = Label | Event | Value
"""One thing that is annotated of a clip."""


def label_of(item: Item) -> Label:
    """The label of what is annotated: itself, that of an event, or what a value is of."""
    return item if isinstance(item, str) else item.label


@dataclass(frozen=True, slots=True)
class Excerpt:
    """A part of a recording, in samples at the recording's own rate."""

    start: int
    n_samples: int


@dataclass(frozen=True, slots=True)
class Clip:
    """One row of a raw corpus: an audio file with one label (or one event), or with none.

    A file with several labels or events has several rows, alike but for those.

    Attributes:
        filestem: Names the output file; unique over the corpus.
        label: The label, or None for a clip without labels or events.
        split: The split that the corpus puts it in (``"train"``, ``"fold03"``), if it does.
        start_ms: Onset of the event, for event tasks.
        end_ms: Offset of the event, for event tasks.
        split_key: Clips of one key share a split (a speaker, an uploader); by default the
            ``filestem``.
        excerpt: The part of the file that is the clip; by default all of it.
        captions: Texts that describe the clip, the same in all of its rows.
        value: The number that the clip has under the label, for regression tasks.
    """

    path: Path
    filestem: str
    label: Label | None
    split: str | None = None
    start_ms: float | None = None
    end_ms: float | None = None
    split_key: str | None = None
    excerpt: Excerpt | None = None
    captions: tuple[str, ...] = ()
    value: float | None = None

    @property
    def key(self) -> str:
        """The group that is never divided between splits."""
        return self.filestem if self.split_key is None else self.split_key
