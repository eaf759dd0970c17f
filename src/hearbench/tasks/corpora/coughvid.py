"""COUGHVID: crowdsourced recordings of coughs, with the state of health that people report.

Page: https://zenodo.org/record/4498364. Paper: L. Orlandic, T. Teijeiro and D. Atienza, "The
COUGHVID crowdsourcing dataset, a corpus for the study of large-scale cough analysis algorithms",
Scientific Data 8, 2021.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from hearbench.files import is_file
from hearbench.tasks.clips import Clip
from hearbench.tasks.corpora import RawCorpus
from hearbench.tasks.corpora.files import FilesByName, find_file
from hearbench.tasks.corpora.tables import read_rows

__all__ = ["clips"]

# Nearly all recordings came from browsers as WebM; it is also what a missing one is called.
_SUFFIXES = (".webm", ".ogg", ".wav")


def clips(corpus: RawCorpus) -> Iterator[Clip]:
    """The recordings that hold a cough and whose status is known, which is the label.

    Layout: ``metadata_compiled.csv`` (``uuid``, ``cough_detected`` from 0 to 1, ``status`` and
    more) beside ``<uuid>.webm``, ``.ogg`` or ``.wav``. Option: ``min_cough_detected``, above
    which a cough counts as detected.

    Raises:
        TaskError: The table is missing or can't be used.
    """
    threshold = corpus.option("min_cough_detected", float)
    for part in corpus.parts:
        table = find_file(part.folder, "metadata_compiled.csv")
        audio = FilesByName(part.folder, _SUFFIXES)
        for row in read_rows(table, ("uuid", "cough_detected", "status")):
            uuid = row.relative_path("uuid")
            # An empty cell is a recording that no one has looked at.
            if not row.cells["status"].strip() or not row.cells["cough_detected"].strip():
                continue
            if row.number("cough_detected") > threshold:
                yield Clip(_recording(audio, table.parent, uuid), uuid, row.cells["status"])


def _recording(audio: FilesByName, folder: Path, uuid: str) -> Path:
    places = [folder / f"{uuid}{suffix}" for suffix in _SUFFIXES]
    found = (audio.get(place) for place in places)
    return next((path for path in found if is_file(path)), places[0])
