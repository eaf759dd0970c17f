"""All layers of a checkpoint in one pass: each is, bit by bit, what it is alone."""

from __future__ import annotations

import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers_models import noise
from helpers_transformers import (
    WAVE,
    ast,
    clap,
    mimi,
    moonshine,
    parakeet,
    qwen2_audio,
    sew,
    speech_to_text,
    speecht5,
    wav2vec2_bert,
    wave,
    whisper,
)

from hearbench.models.loaded import Interpreter
from hearbench.models.loading import load_model
from hearbench.worker import checkpoints as hf
from hearbench.worker.checkpoints.receptive import Frames
from hearbench.workspace import Workspace

transformers: Any = pytest.importorskip("transformers")
# Of AST's own 128 bands, where the tests make its extractor.
pytestmark = pytest.mark.filterwarnings("ignore:At least one mel filter:UserWarning")


def _stable() -> tuple[Any, Any]:
    """wav2vec2 with normalisations before its layers, and one after the last."""
    config = transformers.Wav2Vec2Config(**WAVE, do_stable_layer_norm=True)
    return transformers.Wav2Vec2Model(config), transformers.Wav2Vec2FeatureExtractor()


WITH_LAYERS: dict[str, Callable[[], tuple[Any, Any]]] = {
    "wav2vec2": wave,
    "wav2vec2-stable": _stable,
    "hubert": lambda: wave("Hubert"),
    "wavlm": lambda: wave("WavLM"),
    "whisper": whisper,
    "ast": ast,
    "wav2vec2-bert": wav2vec2_bert,
    "moonshine": moonshine,
    "speecht5": speecht5,
    # Called by the names of their parameters, and timed by measurement, or by what is known.
    "speech_to_text": speech_to_text,
    "parakeet": parakeet,
}
WITHOUT: dict[str, Callable[[], tuple[Any, Any]]] = {
    "clap": clap,
    "mimi": mimi,
    # Has half as many frames within as after the last layer.
    "sew": sew,
    # Has half as many after the last layer as within.
    "qwen2_audio": qwen2_audio,
}


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """Folders of small models with random weights, made when they are asked for."""
    root = tmp_path_factory.mktemp("layers")

    def make(name: str) -> str:
        folder = root / name
        if not folder.exists():
            with torch.random.fork_rng():
                torch.manual_seed(0)
                net, extractor = (WITH_LAYERS | WITHOUT)[name]()
            net.save_pretrained(folder)
            extractor.save_pretrained(folder)
        return str(folder)

    return make


def _audio(duration_s: float) -> torch.Tensor:
    return torch.from_numpy(noise(3, duration_s, 16000))


@pytest.mark.parametrize("name", sorted(WITH_LAYERS))
def test_each_layer_is_what_the_option_gives(checkpoint: Callable[[str], str], name: str) -> None:
    # Blocks of clips and windows: 60 s go through at once, and no more than the window.
    options: dict[str, Any] = {"pooling": "mean+std+max", "window_s": 5.0}
    every = hf.load_model(checkpoint(name), **options)
    assert (every.layers, every.layer) == (3, 2)
    made = {}
    # More than a block, once.
    for duration_s in (0.01, 1.3, 33.0 if name == "wav2vec2" else 12.0):
        audio = _audio(duration_s)
        frames, ms = hf.get_timestamp_layers(audio, every)
        scenes = hf.get_scene_layers(audio, every)
        assert frames.shape == (3, 3, ms.shape[1], every.timestamp_embedding_size)
        assert ms.shape[0] == 3
        assert scenes.shape == (3, 3, every.scene_embedding_size)
        assert scenes.dtype == frames.dtype == torch.float32
        made[duration_s] = (audio, frames, ms, scenes)
    for layer in range(3):
        one = hf.load_model(checkpoint(name), layer=layer, **options)
        assert (one.layers, one.layer) == (3, layer)
        for audio, frames, ms, scenes in made.values():
            own_frames, own_ms = hf.get_timestamp_embeddings(audio, one)
            assert torch.equal(frames[:, layer], own_frames)
            assert torch.equal(ms, own_ms)
            assert torch.equal(scenes[:, layer], hf.get_scene_embeddings(audio, one))
    _, frames, _, _ = made[1.3]
    assert not torch.equal(frames[:, 1], frames[:, 2])
    assert every.layer == every.tower.encoder.layer == 2


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("ast", {"pooling": "pooled+mean"}),
        ("whisper", {"hop_ms": 50.0}),
        ("wav2vec2", {"hop_ms": 7.0, "pooling": "first+last"}),
        ("wav2vec2-stable", {"model_dtype": "bfloat16"}),
    ],
)
def test_with_other_options_too(
    checkpoint: Callable[[str], str], name: str, options: dict[str, Any]
) -> None:
    audio = _audio(12.0)
    every = hf.load_model(checkpoint(name), layer=1, **options)
    frames, ms = hf.get_timestamp_layers(audio, every)
    scenes = hf.get_scene_layers(audio, every)
    for layer in range(3):
        one = hf.load_model(checkpoint(name), layer=layer, **options)
        own_frames, own_ms = hf.get_timestamp_embeddings(audio, one)
        assert torch.equal(frames[:, layer], own_frames)
        assert torch.equal(ms, own_ms)
        assert torch.equal(scenes[:, layer], hf.get_scene_embeddings(audio, one))


def test_the_last_layer_is_normalised_and_the_one_before_is_not(
    checkpoint: Callable[[str], str],
) -> None:
    net = transformers.AutoModel.from_pretrained(checkpoint("wav2vec2-stable")).eval()
    audio = _audio(1.0)
    centred = (audio - audio.mean(1, keepdim=True)) / audio.std(1, correction=0, keepdim=True)
    with torch.no_grad():
        out = net(centred, output_hidden_states=True)
    frames, _ = hf.get_timestamp_layers(audio, hf.load_model(checkpoint("wav2vec2-stable")))
    expected = (*out.hidden_states[:2], out.last_hidden_state)
    for layer in range(3):
        assert torch.allclose(frames[:, layer], expected[layer], rtol=1e-3, atol=1e-4)


def test_the_network_and_the_extractor_run_once(checkpoint: Callable[[str], str]) -> None:
    model = hf.load_model(checkpoint("whisper"))
    heard: list[int] = []
    model.tower.encoder.net.register_forward_hook(lambda *_: heard.append(1))
    extractor = model.tower.encoder.extractor
    extracted: list[int] = []

    class Counted(type(extractor)):  # type: ignore[misc]
        def __call__(self, *arguments: Any, **options: Any) -> Any:
            extracted.append(1)
            return super().__call__(*arguments, **options)

    extractor.__class__ = Counted
    # Two blocks of clips of two windows of 30 s.
    hf.get_scene_layers(_audio(33.0), model)
    assert (len(heard), len(extracted)) == (4, 4)


def test_a_failing_pass_leaves_the_layer_as_it_was(checkpoint: Callable[[str], str]) -> None:
    model = hf.load_model(checkpoint("hubert"), layer=1)
    expected = hf.get_scene_embeddings(_audio(1.0), model)
    with pytest.raises(RuntimeError):
        hf.get_scene_layers(_audio(1.0).to(torch.int16), model)
    assert model.tower.encoder.layer == 1
    assert torch.equal(hf.get_scene_embeddings(_audio(1.0), model), expected)


@pytest.mark.parametrize("name", sorted(WITHOUT))
def test_models_without_layers_of_the_same_frames(
    checkpoint: Callable[[str], str], name: str
) -> None:
    model = hf.load_model(checkpoint(name))
    assert not hasattr(model, "layers")
    assert not hasattr(model, "layer")


def test_code_of_a_checkpoint_has_the_same_functions() -> None:
    assert hf.trusting.get_scene_layers is hf.get_scene_layers
    assert hf.trusting.get_timestamp_layers is hf.get_timestamp_layers


def test_layers_of_measured_encoders_have_the_frames_of_the_last(
    checkpoint: Callable[[str], str],
) -> None:
    towers = [hf.load_model(checkpoint("speech_to_text"), layer=layer).tower for layer in (0, 2)]
    assert towers[0].frames == towers[1].frames
    known = hf.load_model(checkpoint("parakeet"), layer=0).tower
    # Centred spectra through padded convolutions, exactly.
    assert known.frames == Frames(Fraction(0), Fraction(1280))


@pytest.mark.parametrize(
    ("interpreter", "layers"),
    # Every load there starts a process.
    [(None, (0, 1, 2, -1)), (Interpreter(Path(sys.executable)), (1,))],
)
def test_models_by_name(
    checkpoint: Callable[[str], str],
    workspace: Workspace,
    interpreter: Interpreter | None,
    layers: tuple[int, ...],
) -> None:
    spec = f"hf:{checkpoint('wav2vec2')}"
    audio = noise(2, 1.0, 16000)
    digests, own_digests = set(), set()
    with load_model(spec, workspace=workspace, interpreter=interpreter) as every:
        assert (every.name, every.layers_name) == ("hf-wav2vec2", "hf-wav2vec2+layers")
        assert (every.layers, every.layer) == (3, 2)
        frames, centres_ms = every.timestamp_layers(audio)
        scenes = every.scene_layers(audio)
        digests.add(every.check("event", layers=True).digest)
    for layer in layers:
        with load_model(spec, workspace=workspace, interpreter=interpreter, layer=layer) as one:
            assert one.layer == layer % 3
            own_frames, own_ms = one.timestamps(audio)
            np.testing.assert_array_equal(frames[:, one.layer], own_frames)
            np.testing.assert_array_equal(centres_ms, own_ms)
            np.testing.assert_array_equal(scenes[:, one.layer], one.scene(audio))
            assert one.layers_name == every.layers_name
            digests.add(one.check("event", layers=True).digest)
            own_digests.add(one.digest)
    assert len(digests) == 1
    assert len(own_digests - {every.digest}) == len(layers)


def test_other_weights_and_other_options_are_other_models(
    checkpoint: Callable[[str], str], tmp_path: Path, workspace: Workspace
) -> None:
    net, extractor = wave()
    net.save_pretrained(tmp_path / "wav2vec2")
    extractor.save_pretrained(tmp_path / "wav2vec2")
    spec = f"hf:{checkpoint('wav2vec2')}"
    models = [
        load_model(spec, workspace=workspace),
        load_model(f"hf:{tmp_path / 'wav2vec2'}", workspace=workspace),
        load_model(spec, workspace=workspace, pooling="max", layer=1),
    ]
    assert [model.layers_name for model in models] == [
        "hf-wav2vec2+layers",
        "hf-wav2vec2+layers",
        "hf-wav2vec2-pooling=max+layers",
    ]
    assert len({model.layers_digest for model in models}) == 3
