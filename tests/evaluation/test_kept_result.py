"""A result that exists is told without loading torch, and never when anything has changed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from helpers_models import write_model
from helpers_tasks import make_event_task, make_scene_task

import hearbench

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what is loaded")

# What a command says, and whether its process has loaded torch.
SCRIPT = """
import json, pathlib, sys
from hearbench.cli import main
try:
    main()
finally:
    pathlib.Path("loaded.json").write_text(json.dumps("torch" in sys.modules))
"""
NAIVE = "hearbench.models.naive"


@dataclass(frozen=True)
class Ending:
    """How a command ended."""

    code: int
    text: str
    loaded_torch: bool


class Desk:
    """A copy of hearbench, tasks and a cache, all of which can be changed."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.path = root / "path"
        source = Path(hearbench.__file__).parent
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(source, self.path / "hearbench", ignore=ignored)
        self.task = make_scene_task(root, clips_per_label=1, labels=("a", "b"))
        (root / "run.py").write_text(SCRIPT)

    def evaluate(self, *arguments: object, protocol: str = "knn", **variables: str) -> Ending:
        time.sleep(0.05)  # what was changed just now may have been read before
        begin = [sys.executable, "run.py", "evaluate", "--cache", "cache", "--out", "results"]
        known = {"PYTHONPATH": str(self.path)}
        ended = subprocess.run(
            [*begin, "--device", "cpu", "--protocol", protocol, *map(str, arguments)],
            cwd=self.root,
            env={**os.environ, **known, **variables},
            capture_output=True,
            text=True,
            check=False,
        )
        loaded = json.loads((self.root / "loaded.json").read_text())
        return Ending(ended.returncode, ended.stdout + ended.stderr, loaded)

    def naive(self, *arguments: object, **variables: str) -> Ending:
        return self.evaluate(NAIVE, "--task", self.task, *arguments, **variables)


KERNELS = np.random.default_rng(1).normal(size=(2, 1, 80)).astype(np.float32)
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


def write_conv(folder: Path) -> None:
    """Two kernels of 80 samples, every 40."""
    onnx = pytest.importorskip("onnx")
    value, of = onnx.helper.make_tensor_value_info, onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Conv", ["x", "w"], ["y"], strides=[40])],
        "test",
        [value("x", of, ["n", 1, "t"])],
        [value("y", of, ["n", 2, "f"])],
        [onnx.numpy_helper.from_array(KERNELS, "w")],
    )
    opset = onnx.helper.make_opsetid("", 13)
    model = onnx.helper.make_model(graph, opset_imports=[opset], ir_version=8)
    onnx.save(model, str(folder / "conv.onnx"))
    (folder / "conv.toml").write_text(CONV_TOML)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def assert_kept(ending: Ending, *, loaded_torch: bool) -> None:
    assert ending.code == 0, ending.text
    assert "kept results/" in ending.text
    assert ending.loaded_torch == loaded_torch, ending.text


def assert_refused(ending: Ending, why: str, *, loaded_torch: bool) -> None:
    assert ending.code == 2, ending.text
    assert "made from other inputs" in ending.text
    assert why in ending.text
    assert ending.loaded_torch == loaded_torch, ending.text


def test_naive(desk: Desk) -> None:
    first = desk.naive()
    assert (first.code, first.loaded_torch) == (0, True), first.text
    assert "wrote results/" in first.text
    assert_kept(desk.naive(), loaded_torch=False)
    # What is asked for differs, and is compared without loading anything.
    assert_refused(desk.naive("--dtype", "float16"), "embeddings in", loaded_torch=False)
    result = json.loads(
        (desk.root / "results" / NAIVE / "tones-1.0.0-full/result.json").read_text()
    )
    slower = "float32" if result["precision"] == "bfloat16" else "bfloat16"
    assert_refused(desk.naive("--precision", slower), "training in", loaded_torch=False)
    assert_refused(desk.naive("--seed", "7"), "seed 42 instead of 7", loaded_torch=False)
    refused = desk.naive(protocol="linear")
    assert_refused(refused, "the protocol knn instead of linear", loaded_torch=False)
    # Of these nothing shows whether they matter.
    assert_kept(desk.naive(A_SWITCH="1"), loaded_torch=True)
    assert_kept(desk.naive(A_SWITCH="1"), loaded_torch=False)
    (desk.path / "some-1.0.dist-info").mkdir()
    assert_kept(desk.naive(), loaded_torch=True)
    records = desk.path / "hearbench/records.py"
    records.write_text(f"{records.read_text()}\n# changed\n")
    assert_kept(desk.naive(), loaded_torch=True)
    assert_kept(desk.naive(), loaded_torch=False)
    # Another file of hearbench's models, which naive doesn't import.
    vggish = desk.path / "hearbench/models/vggish.py"
    vggish.write_text(f"{vggish.read_text()}\n# changed\n")
    for loaded_torch in (True, False):
        assert_refused(desk.naive(), "another model", loaded_torch=loaded_torch)


def test_another_content_of_the_task(desk: Desk) -> None:
    desk.naive()
    assert_kept(desk.naive(), loaded_torch=False)
    clip = next(desk.task.glob("16000/test/*.wav"))
    samples = bytearray(clip.read_bytes())
    samples[-2] ^= 1
    clip.write_bytes(samples)
    assert_refused(desk.naive(), "other content of the task", loaded_torch=False)


@pytest.mark.real
def test_several_tasks(desk: Desk) -> None:
    other = make_scene_task(desk.root, name="other", clips_per_label=1, labels=("a", "b"))
    events = make_event_task(desk.root)
    desk.naive("--task", other)
    both = desk.naive("--task", other)
    assert_kept(both, loaded_torch=False)
    assert both.text.count("kept results/") == 2
    # Of another kind of task the model's identity isn't known yet.
    asked = ("--task", events, "--grid-points", "1")
    wrote = desk.evaluate(NAIVE, *asked, protocol="linear")
    assert (wrote.code, wrote.loaded_torch) == (0, True), wrote.text
    assert_kept(desk.evaluate(NAIVE, *asked, protocol="linear"), loaded_torch=False)
    assert_kept(desk.naive(), loaded_torch=False)


@pytest.mark.real
def test_onnx_file(desk: Desk) -> None:
    def conv(*arguments: object) -> Ending:
        return desk.evaluate("onnx:conv.onnx", "--task", desk.task, *arguments)

    write_conv(desk.root)
    assert conv().code == 0
    assert_kept(conv(), loaded_torch=False)
    whole = (desk.root / "conv.onnx").read_bytes()
    at = whole.index(KERNELS.tobytes())
    (desk.root / "conv.onnx").write_bytes(whole[:at] + whole[at + 4 : at + 8] + whole[at + 4 :])
    for loaded_torch in (True, False):
        assert_refused(conv(), "another model", loaded_torch=loaded_torch)
    (desk.root / "conv.onnx").write_bytes(whole)
    assert_kept(conv(), loaded_torch=True)
    toml = desk.root / "conv.toml"
    toml.write_text(toml.read_text().replace("[input]", 'pooling = "max"\n[input]', 1))
    assert_refused(conv(), "another model", loaded_torch=True)


@pytest.mark.real
def test_onnx_file_with_weights_elsewhere(desk: Desk) -> None:
    write_conv(desk.root)
    onnx = pytest.importorskip("onnx")
    model = onnx.load(str(desk.root / "conv.onnx"))
    onnx.save(
        model,
        str(desk.root / "conv.onnx"),
        save_as_external_data=True,
        location="weights.bin",
        size_threshold=0,
    )
    asked = ("onnx:conv.onnx", "--task", desk.task)
    assert desk.evaluate(*asked).code == 0
    # ONNX Runtime opens that file by itself, so the model is asked each time.
    assert_kept(desk.evaluate(*asked), loaded_torch=True)
    data = desk.root / "weights.bin"
    data.write_bytes(np.frombuffer(data.read_bytes(), np.float32)[::-1].tobytes())
    assert_refused(desk.evaluate(*asked), "embeds", loaded_torch=True)


@pytest.mark.real
def test_checkpoint_in_a_folder(desk: Desk) -> None:
    pytest.importorskip("transformers")
    from helpers_transformers import wave

    for part in wave():
        part.save_pretrained(desk.root / "net")

    def checkpoint(*arguments: object) -> Ending:
        return desk.evaluate("hf:net", "--task", desk.task, *arguments)

    assert checkpoint().code == 0
    assert_kept(checkpoint(), loaded_torch=False)
    # An option makes another model with results of its own.
    assert "wrote" in checkpoint("--option", "layer=1").text
    assert_kept(checkpoint("--option", "layer=1"), loaded_torch=False)
    assert_kept(checkpoint(), loaded_torch=False)
    weights = desk.root / "net/model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 0x40
    weights.write_bytes(data)
    assert_refused(checkpoint(), "another model", loaded_torch=True)


def test_a_model_of_others_is_always_asked(desk: Desk) -> None:
    # Of the size of a file Python tells nothing.
    scale = "import os\nSCALE = os.path.getsize(__file__ + '.bin')\n"
    model = write_model(desk.root, extra=scale)
    text = model.read_text()
    model.write_text(
        text.replace(
            "get_scene_embeddings(audio, model):\n    return ",
            "get_scene_embeddings(audio, model):\n    return SCALE * ",
            1,
        )
    )
    assert model.read_text() != text
    size = Path(f"{model}.bin")
    size.write_text("1")
    asked = (model, NAIVE, "--task", desk.task)
    assert desk.evaluate(*asked).code == 0
    assert_kept(desk.evaluate(*asked), loaded_torch=True)
    # What runs after it in the same process may have been changed by it.
    assert_kept(desk.naive(), loaded_torch=True)
    assert_kept(desk.naive(), loaded_torch=False)
    size.write_text("12")
    assert_refused(desk.evaluate(model, "--task", desk.task), "embeds", loaded_torch=True)


@pytest.mark.real
def test_a_model_of_keras_is_always_asked(desk: Desk) -> None:
    pytest.importorskip("keras")
    asked = ("hearbench.models.naive_keras", "--task", desk.task)
    first = desk.evaluate(*asked)
    assert first.code == 0, first.text
    # A file in the home folder says, among others, in which precision Keras computes.
    assert_kept(desk.evaluate(*asked), loaded_torch=True)


def test_a_wrong_name_is_told_before_anything_is_loaded(desk: Desk) -> None:
    desk.naive()
    for model in ("no_such_package.model", "dasheng-bass", "nowhere.py"):
        wrong = desk.evaluate(model, "--task", desk.task)
        assert (wrong.code, wrong.loaded_torch) == (2, False), wrong.text
        assert "There is no m" in wrong.text
    wrong = desk.evaluate(NAIVE, "--task", "no_such_task")
    assert (wrong.code, wrong.loaded_torch) == (2, False), wrong.text
    assert "There is no task 'no_such_task'" in wrong.text
