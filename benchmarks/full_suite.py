"""The time that the probe takes on all 19 tasks of the benchmark, at their true sizes.

    python benchmarks/full_suite.py [--tasks esc50 ...] [--steps 3] [--epochs 150] [--run-below 0]

For each task a synthetic store is written with its numbers of clips, folds and labels and 1024
numbers per embedding, and its first fold is read as in a real run. A few training steps of each
stack that a real run trains (the grid's two shapes, and a single network as on the other folds)
and a validation are timed there; the validation of an event task has a few of its clips.

From these the time of the task is extrapolated: an epoch is so many steps, every third one (or
as the protocol has it for the task) has a validation. How many epochs a training takes depends
on when its validation stops rising, which random numbers don't know: --epochs assumes it, and
the last column is for trainings that all go on to the protocol's limit. Tasks whose extrapolated
time is below --run-below seconds are run to their end as well; that time is printed as measured.

On a machine that does other work, --clock processor takes processor time divided by the threads:
waiting for others isn't counted, but neither is a thread that has nothing to do.

Where the corpus doesn't fix its splits, sizes are by the usual 80/10/10.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from roofline import wait
from synthetic_store import StoreSpec, make_store

from hearbench import fit_probe
from hearbench.embeddings.store import EmbeddingStore
from hearbench.probe.data import TrainingData
from hearbench.probe.frames import FrameData
from hearbench.probe.kinds import TaskKind, kind_of
from hearbench.probe.network import Dropout, ProbeStack, Step
from hearbench.probe.precision import resolve_precision
from hearbench.probe.protocol import GridPoint, by_shape, get_protocol
from hearbench.workspace import Workspace

SIZE = 1024
# Validation clips of an event task that are timed; the others take as long each.
EVENT_CLIPS = 4


def folds(*sizes: int) -> dict[str, int]:
    """Clips of each fold."""
    return {f"fold{i:02}": size for i, size in enumerate(sizes)}


def even(clips: int, count: int) -> dict[str, int]:
    """As many clips in every fold, or one more."""
    return folds(*(clips // count + (i < clips % count) for i in range(count)))


def cut(train: int, valid: int, test: int) -> dict[str, int]:
    """Clips of the three splits."""
    return {"train": train, "valid": valid, "test": test}


TASKS = (
    # Twice, with another hive left out; the benchmark's score is the mean of the two.
    StoreSpec("beehive_states_fold0", cut(462, 57, 57), 2, "aucroc"),
    StoreSpec("beehive_states_fold1", cut(462, 57, 57), 2, "aucroc"),
    StoreSpec("beijing_opera", even(236, 5), 4, "top1_acc"),
    StoreSpec("tfds_crema_d", even(7438, 5), 6, "top1_acc"),
    StoreSpec(
        "dcase2016_task2", cut(44, 14, 14), 11, "event_onset_200ms_fms",
        clip_frames=2400, events_per_s=1.0,
    ),
    StoreSpec("esc50", even(2000, 5), 50, "top1_acc"),
    StoreSpec("fsd50k", cut(36796, 4170, 10219), 200, "mAP", multilabel=True),
    StoreSpec("tfds_gtzan", even(1000, 10), 10, "top1_acc"),
    StoreSpec("tfds_gtzan_music_speech", even(128, 10), 2, "top1_acc"),
    StoreSpec("gunshot_triangulation", even(88, 7), 4, "top1_acc"),
    StoreSpec("libricount", even(5720, 5), 11, "top1_acc"),
    StoreSpec(
        "maestro", even(185, 5), 88, "event_onset_50ms_fms",
        clip_frames=2400, events_per_s=10.0, on_loss=True,
        param_grid={"max_epochs": [50], "check_val_every_n_epoch": [1]},
    ),
    StoreSpec("mridangam_stroke", even(6977, 5), 10, "top1_acc"),
    StoreSpec("mridangam_tonic", even(6977, 5), 6, "top1_acc"),
    StoreSpec("nsynth_pitch_50h", cut(40000, 5000, 4060), 88, "pitch_acc"),
    StoreSpec("nsynth_pitch_5h", cut(4000, 500, 500), 88, "pitch_acc"),
    StoreSpec("speech_commands_5h", cut(16000, 2000, 4890), 12, "top1_acc"),
    StoreSpec("speech_commands_full", cut(85511, 10102, 4890), 12, "top1_acc"),
    StoreSpec("vocal_imitation", even(5601, 3), 302, "mAP"),
    StoreSpec("vox_lingua_top10", even(972, 5), 10, "top1_acc"),
)  # fmt: skip


@dataclass(frozen=True)
class Stack:
    """What some networks that are trained together take.

    Attributes:
        points: Of the grid.
        times: How often a task trains such a stack.
        step_s: Seconds per step.
        validation_s: Per validation of all networks.
    """

    points: Sequence[GridPoint]
    times: int
    step_s: float
    validation_s: float

    def seconds(self, n_batches: int, epochs: float) -> float:
        """Of all its trainings."""
        own = min(epochs, self.points[0].max_epochs)
        validations = own / self.points[0].check_every
        return self.times * (own * n_batches * self.step_s + validations * self.validation_s)


# What times are taken with: of the wall, or of the processor shared out over the threads.
Clock = Callable[[], float]


def processor() -> float:
    """Seconds of the processor over the threads: what an idle machine would take at least."""
    return time.process_time() / torch.get_num_threads()


def measure(
    data: TrainingData,
    kind: TaskKind,
    points: Sequence[GridPoint],
    *,
    steps: int,
    scale: float,
    clock: Clock,
) -> tuple[float, float]:
    """Seconds of a training step and of a validation.

    Args:
        data: One fold.
        kind: Its task.
        points: The networks, of one shape.
        steps: How many steps are timed, after one that isn't.
        scale: Clips to validate on, over those that are there.
        clock: In seconds.
    """
    device = data.inputs.mean.device
    dtype = resolve_precision("auto", str(device))
    stack = ProbeStack(
        points, list(range(len(points))), reading=kind.reading(data.inputs, points[0]),
        n_labels=kind.n_labels, outputs=data.outputs, dtype=dtype,
    )  # fmt: skip
    dropout = Dropout(stack.dropout, 1, dtype, device)
    batches = list(islice(data.epoch(1), steps + 1))
    batches = (batches * (steps + 1))[: steps + 1]

    def given(count: int) -> list[Step]:
        masks = [
            dropout.masks(i, stack.layers, stack.width, len(batches[i][0])) for i in range(count)
        ]
        return [Step(*batches[i], [(0, len(stack), masks[i])]) for i in range(count)]

    stack.train_steps(given(1))
    wait(device)
    started = clock()
    stack.train_steps(given(steps))
    wait(device)
    between = clock()
    data.validate(stack, range(len(points)), kind.objective)
    wait(device)
    return (between - started) / steps, scale * (clock() - between)


def stacks_of(
    store: EmbeddingStore, spec: StoreSpec, *, steps: int, workspace: Workspace, clock: Clock
) -> tuple[list[Stack], int, float]:
    """The stacks of a task, its batches per epoch, and the seconds that reading a fold took."""
    protocol = get_protocol("hear2021")

    protocol = protocol.for_task(spec.name, store.task.metadata.evaluation_params)
    device = workspace.torch_device()
    budget = workspace.memory_budget_bytes()
    kind = kind_of(store, protocol, device=device, max_memory_bytes=budget)
    started = clock()
    data = kind.training(store.task.folds()[0], resolve_precision("auto", device))
    read_s = clock() - started
    scale = 1.0
    if isinstance(data, FrameData):
        data, scale = fewer_clips(data)
    points = list(protocol.networks)
    groups = [(group, 1) for group in by_shape(points)]
    if spec.n_folds > 1:
        # The winner may be of either shape: the one that takes longer.
        largest = max(range(len(points)), key=lambda i: points[i].hidden_layers)
        groups.append(([largest], spec.n_folds - 1))
    found = []
    for group, times in groups:
        own = [points[i] for i in group]
        step_s, validation_s = measure(data, kind, own, steps=steps, scale=scale, clock=clock)
        found.append(Stack(own, times, step_s, validation_s))
    return found, data.n_batches, read_s


def fewer_clips(data: FrameData) -> tuple[FrameData, float]:
    """The same with few clips to validate on, and how many times as many there were."""
    from hearbench.metrics.event_lists import EventArrays

    valid = data.valid[:EVENT_CLIPS]
    reference = EventArrays.from_clips([clip.events for clip in valid], data.labels)
    few = replace(data, valid=valid, valid_pieces=None, reference=reference)
    return few, len(data.valid) / len(valid)


@dataclass(frozen=True)
class TaskTime:
    """What the probe takes on a task.

    Attributes:
        n_batches: Training steps per epoch.
        read_s: Reading a fold.
        stacks: What is trained.
        usual_s: Seconds for the epochs that were assumed, or measured.
        longest_s: Seconds if all trainings go on to the protocol's limit.
        measured: Whether `usual_s` is of a run to the end.
    """

    n_batches: int
    read_s: float
    stacks: Sequence[Stack]
    usual_s: float
    longest_s: float
    measured: bool


def task_time(
    spec: StoreSpec, *, steps: int, epochs: float, run_below_s: float, device: str, clock: Clock
) -> TaskTime:
    """Times a task's stacks on a store of its true size.

    Args:
        steps: How many training steps are timed.
        epochs: That a training is assumed to take.
        run_below_s: A task that should take less is run to its end.
    """
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace.from_environment(cache_dir=Path(folder) / "cache", device=device)
        store = make_store(Path(folder) / "store", spec, SIZE)
        stacks, n_batches, read_s = stacks_of(
            store, spec, steps=steps, workspace=workspace, clock=clock
        )
        reading = read_s * spec.n_folds
        usual = reading + sum(stack.seconds(n_batches, epochs) for stack in stacks)
        longest = reading + sum(stack.seconds(n_batches, 500) for stack in stacks)
        measured = usual < run_below_s
        if measured:
            started = clock()
            fit_probe(store, workspace=workspace)
            usual = clock() - started
    return TaskTime(n_batches, read_s, stacks, usual, longest, measured)


def main() -> None:
    """Measures task after task and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", nargs="+", default=[spec.name for spec in TASKS])
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument(
        "--epochs", type=int, default=150, help="that a training is assumed to take"
    )
    parser.add_argument("--run-below", type=float, default=0.0, help="seconds")
    parser.add_argument("--device", default="cpu")
    parser.add_argument(
        "--clock", default="wall", choices=["wall", "processor"], help="processor on a busy machine"
    )
    args = parser.parse_args()
    clock = time.perf_counter if args.clock == "wall" else processor
    console = Console(width=130)
    table = Table("task", "folds", "batches", "read s", "step ms", "validation ms",
                  f"s at {args.epochs} epochs", "measured s", "s at most")  # fmt: skip
    total = most = 0.0
    for spec in TASKS:
        if spec.name not in args.tasks:
            continue
        found = task_time(
            spec, steps=args.steps, epochs=args.epochs, run_below_s=args.run_below,
            device=args.device, clock=clock,
        )  # fmt: skip
        total, most = total + found.usual_s, most + found.longest_s
        table.add_row(
            spec.name,
            str(spec.n_folds),
            str(found.n_batches),
            f"{found.read_s:.1f}",
            " + ".join(f"{1e3 * stack.step_s:.0f}" for stack in found.stacks),
            " + ".join(f"{1e3 * stack.validation_s:.0f}" for stack in found.stacks),
            f"{found.usual_s:.0f}",
            f"{found.usual_s:.1f}" if found.measured else "",
            f"{found.longest_s:.0f}",
        )
        console.print(f"{spec.name}: {found.usual_s:.0f} s")
    table.add_row("all", "", "", "", "", "", f"{total:.0f}", "", f"{most:.0f}")
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    console.print(table)
    console.print(
        f"{total / 60:.0f} minutes on {args.device} with {torch.get_num_threads()} threads, "
        f"{most / 60:.0f} at most, by the {args.clock} clock; load {load:.1f}. "
        "Steps and validations: of the grid's two shapes, and of one network on the other folds. "
        f"{args.epochs} epochs assumed where nothing is in the column of what was measured."
    )


if __name__ == "__main__":
    main()
