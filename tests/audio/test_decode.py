from __future__ import annotations

import contextlib
import struct
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hearbench.audio.decode import read_excerpt16, read_float32, read_mono16, sample_rate_of
from hearbench.audio.encode import write_wav16
from hearbench.errors import AudioError

RATE = 44100


def ffmpeg_mono16(path: Path) -> npt.NDArray[np.int16]:
    """What ffmpeg makes of a file without dither: the reference's decoder."""
    parts = []
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        resampler = av.AudioResampler(format="s16", layout="mono", rate=stream.rate)
        for frame in container.decode(stream):
            parts += [part.to_ndarray()[0] for part in resampler.resample(frame)]
    return np.concatenate(parts)


@pytest.mark.parametrize(
    ("kind", "subtype"),
    [
        ("wav", "PCM_U8"),
        ("wav", "PCM_16"),
        ("wav", "PCM_24"),
        ("wav", "PCM_32"),
        ("wav", "FLOAT"),
        ("wav", "DOUBLE"),
        ("wav", "ULAW"),
        ("flac", "PCM_16"),
        ("flac", "PCM_24"),
        ("aiff", "PCM_16"),
    ],
)
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 6])
def test_it_equals_ffmpeg_bit_for_bit(
    tmp_path: Path, kind: str, subtype: str, channels: int
) -> None:
    loudest = 1.2 if subtype in {"FLOAT", "DOUBLE"} else 1.0
    x = np.random.default_rng(channels).uniform(-loudest, loudest, (3000, channels))
    path = tmp_path / f"a.{kind}"
    soundfile.write(path, x, RATE, subtype=subtype)
    mono, rate = read_mono16(path)
    assert rate == RATE
    assert mono.dtype == np.int16
    np.testing.assert_array_equal(mono, ffmpeg_mono16(path))


@pytest.mark.parametrize(
    ("subtype", "x", "expected"),
    [
        ("PCM_16", [[5], [-32768]], [5, -32768]),
        ("PCM_16", [[1, 2], [-1, -2], [32767, 32767]], [2, -1, 32767]),
        ("PCM_16", [[10, 21, 999]], [16]),  # of three channels (l + r) / 2
        ("PCM_32", [[0x1FFFF], [-1], [-0x10001]], [1, -1, -2]),  # truncated, towards below
        ("PCM_32", [[0x18000, 0x18000], [0x28000, 0x28000]], [2, 2]),  # halves to even
    ],
)
def test_the_rules_by_hand(
    tmp_path: Path, subtype: str, x: list[list[int]], expected: list[int]
) -> None:
    path = tmp_path / "a.wav"
    dtype = np.int16 if subtype == "PCM_16" else np.int32
    soundfile.write(path, np.array(x, dtype), RATE, subtype=subtype)
    assert read_mono16(path)[0].tolist() == expected


def test_float_is_rounded_to_even_and_clipped(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    x = np.array([0.5, 1.5, 2.5, -0.5, 40000, -40000], np.float32) / 32768
    soundfile.write(path, x, RATE, subtype="FLOAT")
    assert read_mono16(path)[0].tolist() == [0, 2, 2, 0, 32767, -32768]


@pytest.mark.parametrize(("kind", "subtype"), [("ogg", "VORBIS"), ("mp3", "MPEG_LAYER_III")])
def test_compressed_audio(tmp_path: Path, kind: str, subtype: str) -> None:
    t = np.arange(RATE) / RATE
    x = 0.5 * np.sin(2 * np.pi * 440 * t)
    path = tmp_path / f"a.{kind}"
    soundfile.write(path, x, RATE, subtype=subtype)
    mono, rate = read_mono16(path)
    assert rate == RATE
    assert abs(len(mono) - len(x)) <= 300
    spectrum = np.abs(np.fft.rfft(mono[:RATE], RATE))
    assert spectrum.argmax() == 440
    assert abs(np.abs(mono).max() / 32768 - 0.5) < 0.02


def test_what_libsndfile_cannot_read_goes_to_ffmpeg(tmp_path: Path) -> None:
    path = tmp_path / "a.webm"
    t = np.arange(48000) / 48000
    x = (0.5 * np.sin(2 * np.pi * 440 * t)).astype(np.float32)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libopus", rate=48000, layout="mono")
        frame = av.AudioFrame.from_ndarray(x[None], format="flt", layout="mono")
        frame.sample_rate = 48000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(soundfile.LibsndfileError):
        soundfile.info(path)
    mono, rate = read_mono16(path)
    assert rate == 48000
    assert abs(len(mono) - 48000) <= 1000  # whole packets of 20 ms
    assert np.abs(np.fft.rfft(mono[:48000], 48000)).argmax() == 440


def wav(samples: int, promised: int) -> bytes:
    data = bytes(2 * samples)
    header = struct.pack(
        "<4sIHHIIHH4sI", b"fmt ", 16, 1, 1, RATE, 2 * RATE, 2, 16, b"data", promised
    )
    return b"RIFF" + struct.pack("<I", 36 + len(data)) + b"WAVE" + header + data


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.wav", b"", "empty"),
        ("a.wav", wav(0, 0), "no samples"),
        ("a.wav", wav(100, 400), "400 bytes of samples, 200 are there"),
        ("a.wav", wav(100, 200)[:30], "can't be decoded"),
        ("a.mp3", b"no audio at all, just text " * 9, "can't be decoded"),
        ("a.ogg", b"OggS" + bytes(500), "can't be decoded"),
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(AudioError, match=said) as raised:
        read_mono16(path)
    assert str(path) in str(raised.value)
    with pytest.raises(AudioError) as raised:
        read_float32(path)
    assert str(path) in str(raised.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    for read in (read_mono16, read_float32):
        with pytest.raises(AudioError, match=r"gone\.wav"):
            read(tmp_path / "gone.wav")


def test_a_flac_that_was_cut_off_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.flac"
    noise = np.random.default_rng(0).integers(-9999, 9999, 50000).astype(np.int16)
    soundfile.write(path, noise, RATE)
    path.write_bytes(path.read_bytes()[:40000])
    with pytest.raises(AudioError, match=r"a\.flac"):
        read_mono16(path)


def test_nan_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, np.array([0.0, np.nan], np.float32), RATE, subtype="FLOAT")
    with pytest.raises(AudioError, match="NaN"):
        read_mono16(path)


def test_a_stream_of_unknown_length_is_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(wav(100, 0xFFFFFFFF))
    assert len(read_mono16(path)[0]) == 100


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(st.data())
def test_no_damage_escapes_as_another_error(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "a.wav"
    content = bytearray(wav(50, 100))
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, 43))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    for read in (read_mono16, read_float32):
        with contextlib.suppress(AudioError):
            read(path)


def test_prepared_audio_as_float(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    write_wav16(path, np.array([0, 16384, -32768, 32767], np.int16), 16000)
    x = read_float32(path, expected_rate=16000)
    assert x.dtype == np.float32
    assert x.tolist() == [0.0, 0.5, -1.0, 32767 / 32768]
    with pytest.raises(AudioError, match="16000 Hz where 44100 Hz"):
        read_float32(path, expected_rate=44100)


def test_prepared_audio_is_16_bit_mono(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, np.zeros((9, 2)), 16000, subtype="PCM_24")
    with pytest.raises(AudioError, match="2 channels of PCM_24"):
        read_float32(path)


def test_a_wav_whose_writer_never_filled_in_the_length(tmp_path: Path) -> None:
    x = np.arange(-500, 500, dtype=np.int16)
    soundfile.write(tmp_path / "a.wav", x, 8000, subtype="PCM_16")
    data = bytearray((tmp_path / "a.wav").read_bytes())
    assert data[36:40] == b"data"
    for size in (0, 0xFFFFFFFF):
        data[40:44] = size.to_bytes(4, "little")
        (tmp_path / "b.wav").write_bytes(data)
        y, rate = read_mono16(tmp_path / "b.wav")
        assert rate == 8000
        assert np.array_equal(y, x)


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
@pytest.mark.parametrize("channels", [1, 2])
def test_a_part_is_the_part_of_the_whole(tmp_path: Path, subtype: str, channels: int) -> None:
    x = np.random.default_rng(0).uniform(-1, 1, (3000, channels))
    soundfile.write(tmp_path / "a.wav", x, 8000, subtype=subtype)
    whole, _ = read_mono16(tmp_path / "a.wav")
    for start, n in ((0, 3000), (0, 1), (1234, 567), (2999, 1)):
        part, rate = read_excerpt16(tmp_path / "a.wav", start, n)
        assert rate == 8000
        assert np.array_equal(part, whole[start : start + n])
    for start, n in ((2999, 2), (-1, 5), (0, 0)):
        with pytest.raises(AudioError, match="aren't there"):
            read_excerpt16(tmp_path / "a.wav", start, n)


def test_a_part_of_what_is_no_such_file(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros((50, 3)), 8000)
    with pytest.raises(AudioError, match="3 channels"):
        read_excerpt16(tmp_path / "a.wav", 0, 10)
    (tmp_path / "b.wav").write_bytes(b"nothing")
    with pytest.raises(AudioError, match=r"b\.wav can't be decoded"):
        read_excerpt16(tmp_path / "b.wav", 0, 10)
    with pytest.raises(AudioError, match="no such file"):
        read_excerpt16(tmp_path / "c.wav", 0, 10)


def test_rates_from_headers(tmp_path: Path) -> None:
    for rate in (8000, 44100, 96000):
        soundfile.write(tmp_path / "a.flac", np.zeros(50), rate)
        assert sample_rate_of(tmp_path / "a.flac") == rate
    (tmp_path / "b.wav").write_bytes(b"nothing")
    with pytest.raises(AudioError, match=r"b\.wav can't be decoded"):
        sample_rate_of(tmp_path / "b.wav")


def test_a_format_that_nobody_decodes(tmp_path: Path) -> None:
    """A WAV of a codec without a decoder: PyAV's stream then has no rate at all."""
    soundfile.write(tmp_path / "a.wav", np.zeros(500), 8000, subtype="PCM_16")
    data = bytearray((tmp_path / "a.wav").read_bytes())
    data[20] = 144  # the format's tag
    (tmp_path / "b.wav").write_bytes(data)
    for read in (read_mono16, sample_rate_of):
        with pytest.raises(AudioError, match=r"b\.wav"):
            read(tmp_path / "b.wav")
