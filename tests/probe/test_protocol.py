import itertools

import pytest
from pydantic import ValidationError
from sklearn.model_selection import ParameterGrid

from hearbench.errors import ProbeError, UnknownNameError
from hearbench.probe.protocol import (
    FASTER,
    HEAR2021,
    GridPoint,
    Protocol,
    draw_grid,
    get_protocol,
    protocol_names,
)


def test_hear2021_tries_the_published_points_in_the_published_order() -> None:
    found = [(p.hidden_layers, p.initialization, p.lr) for p in HEAR2021.networks]
    assert found == [
        (1, "normal", 1e-4),
        (2, "uniform", 1e-3),
        (1, "normal", 1e-3),
        (1, "normal", 3.2e-4),
        (2, "normal", 3.2e-4),
        (2, "uniform", 3.2e-4),
        (2, "normal", 3.2e-3),
        (2, "uniform", 3.2e-3),
    ]
    assert HEAR2021.batch_size == 1024
    for point in HEAR2021.networks:
        assert (point.hidden_dim, point.dropout) == (1024, 0.1)
        assert (point.max_epochs, point.check_every, point.patience) == (500, 3, 20)


def test_points_are_enumerated_as_scikit_learn_does() -> None:
    import random

    values = {"lr": (0.1, 0.2), "hidden_layers": (0, 1), "patience": (1, 2, 3)}
    expected = [GridPoint(**point) for point in ParameterGrid(values)]
    random.Random(42).shuffle(expected)
    assert list(draw_grid(values, count=12)) == expected


@pytest.mark.parametrize("name", ["fast", "faster", "hear2021"])
def test_every_protocol_has_eight_points_of_its_own(name: str) -> None:
    protocol = get_protocol(name)
    assert protocol.name == name
    assert len(set(protocol.networks)) == 8
    assert name in protocol_names()


def test_faster_is_small() -> None:
    assert {p.max_epochs for p in FASTER.networks} == {10}
    assert {p.hidden_layers for p in FASTER.networks} <= {0, 1}
    assert {p.hidden_dim for p in FASTER.networks} <= {64, 128}
    assert {p.patience for p in FASTER.networks} <= {1, 3}


def test_a_misspelled_protocol_is_answered_with_the_right_one() -> None:
    with pytest.raises(UnknownNameError, match="hear2021"):
        get_protocol("hear2012")


def test_tasks_have_changes_of_their_own() -> None:
    assert {p.check_every for p in HEAR2021.for_task("dcase2016_task2").networks} == {10}
    maestro = HEAR2021.for_task("maestro").networks
    assert {(p.check_every, p.max_epochs) for p in maestro} == {(1, 50)}
    assert HEAR2021.for_task("esc50") is HEAR2021
    assert HEAR2021.for_task("maestro").name == "hear2021"


def test_restricting_names_what_is_left() -> None:
    one = HEAR2021.restricted(only={"hidden_layers": "2", "initialization": "normal", "lr": 3.2e-4})
    assert [p.label() for p in one.networks] == ["2 x 1024, normal, lr 3.2e-04"]
    assert one.name != "hear2021"
    assert HEAR2021.restricted(first=1).networks == HEAR2021.networks[:1]
    assert HEAR2021.restricted(first=8) is HEAR2021
    assert HEAR2021.restricted() is HEAR2021


@pytest.mark.parametrize(
    ("only", "says"),
    [
        ({"lr": 7.0}, "No grid point"),
        ({"lr": "fast"}, "No grid point"),
        ({"layers": 2}, "hidden_layers"),
    ],
)
def test_restricting_to_nothing_says_what_there_is(only: dict[str, object], says: str) -> None:
    with pytest.raises(ProbeError, match=says):
        HEAR2021.restricted(only=only)


def test_protocols_survive_json() -> None:
    for name in protocol_names():
        protocol = get_protocol(name)
        assert Protocol.model_validate_json(protocol.model_dump_json()) == protocol


@pytest.mark.parametrize(
    "bad", [{"lr": 0}, {"dropout": 1.0}, {"hidden_layers": -1}, {"learning_rate": 1e-3}]
)
def test_impossible_points_are_refused(bad: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        GridPoint(**bad)


def test_linear_points_have_a_label() -> None:
    assert GridPoint(hidden_layers=0).label().startswith("linear")
    labels = [p.label() for p in HEAR2021.networks]
    assert all(a != b for a, b in itertools.combinations(labels, 2))
