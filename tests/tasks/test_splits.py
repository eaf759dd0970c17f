from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hearbench.errors import TaskError
from hearbench.tasks.clips import Event
from hearbench.tasks.splits import (
    clip_events,
    new_kfold,
    shuffle_order,
    str2int,
    subsample,
    train_valid_test,
)


@pytest.fixture(scope="session")
def golden(shared: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((shared / "golden/preparation/functions.json").read_text())
    return content


def test_seeds_equal_the_references(golden: dict[str, Any]) -> None:
    assert {text: str2int(text) for text in golden["str2int"]} == golden["str2int"]


def test_orders_equal_the_references(golden: dict[str, Any]) -> None:
    for name, order in golden["shuffle"].items():
        seed, n = name.rsplit("/", 1)
        assert shuffle_order(int(n), seed) == order


def test_cut_splits_equal_the_references(golden: dict[str, Any]) -> None:
    for case in golden["split_train_test_val"]:
        keys = {split: [f"{split}{i}" for i in range(3)] for split in case["splits_present"]}
        keys["train"] = [f"key{i:04d}" for i in range(case["n_keys"])]
        assert train_valid_test(keys, case["percentage"]) == case["result"]


def test_folds_equal_the_references(golden: dict[str, Any]) -> None:
    for case in golden["split_k_folds"]:
        labels = {key: {label} for key, label in case["labels"].items()}
        folds, seed = new_kfold(labels, case["nfolds"], every_label=case["mode"] != "small")
        assert folds == case["folds"]
        assert seed == case["seed_used"]


def test_folds_of_the_spoken_digits_equal_the_references(shared: Path) -> None:
    with (shared / "golden/fsdd/clips.csv").open() as file:
        rows = list(csv.DictReader(file))
    folds, _ = new_kfold({Path(row["path"]).stem: {row["label"]} for row in rows}, 5)
    assert folds == {Path(row["path"]).stem: row["fold"] for row in rows}


def test_subsamples_equal_the_references(golden: dict[str, Any]) -> None:
    for case in golden["subsample"]:
        files = [(f"file{i:03d}", f"file{i:03d}") for i in range(case["n_files"])]
        kept = subsample(files, case["split"], case["max_task_duration"], case["sample_duration"])
        assert [stem for stem, _ in kept] == case["kept"]


def test_trimmed_events_equal_the_references(golden: dict[str, Any]) -> None:
    case = golden["trim_event_metadata"]

    def by_file(rows: list[dict[str, Any]]) -> dict[str, list[Event]]:
        files: dict[str, list[Event]] = {}
        for row in rows:
            event = Event(str(row["label"]), row["start"], row["end"])
            files.setdefault(row["relpath"], []).append(event)
        return files

    trimmed = {
        name: clip_events(events, case["duration"]) for name, events in by_file(case["in"]).items()
    }
    assert trimmed == by_file(case["out"])


@pytest.mark.parametrize("n", [1, 2, 17, 500])
@pytest.mark.parametrize("seed", ["postprocess_all_metadata", "SubsampleSplit(train)"])
def test_orders_are_those_of_pandas(n: int, seed: str) -> None:
    shuffled = pd.Series(range(n)).sample(frac=1, random_state=str2int(seed))
    assert shuffle_order(n, seed) == shuffled.tolist()


def test_a_seed_by_hand() -> None:
    # sha1("") is da39a3ee5e6b4b0d3255bfef95601890afd80709
    assert str2int("") == 0xDA39A3EE5E6B4B0D3255BFEF95601890AFD80709 % (2**32 - 1)


KEYS = st.sets(st.text("abcdef0123", min_size=1, max_size=6), min_size=1, max_size=60)


@given(KEYS, st.sampled_from([None, {"train": 60, "valid": 20, "test": 20}]))
def test_cut_splits_are_a_partition(keys: set[str], percentage: dict[str, float] | None) -> None:
    splits = train_valid_test({"train": keys}, percentage)
    assert list(splits) == ["train", "valid", "test"]
    together = [key for split in splits.values() for key in split]
    assert sorted(together) == sorted(keys)
    share = (percentage or {"valid": 10})["valid"] / 100
    assert abs(len(splits["valid"]) - share * len(keys)) <= 0.5


@given(KEYS, st.integers(1, 9))
def test_folds_are_a_partition_of_nearly_equal_parts(keys: set[str], nfolds: int) -> None:
    labels = {key: {"x"} for key in keys}
    if len(keys) < nfolds:
        with pytest.raises(TaskError, match="folds"):
            new_kfold(labels, nfolds)
        return
    folds, _ = new_kfold(labels, nfolds)
    assert set(folds) == keys
    sizes = pd.Series(list(folds.values())).value_counts().sort_index()
    # numpy's array_split is what the reference cuts with
    assert sizes.tolist() == [len(part) for part in np.array_split(sorted(keys), nfolds)]


def test_folds_are_dealt_again_until_each_has_every_label() -> None:
    labels = {f"k{i:02d}": {"rare" if i % 5 == 0 else "often"} for i in range(15)}
    folds, seed = new_kfold(labels, 3)
    rare = {folds[key] for key, held in labels.items() if held == {"rare"}}
    assert rare == {"fold00", "fold01", "fold02"}
    assert seed == "split_k_folds" or seed.startswith("split_k_folds_retry_")
    first, plain = new_kfold(labels, 3, every_label=False)
    assert plain == "split_k_folds"
    assert (first == folds) == (seed == plain)


def test_retries_have_the_references_seeds() -> None:
    import random

    labels = {f"k{i:02d}": {f"label{i % 4}"} for i in range(12)}
    folds, seed = new_kfold(labels, 3)
    assert seed.startswith("split_k_folds_retry_")  # chosen so that the first seed fails
    number = int(seed.rsplit("_", 1)[1])
    for attempt in ("split_k_folds", *(f"split_k_folds_retry_{i}" for i in range(number + 1))):
        keys = sorted(labels)
        random.Random(attempt).shuffle(keys)
        parts = np.array_split(keys, 3)
        good = all(len({next(iter(labels[str(key)])) for key in part}) == 4 for part in parts)
        assert good == (attempt == seed)
    assert {folds[str(key)] for key in parts[1]} == {"fold01"}


def test_a_label_too_rare_for_the_folds_is_named() -> None:
    labels = {**{f"k{i}": {"often"} for i in range(9)}, "r0": {"rare"}, "r1": {"rare"}}
    with pytest.raises(TaskError, match=r"'rare' \(2\)"):
        new_kfold(labels, 3)


def test_no_division_may_exist() -> None:
    # Four keys make folds of 2, 1 and 1; a fold of one key needs a key with all three labels,
    # and only one key has them.
    labels = {"k0": {"a", "c"}, "k1": {"a", "b"}, "k2": {"a", "b", "c"}, "k3": {"b", "c"}}
    with pytest.raises(TaskError, match="1000 attempts no division into 3 folds"):
        new_kfold(labels, 3)
    folds, _ = new_kfold(labels, 3, every_label=False)
    assert set(folds.values()) == {"fold00", "fold01", "fold02"}


def test_without_train_nothing_can_be_cut() -> None:
    with pytest.raises(TaskError, match="no train split"):
        train_valid_test({"test": ["a"]})


def test_a_subsample_holds_what_fits() -> None:
    files = [(f"f{i}", i_path) for i, i_path in enumerate("abcdefghij")]
    assert len(subsample(files, "train", 10.0, 4.77)) == 2
    assert sorted(subsample(files + files, "train", 1000.0, 4.77)) == sorted(files)


def test_events_are_cut_at_the_end() -> None:
    events = [Event("a", 0, 900), Event("b", 900, 1100), Event("c", 1000, 1200)]
    assert clip_events(events, 1.0) == [Event("a", 0, 900), Event("b", 900, 1000)]
