"""Vocal Imitation Set: people's imitations of 302 sounds.

Page: https://zenodo.org/record/1340763. Paper: B. Kim, M. Ghei, B. Pardo and Z. Duan, "Vocal
Imitation Set: a dataset of vocally imitated sound events using the AudioSet ontology", DCASE
2018.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from hearbench.tasks.clips import Clip
from hearbench.tasks.corpora import RawCorpus
from hearbench.tasks.corpora.files import find_file
from hearbench.tasks.corpora.tables import read_rows

__all__ = ["clips"]


def clips(corpus: RawCorpus) -> Iterator[Clip]:
    """The imitations that passed the experts' check, labelled by the file that was imitated.

    Layout: ``vocal_imitations.txt`` (tab-separated, with ``imitation_filename``,
    ``reference_filename``, ``included`` and more) and ``vocal_imitations/included/`` with the
    WAV files.

    Raises:
        TaskError: The table is missing or can't be used.
    """
    for part in corpus.parts:
        table = find_file(part.folder, "vocal_imitations.txt")
        folder = table.parent / "vocal_imitations" / "included"
        columns = ("imitation_filename", "reference_filename", "included")
        for row in read_rows(table, columns, delimiter="\t"):
            if row.flag("included"):
                name = row.relative_path("imitation_filename")
                yield Clip(folder / name, Path(name).stem, row.text("reference_filename"))
