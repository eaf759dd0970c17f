from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from helpers_models import noise, write_model

from hearbench.errors import HearError, ModelError
from hearbench.models.loaded import Interpreter
from hearbench.models.loading import load_model
from hearbench.models.other_process import CallFailedError, OtherProcess
from hearbench.models.sandbox import _bubblewrap, sandboxed
from hearbench.settings import Settings

_SHELL = "/bin/sh"
# What it finds is the message of its own failure: an import that succeeds says nothing.
_PROBE = """
import json, os, socket
import numpy

GIVEN = json.load(open(os.path.join(os.path.dirname(__file__), "given.json")))

def attempt(do):
    try:
        return do() or "done"
    except OSError as error:
        return type(error).__name__

def write(folder):
    with open(os.path.join(folder, "hearbench-left"), "w") as file:
        file.write("x")

raise RuntimeError(json.dumps({
    "connect": attempt(lambda: socket.create_connection(("127.0.0.1", GIVEN["port"]), 5).close()),
    "labels": attempt(lambda: open(GIVEN["labels"]).read()),
    "around": attempt(lambda: sorted(os.listdir(GIVEN["around"]))),
    "own": attempt(lambda: write(os.path.dirname(__file__))),
    "root": attempt(lambda: write("/")),
    "home": attempt(lambda: write(os.path.expanduser("~"))),
    "read at home": attempt(lambda: open(os.path.expanduser("~/notes")).read()),
    "temporary": attempt(lambda: write("/tmp")),
    "processes": sorted(int(name) for name in os.listdir("/proc") if name.isdigit()),
    "etc": attempt(lambda: open("/etc/fstab").read()),
}))
"""


@pytest.fixture
def bubblewrap() -> None:
    try:
        _bubblewrap()
    except HearError as error:
        pytest.skip(str(error))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    (folder / "notes").write_text("private")
    monkeypatch.setenv("HOME", str(folder))
    return folder


@pytest.fixture
def no_probe() -> Iterator[None]:
    _bubblewrap.cache_clear()
    yield
    _bubblewrap.cache_clear()


def _run(
    arguments: Sequence[str],
    *readable: Path,
    writable: Sequence[Path] = (),
    hidden: Sequence[Path] = (),
    allowed: Sequence[Path] = (),
) -> subprocess.CompletedProcess[str]:
    command = sandboxed(
        arguments, readable=readable, writable=writable, hidden=hidden, allowed=allowed
    )
    return subprocess.run(command, capture_output=True, text=True, timeout=30)


def _shell(script: str, *readable: Path, **more: Any) -> str:
    done = _run([_SHELL, "-c", script], *readable, **more)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _findings(folder: Path, given: dict[str, object]) -> dict[str, Any]:
    folder.mkdir()
    (folder / "probe.py").write_text(textwrap.dedent(_PROBE))
    (folder / "given.json").write_text(json.dumps(given))
    process = OtherProcess(Interpreter(Path(sys.executable), sandbox=True), "probe", [folder])
    try:
        with pytest.raises(CallFailedError) as caught:
            process.ask("import", "it", place=f"{folder}/probe.py", is_file=True, attribute="")
    finally:
        process.close()
    text = str(caught.value)
    found: dict[str, Any] = json.loads(text[text.index("RuntimeError: ") + 14 :])
    return found


@pytest.mark.usefixtures("bubblewrap")
def test_a_model_gives_the_same_embeddings(tmp_path: Path, settings: Settings) -> None:
    path = write_model(tmp_path / "model")
    audio = noise(2, 0.5, 16000)
    here = load_model(path, settings=settings)
    there = load_model(
        path, settings=settings, interpreter=Interpreter(Path(sys.executable), sandbox=True)
    )
    try:
        scene = there.scene(audio)
        assert scene.shape == (2, 3)
        assert np.array_equal(scene, here.scene(audio))
        for got, wanted in zip(there.timestamps(audio), here.timestamps(audio), strict=True):
            assert np.array_equal(got, wanted)
    finally:
        there.engine.close()


@pytest.mark.usefixtures("bubblewrap")
def test_a_model_sees_what_it_needs_and_nothing_else(tmp_path: Path, home: Path) -> None:
    labels = tmp_path / "tasks" / "labels.json"
    labels.parent.mkdir()
    labels.write_text("[1, 2]")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        # The test itself gets through.
        socket.create_connection(listener.getsockname(), 5).close()
        given = {
            "port": listener.getsockname()[1],
            "labels": str(labels),
            "around": str(tmp_path),
        }
        found = _findings(tmp_path / "model", given)
    assert found.pop("connect") == "ConnectionRefusedError"
    assert found.pop("labels") == "FileNotFoundError"
    assert found.pop("around") == ["home", "model"]
    assert found.pop("own") == "OSError"
    assert found.pop("root") == "OSError"
    assert found.pop("read at home") == found.pop("etc") == "FileNotFoundError"
    # Bubblewrap and the worker; there are dozens outside.
    assert found.pop("processes") == [1, 2]
    # Both are folders of its own, which go with it.
    assert found == {"home": "done", "temporary": "done"}
    assert [path.name for path in home.iterdir()] == ["notes"]
    assert not Path("/tmp/hearbench-left").exists()  # noqa: S108
    left = sorted(path.name for path in (tmp_path / "model").iterdir())
    assert left == ["given.json", "probe.py"]


@pytest.mark.usefixtures("bubblewrap")
def test_a_hidden_folder_is_empty_within_a_readable_one(tmp_path: Path) -> None:
    for name in ("code.py", "cache/tasks/labels.json", "cache/environments/one/x", "cache/w.pt"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    cache = tmp_path / "cache"
    allowed = [cache / "environments"]
    listed = f"cd {tmp_path}; find . -type f | sort"
    readable = (tmp_path, tmp_path / "code.py", cache / "environments" / "one")
    more: dict[str, Any] = {"hidden": [cache, cache / "tasks", tmp_path / "none"]}
    assert _shell(listed, tmp_path).count("\n") == 4
    assert _shell(listed, tmp_path, **more) == "./code.py\n"
    shown = _shell(listed, *readable, allowed=allowed, **more)
    assert shown == "./cache/environments/one/x\n./code.py\n"
    # What is hidden can't be filled either, and stays so where it isn't part of anything.
    assert _run([_SHELL, "-c", f"touch {cache}/y"], tmp_path, **more).returncode != 0
    assert _shell(f"ls {cache}", cache / "environments", allowed=allowed, **more) == (
        "environments\n"
    )
    for path in (cache, cache / "tasks" / "labels.json", cache / "w.pt"):
        with pytest.raises(HearError, match=r"lies in .*cache, which belongs to the benchmark"):
            sandboxed([_SHELL], readable=[path], writable=[], allowed=allowed, **more)


@pytest.mark.usefixtures("bubblewrap")
def test_folders_that_hold_everything_are_refused(tmp_path: Path, home: Path) -> None:
    (tmp_path / "link").symlink_to(home)
    for path in (Path("/"), home, tmp_path, tmp_path / "link", home / "sub" / ".."):
        (home / "sub").mkdir(exist_ok=True)
        with pytest.raises(HearError, match=r"holds your home folder.*folder of its own"):
            sandboxed([_SHELL], readable=[path], writable=[])
    for path in (Path("/var/tmp"), Path("/dev/shm")):  # noqa: S108
        with pytest.raises(HearError, match="everybody's temporary files"):
            sandboxed([_SHELL], readable=[path], writable=[])
    # A folder at home is as good as any other.
    (home / "sub" / "x").write_text("content")
    assert _shell(f"cat {home}/sub/x", home / "sub") == "content"


@pytest.mark.usefixtures("bubblewrap")
def test_paths_may_be_links_nested_named_twice_or_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = tmp_path / "real" / "deep"
    real.mkdir(parents=True)
    (real / "x").write_text("content")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "secret").write_text("secret")
    (real / "out").symlink_to(tmp_path / "other" / "secret")
    # Relative and absolute, one by way of the other, and one in a loop.
    (tmp_path / "first").symlink_to("real")
    (tmp_path / "second").symlink_to(tmp_path / "first" / "deep")
    (tmp_path / "loop").symlink_to("loop")
    paths = (
        *(tmp_path / "second", tmp_path / "second", real, real / "x", tmp_path / "none"),
        *(tmp_path / "loop", tmp_path / "other" / ".." / "second" / "x", Path("/dev/null")),
    )
    readable = f"{tmp_path}/second/x {tmp_path}/real/deep/x {tmp_path}/other/../second/x"
    assert _shell(f"cat {readable}; echo >/dev/null", *paths) == "content" * 3
    # A link in a readable folder leads nowhere else.
    assert _run(["/bin/cat", f"{real}/out"], *paths).returncode == 1
    assert _shell("pwd", *paths) == "/\n"
    monkeypatch.chdir(real)
    assert _shell("pwd -P; cat x", Path("x")) == f"{real}\ncontent"


@pytest.mark.usefixtures("bubblewrap")
def test_an_interpreter_may_be_a_link_from_anywhere(tmp_path: Path) -> None:
    link = tmp_path / "my-python"
    link.symlink_to(Path(sys.executable))
    readable = [Path(sys.prefix), Path(sys.base_prefix), link]
    done = _run([str(link), "-c", "import json; print(json.dumps(6 * 7))"], *readable)
    assert (done.stdout, done.stderr) == ("42\n", "")


@pytest.mark.usefixtures("bubblewrap")
def test_what_is_written_into_writable_folders_arrives(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    _shell(f"echo written > {out}/x", out, writable=[out])
    assert (out / "x").read_text() == "written\n"


@pytest.mark.usefixtures("bubblewrap")
def test_the_exit_status_is_told_and_an_abort_is_heard() -> None:
    assert _run([_SHELL, "-c", "exit 3"]).returncode == 3
    assert _run([_SHELL, "-c", "kill -SEGV $$"]).returncode == 128 + signal.SIGSEGV
    script = (
        "import faulthandler, signal, time; signal.signal(signal.SIGABRT, signal.SIG_DFL); "
        "faulthandler.enable(); print('ready', flush=True); time.sleep(60)"
    )
    command = sandboxed(
        [sys.executable, "-c", script],
        readable=[Path(sys.prefix), Path(sys.base_prefix)],
        writable=[],
    )
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        os.killpg(process.pid, signal.SIGABRT)
        _, errors = process.communicate(timeout=20)
    assert b"Fatal Python error: Aborted" in errors
    assert b'File "<string>", line 1 in <module>' in errors
    assert process.returncode == 128 + signal.SIGABRT


@pytest.mark.usefixtures("bubblewrap")
def test_memory_is_limited(tmp_path: Path, settings: Settings) -> None:
    source = "import numpy as np\ntaken = [np.ones(1 << {bits}) for _ in range(4)]\n"
    interpreter = Interpreter(Path(sys.executable), sandbox=True, memory_gb=1.0)
    small = write_model(tmp_path, source.format(bits=20), "small")
    # 32 MiB are fine, and what fails is that nothing of the API is there.
    with pytest.raises(ModelError, match="has no load_model"):
        load_model(small, settings=settings, interpreter=interpreter)
    large = write_model(tmp_path, source.format(bits=26), "large")
    with pytest.raises(ModelError, match=r"fails on import:(.|\n)*MemoryError.*512"):
        load_model(large, settings=settings, interpreter=interpreter)


@pytest.mark.usefixtures("bubblewrap")
def test_nothing_outlives_a_killed_parent(tmp_path: Path) -> None:
    model = write_model(tmp_path / "model", "import time; time.sleep(60)", "sleeper")
    script = f"""
    import sys
    from pathlib import Path
    from hearbench.models.other_process import OtherProcess
    from hearbench.models.loaded import Interpreter
    interpreter = Interpreter(Path(sys.executable), sandbox=True)
    process = OtherProcess(interpreter, "sleeper", [Path({str(model.parent)!r})])
    print(process._code, process._folder, flush=True)
    process.ask("import", "it", place={str(model)!r}, is_file=True, attribute="")
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        code, folder = parent.stdout.readline().split()
        # The shell has become bubblewrap, which has a second process and the worker below it.
        family = psutil.Process(parent.pid).children(recursive=True)
        assert len(family) == 3
        parent.kill()
    _, alive = psutil.wait_procs(family, timeout=10)
    assert not alive
    # Killed, it couldn't remove them.
    for left in (code, folder):
        shutil.rmtree(left)


@pytest.mark.usefixtures("no_probe")
def test_without_bubblewrap_it_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(HearError, match=r"no bwrap on the PATH\. Install the package"):
        sandboxed([_SHELL], readable=[], writable=[])
    fake = tmp_path / "bwrap"
    fake.write_text("#!/bin/sh\necho 'bwrap: setting up uid map: Permission denied' >&2\nexit 1\n")
    fake.chmod(0o755)
    with pytest.raises(HearError, match=r"uid map: Permission denied\nIt needs user namespaces"):
        sandboxed([_SHELL], readable=[], writable=[])
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(HearError, match="no sandbox for models on darwin, only on Linux"):
        sandboxed([_SHELL], readable=[], writable=[])
