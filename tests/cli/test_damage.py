"""Damaged files of the cache and of results: noticed, and made again with the same outcome."""

from __future__ import annotations

import json
import os
import shutil
import tarfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from helpers_cli import Answer, hearbench
from helpers_models import BANDS, write_model
from helpers_tasks import make_event_task, make_scene_task
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hearbench.sums import SUMS_FILE

WAYS = ("flip", "zero", "cut", "grow", "delete")
PROTOCOLS = {
    "knn": ("--protocol", "knn"),
    "faster": ("--protocol", "faster", "--grid-points", "1"),
}


@dataclass(frozen=True)
class Evaluation:
    """A finished evaluation, of which files are damaged."""

    root: Path
    tasks: tuple[Path, ...]
    model: Path

    @property
    def cache(self) -> Path:
        return self.root / "cache"

    def run(self, protocol: str, out: Path, cache: Path | None = None) -> Answer:
        tasks = [part for task in self.tasks for part in ("--task", task)]
        return hearbench(
            "evaluate", self.model, *tasks, "--out", out, "--cache", cache or self.cache,
            *PROTOCOLS[protocol], "--json",
        )  # fmt: skip


def outcome(out: Path) -> dict[str, object]:
    """All of a result that doesn't say when and how fast it was made."""
    found: dict[str, object] = {}
    for path in sorted(out.rglob("*")):
        name = path.relative_to(out).as_posix()
        if path.name == "result.json":
            value = json.loads(path.read_text())
            del value["resources"]
            found[name] = value
        elif path.name == "test.predicted-scores.json":
            found[name] = json.loads(path.read_text())["test"]["test_score"]
        elif path.is_file() and path.name != SUMS_FILE:
            found[name] = path.read_bytes()
    return found


def damage(path: Path, way: str, place: int, *, keep_times: bool) -> None:
    """Damages a file.

    Args:
        path: The file.
        way: How.
        place: Which bit is flipped.
        keep_times: Whether its time of modification is put back.
    """
    before = path.stat()
    content = bytearray(path.read_bytes())
    if way == "delete":
        path.unlink()
        return
    if way == "flip":
        bit = place % (8 * len(content))
        content[bit // 8] ^= 1 << bit % 8
    elif way == "zero":
        half = len(content) // 2
        content[half:] = bytes(len(content) - half)
    elif way == "cut":
        del content[place % len(content) :]
    else:
        content += b"x" * (1 + place % 9)
    path.write_bytes(content)
    if keep_times:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Evaluation:
    """An evaluation of tasks in archives, whose audio is resampled, by each protocol."""
    root = tmp_path_factory.mktemp("damage")
    tasks = []
    for folder in (
        make_scene_task(root / "made", sample_rates=(8000,)),
        make_event_task(root / "made", sample_rates=(8000,)),
    ):
        tasks.append(root / f"{folder.name}.tar.gz")
        with tarfile.open(tasks[-1], "w:gz") as tar:
            tar.add(folder, f"any/tasks/{folder.name}")
    evaluation = Evaluation(root, tuple(tasks), write_model(root / "model", BANDS, "bands"))
    for protocol in PROTOCOLS:
        fresh = evaluation.run(protocol, root / f"fresh-{protocol}", root / f"empty-{protocol}")
        assert fresh.code == 0, fresh.stderr
        assert evaluation.run(protocol, root / protocol).code == 0
        expected = outcome(root / f"fresh-{protocol}")
        assert outcome(root / protocol) == expected
        assert sum(name.endswith("predictions/test.npy") for name in expected) == len(tasks)
    return evaluation


def check(
    evaluation: Evaluation, where: str, protocol: str, number: int, way: str, place: int,
    keep_times: bool,
) -> None:  # fmt: skip
    out = evaluation.root / protocol
    folder = evaluation.cache if where == "cache" else out
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.stat().st_size)
    path = files[number % len(files)]
    damage(path, way, place, keep_times=keep_times)
    # What is kept needs no cache, so that is used for a result that isn't there yet.
    target = evaluation.root / "new" if where == "cache" else out
    answer = evaluation.run(protocol, target)
    assert answer.code == 0, (path, answer.stderr)
    assert outcome(target) == outcome(evaluation.root / f"fresh-{protocol}"), path
    shutil.rmtree(evaluation.root / "new", ignore_errors=True)


some = {
    "where": st.sampled_from(["cache", "cache", "out"]),
    "protocol": st.sampled_from(sorted(PROTOCOLS)),
    "number": st.integers(0, 10**6),
    "way": st.sampled_from(WAYS),
    "place": st.integers(0, 10**6),
    "keep_times": st.booleans(),
}
unhurried = settings(deadline=None, suppress_health_check=list(HealthCheck))


@settings(unhurried, max_examples=8)
@given(**some)
def test_any_damage_of_any_file(
    finished: Evaluation, where: str, protocol: str, number: int, way: str, place: int,
    keep_times: bool,
) -> None:  # fmt: skip
    check(finished, where, protocol, number, way, place, keep_times)


@pytest.mark.real
@settings(unhurried, max_examples=400)
@given(**some)
def test_more_damage(
    finished: Evaluation, where: str, protocol: str, number: int, way: str, place: int,
    keep_times: bool,
) -> None:  # fmt: skip
    check(finished, where, protocol, number, way, place, keep_times)
