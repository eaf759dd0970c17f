"""Probes on frames that are summed by attention: pieces, memory, and what a plain loop finds."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from helpers_models import BANDS, write_model
from helpers_probe import SMALL_GRID
from helpers_progress import StoppedError, stopping
from helpers_tasks import make_event_task, make_scene_task
from plain_loop import plain_fit, plain_network
from torch import nn

from hearbench import embed, fit_probe, load_model, load_task
from hearbench.embeddings.compute import finish_store
from hearbench.embeddings.kinds import Wanted
from hearbench.embeddings.ranges import ClipFrames
from hearbench.embeddings.store import EmbeddingStore
from hearbench.errors import EmbeddingError, ProbeError, UnsuitableTaskError
from hearbench.metrics.classification import top1_accuracy
from hearbench.probe import framed_clips
from hearbench.probe.data import BatchSpec
from hearbench.probe.framed_clips import FramedClips, framed_data
from hearbench.probe.objective import Objective
from hearbench.probe.outputs import MULTICLASS
from hearbench.probe.protocol import GridPoint, Protocol
from hearbench.probe.reading import Attention
from hearbench.probe.scenes import SceneData, array_data
from hearbench.probe.training_loop import Trained, Training
from hearbench.workspace import Workspace

ACCURACY = Objective(top1_accuracy, maximise=True)
N_LABELS, SIZE = 4, 8
Clips = list[npt.NDArray[np.float32]]
Split = tuple[Clips, npt.NDArray[np.uint8]]
SMALL = Protocol(name="small", grid=SMALL_GRID[:3]).that_reads("attentive")


def on_disk(folder: Path, clips: Clips) -> list[ClipFrames]:
    """Clips as frames in one file, one after the other."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "frames.npy"
    frames = np.concatenate(clips)
    np.save(path, frames)
    offset = path.stat().st_size - frames.nbytes
    starts = np.cumsum([0, *(len(clip) for clip in clips)])
    return [
        ClipFrames(
            clip=f"{i}.wav",
            timestamps_ms=np.arange(len(clip), dtype=np.float64) * 50,
            path=path,
            dtype=frames.dtype,
            offset=offset + int(start) * SIZE * 4,
            size=SIZE,
        )
        for i, (clip, start) in enumerate(zip(clips, starts, strict=False))
    ]


def short_events(n: int, seed: int, lengths: Sequence[int] = (100,)) -> Split:
    """Clips of noise; three frames of each are loud in the first number and know the label."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(9).standard_normal((N_LABELS, SIZE - 1)) * 1.5
    labels = rng.integers(0, N_LABELS, n)
    clips = []
    for i, label in enumerate(labels):
        length = lengths[i % len(lengths)]
        x = rng.standard_normal((length, SIZE)).astype(np.float32)
        start = int(rng.integers(0, max(1, length - 3)))
        x[start : start + 3, 0] += 3
        x[start : start + 3, 1:] += centres[label]
        clips.append(x)
    return clips, np.eye(N_LABELS, dtype=np.uint8)[labels]


def data_of(folder: Path, train: Split, valid: Split, **spec: object) -> SceneData:
    values: dict[str, object] = {"batch_size": 128, "device": "cpu", "dtype": torch.float32, **spec}
    return framed_data(
        (on_disk(folder / "train", train[0]), train[1]),
        (on_disk(folder / "valid", valid[0]), valid[1]),
        outputs=MULTICLASS,
        spec=BatchSpec(**values),  # type: ignore[arg-type]
    )


def trained(data: SceneData, points: list[GridPoint], seed: int = 1) -> Trained:
    reading = Attention(data.inputs.offset)
    training = Training(
        {seed: points}, data, ACCURACY, fold=0, dtype=torch.float32, reading=reading
    )
    return training.run()[seed]


def pieces_of(data: SceneData) -> FramedClips:
    assert isinstance(data.train, FramedClips)
    return data.train


@pytest.mark.parametrize("numbers", [SIZE * 5, SIZE * 40, 1 << 21])
def test_pieces_hold_every_frame_once(
    tmp_path: Path, numbers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(framed_clips, "_PIECE", numbers)
    split = short_events(12, 0, (7, 1, 20, 7))
    for memory in (1 << 30, 0):
        data = data_of(tmp_path, split, split, max_memory_bytes=memory, batch_size=5)
        assert (pieces_of(data).kept is not None) == (memory > 0)
        seen: dict[int, list[npt.NDArray[np.float32]]] = {}
        for (batch, _), (start, _) in zip(data.epoch(1), data.bounds, strict=True):
            assert not isinstance(batch, torch.Tensor)
            for piece in batch.pieces():
                n_clips, longest, size = piece.x.shape
                assert size == SIZE
                assert n_clips * longest * SIZE <= numbers
                for i, clip in enumerate(piece.clips.tolist()):
                    own = longest if piece.lengths is None else int(piece.lengths[i])
                    frames = (piece.x[i, :own] + data.inputs.mean).numpy()
                    seen.setdefault(start + clip, []).append(frames)
        assert sorted(seen) == list(range(12))
        for i, parts in seen.items():
            np.testing.assert_allclose(np.concatenate(parts), split[0][i], atol=1e-6)


@pytest.mark.parametrize("changes", [{}, {"shuffle": 7}, {"standardise": True}])
@pytest.mark.parametrize("lengths", [(9,), (7, 1, 20)])
def test_read_again_in_every_pass_it_learns_the_same(
    tmp_path: Path,
    lengths: tuple[int, ...],
    changes: dict[str, object],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(framed_clips, "_PIECE", SIZE * 16)
    train, valid = short_events(60, 0, lengths), short_events(40, 1, lengths)
    found = []
    for memory in (1 << 30, 0):
        data = data_of(tmp_path, train, valid, max_memory_bytes=memory, batch_size=25, **changes)
        points = [
            GridPoint(hidden_layers=1, hidden_dim=16, lr=lr, max_epochs=6) for lr in (1e-2, 1e-3)
        ]
        found.append(trained(data, points).weights)
    kept, read = found
    assert kept is not None
    assert read is not None
    assert float(kept["query"].abs().max()) > 0
    for name, tensor in kept.items():
        assert torch.equal(read[name], tensor), name


def test_how_frames_are_cut_changes_nothing_but_rounding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train, valid = short_events(60, 0, (7, 1, 20)), short_events(40, 1, (7, 1, 20))
    point = GridPoint(hidden_layers=0, lr=1e-2, max_epochs=6)
    found = []
    for numbers in (SIZE * 3, 1 << 21):
        monkeypatch.setattr(framed_clips, "_PIECE", numbers)
        found.append(trained(data_of(tmp_path, train, valid), [point]).weights)
    assert found[0] is not None
    assert found[1] is not None
    for name, tensor in found[0].items():
        torch.testing.assert_close(found[1][name], tensor, rtol=1e-4, atol=1e-5, msg=name)


def mean_score(train: Split, valid: Split, point: GridPoint) -> float:
    """The best validation on the clips' mean frames."""
    rows = [(np.stack([clip.mean(axis=0) for clip in clips]), y) for clips, y in (train, valid)]
    data = array_data(
        rows[0], rows[1], outputs=MULTICLASS, spec=BatchSpec(128, "cpu", torch.float32)
    )
    training = Training({1: [point]}, data, ACCURACY, fold=0, dtype=torch.float32)
    return training.run()[1].outcomes[0].validation_score


class PlainAttentive(nn.Module):
    """A network on attention over frames, as one would first write it."""

    def __init__(self, body: nn.Sequential) -> None:
        super().__init__()
        self.query = nn.Parameter(torch.zeros(SIZE))
        self.body = body

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits of frames (batch, frames, size)."""
        attention = torch.softmax(x @ self.query / math.sqrt(SIZE), dim=1)
        logits: torch.Tensor = self.body((attention[:, :, None] * x).sum(dim=1))
        return logits


def plain_score(train: Split, valid: Split, point: GridPoint, seed: int) -> float:
    """The best validation of a plain loop."""
    torch.manual_seed(seed)
    body = plain_network(
        SIZE,
        N_LABELS,
        hidden_layers=point.hidden_layers,
        hidden_dim=point.hidden_dim,
        initialization=point.initialization,
        dropout=point.dropout,
    )
    module = PlainAttentive(body)
    # What PyTorch computes as the gradient of a bias before normalisation is rounding alone.
    learned = [p for name, p in module.named_parameters() if name != "body.0.bias"]
    fitted = plain_fit(
        module,
        torch.optim.Adam(learned, lr=point.lr),
        (torch.from_numpy(np.stack(train[0])), torch.from_numpy(train[1].argmax(axis=1))),
        (torch.from_numpy(np.stack(valid[0])), valid[1]),
        top1_accuracy,
        max_epochs=point.max_epochs,
        check_every=point.check_every,
        patience=point.patience,
        batch_size=128,
    )
    return fitted.validation_score


def test_short_events_are_found_as_by_a_plain_loop(tmp_path: Path) -> None:
    train, valid = short_events(384, 0), short_events(400, 1)
    point = GridPoint(hidden_layers=1, hidden_dim=32, lr=1e-2, max_epochs=60, patience=6)
    data = data_of(tmp_path, train, valid)
    mean = mean_score(train, valid, point)
    plain = [plain_score(train, valid, point, seed) for seed in range(100, 104)]
    ours = [trained(data, [point], seed).outcomes[0].validation_score for seed in range(4)]
    noise = np.sqrt(np.var(plain, ddof=1) / 4 + np.var(ours, ddof=1) / 4)
    assert abs(np.mean(plain) - np.mean(ours)) < max(4 * noise, 0.01)
    assert np.mean(ours) > mean + 0.2


def store_of(tmp_path: Path, workspace: Workspace, **task: object) -> EmbeddingStore:
    loaded = load_task(
        make_scene_task(tmp_path, folds=True, clips_per_label=6, **task),  # type: ignore[arg-type]
        workspace=workspace,
    )
    model = load_model(str(write_model(tmp_path, BANDS)), workspace=workspace)
    return finish_store(model, loaded, Wanted("timestamp"), workspace)


@pytest.mark.parametrize("varying", [False, True])
def test_a_stopped_training_goes_on_to_the_same_result(
    tmp_path: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch, varying: bool
) -> None:
    monkeypatch.setattr("hearbench.probe.checkpoint._SHARE_OF_TIME", 1e9)
    store = store_of(tmp_path, workspace, varying_lengths=varying)
    elsewhere = dataclasses.replace(workspace, cache_dir=tmp_path / "undisturbed")
    expected = fit_probe(store, SMALL, workspace=elsewhere)
    with pytest.raises(StoppedError):
        fit_probe(store, SMALL, workspace=stopping(workspace, 5), checkpoint_every_s=0.0)
    found = fit_probe(store, SMALL, workspace=workspace)
    assert found.grid == expected.grid
    assert found.layers is None
    for a, b in zip(found.scene_folds(), expected.scene_folds(), strict=True):
        np.testing.assert_array_equal(a.probabilities, b.probabilities)
        assert list(a.clips) == list(store.task.splits[a.fold.test])


def test_little_memory_gives_the_same(tmp_path: Path, workspace: Workspace) -> None:
    store = store_of(tmp_path, workspace, multilabel=True)
    tight = dataclasses.replace(workspace, cache_dir=tmp_path / "tight", max_memory_gb=1e-9)
    for a, b in zip(
        fit_probe(store, SMALL, workspace=workspace).folds,
        fit_probe(store, SMALL, workspace=tight).folds,
        strict=True,
    ):
        np.testing.assert_array_equal(a.probabilities, b.probabilities)


def test_what_has_no_frames_to_sum_is_refused(tmp_path: Path, workspace: Workspace) -> None:
    model = load_model(str(write_model(tmp_path, BANDS)), workspace=workspace)
    event = load_task(make_event_task(tmp_path / "event"), workspace=workspace)
    with pytest.raises(UnsuitableTaskError, match="scene tasks"):
        fit_probe(embed(model, event, workspace=workspace), SMALL, workspace=workspace)
    scene = load_task(make_scene_task(tmp_path / "scene"), workspace=workspace)
    with pytest.raises(EmbeddingError, match="no timestamp embeddings"):
        fit_probe(embed(model, scene, workspace=workspace), SMALL, workspace=workspace)
    one = short_events(1, 0)
    with pytest.raises(ProbeError, match="at least 2 clips"):
        data_of(tmp_path, one, one)
