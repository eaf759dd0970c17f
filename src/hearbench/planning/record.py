"""A plan as it is answered in JSON: estimates per stage, and what doesn't fit."""

from __future__ import annotations

from typing import Literal

from hearbench.records import Record

__all__ = [
    "FailedEstimate",
    "Machine",
    "Plan",
    "Seconds",
    "Stage",
    "StageEstimate",
    "TaskEstimate",
    "Totals",
]

Stage = Literal["fetch", "check", "resample", "embed", "probe", "result"]


class Seconds(Record):
    """A time between two bounds.

    Attributes:
        low: If all goes quickly, as where every grid point stops at its first chance.
        expected: The likely time.
        high: At most, if the machine stays as fast as measured.
    """

    low: float
    expected: float
    high: float


class StageEstimate(Record):
    """The cost of one stage.

    Attributes:
        stage: ``fetch`` (download and unpack), ``check`` (read all audio once), ``resample``,
            ``embed``, ``probe`` (all folds), ``result`` (scores and intervals).
        seconds: Wall-clock time; None where it isn't known.
        disk_bytes: Stay on disk; 0 for what exists already.
        disk_high_bytes: The same at most.
        passing_bytes: Lie on disk besides while the stage runs.
        memory_bytes: Peak memory of the processes that run it; None where it is small.
        made_from: What the estimate is based on, in words.
    """

    stage: Stage
    seconds: Seconds | None
    disk_bytes: int = 0
    disk_high_bytes: int = 0
    passing_bytes: int = 0
    memory_bytes: int | None = None
    made_from: str


class TaskEstimate(Record):
    """The cost of evaluating a model on a task.

    Attributes:
        task: ``<task>-<version>-<mode>``.
        stages: Stages in their order, without those that have nothing to do.
        problems: What prevents it on this machine.
    """

    model: str
    task: str
    stages: tuple[StageEstimate, ...]
    problems: tuple[str, ...]
    notes: tuple[str, ...]


class FailedEstimate(Record):
    """A model or task without an estimate; the task is None where the model failed."""

    model: str | None
    task: str | None
    error: str


class Machine(Record):
    """The machine that was measured.

    Attributes:
        device: Where models and probes run.
        cores: Processors that may be used.
        workers: Threads for audio.
        disk_free_bytes: Free where the cache is.
        memory_free_bytes: Free for this process, with what it has already.
        max_memory_bytes: The most that a probe's data may take.
    """

    device: str
    cores: int
    workers: int
    cache_dir: str
    disk_free_bytes: int
    memory_free_bytes: int
    max_memory_bytes: int


class Totals(Record):
    """All stages, one after the other.

    Attributes:
        seconds: Sum over the stages whose time is known.
        unknown: Number of stages whose time isn't known.
        disk_bytes: Stay on disk.
        disk_high_bytes: At most, with files that are removed again.
        memory_bytes: The most of any stage.
    """

    seconds: Seconds
    unknown: int
    disk_bytes: int
    disk_high_bytes: int
    memory_bytes: int


class Plan(Record):
    """Time, disk and memory that an evaluation takes.

    Attributes:
        seeds: Number of seeds.
        precision: Precision of the matrix products in training.
        tasks: Estimates by model and task.
        failed: Models and tasks without an estimate.
        problems: What doesn't fit in all.
        fits: Whether there are neither problems nor failures.
    """

    format_version: Literal[1] = 1
    hearbench_version: str
    machine: Machine
    protocol: str
    seeds: int
    precision: str
    measured_s: float
    tasks: tuple[TaskEstimate, ...]
    failed: tuple[FailedEstimate, ...]
    total: Totals
    problems: tuple[str, ...]
    fits: bool
