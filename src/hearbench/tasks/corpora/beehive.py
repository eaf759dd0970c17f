"""Beehive states: ten-minute recordings of beehives with and without their queen.

Page: https://zenodo.org/record/2667806. Paper: I. Nolasco, A. Terenzi, S. Cecchi, S. Orcioni,
H. Bear and E. Benetos, "Audio-based Identification of Beehive States", ICASSP 2019.
"""

from __future__ import annotations

from collections.abc import Iterator

from hearbench.errors import TaskError
from hearbench.tasks.clips import Clip
from hearbench.tasks.corpora import RawCorpus
from hearbench.tasks.corpora.files import audio_files

__all__ = ["clips"]


def clips(corpus: RawCorpus) -> Iterator[Clip]:
    """The clips of two hives, one for training and one for the test.

    Layout: parts whose split is the hive's name, each with WAV files anywhere below. ``NO`` in a
    file's name (``Hive1_31_05_2018_NO_QueenBee____17_30_00.wav``) means ``NOQUEEN``; every other
    is ``QUEEN``. Options: ``train_hive`` and ``test_hive``, such as ``hive1`` and ``hive3``.

    Raises:
        TaskError: A hive has no part, or no recording.
    """
    for option, split in (("train_hive", "train"), ("test_hive", "test")):
        hive = corpus.option(option, str)
        paths = [
            path for part in corpus.parts if part.split == hive for path in audio_files(part.folder)
        ]
        if not paths:
            there = ", ".join(sorted({str(part.split) for part in corpus.parts})) or "none"
            raise TaskError(
                f"The corpus has no WAV file of {hive!r}, which {split} is made of; the hives "
                f"whose archives are here: {there}."
            )
        for path in paths:
            label = "NOQUEEN" if "NO" in path.name else "QUEEN"
            yield Clip(path, path.stem, label, split=split)
