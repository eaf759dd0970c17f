"""Networks that are evaluated as they are, in the course of a training."""

from __future__ import annotations

from pathlib import Path

import torch
from helpers_progress import Noted, noting
from helpers_tasks import make_scene_task

import hearbench
from hearbench.results import Result
from hearbench.workspace import Workspace


class Bands(torch.nn.Module):
    """Sixteen bands of the spectrum, weighted."""

    sample_rate = 16000
    scene_embedding_size = 16
    timestamp_embedding_size = 16

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(16))

    def get_scene_embeddings(self, audio: torch.Tensor) -> torch.Tensor:
        power = torch.fft.rfft(audio).abs()[:, 1:385]
        return torch.log(power.reshape(len(audio), 16, -1).mean(2) + 1e-3) * self.weight

    def get_timestamp_embeddings(self, audio: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        length_ms = 1000.0 * audio.shape[1] / self.sample_rate
        return self.get_scene_embeddings(audio)[:, None], torch.full((len(audio), 1), length_ms / 2)


def test_a_network_is_evaluated_once_for_its_weights(tmp_path: Path, workspace: Workspace) -> None:
    task = make_scene_task(tmp_path / "task")
    net = Bands().train()

    def evaluated(name: str | None) -> tuple[Result, list[str]]:
        told = Noted()
        results = hearbench.evaluate(
            net,
            task,
            protocol="knn",
            name=name,
            out=tmp_path / "out",
            workspace=noting(workspace, told),
        )
        assert not results.failures
        (result,) = results
        assert isinstance(result, Result)
        return result, told.stages

    first, stages = evaluated("step-0")
    assert any("embedding with step-0" in stage for stage in stages)
    assert first.model.name == "step-0"
    assert first.model.spec == f"object:{__name__}.Bands"
    # Tones of different heights lie in different bands.
    assert first.primary.mean == 1.0
    again, stages = evaluated("step-0")
    assert again == first
    assert not any("embedding" in stage for stage in stages)
    with torch.no_grad():
        net.weight[3] = 0.5
    changed, stages = evaluated("step-1")
    assert any("embedding with step-1" in stage for stage in stages)
    assert changed.embeddings.digest != first.embeddings.digest
    assert net.training
    unnamed, _ = evaluated(None)
    assert unnamed.model.name == "Bands"
    assert unnamed.embeddings.digest == changed.embeddings.digest
    assert (tmp_path / "out/step-1/tones-1.0.0-full/result.json").is_file()
