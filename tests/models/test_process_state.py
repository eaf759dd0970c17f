from __future__ import annotations

import os
import random
import sys
import textwrap
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from helpers_models import STATS, engine_of, write_model

from hearbench.models.loading import load_model
from hearbench.models.process_state import read_settings
from hearbench.models.source import SourceScope
from hearbench.workspace import Workspace

# What models have been seen to do, or might, and the setting that tells of it.
EFFECTS = {
    "torch.set_default_dtype(torch.float64)": "torch.type",
    "torch.set_default_device('meta')": "torch.device",
    "torch.set_num_threads(torch.get_num_threads() + 1)": "torch.threads",
    "torch.set_float32_matmul_precision('medium')": "torch.precision",
    "torch.backends.cuda.matmul.allow_tf32 = True": "torch.precision",
    "torch.backends.cudnn.allow_tf32 = False": "torch.precision",
    "torch.backends.cudnn.benchmark = True": "torch.backends.cudnn.benchmark",
    "torch.use_deterministic_algorithms(True, warn_only=True)": "torch.deterministic",
    "torch.set_grad_enabled(False)": "torch.grad",
    "torch.autograd.set_detect_anomaly(True)": "torch.anomalies",
    "torch.set_autocast_enabled('cpu', True)": "torch.autocast_cpu",
    "torch.set_autocast_dtype('cpu', torch.float16)": "torch.autocast_cpu_type",
    "torch.backends.cuda.enable_math_sdp(False)": "torch.math_attention",
    "torch.set_flush_denormal(True)": "torch.denormals",
    "torch.manual_seed(7)": "torch.random",
    "torch.rand(3)": "torch.random",
    "torch.hub.set_dir('elsewhere')": "torch.hub._hub_dir",
    "numpy.random.seed(7)": "numpy.random",
    "numpy.random.randn()": "numpy.random",
    "numpy.seterr(all='raise')": "numpy.errors",
    "numpy.set_printoptions(precision=1)": "numpy.print",
    "random.seed(7)": "random",
    "warnings.simplefilter('ignore')": "warnings",
    "warnings.showwarning = print": "warnings.showwarning",
    "locale.setlocale(locale.LC_NUMERIC, 'C.UTF-8')": "locale",
    "signal.signal(signal.SIGTERM, signal.SIG_IGN)": "signals",
    "signal.setitimer(signal.ITIMER_REAL, 1000)": "timers",
    "sys.path.append('nowhere')": "sys.path",
    "sys.path = ['nowhere', *sys.path]": "sys.path",
    "sys.meta_path.append(object())": "sys.meta_path",
    "sys.argv = ['model']": "sys.argv",
    "sys.stdout = sys.stderr": "sys.stdout",
    "sys.excepthook = print": "sys.excepthook",
    "sys.setrecursionlimit(sys.getrecursionlimit() + 1)": "recursion",
    "builtins.print = repr": "builtins.print",
    "ssl._create_default_https_context = ssl._create_unverified_context": (
        "ssl._create_default_https_context"
    ),
    "gc.disable()": "garbage",
    "decimal.getcontext().prec = 3": "decimal",
    "logging.disable(logging.CRITICAL)": "logging",
    "logging.getLogger().addHandler(logging.NullHandler())": "logging",
    "socket.setdefaulttimeout(1)": "sockets",
    "os.environ['A_MODEL_WAS_HERE'] = 'yes'": "environment",
    "os.environ.pop('PATH')": "environment",
    "os.chdir('/')": "folder",
    "os.umask(0o027)": "umask",
    "resource.setrlimit(resource.RLIMIT_NOFILE, (99, resource.getrlimit(7)[1]))": "limits",
}
MODULES = (
    "builtins decimal gc locale logging numpy os random resource signal socket ssl sys torch "
    "warnings"
)


@pytest.fixture
def names() -> dict[str, Any]:
    return {name: __import__(name) for name in MODULES.split()}


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="names of Linux")
@pytest.mark.parametrize("code", EFFECTS)
def test_a_model_alone_has_what_it_sets(code: str, names: dict[str, Any]) -> None:
    before = read_settings()
    scope = SourceScope()
    with scope:
        exec(code, names)  # noqa: S102
        inside = read_settings()
    assert read_settings() == before
    with scope:
        again = read_settings()
    assert again.pop("timers") <= inside.pop("timers")
    assert again == inside
    with SourceScope():
        assert read_settings() == {**before, "os._exit": os._exit}
    changed = {name for name, value in scope.state.own.items() if value != before[name]}
    assert EFFECTS[code] in changed


def test_os_exit_ends_a_models_code_and_its_forks_alone() -> None:
    really = os._exit
    with pytest.raises(SystemExit) as caught, SourceScope():
        os._exit(3)
    assert caught.value.code == 3
    assert os._exit is really
    with SourceScope():
        child = os.fork()
        if child == 0:
            os._exit(4)  # an exception would go on with the tests here
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 4


def test_what_others_set_holds_for_a_model_that_sets_something_else() -> None:
    scope = SourceScope()
    with scope:
        torch.set_num_threads(3)
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with scope:
            assert (torch.get_num_threads(), torch.zeros(1).dtype) == (3, torch.float64)
    finally:
        torch.set_default_dtype(before)


def test_random_streams_go_on_from_call_to_call() -> None:
    def draw() -> list[float]:
        return [random.random(), np.random.standard_normal(), torch.rand(1).item()]  # noqa: NPY002

    def seed() -> None:
        random.seed(5)
        np.random.seed(5)  # noqa: NPY002
        torch.manual_seed(5)

    seed()
    expected = [draw() for _ in range(6)]
    scope = SourceScope()
    with scope:
        seed()
    found = []
    for other in range(6):
        torch.manual_seed(other)
        np.random.seed(other)  # noqa: NPY002
        with scope:
            found.append(draw())
    assert found == expected


def test_a_scope_within_another() -> None:
    outer, inner = SourceScope(), SourceScope()
    before = torch.get_num_threads()
    with outer:
        torch.set_num_threads(3)
        with inner:
            torch.set_num_threads(4)
        assert torch.get_num_threads() == 3
        with inner, outer:
            assert torch.get_num_threads() == 4
    assert torch.get_num_threads() == before


def test_an_error_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    before = read_settings()

    def quits() -> None:
        with SourceScope():
            os.chdir("/")
            torch.set_default_dtype(torch.float64)
            sys.exit(0)

    with pytest.raises(SystemExit):
        quits()
    assert read_settings() == before
    assert Path.cwd() == tmp_path


def test_modules_of_import_names_are_private(
    tmp_path: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also those that a model finds in folders which it puts on the path itself."""
    monkeypatch.syspath_prepend(str(tmp_path / "cwd"))
    for number, name in enumerate(("one", "two"), start=1):
        lib = tmp_path / name
        lib.mkdir()
        (lib / "hk_parts.py").write_text(f"PART = {number}\n")
        extra = f"""
            import sys
            sys.path.append({str(lib)!r})
            from hk_parts import PART

            def get_scene_embeddings(audio, model):
                import hk_late
                from hk_parts import PART as again
                return torch.full((len(audio), 3), float(10 * PART + again + hk_late.LATE))
        """
        (lib / "hk_late.py").write_text(f"LATE = {100 * number}\n")
        write_model(tmp_path / "cwd", STATS, f"hk_{name}", extra)
    path = [*sys.path]
    one = load_model("hk_one", workspace=workspace)
    two = load_model("hk_two", workspace=workspace)
    audio = np.zeros((1, 800), np.float32)
    for _ in range(2):
        assert one.scene(audio).tolist() == [[111] * 3]
        assert two.scene(audio).tolist() == [[222] * 3]
    assert sys.path == path
    assert not {"hk_one", "hk_two", "hk_parts", "hk_late"} & set(sys.modules)


def test_stand_ins_for_libraries_are_private(tmp_path: Path, workspace: Workspace) -> None:
    import wave

    extra = """
        import sys, types
        sys.modules["hk_missing"] = types.ModuleType("hk_missing")
        sys.modules["hk_missing"].ONE = 1
        sys.modules["wave"] = types.ModuleType("wave")

        def get_scene_embeddings(audio, model):
            import hk_missing, wave
            return torch.full((len(audio), 3), float(hk_missing.ONE + hasattr(wave, "open")))
    """
    model = load_model(str(write_model(tmp_path, STATS, extra=extra)), workspace=workspace)
    assert model.scene(np.zeros((1, 800), np.float32)).tolist() == [[1] * 3]
    assert "hk_missing" not in sys.modules
    assert sys.modules["wave"] is wave


def test_libraries_in_a_folder_of_the_model_stay_shared(
    tmp_path: Path, workspace: Workspace
) -> None:
    packages = tmp_path / ".venv" / "site-packages"
    packages.mkdir(parents=True)
    (packages / "hk_library.py").write_text("KNOWN = []\n")
    extra = f"""
        import sys
        sys.path.append({str(packages)!r})
        import hk_library
    """
    try:
        load_model(str(write_model(tmp_path, STATS, extra=extra)), workspace=workspace)
        assert isinstance(sys.modules["hk_library"], ModuleType)
    finally:
        sys.modules.pop("hk_library", None)


def test_a_package_that_is_in_use_stays_as_it_is(
    tmp_path: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    package = tmp_path / "hk_used"
    write_model(package, STATS, "model", "import hk_used.more")
    (package / "__init__.py").write_text("")
    (package / "more.py").write_text("")
    import importlib

    try:
        used = importlib.import_module("hk_used")
        load_model("hk_used.model", workspace=workspace)
        assert sys.modules["hk_used"] is used
        assert sys.modules["hk_used.more"] is used.more
    finally:
        for name in ("hk_used", "hk_used.model", "hk_used.more"):
            sys.modules.pop(name, None)


def test_a_model_brings_its_own_defaults_into_calls(tmp_path: Path, workspace: Workspace) -> None:
    extra = textwrap.dedent("""
        import os
        torch.set_default_dtype(torch.float64)
        os.chdir(os.path.dirname(__file__))

        def get_scene_embeddings(audio, model):
            assert os.path.exists("stats.py")
            return torch.full((len(audio), 3), torch.ones(1).element_size() / 1.0)
    """)
    before = read_settings()
    model = load_model(str(write_model(tmp_path, STATS, extra=extra)), workspace=workspace)
    assert read_settings() == before
    assert model.scene(np.zeros((1, 800), np.float32)).tolist() == [[8] * 3]
    assert read_settings() == before


PATCHES = {
    "torch.load = functools.partial(torch.load, weights_only=False)": "torch.load",
    "torch.stft = lambda *rest, **more: None": "torch.stft",
    "torch.nn.functional.relu = patched": "torch.nn.functional.relu",
    "torch.Tensor.unfold = patched": "torch.Tensor.unfold",
    "torch.Tensor.hk_new = patched": "torch.Tensor.hk_new",
    "np.float = float": "np.float",
    "np.load = patched": "np.load",
    "np.random.hk_new = patched": "np.random.hk_new",
    "time.time = patched": "time.time",
}


@pytest.mark.parametrize("code", PATCHES)
def test_what_a_model_replaces_in_libraries_is_its_own(
    code: str, tmp_path: Path, workspace: Workspace
) -> None:
    extra = f"""
        import functools, time
        import numpy as np
        SEEN = []

        def patched(*rest, **more):
            return None

        {code}
        AFTER = {PATCHES[code]}

        def get_scene_embeddings(audio, model):
            SEEN.append({PATCHES[code]} is AFTER)
            return torch.full((len(audio), 3), float(SEEN[-1]))
    """
    place, _, name = PATCHES[code].rpartition(".")
    holder = eval(place, {"torch": torch, "np": np, "time": time})  # noqa: S307
    before = vars(holder).get(name)
    model = load_model(str(write_model(tmp_path, STATS, extra=extra)), workspace=workspace)
    assert vars(holder).get(name) is before
    engine = engine_of(model)
    model.scene(np.zeros((1, 800), np.float32))
    assert engine.module.SEEN == [True]
    assert vars(holder).get(name) is before
