"""Seriation: the rows of a matrix in an order in which neighbours are alike.

The order is a short closed tour through the rows, as short as 2-opt makes it: from each row on, a
tour goes to the nearest row that is left; stretches of it are reversed for as long as that shortens
it (Croes, "A Method for Solving Traveling-Salesman Problems", 1958); the shortest of these tours is
taken. Both matrices of the paper's figures get the order of a shortest tour, as a test shows.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

__all__ = ["short_tour", "tour_length"]

_SHORTER = 1e-12

Floats = npt.NDArray[np.float64]


def short_tour(distances: npt.NDArray[np.floating]) -> tuple[int, ...]:
    """The points in the order of a short closed tour, cut open at its longest edge.

    Args:
        distances: (n, n) symmetric, from 0 up; the diagonal doesn't count.

    Returns:
        Each position once. Of the two directions the one whose first point is the lower.
    """
    d = np.asarray(distances, dtype=np.float64)
    n = len(d)
    if n < 3:
        return tuple(range(n))
    tours = (_two_opt(d, _nearest_neighbours(d, start)) for start in range(n))
    tour = min(tours, key=lambda tour: tour_length(d, tour))
    edges = [d[tour[i - 1], tour[i]] for i in range(n)]
    start = int(np.argmax(edges))
    opened = tour[start:] + tour[:start]
    return tuple(opened if opened[0] < opened[-1] else opened[::-1])


def tour_length(distances: npt.NDArray[np.floating], tour: Sequence[int]) -> float:
    """The length of a closed tour."""
    return float(sum(distances[tour[i - 1], tour[i]] for i in range(len(tour))))


def _nearest_neighbours(d: Floats, start: int) -> list[int]:
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
