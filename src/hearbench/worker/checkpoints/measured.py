"""Encoders that hearbench doesn't know: how they are called, and towers of measured times.

What is assumed of them: the feature extractor that is saved with them takes clips at one rate, and
the network takes what it makes, by the names of its parameters. Of what it returns the last hidden
state is taken, or what else is a row of vectors (see ``_frames_in``). When frames are is measured
as ``timing`` describes. An encoder whose frames can't be timed is for scenes alone. Hidden states
that are as long and as large as the output have its frames.

Frames that are centred in padding, beyond the audio, don't count. All clips of a batch are of one
length, so that an extractor pads them only as it would pad each alone.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Hashable

import numpy as np
import torch

from ..errors import UnusableError
from .receptive import ChunkedFrames, Frames
from .timing import COUNTED_S, Grid, Tokens, UntimedError, check_grid, measure, place
from .towers import CONTEXT_S, Consecutive, Encoder, Overlapping, Tower, Window

__all__ = [
    "AnyEncoder",
    "Chunks",
    "MeasuredClips",
    "MeasuredWindows",
    "Stated",
    "StatedWindows",
    "Untimed",
    "known_tower",
    "measured_tower",
]

# Shorter clips are filled up with silence: normalisation needs more than a frame or two.
SHORTEST_S = 0.25
# What follows a clip where its frames are stated, so that the last one is there.
SILENCE_S = 1.0
# Audio by which the axes of the output are told apart.
SHAPES_S = COUNTED_S
# Names of outputs, the better ones first.
OUTPUTS = ("last_hidden_state", "latents", "hidden_states", "embeddings", "features", "logits")
CODES = ("audio_codes", "codes")
# Masks that are true where there is padding.
OF_PADDING = ("audio_mel_mask",)
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


# What was measured of a checkpoint: a model is loaded again for every kind of task.
_MEASURED: dict[Hashable, Grid | str] = {}


class _LatentError(Exception):
    """Carries what a codec hands to its quantiser out of the codec's own code."""

    def __init__(self, latent: torch.Tensor) -> None:
        super().__init__()
        self.latent = latent


class _Quantiser(torch.nn.Module):
    """Stands where a codec's quantiser was, and ends the computation there."""

    def forward(self, latent: torch.Tensor, *_: Any, **__: Any) -> Any:
        raise _LatentError(latent)

    encode = forward


class AnyEncoder(Encoder):
    """A network that is called by the names of its parameters.

    Of a codec (a network with ``encode`` and ``quantizer``), what it would quantise is its output.

    Attributes:
        masks: Parameters that tell audio from padding.
        has_channels: Whether samples go in as (n, 1, samples).
        axis: Of the output, the one that holds the numbers of a vector.
    """

    def __init__(self, net: Any, extractor: Any, layer: int) -> None:
        if hasattr(net, "encode") and isinstance(getattr(net, "quantizer", None), torch.nn.Module):
            net.quantizer = _Quantiser()
        super().__init__(net, extractor, -1, -1, 0)
        self.call = net.encode if isinstance(getattr(net, "quantizer", 0), _Quantiser) else net
        forward = net.encode if self.call is not net else net.forward
        self.parameters_of_call = {
            name: parameter
            for name, parameter in inspect.signature(forward).parameters.items()
            if parameter.kind is parameter.POSITIONAL_OR_KEYWORD
        }
        self.masks = [
            name
            for name in self.parameters_of_call
            if "mask" in name and not name.startswith("output_")
        ]
        self.axis = -1
        self.has_channels = False
        # Some take a mask in another form, which clips of one length don't need, or samples in
        # channels.
        masks = self.masks
        ways = [(masks, False), ([], False), (masks, True), ([], True)]
        refused: list[UnusableError] = []
        for self.masks, self.has_channels in ways if masks else ways[::2]:
            try:
                self._settle(layer)
                break
            except UnusableError as error:
                refused.append(error)
        else:
            raise refused[0]

    @torch.no_grad()
    def _settle(self, layer: int) -> None:
        """Finds out about layers, axes and width."""
        # Not silence, which normalisation may divide by.
        n_samples = [round(duration_s * self.sample_rate) for duration_s in SHAPES_S]
        noise = 0.1 * torch.randn(1, n_samples[1], generator=torch.Generator().manual_seed(0))
        clips = [noise[:, :n] for n in n_samples]
        self.layer = self.n_layers = -1
        n_layers = self._count_layers(clips[0], is_needed=layer != -1)
        if n_layers is not None:
            if not -n_layers - 1 <= layer <= n_layers:
                raise UnusableError(
                    f"There is no layer {layer}: the model has 0 to {n_layers}, or -1 to "
                    f"{-n_layers - 1} from the end."
                )
            self.layer, self.n_layers = layer % (n_layers + 1), n_layers
        short, long = (tuple(self.output(clip).shape[1:]) for clip in clips)
        self.are_alike = bool(n_layers) and self._has_alike_layers(clips)
        self.axis = _vector_axis(short, long)
        self.width = short[self.axis - 1]
        shapes = zip(n_samples, (short, long))
        self._counts = {n: int(np.prod(shape)) // self.width for n, shape in shapes}

    def _count_layers(self, clip: torch.Tensor, *, is_needed: bool) -> int | None:
        """The number of the last hidden state; None if there are none, and none are needed.

        Raises:
            UnusableError: There are none, and one is needed.
        """
        try:
            made = self._called(clip, output_hidden_states=True)
        except UnusableError:
            if is_needed:
                raise
            return None
        states = getattr(made, "hidden_states", None)
        listed = states if isinstance(states, (tuple, list)) else ()
        if listed and all(isinstance(state, torch.Tensor) for state in listed):
            return len(listed) - 1
        if is_needed:
            raise UnusableError(
                f"{type(self.net).__name__} gives no states of single layers; leave layer at -1"
            )
        return None

    def _has_alike_layers(self, clips: list[torch.Tensor]) -> bool:
        """Whether all hidden states are as large as the output, which stays what it is."""
        layers = range(self.n_layers + 1)
        for clip in clips:
            with self.one_pass([self.n_layers]):
                self.layer = self.n_layers
                last = self.output(clip)
            with self.one_pass(layers):
                for layer in layers:
                    self.layer = layer
                    try:
                        state = self.output(clip)
                    except UnusableError:
                        return False
                    if state.shape != last.shape:
                        return False
                if not torch.equal(state, last):
                    return False
        return True

    @torch.no_grad()
    def count(self, n_samples: int) -> int:
        """How many tokens a clip of so many samples gives."""
        if n_samples not in self._counts:
            clip = torch.zeros(1, n_samples, device=next(self.parameters()).device)
            self._counts[n_samples] = self.tokens(clip).shape[1]
        return self._counts[n_samples]

    @property
    def fixed_samples(self) -> int | None:
        """The length to which the extractor brings all clips, if it has one."""
        extractor = self.extractor
        fixed = getattr(extractor, "n_samples", None) or getattr(extractor, "nb_max_samples", None)
        return int(fixed) if fixed else None

    def tokens(self, audio: torch.Tensor) -> torch.Tensor:
        """Clips (n, samples) to (n, tokens, width).

        Raises:
            UnusableError: Vectors are of another size than before.
        """
        found = self.output(audio).movedim(self.axis, -1).flatten(1, -2)
        if found.shape[2] != self.width:
            raise UnusableError(
                f"{type(self.net).__name__} gives vectors of {found.shape[2]} numbers for "
                f"{audio.shape[1]} samples, and of {self.width} for others"
            )
        return found

    def output(self, audio: torch.Tensor) -> torch.Tensor:
        """What is taken of the network's output for clips (n, samples), clips first.

        Raises:
            UnusableError: It isn't a row of vectors for each clip.
        """
        short = round(SHORTEST_S * self.sample_rate) - audio.shape[1]
        audio = torch.nn.functional.pad(audio, (0, max(0, short)))
        options = {"output_hidden_states": True} if self.asks_for_states() else {}
        made = self.once("output", lambda: self._called(audio, **options))
        is_last = self.layer == self.n_layers
        found = _frames_in(made, self.net) if is_last else made.hidden_states[self.layer]
        if found.ndim == 2 and found.shape[0] != len(audio):
            # All clips in one row, without padding between them.
            found = found.reshape(len(audio), -1, found.shape[1])
        if found.ndim == 2:
            found = found[:, None]
        if found.ndim not in (3, 4) or found.shape[0] != len(audio):
            raise UnusableError(
                f"{type(self.net).__name__} gives {tuple(found.shape)} for {len(audio)} clips, "
                "which isn't (clips, frames, numbers)"
            )
        return found

    def _called(self, audio: torch.Tensor, **options: Any) -> Any:
        try:
            return self.call(**self._inputs(audio), **options)
        except _LatentError as error:
            return error.latent
        except FAILURES as error:
            raise UnusableError(
                f"{type(self.net).__name__} fails on {audio.shape[1] / self.sample_rate:.2f} s "
                f"of audio through {type(self.extractor).__name__}, {type(error).__name__}: {error}"
            ) from error

    def _inputs(self, audio: torch.Tensor) -> dict[str, Any]:
        """What the extractor makes of clips, by the names of the network's parameters."""
        names = self.parameters_of_call
        is_packed = "feature_lens" in names
        if is_packed:
            made = self.features(
                audio, padding="longest", truncation=False, return_attention_mask=True
            )
        elif any(name not in ("attention_mask", "padding_mask") for name in self.masks):
            made = self.features(audio, return_attention_mask=True)
        else:
            made = self.features(audio)
        made_masks = {name: made.pop(name) for name in list(made) if "mask" in name}
        inputs: dict[str, Any] = {name: made[name] for name in names if name in made}
        for name in self.masks:
            mask = made_masks.get(name)
            if mask is None and len(self.masks) == 1:
                mask = next(iter(made_masks.values()), None)
            if mask is not None:
                inputs[name] = ~mask.bool() if name in OF_PADDING else mask
        for name, parameter in names.items():
            if "mask" in name and parameter.default is parameter.empty:
                inputs.setdefault(name, None)
        main = next(iter(names))
        if main not in inputs:
            inputs[main] = next(value for value in made.values() if value.is_floating_point())
        if self.has_channels and inputs[main].ndim == 2:
            inputs[main] = inputs[main][:, None]
        if is_packed:
            heard = next(iter(made_masks.values())).bool()
            inputs[main] = inputs[main].transpose(1, 2)[heard].T
            inputs["feature_lens"] = heard.sum(1)
            if "aftercnn_lens" in names:
                # Of older versions, which don't count themselves what a stride of 2 leaves.
                inputs["aftercnn_lens"] = (inputs["feature_lens"] - 1) // 2 + 1
        return inputs


def _vector_axis(short: tuple[int, ...], long: tuple[int, ...]) -> int:
    """The axis of a vector's numbers in an output with clips first, from two lengths of audio."""
    same = [axis for axis, (one, two) in enumerate(zip(short, long), 1) if one == two]
    if len(short) != len(long) or not same:
        raise UnusableError(f"its output is {short} for one clip and {long} for another")
    if len(short) == 2:
        return same[-1]
    # Of images, channels come first.
    return 1 if 1 in same else same[-1]


def _frames_in(output: Any, net: Any) -> torch.Tensor:
    """The vectors in a network's output, which may be a tensor, a tuple or a mapping."""
    if isinstance(output, torch.Tensor):
        return output if output.is_floating_point() else _vectors_of(output, net)
    items = dict(output.items()) if hasattr(output, "items") else dict(enumerate(output))
    tensors = {key: item for key, item in items.items() if isinstance(item, torch.Tensor)}
    for name in OUTPUTS:
        if name in tensors and tensors[name].is_floating_point():
            return tensors[name]
    for name in CODES:
        if name in tensors:
            return _vectors_of(tensors[name], net)
    rows = [item for item in tensors.values() if item.is_floating_point() and item.ndim > 1]
    if not rows:
        raise UnusableError(f"its output holds no vectors, only {', '.join(map(str, items))}")
    return max(rows, key=lambda item: item.ndim)


def _vectors_of(codes: torch.Tensor, net: Any) -> torch.Tensor:
    """The vectors that codes (n, frames) or (n, books, frames) stand for, summed over books."""
    books = [
        part.weight
        for part in net.modules()
        if isinstance(part, torch.nn.Embedding) and part.num_embeddings > int(codes.max())
    ]
    codes = codes[:, None] if codes.ndim == 2 else codes
    if codes.ndim != 3 or len(books) != codes.shape[1]:
        raise UnusableError(
            f"its output are codes {tuple(codes.shape)}, and it has {len(books)} tables of vectors"
        )
    found = [torch.nn.functional.embedding(codes[:, n], book) for n, book in enumerate(books)]
    return torch.stack(found).sum(0)


@dataclass(frozen=True)
class Stated:
    """What a user states about an encoder's frames; None is what has to be found out.

    Attributes:
        tokens: Which of the tokens are frames.
        hop_ms: Between the centres of frames that can't be timed.
        first_ms: The first frame's centre; half a hop where a hop is stated alone.
    """

    tokens: Tokens | None = None
    hop_ms: float | None = None
    first_ms: float | None = None


def known_tower(encoder: AnyEncoder, window_s: float, known: Frames) -> Tower:
    """The tower of an encoder that is called like unknown ones, and whose frames are known.

    Raises:
        UnusableError: They have another hop than is known.
    """
    grid = place(encoder.count, encoder.sample_rate, encoder.fixed_samples, known)
    return _tower(encoder, grid, window_s)


def measured_tower(
    encoder: AnyEncoder, window_s: float, stated: Stated, key: Hashable = None
) -> Tower:
    """The tower of an encoder of an unknown kind.

    Args:
        encoder: The network, with its layer and width.
        window_s: Longest audio at once, if its extractor doesn't fix that.
        stated: What its user knows.
        key: What is the same if the encoder is loaded again; it isn't measured again then.

    Raises:
        UnusableError: It isn't what this module's docstring assumes.
    """
    if encoder.are_alike:
        with encoder.one_pass([encoder.n_layers]):
            encoder.layer = encoder.n_layers
            found = _measured(encoder, stated, key)
        # Where the last layer's frames can't be timed, those of another perhaps can.
        encoder.are_alike = isinstance(found, Grid)
    if not encoder.are_alike:
        found = _measured(encoder, stated, key)
    return _tower_of(found, encoder, window_s, stated)


def _measured(encoder: AnyEncoder, stated: Stated, key: Hashable) -> Grid | str:
    """When the frames of the encoder's layer are, or why that can't be told."""
    key = (key, encoder.layer, stated.tokens)
    if key not in _MEASURED:
        try:
            found: Grid | str = measure(
                encoder.tokens, encoder.sample_rate, encoder.fixed_samples, stated.tokens
            )
        except UntimedError as error:
            found = str(error)
        if key[0] is None:
            return found
        _MEASURED[key] = found
    return _MEASURED[key]


def _tower_of(found: Grid | str, encoder: AnyEncoder, window_s: float, stated: Stated) -> Tower:
    """The tower of a grid, or of an encoder without one and the reason."""
    if isinstance(found, Grid):
        return _tower(encoder, found, window_s)
    window_samples = encoder.fixed_samples or round(window_s * encoder.sample_rate)
    if stated.hop_ms is None:
        return Untimed(encoder, window_samples, stated, found)
    return StatedWindows(encoder, window_samples, stated)


def _tower(encoder: AnyEncoder, grid: Grid, window_s: float) -> Tower:
    if grid.window_samples is not None:
        return MeasuredWindows(encoder, grid)
    return MeasuredClips(encoder, grid, window_s)


class MeasuredClips(Overlapping):
    """Clips of any length; long ones in windows."""

    encoder: AnyEncoder

    def __init__(self, encoder: AnyEncoder, grid: Grid, window_s: float) -> None:
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
        found = self.grid.tokens.frames(self.encoder.tokens(audio))
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

    encoder: AnyEncoder

    def __init__(self, encoder: AnyEncoder, grid: Grid) -> None:
        super().__init__(encoder)
        self.grid = grid
        self.frames = grid.frames
        self.step_frames = grid.window_frames
        self.window_samples = int(grid.window_samples or 0)

    def encode(self, audio: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Samples (n, samples), which the extractor fills up, to frames of a whole window."""
        return self.grid.tokens.frames(self.encoder.tokens(audio)), None


class Chunks(Consecutive):
    """An encoder over spectra that takes its clips apart into chunks.

    Args:
        encoder: The network.
        frames: When its frames are.
        n_chunks: Chunks that go through at once.
    """

    encoder: AnyEncoder

    def __init__(self, encoder: AnyEncoder, frames: ChunkedFrames, n_chunks: int) -> None:
        super().__init__(encoder)
        self.frames = frames
        self.spectra_hop = encoder.setting("hop_length")
        self.step_frames = n_chunks * frames.per_chunk
        self.window_samples = int(self.step_frames * frames.hop)

    def windows(self, n_samples: int) -> list[Window]:
        """Windows one after the other, with frames of whole spectra."""
        # Spectra begin at multiples of their hop, and what is left over at the end makes none.
        heard = max(1, n_samples // self.spectra_hop * self.spectra_hop - self.spectra_hop + 1)
        *found, last = super().windows(heard)
        return [*found, replace(last, stop=min(last.start + self.window_samples, n_samples))]

    def encode(self, audio: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Samples (n, samples) to frames."""
        return self.encoder.tokens(audio), None


class Untimed(Consecutive):
    """Windows of an encoder whose frames have no times that are known."""

    encoder: AnyEncoder

    def __init__(self, encoder: AnyEncoder, window_samples: int, stated: Stated, why: str) -> None:
        super().__init__(encoder)
        self.window_samples = window_samples
        self.tokens = stated.tokens or Tokens()
        self.untimed = why
        self.notes = (f"the times of its frames aren't known, so it is for scenes alone: {why}",)

    def windows(self, n_samples: int) -> list[Window]:
        """Windows one after the other, with as many frames as the network gives for them."""
        found = []
        first = 0
        for start in range(0, n_samples, self.window_samples):
            stop = min(start + self.window_samples, n_samples)
            last = first + self.tokens.times(self.encoder.count(stop - start))
            found.append(Window(start, stop, first, last, 0))
            first = last
        return found

    def encode(self, audio: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Samples (n, samples) to frames."""
        return self.tokens.frames(self.encoder.tokens(audio)), None


class StatedWindows(Consecutive):
    """Windows of an encoder whose frames are where its user says.

    Impulses have the last word in a note, as they couldn't time the frames by themselves.
    """

    encoder: AnyEncoder

    def __init__(self, encoder: AnyEncoder, window_samples: int, stated: Stated) -> None:
        super().__init__(encoder)
        hop_ms = stated.hop_ms or 0.0
        first_ms = hop_ms / 2 if stated.first_ms is None else stated.first_ms
        scale = Fraction(self.sample_rate, 1000)
        hop, first = Fraction(hop_ms) * scale, Fraction(first_ms) * scale
        self.frames = Frames(first, hop)
        self.step_frames = max(1, int(window_samples / hop))
        self.window_samples = window_samples
        self.tokens = stated.tokens or Tokens()
        grid = Grid(self.frames, 0, window_samples, self.step_frames, tokens=self.tokens)
        says = f"its frames are {hop_ms:g} ms apart from {first_ms:g} ms on because options say so"
        try:
            off = check_grid(encoder.tokens, self.sample_rate, grid)
        except UntimedError as error:
            self.notes = (f"{says}, which impulses don't confirm: {error}",)
        else:
            self.notes = (f"{says}; impulses are answered {off:.2g} hops from there",)

    def encode(self, audio: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Samples (n, samples), and some silence, to frames."""
        silence = round(SILENCE_S * self.sample_rate)
        padded = torch.nn.functional.pad(audio, (0, silence))[:, : self.window_samples]
        return self.tokens.frames(self.encoder.tokens(padded)), None
