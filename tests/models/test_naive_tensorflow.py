"""The TensorFlow and Keras versions of the naive baseline against the PyTorch one."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from helpers_models import engine_of, noise

from hearbench.errors import ModelError
from hearbench.models import naive
from hearbench.models.loading import load_model
from hearbench.models.model import Model
from hearbench.workspace import Workspace

SPECS = ("hearbench.models.naive_tensorflow", "hearbench.models.naive_keras")


@pytest.fixture(scope="module", autouse=True)
def tensorflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """TensorFlow, quiet, under a Keras that keeps its settings in a folder of the test's own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")
        patch.setenv("KERAS_BACKEND", "tensorflow")
        patch.setenv("KERAS_HOME", str(tmp_path_factory.mktemp("keras")))
        yield pytest.importorskip("tensorflow")


@pytest.fixture(params=SPECS)
def model(request: pytest.FixtureRequest, workspace: Workspace) -> Model:
    return load_model(str(request.param), workspace=workspace)


@pytest.fixture
def reference(workspace: Workspace) -> Model:
    return load_model("hearbench.models.naive", workspace=workspace)


def difference(found: npt.NDArray[np.float32], expected: npt.NDArray[np.float32]) -> float:
    assert found.dtype == expected.dtype == np.float32
    assert found.shape == expected.shape
    return float(np.abs(found - expected).max())


def compare(model: Model, reference: Model, audio: npt.NDArray[np.float32]) -> None:
    assert difference(model.scene(audio.copy()), reference.scene(audio.copy())) < 1e-3
    embeddings, centres_ms = model.timestamps(audio.copy())
    expected, expected_ms = reference.timestamps(audio.copy())
    assert difference(embeddings, expected) < 1e-3
    assert np.array_equal(centres_ms, expected_ms)


@pytest.mark.parametrize(
    ("clips", "samples"),
    [(1, 1), (3, 100), (1, 2204), (2, 2205), (1, 11025), (4, 47187), (2, 176400), (1, 1323001)],
)
def test_noise_of_several_lengths_agrees(
    model: Model, reference: Model, clips: int, samples: int
) -> None:
    compare(model, reference, noise(clips, samples / 44100, 44100, seed=samples))


def test_silence_clicks_steps_and_full_scale_noise_agree(model: Model, reference: Model) -> None:
    audio = np.zeros((5, 30000), np.float32)
    audio[1, 7000] = 1.0
    audio[2] = np.where(np.arange(30000) // 220 % 2, 1.0, -1.0)
    audio[3] = np.clip(noise(1, 30000 / 44100, 44100)[0] * 10, -1, 1)
    audio[4] = noise(1, 30000 / 44100, 44100)[0] * 1e-4
    compare(model, reference, audio)


def test_the_facts_and_the_device(model: Model) -> None:
    assert (model.sample_rate, model.device) == (44100, "cpu")
    assert (model.scene_embedding_size, model.timestamp_embedding_size) == (4096, 4096)
    _, centres_ms = model.timestamps(noise(2, 0.12, 44100))
    assert centres_ms.tolist() == [[0.0, 50.0, 100.0]] * 2


def test_they_are_models_of_their_frameworks(tensorflow: Any, workspace: Workspace) -> None:
    first, second = (engine_of(load_model(spec, workspace=workspace)).loaded for spec in SPECS)
    assert isinstance(first, tensorflow.Module)
    assert isinstance(second, tensorflow.keras.Model)
    torch_model = naive.load_model()
    for loaded in (first, second):
        assert np.array_equal(np.asarray(loaded.projection), torch_model.projection.numpy())
        assert loaded.trainable_variables in ((), [])
    frames = noise(3, 4096 / 44100, 44100)
    expected = torch_model.log_mel(torch_model.window.new_tensor(frames)) @ torch_model.projection
    for loaded in (first, second):
        assert difference(loaded(frames).numpy(), expected.numpy()) < 1e-3


def test_clips_do_not_depend_on_their_batch(model: Model) -> None:
    audio = noise(5, 0.5, 44100)
    assert np.allclose(model.scene(audio)[3], model.scene(audio[3:4])[0], rtol=1e-5)


def test_long_audio_is_framed_in_blocks(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    audio = noise(3, 1.0, 44100)
    whole, _ = model.timestamps(audio)
    rows = []
    log_mel = type(engine_of(model).loaded).log_mel

    def counted(self: Any, frames: Any) -> Any:
        rows.append(len(frames))
        return log_mel(self, frames)

    monkeypatch.setattr(type(engine_of(model).loaded), "log_mel", counted)
    monkeypatch.setattr(engine_of(model).module, "BLOCK_FRAMES", 20)
    parts, _ = model.timestamps(audio)
    assert rows == [20, 20, 20, 3]  # 3 clips of 21 frames
    assert np.allclose(whole, parts, rtol=1e-5)


def test_keras_keeps_its_precision(workspace: Workspace, reference: Model) -> None:
    keras = pytest.importorskip("keras")
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = load_model(SPECS[1], workspace=workspace)
        compare(model, reference, noise(1, 0.3, 44100))
    finally:
        keras.config.set_dtype_policy(before)


@pytest.mark.parametrize(("spec", "package"), [(SPECS[0], "tensorflow"), (SPECS[1], "keras")])
def test_a_missing_framework_names_the_extra(
    spec: str, package: str, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, spec, raising=False)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ModelError, match=r"naive_\w+ needs .*Install hearbench\[tensorflow\]"):
        load_model(spec, workspace=workspace)
