"""Tasks of the tests whose targets are numbers."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import soundfile

from hearbench.tasks.from_csv import prepare_from_csv
from hearbench.tasks.own_recipe import OwnTask
from hearbench.workspace import Workspace

__all__ = ["make_regression_task"]


def make_regression_task(folder: Path, n_clips: int, *, sample_rate: int = 16000) -> Path:
    """Makes a task of tones in noise, which asks for their frequency in Hz and level in dB."""
    rng = np.random.default_rng(0)
    (folder / "audio").mkdir(parents=True)
    time_s = np.arange(sample_rate // 4) / sample_rate
    with (folder / "clips.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "f0_hz", "level_db"])
        for i in range(n_clips):
            f0_hz, level_db = float(rng.uniform(200, 4000)), float(rng.uniform(-40, -10))
            wave = np.sin(2 * np.pi * f0_hz * time_s) + 0.01 * rng.standard_normal(len(time_s))
            soundfile.write(
                folder / "audio" / f"{i:03}.wav", 10 ** (level_db / 20) * wave, sample_rate
            )
            writer.writerow([f"{i:03}.wav", f0_hz, level_db])
    return prepare_from_csv(
        folder / "clips.csv",
        folder / "audio",
        OwnTask("tones", targets=("f0_hz", "level_db")),
        folder,
        workspace=Workspace(folder / "prepared", "cpu", 1),
    )
