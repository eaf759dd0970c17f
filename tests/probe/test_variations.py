"""Protocols beside the published one: what each changes, and nothing else."""

import dataclasses
import datetime as dt
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers_models import BANDS, write_model
from helpers_probe import SMALL_GRID
from helpers_progress import Noted, State, noting
from helpers_tasks import make_event_task, make_scene_task

from hearbench import embed, fit_probe, load_model, load_task, score
from hearbench.embeddings.store import EmbeddingStore
from hearbench.errors import ProbeError
from hearbench.leaderboard.contradictions import TaskFacts, contradictions
from hearbench.metrics.classification import top1_accuracy
from hearbench.probe.data import BatchSpec
from hearbench.probe.fit import fit_probes
from hearbench.probe.objective import Objective
from hearbench.probe.outputs import MULTICLASS
from hearbench.probe.protocol import (
    HEAR2021,
    LINEAR,
    GridPoint,
    Protocol,
    Racing,
    get_protocol,
)
from hearbench.probe.reading import as_tensor
from hearbench.probe.scenes import KeptClips, SceneData, array_data
from hearbench.probe.subset import TrainSubset
from hearbench.probe.training_loop import Training
from hearbench.workspace import Workspace

ACCURACY = Objective(top1_accuracy, maximise=True)
SMALL = Protocol(name="small", grid=SMALL_GRID, batch_size=16)


def scene_store(tmp_path: Path, workspace: Workspace, **task: object) -> EmbeddingStore:
    loaded = load_task(make_scene_task(tmp_path, **task), workspace=workspace)  # type: ignore[arg-type]
    model = load_model(str(write_model(tmp_path, BANDS)), workspace=workspace)
    return embed(model, loaded, workspace=workspace)


def event_store(tmp_path: Path, workspace: Workspace) -> EmbeddingStore:
    loaded = load_task(make_event_task(tmp_path, clips=6, events_per_clip=4), workspace=workspace)
    model = load_model(str(write_model(tmp_path, BANDS)), workspace=workspace)
    return embed(model, loaded, workspace=workspace)


def data_of(**changes: object) -> SceneData:
    rng = np.random.default_rng(3)
    x = rng.standard_normal((103, 5)).astype(np.float32)
    y = np.eye(3, dtype=np.uint8)[rng.integers(0, 3, 103)]
    spec = BatchSpec(25, "cpu", torch.float32, **changes)  # type: ignore[arg-type]
    return array_data((x, y), (x[:20], y[:20]), outputs=MULTICLASS, spec=spec)


def test_seeds_learn_together_what_they_learn_alone(tmp_path: Path, workspace: Workspace) -> None:
    store = scene_store(tmp_path, workspace, folds=True, clips_per_label=8)
    together = fit_probes(store, SMALL, seeds=[5, 6, 9], workspace=workspace)
    assert [p.seed for p in together] == [5, 6, 9]
    elsewhere = dataclasses.replace(workspace, cache_dir=tmp_path / "elsewhere")
    for predictions in together:
        alone = fit_probe(store, SMALL, seed=predictions.seed, workspace=elsewhere)
        assert predictions.chosen == alone.chosen
        for one, other in zip(predictions.scene_folds(), alone.scene_folds(), strict=True):
            assert one.outcome.epochs == other.outcome.epochs
            np.testing.assert_allclose(one.probabilities, other.probabilities, atol=2e-4)
    first, second, _ = (p.scene_folds()[0].probabilities for p in together)
    assert np.abs(first - second).max() > 1e-3


def test_seeds_that_are_there_are_not_trained_again(tmp_path: Path, workspace: Workspace) -> None:
    store = scene_store(tmp_path, workspace, clips_per_label=8)
    fit_probe(store, SMALL, seed=1, workspace=workspace)
    told = Noted()
    fit_probes(store, SMALL, seeds=[1, 2], workspace=noting(workspace, told))
    assert told.states
    assert not any("seeds" in state.text for state in told.states)
    idle = Noted()
    fit_probes(store, SMALL, seeds=[2, 1], workspace=noting(workspace, idle))
    assert idle.states == []


def test_an_interrupted_training_of_several_seeds_goes_on(
    tmp_path: Path, workspace: Workspace
) -> None:
    store = scene_store(tmp_path, workspace, clips_per_label=8)
    elsewhere = dataclasses.replace(workspace, cache_dir=tmp_path / "elsewhere")
    expected = fit_probes(store, SMALL, seeds=[1, 2], workspace=elsewhere)
    calls = 0

    def stop(state: State) -> None:
        nonlocal calls
        calls += 1
        if calls == 5:
            raise KeyboardInterrupt

    stopping = noting(workspace, Noted(stop))
    with pytest.raises(KeyboardInterrupt):
        fit_probes(store, SMALL, seeds=[1, 2], workspace=stopping, checkpoint_every_s=0.0)
    found = fit_probes(store, SMALL, seeds=[1, 2], workspace=workspace)
    for one, other in zip(expected, found, strict=True):
        assert one.grid == other.grid
        np.testing.assert_array_equal(one.folds[0].probabilities, other.folds[0].probabilities)


@pytest.mark.parametrize("seeds", [[], [3, 3]])
def test_seeds_are_different_and_some(
    tmp_path: Path, workspace: Workspace, seeds: list[int]
) -> None:
    store = scene_store(tmp_path, workspace)
    with pytest.raises(ValueError, match="different"):
        fit_probes(store, SMALL, seeds=seeds, workspace=workspace)


def test_shuffled_epochs_hold_the_same_clips_in_other_orders() -> None:
    plain, shuffled = data_of(), data_of(shuffle=17)
    assert torch.equal(*(torch.cat([as_tensor(x) for x, _ in plain.epoch(n)]) for n in (1, 2)))
    kept = plain.train
    assert isinstance(kept, KeptClips)
    rows = {tuple(x): int(y) for x, y in zip(kept.x.tolist(), kept.y.tolist(), strict=True)}
    orders = []
    for number in (1, 2):
        batches = list(shuffled.epoch(number))
        assert [len(x) for x, _ in batches] == [25, 25, 25, 25, 3]
        x = torch.cat([as_tensor(own) for own, _ in batches])
        y = torch.cat([own for _, own in batches])
        assert {tuple(a): int(b) for a, b in zip(x.tolist(), y.tolist(), strict=True)} == rows
        orders.append(x)
    assert not torch.equal(*orders)
    assert torch.equal(
        orders[0], torch.cat([as_tensor(x) for x, _ in data_of(shuffle=17).epoch(1)])
    )


def test_shuffled_frames_are_the_same_in_memory_or_not(
    tmp_path: Path, workspace: Workspace
) -> None:
    store = event_store(tmp_path, workspace)
    shuffled = SMALL.model_copy(update={"name": "s", "shuffle": True, "nan_ends_point": False})
    roomy = fit_probe(store, shuffled, workspace=workspace)
    narrow = fit_probe(
        store,
        shuffled,
        workspace=dataclasses.replace(workspace, cache_dir=tmp_path / "b", max_memory_gb=0.0),
    )
    np.testing.assert_array_equal(roomy.folds[0].probabilities, narrow.folds[0].probabilities)
    plain = fit_probe(
        store, shuffled.model_copy(update={"name": "p", "shuffle": False}), workspace=workspace
    )
    assert np.abs(plain.folds[0].probabilities - roomy.folds[0].probabilities).max() > 1e-4


def test_standardised_equals_embeddings_that_were_standardised_before() -> None:
    rng = np.random.default_rng(0)
    x = (rng.standard_normal((90, 4)) * [0.01, 1, 30, 5] + 3).astype(np.float32)
    y = np.eye(3, dtype=np.uint8)[rng.integers(0, 3, 90)]
    mean, std = (f(x[:60], axis=0, dtype=np.float64) for f in (np.mean, np.std))
    scaled = ((x - mean) / std).astype(np.float32)
    point = SMALL.networks[0]
    found = []
    for given, standardise in ((x, True), (scaled, False)):
        spec = BatchSpec(20, "cpu", torch.float32, standardise=standardise)
        parts = (given[:60], y[:60]), (given[60:], y[60:])
        data = array_data(*parts, outputs=MULTICLASS, spec=spec)
        trained = Training({0: [point]}, data, ACCURACY, fold=0, dtype=torch.float32).run()[0]
        found.append((data, trained))
    (data, trained), (other_data, other) = found
    for one, two in ((data.train, other_data.train), (data.valid, other_data.valid)):
        assert isinstance(one, KeptClips)
        assert isinstance(two, KeptClips)
        torch.testing.assert_close(one.x, two.x, rtol=1e-4, atol=1e-5)
    assert trained.outcomes == other.outcomes
    assert trained.weights is not None
    assert other.weights is not None
    torch.testing.assert_close(
        trained.weights["weight_0"], other.weights["weight_0"], rtol=1e-2, atol=1e-3
    )


@pytest.mark.parametrize("kind", ["scene", "event"])
@pytest.mark.parametrize("change", ["shuffle", "standardise"])
def test_variations_run_on_both_kinds_of_task(
    tmp_path: Path, workspace: Workspace, kind: str, change: str
) -> None:
    store = (
        scene_store(tmp_path, workspace, clips_per_label=8)
        if kind == "scene"
        else event_store(tmp_path, workspace)
    )
    base = SMALL.model_copy(update={"nan_ends_point": False})
    protocol = base.model_copy(update={"name": change, change: True})
    changed, plain = (fit_probe(store, p, workspace=workspace) for p in (protocol, base))
    assert not math.isnan(changed.folds[0].loss)
    assert np.abs(changed.folds[0].probabilities - plain.folds[0].probabilities).max() > 1e-4


def scripted(curves: list[list[float]]) -> Objective:
    """Validations that come out as told: all curves in turn, as long as they are in training."""
    values = iter([value for step in zip(*curves, strict=True) for value in step])
    return Objective(lambda *_: next(values), maximise=True)


def test_what_cannot_win_is_given_up_and_the_winner_stays() -> None:
    points = [GridPoint(hidden_dim=8, lr=lr, check_every=1, max_epochs=12) for lr in (1e-2, 1e-3)]
    leader = [0.5 + 0.03 * i for i in range(12)]
    flat = [0.4 + 0.001 * i for i in range(12)]
    # The flat one is validated until it is given up, after which there are the leader's alone.
    values = [v for i in range(6) for v in (leader[i], flat[i])] + leader[6:]
    told = iter(values)
    objective = Objective(lambda *_: next(told), maximise=True)
    trained = Training({0: points}, data_of(), objective, fold=0, dtype=torch.float32).run(
        racing=Racing(window=5, slack=2.0)
    )[0]
    assert [o.ended for o in trained.outcomes] == ["max_epochs", "raced"]
    assert [o.epochs for o in trained.outcomes] == [12, 6]
    assert trained.best == 0


def test_what_still_rises_fast_enough_is_not_given_up() -> None:
    points = [GridPoint(hidden_dim=8, lr=lr, check_every=1, max_epochs=12) for lr in (1e-2, 1e-3)]
    early, late = [0.6] * 12, [0.1 + 0.0475 * i for i in range(12)]
    trained = Training(
        {0: points}, data_of(), scripted([early, late]), fold=0, dtype=torch.float32
    ).run(racing=Racing(window=5, slack=2.0))[0]
    assert (trained.outcomes[1].ended, trained.outcomes[1].epochs) == ("max_epochs", 12)
    assert trained.best == 1


def test_shapes_that_were_trained_before_are_to_be_beaten() -> None:
    point = GridPoint(hidden_dim=8, check_every=1, max_epochs=30, patience=100)
    objective = Objective(lambda *_: 0.5, maximise=True)
    racing = Racing(window=5, slack=2.0)
    (alone,) = (
        Training({0: [point]}, data_of(), objective, fold=0, dtype=torch.float32)
        .run(racing=racing)[0]
        .outcomes
    )
    assert alone.ended == "max_epochs"
    (beaten,) = (
        Training({0: [point]}, data_of(), objective, fold=0, dtype=torch.float32)
        .run(racing=racing, to_beat={0: 0.6})[0]
        .outcomes
    )
    assert (beaten.ended, beaten.epochs) == ("raced", 6)
    (other_seed,) = (
        Training({0: [point]}, data_of(), objective, fold=0, dtype=torch.float32)
        .run(racing=racing, to_beat={1: 0.6})[0]
        .outcomes
    )
    assert other_seed.ended == "max_epochs"


def test_seeds_do_not_race_against_each_other() -> None:
    point = GridPoint(hidden_dim=8, check_every=1, max_epochs=12)
    trained = Training(
        {1: [point], 2: [point]},
        data_of(),
        scripted([[0.9] * 12, [0.1] * 12]),
        fold=0,
        dtype=torch.float32,
    ).run(racing=Racing(window=3))
    assert [trained[seed].outcomes[0].ended for seed in (1, 2)] == ["max_epochs"] * 2
    assert [trained[seed].best for seed in (1, 2)] == [0, 0]


EPOCHS = 24
LADDER = Racing(window=4, slack=1.0, halvings=(3, 6), patience=10)


def noisy_data(seed: int) -> SceneData:
    """Clips whose labels can be guessed from their embeddings now and then."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 4, 90)
    x = (np.eye(6)[labels] * 2 + rng.standard_normal((90, 6))).astype(np.float32)
    y = np.eye(4, dtype=np.uint8)[labels]
    spec = BatchSpec(50, "cpu", torch.float32)
    return array_data((x[:50], y[:50]), (x[50:], y[50:]), outputs=MULTICLASS, spec=spec)


def whole_curves(points: list[GridPoint], data: SceneData) -> list[list[float]]:
    """Each point's validations in float32, where none is given up or stops."""
    seen: list[float] = []

    def noted(probabilities: np.ndarray, targets: np.ndarray) -> float:
        seen.append(top1_accuracy(probabilities, targets))
        return seen[-1]

    Training({0: points}, data, Objective(noted, True), fold=0, dtype=torch.float32).run()
    # One after the other, in every epoch.
    by_epoch = np.asarray(seen, dtype=np.float32).reshape(EPOCHS, len(points))
    return [list(map(float, curve)) for curve in by_epoch.T]


def as_the_rule_says(
    curves: list[list[float]], racing: Racing, to_beat: float
) -> list[tuple[str, int, int]]:
    """How each training ends, when, and its best epoch, by hand."""
    found: dict[int, tuple[str, int, int]] = {}
    for n in range(1, EPOCHS + 1):
        going = [i for i in range(len(curves)) if i not in found]
        so_far = [max(curve[: found[i][1] if i in found else n]) for i, curve in enumerate(curves)]
        leader = max([*so_far, to_beat])
        for i in going:
            best_epoch = 1 + curves[i].index(so_far[i])
            places = len(curves) / 2 ** sum(n >= k for k in racing.halvings)
            better = sum(
                so_far[other] > so_far[i] or (so_far[other] == so_far[i] and other < i)
                for other in going
            )
            gained = so_far[i] - max([*curves[i][: max(0, n - racing.window)], -math.inf])
            if racing.patience and n - best_epoch >= racing.patience:
                found[i] = ("patience", n, best_epoch)
            elif (n in racing.halvings and better >= math.ceil(places)) or (
                n > racing.window and so_far[i] + racing.slack * gained < leader
            ):
                found[i] = ("raced", n, best_epoch)
            elif n == EPOCHS:
                found[i] = ("max_epochs", n, best_epoch)
    return [found[i] for i in range(len(curves))]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    "racing",
    [LADDER, LADDER.model_copy(update={"patience": 3}), Racing(window=2, slack=0.5)],
)
@pytest.mark.parametrize("to_beat", [0.0, 0.85])
def test_points_end_as_a_plain_loop_over_their_whole_curves_says(
    seed: int, racing: Racing, to_beat: float
) -> None:
    data = noisy_data(seed)
    points = [
        GridPoint(hidden_dim=8, lr=lr, check_every=1, max_epochs=EPOCHS, patience=99)
        for lr in (1e-3, 3e-2, 1e-2, 3e-1, 3e-3)
    ]
    curves = whole_curves(points, data)
    expected = as_the_rule_says(curves, racing, to_beat)
    trained = Training({0: points}, data, ACCURACY, fold=0, dtype=torch.float32).run(
        racing=racing, to_beat={0: to_beat}
    )[0]
    assert [(o.ended, o.epochs, o.best_epoch) for o in trained.outcomes] == expected
    # What a point has reached when it ends is what it reaches there in a whole grid.
    for outcome, curve in zip(trained.outcomes, curves, strict=True):
        assert outcome.validation_score == pytest.approx(curve[outcome.best_epoch - 1])


def test_seeds_are_halved_by_themselves() -> None:
    points = [GridPoint(hidden_dim=8, lr=lr, check_every=1, max_epochs=5) for lr in (1e-2, 1e-3)]
    data, halving = noisy_data(0), Racing(window=9, halvings=(2,))
    trained = Training({1: points, 2: points}, data, ACCURACY, fold=0, dtype=torch.float32).run(
        racing=halving
    )
    for seed in (1, 2):
        assert sorted(outcome.epochs for outcome in trained[seed].outcomes) == [2, 5]
        assert {outcome.ended for outcome in trained[seed].outcomes} == {"raced", "max_epochs"}


def test_halvings_ascend() -> None:
    with pytest.raises(ValueError, match="ascend"):
        Racing(halvings=(6, 3))


def test_the_winner_of_a_quick_search_stops_early_in_every_fold(
    tmp_path: Path, workspace: Workspace
) -> None:
    store = scene_store(tmp_path, workspace, folds=True, clips_per_label=8)
    patient = tuple(point.model_copy(update={"patience": 8}) for point in SMALL_GRID)
    protocol = SMALL.model_copy(update={"grid": patient, "racing": Racing(patience=2)})
    fitted = fit_probe(store, protocol, workspace=workspace)
    assert len(fitted.folds) > 1
    for fold in fitted.folds:
        waited = fold.outcome.epochs - fold.outcome.best_epoch
        # Validated after every second epoch, of which there are 20 at most.
        assert waited == 4 or (waited < 4 and fold.outcome.epochs == 20)
    today = dt.date(2100, 1, 1)
    result = score(fitted)
    assert list(contradictions(result, TaskFacts(), today)) == []
    patient_result = result.model_copy(
        update={"protocol": SMALL.model_copy(update={"grid": patient})}
    )
    assert any("patience" in one for one in contradictions(patient_result, TaskFacts(), today))


@pytest.mark.parametrize("kind", ["multiclass", "multilabel", "event"])
def test_a_subset_trains_on_that_many_clips(
    tmp_path: Path, workspace: Workspace, kind: str
) -> None:
    store = (
        event_store(tmp_path, workspace)
        if kind == "event"
        else scene_store(tmp_path, workspace, multilabel=kind == "multilabel", clips_per_label=8)
    )
    from hearbench.probe.kinds import kind_of

    (fold,) = store.task.folds()
    protocol = SMALL.with_subset(TrainSubset(fraction=0.5))
    assert protocol.name == "small[fraction=0.5,repeat=0]"
    whole, part = (
        kind_of(store, p, device="cpu", max_memory_bytes=1 << 30) for p in (SMALL, protocol)
    )
    ((split, everything),) = whole.train_order(fold)
    ((_, chosen),) = part.train_order(fold)
    assert len(everything) == len(store.task.splits[split])
    assert len(chosen) == round(len(everything) / 2)
    # In the order that all clips would have.
    assert chosen == [i for i in everything if i in set(chosen)]
    predictions = fit_probe(
        store, protocol.model_copy(update={"nan_ends_point": False}), workspace=workspace
    )
    assert list(predictions.folds[0].clips) == list(store.task.splits["test"])


def test_too_few_clips_are_refused(tmp_path: Path, workspace: Workspace) -> None:
    store = scene_store(tmp_path, workspace, clips_per_label=8)
    protocol = SMALL.with_subset(TrainSubset(fraction=0.001))
    with pytest.raises(ProbeError, match="fraction"):
        fit_probe(store, protocol, workspace=workspace)


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("hear2021-shuffled", {"shuffle": True}),
        ("hear2021-standardised", {"standardise": True}),
        ("racing", {"racing": Racing()}),
        ("quick", {"racing": Racing(window=4, slack=1.0, halvings=(3, 6), patience=10)}),
    ],
)
def test_variations_of_the_published_protocol_change_one_thing(
    name: str, changed: dict[str, object]
) -> None:
    assert get_protocol(name) == HEAR2021.model_copy(update={"name": name, **changed})


def test_linear_has_the_published_rates_and_no_layers() -> None:
    assert {p.hidden_layers for p in LINEAR.networks} == {0}
    assert {(p.lr, p.initialization) for p in LINEAR.networks} == {
        (lr, how) for lr in (3.2e-3, 1e-3, 3.2e-4, 1e-4) for how in ("uniform", "normal")
    }
    assert {p.max_epochs for p in LINEAR.networks} == {500}
    assert {p.check_every for p in LINEAR.for_task("dcase2016_task2").networks} == {10}


def test_neighbours_keep_their_grid_for_every_task() -> None:
    knn = get_protocol("knn")
    assert knn.for_task("maestro").grid == knn.grid
    assert knn.restricted(only={"metric": "cosine", "k": 3}).grid == (knn.neighbours[1],)
    assert not knn.is_random


def test_protocols_say_what_they_do_otherwise() -> None:
    assert HEAR2021.about() == ""
    for name in ("knn", "linear", "quick", "racing", "hear2021-shuffled", "hear2021-standardised"):
        assert get_protocol(name).about()
