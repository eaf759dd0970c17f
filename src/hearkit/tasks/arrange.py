"""From the rows of a corpus to the files and labels of every split, by the reference's rules."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hearkit.errors import TaskError
from hearkit.tasks.clips import Clip, Event
from hearkit.tasks.problems import Problems
from hearkit.tasks.recipe import SMALL, Recipe
from hearkit.tasks.splits import (
    ORDER_SEED,
    TRAIN_VALID_TEST,
    clip_events,
    new_kfold,
    shuffle_order,
    subsample,
    train_valid_test,
)

__all__ = ["Arrangement", "arrange", "looks_integer"]

_INTEGER = re.compile(r"0|-?[1-9][0-9]*")
_FEWEST_FOLDS = 3


@dataclass(frozen=True)
class Arrangement:
    """A task before its audio is written.

    Attributes:
        vocabulary: All labels, sorted; integers, as integers, where all of them are.
        splits: Per split and output file, the JSON value of its labels or events.
        sources: Per ``<split>/<output file>``, the file that it is made from.
    """

    vocabulary: tuple[str | int, ...]
    splits: dict[str, dict[str, list[Any]]]
    sources: dict[str, Path]


def looks_integer(labels: Iterable[str]) -> bool:
    """Whether labels are integers in the files: all of them are, and written plainly.

    Zero-padded labels stay text: as integers, ``"7"`` and ``"007"`` would become one.
    """
    return all(_INTEGER.fullmatch(label) for label in labels)


def arrange(rows: Sequence[Clip], recipe: Recipe) -> Arrangement:
    """Orders, splits, checks and subsamples the rows of a corpus.

    Raises:
        TaskError: Rows contradict each other, files are missing, or the rules can't be kept.
    """
    rows = _checked(rows, recipe)
    integers = looks_integer(row.label for row in rows if row.label is not None)
    rows = _ordered(rows, recipe, integers)
    rows = _split(rows, recipe)
    _check_labels(rows, recipe)
    if recipe.embedding_type == "event" and recipe.sample_duration_s is not None:
        rows = _within(rows, recipe.sample_duration_s)
    if recipe.max_duration_s is not None and recipe.sample_duration_s is not None:
        rows = _subsampled(rows, recipe.max_duration_s, recipe.sample_duration_s)
    return _arranged(rows, recipe, integers)


def _checked(rows: Sequence[Clip], recipe: Recipe) -> list[Clip]:
    """The rows whose files exist; the first step, and all that can be said about it at once."""
    problems = Problems()
    paths: dict[str, Path] = {}
    stems: dict[Path, str] = {}
    splits: dict[str, str | None] = {}
    missing: set[Path] = set()
    labels: dict[str, int] = {}
    unlabelled: set[str] = set()
    for row in rows:
        stem = row.filestem
        if row.path not in stems and not row.path.is_file():
            missing.add(row.path)
        if paths.setdefault(stem, row.path) != row.path:
            problems.add("clips of one name", f"{stem}: {paths[stem]} and {row.path}")
        if stems.setdefault(row.path, stem) != stem:
            problems.add("files of two names", f"{row.path}: {stems[row.path]} and {stem}")
        if splits.setdefault(stem, row.split) != row.split:
            problems.add("clips in two splits", f"{row.path}: {splits[stem]} and {row.split}")
        if row.label is None:
            unlabelled.add(stem)
        else:
            labels[stem] = labels.get(stem, 0) + 1
            if recipe.embedding_type == "event" and (row.start_ms is None or row.end_ms is None):
                problems.add("events without start and end", f"{row.label!r} of {row.path}")
    if missing and recipe.mode != SMALL:
        for path in sorted(missing):
            problems.add("files that are missing", str(path))
    for stem in sorted(unlabelled & set(labels)):
        problems.add("clips both with and without labels", str(paths[stem]))
    if recipe.embedding_type == "scene" and recipe.prediction_type == "multiclass":
        for stem, path in paths.items():
            if (count := labels.get(stem, 0)) != 1:
                problems.add(
                    "clips of a multiclass task without exactly one label", f"{path} has {count}"
                )
    kept = [row for row in rows if row.path not in missing]
    if not kept:
        problems.add("clips", "there are none")
    if kept and all(row.label is None for row in kept):
        problems.add("labels", "there are none")
    if problems:
        raise problems.error(f"{recipe.folder_name} can't be prepared; wrong are:", "Mend these.")
    return kept


def _ordered(rows: Sequence[Clip], recipe: Recipe, integers: bool) -> list[Clip]:
    def label_key(row: Clip) -> tuple[int, str]:
        if row.label is None:
            return (0, "")
        return (int(row.label), "") if integers else (0, row.label)

    def key(row: Clip) -> tuple[Any, ...]:
        if recipe.embedding_type == "event":
            start = -1.0 if row.start_ms is None else row.start_ms
            end = -1.0 if row.end_ms is None else row.end_ms
            return (row.filestem, start, end, label_key(row))
        return (row.filestem, label_key(row))

    ordered = sorted(rows, key=key)
    return [ordered[i] for i in shuffle_order(len(ordered), ORDER_SEED)]


def _split(rows: Sequence[Clip], recipe: Recipe) -> list[Clip]:
    if recipe.split_mode == "trainvaltest":
        keys: dict[str, list[str]] = {}
        for row in rows:
            keys.setdefault(row.split or "train", []).append(row.key)
        unknown = sorted(set(keys) - set(TRAIN_VALID_TEST))
        if unknown:
            raise TaskError(
                f"{recipe.folder_name}: splits are train, valid and test, not {', '.join(unknown)}."
            )
        cut = train_valid_test(keys, recipe.split_percentage)
        # Only train is cut; a key may well be in a split that the corpus has, too.
        moved = {key: split for split in cut if split not in keys for key in cut[split]}
        return [
            replace(row, split=moved.get(row.key, "train"))
            if (row.split or "train") == "train"
            else row
            for row in rows
        ]
    if recipe.split_mode == "new_split_kfold":
        labels: dict[str, set[str]] = {}
        for row in rows:
            held = labels.setdefault(row.key, set())
            if row.label is not None:
                held.add(row.label)
        folds, _ = new_kfold(labels, recipe.nfolds, every_label=recipe.strict_labels)
        return [replace(row, split=folds[row.key]) for row in rows]
    homeless = [row for row in rows if row.split is None]
    if homeless:
        raise TaskError(
            f"{recipe.folder_name}: {len(homeless)} clips name no fold, the first is "
            f"{homeless[0].path}."
        )
    return list(rows)


def _split_names(rows: Iterable[Clip], recipe: Recipe) -> tuple[str, ...]:
    if recipe.split_mode == "trainvaltest":
        return TRAIN_VALID_TEST
    return tuple(sorted({row.split for row in rows if row.split is not None}, key=_fold_order))


def _fold_order(name: str) -> tuple[int, str]:
    digits = name.removeprefix("fold")
    return (int(digits), name) if digits.isdecimal() else (0, name)


def _check_labels(rows: Sequence[Clip], recipe: Recipe) -> None:
    names = _split_names(rows, recipe)
    problems = Problems()
    if len(names) < _FEWEST_FOLDS:
        problems.add("folds", f"at least {_FEWEST_FOLDS} are needed, there are {list(names)}")
    held: dict[str, set[str]] = {name: set() for name in names}
    filled: set[str] = set()
    for row in rows:
        split = str(row.split)
        filled.add(split)
        if row.label is not None:
            held[split].add(row.label)
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
        raise problems.error(
            f"{recipe.folder_name} can't be split; wrong are:",
            "Every split must hold every label. Name the split or fold of every clip in the list, "
            "use folds or fewer of them, or gather more clips of these labels; only in the mode "
            f"{SMALL!r} may labels be missing.",
        )


def _within(rows: Sequence[Clip], duration_s: float) -> list[Clip]:
    """Cuts events at the end of the clip; a file all of whose events begin later is dropped."""
    kept = []
    for row in rows:
        if row.label is None or row.start_ms is None or row.end_ms is None:
            kept.append(row)
            continue
        within = clip_events([Event(row.label, row.start_ms, row.end_ms)], duration_s)
        kept.extend(replace(row, end_ms=event.end_ms) for event in within)
    lost = sorted({row.filestem for row in rows} - {row.filestem for row in kept})
    if lost:
        logging.getLogger(__name__).warning(
            "%d clips are left out, as all their events start after %g s: %s",
            len(lost),
            duration_s,
            ", ".join(lost[:5]),
        )
    return kept


def _subsampled(
    rows: Sequence[Clip], limits: float | Mapping[str, float | None], sample_duration_s: float
) -> list[Clip]:
    kept: set[str] = set()
    for split in {str(row.split) for row in rows}:
        files = [(row.filestem, str(row.path)) for row in rows if row.split == split]
        limit = limits.get(split) if isinstance(limits, Mapping) else limits
        if limit is not None:
            files = subsample(files, split, limit, sample_duration_s)
        kept.update(stem for stem, _ in files)
    return [row for row in rows if row.filestem in kept]


def _arranged(rows: Sequence[Clip], recipe: Recipe, integers: bool) -> Arrangement:
    def in_json(label: str) -> str | int:
        return int(label) if integers else label

    files: dict[str, dict[str, list[Any]]] = {name: {} for name in _split_names(rows, recipe)}
    sources: dict[str, Path] = {}
    vocabulary: set[str] = set()
    for row in rows:
        name = f"{row.filestem}.wav"
        items = files[str(row.split)].setdefault(name, [])
        sources[f"{row.split}/{name}"] = row.path
        if row.label is None:
            continue
        label = in_json(row.label)
        vocabulary.add(row.label)
        if recipe.embedding_type == "event":
            items.append({"label": label, "start": row.start_ms, "end": row.end_ms})
        else:
            items.append(label)
    return Arrangement(
        vocabulary=tuple(sorted(map(int, vocabulary)) if integers else sorted(vocabulary)),
        splits={split: dict(sorted(items.items())) for split, items in files.items()},
        sources=dict(sorted(sources.items())),
    )
