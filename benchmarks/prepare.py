"""Clips per second of a preparation against a plain script that starts ffmpeg for every step.

    python benchmarks/prepare.py [--audio DIR] [--clips N] [--duration S] [--rates 16000,...]

The plain script does for every clip what a pipeline of command lines does: ask ffprobe what the
file is, make it mono and 16 bits, ask again, cut or pad it, ask again, resample it to every rate,
and ask what came out. It runs as many clips at a time as there are cores, and so does hearbench,
which reads the clips, orders and splits them and writes the whole task. Both make the same
samples, which is checked; ffmpeg resamples in float64 for that, as libsoxr otherwise dithers at
random. It must have been built with libsoxr, as Debian's is.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import soundfile
from rich.console import Console
from rich.table import Table

from hearbench.tasks.clips import Clip
from hearbench.tasks.prepare import prepare_task
from hearbench.tasks.recipe import Recipe
from hearbench.workspace import Workspace, available_cores

RATES = (16000, 22050, 32000, 44100, 48000)
AIM = 30


def main() -> None:
    """Times both by turns and prints one table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--audio", type=Path, help="a folder of WAV files instead of noise")
    parser.add_argument("--clips", type=int, default=1000, help="that hearbench prepares")
    parser.add_argument("--plain-clips", type=int, default=20, help="that the plain script does")
    parser.add_argument("--duration", type=float, default=0.56, help="of every clip, in s")
    parser.add_argument("--rates", default=",".join(map(str, RATES)))
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    if not all(map(shutil.which, ("ffmpeg", "ffprobe"))):
        sys.exit("ffmpeg and ffprobe are needed; on Debian: apt-get install ffmpeg")
    rates = tuple(int(rate) for rate in args.rates.split(","))
    workers = available_cores()

    with tempfile.TemporaryDirectory(prefix="hearbench-bench-") as name:
        folder = Path(name)
        sources = sorted(args.audio.rglob("*.wav")) if args.audio else noise(folder, args)
        sources = sources[: args.clips]
        some = sources[: args.plain_clips]
        plain, ours = [], []
        for turn in range(args.repeats):
            begin = time.perf_counter()
            plain_script(some, folder / f"plain{turn}", args.duration, rates, workers)
            plain.append(len(some) / (time.perf_counter() - begin))
            begin = time.perf_counter()
            task = prepared(sources, folder / f"ours{turn}", args.duration, rates, workers)
            ours.append(len(sources) / (time.perf_counter() - begin))
        compared = check_equal(some, folder / "plain0", task, rates)

    table = Table(title=f"Preparation at {len(rates)} rates, {workers} clips at a time")
    for column in ("", "clips", "clips/s (median)", "lowest", "highest"):
        table.add_column(column, justify="left" if not column else "right")
    for what, count, speeds in (
        ("plain script", len(some), plain),
        ("hearbench", len(sources), ours),
    ):
        middle = sorted(speeds)[len(speeds) // 2]
        table.add_row(what, str(count), f"{middle:.1f}", f"{min(speeds):.1f}", f"{max(speeds):.1f}")
    console = Console()
    console.print(table)
    ratio = sorted(ours)[len(ours) // 2] / sorted(plain)[len(plain) // 2]
    console.print(
        f"ratio {ratio:.0f}x (at least {AIM}x wanted); {compared} files equal bit for bit"
    )


def noise(folder: Path, args: argparse.Namespace) -> list[Path]:
    """Clips of different lengths, 44.1 kHz, 16-bit mono."""
    rng = np.random.default_rng(1)
    paths = []
    (folder / "noise").mkdir()
    for i in range(args.clips):
        x = rng.normal(0, 3000, int(44100 * args.duration * rng.uniform(0.5, 1.5)))
        paths.append(folder / "noise" / f"clip{i:05d}.wav")
        soundfile.write(paths[-1], x.astype(np.int16), 44100, subtype="PCM_16")
    return paths


def prepared(
    sources: list[Path], out: Path, duration_s: float, rates: tuple[int, ...], workers: int
) -> Path:
    """The task that hearbench makes of the clips."""
    rows = [Clip(path, path.stem, f"label{i % 2}") for i, path in enumerate(sources)]
    recipe = Recipe(
        name="bench",
        version="1",
        mode="small",
        embedding_type="scene",
        prediction_type="multiclass",
        split_mode="trainvaltest",
        sample_duration_s=duration_s,
        scores=("top1_acc",),
        sample_rates=rates,
    )
    workspace = Workspace(out / "cache", workers=workers)
    return prepare_task(rows, recipe, out, workspace=workspace)


def plain_script(
    sources: list[Path], out: Path, duration_s: float, rates: tuple[int, ...], workers: int
) -> None:
    """A program started for every step of every clip."""
    out.mkdir()
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(lambda path: plain_clip(path, out, duration_s, rates), sources))


def plain_clip(path: Path, out: Path, duration_s: float, rates: tuple[int, ...]) -> None:
    """One clip, step by step."""
    probe(path)
    mono, cut = out / f"{path.stem}.mono.wav", out / f"{path.stem}.cut.wav"
    ffmpeg(path, "-ac", "1", "-c:a", "pcm_s16le", mono)
    rate = int(probe(mono)["streams"][0]["sample_rate"])
    samples = int(duration_s * rate + 0.5)
    ffmpeg(
        mono,
        "-af",
        f"apad=whole_len={samples},atrim=end_sample={samples}",
        "-c:a",
        "pcm_s16le",
        cut,
    )
    probe(cut)
    for target in rates:
        made = out / str(target) / f"{path.stem}.wav"
        made.parent.mkdir(exist_ok=True)
        ffmpeg(
            cut,
            "-af",
            f"aresample=resampler=soxr:internal_sample_fmt=dblp:out_sample_rate={target}",
            "-c:a",
            "pcm_s16le",
            made,
        )
        probe(made)


def ffmpeg(source: Path, *args: str | Path) -> None:
    """Runs ffmpeg from one file to another."""
    begin = ["ffmpeg", "-nostdin", "-loglevel", "error", "-y", "-i", str(source)]
    subprocess.run([*begin, *map(str, args)], check=True)


def probe(path: Path) -> dict[str, list[dict[str, str]]]:
    """What ffprobe says about a file."""
    command = ["ffprobe", "-v", "error", "-show_streams", "-of", "json", str(path)]
    answer: dict[str, list[dict[str, str]]] = json.loads(
        subprocess.run(command, check=True, capture_output=True).stdout
    )
    return answer


def check_equal(some: list[Path], plain: Path, task: Path, rates: tuple[int, ...]) -> int:
    """Ends the program if both made different samples; how many files were compared."""
    ours = {(path.parent.parent.name, path.name): path for path in task.rglob("*.wav")}
    compared = 0
    for source in some:
        for rate in rates:
            theirs, _ = soundfile.read(plain / str(rate) / f"{source.stem}.wav", dtype="int16")
            mine, _ = soundfile.read(ours[str(rate), f"{source.stem}.wav"], dtype="int16")
            if not np.array_equal(theirs, mine):
                sys.exit(f"{source.name} at {rate} Hz differs from what ffmpeg made")
            compared += 1
    return compared


if __name__ == "__main__":
    main()
