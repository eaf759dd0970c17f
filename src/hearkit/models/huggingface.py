"""Any audio encoder of transformers as a HEAR model.

- Encoders of the waveform (wav2vec2, HuBERT, WavLM, data2vec, UniSpeech, SEW, Moonshine, and
  others of the same build): frames at the true centres of the convolution stack. Audio longer
  than ``window_s`` goes through in windows that overlap by a second on either side.
- Whisper's encoder: consecutive windows of 30 s, a frame every 20 ms from 0 on.
- The Audio Spectrogram Transformer: windows of 1024 spectrogram frames, the mean over the
  patches of one time, one every 100 ms.
- CLAP's audio tower: windows of 10 s, the mean over frequency of its last grid, one every 313 ms.

Only frames that are centred within the audio count, and a clip shorter than that has one, timed
at its middle. Nothing is random, and a clip's embeddings don't depend on its batch.
"""

from __future__ import annotations

import re
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch

from hearkit.errors import DownloadError, HearError, ModelError
from hearkit.models.framing import frame_centres
from hearkit.models.receptive import Convolution, Frames, Stack, convolutions, stack_of

__all__ = [
    "AudioEncoder",
    "get_scene_embeddings",
    "get_timestamp_embeddings",
    "load_model",
    "resolve",
    "weight_files",
]

WAVEFORM_TYPES = (
    "data2vec-audio",
    "hubert",
    "sew",
    "sew-d",
    "unispeech",
    "unispeech-sat",
    "wav2vec2",
    "wav2vec2-conformer",
    "wavlm",
)
POOLINGS = ("first", "last", "max", "mean", "pooled", "std")
CONTEXT_S = 1.0
SHORTEST_WINDOW_S = 4.0
# Audio that is in the encoder at once: more clips than that go through one block at a time.
BLOCK_S = 60.0
# As of Wav2Vec2FeatureExtractor's normalisation.
SMALLEST_VARIANCE = 1e-7

_HUB_NAME = re.compile(r"[A-Za-z0-9_][\w.-]*(/[\w.-]+)?")
_SMALL_FILES = ("config.json", "preprocessor_config.json", "processor_config.json")
_SAFE_WEIGHTS, _OLD_WEIGHTS = "*.safetensors", "pytorch_model*.bin"
# Used in training alone, and left out of some checkpoints.
_UNUSED_WEIGHTS = ("masked_spec_embed",)


@dataclass(frozen=True)
class _Window:
    """Samples that go through the encoder together, and which of all frames they give."""

    start: int
    stop: int
    first: int
    last: int
    skip: int


class _Tower(torch.nn.Module, ABC):
    """A transformers model with what it takes to feed it; see the subclasses."""

    frames: Frames
    sample_rate: int
    n_layers: int
    width: int
    pooled_width: int | None = None

    def __init__(self, net: Any, extractor: Any, layer: int) -> None:
        super().__init__()
        self.net = net
        self.extractor = extractor
        self.layer = layer
        self.sample_rate = int(extractor.sampling_rate)

    @abstractmethod
    def windows(self, n_samples: int) -> list[_Window]:
        """Windows that give every frame of a clip once, in order."""

    @abstractmethod
    def encode(self, audio: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Windows (n, samples) to frames (n, frames, width), and pooled (n, pooled_width)."""

    def prepare(self, audio: torch.Tensor) -> torch.Tensor:
        """What is done to whole clips (n_clips, n_samples) before they are cut into windows."""
        return audio

    def features(self, audio: torch.Tensor, **options: Any) -> dict[str, torch.Tensor]:
        """The extractor's spectrograms, on the device of the audio."""
        made = self.extractor(
            list(audio.detach().cpu().numpy()),
            sampling_rate=self.sample_rate,
            return_tensors="pt",
            **options,
        )
        return {
            key: value.to(audio.device, torch.float32 if value.is_floating_point() else None)
            for key, value in made.items()
        }

    def hidden(self, **inputs: torch.Tensor) -> torch.Tensor:
        """The chosen hidden state; the last is the model's output, after its final norm."""
        if self.layer == self.n_layers:
            last: torch.Tensor = self.net(**inputs).last_hidden_state
            return last
        state: torch.Tensor = self.net(**inputs, output_hidden_states=True).hidden_states[
            self.layer
        ]
        return state


class _Waveform(_Tower):
    """Samples in, frames of a convolution stack out."""

    def __init__(self, net: Any, extractor: Any, layer: int, stack: Stack, window_s: float) -> None:
        super().__init__(net, extractor, layer)
        self.stack = stack
        self.frames = stack.frames
        self.normalise = bool(getattr(extractor, "do_normalize", False))
        self.context = round(CONTEXT_S * self.sample_rate / stack.frames.hop)
        self.window_frames = stack.count(round(window_s * self.sample_rate))

    def prepare(self, audio: torch.Tensor) -> torch.Tensor:
        if self.normalise:
            variance, mean = torch.var_mean(audio, 1, correction=0, keepdim=True)
            audio = (audio - mean) / torch.sqrt(variance + SMALLEST_VARIANCE)
        missing = max(0, self.stack.size - audio.shape[1])
        return torch.nn.functional.pad(audio, (0, missing))

    def windows(self, n_samples: int) -> list[_Window]:
        n_frames = self.stack.count(max(n_samples, self.stack.size))
        if n_frames <= self.window_frames:
            return [_Window(0, max(n_samples, self.stack.size), 0, n_frames, 0)]
        hop = int(self.stack.frames.hop)
        span = self.stack.span(self.window_frames)
        found: list[_Window] = []
        done = 0
        while done < n_frames:
            # The last window is moved back to be as long as the others.
            first = min(max(0, done - self.context), n_frames - self.window_frames)
            end = first + self.window_frames
            last = end if end == n_frames else end - self.context
            found.append(_Window(first * hop, first * hop + span, done, last, done - first))
            done = last
        return found

    def encode(self, audio: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        return self.hidden(input_values=audio), None


class _Windowed(_Tower):
    """Models that take so many samples and no more.

    Attributes:
        window_samples: What they take.
        step_frames: Frames that a window adds, so that the grid of centres stays regular.
    """

    window_samples: int
    step_frames: int

    def windows(self, n_samples: int) -> list[_Window]:
        n_frames = max(1, self.frames.count_before(n_samples))
        found = []
        for first in range(0, n_frames, self.step_frames):
            start = round(first * self.frames.hop)
            stop = min(start + self.window_samples, n_samples)
            last = min(first + self.step_frames, n_frames)
            found.append(_Window(start, stop, first, last, 0))
        return found


class _Whisper(_Windowed):
    """Log-mel frames, centred on multiples of their hop, through a stack of stride 2."""

    def __init__(self, net: Any, extractor: Any, layer: int) -> None:
        super().__init__(net, extractor, layer)
        stack = stack_of([Convolution(3, padding=1), Convolution(3, 2, padding=1)])
        hop = stack.frames.hop * extractor.hop_length
        self.frames = Frames(stack.frames.first * extractor.hop_length, hop)
        self.step_frames = int(net.config.max_source_positions)
        self.window_samples = int(self.step_frames * hop)

    def encode(self, audio: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        made = self.features(audio, padding="max_length", max_length=self.window_samples)
        return self.hidden(input_features=made["input_features"]), None


class _SpectrogramTransformer(_Windowed):
    """Kaldi's log-mel frames in patches, with two class tokens before them."""

    # Kaldi's frames of 25 ms every 10 ms; the first one starts with the audio.
    FRAME_MS, HOP_MS = 25, 10

    def __init__(self, net: Any, extractor: Any, layer: int) -> None:
        super().__init__(net, extractor, layer)
        size, hop = (self.sample_rate * ms // 1000 for ms in (self.FRAME_MS, self.HOP_MS))
        config = net.config
        self.frames = stack_of(
            [Convolution(size, hop), Convolution(config.patch_size, config.time_stride)]
        ).frames
        patches = Convolution(config.patch_size, config.time_stride)
        self.step_frames = patches.count(config.max_length)
        self.window_samples = (config.max_length - 1) * hop + size
        self.frame_samples = size
        self.pooled_width = config.hidden_size

    def encode(self, audio: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        missing = max(0, self.frame_samples - audio.shape[1])
        made = self.features(torch.nn.functional.pad(audio, (0, missing)))
        tokens = self.hidden(input_values=made["input_values"])
        # Patches stand row after row, each row a frequency.
        grid = tokens[:, 2:].reshape(len(tokens), -1, self.step_frames, tokens.shape[2])
        return grid.mean(1), tokens[:, :2].mean(1)


class _Clap(_Windowed):
    """The audio tower of CLAP; spectrograms of 10 s are stretched and folded into a square."""

    def __init__(self, net: Any, extractor: Any, layer: int) -> None:
        super().__init__(net, extractor, layer)
        config = net.config
        self.window_samples = int(extractor.nb_max_samples)
        columns = config.spec_size * (config.spec_size // config.num_mel_bins)
        per_frame = config.patch_stride[1] * 2 ** (len(config.depths) - 1)
        # Stretched so that the first and last spectrogram frames stay first and last.
        spectra = self.window_samples // extractor.hop_length
        column = Fraction(spectra * extractor.hop_length, columns - 1)
        self.frames = Frames(column * Fraction(per_frame - 1, 2), column * per_frame)
        # Windows share a frame: one more step would leave a gap between them.
        self.step_frames = columns // per_frame - 1
        self.pooled_width = config.projection_dim

    def encode(self, audio: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        made = self.features(audio)
        # With fusion, the extractor marks a clip at random as longer than the window; none is.
        longer = torch.zeros(len(audio), 1, dtype=torch.bool, device=audio.device)
        tower = self.net.audio_model(input_features=made["input_features"], is_longer=longer)
        frames = tower.last_hidden_state.mean(2).transpose(1, 2)
        return frames, self.net.audio_projection(tower.pooler_output)


class AudioEncoder(torch.nn.Module):
    """A HEAR model around a transformers encoder.

    Attributes:
        sample_rate: In Hz.
        scene_embedding_size: The encoder's width times the number of poolings.
        timestamp_embedding_size: The encoder's width.
    """

    def __init__(self, tower: _Tower, pooling: str, hop_ms: float | None) -> None:
        super().__init__()
        self.tower = tower
        self.poolings = _poolings(pooling, tower)
        self.hop_ms = hop_ms
        self.sample_rate = tower.sample_rate
        self.timestamp_embedding_size = tower.width
        self.scene_embedding_size = sum(
            (tower.pooled_width or 0) if name == "pooled" else tower.width for name in self.poolings
        )

    @torch.no_grad()
    def forward(
        self, audio: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
        """All frames of clips, at the model's own hop.

        Args:
            audio: (n_clips, n_samples) in [-1, 1].

        Returns:
            Frames (n_clips, n_frames, width), their centres in ms, float64 (n_frames,), and
            the mean of what the model pools itself (n_clips, pooled size), if it does.
        """
        n_samples = audio.shape[1]
        windows = self.tower.windows(n_samples)
        n_frames = windows[-1].last
        found = audio.new_empty(len(audio), n_frames, self.tower.width)
        pooled = audio.new_zeros(len(audio), self.tower.pooled_width or 0)
        prepared = self.tower.prepare(audio)
        block = max(1, int(BLOCK_S * self.sample_rate) // (windows[0].stop - windows[0].start))
        for window in windows:
            for clip in range(0, len(audio), block):
                clips = slice(clip, clip + block)
                frames, extra = self.tower.encode(prepared[clips, window.start : window.stop])
                end = window.skip + window.last - window.first
                found[clips, window.first : window.last] = frames[:, window.skip : end]
                if extra is not None:
                    pooled[clips] += extra / len(windows)
        centres = torch.from_numpy(self.tower.frames.centres_ms(n_frames, self.sample_rate))
        end_ms = (n_samples - 1) * 1000 / self.sample_rate
        if centres[-1] > end_ms:
            centres = torch.tensor([end_ms / 2], dtype=torch.float64)
        return found, centres, pooled if self.tower.pooled_width else None


def resolve(text: str) -> Path:
    """The local folder of a checkpoint.

    Args:
        text: A folder written by ``save_pretrained``, or a name on the Hugging Face hub,
            ``ORG/NAME``, whose files are downloaded into the hub's own cache, if not there yet.

    Raises:
        ModelError: A folder without config.json, or a text that is neither.
        DownloadError: The hub hasn't got it, or can't be reached.
        HearError: transformers isn't installed.
    """
    place = Path(text).expanduser()
    if place.is_dir():
        if not (place / "config.json").is_file():
            raise ModelError(
                f"{text} holds no config.json, so it isn't a folder of transformers' "
                "save_pretrained."
            )
        return place.resolve()
    if place.exists() or not _HUB_NAME.fullmatch(text):
        raise ModelError(
            f"{text} is neither a folder of transformers' save_pretrained nor a name on the "
            "Hugging Face hub, ORG/NAME."
        )
    _transformers()
    import huggingface_hub

    folder = _download(huggingface_hub, text, ["*.json", _SAFE_WEIGHTS])
    if not any(folder.glob(_SAFE_WEIGHTS)):
        folder = _download(huggingface_hub, text, ["*.json", _OLD_WEIGHTS])
    if not (folder / "config.json").is_file():
        raise ModelError(f"{text} on the Hugging Face hub holds no config.json for transformers.")
    return folder


def _download(hub: Any, name: str, patterns: list[str]) -> Path:
    try:
        folder = hub.snapshot_download(name, allow_patterns=patterns, ignore_patterns=["*/*"])
    except (OSError, ValueError, hub.errors.HTTPError) as error:
        raise DownloadError(
            f"{name} is no local folder and can't be downloaded from the Hugging Face hub: "
            f"{error}\nWithout a connection, download its files on another machine (config.json, "
            "preprocessor_config.json, and model.safetensors or pytorch_model.bin) and give the "
            "folder that holds them."
        ) from error
    return Path(folder)


def weight_files(weights: Path) -> list[Path]:
    """The files of a checkpoint that decide about its embeddings, sorted."""
    found = [weights / name for name in _SMALL_FILES if (weights / name).is_file()]
    found += list(weights.glob(_SAFE_WEIGHTS)) or list(weights.glob(_OLD_WEIGHTS))
    return sorted(found)


def load_model(
    model_file_path: str,
    layer: int = -1,
    pooling: str = "mean",
    hop_ms: float | None = None,
    window_s: float = 30.0,
) -> AudioEncoder:
    """A checkpoint as a HEAR model.

    Args:
        model_file_path: A folder or a hub name, as of ``resolve``.
        layer: Hidden state: 0 is what enters the first layer, n what leaves the last of n,
            after the model's final normalisation; -1 is n, -2 is n - 1, and so on.
        pooling: How frames become a scene embedding: ``mean``, ``max``, ``std``, ``first``,
            ``last``, or several, one after the other, as in ``mean+max``. ``pooled``: what the
            model makes of a window itself (AST: the mean of its class tokens; CLAP: the
            projection into the space that it shares with text), the mean over windows.
        hop_ms: Timestamps at 0, ``hop_ms``, ... as long as they lie within the audio, each the
            mean over the model's frames that are nearest to it, or else the nearest one.
            None: the model's own frames.
        window_s: Longest audio that waveform encoders take at once. The others' is fixed.

    Raises:
        ModelError: An encoder of another kind, a bad option, an incomplete checkpoint.
        DownloadError: As of ``resolve``.
        HearError: transformers isn't installed.
    """
    if hop_ms is not None and not hop_ms > 0:
        raise ModelError(f"hop_ms is {hop_ms}; a hop is above 0 ms.")
    if not window_s >= SHORTEST_WINDOW_S:
        raise ModelError(
            f"window_s is {window_s}; windows overlap by {CONTEXT_S:g} s on either side, so they "
            f"last {SHORTEST_WINDOW_S:g} s at least."
        )
    library = _transformers()
    folder = resolve(model_file_path)
    tower = _tower(library, folder, layer, window_s)
    return AudioEncoder(tower, pooling, hop_ms).eval()


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
    """
    frames, centres_ms, _ = model(audio)
    if model.hop_ms is not None:
        _, grid_ms = frame_centres(audio.shape[1], model.sample_rate, model.hop_ms)
        frames = _regular(frames, centres_ms, grid_ms.double(), model.hop_ms)
        centres_ms = grid_ms
    return frames, centres_ms.to(audio.device, torch.float32).expand(frames.shape[:2])


def get_scene_embeddings(audio: torch.Tensor, model: AudioEncoder) -> torch.Tensor:
    """One embedding per clip: its frames, pooled.

    Args:
        audio: (n_clips, n_samples) in [-1, 1] at the model's rate.
        model: Of ``load_model``.

    Returns:
        (n_clips, size).
    """
    frames, _, pooled = model(audio)
    parts = {
        "mean": lambda: frames.mean(1),
        "max": lambda: frames.amax(1),
        "std": lambda: frames.std(1, correction=0),
        "first": lambda: frames[:, 0],
        "last": lambda: frames[:, -1],
        "pooled": lambda: pooled,
    }
    return torch.cat([parts[name]() for name in model.poolings], 1)


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


def _poolings(text: str, tower: _Tower) -> list[str]:
    names = text.split("+")
    for name in names:
        if name not in POOLINGS:
            raise ModelError(
                f"There is no pooling {name!r}: {', '.join(POOLINGS)}, or several with + between."
            )
    if "pooled" in names and tower.pooled_width is None:
        raise ModelError("This model pools nothing itself; pooling 'pooled' is for AST and CLAP.")
    return names


def _transformers() -> Any:
    try:
        import transformers
    except ImportError as error:
        raise HearError(
            "Checkpoints of transformers need that library, which isn't installed. Install it "
            "with `pip install 'hearkit[transformers]'`."
        ) from error
    return transformers


def _tower(library: Any, folder: Path, layer: int, window_s: float) -> _Tower:
    try:
        config = library.AutoConfig.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"transformers can't read {folder / 'config.json'}: {error}") from error
    kind = str(config.model_type)
    if kind == "whisper":
        encoder = _load(library, library.WhisperModel, folder, config).get_encoder()
        layer = _layer(layer, config.encoder_layers)
        tower: _Tower = _Whisper(encoder, _extractor(library, folder), layer)
        return _sized(tower, config.encoder_layers, config.d_model)
    if kind == "audio-spectrogram-transformer":
        net = _load(library, library.ASTModel, folder, config)
        layer = _layer(layer, config.num_hidden_layers)
        tower = _SpectrogramTransformer(net, _extractor(library, folder), layer)
        return _sized(tower, config.num_hidden_layers, config.hidden_size)
    if kind in ("clap", "clap_audio_model"):
        config = getattr(config, "audio_config", config)
        net = _load(library, library.ClapAudioModelWithProjection, folder, config)
        if layer != -1:
            raise ModelError("CLAP's layers have grids of different sizes; leave layer at -1.")
        tower = _Clap(net, _extractor(library, folder), layer)
        return _sized(tower, -1, config.hidden_size)
    return _waveform(library, folder, config, layer, window_s)


def _waveform(library: Any, folder: Path, config: Any, layer: int, window_s: float) -> _Tower:
    kind = str(config.model_type)
    if kind == "moonshine":
        net = _load(library, library.MoonshineModel, folder, config).get_encoder()
        n_layers = int(config.encoder_num_hidden_layers)
        layers = [Convolution(c.kernel_size[0], c.stride[0]) for c in _convolutions_of(net)]
    elif kind in WAVEFORM_TYPES or (
        hasattr(config, "conv_kernel") and hasattr(config, "conv_stride")
    ):
        # An adapter thins frames out for translation; without it, layers are alike.
        config.add_adapter = False
        net = _load(library, library.AutoModel, folder, config)
        n_layers = int(config.num_hidden_layers)
        layers = convolutions(config.conv_kernel, config.conv_stride)
    else:
        raise ModelError(
            f"{folder} is a {kind!r} model. Supported are whisper, "
            f"audio-spectrogram-transformer, clap, moonshine, {', '.join(WAVEFORM_TYPES)}, and "
            "others that take input_values and have conv_kernel and conv_stride in their "
            "config.json. Wrap another model in a module of your own."
        )
    if getattr(net, "main_input_name", "input_values") != "input_values":
        raise ModelError(f"{folder} is a {kind!r} model, which doesn't take samples.")
    layer = _layer(layer, n_layers)
    squeeze = int(getattr(config, "squeeze_factor", 1))
    if squeeze > 1 and layer < n_layers:
        # SEW averages frames before its layers, and spreads them again after the last.
        layers = [*layers, Convolution(squeeze, squeeze)]
    stack = stack_of(layers)
    if squeeze > 1 and layer == n_layers:
        stack = replace(stack, size=stack.span(squeeze))
    tower = _Waveform(net, _extractor(library, folder), layer, stack, window_s)
    return _sized(tower, n_layers, int(config.hidden_size))


def _convolutions_of(net: Any) -> Iterator[Any]:
    return (part for part in net.children() if isinstance(part, torch.nn.Conv1d))


def _sized(tower: _Tower, n_layers: int, width: int) -> _Tower:
    tower.n_layers, tower.width = n_layers, width
    return tower


def _layer(layer: int, n_layers: int) -> int:
    if not -n_layers - 1 <= layer <= n_layers:
        raise ModelError(
            f"There is no layer {layer}: the model has 0 to {n_layers}, or -1 to {-n_layers - 1} "
            "from the end."
        )
    return layer % (n_layers + 1)


def _extractor(library: Any, folder: Path) -> Any:
    try:
        with warnings.catch_warnings():
            # True of AST's 128 bands, with which it was trained; nobody can do anything about it.
            warnings.filterwarnings("ignore", "At least one mel filter", UserWarning)
            return library.AutoFeatureExtractor.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(
            f"{folder} has no feature extractor that transformers can read, which says the "
            f"sample rate and how audio is scaled: {error}\nSave it into the same folder with its "
            "own save_pretrained, or add preprocessor_config.json."
        ) from error


def _load(library: Any, kind: Any, folder: Path, config: Any) -> Any:
    try:
        with _quiet(library):
            net, info = kind.from_pretrained(
                folder,
                config=config,
                local_files_only=True,
                dtype=torch.float32,
                output_loading_info=True,
            )
    except (OSError, ValueError, RuntimeError, KeyError, ImportError) as error:
        raise ModelError(f"transformers can't load {folder}: {error}") from error
    missing = sorted(key for key in info["missing_keys"] if not key.endswith(_UNUSED_WEIGHTS))
    if missing:
        raise ModelError(
            f"{folder} is no complete {config.model_type!r} checkpoint: {len(missing)} weights "
            f"are missing, such as {missing[0]}, and would be random."
        )
    return net.eval()


@contextmanager
def _quiet(library: Any) -> Iterator[None]:
    """Without transformers' progress bars and its report of weights that aren't needed."""
    logging = library.logging
    shown, verbosity = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if shown:
            logging.enable_progress_bar()
