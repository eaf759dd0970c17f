from __future__ import annotations

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers_models import STATS, engine_of, noise, write_model

from hearbench.errors import EmbeddingError, HearError, ModelError
from hearbench.models.loading import load_model
from hearbench.workspace import Workspace


@pytest.fixture
def on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    return folder


def test_a_file_is_loaded_called_and_described(tmp_path: Path, workspace: Workspace) -> None:
    path = write_model(tmp_path)
    model = load_model(str(path), workspace=workspace)
    assert (model.name, model.spec, model.weights) == ("stats", str(path), None)
    assert (model.sample_rate, model.scene_embedding_size) == (16000, 3)
    assert model.timestamp_embedding_size == 1
    assert model.device == "cpu"
    audio = noise(2, 0.1, 16000)
    scene = model.scene(audio)
    assert scene.dtype == np.float32
    assert np.allclose(scene[:, 0], audio.mean(1), atol=1e-6)
    embeddings, ms = model.timestamps(audio)
    assert embeddings.shape == (2, 2, 1)
    assert ms.tolist() == [[25.0, 75.0]] * 2


def test_an_import_name_is_loaded(on_path: Path, workspace: Workspace) -> None:
    write_model(on_path, name="hk_named_model")
    model = load_model("hk_named_model", workspace=workspace)
    assert model.name == "hk_named_model"
    assert model.scene(noise(1, 0.1, 16000)).shape == (1, 3)


@pytest.mark.parametrize(
    ("head", "body"),
    [
        ("def load_model(model_file_path):", "assert model_file_path == ''"),
        ("def load_model(model_path):", "assert model_path == ''"),
        ("def load_model(path, /):", "assert path == ''"),
        ("def load_model():", "pass"),
        ("def load_model(*args, **kwargs):", "assert not args and not kwargs"),
    ],
)
def test_without_weights_only_a_required_path_gets_one(
    tmp_path: Path, workspace: Workspace, head: str, body: str
) -> None:
    path = write_model(tmp_path, extra=f"{head}\n    {body}\n    return Stats()")
    assert load_model(path, workspace=workspace).sample_rate == 16000


@pytest.mark.parametrize(
    "head",
    [
        "def load_model(model_file_path):",
        "def load_model(model_path=None, device='cpu'):",
        "def load_model(path='x', /):",
    ],
)
def test_weights_are_handed_over_by_position(
    tmp_path: Path, workspace: Workspace, head: str
) -> None:
    weights = tmp_path / "w.bin"
    weights.write_bytes(b"3")
    name = head[len("def load_model(") :].split("=")[0].split(")")[0].split(",")[0]
    extra = (
        f"{head}\n    m = Stats()\n    m.sample_rate = 16000 if {name} == {str(weights)!r} else 1"
    )
    path = write_model(tmp_path, extra=extra + "\n    return m")
    model = load_model(path, weights, workspace=workspace)
    assert model.weights == weights.resolve()


def test_weights_for_a_model_that_takes_none(tmp_path: Path, workspace: Workspace) -> None:
    (tmp_path / "w.bin").write_bytes(b"3")
    path = write_model(tmp_path, extra="def load_model():\n    return Stats()")
    with pytest.raises(ModelError, match="takes no weights"):
        load_model(path, tmp_path / "w.bin", workspace=workspace)
    with pytest.raises(ModelError, match="no weights at"):
        load_model(path, tmp_path / "missing.bin", workspace=workspace)


OPTIONS = """
from typing import Optional
def load_model(model_file_path="", layer=3, scale: float = 1, mode: Optional[int] = None,
               hub: "str" = "a", fast=False, *, frame_length: int = 5):
    m = Stats()
    m.seen = [layer, scale, mode, hub, fast, frame_length]
    return m
"""


def test_text_takes_the_type_of_the_default_or_annotation(
    tmp_path: Path, workspace: Workspace
) -> None:
    path = write_model(tmp_path, extra=OPTIONS)
    given = {"layer": "7", "mode": "2", "hub": "8", "fast": "yes", "frame_length": "9"}
    model = load_model(path, workspace=workspace, interpreter=None, **given)
    assert engine_of(model).loaded.seen == [7, 1, 2, "8", True, 9]
    assert model.name == "stats-fast=True-frame_length=9-hub=8-layer=7-mode=2"
    assert load_model(path, workspace=workspace, layer=7).options == {"layer": 7}


def test_options_that_are_not_there_or_do_not_fit(tmp_path: Path, workspace: Workspace) -> None:
    path = write_model(tmp_path, extra=OPTIONS)
    with pytest.raises(ModelError, match=r"no option 'layr'.*Did you mean 'layer'"):
        load_model(path, workspace=workspace, layr="7")
    with pytest.raises(ModelError, match="Known: fast, frame_length, hub, layer, mode, scale"):
        load_model(path, workspace=workspace, zzzzzz="7")
    with pytest.raises(ModelError, match="layer=x should be of type int"):
        load_model(path, workspace=workspace, layer="x")
    with pytest.raises(ModelError, match="fast=perhaps should be of type bool"):
        load_model(path, workspace=workspace, fast="perhaps")
    with pytest.raises(ModelError, match="as its weights"):
        load_model(path, workspace=workspace, model_file_path="x")


def test_a_first_parameter_that_is_no_path_is_an_option(
    tmp_path: Path, workspace: Workspace
) -> None:
    extra = "def load_model(rate):\n    m = Stats()\n    m.sample_rate = rate\n    return m"
    path = write_model(tmp_path, extra=extra.replace("(rate)", "(rate: int)"))
    assert load_model(path, workspace=workspace, rate="22050").sample_rate == 22050


def test_a_package_without_the_api_names_its_submodules_that_have_it(
    on_path: Path, workspace: Workspace
) -> None:
    package = on_path / "hk_pkg"
    write_model(package, "VALUE = 1", name="__init__")
    write_model(package, name="base")
    write_model(package, "from hk_pkg.base import *\nraise RuntimeError('never imported')", "other")
    names = "load_model, get_scene_embeddings, get_timestamp_embeddings"
    write_model(package / "deep", f"from hk_pkg.base import {names}", "base2level")
    with pytest.raises(ModelError, match=r"hk_pkg\.base, hk_pkg\.deep\.base2level\. Name one"):
        load_model("hk_pkg", workspace=workspace)
    assert load_model("hk_pkg.base", workspace=workspace).name == "hk_pkg.base"


def test_a_module_that_lacks_a_function_says_which(tmp_path: Path, workspace: Workspace) -> None:
    path = write_model(tmp_path, extra="del get_scene_embeddings")
    with pytest.raises(ModelError, match="has no get_scene_embeddings"):
        load_model(path, workspace=workspace)


def test_modules_that_are_not_there(workspace: Workspace) -> None:
    with pytest.raises(ModelError, match="no module named 'hk_nowhere'"):
        load_model("hk_nowhere", workspace=workspace)
    with pytest.raises(ModelError, match="no module named 'hk_nowhere'"):
        load_model("hk_nowhere.sub", workspace=workspace)
    with pytest.raises(ModelError, match="no model file"):
        load_model("nowhere/model.py", workspace=workspace)
    with pytest.raises(ModelError, match="no import name"):
        load_model("", workspace=workspace)


def test_a_failing_import_shows_the_modules_own_last_lines(
    tmp_path: Path, workspace: Workspace
) -> None:
    path = write_model(tmp_path, "def fail():\n    return 1 / 0\nfail()", name="broken")
    with pytest.raises(ModelError, match="ZeroDivisionError") as caught:
        load_model(path, workspace=workspace)
    message = str(caught.value)
    assert "return 1 / 0" in message
    assert "importlib" not in message
    assert "loading.py" not in message
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    path = write_model(tmp_path, "import hk_missing_dependency", name="needy")
    with pytest.raises(ModelError, match="No module named 'hk_missing_dependency'"):
        load_model(path, workspace=workspace)
    path = write_model(tmp_path, "import sys\nsys.exit(3)", name="leaving")
    with pytest.raises(ModelError, match="SystemExit"):
        load_model(path, workspace=workspace)


def test_a_failing_load_and_a_failing_call_show_the_modules_own_lines(
    tmp_path: Path, workspace: Workspace
) -> None:
    extra = "def load_model(path=''):\n    raise FileNotFoundError('no checkpoint')"
    with pytest.raises(ModelError, match=r"load_model fails without weights:(?s:.*)no checkpoint"):
        load_model(write_model(tmp_path, extra=extra), workspace=workspace)
    extra = "def get_scene_embeddings(audio, model):\n    raise RuntimeError('bad shapes')"
    model = load_model(write_model(tmp_path, extra=extra, name="calls"), workspace=workspace)
    with pytest.raises(ModelError, match=r"failed on 2 x 1600 samples(?s:.*)bad shapes"):
        model.scene(noise(2, 0.1, 16000))


@pytest.mark.parametrize("rate", ["3999", "192001", "None", "'16000'", "True", "16000.5"])
def test_sample_rates_that_are_not_allowed(tmp_path: Path, workspace: Workspace, rate: str) -> None:
    path = write_model(tmp_path, extra=f"Stats.sample_rate = {rate}")
    with pytest.raises(ModelError, match=r"sample_rate is .* from 4000 to 192000"):
        load_model(path, workspace=workspace)


@pytest.mark.parametrize("size", ["None", "3.0", "'3'", "0", "-1", "True"])
def test_sizes_are_positive_ints(tmp_path: Path, workspace: Workspace, size: str) -> None:
    path = write_model(tmp_path, extra=f"Stats.scene_embedding_size = {size}")
    with pytest.raises(ModelError, match="scene_embedding_size must be a positive int"):
        load_model(path, workspace=workspace)


def test_what_is_no_module_is_refused(tmp_path: Path, workspace: Workspace) -> None:
    path = write_model(tmp_path, extra="def load_model(p=''):\n    return object()")
    with pytest.raises(ModelError, match=r"nn.Module or a tf.Module and returned builtins\.object"):
        load_model(path, workspace=workspace)
    extra = (
        "class Keras:\n    __module__ = 'keras.models'\ndef load_model(p=''):\n    return Keras()"
    )
    with pytest.raises(ModelError, match=r"Keras model .*KERAS_BACKEND"):
        load_model(write_model(tmp_path, extra=extra), workspace=workspace)


def test_a_model_keeps_its_mode_and_gets_no_gradients(tmp_path: Path, workspace: Workspace) -> None:
    extra = """
    def get_scene_embeddings(audio, model):
        facts = [model.training, torch.is_grad_enabled(), audio.is_contiguous()]
        return torch.tensor([facts]) * 1.0
    """
    model = load_model(write_model(tmp_path, extra=extra), workspace=workspace)
    assert model.scene(noise(1, 0.1, 16000)).tolist() == [[1.0, 0.0, 1.0]]


@pytest.mark.parametrize(
    "expression",
    [
        "(e.numpy(), t.numpy())",
        "(e.double(), t.double())",
        "(e, t.long())",
        "[e.tolist(), t.tolist()]",
        "(e.bfloat16(), t)",
        "(e.requires_grad_(), t)",
        "(e.transpose(0, 1).contiguous().transpose(0, 1), t)",
    ],
)
def test_outputs_of_other_types_become_float32_arrays(
    tmp_path: Path, workspace: Workspace, expression: str
) -> None:
    extra = f"""
    def get_timestamp_embeddings(audio, model):
        e, t = torch.ones(2, 3, 1) * 0.5, torch.arange(3.0).expand(2, 3) * 50
        return {expression}
    """
    model = load_model(write_model(tmp_path, extra=extra), workspace=workspace)
    embeddings, ms = model.timestamps(noise(2, 0.2, 16000))
    assert embeddings.dtype == ms.dtype == np.float32
    assert embeddings.tolist() == [[[0.5]] * 3] * 2
    assert ms.tolist() == [[0.0, 50.0, 100.0]] * 2
    assert isinstance(embeddings, np.ndarray)


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ("torch.ones(2, 3)", "should return .* returned torch.Tensor"),
        ("(torch.ones(2, 3, 1), 1, 2)", "returned 3 values"),
        ("(torch.ones(2, 3, 2), torch.ones(2, 3))", r"should be \(2, any, 1\) and are \(2, 3, 2\)"),
        ("(torch.ones(2, 3), torch.ones(2, 3))", r"should be \(2, any, 1\) and are \(2, 3\)"),
        ("(torch.ones(2, 3, 1), torch.ones(3))", r"timestamps of .* should be \(2, 3\) and are"),
        ("(torch.ones(2, 3, 1), torch.ones(2, 4))", r"should be \(2, 3\) and are \(2, 4\)"),
        ("([['a']], torch.ones(2, 4))", "should be float32 and are <U1"),
        ("([[1], [1, 2]], torch.ones(2, 4))", "aren't an array"),
    ],
)
def test_wrong_timestamp_outputs_say_function_expected_and_found(
    tmp_path: Path, workspace: Workspace, returned: str, message: str
) -> None:
    extra = f"def get_timestamp_embeddings(audio, model):\n    return {returned}"
    model = load_model(write_model(tmp_path, extra=extra), workspace=workspace)
    with pytest.raises(EmbeddingError, match=message):
        model.timestamps(noise(2, 0.2, 16000))


def test_a_wrong_scene_shape(tmp_path: Path, workspace: Workspace) -> None:
    extra = "def get_scene_embeddings(audio, model):\n    return torch.ones(1, 3)"
    model = load_model(write_model(tmp_path, extra=extra), workspace=workspace)
    with pytest.raises(EmbeddingError, match=r"get_scene_embeddings should be \(2, 3\) and are"):
        model.scene(noise(2, 0.1, 16000))


def test_modules_beside_two_files_of_one_name_do_not_mix(
    tmp_path: Path, workspace: Workspace
) -> None:
    extra = """
    import helper_beside
    def get_scene_embeddings(audio, model):
        import lazy_beside
        return torch.tensor([[helper_beside.VALUE, lazy_beside.VALUE, 0.0]])
    """
    for name, value in (("one", 1.0), ("two", 2.0)):
        path = write_model(tmp_path / name, extra=extra, name="model")
        path.with_name("helper_beside.py").write_text(f"VALUE = {value}\n")
        path.with_name("lazy_beside.py").write_text(f"VALUE = {value * 10}\n")
    paths, before = [tmp_path / name / "model.py" for name in ("one", "two")], [*sys.path]
    one, two = (load_model(path, workspace=workspace) for path in paths)
    audio = noise(1, 0.1, 16000)
    for _ in range(2):
        assert one.scene(audio).tolist() == [[1.0, 10.0, 0.0]]
        assert two.scene(audio).tolist() == [[2.0, 20.0, 0.0]]
    assert sys.path == before
    assert "helper_beside" not in sys.modules
    assert one.name == two.name == "model"
    assert one.digest != two.digest


def test_a_module_beside_the_file_comes_before_one_of_that_name_elsewhere(
    tmp_path: Path, on_path: Path, workspace: Workspace
) -> None:
    (on_path / "hk_utils.py").write_text("VALUE = 1.0\n")
    elsewhere = importlib.import_module("hk_utils")
    extra = """
    import hk_utils
    def get_scene_embeddings(audio, model):
        return torch.full((1, 3), hk_utils.VALUE)
    """
    path = write_model(tmp_path / "m", extra=extra)
    path.with_name("hk_utils.py").write_text("VALUE = 2.0\n")
    model = load_model(path, workspace=workspace)
    assert model.scene(noise(1, 0.1, 16000)).max() == 2.0
    assert sys.modules["hk_utils"] is elsewhere


def test_the_digest_follows_source_weights_and_options(
    tmp_path: Path, workspace: Workspace
) -> None:
    extra = "import beside_digest\ndef load_model(path='', k=1):\n    return Stats()"
    path = write_model(tmp_path, extra=extra)
    beside, weights = path.with_name("beside_digest.py"), tmp_path / "w.bin"
    beside.write_text("A = 1\n")
    path.with_name("unused.py").write_text("A = 1\n")
    weights.write_bytes(b"1")
    seen = [load_model(path, workspace=workspace).digest]
    assert load_model(path, workspace=workspace).digest == seen[0]
    path.with_name("unused.py").write_text("A = 2\n")
    assert load_model(path, workspace=workspace).digest == seen[0]
    seen.append(load_model(path, workspace=workspace, k="2").digest)
    seen.append(load_model(path, weights, workspace=workspace).digest)
    weights.write_bytes(b"2")
    seen.append(load_model(path, weights, workspace=workspace).digest)
    beside.write_text("A = 3 + 1\n")
    seen.append(load_model(path, workspace=workspace).digest)
    path.write_text(path.read_text() + "\n# changed\n")
    seen.append(load_model(path, workspace=workspace).digest)
    assert len(set(seen)) == len(seen) == 6


def test_a_folder_of_weights_is_digested_by_content(tmp_path: Path, workspace: Workspace) -> None:
    path, weights = write_model(tmp_path), tmp_path / "w"
    weights.mkdir()
    (weights / "a").write_bytes(b"1")
    first = load_model(path, weights, workspace=workspace)
    (weights / "a").write_bytes(b"2")
    assert load_model(path, weights, workspace=workspace).weights_digest != first.weights_digest


def test_names_are_fit_for_folders(tmp_path: Path, workspace: Workspace) -> None:
    path = write_model(tmp_path, extra="def load_model(p='', hub=''):\n    return Stats()")
    slash = load_model(path, workspace=workspace, hub="a/b c")
    assert slash.name == "stats-hub=a_b_c"
    long = load_model(path, workspace=workspace, hub="x" * 300)
    assert len(long.name) < 120
    assert long.name != load_model(path, workspace=workspace, hub="x" * 301).name


def test_the_baselines_load_by_name(workspace: Workspace) -> None:
    model = load_model("hearbench.models.naive", workspace=workspace)
    assert (model.sample_rate, model.scene_embedding_size) == (44100, 4096)
    try:
        tiny = load_model("hearbench.models.crepe", workspace=workspace, capacity="tiny")
    except HearError as error:
        pytest.skip(str(error))
    assert tiny.name == "hearbench.models.crepe-capacity=tiny"
    assert tiny.scene_embedding_size == 256
    assert tiny.weights is None
    assert tiny.weights_digest is not None
    assert tiny.digest != model.digest


def test_a_device_that_is_not_here(tmp_path: Path) -> None:
    path = write_model(tmp_path, extra="Stats.__init__ = _init", source=STATS + INIT)
    with pytest.raises(ModelError, match="can't be moved to the device 'nothing'"):
        load_model(path, workspace=Workspace(cache_dir=tmp_path, device="nothing"))


INIT = """
def _init(self):
    torch.nn.Module.__init__(self)
    self.w = torch.nn.Parameter(torch.ones(1))
"""


def test_the_shared_model_loads_by_its_path(shared: Path, workspace: Workspace) -> None:
    model = load_model(shared / "models" / "logmel_stats.py", workspace=workspace)
    assert (model.name, model.scene_embedding_size) == ("logmel_stats", 128)
    embeddings, ms = model.timestamps(noise(2, 1.0, 16000))
    assert embeddings.shape == (2, 21, 128)
    assert ms[0, -1] == 1000.0


def test_modules_that_a_model_puts_off_importing(tmp_path: Path, workspace: Workspace) -> None:
    extra = """
    import sys, types

    class PutOff(types.ModuleType):
        def __getattr__(self, name):
            raise ImportError(name)

    sys.modules["stats_put_off"] = PutOff("stats_put_off")
    """
    model = load_model(write_model(tmp_path, extra=extra), workspace=workspace)
    assert model.scene(noise(1, 0.5, 16000)).shape == (1, 3)
    assert "stats_put_off" not in sys.modules
