"""Bootstrap resamples of test clips, and the scores of each.

A resample draws as many clips as there are, with replacement (Efron and Tibshirani, "An
Introduction to the Bootstrap", 1993). With strata it draws from each stratum one clip less than
that has, at least one: so the variance is right in strata of few clips too (McCarthy and
Snowden, "The Bootstrap and Finite Population Sampling", 1985).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from hearbench.stats.clip_scores import ClipScore

__all__ = ["bootstrap", "resamples", "strata_of"]

# Resamples that are drawn together by one generator; what is drawn depends on it.
_CHUNK = 64
# Clips times resamples of which the scores are asked in one go.
_CELLS_PER_BLOCK = 1 << 23
# Labels of fewer clips are strata.
_COMMON = 10

_Ints = npt.NDArray[np.int64]


def strata_of(targets: npt.NDArray[np.integer]) -> npt.NDArray[np.int64]:
    """Strata that keep labels in resamples: for scores that need every label.

    A label of m clips is missing in about ``exp(-m)`` of the resamples of all clips. So only
    labels of fewer than 10 clips make a stratum; the other clips are one stratum together, in
    which the labels' shares vary from resample to resample as they do from test set to test set.
    With one label per clip none vanishes; one whose clips all have rarer labels too still can.

    Args:
        targets: (n_clips, n_labels), multi-hot.

    Returns:
        (n_clips,): the clip's rarest label (the first of equals) if that is one of fewer than
        10 clips, otherwise ``n_labels``.
    """
    positive = targets != 0
    n_clips, n_labels = positive.shape
    if not n_labels:
        return np.zeros(n_clips, dtype=np.int64)
    per_label = np.where(positive, positive.sum(axis=0), n_clips + 1)
    strata: npt.NDArray[np.int64] = np.where(
        per_label.min(axis=1) < _COMMON, per_label.argmin(axis=1), n_labels
    ).astype(np.int64)
    return strata


def resamples(
    n_clips: int,
    n_resamples: int,
    *,
    strata: npt.NDArray[np.integer] | None,
    seed: int,
    fold: int = 0,
) -> Iterator[npt.NDArray[np.float32]]:
    """Blocks of (n_clips, n_resamples of the block): how often each clip was drawn.

    Args:
        n_resamples: Number of resamples in all blocks together.
        strata: See `bootstrap`.
        seed: The same seed, strata and fold give the same resamples, and fewer of them are the
            first ones of more.
        fold: Position of the fold, which draws for itself.
    """
    order, first, size = _draws(n_clips, strata)
    per_block = max(1, _CELLS_PER_BLOCK // max(1, n_clips * _CHUNK)) * _CHUNK
    for block in range(0, n_resamples, per_block):
        stop = min(n_resamples, block + per_block)
        counts = np.zeros((n_clips, stop - block), dtype=np.float32)
        for at in range(block, stop, _CHUNK):
            rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(fold, at)))
            n = min(_CHUNK, stop - at)
            drawn = order[first + (rng.random((n, len(first))) * size).astype(np.int64)]
            drawn *= n
            drawn += np.arange(n)[:, None]
            counted = np.bincount(drawn.ravel(), minlength=n_clips * n)
            counts[:, at - block : at - block + n] = counted.reshape(n_clips, n)
        yield counts


def _draws(n_clips: int, strata: npt.NDArray[np.integer] | None) -> tuple[_Ints, _Ints, _Ints]:
    """Clips by stratum, and per draw where its stratum begins there and how large it is."""
    if strata is None:
        return np.arange(n_clips), np.zeros(n_clips, dtype=np.int64), np.full(n_clips, n_clips)
    order = np.argsort(strata, kind="stable")
    _, start, sizes = np.unique(strata[order], return_index=True, return_counts=True)
    n_draws = np.maximum(1, sizes - 1)
    return order, np.repeat(start, n_draws), np.repeat(sizes, n_draws)


def bootstrap(
    folds: Sequence[Sequence[ClipScore]],
    *,
    strata: Sequence[npt.NDArray[np.integer] | None],
    n_resamples: int,
    seed: int,
) -> npt.NDArray[np.float64]:
    """Scores of bootstrap resamples.

    All scores of a fold see the same resamples, so that differences of models, or of seeds,
    are paired; folds are drawn independently of each other. Memory doesn't grow with the
    number of resamples, but for what is returned.

    Args:
        folds: Per fold its scores, as many in every fold; all of a fold are of the same clips.
        strata: Per fold (n_clips,) as of `strata_of`, or None to draw from all clips alike.
        seed: Seed of the resamples.

    Returns:
        (n_scores, n_folds, n_resamples). The replicates of a task's score are the mean over
        axis 1.

    Raises:
        ValueError: Folds have different numbers of scores, or a fold's scores, or its strata,
            are of different numbers of clips; or there is nothing to score.
    """
    if not folds or not folds[0] or len({len(scores) for scores in folds}) > 1:
        raise ValueError("every fold needs the same number of scores, at least 1")
    if len(strata) != len(folds):
        raise ValueError(f"strata of {len(strata)} folds for {len(folds)} folds")
    found = np.empty((len(folds[0]), len(folds), n_resamples))
    for i, (scores, of_fold) in enumerate(zip(folds, strata, strict=True)):
        sizes = {score.n_clips for score in scores} | (set() if of_fold is None else {len(of_fold)})
        if len(sizes) > 1:
            raise ValueError(f"fold {i} has {sorted(sizes)} clips by turns")
        done = 0
        for counts in resamples(sizes.pop(), n_resamples, strata=of_fold, seed=seed, fold=i):
            for j, score in enumerate(scores):
                found[j, i, done : done + counts.shape[1]] = score(counts.T)
            done += counts.shape[1]
    return found
