"""The polyphonic sound detection score against sed_scores_eval.

    python benchmarks/psds.py [--clips 21] [--seconds 120] [--labels 88] [--their-seconds 20]
        [--repeats 3]
    python benchmarks/psds.py --record tests/fixtures/psds/sed_scores_eval.json

Made at random: clips of 2400 frames at a hop of 50 ms with up to 1200 notes of 88 pitches each, as
in MAESTRO, 50 400 frames in all, and the probabilities of a mediocre model. hearbench scores all of
them. sed_scores_eval scores label by label in each clip, and its time grows faster than a clip's
length. It is measured on one clip, of psds2 on the first seconds of it, without the labels that
have no event there, and multiplied by how many times more frames and labels there are in all. For
psds2 that favors it much. Both must agree on that part to 1e-9. Both run in this process, one after
the other, on the same numbers. Times are processor time: of hearbench a median, of sed_scores_eval
a single run.

With ``--record``, small random cases and what sed_scores_eval says of them are written instead, for
the tests. Either way sed_scores_eval must be installed, see `sed_scores_eval_psds`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from sed_scores_eval_psds import SETTINGS, ClipScores, sed_scores_eval_psds

from hearbench.metrics import get_event_score
from hearbench.metrics.event_lists import EventArrays
from hearbench.metrics.frame_arrays import FrameArrays

HOP_MS = 50.0
NOTES_PER_S = 10.0
AIM = 20
_CASES = 40


def random_clip(rng: np.random.Generator, seconds: float, labels: list[str]) -> ClipScores:
    """Notes that don't overlap, and probabilities that are higher within most of them."""
    n_frames = round(seconds * 1000 / HOP_MS)
    edges_s = np.arange(n_frames + 1) * HOP_MS / 1000
    probabilities = np.clip(
        0.08 + 0.06 * rng.standard_normal((n_frames, len(labels))), 0, 1
    ).astype(np.float32)
    free = np.zeros(len(labels))
    events = []
    onsets = np.sort(rng.uniform(0, seconds - 0.5, round(NOTES_PER_S * seconds)))
    for onset in onsets.round(3).tolist():
        label = int(
            np.clip(round(rng.normal(len(labels) / 2, len(labels) / 6)), 0, len(labels) - 1)
        )
        if onset <= free[label]:
            continue
        offset = round(onset + float(np.clip(rng.lognormal(-1.2, 0.8), 0.03, 3)), 3)
        free[label] = offset
        events.append((onset, offset, labels[label]))
        if rng.random() < 0.85:
            late = rng.normal(0, 0.03)
            some = slice(max(0, int((onset + late) * 20)), int((offset + late) * 20) + 1)
            probabilities[some, label] += np.float32(rng.uniform(0.1, 0.9))
    return ClipScores(edges_s, np.clip(probabilities, 0, 1), events)


def first_seconds(
    clip: ClipScores, seconds: float, labels: list[str]
) -> tuple[ClipScores, list[str]]:
    """A clip's beginning, with those labels that have an event there."""
    n_frames = round(seconds * 1000 / HOP_MS)
    events = [event for event in clip.events if event[1] <= seconds]
    there = [label for label in labels if any(event[2] == label for event in events)]
    columns = [labels.index(label) for label in there]
    frames = clip.probabilities[:n_frames, columns]
    return ClipScores(clip.edges_s[: n_frames + 1], frames, events), there


def as_arrays(clips: list[ClipScores], labels: list[str]) -> tuple[EventArrays, FrameArrays]:
    """The same as hearbench takes it."""
    reference = EventArrays.from_rows(
        (i, labels.index(label), 1000 * onset, 1000 * offset)
        for i, clip in enumerate(clips)
        for onset, offset, label in clip.events
    )
    bounds = np.cumsum([0, *(len(clip.probabilities) for clip in clips)], dtype=np.int64)
    centers = [500 * (clip.edges_s[1:] + clip.edges_s[:-1]) for clip in clips]
    probabilities = np.concatenate([clip.probabilities for clip in clips])
    return reference, FrameArrays(probabilities, bounds, np.concatenate(centers))


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Processor time in seconds, and what came out."""
    start = time.process_time()
    found = work()
    return time.process_time() - start, found


@dataclass(frozen=True)
class Measured:
    """sed_scores_eval on part of a clip.

    Attributes:
        what: The part, for the table.
        cells: Its frames times its labels.
        off_by: The largest difference of the score, and of those of labels.
    """

    what: str
    cells: int
    seconds: float
    off_by: float


def compare(name: str, clip: ClipScores, seconds: float, labels: list[str]) -> Measured:
    """Scores a clip's beginning by both."""
    part, some = first_seconds(clip, seconds, labels)
    taken, theirs = timed(partial(sed_scores_eval_psds, [part], some, SETTINGS[name]))
    ours = get_event_score(name).parts(*as_arrays([part], some), some)
    per_label = {label: parts["psds"] for label, parts in ours["per_label"].items()}
    differences = [abs(per_label[label] - value) for label, value in theirs["per_label"].items()]
    n_frames = len(part.probabilities)
    return Measured(
        f"{n_frames} x {len(some)}",
        n_frames * len(some),
        taken,
        max(abs(ours["psds"] - theirs["psds"]), *differences),
    )


def small_case(rng: np.random.Generator) -> dict[str, Any]:
    """Some clips of a few frames and labels, with ties in the probabilities, as JSON.

    Frames are so long that a false positive is worth some 10 per hour.
    """
    labels = [f"l{i}" for i in range(int(rng.integers(2, 5)))]
    hop_ms = float(rng.choice([1000.0, 2500.0, 6400.0]))
    levels = int(rng.choice([4, 20, 100]))
    clips: list[dict[str, Any]] = []
    for n_frames in rng.integers(4, 25, int(rng.integers(2, 7))).tolist():
        probabilities = rng.integers(0, levels // 2 + 1, (n_frames, len(labels)))
        events = []
        for i, label in enumerate(labels):
            # The first clip has all labels. Times are in fifths of a frame.
            start = int(rng.integers(0, 8 if not clips else 80))
            while start < 5 * n_frames - 1:
                end = start + int(rng.integers(1, 40))
                events.append(
                    {"label": label, "start": start * hop_ms / 5, "end": end * hop_ms / 5}
                )
                probabilities[start // 5 : end // 5 + 1, i] += rng.integers(0, levels // 2 + 1)
                start = end + int(rng.integers(1, 80))
        clips.append(
            {
                "timestamps_ms": [(i + 0.5) * hop_ms for i in range(n_frames)],
                "edges_ms": [i * hop_ms for i in range(n_frames + 1)],
                "levels": np.minimum(probabilities, levels).tolist(),
                "events": events,
            }
        )
    return {"labels": labels, "highest_level": levels, "clips": clips}


def record(file: Path) -> None:
    """Writes small cases and sed_scores_eval's answers."""
    rng = np.random.default_rng(2022)
    cases: list[dict[str, Any]] = []
    while len(cases) < _CASES:
        case = small_case(rng)
        clips = [
            ClipScores(
                np.array(clip["edges_ms"]) / 1000,
                np.array(clip["levels"]) / case["highest_level"],
                [(e["start"] / 1000, e["end"] / 1000, e["label"]) for e in clip["events"]],
            )
            for clip in case["clips"]
        ]
        try:
            found = {
                name: sed_scores_eval_psds(clips, case["labels"], settings)
                for name, settings in SETTINGS.items()
            }
        except (AssertionError, IndexError):
            continue  # It fails where nothing changes for a label at any threshold.
        cases.append({**case, "scores": found})
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(
        json.dumps(cases, separators=(",", ":")).replace('{"labels"', '\n{"labels"') + "\n"
    )


def main() -> None:
    """Prints a table, or records cases."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=21)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--labels", type=int, default=88)
    parser.add_argument("--their-seconds", type=float, default=20.0)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--record", type=Path)
    args = parser.parse_args()
    if args.record:
        record(args.record)
        return
    console = Console(width=110)
    rng = np.random.default_rng(2022)
    labels = [str(i) for i in range(args.labels)]
    clips = [random_clip(rng, args.seconds, labels) for _ in range(args.clips)]
    reference, frames = as_arrays(clips, labels)
    n_frames = len(frames.timestamps_ms)
    console.print(
        f"{args.clips} clips of {args.seconds:g} s, {n_frames} frames, {len(labels)} labels, "
        f"{len(reference)} events."
    )
    table = Table(title=f"PSDS against sed_scores_eval, aim {AIM}")
    for column in ("score", "value", "measured on", "scaled s", "hearbench s", "ratio", "off by"):
        table.add_column(column, justify="left" if column == "score" else "right")
    failed = False
    compare("psds1", clips[0], 1.0, labels)  # loads the modules of both
    for name, their_seconds in (("psds1", args.seconds), ("psds2", args.their_seconds)):
        measured = compare(name, clips[0], their_seconds, labels)
        slow = measured.seconds * n_frames * len(labels) / measured.cells
        score = get_event_score(name)
        runs = [timed(partial(score, reference, frames, labels)) for _ in range(args.repeats)]
        fast = statistics.median(run[0] for run in runs)
        failed |= measured.off_by > 1e-9 or slow / fast < AIM
        cells = [f"{runs[0][1]:.4f}", measured.what, f"{slow:.0f}", f"{fast:.2f}"]
        table.add_row(name, *cells, f"{slow / fast:.0f}", f"{measured.off_by:.1e}")
    console.print(table)
    if failed:
        raise SystemExit("The scores differ, or the ratio is too small.")


if __name__ == "__main__":
    main()
