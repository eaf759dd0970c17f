"""A complete HEAR model to start from: mean and deviation of a log spectrum.

Copy it, put your own network where the spectrum is computed, and evaluate the file.
"""

import torch


class LogSpectrum(torch.nn.Module):
    """A module with the three attributes that every HEAR model has."""

    sample_rate = 16000  # Hz; audio arrives at this rate
    scene_embedding_size = 258
    timestamp_embedding_size = 129

    window: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("window", torch.hann_window(256), persistent=False)

    def forward(self, audio: torch.Tensor) -> torch.Tensor:
        """Audio (n_clips, n_samples) to frames every 50 ms (n_clips, n_frames, 129)."""
        spectrum = torch.stft(
            audio, 256, 800, window=self.window, pad_mode="constant", return_complex=True
        )
        return torch.log(spectrum.abs().square() + 1e-4).transpose(1, 2)


def load_model(model_file_path: str = "") -> torch.nn.Module:
    """Makes the model, with the weights in a file if one is given."""
    model = LogSpectrum()
    if model_file_path:
        model.load_state_dict(torch.load(model_file_path, weights_only=True))
    return model.eval()


def get_timestamp_embeddings(
    audio: torch.Tensor, model: torch.nn.Module
) -> tuple[torch.Tensor, torch.Tensor]:
    """Frames (n_clips, n_frames, 129) and their centres in ms (n_clips, n_frames)."""
    frames = model(audio)
    centres_ms = 50.0 * torch.arange(frames.shape[1], device=audio.device)
    return frames, centres_ms.expand(frames.shape[:2])


def get_scene_embeddings(audio: torch.Tensor, model: torch.nn.Module) -> torch.Tensor:
    """One vector per clip (n_clips, 258)."""
    frames = model(audio)
    return torch.cat([frames.mean(1), frames.std(1, correction=0)], 1)
