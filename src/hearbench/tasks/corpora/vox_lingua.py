"""VoxLingua107: speech in 107 languages, cut out of videos.

Page: https://bark.phon.ioc.ee/voxlingua107/. Paper: J. Valk and T. Alumäe, "VoxLingua107: a
Dataset for Spoken Language Recognition", SLT 2021.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from hearbench.tasks.clips import Clip
from hearbench.tasks.corpora import RawCorpus
from hearbench.tasks.corpora.files import audio_files, label_folder

__all__ = ["clips"]


def clips(corpus: RawCorpus) -> Iterator[Clip]:
    """The clips of the languages that have most.

    Layout: ``<language>/*.wav``. Option: ``languages``, how many are kept. Of languages with as
    many clips, those first in the alphabet are kept.

    Raises:
        TaskError: A clip lies in no language's folder, or there are fewer languages.
    """
    wanted = corpus.option("languages", int)
    languages = {
        path: label_folder(path, part.folder)
        for part in corpus.parts
        for path in audio_files(part.folder)
    }
    counts = Counter(languages.values())
    kept = set(sorted(counts, key=lambda language: (-counts[language], language))[:wanted])
    for path, language in languages.items():
        if language in kept:
            yield Clip(path, path.stem, language)
