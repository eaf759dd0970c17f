"""Training of a fold's grid: stopping, ties, undefined scores, resuming; scores against a plain
loop over the same protocol."""

import dataclasses
import math
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from helpers_progress import Counts, StoppedError
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_loop import plain_train

from hearbench.metrics.classification import top1_accuracy
from hearbench.probe.checkpoint import Checkpoint
from hearbench.probe.data import BatchSpec
from hearbench.probe.network import ProbeStack
from hearbench.probe.objective import Objective, Validation
from hearbench.probe.outputs import MULTICLASS, MULTILABEL
from hearbench.probe.protocol import GridPoint, by_shape
from hearbench.probe.reading import Reading
from hearbench.probe.scenes import SceneData, array_data
from hearbench.probe.training_loop import Trained, Training

ACCURACY = Objective(top1_accuracy, maximise=True)


def sets(
    n: int = 300, n_features: int = 10, seed: int = 0
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]]:
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).standard_normal((5, n_features))
    labels = rng.integers(0, 5, n)
    x = centres[labels] * 0.8 + rng.standard_normal((n, n_features)) + 3
    return x.astype(np.float32), np.eye(5, dtype=np.uint8)[labels]


def fold(multilabel: bool = False) -> SceneData:
    x, y = sets()
    valid = sets(150, seed=1)
    spec = BatchSpec(128, "cpu", torch.float32)
    return array_data((x, y), valid, outputs=MULTILABEL if multilabel else MULTICLASS, spec=spec)


def grid(**changes: object) -> list[GridPoint]:
    common: dict[str, object] = {
        "hidden_dim": 32,
        "hidden_layers": 1,
        "max_epochs": 30,
        "check_every": 2,
        "patience": 3,
        **changes,
    }
    return [GridPoint(lr=lr, **common) for lr in (1e-2, 3e-3, 1e-3)]


def run(points: list[GridPoint], objective: Objective = ACCURACY, **kwargs: object) -> Trained:
    data = kwargs.pop("data", None) or fold()
    return Training({1: points}, data, objective, fold=0, dtype=torch.float32).run(**kwargs)[1]  # type: ignore[arg-type]


def scripted(values: list[float]) -> Objective:
    """Validations that come out as told, in the order of the calls."""
    waiting = iter(values)
    return Objective(lambda *_: next(waiting), maximise=True)


def test_it_stops_after_patience_validations_without_improvement() -> None:
    values = [0.1, 0.5, 0.5, 0.4, 0.5, 0.9]
    (outcome,) = run(grid(max_epochs=100)[:1], scripted(values)).outcomes
    assert (outcome.validation_score, outcome.best_epoch) == (0.5, 4)
    assert (outcome.epochs, outcome.ended) == (10, "patience")


def test_it_ends_with_the_last_possible_validation() -> None:
    rising = [i / 100 for i in range(100)]
    (outcome,) = run(grid(max_epochs=11)[:1], scripted(rising)).outcomes
    assert (outcome.epochs, outcome.best_epoch, outcome.ended) == (10, 10, "max_epochs")


def test_without_a_validation_there_is_no_score() -> None:
    trained = run(grid(max_epochs=5, check_every=10))
    assert all(math.isnan(outcome.validation_score) for outcome in trained.outcomes)
    assert trained.best is None
    assert trained.weights is None


def test_an_undefined_score_ends_the_point_and_keeps_what_was_best_before() -> None:
    # Three points are validated in turn: the first is undefined at its third validation.
    values = iter([0.9, 0.2, 0.1, 0.5, 0.3, 0.1, math.nan, 0.3, 0.1] + [0.0] * 100)
    seen: list[npt.NDArray[np.float32]] = []

    def measure(probabilities: npt.NDArray[np.float32], _: object) -> float:
        seen.append(probabilities)
        return next(values)

    data = fold()
    trained = run(grid(), Objective(measure, maximise=True), data=data)
    first = trained.outcomes[0]
    assert (first.validation_score, first.best_epoch) == (0.9, 2)
    assert (first.epochs, first.ended) == (6, "undefined_score")
    assert trained.best == 0
    # The weights are those of its first validation.
    stack = ProbeStack(
        grid()[:1],
        [0],
        reading=Reading(data.inputs.offset),
        n_labels=5,
        outputs=MULTICLASS,
        dtype=torch.float32,
    )
    assert trained.weights is not None
    stack.restore(0, trained.weights)
    probabilities = MULTICLASS.predictions(data.valid.predict(stack, [0])[0])
    np.testing.assert_allclose(probabilities, seen[0], atol=1e-6)
    assert np.abs(probabilities - seen[3]).max() > 1e-3


def published_rule(
    values: list[list[float]], patience: int, *, maximise: bool
) -> tuple[list[tuple[float, int, int]], int]:
    """Best score, number of its validation and validations done per point; and who wins.

    As the published code's library puts it, in float32: the first validation is kept whatever it
    is, a NaN as the worst infinity; another replaces it if it is truly better; and training stops
    where a score isn't finite, or after so many validations that aren't better than the best one.
    """
    worst = -math.inf if maximise else math.inf
    found = []
    for scores in values:
        best, at, since, done = worst, 0, 0, 0
        for number, score in enumerate(np.asarray(scores, np.float32).tolist(), 1):
            done = number
            own = worst if math.isnan(score) else score
            better = own > best if maximise else own < best
            since = 0 if better else since + 1
            if better or number == 1:
                best, at = own, number
            if not math.isfinite(score) or since >= patience:
                break
        found.append((best, at, done))
    ranked = sorted(range(len(found)), key=lambda i: found[i][0], reverse=maximise)
    return found, ranked[0]


@given(
    values=st.lists(
        st.lists(
            # Two are the same but for rounding.
            st.sampled_from([0.0, 0.25, 0.5, 0.5 + 1e-12, math.nan, math.inf, -math.inf]),
            min_size=5,
            max_size=5,
        ),
        min_size=3,
        max_size=3,
    ),
    maximise=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_points_end_and_win_as_published(values: list[list[float]], maximise: bool) -> None:
    waiting: dict[int, list[float]] = {i: list(each) for i, each in enumerate(values)}

    class Scripted(SceneData):
        def validate(self, stack, which, objective):  # type: ignore[no-untyped-def]  # noqa: ARG002
            # The points in training, by their learning rates.
            rates = [point.lr for point in grid()]
            at = [rates.index(stack.points[i].lr) for i in which]
            return [Validation(waiting[i].pop(0)) for i in at]

    x, y = sets(20)
    spec = BatchSpec(64, "cpu", torch.float32)
    plain = array_data((x, y), (x, y), outputs=MULTICLASS, spec=spec)
    data = Scripted(**{f.name: getattr(plain, f.name) for f in dataclasses.fields(plain)})
    objective = Objective(top1_accuracy, maximise=maximise)
    points = grid(max_epochs=5, check_every=1, patience=2, hidden_dim=2)
    trained = run(points, objective, data=data)
    expected, best = published_rule(values, 2, maximise=maximise)
    found = [(np.float32(o.validation_score), o.best_epoch, o.epochs) for o in trained.outcomes]
    assert found == expected
    assert trained.best == best
    assert trained.weights is not None


def test_undefined_from_the_start_is_tested_all_the_same_and_survives_a_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hearbench.probe.checkpoint._SHARE_OF_TIME", 1e9)
    nan = math.nan
    # In turn: the second point ends at once, the third at its second validation, the first last.
    values = [nan, nan, 0.0, nan]
    error = Objective(lambda *_: values.pop(0), maximise=False)
    points = grid(check_every=2)
    points[0] = points[0].model_copy(update={"check_every": 6})
    path = tmp_path / "state.npz"

    def stop(epoch: int, total: int | None = None, text: str = "") -> None:
        if epoch >= 4:
            raise StoppedError

    with pytest.raises(StoppedError):
        run(points, error, checkpoint=Checkpoint(path, every_s=0.0), update=stop)
    values[:] = [nan, nan]
    trained = run(points, error, checkpoint=Checkpoint(path, every_s=1e9))
    assert [o.ended for o in trained.outcomes] == ["undefined_score"] * 3
    scores = [(o.validation_score, o.best_epoch) for o in trained.outcomes]
    assert scores == [(math.inf, 6), (math.inf, 2), (math.inf, 2)]
    assert trained.best == 0
    assert trained.weights is not None


def test_other_protocols_count_undefined_as_zero() -> None:
    values = iter([math.nan, 0.2] + [0.1] * 100)
    objective = Objective(lambda *_: next(values), maximise=True, nan_ends_point=False)
    (outcome,) = run(grid()[:1], objective).outcomes
    assert (outcome.validation_score, outcome.best_epoch) == (0.2, 4)


def test_of_equal_points_the_first_wins_even_if_it_ends_last() -> None:
    # Both reach 0.5; the second reaches it at once and so stops earlier.
    first, second = [0.1, 0.2, 0.5], [0.5, 0.1, 0.1, 0.1]
    values = [first[0], second[0], first[1], second[1], first[2], second[2], 0.1, second[3]]
    trained = run(grid(max_epochs=100)[:2], scripted(values + [0.0] * 50))
    assert [o.validation_score for o in trained.outcomes] == [0.5, 0.5]
    assert trained.outcomes[0].epochs > trained.outcomes[1].epochs
    assert trained.best == 0


def test_losses_and_lower_is_better_are_minimised() -> None:
    on_loss = run(grid(), Objective(top1_accuracy, maximise=True, on_loss=True))
    losses = [outcome.validation_score for outcome in on_loss.outcomes]
    assert all(0 < loss < 2 for loss in losses)
    assert on_loss.best == int(np.argmin(losses))
    values = [0.9, 0.5, 0.7, 0.6, 0.6]
    waiting = iter(values)
    error = Objective(lambda *_: next(waiting), maximise=False)
    (outcome,) = run(grid(max_epochs=10)[:1], error).outcomes
    assert (outcome.validation_score, outcome.best_epoch) == (0.5, 4)


def test_the_best_validations_weights_are_kept() -> None:
    data = fold()
    trained = run(grid(), data=data)
    assert trained.best is not None
    assert trained.weights is not None
    stack = ProbeStack(
        [grid()[trained.best]],
        [0],
        reading=Reading(data.inputs.offset),
        n_labels=5,
        outputs=MULTICLASS,
        dtype=torch.float32,
    )
    stack.restore(0, trained.weights)
    probabilities = MULTICLASS.predictions(data.valid.predict(stack, [0])[0])
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0, atol=1e-5)
    score = trained.outcomes[trained.best].validation_score
    assert top1_accuracy(probabilities, data.valid_targets) == score


@pytest.mark.parametrize("layers", [0, 1, 2])
def test_who_runs_beside_a_point_changes_nothing(layers: int) -> None:
    points = grid(hidden_layers=layers)
    together, alone = run(points), [run([point]) for point in points]
    for outcome, single in zip(together.outcomes, alone, strict=True):
        # A clip on the edge may fall to the other side by rounding.
        assert outcome.validation_score == pytest.approx(
            single.outcomes[0].validation_score, abs=0.02
        )


def test_equal_seeds_give_equal_bits_and_others_do_not() -> None:
    a, b = run(grid()), run(grid())
    assert a.outcomes == b.outcomes
    assert a.weights is not None
    assert b.weights is not None
    assert all(torch.equal(a.weights[name], b.weights[name]) for name in a.weights)
    other = Training({2: grid()}, fold(), ACCURACY, fold=0, dtype=torch.float32).run()[2]
    assert other.weights is not None
    assert not torch.equal(other.weights["weight_0"], a.weights["weight_0"])


@pytest.mark.parametrize("stop_at", [2, 8, 14])
def test_a_stopped_training_goes_on_bit_for_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop_at: int
) -> None:
    monkeypatch.setattr("hearbench.probe.checkpoint._SHARE_OF_TIME", 1e9)  # save every time
    undisturbed = run(grid(patience=5))

    def interrupt(epoch: int, total: int | None = None, text: str = "") -> None:
        if epoch > stop_at:
            raise StoppedError

    path = tmp_path / "state.npz"
    with pytest.raises(StoppedError):
        run(grid(patience=5), checkpoint=Checkpoint(path, every_s=0.0), update=interrupt)
    assert path.is_file()
    told = Counts()
    resumed = run(grid(patience=5), checkpoint=Checkpoint(path, every_s=1e9), update=told)
    assert told[0] == (stop_at + 2, 30)
    assert resumed.outcomes == undisturbed.outcomes
    assert resumed.best == undisturbed.best
    assert resumed.weights is not None
    assert undisturbed.weights is not None
    for name, tensor in undisturbed.weights.items():
        assert torch.equal(resumed.weights[name], tensor), name


def test_shapes_are_grouped_in_order_of_appearance() -> None:
    layers = [1, 2, 1, 0, 2]
    points = [GridPoint(hidden_layers=n, lr=1e-3 * (i + 1)) for i, n in enumerate(layers)]
    assert by_shape(points) == [[0, 2], [1, 4], [3]]


@pytest.mark.parametrize("layers", [0, 1, 2])
def test_scores_are_those_of_a_plain_loop(layers: int) -> None:
    x, y = sets()
    valid_x, valid_y = sets(150, seed=1)
    point = grid(hidden_layers=layers, dropout=0.1, patience=5)[1]
    plain, stacked = [], []
    for seed in range(6):
        plain.append(
            plain_train(
                (torch.from_numpy(x), torch.from_numpy(y.argmax(axis=1))),
                (torch.from_numpy(valid_x), valid_y),
                top1_accuracy,
                batch_size=128,
                seed=seed,
                **point.model_dump(),
            ).validation_score
        )
        trained = Training({seed: [point]}, fold(), ACCURACY, fold=0, dtype=torch.float32).run()[
            seed
        ]
        stacked.append(trained.outcomes[0].validation_score)
    noise = np.sqrt(np.var(plain, ddof=1) / 6 + np.var(stacked, ddof=1) / 6)
    assert abs(np.mean(plain) - np.mean(stacked)) < max(4 * noise, 0.01)
    assert np.mean(stacked) > (0.6 if layers else 0.21)
