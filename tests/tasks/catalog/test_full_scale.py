"""Every mode of every task, at the size of the real corpus: orders, splits and subsamples.

No audio and no files: only the index that a parser would make. What the package does quickly is
done again here as the benchmark's rules are written down, row by row in pandas.
"""

from __future__ import annotations

import functools
import gc
import hashlib
import itertools
import random
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from hearbench.tasks.arrange import arrange
from hearbench.tasks.catalog import TaskSpec, get_spec
from hearbench.tasks.clips import Clip

AUDIO = Path("/audio")
LONGEST_S = 30.0  # a few on a fast machine, for the largest; the others take far less than one


@pytest.fixture(autouse=True, scope="module")
def _no_collector() -> Iterator[None]:
    # It would go through the hundreds of thousands of rows again and again.
    gc.collect()
    gc.disable()
    yield
    gc.enable()


# The indexes: numbers of clips, splits and labels as published, names in the corpora's manner.


def evenly(stem: str, count: int, labels: Iterable[str]) -> Iterator[Clip]:
    """Clips whose labels take turns."""
    for i, label in zip(range(count), itertools.cycle(labels)):
        name = f"{stem}{i * 7919 % count:06d}"
        yield Clip(AUDIO / f"{name}.wav", name, label)


def beehive(train: str, test: str) -> Iterator[Clip]:
    for hive, count, split in ((train, 300, "train"), (test, 276, "test")):
        for i in range(count):
            queen = i % 3 > 0
            stem = f"{hive}_{'' if queen else 'NO_'}QueenBee_{i:03d}"
            yield Clip(AUDIO / hive / f"{stem}.wav", stem, "QUEEN" if queen else "NOQUEEN", split)


def beijing_opera() -> Iterator[Clip]:
    for label, count in (("bangu", 59), ("daluo", 50), ("naobo", 62), ("xiaoluo", 65)):
        yield from evenly(f"2221__ajaysm__{label}-", count, [label])


def coughvid() -> Iterator[Clip]:
    for label, count in (("healthy", 7000), ("symptomatic", 1700), ("COVID-19", 600)):
        yield from evenly(f"{label.lower()}-", count, [label])


def recordings(
    count: int, events: int, labels: range | list[str], longest_ms: float
) -> Iterator[Clip]:
    """Recordings with events, some of which begin or end after the first two minutes."""
    draw = random.Random(0)
    for i in range(count):
        stem = f"recording_{i * 7919 % count:04d}"
        path = AUDIO / f"{stem}.wav"
        for _ in range(events):
            start = float(draw.randrange(0, 150_000, 10))  # coarse, so that some coincide
            label = str(draw.choice(labels))
            yield Clip(path, stem, label, None, start, start + draw.uniform(1, longest_ms))


def esc50() -> Iterator[Clip]:
    for fold, take, label in itertools.product(range(5), range(8), range(50)):
        stem = f"{fold + 1}-{100_000 + take * 977 + label}-A-{label}"
        yield Clip(AUDIO / f"{stem}.wav", stem, f"category_{label:02d}", f"fold{fold:02d}")


def fsd50k() -> Iterator[Clip]:
    draw = random.Random(0)
    splits = ["train"] * 36_784 + ["valid"] * 4_170 + ["test"] * 10_231
    for i, split in enumerate(splits):
        stem = str(64_000 + i * 7)
        uploader = f"uploader{i % 7_000}_{split}"
        path = AUDIO / f"{stem}.wav"
        for label in draw.sample(range(200), 1 + i % 5):
            yield Clip(path, stem, f"Class_{label:03d}", split, split_key=uploader)


def gunshots() -> Iterator[Clip]:
    firearms = [1] * 4 + [firearm for firearm in range(2, 8) for _ in range(3)]
    for mic, (shot, firearm) in itertools.product(range(1, 5), enumerate(firearms)):
        stem = f"mic{mic}_shot{shot}_fid{firearm}"
        yield Clip(AUDIO / f"{stem}.wav", stem, f"mic{mic}", split_key=f"fid{firearm}")


def nsynth(share: int) -> Iterator[Clip]:
    # 4096 test clips less 36 outside of the pitches: the published 50 h are 49060 clips.
    for split, count, instruments in (
        ("train", 289_205, 953),
        ("valid", 12_678, 53),
        ("test", 4_060, 53),
    ):
        for i in range(count // share):
            key = f"bass_{split}_{i % instruments:03d}"
            pitch = 21 + (i // instruments + i % instruments * 7) % 88
            stem = f"{key}-{pitch:03d}-{i // instruments // 88:03d}"
            yield Clip(AUDIO / f"{stem}.wav", stem, str(pitch), split, split_key=key)


COMMANDS = "down go left no off on right stop up yes _silence_ _unknown_".split()  # noqa: SIM905


def speech_commands(share: int) -> Iterator[Clip]:
    for split, count in (("train", 85_511), ("valid", 10_102), ("test", 4_890)):
        for i in range(count // share):
            label, speaker = COMMANDS[i % 12], f"{split}{i // 12 % 1500:08x}"
            stem = f"{label}_{speaker}_nohash_{i // 12 // 1500}"
            yield Clip(AUDIO / split / f"{stem}.wav", stem, label, split, split_key=speaker)


def numbered(count: int) -> list[str]:
    return [f"label{i * 7919 % count:03d}" for i in range(count)]


def vocal_imitation() -> Iterator[Clip]:
    # 9 to 29 imitations of each sound, so that the first seed leaves a fold without some.
    for i, label in enumerate(numbered(302)):
        yield from evenly(f"{i:03d}_", 9 + i % 20 + (i < 32), [label])


CORPORA: dict[str, Callable[[], Iterator[Clip]]] = {
    "beehive_states_fold0": lambda: beehive("Hive1", "Hive3"),
    "beehive_states_fold1": lambda: beehive("Hive3", "Hive1"),
    "beijing_opera": beijing_opera,
    "coughvid": coughvid,
    "dcase2016_task2": lambda: recordings(72, 40, numbered(11), 3_000),
    "esc50": esc50,
    "fsd50k": fsd50k,
    "gunshot_triangulation": gunshots,
    "libricount": lambda: evenly("", 5_720, map(str, range(11))),
    "maestro": lambda: recordings(1_276, 30, range(21, 109), 2_000),
    "mridangam_stroke": lambda: evenly("2240__akshaylaya__", 6_977, numbered(10)),
    "mridangam_tonic": lambda: evenly("2240__akshaylaya__", 6_977, numbered(6)),
    "spoken_digit": lambda: evenly("tfds_id_", 2_500, map(str, range(10))),
    "tfds_crema_d": lambda: evenly("tfds_id_", 7_438, numbered(6)),
    "tfds_gtzan": lambda: evenly("tfds_id_", 1_000, numbered(10)),
    "tfds_gtzan_music_speech": lambda: evenly("tfds_id_", 128, ["music", "speech"]),
    "vocal_imitation": vocal_imitation,
    "vox_lingua_top10": lambda: evenly("", 972, numbered(10)),
}
# These are large: their indexes can be had at a tenth of their size, too.
LARGE: dict[str, Callable[[int], Iterator[Clip]]] = {
    "nsynth_pitch": nsynth,
    "nsynth_pitch_kfold": nsynth,
    "speech_commands": speech_commands,
    "tfds_speech_commands": speech_commands,
}
TASKS = sorted([*CORPORA, *LARGE])


@functools.lru_cache(maxsize=2)  # modes of a task, and tasks of a corpus, follow each other
def index(name: str, size: str) -> list[Clip]:
    """The rows of a corpus: of all of it, of a tenth, or what a small one holds."""
    if name in LARGE:
        rows = list(LARGE[name](1 if size == "whole" else 10))
        rows.reverse()
    else:
        rows = list(CORPORA[name]())
        random.Random(0).shuffle(rows)  # a parser promises no order
    return cut_down(rows) if size == "small" else rows


def cut_down(rows: list[Clip]) -> list[Clip]:
    """What a small corpus holds: forty clips of every split, or a hundred."""
    stems: dict[str | None, list[str]] = {}
    for row in rows:
        stems.setdefault(row.split, []).append(row.filestem)
    kept: set[str] = set()
    for split, names in stems.items():
        unique = sorted(set(names))
        count = min(len(unique), 100 if split is None else 40)
        kept.update(random.Random(1).sample(unique, count))
    return [row for row in rows if row.filestem in kept]


def is_there(path: Path | str) -> bool:
    """Whether a small corpus has a file; it lacks one in eleven."""
    return sum(map(ord, Path(path).stem)) % 11 > 0


# The rules, slowly.


def seed_of(text: str) -> int:
    return int(hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest(), 16) % (2**32 - 1)


def in_order(name: str, size: str) -> pd.DataFrame:
    """A row per label or event; sorted, then shuffled."""
    rows = index(name, size)
    table = pd.DataFrame(
        {
            "stem": [row.filestem for row in rows],
            "path": [str(row.path) for row in rows],
            "label": [row.label for row in rows],
            "split": [row.split or "" for row in rows],
            "start": [row.start_ms for row in rows],
            "end": [row.end_ms for row in rows],
            "key": [row.split_key or row.filestem for row in rows],
        },
        dtype=object,  # much faster to go through than pandas' own strings
    ).astype({"start": float, "end": float})
    if all(str(label).isdecimal() for label in set(table["label"])):
        table["label"] = table["label"].astype(int)
    event = get_spec(name).embedding_type == "event"
    by = ["stem", "start", "end", "label"] if event else ["stem", "label"]
    ordered: pd.DataFrame = table.sort_values(by, kind="stable").sample(
        frac=1, random_state=seed_of("postprocess_all_metadata")
    )
    return ordered


def cut_from_train(table: pd.DataFrame, percentages: dict[str, float]) -> dict[str, str]:
    """The split of every file: missing ones are cut out of train, in train's ratio to each."""
    homes = {
        stem: split or "train" for stem, split in zip(table["stem"], table["split"], strict=True)
    }
    missing = [split for split in ("valid", "test") if split not in set(homes.values())]
    whole = percentages["train"] + sum(percentages[split] for split in missing)
    key_of = dict(zip(table["stem"], table["key"], strict=True))
    keys = sorted({key_of[stem] for stem, split in homes.items() if split == "train"})
    random.Random("split_train_test_val").shuffle(keys)
    sizes = [round(len(keys) * (percentages[split] / whole)) for split in missing]
    moved = {}
    for split, size in zip(missing, sizes, strict=True):
        moved.update(dict.fromkeys(keys[:size], split))
        keys = keys[size:]
    return {
        stem: moved.get(key_of[stem], "train") if split == "train" else split
        for stem, split in homes.items()
    }


def deal_to_folds(table: pd.DataFrame, nfolds: int, strict: bool) -> dict[str, str]:
    """The fold of every file; strictly, with other seeds until each fold has each label."""
    for seed in ["split_k_folds", *(f"split_k_folds_retry_{i}" for i in range(999))]:
        keys = sorted(set(table["key"]))
        random.Random(seed).shuffle(keys)
        folds = {
            str(key): f"fold{i:02d}"
            for i, part in enumerate(np.array_split(np.array(keys), nfolds))
            for key in part
        }
        held = {
            (folds[key], label) for key, label in zip(table["key"], table["label"], strict=True)
        }
        if not strict or len(held) == nfolds * table["label"].nunique():
            return {stem: folds[key] for stem, key in zip(table["stem"], table["key"], strict=True)}
    raise AssertionError("no seed gives every label to every fold")


@functools.lru_cache(maxsize=1)
def in_splits(name: str, mode: str, size: str) -> pd.DataFrame:
    """The rows of all clips that are there, in their order, each with its split."""
    spec = get_spec(name)
    facts = spec.modes[mode]
    table = in_order(name, size)
    if mode == "small":
        table = table[[is_there(path) for path in table["path"]]]
    if spec.split_mode == "trainvaltest":
        percentages = {"train": 80.0, "valid": 10.0, "test": 10.0}
        percentages.update((facts.split_percentage or {}).items())
        homes = cut_from_train(table, percentages)
    elif spec.split_mode == "new_split_kfold":
        strict = mode != "small" and spec.embedding_type == "scene"
        homes = deal_to_folds(table, facts.nfolds or spec.nfolds or 0, strict)
    else:
        homes = dict(zip(table["stem"], table["split"], strict=True))
    placed: pd.DataFrame = table.assign(split=[homes[stem] for stem in table["stem"]])
    return placed


def limited(table: pd.DataFrame, spec: TaskSpec, mode: str) -> pd.DataFrame:
    """What remains of it: events within the clip, files within the limits."""
    seconds = spec.modes[mode].sample_duration_s or spec.sample_duration_s
    if spec.embedding_type == "event" and seconds:
        table = table[table["start"] < seconds * 1000]
        table = table.assign(end=np.minimum(table["end"], seconds * 1000))
    limits: Any = spec.modes[mode].max_duration_s
    if limits is None or seconds is None:
        return table
    dropped: set[str] = set()
    for split in sorted(set(table["split"])):
        limit = limits.get(split) if isinstance(limits, dict) else limits
        if limit is not None:
            part = table.loc[table["split"] == split, ["stem", "path"]]
            part = part.drop_duplicates("stem").sort_values("stem")
            part = part.sample(frac=1, random_state=seed_of(f"SubsampleSplit({split})"))
            dropped.update(part["stem"][int(limit / seconds) :])
    remaining: pd.DataFrame = table[[stem not in dropped for stem in table["stem"]]]
    return remaining


def as_files(table: pd.DataFrame, event: bool) -> dict[str, dict[str, list[Any]]]:
    """The labels or events of every file of every split."""
    splits: dict[str, dict[str, list[Any]]] = {}
    columns = [table[name] for name in ("split", "stem", "label", "start", "end")]
    for split, stem, label, start, end in zip(*columns, strict=True):
        item = {"label": label, "start": start, "end": end} if event else label
        splits.setdefault(split, {}).setdefault(f"{stem}.wav", []).append(item)
    return splits


# What the package does, against them. A mode that only limits another shares its splits.

ORDER = ["train", "valid", "test", *(f"fold{i:02d}" for i in range(10))]
ALWAYS_WHOLE = {("speech_commands", "full")}


def cases() -> Iterator[Any]:
    """All modes; those of large corpora at a tenth of their size, and wholly by ``-m real``."""
    for name in TASKS:
        for mode in sorted(get_spec(name).modes):
            if mode == "small":
                yield pytest.param(name, mode, "small")
            elif name not in LARGE or (name, mode) in ALWAYS_WHOLE:
                yield pytest.param(name, mode, "whole")
            else:
                yield pytest.param(name, mode, "tenth")
                yield pytest.param(name, mode, "whole", marks=pytest.mark.real)


@pytest.mark.parametrize(("name", "mode", "size"), list(cases()))
def test_a_task_at_its_real_size(name: str, mode: str, size: str) -> None:
    spec = get_spec(name)
    rows = index(name, size)
    exists = is_there if size == "small" else lambda _: True
    begin = time.process_time()
    found = arrange(rows, spec.recipe(mode, (48000,)), exists=exists)
    assert time.process_time() - begin < LONGEST_S

    alike = mode if size == "small" else spec.default_mode
    table = limited(in_splits(name, alike, size), spec, mode)
    expected = as_files(table, spec.embedding_type == "event")
    assert list(found.vocabulary) == sorted(set(table["label"]))
    assert list(found.splits) == sorted(expected, key=ORDER.index)
    for split, files in expected.items():
        assert list(found.splits[split]) == sorted(files)
        assert all(found.splits[split][file] == items for file, items in files.items())
    names = table["split"] + "/" + table["stem"] + ".wav"
    paths = dict(zip(names, table["path"], strict=True))
    assert {file: str(source.path) for file, source in found.sources.items()} == paths
    if size == "whole" and spec.modes[mode].clips is not None:
        assert len(paths) == spec.modes[mode].clips


def test_the_modes_of_a_task_differ_in_limits_only() -> None:
    """But for the small one; so the splits that are expected are made once for the others."""
    for name in TASKS:
        modes = [facts for mode, facts in get_spec(name).modes.items() if mode != "small"]
        assert len({(facts.nfolds, str(facts.split_percentage)) for facts in modes}) == 1


def test_the_folds_of_one_task_need_another_seed() -> None:
    """Else the rule of the further seeds would be compared with nothing."""
    table = in_order("vocal_imitation", "whole")
    assert deal_to_folds(table, 3, strict=False) != deal_to_folds(table, 3, strict=True)
