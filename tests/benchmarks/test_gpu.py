"""The benchmark of a GPU at small sizes on a CPU, so that it runs when there is one."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gpu
import numpy as np
import pytest
import torch
from full_suite import folds
from gpu import Launches, Row, Setting, launches_of, step_bytes
from synthetic_store import StoreSpec, make_store

import hearbench
from hearbench.probe.network import ProbeStack


def rows_of(path: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(path.read_text())["rows"]
    return rows


def run(path: Path, *arguments: str) -> int:
    return gpu.main(["--small", "--device", "cpu", "--out", str(path), *arguments])


def test_every_check_holds_on_a_cpu(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path / "out" / "gpu.json", "--parts", "correctness") == 0
    text = json.loads((tmp_path / "out" / "gpu.json").read_text())
    assert text["correct"]
    assert text["device"] == "cpu"
    whats = [row["what"] for row in text["rows"]]
    for word in ("weighted layers", "attention", "stopped", "read every epoch", "grow", "runs out"):
        assert any(word in what for what in whats), word
    assert all(row["ok"] for row in text["rows"])
    assert sum(what.startswith("score of") for what in whats) == 4
    assert "bit for bit" in capsys.readouterr().out


def test_the_other_parts_give_their_numbers(tmp_path: Path) -> None:
    # Aims are missed here, which is no error.
    assert run(tmp_path / "gpu.json", "--parts", "probe", "suite", "embedding") == 0
    rows = rows_of(tmp_path / "gpu.json")
    assert {row["part"] for row in rows} == {"probe", "suite", "embedding"}
    assert not any(row["what"] == "the rest of it" for row in rows)
    values = [row["values"] for row in rows]
    assert sum("ratio" in one for one in values) == 4
    assert all(one["ratio"] > 0 for one in values if "ratio" in one)
    assert [one["kernels"] > 20 for one in values if "kernels" in one] == [True, True]
    assert all(0 < one["roofline_share"] < 1 for one in values if "roofline_share" in one)
    tasks = [one["seconds"] for one in values if "longest_s" in one]
    (minutes,) = [one["minutes"] for one in values if "minutes" in one]
    assert len(tasks) == 2
    assert minutes == pytest.approx(sum(tasks) / 60)


def test_steps_that_go_wrong_are_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain, calls = ProbeStack.train_steps, []

    def every_other_is_lost(stack: ProbeStack, steps: Any) -> None:
        calls.append(stack)
        plain(stack, list(steps)[len(calls) % 2 :])

    monkeypatch.setattr(ProbeStack, "train_steps", every_other_is_lost)
    setting = Setting("cpu", gpu.SMALL, tmp_path)
    assert not any(row.ok for row in gpu.check_steps(setting))


def test_what_fails_stops_no_other_part_and_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(_: Setting) -> Iterator[Row]:
        yield Row("correctness", "one thing", "right", ok=True)
        raise RuntimeError("CUDA error: an illegal memory access\nand more")

    def slow(_: Setting) -> Iterator[Row]:
        for i in range(3):
            yield Row("probe", f"step {i}", "done", ok=False)

    monkeypatch.setattr(gpu, "PARTS", {**gpu.PARTS, "correctness": broken, "probe": slow})
    assert run(tmp_path / "gpu.json", "--parts", "correctness", "probe") == 1
    found = [(row["part"], row["what"], row["ok"]) for row in rows_of(tmp_path / "gpu.json")]
    assert found[:2] == [
        ("correctness", "one thing", True),
        ("correctness", "the rest of it", False),
    ]
    assert [what for _, what, _ in found[2:]] == ["step 0", "step 1", "step 2"]
    assert "illegal memory access" in capsys.readouterr().out
    # A missed aim is no failed check.
    assert run(tmp_path / "gpu.json", "--parts", "probe") == 0
    # Of no time at all, nothing is left for a second step; and a part that comes later has none.
    assert run(tmp_path / "gpu.json", "--parts", "probe", "suite", "--minutes", "0") == 0
    left = [(row["part"], row["what"]) for row in rows_of(tmp_path / "gpu.json")]
    assert left == [("probe", "all of it"), ("suite", "all of it")]
    # What would end this process was called off.
    timers = [one for one in threading.enumerate() if isinstance(one, threading.Timer)]
    assert all(timer.finished.is_set() for timer in timers)


def test_a_part_ends_when_its_time_is_used_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = iter(range(0, 1000, 10))
    monkeypatch.setattr(time, "perf_counter", lambda: float(next(now)))

    def endless(_: Setting) -> Iterator[Row]:
        while True:
            yield Row("suite", "a task", "done")

    monkeypatch.setattr(gpu, "PARTS", {**gpu.PARTS, "suite": endless})
    assert run(tmp_path / "gpu.json", "--parts", "suite", "--minutes", "1") == 0
    rows = rows_of(tmp_path / "gpu.json")
    assert rows[-1]["what"] == "the rest of it"
    assert "skipped" in rows[-1]["found"]
    assert 2 <= len(rows) < 10


def test_bytes_of_a_step_are_counted_by_hand() -> None:
    # Two networks, one layer of 3 units on 4 numbers, 5 clips, 2 labels, in bfloat16.
    weights = 4 * 3 + 3 * 2
    adam, products = weights * 7 * 4, weights * 5 * 2
    assert step_bytes(2, 1, (5, 4, 3, 2), 2) == 2 * (adam + products + 15 * 6 * 2) + 2 * 20 * 2
    # Another layer: its weights, and as many units again.
    more = step_bytes(1, 2, (5, 4, 3, 2), 4) - step_bytes(1, 1, (5, 4, 3, 2), 4)
    assert more == 9 * (28 + 20) + 15 * 6 * 4


def test_operations_are_counted_once() -> None:
    x = torch.ones(3, 3)

    def steps(count: int) -> None:
        for _ in range(count):
            torch.linalg.norm(x @ x)

    # A product and a norm, whatever they are made of.
    assert launches_of(steps, torch.device("cpu")) == Launches(2.0, None, 0.0)


def test_scores_are_held_against_the_spread_of_seeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    setting = Setting("cpu", gpu.SMALL, tmp_path)
    spec = StoreSpec("classes", folds(30, 30, 30), 3, "top1_acc")
    store = make_store(tmp_path / "store", spec, 8)
    row = gpu.check_scores(setting, "classes", store, "float32")
    assert row.ok
    assert row.values["score"] == row.values["cpu_score"]
    plain = hearbench.score
    calls: list[int] = []

    def shifted(fitted: Any) -> Any:
        calls.append(0)
        result = plain(fitted)
        # Of the second device, by more than two seeds of so few clips differ.
        if len(calls) <= setting.sizes.seeds:
            return result
        primary = result.primary
        fake = type("Primary", (), {"mean": primary.mean + 100.0})()
        return type("Result", (), {"primary": fake})()

    monkeypatch.setattr(hearbench, "score", shifted)
    assert gpu.check_scores(setting, "classes", store, "float32").ok is False
    assert np.isfinite(float(row.values["tolerance"] or 0))
