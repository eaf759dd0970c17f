"""How fast a result's scores and intervals are computed here, on random predictions."""

from __future__ import annotations

import time

import numpy as np
import numpy.typing as npt

from hearbench.metrics.event_lists import EventArrays
from hearbench.planning.facts import TaskFacts
from hearbench.stats.clip_scores import ClipScore, event_clip_score, scene_clip_score

__all__ = ["measure_result"]

# As `hearbench.results.uncertainty` does.
_RESAMPLES = 2000
_TRIED = 40
_MOST_CELLS = 1 << 20
_SEED = 0


def measure_result(facts: TaskFacts) -> float:
    """Seconds to score all test splits once and to resample their clips.

    Tried on fewer clips and resamples than there will be where those would take long, and taken
    to grow with their numbers.
    """
    seconds = 0.0
    for fold in facts.folds[:1]:
        most = max(64, _MOST_CELLS // max(1, facts.n_labels))
        n_clips = max(2, min(fold.test, most))
        rng = np.random.default_rng(_SEED)
        weights = rng.multinomial(n_clips, np.full(n_clips, 1 / n_clips), _TRIED)
        for name in facts.scores:
            started = time.perf_counter()
            score = _score(name, facts, n_clips, rng)
            made = time.perf_counter()
            score(weights)
            per_resample = (time.perf_counter() - made) / _TRIED
            grown = fold.test / n_clips
            seconds += grown * (made - started + _RESAMPLES * per_resample)
    return seconds * len(facts.folds)


def _score(name: str, facts: TaskFacts, n_clips: int, rng: np.random.Generator) -> ClipScore:
    labels = tuple(map(str, range(facts.n_labels)))
    if facts.kind == "event":
        return event_clip_score(
            name, _events(facts, n_clips, rng), _events(facts, n_clips, rng), n_clips, labels
        )
    targets = np.zeros((n_clips, facts.n_labels), dtype=np.int64)
    targets[np.arange(n_clips), np.arange(n_clips) % facts.n_labels] = 1
    chances: npt.NDArray[np.float64] = rng.random((n_clips, facts.n_labels))
    return scene_clip_score(name, chances, targets)


def _events(facts: TaskFacts, n_clips: int, rng: np.random.Generator) -> EventArrays:
    count = max(1, round(facts.events_per_s * facts.clip_s * n_clips))
    onset_ms = rng.random(count) * facts.clip_s * 1000
    return EventArrays(
        rng.integers(n_clips, size=count),
        rng.integers(facts.n_labels, size=count),
        onset_ms,
        onset_ms + 500,
    )
