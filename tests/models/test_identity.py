"""What makes a model the same: all that it takes in, wherever that lies, and nothing else."""

from __future__ import annotations

import importlib
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from helpers_models import STATS, write_model

import hearbench.models
from hearbench.digest import digest_tree
from hearbench.errors import ModelError
from hearbench.models.fingerprint import Fingerprint, fingerprint, signal
from hearbench.models.loaded import Interpreter
from hearbench.models.loading import load_model
from hearbench.workspace import Workspace

Floats = npt.NDArray[np.float32]


@pytest.fixture
def quick(quick_python: Path) -> Interpreter:
    return Interpreter(quick_python, timeout_s=60)


@pytest.fixture(autouse=True)
def no_bytecode(monkeypatch: pytest.MonkeyPatch) -> None:
    """Modules change here faster than Python can tell compiled ones from them."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)


def reading(place: Path, code: str, workspace: Workspace, **options: Any) -> str:
    """The digest of a model that does something while it is loaded."""
    body = "".join(f"    {line}\n" for line in code.splitlines())
    extra = f"import os, pathlib, sys\nHERE = pathlib.Path(__file__).parent\n{DEFINE}{body}"
    path = write_model(place, extra=f"{extra}    return Stats()\n")
    return load_model(path, workspace=workspace, **options).digest


DEFINE = "def load_model(path='', word='', ck='', folder='', n=0.0):\n"


def test_a_plain_model_is_its_source(
    tmp_path: Path, workspace: Workspace, quick: Interpreter
) -> None:
    model = load_model(write_model(tmp_path), workspace=workspace)
    assert model.seen.identity() == {}
    assert model.digest_of("scene") == model.digest == model.digest_of("event")
    there = load_model(write_model(tmp_path), workspace=workspace, interpreter=quick)
    try:
        assert there.seen.identity() == {}
        assert there.digest_of("scene") == there.digest
        assert there.check("scene").fingerprint.matches(model.check("scene").fingerprint)
    finally:
        there.close()


def test_places_do_not_count(
    tmp_path: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = """
(HERE / "w.txt").read_text()
(HERE.parent / "other/w.txt").read_text()
os.path.expanduser("~/x"), os.environ.get("OMP_NUM_THREADS"), os.environ.get("WHERE")
open(os.environ["WHERE"] + "/w.txt").close()
"""
    digests = []
    for name in ("one", "two"):
        for folder in ("m", "other", "named"):
            (tmp_path / name / folder).mkdir(parents=True)
            (tmp_path / name / folder / "w.txt").write_text(folder)
        monkeypatch.setenv("HOME", str(tmp_path / name))
        monkeypatch.setenv("OMP_NUM_THREADS", name)
        monkeypatch.setenv("WHERE", str(tmp_path / name / "named"))
        digests.append(reading(tmp_path / name / "m", code, workspace))
    assert digests[0] == digests[1]
    # The same contents, by the other names.
    (tmp_path / "two/m/w.txt").write_text("other")
    (tmp_path / "two/other/w.txt").write_text("m")
    assert reading(tmp_path / "two/m", code, workspace) not in digests


def test_variables(tmp_path: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "site-packages"
    package.mkdir()
    (package / "a_library.py").write_text("import os\ndef ask(): return os.environ.get('THEIRS')\n")
    monkeypatch.syspath_prepend(package)
    code = "import a_library; a_library.ask(); os.getenv('OURS'); 'MAYBE' in os.environ"
    digests = []
    for name in ("", "THEIRS", "OURS", "MAYBE"):
        if name:
            monkeypatch.setenv(name, "3")
        digests.append(reading(tmp_path, code, workspace))
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3
    monkeypatch.setenv("OURS", "4")
    assert reading(tmp_path, code, workspace) not in digests
    path = write_model(tmp_path, extra="import os\ndict(os.environ)")
    model = load_model(path, workspace=workspace)
    assert model.seen.identity() == {}
    assert "environment variables" in " ".join(model.check("scene").notes)


def test_what_a_model_writes_itself(tmp_path: Path, workspace: Workspace) -> None:
    fetched = """
path = HERE / "fetched.bin"
if not path.exists():
    path.write_bytes(b"x")
path.read_bytes()
"""
    counted = """
path = HERE / "count.txt"
n = int(path.read_text()) if path.exists() else 0
path.write_text(str(n + 1))
"""
    for code in (fetched, counted):
        reading(tmp_path, code, workspace)  # the first time there is nothing to be read
        assert reading(tmp_path, code, workspace) == reading(tmp_path, code, workspace)
    (tmp_path / "fetched.bin").write_bytes(b"y")
    changed = reading(tmp_path, fetched, workspace)
    (tmp_path / "fetched.bin").write_bytes(b"z")
    assert reading(tmp_path, fetched, workspace) != changed


def test_installed_packages(
    tmp_path: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "site-packages/a_package"
    package.mkdir(parents=True)
    # What a library reads when it is imported is its own affair.
    (package / "__init__.py").write_text("from pathlib import Path\nPath(__file__).read_bytes()\n")
    (tmp_path / "log").write_text("1")
    (package / "part.py").write_text(f"open({str(tmp_path / 'log')!r}).close()\nG = 1\n")
    monkeypatch.syspath_prepend(package.parent)
    code = "import a_package.part, json, torch"
    first = reading(tmp_path / "m", code, workspace)
    # It is there already: whoever was loaded before doesn't matter.
    (tmp_path / "log").write_text("2")
    assert reading(tmp_path / "m", code, workspace) == first
    (package / "part.py").write_text("G = 2\n")
    assert reading(tmp_path / "m", code, workspace) != first


def test_code_of_hearbench_itself(
    tmp_path: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = importlib.import_module("hearbench.models.vqt")
    monkeypatch.delitem(sys.modules, module.__name__)
    monkeypatch.setattr(hearbench.models, "vqt", module)  # what the import below replaces
    first = reading(tmp_path / "m", "import hearbench.models.vqt", workspace)
    assert module is not sys.modules[module.__name__]
    # It is there already, as it may be from a model that was loaded before.
    assert reading(tmp_path / "m", "import hearbench.models.vqt", workspace) == first


def test_what_cannot_be_seen_is_said(tmp_path: Path, workspace: Workspace) -> None:
    code = """
import socket, subprocess
subprocess.run([sys.executable, "-c", ""], check=True)
try:
    socket.create_connection(("127.0.0.1", 9), 0.1)
except OSError:
    pass
"""
    reading(tmp_path, code + "import ctypes", workspace)
    model = load_model(tmp_path / "stats.py", workspace=workspace)
    (note,) = model.check("scene").notes
    assert "127.0.0.1" in note
    assert sys.executable in note
    assert "ctypes" in note
    assert model.seen.identity() == {}


def test_options_that_name_places(
    tmp_path: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = "(HERE / 'told').write_text(ck + ' ' + word + ' ' + folder)"

    def digest(**options: str) -> str:
        return reading(tmp_path / "m", code, workspace, **options)

    for name in ("one", "two"):
        (tmp_path / name / "ck/deep").mkdir(parents=True)
        (tmp_path / name / "ck/deep/w").write_text(name)
        (tmp_path / name / "file.txt").write_text(name)
    found = {}
    for name in ("one", "two"):
        monkeypatch.chdir(tmp_path / name)
        found[name] = digest(folder="ck")
        assert (tmp_path / "m/told").read_text().split() == [str(tmp_path / name / "ck")]
        assert digest(ck="./ck") == digest(ck=str(tmp_path / name / "ck"))
        found[f"{name} file"] = digest(ck="file.txt")
        # A word stays a word, though a folder is called so here.
        found["word"] = digest(word="ck")
        assert (tmp_path / "m/told").read_text().split() == ["ck"]
    assert len(set(found.values())) == 5
    assert digest(word="ck") == found["word"]
    (tmp_path / "two/ck/deep/w").write_text("three")
    assert digest(folder="ck") not in found.values()
    # Its name in folders stays what the user wrote.
    assert load_model(tmp_path / "m/stats.py", workspace=workspace, folder="ck").name.endswith(
        "=ck"
    )


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", float("nan")])
def test_numbers_that_are_none(tmp_path: Path, workspace: Workspace, value: str) -> None:
    path = write_model(tmp_path, extra=f"{DEFINE}    return Stats()")
    with pytest.raises(ModelError, match="option n should be a finite number"):
        load_model(path, workspace=workspace, n=value)


def test_folders_with_links(tmp_path: Path) -> None:
    plain, linked = tmp_path / "plain", tmp_path / "linked"
    for folder in (plain / "sub", linked, tmp_path / "away"):
        folder.mkdir(parents=True)
    (plain / "a").write_text("1")
    (plain / "sub/b").write_text("2")
    (tmp_path / "away/b").write_text("2")
    (tmp_path / "away/a").write_text("1")
    (linked / "a").symlink_to(tmp_path / "away/a")
    (linked / "sub").mkdir()
    (linked / "sub/b").symlink_to(tmp_path / "away/b")
    assert digest_tree(linked) == digest_tree(plain)
    shutil.rmtree(linked / "sub")
    (linked / "sub").symlink_to(tmp_path / "away")
    before = digest_tree(linked)
    assert before != digest_tree(plain)
    (tmp_path / "away/b").write_text("3")
    assert digest_tree(linked) != before
    (linked / "circle").symlink_to(linked)
    (linked / "nowhere").symlink_to(tmp_path / "nowhere")
    assert digest_tree(linked) == digest_tree(linked)


def test_another_process_tells_the_same(
    tmp_path: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch, quick: Interpreter
) -> None:
    (tmp_path / "w.txt").write_text("1")
    (tmp_path / "lazy.py").write_text("G = 1")
    (tmp_path / "na_med.py").write_text("G = 1")
    extra = """
import importlib, os, pathlib
def load_model(path=""):
    os.environ.get("A_GAIN")
    (pathlib.Path(__file__).parent / "w.txt").read_text()
    return Stats()
plain = get_scene_embeddings
def get_scene_embeddings(audio, model):
    import lazy
    importlib.import_module("na" + "_med")
    return plain(audio, model) * lazy.G
"""
    path = write_model(tmp_path, extra=extra)

    def both(interpreter: Interpreter | None) -> tuple[str, str]:
        model = load_model(path, workspace=workspace, interpreter=interpreter)
        try:
            assert model.check("scene").notes == ()
            assert model.digest_of("scene") != model.digest
            assert {Path(file).name for file in model.seen.files} == {"w.txt", "lazy.py"}
            assert list(model.seen.variables) == ["A_GAIN"]
            return model.digest, model.digest_of("scene")
        finally:
            model.close()

    for interpreter in (None, quick):
        first = both(interpreter)
        assert both(interpreter) == first
        (tmp_path / "na_med.py").write_text("G = 2")
        second = both(interpreter)
        assert (second[0] == first[0], second[1] == first[1]) == (True, False)
        for name in ("w.txt", "lazy.py", ""):
            if name:
                (tmp_path / name).write_text("G = 3")
            else:
                monkeypatch.setenv("A_GAIN", "5")
            before, second = second, both(interpreter)
            assert second[0] != before[0], name
        monkeypatch.delenv("A_GAIN")
        for name in ("w.txt", "lazy.py", "na_med.py"):
            (tmp_path / name).write_text("G = 1")


def test_the_signal_is_always_the_same() -> None:
    x = signal(16000)
    assert x.shape == (1, 16000)
    assert x.dtype == np.float32
    assert np.abs(x).max() <= 0.33
    # By its definition, in whole numbers.
    noise = [(n + 1) * 2654435761 % 2**32 / 2**31 - 1 for n in (0, 1, 9999)]
    t = np.array([0, 1, 9999]) / 16000
    tone = 0.3 * np.sin(2 * np.pi * (100 + 3200 * t) * t)
    np.testing.assert_allclose(x[0, [0, 1, 9999]], tone + 0.03 * np.array(noise), atol=1e-6)


def test_what_counts_as_the_same_model() -> None:
    rng = np.random.default_rng(0)
    layer = rng.standard_normal((16000, 300)).astype(np.float32)

    def of(change: float = 0.0, times: float = 1.0, bad: float = 0.0) -> Fingerprint:
        def embed(x: Floats) -> tuple[Floats, Floats]:
            made = x @ layer
            made = made * times + change * np.abs(made).mean() * noise
            made[0, 0] += bad
            return made.reshape(1, 30, 10), np.arange(30, dtype=np.float32)[None] * 33 * times

        noise = rng.random((1, 300), np.float32) - 0.5
        return fingerprint(embed, 16000)

    plain = of()
    assert plain.state == "made"
    assert plain.shape == (30, 10)
    assert len(plain.numbers) == 8
    assert plain.times_s == pytest.approx((0.4785, 0.957))
    # Half precision of products is about that; training changes more.
    assert plain.matches(of(change=1e-4))
    assert not plain.matches(of(change=0.02))
    assert not plain.matches(of(times=1.01))
    assert of(bad=np.nan).state == "failed"
    assert Fingerprint.model_validate_json(plain.model_dump_json()) == plain


def test_models_that_cannot_be_compared() -> None:
    rng = np.random.default_rng(0)

    def raises(x: Floats) -> Floats:
        raise ModelError("no such luck")

    assert fingerprint(lambda _: rng.random((1, 4), np.float32), 8000) == Fingerprint(
        state="varies"
    )
    assert fingerprint(raises, 8000) == Fingerprint(state="failed")
    assert not Fingerprint(state="varies").matches(Fingerprint(state="failed"))


def test_a_model_that_varies_says_so(tmp_path: Path, workspace: Workspace) -> None:
    extra = "def get_scene_embeddings(audio, model):\n    return torch.rand(len(audio), 3)"
    check = load_model(write_model(tmp_path, STATS, extra=extra), workspace=workspace).check(
        "scene"
    )
    assert check.fingerprint.state == "varies"
    assert "repeatable" in check.notes[0]
