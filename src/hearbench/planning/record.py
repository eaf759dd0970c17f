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
    """A time that isn't known for sure.

    Attributes:
        low: If all goes quickly, as where every grid point stops at its first chance.
        expected: What to reckon with.
        high: At most, where what was measured holds.
    """

    low: float
    expected: float
    high: float


class StageEstimate(Record):
    """What one stage takes.

    Attributes:
        stage: ``fetch`` (download and unpack), ``check`` (read all audio once), ``resample``,
            ``embed``, ``probe`` (all folds), ``result`` (scores and intervals).
        seconds: Wall-clock time; None where there is no saying.
        disk_bytes: What stays on disk; 0 if it is there already.
        disk_high_bytes: The same at most.
        passing_bytes: What is on disk besides while the stage runs.
        memory_bytes: The most memory of the processes that run it; None where it is nothing to
            speak of.
        made_from: What the numbers were made from, in words.
    """

    stage: Stage
    seconds: Seconds | None
    disk_bytes: int
    disk_high_bytes: int
    passing_bytes: int
    memory_bytes: int | None
    made_from: str


class TaskEstimate(Record):
    """What a model on a task takes.

    Attributes:
        model: The model's name.
        task: ``<task>-<version>-<mode>``.
        stages: In their order; those with nothing to do are left out.
        problems: What keeps it from running here.
        notes: What else to know.
    """

    model: str
    task: str
    stages: tuple[StageEstimate, ...]
    problems: tuple[str, ...]
    notes: tuple[str, ...]


class FailedEstimate(Record):
    """A model or task that nothing can be said of; the task None where it was the model."""

    model: str | None
    task: str | None
    error: str


class Machine(Record):
    """What there is here.

    Attributes:
        device: Where models and probes run.
        cores: Processors that may be used.
        workers: Threads for audio.
        cache_dir: The cache.
        disk_free_bytes: Free where the cache is.
        memory_free_bytes: That this process could have.
        max_memory_bytes: What the data of a probe may take.
    """

    device: str
    cores: int
    workers: int
    cache_dir: str
    disk_free_bytes: int
    memory_free_bytes: int
    max_memory_bytes: int


class Totals(Record):
    """All of it, one after the other.

    Attributes:
        seconds: Of the stages whose time is known.
        unknown: How many stages have a time that isn't known.
        disk_bytes: What stays on disk.
        disk_high_bytes: At most, with what is there in passing.
        memory_bytes: The most of any stage.
    """

    seconds: Seconds
    unknown: int
    disk_bytes: int
    disk_high_bytes: int
    memory_bytes: int


class Plan(Record):
    """What an evaluation takes.

    Attributes:
        format_version: Of this layout.
        hearbench_version: That made it.
        machine: Where it was measured.
        protocol: Of the probes.
        seeds: How many.
        precision: Of the products in training.
        measured_s: Seconds that measuring took.
        tasks: By model and task.
        failed: Of which nothing can be said.
        total: Of all.
        problems: What doesn't fit in all.
        fits: Whether nothing stands in the way.
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
