"""Models that give all of their layers at once: their names, digests, shapes and errors."""

from __future__ import annotations

import importlib
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import pytest
import torch
from helpers_models import LAYERS, STATS, noise, write_model

from hearbench.errors import EmbeddingError, ModelError
from hearbench.models.loaded import Interpreter
from hearbench.models.loading import load_model
from hearbench.models.model import Model
from hearbench.workspace import Workspace

HERE = Interpreter(Path(sys.executable))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_model(tmp_path, LAYERS, "four_layers")


def means(audio: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    found: npt.NDArray[np.float64] = audio.reshape(len(audio), -1, 800).mean(2, dtype=np.float64)
    return found


@pytest.mark.parametrize("interpreter", [None, HERE], ids=["here", "there"])
def test_a_module_gives_its_layers(
    path: Path, workspace: Workspace, interpreter: Interpreter | None
) -> None:
    audio = noise(2, 0.2, 16000)
    with load_model(path, layer=1, workspace=workspace, interpreter=interpreter) as model:
        assert (model.layers, model.layer) == (4, 1)
        frames, centres_ms = model.timestamp_layers(audio)
        scenes = model.scene_layers(audio)
        own_frames, own_centres_ms = model.timestamps(audio)
        own_scenes = model.scene(audio)
    assert (scenes.shape, frames.shape) == ((2, 4, 2), (2, 4, 4, 1))
    assert scenes.dtype == frames.dtype == np.float32
    for layer in range(4):
        np.testing.assert_allclose(frames[:, layer, :, 0], (layer + 1) * means(audio), atol=1e-6)
    np.testing.assert_allclose(scenes[:, 2, 1], 3 * means(audio).max(1), atol=1e-6)
    assert centres_ms.tolist() == [[25.0, 75.0, 125.0, 175.0]] * 2
    np.testing.assert_array_equal(own_centres_ms, centres_ms)
    np.testing.assert_array_equal(own_frames, frames[:, 1])
    np.testing.assert_array_equal(own_scenes, scenes[:, 1])


@pytest.mark.skipif(find_spec("tensorflow") is None, reason="needs tensorflow")
def test_a_module_of_tensorflow_gives_its_layers(tmp_path: Path, workspace: Workspace) -> None:
    source = """
    import tensorflow as tf

    class Layers(tf.Module):
        sample_rate = 16000
        scene_embedding_size = timestamp_embedding_size = 1
        layers, layer = 2, 0

    def load_model(model_file_path=""):
        return Layers()

    def get_timestamp_layers(audio, model):
        frames = tf.reshape(audio, (audio.shape[0], 1, -1, 800))
        means = tf.reduce_mean(frames, 3, keepdims=True)
        ms = tf.range(frames.shape[2], dtype=tf.float32) * 50 + 25
        return tf.concat([means, -means], 1), tf.tile(ms[None], [audio.shape[0], 1])

    def get_scene_layers(audio, model):
        return tf.reduce_mean(get_timestamp_layers(audio, model)[0], 2)

    def get_timestamp_embeddings(audio, model):
        frames, ms = get_timestamp_layers(audio, model)
        return frames[:, 0], ms

    def get_scene_embeddings(audio, model):
        return get_scene_layers(audio, model)[:, 0]
    """
    audio = noise(2, 0.2, 16000)
    path = write_model(tmp_path, source)
    with load_model(path, workspace=workspace, interpreter=HERE) as model:
        frames, centres_ms = model.timestamp_layers(audio)
        scenes = model.scene_layers(audio)
    assert (model.layers, model.layer) == (2, 0)
    np.testing.assert_allclose(frames[:, 0, :, 0], means(audio), atol=1e-6)
    np.testing.assert_array_equal(frames[:, 1], -frames[:, 0])
    np.testing.assert_allclose(scenes[:, 1, 0], -audio.mean(1), atol=1e-6)
    assert centres_ms[0].tolist() == [25.0, 75.0, 125.0, 175.0]


def test_an_object_gives_its_layers(workspace: Workspace) -> None:
    class Net(torch.nn.Module):
        sample_rate = 16000
        scene_embedding_size = timestamp_embedding_size = 1
        layers = 2

        def get_scene_embeddings(self, audio: torch.Tensor) -> torch.Tensor:
            return self.get_scene_layers(audio)[:, -1]

        def get_scene_layers(self, audio: torch.Tensor) -> torch.Tensor:
            assert not self.training
            mean = audio.mean(1)[:, None, None]
            return torch.cat([mean, -mean], 1)

        def get_timestamp_embeddings(
            self, audio: torch.Tensor
        ) -> tuple[torch.Tensor, torch.Tensor]:
            return audio[:, :1, None], torch.zeros(len(audio), 1)

    net = Net()
    model = load_model(net, workspace=workspace)
    assert net.training
    assert (model.layers, model.layer, model.layers_name) == (2, None, "Net+layers")
    audio = noise(3, 0.1, 16000)
    scenes = model.scene_layers(audio)
    np.testing.assert_array_equal(scenes[:, 1], -scenes[:, 0])
    np.testing.assert_allclose(scenes[:, 0, 0], audio.mean(1), atol=1e-6)
    with pytest.raises(ModelError, match="layers of frames at once: it has no get_timestamp_la"):
        model.timestamp_layers(audio)
    with pytest.raises(ModelError, match="it has no get_timestamp_layers"):
        model.check("event", layers=True)
    assert model.check("scene", layers=True).digest == model.layers_digest


def test_a_model_without_them(tmp_path: Path, workspace: Workspace) -> None:
    # As many networks call their parts.
    parts = "Stats.layers, Stats.layer = torch.nn.ModuleList(), torch.nn.Identity()"
    model = load_model(write_model(tmp_path, STATS, extra=parts), workspace=workspace)
    assert (model.layers, model.layer, model.layer_functions) == (0, None, ())
    with pytest.raises(ModelError, match="stats can't give all of its layers of scenes at once"):
        model.scene_layers(noise(1, 0.1, 16000))


def test_the_option_layer_makes_no_other_model_of_all_layers(
    path: Path, tmp_path: Path, workspace: Workspace
) -> None:
    models = [load_model(path, layer=layer, workspace=workspace) for layer in range(4)]
    models += [load_model(path, workspace=workspace)]
    assert [model.name for model in models] == [
        *(f"four_layers-layer={layer}" for layer in range(4)),
        "four_layers",
    ]
    assert {model.layers_name for model in models} == {"four_layers+layers"}
    assert len({model.layers_digest for model in models}) == 1
    assert len({model.digest for model in models}) == 5
    kinds: tuple[Literal["scene", "event"], ...] = ("scene", "event")
    for kind in kinds:
        checks = [model.check(kind, layers=True) for model in models]
        assert len({check.digest for check in checks}) == 1
        assert all(check.fingerprint == checks[0].fingerprint for check in checks)
    gain = load_model(path, gain=2.0, layer=1, workspace=workspace)
    assert gain.layers_name == "four_layers-gain=2.0+layers"
    weights = []
    for text in ("one", "two"):
        (tmp_path / "weights").write_text(text)
        weights.append(load_model(path, tmp_path / "weights", workspace=workspace))
    fewer = write_model(tmp_path / "fewer", LAYERS.replace("= 4", "= 5"), "four_layers")
    others = [gain, *weights, load_model(fewer, workspace=workspace)]
    assert len({model.layers_digest for model in (models[0], *others)}) == 5


def test_without_a_stated_layer_the_option_counts(tmp_path: Path, workspace: Workspace) -> None:
    path = write_model(tmp_path, LAYERS.replace("self.layer = layer", "self.own = layer"))
    one, two = (load_model(path, layer=layer, workspace=workspace) for layer in (1, 2))
    assert (one.layer, one.layers) == (None, 4)
    assert (one.layers_name, two.layers_name) == ("stats-layer=1+layers", "stats-layer=2+layers")
    assert one.layers_digest != two.layers_digest


def test_an_object_says_the_same_of_itself_and_of_its_layers(
    path: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(path.parent))
    monkeypatch.delitem(sys.modules, "four_layers", raising=False)
    layered = importlib.import_module("four_layers")
    first, again, other = (load_model(layered, layer=k, workspace=workspace) for k in (1, 1, 2))
    assert (first.layer, first.layers_name) == (1, "four_layers-layer=1+layers")
    assert first.layers_digest == again.layers_digest != other.layers_digest
    monkeypatch.delitem(sys.modules, "four_layers")


def test_checks_of_one_layer_and_of_all_are_apart(path: Path, workspace: Workspace) -> None:
    model = load_model(path, workspace=workspace)
    one, every = model.check("event"), model.check("event", layers=True)
    assert one.fingerprint.shape == (20, 1)
    assert every.fingerprint.shape == (80, 1)
    assert every.fingerprint.times_s == pytest.approx((0.5, 0.975))
    assert model.check("scene", layers=True).fingerprint.shape == (4, 2)
    assert (one.digest, every.digest) == (model.digest, model.layers_digest)
    engine = model.engine.engine
    model.begin("event")
    assert model.engine.engine is not engine
    engine = model.engine.engine
    model.begin("event")
    assert model.engine.engine is engine
    model.begin("event", layers=True)
    assert model.engine.engine is not engine


def test_what_only_the_layers_read_belongs_to_them(tmp_path: Path, workspace: Workspace) -> None:
    factors, later = tmp_path / "factors.txt", tmp_path / "later.txt"
    extra = f"""
    from pathlib import Path
    def get_scene_layers(audio, model, made=get_scene_layers):
        if len(audio) > 1:
            Path({str(later)!r}).read_text()
        return made(audio, model) * float(Path({str(factors)!r}).read_text())
    def get_scene_embeddings(audio, model):
        return audio[:, :2]
    """
    factors.write_text("2")
    later.write_text("")
    path = write_model(tmp_path / "model", LAYERS, extra=extra)
    model = load_model(path, workspace=workspace)
    assert model.check("scene").digest == model.digest
    check = model.check("scene", layers=True)
    assert check.digest != model.layers_digest
    assert model.later_files("scene", layers=True) == {}
    model.scene_layers(noise(2, 0.1, 16000))
    assert list(model.later_files("scene", layers=True)) == [str(later)]
    factors.write_text("3")
    assert load_model(path, workspace=workspace).check("scene", layers=True).digest != check.digest


@pytest.mark.parametrize("interpreter", [None, HERE], ids=["here", "there"])
def test_a_module_whose_model_has_no_layers(
    path: Path, workspace: Workspace, interpreter: Interpreter | None
) -> None:
    path.write_text(LAYERS.replace("layers = 4", "layers = None"))
    with load_model(path, workspace=workspace, interpreter=interpreter) as model:
        assert (model.layers, model.layer, model.layer_functions) == (0, None, ())
        with pytest.raises(ModelError, match="four_layers can't give all of its layers of scenes"):
            model.check("scene", layers=True)


@pytest.mark.parametrize("interpreter", [None, HERE], ids=["here", "there"])
@pytest.mark.parametrize(
    ("layers", "layer", "message"),
    [
        ("0", "0", "layers must be a positive int and is 0"),
        ("True", "0", "layers must be a positive int and is True"),
        ("'four'", "0", "layers must be a positive int and is 'four'"),
        ("4", "4", "layer must be an int from 0 to 3, .* it is 4"),
        ("4", "-1", "layer must be an int from 0 to 3, .* it is -1"),
        ("4", "1.5", "layer must be an int from 0 to 3, .* it is 1.5"),
        ("4", "True", "layer must be an int from 0 to 3, .* it is True"),
    ],
)
def test_attributes_that_make_no_sense(
    path: Path,
    workspace: Workspace,
    interpreter: Interpreter | None,
    layers: str,
    layer: str,
    message: str,
) -> None:
    source = LAYERS.replace("layers = 4", f"layers = {layers}")
    path.write_text(source.replace("self.layer = layer", f"self.layer = {layer}"))
    with pytest.raises(ModelError, match=message):
        load_model(path, workspace=workspace, interpreter=interpreter)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("made(audio, model)[:, 1:]", r"should be \(1, 4, 2\) and are \(1, 3, 2\). .*, layers, d"),
        ("made(audio, model)[:, 0]", r"should be \(1, 4, 2\) and are \(1, 2\)"),
        ("(made(audio, model), 1)", "should return an array of embeddings and returned 2 values"),
        ("'text'", "should be float32 and are <U4"),
    ],
)
def test_wrong_layers_of_scenes(path: Path, workspace: Workspace, body: str, message: str) -> None:
    extra = f"def get_scene_layers(audio, model, made=get_scene_layers): return {body}"
    path = write_model(path.parent, LAYERS, "four_layers", extra)
    with pytest.raises(EmbeddingError, match=f"four_layers: .*get_scene_layers.*{message}"):
        load_model(path, workspace=workspace).scene_layers(noise(1, 0.1, 16000))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("made[0]", r"should return \(embeddings, timestamps\) and returned torch.Tensor"),
        ("made[0][:, 0], made[1]", r"should be \(1, 4, any, 1\) and are \(1, 2, 1\)"),
        ("made[0], made[1][:, 1:]", r"timestamps .* should be \(1, 2\) and are \(1, 1\)"),
    ],
)
def test_wrong_layers_of_frames(path: Path, workspace: Workspace, body: str, message: str) -> None:
    extra = f"""
    def get_timestamp_layers(audio, model, get=get_timestamp_layers):
        made = get(audio, model)
        return {body}
    """
    path = write_model(path.parent, LAYERS, "four_layers", extra)
    model: Model = load_model(path, workspace=workspace)
    with pytest.raises(EmbeddingError, match=f"four_layers: .*{message}"):
        model.timestamp_layers(noise(1, 0.1, 16000))
