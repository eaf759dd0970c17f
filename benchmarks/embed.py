"""Throughput of ``embed`` against the bare model on audio that is in memory already.

    python benchmarks/embed.py [--task PATH_OR_NAME] [--models naive,tiny,full] [--threads N]

``embed`` reads, batches, checks, hashes and writes; the bare loop only calls the model on the
same batches. Both are timed by turns, a fresh cache for every turn; the table shows medians
and their ratio, 1.0 meaning that nothing but the model costs time. Other work on the machine
moves the times more than the ratios.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import tempfile
import time
import wave
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

import hearbench
from hearbench.embeddings.batch_size import times_larger
from hearbench.embeddings.batches import batches_of, plan_shards, read_ahead
from hearbench.embeddings.gpu_meter import GpuMeter
from hearbench.models.engine import InProcess
from hearbench.models.model import Model
from hearbench.tasks.store import PreparedTask, load_task, with_rate
from hearbench.workspace import Workspace

MODELS = {
    "naive": ("hearbench.models.naive", {}, 0.7),
    "tiny": ("hearbench.models.crepe", {"capacity": "tiny"}, 0.9),
    "full": ("hearbench.models.crepe", {"capacity": "full"}, 0.9),
}
SAMPLE_RATES = (16000, 44100)


def main() -> None:
    """Runs all and prints one table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--task", help="a prepared task instead of noise")
    parser.add_argument("--models", default=",".join(MODELS), help="of naive, tiny, full")
    parser.add_argument("--clips", type=int, default=300, help="of noise, for naive")
    parser.add_argument("--duration", type=float, default=4.0, help="of noise, in s per clip")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, help="of torch; fewer than cores is steadier")
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)

    table = Table(title="embed against the bare model")
    for column in ("model", "clips", "audio s", "bare s", "embed s", "x realtime", "ratio", "aim"):
        table.add_column(column, justify="left" if column == "model" else "right")
    with tempfile.TemporaryDirectory(prefix="hearbench-bench-") as name:
        folder = Path(name)
        workspace = Workspace.from_environment(cache_dir=folder / "audio")
        for key in args.models.split(","):
            spec, options, aim = MODELS[key]
            model = hearbench.load_model(spec, workspace=workspace, interpreter=None, **options)
            # The large network is slow enough for a few clips to tell.
            clips = max(12, args.clips // {"naive": 1, "tiny": 4, "full": 12}[key])
            made = args.task or noise_task(folder / f"noise-{clips}", clips, args.duration)
            task = with_rate(load_task(made, workspace=workspace), model.sample_rate)
            table.add_row(key, *row(measure(model, task, folder, args.repeats)), f"{aim:.1f}")
    Console().print(table)


@dataclass(frozen=True)
class Throughput:
    """What embedding a task took.

    Attributes:
        audio_s: Seconds of its audio.
        bare_s: Of the bare model, one time per turn.
        embed_s: Of ``embed``, likewise.
        shards_s: What of that went by from shard to shard, thus without loading the model again.
        enlarged_batch: Clips that the model got at once, if more than the reference's batch.
        busy: Mean share of `embed_s` in which a GPU was busy, 0 to 1; None where nothing tells.
    """

    clips: int
    audio_s: float
    bare_s: Sequence[float]
    embed_s: Sequence[float]
    shards_s: Sequence[float]
    enlarged_batch: int | None
    busy: float | None

    @property
    def whole_ratio(self) -> float:
        """The bare model's time over that of ``embed``, 1 where nothing else takes time."""
        return _ratio(self.bare_s, self.embed_s)

    @property
    def ratio(self) -> float:
        """The same without what comes before the first batch and after the last one."""
        return _ratio(self.bare_s, self.shards_s)

    @property
    def realtime(self) -> float:
        """Seconds of audio per second."""
        return self.audio_s / statistics.median(self.embed_s)


def _ratio(one: Sequence[float], other: Sequence[float]) -> float:
    # Within each turn, as the machine's other work changes from turn to turn.
    return statistics.median(a / b for a, b in zip(one, other, strict=True))


def measure(model: Model, task: PreparedTask, folder: Path, repeats: int) -> Throughput:
    """Times both by turns, on batches of equal size.

    Args:
        folder: Where caches are made, and removed again.
    """
    shards = plan_shards(task, model.sample_rate, model.scene_embedding_size)
    times = times_larger(model.device)
    read = list(read_ahead(batches_of(shards, times), model.sample_rate, workers=1))
    audio = [torch.from_numpy(x).to(model.device) for _, x in read]
    audio_s = sum(x.numel() for x in audio) / model.sample_rate
    bare, whole, shards_s, busy = [], [], [], []
    enlarged: int | None = None
    bare_loop(model, task, audio[:1])
    for _ in range(repeats):
        bare.append(timed(lambda: bare_loop(model, task, audio)))
        cache = Path(tempfile.mkdtemp(dir=folder))
        workspace = Workspace.from_environment(cache_dir=cache)
        with GpuMeter(model.device) as meter:
            started = time.perf_counter()
            store = hearbench.embed(model, task, workspace=workspace)
            whole.append(time.perf_counter() - started)
            busy.append(meter.take())
        shards_s.append(store.manifest.seconds)
        enlarged = store.manifest.enlarged_batch
        shutil.rmtree(cache)
    known = [share for share in busy if share is not None]
    return Throughput(
        clips=sum(len(shard.clips) for shard in shards),
        audio_s=audio_s,
        bare_s=bare,
        embed_s=whole,
        shards_s=shards_s,
        enlarged_batch=enlarged,
        busy=statistics.fmean(known) if known else None,
    )


def row(found: Throughput) -> list[str]:
    """The cells of the table."""
    return [
        str(found.clips),
        f"{found.audio_s:.0f}",
        f"{statistics.median(found.bare_s):.3f}",
        f"{statistics.median(found.embed_s):.3f}",
        f"{found.realtime:.0f}",
        f"{found.whole_ratio:.2f}",
    ]


def bare_loop(model: Model, task: PreparedTask, audio: list[torch.Tensor]) -> None:
    """Nothing but the model."""
    scene = task.kind == "scene"
    engine = model.engine.engine
    if not isinstance(engine, InProcess):
        raise TypeError("The model is of another process.")
    name = "get_scene_embeddings" if scene else "get_timestamp_embeddings"
    function = getattr(engine.module, name)
    with torch.no_grad():
        for x in audio:
            function(x, engine.loaded)
    if model.device.startswith("cuda"):
        torch.cuda.synchronize()


def timed(function: object) -> float:
    """Wall-clock seconds of a call."""
    begun = time.perf_counter()
    if callable(function):
        function()
    return time.perf_counter() - begun


def noise_task(
    folder: Path, clips: int, duration_s: float, rates: Sequence[int] = SAMPLE_RATES
) -> Path:
    """A scene task of noise, by default at both rates that the models take."""
    splits = ("train", "valid", "test")
    target = folder / "noise-1.0.0-full"
    target.mkdir(parents=True)
    rng = np.random.default_rng(0)
    metadata = {
        "task_name": "noise",
        "version": "1.0.0",
        "mode": "full",
        "embedding_type": "scene",
        "prediction_type": "multiclass",
        "split_mode": "trainvaltest",
        "splits": list(splits),
        "sample_duration": duration_s,
        "evaluation": ["top1_acc"],
    }
    (target / "task_metadata.json").write_text(json.dumps(metadata))
    (target / "labelvocabulary.csv").write_text("idx,label\n0,a\n1,b\n")
    for split in splits:
        names = [f"{split}-{i:05d}.wav" for i in range(clips // len(splits))]
        labels = {name: ["ab"[i % 2]] for i, name in enumerate(names)}
        (target / f"{split}.json").write_text(json.dumps(labels))
        for rate in rates:
            (target / str(rate) / split).mkdir(parents=True)
            for name in names:
                x = rng.normal(0, 3000, round(duration_s * rate)).astype("<i2")
                with wave.open(str(target / str(rate) / split / name), "wb") as file:
                    file.setnchannels(1)
                    file.setsampwidth(2)
                    file.setframerate(rate)
                    file.writeframes(x.tobytes())
    return target


if __name__ == "__main__":
    main()
