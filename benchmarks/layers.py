"""Time of all layers of a checkpoint in one pass against the time of its last layer alone.

    python benchmarks/layers.py [--layers 12] [--width 64] [--clips 16] [--length 5] [--repeats 9]

A wav2vec2 with random weights embeds the same clips, by turns; the table shows medians and their
ratio, 1.0 meaning that the other layers cost nothing. The ratio of CPU times, on the one thread
that is the default, hardly depends on what else the machine does.
"""

from __future__ import annotations

import argparse
import importlib
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from rich.console import Console
from rich.table import Table

import hearbench
from hearbench.workspace import Workspace

SAMPLE_RATE = 16000


def main() -> None:
    """Runs all and prints one table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--clips", type=int, default=16)
    parser.add_argument("--length", type=float, default=5.0, help="of a clip, in seconds")
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)

    with tempfile.TemporaryDirectory(prefix="hearbench-bench-") as name:
        workspace = Workspace(cache_dir=Path(name), device="cpu", workers=torch.get_num_threads())
        folder = _checkpoint(Path(name) / "wav2vec2", args.layers, args.width)
        with hearbench.load_model(f"hf:{folder}", workspace=workspace) as model:
            shape = (args.clips, round(args.length * SAMPLE_RATE))
            audio = np.random.default_rng(0).normal(0, 0.1, shape).astype(np.float32)
            pairs: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
                "scenes": (lambda: model.scene(audio), lambda: model.scene_layers(audio)),
                "frames": (lambda: model.timestamps(audio), lambda: model.timestamp_layers(audio)),
            }
            table = Table(title=f"{model.layers} layers of {args.width} dimensions")
            for column in ("", "one layer, s", "all layers, s", "ratio", "of CPU times", "load"):
                table.add_column(column, justify="left" if not column else "right")
            for what, (one, every) in pairs.items():
                times = _by_turns((one, every), args.repeats)
                wall, cpu = np.median(times, axis=2)
                table.add_row(
                    what,
                    *(f"{seconds:.3f}" for seconds in wall),
                    f"{wall[1] / wall[0]:.2f}",
                    f"{cpu[1] / cpu[0]:.2f}",
                    f"{os.getloadavg()[0]:.1f}",
                )
    Console().print(table)


def _checkpoint(folder: Path, layers: int, width: int) -> Path:
    transformers: Any = importlib.import_module("transformers")
    torch.manual_seed(0)
    config = transformers.Wav2Vec2Config(
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=4,
        intermediate_size=4 * width,
        conv_dim=[width] * 7,
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=4,
        feat_extract_norm="layer",
    )
    transformers.Wav2Vec2Model(config).save_pretrained(folder)
    transformers.Wav2Vec2FeatureExtractor(do_normalize=True).save_pretrained(folder)
    return folder


def _by_turns(calls: Sequence[Callable[[], object]], repeats: int) -> npt.NDArray[np.float64]:
    """Seconds on the wall and of the CPU, by call and repeat, after one that isn't counted."""
    times = np.empty((2, len(calls), repeats))
    for call in calls:
        call()
    for repeat in range(repeats):
        for number, call in enumerate(calls):
            begin = time.perf_counter(), time.process_time()
            call()
            end = time.perf_counter(), time.process_time()
            times[:, number, repeat] = np.subtract(end, begin)
    return times


if __name__ == "__main__":
    main()
