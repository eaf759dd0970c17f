"""Models in another process: the same numbers, and every way in which it can go wrong."""

from __future__ import annotations

import json
import math
import os
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
from helpers_models import STATS, noise, write_model
from helpers_tasks import make_scene_task

from hearbench.embeddings.compute import embed
from hearbench.errors import EmbeddingError, ModelError
from hearbench.models.isolation import Worker
from hearbench.models.loaded import Interpreter
from hearbench.models.loading import load_model
from hearbench.models.model import Model
from hearbench.models.other_process import OtherProcess
from hearbench.tasks.store import load_task
from hearbench.workspace import Workspace

HERE = Interpreter(Path(sys.executable), timeout_s=300)
# What the model does is said by the first sample that it is handed.
FAULTS = """
def get_scene_embeddings(audio, model):
    what = int(audio[0, 0])
    if what == 2:
        import os; print("about to leave"); os._exit(7)
    if what == 3:
        import os, signal; os.kill(os.getpid(), signal.SIGSEGV)
    if what == 4:
        import time; time.sleep(600)
    if what == 5:
        raise RuntimeError("no such luck")
    if what == 6:
        import os; os.write(1, b"\\x1b[2J\\x00\\xff garbage {\\n" * 20000)
        print("{\\"number\\": 1}")
    if what == 7:
        return audio.mean(1), audio.std(1)
    if what == 8:
        return audio[:, :2]
    if what == 9:
        import sys; sys.stdout.close(); sys.stderr.close()
    return torch.stack([audio.mean(1), audio.std(1), audio.abs().amax(1)], 1)
"""


@pytest.fixture
def quick(preloaded: Path) -> Interpreter:
    """This one, but for what it takes to import torch."""
    return replace(HERE, python=preloaded / "python")


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("source"), STATS, extra=FAULTS)


@pytest.fixture(scope="module")
def lasting(path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Model]:
    """One process for all tests that leave it alive."""
    workspace = Workspace(cache_dir=tmp_path_factory.mktemp("cache"), device="cpu")
    loaded = load_model(path, workspace=workspace, interpreter=HERE)
    yield loaded
    loaded.close()


@pytest.fixture
def model(path: Path, workspace: Workspace, quick: Interpreter) -> Iterator[Model]:
    loaded = load_model(path, workspace=workspace, interpreter=quick)
    yield loaded
    loaded.close()


def audio_for(what: int) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    audio = noise(2, 0.2, 16000)
    audio[0, 0] = what
    return audio


def test_the_numbers_are_those_of_this_process(
    path: Path, lasting: Model, workspace: Workspace
) -> None:
    here = load_model(path, workspace=workspace)
    for seconds in (0.2, 1.03, 0.2):  # a longer clip makes the shared places grow
        audio = noise(3, seconds, 16000)
        assert np.array_equal(lasting.scene(audio), here.scene(audio))
        for found, expected in zip(lasting.timestamps(audio), here.timestamps(audio), strict=True):
            assert found.dtype == np.float32
            assert np.array_equal(found, expected)
    assert (lasting.name, lasting.sample_rate, lasting.scene_embedding_size) == ("stats", 16000, 3)
    assert lasting.source_digest == here.source_digest
    # Other libraries may give other numbers, so embeddings of the two aren't mixed.
    assert lasting.digest != here.digest


def test_what_a_model_says_of_itself_is_in_the_notes(tmp_path: Path, workspace: Workspace) -> None:
    source = STATS.replace(
        "    sample_rate = 16000\n",
        "    sample_rate = 16000\n    hearbench_notes = ('it is mono',)\n",
    )
    path = write_model(tmp_path, source, "telling")
    here = load_model(str(path), workspace=workspace)
    with load_model(str(path), interpreter=HERE, workspace=workspace) as there:
        assert here.notes == there.notes == ("it is mono",)
        assert here.check("scene").notes == ("telling: it is mono.",)
        assert there.check("event").notes == ("telling: it is mono.",)


def test_results_of_one_call_stay_when_the_next_is_made(lasting: Model) -> None:
    first = lasting.scene(noise(2, 0.1, 16000) * 1)
    before = first.copy()
    lasting.scene(noise(2, 0.1, 16000) * 2)
    assert np.array_equal(first, before)


def test_options_and_weights_are_handed_over(
    tmp_path: Path, workspace: Workspace, quick: Interpreter
) -> None:
    extra = """
    def load_model(model_file_path, layer=3, mode=None):
        model = Stats()
        with open(model_file_path) as file:
            model.scale = float(file.read())
        model.seen = (layer, mode)
        return model

    def get_scene_embeddings(audio, model):
        assert model.seen == (7, "x")
        return torch.full((len(audio), 3), model.scale)
    """
    weights = tmp_path / "w.txt"
    weights.write_text("2.5")
    path = write_model(tmp_path / "s", extra=extra)
    model = load_model(path, weights, workspace=workspace, interpreter=quick, layer="7", mode="x")
    assert model.scene(noise(1, 0.1, 16000)).tolist() == [[2.5, 2.5, 2.5]]
    assert dict(model.options) == {"layer": 7, "mode": "x"}
    here = load_model(path, weights, workspace=workspace, layer="7", mode="x")
    assert (model.name, model.weights_digest) == (here.name, here.weights_digest)
    model.close()


@pytest.mark.parametrize(
    ("what", "message"),
    [
        (2, r"(?s)exit code 7 during get_scene_embeddings.*about to leave"),
        (3, r"(?s)ended by SIGSEGV during get_scene_embeddings.*Segmentation fault.*stats\.py"),
    ],
)
def test_what_ends_the_process_is_said(model: Model, what: int, message: str) -> None:
    with pytest.raises(ModelError, match=message) as caught:
        model.scene(audio_for(what))
    # The frames of hearbench are left out.
    assert "hearbench/worker" not in str(caught.value)
    assert json.dumps(str(caught.value))


def test_a_hang_ends_and_says_where(path: Path, workspace: Workspace, quick: Interpreter) -> None:
    model = load_model(path, workspace=workspace, interpreter=replace(quick, timeout_s=300))
    assert isinstance(model.engine.engine, Worker)
    model.engine.engine.process.interpreter = replace(quick, timeout_s=1)
    pid = model.engine.engine.process.pid
    with pytest.raises(
        ModelError,
        match=r"(?s)no answer during get_scene_embeddings within 1 s.*"
        r'stats\.py", line \d+ in get_scene_embeddings',
    ):
        model.scene(audio_for(4))
    assert not psutil.pid_exists(pid)
    with pytest.raises(ModelError, match="has ended before: it gave no answer"):
        model.scene(audio_for(1))


def test_an_error_of_the_model_leaves_its_process_alive(lasting: Model) -> None:
    message = r"(?s)failed on 2 x 3200 samples at 16000 Hz:.*RuntimeError: no such luck"
    with pytest.raises(ModelError, match=message):
        lasting.scene(audio_for(5))
    assert lasting.scene(audio_for(1)).shape == (2, 3)


def test_garbage_on_stdout_does_no_harm(model: Model) -> None:
    audio = audio_for(6)
    assert np.allclose(model.scene(audio)[:, 2], np.abs(audio).max(1))
    with pytest.raises(ModelError, match="exit code 7") as caught:
        model.scene(audio_for(2))
    text = str(caught.value)
    assert "garbage" in text
    assert not {"\x1b", "\x00"} & set(text)
    assert len(text) < 10_000


def test_closed_streams_do_no_harm(model: Model) -> None:
    assert model.scene(audio_for(9)).shape == (2, 3)
    assert model.scene(audio_for(1)).shape == (2, 3)


def test_wrong_answers_are_refused_as_in_this_process(lasting: Model) -> None:
    with pytest.raises(EmbeddingError, match="returned 2 values"):
        lasting.scene(audio_for(7))
    with pytest.raises(EmbeddingError, match=r"should be \(2, 3\) and are \(2, 2\)"):
        lasting.scene(audio_for(8))


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("import nonsense_package", r"(?s)fails on import:.*No module named 'nonsense_package'"),
        ("1 / 0", r"(?s)fails on import:\n.*line 1.*ZeroDivisionError"),
        ("raise SystemExit(3)", r"(?s)fails on import:.*SystemExit: 3"),
        ("import os; os._exit(4)", "exit code 4 during importing the module"),
        ("x = 1", "has no load_model and no get_scene_embeddings and no get_timestamp_embeddings"),
        (
            STATS.replace("return Stats()", "raise OSError('no file')"),
            r"(?s)load_model fails.*no f",
        ),
        (STATS.replace("return Stats()", "return 3"), r"should return a torch.nn.Module.*int"),
        # What else an attribute can be is checked as in this process: test_loading.py.
        (STATS.replace("    sample_rate = 16000\n", ""), "sample_rate is None"),
    ],
)
def test_models_that_do_not_load(
    tmp_path: Path, workspace: Workspace, source: str, message: str, quick: Interpreter
) -> None:
    before = {child.pid for child in psutil.Process().children()}
    path = write_model(tmp_path, source, name="bad")
    with pytest.raises(ModelError, match=message):
        load_model(path, workspace=workspace, interpreter=quick)
    assert {child.pid for child in psutil.Process().children()} <= before


@pytest.mark.parametrize(
    ("python", "message"),
    [
        ("/nowhere/python", "There is no interpreter"),
        ("/bin/true", "isn't a Python that can be used"),
    ],
)
def test_interpreters_that_are_none(
    path: Path, workspace: Workspace, python: str, message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        load_model(path, workspace=workspace, interpreter=Interpreter(Path(python)))


def test_an_interpreter_without_numpy(tmp_path: Path, path: Path, workspace: Workspace) -> None:
    import venv

    venv.create(tmp_path / "bare", with_pip=False)
    with pytest.raises(ModelError, match=r"has no numpy.*-m pip install numpy"):
        load_model(path, workspace=workspace, interpreter=Interpreter(tmp_path / "bare/bin/python"))


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"timeout_s": math.nan}, "--timeout nan: a number of seconds above 0"),
        ({"timeout_s": math.inf}, "--timeout inf"),
        ({"memory_gb": math.nan}, "--model-memory nan: a number of GiB above 0"),
        ({"memory_gb": 0.0}, "--model-memory 0"),
    ],
)
def test_limits_that_are_none(limits: dict[str, float], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        replace(HERE, **limits)  # type: ignore[arg-type]


READS = """
def get_scene_embeddings(audio, model):
    import glob
    try:
        for place in glob.glob({folder!r} + "/*/*.json") + [{folder!r} + "/labels.json"]:
            open(place).read()
    except PermissionError:
        pass
    return torch.zeros(len(audio), 3)
"""


@pytest.mark.parametrize("place", ["task", "cache"])
def test_reading_labels_is_told_of(
    tmp_path: Path, workspace: Workspace, place: str, quick: Interpreter
) -> None:
    """Also where the model hides that it was refused."""
    task = load_task(make_scene_task(tmp_path / "tasks"), workspace=workspace)
    folder = task.folder if place == "task" else workspace.cache_dir
    folder.mkdir(exist_ok=True)
    path = write_model(tmp_path / "m", STATS, extra=READS.format(folder=str(folder)))
    model = load_model(path, workspace=workspace, interpreter=quick)
    with pytest.raises(ModelError, match=f"tried to read {folder}.*belongs to the benchmark"):
        embed(model, task, workspace=workspace)


def test_a_task_is_embedded_as_in_this_process(
    tmp_path: Path, workspace: Workspace, quick: Interpreter
) -> None:
    task = load_task(make_scene_task(tmp_path / "tasks"), workspace=workspace)
    path = write_model(tmp_path / "m")
    there = load_model(path, workspace=workspace, interpreter=quick)
    here = load_model(path, workspace=workspace)
    stores = [embed(model, task, workspace=workspace) for model in (there, here)]
    assert stores[0].folder != stores[1].folder
    for split in task.splits:
        assert np.array_equal(stores[0].scene(split), stores[1].scene(split))
    peak = stores[0].manifest.peak_memory_mb
    assert peak is not None
    assert 20 < peak < 4000
    there.close()


def test_the_worker_gets_no_variables_of_the_benchmark(
    tmp_path: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEARBENCH_CACHE", "/somewhere")
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    monkeypatch.setenv("MODEL_HUB", "kept")
    extra = """
    import os, sys
    def load_model(model_file_path=""):
        assert "HEARBENCH_CACHE" not in os.environ and "PYTHONPATH" in os.environ
        assert os.environ["MODEL_HUB"] == "kept"
        assert "hearbench" not in sys.modules and "pydantic" not in sys.modules
        assert sys.stdin.read() == ""
        return Stats()
    """
    path = write_model(tmp_path, extra=extra)
    load_model(path, workspace=workspace, interpreter=HERE).close()
    # Where this interpreter's packages are is no other's business.
    path.write_text(path.read_text().replace('"PYTHONPATH" in', '"PYTHONPATH" not in'))
    other = Path(sys.executable).with_name("python3")
    load_model(path, workspace=workspace, interpreter=replace(HERE, python=other)).close()


def test_a_forgotten_model_takes_its_process_with_it(path: Path, workspace: Workspace) -> None:
    model = load_model(path, workspace=workspace, interpreter=HERE)
    assert isinstance(model.engine.engine, Worker)
    pid, files = model.engine.engine.process.pid, [*model.engine.engine.process.places.values()]
    assert psutil.pid_exists(pid)
    assert {os.fstat(file).st_nlink for file in files} == {0}  # they have no name
    del model
    import gc

    gc.collect()
    assert not psutil.pid_exists(pid)
    for file in files:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(file)


def test_a_killed_parent_takes_its_workers_with_it(tmp_path: Path, path: Path) -> None:
    import subprocess

    code = (
        "import sys, time, json; from pathlib import Path\n"
        "from hearbench.models.loading import load_model\n"
        "from hearbench.models.loaded import Interpreter\n"
        "from hearbench.workspace import Workspace\n"
        "s = Workspace(cache_dir=Path(sys.argv[2]), device='cpu')\n"
        "m = load_model(sys.argv[1], workspace=s, interpreter=Interpreter(Path(sys.executable)))\n"
        "print(m.engine.engine.process.pid, flush=True); time.sleep(60)\n"
    )
    command = [sys.executable, "-c", code, str(path), str(tmp_path / "c")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 120
    while psutil.pid_exists(pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not psutil.pid_exists(pid)


def test_another_python_with_other_libraries(path: Path, workspace: Workspace) -> None:
    """With the interpreter that HEARBENCH_OTHER_PYTHON names; it needs numpy and torch."""
    named = os.environ.get("HEARBENCH_OTHER_PYTHON")
    if not named:
        pytest.skip("no other interpreter: set HEARBENCH_OTHER_PYTHON")
    there = load_model(path, workspace=workspace, interpreter=Interpreter(Path(named)))
    here = load_model(path, workspace=workspace)
    audio = noise(3, 1.03, 16000)
    assert np.allclose(there.scene(audio), here.scene(audio), atol=1e-6)
    assert np.allclose(there.timestamps(audio)[0], here.timestamps(audio)[0], atol=1e-6)
    there.close()


ITEM = {"facts": ["x", "float32", [2, 3], "cpu", False, True], "dtype": "<f4", "problem": ""}


@pytest.mark.parametrize(
    "forged",
    [
        {},
        {"items": [], "count": "many", "is_tuple": False},
        {"items": [{**ITEM, "shape": [1 << 40, 1 << 20]}], "count": 1, "is_tuple": False},
        {"items": [{**ITEM, "shape": [-2, 3]}], "count": 1, "is_tuple": False},
        {"items": [{**ITEM, "dtype": "O", "shape": [2, 3]}], "count": 1, "is_tuple": False},
        {"items": [{"facts": [1]}], "count": 1, "is_tuple": False},
        {"items": 7, "count": 1, "is_tuple": False},
    ],
)
def test_answers_that_can_not_be_are_no_arrays(
    path: Path,
    workspace: Workspace,
    monkeypatch: pytest.MonkeyPatch,
    forged: dict[str, object],
    quick: Interpreter,
) -> None:
    process = OtherProcess(quick, "forger")
    monkeypatch.setattr(process, "ask", lambda *_, **__: forged)
    with pytest.raises(ModelError, match="can't be understood during get_scene_embeddings"):
        Worker(process, "cpu").call("get_scene_embeddings", noise(2, 0.1, 16000))
    assert not psutil.pid_exists(process.pid)


def test_arrays_that_were_never_written_take_no_memory(
    path: Path, workspace: Workspace, quick: Interpreter
) -> None:
    limited = replace(quick, memory_gb=1.0)
    model = load_model(path, workspace=workspace, interpreter=limited)
    assert isinstance(model.engine.engine, Worker)
    process = model.engine.engine.process
    assert model.scene(noise(2, 0.1, 16000)).shape == (2, 3)
    os.truncate(process.places["item0"], 0)
    with pytest.raises(ValueError, match="less than 24 bytes"):
        process.take("item0", "<f4", (2, 3))
    # A long file of which nothing, or only the beginning, was ever written.
    os.truncate(process.places["item0"], 1 << 40)
    shapes = [(2, 3), (1 << 24,), (1 << 30,), (2, 1 << 36)]
    for written in (b"", b"x" * 4096):
        os.pwrite(process.places["item0"], written, 0)
        for shape in shapes[len(written) // 4096 :]:
            with pytest.raises(ValueError, match="bytes"):
                process.take("item0", "<f4", shape)
    assert process.take("item0", "<f4", (2, 3)).tobytes() == b"x" * 24
    # More than the process may have can't be an array of its.
    assert process.take("audio", "<f4", (2, 1600)).shape == (2, 1600)
    with pytest.raises(ValueError, match="more than"):
        process.take("audio", "<f4", ((1 << 28) + 1,))
    model.close()
    with pytest.raises(ModelError, match="ended before"):
        process.take("audio", "<f4", (2, 1600))


# What takes no memory in the model's process, but would where it is handed over.
BROADCAST = """
import torch
class Net(torch.nn.Module):
    sample_rate, scene_embedding_size, timestamp_embedding_size = 16000, 3, 3
def load_model(path=""):
    return Net()
def get_scene_embeddings(audio, model):
    return torch.zeros(1).expand(len(audio), (1 << 28) // len(audio) + 1)
def get_timestamp_embeddings(audio, model):
    raise NotImplementedError
"""


def test_arrays_larger_than_the_limit_are_never_handed_over(
    tmp_path: Path, workspace: Workspace, quick: Interpreter
) -> None:
    (tmp_path / "wide.py").write_text(BROADCAST)
    limited = replace(quick, memory_gb=1.0)
    model = load_model(tmp_path / "wide.py", workspace=workspace, interpreter=limited)
    assert isinstance(model.engine.engine, Worker)
    process = model.engine.engine.process
    with pytest.raises(ModelError, match="File too large"):
        model.engine.engine.call("get_scene_embeddings", noise(2, 0.1, 16000))
    assert os.fstat(process.places["item0"]).st_size == 0
    model.close()
