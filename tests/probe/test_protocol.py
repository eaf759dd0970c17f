import itertools
import random
from typing import Any

import pytest
from pydantic import ValidationError
from sklearn.model_selection import ParameterGrid

from hearbench.errors import ProbeError, UnknownNameError
from hearbench.probe.protocol import (
    FASTER,
    HEAR2021,
    LINEAR,
    GridPoint,
    Protocol,
    draw_grid,
    get_protocol,
    protocol_names,
)
from hearbench.tasks.catalog import get_spec


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
    assert HEAR2021.for_task("esc50") is HEAR2021
    # Only its metadata make maestro special, and any other task with the same.
    assert HEAR2021.for_task("maestro") is HEAR2021
    catalog = {
        str(key): value for key, value in (get_spec("maestro").evaluation_params or {}).items()
    }
    for name in ("maestro", "mine"):
        applied = HEAR2021.for_task(name, catalog)
        assert {(p.check_every, p.max_epochs) for p in applied.networks} == {(1, 50)}
        assert applied.name == "hear2021"
        assert len(applied.grid) == 8


PUBLISHED: dict[str, list[Any]] = {
    "hidden_layers": [1, 2],
    "hidden_dim": [1024],
    "dropout": [0.1],
    "lr": [3.2e-3, 1e-3, 3.2e-4, 1e-4],
    "patience": [20],
    "max_epochs": [500],
    "check_val_every_n_epoch": [3],
    "initialization": ["uniform", "normal"],
}
PUBLISHED_CHANGES: dict[str, dict[str, list[Any]]] = {
    "hear2021": {},
    "quick": {},
    "racing": {},
    "fast": {"max_epochs": [10, 50], "check_val_every_n_epoch": [3, 10]},
    "faster": {
        "hidden_layers": [0, 1],
        "hidden_dim": [64, 128],
        "patience": [1, 3],
        "max_epochs": [10],
        "check_val_every_n_epoch": [1],
    },
}


def published_grid(protocol: str, task: str, own: dict[str, list[Any]]) -> list[GridPoint]:
    """Eight of the combinations, after all that changes the values, as scikit-learn has them."""
    values = {**PUBLISHED, **PUBLISHED_CHANGES[protocol]}
    if task == "dcase2016_task2":
        values["check_val_every_n_epoch"] = [10]
    combined = list(ParameterGrid({**values, **own}))
    random.Random(42).shuffle(combined)
    return [
        GridPoint(check_every=point.pop("check_val_every_n_epoch"), **point)
        for point in combined[:8]
    ]


@pytest.mark.parametrize("protocol", list(PUBLISHED_CHANGES))
@pytest.mark.parametrize("task", ["dcase2016_task2", "mine"])
@pytest.mark.parametrize(
    "own",
    [
        {},
        {"max_epochs": [50], "check_val_every_n_epoch": [1]},
        {"hidden_layers": [1, 2, 3], "lr": [0.1, 0.01]},
        {"dropout": [0.0, 0.5], "patience": [5], "max_epochs": [30, 20]},
        {"lr": [1], "initialization": ["normal"], "hidden_layers": [0]},
        {"hidden_dim": [8, 16, 32]},
    ],
)
def test_values_of_a_task_enter_before_the_draw(
    protocol: str, task: str, own: dict[str, list[Any]]
) -> None:
    applied = get_protocol(protocol).for_task(task, {"task_specific_param_grid": own, "x": 1})
    assert list(applied.networks) == list(dict.fromkeys(published_grid(protocol, task, own)))
    # Applied twice is applied once, and so is one that comes back from a file.
    read = Protocol.model_validate_json(applied.model_dump_json())
    assert read == applied
    assert read.for_task(task, {"task_specific_param_grid": own}).grid == applied.grid


def test_restrictions_hold_for_what_a_task_draws() -> None:
    params = {"task_specific_param_grid": {"lr": [0.1, 0.01], "batch_size": [64]}}
    whole = HEAR2021.for_task("mine", params)
    assert whole.batch_size == 64
    assert HEAR2021.restricted(first=2).for_task("mine", params).grid == whole.grid[:2]
    two = HEAR2021.restricted(only={"hidden_layers": 2}, first=1).for_task("mine", params)
    assert two.networks == tuple(p for p in whole.networks if p.hidden_layers == 2)[:1]
    assert two.name == "hear2021[first=1,hidden_layers=2]"
    with pytest.raises(ProbeError, match="mine"):
        HEAR2021.restricted(only={"lr": 1e-3}).for_task("mine", params)


def test_protocols_of_named_points_and_of_neighbours_take_what_they_can() -> None:
    own = Protocol(name="own", grid=(GridPoint(lr=0.5), GridPoint(lr=0.1, hidden_layers=2)))
    params = {"task_specific_param_grid": {"lr": [0.1, 0.2], "max_epochs": [7]}}
    found = [(p.lr, p.hidden_layers, p.max_epochs) for p in own.for_task("x", params).networks]
    assert found == [(0.1, 1, 7), (0.2, 1, 7), (0.1, 2, 7)]
    assert get_protocol("knn").for_task("x", params) is get_protocol("knn")
    linear = get_protocol("linear").for_task(
        "x", {"task_specific_param_grid": {"hidden_layers": [1, 2], "max_epochs": [9]}}
    )
    assert {(p.hidden_layers, p.max_epochs) for p in linear.networks} == {(0, 9)}


def test_points_that_would_never_be_validated_are_refused() -> None:
    with pytest.raises(ProbeError, match="at most 2 epochs"):
        HEAR2021.for_task("x", {"task_specific_param_grid": {"max_epochs": [500, 2]}})


@pytest.mark.parametrize("name", ["fast", "faster", "hear2021"])
def test_undefined_validations_end_a_point_of_all_published_grids(name: str) -> None:
    protocol = get_protocol(name)
    assert protocol.nan_ends_point
    # The first versions went on in the smaller ones, which matters for F-measures alone.
    old = protocol.model_copy(update={"nan_ends_point": False})
    assert old != protocol
    assert old.trains_as(protocol, "top1_acc")
    assert not old.trains_as(protocol, "event_onset_200ms_fms")
    assert not old.restricted(first=2).trains_as(protocol, "top1_acc")


def test_results_of_the_first_versions_are_of_the_same_protocol() -> None:
    # They knew one more task by its name, which is applied in a result.
    old = HEAR2021.model_copy(update={"task_changes": {"maestro": {"max_epochs": 50}}})
    assert old == HEAR2021
    assert HEAR2021.model_copy(update={"batch_size": 512}) != HEAR2021
    assert HEAR2021 != "hear2021"


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
    "bad",
    [
        *({"lr": 0}, {"dropout": 1.0}, {"hidden_layers": -1}, {"learning_rate": 1e-3}),
        *({"hidden_dim": 10**30}, {"max_epochs": 10**400}, {"patience": 10**400}),
    ],
)
def test_impossible_points_are_refused(bad: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        GridPoint(**bad)


def test_linear_points_have_a_label() -> None:
    assert GridPoint(hidden_layers=0).label().startswith("linear")
    labels = [p.label() for p in HEAR2021.networks]
    assert all(a != b for a, b in itertools.combinations(labels, 2))


@pytest.mark.parametrize("reads", ["layers", "weighted", "attentive"])
def test_what_is_read_stands_before_the_name_of_another_protocol(reads: str) -> None:
    alone, linear = get_protocol(reads), get_protocol(f"{reads}:linear")
    assert (alone.name, linear.name) == (reads, f"{reads}:linear")
    assert alone.grid == HEAR2021.grid
    assert linear.grid == LINEAR.grid
    assert alone.reads == linear.reads == reads
    assert reads in protocol_names()
    assert not any(":" in name for name in protocol_names())
    assert alone != HEAR2021
    assert get_protocol(f"{reads}:hear2021") == alone
    assert Protocol.model_validate_json(linear.model_dump_json()) == linear
    assert linear.about() not in ("", LINEAR.about())
    for protocol, plain in ((alone, HEAR2021), (linear, LINEAR)):
        assert protocol.of_one_layer() == plain
        assert protocol.restricted(first=2).of_one_layer() == plain.restricted(first=2)
        applied = protocol.for_task("dcase2016_task2")
        assert {p.check_every for p in applied.networks} == {10}
        assert (applied.name, applied.reads) == (protocol.name, reads)
    assert HEAR2021.of_one_layer() is HEAR2021


def test_protocols_with_some_of_the_layers_say_so() -> None:
    some = get_protocol("weighted:linear").restricted(first=3).with_layers([8, 0, 4, 8])
    assert (some.name, some.layers) == ("weighted:linear[first=3,layers=0+4+8]", (0, 4, 8))
    assert some.with_layers([1]).name == "weighted:linear[first=3,layers=1]"
    assert some.of_one_layer() == LINEAR.restricted(first=3)
    assert some.of_one_layer().name == "linear[first=3]"
    assert "0, 4, 8" in some.about()
    assert Protocol.model_validate_json(some.model_dump_json()) == some
    by_width = get_protocol("layers").restricted(only={"hidden_layers": 2}).with_layers([0])
    assert by_width.of_one_layer().name == "hear2021[hidden_layers=2]"
    for protocol, layers in ((HEAR2021, [1]), (get_protocol("attentive"), [1]), (some, [])):
        with pytest.raises(ProbeError, match="one layer"):
            protocol.with_layers(layers)
    for wrong in ([3, 1], [1, 1], [-1]):
        with pytest.raises(ValidationError):
            Protocol(**{**some.model_dump(), "layers": wrong})
    with pytest.raises(ValidationError, match="embeddings are read"):
        Protocol(name="mine", grid=HEAR2021.grid, layers=(1,))


def test_what_cannot_be_read_is_refused() -> None:
    assert get_protocol("layers:knn").neighbours
    for reads in ("weighted", "attentive"):
        with pytest.raises(ProbeError, match=f"{reads}:linear"):
            get_protocol(f"{reads}:knn")
    with pytest.raises(ProbeError, match="reads weighted already"):
        get_protocol("layers:weighted")
    with pytest.raises(UnknownNameError, match="hear2021"):
        get_protocol("weighted:hear2012")
    with pytest.raises(UnknownNameError):
        get_protocol("heavy:linear")


def test_other_protocols_are_written_as_before() -> None:
    # What they were recorded by names finished trainings in the cache.
    keys = ["name", "grid", "batch_size", "task_changes", "nan_ends_point", "shuffle"]
    assert list(HEAR2021.model_dump(mode="json")) == [*keys, "standardise", "racing", "subset"]
    assert list(get_protocol("weighted").model_dump(mode="json"))[-1] == "reads"
    racing = get_protocol("racing").model_dump(mode="json")["racing"]
    assert racing == {"window": 10, "slack": 4.0}
