from __future__ import annotations

import dataclasses
import shlex
from pathlib import Path

import pytest
from helpers_layers import write_layers_result, write_weighted_result
from helpers_leaderboard import DCASE, ESC50, made_up_predictions

from hearbench.cli.app import VERBS
from hearbench.cli.options import pairs
from hearbench.errors import ResultError
from hearbench.leaderboard.site.own import OwnResult, own_models
from hearbench.probe.protocol import FASTER, HEAR2021, KNN, LAYERS, LINEAR, Protocol
from hearbench.probe.subset import TrainSubset
from hearbench.results import Result, score


def result(name: str, protocol: Protocol = HEAR2021, *, seed: int = 42, **update: object) -> Result:
    made = made_up_predictions(name, protocol=protocol)
    return score(dataclasses.replace(made, seed=seed)).model_copy(update=update)


def options(command: str) -> dict[str, object]:
    """What `hearbench evaluate` takes the words for."""
    words = shlex.split(command.replace("\\\n", " "))
    assert words[:2] == ["hearbench", "evaluate"]
    found: dict[str, object] = VERBS["evaluate"].make_context("evaluate", words[2:]).params
    return found


@pytest.mark.parametrize(
    "protocol",
    [
        HEAR2021,
        LINEAR.restricted(first=2),
        FASTER.restricted(first=3, only={"hidden_layers": 1, "initialization": "normal"}),
        HEAR2021.restricted(only={"lr": 0.001}),
    ],
    ids=lambda protocol: protocol.name,
)
def test_the_command_names_all_that_decides_the_score(protocol: Protocol) -> None:
    found = result(ESC50, protocol, seed=7, precision="bfloat16")
    (own,) = own_models([OwnResult(found, seeds=(7, 8, 9, 11))]).values()
    said = options(own.command())
    from hearbench.probe.protocol import get_protocol

    only = pairs(said["only"], "--only")  # type: ignore[arg-type]
    base = get_protocol(str(said["protocol"]))
    again = base.restricted(first=said["grid_points"], only=only)  # type: ignore[arg-type]
    assert again.name == protocol.name
    assert (said["seed"], said["seeds"]) == (7, 3)
    assert said["precision"] == "bfloat16"
    assert said["out"] == Path("results")
    assert said["task"] == [ESC50]


def test_results_that_were_made_otherwise_have_a_command_of_their_own() -> None:
    both = [result(ESC50), result(DCASE, FASTER)]
    (own,) = own_models(map(OwnResult, both)).values()
    one, other = own.command().replace("\\\n", "").splitlines()
    assert (options(one)["task"], options(one)["protocol"]) == ([DCASE], "faster")
    assert (options(other)["task"], options(other)["protocol"]) == ([ESC50], "hear2021")


def test_neighbours_have_no_seed_and_few_labels_have_their_part() -> None:
    made = result(ESC50)
    near = made.model_copy(update={"protocol": KNN})
    few = HEAR2021.restricted(first=2).with_subset(TrainSubset(shots=5, repeat=2))
    small = made.model_copy(update={"protocol": few, "seed": 44})
    (own,) = own_models([OwnResult(near)]).values()
    assert "--seed" not in own.command()
    (own,) = own_models([OwnResult(small)]).values()
    said = options(own.command())
    assert (said["shots"], said["repeats"], said["grid_points"]) == ([5], 3, 2)
    assert said["seed"] == 42
    assert not said["only"]


def test_layers_stand_beside_a_result(tmp_path: Path) -> None:
    weights = {f"fold0{i}": (0.2, 0.7, 0.1) for i in range(5)}
    curve = OwnResult.read(write_layers_result(tmp_path / "a"))
    weighted = OwnResult.read(write_weighted_result(tmp_path / "b", [weights]))
    plain = OwnResult(result(ESC50))
    (own,) = own_models([weighted, plain, curve]).values()
    assert (own.own, own.beside) == ((plain,), (curve, weighted))
    assert own.results == (plain.result,)
    (layers,) = own.of_layers
    assert (layers.curve, layers.weights) == (curve.layers, weighted.layers)
    commands = own.command().replace("\\\n", "").splitlines()
    protocols = [options(command)["protocol"] for command in commands]
    assert protocols == ["hear2021", "layers", "weighted"]
    assert [options(command)["layers"] for command in commands] == ["all"] * 3
    outs = [str(options(command)["out"]) for command in commands]
    assert outs == ["results", "results-layers", "results-weighted"]
    few = LAYERS.restricted(first=2).with_layers([2, 7])
    (some,) = own_models([OwnResult(result(ESC50, few))]).values()
    said = options(some.command())
    assert (said["protocol"], said["layers"], said["grid_points"]) == ("layers", "2,7", 2)
    assert not said["only"]
    # Without another result the layers' own is the task's.
    (own,) = own_models([weighted, curve]).values()
    assert (own.own, own.beside) == ((curve,), (weighted,))
    with pytest.raises(ResultError, match="two results of my_model on esc50"):
        own_models([curve, curve])
