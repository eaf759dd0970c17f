"""Estimates of an evaluation's stages: what a dry run took, times the counts of the task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import psutil

from hearbench.amounts import data_size, duration, significant
from hearbench.embeddings.batches import batch_clips
from hearbench.evaluation.probes import ProbeSetup
from hearbench.models.engine import InProcess
from hearbench.planning.dry_run import DryRun, StackTime
from hearbench.planning.facts import TaskFacts
from hearbench.planning.record import Seconds, StageEstimate
from hearbench.planning.sizes import (
    data_bytes,
    kept_bytes,
    n_rows,
    result_bytes,
    stack_bytes,
    store_bytes,
)
from hearbench.probe.protocol import GridPoint

if TYPE_CHECKING:
    from hearbench.embeddings.kinds import Dtype
    from hearbench.models.model import Model

__all__ = ["Asked", "Estimates", "own_bytes"]

_MIB = 1 << 20
# How far off a measurement of some seconds may be on a machine that does other things as well.
_FASTER, _SLOWER = 0.7, 1.5
# Published archives are compressed.
_ARCHIVE_SHARE = 0.85
_AHEAD_BYTES = 256 << 20
_SHARD_BYTES = 64 << 20
# Epochs of a training, in units of its first chance to stop. Any rise of the validation lets it go
# on: a share of some clips soon stands still; a mean of precisions or areas or a loss hardly ever.
_COARSE, _FINE = 2.0, 3.0
_FINE_SCORES = ("mAP", "aucroc", "d_prime", "psds1", "psds2")


@dataclass(frozen=True)
class Asked:
    """How an evaluation would be run.

    Attributes:
        dtype: Type of the embeddings on disk.
        embed_s: Seconds to spend on embedding noise, per model and task.
    """

    setup: ProbeSetup = field(default_factory=ProbeSetup.of)
    dtype: Dtype = "float32"
    out: Path = Path("results")
    embed_s: float = 2.0
    download_bytes_per_s: float = 20e6


@dataclass(frozen=True)
class Estimates:
    """Time, disk and memory of each stage of evaluating a model on a task."""

    facts: TaskFacts
    ran: DryRun
    asked: Asked
    model: Model

    def fetch(self) -> StageEstimate:
        """Download and unpack the archive."""
        facts, speed = self.facts, self.asked.download_bytes_per_s
        size = facts.audio_bytes(facts.source_rate)
        archive = facts.archive_bytes or round(_ARCHIVE_SHARE * size)
        known = "its size" if facts.archive_bytes else f"{_ARCHIVE_SHARE:g} of its audio"
        seconds = archive / speed + self.ran.check_s * facts.audio_s
        made_from = (
            f"{facts.n_clips} clips of {significant(facts.clip_s)} s at {facts.source_rate} Hz by "
            f"the catalog; an archive of {known}, at {data_size(speed)}/s"
            if facts.ready_made
            else "the catalog's numbers; only the prepared audio is counted, at "
            f"{facts.source_rate} Hz, not the corpus"
        )
        return StageEstimate(
            stage="fetch",
            seconds=_around(seconds) if facts.ready_made else None,
            disk_bytes=size,
            disk_high_bytes=size,
            passing_bytes=archive if facts.ready_made else 0,
            made_from=made_from,
        )

    def check(self) -> StageEstimate:
        """Read all audio once."""
        facts = self.facts
        rates = sum(facts.rates_here or (facts.source_rate,)) / facts.source_rate
        seconds = _around(self.ran.check_s * facts.audio_s * rates)
        if facts.folder is not None:  # it may have been checked before
            seconds = seconds.model_copy(update={"low": 0.0})
        return StageEstimate(
            stage="check",
            seconds=seconds,
            made_from=f"checking noise at {_rate(self.ran.check_s)}; less if done before",
        )

    def resample(self, share: float) -> StageEstimate:
        """Make audio at the model's rate, for a share of the clips."""
        facts, rate = self.facts, self.model.sample_rate
        size = round(share * facts.audio_bytes(rate))
        return StageEstimate(
            stage="resample",
            seconds=_around(share * self.ran.resample_s * facts.audio_s),
            disk_bytes=size,
            disk_high_bytes=size,
            made_from=f"noise from {facts.source_rate} to {rate} Hz at "
            f"{_rate(self.ran.resample_s)}",
        )

    def embed(self) -> StageEstimate:
        """Embed all clips."""
        facts, ran, rate = self.facts, self.ran, self.model.sample_rate
        itemsize = np.dtype(self.asked.dtype).itemsize
        size = store_bytes(facts, ran.stored_size, ran.frames_per_s, itemsize)
        batch = batch_clips(facts.metadata.sample_duration, rate)
        batch_bytes = round(4 * batch * facts.clip_s * rate)
        ahead = min(max(_AHEAD_BYTES, 2 * batch_bytes), 4 * batch_bytes)
        # A model may want more for clips and batches than were tried.
        tried_bytes = round(4 * min(batch, ran.clips) * ran.clip_s * rate)
        more = max(0, batch_bytes - tried_bytes)
        peak = round((ran.peak_memory_mb or 0) * _MIB)
        own = isinstance(self.model.engine.engine, InProcess)
        base = max(own_bytes(), peak) if own else own_bytes() + peak
        per = f"frame, {significant(ran.frames_per_s)} frames/s" if ran.frames_per_s else "clip"
        layers = f"{ran.layers} layers of " if ran.layers > 1 else ""
        return StageEstimate(
            stage="embed",
            seconds=_around(ran.embed_s * facts.audio_s),
            disk_bytes=size,
            disk_high_bytes=size,
            memory_bytes=base + ahead + min(2 * size, 3 * _SHARD_BYTES) + more,
            made_from=f"{ran.clips} clips of {significant(ran.clip_s)} s of noise at "
            f"{_rate(ran.embed_s)}; {layers}{ran.embedding_size} dimensions per {per}",
        )

    @property
    def data_bytes(self) -> int:
        """Training and validation data of the largest fold."""
        itemsize = 2 if self.asked.setup.precision == "bfloat16" else 4
        return data_bytes(self.facts, self.ran.read_size, self.ran.frames_per_s, itemsize)

    def probe(self, max_memory_bytes: int) -> StageEstimate:
        """Train the grid on the first fold, and its winner, which isn't known yet, on others."""
        facts, stacks, size = self.facts, self.ran.stacks, self.ran.read_size
        memory_bytes = own_bytes() + min(self.data_bytes, max_memory_bytes)
        if not stacks:
            return StageEstimate(
                stage="probe",
                seconds=None,
                memory_bytes=memory_bytes,
                made_from="nothing is trained; asking neighbours isn't measured",
            )
        points = [len(stack.points) for stack in stacks]
        grid = [self._fold_seconds(stack.points, stack.epoch_s) for stack in stacks]
        winner = [self._fold_seconds(stack.points, stack.alone_s) for stack in stacks]
        others = sum(fold.train for fold in facts.folds[1:]) / facts.folds[0].train
        expected = float(np.average([one.expected for one in winner], weights=points))
        seconds = Seconds(
            low=sum(one.low for one in grid) + others * min(one.low for one in winner),
            expected=sum(one.expected for one in grid) + others * expected,
            high=sum(one.high for one in grid) + others * max(one.high for one in winner),
        )
        # Weights, of the grid and then of the winners; a checkpoint also holds moments.
        kept = [kept_bytes(stack.points[0], size, facts.n_labels) for stack in stacks]
        winners = len(facts.folds) - 1
        seeds = len(self.asked.setup.seeds)
        trainings = seeds * self.ran.probes
        rows = n_rows(facts.folds[0].train, facts, self.ran.frames_per_s)
        batch = min(self.asked.setup.protocol.batch_size, rows)
        largest = max(
            stack_bytes(stack.points, size, facts.n_labels, batch, seeds) for stack in stacks
        )
        return StageEstimate(
            stage="probe",
            seconds=_around(seconds),
            disk_bytes=round(trainings * (sum(kept) + winners * np.average(kept, weights=points))),
            disk_high_bytes=trainings * (sum(kept) + winners * max(kept)),
            passing_bytes=largest,
            memory_bytes=memory_bytes + largest,
            made_from="; ".join(self._described(stack) for stack in stacks),
        )

    def _fold_seconds(self, points: Sequence[GridPoint], epoch_s: float) -> Seconds:
        epochs = self._epochs(points)
        return Seconds(
            low=epochs.low * epoch_s,
            expected=epochs.expected * epoch_s,
            high=epochs.high * epoch_s,
        )

    def _epochs(self, points: Sequence[GridPoint]) -> Seconds:
        """Epochs until trainings stop: at their first chance, as expected, and at most."""
        metadata = self.facts.metadata
        on_loss = not metadata.use_scoring_for_early_stopping
        fine = on_loss or metadata.evaluation[0] in _FINE_SCORES
        patience = self.asked.setup.protocol.patience
        first = [min(p.max_epochs, p.check_every * (patience(p) + 1)) for p in points]
        expected = [
            min(p.max_epochs, (_FINE if fine else _COARSE) * one)
            for p, one in zip(points, first, strict=True)
        ]
        return Seconds(
            low=min(first),
            expected=float(np.mean(expected)),
            high=max(point.max_epochs for point in points),
        )

    def _described(self, stack: StackTime) -> str:
        epochs, count = self._epochs(stack.points), len(stack.points)
        return (
            f"{count} network{'s' * (count > 1)} {stack.points[0].hidden_layers} deep, "
            f"{duration(stack.epoch_s)} an epoch, {epochs.low:.0f} to {epochs.high:.0f} epochs, "
            f"{epochs.expected:.0f} expected"
        )

    def result(self) -> StageEstimate:
        """Compute scores and intervals."""
        seeds = len(self.asked.setup.seeds)
        # What each layer's probes give, and the best of them once more.
        results = seeds * (self.ran.probes + (self.ran.probes > 1))
        size = results * result_bytes(self.facts, self.ran.frames_per_s)
        scores = ", ".join(self.facts.metadata.evaluation)
        return StageEstimate(
            stage="result",
            seconds=_around(seeds * self.ran.result_s),
            disk_bytes=size,
            disk_high_bytes=size,
            memory_bytes=own_bytes() + size,
            made_from=f"{scores} of predictions on noise, with intervals",
        )


def _around(seconds: float | Seconds) -> Seconds:
    if isinstance(seconds, float):
        seconds = Seconds(low=seconds, expected=seconds, high=seconds)
    return Seconds(
        low=_FASTER * seconds.low, expected=seconds.expected, high=_SLOWER * seconds.high
    )


def _rate(s_per_audio_s: float) -> str:
    return f"{significant(1 / max(s_per_audio_s, 1e-9))}x realtime"


def own_bytes() -> int:
    """Memory of this process."""
    return int(psutil.Process().memory_info().rss)
