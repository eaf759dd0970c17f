"""Small models of the classes in which audio encoders are published, with random weights."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from helpers_transformers import MIMI

__all__ = ["PUBLISHED", "Published", "save"]

# What makes a configuration of any family small, by the names that families have for it.
_SIZES: dict[str, Any] = {
    **dict.fromkeys(("hidden_size", "d_model", "output_dim", "out_hidden_size"), 16),
    **dict.fromkeys(("hidden_size_per_layer_input", "decoder_hidden_size"), 16),
    **dict.fromkeys(("num_hidden_layers", "encoder_layers", "num_layers", "num_blocks"), 2),
    **dict.fromkeys(("speech_encoder_layers", "encoder_num_hidden_layers"), 2),
    **dict.fromkeys(("decoder_layers", "decoder_num_hidden_layers", "num_decoder_layers"), 1),
    **dict.fromkeys(("t2u_encoder_layers", "t2u_decoder_layers", "depth"), 1),
    **dict.fromkeys(("num_attention_heads", "encoder_attention_heads", "num_heads"), 2),
    **dict.fromkeys(("decoder_attention_heads", "num_key_value_heads"), 2),
    **dict.fromkeys(("speech_encoder_attention_heads", "encoder_num_attention_heads"), 2),
    **dict.fromkeys(("decoder_num_attention_heads", "encoder_num_key_value_heads"), 2),
    **dict.fromkeys(("decoder_num_key_value_heads", "num_experts_per_tok"), 2),
    **dict.fromkeys(("t2u_encoder_attention_heads", "t2u_decoder_attention_heads"), 2),
    **dict.fromkeys(("intermediate_size", "encoder_ffn_dim", "decoder_ffn_dim", "ffn_dim"), 32),
    **dict.fromkeys(("speech_encoder_intermediate_size", "moe_intermediate_size"), 32),
    **dict.fromkeys(("t2u_encoder_ffn_dim", "t2u_decoder_ffn_dim", "upsample_initial_channel"), 32),
    **dict.fromkeys(("vocab_size", "t2u_vocab_size", "unit_hifi_gan_vocab_size"), 64),
    **dict.fromkeys(("char_vocab_size", "vocab_size_per_layer_input"), 64),
    **dict.fromkeys(("head_dim", "subsampling_conv_channels", "downsample_hidden_size"), 8),
    **dict.fromkeys(("num_experts", "num_local_experts", "num_filters", "encoder_hidden_size"), 4),
    **dict.fromkeys(("unit_embed_dim", "nemo_conv_channels", "ext_pw_out_channel"), 16),
    **dict.fromkeys(("depthwise_separable_out_channel", "codebook_dim"), 16),
    **dict.fromkeys(("audio_token_id", "audio_token_index"), 3),
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "decoder_start_token_id": 1,
    "blank_token_id": 63,
}


def _shrink(config: Any, more: Mapping[str, Any]) -> Any:
    sizes = {**_SIZES, **more}
    for name, value in list(vars(config).items()):
        if hasattr(value, "to_dict"):
            _shrink(value, more)
        elif name == "layer_types" and value:
            setattr(config, name, list(value)[:2])
        elif name in sizes and (isinstance(value, int) or name in more):
            setattr(config, name, sizes[name])
    return config


Own = Callable[[Any, Mapping[str, torch.Tensor]], Any]


@dataclass(frozen=True)
class Published:
    """A family in the class that checkpoints of it have.

    Attributes:
        kind: The class in transformers; its configuration is the default one, made small.
        own: What the family's own code makes of the extractor's output: frames (n, frames, width).
        hop: Samples between frames, by hand.
        first: Sample on which the first frame that counts is centred.
        skip: Frames before it, centred before the audio.
        rate: In Hz.
        extractor: Class of the feature extractor.
        settings: Of the extractor.
        call: Keywords with which the family's processor calls it.
        sizes: Numbers of the configuration that are this family's alone.
        options: Of the configuration when it is made.
    """

    kind: str
    own: Own
    hop: float
    first: float
    skip: int = 0
    rate: int = 16000
    extractor: str = "WhisperFeatureExtractor"
    settings: Mapping[str, Any] = field(default_factory=lambda: {"feature_size": 128})
    call: Mapping[str, Any] = field(default_factory=dict)
    sizes: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)


def save(family: Published, folder: Path) -> tuple[Any, Any]:
    """Writes a small model and its feature extractor, and gives both."""
    import transformers

    kind = getattr(transformers, family.kind)
    config = kind.config_class(**family.options)
    for name in ("talker_config", "code2wav_config"):
        if not family.options.get("enable_audio_output", True) and hasattr(config, name):
            setattr(config, name, None)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = kind(_shrink(config, family.sizes)).eval()
    extractor = getattr(transformers, family.extractor)(**family.settings)
    net.save_pretrained(folder)
    extractor.save_pretrained(folder)
    return net, extractor


def _state(path: str, *names: str) -> Own:
    """Calls a part of a model with some of what the extractor gives."""

    def own(net: Any, made: Mapping[str, torch.Tensor]) -> Any:
        return net.get_submodule(path)(*(made[name] for name in names)).last_hidden_state

    return own


def _omni(net: Any, made: Mapping[str, torch.Tensor]) -> Any:
    features, mask = made["input_features"], made["attention_mask"]
    found = net.thinker.model.get_audio_features(features, feature_attention_mask=mask)
    return found.last_hidden_state[None]


def _phi4(net: Any, made: Mapping[str, torch.Tensor]) -> Any:
    part = net.model.embed_tokens_extend.audio_embed.encoder
    return part(made["audio_input_features"], None)


def _vibevoice(net: Any, made: Mapping[str, torch.Tensor]) -> Any:
    return net.encode(made["input_values"], sample=False).latents


def _wavtokenizer(net: Any, made: Mapping[str, torch.Tensor]) -> Any:
    return net.encoder_model.encoder(made["input_values"]).transpose(1, 2)


class _HandedOverError(Exception):
    pass


def _before_quantiser(net: Any, made: Mapping[str, torch.Tensor]) -> Any:
    kept = []

    def encode(latent: torch.Tensor, *_: Any) -> Any:
        kept.append(latent)
        raise _HandedOverError

    net.quantizer.encode = encode
    with contextlib.suppress(_HandedOverError):
        net.encode(made["input_values"])
    return kept[0].transpose(1, 2)


def _kyutai(net: Any, made: Mapping[str, torch.Tensor]) -> Any:
    return _before_quantiser(net.codec_model, made)


def _encodec(net: Any, made: Mapping[str, torch.Tensor]) -> Any:
    return net.audio_encoder.encoder(made["input_values"]).transpose(1, 2)


_MASKED = {"return_attention_mask": True}
_UNPADDED = {"padding": "longest", "truncation": False, "return_attention_mask": True}
_NOTHING: dict[str, Any] = {}

# Spectra are centred on multiples of 160 samples, but for those of Seamless, Phi-4 and LASR, whose
# first frame of 400 samples starts with the audio. Convolutions of stride 2 with a padding of 1
# keep the first frame's place; one that looks back alone moves it by a spectrum to the left.
PUBLISHED: dict[str, Published] = {
    "parakeet": Published(
        "ParakeetForCTC",
        _state("encoder", "input_features", "attention_mask"),
        1280,
        0,
        extractor="ParakeetFeatureExtractor",
        settings=_NOTHING,
    ),
    "canary": Published(
        "CanaryForConditionalGeneration",
        _state("model.encoder", "input_features", "attention_mask"),
        1280,
        0,
        extractor="ParakeetFeatureExtractor",
    ),
    "cohere_asr": Published(
        "CohereAsrForConditionalGeneration",
        _state("model.encoder", "input_features", "attention_mask"),
        1280,
        0,
        extractor="CohereAsrFeatureExtractor",
        settings=_NOTHING,
    ),
    "nemotron": Published(
        "NemotronAsrStreamingForRNNT",
        _state("encoder", "input_features", "attention_mask"),
        1280,
        # 7 spectra before the audio, and a hop of 8.
        160,
        skip=1,
        extractor="NemotronAsrStreamingFeatureExtractor",
        settings=_NOTHING,
    ),
    "lasr": Published(
        "LasrForCTC",
        _state("encoder", "input_features", "attention_mask"),
        640,
        # Two unpadded convolutions of 5: 2 spectra, and 2 of their frames.
        199.5 + 2 * 160 + 2 * 320,
        extractor="LasrFeatureExtractor",
        settings=_NOTHING,
        sizes={"conv_kernel_size": 7},
        call=_MASKED,
    ),
    "qwen2_audio": Published(
        "Qwen2AudioForConditionalGeneration",
        _state("model.audio_tower", "input_features"),
        640,
        160,
    ),
    "qwen2_5_omni": Published(
        "Qwen2_5OmniForConditionalGeneration",
        _omni,
        640,
        160,
        call=_UNPADDED,
        options={"enable_audio_output": False},
    ),
    "qwen3_omni": Published(
        "Qwen3OmniMoeForConditionalGeneration",
        _omni,
        16000 / 13,
        0,
        call=_UNPADDED,
        options={"enable_audio_output": False},
    ),
    "voxtral": Published(
        "VoxtralForConditionalGeneration", _state("model.audio_tower", "input_features"), 320, 0
    ),
    "voxtral_realtime": Published(
        "VoxtralRealtimeForConditionalGeneration",
        _state("model.audio_tower", "input_features"),
        320,
        160,
        skip=1,
        extractor="VoxtralRealtimeFeatureExtractor",
        settings=_NOTHING,
    ),
    "audioflamingo3": Published(
        "AudioFlamingo3ForConditionalGeneration",
        _state("model.audio_tower", "input_features", "attention_mask"),
        640,
        160,
        call=_MASKED,
    ),
    "glmasr": Published(
        "GlmAsrForConditionalGeneration", _state("model.audio_tower", "input_features"), 320, 0
    ),
    "gemma4": Published(
        "Gemma4ForConditionalGeneration",
        _state("model.audio_tower", "input_features", "input_features_mask"),
        640,
        0,
        extractor="Gemma4AudioFeatureExtractor",
        settings=_NOTHING,
        sizes={"output_proj_dims": 16, "subsampling_conv_channels": [128, 4]},
        options={
            "text_config": {
                "num_hidden_layers": 2,
                "layer_types": ["full_attention"] * 2,
                "num_kv_shared_layers": 0,
            },
            "audio_config": {"model_type": "gemma4_audio"},
            "vision_config": None,
        },
    ),
    "phi4": Published(
        "Phi4MultimodalForCausalLM",
        _phi4,
        1280,
        199.5,
        extractor="Phi4MultimodalFeatureExtractor",
        settings=_NOTHING,
    ),
    "seamless_m4t": Published(
        "SeamlessM4TModel",
        _state("speech_encoder", "input_features", "attention_mask"),
        2560,
        # Pairs of spectra, and half a pair to the left by an adapter of 8 with a padding of 4.
        199.5 + 80 - 160,
        extractor="SeamlessM4TFeatureExtractor",
        settings=_NOTHING,
    ),
    "seamless_m4t_v2": Published(
        "SeamlessM4Tv2Model",
        _state("speech_encoder", "input_features", "attention_mask"),
        2560,
        199.5 + 80 - 160,
        extractor="SeamlessM4TFeatureExtractor",
        settings=_NOTHING,
    ),
    "moonshine": Published(
        "MoonshineForConditionalGeneration",
        _state("model.encoder", "input_values"),
        384,
        # Kernels of 127, 7 and 3 with strides of 64, 3 and 2.
        63 + 3 * 64 + 192,
        extractor="Wav2Vec2FeatureExtractor",
        settings={"do_normalize": False},
    ),
    "whisper": Published(
        "WhisperForAudioClassification",
        _state("encoder", "input_features"),
        320,
        0,
        settings={"feature_size": 80},
    ),
    "wav2vec2": Published(
        "SpeechEncoderDecoderModel",
        _state("encoder", "input_values"),
        320,
        199.5,
        extractor="Wav2Vec2FeatureExtractor",
        settings={"do_normalize": True},
    ),
    "pe_audio": Published(
        "PeAudioModel",
        _state("audio_encoder", "input_values"),
        1920,
        959.5,
        rate=48000,
        extractor="PeAudioFeatureExtractor",
        settings=_NOTHING,
    ),
    "xcodec": Published(
        "XcodecModel",
        _before_quantiser,
        320,
        159.5,
        extractor="DacFeatureExtractor",
        settings={"sampling_rate": 16000, "hop_length": 320},
        sizes={"decoder_hidden_size": 64},
    ),
    "wavtokenizer": Published(
        "WavTokenizerModel",
        _wavtokenizer,
        600,
        299.5,
        rate=24000,
        extractor="WavTokenizerFeatureExtractor",
        settings=_NOTHING,
        sizes={"decoder_hidden_size": 32},
    ),
    "vibevoice": Published(
        "VibeVoiceAcousticTokenizerModel",
        _vibevoice,
        3200,
        1599.5,
        rate=24000,
        extractor="VibeVoiceAcousticTokenizerFeatureExtractor",
        settings=_NOTHING,
        sizes={"num_filters": 2, "depths": [1] * 7},
    ),
    "kyutai_stt": Published(
        "KyutaiSpeechToTextForConditionalGeneration",
        _kyutai,
        1920,
        959.5,
        extractor="EncodecFeatureExtractor",
        settings={"sampling_rate": 24000},
        sizes={
            "pad_token_id": 1,
            "codebook_vocab_size": 16,
            "audio_pad_token_id": 15,
            "audio_bos_token_id": 14,
        },
        options={"codec_config": MIMI | {"model_type": "mimi"}, "vocab_size": 64},
    ),
    "musicgen": Published(
        "MusicgenForConditionalGeneration",
        _encodec,
        320,
        159.5,
        extractor="EncodecFeatureExtractor",
        settings={"sampling_rate": 32000},
    ),
}
