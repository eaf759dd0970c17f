"""A valid model with three layers: its features, times 1, 2 and 3; the last are its own."""

from __future__ import annotations

from typing import Any

import base
import torch


class Layered(base.Energies):
    """As the base, with layers."""

    layers: Any = 3
    layer: Any = 2


def load_model(model_file_path: str = "") -> torch.nn.Module:
    """The model, which needs no file."""
    return Layered()


def get_timestamp_layers(
    audio: torch.Tensor, model: torch.nn.Module
) -> tuple[torch.Tensor, torch.Tensor]:
    """Frames of each layer, and their centres."""
    embeddings, centres_ms = base.get_timestamp_embeddings(audio, model)
    return torch.stack([factor * embeddings for factor in (1, 2, 3)], 1), centres_ms


def get_scene_layers(audio: torch.Tensor, model: torch.nn.Module) -> torch.Tensor:
    """Means and standard deviations over the frames of each layer."""
    embeddings, _ = get_timestamp_layers(audio, model)
    return torch.cat([embeddings.mean(2), embeddings.std(2, correction=0)], 2)


def get_timestamp_embeddings(
    audio: torch.Tensor, model: torch.nn.Module
) -> tuple[torch.Tensor, torch.Tensor]:
    """Frames of the last layer, and their centres."""
    embeddings, centres_ms = get_timestamp_layers(audio, model)
    return embeddings[:, 2].contiguous(), centres_ms


def get_scene_embeddings(audio: torch.Tensor, model: torch.nn.Module) -> torch.Tensor:
    """Means and standard deviations over the frames of the last layer."""
    return get_scene_layers(audio, model)[:, 2].contiguous()
