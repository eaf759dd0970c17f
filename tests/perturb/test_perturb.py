"""What each kind of disturbance does to samples, how chains are written, what is random in them."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal

from hearbench import registry
from hearbench.errors import AudioError, HearError, UnknownNameError
from hearbench.perturb import ClipSource, Perturbation, Sound, Step, parse_perturbations
from hearbench.perturb.chain import KINDS, named_sets
from hearbench.perturb.kinds import Reverb

RATE = 16000
EVERY = (
    *("noise=10", "noise=pink:10", "noise=babble:10", "gain=-20", "clip=6", "reverb=0.6"),
    *("rate=8000", "codec=mp3:32", "codec=opus:16", "shift=250", "speed=1.1", "dropout=0.05"),
    *("telephone", "room", "street"),
)

Samples = npt.NDArray[np.int16]


def voice(n: int = RATE, level: float = 3000.0, seed: int = 0) -> Samples:
    """A sound with a spectrum that falls, and pauses."""
    noise = np.random.default_rng(seed).standard_normal(n)
    shaped = signal.lfilter([1.0], [1.0, -0.9], noise) * (np.sin(np.arange(n) / 900) > -0.7)
    return np.asarray(np.rint(level * shaped / np.sqrt(np.mean(shaped**2))), dtype=np.int16)


def source(clip: str = "test/a.wav", others: Sequence[Samples] = ()) -> ClipSource:
    def some(random: np.random.RandomState, n: int) -> list[Samples]:
        return [others[i] for i in random.permutation(len(others))[:n]]

    return ClipSource("birds-1.0.0-full", clip, some)


OTHERS = [voice(9000 + 500 * i, 1000 + 800 * i, seed=i + 1) for i in range(8)]


def disturb(text: str, x: Samples, clip: str = "test/a.wav", rate: int = RATE) -> Samples:
    return Perturbation.parse(text).apply(x, rate, source(clip, OTHERS))


def decibel(x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> float:
    return float(10 * np.log10(np.mean(x**2) / np.mean(y**2)))


@pytest.mark.parametrize("variant", ["", "pink:", "babble:"])
@pytest.mark.parametrize("snr_db", [-20, -3, 0, 10, 25.5])
def test_the_signal_to_noise_ratio_is_exact(variant: str, snr_db: float) -> None:
    # So soft that both together stay below full scale: what was added is the noise.
    x = voice(level=250)
    noise = disturb(f"noise={variant}{snr_db}", x).astype(float) - x.astype(float)
    assert decibel(x.astype(float), noise) == pytest.approx(snr_db, abs=0.1)


@pytest.mark.parametrize("variant", ["", "pink:", "babble:"])
def test_the_ratio_stays_exact_where_both_would_exceed_full_scale(variant: str) -> None:
    x = voice(level=6000)
    soft = np.rint(x / 20).astype(np.int16)
    noise = disturb(f"noise={variant}-6", soft).astype(float) - soft
    y = disturb(f"noise={variant}-6", x).astype(float)
    assert np.abs(y).max() == 32767
    parts = np.stack([x.astype(float), noise], axis=1)
    clip, added = np.linalg.lstsq(parts, y, rcond=None)[0]
    assert clip < 0.95
    assert decibel(clip * parts[:, 0], added * parts[:, 1]) == pytest.approx(-6, abs=0.1)
    assert np.abs(y - parts @ [clip, added]).max() < 60


def test_pink_noise_has_the_same_power_in_every_octave() -> None:
    x = np.full(1 << 16, 1000, dtype=np.int16)
    noise = disturb("noise=pink:-20", x).astype(float)
    frequencies, power = signal.welch(noise - noise.mean(), RATE, nperseg=4096)
    octaves = [
        power[(frequencies >= low) & (frequencies < 2 * low)].sum()
        for low in (250, 500, 1000, 2000)
    ]
    assert np.ptp(10 * np.log10(octaves)) < 1.5
    white = disturb("noise=-20", x).astype(float)
    _, flat = signal.welch(white - white.mean(), RATE, nperseg=512)
    assert np.ptp(10 * np.log10(flat[2:-2])) < 4


def test_strengths_are_the_same_noise_louder_or_softer() -> None:
    x = voice(level=300)
    soft, loud = (disturb(f"noise={snr}", x).astype(float) - x for snr in (20, 10))
    assert np.corrcoef(soft, loud)[0, 1] > 0.999
    # Other clips, and a second step of the kind, have noise of their own.
    other = disturb("noise=10", x, "test/b.wav").astype(float) - x
    assert abs(np.corrcoef(loud, other)[0, 1]) < 0.05
    twice = disturb("noise=10+noise=10", x).astype(float) - x - loud
    assert abs(np.corrcoef(loud, twice)[0, 1]) < 0.05


def test_a_silent_clip_stays_silent_and_babble_needs_others() -> None:
    silence = np.zeros(4000, dtype=np.int16)
    for text in (each for each in EVERY if not each.startswith("codec") and each != "telephone"):
        assert not disturb(text, silence).any(), text
    with pytest.raises(AudioError, match="Babble"):
        Perturbation.parse("noise=babble:5").apply(voice(), RATE, source(others=[]))


def test_gain_and_clipping() -> None:
    x = voice(level=2000)
    assert decibel(x.astype(float), disturb("gain=-20", x).astype(float)) == pytest.approx(
        20, abs=0.01
    )
    loud = disturb("gain=20", x).astype(int)
    assert (loud.max(), loud.min()) == (32767, -32768)
    inside = np.abs(x.astype(int)) < 3000
    assert np.array_equal(loud[inside], 10 * x[inside].astype(int))
    driven = disturb("clip=12", x).astype(int)
    peak = np.abs(x.astype(int)).max()
    assert np.abs(driven).max() == peak
    wanted = np.clip(x * 10 ** (12 / 20), -peak, peak)
    assert np.abs(driven - wanted).max() <= 0.5
    assert np.array_equal(disturb("clip=0", x), x)


@pytest.mark.parametrize("rt60_s", [0.2, 0.6, 2.0])
def test_a_room_decays_by_60_db_in_its_time(rt60_s: float) -> None:
    random = np.random.RandomState(3)
    sound = Sound(np.zeros(1), 48000, random, lambda _: [])
    response = Reverb(rt60_s).response(sound)
    # As much energy in the room as in the direct sound.
    assert response[0] == 1.0
    assert np.square(response[1:]).sum() == pytest.approx(1.0)
    # Schroeder's backward integration; the slope between -5 and -25 dB, as ISO 3382 has it.
    decay = 10 * np.log10(np.cumsum(np.square(response[1:])[::-1])[::-1])
    there = (decay < -5) & (decay > -25)
    t = np.arange(1, len(response)) / 48000
    slope = np.polyfit(t[there], decay[there], 1)[0]
    assert -60 / slope == pytest.approx(rt60_s, rel=0.05)


def test_reverberation_is_a_convolution_that_keeps_the_level() -> None:
    x = voice(4000)
    y = disturb("reverb=0.3", x).astype(float)
    sounds: list[Sound] = []

    class Spy(Reverb):
        def apply(self, sound: Sound) -> npt.NDArray[np.float64]:
            sounds.append(sound)
            return sound.samples

    Perturbation("", (Spy(0.3),)).apply(x, RATE, source(others=OTHERS))
    by_hand = np.convolve(x, Reverb(0.3).response(sounds[0]))[: len(x)]
    by_hand *= np.sqrt(np.mean(x.astype(float) ** 2) / np.mean(by_hand**2))
    assert np.abs(y - by_hand).max() <= 0.51


def test_a_narrow_band_has_nothing_above_half_its_rate() -> None:
    x = np.rint(3000 * np.random.default_rng(0).standard_normal(RATE)).astype(np.int16)
    y = disturb("rate=4000", x)
    frequencies, power = signal.welch(y.astype(float), RATE, nperseg=1024)
    _, before = signal.welch(x.astype(float), RATE, nperseg=1024)
    assert 10 * np.log10(power[frequencies > 2200] / before[frequencies > 2200]).max() < -50
    low = frequencies < 1600
    assert np.abs(10 * np.log10(power[low] / before[low])).max() < 0.5
    assert np.array_equal(disturb("rate=16000", x), x)


@pytest.mark.parametrize("rate", [16000, 22050, 44100, 48000])
@pytest.mark.parametrize("codec", ["mp3:32", "mp3:16", "opus:24"])
def test_codecs_lose_detail_and_keep_the_time(codec: str, rate: int) -> None:
    x = voice(rate)
    y = disturb(f"codec={codec}", x, rate=rate)
    assert len(y) == len(x)
    across = signal.correlate(y.astype(float), x.astype(float), method="fft")
    # Less than a twentieth of a millisecond of delay.
    assert abs(int(across.argmax()) - len(x) + 1) <= 2
    assert np.corrcoef(x, y)[0, 1] > 0.7
    assert not np.array_equal(x, y)
    assert np.array_equal(y, disturb(f"codec={codec}", x, rate=rate))


def test_a_lower_bit_rate_loses_more() -> None:
    x = voice(48000)
    lost = [
        np.mean((disturb(f"codec={codec}", x, rate=48000) - x.astype(float)) ** 2)
        for codec in ("mp3:128", "mp3:64", "mp3:32", "opus:64", "opus:12")
    ]
    assert lost[0] < lost[1] < lost[2]
    assert lost[3] < lost[4]


def test_shift_moves_samples_and_times() -> None:
    x = voice(8000)
    late = disturb("shift=100", x)
    assert not late[:1600].any()
    assert np.array_equal(late[1600:], x[:-1600])
    early = disturb("shift=-100", x)
    assert np.array_equal(early[:-1600], x[1600:])
    assert not early[-1600:].any()
    assert Perturbation.parse("shift=100").moved_ms(50.0) == 150.0
    assert not disturb("shift=5000", x).any()


@pytest.mark.parametrize("factor", [0.5, 1.25, 2.0])
def test_speed_moves_pitch_and_times(factor: float) -> None:
    t = np.arange(RATE) / RATE
    x = np.rint(8000 * np.sin(2 * np.pi * 500 * t)).astype(np.int16)
    y = disturb(f"speed={factor}", x).astype(float)
    sounding = y[: min(RATE, int(RATE / factor))]
    spectrum = np.abs(np.fft.rfft(sounding * np.hanning(len(sounding))))
    peak = np.argmax(spectrum) * RATE / len(sounding)
    assert peak == pytest.approx(500 * factor, abs=RATE / len(sounding))
    assert not np.abs(y[int(RATE / factor) + 50 :]).any()
    step = Perturbation.parse(f"speed={factor}")
    assert step.moved_ms(100.0) == pytest.approx(100 / factor)
    assert step.changes == {"pitch"}
    assert Perturbation.parse("speed=1").changes == frozenset()


@given(share=st.floats(0, 1), n=st.integers(1, 9000))
@settings(deadline=None, max_examples=40)
def test_dropout_takes_its_share_of_frames(share: float, n: int) -> None:
    x = np.ones(n, dtype=np.int16)
    y = disturb(f"dropout={share!r}", x)
    frames = [y[i : i + 320] for i in range(0, n, 320)]
    silent = sum(not frame.any() for frame in frames)
    assert silent == round(float(f"{share:.12g}") * len(frames)) or silent == round(
        share * len(frames)
    )
    assert all(frame.all() or not frame.any() for frame in frames)


@pytest.mark.parametrize("text", EVERY)
def test_clips_keep_their_length_and_are_left_alone(text: str) -> None:
    for n in (1, 100, 4801):
        x = voice(n) if n > 10 else np.array([100], dtype=np.int16)
        before = x.copy()
        y = disturb(text, x)
        assert (y.shape, str(y.dtype)) == (x.shape, "int16")
        assert np.array_equal(x, before)


def test_the_same_bits_in_threads_and_in_another_process() -> None:
    clips = [f"test/{i}.wav" for i in range(4)]
    x = voice(4000)

    def digests() -> list[str]:
        with ThreadPoolExecutor(4) as pool:
            jobs = [(text, clip) for text in EVERY for clip in clips]
            made = pool.map(lambda job: disturb(job[0], x, job[1]), jobs)
            return [hashlib.sha256(y.tobytes()).hexdigest() for y in made]

    alone = [
        hashlib.sha256(disturb(text, x, clip).tobytes()).hexdigest()
        for text in EVERY
        for clip in clips
    ]
    assert digests() == digests() == alone
    code = (
        "import hashlib, json, sys; sys.path[:0] = json.loads(sys.argv[1]);"
        "from test_perturb import EVERY, disturb, voice; x = voice(4000);"
        "print(json.dumps([hashlib.sha256(disturb(t, x, f'test/{i}.wav').tobytes()).hexdigest()"
        " for t in EVERY for i in range(4)]))"
    )
    path = json.dumps([str(Path(__file__).parent)])
    run = subprocess.run(
        [sys.executable, "-c", code, path], capture_output=True, text=True, check=True, timeout=100
    )
    assert json.loads(run.stdout) == alone


def test_white_noise_is_the_frozen_stream() -> None:
    """The samples are those that the documentation describes, drawn here by hand."""
    x = np.full(2000, 2000, dtype=np.int16)
    named = "1\nbirds-1.0.0-full\ntest/a.wav\nnoise\n0"
    seed = np.frombuffer(hashlib.sha256(named.encode()).digest(), dtype="<u4")
    noise = np.random.RandomState(seed.tolist()).standard_normal(2000)
    noise *= 2000 / np.sqrt(np.mean(noise**2)) * 10 ** (-20 / 20)
    assert np.array_equal(disturb("noise=20", x), np.rint(2000 + noise).astype(np.int16))


def test_texts() -> None:
    def names(text: str) -> list[str]:
        return [each.name for each in parse_perturbations(text)]

    assert names("noise=20,10,0") == ["noise=20", "noise=10", "noise=0"]
    assert names(" noise=pink:20,10 ") == ["noise=pink:20", "noise=pink:10"]
    assert names("noise=white:5") == ["noise=5"]
    assert names("reverb=0.6+noise=20,10") == ["reverb=0.6+noise=20", "reverb=0.6+noise=10"]
    (chain,) = parse_perturbations("reverb=.6 + noise=pink:20")
    assert (chain.recipe, chain.series, chain.severity) == (chain.name, chain.name, None)
    assert chain.name == "reverb=0.6+noise=pink:20"
    (codec,) = parse_perturbations("codec=mp3:32")
    assert (codec.series, codec.severity) == ("codec=mp3", 32.0)
    (telephone,) = parse_perturbations("telephone")
    assert telephone.name == "telephone"
    assert telephone.recipe == "rate=8000+codec=opus:12+dropout=0.01"
    for each in (*EVERY, "reverb=0.6+noise=pink:20"):
        (one,) = parse_perturbations(each)
        assert Perturbation.parse(one.recipe).steps == one.steps
    assert {"telephone", "room", "street"} <= named_sets().keys()


@pytest.mark.parametrize(
    ("text", "error", "named"),
    [
        ("nois=10", UnknownNameError, "noise"),
        ("telefone", UnknownNameError, "telephone"),
        ("noise=loud", HearError, "noise=loud"),
        ("noise=nan", HearError, "noise=nan"),
        ("noise=brown:10", HearError, "brown"),
        ("codec=32", HearError, "mp3"),
        ("speed=0", HearError, "0.25"),
        ("dropout=1.5", HearError, "1.5"),
        ("noise=10+", HearError, "noise=10+"),
        ("=3", HearError, "=3"),
        ("nowhere.toml", HearError, "nowhere.toml"),
    ],
)
def test_texts_that_name_nothing(text: str, error: type[HearError], named: str) -> None:
    with pytest.raises(error) as found:
        parse_perturbations(text)
    assert named in str(found.value)


def test_a_bit_rate_that_a_codec_hasnt() -> None:
    with pytest.raises(AudioError, match="33"):
        disturb("codec=mp3:33", voice())


def test_sets_of_ones_own(tmp_path: Path) -> None:
    place = tmp_path / "mine.toml"
    place.write_text(
        '[cave]\nabout = "Deep."\nsteps = ["reverb=4"]\n'
        '[bus]\nsteps = ["noise=pink:0", "gain=-6"]\n'
    )
    cave, bus = parse_perturbations(str(place))
    assert (cave.name, cave.recipe) == ("cave", "reverb=4")
    assert (bus.name, bus.recipe) == ("bus", "noise=pink:0+gain=-6")
    for wrong in ("[a]\nstep = 3\n", "[a]\nsteps = []\n", "a = 1\n", "not toml", ""):
        place.write_text(wrong)
        with pytest.raises(HearError, match=r"mine\.toml"):
            parse_perturbations(str(place))


class Reversed(Step):
    """As another package would add it."""

    kind = "reversed"
    low, high = 0.0, 1.0

    def apply(self, sound: Sound) -> npt.NDArray[np.float64]:
        return sound.samples[::-1]


def test_other_packages_add_kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("reversed", f"{__name__}:Reversed", "hearbench.perturbations")
    monkeypatch.setattr(
        registry, "entry_points", lambda group: [point] if group == point.group else []
    )
    x = voice(1000)
    assert np.array_equal(disturb("reversed=1", x), x[::-1])
    assert "reversed" in KINDS.names()
