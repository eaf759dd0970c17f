"""Which transformers models hearbench knows, and the tower of each.

``FAMILIES`` is the table from ``model_type`` in config.json to the function that loads the
network and builds its tower. Others are taken by what their configuration says (convolutions
over samples) or else by measurement, as ``measured`` describes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from ..errors import UnusableError
from .measured import layers_and_width, measured_tower
from .reading import Checkpoint
from .receptive import Convolution, convolutions, stack_of
from .towers import (
    Clap,
    Codec,
    Encoder,
    SpectrogramTransformer,
    StackedFilterbanks,
    Tower,
    Waveform,
    Whisper,
    latent_of_convolutions,
    latent_of_mimi,
)

__all__ = ["FAMILIES", "Request", "tower_of"]


@dataclass(frozen=True)
class Request:
    """A checkpoint and what is wanted of it.

    Attributes:
        config: What its config.json says.
        layer: As the user counts it, negative from the end.
        window_s: Longest audio at once, for encoders that leave that open.
    """

    checkpoint: Checkpoint
    config: Any
    layer: int
    window_s: float

    @property
    def kind(self) -> str:
        """The name that transformers has for the architecture."""
        return str(self.config.model_type)

    def load(self, name: str, config: Any = None) -> Any:
        """The network, as a class of transformers."""
        config = self.config if config is None else config
        return self.checkpoint.network(name, config)

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


def tower_of(checkpoint: Checkpoint, layer: int, window_s: float) -> Tower:
    """Loads a checkpoint.

    Args:
        layer: 0 is what enters the first layer, -1 what leaves the last.
        window_s: Longest audio at once, for encoders that leave that open.

    Raises:
        UnusableError: No audio encoder that can be placed in time, no such layer, an incomplete
            checkpoint, or transformers isn't installed.
    """
    request = Request(checkpoint, checkpoint.config(), layer, window_s)
    build = FAMILIES.get(request.kind)
    if build is None:
        config = request.config
        known = hasattr(config, "conv_kernel") and hasattr(config, "conv_stride")
        build = _waveform if known else _measured
    return build(request)


def _whisper(request: Request) -> Tower:
    config = request.config
    net = request.load("WhisperModel").get_encoder()
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
    return Clap(request.one_output(net, config.hidden_size, why))


def _moonshine(request: Request) -> Tower:
    net = request.load("MoonshineModel").get_encoder()
    layers = [
        Convolution(part.kernel_size[0], part.stride[0])
        for part in net.children()
        if isinstance(part, torch.nn.Conv1d)
    ]
    config = request.config
    encoder = request.encoder(net, config.encoder_num_hidden_layers, config.hidden_size)
    return Waveform(encoder, stack_of(layers), request.window_s)


def _speecht5(request: Request) -> Tower:
    config = request.config
    net = request.load("SpeechT5ForSpeechToText").get_encoder()
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
    return _codec(request, "EncodecModel", latent_of_convolutions, request.config.hop_length)


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
    net = request.load("AutoModel")
    if getattr(request.config, "is_encoder_decoder", False):
        net = net.get_encoder()
    with _known_families_named(request):
        n_layers, width = layers_and_width(net, extractor)
    if n_layers < 0:
        encoder = request.one_output(net, width, f"{kind!r} gives no states of single layers")
    else:
        encoder = request.encoder(net, n_layers, width)
    with _known_families_named(request):
        return measured_tower(encoder, request.window_s)


@contextmanager
def _known_families_named(request: Request) -> Iterator[None]:
    try:
        yield
    except UnusableError as error:
        raise UnusableError(
            f"{request.checkpoint.folder} is a {request.kind!r} model, which hearbench doesn't "
            f"know, and what it does to time can't be measured: {error}.\nSupported are "
            f"{', '.join(FAMILIES)}. Wrap another model in a module of your own."
        ) from error


def _layer(layer: int, n_layers: int) -> int:
    if not -n_layers - 1 <= layer <= n_layers:
        raise UnusableError(
            f"There is no layer {layer}: the model has 0 to {n_layers}, or -1 to {-n_layers - 1} "
            "from the end."
        )
    return layer % (n_layers + 1)


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
}
