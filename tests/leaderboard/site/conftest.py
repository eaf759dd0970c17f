"""A site with the official models, a hostile one, and one whose results are at hand."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers_layers import write_layers_result, write_weighted_result
from helpers_leaderboard import made_up_predictions

from hearbench.leaderboard.official import official_table
from hearbench.leaderboard.own_row import row_of
from hearbench.leaderboard.site import (
    OwnResult,
    PaperFigures,
    ScoreInterval,
    build_site,
    figures_of,
)
from hearbench.leaderboard.table import Row, Table
from hearbench.results import Result, score

HOSTILE = "<img src=x onerror=alert(1)>"
OTHER_TASK = "esc50-v2.0.0-small"


@pytest.fixture(scope="session")
def results() -> list[Result]:
    """Four of twenty clips wrong on each test split; one task isn't of the table."""
    names = ("esc50-v2.0.0-full", "tfds_gtzan-1.0.0-full", OTHER_TASK)
    return [score(made_up_predictions(name, model="mine", wrong=4)) for name in names]


@pytest.fixture(scope="session")
def table(results: list[Result]) -> Table:
    hostile = Row(HOSTILE, "javascript:alert(1)", "", tuple(0.3 + 0.02 * i for i in range(19)))
    mine = row_of(results)
    return official_table().with_row(hostile).with_row(mine)


@pytest.fixture(scope="session")
def figures() -> PaperFigures:
    """Of the official models."""
    found = figures_of(official_table())
    assert found is not None
    return found


def of_layers(folder: Path) -> list[OwnResult]:
    """The layers of the same model on the task that isn't of the table, and their weighted sum."""
    weights = {f"fold0{i}": (0.25, 0.6, 0.15) for i in range(5)}
    written = [
        write_layers_result(folder / "layers", model="mine", task=OTHER_TASK),
        write_weighted_result(folder / "weighted", [weights], model="mine", task=OTHER_TASK),
    ]
    return [OwnResult.read(place) for place in written]


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory, table: Table, results: list[Result]) -> Path:
    out = tmp_path_factory.mktemp("built") / "site"
    sure = ScoreInterval(0.61, 0.93, 0.95, ("test clips", "seeds"))
    gtzan = "tfds_gtzan-1.0.0-full"
    own = [OwnResult(r, sure if r.task.name == gtzan else None) for r in results]
    own += of_layers(out.parent)
    build_site(table, out, own=own)
    return out
