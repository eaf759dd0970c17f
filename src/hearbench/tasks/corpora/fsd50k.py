"""FSD50K: 51,197 clips of Freesound with 200 classes of the AudioSet ontology.

Page: https://zenodo.org/record/4060432. Paper: E. Fonseca, X. Favory, J. Pons, F. Font and
X. Serra, "FSD50K: an Open Dataset of Human-Labeled Sound Events", IEEE/ACM TASLP 30, 2022.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from hearbench.errors import TaskError
from hearbench.tasks.clips import Clip
from hearbench.tasks.corpora import RawCorpus
from hearbench.tasks.corpora.files import FilesByName, find_file
from hearbench.tasks.corpora.tables import Row, read_json_object, read_rows

__all__ = ["clips"]

# Longer than the 30 s that clips of this corpus have at most; the benchmark leaves them out.
_OVERLONG = frozenset(
    {
        *("83299", "83298", "121426", "121351", "121472", "121471"),
        *("124796", "397150", "124797", "124800", "124834", "124858"),
    }
)
_SPLITS = {"train": "train", "val": "valid"}


def clips(corpus: RawCorpus) -> Iterator[Clip]:
    """The clips, a row per label; those of one uploader belong together.

    Layout: the parts ``train`` and ``test`` with the audio (``<number>.wav``), ``ground_truth``
    with ``dev.csv`` (``fname``, ``labels`` separated by commas, ``split``: train or val) and
    ``eval.csv`` (``fname``, ``labels``), and ``source_metadata`` with
    ``dev_clips_info_FSD50K.json`` (the ``uploader`` by number).

    Raises:
        TaskError: A part or table is missing or can't be used.
    """
    truth = corpus.folder("ground_truth")
    source = find_file(corpus.folder("source_metadata"), "dev_clips_info_FSD50K.json")
    uploaders = read_json_object(source)
    dev = read_rows(find_file(truth, "dev.csv"), ("fname", "labels", "split"))
    places = _Places(corpus.folder("train"))
    for row in dev:
        if row.cells["split"] not in _SPLITS:
            raise row.error("split", "train or val")
        name = row.relative_path("fname")
        if name in _OVERLONG:
            continue
        facts = uploaders.get(name)
        uploader = facts.get("uploader") if isinstance(facts, dict) else None
        if not isinstance(uploader, str):
            raise TaskError(
                f"{source} has no 'uploader' of the clip {name!r}, which {row.path} names in line "
                f"{row.line}."
            )
        yield from _labels(row, places.of(name), _SPLITS[row.cells["split"]], uploader)
    places = _Places(corpus.folder("test"))
    for row in read_rows(find_file(truth, "eval.csv"), ("fname", "labels")):
        yield from _labels(row, places.of(row.relative_path("fname")), "test", None)


class _Places:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files = FilesByName(folder)

    def of(self, name: str) -> Path:
        return self._files.get(self._folder / f"{name}.wav")


def _labels(row: Row, path: Path, split: str, uploader: str | None) -> Iterator[Clip]:
    stem = path.stem
    for label in row.text("labels").split(","):
        if not label.strip():
            raise row.error("labels", "a list of labels, separated by commas")
        yield Clip(path, stem, label, split=split, split_key=uploader)
