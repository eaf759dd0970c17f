from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers_models import noise
from helpers_transformers import (
    ast,
    clap,
    dac,
    encodec,
    mimi,
    moonshine,
    sew,
    speecht5,
    wav2vec2_bert,
    wave,
    whisper,
)

from hearbench.worker import checkpoints as hf
from hearbench.worker.errors import UnusableError

transformers: Any = pytest.importorskip("transformers")
# Of AST's own 128 bands, where the tests make its extractor.
pytestmark = pytest.mark.filterwarnings("ignore:At least one mel filter:UserWarning")


MAKERS: dict[str, Callable[[], tuple[Any, Any]]] = {
    "wav2vec2": lambda: wave("Wav2Vec2"),
    "hubert": lambda: wave("Hubert"),
    "wavlm": lambda: wave("WavLM"),
    "data2vec": lambda: wave("Data2VecAudio"),
    "sew": sew,
    "moonshine": moonshine,
    "whisper": whisper,
    "ast": ast,
    "clap": clap,
    "wav2vec2-bert": wav2vec2_bert,
    "speecht5": speecht5,
    "encodec": encodec,
    "encodec-48k": lambda: encodec(
        sampling_rate=48000,
        audio_channels=2,
        normalize=True,
        chunk_length_s=1.0,
        overlap=0.01,
        use_causal_conv=False,
        norm_type="time_group_norm",
    ),
    "dac": dac,
    "mimi": mimi,
}
# Width, rate in Hz, hop and first centre in ms, worked out by hand from the architectures.
EXPECTED = {
    "wav2vec2": (16, 16000, 20.0, 199.5 / 16),
    "hubert": (16, 16000, 20.0, 199.5 / 16),
    "wavlm": (16, 16000, 20.0, 199.5 / 16),
    "data2vec": (16, 16000, 20.0, 199.5 / 16),
    "sew": (16, 16000, 20.0, 199.5 / 16),
    "moonshine": (32, 16000, 24.0, 447.0 / 16),
    "whisper": (16, 16000, 20.0, 0.0),
    # Frames 0 to 15 of 25 ms every 10 ms.
    "ast": (16, 16000, 100.0, 75.0 + 199.5 / 16),
    # 1024 columns over 1001 spectrogram frames of 10 ms, 32 to a frame.
    "clap": (64, 48000, 32 * 10000 / 1023, 15.5 * 10000 / 1023),
    # Pairs of spectrogram frames.
    "wav2vec2-bert": (16, 16000, 20.0, 5.0 + 199.5 / 16),
    "speecht5": (16, 16000, 20.0, 199.5 / 16),
    # Blocks, timed at their middle.
    "encodec": (24, 32000, 20.0, 319.5 / 32),
    "encodec-48k": (24, 48000, 640 / 48, 319.5 / 48),
    "dac": (32, 44100, 512 / 44.1, 255.5 / 44.1),
    "mimi": (16, 24000, 80.0, 959.5 / 24),
}


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Folders of small models with random weights, made when they are asked for."""
    root = tmp_path_factory.mktemp("checkpoints")

    def make(name: str) -> Path:
        folder = root / name
        if not folder.exists():
            with torch.random.fork_rng():
                torch.manual_seed(0)
                net, extractor = MAKERS[name]()
            net.save_pretrained(folder)
            extractor.save_pretrained(folder)
        return folder

    return make


Checkpoints = Callable[[str], Path]


def _audio(clips: int, duration_s: float, rate: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(noise(clips, duration_s, rate, seed))


@pytest.mark.parametrize("name", sorted(MAKERS))
def test_sizes_centres_and_counts_at_all_lengths(checkpoints: Checkpoints, name: str) -> None:
    width, rate, hop_ms, first_ms = EXPECTED[name]
    model = hf.load_model(str(checkpoints(name)))
    assert not model.training
    assert (model.sample_rate, model.timestamp_embedding_size) == (rate, width)
    assert model.scene_embedding_size == width
    for duration_s in (0.005, 0.05, 1.07, 11.3):
        audio = _audio(2, duration_s, rate)
        embeddings, ms = hf.get_timestamp_embeddings(audio, model)
        assert embeddings.shape == (*ms.shape, width)
        assert embeddings.dtype == ms.dtype == torch.float32
        assert embeddings.isfinite().all()
        assert not torch.equal(embeddings[0], embeddings[1])
        assert 0 <= float(ms[0, 0]) <= float(ms[0, -1]) <= duration_s * 1000
        if duration_s > 1:
            expected = first_ms + hop_ms * np.arange(ms.shape[1])
            assert np.allclose(ms[1].numpy(), expected, atol=1e-3)
            assert ms[0, -1] > duration_s * 1000 - first_ms - 2 * hop_ms
        scene = hf.get_scene_embeddings(audio, model)
        assert torch.allclose(scene, embeddings.mean(1), atol=1e-5)


@pytest.mark.parametrize("name", sorted(MAKERS))
def test_clips_do_not_depend_on_their_batch_nor_runs_on_chance(
    checkpoints: Checkpoints, name: str
) -> None:
    model = hf.load_model(str(checkpoints(name)))
    audio = _audio(3, 1.3, model.sample_rate)
    together, _ = hf.get_timestamp_embeddings(audio, model)
    again, _ = hf.get_timestamp_embeddings(audio, model)
    alone, _ = hf.get_timestamp_embeddings(audio[2:], model)
    assert torch.equal(together, again)
    assert torch.allclose(together[2], alone[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["wav2vec2", "hubert", "wavlm", "whisper", "ast"])
@pytest.mark.parametrize("at_ms", [400.0, 700.0])
def test_an_impulse_changes_the_frame_at_its_time_most(
    checkpoints: Checkpoints, name: str, at_ms: float
) -> None:
    # Layer 0, before attention lets every frame see the whole clip.
    model = hf.load_model(str(checkpoints(name)), layer=0)
    quiet = _audio(1, 1.0, model.sample_rate) * 1e-3
    loud = quiet.clone()
    loud[0, round(at_ms / 1000 * model.sample_rate)] = 1.0
    # Else the impulse would scale all of its clip.
    vars(model.tower).update(normalise=False)
    before, ms = hf.get_timestamp_embeddings(quiet, model)
    after, _ = hf.get_timestamp_embeddings(loud, model)
    change = (after - before).norm(dim=2)[0]
    weighted = float((change**2 * ms[0]).sum() / (change**2).sum())
    hop_ms = EXPECTED[name][2]
    assert abs(float(ms[0, change.argmax()]) - at_ms) <= hop_ms
    assert abs(weighted - at_ms) <= hop_ms


# Not data2vec: its five convolutions for positions drown an impulse in their random weights.
# Not the causal codecs: those look back, and are timed by what they stand for.
LOCAL = sorted(set(MAKERS) - {"data2vec", "encodec", "mimi"})
ONE_OUTPUT = ("clap", "dac", "encodec-48k")


@pytest.mark.parametrize("name", LOCAL)
def test_impulses_at_sixteen_distances_from_the_frames_average_to_the_centres(
    checkpoints: Checkpoints, name: str
) -> None:
    # One impulse alone can't tell a grid from one that is moved by half a hop; sixteen can.
    model = hf.load_model(
        str(checkpoints(name)), layer=-1 if name in ONE_OUTPUT else 0, window_s=12.0
    )
    vars(model.tower).update(normalise=False)
    rate, hop_ms = model.sample_rate, EXPECTED[name][2]
    at = np.round((500 + hop_ms * 17 / 16 * np.arange(16)) * rate / 1000).astype(int)
    quiet = _audio(1, at[-1] / rate + 0.6, rate) * 1e-3
    loud = quiet.repeat(16, 1)
    loud[range(16), at] = 0.9
    before, ms = hf.get_timestamp_embeddings(quiet, model)
    after, _ = hf.get_timestamp_embeddings(loud, model)
    change = (after - before).double().square().sum(2)
    peak = (change - 0.2 * change.amax(1, keepdim=True)).clamp(min=0)
    error_ms = ((peak * ms[0]).sum(1) / peak.sum(1)).numpy() - at * 1000 / rate
    assert abs(error_ms.mean()) <= 0.25 * hop_ms
    assert np.abs(error_ms).max() <= hop_ms


def test_claps_nearest_frame_answers_to_an_impulse_in_every_window(
    checkpoints: Checkpoints,
) -> None:
    model = hf.load_model(str(checkpoints("clap")))
    at_ms = torch.tensor([[740.0], [3150.0], [6020.0], [9333.0], [11270.0]])
    quiet = _audio(1, 12.5, 48000) * 1e-3
    loud = quiet.repeat(5, 1)
    loud[range(5), (at_ms[:, 0] * 48).long()] = 0.9
    before, ms = hf.get_timestamp_embeddings(quiet, model)
    after, _ = hf.get_timestamp_embeddings(loud, model)
    answers = (after - before).norm(dim=2).argmax(1)
    assert answers.tolist() == (ms[:1] - at_ms).abs().argmin(1).tolist()
    # (at - 151.5) / 312.8 by hand; the last one is in the second window, of frames 31 to 61.
    assert answers.tolist() == [2, 10, 19, 29, 36]


def test_the_last_layer_is_the_models_output_on_normalised_clips(checkpoints: Checkpoints) -> None:
    folder = checkpoints("wav2vec2")
    audio = _audio(1, 1.0, 16000) + 0.3
    net = transformers.AutoModel.from_pretrained(folder).eval()
    extractor = transformers.AutoFeatureExtractor.from_pretrained(folder)
    inputs = extractor(audio[0].numpy(), sampling_rate=16000, return_tensors="pt")
    with torch.no_grad():
        out = net(inputs["input_values"], output_hidden_states=True)
    for layer, expected in ((-1, out.last_hidden_state), (2, out.last_hidden_state)):
        model = hf.load_model(str(folder), layer=layer)
        found, _ = hf.get_timestamp_embeddings(audio, model)
        assert torch.allclose(found, expected, rtol=1e-3, atol=1e-4)
    for layer in (1, -2):
        model = hf.load_model(str(folder), layer=layer)
        found, _ = hf.get_timestamp_embeddings(audio, model)
        assert torch.allclose(found, out.hidden_states[1], rtol=1e-3, atol=1e-4)


def test_windows_of_a_long_clip_join_where_convolutions_alone_see(checkpoints: Checkpoints) -> None:
    audio = _audio(1, 40.0, 16000)
    folder = str(checkpoints("wav2vec2"))
    whole = hf.load_model(folder, layer=0, window_s=100.0)
    cut = hf.load_model(folder, layer=0, window_s=7.0)
    expected, whole_ms = hf.get_timestamp_embeddings(audio, whole)
    found, ms = hf.get_timestamp_embeddings(audio, cut)
    assert len(cut.tower.windows(audio.shape[1])) == 8
    assert torch.equal(ms, whole_ms)
    assert ms.shape[1] == (40 * 16000 - 400) // 320 + 1
    assert torch.allclose(found, expected, rtol=1e-3, atol=1e-4)


def test_whispers_windows_follow_one_another(checkpoints: Checkpoints) -> None:
    model = hf.load_model(str(checkpoints("whisper")))
    audio = _audio(1, 40.0, 16000)
    found, ms = hf.get_timestamp_embeddings(audio, model)
    second, _ = hf.get_timestamp_embeddings(audio[:, 480000:], model)
    assert ms[0].tolist() == [20.0 * index for index in range(2000)]
    assert torch.allclose(found[:, 1500:], second, rtol=1e-4, atol=1e-5)


def test_poolings_stand_one_after_the_other(checkpoints: Checkpoints) -> None:
    folder = str(checkpoints("hubert"))
    model = hf.load_model(folder, pooling="mean+max+std+first+last")
    audio = _audio(2, 0.5, 16000)
    frames, _ = hf.get_timestamp_embeddings(audio, model)
    scene = hf.get_scene_embeddings(audio, model)
    x = frames.numpy()
    parts = [x.mean(1), x.max(1), x.std(1), x[:, 0], x[:, -1]]
    assert model.scene_embedding_size == 80
    assert np.allclose(scene.numpy(), np.concatenate(parts, 1), atol=1e-5)


@pytest.mark.parametrize(("name", "size"), [("ast", 16), ("clap", 12)])
def test_what_the_model_pools_itself(checkpoints: Checkpoints, name: str, size: int) -> None:
    folder = checkpoints(name)
    model = hf.load_model(str(folder), pooling="pooled")
    audio = _audio(2, 3.0, model.sample_rate)
    scene = hf.get_scene_embeddings(audio, model)
    extractor = transformers.AutoFeatureExtractor.from_pretrained(folder)
    inputs = extractor(list(audio.numpy()), sampling_rate=model.sample_rate, return_tensors="pt")
    with torch.no_grad():
        if name == "ast":
            net = transformers.ASTModel.from_pretrained(folder).eval()
            expected = net(inputs["input_values"]).pooler_output
        else:
            net = transformers.ClapAudioModelWithProjection.from_pretrained(folder).eval()
            expected = net(inputs["input_features"].float()).audio_embeds
    assert model.scene_embedding_size == size
    assert torch.allclose(scene, expected, rtol=1e-4, atol=1e-5)


def test_a_hop_makes_a_regular_grid(checkpoints: Checkpoints) -> None:
    folder = str(checkpoints("wav2vec2"))
    audio = _audio(2, 1.0, 16000)
    own, own_ms = hf.get_timestamp_embeddings(audio, hf.load_model(folder))
    coarse = hf.load_model(folder, hop_ms=50.0)
    found, ms = hf.get_timestamp_embeddings(audio, coarse)
    assert ms[0].tolist() == [50.0 * index for index in range(21)]
    near = (own_ms[0] > 75.0) & (own_ms[0] < 125.0)
    assert int(near.sum()) == 2
    assert torch.allclose(found[:, 2], own[:, near].mean(1), atol=1e-6)
    fine = hf.load_model(folder, hop_ms=5.0)
    found, ms = hf.get_timestamp_embeddings(audio, fine)
    assert ms.shape[1] == 201
    assert torch.equal(found[:, 10], own[:, 2])  # 50 ms; frame 2 is at 52.5 ms


def test_half_precision_becomes_float32(checkpoints: Checkpoints, tmp_path: Path) -> None:
    net, extractor = MAKERS["hubert"]()
    net.half().save_pretrained(tmp_path)
    extractor.save_pretrained(tmp_path)
    model = hf.load_model(str(tmp_path))
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layer": 3}, "no layer 3: the model has 0 to 2"),
        ({"layer": -4}, "no layer -4"),
        ({"pooling": "median"}, "no pooling 'median': first, last"),
        ({"pooling": "pooled"}, "pools nothing itself"),
        ({"hop_ms": 0.0}, "hop_ms is 0.0"),
        ({"window_s": 1.0}, "window_s is 1.0"),
    ],
)
def test_bad_options_say_what_there_is(
    checkpoints: Checkpoints, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UnusableError, match=message):
        hf.load_model(str(checkpoints("wav2vec2")), **options)


def test_another_kind_of_model_lists_those_that_run(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(UnusableError, match=r"'bert' model\. Supported are whisper, audio-spec"):
        hf.load_model(str(tmp_path))


def test_a_checkpoint_with_weights_missing_is_refused(tmp_path: Path) -> None:
    net, extractor = MAKERS["hubert"]()
    state = {key: value for key, value in net.state_dict().items() if "layers.1." not in key}
    net.save_pretrained(tmp_path, state_dict=state)
    extractor.save_pretrained(tmp_path)
    with pytest.raises(UnusableError, match=r"weights are missing, such as encoder\.layers\.1\."):
        hf.load_model(str(tmp_path))


def test_a_checkpoint_without_feature_extractor(tmp_path: Path) -> None:
    MAKERS["hubert"]()[0].save_pretrained(tmp_path)
    with pytest.raises(UnusableError, match=r"or add preprocessor_config\.json"):
        hf.load_model(str(tmp_path))


def test_without_transformers_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(UnusableError, match=r"hearbench\[transformers\]"):
        hf.load_model("org/name")
