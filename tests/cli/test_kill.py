"""An evaluation that is killed again and again ends as one that never was."""

from __future__ import annotations

import json
import multiprocessing
import random
import shutil
import signal
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
from helpers_cli import run_slowly
from helpers_models import STATS, write_model
from helpers_tasks import make_scene_task

# Loaded once; every attempt is forked from there and so begins at once.
PRELOAD = [
    "hearbench.cli.app",
    "hearbench.results",
    "hearbench.probe.fit",
    "hearbench.models.loading",
    "torch._dynamo",
]
SLEEP_S = 0.02
RENAME_S = 0.03
KILLS = 10


class Evaluation:
    """One evaluation with a cache and results of its own, begun as often as need be."""

    def __init__(self, model: Path, task: Path, folder: Path) -> None:
        self.folder = folder
        self.cache = folder / "cache"
        self.results = folder / "out" / "slow" / task.name
        self.arguments = [
            "evaluate", str(model), "--task", str(task), "--out", str(folder / "out"),
            "--cache", str(self.cache), "--device", "cpu", "--workers", "2",
            "--protocol", "faster",
        ]  # fmt: skip
        self.context = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload(PRELOAD)

    def begin(self) -> BaseProcess:
        self.folder.mkdir(exist_ok=True)
        log = str(self.folder / "log")
        process = self.context.Process(target=run_slowly, args=(self.arguments, log, RENAME_S))
        process.start()
        return process

    def finish(self) -> None:
        process = self.begin()
        process.join(300)
        assert process.exitcode == 0, (self.folder / "log").read_text()

    @property
    def embedding(self) -> bool:
        return any(self.cache.glob("embeddings/*/*/*/shards"))

    @property
    def probing(self) -> bool:
        return any(self.cache.glob("embeddings/*/*/*/manifest.json"))

    @property
    def writing(self) -> bool:
        return self.results.exists()

    def content(self) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        result = json.loads((self.results / "result.json").read_text())
        reference = json.loads((self.results / "test.predicted-scores.json").read_text())
        assert result.pop("resources")
        predictions = {
            path.name: np.load(path).tolist() for path in self.results.glob("predictions/*.npy")
        }
        return result, reference["hparams"], predictions


def wait_until(true: Callable[[], bool], process: BaseProcess) -> None:
    deadline = time.monotonic() + 240
    while not true() and process.is_alive() and time.monotonic() < deadline:
        time.sleep(0.005)


def test_killed_ten_times(tmp_path: Path) -> None:
    task = make_scene_task(tmp_path / "task", folds=True, varying_lengths=True)
    slowly = f"    time.sleep({SLEEP_S})\n    return torch.stack"
    source = STATS.replace("    return torch.stack", slowly, 1)
    model = write_model(tmp_path, "import time\n" + source, name="slow")
    undisturbed = Evaluation(model, task, tmp_path / "undisturbed")
    undisturbed.finish()

    disturbed = Evaluation(model, task, tmp_path / "disturbed")
    rng = random.Random(7)
    # (since when, seconds at most): the random moments are spread over all three stages.
    moments = [
        *[(lambda: disturbed.writing, 0.25)] * 3,
        *[(lambda: disturbed.probing, 0.25)] * 3,
        *[(lambda: disturbed.embedding, 0.5)] * 4,
    ]
    assert len(moments) == KILLS
    stages = set()
    for _ in range(3 * KILLS):
        since, span_s = moments[-1]
        process = disturbed.begin()
        wait_until(since, process)
        time.sleep(rng.uniform(0, span_s))
        process.kill()
        process.join()
        if process.exitcode == -signal.SIGKILL:
            stages.add((disturbed.probing, disturbed.writing))
            moments.pop()
        if not moments:
            break
        if (disturbed.results / "result.json").exists():  # it was faster than the kill
            shutil.rmtree(disturbed.results)
    assert not moments
    assert {(False, False), (True, False), (True, True)} <= stages
    disturbed.finish()
    assert disturbed.content() == undisturbed.content()
    assert not list(disturbed.results.rglob(".tmp-*"))
