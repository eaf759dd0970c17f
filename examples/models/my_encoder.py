"""An encoder of one's own as a HEAR model: copy this file and put your network in it.

It needs nothing but PyTorch. Then: hearbench evaluate my_encoder.py --weights my_encoder.pt
--option hop_ms=25 --task TASK --out results

16 kHz; frames of 1024 samples (64 ms) under a Hann window, log power spectra, two dense layers.
Timestamps: the frame centred on every ``hop_ms``. Scene: mean and standard deviation of these.
"""

from __future__ import annotations

import torch
from torch.nn import functional

SAMPLE_RATE = 16000
FRAME_SIZE = 1024
SIZE = 64
# Frames of a clip that are in memory at once, however long the clip is.
BLOCK_FRAMES = 1024


class MyEncoder(torch.nn.Module):
    """The network, with the three attributes that every HEAR model has."""

    sample_rate = SAMPLE_RATE
    scene_embedding_size = 2 * SIZE
    timestamp_embedding_size = SIZE

    window: torch.Tensor

    def __init__(self, hop_ms: float = 50.0) -> None:
        super().__init__()
        self.hop_ms = hop_ms
        # A buffer follows the model to a GPU; a persistent one would be part of the checkpoint.
        self.register_buffer("window", torch.hann_window(FRAME_SIZE), persistent=False)
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(FRAME_SIZE // 2 + 1, 128),
            torch.nn.BatchNorm1d(128),
            torch.nn.GELU(),
            torch.nn.Dropout(0.1),
            torch.nn.Linear(128, SIZE),
        )

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """Frames of audio (n, 1024) to embeddings (n, 64)."""
        power = torch.fft.rfft(frames * self.window).abs().square()
        embeddings: torch.Tensor = self.layers(torch.log(power + 1e-4))
        return embeddings


def load_model(model_file_path: str = "", hop_ms: float = 50.0) -> MyEncoder:
    """The encoder with the weights of a checkpoint.

    Args:
        model_file_path: What ``torch.save(encoder.state_dict(), path)`` wrote; --weights.
        hop_ms: Time between timestamps; --option hop_ms=25.
    """
    if not model_file_path:
        raise ValueError("my_encoder needs its checkpoint: --weights my_encoder.pt")
    model = MyEncoder(hop_ms)
    # Onto the CPU, wherever it was trained; weights_only runs no code out of the file.
    weights = torch.load(model_file_path, map_location="cpu", weights_only=True)
    model.load_state_dict(weights)
    # Stored statistics instead of the batch's, no dropout; and no gradients, whoever calls.
    return model.eval().requires_grad_(False)


def get_timestamp_embeddings(
    audio: torch.Tensor, model: MyEncoder
) -> tuple[torch.Tensor, torch.Tensor]:
    """Embeddings of frames and where the frames are centred.

    Args:
        audio: (n_clips, n_samples) in [-1, 1] at 16 kHz, of any length.
        model: Of ``load_model``.

    Returns:
        Embeddings (n_clips, n_frames, 64) and centres in ms (n_clips, n_frames).
    """
    n_clips, n_samples = audio.shape
    # The hop may be a fraction of a sample: what is rounded is every centre, never the hop. In
    # float32 a centre after 17 minutes could be off by one, and so beyond the clip's end.
    hop = model.hop_ms * SAMPLE_RATE / 1000
    count = int(n_samples / hop) + 1
    centres = (torch.arange(count, dtype=torch.float64) * hop).round().long()
    # Half a frame of zeros on both sides: the frame that begins at sample c of the padded audio
    # is centred on sample c of the clip, and even a clip of one sample has a whole frame.
    padded = functional.pad(audio, (FRAME_SIZE // 2, FRAME_SIZE // 2))
    frames = padded.unfold(1, FRAME_SIZE, 1)  # a view: nothing is copied yet
    blocks = []
    for starts in torch.split(centres.to(audio.device), BLOCK_FRAMES):
        block = frames[:, starts]
        blocks.append(model(block.flatten(0, 1)).view(n_clips, len(starts), SIZE))
    centres_ms = centres * 1000 / SAMPLE_RATE
    return torch.cat(blocks, 1), centres_ms.to(audio.device).expand(n_clips, count)


def get_scene_embeddings(audio: torch.Tensor, model: MyEncoder) -> torch.Tensor:
    """One embedding per clip, (n_clips, 128), of audio (n_clips, n_samples) at 16 kHz."""
    embeddings, _ = get_timestamp_embeddings(audio, model)
    # The standard deviation of a single frame is 0, not NaN, without the correction.
    return torch.cat([embeddings.mean(1), embeddings.std(1, correction=0)], 1)
