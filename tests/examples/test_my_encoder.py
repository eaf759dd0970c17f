"""The example of a model of one's own, from Python and from the command line."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from helpers_cli import hearbench
from helpers_models import noise
from helpers_tasks import make_event_task, make_scene_task

from hearbench.errors import ModelError
from hearbench.models.loading import load_model
from hearbench.models.model import Model
from hearbench.workspace import Workspace

PATH = Path(__file__).resolve().parents[2] / "examples/models/my_encoder.py"


@pytest.fixture(scope="module")
def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("example_my_encoder", PATH)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def weights(example: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint as a training would leave it, with statistics that aren't the defaults."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        encoder = example.MyEncoder().train()
        for _ in range(20):
            encoder(torch.randn(32, example.FRAME_SIZE) * 0.1)
    path = tmp_path_factory.mktemp("checkpoint") / "my_encoder.pt"
    torch.save(encoder.state_dict(), path)
    return path


@pytest.fixture
def model(weights: Path, workspace: Workspace) -> Model:
    return load_model(PATH, weights, workspace=workspace)


def frame_by_frame(
    example: ModuleType, weights: Path, audio: npt.NDArray[np.float32], centres: list[int]
) -> npt.NDArray[np.float64]:
    """The network by its definition in float64, one frame of one clip after the other."""
    w = {key: value.double().numpy() for key, value in torch.load(weights).items()}
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(1024) / 1024)
    rows = []
    for clip in audio.astype(np.float64):
        padded = np.concatenate([np.zeros(512), clip, np.zeros(512)])
        for centre in centres:
            spectrum = np.fft.rfft(padded[centre : centre + 1024] * window)
            x = w["layers.0.weight"] @ np.log(np.abs(spectrum) ** 2 + 1e-4) + w["layers.0.bias"]
            x = (x - w["layers.1.running_mean"]) / np.sqrt(w["layers.1.running_var"] + 1e-5)
            x = torch.from_numpy(x * w["layers.1.weight"] + w["layers.1.bias"])
            x = torch.nn.functional.gelu(x).numpy()
            rows.append(w["layers.4.weight"] @ x + w["layers.4.bias"])
    return np.array(rows).reshape(len(audio), len(centres), -1)


@pytest.mark.parametrize(
    ("n_samples", "centres"),
    [
        (1, [0]),  # shorter than a frame, and than a hop
        (799, [0]),
        (800, [0, 800]),
        (4321, [0, 800, 1600, 2400, 3200, 4000]),
    ],
)
def test_frames_of_any_length(
    model: Model, example: ModuleType, weights: Path, n_samples: int, centres: list[int]
) -> None:
    audio = noise(2, n_samples / 16000, 16000)
    assert audio.shape == (2, n_samples)
    expected = frame_by_frame(example, weights, audio, centres)
    embeddings, centres_ms = model.timestamps(audio.copy())
    assert centres_ms.tolist() == [[centre / 16 for centre in centres]] * 2
    np.testing.assert_allclose(embeddings, expected, rtol=1e-3, atol=1e-4)
    scene = model.scene(audio.copy())
    assert scene.shape == (2, 128)
    np.testing.assert_allclose(scene[:, :64], expected.mean(1), rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(scene[:, 64:], expected.std(1), rtol=1e-3, atol=1e-4)


def test_hops_of_a_fraction_of_a_sample(weights: Path, workspace: Workspace) -> None:
    model = load_model(PATH, weights, workspace=workspace, hop_ms="33.3")
    assert model.name == "my_encoder-hop_ms=33.3"
    _, centres_ms = model.timestamps(noise(1, 4.001, 16000))
    assert centres_ms.shape == (1, 121)
    # The nearest sample to every exact time: no drift, whatever the length.
    assert np.abs(centres_ms[0] - 33.3 * np.arange(121)).max() <= 0.5 / 16 + 1e-3
    assert (centres_ms * 16 == np.rint(centres_ms * 16)).all()


@pytest.mark.parametrize("hop_ms", ["50", "25", "62.5"])
@pytest.mark.parametrize("sample", [0, 390, 7777, 8000, 15999])
def test_a_click_is_found_at_the_nearest_timestamp(
    weights: Path, workspace: Workspace, hop_ms: str, sample: int
) -> None:
    model = load_model(PATH, weights, workspace=workspace, hop_ms=hop_ms)
    audio = np.zeros((2, 16123), np.float32)
    audio[0, sample] = 1.0
    embeddings, centres_ms = model.timestamps(audio)
    change = np.abs(embeddings[0] - embeddings[1]).sum(1)
    nearest = np.abs(centres_ms[0] - sample / 16).argmin()
    assert change.argmax() == nearest
    # Frames that don't reach it are exactly as in silence.
    assert not change[np.abs(centres_ms[0] - sample / 16) > 32.0].any()


def test_clips_do_not_depend_on_their_batch(model: Model) -> None:
    audio = noise(5, 0.31, 16000)
    audio[0] *= 100
    together, alone = model.timestamps(audio.copy())[0], model.timestamps(audio[3:4].copy())[0]
    np.testing.assert_allclose(together[3], alone[0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        model.scene(audio.copy())[3], model.scene(audio[3:4].copy())[0], rtol=1e-4, atol=1e-5
    )


def test_evaluation_mode_and_no_gradients(example: ModuleType, weights: Path) -> None:
    loaded = example.load_model(str(weights))
    assert not any(module.training for module in loaded.modules())
    # Without hearbench's own switch.
    embeddings, _ = example.get_timestamp_embeddings(torch.zeros(1, 900), loaded)
    assert torch.is_grad_enabled()
    assert not embeddings.requires_grad


def test_long_audio_goes_through_in_blocks(
    example: ModuleType, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = example.load_model(str(weights), hop_ms=25.0)
    audio = torch.from_numpy(noise(2, 1.0, 16000))
    whole, _ = example.get_timestamp_embeddings(audio, loaded)
    sizes: list[int] = []
    loaded.register_forward_pre_hook(lambda _, given: sizes.append(len(given[0])))
    monkeypatch.setattr(example, "BLOCK_FRAMES", 16)
    parts, _ = example.get_timestamp_embeddings(audio, loaded)
    assert sizes == [32, 32, 18]  # 41 frames of two clips
    torch.testing.assert_close(parts, whole, rtol=1e-4, atol=1e-5)


def test_almost_twenty_minutes(weights: Path, workspace: Workspace) -> None:
    # 19001 hops of 999 samples: an odd number that float32 would round up, beyond the end.
    model = load_model(PATH, weights, workspace=workspace, hop_ms=62.4375)
    embeddings, centres_ms = model.timestamps(np.zeros((1, 18_981_999), np.float32))
    assert embeddings.shape == (1, 19002, 64)
    assert float(centres_ms[0, -1]) == pytest.approx(18_981_999 / 16, abs=0.1)
    assert centres_ms.max() <= 18_981_999 / 16 + 1e-9


def test_without_weights_it_says_what_to_do(workspace: Workspace) -> None:
    with pytest.raises(ModelError, match=r"needs its checkpoint: --weights my_encoder\.pt"):
        load_model(PATH, workspace=workspace)


def test_from_the_command_line(weights: Path, tmp_path: Path) -> None:
    tasks = tmp_path / "tasks"
    scenes = make_scene_task(tasks, clips_per_label=20, duration_s=0.2345, varying_lengths=True)
    events = make_event_task(tasks, clips=20, duration_s=2.017)
    answer = hearbench(
        "evaluate", PATH, "--weights", weights, "--option", "hop_ms=25", "--device", "cpu",
        "--task", scenes, "--task", events, "--out", tmp_path / "out",
        "--cache", tmp_path / "cache", "--protocol", "faster", "--grid-points", 4, "--json",
    )  # fmt: skip
    assert answer.code == 0, answer.stderr
    assert answer.json["failed"] == []
    results: dict[str, Any] = {item["task"]: item for item in answer.json["results"]}
    assert {item["model"] for item in results.values()} == {"my_encoder-hop_ms=25.0"}
    # Three pure tones, which even random layers keep apart, as their spectra are.
    assert results["tones-1.0.0-full"]["scores"]["top1_acc"]["mean"] == 1.0
    # An error rate of 1 is that of finding nothing.
    assert results["beeps-1.0.0-full"]["scores"]["segment_1s_er"]["mean"] < 0.3
