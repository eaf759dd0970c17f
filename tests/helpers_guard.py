"""Evaluations whose result folders were recorded, and what of a folder is compared.

``python tests/helpers_guard.py`` records them again. That is right only where a change of
results is wanted; the commit says why.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from helpers_cli import Answer, hearbench
from helpers_tasks import make_event_task, make_scene_task

__all__ = ["EVALUATIONS", "PROCESSOR", "RECORDED", "Workplace", "arrays", "without_times"]

RECORDED = Path(__file__).parent / "fixtures/guard"
# Results of another kind of processor differ in the last digits.
PROCESSOR = RECORDED / "processor.txt"

_MODEL = """
import torch


class Bands(torch.nn.Module):
    sample_rate, scene_embedding_size, timestamp_embedding_size = 16000, 8, 8


def load_model(weights=""):
    return Bands()


def get_timestamp_embeddings(audio, model):
    frames = torch.nn.functional.pad(audio, (128, 127)).unfold(1, 256, 800)
    bands = torch.fft.rfft(frames).abs()[..., :32].unflatten(-1, (8, 4)).mean(-1)
    return BANDS, 50.0 * torch.arange(bands.shape[1]).expand(bands.shape[:2])


def get_scene_embeddings(audio, model):
    CLIPS
"""
_MEAN = "return get_timestamp_embeddings(audio, model)[0].mean(1)"
_MODELS = {
    "logs": ("bands.add(1e-3).log()", _MEAN),
    "roots": ("bands.sqrt()", _MEAN),
    "fails": ("bands", 'raise RuntimeError("no scenes")'),
}
_SMALL = ("--protocol", "faster", "--grid-points", "2")

# By name: the words after `hearbench evaluate`. {NAME} is the path of a model or task.
EVALUATIONS: Mapping[str, tuple[str, ...]] = {
    "hear2021": (
        "{logs}", "--task", "{splits}", "--task", "{events}",
        "--protocol", "hear2021", "--grid-points", "2",
    ),
    "several-models": (
        "{logs}", "{fails}", "{roots}", "--task", "{splits}", "--task", "{events}", *_SMALL,
    ),
    "seeds": ("{logs}", "--task", "{folds}", "--task", "{events}", *_SMALL, "--seeds", "2"),
    "event-folds": ("{roots}", "--task", "{event_folds}", *_SMALL),
    "linear": ("{logs}", "--task", "{splits}", "--task", "{events}", "--protocol", "linear"),
    "knn": ("{logs}", "{roots}", "--task", "{folds}", "--task", "{events}", "--protocol", "knn"),
    "few-labels": (
        "{logs}", "--task", "{splits}", *_SMALL, "--shots", "1", "--shots", "2", "--repeats", "2",
    ),
    "distances": ("{logs}", "{roots}", "--task", "{splits}", "--task", "{folds}", "--distance"),
}  # fmt: skip


class Workplace:
    """A folder with models and tasks, in which evaluations are made.

    Args:
        root: The folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.places = {
            "splits": make_scene_task(root / "tasks", name="splits"),
            "folds": make_scene_task(root / "tasks", name="folds", folds=True, multilabel=True),
            "events": make_event_task(root / "tasks", name="events"),
            "event_folds": make_event_task(root / "tasks", name="event_folds", folds=True),
        }
        for name, (bands, clips) in _MODELS.items():
            self.places[name] = root / f"{name}.py"
            self.places[name].write_text(_MODEL.replace("BANDS", bands).replace("CLIPS", clips))

    def evaluate(self, name: str, out: Path) -> Answer:
        """Makes one of the `EVALUATIONS`, its results in a folder."""
        words = [word.format(**self.places) for word in EVALUATIONS[name]]
        return hearbench(
            "evaluate", *words, "--out", out, "--cache", self.cache(name),
            "--device", "cpu", "--workers", 1, "--precision", "float32", "--json",
        )  # fmt: skip

    def cache(self, name: str) -> Path:
        """An evaluation's own cache.

        What another one has trained alone isn't trained beside others, which rounds differently.
        """
        return self.root / "cache" / name

    def texts(self, folder: Path) -> dict[str, Any]:
        """The content of a folder's JSON files by their paths in it, without times."""
        return {
            path.relative_to(folder).as_posix(): without_times(json.loads(self._text(path)))
            for path in sorted(folder.rglob("*.json"))
        }

    def answer(self, answer: Answer, out: Path) -> Any:
        """What a command said in JSON, with its exit code."""
        said = json.loads(answer.stdout.replace(str(out), "OUT").replace(str(self.root), "ROOT"))
        return without_times({"exit": answer.code, **said})

    def _text(self, path: Path) -> str:
        return path.read_text().replace(str(self.root), "ROOT")


def arrays(folder: Path) -> dict[str, Any]:
    """The arrays below a folder by their paths in it."""
    return {
        path.relative_to(folder).as_posix(): np.load(path) for path in sorted(folder.rglob("*.npy"))
    }


def without_times(value: Any) -> Any:
    """JSON without times, memory, dates and versions, which differ from run to run."""
    if isinstance(value, list):
        return [without_times(item) for item in value]
    if not isinstance(value, dict):
        return value
    told = {}
    for key, item in value.items():
        if key in {"versions", "hearbench_version", "created", "throughput"} or key.startswith(
            "time_in_min"
        ):
            continue
        if key.endswith(("_s", "seconds", "_mb", "utilisation")):
            continue
        told[key] = without_times(item)
    return told


def _record() -> None:
    torch.set_num_threads(1)
    shutil.rmtree(RECORDED, ignore_errors=True)
    RECORDED.mkdir()
    with tempfile.TemporaryDirectory() as folder:
        work = Workplace(Path(folder))
        for name in EVALUATIONS:
            out = Path(folder) / "out" / name
            answer = work.evaluate(name, out)
            texts = {"": work.answer(answer, out), **work.texts(out)}
            (RECORDED / f"{name}.json").write_text(json.dumps(texts, indent=1) + "\n")
            np.savez_compressed(RECORDED / f"{name}.npz", **arrays(out))
    PROCESSOR.write_text(torch.backends.cpu.get_cpu_capability() + "\n")


if __name__ == "__main__":
    _record()
