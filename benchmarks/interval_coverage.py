"""How often the intervals of hearbench.stats hold the truth, and how often its tests are wrong.

    python benchmarks/interval_coverage.py [--sets 1000] [--resamples 500] [--only mAP]
        [--tables intervals|pairs|losses]

Simulates test sets of models of which the truth is known, takes the 95 % interval of each, and
counts those that hold the truth: the score that the model gets on average on such test sets
(the mean over 2000 others, for accuracies the probability of being right). "below" and "above"
are the shares of intervals that lie below and above the truth. For comparison, the percentiles
of the same replicates, as they are commonly reported. A share of k in n test sets has a
Monte-Carlo error (one standard error) of sqrt(k / n (1 - k / n) / n), printed beside it.

Then pairs of models on the same clips: two that are equally good, of which the tests should
call 5 % different, and two that differ, of which they should call as many as possible.

Then one model on clean and on disturbed clips, the same: how often the interval of the paired loss
holds the loss that the model has on average on such test sets.
"""

from __future__ import annotations

import argparse
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from hearbench.metrics.event_lists import EventArrays
from hearbench.metrics.frame_arrays import FrameArrays
from hearbench.results.robustness import loss_of
from hearbench.results.variance import Term
from hearbench.stats.clip_scores import (
    ClipScore,
    event_clip_score,
    regression_clip_score,
    scene_clip_score,
)
from hearbench.stats.intervals import bootstrap_interval
from hearbench.stats.paired import (
    bootstrap_p_value,
    permutation_p_value,
    pooled_event_clip_score,
    pooled_scene_clip_score,
)
from hearbench.stats.resampling import bootstrap, strata_of

TRUTH_SETS = 2000
# Independent labels, some with so few clips that their number varies much from set to set.
RARE = (
    ("labels", 100, [5, 6, 7, 9, 11, 13, 16, 20, 24, 30]),
    ("labels", 200, [4, 4, 5, 6, 6, 7, 8, 9, 11, 12, 13, 15, 17, 20, 22, 25, 28, 32, 36, 40]),
)


@dataclass(frozen=True)
class Fold:
    """One simulated test split, of one model or of two on the same clips."""

    scores: list[ClipScore]
    strata: npt.NDArray[np.int64] | None = None
    pooled: ClipScore | None = None

    @property
    def n_clips(self) -> int:
        """Of the split."""
        return self.scores[0].n_clips


@dataclass(frozen=True)
class Scenario:
    """What is simulated.

    Attributes:
        name: For the table.
        draw: A test set, as its folds.
        truth: The mean score; None to simulate it.
    """

    name: str
    draw: Callable[[np.random.Generator], list[Fold]]
    truth: float | None = None


@dataclass(frozen=True)
class Coverage:
    """Shares of intervals."""

    held: float
    below: float
    above: float
    width: float
    percentile_held: float


def accuracy_folds(
    rng: np.random.Generator, n_clips: int, rights: Sequence[float], lift: float | None = None
) -> list[Fold]:
    """Folds of ``n_clips`` clips, right with a probability each; a second model on request.

    The clips' difficulty varies, so the two agree more often than by chance; the second one is
    wrong less often by the share ``lift``, and isn't there if that is None.
    """
    folds = []
    targets = np.tile([1, 0], (n_clips, 1))
    for right in rights:
        easy = rng.beta(4 * right, 4 * (1 - right), n_clips)
        pair = [
            np.where(rng.random(n_clips) < 1 - (1 - easy) * (1 - add), 1.0, 0.0)
            for add in _lifts(lift)
        ]
        probabilities = [np.stack([x, 1 - x], axis=1) for x in pair]
        folds.append(
            Fold(
                [scene_clip_score("top1_acc", p, targets) for p in probabilities],
                pooled=_pooled("top1_acc", probabilities, targets),
            )
        )
    return folds


def _lifts(lift: float | None) -> tuple[float, ...]:
    """Of one model, or of two."""
    return (0.0,) if lift is None else (0.0, lift)


def _pooled(
    score: str, pair: Sequence[npt.NDArray[np.float64]], targets: npt.NDArray[np.int64]
) -> ClipScore | None:
    return pooled_scene_clip_score(score, pair[0], pair[1], targets) if len(pair) > 1 else None


def tagging_fold(
    rng: np.random.Generator,
    score: str,
    n_clips: int,
    counts: Sequence[float],
    shift: float,
    kind: str,
    lift: float | None = None,
) -> list[Fold]:
    """One fold of a ranking score.

    Args:
        rng: Of the set.
        score: Its name.
        n_clips: How many clips.
        counts: How many clips of each label: expected, or exact for ``balanced``.
        shift: Of the positives' scores, in standard deviations of the negatives'.
        kind: ``labels`` are independent of each other, ``classes`` one per clip at random,
            ``balanced`` one per clip, always as many.
        lift: What a second model's shift is more; None for one model.
    """
    n_labels = len(counts)
    share = np.asarray(counts) / n_clips
    targets = np.zeros((n_clips, n_labels), dtype=np.int64)
    while not targets.any(axis=0).all():
        if kind == "labels":
            targets = (rng.random((n_clips, n_labels)) < share).astype(np.int64)
        elif kind == "classes":
            targets = np.eye(n_labels, dtype=np.int64)[rng.choice(n_labels, n_clips, p=share)]
        else:
            listed = np.repeat(np.arange(n_labels), np.asarray(counts, dtype=np.int64))
            targets = np.eye(n_labels, dtype=np.int64)[listed]
    # Both models find the same clips hard.
    shared = rng.normal(0, 0.8, (n_clips, n_labels)) + rng.normal(0, 0.5, (n_clips, 1))
    pair = [
        shared + rng.normal(0, 0.6, shared.shape) + (shift + add) * targets for add in _lifts(lift)
    ]
    return [
        Fold(
            [scene_clip_score(score, p, targets) for p in pair],
            strata_of(targets),
            _pooled(score, pair, targets),
        )
    ]


def event_fold(
    rng: np.random.Generator,
    score: str,
    n_clips: int,
    per_clip: float,
    recall: float,
    extra: float,
    lift: float | None = None,
) -> list[Fold]:
    """One fold of an event score; clips differ in how many events they have and how hard.

    Args:
        rng: Of the set.
        score: Its name.
        n_clips: How many clips.
        per_clip: Events on average.
        recall: Share of events that are found.
        extra: Insertions, as a share of the events.
        lift: Share of a first model's misses that a second one finds; None for one model.
    """
    n_events = np.maximum(1, rng.poisson(rng.gamma(2, per_clip / 2, n_clips)))
    clip = np.repeat(np.arange(n_clips), n_events)
    # Far enough apart for no event to take another's place.
    onset = 2000.0 * (np.arange(len(clip)) - np.repeat(np.cumsum(n_events) - n_events, n_events))
    label = rng.integers(0, 3, len(clip))
    reference = EventArrays(clip, label, onset, onset + 500)
    easy = rng.beta(5 * recall, 5 * (1 - recall), n_clips)
    estimates = []
    for add in _lifts(lift):
        found = rng.random(len(clip)) < (1 - (1 - easy) * (1 - add))[clip]
        n_more = rng.poisson(rng.gamma(1, extra * per_clip, n_clips))
        more = np.repeat(np.arange(n_clips), n_more)
        late = 1000 + 2000.0 * rng.integers(0, 20, len(more))
        estimates.append(
            EventArrays(
                np.concatenate([clip[found], more]),
                np.concatenate([label[found], rng.integers(0, 3, len(more))]),
                np.concatenate([onset[found], late]),
                np.concatenate([onset[found] + 500, late + 500]),
            )
        )
    labels = ["a", "b", "c"]
    return [
        Fold(
            [event_clip_score(score, reference, e, n_clips, labels) for e in estimates],
            pooled=pooled_event_clip_score(
                score, reference, estimates[0], estimates[1], n_clips, labels
            )
            if len(estimates) > 1
            else None,
        )
    ]


def frame_fold(
    rng: np.random.Generator,
    score: str,
    n_clips: int,
    shift: float,
    lift: float | None = None,
) -> list[Fold]:
    """One fold of a score of frames; clips of 10 s, which differ in their events and how hard.

    Args:
        rng: Of the set.
        score: Its name.
        n_clips: How many clips.
        shift: How much louder events are than the rest, in standard deviations of a frame's noise.
        lift: What a second model's shift is more; None for one model.
    """
    n_labels, n_frames, hop_ms = 3, 20, 500.0
    shape = (n_clips, n_frames, n_labels)
    active = np.zeros(shape)
    rows = []
    for clip, label in zip(*np.nonzero(rng.random((n_clips, n_labels)) < 0.5), strict=True):
        start = int(rng.integers(0, n_frames - 8))
        stop = start + int(rng.integers(3, 9))
        rows.append((int(clip), int(label), start * hop_ms, stop * hop_ms))
        active[clip, start:stop, label] = rng.normal(1, 0.4)
    shared = rng.normal(0, 0.4, (n_clips, 1, n_labels)) + rng.normal(0, 0.5, shape)
    bounds = np.arange(n_clips + 1) * n_frames
    times = np.tile((np.arange(n_frames) + 0.5) * hop_ms, n_clips)
    frames = []
    for add in _lifts(lift):
        logits = shared + rng.normal(0, 0.3, shape) + (shift + add) * active
        # A detector's answers are smooth in time.
        logits[:, 1:-1] = (logits[:, :-2] + logits[:, 1:-1] + logits[:, 2:]) / 3
        frames.append(FrameArrays(logits.reshape(-1, n_labels), bounds, times))
    labels = ["a", "b", "c"]
    reference = EventArrays.from_rows(rows)
    return [
        Fold(
            [event_clip_score(score, reference, each, n_clips, labels) for each in frames],
            pooled=pooled_event_clip_score(score, reference, frames[0], frames[1], n_clips, labels)
            if len(frames) > 1
            else None,
        )
    ]


def number_fold(
    rng: np.random.Generator, score: str, n_clips: int, error: float, n_targets: int = 1
) -> list[Fold]:
    """One fold of predicted numbers.

    Args:
        rng: Of the set.
        score: Its name.
        n_clips: How many clips.
        error: Standard deviation of the errors, over that of the targets.
        n_targets: Numbers per clip, independent of each other.
    """
    targets = rng.standard_normal((n_clips, n_targets))
    predicted = targets + error * rng.standard_normal((n_clips, n_targets))
    return [Fold([regression_clip_score(score, predicted, targets)])]


def scenarios() -> Iterator[Scenario]:
    """Those of the first table."""
    for n, right in ((50, 0.5), (50, 0.8), (50, 0.95), (200, 0.8), (200, 0.98), (1000, 0.95)):
        draw = partial(accuracy_folds, n_clips=n, rights=[right])
        yield Scenario(f"accuracy {right}, {n} clips", draw, right)
    rights = (0.95, 0.9, 0.85, 0.8, 0.7)
    draw = partial(accuracy_folds, n_clips=40, rights=rights)
    yield Scenario("accuracy, 5 folds of 40 clips", draw, sum(rights) / 5)
    kinds = (
        ("balanced", 100, [10] * 10),
        ("balanced", 200, [20] * 10),
        ("classes", 200, [20] * 10),
        ("labels", 200, [10, 15, 20, 25, 30, 35, 40, 45]),
        ("labels", 500, [25, 50, 75, 100, 125]),
        ("balanced", 100, [4] * 25),
    )
    for score, shifts, some in (
        ("mAP", (1.0, 2.0), kinds),
        ("mAP", (2.0,), RARE),
        ("aucroc", (1.5,), kinds[1:4]),
        ("d_prime", (1.0,), kinds[1:4]),
    ):
        for shift, (kind, n, counts) in itertools.product(shifts, some):
            few, many = min(counts), max(counts)
            each = f"{few}" if few == many else f"{few}-{many}"
            draw = partial(
                tagging_fold, score=score, n_clips=n, counts=counts, shift=shift, kind=kind
            )
            name = f"{score}, {n} clips, {len(counts)} {kind} of {each}, shift {shift}"
            yield Scenario(name, draw)
    for score in ("event_onset_200ms_fms", "segment_1s_er"):
        for n in (20, 50, 200):
            for recall, extra in ((0.4, 0.4), (0.7, 0.3), (0.95, 0.05)):
                name = f"{score}, {n} clips, recall {recall}"
                made = partial(
                    event_fold, score=score, n_clips=n, per_clip=6, recall=recall, extra=extra
                )
                yield Scenario(name, made)
    for score in ("psds1", "psds2"):
        for n, shift in itertools.product((50, 200), (1.0, 2.5)):
            of_frames = partial(frame_fold, score=score, n_clips=n, shift=shift)
            yield Scenario(f"{score}, {n} clips, shift {shift}", of_frames)
    for score in ("r2", "pearson_r", "ccc", "mae"):
        for n, error in itertools.product((50, 200), (0.3, 1.0)):
            of_numbers = partial(number_fold, score=score, n_clips=n, error=error)
            yield Scenario(f"{score}, {n} clips, errors of {error}", of_numbers)


def pair_scenarios() -> Iterator[tuple[str, Callable[[np.random.Generator, float], list[Fold]]]]:
    """Those of the second table: a name, and the folds given by how much B is better."""
    yield (
        "accuracy 0.8, 100 clips",
        lambda rng, lift: accuracy_folds(rng, 100, [0.8], lift and 0.5),
    )
    yield (
        "accuracy 0.95, 88 clips",
        lambda rng, lift: accuracy_folds(rng, 88, [0.95], lift and 0.8),
    )
    yield (
        "mAP, 200 clips, 10 classes",
        lambda rng, lift: tagging_fold(rng, "mAP", 200, [20] * 10, 1.5, "classes", lift and 0.2),
    )
    yield (
        "event F, 50 clips",
        lambda rng, lift: event_fold(rng, "event_onset_200ms_fms", 50, 6, 0.7, 0.3, lift and 0.2),
    )
    yield (
        "psds1, 50 clips",
        lambda rng, lift: frame_fold(rng, "psds1", 50, 1.5, lift and 0.3),
    )


def loss_scenarios() -> Iterator[Scenario]:
    """Those of the third table: of each clip a clean prediction, and a disturbed one before it."""
    for n, right, lift in ((50, 0.6, 0.5), (200, 0.8, 0.5), (200, 0.9, 0.1), (1000, 0.5, 0.05)):
        draw = partial(accuracy_folds, n_clips=n, rights=[right], lift=lift)
        yield Scenario(f"accuracy {right}, {n} clips, {lift} mended", draw)
    for n_folds, n in ((5, 80), (3, 40)):
        draw = partial(_varied_folds, n_folds=n_folds, n_clips=n)
        yield Scenario(f"accuracy, {n_folds} folds of {n} clips that differ", draw)
    tagging = partial(
        tagging_fold, score="mAP", n_clips=200, counts=[20] * 10, shift=1.5, kind="classes"
    )
    yield Scenario("mAP, 200 clips, 10 classes", partial(tagging, lift=0.4))
    events = partial(
        event_fold, score="event_onset_200ms_fms", n_clips=50, per_clip=6, recall=0.6, extra=0.3
    )
    yield Scenario("event F, 50 clips", partial(events, lift=0.3))


def _varied_folds(rng: np.random.Generator, n_folds: int, n_clips: int) -> list[Fold]:
    """Folds whose probes are more or less sensitive than others, as by their training clips."""
    return [
        fold
        for _ in range(n_folds)
        for fold in accuracy_folds(
            rng, n_clips, [rng.uniform(0.6, 0.8)], lift=rng.uniform(0.3, 0.6)
        )
    ]


def points(folds: Sequence[Fold], model: int = 0) -> float:
    """The mean score of a model over folds."""
    return float(np.mean([fold.scores[model](np.ones((1, fold.n_clips)))[0] for fold in folds]))


def coverage(
    scenario: Scenario, *, sets: int, resamples: int, seed: int = 0, truth_sets: int = TRUTH_SETS
) -> Coverage:
    """Simulates one line of the first table."""
    truth = scenario.truth
    if truth is None:
        of_sets = np.array(
            [points(scenario.draw(np.random.default_rng([seed, 1, i]))) for i in range(truth_sets)]
        )
        # A d' may be infinite; the mean is over those that aren't.
        truth = float(of_sets[np.isfinite(of_sets)].mean())
    below = above = percentile = 0
    widths = []
    for i in range(sets):
        folds = scenario.draw(np.random.default_rng([seed, 0, i]))
        replicates = bootstrap(
            [fold.scores[:1] for fold in folds],
            strata=[fold.strata for fold in folds],
            n_resamples=resamples,
            seed=i,
        )[0].mean(axis=0)
        found = bootstrap_interval(
            points(folds),
            replicates,
            n_clips=[fold.n_clips for fold in folds],
            bounds=folds[0].scores[0].bounds,
        )
        below += found.high < truth
        above += found.low > truth
        widths.append(found.high - found.low)
        ends = np.quantile(replicates, [0.025, 0.975], method="closest_observation")
        percentile += bool(ends[0] <= truth <= ends[1])
    return Coverage(
        1 - (below + above) / sets,
        below / sets,
        above / sets,
        float(np.median(widths)),
        percentile / sets,
    )


def loss_coverage(
    scenario: Scenario, *, sets: int, resamples: int, seed: int = 0, truth_sets: int = TRUTH_SETS
) -> Coverage:
    """Simulates one line of the third table."""

    def loss(folds: Sequence[Fold]) -> float:
        return points(folds, 1) - points(folds, 0)

    draws = (scenario.draw(np.random.default_rng([seed, 4, i])) for i in range(truth_sets))
    truth = float(np.mean([loss(folds) for folds in draws]))
    below = above = percentile = 0
    widths = []
    for i in range(sets):
        folds = scenario.draw(np.random.default_rng([seed, 3, i]))
        disturbed, clean = bootstrap(
            [fold.scores for fold in folds],
            strata=[fold.strata for fold in folds],
            n_resamples=resamples,
            seed=i,
        )
        each = np.array([[loss([fold]) for fold in folds]])
        n_clips = [fold.n_clips for fold in folds]
        found = loss_of([Term(each, (clean - disturbed)[None])], n_clips, reach=1.0)
        below += found.high < truth
        above += found.low > truth
        widths.append(found.high - found.low)
        means = (clean - disturbed).mean(axis=0)
        ends = np.quantile(means, [0.025, 0.975], method="closest_observation")
        percentile += bool(ends[0] <= truth <= ends[1])
    return Coverage(
        1 - (below + above) / sets,
        below / sets,
        above / sets,
        float(np.median(widths)),
        percentile / sets,
    )


def rejections(
    draw: Callable[[np.random.Generator, float], list[Fold]],
    lift: float,
    *,
    sets: int,
    resamples: int,
    seed: int = 0,
) -> tuple[float, float]:
    """Shares of pairs with p < 0.05, of the permutation test and of the paired bootstrap."""
    by_permutation = by_bootstrap = 0
    for i in range(sets):
        folds = draw(np.random.default_rng([seed, 2, i]), lift)
        pooled = [[fold.pooled] for fold in folds if fold.pooled is not None]
        by_permutation += permutation_p_value(pooled, n_permutations=resamples, seed=i) < 0.05
        found = bootstrap(
            [fold.scores for fold in folds],
            strata=[fold.strata for fold in folds],
            n_resamples=resamples,
            seed=i,
        ).mean(axis=1)
        p = bootstrap_p_value(
            points(folds, 0) - points(folds, 1),
            found[0] - found[1],
            n_clips=[fold.n_clips for fold in folds],
        )
        by_bootstrap += p < 0.05
    return by_permutation / sets, by_bootstrap / sets


def with_error(share: float, sets: int) -> str:
    """In percent, with the Monte-Carlo error."""
    return f"{100 * share:.1f} ± {100 * math.sqrt(share * (1 - share) / sets):.1f}"


def main() -> None:
    """Runs all and prints two tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", type=int, default=1000, help="test sets of each line")
    parser.add_argument("--resamples", type=int, default=500, help="and permutations")
    parser.add_argument("--only", default="", help="lines whose name has this")
    parser.add_argument("--tables", choices=tuple(TABLES), help="one of them; by default all")
    args = parser.parse_args()
    console = Console(width=130)
    for table in [args.tables] if args.tables else TABLES:
        console.print(TABLES[table](args))


def interval_table(args: argparse.Namespace) -> Table:
    """Coverage of intervals of scores."""
    return coverage_table(args, "95 % intervals", scenarios(), coverage)


def loss_table(args: argparse.Namespace) -> Table:
    """Coverage of intervals of losses."""
    return coverage_table(args, "95 % intervals of losses", loss_scenarios(), loss_coverage)


def coverage_table(
    args: argparse.Namespace,
    title: str,
    some: Iterator[Scenario],
    simulate: Callable[..., Coverage],
) -> Table:
    """Coverage of every scenario."""
    table = Table(title=f"{title}, {args.sets} test sets, {args.resamples} resamples")
    for column in ("simulated", "covers %", "below %", "above %", "width", "percentiles cover %"):
        table.add_column(column, justify="left" if column == "simulated" else "right")
    for scenario in some:
        if args.only in scenario.name:
            found = simulate(scenario, sets=args.sets, resamples=args.resamples)
            table.add_row(
                scenario.name,
                with_error(found.held, args.sets),
                f"{100 * found.below:.1f}",
                f"{100 * found.above:.1f}",
                f"{found.width:.3f}",
                f"{100 * found.percentile_held:.1f}",
            )
    return table


def pair_table(args: argparse.Namespace) -> Table:
    """How often pairs are called different."""
    table = Table(title="pairs of models called different, p < 0.05")
    table.add_column("simulated")
    for column in (
        "equal: permutation %",
        "bootstrap %",
        "different: permutation %",
        "bootstrap %",
    ):
        table.add_column(column, justify="right")
    for name, draw in pair_scenarios():
        if args.only in name:
            cells = [
                with_error(share, args.sets)
                for lift in (0.0, 1.0)
                for share in rejections(draw, lift, sets=args.sets, resamples=args.resamples)
            ]
            table.add_row(name, *cells)
    return table


TABLES = {"intervals": interval_table, "pairs": pair_table, "losses": loss_table}

if __name__ == "__main__":
    main()
