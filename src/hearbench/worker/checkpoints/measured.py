"""Towers of transformers encoders that hearbench doesn't know: their frames' times are measured.

What is assumed of them: the feature extractor that is saved with them takes clips at one rate,
the network takes what it makes and gives ``last_hidden_state`` (batch, frames, width), and frames
are at a constant hop of whole samples. All of that is put to the test when such a model is loaded,
and a model that fails is refused.

Frames that are centred in padding, beyond the audio, don't count. All clips of a batch are of one
length, so that an extractor pads them only as it would pad each alone.

When frames are is found by measurement. Assumed is that frame ``i`` is centred on
``first + i * hop`` samples, with a whole hop.

- The hop comes from the exact lengths at which noise gets a frame more, and has to predict the
  number of frames at other lengths. A model that gives as many frames for any length is taken to
  spread them evenly over the window that its extractor fixes, which the impulses then confirm.
- The centre comes from impulses in the noise at sixteen places, at evenly spread distances from
  the frames: where each changes the frames most, less the number of hops to there, is an estimate
  of ``first``. Each has to be within a hop of their mean, and the mean counts, rounded to an
  eighth of a hop. An encoder that only looks back is thus timed where its frames answer.
- A clip has to give the same frames again, and in a batch with another one.

Accuracy below a fraction of a hop isn't promised: where the architecture is known, what
``receptive`` works out is exact.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Callable

import torch

from ..errors import UnusableError
from .receptive import Frames
from .towers import CONTEXT_S, Consecutive, Encoder, Overlapping, Tower

__all__ = ["Encode", "Grid", "MeasuredClips", "layers_and_width", "measure", "measured_tower"]

# Shorter clips are filled up with silence: normalisation needs more than a frame or two.
SHORTEST_S = 0.25
# Audio (n_clips, n_samples) to frames (n_clips, n_frames, size).
Encode = Callable[[torch.Tensor], torch.Tensor]

# Lengths between which frames are counted, and others that have to fit.
COUNTED_S = (1.0, 2.5)
CHECKED_S = (0.61, 1.37, 4.83)
N_IMPULSES = 16
NOISE_LEVEL, IMPULSE_LEVEL = 0.05, 0.9
# Audio on either side of the impulses, so that none is near an edge.
MARGIN_S = 0.3
# Of the greatest change: what lies below is attention's and normalisation's share.
LEAST_CHANGE = 0.2
ROUNDING = 8
# Of frames that aren't the same ones, relative to their norm.
LEAST_DIFFERENCE = 1e-3
# The first frame's centre, at most; HEAR's checks of timestamps want it early as well.
LATEST_FIRST_S = 0.5
# What a network or an extractor raises on input that it doesn't take.
FAILURES = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    ImportError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)


def measured_tower(encoder: Encoder, window_s: float) -> Tower:
    """The tower of an encoder of an unknown kind.

    Args:
        encoder: Its layer and width are settled.
        window_s: Longest audio at once, if its extractor doesn't fix that.

    Raises:
        UnusableError: It isn't what this module's docstring assumes.
    """
    extractor = encoder.extractor
    fixed = getattr(extractor, "n_samples", None) or getattr(extractor, "nb_max_samples", None)
    grid = measure(lambda audio: _encode(encoder, audio), encoder.sample_rate, fixed)
    if grid.window_samples is not None:
        return MeasuredWindows(encoder, grid)
    return MeasuredClips(encoder, grid, window_s)


@torch.no_grad()
def layers_and_width(net: Any, extractor: Any) -> tuple[int, int]:
    """How many layers have states like a network's output, and how wide that is.

    Args:
        net: The encoder.
        extractor: Its feature extractor.

    Returns:
        The number of layers, or -1 where there is nothing but the output, and the width.

    Raises:
        UnusableError: The network fails on audio, or its output isn't a row of frames.
    """
    encoder = Encoder(net, extractor, -1, -1, 0)
    # Not silence, which normalisation may divide by.
    audio = 0.1 * torch.randn(1, encoder.sample_rate, generator=torch.Generator().manual_seed(0))
    last = _call(encoder, audio, lambda inputs: encoder.hidden(**inputs))
    if not isinstance(last, torch.Tensor) or last.ndim != 3:
        raise UnusableError("its last_hidden_state isn't (batch, frames, width)")
    try:
        states = _call(
            encoder, audio, lambda inputs: net(**inputs, output_hidden_states=True).hidden_states
        )
    except UnusableError:
        states = None  # it knows no such option
    if not states or any(state.shape != last.shape for state in states):
        return -1, last.shape[2]
    return len(states) - 1, last.shape[2]


def _call(
    encoder: Encoder, audio: torch.Tensor, use: Callable[[dict[str, torch.Tensor]], Any]
) -> Any:
    """What the network makes of the extractor's output for clips (n, samples)."""
    short = round(SHORTEST_S * encoder.sample_rate) - audio.shape[1]
    audio = torch.nn.functional.pad(audio, (0, max(0, short)))
    accepted = inspect.signature(encoder.net.forward).parameters
    try:
        made = encoder.features(audio)
        return use({key: made[key] for key in made if key in accepted})
    except FAILURES as error:
        raise UnusableError(
            f"{type(encoder.net).__name__} fails on {audio.shape[1] / encoder.sample_rate:.2f} s "
            f"of audio through {type(encoder.extractor).__name__}, {type(error).__name__}: {error}"
        ) from error


def _encode(encoder: Encoder, audio: torch.Tensor) -> torch.Tensor:
    found: torch.Tensor = _call(encoder, audio, lambda inputs: encoder.hidden(**inputs))
    if found.ndim != 3 or found.shape[0] != len(audio) or found.shape[2] != encoder.width:
        raise UnusableError(
            f"{type(encoder.net).__name__} gives {tuple(found.shape)} for {len(audio)} clips, "
            f"which isn't (clips, frames, {encoder.width})"
        )
    return found


class MeasuredClips(Overlapping):
    """Clips of any length; long ones in windows."""

    def __init__(self, encoder: Encoder, grid: Grid, window_s: float) -> None:
        super().__init__(encoder)
        self.grid = grid
        self.frames = grid.frames
        self.step = int(grid.frames.hop)
        self.reach = max(1, grid.reach)
        self.context = round(CONTEXT_S * self.sample_rate / self.step)
        self.window_frames = grid.count(round(window_s * self.sample_rate))

    def n_frames(self, n_samples: int) -> int:
        """Frames that are centred within the clip."""
        within = self.frames.count_before(n_samples)
        return max(1, min(self.grid.count(self.n_steps(n_samples)), within))

    def n_steps(self, n_samples: int) -> int:
        """Samples, with zeros added up to a quarter of a second."""
        return max(n_samples, round(SHORTEST_S * self.sample_rate), self.reach)

    def prepare(self, audio: torch.Tensor) -> torch.Tensor:
        """Long enough for a frame."""
        missing = self.n_steps(audio.shape[1]) - audio.shape[1]
        return torch.nn.functional.pad(audio, (0, missing))

    def encode(self, audio: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Samples (n, samples) to frames.

        Raises:
            UnusableError: There are fewer than there should be: the audio is too long for it.
        """
        found = _encode(self.encoder, audio)
        expected = self.grid.count(audio.shape[1])
        if found.shape[1] != expected:
            raise UnusableError(
                f"{type(self.encoder.net).__name__} gives {found.shape[1]} frames for "
                f"{audio.shape[1] / self.sample_rate:.1f} s of audio, and {expected} were due. "
                "Give it shorter windows with the option window_s."
            )
        return found, None


class MeasuredWindows(Consecutive):
    """Windows of the length that the extractor fixes."""

    def __init__(self, encoder: Encoder, grid: Grid) -> None:
        super().__init__(encoder)
        self.frames = grid.frames
        self.step_frames = grid.window_frames
        self.window_samples = int(grid.window_samples or 0)

    def encode(self, audio: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Samples (n, samples), which the extractor fills up, to frames of a whole window."""
        return _encode(self.encoder, audio), None


@dataclass(frozen=True)
class Grid:
    """Where the frames of an encoder are.

    Attributes:
        frames: Centres.
        reach: Samples of the first frame's clip: ``(n - reach) // hop + 1`` frames for n.
        window_samples: Of an encoder that takes windows of one length, their length.
        window_frames: Its length in frames.
    """

    frames: Frames
    reach: int = 0
    window_samples: int | None = None
    window_frames: int = 0

    def count(self, n_samples: int) -> int:
        """Frames for audio of a length."""
        if self.window_samples is not None:
            return self.window_frames
        return (n_samples - self.reach) // int(self.frames.hop) + 1


@torch.no_grad()
def measure(encode: Encode, sample_rate: int, fixed_samples: int | None = None) -> Grid:
    """Finds out where an encoder's frames are.

    Args:
        encode: From clips (n, samples) to frames (n, frames, width).
        sample_rate: In Hz.
        fixed_samples: The length to which its extractor brings all clips, if it has one.

    Raises:
        UnusableError: Its frames aren't at a constant hop, or can't be told apart, it is random,
            or clips of a batch aren't independent.
    """
    generator = torch.Generator().manual_seed(0)
    lengths = [round(duration_s * sample_rate) for duration_s in (*COUNTED_S, *CHECKED_S)]
    noise = NOISE_LEVEL * torch.randn(1, 2 * max(lengths), generator=generator)
    known: dict[int, int] = {}

    def count(n_samples: int) -> int:
        if n_samples not in known:
            known[n_samples] = encode(noise[:, :n_samples]).shape[1]
        return known[n_samples]

    found = [count(length) for length in lengths]
    grid = _fixed(found[0], fixed_samples) if len(set(found)) == 1 else _growing(count, lengths)
    _check_clips(encode, noise[:, : 2 * lengths[0]].reshape(2, -1))
    first = _first(encode, noise, grid, sample_rate)
    hop = grid.frames.hop
    if not -0.5 <= first / hop <= max(2, LATEST_FIRST_S * sample_rate / hop):
        raise UnusableError(
            f"its first frame answers to what is at {float(first * 1000 / sample_rate):.0f} ms, at "
            f"a hop of {float(hop * 1000 / sample_rate):.0f} ms, so frames aren't where their "
            "audio is"
        )
    return Grid(Frames(first, hop), grid.reach, grid.window_samples, grid.window_frames)


def _fixed(n_frames: int, n_samples: int | None) -> Grid:
    if not n_samples or n_frames < 2:
        raise UnusableError(
            f"it gives {n_frames} frames whatever the length of the audio, and its extractor "
            "doesn't say how long a window is (n_samples)"
        )
    return Grid(Frames(Fraction(0), Fraction(n_samples, n_frames)), 0, n_samples, n_frames)


def _growing(count: Callable[[int], int], lengths: list[int]) -> Grid:
    start, stop = lengths[0], lengths[1]
    more = count(stop) - count(start)
    if more < 2:
        raise UnusableError(f"{stop - start} samples more give {more} frames more, too few to time")
    # Where the frames are regular, the next one comes and the last one came less than this away.
    near = min(2 * (stop - start) // more, stop - start)
    first, last = count(start) + 1, count(stop)
    edges = _edge(count, first, start, start + near), _edge(count, last, stop - near, stop)
    hop = Fraction(edges[1] - edges[0], last - first)
    if hop >= 1 and hop.denominator == 1:
        grid = Grid(Frames(Fraction(0), hop), edges[0] - (first - 1) * int(hop))
        if all(grid.count(length) == count(length) for length in lengths):
            return grid
    counts = ", ".join(f"{count(length)} for {length}" for length in sorted(lengths))
    raise UnusableError(f"its frames aren't at a constant hop of whole samples: {counts} samples")


def _edge(count: Callable[[int], int], number: int, low: int, high: int) -> int:
    """The shortest audio that gives a number of frames; ``low`` gives fewer, ``high`` enough."""
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


def _first(encode: Encode, noise: torch.Tensor, grid: Grid, sample_rate: int) -> Fraction:
    """The centre of frame 0, in samples, by impulses."""
    hop = grid.frames.hop
    margin = round(MARGIN_S * sample_rate)
    # From one to the next, the impulses move on by a sixteenth against the frames.
    places = [
        margin + round(number * hop * (N_IMPULSES + 1) / N_IMPULSES) for number in range(N_IMPULSES)
    ]
    length = places[-1] + margin
    if grid.window_samples is not None and length > grid.window_samples:
        raise UnusableError(
            f"its windows of {grid.window_samples} samples are too short to time frames that are "
            f"{float(hop):.0f} samples apart"
        )
    if length > noise.shape[1]:
        raise UnusableError(
            f"its frames are {float(hop) / sample_rate:.2f} s apart, too far to be timed"
        )
    clips = noise[:, :length].repeat(N_IMPULSES, 1)
    clips[range(N_IMPULSES), places] = IMPULSE_LEVEL
    quiet = encode(noise[:, :length])
    loud = torch.cat([encode(clips[:8]), encode(clips[8:])])
    # Beyond the audio there may be padding, which answers to the loudest sample of all.
    change = (loud - quiet)[:, : int(length / hop)].double().square().sum(2)
    floor = torch.maximum(
        LEAST_CHANGE * change.amax(1, keepdim=True), 2 * change.median(1, keepdim=True).values
    )
    share = (change - floor).clamp(min=0)
    if not (share.sum(1) > 0).all():
        raise UnusableError("impulses in noise change all of its frames alike")
    number = torch.arange(change.shape[1], dtype=torch.float64, device=change.device)
    centroid = (share @ number / share.sum(1)).cpu()
    estimates = torch.tensor(places, dtype=torch.float64) - float(hop) * centroid
    mean = estimates.mean()
    worst = float((estimates - mean).abs().max()) / float(hop)
    if not worst <= 1:
        raise UnusableError(
            f"impulses in noise change its frames {worst:.1f} hops away from where they should, "
            "so their times can't be told"
        )
    return Fraction(round(float(mean) / float(hop) * ROUNDING), ROUNDING) * hop
