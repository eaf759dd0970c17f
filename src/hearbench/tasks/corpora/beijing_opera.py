"""Beijing Opera percussion: single strokes of four instruments.

Page: https://zenodo.org/record/1285212. Paper: M. Tian, A. Srinivasamurthy, M. Sandler and
X. Serra, "A Study of Instrument-wise Onset Detection in Beijing Opera Percussion Ensembles",
ICASSP 2014.
"""

from __future__ import annotations

from collections.abc import Iterator

from hearbench.tasks.clips import Clip
from hearbench.tasks.corpora import RawCorpus
from hearbench.tasks.corpora.files import audio_files, clips_by_name

__all__ = ["clips"]

_FIELDS = 2


def clips(corpus: RawCorpus) -> Iterator[Clip]:
    """The strokes, labelled by their instrument.

    Layout: WAV files named like ``222136__ajaysm__bangu-05.wav``; the label is the second to last
    ``-`` part of what follows the last ``__``.

    Raises:
        TaskError: Some names aren't like that.
    """
    paths = [path for part in corpus.parts for path in audio_files(part.folder)]
    return clips_by_name(paths, _label, "222136__ajaysm__bangu-05.wav")


def _label(stem: str) -> str | None:
    _, found, last = stem.rpartition("__")
    fields = last.split("-")
    return fields[-2] if found and len(fields) >= _FIELDS else None
