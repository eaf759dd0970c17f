"""DCASE 2016 task 2: office sounds in synthetic mixtures, with their onsets and offsets.

Page: https://archive.org/details/dcase2016_task2_train_dev. Paper: A. Mesaros, T. Heittola,
E. Benetos, P. Foster, M. Lagrange, T. Virtanen and M. D. Plumbley, "Detection and Classification
of Acoustic Scenes and Events: Outcome of the DCASE 2016 Challenge", IEEE/ACM TASLP 26(2), 2018.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from hearbench.errors import TaskError
from hearbench.tasks.clips import Clip
from hearbench.tasks.corpora import RawCorpus
from hearbench.tasks.corpora.files import FilesByName, files_below
from hearbench.tasks.corpora.tables import read_rows

__all__ = ["clips"]

_MS_PER_S = 1000


def clips(corpus: RawCorpus) -> Iterator[Clip]:
    """The events of all mixtures of all parts; the task cuts the splits out of the whole.

    Layout: ``annotation/<name>.txt`` (tab-separated onset and offset in seconds, and label, no
    header) and ``sound/<name>.wav``. A mixture without events has no row.

    Raises:
        TaskError: A part has no annotations, or one that can't be used.
    """
    for part in corpus.parts:
        tables = [
            path
            for path in files_below(part.folder)
            if path.suffix == ".txt" and path.parent.name == "annotation"
        ]
        if not tables:
            raise TaskError(
                f"The corpus has no annotations below {part.folder}; they should lie in a folder "
                "'annotation', a text file for every mixture in the folder 'sound' beside it."
            )
        audio = FilesByName(part.folder)
        for table in tables:
            yield from _events(table, audio)


def _events(table: Path, audio: FilesByName) -> Iterator[Clip]:
    path = audio.get(table.parent.parent / "sound" / f"{table.stem}.wav")
    for row in read_rows(table, ("onset", "offset", "label"), delimiter="\t", header=False):
        onset_s, offset_s = row.number("onset"), row.number("offset")
        if onset_s < 0:
            raise row.error("onset", "a time in seconds from 0 on")
        if offset_s < onset_s:
            raise row.error("offset", f"a time in seconds from the onset, {onset_s:g}, on")
        yield Clip(
            path=path,
            filestem=path.stem,
            label=row.text("label"),
            start_ms=onset_s * _MS_PER_S,
            end_ms=offset_s * _MS_PER_S,
        )
