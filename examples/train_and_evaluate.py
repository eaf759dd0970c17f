r"""A training that evaluates its network every few epochs, on tasks that it doesn't train on.

For instance, after `hearbench demo --tasks-only`:

    python examples/train_and_evaluate.py --train demo-out/tasks/strokes-1.0.0-demo \
        --tasks demo-out/tasks/notes-1.0.0-demo demo-out/tasks/yard-1.0.0-demo

The network is handed to `hearbench.evaluate` as it is. It needs two methods and three attributes
for that, and nothing of hearbench. Its weights are part of what its embeddings are kept by, so that
the same checkpoint is never embedded twice and another one never taken for it.
"""

from __future__ import annotations

import argparse

import torch
from torch.nn import functional

import hearbench
from hearbench.audio.decode import read_float32
from hearbench.tasks.store import PreparedTask, with_rate

BANDS = 40


class Network(torch.nn.Module):
    """Spectra of frames, two layers, and a head that only the training uses."""

    sample_rate = 16000
    frame_size = 640
    hop = 320  # 20 ms
    scene_embedding_size = 128
    timestamp_embedding_size = 64

    def __init__(self, n_labels: int) -> None:
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(BANDS, 64),
            torch.nn.BatchNorm1d(64),
            torch.nn.ReLU(),
            torch.nn.Dropout(0.1),
            torch.nn.Linear(64, 64),
        )
        self.head = torch.nn.Linear(128, n_labels)

    def get_timestamp_embeddings(self, audio: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Embeddings of frames (n_clips, n_frames, 64), and the frames' centres in ms."""
        half = self.frame_size // 2
        frames = functional.pad(audio, (half, half)).unfold(1, self.frame_size, self.hop)
        spectra = torch.fft.rfft(
            frames * torch.hann_window(self.frame_size, device=audio.device)
        ).abs()
        bands = spectra[..., 1:].unflatten(-1, (BANDS, -1)).mean(-1)
        n_clips, n_frames, _ = bands.shape
        embeddings = self.layers(torch.log(bands + 1e-3).flatten(0, 1))
        centres_ms = (
            torch.arange(n_frames, device=audio.device) * 1000.0 * self.hop / self.sample_rate
        )
        return embeddings.view(n_clips, n_frames, -1), centres_ms.expand(n_clips, -1)

    def get_scene_embeddings(self, audio: torch.Tensor) -> torch.Tensor:
        """One embedding per clip (n_clips, 128): mean and deviation over its frames."""
        frames, _ = self.get_timestamp_embeddings(audio)
        return torch.cat([frames.mean(1), frames.std(1, correction=0)], 1)

    def forward(self, audio: torch.Tensor) -> torch.Tensor:
        """Logits of labels (n_clips, n_labels)."""
        logits: torch.Tensor = self.head(self.get_scene_embeddings(audio))
        return logits


def clips(task: PreparedTask, sample_rate: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Audio (n_clips, n_samples) and labels (n_clips, n_labels) of a task's training clips."""
    task = with_rate(task, sample_rate)
    splits = task.folds()[0].train
    paths = [path for split in splits for path in task.audio_paths(split, sample_rate)]
    audio = torch.stack([torch.from_numpy(read_float32(path)) for path in paths])
    labels = torch.cat([torch.from_numpy(task.targets(split)) for split in splits])
    return audio, labels.float()


def main() -> None:
    """Trains, and prints a line of scores every few epochs."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--train", required=True, help="a scene task with clips of one length")
    parser.add_argument("--tasks", nargs="+", required=True, help="tasks to evaluate on")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--every", type=int, default=10, help="epochs between evaluations")
    parser.add_argument("--protocol", default="faster")
    options = parser.parse_args()

    torch.manual_seed(0)
    task = hearbench.load_task(options.train)
    network = Network(len(task.vocabulary))
    audio, labels = clips(task, network.sample_rate)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    for epoch in range(options.epochs + 1):
        if epoch % options.every == 0:
            results = hearbench.evaluate(
                network, options.tasks, protocol=options.protocol, name=f"epoch-{epoch}"
            )
            primary = [next(iter(results.scores(name).values())) for name in results.tasks]
            cells = [f"{name} {score}" for name, score in zip(results.tasks, primary, strict=True)]
            print("\t".join([f"epoch {epoch}", *cells]), flush=True)
        network.train()
        order = torch.randperm(len(audio))
        for start in range(0, len(audio), 16):
            rows = order[start : start + 16]
            loss = functional.binary_cross_entropy_with_logits(network(audio[rows]), labels[rows])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()


if __name__ == "__main__":
    main()
