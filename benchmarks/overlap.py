"""Copies of test clips planted among other audio: found, false alarms, time per 1000 clips.

python benchmarks/overlap.py tasks/esc10-1.0.0-full corpora/free-spoken-digit-dataset
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hearbench.audio import read_mono16, write_wav16
from hearbench.overlap import Overlap, find_overlap
from hearbench.overlap.search import audio_files
from hearbench.perturb import ClipSource, Perturbation
from hearbench.tasks.store import PreparedTask, load_task
from hearbench.worker.memory import peak_resident_mb
from hearbench.workspace import Workspace

KINDS = (
    "codec=mp3:64",
    "gain=-20",
    "rate=8000",
    "noise=white:20",
    "codec=mp3:64+gain=-12+noise=white:20",
)
"""What is done to copies, all of which are cut as well."""

Samples = npt.NDArray[np.int16]


@dataclass(frozen=True)
class Planted:
    """A copy of a clip's part, in a file of its own or between other sounds."""

    file: str
    clip: str
    kind: str


def cut(x: Samples, rate: int, random: np.random.RandomState) -> Samples:
    """A part of 1 to 3 s in which the clip is heard.

    Of all parts of its length it has at least half of the energy that the loudest has.
    """
    n = min(round(rate * random.uniform(1, 3)), len(x))
    energy = np.concatenate(([0.0], np.cumsum(x.astype(float) ** 2)))
    of_part = energy[n:] - energy[: len(energy) - n]
    begin = random.choice(np.flatnonzero(of_part >= of_part.max() / 2))
    return x[begin : begin + n]


def plant(task: PreparedTask, folder: Path, n_copies: int, seed: int = 0) -> Iterator[Planted]:
    """Writes disturbed parts of a task's test clips into a folder, every other between noise."""
    random = np.random.RandomState(seed)
    rate = max(task.sample_rates)
    paths = [
        (split, path)
        for split in dict.fromkeys(fold.test for fold in task.folds())
        for path in task.audio_paths(split, rate)
    ]
    for i, chosen in enumerate(random.permutation(len(paths))[:n_copies]):
        split, path = paths[chosen]
        kind = KINDS[i % len(KINDS)]
        x, _ = read_mono16(path)
        source = ClipSource(task.name, path.name, lambda _random, _n: [])
        copy = Perturbation.parse(kind).apply(cut(x, rate, random), rate, source)
        if i % 2:
            level = 0.3 * float(np.sqrt(np.mean(copy.astype(float) ** 2)))
            around = (random.standard_normal((2, 2 * rate)) * level).astype(np.int16)
            copy = np.concatenate([around[0], copy, around[1]])
        name = f"copy-{i:04d}.wav"
        write_wav16(folder / name, copy, rate, durable=False)
        yield Planted(name, f"{split}/{path.name}", kind)


def missed(planted: Sequence[Planted], found: Overlap) -> list[Planted]:
    """The copies that weren't found."""
    pairs = {(copy.file, copy.clip) for copy in found.copies}
    return [one for one in planted if (one.file, one.clip) not in pairs]


def main() -> None:
    """Plants copies among all audio of the folders, searches, prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("task")
    parser.add_argument("others", type=Path, nargs="+", help="folders of audio without the clips")
    parser.add_argument("--copies", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        workspace = Workspace(cache_dir=Path(work) / "cache")
        task = load_task(given.task, workspace=workspace)
        folder = Path(work) / "audio"
        folder.mkdir()
        for i, other in enumerate(given.others):
            for j, path in enumerate(audio_files(other)):
                shutil.copyfile(path, folder / f"other-{i}-{j:06d}{path.suffix}")
        planted = list(plant(task, folder, given.copies, given.seed))
        begun, worked = time.perf_counter(), time.process_time()
        found = find_overlap(folder, task, workspace)
        took_s, work_s = time.perf_counter() - begun, time.process_time() - worked
    right = {(one.file, one.clip) for one in planted}
    false = [copy for copy in found.copies if (copy.file, copy.clip) not in right]
    lost = missed(planted, found)
    print(
        f"{task.name}: {len(planted) - len(lost)} of {len(planted)} copies found among "
        f"{found.n_files} files; {len(false)} other pairs"
    )
    print(
        f"{1000 * took_s / found.n_files:.1f} s per 1000 files with the index of {found.n_clips} "
        f"clips, {work_s:.1f} s of the processor in all; peak memory "
        f"{peak_resident_mb() or 0.0:.0f} MiB"
    )
    for one in lost:
        print(f"  missed: {one.kind} of {one.clip}")
    for copy in false:
        print(f"  other: {copy}")


if __name__ == "__main__":
    main()
