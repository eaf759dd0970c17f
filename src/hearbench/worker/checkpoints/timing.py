"""When the frames of an encoder are that no one has described: by measurement.

Assumed is that frame ``i`` is centred on ``first + i * hop`` samples, and that tokens are frames,
or bands of frequency at each frame, perhaps with others before them, such as a class token.

- The hop comes from the exact lengths at which noise gets more tokens, and has to predict the
  number of tokens at other lengths. A model that gives as many for any length is taken to
  spread them evenly over the window that its extractor fixes, which the impulses then confirm.
- Which tokens are frames comes from impulses as well. A token before the frames answers to none of
  them more than to others. If what is left isn't a row of frames, it is tried as bands: all frames
  of a band together, or all bands of a frame.
- The centre comes from impulses in the noise at sixteen places, at evenly spread distances from
  the frames: where each changes the frames most, less the number of hops to there, is an estimate
  of ``first``. Each has to be within a hop of their mean, and the mean counts, rounded to an
  eighth of a hop. An encoder that only looks back is thus timed where its frames answer.
- A clip has to give the same frames again, and in a batch with another one.

Accuracy below a fraction of a hop isn't promised: where the architecture is known, what
``receptive`` works out is exact.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Callable

import torch

from ..errors import UnusableError
from .receptive import Frames

__all__ = ["Encode", "Grid", "Tokens", "UntimedError", "check_grid", "measure", "place"]

# Audio (n_clips, n_samples) to tokens (n_clips, n_tokens, size).
Encode = Callable[[torch.Tensor], torch.Tensor]

# Lengths between which tokens are counted, and others that have to fit.
COUNTED_S = (1.0, 2.5)
CHECKED_S = (0.61, 1.37, 4.83)
N_IMPULSES = 16
GOLDEN = 0.618
NOISE_LEVEL, IMPULSE_LEVEL = 0.05, 0.9
# Audio on either side of the impulses, so that none is near an edge.
MARGIN_S = 0.3
# Where the first token that hears anything has to answer, whatever the hop.
STARTS_S = (0.01, 0.03, 0.08)
# By that factor a frame changes more where the impulse is close to it.
MORE_THAN_USUAL = 10
# Of the greatest change: what lies below is attention's and normalisation's share.
LEAST_CHANGE = 0.2
# Hops between an impulse and the frames that answer, if those are frames beyond doubt: half a hop
# is what there is between an instant and the nearest frame.
WORST_FIT = 0.75
# Errors that differ less, as a factor, are alike.
SAME_FIT = 1.2
# More tokens before the frames than that are frames that answer late.
MOST_BEFORE = 8
# With fewer times, bands fit anything.
LEAST_TIMES = 12
ROUNDING = 8
# Of frames that aren't the same ones, relative to their norm.
LEAST_DIFFERENCE = 1e-3
# Before the audio, a frame that is centred further away than that isn't one of its frames.
EARLY_HOPS = Fraction(1, 4)
# The first frame's centre, at most; HEAR's checks of timestamps want it early as well.
LATEST_FIRST_S = 0.5


class UntimedError(UnusableError):
    """The times of an encoder's frames can't be told; the message says why."""


@dataclass(frozen=True)
class Tokens:
    """Which tokens of a network stand for which time.

    Attributes:
        before: Tokens before those of the audio, such as a class token.
        bands: Tokens of one time, each a band of frequency.
        by_band: Whether all times of a band stand together, and not all bands of a time.
    """

    before: int = 0
    bands: int = 1
    by_band: bool = False

    def times(self, n_tokens: int) -> int:
        """Times that a number of tokens stand for."""
        return (n_tokens - self.before) // self.bands

    def grouped(self, tokens: torch.Tensor) -> torch.Tensor:
        """(n_clips, n_tokens, ...) to (n_clips, bands, n_times, ...)."""
        n_times = self.times(tokens.shape[1])
        tokens = tokens[:, self.before : self.before + n_times * self.bands]
        if self.by_band:
            return tokens.reshape(len(tokens), self.bands, n_times, *tokens.shape[2:])
        return tokens.reshape(len(tokens), n_times, self.bands, *tokens.shape[2:]).transpose(1, 2)

    def frames(self, tokens: torch.Tensor) -> torch.Tensor:
        """(n_clips, n_tokens, width) to (n_clips, n_times, width), the mean over bands."""
        return self.grouped(tokens).mean(1) if self.bands > 1 else tokens[:, self.before :]


@dataclass(frozen=True)
class Grid:
    """Where the frames of an encoder are.

    Attributes:
        frames: Centres.
        reach: Samples of the shortest clip with frames.
        window_samples: Of an encoder that takes windows of one length, their length.
        window_frames: Its length in frames.
        least: Frames of the shortest clip.
        block: Frames that a clip gets at once, as it gets longer.
        tokens: Which of the network's tokens the frames are.
    """

    frames: Frames
    reach: int = 0
    window_samples: int | None = None
    window_frames: int = 0
    least: int = 1
    block: int = 1
    tokens: Tokens = Tokens()

    def count(self, n_samples: int) -> int:
        """Frames for audio of a length."""
        if self.window_samples is not None:
            return self.window_frames
        blocks = (n_samples - self.reach) // int(self.block * self.frames.hop)
        return self.least + blocks * self.block


@torch.no_grad()
def measure(
    encode: Encode,
    sample_rate: int,
    fixed_samples: int | None = None,
    declared: Tokens | None = None,
) -> Grid:
    """Finds out where an encoder's frames are.

    Args:
        encode: From clips (n, samples) to tokens (n, tokens, width).
        sample_rate: In Hz.
        fixed_samples: The length to which its extractor brings all clips, if it has one.
        declared: Which tokens are frames, if that is known.

    Raises:
        UntimedError: Its frames aren't at a constant hop, or can't be told apart.
        UnusableError: It is random, or clips of a batch aren't independent.
    """
    lengths = _lengths(sample_rate)
    noise = _noise(max(2 * max(lengths), fixed_samples or 0))
    counts: dict[int, int] = {}

    def count(n_samples: int) -> int:
        if n_samples not in counts:
            counts[n_samples] = encode(noise[:, :n_samples]).shape[1]
        return counts[n_samples]

    _check_clips(encode, noise[:, : 2 * lengths[0]].reshape(2, -1))
    found = [count(length) for length in lengths]
    law = _fixed(found[0], fixed_samples) if len(set(found)) == 1 else _growing(count, lengths)
    grid, first = _timed(encode, noise, law, sample_rate, declared)
    _check_counts(grid, {length: count(length) for length in lengths})
    hop = grid.frames.hop
    first_ms = float(first * 1000 / sample_rate)
    if first > 2 * hop and float(first) > LATEST_FIRST_S * sample_rate:
        raise UntimedError(
            f"its first frame answers to what is at {first_ms:.0f} ms, at a hop of "
            f"{float(hop * 1000 / sample_rate):.0f} ms, so frames aren't where their audio is"
        )
    # A measured centre just before the audio may as well be its beginning.
    early = max(0, math.ceil(-first / hop - EARLY_HOPS))
    if early > (MOST_BEFORE if grid.tokens.bands == 1 else 0):
        raise UntimedError(f"its first frame answers to what is at {first_ms:.0f} ms")
    return _without(grid, law, early, max(Fraction(0), first + early * hop))


def place(
    count: Callable[[int], int], sample_rate: int, fixed_samples: int | None, known: Frames
) -> Grid:
    """How many frames an encoder has whose frames are known.

    Args:
        count: Tokens of a clip of so many samples.
        sample_rate: In Hz.
        fixed_samples: The length to which its extractor brings all clips, if it has one.
        known: Where the frames are.

    Raises:
        UnusableError: It has another hop.
    """
    lengths = _lengths(sample_rate)
    is_fixed = count(lengths[0]) == count(lengths[1])
    law = _fixed(count(lengths[0]), fixed_samples) if is_fixed else _growing(count, lengths)
    grid = law.grid(Tokens())
    if not is_fixed:
        _check_counts(grid, {length: count(length) for length in lengths})
    hop = grid.frames.hop
    if hop != known.hop:
        raise UnusableError(
            f"its frames are {float(hop):g} samples apart, and {float(known.hop):g} were due"
        )
    early = max(0, math.ceil(-known.first / hop))
    return _without(grid, law, early, known.first + early * hop)


def _lengths(sample_rate: int) -> list[int]:
    return [round(duration_s * sample_rate) for duration_s in (*COUNTED_S, *CHECKED_S)]


def _noise(n_samples: int) -> torch.Tensor:
    return NOISE_LEVEL * torch.randn(1, n_samples, generator=torch.Generator().manual_seed(0))


def _without(grid: Grid, law: _Law, early: int, first: Fraction) -> Grid:
    """A grid without frames before the audio, and with its first frame at a sample."""
    tokens = replace(grid.tokens, before=grid.tokens.before + early)
    found = law.grid(tokens) if early else grid
    return replace(found, frames=Frames(first, grid.frames.hop))


def _check_counts(grid: Grid, counts: dict[int, int]) -> None:
    is_growing = grid.window_samples is None
    is_other = any(
        grid.count(length) != grid.tokens.times(n_tokens) for length, n_tokens in counts.items()
    )
    if is_growing and (is_other or grid.frames.hop.denominator > 1):
        listed = ", ".join(f"{counts[length]} for {length}" for length in sorted(counts))
        raise UntimedError(
            f"its frames aren't at a constant hop of whole samples: {listed} samples"
        )


@torch.no_grad()
def check_grid(encode: Encode, sample_rate: int, grid: Grid) -> float:
    """How far a grid that someone states is from where impulses change frames, in hops.

    Raises:
        UntimedError: That can't be told.
    """
    n_samples = max(round(2 * max(CHECKED_S) * sample_rate), grid.window_samples or 0)
    noise = _noise(n_samples)
    first = _Impulses.near(encode, noise, grid, sample_rate).first(grid)
    return abs(float((first - grid.frames.first) / grid.frames.hop))


@dataclass(frozen=True)
class _Law:
    """How the number of tokens follows from the length of the audio.

    Attributes:
        start: Of growing clips, the shortest audio with ``n_tokens``.
        n_tokens: Of that audio, or of every window.
        step: Samples after which more tokens come, or the window's length.
        more: Tokens that come then; 0 for windows of one length.
    """

    start: int
    n_tokens: int
    step: int
    more: int

    def grid(self, tokens: Tokens) -> Grid:
        """Frames that tokens make, if the first is at 0."""
        if (self.n_tokens - tokens.before) % tokens.bands or self.more % tokens.bands:
            raise UnusableError(
                f"its {self.n_tokens} tokens aren't {tokens.before} and others in {tokens.bands} "
                "bands"
            )
        n_times = tokens.times(self.n_tokens)
        if not self.more:
            frames = Frames(Fraction(0), Fraction(self.step, n_times))
            return Grid(frames, 0, self.step, n_times, tokens=tokens)
        block = self.more // tokens.bands
        frames = Frames(Fraction(0), Fraction(self.step, block))
        blocks, least = divmod(n_times - 1, block)
        reach = self.start - blocks * self.step
        return Grid(frames, reach, least=least + 1, block=block, tokens=tokens)


def _fixed(n_tokens: int, n_samples: int | None) -> _Law:
    if not n_samples or n_tokens < 2:
        raise UntimedError(
            f"it gives {n_tokens} frames whatever the length of the audio, and its extractor "
            "doesn't say how long a window is (n_samples)"
        )
    return _Law(0, n_tokens, n_samples, 0)


def _growing(count: Callable[[int], int], lengths: list[int]) -> _Law:
    low, high = lengths[0], lengths[1]
    more = count(high) - count(low)
    start = _edge(count, count(low) + 1, low, high) if more > 1 else high
    end = _edge(count, count(high), low, high) if more > 1 else high
    if start == end:
        raise UntimedError(f"{high - low} samples more give {more} frames more, too few to time")
    step = Fraction((end - start) * (count(start) - count(low)), count(end) - count(start))
    if step.denominator > 1 or step < 1:
        counts = ", ".join(f"{count(length)} for {length}" for length in sorted(lengths))
        raise UntimedError(
            f"its frames aren't at a constant hop of whole samples: {counts} samples"
        )
    return _Law(start, count(start), int(step), count(start) - count(low))


def _edge(count: Callable[[int], int], number: int, low: int, high: int) -> int:
    """The shortest audio that gives a number of tokens; ``low`` gives fewer, ``high`` enough."""
    while high - low > 1:
        middle = (low + high) // 2
        if count(middle) >= number:
            high = middle
        else:
            low = middle
    return high


def _check_clips(encode: Encode, clips: torch.Tensor) -> None:
    together = encode(clips)
    if not together.isfinite().all():
        raise UnusableError("its frames of noise aren't finite")
    if not _alike(together, encode(clips)):
        raise UnusableError("it gives other frames for the same audio each time")
    if not _alike(together[1:], encode(clips[1:])):
        raise UnusableError("its frames of a clip depend on the other clips in the batch")


def _alike(one: torch.Tensor, other: torch.Tensor) -> bool:
    # Kernels sum in another order for another batch, so single numbers may differ by more.
    return bool((one - other).norm() <= LEAST_DIFFERENCE * other.norm())


def _timed(
    encode: Encode, noise: torch.Tensor, law: _Law, sample_rate: int, declared: Tokens | None
) -> tuple[Grid, Fraction]:
    """Which tokens are frames, and the centre of the first, in samples."""
    grid = law.grid(declared or Tokens())
    near = _Impulses.near(encode, noise, grid, sample_rate)
    if not declared:
        grid = law.grid(Tokens(near.before()))
    error = near.error(grid)
    if declared or error <= WORST_FIT * grid.frames.hop:
        return grid, near.first(grid)
    wide = _Impulses.wide(encode, noise, law, sample_rate)
    banded = wide.best(law)
    if banded is None:
        return grid, near.first(grid)
    return banded, _Impulses.near(encode, noise, banded, sample_rate).first(banded)


@dataclass(frozen=True)
class _Impulses:
    """What impulses in noise change.

    Attributes:
        starts: How much those at the beginning change each token, (n_starts, n_tokens).
        places: Samples of the others.
        change: How much those change each token, (n_places, n_tokens).
        n_samples: Of the clip.
    """

    starts: torch.Tensor
    places: list[int]
    change: torch.Tensor
    n_samples: int

    @classmethod
    def near(cls, encode: Encode, noise: torch.Tensor, grid: Grid, sample_rate: int) -> _Impulses:
        """Places that move on by a sixteenth against the frames from one to the next."""
        hop = grid.frames.hop
        margin = round(MARGIN_S * sample_rate)
        pace = hop * Fraction(N_IMPULSES + 1, N_IMPULSES)
        length = margin + round((N_IMPULSES - 1) * pace) + margin
        if grid.window_samples is not None and length > grid.window_samples:
            # There are few frames, and so places on all of them.
            length = grid.window_samples
            margin = min(margin, length // 8)
            pace = Fraction(length - 2 * margin, N_IMPULSES)
        if length > noise.shape[1]:
            raise UntimedError(
                f"its frames are {float(hop) / sample_rate:.2f} s apart, too far to be timed"
            )
        places = [margin + round(number * pace) for number in range(N_IMPULSES)]
        starts = [int(hop / 8), int(hop / 2), int(3 * hop / 2)]
        return cls._of(encode, noise[:, :length], starts, places)

    @classmethod
    def wide(cls, encode: Encode, noise: torch.Tensor, law: _Law, sample_rate: int) -> _Impulses:
        """Places all over a clip, at all distances from frames of any hop."""
        length = law.step
        if law.more:
            length = max(round(COUNTED_S[1] * sample_rate), law.start + 32 * law.step)
            length = min(length, noise.shape[1])
        margin = min(round(MARGIN_S * sample_rate), length // 8)
        spread = (length - 2 * margin) / N_IMPULSES
        places = [
            margin + int((number + number * GOLDEN % 1) * spread) for number in range(N_IMPULSES)
        ]
        starts = [round(start_s * sample_rate) for start_s in STARTS_S]
        return cls._of(encode, noise[:, :length], starts, places)

    @classmethod
    def _of(
        cls, encode: Encode, quiet: torch.Tensor, starts: list[int], places: list[int]
    ) -> _Impulses:
        before = encode(quiet)
        everywhere = starts + places
        changes = []
        for first in range(0, len(everywhere), 9):
            some = everywhere[first : first + 9]
            clips = quiet.repeat(len(some), 1)
            clips[range(len(some)), some] = IMPULSE_LEVEL
            changes.append((encode(clips) - before).double().square().sum(2))
        change = torch.cat(changes).cpu()
        return cls(change[: len(starts)], places, change[len(starts) :], quiet.shape[1])

    def before(self) -> int:
        """Tokens at the beginning that answer to impulses anywhere alike."""
        most = torch.cat([self.starts, self.change]).amax(0)
        answers = most > MORE_THAN_USUAL * self.change.median(0).values
        before = int(answers.nonzero()[0]) if answers.any() else 0
        return before if before <= MOST_BEFORE else 0

    def best(self, law: _Law) -> Grid | None:
        """The most exact of grids with bands, if any fits."""
        before = self.before()
        n_tokens = law.n_tokens - before
        fits = []
        for bands in range(2, (law.more or n_tokens // LEAST_TIMES) + 1):
            if n_tokens % bands == 0 and law.more % bands == 0:
                for by_band in (True, False):
                    grid = law.grid(Tokens(before, bands, by_band))
                    error = self.error(grid)
                    if error <= WORST_FIT * grid.frames.hop:
                        fits.append((error, grid))
        if not fits:
            return None
        least = min(error for error, _ in fits)
        # Half of the bands of a time are as exact as all of them, as frames of half the hop.
        alike = [grid for error, grid in fits if error <= SAME_FIT * least]
        return max(alike, key=lambda grid: grid.frames.hop)

    def error(self, grid: Grid) -> float:
        """Samples between the impulses and the frames that they change, at most."""
        try:
            estimates = self._estimates(grid)
        except UntimedError:
            return math.inf
        return float((estimates - estimates.mean()).abs().max())

    def first(self, grid: Grid) -> Fraction:
        """The centre of a grid's first frame, in samples.

        Raises:
            UntimedError: Frames aren't where the grid has them.
        """
        hop = grid.frames.hop
        estimates = self._estimates(grid)
        off = float((estimates - estimates.mean()).abs().max()) / float(hop)
        if not off <= 1:
            raise UntimedError(
                f"impulses in noise change its frames {off:.1f} hops away from where they should, "
                "so their times can't be told"
            )
        return Fraction(round(float(estimates.mean()) / float(hop) * ROUNDING), ROUNDING) * hop

    def _estimates(self, grid: Grid) -> torch.Tensor:
        """Of the first frame's centre, by each impulse."""
        hop = grid.frames.hop
        change = grid.tokens.grouped(self.change).sum(1)
        # Beyond the audio there may be padding, which answers to the loudest sample of all.
        change = change[:, : max(1, int(self.n_samples / hop))]
        floor = torch.maximum(
            LEAST_CHANGE * change.amax(1, keepdim=True), 2 * change.median(1, keepdim=True).values
        )
        share = (change - floor).clamp(min=0)
        if not (share.sum(1) > 0).all():
            raise UntimedError("impulses in noise change all of its frames alike")
        number = torch.arange(change.shape[1], dtype=torch.float64)
        places = torch.tensor(self.places, dtype=torch.float64)
        return places - float(hop) * (share @ number / share.sum(1))
