"""Corpora of TensorFlow Datasets, as they were exported, or as their authors published them.

Page: https://www.tensorflow.org/datasets/catalog. The originals and their papers are in
:mod:`hearbench.tasks.corpora.tfds_originals`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from hearbench.errors import TaskError
from hearbench.tasks.clips import Clip
from hearbench.tasks.corpora import RawCorpus
from hearbench.tasks.corpora.files import FilesByName, files_below
from hearbench.tasks.corpora.tables import read_rows
from hearbench.tasks.corpora.tfds_originals import ORIGINALS

__all__ = ["clips"]

_ENDING = "_labels.csv"
_OTHER_NAMES = {"validation": "valid"}


def clips(corpus: RawCorpus) -> Iterator[Clip]:
    """The clips of a TFDS export; without one, those of the original corpus, with a note.

    Layout of an export: ``<split>_labels.csv`` (``filename``, ``label``) and ``audio/`` beside
    it, in a part per split or all in one. Without any such list, the parts are taken for the
    original corpus, whose names, and so whose splits, differ from the official ones. Options:
    ``name`` of the corpus, ``splits`` that are exported, and ``keep_splits``, false where the
    task makes folds of all clips.

    Raises:
        TaskError: A list is missing or can't be used, or the layout is unknown.
    """
    name, keep_splits = corpus.option("name", str), corpus.option("keep_splits", bool)
    splits = corpus.options.get("splits")
    if not isinstance(splits, (list, tuple)) or not splits:
        raise TaskError(
            f"The corpus needs the option 'splits', a list of names; the task has {splits!r}."
        )
    lists = _label_lists(corpus)
    if lists:
        yield from _exported(lists, [str(split) for split in splits], keep_splits)
        return
    original = ORIGINALS.get(name)
    searched = ", ".join(str(part.folder) for part in corpus.parts) or "no folder"
    rows = list(original.read([part.folder for part in corpus.parts])) if original else []
    if not rows:
        layout = f", nor the original {name} ({original.layout})" if original else ""
        raise TaskError(
            f"There is no export of the TFDS corpus {name} below {searched}: neither a list such "
            f"as {splits[0]}{_ENDING} with a folder audio beside it{layout}."
        )
    if keep_splits:
        raise TaskError(
            f"The original corpus {name} doesn't name the splits that the task has; only its "
            f"export, with lists such as {splits[0]}{_ENDING}, does."
        )
    corpus.note(
        f"Made from the original corpus {name}, not from its TFDS export: the names of the clips, "
        "and so the splits that they are in, differ from the official ones."
    )
    yield from rows


def _label_lists(corpus: RawCorpus) -> dict[str, tuple[Path, Path]]:
    """The list of each split, with the folder of its part."""
    found: dict[str, tuple[Path, Path]] = {}
    for part in corpus.parts:
        for path in files_below(part.folder):
            if not path.name.endswith(_ENDING):
                continue
            split = path.name.removesuffix(_ENDING)
            split = _OTHER_NAMES.get(split, split)
            other = found.setdefault(split, (path, part.folder))[0]
            if other != path:
                raise TaskError(
                    f"The corpus has two lists of the split {split!r}: {other} and {path}. Leave "
                    "one."
                )
    return found


def _exported(
    lists: Mapping[str, tuple[Path, Path]], splits: list[str], keep_splits: bool
) -> Iterator[Clip]:
    if lacking := [split for split in splits if split not in lists]:
        there = ", ".join(str(path) for path, _ in lists.values())
        raise TaskError(
            f"The export lacks the lists {', '.join(split + _ENDING for split in lacking)}; "
            f"there are: {there}."
        )
    for split in splits:
        path, folder = lists[split]
        audio = FilesByName(folder)
        for row in read_rows(path, ("filename", "label")):
            file = row.relative_path("filename")
            yield Clip(
                path=audio.get(path.parent / "audio" / file),
                filestem=Path(file).stem,
                label=row.text("label"),
                split=split if keep_splits else None,
            )
