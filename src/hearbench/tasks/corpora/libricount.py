"""LibriCount: five-second mixtures of up to ten speakers, to be counted.

Page: https://zenodo.org/record/1216072. Paper: F.-R. Stöter, S. Chakrabarty, B. Edler and
E. A. P. Habets, "Classification vs. Regression in Supervised Learning for Single Channel Speaker
Count Estimation", ICASSP 2018.
"""

from __future__ import annotations

from collections.abc import Iterator

from hearbench.tasks.clips import Clip
from hearbench.tasks.corpora import RawCorpus
from hearbench.tasks.corpora.files import audio_files, clips_by_name

__all__ = ["clips"]


def clips(corpus: RawCorpus) -> Iterator[Clip]:
    """The mixtures, labelled by their number of speakers.

    Layout: WAV files named like ``3_21.wav``, with a JSON file each that isn't needed; the label
    is what precedes the first ``_``.

    Raises:
        TaskError: Some names aren't like that.
    """
    paths = [path for part in corpus.parts for path in audio_files(part.folder)]
    return clips_by_name(paths, _label, "3_21.wav")


def _label(stem: str) -> str | None:
    label, found, _ = stem.partition("_")
    return label if found else None
