"""A model of the tests that embeds tones and texts into one space."""

from __future__ import annotations

from pathlib import Path

from helpers_models import write_model

__all__ = ["write_reader"]

# Bands of the spectrum on one side, and letters on the other, through one random matrix each.
READER = """
import torch

class Reader(torch.nn.Module):
    sample_rate = 16000
    scene_embedding_size = 8
    timestamp_embedding_size = 8

    def __init__(self, seed):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.of_bands = torch.nn.Parameter(torch.randn(16, 8, generator=generator))
        self.of_letters = torch.nn.Parameter(torch.randn(128, 8, generator=generator))

def load_model(model_file_path="", seed: int = 0):
    return Reader(seed).eval()

def get_scene_embeddings(audio, model):
    power = torch.fft.rfft(audio).abs()[:, 1:385]
    bands = torch.log(power.reshape(len(audio), 16, -1).mean(2) + 1e-3)
    # The random phase makes clips of one label differ.
    return (bands - bands.mean(1, keepdim=True)) @ model.of_bands + 40 * audio[:, :8]

def get_timestamp_embeddings(audio, model):
    return audio[:, :1, None].expand(-1, -1, 8), torch.zeros(len(audio), 1)

def get_text_embeddings(texts, model):
    # A letter counts by its place as well, so that templates matter.
    places = [[(7 * at + ord(letter)) % 128 for at, letter in enumerate(text)] for text in texts]
    return torch.stack([model.of_letters[place].sum(0) for place in places])
"""


def write_reader(folder: Path, extra: str = "") -> Path:
    """Writes the model's file."""
    return write_model(folder, READER, "reader", extra)
