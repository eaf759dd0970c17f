"""Compares several models on the tasks that they share."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hearbench.amounts import number
from hearbench.comparison.reading import ModelResults, model_folder, read_models
from hearbench.comparison.record import Comparison, PairDifference
from hearbench.comparison.resampled import ResampledTask, Resampling, resample_task, score_of
from hearbench.comparison.significance import (
    RawPair,
    judged,
    mean_ranks,
    raw_pair,
    standings,
    task_comparison,
    task_ranks,
)
from hearbench.errors import HearError, ResultError
from hearbench.registry import did_you_mean
from hearbench.results.declared import trained_on_test
from hearbench.results.record import Result
from hearbench.stats.paired import holm, holm_divisors

__all__ = ["BEST", "TESTS", "compare"]

# How p-values are made, and the baseline that stands for whichever model is ahead.
TESTS = ("bootstrap", "permutation")
BEST = "best"


_MOST_PERMUTATIONS = 1_000_000
_LEAST_LEVEL = 0.001


def compare(
    places: Sequence[Path],
    *,
    score: str | None = None,
    baseline: str | None = None,
    test: str = "bootstrap",
    n_resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
    layers: bool = False,
    across_protocols: bool = False,
) -> Comparison:
    """Compares models by the results in several folders.

    Results on test data that a model's card says it was trained on are left out, and noted.

    Args:
        places: Each a task's result, a model's folder, or a folder of several models.
        score: Name of a score; None for each task's first.
        baseline: The model that all others are compared with, as it is shown, or ``best`` for the
            one with the best mean rank; None for all pairs.
        test: ``bootstrap``, or ``permutation``, with which a difference must stand in a test by
            swapping predictions as well, which is more precise but about the test clips alone.
        n_resamples: Resamples of the test clips, at least 2; and permutations, of which there
            are more where the correction for many comparisons needs them.
        level: Level of an interval alone, between 0 and 1; 1 minus it is the level of all tests
            together, by which the intervals of differences are widened.
        layers: Whether results of the protocol ``layers`` are compared as two models each, the best
            layer by validation and the last layer.
        across_protocols: Whether results by protocols of different fingerprints are compared and
            ranked all the same; without it each protocol's results are compared apart.

    Raises:
        ResultError: There are fewer than two models, no two share a task and its protocol, a result
            isn't what it should be, or results of a task can't be compared.
        HearError: The test, the baseline, the level or the number of resamples can't be.
    """
    _check(test, n_resamples, level)
    models = read_models(places, layers=layers)
    if len(models) < 2:
        found = f"only one model, {models[0].name}" if models else "no model"
        raise ResultError(
            f"There is {found}; a comparison needs the results of two or more. Name another "
            "model's folder as well."
        )
    names = [model.name for model in models]
    if baseline not in (None, BEST, *names):
        raise HearError(
            f"--baseline {baseline}: there is no such model. {did_you_mean(baseline or '', names)}"
        )
    models, heard = _without_trained_on(models)
    shared, notes = _shared_tasks(models, across_protocols=across_protocols)
    notes += _chosen_layers(models)
    notes += heard
    scored = [(each, score_of(each.task, each.models, score)) for each in shared]
    lacking = list(dict.fromkeys(each.task for each, name in scored if name is None))
    if len(lacking) == len({each.task for each in shared}):
        known = sorted({name for e in models for r in e.first.values() for name in r.scores})
        raise ResultError(f"--score {score}: no task has it. There are {', '.join(known)}.")
    if lacking:
        notes.append(f"Without the score {score}, and left out: {', '.join(lacking)}.")
    usable = [(each, name) for each, name in scored if name is not None]
    wanted = [_pairs(each.models, baseline) for each, _ in usable]
    n_permutations = max(n_resamples, _permutations(sum(map(len, wanted)), level))
    resampling = Resampling(n_resamples, n_permutations, seed)
    samples = [
        resample_task(
            each.task, name, each.models, resampling, swapped if test == "permutation" else ()
        )
        for (each, name), swapped in zip(usable, wanted, strict=True)
    ]
    groups = [names] if across_protocols else _ranked_together(models)
    if baseline == BEST and BEST not in names:
        baseline = _best(groups, samples)
    pairs = [
        [raw_pair(sample, a, b, test) for a, b in _pairs(sample.models, baseline)]
        for sample in samples
    ]
    concluded = _corrected(samples, pairs, level)
    ranks = [task_ranks(sample, own) for sample, own in zip(samples, concluded, strict=True)]
    n_tests = sum(not math.isnan(pair.p) for of_task in pairs for pair in of_task)
    if test == "permutation" and n_tests:
        notes += _coarse(n_permutations, n_tests, level)
    tasks = tuple(
        task_comparison(sample, own, rank, level)
        for sample, own, rank in zip(samples, concluded, ranks, strict=True)
    )
    by_model = {each.model: each for each in standings(groups, tasks, ranks)}
    return Comparison(
        models=tuple(names),
        baseline=baseline,
        test=test,
        level=level,
        n_resamples=n_resamples,
        resampling_seed=seed,
        n_tests=n_tests,
        tasks=tasks,
        standings=tuple(by_model[name] for name in names),
        notes=tuple(notes),
    )


def _without_trained_on(
    models: Sequence[ModelResults],
) -> tuple[tuple[ModelResults, ...], list[str]]:
    """The models without results on test data of their training, and notes of these.

    What a model was trained on stands in the card beside its results.
    """
    kept, notes = [], []
    for model in models:
        heard = set()
        for task, folders in model.tasks.items():
            why = trained_on_test(model_folder(folders[0]), task)
            if why:
                heard.add(task)
                notes.append(
                    f"{model.name} was trained on the test data of {task}, so its score there, "
                    f"{number(model.first[task].primary.mean)}, is neither compared nor ranked. "
                    f"{why}"
                )
        tasks = {task: own for task, own in model.tasks.items() if task not in heard}
        kept.append(replace(model, tasks=tasks))
    return tuple(kept), notes


def _check(test: str, n_resamples: int, level: float) -> None:
    if test not in TESTS:
        raise HearError(f"--test {test}: use {' or '.join(TESTS)}.")
    if not 2 <= n_resamples <= _MOST_PERMUTATIONS:
        raise HearError(
            f"--resamples {n_resamples}: at least 2 are needed, better 1000 or more, and at most "
            f"{_MOST_PERMUTATIONS}."
        )
    if not _LEAST_LEVEL <= level <= 1 - _LEAST_LEVEL:
        raise HearError(
            f"--level {level}: a number from {_LEAST_LEVEL} to {1 - _LEAST_LEVEL} is needed, as "
            "0.95."
        )


@dataclass(frozen=True)
class _Shared:
    """Models that are compared with each other on a task."""

    task: str
    models: tuple[ModelResults, ...]


def _shared_tasks(
    models: Sequence[ModelResults], *, across_protocols: bool
) -> tuple[list[_Shared], list[str]]:
    """The tasks that at least two models have, each protocol apart; and notes of the rest."""
    tasks = sorted({task for model in models for task in model.tasks})
    by_task = {task: tuple(e for e in models if task in e.tasks) for task in tasks}
    shared = {task: having for task, having in by_task.items() if len(having) > 1}
    if not shared:
        lines = "".join(f"\n- {e.name}: {', '.join(e.tasks)}" for e in models)
        raise ResultError(f"No two of the models have a result of the same task:{lines}")
    alone = [task for task in tasks if task not in shared]
    notes = [f"Tasks of one model only, left out: {', '.join(alone)}."] if alone else []
    for model in models:
        missing = [task for task in shared if task not in model.tasks]
        if missing:
            notes.append(f"{model.name} has no result of {', '.join(missing)}.")
    if across_protocols:
        return [_Shared(task, having) for task, having in shared.items()], notes
    found, left_out = [], []
    for task, having in shared.items():
        by_protocol: dict[str, list[ModelResults]] = {}
        for model in having:
            by_protocol.setdefault(model.conditions[task].fingerprint, []).append(model)
        found += [_Shared(task, tuple(own)) for own in by_protocol.values() if len(own) > 1]
        left_out += [
            f"{task}: {own[0].name} by {own[0].conditions[task].words()}"
            for own in by_protocol.values()
            if len(own) == 1
        ]
    if not found:
        lines = "".join(f"\n- {each}" for each in left_out)
        raise ResultError(
            "No two of the models were evaluated by the same protocol, so their scores can't be "
            f"compared. `hearbench protocol diff` says what differs; --across-protocols compares "
            f"them all the same:{lines}"
        )
    if left_out:
        notes.append(
            "Left out, as no other model has a score by the same protocol (--across-protocols "
            f"compares them all the same): {'; '.join(left_out)}."
        )
    return found, notes


def _ranked_together(models: Sequence[ModelResults]) -> list[list[str]]:
    """Names of the models in groups that have no protocol in common."""
    groups: list[tuple[set[str], list[str]]] = []
    for model in models:
        keys = {each.fingerprint for each in model.conditions.values()}
        names = [model.name]
        for group in [each for each in groups if each[0] & keys]:
            keys, names = keys | group[0], group[1] + names
            groups.remove(group)
        groups.append((keys, names))
    return [names for _, names in groups]


def _chosen_layers(models: Sequence[ModelResults]) -> list[str]:
    """A note for each model that is the best of its layers."""
    notes = []
    for model in models:
        chosen = {}
        for task, result in model.first.items():
            if result.layers is not None and result.layers.chosen is not None:
                seeds = [Result.read(folder).layers for folder in model.tasks[task]]
                numbers = {each.chosen for each in seeds if each and each.chosen is not None}
                chosen[task] = " or ".join(map(str, sorted(numbers)))
        if chosen:
            listed = ", ".join(f"{layers} on {task}" for task, layers in chosen.items())
            notes.append(f"{model.name}: validation chose layer {listed}.")
    return notes


def _pairs(models: Sequence[ModelResults], baseline: str | None) -> list[tuple[int, int]]:
    """Pairs of positions; the baseline is second."""
    everyone = range(len(models))
    if baseline is None or (baseline == BEST and all(e.name != BEST for e in models)):
        return list(itertools.combinations(everyone, 2))
    second = [i for i, model in enumerate(models) if model.name == baseline]
    return [(i, j) for j in second for i in everyone if i != j]


def _best(groups: Sequence[Sequence[str]], samples: Sequence[ResampledTask]) -> str:
    """The model with the best mean rank, which must be of a single group of several."""
    several = [names for names in groups if len(names) > 1]
    if len(several) > 1:
        raise ResultError(
            "--baseline best: the models are of several protocols, by each of which another one is "
            "the best. Name the baseline, or use --across-protocols."
        )
    ranks = [task_ranks(sample) for sample in samples]
    mean = {name: rank for name, (rank, _, _) in mean_ranks(several[0], ranks).of_model.items()}
    ranked = [name for name in mean if not math.isnan(mean[name])]
    if not ranked:
        raise ResultError(
            "--baseline best: no task has scores of all models, by which one is the best. Name "
            "the baseline."
        )
    return min(ranked, key=mean.__getitem__)


def _corrected(
    samples: Sequence[ResampledTask], pairs: Sequence[Sequence[RawPair]], level: float
) -> list[list[PairDifference]]:
    p_values = [pair.p for of_task in pairs for pair in of_task]
    corrected = zip(holm(p_values).tolist(), holm_divisors(p_values, 1 - level), strict=True)
    found = []
    for sample, of_task in zip(samples, pairs, strict=True):
        own = zip(of_task, itertools.islice(corrected, len(of_task)), strict=True)
        found.append([judged(sample, pair, p, float(divisor), level) for pair, (p, divisor) in own])
    return found


def _permutations(n_tests: int, level: float) -> int:
    """So many that after the correction a difference can still come out, with room to spare."""
    return min(_MOST_PERMUTATIONS, math.ceil(5 * n_tests / (1 - level)))


def _coarse(n_permutations: int, n_tests: int, level: float) -> list[str]:
    needed = math.ceil(n_tests / (1 - level))
    if (1 + n_permutations) * (1 - level) >= n_tests:
        return []
    return [
        f"{n_permutations} permutations are too few: of {n_tests} comparisons none can come out as "
        f"a difference. Use --resamples {needed} or more."
    ]
