"""MAESTRO: piano performances with the notes that the instrument itself recorded.

Page: https://magenta.tensorflow.org/datasets/maestro. Paper: C. Hawthorne, A. Stasyuk,
A. Roberts, I. Simon, C.-Z. A. Huang, S. Dieleman, E. Elsen, J. Engel and D. Eck, "Enabling
Factorized Piano Music Modeling and Generation with the MAESTRO Dataset", ICLR 2019.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from hearbench.errors import TaskError
from hearbench.files import is_file
from hearbench.tasks.clips import Clip
from hearbench.tasks.corpora import RawCorpus
from hearbench.tasks.corpora.files import find_file
from hearbench.tasks.corpora.piano_notes import read_notes
from hearbench.tasks.corpora.tables import Row, read_rows

__all__ = ["clips"]

_LOWEST, _HIGHEST = 21, 108  # the keys of a piano
_MS_PER_S = 1000


def clips(corpus: RawCorpus) -> Iterator[Clip]:
    """The notes of all performances, as events labelled by their MIDI pitch.

    Layout: ``maestro-<version>.csv`` (``audio_filename``, ``midi_filename`` and more), and the
    WAV and MIDI files at these paths beside it. The sustain pedal is applied
    (:mod:`hearbench.tasks.corpora.piano_notes`); other pitches than a piano's are dropped. The
    corpus's splits aren't used, as the task makes folds. Of a recording that is missing, the
    notes aren't read.

    Raises:
        TaskError: The table or a MIDI file is missing or can't be used.
        HearError: ``pretty_midi`` isn't installed.
    """
    for part in corpus.parts:
        table = find_file(part.folder, "maestro*.csv")
        for row in read_rows(table, ("audio_filename", "midi_filename")):
            yield from _notes(row, table.parent)


def _notes(row: Row, folder: Path) -> Iterator[Clip]:
    audio = folder / row.relative_path("audio_filename")
    midi = folder / row.relative_path("midi_filename")
    if not is_file(audio):
        yield Clip(audio, audio.stem, None)
        return
    if not is_file(midi):
        raise TaskError(
            f"{row.path}, line {row.line}: there is no file {midi}, which holds the notes of "
            f"{audio.name}. Is the archive whole?",
            code="not_found",
        )
    for note in read_notes(midi):
        if _LOWEST <= note.pitch <= _HIGHEST:
            yield Clip(
                path=audio,
                filestem=audio.stem,
                label=str(note.pitch),
                start_ms=note.start_s * _MS_PER_S,
                end_ms=note.end_s * _MS_PER_S,
            )
