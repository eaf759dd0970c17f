"""The task `pitches`: the frequency of a tone, which its file's name says."""

from collections.abc import Iterator
from pathlib import Path

from hearbench.tasks.catalog import TaskSpec
from hearbench.tasks.clips import Clip
from hearbench.tasks.corpora import RawCorpus


def task() -> TaskSpec:
    """The facts."""
    return TaskSpec.from_toml(Path(__file__).with_name("pitches.toml"))


def clips(corpus: RawCorpus) -> Iterator[Clip]:
    """The clips of a corpus whose files are called ``<Hz>.wav``."""
    for path in sorted(corpus.folder("train").rglob("*.wav")):
        yield Clip(path, path.stem, "pitch_hz", value=float(path.stem))
