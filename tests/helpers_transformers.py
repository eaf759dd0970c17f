"""Small networks of transformers with random weights, and sizes for more of them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch

__all__ = [
    "ENCODER",
    "MIMI",
    "SEQ2SEQ",
    "SMALL",
    "WAVE",
    "WHISPER",
    "ast",
    "clap",
    "clap_with_text",
    "dac",
    "encodec",
    "mimi",
    "moonshine",
    "parakeet",
    "qwen2_audio",
    "sew",
    "speech_to_text",
    "speecht5",
    "wav2vec2_bert",
    "wave",
    "whisper",
]

# As most encoders name them.
SMALL: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
}
# Of convolutions over samples, as wav2vec2's.
WAVE: dict[str, Any] = SMALL | {
    "conv_dim": [16] * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2,
    "feat_extract_norm": "layer",
}
# As those name them that have a decoder.
ENCODER: dict[str, Any] = {
    "encoder_layers": 2,
    "encoder_attention_heads": 2,
    "encoder_ffn_dim": 32,
}
SEQ2SEQ: dict[str, Any] = ENCODER | {
    "decoder_layers": 1,
    "decoder_attention_heads": 2,
    "decoder_ffn_dim": 32,
}
WHISPER: dict[str, Any] = SEQ2SEQ | {
    "d_model": 16,
    "vocab_size": 64,
    "pad_token_id": 1,
    "bos_token_id": 1,
    "eos_token_id": 1,
    "decoder_start_token_id": 1,
}
MIMI: dict[str, Any] = SMALL | {
    "upsample_groups": 16,
    "codebook_size": 16,
    "codebook_dim": 8,
    "vector_quantization_hidden_dimension": 8,
    "num_key_value_heads": 2,
    "head_dim": 8,
}


def wave(name: str = "Wav2Vec2") -> tuple[Any, Any]:
    """An encoder of samples, by the name of its classes, and its feature extractor."""
    transformers = _transformers()
    config = getattr(transformers, f"{name}Config")(**WAVE)
    net = getattr(transformers, f"{name}Model")(config)
    return net, transformers.Wav2Vec2FeatureExtractor(do_normalize=True)


def whisper() -> tuple[Any, Any]:
    """Whisper and its feature extractor."""
    transformers = _transformers()
    config = transformers.WhisperConfig(**WHISPER, num_mel_bins=80)
    return transformers.WhisperModel(config), transformers.WhisperFeatureExtractor()


def clap() -> tuple[Any, Any]:
    """CLAP's audio tower and its feature extractor."""
    transformers = _transformers()
    config = transformers.ClapAudioConfig(
        patch_embeds_hidden_size=8,
        hidden_size=64,
        depths=[1, 1, 1, 1],
        num_attention_heads=[1, 1, 2, 2],
        projection_dim=12,
    )
    extractor = transformers.ClapFeatureExtractor(truncation="rand_trunc")
    return transformers.ClapAudioModelWithProjection(config), extractor


def clap_with_text(folder: Path) -> Any:
    """CLAP with both towers, saved with its feature extractor and a tokenizer of bytes."""
    import tokenizers
    from tokenizers import decoders, models, pre_tokenizers

    transformers = _transformers()
    audio = clap()[0].config
    text = {**SMALL, "vocab_size": 260, "max_position_embeddings": 66, "pad_token_id": 1}
    config = transformers.ClapConfig(
        text_config=text, audio_config=audio.to_dict(), projection_dim=12
    )
    net = transformers.ClapModel(config).eval()
    # Small weights would embed all texts nearly alike.
    net.text_model.embeddings.word_embeddings.weight.data *= 50
    # As Roberta's, with bytes instead of a learned vocabulary.
    special = {"bos_token": "<s>", "pad_token": "<pad>", "eos_token": "</s>"}
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: number for number, token in enumerate([*special.values(), *letters])}
    bytewise = tokenizers.Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    bytewise.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bytewise.decoder = decoders.ByteLevel()
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=bytewise, **special)
    for part in (net, clap()[1], tokenizer):
        part.save_pretrained(folder)
    return net


def encodec(**options: Any) -> tuple[Any, Any]:
    """EnCodec, by default at 32 kHz with a hop of 640 samples, and its feature extractor."""
    transformers = _transformers()
    sizes = {"num_filters": 4, "hidden_size": 24, "codebook_size": 16, "codebook_dim": 24}
    rates = {"sampling_rate": 32000, "num_lstm_layers": 1, "upsampling_ratios": [8, 5, 4, 4]}
    config = transformers.EncodecConfig(**sizes | rates | options)
    extractor = transformers.EncodecFeatureExtractor(
        feature_size=config.audio_channels, sampling_rate=config.sampling_rate
    )
    return transformers.EncodecModel(config), extractor


def dac(*ratios: int, sample_rate: int = 44100) -> tuple[Any, Any]:
    """DAC, by default with strides of 2, 4, 8 and 8, and its feature extractor."""
    transformers = _transformers()
    config = transformers.DacConfig(
        encoder_hidden_size=2,
        decoder_hidden_size=16,
        downsampling_ratios=list(ratios or (2, 4, 8, 8)),
        codebook_size=16,
        codebook_dim=4,
        n_codebooks=2,
        sampling_rate=sample_rate,
    )
    extractor = transformers.DacFeatureExtractor(
        sampling_rate=sample_rate, hop_length=math.prod(config.downsampling_ratios)
    )
    return transformers.DacModel(config), extractor


def mimi(num_filters: int = 4) -> tuple[Any, Any]:
    """Mimi at 24 kHz and its feature extractor."""
    transformers = _transformers()
    config = transformers.MimiConfig(**MIMI, num_filters=num_filters)
    extractor = transformers.EncodecFeatureExtractor(sampling_rate=24000)
    return transformers.MimiModel(config), extractor


def sew() -> tuple[Any, Any]:
    """SEW, whose layers see half as many frames as come out, and its feature extractor."""
    transformers = _transformers()
    options = WAVE | {
        "conv_dim": [16] * 7,
        "conv_kernel": [10, 3, 3, 3, 3, 2, 2],
        "conv_stride": [5, 2, 2, 2, 2, 2, 2],
    }
    net = transformers.SEWModel(transformers.SEWConfig(**options))
    return net, transformers.Wav2Vec2FeatureExtractor()


def ast() -> tuple[Any, Any]:
    """The Audio Spectrogram Transformer and its feature extractor."""
    transformers = _transformers()
    net = transformers.ASTModel(transformers.ASTConfig(**SMALL))
    # With zeros for positions, as a new one has, nothing would tell windows' frames apart.
    torch.nn.init.normal_(net.embeddings.position_embeddings, std=0.02)
    return net, transformers.ASTFeatureExtractor()


def moonshine() -> tuple[Any, Any]:
    """Moonshine and its feature extractor."""
    transformers = _transformers()
    config = transformers.MoonshineConfig(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=32,
        encoder_num_hidden_layers=2,
        decoder_num_hidden_layers=1,
        encoder_num_attention_heads=2,
        decoder_num_attention_heads=2,
    )
    net = transformers.MoonshineModel(config)
    return net, transformers.Wav2Vec2FeatureExtractor(do_normalize=False)


def wav2vec2_bert() -> tuple[Any, Any]:
    """wav2vec2-BERT and its feature extractor."""
    transformers = _transformers()
    net = transformers.Wav2Vec2BertModel(transformers.Wav2Vec2BertConfig(**SMALL))
    return net, transformers.SeamlessM4TFeatureExtractor()


def speecht5() -> tuple[Any, Any]:
    """SpeechT5 and its feature extractor."""
    transformers = _transformers()
    config = transformers.SpeechT5Config(
        **SEQ2SEQ,
        hidden_size=16,
        conv_dim=[16] * 7,
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=2,
        feat_extract_norm="layer",
        vocab_size=32,
    )
    return transformers.SpeechT5ForSpeechToText(config), transformers.SpeechT5FeatureExtractor()


def speech_to_text() -> tuple[Any, Any]:
    """Speech2Text and its feature extractor."""
    transformers = _transformers()
    config = transformers.Speech2TextConfig(**SEQ2SEQ, d_model=16, vocab_size=64, conv_channels=32)
    return transformers.Speech2TextModel(config), transformers.Speech2TextFeatureExtractor()


def parakeet() -> tuple[Any, Any]:
    """Parakeet's encoder and its feature extractor."""
    transformers = _transformers()
    config = transformers.ParakeetEncoderConfig(**SMALL, subsampling_conv_channels=8)
    return transformers.ParakeetEncoder(config), transformers.ParakeetFeatureExtractor()


def qwen2_audio() -> tuple[Any, Any]:
    """Qwen2-Audio's encoder, which halves its frames at its end, and its feature extractor."""
    transformers = _transformers()
    config = transformers.Qwen2AudioEncoderConfig(**ENCODER, d_model=16, num_mel_bins=80)
    return transformers.Qwen2AudioEncoder(config), transformers.WhisperFeatureExtractor()


def _transformers() -> Any:
    # Where a test says that it needs them, and skips without.
    import transformers

    return transformers
