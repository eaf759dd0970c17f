"""A shortest tour through points, by which neighbours in a matrix are alike.

Up to 60 points the tour is a shortest one: an integer programme over the edges, to which the
constraint against each closed part of a solution is added until the solution is one tour
(Dantzig, Fulkerson and Johnson, "Solution of a Large-Scale Traveling-Salesman Problem", 1954).
Beyond, or if that takes too long, it is a good one: the best of the tours by nearest neighbours
from every point, improved by reversing stretches (2-opt) for as long as that shortens it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

__all__ = ["shortest_tour", "tour_length"]

_MOST_EXACT = 60
_MOST_ROUNDS = 100
_SECONDS_PER_ROUND = 10.0
_SHORTER = 1e-12

Floats = npt.NDArray[np.float64]


def shortest_tour(distances: npt.NDArray[np.floating]) -> tuple[int, ...]:
    """The points in the order of a shortest closed tour, cut open at its longest edge.

    Args:
        distances: (n, n) symmetric, from 0 up; the diagonal doesn't count.

    Returns:
        Each position once. Of the two directions the one whose first point is the lower.
    """
    d = np.asarray(distances, dtype=np.float64)
    n = len(d)
    if n < 3:
        return tuple(range(n))
    tour = (_exact(d) if n <= _MOST_EXACT else None) or _approximate(d)
    edges = [d[tour[i - 1], tour[i]] for i in range(n)]
    start = int(np.argmax(edges))
    opened = tour[start:] + tour[:start]
    return tuple(opened if opened[0] < opened[-1] else opened[::-1])


def tour_length(distances: npt.NDArray[np.floating], tour: Sequence[int]) -> float:
    """The length of a closed tour."""
    return float(sum(distances[tour[i - 1], tour[i]] for i in range(len(tour))))


def _exact(d: Floats) -> list[int] | None:
    """A shortest tour; None where the solver ran out of time."""
    from scipy.optimize import Bounds, LinearConstraint, milp
    from scipy.sparse import csr_array

    n = len(d)
    first, second = np.triu_indices(n, k=1)
    points = np.arange(n)[:, None]
    # Two edges meet in every point.
    degree = ((first == points) | (second == points)).astype(np.float64)
    constraints = [LinearConstraint(csr_array(degree), 2, 2)]
    for _ in range(_MOST_ROUNDS):
        found = milp(
            d[first, second],
            integrality=np.ones(len(first), dtype=np.int64),
            bounds=Bounds(0, 1),
            constraints=constraints,
            options={"time_limit": _SECONDS_PER_ROUND, "mip_rel_gap": 0.0},
        )
        if found.status != 0 or found.x is None:
            return None
        chosen = found.x > 0.5
        parts = _closed_parts(first[chosen], second[chosen], n)
        if len(parts) == 1:
            return parts[0]
        for part in parts:
            inside = np.isin(first, part) & np.isin(second, part)
            row = csr_array(inside.astype(np.float64)[None, :])
            constraints.append(LinearConstraint(row, -np.inf, len(part) - 1))
    return None


def _closed_parts(
    first: npt.NDArray[np.intp], second: npt.NDArray[np.intp], n: int
) -> list[list[int]]:
    """The closed tours that edges make, two of which meet in every point."""
    near: list[list[int]] = [[] for _ in range(n)]
    for a, b in zip(first.tolist(), second.tolist(), strict=True):
        near[a].append(b)
        near[b].append(a)
    left = set(range(n))
    parts = []
    while left:
        part = [min(left)]
        left.discard(part[0])
        while following := [point for point in near[part[-1]] if point in left]:
            part.append(following[0])
            left.discard(following[0])
        parts.append(part)
    return parts


def _approximate(d: Floats) -> list[int]:
    best = min((_nearest(d, start) for start in range(len(d))), key=lambda t: tour_length(d, t))
    return _two_opt(d, best)


def _nearest(d: Floats, start: int) -> list[int]:
    tour, left = [start], np.ones(len(d), dtype=bool)
    left[start] = False
    while left.any():
        following = int(np.argmin(np.where(left, d[tour[-1]], np.inf)))
        tour.append(following)
        left[following] = False
    return tour


def _two_opt(d: Floats, tour: list[int]) -> list[int]:
    n = len(tour)
    order = np.array(tour)
    while True:
        ahead = np.roll(order, -1)
        edge = d[order, ahead]
        # What reversing the stretch from i + 1 to j gains, for every pair i < j.
        gain = edge[:, None] + edge[None, :] - d[np.ix_(order, order)] - d[np.ix_(ahead, ahead)]
        gain = np.triu(gain, k=1)
        i, j = divmod(int(np.argmax(gain)), n)
        if gain[i, j] <= _SHORTER:
            return [int(point) for point in order]
        order[i + 1 : j + 1] = order[i + 1 : j + 1][::-1].copy()
