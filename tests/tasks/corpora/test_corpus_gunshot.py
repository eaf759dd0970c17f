from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path

import pytest
import soundfile

from hearbench.errors import AudioError, TaskError
from hearbench.tasks.clips import Excerpt
from hearbench.tasks.corpora import CorpusPart, RawCorpus
from hearbench.tasks.corpora.gunshot import clips

RATE = 48000
NAMES = {1: "mic1raw.wav", 2: "mic2raw16b.wav", 3: "mic3raw.wav", 4: "mic4raw.wav"}
OFFSETS = {1: 15764451, 2: 13764742, 3: 9334032, 4: 6794611}
FIREARMS = "1111222333444555666777"
LOUD = 26215  # the first 16-bit sample that reaches 0.8 of full scale, 26214.4
# From where the search begins; the first two are as near to each other as shots may be.
ONSETS = [7000, 32000, *(100_000 + 30_000 * i for i in range(20))]


def write_sparse(path: Path, n_samples: int, samples: Mapping[int, int], rate: int = RATE) -> None:
    """A mono 16-bit WAV file of zeros, with a few samples that aren't."""
    path.parent.mkdir(parents=True, exist_ok=True)
    size = 2 * n_samples
    header = struct.pack("<4sI4s4sIHHIIHH4sI", b"RIFF", 36 + size, b"WAVE", b"fmt ", 16, 1, 1, rate,
                         2 * rate, 2, 16, b"data", size)  # fmt: skip
    with path.open("wb") as file:
        file.write(header)
        for place, sample in samples.items():
            file.seek(len(header) + 2 * place)
            file.write(struct.pack("<h", sample))
        file.truncate(len(header) + size)


def corpus(folder: Path, shots: Mapping[int, int] | None = None, *, spare: int = 0) -> RawCorpus:
    """The four recordings, each in a folder of its own; ``shots`` are the samples of the first."""
    for microphone, name in NAMES.items():
        begin = OFFSETS[microphone] - RATE
        # A mark that tells which microphone and shot an excerpt is of.
        marks = {begin + at - 6000: 100 * microphone + i for i, at in enumerate(ONSETS)}
        if microphone == 1:
            loud = dict.fromkeys(ONSETS, -LOUD) if shots is None else shots
            marks |= {begin + at: sample for at, sample in loud.items()}
        write_sparse(folder / name[:4] / name, begin + ONSETS[-1] + 66000 + spare, marks)
    return of(folder)


def of(folder: Path) -> RawCorpus:
    parts = [CorpusPart(folder / name[:4], "train") for name in NAMES.values()]
    return RawCorpus(tuple(parts))


def test_shots_are_cut_out_of_the_raw_recordings(tmp_path: Path) -> None:
    quiet_or_near = {
        -1: LOUD,  # before the search begins
        6999: LOUD - 1,
        7001: 32767,
        31999: LOUD,  # 24999 after the first shot
        56999: LOUD,  # 24999 after the second
        60000: -LOUD + 1,
    }
    shots = {**quiet_or_near, **dict.fromkeys(ONSETS, -LOUD), ONSETS[5]: LOUD, ONSETS[6]: -32768}
    found = list(clips(corpus(tmp_path, shots, spare=3)))
    assert [clip.filestem for clip in found] == [
        f"mic{m}_shot{s}_fid{f}" for m in NAMES for s, f in enumerate(FIREARMS)
    ]
    assert len(found) == 88
    for i, clip in enumerate(found):
        microphone, shot = 1 + i // 22, i % 22
        start = OFFSETS[microphone] - RATE + ONSETS[shot] - 6000
        assert clip.excerpt == Excerpt(start, 72000)
        assert clip.path.name == NAMES[microphone]
        assert (clip.label, clip.split) == (f"mic{microphone}", None)
        assert clip.split_key == f"fid{FIREARMS[shot]}"
        x, rate = soundfile.read(clip.path, 72000, start, dtype="int16")
        assert (rate, len(x)) == (RATE, 72000)
        assert x[0] == 100 * microphone + shot
    # 0.8 of full scale lies at an eighth of a second in the first microphone's clips.
    for clip in found[:22]:
        assert clip.excerpt is not None
        x, _ = soundfile.read(clip.path, 6001, clip.excerpt.start, dtype="int16")
        assert abs(int(x[6000])) >= LOUD


def test_shots_across_the_borders_of_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = list(clips(corpus(tmp_path)))
    for block in (999, 25000, 32000):
        monkeypatch.setattr("hearbench.tasks.corpora.gunshot._BLOCK", block)
        assert list(clips(of(tmp_path))) == whole


def test_what_is_loud_after_the_last_shot_does_not_count(tmp_path: Path) -> None:
    whole = [clip.excerpt for clip in clips(corpus(tmp_path / "22"))]
    places = dict.fromkeys([*ONSETS, ONSETS[-1] + 30000], LOUD)
    assert [clip.excerpt for clip in clips(corpus(tmp_path / "23", places))] == whole


@pytest.mark.parametrize("count", [0, 21])
def test_too_few_shots(tmp_path: Path, count: int) -> None:
    places = [*ONSETS, ONSETS[-1] + 30000][:count]
    with pytest.raises(TaskError, match=f"mic1raw.wav should hold 22 shots, but holds {count}"):
        list(clips(corpus(tmp_path, dict.fromkeys(places, LOUD))))


def test_a_recording_that_is_too_short(tmp_path: Path) -> None:
    raw = corpus(tmp_path)
    needed = OFFSETS[3] - RATE + ONSETS[-1] + 66000
    write_sparse(tmp_path / "mic3/mic3raw.wav", needed - 1, {})
    with pytest.raises(TaskError, match=rf"mic3raw\.wav is too short: it has {needed - 1} samples"):
        list(clips(raw))
    write_sparse(tmp_path / "mic3/mic3raw.wav", 1000, {})
    with pytest.raises(TaskError, match=r"mic3raw\.wav is too short: it has 1000 samples"):
        list(clips(raw))


def test_a_recording_at_another_rate(tmp_path: Path) -> None:
    raw = corpus(tmp_path)
    write_sparse(tmp_path / "mic2/mic2raw16b.wav", 20_000_000, {}, 44100)
    with pytest.raises(TaskError, match=r"mic2raw16b\.wav should have 48000 Hz.*not 44100 Hz"):
        list(clips(raw))


def test_recordings_that_are_missing_or_twice(tmp_path: Path) -> None:
    raw = corpus(tmp_path)
    (tmp_path / "mic4/mic4raw.wav").rename(tmp_path / "mic4/hidden.wav")
    with pytest.raises(TaskError, match=r"missing are those of \[4\], .*mic1raw\.wav.*hidden"):
        list(clips(raw))
    (tmp_path / "mic4/hidden.wav").rename(tmp_path / "mic4/Mic3.wav")
    with pytest.raises(TaskError, match="two recordings of microphone 3"):
        list(clips(raw))


def test_a_recording_that_is_damaged(tmp_path: Path) -> None:
    raw = corpus(tmp_path)
    (tmp_path / "mic2/mic2raw16b.wav").write_bytes(b"RIFF")
    with pytest.raises(AudioError, match=r"mic2raw16b\.wav can't be decoded"):
        list(clips(raw))


def test_four_recordings_in_one_folder(tmp_path: Path) -> None:
    corpus(tmp_path / "raw")
    raw = RawCorpus(tuple(CorpusPart(tmp_path / "raw", "train") for _ in range(4)))
    assert len(list(clips(raw))) == 88


def test_clips_that_are_cut_already(tmp_path: Path) -> None:
    for name in ("mic1_shot17_fid6.wav", "top/mic4_shot5_fid2.wav", "._mic4_shot6_fid2.wav"):
        write_sparse(tmp_path / name, 10, {})
    raw = RawCorpus((CorpusPart(tmp_path, "train"),))
    first, second = clips(raw)
    assert (first.filestem, first.label, first.split_key) == ("mic1_shot17_fid6", "mic1", "fid6")
    assert (second.filestem, second.label, second.split_key) == ("mic4_shot5_fid2", "mic4", "fid2")
    assert first.excerpt is None
    write_sparse(tmp_path / "mic5_shot1_fid1.wav", 10, {})
    with pytest.raises(TaskError, match=r"shot and firearm \(1\): .*mic5_shot1_fid1\.wav"):
        list(clips(raw))
