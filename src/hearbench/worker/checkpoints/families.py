"""Which transformers models hearbench knows, and the tower of each.

``FAMILIES`` is the table from ``model_type`` in config.json to the function that loads the
network and builds its tower. Of models that hold more than an encoder, the encoder counts (see
``inside``). Others are taken by what their configuration says (convolutions over samples) or else
by measurement, as ``measured`` describes, or by what ``STACKS`` knows of their time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np
import torch

from ..errors import UnusableError
from .inside import Part, audio_part, loaded_with
from .measured import AnyEncoder, Chunks, Stated, known_tower, measured_tower
from .reading import Checkpoint
from .receptive import ChunkedFrames, Convolution, convolutions, stack_of
from .text import TextTower
from .towers import (
    Clap,
    Codec,
    Encoder,
    SpectrogramTransformer,
    StackedFilterbanks,
    Tower,
    Waveform,
    Whisper,
    kaldi_frames,
    latent_of_convolutions,
    latent_of_mimi,
)

__all__ = ["FAMILIES", "Request", "tower_of"]


@dataclass(frozen=True)
class Request:
    """A checkpoint and what is wanted of it.

    Attributes:
        whole: What its config.json says.
        layer: As the user counts it, negative from the end.
        window_s: Longest audio at once, for encoders that leave that open.
        stated: What the user knows of the encoder's frames.
        part: What hears, once that has been looked for.
    """

    checkpoint: Checkpoint
    whole: Any
    layer: int
    window_s: float
    stated: Stated
    part: Part | None = None

    @property
    def config(self) -> Any:
        """Of the encoder."""
        return self.part.config if self.part else self.whole

    @property
    def kind(self) -> str:
        """The name that transformers has for the architecture of the encoder."""
        return str(self.config.model_type)

    def inside(self) -> Request:
        """The same of the part that hears."""
        return self if self.part else replace(self, part=audio_part(self.checkpoint, self.whole))

    def load(self, name: str, config: Any = None) -> Any:
        """The network: the part that hears, or else a class of transformers."""
        if self.part and self.part.path:
            kind = loaded_with(self.checkpoint.library, self.part.whole, self.part.path)
            net = self.checkpoint.network(kind, self.whole)
            return net.get_submodule(self.part.path).eval()
        return self.checkpoint.network(name, self.whole if config is None else config)

    def load_any(self) -> Any:
        """The network of a family that isn't known, without what makes sound."""
        part = self.part
        if part is None or part.path or part.whole is None:
            return self.load("AutoModel")
        library = self.checkpoint.library
        kind = library.MODEL_MAPPING.get(type(part.config), part.whole)
        return self.checkpoint.network(loaded_with(library, kind, ""), self.whole)

    def encoder(self, net: Any, n_layers: int, width: int) -> Encoder:
        """A loaded network with its extractor, at the layer that is wanted."""
        layer = _layer(self.layer, n_layers)
        return Encoder(net, self.checkpoint.extractor(), layer, n_layers, width)

    def one_output(self, net: Any, width: int, why: str) -> Encoder:
        """The encoder of a network that has one output alone.

        Raises:
            UnusableError: Another one is asked for.
        """
        if self.layer != -1:
            raise UnusableError(f"{why}; leave layer at -1.")
        return Encoder(net, self.checkpoint.extractor(), -1, -1, width)


def tower_of(checkpoint: Checkpoint, layer: int, window_s: float, stated: Stated) -> Tower:
    """Loads a checkpoint.

    Args:
        layer: 0 is what enters the first layer, -1 what leaves the last.
        window_s: Longest audio at once, for encoders that leave that open.
        stated: What the user knows of the encoder's frames.

    Raises:
        UnusableError: No audio encoder, no such layer, an incomplete checkpoint, or transformers
            isn't installed.
    """
    request = Request(checkpoint, checkpoint.config(), layer, window_s, stated)
    if request.kind not in FAMILIES and not _is_of_convolutions(request.config):
        request = request.inside()
    build = FAMILIES.get(request.kind)
    if build is None:
        build = _waveform if _is_of_convolutions(request.config) else _measured
    return build(request)


def _is_of_convolutions(config: Any) -> bool:
    return hasattr(config, "conv_kernel") and hasattr(config, "conv_stride")


def _whisper(request: Request) -> Tower:
    request = request.inside()
    config = request.config
    net = request.load("WhisperModel")
    return Whisper(request.encoder(net, config.encoder_layers, config.d_model))


def _spectrogram_transformer(request: Request) -> Tower:
    config = request.config
    net = request.load("ASTModel")
    return SpectrogramTransformer(
        request.encoder(net, config.num_hidden_layers, config.hidden_size)
    )


def _clap(request: Request) -> Tower:
    config = getattr(request.config, "audio_config", request.config)
    net = request.load("ClapAudioModelWithProjection", config)
    why = "CLAP's layers have grids of different sizes"
    tower = Clap(request.one_output(net, config.hidden_size, why))
    text_config = getattr(request.config, "text_config", None)
    if text_config is not None:
        tower.text = TextTower(request.checkpoint, "ClapTextModelWithProjection", text_config)
    return tower


def _moonshine(request: Request) -> Tower:
    request = request.inside()
    net = request.load("MoonshineModel")
    layers = [
        Convolution(part.kernel_size[0], part.stride[0])
        for part in net.children()
        if isinstance(part, torch.nn.Conv1d)
    ]
    config = request.config
    encoder = request.encoder(net, config.encoder_num_hidden_layers, config.hidden_size)
    return Waveform(encoder, stack_of(layers), request.window_s)


def _speecht5(request: Request) -> Tower:
    request = request.inside()
    config = request.config
    net = request.load("SpeechT5ForSpeechToText")
    encoder = request.encoder(net, config.encoder_layers, config.hidden_size)
    layers = convolutions(config.conv_kernel, config.conv_stride)
    return Waveform(encoder, stack_of(layers), request.window_s)


def _waveform(request: Request) -> Tower:
    config = request.config
    # An adapter thins frames out for translation; without it, layers are alike.
    config.add_adapter = False
    net = request.load("AutoModel")
    if getattr(net, "main_input_name", "input_values") != "input_values":
        raise UnusableError(
            f"{request.checkpoint.folder} is a {request.kind!r} model, which doesn't take samples."
        )
    encoder = request.encoder(net, int(config.num_hidden_layers), int(config.hidden_size))
    layers = convolutions(config.conv_kernel, config.conv_stride)
    squeeze = int(getattr(config, "squeeze_factor", 1))
    encoder.are_alike = squeeze == 1
    if squeeze > 1 and encoder.layer < encoder.n_layers:
        # SEW averages frames before its layers, and spreads them again after the last.
        layers = [*layers, Convolution(squeeze, squeeze)]
    stack = stack_of(layers)
    if squeeze > 1 and encoder.layer == encoder.n_layers:
        stack = replace(stack, size=stack.span(squeeze))
    return Waveform(encoder, stack, request.window_s)


def _wav2vec2_bert(request: Request) -> Tower:
    config = request.config
    config.add_adapter = False
    net = request.load("Wav2Vec2BertModel")
    encoder = request.encoder(net, int(config.num_hidden_layers), int(config.hidden_size))
    return StackedFilterbanks(encoder, request.window_s)


def _encodec(request: Request) -> Tower:
    # Older versions of transformers have no hop_length there.
    hop = int(np.prod(request.config.upsampling_ratios))
    return _codec(request, "EncodecModel", latent_of_convolutions, hop)


def _dac(request: Request) -> Tower:
    return _codec(request, "DacModel", latent_of_convolutions, request.config.hop_length)


def _mimi(request: Request) -> Tower:
    config = request.config
    groups = round(config.encodec_frame_rate / config.frame_rate)
    hop = int(np.prod(config.upsampling_ratios)) * groups
    return _codec(request, "MimiModel", latent_of_mimi, hop)


def _codec(
    request: Request, name: str, latent: Callable[[Any, torch.Tensor], torch.Tensor], hop: int
) -> Tower:
    net = request.load(name)
    channels = int(getattr(request.config, "audio_channels", 1))
    with torch.no_grad():
        width = latent(net, torch.zeros(1, channels, 8 * hop)).shape[1]
    encoder = request.one_output(net, width, "A codec has one latent")
    return Codec(encoder, latent, hop, request.window_s)


def _chunks(request: Request) -> Tower:
    """Qwen3's encoders: three convolutions of stride 2, on each second or so by itself."""
    request = request.inside()
    config = request.config
    extractor = request.checkpoint.extractor()
    encoder = AnyEncoder(request.load_any(), extractor, request.layer)
    spectra = 2 * config.n_window
    hop = encoder.setting("hop_length")
    strides = stack_of(3 * [Convolution(3, 2, padding=1)])
    per_chunk = strides.count(spectra)
    frames = ChunkedFrames(
        Fraction(0), Fraction(spectra * hop, per_chunk), per_chunk, int(strides.frames.hop) * hop
    )
    # Frames attend to each other within so many chunks.
    together = max(1, config.n_window_infer // spectra)
    n_chunks = round(request.window_s * encoder.sample_rate) // (spectra * hop)
    return Chunks(encoder, frames, max(together, n_chunks // together * together))


def _measured(request: Request) -> Tower:
    kind, folder = request.kind, request.checkpoint.folder
    try:
        extractor = request.checkpoint.extractor()
    except UnusableError as error:
        raise UnusableError(
            f"{folder} is a {kind!r} model. Supported are {', '.join(FAMILIES)}, others with "
            "conv_kernel and conv_stride in their config.json, and audio encoders that have their "
            f"feature extractor beside them, which this has not:\n{error}\nWrap another model in "
            "a module of your own."
        ) from error
    request = request.inside()
    net = request.load_any()
    with _known_families_named(request):
        encoder = AnyEncoder(net, extractor, request.layer)
        # What is known is so of the last layer, and of those that are like it.
        is_known = encoder.are_alike or encoder.layer == encoder.n_layers
        if request.kind in STACKS and is_known:
            known = stack_of(STACKS[request.kind](request.config, extractor)).frames
            return known_tower(encoder, request.window_s, known)
        state = request.checkpoint.state()
        return measured_tower(encoder, request.window_s, request.stated, state)


@contextmanager
def _known_families_named(request: Request) -> Iterator[None]:
    try:
        yield
    except UnusableError as error:
        raise UnusableError(
            f"{request.checkpoint.folder} is a {request.kind!r} model, which hearbench doesn't "
            f"know, and it can't be used as one of those that it doesn't: {error}.\nSupported are "
            f"{', '.join(FAMILIES)}. Wrap another model in a module of your own."
        ) from error


def _layer(layer: int, n_layers: int) -> int:
    if not -n_layers - 1 <= layer <= n_layers:
        raise UnusableError(
            f"There is no layer {layer}: the model has 0 to {n_layers}, or -1 to {-n_layers - 1} "
            "from the end."
        )
    return layer % (n_layers + 1)


def _centred(extractor: Any) -> Convolution:
    """Spectra that are centred on multiples of their hop."""
    return Convolution(1, int(extractor.hop_length))


def _inner(extractor: Any) -> Convolution:
    """Spectra of which the first starts with the audio."""
    return Convolution(int(extractor.win_length), int(extractor.hop_length))


def _whispers(_: Any, extractor: Any) -> list[Convolution]:
    return [_centred(extractor), Convolution(3, padding=1), Convolution(3, 2, padding=1)]


def _halved_whispers(config: Any, extractor: Any) -> list[Convolution]:
    return [*_whispers(config, extractor), Convolution(2, 2)]


def _streaming_whispers(_: Any, extractor: Any) -> list[Convolution]:
    return [_centred(extractor), Convolution(3, padding=2), Convolution(3, 2, padding=1)]


def _conformers(config: Any, extractor: Any) -> list[Convolution]:
    halvings = round(math.log2(config.subsampling_factor))
    return [_centred(extractor), *halvings * [Convolution(3, 2, padding=1)]]


def _streaming_conformers(config: Any, extractor: Any) -> list[Convolution]:
    halvings = round(math.log2(config.subsampling_factor))
    return [_centred(extractor), *halvings * [Convolution(3, 2, padding=2)]]


def _lasr(config: Any, extractor: Any) -> list[Convolution]:
    part = Convolution(config.subsampling_conv_kernel_size, config.subsampling_conv_stride)
    return [_inner(extractor), part, part]


def _granite(_: Any, extractor: Any) -> list[Convolution]:
    return [Convolution(1, int(extractor.melspec_kwargs["hop_length"])), Convolution(2, 2)]


def _seamless(config: Any, extractor: Any) -> list[Convolution]:
    kernel, stride = config.adaptor_kernel_size, config.adaptor_stride
    adapters = config.num_adapter_layers if config.add_adapter else 0
    adapter = Convolution(kernel, stride, padding=stride // 2)
    pairs = Convolution(extractor.stride, extractor.stride)
    return [kaldi_frames(extractor.sampling_rate), pairs, *adapters * [adapter]]


def _gemma3n(config: Any, extractor: Any) -> list[Convolution]:
    pairs = zip(config.sscp_conv_kernel_size, config.sscp_conv_stride_size)
    return [
        Convolution(int(extractor.frame_length), int(extractor.hop_length)),
        *(Convolution(kernel[0], stride[0]) for kernel, stride in pairs),
        Convolution(1, config.conf_reduction_factor),
    ]


def _gemma4(_: Any, extractor: Any) -> list[Convolution]:
    return [_centred(extractor), *2 * [Convolution(3, 2, padding=1)]]


def _phi4(config: Any, extractor: Any) -> list[Convolution]:
    halvings = round(math.log2(config.time_reduction))
    return [_inner(extractor), *halvings * [Convolution(3, 2, padding=1)]]


def _blocks(config: Any, _: Any) -> list[Convolution]:
    """Of codecs: the middle of the block of samples that a frame stands for, as in ``Codec``."""
    config = getattr(config, "dac_config", config)
    ratios = getattr(config, "downsampling_ratios", None)
    hop = int(np.prod(ratios)) if ratios else int(config.hop_length)
    return [Convolution(hop, hop)]


# What is done to time before and in encoders that are called as ``measured`` says, by model_type.
# Padding counts where it moves frames, at the beginning.
STACKS: dict[str, Callable[[Any, Any], list[Convolution]]] = {
    "qwen2_audio_encoder": _halved_whispers,
    "qwen2_5_omni_audio_encoder": _halved_whispers,
    "audioflamingo3_encoder": _halved_whispers,
    "voxtral_encoder": _whispers,
    "glmasr_encoder": _whispers,
    "moss_transcribe_diarize_audio": _whispers,
    "voxtral_realtime_encoder": _streaming_whispers,
    "parakeet_encoder": _conformers,
    "nemotron_asr_streaming_encoder": _streaming_conformers,
    "lasr_encoder": _lasr,
    "granite_speech_encoder": _granite,
    "granite_speech_plus_encoder": _granite,
    "seamless_m4t": _seamless,
    "seamless_m4t_v2": _seamless,
    "gemma3n_audio": _gemma3n,
    "gemma4_audio": _gemma4,
    "phi4_multimodal_audio": _phi4,
    "pe_audio_encoder": _blocks,
    "xcodec": _blocks,
    "xcodec2": _blocks,
    "neucodec": _blocks,
    "higgs_audio_v2_tokenizer": _blocks,
    "vibevoice_acoustic_tokenizer": _blocks,
    "vibevoice_acoustic_tokenizer_encoder": _blocks,
    "wavtokenizer_encoder": _blocks,
}

FAMILIES: dict[str, Callable[[Request], Tower]] = {
    "whisper": _whisper,
    "audio-spectrogram-transformer": _spectrogram_transformer,
    "clap": _clap,
    "clap_audio_model": _clap,
    "moonshine": _moonshine,
    "data2vec-audio": _waveform,
    "hubert": _waveform,
    "sew": _waveform,
    "sew-d": _waveform,
    "unispeech": _waveform,
    "unispeech-sat": _waveform,
    "wav2vec2": _waveform,
    "wav2vec2-conformer": _waveform,
    "wavlm": _waveform,
    "speecht5": _speecht5,
    "wav2vec2-bert": _wav2vec2_bert,
    "encodec": _encodec,
    "dac": _dac,
    "mimi": _mimi,
    "qwen3_asr_encoder": _chunks,
    "qwen3_omni_moe_audio_encoder": _chunks,
}
