from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from helpers_models import noise
from onnx import NodeProto, TensorProto, helper, numpy_helper, save

from hearbench import load_model
from hearbench.errors import ModelError
from hearbench.models import onnx_file
from hearbench.workspace import Workspace

RATE = 16000
HOP, SPAN = 40, 80
KERNELS = np.random.default_rng(1).normal(size=(2, 1, SPAN)).astype(np.float32)
MATRIX = np.random.default_rng(2).normal(size=(8, 3)).astype(np.float32)
FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64

CONV_TOML = """
sample_rate = 16000
embedding_size = 2
hop_samples = 40
span_samples = 80
[input]
axes = ["clip", "one", "time"]
[output]
axes = ["clip", "number", "time"]
"""

Array = npt.NDArray[np.float32]
Shape = Sequence[str | int]


def write_onnx(
    path: Path,
    nodes: Sequence[NodeProto],
    inputs: Mapping[str, tuple[int, Shape]],
    output: tuple[str, Shape],
    **constants: npt.NDArray[np.generic],
) -> Path:
    graph = helper.make_graph(
        nodes,
        "test",
        [
            helper.make_tensor_value_info(name, kind, shape)
            for name, (kind, shape) in inputs.items()
        ],
        [helper.make_tensor_value_info(output[0], FLOAT, output[1])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    opset = helper.make_opsetid("", 13)
    save(helper.make_model(graph, opset_imports=[opset], ir_version=8), str(path))
    return path


def write_conv(path: Path) -> Path:
    """(clips, 1, samples) to (clips, 2, frames): two kernels of 80 samples, every 40."""
    node = helper.make_node("Conv", ["x", "w"], ["y"], strides=[HOP])
    shapes: dict[str, tuple[int, Shape]] = {"x": (FLOAT, ["n", 1, "t"])}
    return write_onnx(path, [node], shapes, ("y", ["n", 2, "f"]), w=KERNELS)


def write_matrix(path: Path, batch: int) -> Path:
    """(batch, 4, 2) to (batch, 3); any other batch is refused."""
    nodes = [
        helper.make_node("Reshape", ["x", "shape"], ["flat"]),
        helper.make_node("MatMul", ["flat", "w"], ["y"]),
    ]
    shapes = {"x": (FLOAT, [batch, 4, 2])}
    shape = np.array([batch, 8])
    return write_onnx(path, nodes, shapes, ("y", [batch, 3]), shape=shape, w=MATRIX)


def write_conv_model(folder: Path, more: str = "", toml: str = CONV_TOML) -> str:
    (folder / "conv.toml").write_text(more + toml)
    return str(write_conv(folder / "conv.onnx"))


def convolved(audio: Array, hop: int = HOP) -> Array:
    """(clips, samples) to (clips, frames, 2), in numpy."""
    starts = range(0, audio.shape[1] - SPAN + 1, hop)
    frames = np.stack([audio[:, start : start + SPAN] for start in starts], 1)
    found: Array = frames @ KERNELS[:, 0].T
    return found


def timestamps(path: str, audio: Array) -> tuple[Array, Array]:
    model = onnx_file.load_model(path)
    embeddings, ms = onnx_file.get_timestamp_embeddings(torch.from_numpy(audio), model)
    assert embeddings.dtype == ms.dtype == torch.float32
    return embeddings.numpy(), ms.numpy()


def test_frames_of_the_files_own_time_axis(tmp_path: Path) -> None:
    audio = noise(3, 0.1, RATE)
    embeddings, ms = timestamps(write_conv_model(tmp_path), audio)
    assert embeddings.shape == (3, 39, 2)
    np.testing.assert_allclose(embeddings, convolved(audio), rtol=1e-4, atol=1e-5)
    # The middle of samples 0 to 79, then every 40 samples.
    np.testing.assert_allclose(ms[2], (39.5 + 40 * np.arange(39)) / 16)


def test_scale_and_padding(tmp_path: Path) -> None:
    more = "scale = 32768\npad_start_samples = 30\npad_end_samples = 50\n"
    audio = noise(2, 0.05, RATE)
    embeddings, ms = timestamps(write_conv_model(tmp_path, more), audio)
    expected = convolved(np.pad(audio, ((0, 0), (30, 50))) * 32768)
    np.testing.assert_allclose(embeddings, expected, rtol=1e-3, atol=0.5)
    assert ms[0, 0] == pytest.approx(9.5 / 16)


@pytest.mark.parametrize("segment_s", [0.001, 0.0125, 0.02, 0.33])
def test_segments_give_what_the_whole_gives(tmp_path: Path, segment_s: float) -> None:
    more = f"segment_s = {segment_s}\npad_start_samples = 39\npad_end_samples = 100\n"
    audio = noise(3, 0.3, RATE)
    embeddings, _ = timestamps(write_conv_model(tmp_path, more), audio)
    expected = convolved(np.pad(audio, ((0, 0), (39, 100))))
    np.testing.assert_allclose(embeddings, expected, rtol=1e-4, atol=1e-5)


def test_no_run_is_longer_than_a_segment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = onnx_file.load_model(write_conv_model(tmp_path, "segment_s = 0.5\n"))
    sizes = []
    piece = model._piece

    def counted(samples: Array, frames: slice) -> Array:
        found = piece(samples, frames)
        sizes.append(found.size)
        return found

    monkeypatch.setattr(model, "_piece", counted)
    onnx_file.get_scene_embeddings(torch.zeros(2, 10 * RATE), model)
    onnx_file.get_scene_embeddings(torch.zeros(20, RATE // 10), model)
    assert max(sizes) <= RATE // 2
    assert len(sizes) >= 42


@pytest.mark.parametrize("n_samples", [1, 79, 80, 119, 120])
def test_short_clips_give_at_least_one_frame_within_them(tmp_path: Path, n_samples: int) -> None:
    audio = noise(2, 0.1, RATE)[:, :n_samples]
    embeddings, ms = timestamps(write_conv_model(tmp_path), audio)
    expected = convolved(np.pad(audio, ((0, 0), (0, max(0, SPAN - n_samples)))))
    np.testing.assert_allclose(embeddings, expected, rtol=1e-4, atol=1e-5)
    assert (ms <= n_samples / 16).all()


def test_an_impulse_is_seen_by_the_spans_around_it_alone(tmp_path: Path) -> None:
    more = "pad_start_samples = 39\npad_end_samples = 40\n"
    audio = np.zeros((1, 1600), np.float32)
    audio[0, 800] = 1.0  # 50 ms; a span reaches 2.5 ms to either side of its centre
    embeddings, ms = timestamps(write_conv_model(tmp_path, more), audio)
    seen = ms[0][np.abs(embeddings[0]).max(1) > 0]
    np.testing.assert_allclose(seen, [47.53125, 50.03125])


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_windows_over_the_frames_of_a_stage_before(tmp_path: Path, batch: int) -> None:
    write_conv(tmp_path / "mel.onnx")
    write_matrix(tmp_path / "model.onnx", batch)
    # Windows of 4 frames every 2: 3 x 40 + 80 samples every 80.
    (tmp_path / "model.toml").write_text("""
sample_rate = 16000
embedding_size = 3
hop_samples = 80
span_samples = 200
first_centre_samples = 100
segment_s = 0.05
[[before]]
file = "mel.onnx"
input = { axes = ["clip", "one", "time"] }
output = { axes = ["clip", "number", "time"], multiply = 0.1, add = 2.0 }
[input]
axes = ["clip", "time", "number"]
window = { size = 4, hop = 2 }
[output]
axes = ["clip", "number"]
""")
    audio = noise(3, 0.2, RATE)
    embeddings, ms = timestamps(str(tmp_path / "model.onnx"), audio)
    frames = convolved(audio) / 10 + 2
    windows = [frames[:, i : i + 4].reshape(3, 8) for i in range(0, frames.shape[1] - 3, 2)]
    expected = np.stack(windows, 1) @ MATRIX
    np.testing.assert_allclose(embeddings, expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(ms[0], (100 + 80 * np.arange(ms.shape[1])) / 16)


def write_masked(folder: Path, toml: str) -> str:
    """(n, t) and a mask of int64 (n, t), to (n, t, 1): the audio times the mask times a scalar."""
    nodes = [
        helper.make_node("Cast", ["mask"], ["factor"], to=FLOAT),
        helper.make_node("Mul", ["x", "factor"], ["masked"]),
        helper.make_node("Mul", ["masked", "gain"], ["louder"]),
        helper.make_node("Unsqueeze", ["louder", "axis"], ["y"]),
    ]
    shapes: dict[str, tuple[int, Shape]] = {
        "x": (FLOAT, ["n", "t"]),
        "mask": (INT64, ["n", "t"]),
        "gain": (FLOAT, []),
    }
    (folder / "masked.toml").write_text(toml)
    output: tuple[str, Shape] = ("y", ["n", "t", 1])
    return str(write_onnx(folder / "masked.onnx", nodes, shapes, output, axis=np.array([2])))


MASKED_TOML = """
sample_rate = 16000
embedding_size = 1
hop_samples = 1
span_samples = 1
[input.constants]
mask = { value = 3 }
gain = { value = 0.5, type = "float32", shape = [] }
[output]
axes = ["clip", "time", "number"]
"""


def test_constant_inputs(tmp_path: Path) -> None:
    audio = noise(2, 0.01, RATE)
    embeddings, ms = timestamps(write_masked(tmp_path, MASKED_TOML), audio)
    np.testing.assert_allclose(embeddings[..., 0], audio * 1.5, rtol=1e-6)
    assert ms[0, 16] == 1.0


def test_inputs_without_a_value_are_named(tmp_path: Path) -> None:
    toml = MASKED_TOML.replace("gain =", "# gain =").replace("[input.", 'input.name = "x"\n[input.')
    with pytest.raises(ModelError, match=r"further inputs: gain\. .* \[input\.constants\.NAME\]"):
        onnx_file.load_model(write_masked(tmp_path, toml))


def test_an_axis_order_of_one_clip_without_a_batch_axis(tmp_path: Path) -> None:
    node = helper.make_node("Transpose", ["x"], ["y"], perm=[1, 0])
    path = write_onnx(tmp_path / "turn.onnx", [node], {"x": (FLOAT, [1, "t"])}, ("y", ["t", 1]))
    (tmp_path / "turn.toml").write_text("""
sample_rate = 22050
embedding_size = 1
hop_samples = 1
span_samples = 1
input = { axes = ["one", "time"] }
output = { axes = ["time", "number"] }
""")
    audio = noise(3, 0.01, RATE)
    embeddings, _ = timestamps(str(path), audio)
    np.testing.assert_array_equal(embeddings[..., 0], audio)


@pytest.mark.parametrize("pooling", ["mean", "max", "mean_std"])
def test_pooling(tmp_path: Path, pooling: str) -> None:
    audio = noise(3, 0.1, RATE)
    model = onnx_file.load_model(write_conv_model(tmp_path, f'pooling = "{pooling}"\n'))
    scene = onnx_file.get_scene_embeddings(torch.from_numpy(audio), model).numpy()
    frames = convolved(audio)
    expected = {
        "mean": frames.mean(1),
        "max": frames.max(1),
        "mean_std": np.concatenate([frames.mean(1), frames.std(1)], 1),
    }[pooling]
    assert scene.shape == (3, model.scene_embedding_size)
    np.testing.assert_allclose(scene, expected, rtol=1e-3, atol=1e-4)


def test_it_runs_as_any_other_model(tmp_path: Path, workspace: Workspace) -> None:
    path = write_conv_model(tmp_path)
    model = load_model("hearbench.models.onnx_file", path, workspace=workspace)
    assert (model.sample_rate, model.scene_embedding_size) == (16000, 2)
    audio = noise(2, 0.1, RATE)
    np.testing.assert_allclose(model.scene(audio), convolved(audio).mean(1), rtol=1e-3, atol=1e-4)


def test_files_inside_an_installed_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "site" / "a_package_of_weights"
    (package / "assets").mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    inside = write_conv(package / "assets" / "conv.onnx")
    monkeypatch.syspath_prepend(tmp_path / "site")
    toml = tmp_path / "some.toml"
    toml.write_text('file = "module:a_package_of_weights/assets/conv.onnx"' + CONV_TOML)
    audio = noise(1, 0.1, RATE)
    np.testing.assert_allclose(
        timestamps(str(toml), audio)[0], convolved(audio), rtol=1e-4, atol=1e-5
    )
    assert onnx_file.weight_files(toml) == [toml, inside]


@pytest.mark.parametrize(
    ("change", "to", "message"),
    [
        ("hop_samples", "hop_sample", r"hop_sample: there is no such key\. .*hop_samples"),
        ("hop_samples = 40", "", "hop_samples: missing"),
        ("16000", "800", r"sample_rate: .*greater than or equal to 4000 \(given: 800\)"),
        ("[output]", "[output]\nmultipl = 2", r"output\.multipl: there is no such .*multiply"),
        ('"number", ', '"numbers", ', r"output\.axes\.1: .*'clip', 'time', 'number' or 'one'"),
        ('"number", ', "", "output.axes has no 'number'"),
        (', "time"]\n[', "]\n[", "input.axes has no 'time'"),
        ('"one", "time"]', '"time", "time"]', "input.axes names 'time' twice"),
        ('"number", "time"', '"number", "one"', "input.window is needed"),
        ("[output]", "window = { size = 2, hop = 1 }\n[output]", "output.axes can't have 'time'"),
        ("sample_rate", "pad_start_samples = 90\nsample_rate", "would be negative"),
        (
            "sample_rate",
            "before = [{ output.axes = ['time', 'number'] }]\nsample_rate",
            "needs its file",
        ),
        ("sample_rate", 'file = "module:no_such_pkg/a.onnx"\nsample_rate', "isn't installed here"),
        ("sample_rate", 'file = "module:numpy/a.onnx"\nsample_rate', r"has no a\.onnx"),
        ("sample_rate", 'file = "gone.onnx"\nsample_rate', r"there is no file .*gone\.onnx"),
        ("sample_rate", "= 5\nsample_rate", "is no TOML"),
    ],
)
def test_a_bad_toml_says_where_and_what_is_allowed(
    tmp_path: Path, change: str, to: str, message: str
) -> None:
    assert change in CONV_TOML
    path = write_conv_model(tmp_path, toml=CONV_TOML.replace(change, to, 1))
    with pytest.raises(ModelError, match=message) as error:
        onnx_file.load_model(path)
    assert str(tmp_path / "conv.toml") in str(error.value)


@pytest.mark.parametrize(
    ("change", "to", "message"),
    [
        ("[input]", '[input]\nname = "audio"', r"has no input 'audio' .* it has: x\."),
        ("[output]", '[output]\nname = "z"', r"has no output 'z' .* it has: y\."),
        ("[output]", "constants = { m = { value = 1 } }\n[output]", r"has no input 'm' .*: x\."),
        ('"clip", "one", "time"', '"clip", "time"', r"x has 3 axes, .* names 2"),
        ("embedding_size = 2", "embedding_size = 3", "should give .* of 3 numbers .* of 2"),
        ("hop_samples = 40", "hop_samples = 20", "should give 77 embeddings of .* give 39 of 2"),
        ("span_samples = 80", "span_samples = 160", "should give 37 embeddings .* give 39 of 2"),
        ("span_samples = 80", "span_samples = 40\nsegment_s = 0.002", r"conv\.onnx fails on x"),
        ('["clip", "number", "time"]', '["clip", "time", "number"]', "should give .* give 2 of 39"),
        ('["clip", "number", "time"]', '["one", "number", "time"]', r"\(3, 2, 39\), which isn't"),
        ('["clip", "number", "time"]', '["number", "clip", "time"]', "3 clips .* and 2 come out"),
    ],
)
def test_a_toml_that_does_not_fit_its_file_says_what_differs(
    tmp_path: Path, change: str, to: str, message: str
) -> None:
    assert change in CONV_TOML
    path = write_conv_model(tmp_path, toml=CONV_TOML.replace(change, to, 1))
    with pytest.raises(ModelError, match=message):
        timestamps(path, noise(3, 0.1, RATE))


def test_missing_and_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"There is no .*conv\.toml\. An ONNX model needs"):
        onnx_file.load_model(str(write_conv(tmp_path / "conv.onnx")))
    path = Path(write_conv_model(tmp_path))
    path.write_bytes(b"not a model")
    with pytest.raises(ModelError, match="isn't a model that ONNX Runtime can load"):
        onnx_file.load_model(str(path))
    path.unlink()
    with pytest.raises(ModelError, match=r"There is no ONNX file .*conv\.onnx"):
        onnx_file.load_model(str(path))
    with pytest.raises(ModelError, match=r"no conv\.onnx or conv\.ort beside it"):
        onnx_file.load_model(str(path.with_suffix(".toml")))
    with pytest.raises(ModelError, match=r"isn't an ONNX model\. Give a file that ends in"):
        onnx_file.load_model(str(tmp_path / "model.pt"))


def test_a_toml_of_another_file_is_refused(tmp_path: Path) -> None:
    write_conv(tmp_path / "other.onnx")
    path = write_conv_model(tmp_path, 'file = "other.onnx"\n')
    with pytest.raises(ModelError, match=r"other\.onnx, which isn't conv\.onnx"):
        onnx_file.load_model(path)
    assert onnx_file.load_model(str(tmp_path / "conv.toml")).files == (tmp_path / "other.onnx",)


def test_without_onnxruntime_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_conv_model(tmp_path)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ModelError, match=r"pip install 'hearbench\[onnx\]'"):
        onnx_file.load_model(path)


def test_a_change_of_any_of_its_files_is_another_model(
    tmp_path: Path, workspace: Workspace
) -> None:
    path = write_conv_model(tmp_path)
    model = load_model(f"onnx:{path}", workspace=workspace)
    assert model.name == f"onnx-{Path(path).stem}"
    assert load_model(f"onnx:{path}", workspace=workspace).digest == model.digest
    toml = Path(path).with_suffix(".toml")
    toml.write_text(toml.read_text() + "\n# a remark\n")
    assert load_model(f"onnx:{path}", workspace=workspace).digest != model.digest
