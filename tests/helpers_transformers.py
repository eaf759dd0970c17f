"""Sizes of small encoders of transformers, for configurations of several families."""

from __future__ import annotations

from typing import Any

__all__ = ["ENCODER", "MIMI", "SEQ2SEQ", "SMALL", "WHISPER"]

# As most encoders name them.
SMALL: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
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
