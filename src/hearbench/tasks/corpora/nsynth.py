"""NSynth: single notes of a thousand instruments, four seconds each.

Page: https://magenta.tensorflow.org/datasets/nsynth. Paper: J. Engel, C. Resnick, A. Roberts,
S. Dieleman, D. Eck, K. Simonyan and M. Norouzi, "Neural Audio Synthesis of Musical Notes with
WaveNet Autoencoders", ICML 2017.
"""

from __future__ import annotations

from collections.abc import Iterator

from hearbench.errors import TaskError
from hearbench.tasks.clips import Clip
from hearbench.tasks.corpora import RawCorpus
from hearbench.tasks.corpora.files import find_file, is_plain_path
from hearbench.tasks.corpora.tables import read_json_object

__all__ = ["clips"]


def clips(corpus: RawCorpus) -> Iterator[Clip]:
    """The notes whose pitch is in range, labelled by it; notes of one instrument belong together.

    Layout: a part per split, each with ``examples.json`` (per note an object with its ``pitch``)
    and ``audio/<note>.wav``, where notes are named like ``bass_synthetic_008-031-075``. Options:
    ``pitch_min`` and ``pitch_max``, MIDI pitches that are both in range, and ``keep_splits``,
    false where the task makes folds of all notes.

    Raises:
        TaskError: A part has no ``examples.json``, or one that can't be used.
    """
    lowest, highest = corpus.option("pitch_min", int), corpus.option("pitch_max", int)
    keep_splits = corpus.option("keep_splits", bool)
    for part in corpus.parts:
        examples = find_file(part.folder, "examples.json")
        for note, facts in read_json_object(examples).items():
            pitch = facts.get("pitch") if isinstance(facts, dict) else None
            if type(pitch) is not int:
                raise TaskError(
                    f"{examples}: the note {note!r} has no integer as its 'pitch', but {pitch!r}."
                )
            if not is_plain_path(note) or "/" in note:
                raise TaskError(f"{examples}: {note!r} can't be the name of a file.")
            if lowest <= pitch <= highest:
                yield Clip(
                    path=examples.parent / "audio" / f"{note}.wav",
                    filestem=note,
                    label=str(pitch),
                    split=part.split if keep_splits else None,
                    split_key=note.partition("-")[0],
                )
