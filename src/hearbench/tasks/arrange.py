"""Turns the rows of a corpus into files and labels of splits, by the reference's rules."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from hearbench.errors import TaskError
from hearbench.files import is_file
from hearbench.tasks.clips import Clip, Excerpt
from hearbench.tasks.problems import Problems
from hearbench.tasks.recipe import SMALL, Recipe
from hearbench.tasks.spec import filename_problem, label_problem
from hearbench.tasks.splits import (
    ORDER_SEED,
    TRAIN_VALID_TEST,
    new_kfold,
    shuffle_order,
    subsample,
    train_valid_test,
)

__all__ = ["Arrangement", "Source", "arrange", "looks_integer"]

# Python doesn't read integers of more than 4300 digits.
_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,3999}")
_FEWEST_FOLDS = 3


@dataclass(frozen=True)
class Source:
    """The source of an output file: an audio file, or a part of one."""

    path: Path
    excerpt: Excerpt | None = None


@dataclass(frozen=True)
class Arrangement:
    """A task before its audio is written.

    Attributes:
        vocabulary: All labels, sorted; integers, as integers, where all of them are.
        splits: Per split and output file, the JSON value of its labels or events.
        sources: Per ``<split>/<output file>``, what it is made from.
        captions: Per split and output file, the captions of clips that have some.
    """

    vocabulary: tuple[str | int, ...]
    splits: dict[str, dict[str, list[Any]]]
    sources: dict[str, Source]
    captions: dict[str, dict[str, list[str]]] = field(default_factory=dict)


def looks_integer(labels: Iterable[str]) -> bool:
    """Whether labels are integers in the files: all of them are, and written plainly.

    Zero-padded labels stay text: as integers, ``"7"`` and ``"007"`` would become one.
    """
    return all(_INTEGER.fullmatch(label) for label in labels)


def arrange(
    rows: Sequence[Clip], recipe: Recipe, *, exists: Callable[[Path], bool] | None = None
) -> Arrangement:
    """Orders, splits, checks and subsamples the rows of a corpus.

    Args:
        rows: The corpus, a row per label or event.
        exists: Tells whether a file exists, asked once for every path; by default the file
            system is.

    Raises:
        TaskError: Rows contradict each other, files are missing, or the rules can't be kept.
    """
    files = _checked(rows, recipe, exists or is_file)
    homes = _homes(files, recipe)
    _check_labels(files, homes, recipe)
    kept = _kept(files, homes, recipe)
    integers = looks_integer({label for file in files.values() for label in file.labels})
    return _arranged(_ordered(rows, kept, recipe), homes, recipe, integers)


@dataclass(slots=True)
class _File:
    """Properties that the rows of one output file have in common."""

    first: Clip
    labels: set[str] = field(default_factory=set)
    rows: int = 0
    first_start_ms: float = math.inf

    @property
    def unlabelled(self) -> bool:
        return not self.labels


def _checked(
    rows: Sequence[Clip], recipe: Recipe, exists: Callable[[Path], bool]
) -> dict[str, _File]:
    """The files whose audio exists, by stem; all that can be said about the rows at once."""
    problems = Problems()
    there: dict[Path, bool] = {}
    files: dict[str, _File] = {}
    stems: dict[tuple[Path, Excerpt | None], str] = {}
    kind = recipe.task_type
    labels: set[str] = set()
    for row in rows:
        stem, path, label = row.filestem, row.path, row.label
        file = files.get(stem)
        if label is not None and label not in labels:
            labels.add(label)
            if slip := label_problem(label):
                problems.add("labels that can't be", f"{slip} in {label!r:.60} of {path}")
        if file is None:
            file = files[stem] = _File(row)
            if slip := filename_problem(f"{stem}.wav"):
                problems.add(
                    "names that no file of a task can have", f"{slip} in {stem!r} of {path}"
                )
            if path not in there:
                there[path] = exists(path)
            if stems.setdefault((path, row.excerpt), stem) != stem:
                problems.add("files of two names", f"{path}: {stems[path, row.excerpt]} and {stem}")
        else:
            _check_same_file(file.first, row, problems)
            if (label is None) != file.unlabelled:
                problems.add("clips both with and without labels", str(path))
        file.rows += 1
        if label is not None:
            file.labels.add(label)
            if slip := kind.row_problem(row):
                problems.add(slip, f"{label!r} of {path}")
            file.first_start_ms = min(file.first_start_ms, row.start_ms or 0.0)
    missing = {path for path, is_there in there.items() if not is_there}
    if missing and recipe.mode != SMALL:
        for path in sorted(missing):
            problems.add("files that are missing", str(path))
    if recipe.prediction_type == "multiclass" and "multiclass" in kind.prediction_types:
        for file in files.values():
            if (count := 0 if file.unlabelled else file.rows) != 1:
                problems.add(
                    "clips of a multiclass task without exactly one label",
                    f"{file.first.path} has {count}",
                )
    files = {stem: file for stem, file in files.items() if file.first.path not in missing}
    if not files:
        problems.add("clips", "there are none")
    elif all(file.unlabelled for file in files.values()):
        problems.add("labels", "there are none")
    if problems:
        raise problems.error(f"{recipe.folder_name} can't be prepared; wrong are:", "Mend these.")
    return files


def _check_same_file(first: Clip, row: Clip, problems: Problems) -> None:
    stem, path = row.filestem, row.path
    if (path, row.excerpt) != (first.path, first.excerpt):
        problems.add("clips of one name", f"{stem}: {first.path} and {path}")
    if row.split != first.split:
        problems.add("clips in two splits", f"{path}: {first.split} and {row.split}")
    if row.split_key != first.split_key:
        problems.add("clips with two split keys", f"{path}: {first.key} and {row.key}")
    if row.captions != first.captions:
        problems.add("clips whose rows have different captions", str(path))


def _homes(files: Mapping[str, _File], recipe: Recipe) -> dict[str, str]:
    """The split of every file stem."""
    if recipe.split_mode == "trainvaltest":
        given = {stem: file.first.split or "train" for stem, file in files.items()}
        keys: dict[str, list[str]] = {}
        for stem, split in given.items():
            keys.setdefault(split, []).append(files[stem].first.key)
        unknown = sorted(set(keys) - set(TRAIN_VALID_TEST))
        if unknown:
            raise TaskError(
                f"{recipe.folder_name}: splits are train, valid and test, not {', '.join(unknown)}."
            )
        cut = train_valid_test(keys, recipe.split_percentage)
        # Only train is cut; a key may well be in a split that the corpus has, too.
        moved = {key: split for split in cut if split not in keys for key in cut[split]}
        return {
            stem: moved.get(files[stem].first.key, "train") if split == "train" else split
            for stem, split in given.items()
        }
    if recipe.split_mode == "new_split_kfold":
        labels: dict[str, set[str]] = {}
        for file in files.values():
            labels.setdefault(file.first.key, set()).update(file.labels)
        folds, _ = new_kfold(labels, recipe.nfolds, every_label=recipe.strict_labels)
        return {stem: folds[file.first.key] for stem, file in files.items()}
    homeless = [file.first.path for file in files.values() if file.first.split is None]
    if homeless:
        raise TaskError(
            f"{recipe.folder_name}: {len(homeless)} clips name no fold, the first is {homeless[0]}."
        )
    return {stem: str(file.first.split) for stem, file in files.items()}


def _split_names(homes: Mapping[str, str], recipe: Recipe) -> tuple[str, ...]:
    if recipe.split_mode == "trainvaltest":
        return TRAIN_VALID_TEST
    return tuple(sorted(set(homes.values()), key=_fold_order))


def _fold_order(name: str) -> tuple[int, str]:
    digits = name.removeprefix("fold")
    return (int(digits), name) if digits.isdecimal() else (0, name)


def _check_labels(files: Mapping[str, _File], homes: Mapping[str, str], recipe: Recipe) -> None:
    names = _split_names(homes, recipe)
    problems = Problems()
    if len(names) < _FEWEST_FOLDS:
        problems.add("folds", f"at least {_FEWEST_FOLDS} are needed, there are {list(names)}")
    held: dict[str, set[str]] = {name: set() for name in names}
    for stem, file in files.items():
        held[homes[stem]].update(file.labels)
    filled = set(homes.values())
    everything = set[str]().union(*held.values())
    lacking = []
    for name in names:
        if name not in filled:
            problems.add("splits without a clip", name)
        elif missing := sorted(everything - held[name]):
            shown = ", ".join(missing[:5]) + (" ..." if len(missing) > 5 else "")
            lacking.append(f"{name} lacks {len(missing)} ({shown})")
    if recipe.strict_labels:
        for example in lacking:
            problems.add("splits without clips of some labels", example)
    elif lacking and recipe.mode != SMALL:
        logging.getLogger(__name__).warning(
            "%s: some labels have no event in a split: %s", recipe.folder_name, "; ".join(lacking)
        )
    if problems:
        remedy = "Every split needs a clip"
        if recipe.strict_labels:
            remedy += f", and every label; only in the mode {SMALL!r} may labels be missing"
        raise problems.error(
            f"{recipe.folder_name} can't be split; wrong are:",
            f"{remedy}. Name the split or fold of every clip in the list, use folds or fewer of "
            "them, or gather more clips of these labels.",
        )


def _kept(files: Mapping[str, _File], homes: Mapping[str, str], recipe: Recipe) -> set[str]:
    """The stems of the files that stay: with an event in time, and drawn where a total is set."""
    kept = set(files)
    duration_s = recipe.sample_duration_s
    if duration_s is None:
        return kept
    # Labels of a whole clip start at 0.
    end_ms = duration_s * 1000.0
    lost = sorted(
        stem
        for stem, file in files.items()
        if not file.unlabelled and file.first_start_ms >= end_ms
    )
    if lost:
        logging.getLogger(__name__).warning(
            "%d clips are left out, as all their events start after %g s: %s",
            len(lost),
            duration_s,
            ", ".join(lost[:5]),
        )
        kept.difference_update(lost)
        if empty := sorted(set(homes.values()) - {homes[stem] for stem in kept}):
            raise TaskError(
                f"{recipe.folder_name} can't be prepared: without the clips whose events all "
                f"start after {duration_s:g} s, {', '.join(empty)} would be empty. Choose a "
                "longer duration."
            )
    limits = recipe.max_duration_s
    if limits is None:
        return kept
    pairs: dict[str, list[tuple[str, str]]] = {}
    for stem in kept:
        pairs.setdefault(homes[stem], []).append((stem, str(files[stem].first.path)))
    for split, candidates in pairs.items():
        limit = limits.get(split) if isinstance(limits, Mapping) else limits
        if limit is not None:
            drawn = {stem for stem, _ in subsample(candidates, split, limit, duration_s)}
            kept.difference_update(stem for stem, _ in candidates if stem not in drawn)
    return kept


def _ordered(rows: Sequence[Clip], kept: Set[str], recipe: Recipe) -> Iterator[Clip]:
    """The rows of the files that stay, in the benchmark's order: sorted, then shuffled.

    All labels and events take part in the shuffle, those of files that are missing as well; a
    row without one, which only says that there is a file, has no part in it. Columns of ranks
    are sorted, not rows: a corpus of piano music has millions of notes.
    """
    unlabelled = (row for row in rows if row.label is None and row.filestem in kept)
    rows = [row for row in rows if row.label is not None]
    labels = sorted({str(row.label) for row in rows})
    if looks_integer(labels):
        labels.sort(key=int)
    label_ranks = {label: i for i, label in enumerate(labels)}
    stems = sorted({row.filestem for row in rows})
    stem_ranks = {stem: i for i, stem in enumerate(stems)}
    stem = np.array([stem_ranks[row.filestem] for row in rows])
    keys = [np.array([label_ranks[str(row.label)] for row in rows]), stem]
    keys[1:1] = recipe.task_type.sort_keys(rows)
    ordered = np.lexsort(keys)  # stable; the last key is the first to sort by
    shuffled = ordered[shuffle_order(len(rows), ORDER_SEED)]
    stays = np.array([name in kept for name in stems])
    return chain((rows[i] for i in shuffled[stays[stem[shuffled]]]), unlabelled)


def _arranged(
    rows: Iterable[Clip], homes: Mapping[str, str], recipe: Recipe, integers: bool
) -> Arrangement:
    files: dict[str, dict[str, list[Any]]] = {name: {} for name in _split_names(homes, recipe)}
    sources: dict[str, Source] = {}
    captions: dict[str, dict[str, list[str]]] = {name: {} for name in files}
    vocabulary: set[str] = set()
    for row in rows:
        split, name = homes[row.filestem], f"{row.filestem}.wav"
        items = files[split].setdefault(name, [])
        sources[f"{split}/{name}"] = Source(row.path, row.excerpt)
        if row.captions:
            captions[split][name] = list(row.captions)
        if row.label is None:
            continue
        label = int(row.label) if integers else row.label
        item = recipe.task_type.json_item(row, label, recipe.sample_duration_s)
        if item is not None:
            items.append(item)
            vocabulary.add(row.label)
    return Arrangement(
        vocabulary=tuple(sorted(map(int, vocabulary)) if integers else sorted(vocabulary)),
        splits={split: dict(sorted(items.items())) for split, items in files.items()},
        sources=dict(sorted(sources.items())),
        captions={split: dict(sorted(own.items())) for split, own in captions.items() if own},
    )
