"""Files of every format are decoded to their end, and refused where they lost it."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest
import soundfile

from hearbench.audio.decode import read_float32, read_mono16, sample_rate_of
from hearbench.errors import AudioError

N = 20000
# Formats of libsndfile whose header doesn't say how long the file is.
SILENT = {"PAF", "PVF", "SD2", "IRCAM", "XI", "RAW"}


def sound(n: int = N, channels: int = 1) -> npt.NDArray[np.float64]:
    t = np.arange(n) / 44100
    mono = 0.4 * np.sin(2 * np.pi * (200 + 1000 * t) * t)
    mono += 0.05 * np.random.default_rng(0).standard_normal(n)
    return mono if channels == 1 else np.stack([mono] * channels, axis=1)


def by_soundfile(kind: str, subtype: str, channels: int = 1, n: int = N) -> bytes:
    file = io.BytesIO()
    rate = 48000 if subtype == "OPUS" else 8000 if subtype == "GSM610" else 44100
    soundfile.write(file, sound(n, channels), rate, format=kind, subtype=subtype)
    return file.getvalue()


def by_ffmpeg(kind: str, codec: str, *, pipe: bool = False, rate: int = 44100) -> bytes:
    """A file that ffmpeg writes; into a pipe it can't go back to fill in the length."""
    file = io.BytesIO()
    if pipe:
        target: object = type("Pipe", (), {"write": lambda _, data: file.write(data)})()
    else:
        target = file
    with av.open(target, "w", format=kind) as container:
        stream = container.add_stream(codec, rate=rate, layout="mono")
        if codec.startswith("wma"):
            stream.bit_rate = 128_000
        formats = stream.codec_context.codec.audio_formats or []
        stream.codec_context.format = formats[0].name if formats else "s16"
        frame = av.AudioFrame.from_ndarray(
            sound().astype(np.float32)[None], format="flt", layout="mono"
        )
        frame.sample_rate, frame.pts = rate, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file.getvalue()


def read(folder: Path, data: bytes, name: str = "a.audio") -> npt.NDArray[np.int16]:
    path = folder / name
    path.write_bytes(data)
    x, rate = read_mono16(path)
    assert sample_rate_of(path) == rate
    return x


def refused(folder: Path, data: bytes) -> None:
    path = folder / "a.audio"
    path.write_bytes(data)
    with pytest.raises(AudioError, match=r"a\.audio"):
        read_mono16(path)


def all_of_libsndfile() -> list[tuple[str, str]]:
    return [
        (kind, subtype)
        for kind in soundfile.available_formats()
        for subtype in soundfile.available_subtypes(kind)
        if kind not in {"RAW", "SD2"}  # no header; a second file
    ]


@pytest.mark.parametrize(("kind", "subtype"), all_of_libsndfile())
def test_what_libsndfile_writes(tmp_path: Path, kind: str, subtype: str) -> None:
    try:
        data = by_soundfile(kind, subtype)
    except soundfile.LibsndfileError:
        pytest.skip("this libsndfile can't write it")
    x = read(tmp_path, data)
    # Those that code blocks of samples fill the last one up.
    assert N <= len(x) < N + 1100
    if kind != "SDS" and (subtype.startswith("PCM") or kind in {"FLAC", "CAF"}):
        steps = 256 if "8" in subtype else 40 if "LAW" in subtype else 1.01
        assert np.abs(x[:N] - 32768 * sound()).max() <= 20 * steps
    if kind in SILENT:
        return
    for end in (len(data) // 2, len(data) - 40):
        refused(tmp_path, data[:end])


@pytest.mark.parametrize(
    ("kind", "codec", "least"),
    [
        ("mp4", "aac", 1),
        ("ipod", "alac", 1),
        ("mov", "pcm_s16le", 1),
        ("webm", "libopus", 1),
        ("matroska", "flac", 1),
        ("asf", "wmav2", 1),
        ("avi", "pcm_s16le", 1),
        ("wv", "wavpack", 1),
        ("tta", "tta", 1),
        ("ogg", "flac", 1),
        ("ogg", "libopus", 1),
        ("mp3", "libmp3lame", 1),
        ("w64", "pcm_s16le", 1),
        ("caf", "pcm_s16be", 1),
        ("aiff", "pcm_s24be", 1),
        ("rm", "ac3", 0),  # says nothing
    ],
)
def test_what_ffmpeg_writes(tmp_path: Path, kind: str, codec: str, least: int) -> None:
    rate = 48000 if codec == "libopus" else 44100
    data = by_ffmpeg(kind, codec, rate=rate)
    assert abs(len(read(tmp_path, data)) - N) < 3000
    if least:
        refused(tmp_path, data[: len(data) // 2])
        refused(tmp_path, data[: len(data) - 1000])


@pytest.mark.parametrize(
    ("kind", "codec"),
    [
        ("wav", "pcm_s16le"),
        ("wav", "pcm_f32le"),
        ("w64", "pcm_s16le"),
        ("aiff", "pcm_s16be"),
        ("au", "pcm_s16be"),
        ("caf", "pcm_s16be"),
        ("flac", "flac"),
        ("ogg", "flac"),
        ("matroska", "flac"),
        ("avi", "pcm_s16le"),
    ],
)
def test_what_went_through_a_pipe(tmp_path: Path, kind: str, codec: str) -> None:
    assert len(read(tmp_path, by_ffmpeg(kind, codec, pipe=True))) == N


def wav(n_bytes: int, size: int, *, kind: bytes = b"RIFF", riff: int | None = None) -> bytes:
    order = ">" if kind == b"RIFX" else "<"
    fmt = struct.pack(order + "IHHIIHH", 16, 1, 1, 16000, 32000, 2, 16)
    outer = struct.pack(order + "I", min(size + 36, 0xFFFFFFFF) if riff is None else riff)
    head = kind + outer + b"WAVEfmt " + fmt + b"data" + struct.pack(order + "I", size)
    return head + bytes(range(250)) * (n_bytes // 250)


@pytest.mark.parametrize("size", [0, 0x7FFFF000, 0x7FFFFF00, 0x7FFFFFFF, 0x7FFFFFD3, 0x80000000])
def test_a_wav_of_unknown_length(tmp_path: Path, size: int) -> None:
    assert len(read(tmp_path, wav(20000, size))) == 10000
    for other in (0xFFFFFFFF - size, 0xFFFFFFFF, 0xFFFFFFDB):
        if other >= 0xFFFFFF00 or other == 0x80000000:
            assert len(read(tmp_path, wav(20000, other))) == 10000
    assert len(read_float32(tmp_path / "a.audio")) == 10000


@pytest.mark.parametrize("size", [20002, 30000, 0x10000000, 0x70000000, 0xC0000000])
@pytest.mark.parametrize("kind", [b"RIFF", b"RIFX"])
def test_a_wav_of_another_length(tmp_path: Path, size: int, kind: bytes) -> None:
    refused(tmp_path, wav(20000, size, kind=kind))
    refused(tmp_path, wav(20000, size, kind=kind, riff=0))


def test_an_au_of_unknown_length(tmp_path: Path) -> None:
    data = bytearray(by_soundfile("AU", "PCM_16"))
    data[8:12] = b"\xff" * 4
    assert len(read(tmp_path, bytes(data))) == N


def test_chunks_in_another_order(tmp_path: Path) -> None:
    data = by_soundfile("AIFF", "PCM_16")
    common, samples = data.index(b"COMM"), data.index(b"SSND")
    moved = data[:common] + data[samples:] + data[common:samples]
    assert np.array_equal(read(tmp_path, moved), read(tmp_path, data))
    for end in (len(data) - 10, len(data) // 2):
        refused(tmp_path, moved[:end])


def test_a_comment_that_was_cut_off_does_no_harm(tmp_path: Path) -> None:
    data = by_soundfile("WAV", "PCM_U8", n=N + 1)  # an odd number of bytes, filled up to an even
    behind = data + b"LIST" + struct.pack("<I", 100) + b"INFO"
    assert np.array_equal(read(tmp_path, behind), read(tmp_path, data))


@pytest.mark.parametrize("chunk", [b"LIST\0\0\0\0", b"bext\x04\0\0\0abcd", b"odd \x01\0\0\0a\0"])
def test_other_chunks_before_the_samples(tmp_path: Path, chunk: bytes) -> None:
    data = by_soundfile("WAV", "PCM_16")
    more = data[:12] + chunk + data[12:]
    assert np.array_equal(read(tmp_path, more), read(tmp_path, data))
    refused(tmp_path, more[: len(more) // 2])


def test_a_file_of_nothing_but_chunks(tmp_path: Path) -> None:
    refused(tmp_path, b"RIFF\xff\xff\xff\xffWAVE" + b"LIST\0\0\0\0" * 200_000)
    refused(tmp_path, b"\0\0\0\x08free" * 200_000)


def mp3(mode: str, *, header: bool = True) -> bytes:
    """MP3 of 88200 samples in 78 frames, with or without the frame that counts them."""
    file = io.BytesIO()
    with soundfile.SoundFile(
        file, "w", 44100, 1, format="MP3", bitrate_mode=mode, compression_level=0.5
    ) as sounds:
        sounds.write(sound(88200))
    data = file.getvalue()
    if header:
        return data
    begin = data.index(b"\xff\xfb")
    kbps = [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320][data[begin + 2] >> 4]
    return data[begin + 144000 * kbps // 44100 + (data[begin + 2] >> 1 & 1) :]


@pytest.mark.parametrize("mode", ["VARIABLE", "AVERAGE", "CONSTANT"])
def test_mp3_without_a_count_of_frames(tmp_path: Path, mode: str) -> None:
    plain = mp3(mode, header=False)
    for data in (plain, plain + b"TAG" + bytes(125)):
        x = read(tmp_path, data)
        assert len(x) == 78 * 1152
        # Delayed by what the header would have told to leave out.
        whole = read(tmp_path, mp3(mode)).astype(np.float64)
        delayed = x[1105 : 1105 + 88200]
        assert np.corrcoef(whole[: len(delayed)], delayed)[0, 1] > 0.99


@pytest.mark.parametrize("mode", ["VARIABLE", "CONSTANT"])
def test_mp3_with_a_count_of_frames(tmp_path: Path, mode: str) -> None:
    data = mp3(mode)
    assert len(read(tmp_path, data)) == 88200
    assert len(read(tmp_path, data + b"TAG" + bytes(125))) == 88200
    for lost in (30, 1000, len(data) // 2):
        refused(tmp_path, data[:-lost])


def test_mp3_that_libsndfile_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> None:
        raise soundfile.LibsndfileError(1)

    data = mp3("VARIABLE")
    monkeypatch.setattr("hearbench.audio.decode._opened", refuse)
    assert len(read(tmp_path, data)) == 88200
    refused(tmp_path, data[: len(data) // 2])


def test_mp3_whose_frames_were_never_counted(tmp_path: Path) -> None:
    data = bytearray(mp3("VARIABLE"))
    at = data.index(b"Xing") + 8
    data[at : at + 4] = bytes(4)
    assert len(read(tmp_path, bytes(data))) >= 88200


@pytest.mark.parametrize("n", [1, 2, 30])
@pytest.mark.parametrize("kind", ["WAV", "AU", "AIFF", "FLAC", "W64", "CAF", "VOC", "OGG"])
def test_short_files(tmp_path: Path, kind: str, n: int) -> None:
    subtype = "VORBIS" if kind == "OGG" else "PCM_16" if kind == "FLAC" else None
    file = io.BytesIO()
    x = np.full((n, 2), 0.25)
    soundfile.write(file, x, 44100, format=kind, subtype=subtype)
    assert len(read(tmp_path, file.getvalue())) == n
    smallest = io.BytesIO()
    soundfile.write(smallest, x, 44100, format="AU", subtype="PCM_S8")
    assert read(tmp_path, smallest.getvalue()).tolist() == [8192] * n


@pytest.mark.parametrize("kind", ["WAV", "AU", "AIFF", "RF64", "W64", "CAF", "VOC", "NIST", "SDS"])
def test_nothing_but_a_part_of_a_header(tmp_path: Path, kind: str) -> None:
    data = by_soundfile(kind, "PCM_16")
    path = tmp_path / "a.wav"
    for n in (*range(1, 64), 500):
        path.write_bytes(data[:n])
        for look in (read_mono16, read_float32):
            with pytest.raises(AudioError, match=r"a\.wav"):
                look(path)


def vbri(data: bytes, frames: int) -> bytes:
    """The same with the header of another maker, of which libsndfile knows nothing."""
    begin = data.index(b"\xff\xfb")
    at = begin + 36
    tag = b"VBRI" + struct.pack(">HHHIIHHHH", 1, 0, 0, len(data) - begin, frames, 0, 1, 2, 1)
    return data[: begin + 4] + bytes(at - begin - 4) + tag + data[at + len(tag) :]


def test_mp3_with_the_other_header(tmp_path: Path) -> None:
    data = vbri(mp3("VARIABLE"), 78)
    assert len(read(tmp_path, data)) >= 77 * 1152
    refused(tmp_path, data[: len(data) // 2])


def test_mp3_joined_from_two(tmp_path: Path) -> None:
    a = mp3("VARIABLE")
    assert len(read(tmp_path, a + a)) >= 2 * 88200
    assert len(read(tmp_path, a + mp3("VARIABLE", header=False))) >= 2 * 88200


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_ogg_joined_from_several(tmp_path: Path, subtype: str) -> None:
    a, b = by_soundfile("OGG", subtype), by_soundfile("OGG", subtype, channels=2, n=N // 2)
    one, other = read(tmp_path, a), read(tmp_path, b)
    both = np.concatenate([one, other, one])
    assert np.array_equal(read(tmp_path, a + b + a), both)
    assert np.array_equal(read(tmp_path, a + bytes(99) + b + a + b"TAG" + bytes(125)), both)
    refused(tmp_path, a + b[:-20])
    refused(tmp_path, a[:-20] + b)
    low = io.BytesIO()
    soundfile.write(low, sound(), 16000, format="OGG", subtype=subtype)
    refused(tmp_path, a + low.getvalue())


@pytest.mark.parametrize("kind", ["WAV", "AIFF", "AU", "W64"])
def test_what_is_joined_and_would_not_be_heard(tmp_path: Path, kind: str) -> None:
    refused(tmp_path, 2 * by_soundfile(kind, "PCM_16"))


def test_flac_without_a_length(tmp_path: Path) -> None:
    data = bytearray(by_soundfile("FLAC", "PCM_16"))
    whole = read(tmp_path, bytes(data))
    data[21] &= 0xF0
    data[22:42] = bytes(20)
    assert np.array_equal(read(tmp_path, bytes(data)), whole)


@pytest.mark.parametrize("samples", [2**36 - 1, 2**31, N + 1])
def test_flac_that_claims_too_much(tmp_path: Path, samples: int) -> None:
    data = bytearray(by_soundfile("FLAC", "PCM_16"))
    data[21] = data[21] & 0xF0 | samples >> 32
    data[22:26] = (samples & 0xFFFFFFFF).to_bytes(4, "big")
    refused(tmp_path, bytes(data))
    with pytest.raises(AudioError):
        read_float32(tmp_path / "a.audio")


@pytest.mark.parametrize(("kind", "subtype"), [("OGG", "VORBIS"), ("MP3", "MPEG_LAYER_III")])
def test_long_files_are_read_in_blocks_that_change_nothing(
    tmp_path: Path, kind: str, subtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = by_soundfile(kind, subtype, channels=2)
    whole = read(tmp_path, data)
    monkeypatch.setattr("hearbench.audio.decode._BLOCK_VALUES", 3000)
    assert np.array_equal(read(tmp_path, data), whole)
    with soundfile.SoundFile(tmp_path / "a.audio") as file:
        at_once = file.read(dtype="float32").mean(axis=1)
    assert np.abs(whole - 32768 * at_once).max() <= 0.51


def test_a_playlist_opens_nothing(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "other.wav", sound(), 44100)
    (tmp_path / "a.m3u8").write_text(
        f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:1,\n{tmp_path}/other.wav\n#EXT-X-ENDLIST\n"
    )
    (tmp_path / "a.txt").write_text("ffconcat version 1.0\nfile other.wav\n")
    for name in ("a.m3u8", "a.txt"):
        with pytest.raises(AudioError):
            read_mono16(tmp_path / name)


@pytest.mark.parametrize("name", ["concat:a|b.wav", "http:a.webm", "a.raw"])
def test_names_that_mean_something_elsewhere(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write: Callable[[], bytes] = lambda: by_ffmpeg("webm", "libopus", rate=48000)  # noqa: E731
    data = write() if name.endswith("webm") else by_soundfile("WAV", "PCM_16")
    assert abs(len(read(Path(), data, name)) - N) < 3000


@pytest.mark.parametrize("channels", [1, 2, 6])
def test_flac_that_ends_behind_a_frame(tmp_path: Path, channels: int) -> None:
    data = by_soundfile("FLAC", "PCM_16", channels)
    with av.open(io.BytesIO(data)) as container:
        begins = [packet.pos for packet in container.demux(audio=0) if packet.pos]
    assert len(read(tmp_path, data)) == N
    for begin in begins[1:]:
        refused(tmp_path, data[:begin])


@pytest.mark.parametrize("subtype", ["ALAC_16", "ALAC_24"])
def test_alac_of_many_channels(tmp_path: Path, subtype: str) -> None:
    data = by_soundfile("CAF", subtype, 6)
    # The last packet is what ffmpeg leaves out.
    assert N - 4096 <= len(read(tmp_path, data)) <= N
    refused(tmp_path, data[: len(data) // 2])


APE_TAG = struct.pack("<8sIIIQ", b"APETAGEX", 2000, 51, 1, 0xA0000000).ljust(32, b"\0")
APE_TAG += struct.pack("<II", 5, 0) + b"Title\0whale"
APE_TAG += struct.pack("<8sIIIQ", b"APETAGEX", 2000, 51, 1, 0x80000000).ljust(32, b"\0")


@pytest.mark.parametrize(("kind", "codec"), [("wv", "wavpack"), ("caf", "pcm_s16le")])
@pytest.mark.parametrize(
    "tag", [b"TAG".ljust(128), APE_TAG, bytes(4096)], ids=["ID3v1", "APE", "zeros"]
)
def test_tags_behind_the_samples(tmp_path: Path, kind: str, codec: str, tag: bytes) -> None:
    data = by_ffmpeg(kind, codec)
    assert np.array_equal(read(tmp_path, data + tag), read(tmp_path, data))
    refused(tmp_path, data[: len(data) // 2] + tag)
    refused(tmp_path, data + data)
