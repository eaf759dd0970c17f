"""Matching of reference and estimated events: one-to-one, as many pairs as possible.

Two events of one clip can match if their labels are equal, their onsets differ by at most a
collar, and, where a rule asks for it, their offsets by at most the larger of a collar and a
share of the reference's length. A maximum matching is a largest set of such pairs in which no
event is twice. Its size is the number of true positives of sed_eval's ``optimal`` matching
(Mesaros et al., "Metrics for Polyphonic Sound Event Detection", Applied Sciences 6(6), 2016);
which of several largest sets is taken doesn't matter for any score.

Conventions: times are compared in seconds in float64, by the very comparisons of sed_eval.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from hearbench.metrics.blocks import blocks_of
from hearbench.metrics.event_lists import EventArrays

__all__ = ["MatchRule", "match_events"]

_Ints = npt.NDArray[np.int64]
_Floats = npt.NDArray[np.float64]

# Candidate pairs that are looked at in one go; bounds the memory of the offset's test.
_PAIRS_PER_BLOCK = 1 << 22


@dataclass(frozen=True)
class MatchRule:
    """The conditions on which two events of one clip and label can match.

    Attributes:
        onset_collar_s: Largest difference of the onsets, inclusive; above 0.
        offset_collar_s: Largest difference of the offsets, inclusive; None to ignore offsets.
        offset_share: Share of the reference's length that the offsets may differ by, where
            that is more than the collar.
    """

    onset_collar_s: float
    offset_collar_s: float | None = None
    offset_share: float = 0.0


def match_events(reference: EventArrays, estimate: EventArrays, rule: MatchRule) -> _Ints:
    """A maximum matching of each clip.

    Events of different clips or labels never match, so the problem falls apart into one per
    clip and label, in which a reference's candidates are the estimates of a window of onsets.
    Windows all have one length, so in order of onsets neither their first nor their last
    estimate ever goes back; rounding doesn't change that, since ``fl(r - e)`` is monotone in
    both.

    By onsets alone, this makes the greedy choice optimal: take the references in order and
    give each the first free estimate of its window. Say a maximum matching agrees with it up
    to a reference r, which the greedy choice pairs with e. If neither is matched otherwise,
    the pair could be added; if one of them is, swap that pair for (r, e). If r has e' and a
    later r' has e, then r' can have e' instead: e' comes after e, so it is not before the
    window of r', and it is in the window of r, which ends no later than that of r'. None of
    this loses a pair, and the agreement is one reference longer.

    With offsets the windows have holes, and a maximum flow is sought in the sparse graph of all
    clips at once. (SciPy's Dinic, which on such networks is Hopcroft and Karp's algorithm; its
    ``maximum_bipartite_matching`` takes minutes where a thousand notes are all candidates of
    each other.)

    Returns:
        (n_pairs, 2) int64: positions in ``reference`` and in ``estimate``.
    """
    if not len(reference) or not len(estimate):
        return np.zeros((0, 2), dtype=np.int64)
    reference_order, estimate_order = reference.order, estimate.order
    reference = reference.take(reference_order)
    estimate = estimate.take(estimate_order)
    first, stop = _windows(reference, estimate, rule.onset_collar_s)
    if rule.offset_collar_s is None:
        matched = _greedy(first, stop)
    else:
        matched = _by_flow(reference, estimate, first, stop, rule)
    hit = np.flatnonzero(matched >= 0)
    return np.stack([reference_order[hit], estimate_order[matched[hit]]], axis=1).astype(np.int64)


def _windows(reference: EventArrays, estimate: EventArrays, collar_s: float) -> tuple[_Ints, _Ints]:
    """The first estimate of each reference's window and the one after its last.

    Both lists are sorted by clip, label and onset, and so are the windows.
    """
    n_labels = 1 + int(max(reference.label.max(), estimate.label.max()))
    reference_group = reference.clip * n_labels + reference.label
    estimate_group = estimate.clip * n_labels + estimate.label
    reference_s, estimate_s = reference.onset_s, estimate.onset_s
    earliest = min(reference_s.min(), estimate_s.min())
    span = max(reference_s.max(), estimate_s.max()) - earliest + 3 * collar_s
    # One axis for all groups, each at a distance from the next. Its rounding makes the places
    # that are found on it guesses; the comparison itself decides.
    keys = estimate_group * span + (estimate_s - earliest)
    wanted = reference_group * span + (reference_s - earliest)

    def settled(side: Literal["left", "right"]) -> _Ints:
        def is_before(i: _Ints, at: _Ints) -> npt.NDArray[np.bool_]:
            late_by = reference_s[i] - estimate_s[at]
            early = late_by > collar_s if side == "left" else late_by >= -collar_s
            ahead = estimate_group[at] - reference_group[i]
            before: npt.NDArray[np.bool_] = (ahead < 0) | ((ahead == 0) & early)
            return before

        bound = wanted - collar_s if side == "left" else wanted + collar_s
        guess = np.searchsorted(keys, bound, side=side).astype(np.int64)
        return _settle(guess, len(keys), is_before)

    return settled("left"), settled("right")


def _settle(
    guess: _Ints, length: int, is_before: Callable[[_Ints, _Ints], npt.NDArray[np.bool_]]
) -> _Ints:
    """Moves each guess to the first position that isn't before its bound.

    ``is_before(i, at)`` says so of position ``at`` and bound ``i``; of all positions it is
    true up to some place and false after it.
    """
    moving = np.arange(len(guess))
    while len(moving := moving[guess[moving] > 0]):
        moving = moving[~is_before(moving, guess[moving] - 1)]
        guess[moving] -= 1
    moving = np.arange(len(guess))
    while len(moving := moving[guess[moving] < length]):
        moving = moving[is_before(moving, guess[moving])]
        guess[moving] += 1
    return guess


def _greedy(first: _Ints, stop: _Ints) -> _Ints:
    """The estimate of each reference, -1 for none; windows never go back."""
    matched = np.full(len(first), -1, dtype=np.int64)
    live = np.flatnonzero(stop > first)
    if not len(live):
        return matched
    first, stop = first[live], stop[live]
    # A window that shares nothing with its neighbours' has its first estimate to itself.
    shares = first[1:] < stop[:-1]
    crowded = np.zeros(len(live), dtype=bool)
    crowded[1:] |= shares
    crowded[:-1] |= shares
    matched[live] = np.where(crowded, -1, first)
    free = 0
    rivals = live[crowded]
    chosen = []
    for start, end in zip(first[crowded].tolist(), stop[crowded].tolist(), strict=True):
        at = max(start, free)
        if at < end:
            chosen.append(at)
            free = at + 1
        else:
            chosen.append(-1)
    matched[rivals] = chosen
    return matched


def _by_flow(
    reference: EventArrays,
    estimate: EventArrays,
    first: _Ints,
    stop: _Ints,
    rule: MatchRule,
) -> _Ints:
    """The estimate of each reference, -1 for none; offsets must match as well."""
    rows, columns = _pairs_with_offsets(reference, estimate, first, stop, rule)
    matched = np.full(len(reference), -1, dtype=np.int64)
    # Most events have one candidate that has no other, and need no search.
    row_degree = np.bincount(rows, minlength=len(reference))
    column_degree = np.bincount(columns, minlength=len(estimate))
    alone = (row_degree[rows] == 1) & (column_degree[columns] == 1)
    matched[rows[alone]] = columns[alone]
    rows, columns = rows[~alone], columns[~alone]
    if not len(rows):
        return matched
    names, row = np.unique(rows, return_inverse=True)
    column_names, column = np.unique(columns, return_inverse=True)
    n, m = len(names), len(column_names)
    source, sink = n + m, n + m + 1
    tails = np.concatenate([row, np.full(n, source), np.arange(n, n + m)])
    heads = np.concatenate([column + n, np.arange(n), np.full(m, sink)])
    # A matrix, not an array, for SciPy's older versions; its type stubs ask for the array.
    # Loaded for the few clips whose events compete, and not for every result that is read.
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import maximum_flow

    network: Any = csr_matrix(
        (np.ones(len(tails), dtype=np.int32), (tails, heads)), shape=(n + m + 2, n + m + 2)
    )
    flow = maximum_flow(network, source, sink, method="dinic").flow[:n, n : n + m].tocoo()
    used = flow.data > 0
    matched[names[flow.row[used]]] = column_names[flow.col[used]]
    return matched


def _pairs_with_offsets(
    reference: EventArrays,
    estimate: EventArrays,
    first: _Ints,
    stop: _Ints,
    rule: MatchRule,
) -> tuple[_Ints, _Ints]:
    """All pairs that can match, as positions in the two lists."""
    reference_s, estimate_s = reference.offset_s, estimate.offset_s
    collar_s = np.maximum(
        rule.offset_collar_s or 0.0, rule.offset_share * (reference_s - reference.onset_s)
    )
    rows, columns = [], []
    for some in blocks_of(stop - first, _PAIRS_PER_BLOCK):
        counts = stop[some] - first[some]
        row = np.repeat(np.arange(some.start, some.stop), counts)
        column = first[row] + np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)
        hit = np.abs(reference_s[row] - estimate_s[column]) <= collar_s[row]
        rows.append(row[hit])
        columns.append(column[hit])
    return np.concatenate(rows), np.concatenate(columns)
