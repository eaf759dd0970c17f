"""Event scores against sed_eval, and what a validation of a transcription task takes.

    python benchmarks/events.py [--clips 185] [--sed-eval-clips 2] [--repeats 3]

Made at random, of the size of MAESTRO: 185 clips of 120 s with 1200 notes of 88 pitches each,
estimated with jittered times, misses and insertions. Both scorers get the same lists. sed_eval
scores clip after clip, and its time is measured on the first few clips and multiplied, as a run
over all takes hours; both must agree on those clips. hearbench is timed on all, from the lists of
dictionaries that sed_eval gets too, and from arrays, as it scores while a probe is trained.

Then one validation pass as the probe makes it: the probabilities of 37 clips at a hop of 50 ms
become events, for two minimum durations, and get all four scores. The first score alone is
timed as well, as that is what choosing on validation needs. Times are medians.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table
from sed_eval_scores import sed_eval_scores

from hearbench.metrics.event_lists import EventArrays
from hearbench.metrics.sound_event import event_scores, get_event_score
from hearbench.probe.events import DEFAULT_POSTPROCESSING, events_from_frames

SECONDS = 120.0
NOTES = 1200
PITCHES = 88
HOP_MS = 50.0
VALID_CLIPS = 37
AIM = 300
# The published tasks' scores.
SCORES = (
    "event_onset_200ms_fms",
    "event_onset_50ms_fms",
    "event_onset_offset_50ms_20perc_fms",
    "segment_1s_er",
)

EventLists = dict[str, list[dict[str, Any]]]


def random_notes(rng: np.random.Generator, n_clips: int) -> tuple[EventLists, EventLists]:
    """Reference and estimate; 15 % missed, 15 % inserted, onsets off by 25 ms, offsets by 60."""
    reference: EventLists = {}
    estimate: EventLists = {}
    for i in range(n_clips):
        pitch = np.clip(np.round(rng.normal(44, 13, NOTES)), 0, PITCHES - 1).astype(int)
        onset = np.sort(rng.uniform(0, SECONDS * 1000 - 3000, NOTES))
        length = np.clip(rng.lognormal(math.log(300), 0.8, NOTES), 30, 3000)
        reference[f"{i:04}.wav"] = _as_dicts(pitch, onset, onset + length)
        kept = rng.random(NOTES) >= 0.15
        inserted = rng.choice(NOTES, size=int(0.15 * NOTES), replace=False)
        estimated_pitch = np.concatenate(
            [pitch[kept], np.clip(pitch[inserted] + rng.choice([-12, 12]), 0, PITCHES - 1)]
        )
        estimated_onset = np.concatenate([onset[kept], rng.uniform(0, 117000, len(inserted))])
        estimated_onset = np.maximum(0, estimated_onset + rng.normal(0, 25, len(estimated_onset)))
        estimated_length = np.concatenate([length[kept], length[inserted]])
        estimated_length += rng.normal(0, 60, len(estimated_onset))
        estimate[f"{i:04}.wav"] = _as_dicts(
            estimated_pitch, estimated_onset, estimated_onset + np.maximum(estimated_length, 30)
        )
    return reference, estimate


def _as_dicts(
    pitch: npt.NDArray[np.integer],
    onset: npt.NDArray[np.floating],
    offset: npt.NDArray[np.floating],
) -> list[dict[str, Any]]:
    return [
        {"label": str(p), "start": float(start), "end": float(end)}
        for p, start, end in zip(pitch, onset, offset, strict=True)
    ]


def random_probabilities(
    rng: np.random.Generator, events: EventArrays, n_clips: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """(n_frames, n_labels) around 0.8 within the events and 0.1 elsewhere, noisy."""
    per_clip = round(SECONDS * 1000 / HOP_MS)
    bounds = np.arange(n_clips + 1, dtype=np.int64) * per_clip
    times = np.tile(np.arange(per_clip) * HOP_MS + HOP_MS / 2, n_clips)
    level = np.full((n_clips * per_clip, PITCHES), 0.1, dtype=np.float32)
    first = np.minimum((events.onset_ms / HOP_MS).astype(int), per_clip - 1)
    last = np.minimum((events.offset_ms / HOP_MS).astype(int), per_clip - 1)
    for clip, label, start, end in zip(events.clip, events.label, first, last, strict=True):
        level[clip * per_clip + start : clip * per_clip + end + 1, label] = 0.8
    level += 0.17 * rng.standard_normal(level.shape, dtype=np.float32)
    return np.clip(level, 0, 1), bounds, times


def timed(work: Callable[[], Any], repeats: int) -> float:
    """Median of the seconds that it takes."""
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def agree(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> bool:
    """Whether every number of sed_eval's is the same in ours, to 1e-9."""
    for key, value in theirs.items():
        if isinstance(value, Mapping):
            if not agree(ours[key], value):
                return False
        elif not (
            math.isclose(ours[key], value, rel_tol=1e-9, abs_tol=1e-9)
            or (math.isnan(ours[key]) and math.isnan(value))
        ):
            return False
    return True


def main() -> None:
    """Runs all and prints two tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=185)
    parser.add_argument("--sed-eval-clips", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    console = Console()
    rng = np.random.default_rng(2021)
    labels = [str(pitch) for pitch in range(PITCHES)]
    reference, estimate = random_notes(rng, args.clips)
    clips = list(reference)
    few = clips[: args.sed_eval_clips]
    console.print(
        f"{args.clips} clips of {SECONDS:.0f} s, {NOTES} notes each. sed_eval is measured on "
        f"{len(few)} of them and its time multiplied by {args.clips / len(few):g}."
    )
    table = Table(title=f"event_scores against sed_eval, aim {AIM}")
    for column in ("score", "sed_eval s", "lists s", "ratio", "arrays s", "ratio", "equal"):
        left = column == "score"
        table.add_column(column, justify="left" if left else "right", overflow="fold")
    truth = EventArrays.from_mapping(reference, clips, labels)
    found = EventArrays.from_mapping(estimate, clips, labels)
    totals = np.zeros(3)
    all_equal = True
    for name in SCORES:
        part = [{clip: lists[clip] for clip in few} for lists in (reference, estimate)]
        start = time.perf_counter()
        theirs = sed_eval_scores(part[0], part[1], labels, name)
        slow = (time.perf_counter() - start) * args.clips / len(few)
        equal = agree(event_scores(part[0], part[1], labels, name), theirs)
        all_equal &= equal
        score = get_event_score(name)
        from_lists = timed(partial(event_scores, reference, estimate, labels, name), args.repeats)
        from_arrays = timed(partial(score, truth, found, labels), args.repeats)
        totals += [slow, from_lists, from_arrays]
        table.add_row(name, *_row(slow, from_lists, from_arrays), str(equal))
    table.add_row("all four", *_row(*totals.tolist()), str(all_equal))
    console.print(table)

    n_valid = min(VALID_CLIPS, len(clips))
    truth = truth.take(truth.clip < n_valid)
    probabilities, bounds, times = random_probabilities(rng, truth, n_valid)
    console.print(validation_table(truth, probabilities, bounds, times, labels, args.repeats))
    if not all_equal:
        raise SystemExit("The scores differ from sed_eval's.")


def _row(slow: float, from_lists: float, from_arrays: float) -> list[str]:
    cells = [f"{slow:.0f}"]
    for fast in (from_lists, from_arrays):
        cells += [f"{fast:.3f}", f"{slow / fast:.0f}"]
    return cells


def validation_table(
    truth: EventArrays,
    probabilities: npt.NDArray[np.float32],
    bounds: npt.NDArray[np.int64],
    times: npt.NDArray[np.float64],
    labels: list[str],
    repeats: int,
) -> Table:
    """What the steps of one validation pass take."""
    scores = [get_event_score(name) for name in SCORES]

    def frames() -> list[EventArrays]:
        return events_from_frames(probabilities, bounds, times, DEFAULT_POSTPROCESSING)

    ways = frames()
    steps: dict[str, Callable[[], Any]] = {
        "events from frames, 2 ways": frames,
        "first score, 2 ways": lambda: [scores[0](truth, way, labels) for way in ways],
        "all four scores, 2 ways": lambda: [s(truth, way, labels) for s in scores for way in ways],
    }
    shape = f"{len(bounds) - 1} clips, {probabilities.shape[0]} frames, {len(labels)} labels"
    table = Table(title=f"one validation pass: {shape}, {len(ways[0])} events")
    for column in ("step", "s", "aim"):
        table.add_column(column, justify="left" if column == "step" else "right")
    seconds = {name: timed(work, repeats) for name, work in steps.items()}
    for name, taken in seconds.items():
        table.add_row(name, f"{taken:.3f}", "")
    whole = seconds["events from frames, 2 ways"] + seconds["all four scores, 2 ways"]
    table.add_row("events and all scores", f"{whole:.3f}", "1.000")
    return table


if __name__ == "__main__":
    main()
