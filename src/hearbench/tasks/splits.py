"""The reference's rules for orders, splits, folds and subsamples.

Whoever prepares a task by these gets the same files in the same splits as the official archives,
so every seed and every order here is part of the benchmark. Orders come from
``numpy.random.RandomState(seed).permutation``, which is what pandas' ``sample(frac=1,
random_state=seed)`` draws.
"""

from __future__ import annotations

import hashlib
import itertools
import random
import re
from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from typing import TypeVar

import numpy as np

from hearbench.errors import TaskError
from hearbench.tasks.clips import Event

__all__ = [
    "ORDER_SEED",
    "TRAIN_VALID_TEST",
    "clip_events",
    "fold_name",
    "named_folds",
    "new_kfold",
    "shuffle_order",
    "str2int",
    "subsample",
    "train_valid_test",
]

# Names of splits, and the text that seeds the order of clips.
TRAIN_VALID_TEST = ("train", "valid", "test")
ORDER_SEED = "postprocess_all_metadata"

_DEFAULT_PERCENTAGE = {"train": 80.0, "valid": 10.0, "test": 10.0}
_TVT_SEED = "split_train_test_val"
_FOLD_SEED = "split_k_folds"
_RETRIES = 999
_FOLD_NAME = re.compile(r"fold\d+")

Key = TypeVar("Key", bound=str)


def str2int(text: str) -> int:
    """The seed that a text stands for: its SHA-1 modulo 2**32 - 1."""
    digest = hashlib.sha1(text.encode("utf-8"), usedforsecurity=False).hexdigest()
    return int(digest, 16) % (2**32 - 1)


def shuffle_order(n: int, seed_name: str) -> list[int]:
    """The order in which ``n`` rows stand after the reference's shuffle of that name."""
    # The benchmark's orders are those of numpy's legacy generator; a local one.
    generator = np.random.RandomState(str2int(seed_name))
    return [int(i) for i in generator.permutation(n)]


def train_valid_test(
    keys: Mapping[str, Iterable[str]], percentage: Mapping[str, float] | None = None
) -> dict[str, list[str]]:
    """Cuts the splits that a corpus lacks out of its train split.

    The percentages of train and of the missing splits are rescaled to sum to 100, so that train
    keeps its ratio to each missing split.

    Args:
        keys: Split keys per split that the corpus has; ``train`` is among them.
        percentage: Percentages of train, valid and test; 80, 10 and 10 by default.

    Returns:
        The split keys of train, valid and test. Those of train and of the new splits are in
        sorted order, without duplicates.

    Raises:
        TaskError: There is no train split to cut from.
    """
    percentage = percentage or _DEFAULT_PERCENTAGE
    there = {split: list(keys[split]) for split in TRAIN_VALID_TEST if keys.get(split)}
    missing = [split for split in TRAIN_VALID_TEST if split not in there]
    if not missing:
        return there
    if "train" in missing:
        raise TaskError(
            f"There is no train split, only {', '.join(there) or 'nothing'}: {', '.join(missing)} "
            "can't be cut out of it. Put clips into the split train."
        )
    total = percentage["train"] + sum(percentage[split] for split in missing)
    pool = sorted(set(there["train"]))
    random.Random(_TVT_SEED).shuffle(pool)
    n = len(pool)
    begin = 0
    new: dict[str, list[str]] = {}
    for split in missing:  # valid comes before test
        end = begin + round(n * (percentage[split] / total))
        new[split] = sorted(pool[begin:end])
        begin = end
    new["train"] = sorted(pool[begin:])
    return {split: new[split] if split in new else there[split] for split in TRAIN_VALID_TEST}


def fold_name(index: int) -> str:
    """``fold00``, ``fold01``, ..."""
    return f"fold{index:02d}"


def named_folds(values: Collection[str]) -> dict[str, str]:
    """The fold that each value of a corpus's column of folds stands for.

    Args:
        values: All of them ``fold00``, ``fold01``, ..., which stay, or all integers, whose order
            numbers the folds from 0.

    Raises:
        ValueError: Some are neither, or there are both.
    """
    if all(_FOLD_NAME.fullmatch(value) for value in values):
        return {value: value for value in values}
    numbers = {value: int(value) for value in values}
    ranks = {number: i for i, number in enumerate(sorted(set(numbers.values())))}
    return {value: fold_name(ranks[number]) for value, number in numbers.items()}


def new_kfold(
    labels: Mapping[str, Set[str]], nfolds: int, *, every_label: bool = True
) -> tuple[dict[str, str], str]:
    """Deals split keys out to folds of nearly equal size.

    Args:
        labels: The labels of the clips of each split key.
        every_label: Whether every fold must hold every label. Then up to 999 further seeds are
            tried until it does; not so in the mode ``small`` and for event tasks.

    Returns:
        The fold of each split key, and the seed that was used.

    Raises:
        TaskError: There are fewer keys than folds, or no seed gives every label to every fold.
    """
    keys = sorted(labels)
    if nfolds < 1 or len(keys) < nfolds:
        raise TaskError(
            f"{len(keys)} clips (or groups of clips that share a split) can't be dealt out to "
            f"{nfolds} folds; use fewer folds or more clips."
        )
    everything = frozenset[str]().union(*labels.values())
    if every_label:
        _refuse_rare(labels, everything, nfolds)
    for attempt in range(_RETRIES + 1):
        seed = _FOLD_SEED if attempt == 0 else f"{_FOLD_SEED}_retry_{attempt - 1}"
        shuffled = list(keys)
        random.Random(seed).shuffle(shuffled)
        folds = _cut(shuffled, nfolds)
        if not every_label or all(
            len(frozenset[str]().union(*(labels[key] for key in fold))) == len(everything)
            for fold in folds
        ):
            return {key: fold_name(i) for i, fold in enumerate(folds) for key in fold}, seed
    raise TaskError(
        f"In {_RETRIES + 1} attempts no division into {nfolds} folds gave every one of the "
        f"{len(everything)} labels to every fold. Use fewer folds, drop or join rare labels, or "
        "name the folds yourself."
    )


def _cut(keys: Sequence[str], nfolds: int) -> list[Sequence[str]]:
    """Consecutive parts, the first ones a key longer, as ``numpy.array_split`` cuts."""
    size, extra = divmod(len(keys), nfolds)
    ends = [i * size + min(i, extra) for i in range(nfolds + 1)]
    return [keys[begin:end] for begin, end in itertools.pairwise(ends)]


def _refuse_rare(labels: Mapping[str, Set[str]], everything: Collection[str], nfolds: int) -> None:
    counts = dict.fromkeys(sorted(everything), 0)
    for held in labels.values():
        for label in held:
            counts[label] += 1
    rare = [f"{label!r} ({count})" for label, count in counts.items() if count < nfolds]
    if rare:
        shown = ", ".join(rare[:10]) + (f" and {len(rare) - 10} more" if len(rare) > 10 else "")
        raise TaskError(
            f"Every one of {nfolds} folds must hold every label, but these have fewer clips (or "
            f"groups of clips that share a split) than that: {shown}. Use fewer folds, drop or "
            "join rare labels, or name the folds yourself."
        )


def subsample(
    files: Iterable[tuple[str, Key]], split: str, max_duration_s: float, sample_duration_s: float
) -> list[tuple[str, Key]]:
    """Keeps as many files of a split as fit into a total duration, in the order they are drawn.

    Args:
        files: Pairs of unique file stem and path; duplicates count once.
        split: Name of the split, which the draw depends on.
        max_duration_s: Total duration in seconds.
        sample_duration_s: Duration of a clip in seconds.
    """
    pairs = sorted(set(files))
    most = int(max_duration_s / sample_duration_s)
    order = shuffle_order(len(pairs), f"SubsampleSplit({split})")
    return [pairs[i] for i in order[:most]]


def clip_events(events: Iterable[Event], duration_s: float) -> list[Event]:
    """Drops events that start at or after a clip's end, and cuts those that run past it."""
    end_ms = duration_s * 1000.0
    return [
        Event(event.label, event.start_ms, min(event.end_ms, end_ms))
        for event in events
        if event.start_ms < end_ms
    ]
