"""Throughput of a model in another interpreter against the same model in this process.

    python benchmarks/isolation.py [--python P] [--model PATH] [--option K=V] [--repeats N]

Both embed the same clips, by turns; the table shows medians and their ratio, 1.0 meaning that
handing audio and embeddings from process to process costs nothing. ``--python`` may have other
versions of numpy and torch, whose own speed then counts, too.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from rich.console import Console
from rich.table import Table

import hearbench
from hearbench.models.loaded import Interpreter
from hearbench.models.model import Model
from hearbench.workspace import Workspace

# As small as an encoder gets, so that handing over isn't hidden by computing.
MODEL = """
import numpy as np
import torch

class Encoder(torch.nn.Module):
    sample_rate = 16000
    scene_embedding_size = timestamp_embedding_size = 512

    def __init__(self):
        super().__init__()
        kernels = np.random.RandomState(0).normal(0, 0.03, (512, 1, 800)).astype("float32")
        self.register_buffer("kernels", torch.from_numpy(kernels))

def load_model(model_file_path=""):
    return Encoder()

def get_timestamp_embeddings(audio, model):
    padded = torch.nn.functional.pad(audio, (400, 400))[:, None]
    frames = torch.nn.functional.conv1d(padded, model.kernels, stride=400).relu().transpose(1, 2)
    centres_ms = torch.arange(frames.shape[1]) * 25.0
    return frames, centres_ms.expand(len(audio), -1)

def get_scene_embeddings(audio, model):
    return get_timestamp_embeddings(audio, model)[0].mean(1)
"""
CALLS = 3
LENGTHS_S = ((32, 1.0), (32, 4.0), (4, 30.0), (1, 600.0))


def main() -> None:
    """Runs all and prints one table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--python", type=Path, default=Path(sys.executable))
    parser.add_argument("--model", help="instead of a small one of its own")
    parser.add_argument("--weights")
    parser.add_argument("--option", action="append", default=[], metavar="K=V")
    parser.add_argument("--repeats", type=int, default=7)
    args = parser.parse_args()
    options = dict(text.split("=", 1) for text in args.option)

    with tempfile.TemporaryDirectory(prefix="hearbench-bench-") as name:
        workspace = Workspace(cache_dir=Path(name), device="cpu", workers=torch.get_num_threads())
        python = args.python.expanduser().absolute()
        if args.model is None:
            args.model = str(Path(name) / "encoder.py")
            Path(args.model).write_text(MODEL)
        here = hearbench.load_model(args.model, args.weights, workspace=workspace, **options)
        there = hearbench.load_model(
            args.model,
            args.weights,
            workspace=workspace,
            interpreter=Interpreter(python),
            **options,
        )
        table = Table(title=f"{here.name} in {python} against this process")
        columns = ("embeddings", "clips x s", "here, ms", "there, ms", "ratio", "difference")
        for column in columns:
            table.add_column(column, justify="left" if column == "embeddings" else "right")
        worst = 1e9
        for kind in ("scene", "timestamps"):
            for n_clips, duration_s in LENGTHS_S:
                audio = noise(n_clips, duration_s, here.sample_rate)
                difference = np.abs(values(here, kind, audio) - values(there, kind, audio)).max()
                times: dict[str, list[float]] = {"here": [], "there": []}
                for _ in range(args.repeats):
                    for place, model in (("here", here), ("there", there)):
                        # The first call after a turn finds the other's threads still spinning.
                        values(model, kind, audio)
                        for _ in range(CALLS):
                            begin = time.perf_counter()
                            values(model, kind, audio)
                            times[place].append((time.perf_counter() - begin) * 1e3)
                medians = {place: statistics.median(found) for place, found in times.items()}
                ratio = medians["here"] / medians["there"]
                worst = min(worst, ratio)
                table.add_row(
                    kind,
                    f"{n_clips} x {duration_s:g}",
                    f"{medians['here']:.1f}",
                    f"{medians['there']:.1f}",
                    f"{ratio:.2f}",
                    f"{difference:.2g}",
                )
        there.close()
    Console().print(table)
    print(f"lowest throughput there over here: {worst:.2f} (aim: 0.8)")


def noise(n_clips: int, duration_s: float, sample_rate: int) -> npt.NDArray[np.float32]:
    """White noise, (n_clips, n_samples)."""
    rng = np.random.default_rng(0)
    return rng.normal(0, 0.1, (n_clips, round(duration_s * sample_rate))).astype(np.float32)


def values(model: Model, kind: str, audio: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """A model's embeddings of a kind."""
    return model.scene(audio) if kind == "scene" else model.timestamps(audio)[0]


if __name__ == "__main__":
    main()
