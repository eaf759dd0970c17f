"""Parts of the training clips: learning from few labels.

A part is a share of the clips, stratified over the labels, or a number of clips per label. It
is drawn clip after clip in an order that depends on the labels, the seed and the repeat alone,
so a smaller part is contained in every larger one of its repeat.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from pydantic import Field, ValidationError, model_validator

from hearbench.errors import ProbeError
from hearbench.probe.randomness import stream_seed
from hearbench.records import Record
from hearbench.tasks.clips import label_of

if TYPE_CHECKING:
    from hearbench.tasks.store import FoldSplit, PreparedTask

__all__ = ["FEWEST_CLIPS", "TrainSubset", "choose_clips", "mean_training_clips", "training_clips"]

FEWEST_CLIPS = 2
"""What a probe needs at least: its layers are normalised over the clips of a batch."""

_LABEL = re.compile(
    r"(?:fraction=(?P<fraction>[\d.e+-]+)|shots=(?P<shots>\d+)),repeat=(?P<repeat>\d+)"
)
# Among how many clips of a label the one is looked for whose other labels fit best.
_WINDOW = 16


class TrainSubset(Record):
    """Which part of the training clips is learned from.

    Attributes:
        fraction: Share of the clips, in (0, 1].
        shots: Clips per label, instead of a share.
        repeat: Number of the independent draw, from 0.
    """

    fraction: float | None = Field(default=None, gt=0, le=1, allow_inf_nan=False)
    shots: int | None = Field(default=None, ge=1)
    repeat: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _exactly_one(self) -> TrainSubset:
        if (self.fraction is None) == (self.shots is None):
            raise ValueError("exactly one of fraction and shots is needed")
        return self

    @property
    def point(self) -> str:
        """Size of the part without the repeat: ``fraction=0.1`` or ``shots=5``."""
        if self.fraction is None:
            return f"shots={self.shots}"
        return f"fraction={str(self.fraction).removesuffix('.0')}"

    def label(self) -> str:
        """A name for protocols and folders: ``fraction=0.1,repeat=0``."""
        return f"{self.point},repeat={self.repeat}"

    @classmethod
    def from_label(cls, text: str) -> TrainSubset:
        """What has that label.

        Raises:
            ProbeError: Nothing has.
        """
        matched = _LABEL.fullmatch(text)
        try:
            found = cls.model_validate(matched.groupdict() if matched else {})
        except ValidationError as error:
            raise ProbeError(
                f"{text!r} names no part of the training clips; fraction=0.1,repeat=0 would."
            ) from error
        if found.label() != text:
            raise ProbeError(f"{text!r} would be {found.label()!r}.")
        return found

    def with_repeat(self, repeat: int) -> TrainSubset:
        """The same part in another draw."""
        return self.model_copy(update={"repeat": repeat})


def choose_clips(
    label_sets: Sequence[frozenset[int]], subset: TrainSubset, *, seed: int
) -> npt.NDArray[np.int64]:
    """Chooses the training clips that are learned from.

    A share f of n clips is f n of them, rounded. Every label comes once before any comes twice
    (the frequent ones first); beyond that labels keep their proportions. Where every clip has one
    label, a label never has more than its exact share rounded up, and as soon as all shares are
    at least 1, never less than it rounded down: so does the method of largest remainders, which
    however takes clips away again when the part grows. Where clips have several labels, each
    step serves the label that is the furthest behind its share, by the clip whose other labels
    fit best: the idea of iterative stratification, for every size at once. Clips without labels
    are kept in proportion, like those of a label.

    Shots take clips of the rarest label first, until every label has that many or all that there
    are. A clip counts for all its labels, so frequent ones may get more; clips without labels
    are never taken.

    Of one seed and repeat, smaller shares are contained in larger ones, and fewer shots in more.

    Args:
        label_sets: (n_clips) the labels of each clip, as indices; of an event task, those of its
            events. In an order that is the task's own, not a file system's.
        subset: The part to draw.
        seed: Seed of the draw, with the repeat; other repeats are independent.

    Returns:
        Positions of the chosen clips, ascending, int64 of shape (n_chosen,).

    Raises:
        ProbeError: Fewer than two clips come out.

    Source: stratification in the sense of Sechidis, Tsoumakas and Vlahavas, "On the
    stratification of multi-label data", ECML PKDD 2011; that shares can be kept within 1 for
    every size at once, by the earliest deadline: Steiner and Yeomans, "Level schedules for
    mixed-model, just-in-time processes", Management Science 39, 1993.
    """
    generator = np.random.default_rng((seed, subset.repeat))
    if subset.fraction is not None:
        count = math.floor(subset.fraction * len(label_sets) + 0.5)
        chosen = _share(label_sets, count, generator) if count >= FEWEST_CLIPS else [0] * count
    else:
        chosen = _shots(label_sets, subset.shots or 1, generator)
    if len(chosen) < FEWEST_CLIPS:
        more = "a larger --train-fraction" if subset.fraction is not None else "more --shots"
        raise ProbeError(
            f"{subset.point} of {len(label_sets)} training clips leaves {len(chosen)}, and a probe "
            f"needs at least {FEWEST_CLIPS} to train on. Use {more}, or a larger task."
        )
    return np.array(sorted(chosen), dtype=np.int64)


def _members(
    label_sets: Sequence[frozenset[int]], generator: np.random.Generator
) -> dict[int, list[int]]:
    """The clips of each label in a random order; the labels in a random order too."""
    members: dict[int, list[int]] = {label: [] for label in sorted(set().union(*label_sets))}
    for clip in generator.permutation(len(label_sets)).tolist():
        for label in label_sets[clip]:
            members[label].append(clip)
    labels = list(members)
    return {labels[i]: members[labels[i]] for i in generator.permutation(len(labels)).tolist()}


def _shots(
    label_sets: Sequence[frozenset[int]], shots: int, generator: np.random.Generator
) -> list[int]:
    """Level by level, so that fewer shots are what more begin with."""
    members = _members(label_sets, generator)
    waiting = sorted(members, key=lambda label: len(members[label]))
    have = dict.fromkeys(members, 0)
    position = dict.fromkeys(members, 0)
    chosen: dict[int, None] = {}
    for level in range(1, shots + 1):
        waiting = [label for label in waiting if len(members[label]) >= level]
        if not waiting:
            break
        for label in waiting:
            while have[label] < level:
                clip = members[label][position[label]]
                position[label] += 1
                if clip not in chosen:
                    chosen[clip] = None
                    for other in label_sets[clip]:
                        have[other] += 1
    return list(chosen)


def _share(
    label_sets: Sequence[frozenset[int]], count: int, generator: np.random.Generator
) -> list[int]:
    """The first ``count`` clips of an order that is stratified as far as one follows it."""
    # Clips without labels are a stratum of their own.
    sets = [labels or frozenset({-1}) for labels in label_sets]
    members = _members(sets, generator)
    index = {label: i for i, label in enumerate(members)}
    rows = [sorted(index[label] for label in labels) for labels in sets]
    strata = [_Stratum(clips) for clips in members.values()]
    total = [len(clips) for clips in members.values()]
    window = 1 if all(len(row) == 1 for row in rows) else _WINDOW
    # Quotients of equal ratios are equal floats, so comparing these is exact. A label's next
    # clip is due when its share has grown by it; the first is due before all others.
    have = [0] * len(total)
    reached = np.zeros(len(total))
    due = 1 / np.array(total) - len(sets)
    chosen = bytearray(len(sets))
    order: list[int] = []
    for step in range(1, count + 1):
        now = step / len(sets)
        # Of the labels that are behind their share, the one whose next clip is due first. With
        # several labels per clip none may be behind.
        urgency = np.where(reached < now, due, np.inf)
        label = int(urgency.argmin())
        if urgency[label] == np.inf:
            label = int(due.argmin())
        candidates = strata[label].first(chosen, window)
        clip = candidates[0]
        if len(candidates) > 1:
            clip = min(candidates, key=lambda one: _misfit(rows[one], have, total, now))
        order.append(clip)
        chosen[clip] = True
        for label in rows[clip]:
            have[label] += 1
            reached[label] = have[label] / total[label]
            left = have[label] < total[label]
            due[label] = (have[label] + 1) / total[label] if left else np.inf
    return order


class _Stratum:
    """The clips of a label, of which the first that are left can be looked at.

    Args:
        clips: The clips, in their order.
    """

    def __init__(self, clips: Sequence[int]) -> None:
        self._rest = iter(clips)
        self._window: list[int] = []

    def first(self, chosen: Sequence[int], count: int) -> list[int]:
        """The first clips that aren't chosen yet, at most ``count``."""
        window = [clip for clip in self._window if not chosen[clip]]
        while len(window) < count:
            clip = next(self._rest, None)
            if clip is None:
                break
            if not chosen[clip]:
                window.append(clip)
        self._window = window
        return window


def _misfit(
    row: Sequence[int], have: Sequence[int], total: Sequence[int], now: float
) -> tuple[int, float]:
    """How badly a clip's labels would be served by it, the number of new labels first.

    The second is what the clip adds to the sum over labels of (count - share)**2 / clips of the
    label, but for a term that all clips have in common.
    """
    new, added = 0, 0.0
    for label in row:
        new += not have[label]
        added += 2 * (have[label] / total[label] - now) + 1 / total[label]
    return -new, added


def training_clips(
    task: PreparedTask, fold: FoldSplit, subset: TrainSubset | None
) -> dict[str, list[int]]:
    """The training clips by split, as ascending positions in its file's order.

    They are the same for every model and every seed of the training, as if they belonged to the
    task; other folds and repeats draw again.

    Args:
        fold: One of its folds.
        subset: A part of the clips; None is all.

    Raises:
        ProbeError: Fewer than two clips come out.
    """
    sizes = [(split, len(task.splits[split])) for split in fold.train]
    if subset is None:
        return {split: list(range(size)) for split, size in sizes}
    index = {label: i for i, label in enumerate(task.vocabulary)}
    label_sets = [
        frozenset(index[label_of(item)] for item in labels)
        for split in fold.train
        for labels in task.splits[split].values()
    ]
    seed = stream_seed("subset", fold.test)
    chosen = choose_clips(label_sets, subset, seed=seed).tolist()
    found, start = {}, 0
    for split, size in sizes:
        found[split] = [i - start for i in chosen if start <= i < start + size]
        start += size
    return found


def mean_training_clips(task: PreparedTask, subset: TrainSubset | None) -> float:
    """Number of training clips, the mean over the task's folds.

    Raises:
        ProbeError: Fewer than two clips come out in a fold.
    """
    folds = task.folds()
    counts = [
        sum(len(clips) for clips in training_clips(task, fold, subset).values()) for fold in folds
    ]
    return sum(counts) / len(folds)
