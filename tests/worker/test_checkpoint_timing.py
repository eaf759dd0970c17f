from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import pytest
import torch

from hearbench.worker.checkpoints.receptive import Frames
from hearbench.worker.checkpoints.timing import (
    Grid,
    Tokens,
    UntimedError,
    check_grid,
    measure,
    place,
)
from hearbench.worker.errors import UnusableError

RATE = 16000


def _windows(size: int, hop: int, padding: int = 0) -> Callable[[torch.Tensor], torch.Tensor]:
    """Frames that hold their own samples, so that their centres are known."""

    def encode(audio: torch.Tensor) -> torch.Tensor:
        padded = torch.nn.functional.pad(audio, (padding, padding))
        return padded.unfold(1, size, hop) * torch.hann_window(size)

    return encode


@pytest.mark.parametrize(
    ("size", "hop", "padding", "reach"),
    [(400, 160, 0, 400), (400, 320, 0, 400), (1200, 640, 600, 0), (2560, 1280, 1280, 0)],
)
def test_hop_count_and_centre_of_windows(size: int, hop: int, padding: int, reach: int) -> None:
    grid = measure(_windows(size, hop, padding), RATE)
    assert grid.frames.hop == hop
    assert (grid.reach, grid.window_samples) == (reach, None)
    # The window's middle; places are rounded to an eighth of a hop.
    centre = (size - 1) / 2 - padding
    assert abs(float(grid.frames.first) - centre) <= hop / 8
    for n_samples in (4001, 16000, 160000):
        padded = n_samples + 2 * padding
        assert grid.count(n_samples) == (padded - size) // hop + 1


def test_a_shift_of_one_hop_is_seen() -> None:
    plain = _windows(800, 640)

    def late(audio: torch.Tensor) -> torch.Tensor:
        return plain(torch.nn.functional.pad(audio, (0, 640)))[:, 1:]

    one, other = measure(plain, RATE), measure(late, RATE)
    assert abs(other.frames.first - one.frames.first - 640) <= 80


def test_a_fixed_window_is_spread_over_its_frames() -> None:
    plain = _windows(400, 160, 200)

    def encode(audio: torch.Tensor) -> torch.Tensor:
        return plain(torch.nn.functional.pad(audio, (0, 160000 - audio.shape[1])))[:, :1000]

    grid = measure(encode, RATE, 160000)
    assert grid == Grid(grid.frames, 0, 160000, 1000)
    assert grid.frames.hop == 160
    assert abs(grid.frames.first) <= 20
    assert grid.count(12345) == 1000


def _seconds(audio: torch.Tensor) -> torch.Tensor:
    return _windows(8000, 16000)(audio)


def _rare(audio: torch.Tensor) -> torch.Tensor:
    return _windows(8000, 40000)(audio)


def _irregular(audio: torch.Tensor) -> torch.Tensor:
    hop = 320 if audio.shape[1] < 30000 else 321
    return _windows(400, hop)(audio)


def _one_frame(audio: torch.Tensor) -> torch.Tensor:
    return audio[:, None, :4000]


def _mixing(audio: torch.Tensor) -> torch.Tensor:
    # Each frame is the sum of all, plus a constant of its own.
    frames = _windows(400, 320)(audio)
    return frames.sum(1, keepdim=True) + torch.arange(frames.shape[1])[:, None]


def _backwards(audio: torch.Tensor) -> torch.Tensor:
    return _windows(400, 320)(audio).flip(1)


def _lagging(audio: torch.Tensor) -> torch.Tensor:
    return _windows(400, 320)(torch.nn.functional.pad(audio, (3200, 0)))


def _batchwise(audio: torch.Tensor) -> torch.Tensor:
    frames = _windows(400, 320)(audio)
    return frames - frames.mean(0, keepdim=True) / 2


def _silent(audio: torch.Tensor) -> torch.Tensor:
    return _windows(400, 320)(audio) / 0


class _Noisy:
    def __init__(self) -> None:
        self.generator = torch.Generator().manual_seed(1)

    def __call__(self, audio: torch.Tensor) -> torch.Tensor:
        frames = _windows(400, 320)(audio)
        return frames + 0.1 * torch.randn(frames.shape, generator=self.generator)


@pytest.mark.parametrize(
    ("encode", "message"),
    [
        (_seconds, r"1\.00 s apart, too far"),
        (_rare, "24000 samples more give 0 frames more"),
        (_irregular, "constant hop of whole samples: 30 for 9760"),
        (_one_frame, "1 frames whatever the length"),
        (_mixing, "all of its frames alike|hops away"),
        (_backwards, r"\d hops away from where they should"),
        (_lagging, "first frame answers to what is at -"),
        (_batchwise, "depend on the other clips in the batch"),
        (_silent, "aren't finite"),
        (_Noisy(), "other frames for the same audio each time"),
    ],
)
def test_what_cannot_be_timed_is_refused(
    encode: Callable[[torch.Tensor], torch.Tensor], message: str
) -> None:
    with pytest.raises(UnusableError, match=message):
        measure(encode, RATE)


def test_a_fixed_window_of_another_length_is_refused() -> None:
    plain = _windows(400, 160, 200)

    def encode(audio: torch.Tensor) -> torch.Tensor:
        return plain(torch.nn.functional.pad(audio, (0, 160000 - audio.shape[1])))[:, :1000]

    # Says 8 s, and is 10 s: hops of 128 samples rather than 160.
    with pytest.raises(UnusableError, match="hops away"):
        measure(encode, RATE, 128000)


def test_hops_that_are_no_whole_number_of_samples_are_refused() -> None:
    def encode(audio: torch.Tensor) -> torch.Tensor:
        n_frames = int((audio.shape[1] - 400) / Fraction(641, 2)) + 1
        starts = (torch.arange(n_frames) * 320.5).long()
        return audio.unfold(1, 400, 1)[:, starts]

    with pytest.raises(UnusableError, match="constant hop of whole samples"):
        measure(encode, RATE)


def test_frames_before_the_audio_do_not_count() -> None:
    plain = _windows(400, 320)

    def late(audio: torch.Tensor) -> torch.Tensor:
        return plain(torch.nn.functional.pad(audio, (1600, 0)))

    grid = measure(late, RATE)
    # The first five frames see nothing but silence, or hear less than half.
    assert grid.tokens.before == 5
    assert abs(float(grid.frames.first) - 199.5) <= 40
    assert grid.count(16000) == (16000 - 400) // 320 + 1


def _class_token(tokens: torch.Tensor) -> torch.Tensor:
    return torch.cat([tokens.mean(1, keepdim=True), tokens], 1)


def _by_band(audio: torch.Tensor) -> torch.Tensor:
    return _class_token(_spectra(audio).transpose(1, 2).flatten(1, 2))


def _by_time(audio: torch.Tensor) -> torch.Tensor:
    return _class_token(_spectra(audio).flatten(1, 2))


def _spectra(audio: torch.Tensor) -> torch.Tensor:
    """(n, times, 8 bands, 4 numbers) every 100 ms."""
    frames = audio.unfold(1, 2560, 1600) * torch.hann_window(2560)
    power: torch.Tensor = torch.fft.rfft(frames).abs()[..., 1:33]
    return power.reshape(*power.shape[:2], 8, 4)


def _fixed(
    encode: Callable[[torch.Tensor], torch.Tensor],
) -> Callable[[torch.Tensor], torch.Tensor]:
    return lambda audio: encode(torch.nn.functional.pad(audio, (0, 160960 - audio.shape[1])))


@pytest.mark.parametrize("by_band", [True, False])
def test_bands_of_frequency_are_found_and_not_taken_for_time(by_band: bool) -> None:
    encode = _by_band if by_band else _by_time
    for window in (None, 160960):
        grid = measure(_fixed(encode) if window else encode, RATE, window)
        assert grid.tokens == Tokens(1, 8, by_band)
        # 160960 samples are 100 frames and a bit.
        assert float(grid.frames.hop) == pytest.approx(1600, rel=1e-2 if window else 0)
        assert abs(float(grid.frames.first) - 1279.5) <= 400
        assert grid.count(160960) == 100
    tokens = encode(torch.ones(2, 16000))
    assert torch.allclose(grid.tokens.frames(tokens), _spectra(torch.ones(2, 16000)).mean(2))
    # Stated wrongly, the impulses object.
    with pytest.raises(UntimedError, match=r"hops away|alike"):
        measure(_fixed(encode), RATE, 160960, Tokens(1))
    with pytest.raises(UntimedError, match=r"hops away|alike"):
        measure(_fixed(encode), RATE, 160960, Tokens(1, 8, not by_band))
    with pytest.raises(UnusableError, match="801 tokens aren't 1 and others in 7 bands"):
        measure(_fixed(encode), RATE, 160960, Tokens(1, 7, by_band))


def test_two_bands_of_a_time_are_no_frames_of_half_the_hop() -> None:
    def encode(audio: torch.Tensor) -> torch.Tensor:
        spectra = _spectra(audio)
        return spectra.reshape(len(spectra), 2 * spectra.shape[1], 16)

    grid = measure(encode, RATE)
    assert grid.tokens == Tokens(0, 2, False)
    assert grid.frames.hop == 1600


def test_a_class_token_is_no_frame() -> None:
    plain = _windows(800, 320)
    grid = measure(lambda audio: _class_token(plain(audio)), RATE)
    assert grid.tokens == Tokens(1)
    assert abs(float(grid.frames.first) - 399.5) <= 40
    assert grid.count(16000) == plain(torch.zeros(1, 16000)).shape[1]


def test_frames_that_come_in_blocks_are_counted() -> None:
    plain = _windows(640, 320)

    def encode(audio: torch.Tensor) -> torch.Tensor:
        return plain(torch.nn.functional.pad(audio, (0, -audio.shape[1] % 1280)))

    grid = measure(encode, RATE)
    assert grid.frames.hop == 320
    assert grid.block == 4
    for n_samples in (5000, 16000, 16001):
        assert grid.count(n_samples) == encode(torch.zeros(1, n_samples)).shape[1]


def test_a_stated_grid_is_checked_by_impulses() -> None:
    plain = _windows(400, 320)
    grid = measure(plain, RATE)
    assert check_grid(plain, RATE, grid) == 0
    late = Grid(Frames(grid.frames.first + 960, grid.frames.hop), grid.reach)
    assert check_grid(plain, RATE, late) == 3


def test_known_frames_are_counted_and_not_timed() -> None:
    def count(n_samples: int) -> int:
        return (n_samples - 400) // 320 + 1

    known = Frames(Fraction(399, 2), Fraction(320))
    assert place(count, RATE, None, known) == Grid(known, 400)
    with pytest.raises(UnusableError, match="320 samples apart, and 160 were due"):
        place(count, RATE, None, Frames(Fraction(0), Fraction(160)))
    # The first frame whose centre isn't before the audio.
    early = place(count, RATE, None, Frames(Fraction(-200), Fraction(320)))
    assert early.frames.first == 120
    assert early.tokens == Tokens(1)
    # Windows of 2 s, whatever the length.
    windows = place(lambda _: 100, RATE, 32000, Frames(Fraction(0), Fraction(320)))
    assert windows == Grid(Frames(Fraction(0), Fraction(320)), 0, 32000, 100)
