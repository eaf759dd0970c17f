"""Speech Commands 0.02: single words of one second, silence, and words that aren't commands.

Page: https://www.tensorflow.org/datasets/catalog/speech_commands. Paper: P. Warden, "Speech
Commands: A Dataset for Limited-Vocabulary Speech Recognition", arXiv:1804.03209.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from hearbench.errors import AudioError, TaskError
from hearbench.tasks.clips import Clip, Excerpt
from hearbench.tasks.corpora import RawCorpus
from hearbench.tasks.corpora.files import audio_files, find_file, is_plain_path, label_folder
from hearbench.tasks.corpora.tables import read_text

__all__ = ["clips"]

_WORDS = frozenset({"down", "go", "left", "no", "off", "on", "right", "stop", "up", "yes"})
_SILENCE = "_silence_"
_UNKNOWN = "_unknown_"
_NOISE_FOLDER = "_background_noise_"
_VALID_NOISE = "running_tap"
_SPEAKER = re.compile(r"_nohash_.*")
_PARTS_OF_PATH = 2


def clips(corpus: RawCorpus) -> Iterator[Clip]:
    """The words of both archives, and the silence cut out of the background noises.

    Layout: the part ``train`` with ``<word>/<speaker>_nohash_<n>.wav``, the lists
    ``validation_list.txt`` and ``testing_list.txt`` of such paths, and ``_background_noise_/``;
    the part ``test`` with ``<label>/*.wav``. Files in neither list are train, those of the first
    are valid; those of the second are in the test archive. Silence is every second of a noise
    that begins at a multiple of half a second and ends before the noise does; ``running_tap``
    is valid, the others are train. A clip's name begins with its folder's.

    Raises:
        TaskError: A list is missing or can't be used, or a file lies in no label's folder.
        AudioError: A background noise can't be read.
    """
    train = corpus.folder("train")
    valid_list = find_file(train, "validation_list.txt")
    test_list = find_file(train, "testing_list.txt")
    top = valid_list.parent
    valid = [top / name for name in _listed(valid_list)]
    taken = {*valid, *(top / name for name in _listed(test_list))}
    for path in audio_files(top):
        if label_folder(path, top) == _NOISE_FOLDER:
            yield from _silence(path)
        elif path not in taken:
            yield _word(path, "train")
    for path in valid:
        yield _word(path, "valid")
    test = corpus.folder("test")
    for path in audio_files(test):
        label_folder(path, test)
        yield _word(path, "test")


def _listed(path: Path) -> list[str]:
    """The paths in a list, such as ``right/a69b9b3e_nohash_0.wav``."""
    names = []
    for number, line in enumerate(read_text(path).splitlines(), 1):
        name = line.strip()
        if not name:
            continue
        if not is_plain_path(name) or len(name.split("/")) != _PARTS_OF_PATH:
            raise TaskError(f"{path}, line {number}: {name!r} is no path like right/a69b_0.wav.")
        names.append(name)
    return list(dict.fromkeys(names))


def _word(path: Path, split: str) -> Clip:
    word = path.parent.name
    label = word if word in _WORDS or word == _SILENCE else _UNKNOWN
    return Clip(
        path, f"{word}_{path.stem}", label, split=split, split_key=_SPEAKER.sub("", path.stem)
    )


def _silence(path: Path) -> Iterator[Clip]:
    import soundfile

    try:
        facts = soundfile.info(path)
    except soundfile.LibsndfileError as error:
        raise AudioError(f"{path} can't be decoded: {error.error_string}") from error
    sample_rate = int(facts.samplerate)
    for start in range(0, int(facts.frames) - sample_rate, max(1, sample_rate // 2)):
        stem = f"{path.stem}-{start}"
        yield Clip(
            path,
            f"{_SILENCE}_{stem}",
            _SILENCE,
            split="valid" if path.stem.startswith(_VALID_NOISE) else "train",
            split_key=_SPEAKER.sub("", stem),
            excerpt=Excerpt(start, sample_rate),
        )
