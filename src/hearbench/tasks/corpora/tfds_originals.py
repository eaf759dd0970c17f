"""The corpora behind some TFDS tasks, as their authors published them.

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

from hearbench.tasks.clips import Clip
from hearbench.tasks.corpora.files import audio_files, clips_by_name

__all__ = ["ORIGINALS", "Original"]

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
class Original:
    """A corpus as its authors published it.

    Attributes:
        layout: What it looks like, for messages.
        read: Its clips, from the folders of its parts; none if they hold something else.
    """

    layout: str
    read: Callable[[Sequence[Path]], Iterator[Clip]]


ORIGINALS: Mapping[str, Original] = {
    "crema_d": Original("AudioWAV/1001_DFA_ANG_XX.wav and others", _crema_d),
    "gtzan": Original("genres/blues/blues.00000.wav or .au and others", _gtzan),
    "gtzan_music_speech": Original(
        "music_speech/music_wav/*.wav and music_speech/speech_wav/*.wav, or .au",
        _gtzan_music_speech,
    ),
    "spoken_digit": Original("recordings/0_jackson_0.wav and others", _spoken_digit),
}
"""Original corpora by their TFDS names."""
