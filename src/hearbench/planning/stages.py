"""From facts and speeds to estimates, one function a stage."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hearbench.amounts import data_size, duration, significant
from hearbench.planning.audio_speed import FileSpeed, ModelSpeed
from hearbench.planning.facts import TaskFacts
from hearbench.planning.probe_speed import GroupSpeed, ProbeSpeed
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

__all__ = ["Embedding", "Stopping", "embed", "fetch_and_check", "probe", "resample", "result"]

# A compressed archive is somewhat smaller than what it holds; how much depends on the audio.
_ARCHIVE_SHARE = 0.85
# How many times its first chance to stop a training takes: where the score soon stands still,
# and where it hardly ever does. Trainings of the whole grid took 1.1 to 2.8 times the first on
# average, and 3 to 5 times.
_PAST_IF_COARSE, _PAST_IF_FINE = 1.5, 4.0
# How far off a measurement of some seconds may be on a machine that does other things as well.
_FASTER, _SLOWER = 0.7, 1.5
# Writing embeddings and taking their digest.
_STORE_BYTES_PER_S = 4e8
# Opening a store, copying clips, building networks.
_FOLD_S = 0.3
# Looking for what is there, the first call, the last digests.
_EMBED_S = 0.2
_LEAST_RESULT_S = 0.1
_AHEAD_BYTES = 256 << 20
_SHARD_BYTES = 64 << 20
_MIB = 1 << 20


def _around(seconds: float) -> Seconds:
    return Seconds(low=_FASTER * seconds, expected=seconds, high=_SLOWER * seconds)


def _rate(s_per_audio_s: float) -> str:
    return f"{significant(1 / max(s_per_audio_s, 1e-9))}x realtime"


def fetch_and_check(
    facts: TaskFacts, files: FileSpeed, download_bytes_per_s: float
) -> list[StageEstimate]:
    """Having the task here, all of its audio looked at."""
    stages = []
    size = facts.audio_bytes(facts.source_rate)
    if facts.folder is None:
        archive = facts.archive_bytes or round(_ARCHIVE_SHARE * size)
        known = "its size" if facts.archive_bytes else f"{_ARCHIVE_SHARE:g} of its audio"
        seconds = archive / download_bytes_per_s + files.check_s * facts.audio_s
        stages.append(
            StageEstimate(
                stage="fetch",
                seconds=_around(seconds) if facts.ready_made else None,
                disk_bytes=size,
                disk_high_bytes=size,
                passing_bytes=archive if facts.ready_made else 0,
                memory_bytes=None,
                made_from=(
                    f"{facts.n_clips} clips of {significant(facts.clip_s)} s at "
                    f"{facts.source_rate} Hz by the catalog; an archive of {known}, at "
                    f"{data_size(download_bytes_per_s)}/s"
                    if facts.ready_made
                    else "the catalog's numbers; only the prepared audio is counted, at "
                    f"{facts.source_rate} Hz, not the corpus"
                ),
            )
        )
    of_all_rates = sum(facts.rates_here or (facts.source_rate,)) / facts.source_rate
    seconds = files.check_s * facts.audio_s * of_all_rates
    stages.append(
        StageEstimate(
            stage="check",
            # Nothing where it is remembered from before.
            seconds=Seconds(
                low=0.0 if facts.folder is not None else _FASTER * seconds,
                expected=seconds,
                high=_SLOWER * seconds,
            ),
            disk_bytes=0,
            disk_high_bytes=0,
            passing_bytes=0,
            memory_bytes=None,
            made_from=f"reading noise files at {_rate(files.check_s)}; less if done before",
        )
    )
    return stages


def resample(
    facts: TaskFacts, files: FileSpeed, sample_rate: int, share_left: float
) -> StageEstimate | None:
    """Audio at the model's rate; None if it is there."""
    if share_left <= 0 or sample_rate in facts.rates_here:
        return None
    if facts.folder is None and sample_rate == facts.source_rate:
        return None
    size = round(share_left * facts.audio_bytes(sample_rate))
    return StageEstimate(
        stage="resample",
        seconds=_around(share_left * files.resample_s * facts.audio_s),
        disk_bytes=size,
        disk_high_bytes=size,
        passing_bytes=0,
        memory_bytes=None,
        made_from=(
            f"noise files from {facts.source_rate} to {sample_rate} Hz at {_rate(files.resample_s)}"
        ),
    )


@dataclass(frozen=True)
class Embedding:
    """What embedding a task depends on besides the task.

    Attributes:
        model: Its speed.
        files: That of reading.
        batch: Clips per batch.
        itemsize: Bytes of a number on disk.
        sample_rate: Of the model, in Hz.
        base_bytes: Memory of this process before, and of the model's own if it has one.
        one_device: Whether the model wants the same cores that read.
    """

    model: ModelSpeed
    files: FileSpeed
    batch: int
    itemsize: int
    sample_rate: int
    base_bytes: int
    one_device: bool


def embed(facts: TaskFacts, given: Embedding) -> StageEstimate:
    """A store of embeddings."""
    speed = given.model
    model_s, read_s = speed.s_per_audio_s * facts.audio_s, given.files.read_s * facts.audio_s
    size = store_bytes(facts, speed.embedding_size, speed.frames_per_s, given.itemsize)
    # Reading goes on beside the model, but on a CPU they share the cores.
    seconds = model_s + read_s if given.one_device else max(model_s, read_s)
    batch_bytes = round(4 * given.batch * facts.clip_s * given.sample_rate)
    ahead = min(max(_AHEAD_BYTES, 2 * batch_bytes), 4 * batch_bytes)
    shards = min(2 * size, 3 * _SHARD_BYTES)
    # A model may want more for clips and batches than were tried.
    tried_bytes = 4 * speed.clips * speed.clip_s * given.sample_rate
    more = max(0, round(batch_bytes - tried_bytes))
    return StageEstimate(
        stage="embed",
        seconds=_around(_EMBED_S + seconds + size / _STORE_BYTES_PER_S),
        disk_bytes=size,
        disk_high_bytes=size,
        passing_bytes=0,
        memory_bytes=given.base_bytes + ahead + shards + more,
        made_from=(
            f"{speed.calls} calls of {speed.clips} x {significant(speed.clip_s)} s of noise at "
            f"{_rate(speed.s_per_audio_s)}; {speed.embedding_size} numbers per "
            + (
                f"frame, {significant(speed.frames_per_s)} frames/s"
                if speed.frames_per_s
                else "clip"
            )
        ),
    )


@dataclass(frozen=True)
class _Epochs:
    low: float
    expected: float
    high: float


@dataclass(frozen=True)
class Stopping:
    """What tells when trainings stop.

    Attributes:
        fineness: Of the validation's score, as of `hearbench.planning.fineness.fineness`.
        before: Mean epochs of earlier trainings on the task; None if there were none.
    """

    fineness: float
    before: float | None = None

    def epochs(self, point: GridPoint) -> _Epochs:
        """From the first chance to stop to the last epoch; expected as before if that is known."""
        first = min(point.max_epochs, point.check_every * (point.patience + 1))
        past = _PAST_IF_COARSE + self.fineness * (_PAST_IF_FINE - _PAST_IF_COARSE)
        expected = past * first if self.before is None else max(self.before, first)
        return _Epochs(first, min(expected, point.max_epochs), point.max_epochs)


@dataclass(frozen=True)
class _Fold:
    """Training steps of an epoch and validated examples."""

    steps: float
    n_valid: int

    def alone(self, group: GroupSpeed, epochs: float) -> float:
        """Seconds of one network."""
        return _FOLD_S + epochs * self._epoch_s(group, group.step_alone_s, group.valid_alone_s)

    def together(self, group: GroupSpeed, mean: float, longest: float) -> float:
        """Seconds of all networks of a shape, that stop one after the other.

        An epoch takes some time whatever the number of networks, and some for each of them that
        is left.
        """
        n = len(group.points)
        every = self._epoch_s(group, group.step_s, group.valid_s)
        one = min(self._epoch_s(group, group.step_alone_s, group.valid_alone_s), every)
        # Where one takes less than its part of all, each is taken to have its part.
        each = every / n if n == 1 else min(every / n, (every - one) / (n - 1))
        return _FOLD_S + longest * (every - n * each) + mean * n * each

    def _epoch_s(self, group: GroupSpeed, step_s: float, valid_s: float) -> float:
        """Seconds of an epoch, with its part of the validation that comes every few."""
        return self.steps * step_s + self.n_valid * valid_s / group.points[0].check_every


def probe(
    facts: TaskFacts,
    speed: ProbeSpeed,
    model: ModelSpeed,
    *,
    seeds: int,
    itemsize: int,
    base_bytes: int,
    max_memory_bytes: int,
    stopping: Stopping,
) -> StageEstimate:
    """Training on all folds.

    Args:
        facts: Of the task.
        speed: Of training.
        model: Sizes of its embeddings.
        seeds: How many.
        itemsize: Bytes of a number in the products' precision.
        base_bytes: Memory of this process before.
        max_memory_bytes: What the data may take.
        stopping: When trainings end.
    """
    shape, groups = speed.shape, speed.groups
    frames = model.frames_per_s
    low = expected = high = 0.0
    disk = disk_high = 0
    for number, one in enumerate(facts.folds):
        fold = _Fold(
            max(1.0, n_rows(one.train, facts, frames) / shape.batch),
            n_rows(one.valid, facts, frames),
        )
        times = [
            _of_group(group, fold, stopping) if number == 0 else _of_winner(group, fold, stopping)
            for group in groups
        ]
        kept = [kept_bytes(group.points[0], shape.n_features, facts.n_labels) for group in groups]
        if not groups:
            continue
        if number == 0:
            low += sum(time.low for time in times)
            expected += sum(time.expected for time in times)
            high += sum(time.high for time in times)
            disk += sum(kept)
            disk_high += sum(kept)
        else:
            # Which point has won isn't known; each is as likely as any other.
            counts = [len(group.points) for group in groups]
            low += min(time.low for time in times)
            expected += float(np.average([time.expected for time in times], weights=counts))
            high += max(time.high for time in times)
            disk += round(float(np.average(kept, weights=counts)))
            disk_high += max(kept)
    stacks = [
        stack_bytes(group.points, shape.n_features, facts.n_labels, shape.batch, seeds)
        for group in groups
    ]
    held = min(data_bytes(facts, shape.n_features, frames, itemsize), max_memory_bytes)
    # A checkpoint holds weights, moments and the best so far, until the training is finished.
    largest = max(stacks, default=0)
    return StageEstimate(
        stage="probe",
        seconds=Seconds(low=_FASTER * low, expected=expected, high=_SLOWER * high)
        if groups
        else None,
        disk_bytes=seeds * disk,
        disk_high_bytes=seeds * disk_high,
        passing_bytes=largest,
        memory_bytes=base_bytes + held + largest,
        made_from=_probe_from(speed, stopping)
        if groups
        else "nothing is trained; asking isn't measured",
    )


def _of_group(group: GroupSpeed, fold: _Fold, stopping: Stopping) -> _Epochs:
    """All points side by side, which stop between the first chance and twice the mean past it."""
    epochs = stopping.epochs(group.points[0])
    longest = min(2 * epochs.expected - epochs.low, epochs.high)
    return _Epochs(
        low=fold.together(group, epochs.low, epochs.low),
        expected=fold.together(group, epochs.expected, longest),
        high=fold.together(group, epochs.high, epochs.high),
    )


def _of_winner(group: GroupSpeed, fold: _Fold, stopping: Stopping) -> _Epochs:
    epochs = stopping.epochs(group.points[0])
    return _Epochs(*(fold.alone(group, n) for n in (epochs.low, epochs.expected, epochs.high)))


def _probe_from(speed: ProbeSpeed, stopping: Stopping) -> str:
    shape = speed.shape
    steps = ", ".join(
        f"{len(group.points)} networks {group.points[0].hidden_layers} deep "
        f"{duration(group.step_s)}"
        for group in speed.groups
    )
    points = [point for group in speed.groups for point in group.points]
    epochs = [stopping.epochs(point) for point in points]
    return (
        f"{speed.steps} steps of {shape.batch} x {shape.n_features} to {shape.n_labels} labels: "
        f"{steps}; {min(e.low for e in epochs):.0f} to {max(e.high for e in epochs):.0f} epochs, "
        f"{np.mean([e.expected for e in epochs]):.0f} expected"
        + (" as in earlier trainings" if stopping.before is not None else "")
    )


def result(
    facts: TaskFacts, model: ModelSpeed, measured_s: float, *, seeds: int, base_bytes: int
) -> StageEstimate:
    """Scores and intervals."""
    size = seeds * result_bytes(facts, model.frames_per_s)
    return StageEstimate(
        stage="result",
        seconds=_around(seeds * (_LEAST_RESULT_S + measured_s)),
        disk_bytes=size,
        disk_high_bytes=size,
        passing_bytes=0,
        memory_bytes=base_bytes + size,
        made_from=f"{', '.join(facts.scores)} of random predictions, resampled 2000 times",
    )
