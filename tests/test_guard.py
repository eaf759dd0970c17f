"""Evaluations give the result folders that were recorded, whatever is done to the code.

The folders are compared byte for byte but for times, memory and versions. On another kind of
processor than the one that recorded them numbers may differ in their last digits.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers_guard import EVALUATIONS, PROCESSOR, RECORDED, Workplace, arrays

from hearbench.embeddings.store import MANIFEST


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    return Workplace(tmp_path_factory.mktemp("guard"))


def same_processor() -> bool:
    return torch.backends.cpu.get_cpu_capability() == PROCESSOR.read_text().strip()


def assert_same(found: Any, recorded: Any, place: str) -> None:
    """Fails at the first difference of two JSON values, and names its place."""
    assert type(found) is type(recorded), place
    if isinstance(found, dict):
        assert list(found) == list(recorded), place
        for key in found:
            assert_same(found[key], recorded[key], f"{place}/{key}")
    elif isinstance(found, list):
        assert len(found) == len(recorded), place
        for i, (one, other) in enumerate(zip(found, recorded, strict=True)):
            assert_same(one, other, f"{place}/{i}")
    elif isinstance(found, float) and not same_processor():
        assert found == pytest.approx(recorded, rel=1e-4, abs=1e-6), place
    else:
        assert found == recorded, place


def assert_recorded(work: Workplace, name: str, out: Path) -> None:
    """Fails unless a folder is as recorded."""
    recorded = json.loads((RECORDED / f"{name}.json").read_text())
    recorded.pop("")
    assert_same(work.texts(out), recorded, name)
    found = arrays(out)
    with np.load(RECORDED / f"{name}.npz") as kept:
        assert sorted(found) == sorted(kept.files)
        for place, array in found.items():
            assert (array.dtype, array.shape) == (kept[place].dtype, kept[place].shape), place
            if same_processor():
                assert array.tobytes() == kept[place].tobytes(), place
            else:
                np.testing.assert_allclose(array, kept[place], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", EVALUATIONS)
def test_results_are_as_recorded(name: str, work: Workplace, tmp_path: Path) -> None:
    out = tmp_path / "out"
    answer = work.evaluate(name, out)
    recorded = json.loads((RECORDED / f"{name}.json").read_text())
    assert_same(work.answer(answer, out), recorded[""], name)
    assert_recorded(work, name, out)


def test_a_run_that_was_stopped_ends_as_recorded(work: Workplace, tmp_path: Path) -> None:
    out = tmp_path / "out"
    work.evaluate("seeds", out)
    # As if it had been stopped: a store and a result unfinished, another result with one seed.
    cache = work.cache("seeds")
    (manifest, *_) = cache.glob(f"embeddings/folds-*/*/*/{MANIFEST}")
    manifest.unlink()
    next((manifest.parent / "shards").glob("*.json")).unlink()
    shutil.rmtree(out / "logs/folds-1.0.0-full")
    shutil.rmtree(out / "logs/events-1.0.0-full/seeds")
    (out / "logs/events-1.0.0-full/uncertainty.json").unlink()
    assert work.evaluate("seeds", out).code == 0
    assert_recorded(work, "seeds", out)


def test_results_that_are_kept_stay_untouched(work: Workplace, tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = work.evaluate("few-labels", out)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    again = work.evaluate("few-labels", out)
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    assert again.json == first.json
    assert "kept" in again.stderr
