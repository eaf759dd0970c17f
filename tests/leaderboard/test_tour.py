from __future__ import annotations

import itertools

import numpy as np
import pytest

from hearbench.leaderboard.tour import _approximate, _exact, shortest_tour, tour_length


def random_distances(n: int, seed: int) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    points = np.random.default_rng(seed).random((n, 2))
    difference = points[:, None] - points[None]
    return np.hypot(difference[..., 0], difference[..., 1])


@pytest.mark.parametrize("seed", range(4))
def test_no_permutation_is_shorter(seed: int) -> None:
    d = random_distances(8, seed)
    best = min(tour_length(d, (0, *order)) for order in itertools.permutations(range(1, 8)))
    assert tour_length(d, shortest_tour(d)) == pytest.approx(best, abs=1e-6)


def test_points_on_an_arc_come_in_its_order() -> None:
    angles = np.array([0.0, 0.4, 0.9, 1.7, 2.3])
    points = np.exp(1j * angles)
    d = np.abs(points[:, None] - points[None])
    assert shortest_tour(d) == (0, 1, 2, 3, 4)
    shuffled = [3, 0, 4, 1, 2]
    order = shortest_tour(d[np.ix_(shuffled, shuffled)])
    # From the end whose position among the shuffled is the lower.
    assert [shuffled[i] for i in order] == [0, 1, 2, 3, 4]


def test_two_clusters_need_more_than_their_own_closed_tours() -> None:
    d = random_distances(12, 5)
    d[:6, 6:] += 100
    d[6:, :6] += 100
    order = shortest_tour(d)
    first_half = {i < 6 for i in order[:6]}
    assert len(first_half) == 1
    assert sorted(order) == list(range(12))


def test_the_good_tour_of_many_points() -> None:
    d = random_distances(30, 7)
    exact = _exact(d)
    assert exact is not None
    good = tour_length(d, _approximate(d))
    best = tour_length(d, exact)
    assert best - 1e-9 <= good <= 1.2 * best
    many = random_distances(80, 8)
    order = shortest_tour(many)
    assert sorted(order) == list(range(80))
    # A random tour's edges are 0.52 long on average.
    assert tour_length(many, order) < 80 * 0.2


@pytest.mark.parametrize("n", [0, 1, 2])
def test_few_points(n: int) -> None:
    assert shortest_tour(np.zeros((n, n))) == tuple(range(n))
