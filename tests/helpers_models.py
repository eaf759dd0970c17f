"""HEAR-API models written to disk for tests, and noise to hand them."""

from __future__ import annotations

import textwrap
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hearbench.models.engine import InProcess
from hearbench.models.model import Model

# Scene: mean, standard deviation, peak; timestamps: the mean of each 50 ms.
STATS = """
import torch

class Stats(torch.nn.Module):
    sample_rate = 16000
    scene_embedding_size = 3
    timestamp_embedding_size = 1

def load_model(model_file_path=""):
    return Stats()

def get_scene_embeddings(audio, model):
    return torch.stack([audio.mean(1), audio.std(1), audio.abs().amax(1)], 1)

def get_timestamp_embeddings(audio, model):
    frames = audio[:, : audio.shape[1] // 800 * 800].reshape(len(audio), -1, 800)
    ms = torch.arange(frames.shape[1]) * 50.0 + 25.0
    return frames.mean(2, keepdim=True), ms.expand(len(audio), -1)
"""

# Bands of the spectrum tell the tones of the test tasks apart.
BANDS = """
import torch

class Bands(torch.nn.Module):
    sample_rate = 16000
    scene_embedding_size = 16
    timestamp_embedding_size = 16

def load_model(model_file_path=""):
    return Bands()

def get_scene_embeddings(audio, model):
    power = torch.fft.rfft(audio).abs()[:, 1:385]
    return torch.log(power.reshape(len(audio), 16, -1).mean(2) + 1e-3)

def get_timestamp_embeddings(audio, model):
    frames = audio[:, : audio.shape[1] // 800 * 800].reshape(len(audio), -1, 800)
    power = torch.fft.rfft(frames).abs()[..., 1:385].reshape(len(audio), frames.shape[1], 16, -1)
    ms = torch.arange(frames.shape[1]) * 50.0 + 25.0
    return torch.log(power.mean(3) + 1e-3), ms.expand(len(audio), -1)
"""

# Layer k multiplies the means of 50 ms by k + 1; its own embeddings are of the option `layer`.
LAYERS = """
import torch

class Layers(torch.nn.Module):
    sample_rate = 16000
    scene_embedding_size = 2
    timestamp_embedding_size = 1
    layers = 4

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

def load_model(model_file_path="", layer: int = 3, gain: float = 1.0):
    return Layers(layer)

def get_timestamp_layers(audio, model):
    frames = audio[:, : audio.shape[1] // 800 * 800].reshape(len(audio), 1, -1, 800)
    factors = torch.arange(1, model.layers + 1)[:, None, None]
    ms = torch.arange(frames.shape[2]) * 50.0 + 25.0
    return factors * frames.mean(3, keepdim=True), ms.expand(len(audio), -1)

def get_scene_layers(audio, model):
    frames, _ = get_timestamp_layers(audio, model)
    return torch.cat([frames.mean(2), frames.amax(2)], 2)

def get_scene_embeddings(audio, model):
    return get_scene_layers(audio, model)[:, model.layer]

def get_timestamp_embeddings(audio, model):
    frames, ms = get_timestamp_layers(audio, model)
    return frames[:, model.layer], ms
"""


# Four layers: bands of the spectrum, and what random networks make of them, one after the other.
BAND_LAYERS = """
import torch

class Net(torch.nn.Module):
    sample_rate = 16000
    scene_embedding_size = 16
    timestamp_embedding_size = 16
    layers = 4

    def __init__(self, layer):
        super().__init__()
        self.layer = layer % 4
        draw = torch.Generator().manual_seed(0)
        self.mixers = [torch.randn(16, 16, generator=draw) / 4 for _ in range(3)]

    def states(self, frames):
        power = torch.fft.rfft(frames).abs()[..., 1:65].reshape(*frames.shape[:2], 16, -1)
        found = [torch.log(power.mean(3) + 1e-3)]
        for mixer in self.mixers:
            found.append(torch.tanh(found[-1] @ mixer))
        return found

def load_model(model_file_path="", layer: int = -1):
    return Net(layer)

def _frames(audio):
    return audio[:, : audio.shape[1] // 800 * 800].reshape(len(audio), -1, 800)

def _ms(frames):
    return (torch.arange(frames.shape[1]) * 50.0 + 25.0).expand(len(frames), -1)

def get_scene_embeddings(audio, model):
    return model.states(_frames(audio))[model.layer].mean(1)

def get_timestamp_embeddings(audio, model):
    frames = _frames(audio)
    return model.states(frames)[model.layer], _ms(frames)

def get_scene_layers(audio, model):
    return torch.stack([state.mean(1) for state in model.states(_frames(audio))], 1)

def get_timestamp_layers(audio, model):
    frames = _frames(audio)
    return torch.stack(model.states(frames), 1), _ms(frames)
"""


def engine_of(model: Model) -> InProcess:
    """What runs a model of this process, with the loaded module."""
    assert isinstance(model.engine.engine, InProcess)
    return model.engine.engine


def write_model(folder: Path, source: str = STATS, name: str = "stats", extra: str = "") -> Path:
    """Writes ``folder/name.py`` with a source and what is appended to it."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.py"
    path.write_text(textwrap.dedent(source) + "\n" + textwrap.dedent(extra))
    return path


def noise(
    clips: int, duration_s: float, sample_rate: int, seed: int = 0
) -> npt.NDArray[np.float32]:
    """White noise (clips, samples) of standard deviation 0.1."""
    shape = (clips, round(duration_s * sample_rate))
    return np.random.default_rng(seed).normal(0, 0.1, shape).astype(np.float32)


def calls(model: Model) -> list[int]:
    """The clips of each call that a model has put into its ``SEEN``, after those of the signal."""
    seen: list[int] = engine_of(model).module.SEEN
    # One that can't embed the signal is loaded anew, and isn't called with it.
    (check,) = model._checks.values()
    first = 0 if check.fingerprint.state == "failed" else 2
    assert seen[:first] == [1] * first
    return seen[first:]
