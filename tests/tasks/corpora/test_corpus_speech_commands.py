from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers_tasks import write_wav

from hearbench.errors import AudioError, TaskError
from hearbench.tasks.clips import Clip, Excerpt
from hearbench.tasks.corpora import CorpusPart, RawCorpus
from hearbench.tasks.corpora.speech_commands import clips

RATE = 100  # of the noises; half a second is 50 samples


def corpus(folder: Path, top: str = "") -> RawCorpus:
    train, test = folder / "train" / top, folder / "test" / top
    names = ["yes/aa_nohash_0", "yes/bb_nohash_1", "bird/aa_nohash_0", "bird/cc_nohash_12", "no/dd"]
    for name in names:
        touch(train / f"{name}.wav")
    for name in ("yes/zz_nohash_0", "_unknown_/seven_zz_nohash_1.wav", "_silence_/167"):
        touch(test / f"{name}.wav")
    for junk in (train / "yes/._aa_nohash_0.wav", test / "__MACOSX/yes/x.wav", train / "LICENSE"):
        touch(junk)
    # 8 half seconds and 1 sample: the last second begins at 300, and ends one before the end.
    write_wav(train / "_background_noise_/pink.wav", np.zeros(401, np.int16), RATE)
    write_wav(train / "_background_noise_/running_tap_2.wav", np.zeros(200, np.int16), RATE)
    write_wav(train / "_background_noise_/short.wav", np.zeros(100, np.int16), RATE)
    (train / "validation_list.txt").write_text("yes/bb_nohash_1.wav\nup/gone_nohash_0.wav\n")
    (train / "testing_list.txt").write_text("bird/cc_nohash_12.wav\r\n\n")
    parts = (CorpusPart(folder / "train", "train"), CorpusPart(folder / "test", "test"))
    return RawCorpus(parts)


def touch(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


@pytest.mark.parametrize("top", ["", "speech_commands"])
def test_words(tmp_path: Path, top: str) -> None:
    found = [clip for clip in clips(corpus(tmp_path, top)) if clip.excerpt is None]
    train, test = tmp_path / "train" / top, tmp_path / "test" / top

    def word(path: Path, label: str, split: str, key: str) -> Clip:
        return Clip(path, f"{path.parent.name}_{path.stem}", label, split, split_key=key)

    assert found == [
        word(train / "bird/aa_nohash_0.wav", "_unknown_", "train", "aa"),
        word(train / "no/dd.wav", "no", "train", "dd"),
        word(train / "yes/aa_nohash_0.wav", "yes", "train", "aa"),
        word(train / "yes/bb_nohash_1.wav", "yes", "valid", "bb"),
        word(train / "up/gone_nohash_0.wav", "up", "valid", "gone"),
        word(test / "_silence_/167.wav", "_silence_", "test", "167"),
        word(test / "_unknown_/seven_zz_nohash_1.wav.wav", "_unknown_", "test", "seven_zz"),
        word(test / "yes/zz_nohash_0.wav", "yes", "test", "zz"),
    ]


def test_silence(tmp_path: Path) -> None:
    found = [clip for clip in clips(corpus(tmp_path)) if clip.excerpt is not None]
    assert [(clip.filestem, clip.split, clip.excerpt) for clip in found] == [
        *((f"_silence__pink-{i}", "train", Excerpt(i, 100)) for i in range(0, 301, 50)),
        *((f"_silence__running_tap_2-{i}", "valid", Excerpt(i, 100)) for i in (0, 50)),
    ]
    assert {clip.label for clip in found} == {"_silence_"}
    assert {clip.path.name for clip in found} == {"pink.wav", "running_tap_2.wav"}


def test_a_noise_that_is_none(tmp_path: Path) -> None:
    raw = corpus(tmp_path)
    (tmp_path / "train/_background_noise_/pink.wav").write_bytes(b"noise")
    with pytest.raises(AudioError, match=r"pink\.wav can't be decoded"):
        list(clips(raw))


@pytest.mark.parametrize("line", ["../x/a.wav", "a.wav", "a/b/c.wav", "/yes/a.wav"])
def test_a_list_with_other_lines(tmp_path: Path, line: str) -> None:
    raw = corpus(tmp_path)
    (tmp_path / "train/testing_list.txt").write_text(f"yes/a.wav\n{line}\n")
    with pytest.raises(TaskError, match=r"testing_list\.txt, line 2: .* is no path like right/"):
        list(clips(raw))


@pytest.mark.parametrize("name", ["validation_list.txt", "testing_list.txt"])
def test_a_list_that_is_missing(tmp_path: Path, name: str) -> None:
    raw = corpus(tmp_path)
    (tmp_path / "train" / name).unlink()
    with pytest.raises(TaskError, match=f"no file '{name}'"):
        list(clips(raw))


@pytest.mark.parametrize("part", ["train", "test"])
def test_a_word_without_a_folder(tmp_path: Path, part: str) -> None:
    raw = corpus(tmp_path)
    touch(tmp_path / part / "a.wav")
    with pytest.raises(TaskError, match="lies in no folder that is named by its label"):
        list(clips(raw))


def test_a_part_that_is_missing(tmp_path: Path) -> None:
    raw = corpus(tmp_path)
    with pytest.raises(TaskError, match="0 parts called 'test'"):
        list(clips(RawCorpus(raw.parts[:1])))
