"""The task `chirps`: its facts are in a TOML file, and its corpus is read here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from hearbench.errors import TaskError
from hearbench.tasks.catalog import TaskSpec
from hearbench.tasks.clips import Clip
from hearbench.tasks.corpora import RawCorpus


def task() -> TaskSpec:
    """The facts."""
    return TaskSpec.from_toml(Path(__file__).with_name("chirps.toml"))


def clips(corpus: RawCorpus) -> Iterator[Clip]:
    """The clips of a corpus whose files are called ``<label>-<bird>-<number>.wav``.

    Clips of one bird share a split.
    """
    separator = corpus.options["separator"]
    for path in sorted(corpus.folder("train").rglob("*.wav")):
        parts = path.stem.split(separator)
        if len(parts) != 3:
            raise TaskError(f"{path} should be called LABEL{separator}BIRD{separator}NUMBER.wav.")
        label, bird, _ = parts
        yield Clip(path, path.stem, label, split_key=bird)
