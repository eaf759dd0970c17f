"""Peak memory of a probe on stores that are larger than what it may use.

    python benchmarks/memory.py [--max-memory 0.1] [--stores fsd50k beehive nsynth maestro]

Synthetic stores: 51 185 clips of 200 labels (like FSD50K), 576 clips of ten minutes (Beehive;
one embedding per clip, so their length doesn't show in the probe), 49 060 of 88 labels (NSynth,
50 h), and 185 clips of 120 s with a frame every 2 ms (MAESTRO, 5 h: 11.1 million frames). Each
is learnt from and predicted in a process of its own, within --max-memory (GiB) for embeddings.

Printed is that process's resident memory at its peak, next to what it was before the store was
opened (Python, PyTorch, numpy), which no limit can lower. Embeddings are narrower than real ones
and the probe is small and brief, so that it takes minutes: its weights aren't what is measured.
With --check each store is evaluated once more with room for everything, and the predictions must
be the same bit for bit.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import multiprocessing
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from synthetic_store import StoreSpec, load_store, make_store

STORES = {
    "fsd50k": (
        StoreSpec("fsd50k", {"train": 36796, "valid": 4170, "test": 10219}, 200, "mAP", True),
        1024,
    ),
    "beehive": (StoreSpec("beehive", {"train": 462, "valid": 57, "test": 57}, 2, "aucroc"), 1024),
    "nsynth": (
        StoreSpec("nsynth", {"train": 40000, "valid": 5000, "test": 4060}, 88, "pitch_acc"),
        1024,
    ),
    "maestro": (
        StoreSpec(
            "maestro",
            {f"fold{i:02}": 37 for i in range(5)},
            88,
            "event_onset_50ms_fms",
            clip_frames=60000,
            hop_ms=2.0,
            events_per_s=10.0,
            on_loss=True,
        ),
        32,
    ),
}


def peak_mb() -> float:
    """Most resident memory of this process so far, in MiB."""
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def spec_of(name: str, scale: float) -> tuple[StoreSpec, int]:
    """A store's description, and the numbers per embedding."""
    spec, size = STORES[name]
    splits = {split: max(2, round(count * scale)) for split, count in spec.splits.items()}
    return dataclasses.replace(spec, splits=splits), size


def write(name: str, folder: str, scale: float) -> None:
    """Makes a store; in a process of its own, whose memory doesn't count."""
    make_store(Path(folder), *spec_of(name, scale))


def evaluate(name: str, scale: float, folder: str, max_memory_gb: float, out: str) -> None:
    """Learns from a store's first fold and predicts its test split; writes what it took."""
    import torch

    from hearbench.digest import digest_json
    from hearbench.metrics.classification import top1_accuracy
    from hearbench.probe.data import BatchSpec
    from hearbench.probe.fold_training import Plan, learn
    from hearbench.probe.kinds import kind_of
    from hearbench.probe.objective import Objective
    from hearbench.probe.outputs import MULTICLASS
    from hearbench.probe.protocol import GridPoint, Protocol
    from hearbench.probe.scenes import array_data
    from hearbench.probe.training_loop import Training

    point = GridPoint(hidden_layers=1, hidden_dim=32, max_epochs=1, check_every=1)
    protocol = Protocol(name="brief", grid=(point,))
    # Everything that PyTorch loads when it is first used.
    x, y = np.ones((8, 4), np.float32), np.eye(8, 2, dtype=np.uint8)
    spec = BatchSpec(8, "cpu", torch.float32)
    tiny = array_data((x, y), (x, y), outputs=MULTICLASS, spec=spec)
    Training(
        {1: [point]}, tiny, Objective(top1_accuracy, maximise=True), fold=0, dtype=torch.float32
    ).run()
    before, started = peak_mb(), time.perf_counter()
    store = load_store(Path(folder), spec_of(name, scale)[0])
    opened = peak_mb()
    kind = kind_of(store, protocol, device="cpu", max_memory_bytes=int(max_memory_gb * (1 << 30)))
    fold = store.task.folds()[0]
    work = Path(folder) / f"work-{max_memory_gb}"
    plan = Plan(kind, protocol, {1: work}, "cpu", torch.float32, 1, None, 1e9)
    learned = learn(plan, 0, fold, {1: [0]})[1]
    prediction = kind.predict(fold, learned.chosen, learned.outcomes[0], 0.0, work)
    peak = peak_mb()
    digest = digest_json([prediction.loss, prediction.probabilities[::97].tobytes().hex()])
    Path(out).write_text(
        json.dumps(
            {
                "before": before,
                "opened": opened,
                "peak": peak,
                "seconds": time.perf_counter() - started,
                "digest": digest,
            }
        )
    )


def in_process(function: Any, *args: Any) -> None:
    """Runs a function in a fresh process and waits for it."""
    process = multiprocessing.get_context("spawn").Process(target=function, args=args)
    process.start()
    process.join()
    if process.exitcode:
        raise SystemExit(f"{function.__name__}{args} ended with {process.exitcode}")


def main() -> None:
    """Runs the stores one after the other and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--max-memory", type=float, default=0.1, help="GiB")
    parser.add_argument("--stores", nargs="+", default=list(STORES), choices=list(STORES))
    parser.add_argument("--scale", type=float, default=1.0, help="share of each split's clips")
    parser.add_argument("--check", action="store_true", help="the same with room for everything")
    args = parser.parse_args()
    table = Table(
        "store", "on disk", "allowed", "before", "task read", "at peak", "probe's own", "s", "same"
    )
    for name in args.stores:
        with tempfile.TemporaryDirectory() as folder:
            in_process(write, name, folder, args.scale)
            on_disk = sum(f.stat().st_size for f in Path(folder).glob("shards/*.npy")) / (1 << 20)
            found = []
            for budget in (args.max_memory, 1e3)[: 2 if args.check else 1]:
                out = Path(folder) / "found.json"
                in_process(evaluate, name, args.scale, folder, budget, str(out))
                found.append(json.loads(out.read_text()))
            first = found[0]
            table.add_row(
                name,
                f"{on_disk:.0f} MiB",
                f"{args.max_memory * 1024:.0f} MiB",
                f"{first['before']:.0f} MiB",
                f"{first['opened']:.0f} MiB",
                f"{first['peak']:.0f} MiB",
                f"{first['peak'] - first['opened']:.0f} MiB",
                f"{first['seconds']:.0f}",
                str(found[0]["digest"] == found[1]["digest"]) if args.check else "",
            )
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
