"""Mridangam Stroke: single strokes on mridangams tuned to six tonics.

Page: https://zenodo.org/record/4068196. Paper: A. Anantapadmanabhan, A. Bellur and H. A. Murthy,
"Modal Analysis and Transcription of Strokes of the Mridangam Using Non-negative Matrix
Factorization", ICASSP 2013.
"""

from __future__ import annotations

from collections.abc import Iterator

from hearbench.errors import TaskError
from hearbench.tasks.clips import Clip
from hearbench.tasks.corpora import RawCorpus
from hearbench.tasks.corpora.files import audio_files, clips_by_name

__all__ = ["clips"]

_FROM_END = {"stroke": -3, "tonic": -2}
_FIELDS = 3


def clips(corpus: RawCorpus) -> Iterator[Clip]:
    """The strokes, labelled by their kind or by the instrument's tonic.

    Layout: WAV files named like ``224030__akshaylaya__bheem-b-001.wav``. Of the ``-`` parts of
    what follows the last ``__``, the third to last is the stroke, the second to last the tonic.
    Option: ``label``, ``stroke`` or ``tonic``.

    Raises:
        TaskError: Some names aren't like that, or the option is neither.
    """
    which = corpus.option("label", str)
    if which not in _FROM_END:
        raise TaskError(
            f"The strokes of the mridangam have the labels {' and '.join(_FROM_END)}, not "
            f"{which!r}; change the option 'label' in the task's description."
        )

    def label(stem: str) -> str | None:
        _, found, last = stem.rpartition("__")
        fields = last.split("-")
        return fields[_FROM_END[which]] if found and len(fields) >= _FIELDS else None

    paths = [path for part in corpus.parts for path in audio_files(part.folder)]
    return clips_by_name(paths, label, "224030__akshaylaya__bheem-b-001.wav")
