"""The example with a speaker encoder, with random weights in a file of the published form."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from hearbench.models.loading import load_model
from hearbench.models.model import Model
from hearbench.workspace import Workspace

EXAMPLE = Path(__file__).resolve().parents[2] / "examples/models/resemblyzer_voice.py"


class Published(torch.nn.Module):
    """The published network: a stack of three layers, and its last state as an embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = torch.nn.LSTM(40, 256, 3, batch_first=True)
        self.linear = torch.nn.Linear(256, 256)


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> tuple[Published, Path]:
    torch.manual_seed(0)
    network = Published().requires_grad_(requires_grad=False)
    # Such large weights that layers differ, and that what they hear matters.
    dict(network.named_parameters())["lstm.weight_ih_l0"].mul_(1000.0)
    path = tmp_path_factory.mktemp("weights") / "pretrained.pt"
    similarity = {"similarity_weight": torch.ones(1), "similarity_bias": torch.ones(1)}
    torch.save({"model_state": {**network.state_dict(), **similarity}}, path)
    return network, path


def load(path: Path, workspace: Workspace, layer: int = 3) -> Model:
    return load_model(EXAMPLE, path, workspace=workspace, layer=layer)


def noise() -> np.ndarray:
    rising = np.linspace(0.0, 0.3, 30000) * np.random.default_rng(1).normal(size=(2, 30000))
    return rising.astype(np.float32)


def test_layers_are_those_of_the_published_stack(
    published: tuple[Published, Path], workspace: Workspace
) -> None:
    network, path = published
    model = load(path, workspace)
    assert (model.layers, model.layer) == (4, 3)
    layers, ms = model.timestamp_layers(noise())
    assert layers.shape == (2, 4, 19, 256)
    assert ms[0] == pytest.approx(np.arange(19) * 100.0)

    # The window around 900 ms lies within the clip: 160 spectra, the 81st at its middle.
    encoder = model.engine.engine.loaded  # type: ignore[attr-defined]
    mel = encoder.mel(torch.from_numpy(noise()))[:, 10:170]
    states, (hidden, _) = network.lstm(mel)
    embedding = torch.relu(network.linear(hidden[-1]))
    embedding /= embedding.norm(dim=1, keepdim=True)
    assert layers[:, 3, 9] == pytest.approx(embedding.numpy(), abs=1e-5)
    assert layers[:, 2, 9] == pytest.approx(states.mean(1).numpy(), abs=1e-5)
    fewer = torch.nn.LSTM(40, 256, 1, batch_first=True)
    first = {key: value for key, value in network.lstm.state_dict().items() if key.endswith("l0")}
    fewer.load_state_dict(first)
    assert layers[:, 0, 9] == pytest.approx(fewer(mel)[0].mean(1).detach().numpy(), abs=1e-5)
    assert layers[:, :3, 9].std(axis=2).min() > 0.01


def test_the_option_gives_one_of_them(
    published: tuple[Published, Path], workspace: Workspace
) -> None:
    _, path = published
    every = load(path, workspace)
    frames, ms = every.timestamp_layers(noise())
    scenes = every.scene_layers(noise())
    assert scenes == pytest.approx(frames[:, :, ::8].mean(2), abs=1e-6)
    for layer in range(4):
        model = load(path, workspace, layer)
        assert model.layer == layer
        assert model.layers_digest == every.layers_digest
        embeddings, one_ms = model.timestamps(noise())
        np.testing.assert_array_equal(embeddings, frames[:, layer])
        np.testing.assert_array_equal(one_ms, ms)
        np.testing.assert_array_equal(model.scene(noise()), scenes[:, layer])
    assert load(path, workspace, -1).layer == 3
