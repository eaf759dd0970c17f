"""All layers of Moonshine tiny's encoder in one pass: values inside an ONNX file as embeddings.

Needs: pip install onnx onnxruntime; pip install --no-deps moonshine-voice==0.0.49 (MIT). Then:
hearbench evaluate examples/models/moonshine_layers.py --protocol layers ...

16 kHz; a frame of 288 numbers every 24 ms. Layer 0 enters the first of six transformer layers,
layer 6 leaves the last one and the norm after it: what `moonshine.toml` gives, and this model
unless the option `layer` says otherwise. Scene: the mean of the frames. Source: Jeffries et al.,
"Moonshine: Speech Recognition for Live Transcription and Voice Commands", 2024.
"""

from __future__ import annotations

import importlib.util
import itertools
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch

SAMPLE_RATE = 16000
SIZE = 288
DEPTH = 6
# Three convolutions, of kernels 127, 7, 3 and strides 64, 3, 2, see 895 samples every 384.
HOP, SPAN = 384, 895
PAD_END = 447  # so the last frame is near the clip's end
SEGMENT = 1249  # frames in 30 s: attention spans them all, and its cost grows as their square
# The values' names in the file, from what enters the first layer to what leaves the last.
VALUES = (
    "/Transpose_output_0",
    *(f"/layers.{layer}/Add_1_output_0" for layer in range(DEPTH - 1)),
    "last_hidden_state",
)


class Encoder(torch.nn.Module):
    """The encoder in ONNX Runtime, on the CPU."""

    sample_rate = SAMPLE_RATE
    scene_embedding_size = SIZE
    timestamp_embedding_size = SIZE
    layers = len(VALUES)

    def __init__(self, path: Path, layer: int) -> None:
        super().__init__()
        self.layer = layer
        self.session = _with_all_values(path)

    def forward(self, audio: torch.Tensor) -> torch.Tensor:
        """Audio (clips, samples) to layers (clips, 7, frames, 288)."""
        n_frames = max(0, audio.shape[1] + PAD_END - SPAN) // HOP + 1
        missing = max(0, (n_frames - 1) * HOP + SPAN - audio.shape[1])
        padded = torch.nn.functional.pad(audio, (0, missing)).cpu().numpy()
        # Segments of even length, so that no last one is much shorter than the others.
        count = -(-n_frames // SEGMENT)
        edges = [n_frames * i // count for i in range(count + 1)]
        pieces = [
            np.stack([self._run(clip[first * HOP : (last - 1) * HOP + SPAN]) for clip in padded])
            for first, last in itertools.pairwise(edges)
        ]
        return torch.from_numpy(np.concatenate(pieces, 2)).to(audio.device)

    def _run(self, clip: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        # Clip by clip: the file is 8-bit inside, and its rounding depends on all clips of a batch.
        samples = np.ascontiguousarray(clip[None], np.float32)
        feeds = {"input_values": samples, "attention_mask": np.ones(samples.shape, np.int64)}
        return np.concatenate(self.session.run(list(VALUES), feeds))


def _with_all_values(path: Path) -> Any:
    """A session that can give every value of ``VALUES``, and computes just what the file says."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4  # errors are raised, and say the same
    # ONNX Runtime's own format takes no further outputs, so the network is saved in ONNX first.
    with tempfile.TemporaryDirectory() as folder:
        saved = Path(folder) / "encoder.onnx"
        options.optimized_model_filepath = str(saved)
        options.add_session_config_entry("session.save_model_format", "ONNX")
        onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        network = onnx.load(saved)
    there = {value.name for value in network.graph.output}
    network.graph.output.extend(
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
        for name in VALUES
        if name not in there
    )
    options.optimized_model_filepath = ""
    return onnxruntime.InferenceSession(
        network.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def load_model(model_file_path: str = "", layer: int = DEPTH) -> Encoder:
    """The encoder of the installed moonshine-voice, or of another copy of its file."""
    path = Path(model_file_path) if model_file_path else _file_in_the_wheel()
    return Encoder(path, range(DEPTH + 1)[layer]).eval()


def _file_in_the_wheel() -> Path:
    spec = importlib.util.find_spec("moonshine_voice")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("Run: pip install --no-deps moonshine-voice==0.0.49")
    return Path(spec.submodule_search_locations[0]) / "assets/tiny-en/encoder_model.ort"


def get_timestamp_layers(audio: torch.Tensor, model: Encoder) -> tuple[torch.Tensor, torch.Tensor]:
    """Frames of all layers, and the middles of what the convolutions see."""
    layers = model(audio)
    samples = torch.arange(layers.shape[2], device=audio.device) * HOP + (SPAN - 1) / 2
    # A clip that is shorter than half a span would else have a centre beyond its end.
    ms = samples.clamp_max(audio.shape[1]) / (SAMPLE_RATE / 1000)
    return layers, ms.expand(len(audio), -1)


def get_scene_layers(audio: torch.Tensor, model: Encoder) -> torch.Tensor:
    """All layers, each the mean over its frames."""
    return get_timestamp_layers(audio, model)[0].mean(2)


def get_timestamp_embeddings(
    audio: torch.Tensor, model: Encoder
) -> tuple[torch.Tensor, torch.Tensor]:
    """Frames of one layer."""
    layers, ms = get_timestamp_layers(audio, model)
    return layers[:, model.layer], ms


def get_scene_embeddings(audio: torch.Tensor, model: Encoder) -> torch.Tensor:
    """One layer, the mean over its frames."""
    return get_scene_layers(audio, model)[:, model.layer]
