"""Corpora of TensorFlow Datasets, as they were exported, or as their authors published them.

Page: https://www.tensorflow.org/datasets/catalog. The originals:

- CREMA-D: https://github.com/CheyneyComputerScience/CREMA-D. H. Cao et al., "CREMA-D:
  Crowd-sourced Emotional Multimodal Actors Dataset", IEEE TAC 5(4), 2014.
- GTZAN Genre and Music/Speech: http://marsyas.info/downloads/datasets.html. G. Tzanetakis and
  P. Cook, "Musical Genre Classification of Audio Signals", IEEE TSAP 10(5), 2002.
- Free Spoken Digit: https://github.com/Jakobovski/free-spoken-digit-dataset. Z. Jackson et al.,
  2018.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hearbench.errors import TaskError
from hearbench.tasks.clips import Clip
from hearbench.tasks.corpora import RawCorpus
from hearbench.tasks.corpora.files import FilesByName, audio_files, clips_by_name, files_below
from hearbench.tasks.corpora.tables import read_rows

__all__ = ["clips"]

_ENDING = "_labels.csv"
_OTHER_NAMES = {"validation": "valid"}
_SUFFIXES = (".wav", ".au")
# The TFDS version lacks these four of the 7442 recordings.
_NOT_IN_TFDS = frozenset(
    {"1006_TIE_NEU_XX", "1013_WSI_DIS_XX", "1017_IWW_FEA_XX", "1040_ITH_SAD_X"}
)
# Nor does it have the speaker that version 1.0.10 of Free Spoken Digit brought, of 3000 recordings.
_LATER_SPEAKER = "lucas"
_CREMA_D = re.compile(r"\d{4}_[A-Z]{3}_([A-Z]{3})_[A-Z]{1,2}")
_GTZAN = re.compile(r"([A-Za-z]+)\.\d+")
_SPOKEN_DIGIT = re.compile(r"(\d)_([^_]+)_\d+")
_MUSIC_SPEECH = {
    "music": "music",
    "music_wav": "music",
    "speech": "speech",
    "speech_wav": "speech",
}


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
    original = _ORIGINALS.get(name)
    searched = ", ".join(str(part.folder) for part in corpus.parts) or "no folder"
    rows = list(original.read([part.folder for part in corpus.parts])) if original else []
    if not rows:
        layout = f", nor the original {name} ({original.layout})" if original else ""
        raise TaskError(
            f"There is no export of the TFDS corpus {name} below {searched}: neither a list such "
            f"as {splits[0]}{_ENDING} with a folder audio beside it{layout}.",
            code="not_found",
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


def _crema_d(folders: Sequence[Path]) -> Iterator[Clip]:
    paths = [
        path
        for path in _audio(folders)
        if path.parent.name == "AudioWAV" and path.stem not in _NOT_IN_TFDS
    ]
    return clips_by_name(paths, _first_group(_CREMA_D), "1001_DFA_ANG_XX.wav")


def _gtzan(folders: Sequence[Path]) -> Iterator[Clip]:
    paths = [
        path
        for path in _audio(folders)
        if (match := _GTZAN.fullmatch(path.stem)) and match[1] == path.parent.name
    ]
    return clips_by_name(paths, _first_group(_GTZAN), "blues/blues.00000.wav")


def _gtzan_music_speech(folders: Sequence[Path]) -> Iterator[Clip]:
    for path in _audio(folders):
        if label := _MUSIC_SPEECH.get(path.parent.name):
            yield Clip(path, path.stem, label)


def _spoken_digit(folders: Sequence[Path]) -> Iterator[Clip]:
    paths = [
        path
        for path in _audio(folders)
        if path.parent.name == "recordings" and f"_{_LATER_SPEAKER}_" not in path.stem
    ]
    return clips_by_name(paths, _first_group(_SPOKEN_DIGIT), "0_jackson_0.wav")


def _audio(folders: Sequence[Path]) -> list[Path]:
    # A folder that holds all may stand for several parts.
    return list(
        dict.fromkeys(path for folder in folders for path in audio_files(folder, _SUFFIXES))
    )


def _first_group(pattern: re.Pattern[str]) -> Callable[[str], str | None]:
    def label(stem: str) -> str | None:
        match = pattern.fullmatch(stem)
        return match[1] if match else None

    return label


@dataclass(frozen=True)
class _Original:
    """A corpus as its authors published it.

    Attributes:
        layout: What it looks like, for messages.
        read: Its clips, from the folders of its parts; none if they hold something else.
    """

    layout: str
    read: Callable[[Sequence[Path]], Iterator[Clip]]


_ORIGINALS: Mapping[str, _Original] = {
    "crema_d": _Original("AudioWAV/1001_DFA_ANG_XX.wav and others", _crema_d),
    "gtzan": _Original("genres/blues/blues.00000.wav or .au and others", _gtzan),
    "gtzan_music_speech": _Original(
        "music_speech/music_wav/*.wav and music_speech/speech_wav/*.wav, or .au",
        _gtzan_music_speech,
    ),
    "spoken_digit": _Original("recordings/0_jackson_0.wav and others", _spoken_digit),
}


"""Original corpora by their TFDS names."""
