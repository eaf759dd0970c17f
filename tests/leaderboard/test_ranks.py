from __future__ import annotations

from hearbench.leaderboard.ranks import other_models, ranked_scores
from hearbench.leaderboard.table import Row, Table

TABLE = Table(
    ("a", "b", "c"),
    (
        Row("one", "", "", (0.9, None, 0.1)),
        Row("two", "", "", (0.5, None, 0.3)),
        Row("three", "", "", (0.9, None, None)),
        Row("Mine", "", "", (1.0, 1.0, 1.0)),
    ),
)


def test_ranks_among_others() -> None:
    first, second, third = ranked_scores(TABLE, Row("mine", "", "", (0.5, 0.2, None)))
    # The row of the same name doesn't count; equal scores share the better rank.
    assert (first.rank, first.of, first.best, first.best_model) == (3, 4, 0.9, "one")
    assert first.gap == 0.5 - 0.9
    assert (second.rank, second.of, second.best, second.gap) == (1, 1, None, None)
    assert (third.rank, third.of, third.best, third.best_model) == (None, 2, 0.3, "two")


def test_the_best_is_ahead() -> None:
    ranked = ranked_scores(TABLE, Row("mine", "", "", (0.95, None, None)))[0]
    assert ranked.rank == 1
    assert ranked.gap == 0.95 - 0.9


def test_others_are_those_of_other_names() -> None:
    assert other_models(TABLE, Row("m i n e", "", "", ())).models == ("one", "two", "three")
