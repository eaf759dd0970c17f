"""Layers of a model compared as models of their own."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers_cli import hearbench
from helpers_layers import PLAIN, MadeUpLayer, write_layers_result, write_weighted_result
from helpers_leaderboard import ESC50, write_made_up_result

from hearbench.comparison.compare import compare
from hearbench.errors import ResultError
from hearbench.evaluation.results import load_results

# Of 20 clips of a fold 0, 2 and 12 are wrong; validation chooses the second.
LAYERS = {
    0: MadeUpLayer(0, (0.3, 0.4)),
    5: MadeUpLayer(2, (0.8, 0.9)),
    11: MadeUpLayer(12, (0.5, 0.5)),
}
WEIGHTS = {f"fold0{i}": (0.1, 0.8, 0.1) for i in range(5)}


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("results")
    write_layers_result(root / "layers", LAYERS, model="net")
    write_weighted_result(root / "weighted", [WEIGHTS], numbers=tuple(LAYERS), model="net", wrong=3)
    write_made_up_result(root / "layers", ESC50, model="other", wrong=4, protocol=PLAIN)
    return root


def test_best_last_and_weighted_are_models(out: Path) -> None:
    found = compare([out / "layers", out / "weighted"], n_resamples=400, layers=True)
    assert found.models == ("net [best layer]", "net [last layer]", "other", "net [weighted]")
    (task,) = found.tasks
    assert {score.model: score.mean for score in task.scores} == pytest.approx(
        {
            "net [best layer]": 18 / 20,
            "net [last layer]": 8 / 20,
            "net [weighted]": 17 / 20,
            "other": 16 / 20,
        }
    )
    pairs = {(pair.model_a, pair.model_b): pair for pair in task.pairs}
    pair = pairs["net [best layer]", "net [last layer]"]
    assert pair.difference == pytest.approx(0.5)
    assert pair.verdict == "net [best layer] is better"
    assert pair.p_holm < 0.01
    pair = pairs["net [best layer]", "net [weighted]"]
    assert pair.difference == pytest.approx(0.05)
    assert f"net [best layer]: validation chose layer 5 on {ESC50}." in found.notes
    # The same numbers as when the folders of the results are named.
    plain = compare(
        [out / "layers/net", out / "layers/net" / ESC50 / "layers/11"],
        n_resamples=400,
        across_protocols=True,
    )
    assert plain.models == ("net", "net (layer 11)")
    assert plain.tasks[0].pairs[0].p == pairs["net [best layer]", "net [last layer]"].p


def test_without_the_option_a_result_is_one_model(out: Path) -> None:
    found = compare([out / "layers"], n_resamples=200, across_protocols=True)
    assert found.models == ("net", "other")
    assert f"net: validation chose layer 5 on {ESC50}." in found.notes


def test_seeds_may_have_chosen_different_layers(tmp_path: Path) -> None:
    layers = {0: MadeUpLayer(1, (0.9, 0.5)), 3: MadeUpLayer(2, (0.5, 0.9))}
    write_layers_result(tmp_path, layers, seeds=(42, 43))
    found = load_results(tmp_path).compare(layers=True, n_resamples=200)
    best, last = found.tasks[0].scores
    assert (best.model, best.seeds) == ("my_model [best layer]", (42, 43))
    # One wrong with the first seed; two and one more with the second.
    assert best.mean == pytest.approx((19 + 17) / 40)
    assert last.mean == pytest.approx((18 + 17) / 40)
    assert f"my_model [best layer]: validation chose layer 0 or 3 on {ESC50}." in found.notes


def test_on_the_command_line(out: Path, tmp_path: Path) -> None:
    answer = hearbench("compare", out / "layers/net", "--layers", "--resamples", 200, "--json")
    assert answer.json["models"] == ["net [best layer]", "net [last layer]"]
    answer = hearbench("compare", out / "layers/net")
    assert answer.code == 2
    assert "only one model, net" in answer.stderr
    folder = write_layers_result(tmp_path)
    (folder / "layers/07/result.json").unlink()
    with pytest.raises(ResultError, match=r"layers/07/result\.json can't be read"):
        compare([tmp_path], layers=True)
