"""Any ONNX file as a HEAR model, by a TOML beside it.

The TOML says what an ONNX file doesn't: rate, timing, which axis is which; see
:mod:`hearbench.models.onnx_spec` for its keys. ``examples/models`` has two for published models.
The files run in ONNX Runtime, on the GPU where the audio is there and onnxruntime-gpu is
installed, otherwise on the CPU with as many threads as PyTorch has.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from hearbench.errors import ModelError
from hearbench.models.onnx_spec import OnnxSpec, read_spec
from hearbench.models.onnx_stage import Floats, StageRunner

__all__ = [
    "OnnxModel",
    "get_scene_embeddings",
    "get_timestamp_embeddings",
    "load_model",
    "weight_files",
]


class OnnxModel(torch.nn.Module):
    """ONNX files that run one after the other, as one HEAR model."""

    device_anchor: torch.Tensor

    def __init__(self, spec: OnnxSpec, files: tuple[Path, ...]) -> None:
        super().__init__()
        self.spec = spec
        self.files = files
        self.sample_rate = spec.sample_rate
        self.timestamp_embedding_size = spec.embedding_size
        self.scene_embedding_size = spec.scene_embedding_size
        # Nothing of ONNX Runtime moves with .to; where this goes, the audio goes.
        self.register_buffer("device_anchor", torch.zeros(0), persistent=False)
        self._runners = {"cpu": self._load("cpu")}
        self.eval()

    def _load(self, device: str) -> tuple[StageRunner, ...]:
        stages = (*self.spec.before, self.spec)
        return tuple(
            StageRunner(stage, file, device) for stage, file in zip(stages, self.files, strict=True)
        )

    def forward(self, audio: torch.Tensor) -> torch.Tensor:
        """Audio (n_clips, n_samples) to embeddings (n_clips, n_frames, embedding_size).

        Raises:
            ModelError: A file gives another number of frames, or frames of another size, than its
                TOML says.
        """
        device = str(audio.device)
        if device not in self._runners:
            self._runners[device] = self._load(device)
        samples = audio.detach().to("cpu", torch.float32).numpy()
        spec = self.spec
        n_frames = self._n_frames(samples.shape[1])
        embeddings = np.empty((len(samples), n_frames, spec.embedding_size), np.float32)
        for clips, frames in self._blocks(len(samples), n_frames):
            piece = self._piece(samples[clips], frames)
            for runner in self._runners[device]:
                piece = runner(piece)
            expected = (len(samples[clips]), frames.stop - frames.start, spec.embedding_size)
            if piece.shape != expected:
                length = (expected[1] - 1) * spec.hop_samples + spec.span_samples
                raise ModelError(
                    f"{self.files[-1]}: {length} samples should give {expected[1]} embeddings of "
                    f"{expected[2]} numbers by hop_samples, span_samples and embedding_size in "
                    f"its TOML, and give {piece.shape[1]} of {piece.shape[2]}."
                )
            embeddings[clips, frames] = piece
        return torch.from_numpy(embeddings).to(audio.device)

    def centres_ms(self, n_samples: int) -> torch.Tensor:
        """Centres of the frames of such a clip in ms, float32 (n_frames,)."""
        index = np.arange(self._n_frames(n_samples))
        samples = self.spec.centre_samples + index * self.spec.hop_samples
        ms = samples * 1000.0 / self.sample_rate
        # A clip shorter than half a span would else have a centre beyond its end.
        return torch.from_numpy(np.minimum(ms, n_samples * 1000.0 / self.sample_rate)).float()

    def _n_frames(self, n_samples: int) -> int:
        spec = self.spec
        padded = n_samples + spec.pad_start_samples + spec.pad_end_samples
        return max(0, padded - spec.span_samples) // spec.hop_samples + 1

    def _blocks(self, n_clips: int, n_frames: int) -> Iterator[tuple[slice, slice]]:
        """Clips and frames that go through together: about segment_s of audio each."""
        spec = self.spec
        longest = int(spec.segment_s * spec.sample_rate)
        most = max(1, (longest - spec.span_samples) // spec.hop_samples + 1)
        # Segments of even length, so that no last one is much shorter than the others.
        count = -(-n_frames // most)
        edges = [n_frames * i // count for i in range(count + 1)]
        length = (-(-n_frames // count) - 1) * spec.hop_samples + spec.span_samples
        together = max(1, longest // length)
        for first in range(0, n_clips, together):
            for start, stop in itertools.pairwise(edges):
                yield slice(first, min(first + together, n_clips)), slice(start, stop)

    def _piece(self, samples: Floats, frames: slice) -> Floats:
        """The audio that these frames see, padded and scaled."""
        spec = self.spec
        start = frames.start * spec.hop_samples - spec.pad_start_samples
        stop = start + (frames.stop - 1 - frames.start) * spec.hop_samples + spec.span_samples
        there = samples[:, max(0, start) : max(0, stop)]
        after = max(0, stop - max(start, 0) - there.shape[1])
        padded = np.pad(there, ((0, 0), (max(0, -start), after)))[:, : stop - start]
        scaled: Floats = padded * np.float32(spec.scale)
        return scaled


def load_model(model_file_path: str) -> OnnxModel:
    """An ONNX model by its TOML.

    Args:
        model_file_path: ``model.onnx`` or ``model.ort`` with ``model.toml`` beside it, or a
            TOML that names its ``file``.

    Raises:
        ModelError: onnxruntime is missing, a file is missing, the TOML can't be used, or it
            doesn't fit the ONNX file.
    """
    # Not pathlib's, which fails where a name has no home folder.
    spec, files = read_spec(Path(os.path.expanduser(model_file_path)))  # noqa: PTH111
    return OnnxModel(spec, files)


def weight_files(weights: Path) -> list[Path]:
    """All files that decide a model's numbers: its TOML and its ONNX files.

    Raises:
        ModelError: One is missing, or the TOML can't be used.
    """
    return [weights.with_suffix(".toml"), *read_spec(weights)[1]]


def get_timestamp_embeddings(
    audio: torch.Tensor, model: OnnxModel
) -> tuple[torch.Tensor, torch.Tensor]:
    """Embeddings at the model's own hop.

    Args:
        audio: (n_clips, n_samples) in [-1, 1] at the model's rate.
        model: Of ``load_model``.

    Returns:
        Embeddings (n_clips, n_frames, size) and frame centres in ms (n_clips, n_frames).

    Raises:
        ModelError: An ONNX file fails, or gives other sizes than its TOML says.
    """
    embeddings: torch.Tensor = model(audio)
    centres_ms = model.centres_ms(audio.shape[1]).to(audio.device)
    return embeddings, centres_ms.expand(embeddings.shape[:2])


def get_scene_embeddings(audio: torch.Tensor, model: OnnxModel) -> torch.Tensor:
    """One embedding per clip: the frames', pooled as the TOML says.

    Args:
        audio: (n_clips, n_samples) in [-1, 1] at the model's rate.
        model: Of ``load_model``.

    Returns:
        (n_clips, size).

    Raises:
        ModelError: An ONNX file fails, or gives other sizes than its TOML says.
    """
    frames: torch.Tensor = model(audio)
    if model.spec.pooling == "max":
        return frames.amax(1)
    if model.spec.pooling == "mean_std":
        return torch.cat([frames.mean(1), frames.std(1, correction=0)], 1)
    return frames.mean(1)
