"""Models given as objects: how they are called, left behind, and told from each other."""

from __future__ import annotations

import copy
import math
import random
import subprocess
import sys
import textwrap
import types
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers_models import BANDS, write_model
from helpers_progress import Noted, noting
from helpers_tasks import make_event_task, make_scene_task
from hypothesis import given, settings
from hypothesis import strategies as st

from hearbench.embeddings.compute import embed
from hearbench.errors import ModelError
from hearbench.models.given import ObjectContent, content_of
from hearbench.models.loaded import Interpreter
from hearbench.models.loading import load_model
from hearbench.tasks.store import PreparedTask, load_task
from hearbench.workspace import Workspace

SIZE = 5


class Frames(torch.nn.Module):
    """Means of 50 ms through a layer and a normalisation."""

    sample_rate = 16000
    scene_embedding_size = SIZE
    timestamp_embedding_size = SIZE

    window: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(3, SIZE)
        self.norm = torch.nn.BatchNorm1d(SIZE)
        self.dropout = torch.nn.Dropout(0.5)
        self.register_buffer("window", torch.hann_window(800), persistent=False)
        self.gain = 1.0
        self.steps = [("scale", 2.0)]

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        frames = frames * self.window * self.gain * self.steps[0][1]
        facts = torch.stack([frames.mean(1), frames.std(1), frames.abs().amax(1)], 1)
        out: torch.Tensor = self.dropout(self.norm(self.layer(facts)))
        return out

    def get_timestamp_embeddings(self, audio: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        frames = audio[:, : audio.shape[1] // 800 * 800].reshape(len(audio), -1, 800)
        ms = torch.arange(frames.shape[1]) * 50.0 + 25.0
        made = self(frames.flatten(0, 1)).view(len(audio), -1, SIZE)
        return made, ms.expand(len(audio), -1)

    def get_scene_embeddings(self, audio: torch.Tensor) -> torch.Tensor:
        return self.get_timestamp_embeddings(audio)[0].mean(1)


def frames(seed: int = 0) -> Frames:
    torch.manual_seed(seed)
    return Frames()


def digest(model: object, workspace: Workspace, **more: Any) -> str:
    return load_model(model, workspace=workspace, **more).digest


@pytest.fixture
def task(tmp_path: Path, workspace: Workspace) -> PreparedTask:
    return load_task(make_scene_task(tmp_path / "task"), workspace=workspace)


def test_a_module_with_two_methods(task: PreparedTask, workspace: Workspace) -> None:
    net = frames()
    model = load_model(net, name="step 100", workspace=workspace)
    assert (model.name, model.n_weights, model.weights) == ("step_100", 3 * 5 + 5 + 4 * 5, None)
    assert model.spec.startswith("object:")
    assert model.spec.endswith(".Frames")
    store = embed(model, task, workspace=workspace)
    net.eval()
    audio = np.random.default_rng(0).uniform(-1, 1, (2, 1600)).astype(np.float32)
    with torch.no_grad():
        expected = net.get_scene_embeddings(torch.from_numpy(audio)).numpy()
    np.testing.assert_array_equal(model.scene(audio), expected)
    assert store.manifest.model.name == "step_100"
    assert store.manifest.notes == ()


def test_the_same_weights_find_their_embeddings_and_others_do_not(
    task: PreparedTask, workspace: Workspace
) -> None:
    net = frames()
    first = embed(load_model(net, workspace=workspace), task, workspace=workspace)
    told = Noted()
    model = load_model(copy.deepcopy(net), workspace=workspace)
    assert embed(model, task, workspace=noting(workspace, told)).folder == first.folder
    assert told.states == []
    with torch.no_grad():
        net.layer.weight[0, 0] += 1e-6
    second = embed(load_model(net, workspace=workspace), task, workspace=noting(workspace, told))
    assert second.folder != first.folder
    assert told.states


def test_training_goes_on_as_if_nothing_had_been(
    tmp_path: Path, task: PreparedTask, workspace: Workspace
) -> None:
    net = frames().train()
    net.norm.eval()
    net.layer.weight.requires_grad_(False)
    net(torch.randn(4, 800)).sum().backward()
    kept = copy.deepcopy(net.state_dict())
    gradient = net.layer.bias.grad
    assert gradient is not None
    gradient = gradient.clone()
    random.seed(1)
    numpys: Any = np.random.get_state()  # noqa: NPY002
    states = random.getstate(), torch.get_rng_state()
    events = load_task(make_event_task(tmp_path / "events"), workspace=workspace)
    model = load_model(net, workspace=workspace)
    for each in (task, events):
        embed(model, each, workspace=workspace)
    model.close()
    assert (net.training, net.norm.training, net.dropout.training) == (True, False, True)
    assert (net.layer.weight.requires_grad, net.layer.bias.requires_grad) == (False, True)
    assert net.layer.bias.grad is not None
    assert torch.equal(net.layer.bias.grad, gradient)
    assert all(torch.equal(value, kept[name]) for name, value in net.state_dict().items())
    assert random.getstate() == states[0]
    assert torch.equal(torch.get_rng_state(), states[1])
    now: Any = np.random.get_state()  # noqa: NPY002
    assert (now[1] == numpys[1]).all()


def test_modes_are_put_back_after_an_error(workspace: Workspace) -> None:
    class Fails(Frames):
        def get_scene_embeddings(self, audio: torch.Tensor) -> torch.Tensor:
            assert not self.training
            raise ZeroDivisionError(len(audio))

    net = Fails()
    model = load_model(net, workspace=workspace)
    with pytest.raises(ModelError, match="ZeroDivisionError"):
        model.scene(np.zeros((1, 1600), np.float32))
    assert net.training


CHANGES: dict[str, Callable[[Frames], object]] = {
    "a weight": lambda net: net.layer.weight.data[1, 2].add_(1e-7),
    "its sign of zero": lambda net: net.norm.bias.data.neg_(),
    "a stored statistic": lambda net: net.norm.running_var.mul_(1.001),  # type: ignore[union-attr]
    "a buffer of no checkpoint": lambda net: net.window.mul_(0.5),
    "a type": lambda net: net.double(),
    "an attribute": lambda net: setattr(net, "gain", 1.5),
    "a part of an attribute": lambda net: net.steps.__setitem__(0, ("scale", 2.1)),
    "an option of a part": lambda net: setattr(net.norm, "eps", 1e-4),
    "a part": lambda net: setattr(net, "norm", torch.nn.Identity()),
    "a function": lambda net: setattr(net, "forward", partial(torch.mul, other=2)),
    "a hook": lambda net: net.layer.register_forward_hook(lambda *_: None),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_whatever_changes_makes_another_model(
    change: Callable[[Frames], object], workspace: Workspace
) -> None:
    net = frames()
    before = digest(net, workspace)
    assert digest(frames(), workspace) == before
    change(net)
    assert digest(net, workspace) != before


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_every_bit_of_every_tensor_counts(data: st.DataObject) -> None:
    net = frames()
    before = content_of(net)
    tensors = dict(net.named_parameters()) | dict(net.named_buffers())
    tensor = tensors[data.draw(st.sampled_from(sorted(tensors)))].detach()
    raw = tensor.reshape(-1).view(torch.uint8)
    at = data.draw(st.integers(0, len(raw) - 1))
    bit = data.draw(st.integers(0, 7))
    raw[at] ^= 1 << bit
    after = content_of(net)
    assert after.weights_digest != before.weights_digest
    assert after.source == before.source
    raw[at] ^= 1 << bit
    assert content_of(net) == before


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=30, deadline=None)
@given(values, values)
def test_attributes_are_told_apart_by_their_values(one: Any, other: Any) -> None:
    net, twin = frames(), frames()
    net.steps, twin.steps = one, copy.deepcopy(one)
    assert content_of(net).source == content_of(twin).source
    twin.steps = other
    # Text tells -0.0 from 0.0 and 1 from 1.0 and True, as a model may.
    assert (content_of(net).source == content_of(twin).source) == (repr(one) == repr(other))


SOURCE = """
import torch

GAIN = 2.0

def scaled(x):
    return x * GAIN

def shown(x):
    return x

class Net(torch.nn.Module):
    sample_rate, scene_embedding_size, timestamp_embedding_size = 16000, 1, 1

    def get_scene_embeddings(self, audio):
        return scaled(audio.mean(1, keepdim=True)) + 1.0

    def get_timestamp_embeddings(self, audio):
        times = torch.full((len(audio), 1), 500.0 * audio.shape[1] / 16000)
        return self.get_scene_embeddings(audio)[:, None], times
"""


def net_of(source: str) -> Any:
    """An object of a class whose code lies in no file, as that of a notebook."""
    module = types.ModuleType("made_up")
    exec(source, module.__dict__)  # noqa: S102
    return module.Net()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("+ 1.0", "+ 1.5"),
        ("audio.mean(1", "audio.amax(1"),
        ("GAIN = 2.0", "GAIN = 2.5"),
        ("return x * GAIN", "return GAIN * x"),
        ("500.0 *", "499.0 *"),
        ("sample_rate, scene", "sample_rate, added, scene"),
    ],
)
def test_code_that_lies_in_no_file_counts(old: str, new: str, workspace: Workspace) -> None:
    before = digest(net_of(SOURCE), workspace)
    # Nothing but comments, and what the model doesn't use.
    same = SOURCE.replace("return scaled", "# a comment\n        return scaled")
    same = same.replace("def shown(x):\n    return x", "def shown(x):\n    return -x")
    assert digest(net_of(same), workspace) == before
    changed = SOURCE.replace(old, new)
    if "added" in new:
        changed = changed.replace("= 16000, 1, 1", "= 16000, 7, 1, 1")
    assert digest(net_of(changed), workspace) != before


SCRIPT = """
import sys
from pathlib import Path
import torch
import user_net
from hearbench import Workspace, load_model
torch.manual_seed(0)
net = user_net.Net()
net.labels = {"speech", "music", "noise", "silence"}
print(load_model(net, workspace=Workspace(Path("cache"), "cpu")).digest)
"""


def in_another_process(folder: Path, python: str | Path) -> str:
    command = [python, "-B", "-c", SCRIPT]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_files_and_processes(tmp_path: Path, preloaded: Path) -> None:
    quick = preloaded / "python"
    digests = []
    # Places don't count, nor the seed of hashes, which is another in these two.
    for name, python in (("one", sys.executable), ("two", quick)):
        (tmp_path / name).mkdir()
        net = tmp_path / name / "user_net.py"
        net.write_text("import user_parts\n" + SOURCE.replace("x * GAIN", "user_parts.of(x, {7})"))
        (tmp_path / name / "user_parts.py").write_text("def of(x, parts):\n    return x\n")
        digests.append(in_another_process(tmp_path / name, python))
    assert digests[0] == digests[1]
    parts = tmp_path / "two/user_parts.py"
    parts.write_text(parts.read_text().replace("return x", "return 2 * x"))
    assert in_another_process(tmp_path / "two", quick) != digests[0]
    net.write_text(net.read_text() + "\n# whatever is in the file counts\n")
    assert len({digests[0], in_another_process(tmp_path / "two", quick)}) == 2


def test_functions_of_a_module_and_of_an_object(
    tmp_path: Path, task: PreparedTask, workspace: Workspace
) -> None:
    path = write_model(tmp_path, BANDS)
    module = types.ModuleType("my_bands")
    exec(path.read_text(), module.__dict__)  # noqa: S102
    expected = embed(load_model(path, workspace=workspace), task, workspace=workspace)
    found = load_model(module, workspace=workspace)
    assert (found.name, found.spec) == ("my_bands", "object:my_bands")
    assert embed(found, task, workspace=workspace).digest == expected.digest
    space = types.SimpleNamespace(**{
        name: getattr(module, name)
        for name in ("load_model", "get_scene_embeddings", "get_timestamp_embeddings")
    })  # fmt: skip
    found = load_model(space, name="bands", workspace=workspace)
    assert embed(found, task, workspace=workspace).digest == expected.digest


def test_options_and_weights_of_functions(tmp_path: Path, workspace: Workspace) -> None:
    def load(path: str = "", gain: float = 1.0) -> Frames:
        net = frames(seed=len(path) and int(Path(path).read_text()))
        net.gain = gain
        return net

    space = types.SimpleNamespace(
        load_model=load,
        get_scene_embeddings=lambda audio, model: model.get_scene_embeddings(audio),
        get_timestamp_embeddings=lambda audio, model: model.get_timestamp_embeddings(audio),
    )
    weights = tmp_path / "weights.txt"
    weights.write_text("3")
    plain = load_model(space, workspace=workspace)
    louder = load_model(space, gain="2.5", workspace=workspace)
    other = load_model(space, weights, workspace=workspace)
    assert louder.options == {"gain": 2.5}
    assert louder.name == "SimpleNamespace-gain=2.5"
    assert other.weights == weights
    assert len({plain.digest, louder.digest, other.digest}) == 3
    with pytest.raises(ModelError, match="no option 'loud'"):
        load_model(space, loud=1, workspace=workspace)


class Opaque:
    """Neither a torch module nor anything that can be looked at: its state is a generator's."""

    sample_rate = 16000
    scene_embedding_size = 2
    timestamp_embedding_size = 2

    def __init__(self, number: int) -> None:
        self.state = (number for _ in iter(int, 1))

    def get_scene_embeddings(self, audio: torch.Tensor) -> np.ndarray[Any, Any]:
        mean = audio.numpy().mean(1)
        return np.stack([mean, mean + next(self.state)], 1)

    def get_timestamp_embeddings(self, audio: torch.Tensor) -> tuple[Any, Any]:
        return self.get_scene_embeddings(audio)[:, None], [[5.0]] * len(audio)


def test_what_cannot_be_looked_at_counts_by_its_embeddings_and_needs_a_name(
    task: PreparedTask, workspace: Workspace
) -> None:
    with pytest.raises(ModelError, match=r"state of .*Opaque.*can't be looked at.*step-100"):
        load_model(Opaque(1), workspace=workspace)
    model = load_model(Opaque(1), name="one", workspace=workspace)
    assert digest(Opaque(1), workspace, name="one") == model.digest
    assert digest(Opaque(1), workspace, name="two") != model.digest
    assert digest(Opaque(2), workspace, name="one") != model.digest
    (note,) = embed(model, task, workspace=workspace).manifest.notes
    assert "not all that this model takes in can be looked at: the attribute state of" in note
    broken = Opaque(1)
    broken.state.close()
    with pytest.raises(ModelError, match="can't embed a fixed signal"):
        load_model(broken, name="one", workspace=workspace)


def test_one_that_does_not_repeat_itself_is_noted(task: PreparedTask, workspace: Workspace) -> None:
    class Noisy(Frames):
        def forward(self, frames: torch.Tensor) -> torch.Tensor:
            return super().forward(frames) + torch.rand(1)

    store = embed(load_model(Noisy(), workspace=workspace), task, workspace=workspace)
    (note,) = store.manifest.notes
    assert "embeds the same signal twice in two ways" in note


def test_one_that_changes_after_it_was_given_is_refused(
    task: PreparedTask, workspace: Workspace
) -> None:
    net = frames()
    model = load_model(net, workspace=workspace)
    with torch.no_grad():
        net.layer.bias[0] += 1
    with pytest.raises(ModelError, match="weights have changed since it was given"):
        embed(model, task, workspace=workspace)
    model = load_model(net, workspace=workspace)
    model.check("scene")
    model.timestamps(np.zeros((1, 1600), np.float32))
    net.gain = 3.0
    with pytest.raises(ModelError, match="fixed signal differently than it did"):
        embed(model, task, workspace=workspace)

    def train_on(state: object) -> None:
        with torch.no_grad():
            net.layer.bias[0] += 1

    model = load_model(net, workspace=workspace)
    with pytest.raises(ModelError, match="weights have changed"):
        embed(model, task, workspace=noting(workspace, Noted(train_on)))


def test_a_table_that_grows_with_the_clips_is_no_change(
    task: PreparedTask, workspace: Workspace
) -> None:
    class Grows(Frames):
        def get_scene_embeddings(self, audio: torch.Tensor) -> torch.Tensor:
            self.register_buffer("table", torch.arange(audio.shape[1]), persistent=False)
            self.calls = getattr(self, "calls", 0) + 1
            return super().get_scene_embeddings(audio)

    model = load_model(Grows(), workspace=workspace)
    assert embed(model, task, workspace=workspace).manifest.notes == ()


def test_what_an_object_may_hold(workspace: Workspace) -> None:
    net = frames()
    object.__setattr__(net, "own", net)  # a circle
    net.names = {"b", "a", frozenset({"c"})}  # type: ignore[assignment]
    net.tool = math.sin  # type: ignore[assignment]
    net.kind = torch.float32  # type: ignore[assignment]
    net.table = np.array(["x", None], object)  # type: ignore[assignment]
    net.where = torch.device("cpu")  # type: ignore[assignment]
    object.__setattr__(net, "unregistered", [torch.nn.Linear(2, 2)])
    content = content_of(net)
    assert content.unseen == ()
    assert len(content.modules) == 2
    assert content_of(copy.deepcopy(net)) != content  # other modules, of the same digests
    assert content_of(copy.deepcopy(net)).source == content.source
    with torch.no_grad():
        net.unregistered[0].weight[0, 0] += 1  # type: ignore[index,union-attr]
    assert content_of(net).weights_digest != content.weights_digest
    # One that leads to more than can be looked at is named, and nothing else of it counts.
    net.trainer = types.SimpleNamespace(data=[[i] for i in range(30_000)])  # type: ignore[assignment]
    (unseen,) = content_of(net).unseen
    assert unseen.startswith("the attribute trainer of ")


class Scripted(torch.nn.Module):
    def __init__(self, gain: float) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(2, 2)
        self.gain = gain

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.layer(x) * self.gain
        return out


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")
def test_modules_that_torch_has_compiled() -> None:
    def script(gain: float) -> ObjectContent:
        torch.manual_seed(0)
        return content_of(torch.jit.script(Scripted(gain)))

    first, again, other = (script(gain) for gain in (2.0, 2.0, 3.0))
    assert (first.source, first.weights) == (again.source, again.weights)
    assert (first.source == other.source, first.weights == other.weights) == (False, True)
    assert first.unseen == ()
    net = frames()
    before = content_of(net)
    compiled = torch.compile(net)  # compiles nothing before it is called
    assert content_of(compiled).source == content_of(net).source == before.source


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (Frames, r"Frames is a class; give an object of it, as Frames\(\)"),
        (object(), "builtins.object is no model: it lacks load_model, get_scene_embeddings"),
        (torch.nn.Linear(1, 1), "as a loaded model it lacks sample_rate, scene_embedding_size"),
        (math, "The module math is no model"),
    ],
)
def test_what_is_no_model(model: object, said: str, workspace: Workspace) -> None:
    with pytest.raises(ModelError, match=said):
        load_model(model, workspace=workspace)


def test_what_an_object_does_not_take(workspace: Workspace) -> None:
    with pytest.raises(ModelError, match="is loaded already"):
        load_model(frames(), hop=3, workspace=workspace)
    with pytest.raises(ModelError, match="runs in the process that made it"):
        load_model(frames(), workspace=workspace, interpreter=Interpreter(Path(sys.executable)))
    with pytest.raises(ModelError, match="can name a folder"):
        load_model(frames(), name="..", workspace=workspace)
    net = frames()
    net.sample_rate = 800
    with pytest.raises(ModelError, match="sample_rate is 800;"):
        load_model(net, workspace=workspace)


def test_a_name_is_an_option_of_other_models(tmp_path: Path, workspace: Workspace) -> None:
    extra = textwrap.dedent(
        """
        def load_model(model_file_path="", name=""):
            return Stats()
        """
    )
    model = load_model(write_model(tmp_path, extra=extra), name="x", workspace=workspace)
    assert model.options == {"name": "x"}
