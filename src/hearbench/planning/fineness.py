"""How finely a task's first score is graded, which decides how long probes go on learning.

Any rise of the validation, however small, lets a training go on. A share of 50 clips has 51 values:
it soon stands still, though the network goes on learning. A mean of average precisions rises with
every pair of clips that changes places, and hardly ever stands still.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hearbench.metrics import get_event_score, get_scene_score
from hearbench.metrics.event_lists import EventArrays
from hearbench.planning.facts import TaskFacts

__all__ = ["fineness"]

_TRIALS = 24
_MOST_CELLS = 1 << 17
_MOST_EVENTS = 2000
# How far predictions are moved: probabilities, and the onsets of events.
_MOVED, _MOVED_MS = 0.005, 5.0
# How far off the onsets are before, so that some are near enough to count and some aren't.
_OFF_MS = 100.0
_SEED = 0


def fineness(facts: TaskFacts) -> float:
    """How many of some slightly different predictions a task's validation tells apart.

    Returns:
        From 0, none of them, to 1, all.
    """
    if facts.on_loss:
        return 1.0
    score = _events(facts) if facts.kind == "event" else _clips(facts)
    rng = np.random.default_rng(_SEED)
    # As text, since undefined scores don't equal each other.
    found = {repr(float(score(rng))) for _ in range(_TRIALS)}
    return (len(found) - 1) / (_TRIALS - 1)


def _clips(facts: TaskFacts) -> Callable[[np.random.Generator], float]:
    n_labels = facts.n_labels
    n_clips = max(2, min(facts.folds[0].valid, _MOST_CELLS // max(1, n_labels)))
    score = get_scene_score(facts.scores[0]).function
    rng = np.random.default_rng(_SEED + 1)
    targets = np.zeros((n_clips, n_labels), dtype=np.int64)
    targets[np.arange(n_clips), np.arange(n_clips) % n_labels] = 1
    if facts.multilabel:
        targets[np.arange(n_clips), rng.integers(n_labels, size=n_clips)] = 1
    chances = rng.random((n_clips, n_labels))

    def moved(rng: np.random.Generator) -> float:
        return float(score(chances + _MOVED * rng.standard_normal(chances.shape), targets))

    return moved


def _events(facts: TaskFacts) -> Callable[[np.random.Generator], float]:
    wanted = round(facts.folds[0].valid * facts.clip_s * facts.events_per_s)
    count = max(1, min(_MOST_EVENTS, wanted))
    score = get_event_score(facts.scores[0])
    labels = tuple(map(str, range(facts.n_labels)))
    rng = np.random.default_rng(_SEED + 1)
    # An event a second, so that each is taken for itself.
    onset_ms = np.cumsum(np.full(count, 1000.0))
    clip, label = np.zeros(count, dtype=np.int64), rng.integers(facts.n_labels, size=count)
    reference = EventArrays(clip, label, onset_ms, onset_ms + 500)
    off_ms = _OFF_MS * rng.standard_normal(count)

    def moved(rng: np.random.Generator) -> float:
        moved_ms = off_ms + _MOVED_MS * rng.standard_normal(count)
        start_ms = onset_ms + moved_ms
        return float(score(reference, EventArrays(clip, label, start_ms, start_ms + 500), labels))

    return moved
