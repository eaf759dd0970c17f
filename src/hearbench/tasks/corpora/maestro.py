"""MAESTRO: piano performances with the notes that the instrument itself recorded.

Page: https://magenta.tensorflow.org/datasets/maestro. Paper: C. Hawthorne, A. Stasyuk,
A. Roberts, I. Simon, C.-Z. A. Huang, S. Dieleman, E. Elsen, J. Engel and D. Eck, "Enabling
Factorized Piano Music Modeling and Generation with the MAESTRO Dataset", ICLR 2019.

A note that sounds while the pedal is down lasts until the pedal goes up, or until the same pitch
is struck again; this is the rule of the Onsets and Frames transcription model (C. Hawthorne et
al., ISMIR 2018), by which the notes of MAESTRO are usually counted.
"""

from __future__ import annotations

import io
import logging
import struct
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple

from hearbench.errors import HearError, TaskError
from hearbench.files import is_file
from hearbench.tasks.clips import Clip
from hearbench.tasks.corpora import RawCorpus
from hearbench.tasks.corpora.files import find_file
from hearbench.tasks.corpora.tables import Row, read_rows

__all__ = ["Note", "Part", "clips", "hold_notes", "read_notes"]

_LOWEST, _HIGHEST = 21, 108  # the keys of a piano
_MS_PER_S = 1000


def clips(corpus: RawCorpus) -> Iterator[Clip]:
    """The notes of all performances, as events labelled by their MIDI pitch.

    Layout: ``maestro-<version>.csv`` (``audio_filename``, ``midi_filename`` and more), and the
    WAV and MIDI files at these paths beside it. The sustain pedal is applied; other pitches than a
    piano's are dropped. The corpus's splits aren't used, as the task makes folds. Of a recording
    that is missing, the notes aren't read.

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


_SUSTAIN = 64
_DOWN = 64
# Hours of the densest music have a tenth of it.
_MOST_BYTES = 64 << 20
# What mido raises of a damaged file depends on where the damage is.
_DAMAGE = (OSError, EOFError, ValueError, LookupError, TypeError, ArithmeticError, struct.error)


@dataclass(frozen=True)
class Note:
    """A note: its MIDI pitch, and when it starts and ends, in seconds."""

    pitch: int
    start_s: float
    end_s: float


@dataclass(frozen=True)
class Part:
    """The notes that one instrument plays.

    Attributes:
        notes: Its notes, which end where the keys are released.
        pedal: When the sustain pedal moves, in seconds, and whether it is down then.
    """

    notes: Sequence[Note]
    pedal: Sequence[tuple[float, bool]] = ()


class _Kind(IntEnum):
    """Kinds of events, in the order in which simultaneous ones count."""

    PEDAL_DOWN = 0
    PEDAL_UP = 1
    NOTE_ON = 2
    NOTE_OFF = 3


class _Event(NamedTuple):
    time_s: float
    kind: _Kind
    note: int  # an index; 0 for the pedal


def hold_notes(parts: Iterable[Part]) -> list[Note]:
    """Applies the sustain pedal, for each instrument by itself.

    Things that happen at the same time count in this order: the pedal goes down, the pedal goes
    up, keys are struck, keys are released. When the pedal goes up, notes whose keys were released
    before end; those whose keys are down stay. While it is down, a struck key ends whatever of
    its pitch still sounds; what would last no time, as it started right then, is removed. Notes
    that are held to the end of the piece end with its last event, of whichever instrument.

    Returns:
        The notes, in the order that they came in.
    """
    plays = [(part, _events(part)) for part in parts]
    last_s = max((events[-1].time_s for _, events in plays if events), default=0.0)
    return [note for part, events in plays for note in _hold(part.notes, events, last_s)]


def _events(part: Part) -> list[_Event]:
    events = [
        _Event(time_s, _Kind.PEDAL_DOWN if down else _Kind.PEDAL_UP, 0)
        for time_s, down in part.pedal
    ]
    for i, note in enumerate(part.notes):
        events.append(_Event(note.start_s, _Kind.NOTE_ON, i))
        events.append(_Event(note.end_s, _Kind.NOTE_OFF, i))
    return sorted(events)


def _hold(notes: Sequence[Note], events: Iterable[_Event], last_s: float) -> list[Note]:
    ends = [note.end_s for note in notes]
    sounding: dict[int, None] = {}  # indices, in the order that the notes began
    removed: set[int] = set()
    down = False
    for time_s, kind, i in events:
        if kind is _Kind.PEDAL_DOWN:
            down = True
        elif kind is _Kind.PEDAL_UP:
            down = False
            for held in [held for held in sounding if ends[held] < time_s]:
                ends[held] = time_s
                del sounding[held]
        elif kind is _Kind.NOTE_ON:
            if down:
                for same in [same for same in sounding if notes[same].pitch == notes[i].pitch]:
                    ends[same] = time_s
                    del sounding[same]
                    if notes[same].start_s == time_s:
                        removed.add(same)
            sounding[i] = None
        elif not down:
            sounding.pop(i, None)  # it may have been struck again and ended so
    for held in sounding:
        ends[held] = last_s
    return [
        Note(note.pitch, note.start_s, ends[i]) for i, note in enumerate(notes) if i not in removed
    ]


def read_notes(path: Path) -> list[Note]:
    """The notes of a MIDI file, with the sustain pedal applied.

    Raises:
        TaskError: It can't be read.
        HearError: ``pretty_midi`` isn't installed.
    """
    try:
        import pretty_midi
        from mido import KeySignatureError
    except ImportError as error:
        raise HearError(
            "Reading MIDI files needs pretty_midi, which isn't installed. Install it with "
            "`pip install 'hearbench[maestro]'`.",
            code="not_installed",
        ) from error

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            if path.stat().st_size > _MOST_BYTES:
                raise ValueError(f"it has more than {_MOST_BYTES >> 20} MiB")
            # From memory, as of a file on disk mido reserves as much as a header says.
            midi = pretty_midi.PrettyMIDI(io.BytesIO(path.read_bytes()))
        except (*_DAMAGE, KeySignatureError) as error:
            reason = str(error).rstrip(".") or "it is cut off"
            raise TaskError(f"{path} can't be read as MIDI: {reason}.") from error
    for warning in caught:
        logging.getLogger(__name__).warning("%s: %s", path, warning.message)
    return hold_notes(
        Part(
            notes=[
                Note(int(note.pitch), float(note.start), float(note.end))
                for note in instrument.notes
            ],
            pedal=[
                (float(change.time), change.value >= _DOWN)
                for change in instrument.control_changes
                if change.number == _SUSTAIN
            ],
        )
        for instrument in midi.instruments
    )
