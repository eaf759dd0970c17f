"""ESC-50: 2000 five-second recordings of 50 kinds of environmental sound, in five folds.

Page: https://github.com/karolpiczak/ESC-50. Paper: K. J. Piczak, "ESC: Dataset for Environmental
Sound Classification", ACM Multimedia 2015.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from hearbench.tasks.clips import Clip
from hearbench.tasks.corpora import RawCorpus
from hearbench.tasks.corpora.files import FilesByName, find_file
from hearbench.tasks.corpora.tables import read_rows
from hearbench.tasks.splits import fold_name

__all__ = ["clips"]


def clips(corpus: RawCorpus) -> Iterator[Clip]:
    """The clips of ESC-50, a row of its table each; fold 1 of the corpus is ``fold00``.

    Layout: ``meta/esc50.csv`` (``filename``, ``fold``, ``category`` and more) and
    ``audio/<filename>``.

    Raises:
        TaskError: The table is missing or can't be used.
    """
    for part in corpus.parts:
        table = find_file(part.folder, "esc50.csv")
        audio = FilesByName(part.folder)
        for row in read_rows(table, ("filename", "fold", "category")):
            name = row.relative_path("filename")
            yield Clip(
                path=audio.get(table.parent.parent / "audio" / name),
                filestem=Path(name).stem,
                label=row.text("category"),
                split=fold_name(row.integer("fold", lowest=1) - 1),
            )
