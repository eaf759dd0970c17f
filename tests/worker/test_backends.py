from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers_models import engine_of, noise, write_model

from hearbench.errors import EmbeddingError, ModelError
from hearbench.models.loading import load_model
from hearbench.worker.backends import BackendError, TensorFlowBackend, backend_of, loading_on
from hearbench.worker.values import to_numpy
from hearbench.workspace import Workspace

# The mean, the smallest and the largest sample; timestamps: the mean of each 50 ms.
STATS = """
import numpy as np
import tensorflow as tf

class Stats(tf.Module):
    sample_rate = 16000
    scene_embedding_size = 3
    timestamp_embedding_size = 1

def load_model(model_file_path=""):
    return Stats()

def get_scene_embeddings(audio, model):
    parts = [tf.reduce_mean(audio, 1), tf.reduce_min(audio, 1), tf.reduce_max(audio, 1)]
    return tf.stack(parts, 1)

def get_timestamp_embeddings(audio, model):
    frames = tf.reshape(audio[:, : audio.shape[1] // 800 * 800], (len(audio), -1, 800))
    ms = tf.range(frames.shape[1], dtype=tf.float32) * 50.0 + 25.0
    return tf.reduce_mean(frames, 2, keepdims=True), tf.broadcast_to(ms, frames.shape[:2])
"""


@pytest.fixture(scope="module")
def tensorflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """TensorFlow, quiet, under a Keras that keeps its settings in a folder of the test's own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")
        patch.setenv("KERAS_BACKEND", "tensorflow")
        patch.setenv("KERAS_HOME", str(tmp_path_factory.mktemp("keras")))
        yield pytest.importorskip("tensorflow")


def run(
    code: str, tmp_path: Path, python: str | Path = sys.executable, **environment: str
) -> subprocess.CompletedProcess[str]:
    home = {"HOME": str(tmp_path), "KERAS_HOME": str(tmp_path), "TF_CPP_MIN_LOG_LEVEL": "3"}
    return subprocess.run(
        [python, "-c", code],
        capture_output=True,
        text=True,
        env={**home, "HEARBENCH_DEVICE": "cpu", **environment},
        timeout=600,
    )


def test_a_torch_model_imports_no_tensorflow(tmp_path: Path) -> None:
    code = (
        "import sys, hearbench, numpy\n"
        "model = hearbench.load_model('hearbench.models.naive')\n"
        "assert model.scene(numpy.zeros((1, 441), 'float32')).shape == (1, 4096)\n"
        "assert 'torch' in sys.modules\n"
        "print(sorted({'tensorflow', 'keras'} & set(sys.modules)))"
    )
    done = run(code, tmp_path)
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr


def test_keras_on_torch_is_a_torch_module(tmp_path: Path, preloaded: Path) -> None:
    pytest.importorskip("tensorflow")
    code = (
        "import sys, hearbench, numpy\n"
        "model = hearbench.load_model('hearbench.models.naive_keras')\n"
        "audio = numpy.random.default_rng(0).normal(0, 0.1, (2, 9000)).astype('float32')\n"
        "torch_model = hearbench.load_model('hearbench.models.naive')\n"
        "assert abs(model.scene(audio) - torch_model.scene(audio)).max() < 1e-3\n"
        "found, ms = model.timestamps(audio)\n"
        "expected, expected_ms = torch_model.timestamps(audio)\n"
        "assert abs(found - expected).max() < 1e-3 and (ms == expected_ms).all()\n"
        "print(type(model.engine.engine.backend).__name__)"
    )
    done = run(code, tmp_path, preloaded / "python", KERAS_BACKEND="torch")
    assert done.stdout.strip() == "TorchBackend", done.stderr


def test_a_tensorflow_model_runs(tensorflow: Any, tmp_path: Path, workspace: Workspace) -> None:
    model = load_model(write_model(tmp_path, STATS), workspace=workspace)
    assert isinstance(engine_of(model).backend, TensorFlowBackend)
    assert model.device == "cpu"
    audio = noise(3, 0.13, 16000)
    expected = np.stack([audio.mean(1), audio.min(1), audio.max(1)], 1)
    found = model.scene(audio)
    assert found.dtype == np.float32
    assert np.allclose(found, expected, atol=1e-6)
    embeddings, centres_ms = model.timestamps(audio)
    assert embeddings.shape == (3, 2, 1)
    assert np.allclose(embeddings[..., 0], audio[:, :1600].reshape(3, 2, 800).mean(2), atol=1e-6)
    assert centres_ms.tolist() == [[25.0, 75.0]] * 3


def test_audio_is_an_eager_float32_tensor_on_the_device(
    tensorflow: Any, tmp_path: Path, workspace: Workspace
) -> None:
    extra = """
    def get_scene_embeddings(audio, model):
        assert isinstance(audio, tf.Tensor), type(audio)
        assert (audio.dtype, audio.shape) == (tf.float32, (2, 160))
        assert audio.device.endswith("CPU:0") and tf.constant(1.0).device.endswith("CPU:0")
        return tf.stack([audio[:, 0], audio[:, 1], audio[:, 159]], 1)
    """
    model = load_model(write_model(tmp_path, STATS, extra=extra), workspace=workspace)
    wide = noise(2, 0.02, 16000)
    # A view whose samples aren't beside each other, and memory at an odd place.
    assert np.array_equal(model.scene(wide[:, ::2]), wide[:, [0, 2, 318]])
    odd = np.zeros(2 * 160 + 1, np.float32)[1:].reshape(2, 160)
    odd[:] = wide[:, :160]
    assert np.array_equal(model.scene(odd), wide[:, [0, 1, 159]])


@pytest.mark.parametrize(
    "expression",
    [
        "(e.numpy(), t.numpy())",
        "(tf.cast(e, tf.float64), tf.cast(t, tf.float64))",
        "(e, tf.cast(t, tf.int64))",
        "(e.numpy().tolist(), t.numpy().astype(np.int64))",
        "[tf.Variable(e), tf.Variable(t)]",
        "(e, torch.from_numpy(t.numpy()))",
    ],
)
def test_results_may_be_of_any_kind(
    tensorflow: Any, tmp_path: Path, workspace: Workspace, expression: str
) -> None:
    extra = f"""
    import torch
    plain = get_timestamp_embeddings

    def get_timestamp_embeddings(audio, model):
        e, t = plain(audio, model)
        return {expression}
    """
    audio = noise(2, 0.1, 16000)
    model = load_model(write_model(tmp_path, STATS, extra=extra), workspace=workspace)
    embeddings, centres_ms = model.timestamps(audio)
    assert embeddings.dtype == centres_ms.dtype == np.float32
    assert np.allclose(embeddings[..., 0], audio.reshape(2, 2, 800).mean(2), atol=1e-6)
    assert centres_ms.tolist() == [[25.0, 75.0]] * 2


def test_short_floats_become_float32(tensorflow: Any) -> None:
    values = np.array([1.0, -2.5, 1024.0])
    for name in ("bfloat16", "float16"):
        tensor = tensorflow.constant(values, dtype=name)
        assert to_numpy(tensor).dtype.kind == "f"
        assert to_numpy(tensor).tolist() == values.tolist()
    assert to_numpy(tensorflow.constant(values, dtype="bfloat16").numpy()).dtype == np.float32
    assert to_numpy(torch.tensor(values, dtype=torch.bfloat16)).tolist() == values.tolist()
    keras_variable = tensorflow.keras.Variable(values, dtype="bfloat16")
    assert to_numpy(keras_variable).tolist() == values.tolist()


KERAS = """
import numpy as np
import keras

class Weighted(keras.{base}):
    sample_rate = 16000
    scene_embedding_size = timestamp_embedding_size = 2

    def __init__(self):
        super().__init__()
        start = keras.initializers.Constant(2.0)
        self.dense = keras.layers.Dense(2, kernel_initializer=start, bias_initializer="ones")

    def call(self, x):
        return self.dense(x)

def load_model(path):
    return Weighted()

def get_scene_embeddings(audio, model):
    return model(keras.ops.mean(audio, 1, keepdims=True))

def get_timestamp_embeddings(audio, model):
    return model(audio[:, ::800, None]), np.arange(0, audio.shape[1], 800)[None] / 16
"""


@pytest.mark.parametrize("base", ["Model", "Layer"])
def test_keras_models_and_layers_run(
    tensorflow: Any, tmp_path: Path, workspace: Workspace, base: str
) -> None:
    path = write_model(tmp_path, KERAS.replace("{base}", base), name=f"keras_{base}")
    model = load_model(path, workspace=workspace)
    assert isinstance(engine_of(model).backend, TensorFlowBackend)
    audio = noise(1, 0.2, 16000)
    assert np.allclose(model.scene(audio), 2 * audio.mean() + 1, atol=1e-6)
    embeddings, centres_ms = model.timestamps(audio)
    assert np.allclose(embeddings[0], 2 * audio[0, ::800, None] + 1, atol=1e-6)
    assert centres_ms.tolist() == [[0.0, 50.0, 100.0, 150.0]]


def test_saved_models_run(tensorflow: Any, tmp_path: Path, workspace: Workspace) -> None:
    tf = tensorflow

    scale = tf.Module()
    scale.factor = tf.Variable(3.0)
    scale.run = tf.function(
        lambda audio: scale.factor * tf.reduce_max(audio, 1, keepdims=True),
        input_signature=[tf.TensorSpec((None, None), tf.float32)],
    )
    tf.saved_model.save(scale, str(tmp_path / "saved"))
    source = """
    import tensorflow as tf

    def load_model(model_file_path):
        model = tf.saved_model.load(model_file_path)
        model.sample_rate = 16000
        model.scene_embedding_size = model.timestamp_embedding_size = 1
        return model

    def get_scene_embeddings(audio, model):
        return model.run(audio)

    def get_timestamp_embeddings(audio, model):
        return model.run(audio)[:, None], tf.zeros((len(audio), 1), tf.int64)
    """
    path = write_model(tmp_path, source, name="saved_scale")
    model = load_model(path, tmp_path / "saved", workspace=workspace)
    audio = noise(2, 0.1, 16000)
    assert np.allclose(model.scene(audio)[:, 0], 3 * audio.max(1))
    assert np.allclose(model.timestamps(audio)[0][:, 0, 0], 3 * audio.max(1))


def test_failures_are_told(tensorflow: Any, tmp_path: Path, workspace: Workspace) -> None:
    extra = """
    def get_scene_embeddings(audio, model):
        return tf.matmul(audio, audio)

    def get_timestamp_embeddings(audio, model):
        return keras_input, audio

    keras_input = tf.keras.Input((3,))
    """
    model = load_model(write_model(tmp_path, STATS, extra=extra), workspace=workspace)
    with pytest.raises(ModelError, match=r"(?s)get_scene_embeddings failed on 2 x 160.*[Mm]atrix"):
        model.scene(noise(2, 0.01, 16000))
    with pytest.raises(EmbeddingError, match="embeddings of get_timestamp_embeddings aren't an"):
        model.timestamps(noise(2, 0.01, 16000))


def test_symbolic_tensors_are_no_arrays(tensorflow: Any) -> None:
    leaked: list[object] = []
    tensorflow.function(leaked.append)(tensorflow.constant(1.0))
    with pytest.raises(TypeError, match="symbolic"):
        to_numpy(leaked[0])


@pytest.mark.parametrize(
    ("device", "message"),
    [
        ("cuda:7", r"doesn't see the device 'cuda:7' \(/GPU:7\); it sees \d+ GPU.*cpu"),
        ("cpu:1", r"doesn't see the device 'cpu:1' \(/CPU:1\)"),
        ("meta", "TensorFlow has no device 'meta'"),
        ("cuda:", "TensorFlow has no device 'cuda:'"),
    ],
)
def test_devices_that_are_not_there(
    tensorflow: Any, tmp_path: Path, device: str, message: str
) -> None:
    path = write_model(tmp_path, STATS)
    workspace = Workspace(cache_dir=tmp_path / "cache", device=device)
    with pytest.raises(ModelError, match=message):
        load_model(path, workspace=workspace)


def test_devices_are_called_as_tensorflow_does(
    tensorflow: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def two_of_each(kind: str) -> list[str]:
        return [f"/device:{kind}:0", f"/device:{kind}:1"]

    monkeypatch.setattr(tensorflow.config, "list_logical_devices", two_of_each)
    entered = []

    class Place:
        def __init__(self, name: str) -> None:
            entered.append(name)

        __enter__ = __exit__ = lambda *_: None

    with monkeypatch.context() as patch:
        patch.setattr(tensorflow, "device", Place)
        for device in ("cpu", "cuda", "cuda:1", "mps"):
            TensorFlowBackend(device).call(lambda *_: None, noise(1, 0.01, 16000), None)
    assert entered == ["/CPU:0", "/GPU:0", "/GPU:1", "/GPU:0"]


def test_gpu_memory_grows_unless_it_is_too_late(
    tensorflow: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    grown = []
    monkeypatch.setattr(tensorflow.config, "get_visible_devices", lambda kind: [kind + "-a"])
    place = "set_memory_growth"
    monkeypatch.setattr(
        tensorflow.config.experimental, place, lambda gpu, on: grown.append((gpu, on))
    )
    TensorFlowBackend("cpu")
    assert grown == [("GPU-a", True)]

    def late(gpu: str, on: bool) -> None:
        raise RuntimeError("Physical devices cannot be modified after being initialized")

    monkeypatch.setattr(tensorflow.config.experimental, place, late)
    assert TensorFlowBackend("cpu").device == "cpu"


def test_loading_happens_on_the_device(tensorflow: Any) -> None:
    with loading_on("cpu"):
        assert tensorflow.Variable(1.0).device.endswith("CPU:0")
    # A torch model may be meant for what TensorFlow doesn't see.
    for device in ("cuda:7", "meta", "xpu"):
        with loading_on(device):
            assert tensorflow.constant(1.0).numpy() == 1.0


def test_loading_imports_no_tensorflow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "tensorflow", raising=False)
    with loading_on("cuda:7"):
        assert "tensorflow" not in sys.modules


def test_keras_on_another_framework_is_refused() -> None:
    # As Keras' classes are on JAX: none of their bases is TensorFlow's or torch's.
    model = type("Sequential", (), {"__module__": "keras.src.models.sequential"})()
    with pytest.raises(BackendError, match=r"mymodel: .*Keras model \(Sequential\).*KERAS_BACKEND"):
        backend_of(model, "cpu", "mymodel")
