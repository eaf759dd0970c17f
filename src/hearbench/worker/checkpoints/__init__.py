"""Any audio encoder of transformers as a HEAR model.

The package is part of what is sent to other interpreters, so it needs torch, numpy and
transformers, of any version that knows the model, and nothing of hearbench.

- Encoders of the waveform (wav2vec2, HuBERT, WavLM, data2vec, UniSpeech, SEW, SpeechT5,
  Moonshine, and others of the same build): frames at the true centres of the convolution stack.
  Audio longer than ``window_s`` goes through in windows that overlap by a second on either side.
- wav2vec2-BERT: likewise, at the true centres of its pairs of filterbank frames.
- Whisper's encoder: consecutive windows of 30 s, a frame every 20 ms from 0 on.
- The Audio Spectrogram Transformer: windows of 1024 spectrogram frames, the mean over the
  patches of one time, one every 100 ms.
- CLAP's audio tower: windows of 10 s, the mean over frequency of its last grid, one every 313 ms.
- Codecs (EnCodec, DAC, Mimi): the continuous latent before it is quantised, timed at the middle
  of the block of samples that it stands for.
- Others: their frames' times are measured when they are loaded; where that fails, the model is for
  scenes alone, or its user says when its frames are. See ``measured``.

Of a published model that holds more, such as a language model, the encoder alone is loaded.

Where all hidden states have the same frames, one pass gives all of them (``get_scene_layers``,
``get_timestamp_layers``). Each goes through the same code as if it were the only one.

CLAP's text tower embeds text into the space of its pooled embeddings (``get_text_embeddings``).

Only frames that are centred within the audio count, and a clip shorter than that has one, timed
at its middle. Nothing is random, and a clip's embeddings don't depend on its batch.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import torch

from ..errors import UnusableError
from .families import tower_of
from .measured import Stated, StatedWindows
from .reading import Checkpoint, compute_in
from .timing import Tokens
from .towers import CONTEXT_S, Tower, Window

__all__ = [
    "AudioEncoder",
    "get_scene_embeddings",
    "get_scene_layers",
    "get_text_embeddings",
    "get_timestamp_embeddings",
    "get_timestamp_layers",
    "load_model",
    "trusting",
]

POOLINGS = ("first", "last", "max", "mean", "pooled", "std")
SHORTEST_WINDOW_S = 4.0


class Heard(NamedTuple):
    """What one layer makes of clips, at the model's own hop.

    Attributes:
        frames: (n_clips, n_frames, width).
        centres_ms: Of the frames, float64 (n_frames,); none where they aren't known.
        pooled: The mean of what the model pools itself, (n_clips, pooled size), if it does.
    """

    frames: torch.Tensor
    centres_ms: torch.Tensor
    pooled: torch.Tensor | None


class AudioEncoder(torch.nn.Module):
    """A HEAR model around a transformers encoder.

    Attributes:
        sample_rate: In Hz, as the encoder was trained with.
        scene_embedding_size: The encoder's width times the number of poolings.
        timestamp_embedding_size: The encoder's width.
        hearbench_notes: What results have to say of it, in sentences.
        libraries: Versions of transformers, and of what the checkpoint's own code imports.
        layers: How many layers it gives at once; not there if they have different frames.
        layer: Which of them its own embeddings are; not there without `layers`.
        embeds_text: Whether its scene embeddings are in the space of a text tower.
    """

    def __init__(self, tower: Tower, pooling: str, hop_ms: float | None) -> None:
        super().__init__()
        self.tower = tower
        self.poolings = _poolings(pooling, tower)
        self.embeds_text = tower.text is not None and self.poolings == ["pooled"]
        self.hop_ms = hop_ms
        self.hearbench_notes = tower.notes
        self.libraries: dict[str, str] = {}
        self.sample_rate = tower.sample_rate
        self.timestamp_embedding_size = tower.width
        if tower.encoder.layers:
            self.layers, self.layer = tower.encoder.layers, tower.encoder.layer
        self.scene_embedding_size = sum(
            (tower.pooled_width or 0) if name == "pooled" else tower.width for name in self.poolings
        )

    def forward(self, audio: torch.Tensor) -> Heard:
        """All frames of clips (n_clips, n_samples) in [-1, 1].

        Raises:
            UnusableError: The encoder gives fewer frames than it should.
        """
        return self.hear(audio, [self.tower.encoder.layer])[0]

    @torch.no_grad()
    def hear(self, audio: torch.Tensor, layers: Sequence[int]) -> list[Heard]:
        """All frames of clips from some of the layers, of which each is what it would be alone.

        Args:
            audio: (n_clips, n_samples) in [-1, 1].
            layers: Their numbers, from 0 on.

        Raises:
            UnusableError: The encoder gives fewer frames than it should.
        """
        end_ms = (audio.shape[1] - 1) * 1000 / self.sample_rate
        windows = self.tower.windows(audio.shape[1])
        n_frames = windows[-1].last
        # Each in an array of its own, so that what is summed over it is so in the same order.
        found = [audio.new_empty(len(audio), n_frames, self.tower.width) for _ in layers]
        pooled = [audio.new_zeros(len(audio), self.tower.pooled_width or 0) for _ in layers]
        prepared = self.tower.prepare(audio)
        n_samples = (windows[0].stop - windows[0].start) * self.tower.step_samples
        block = max(1, int(self.tower.block_s * self.sample_rate) // n_samples)
        for window in windows:
            for clip in range(0, len(audio), block):
                clips = slice(clip, clip + block)
                steps = prepared[clips, window.start : window.stop]
                with self.tower.encoder.one_pass(layers):
                    for layer, of_layer, pooled_of_layer in zip(layers, found, pooled):
                        self.tower.encoder.layer = layer
                        frames, extra = self.tower.encode(steps)
                        of_layer[clips, window.first : window.last] = _due(frames, window)
                        if extra is not None:
                            pooled_of_layer[clips] += extra / len(windows)
        if self.tower.untimed:
            centres = torch.zeros(0, dtype=torch.float64)
        else:
            centres = torch.from_numpy(self.tower.frames.centres_ms(n_frames, self.sample_rate))
            if centres[-1] > end_ms:
                centres = torch.tensor([end_ms / 2], dtype=torch.float64)
        pools = self.tower.pooled_width is not None
        return [
            Heard(frames, centres, own if pools else None) for frames, own in zip(found, pooled)
        ]


def load_model(
    model_file_path: str | Checkpoint,
    layer: int = -1,
    pooling: str = "mean",
    hop_ms: float | None = None,
    window_s: float = 30.0,
    first_ms: float | None = None,
    tokens: str = "",
    model_dtype: str = "float32",
) -> AudioEncoder:
    """A checkpoint as a HEAR model.

    Args:
        model_file_path: The checkpoint, or its folder.
        layer: Hidden state: 0 is what enters the first layer, n what leaves the last of n,
            after the model's final normalisation; -1 is n, -2 is n - 1, and so on.
        pooling: How frames become a scene embedding: ``mean``, ``max``, ``std``, ``first``,
            ``last``, or several, one after the other, as in ``mean+max``. ``pooled``: what the
            model makes of a window itself (AST: the mean of its class tokens; CLAP: the
            projection into the space that it shares with text), the mean over windows.
        hop_ms: Timestamps at 0, ``hop_ms``, ... as long as they lie within the audio, each the
            mean over the model's frames that are nearest to it, or else the nearest one.
            None: the model's own frames. Of a model whose frames can't be timed, it is the hop of
            its own frames.
        window_s: Longest audio that goes through at once, of encoders that don't fix that
            themselves, as Whisper, AST and CLAP do.
        first_ms: With ``hop_ms``, the centre of the first frame of a model whose frames can't be
            timed; half a hop by default.
        tokens: Which tokens of a model that hearbench doesn't know are its frames, where it can't
            find that out: ``1`` for one before them, such as a class token; ``1,8,by-band`` for
            one, then all times of the first of 8 bands of frequency, and so on; ``1,8,by-time``
            for one, then the 8 bands of the first time, and so on.
        model_dtype: Precision in which the network computes: ``float32``, ``bfloat16`` or
            ``float16``. Embeddings are float32 in any case, and frames are timed in float32.

    Raises:
        UnusableError: No audio encoder, a bad option, an incomplete checkpoint.
    """
    checkpoint = model_file_path
    if not isinstance(checkpoint, Checkpoint):
        checkpoint = Checkpoint(Path(checkpoint))
    if hop_ms is not None and not hop_ms > 0:
        raise UnusableError(f"hop_ms is {hop_ms}; a hop is above 0 ms.")
    if not window_s >= SHORTEST_WINDOW_S:
        raise UnusableError(
            f"window_s is {window_s}; windows overlap by {CONTEXT_S:g} s on either side, so they "
            f"last {SHORTEST_WINDOW_S:g} s at least."
        )
    stated = Stated(_tokens(tokens), hop_ms, first_ms)
    tower = tower_of(checkpoint, layer, window_s, stated)
    if isinstance(tower, StatedWindows):
        hop_ms = None
    elif first_ms is not None:
        raise UnusableError(
            "first_ms is for models whose frames can't be timed, together with hop_ms. This one's "
            "times are known."
            if tower.untimed is None
            else "first_ms goes together with hop_ms."
        )
    if model_dtype != "float32":
        compute_in(model_dtype, tower.encoder.net)
        if tower.text is not None:
            tower.text.dtype = model_dtype
    encoder = AudioEncoder(tower, pooling, hop_ms).eval()
    encoder.libraries = checkpoint.libraries()
    return encoder


def get_timestamp_embeddings(
    audio: torch.Tensor, model: AudioEncoder
) -> tuple[torch.Tensor, torch.Tensor]:
    """Embeddings of frames.

    Args:
        audio: (n_clips, n_samples) in [-1, 1] at the model's rate.
        model: Of ``load_model``.

    Returns:
        Embeddings (n_clips, n_frames, size) and frame centres in ms, float32
        (n_clips, n_frames).

    Raises:
        UnusableError: No one knows when its frames are.
    """
    if model.tower.untimed:
        raise UnusableError(
            f"The times of its frames aren't known: {model.tower.untimed}. So it is for tasks of "
            "scenes, which have one embedding per clip. If you know the times, give them with "
            "--option hop_ms=... and --option first_ms=..., or say with --option tokens=... which "
            "of its tokens are frames."
        )
    frames, centres_ms = _timed(model(audio), audio, model)
    return frames, centres_ms.to(audio.device, torch.float32).expand(frames.shape[:2])


def get_timestamp_layers(
    audio: torch.Tensor, model: AudioEncoder
) -> tuple[torch.Tensor, torch.Tensor]:
    """Embeddings of frames from all layers.

    Args:
        audio: (n_clips, n_samples) in [-1, 1] at the model's rate.
        model: Of ``load_model``, with `layers`.

    Returns:
        Embeddings (n_clips, layers, n_frames, size), of which each layer's are what
        `get_timestamp_embeddings` gives for it, and frame centres in ms, float32
        (n_clips, n_frames).
    """
    made = [_timed(heard, audio, model) for heard in model.hear(audio, range(model.layers))]
    frames = torch.stack([frames for frames, _ in made], 1)
    centres_ms = made[0][1].to(audio.device, torch.float32)
    return frames, centres_ms.expand(len(audio), frames.shape[2])


def get_scene_embeddings(audio: torch.Tensor, model: AudioEncoder) -> torch.Tensor:
    """One embedding per clip: its frames, pooled.

    Args:
        audio: (n_clips, n_samples) in [-1, 1] at the model's rate.
        model: Of ``load_model``.

    Returns:
        (n_clips, size).
    """
    return _pooled(model(audio), model)


def get_text_embeddings(texts: list[str], model: AudioEncoder) -> torch.Tensor:
    """One embedding per text, in the space of what the model pools itself.

    Args:
        texts: Any number of them, which go through together.
        model: Of ``load_model``, with the pooling ``pooled``.

    Returns:
        (n_texts, size).

    Raises:
        UnusableError: It has no text tower, or it can't be loaded, or scene embeddings are of
            another space.
    """
    text = model.tower.text
    if text is None:
        raise UnusableError("This model has no text tower.")
    if not model.embeds_text:
        raise UnusableError(
            "Text is embedded into the space of the pooling 'pooled'. Load the model with "
            "--option pooling=pooled."
        )
    return text.embed(texts, next(model.parameters()).device)


def get_scene_layers(audio: torch.Tensor, model: AudioEncoder) -> torch.Tensor:
    """One embedding per clip from each layer, as `get_scene_embeddings` gives it for that one.

    Args:
        audio: (n_clips, n_samples) in [-1, 1] at the model's rate.
        model: Of ``load_model``, with `layers`.

    Returns:
        (n_clips, layers, size).
    """
    made = [_pooled(heard, model) for heard in model.hear(audio, range(model.layers))]
    return torch.stack(made, 1)


def _due(frames: torch.Tensor, window: Window) -> torch.Tensor:
    """The frames of a window that count.

    Raises:
        UnusableError: There are fewer.
    """
    end = window.skip + window.last - window.first
    if frames.shape[1] < end:
        raise UnusableError(f"The encoder gives {frames.shape[1]} frames where {end} were due.")
    return frames[:, window.skip : end]


def _timed(
    heard: Heard, audio: torch.Tensor, model: AudioEncoder
) -> tuple[torch.Tensor, torch.Tensor]:
    """Frames at the hop that is wanted, and their centres in ms."""
    frames, centres_ms, _ = heard
    if model.hop_ms is None:
        return frames, centres_ms
    grid_ms = _grid_ms(audio.shape[1], model.sample_rate, model.hop_ms)
    return _regular(frames, centres_ms, grid_ms, model.hop_ms), grid_ms


def _pooled(heard: Heard, model: AudioEncoder) -> torch.Tensor:
    """Frames as one embedding per clip."""
    frames, _, pooled = heard
    parts: dict[str, Callable[[], Any]] = {
        "mean": lambda: frames.mean(1),
        "max": lambda: frames.amax(1),
        "std": lambda: frames.std(1, correction=0),
        "first": lambda: frames[:, 0],
        "last": lambda: frames[:, -1],
        "pooled": lambda: pooled,
    }
    return torch.cat([parts[name]() for name in model.poolings], 1)


def _tokens(text: str) -> Tokens | None:
    """What the option ``tokens`` says."""
    if not text:
        return None
    found = re.fullmatch(r"(\d+)(?:,(\d+),by-(band|time))?", text.replace(" ", ""))
    if not found or found.group(2) == "0":
        raise UnusableError(
            f"tokens is {text!r}; it is how many tokens come before the frames, and how many bands "
            "there are and how they stand, if there are several: 1, or 1,8,by-band or 1,8,by-time."
        )
    before, bands, order = found.groups()
    return Tokens(int(before), int(bands or 1), order == "band")


def _grid_ms(n_samples: int, sample_rate: int, hop_ms: float) -> torch.Tensor:
    """0, ``hop_ms``, ... as long as they lie within the audio, float64."""
    # The decimal that the caller wrote, not its nearest binary fraction.
    count = int(n_samples // (Fraction(str(hop_ms)) * sample_rate / 1000)) + 1
    return torch.from_numpy((np.arange(count) * hop_ms).astype(np.float32)).double()


def _regular(
    frames: torch.Tensor, centres_ms: torch.Tensor, grid_ms: torch.Tensor, hop_ms: float
) -> torch.Tensor:
    """Frames brought to a grid: means of those nearest to each point, or the nearest frame."""
    last = len(grid_ms) - 1
    place = torch.round(centres_ms / hop_ms).long().clamp(0, last)
    count = torch.bincount(place, minlength=last + 1)
    total = frames.new_zeros(len(frames), last + 1, frames.shape[2])
    total.index_add_(1, place.to(frames.device), frames)
    after = torch.searchsorted(centres_ms, grid_ms).clamp(max=len(centres_ms) - 1)
    before = (after - 1).clamp(min=0)
    is_before = grid_ms - centres_ms[before] <= centres_ms[after] - grid_ms
    nearest = torch.where(is_before, before, after).to(frames.device)
    count = count.to(frames.device)[:, None]
    return torch.where(count > 0, total / count.clamp(min=1), frames[:, nearest])


def _poolings(text: str, tower: Tower) -> list[str]:
    names = text.split("+")
    for name in names:
        if name not in POOLINGS:
            raise UnusableError(
                f"There is no pooling {name!r}: {', '.join(POOLINGS)}, or several with + between."
            )
    if "pooled" in names and tower.pooled_width is None:
        raise UnusableError(
            "This model pools nothing itself; pooling 'pooled' is for AST and CLAP."
        )
    return names


@functools.wraps(load_model)
def _load_trusting(model_file_path: str, *arguments: Any, **options: Any) -> AudioEncoder:
    if not __name__.startswith("hearbench_worker."):
        raise UnusableError(
            "Code that a checkpoint brings isn't run in hearbench's own process. Use --trust-code, "
            "which gives it one of its own."
        )
    checkpoint = Checkpoint(Path(model_file_path), trust_code=True)
    return load_model(checkpoint, *arguments, **options)


trusting = SimpleNamespace(
    load_model=_load_trusting,
    get_scene_embeddings=get_scene_embeddings,
    get_timestamp_embeddings=get_timestamp_embeddings,
    get_scene_layers=get_scene_layers,
    get_text_embeddings=get_text_embeddings,
    get_timestamp_layers=get_timestamp_layers,
)
"""The same functions for checkpoints whose own code may be run, in a process of its own."""
