from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from hearbench.leaderboard.official import official_table
from hearbench.leaderboard.paper import (
    correlation_order,
    model_correlations,
    normalise,
    short_tour,
    task_correlations,
    tour_length,
)

Matrix = np.ndarray[tuple[int, int], np.dtype[np.float64]]


def random_distances(n: int, seed: int) -> Matrix:
    points = np.random.default_rng(seed).random((n, 2))
    difference = points[:, None] - points[None]
    return np.hypot(difference[..., 0], difference[..., 1])


def shortest_edges(d: Matrix) -> set[frozenset[int]]:
    """The edges of a shortest closed tour, by integer programming.

    The constraint against each closed part of a solution is added until the solution is one tour
    (Dantzig, Fulkerson and Johnson, "Solution of a Large-Scale Traveling-Salesman Problem", 1954).
    """
    n = len(d)
    first, second = np.triu_indices(n, k=1)
    meets = (first == np.arange(n)[:, None]) | (second == np.arange(n)[:, None])
    constraints = [LinearConstraint(csr_array(meets.astype(float)), 2, 2)]
    while True:
        found = milp(
            d[first, second],
            integrality=np.ones(len(first), dtype=np.int64),
            bounds=Bounds(0, 1),
            constraints=constraints,
            options={"mip_rel_gap": 0.0},
        )
        assert found.status == 0
        chosen = found.x > 0.5
        edges = (first[chosen], second[chosen])
        graph = csr_array((np.ones(len(edges[0])), edges), shape=(n, n))
        n_parts, part = connected_components(graph, directed=False)
        if n_parts == 1:
            return {frozenset(pair) for pair in np.transpose(edges).tolist()}
        for k in range(n_parts):
            inside = (part[first] == k) & (part[second] == k)
            row = csr_array(inside.astype(float)[None, :])
            constraints.append(LinearConstraint(row, -np.inf, (part == k).sum() - 1))


@pytest.mark.parametrize("of", ["tasks", "models"])
def test_the_paper_s_matrices_are_in_the_order_of_a_shortest_tour(of: str) -> None:
    measured = normalise(official_table())
    matrix = task_correlations(measured) if of == "tasks" else model_correlations(measured)
    order = correlation_order(matrix)
    n = len(order)
    assert {frozenset((order[i - 1], order[i])) for i in range(n)} == shortest_edges(
        (1 - matrix) / 2
    )


@pytest.mark.parametrize("seed", range(4))
def test_no_permutation_is_shorter(seed: int) -> None:
    d = random_distances(8, seed)
    best = min(tour_length(d, (0, *order)) for order in itertools.permutations(range(1, 8)))
    assert tour_length(d, short_tour(d)) == pytest.approx(best, abs=1e-6)


def test_points_on_an_arc_come_in_its_order() -> None:
    angles = np.array([0.0, 0.4, 0.9, 1.7, 2.3])
    points = np.exp(1j * angles)
    d = np.abs(points[:, None] - points[None])
    assert short_tour(d) == (0, 1, 2, 3, 4)
    shuffled = [3, 0, 4, 1, 2]
    order = short_tour(d[np.ix_(shuffled, shuffled)])
    # From the end whose position among the shuffled is the lower.
    assert [shuffled[i] for i in order] == [0, 1, 2, 3, 4]


def test_two_clusters_stay_together() -> None:
    d = random_distances(12, 5)
    d[:6, 6:] += 100
    d[6:, :6] += 100
    order = short_tour(d)
    assert len({i < 6 for i in order[:6]}) == 1
    assert sorted(order) == list(range(12))


def test_many_points() -> None:
    many = random_distances(80, 8)
    order = short_tour(many)
    assert sorted(order) == list(range(80))
    best = sum(many[min(edge), max(edge)] for edge in shortest_edges(many))
    assert best - 1e-9 <= tour_length(many, order) <= 1.05 * best


@pytest.mark.parametrize("n", [0, 1, 2])
def test_few_points(n: int) -> None:
    assert short_tour(np.zeros((n, n))) == tuple(range(n))
