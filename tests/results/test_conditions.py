from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers_leaderboard import DCASE, ESC50, made_up_predictions, write_made_up_result

from hearbench.embeddings.manifest import TaskRecord
from hearbench.errors import ProbeError, ResultError, UnknownNameError
from hearbench.probe.grid import GridPoint
from hearbench.probe.protocol import FAST, HEAR2021, KNN, LINEAR, WEIGHTED, Protocol, Racing
from hearbench.probe.subset import TrainSubset
from hearbench.results import Result, score
from hearbench.results.conditions import (
    Conditions,
    diff_protocols,
    find_conditions,
    named_protocol,
)

# Its metadata fix max_epochs and check_every.
MAESTRO = "maestro-v3.0.0-5h"
FIXTURES = Path(__file__).parents[1] / "fixtures"
BIRDS = TaskRecord(name="birds-1.0.0-full", digest="3" * 64)
# As docs/protocol.md lists them: hidden layers, initialisation, learning rate.
POINTS = [
    (1, "normal", 1e-4), (2, "uniform", 1e-3), (1, "normal", 1e-3), (1, "normal", 3.2e-4),
    (2, "normal", 3.2e-4), (2, "uniform", 3.2e-4), (2, "normal", 3.2e-3), (2, "uniform", 3.2e-3),
]  # fmt: skip


def made(task: str = ESC50, **more: Any) -> Result:
    return score(made_up_predictions(task, **more))


def changed(result: Result, **changes: Any) -> Result:
    return result.model_copy(update=changes)


def by(protocol: Protocol, result: Result | None = None) -> Result:
    """A result as if that protocol had made it, under its name."""
    return changed(result or made(), protocol=protocol)


def hand_made(**changes: Any) -> str:
    """The fingerprint of hear2021 in float32, or of what differs from it, from plain JSON."""
    grid = [
        {"hidden_layers": layers, "hidden_dim": 1024, "initialization": init, "lr": lr,
         "dropout": 0.1, "max_epochs": 500, "check_every": 3, "patience": 20}
        for layers, init, lr in POINTS
    ]  # fmt: skip
    protocol = {
        "grid": grid, "batch_size": 1024, "nan_ends_point": True, "shuffle": False,
        "standardise": False, "racing": None, "subset": None,
    } | changes  # fmt: skip
    content = {"version": 1, "protocol": protocol, "dtype": "float32"}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def test_a_fingerprint_is_a_hash_of_plain_json() -> None:
    result = made()
    assert result.protocol_fingerprint == hand_made() == "4d0612ca1b"
    assert result.protocol_words() == "hear2021, seed 42, float32"
    assert by(named_protocol("hear2021-shuffled")).protocol_fingerprint == hand_made(shuffle=True)
    of_layers = hand_made(reads="weighted", layers=[1, 3])
    assert by(WEIGHTED.with_layers([3, 1])).protocol_fingerprint == of_layers


def test_the_order_of_keys_the_machine_and_the_model_dont_count() -> None:
    result = made(task=DCASE)

    def turned(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: turned(each) for key, each in reversed(value.items())}
        return [turned(each) for each in value] if isinstance(value, list) else value

    other = Result.model_validate(turned(json.loads(result.model_dump_json())))
    other = changed(
        other,
        device="cuda",
        hearbench_version="9",
        versions={"python": "9"},
        seed=7,
        model=other.model.model_copy(update={"name": "other", "digest": "9" * 64}),
    )
    assert other.protocol_fingerprint == result.protocol_fingerprint == "4d0612ca1b"
    assert diff_protocols(result, other) == []
    assert other.protocol_words() == "hear2021, seed 7, float32"


@pytest.mark.parametrize(
    "protocol",
    [
        *(HEAR2021, FAST, LINEAR, HEAR2021.restricted(first=3)),
        *map(named_protocol, ("mwmae", "listen", "listen-fast", "wavjepa")),
    ],
    ids=lambda protocol: protocol.name,
)
def test_one_fingerprint_on_tasks_that_change_the_grid(protocol: Protocol) -> None:
    results = [made(task, protocol=protocol) for task in (ESC50, DCASE, MAESTRO)]
    assert len({result.protocol.recorded() for result in results}) > 1
    assert len({result.protocol_fingerprint for result in results}) == 1
    assert len({result.protocol_words() for result in results}) == 1


def test_a_task_of_your_own_may_fix_values() -> None:
    params = {"task_specific_param_grid": {"max_epochs": [50], "check_val_every_n_epoch": [1]}}
    applied = HEAR2021.for_task("birds", params)
    own = changed(made(), task=BIRDS, protocol=applied)
    assert own.protocol_fingerprint == hand_made()
    renamed = changed(own, protocol=KNN.model_copy(update={"name": "hear2021"}))
    assert renamed.protocol_fingerprint == by(KNN).protocol_fingerprint
    # On a task of the catalog, whose metadata are known, that is another protocol.
    assert by(applied).protocol_fingerprint != hand_made()
    assert by(applied).protocol_words() == "hear2021, changed (grid), seed 42, float32"


SHOTS = HEAR2021.with_subset(TrainSubset(shots=10))
ONE_THING = {
    "part of the grid": (
        by(HEAR2021.restricted(first=2)),
        "hear2021 with 2 of 8 grid points, seed 42, float32",
        "A trains 8 grid points; B 2 of them.",
    ),
    "order of the grid": (
        by(HEAR2021.model_copy(update={"grid": HEAR2021.grid[::-1]})),
        "hear2021, changed (grid), seed 42, float32",
        "A and B have the same grid points in another order, in which the first of equal "
        "validations wins.",
    ),
    "batch size": (
        by(HEAR2021.model_copy(update={"batch_size": 512})),
        "hear2021, changed (batch size), seed 42, float32",
        "A has batches of 1024; B has batches of 512.",
    ),
    "undefined": (
        made(DCASE, protocol=HEAR2021.model_copy(update={"nan_ends_point": False})),
        "hear2021, changed (undefined validations), seed 42, float32",
        "A ends a grid point at an undefined validation; B counts an undefined validation as 0.",
    ),
    "shuffle": (
        by(named_protocol("hear2021-shuffled")),
        "hear2021-shuffled, seed 42, float32",
        "A keeps one order of the training examples; B takes the training examples in another "
        "order in every epoch.",
    ),
    "standardise": (
        by(named_protocol("hear2021-standardised")),
        "hear2021-standardised, seed 42, float32",
        "A takes embeddings as they are; B standardises embeddings.",
    ),
    "racing": (
        by(named_protocol("racing")),
        "racing, seed 42, float32",
        "A trains every grid point to its end; B gives up grid points that are behind by more "
        "than 4 times what the last 10 validations gained.",
    ),
    "quick": (
        by(named_protocol("quick")),
        "quick, seed 42, float32",
        "A trains every grid point to its end; B gives up grid points that are behind by more "
        "than 1 times what the last 4 validations gained, gives up the worse half of each shape's "
        "after 3 and 6 validations and waits for at most 10 validations.",
    ),
    "labels": (
        by(SHOTS),
        "hear2021, labels: 10 shots, repeat 0, seed 42, float32",
        "A learns from all training clips; B learns from 10 training clips per label.",
    ),
    "attentive": (
        by(named_protocol("attentive")),
        "attentive, seed 42, float32",
        "A learns from the embeddings as they are; B learns from a sum of a clip's frames with "
        "learned weights.",
    ),
    "dtype": (
        made(dtype="float16"),
        "hear2021, embeddings in float16, seed 42, float32",
        "The embeddings are stored in float32 in A, in float16 in B.",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("result", "words", "difference"), ONE_THING.values(), ids=ONE_THING)
def test_one_thing_is_another(result: Result, words: str, difference: str) -> None:
    assert result.protocol_fingerprint != made().protocol_fingerprint
    assert result.protocol_words() == words
    assert diff_protocols(made(), result) == [difference]
    assert diff_protocols(result, result) == []


def test_no_two_of_these_share_a_fingerprint() -> None:
    found = {result.protocol_fingerprint for result, _, _ in ONE_THING.values()}
    assert len(found) == len(ONE_THING)


def test_undefined_validations_dont_count_where_there_are_none() -> None:
    """Of an accuracy; `fast` had another rule in earlier versions."""
    earlier = FAST.model_copy(update={"nan_ends_point": False})
    assert made(protocol=earlier).protocol_fingerprint == made(protocol=FAST).protocol_fingerprint
    event, now = (made(DCASE, protocol=each) for each in (earlier, FAST))
    assert event.protocol_fingerprint != now.protocol_fingerprint


def test_results_of_earlier_versions_have_one() -> None:
    folder = FIXTURES / "format-1/results/small/tones-1.0.0-full"
    found = find_conditions(str(folder))
    assert found.words() == "faster with 2 of 8 grid points, seeds 42 and 43, float32"
    assert found.fingerprint == Conditions(named_protocol("faster[first=2]")).fingerprint
    few = Result.read(folder / "few-labels/shots=4,repeat=1")
    words = "faster with 2 of 8 grid points, labels: 4 shots, repeat 1, seed 43, float32"
    assert few.protocol_words() == words
    assert diff_protocols(folder, few) == [
        "A learns from all training clips; B learns from 4 training clips per label."
    ]


def test_changes_that_a_protocol_makes_for_tasks_are_its_own() -> None:
    same = Protocol(name="mine", grid=HEAR2021.grid, task_changes=HEAR2021.task_changes)
    assert by(same).protocol_fingerprint == hand_made()  # whatever it is called
    mine = Protocol(name="mine", grid=HEAR2021.grid)
    assert by(mine).protocol_fingerprint == hand_made(task_changes={})
    assert by(mine).protocol_words() == "mine, seed 42, float32"
    differs = ["On dcase2016_task2 A sets check_every to 10; B changes nothing."]
    for task in (ESC50, DCASE):
        assert diff_protocols(made(task), by(mine, made(task))) == differs
    assert diff_protocols(HEAR2021, named_protocol("wavjepa")) == [
        "On dcase2016_task2 A sets check_every to 10; B sets check_every to 10 and max_epochs to "
        "10 or 50."
    ]


def test_forks_of_the_published_evaluation() -> None:
    assert diff_protocols(HEAR2021, named_protocol("mwmae")) == [
        "A trains 8 grid points; B 2, 1 of which A trains as well.",
        "hidden_layers is 1 or 2 in A, 1 in B.",
        "initialization is normal or uniform in A, normal in B.",
        "lr is 0.0001, 0.00032, 0.001 or 0.0032 in A, 0.0001 in B.",
        "dropout is 0.1 in A, 0.1 or 0.25 in B.",
        "A embeds as many clips at once as the published evaluation; B embeds 1 clip at once.",
    ]
    assert diff_protocols(HEAR2021, named_protocol("listen")) == [
        "A has the published postprocessing of events; B makes events with median filters and "
        "shortest durations of 250/250 and 250/500 ms.",
        "A embeds as many clips at once as the published evaluation; B embeds 256 clips at once.",
    ]
    assert diff_protocols(WEIGHTED.with_layers([1, 3]), named_protocol("encodecmae")) == [
        "A uses layers 1 and 3; B uses all layers.",
        "A weights layers by a softmax; B weights layers by shares of absolute numbers.",
    ]


def test_seeds_draws_and_precision_are_said_and_dont_count() -> None:
    in_half = changed(made(), precision="bfloat16")
    assert in_half.protocol_words() == "hear2021, seed 42, bfloat16"
    assert in_half.protocol_fingerprint == made().protocol_fingerprint
    assert diff_protocols(made(), in_half) == []
    first, second = (
        by(HEAR2021.with_subset(TrainSubset(fraction=0.25, repeat=repeat))) for repeat in (0, 1)
    )
    assert first.protocol_fingerprint == second.protocol_fingerprint
    assert second.protocol_words() == "hear2021, labels: 25 %, repeat 1, seed 42, float32"
    for seeds, words in {
        (42, 43, 44): "seeds 42 to 44",
        (44, 42): "seeds 42 and 44",
        (1, 3, 9): "seeds 1, 3 and 9",
    }.items():
        assert made().protocol_words(seeds) == f"hear2021, {words}, float32"
        assert Conditions.of(made(), seeds).fingerprint == made().protocol_fingerprint


def test_neighbours_have_no_seed_and_no_precision() -> None:
    asked = by(KNN)
    assert asked.protocol_words() == "knn"
    in_half = changed(asked, precision="bfloat16", seed=1, task=BIRDS)
    assert in_half.protocol_fingerprint == asked.protocol_fingerprint
    assert diff_protocols(HEAR2021, KNN) == [
        "A trains networks (8 grid points); B asks the nearest training examples (8 grid points)."
    ]


def test_grids_that_share_some_points() -> None:
    more = GridPoint(hidden_layers=1, initialization="normal", lr=0.01, dropout=0.25)
    other = HEAR2021.model_copy(update={"grid": (*HEAR2021.grid[:2], more), "racing": Racing()})
    assert diff_protocols(HEAR2021, other)[:3] == [
        "A trains 8 grid points; B 3, 2 of which A trains as well.",
        "lr is 0.0001, 0.00032, 0.001 or 0.0032 in A, 0.0001, 0.001 or 0.01 in B.",
        "dropout is 0.1 in A, 0.1 or 0.25 in B.",
    ]
    assert len(diff_protocols(HEAR2021, other)) == 4
    larger = HEAR2021.model_copy(update={"grid": (*HEAR2021.grid, more)})
    assert diff_protocols(HEAR2021, larger) == ["A trains 8 of the 9 grid points of B."]


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("hear2021[first=2]", lambda: HEAR2021.restricted(first=2)),
        ("linear[first=1,lr=1e-3]", lambda: LINEAR.restricted(first=1, only={"lr": "1e-3"})),
        ("knn[k=3]", lambda: KNN.restricted(only={"k": 3})),
        (
            "weighted[layers=0+2,first=3,shots=5,repeat=1]",
            lambda: (
                WEIGHTED.with_layers([2, 0])
                .restricted(first=3)
                .with_subset(TrainSubset(shots=5, repeat=1))
            ),
        ),
        ("weighted:fast", lambda: FAST.that_reads("weighted")),
    ],
)
def test_names_as_results_have_them(name: str, make: Callable[[], Protocol]) -> None:
    protocol = make()
    assert protocol.name == name
    assert named_protocol(name) == protocol


@pytest.mark.parametrize(
    ("name", "error", "named"),
    [
        ("nothing", UnknownNameError, "nothing"),
        ("hear2021[first=2", UnknownNameError, "bracket"),
        ("hear2021[first=two]", ProbeError, "two"),
        ("hear2021[size=2]", ProbeError, "size"),
        ("hear2021[lr=7]", ProbeError, "lr=7"),
        ("hear2021[shots=0,repeat=0]", ProbeError, "shots=0,repeat=0"),
        ("hear2021[layers=1]", ProbeError, "layer"),
    ],
)
def test_names_of_nothing(name: str, error: type[Exception], named: str) -> None:
    with pytest.raises(error, match=named):
        find_conditions(name)


def test_results_in_folders(tmp_path: Path) -> None:
    for task in (ESC50, DCASE):
        write_made_up_result(tmp_path, task)
    found = find_conditions(str(tmp_path))
    assert (found.fingerprint, found.words()) == (hand_made(), "hear2021, seed 42, float32")
    assert find_conditions(str(tmp_path / "my_model" / ESC50 / "result.json")) == found
    one_point = HEAR2021.restricted(first=1)
    write_made_up_result(tmp_path, MAESTRO, protocol=one_point)
    with pytest.raises(ResultError, match="2 protocols") as caught:
        find_conditions(str(tmp_path))
    for line in (f"{hand_made()}: hear2021, seed 42", "hear2021 with 1 of 8 grid points, seed 42"):
        assert line in str(caught.value)
    with pytest.raises(UnknownNameError, match="folder or file of results"):
        find_conditions(str(tmp_path / "nowhere"))
