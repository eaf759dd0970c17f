"""Text towers: what embeds text into the space that a model shares between audio and text."""

from __future__ import annotations

from typing import Any

import torch

from .reading import Checkpoint, compute_in

__all__ = ["TextTower"]


class TextTower(torch.nn.Module):
    """A text encoder of transformers with its tokenizer, loaded when it is first used.

    Args:
        checkpoint: Where its weights and its tokenizer are.
        kind: Class of transformers that gives ``text_embeds``.
        config: Of the text encoder.
    """

    def __init__(self, checkpoint: Checkpoint, kind: str, config: Any) -> None:
        super().__init__()
        self.checkpoint = checkpoint
        self.kind = kind
        self.config = config
        self.dtype = "float32"
        self.net: Any = None
        self.tokenizer: Any = None

    def embed(self, texts: list[str], device: torch.device) -> torch.Tensor:
        """One embedding per text, float32 (n_texts, size); longer texts than it takes are cut.

        Raises:
            UnusableError: The weights or the tokenizer can't be loaded.
        """
        if self.net is None:
            self.tokenizer = self.checkpoint.tokenizer()
            net = self.checkpoint.network(self.kind, self.config)
            if self.dtype != "float32":
                compute_in(self.dtype, net)
            self.net = net.to(device)
        # Positions are counted from behind the padding's.
        longest = self.config.max_position_embeddings - self.config.pad_token_id - 1
        tokens = self.tokenizer(
            texts,
            padding=True,
            truncation=True,
            max_length=min(longest, self.tokenizer.model_max_length),
            return_tensors="pt",
        )
        with torch.no_grad():
            made = self.net(
                input_ids=tokens["input_ids"].to(device),
                attention_mask=tokens["attention_mask"].to(device),
            )
        found: torch.Tensor = made.text_embeds.float()
        return found
