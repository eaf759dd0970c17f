from __future__ import annotations

import ctypes
import json
import os
import platform
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from helpers_models import noise, write_model

from hearbench.errors import HearError, ModelError
from hearbench.models import other_process
from hearbench.models.loaded import Interpreter
from hearbench.models.loading import load_model
from hearbench.models.other_process import CallFailedError, OtherProcess
from hearbench.models.sandbox import _bubblewrap, sandboxed
from hearbench.models.sandbox_start import swapped
from hearbench.worker.arrays import PLACES
from hearbench.workspace import Workspace

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
    hidden: Sequence[Path] = (),
    allowed: Sequence[Path] = (),
) -> subprocess.CompletedProcess[str]:
    command = sandboxed(arguments, readable=readable, hidden=hidden, allowed=allowed)
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def _shell(script: str, *readable: Path, **more: Any) -> str:
    done = _run([_SHELL, "-c", script], *readable, **more)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _findings(folder: Path, given: dict[str, object], probe: str = _PROBE) -> dict[str, Any]:
    folder.mkdir(exist_ok=True)
    (folder / "probe.py").write_text(probe)
    (folder / "given.json").write_text(json.dumps(given))
    process = OtherProcess(Interpreter(Path(sys.executable), sandbox=True), "probe", [folder])
    try:
        with pytest.raises(CallFailedError) as caught:
            process.ask(
                "import",
                "it",
                place=f"{folder}/probe.py",
                is_file=True,
                attribute="",
                is_network=False,
            )
    finally:
        process.close()
    text = str(caught.value)
    found: dict[str, Any] = json.loads(text[text.index("RuntimeError: ") + 14 :])
    return found


@pytest.mark.usefixtures("bubblewrap")
def test_a_model_gives_the_same_embeddings(tmp_path: Path, workspace: Workspace) -> None:
    path = write_model(tmp_path / "model")
    audio = noise(2, 0.5, 16000)
    here = load_model(path, workspace=workspace)
    there = load_model(
        path, workspace=workspace, interpreter=Interpreter(Path(sys.executable), sandbox=True)
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
            sandboxed([_SHELL], readable=[path], allowed=allowed, **more)


@pytest.mark.usefixtures("bubblewrap")
def test_folders_that_hold_everything_are_refused(tmp_path: Path, home: Path) -> None:
    (tmp_path / "link").symlink_to(home)
    for path in (Path("/"), home, tmp_path, tmp_path / "link", home / "sub" / ".."):
        (home / "sub").mkdir(exist_ok=True)
        with pytest.raises(HearError, match=r"holds your home folder.*folder of its own"):
            sandboxed([_SHELL], readable=[path])
    for path in (Path("/var/tmp"), Path("/dev/shm")):  # noqa: S108
        with pytest.raises(HearError, match="everybody's temporary files"):
            sandboxed([_SHELL], readable=[path])
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
    )
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        os.killpg(process.pid, signal.SIGABRT)
        _, errors = process.communicate(timeout=120)
    assert b"Fatal Python error: Aborted" in errors
    assert b'File "<string>", line 1 in <module>' in errors
    assert process.returncode == 128 + signal.SIGABRT


@pytest.mark.usefixtures("bubblewrap")
def test_memory_is_limited(tmp_path: Path, workspace: Workspace) -> None:
    source = "import numpy as np\ntaken = [np.ones(1 << {bits}) for _ in range(4)]\n"
    interpreter = Interpreter(Path(sys.executable), sandbox=True, memory_gb=1.0)
    small = write_model(tmp_path, source.format(bits=20), "small")
    # 32 MiB are fine, and what fails is that nothing of the API is there.
    with pytest.raises(ModelError, match="has no load_model"):
        load_model(small, workspace=workspace, interpreter=interpreter)
    large = write_model(tmp_path, source.format(bits=26), "large")
    with pytest.raises(ModelError, match=r"fails on import:(.|\n)*MemoryError.*512"):
        load_model(large, workspace=workspace, interpreter=interpreter)


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
    print(flush=True)
    process.ask("import", "it", place={str(model)!r}, is_file=True, attribute="", is_network=False)
    """
    empty = tmp_path / "temporary"
    empty.mkdir()
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(empty)},
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "\n"
        # What started it has become bubblewrap, which has a second process and the worker below it.
        family = psutil.Process(parent.pid).children(recursive=True)
        assert len(family) == 3
        # But for its streams, of which pytest's own may be such files.
        own = [path for path in Path(f"/proc/{parent.pid}/fd").iterdir() if int(path.name) > 2]
        links = [os.fspath(path.readlink()) for path in own]
        assert len([link for link in links if link.endswith(" (deleted)")]) == len(PLACES)
        parent.kill()
    _, alive = psutil.wait_procs(family, timeout=60)
    assert not alive
    # Killed, it could remove nothing, neither there nor in memory.
    assert not [*empty.iterdir()]


_WALL = """
import ctypes, json, os, socket
import numpy

def attempt(path, flags):
    try:
        os.close(os.open(path, flags))
        return "opened"
    except OSError as error:
        return type(error).__name__

def below(folder):
    return [os.path.join(at, name) for at, _, names in os.walk(folder) for name in names]

def namespace():
    libc = ctypes.CDLL(None, use_errno=True)
    return libc.unshare(0x10000000)

def key():
    libc = ctypes.CDLL(None)
    return libc.syscall(250, 10, 0xfffffffd, b"user", b"hearbench-test", 0)

wall = ["/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe", "/proc/sys/vm/drop_caches",
        "/proc/sysrq-trigger", "/proc/kcore", "/proc/kmsg", "/proc/1/mem", "/dev/mem", "/dev/kmsg",
        "/dev/tty", "/etc/passwd", "/sys/devices/system/cpu/online", "/sys/fs/cgroup/cgroup.procs"]
outside = ("/proc/sys", "/proc/irq", "/proc/bus", "/proc/fs", "/sys", "/etc", "/usr/bin")
opened = [path for path in wall if attempt(path, os.O_WRONLY) == "opened"]
# Of its own processes pid 1 is the sandbox's own, as confined as this one.
opened = [path for path in opened if path != "/proc/1/mem"]
opened += [path for folder in outside for path in below(folder)
           if attempt(path, os.O_WRONLY | os.O_NONBLOCK) == "opened"]
read = [path for path in ("/proc/kcore", "/proc/kmsg", "/proc/kpagecount", "/proc/keys",
                          "/proc/kallsyms") if attempt(path, os.O_RDONLY) == "opened"]
files = [path for path in ("/proc/self/fd/%d" % number for number in range(3, 256))
         if os.path.islink(path)]
raise RuntimeError(json.dumps({
    "opened": opened, "read": read, "namespace": namespace(), "key": key(),
    "environment": sorted(os.environ), "secrets": [value for value in os.environ.values()
                                                   if "secret" in value],
    "files": [os.readlink(path).split(":")[0].split(" ")[0] for path in files],
    "privileges": [line.split()[1] for line in open("/proc/self/status")
                   if line.startswith("NoNewPrivs")],
    "user": os.stat("/tmp").st_uid,
}))
"""
_SECRETS = ("HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "TF_VAR_password", "NVIDIA_API_KEY", "MY_OWN")


@pytest.mark.usefixtures("bubblewrap")
def test_a_model_can_change_nothing_of_the_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in _SECRETS:
        monkeypatch.setenv(name, "secret")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    if platform.machine() == "x86_64":
        # A key of this session: who has it finds it.
        libc = ctypes.CDLL(None)
        libc.syscall(250, 1, None)
        libc.syscall(248, b"user", b"hearbench-test", b"x", 1, -3)
        assert libc.syscall(250, 10, -3, b"user", b"hearbench-test", 0) > 0
    # Only root sees it outside, and may leave nothing to be read by others.
    (tmp_path / "model").mkdir(mode=0o700)
    found = _findings(tmp_path / "model", {}, _WALL)
    assert found.pop("opened") == found.pop("read") == found.pop("secrets") == []
    assert found.pop("namespace") == found.pop("key") == -1
    assert not {*_SECRETS} & {*found["environment"]}
    assert {"PATH", "HOME", "TMPDIR", "OMP_NUM_THREADS"} <= {*found.pop("environment")}
    assert found.pop("privileges") == ["1"]
    # The places of arrays, and the pipes to this process: all the descriptors that it got.
    places = {str(other_process._folder() or tempfile.gettempdir()), "pipe"}
    assert {re.sub(r"/?#\d+$", "", file) for file in found.pop("files")} <= places
    assert found == {"user": os.geteuid()}


@pytest.mark.usefixtures("bubblewrap")
def test_outside_a_sandbox_of_root_belongs_to_nobody() -> None:
    if os.geteuid() != 0:
        pytest.skip("only root is exchanged")
    command = sandboxed([_SHELL, "-c", "echo; read x"], readable=[])
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"\n"
        family = [psutil.Process(process.pid)]
        family += family[0].children(recursive=True)
        assert len(family) == 3
        for one in family:
            assert {*one.uids(), *one.gids()} == {61184}
            assert not [line for line in _status(one.pid, "Groups") if line]
        process.communicate(b"\n", timeout=120)


@pytest.mark.usefixtures("bubblewrap", "no_probe")
def test_a_sandbox_of_an_ordinary_user(monkeypatch: pytest.MonkeyPatch) -> None:
    python, become = Path("/usr/bin/python3"), shutil.which("setpriv")
    if os.geteuid() != 0 or become is None or not python.exists():
        pytest.skip("needs root, setpriv and the system's Python")
    monkeypatch.setattr(os, "geteuid", lambda: 65534)
    monkeypatch.setattr(sys, "executable", str(python))
    script = "id -u; unshare -U id; echo x >/proc/sys/kernel/core_pattern; cat /proc/kallsyms"
    command = sandboxed([_SHELL, "-c", script], readable=[])
    command = [become, "--reuid=65534", "--regid=65534", "--clear-groups", *command]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.stdout == "65534\n"
    errors = done.stderr.splitlines()
    assert [line.rpartition(": ")[2] for line in errors[1:]] == [
        "Read-only file system",
        "Permission denied",
    ]
    assert "unshare failed" in errors[0]


def _status(pid: int, key: str) -> list[str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(line.partition(":")[2].split() for line in lines if line.startswith(f"{key}:"))


@pytest.mark.parametrize(
    "known", ["0 0 4294967295", "0 100000 65536", "0 1000 1\n1 100000 65536", "0 5 61185\n"]
)
def test_root_and_nobody_have_each_others_place_and_all_others_their_own(known: str) -> None:
    found: dict[tuple[int, int], int] = {}
    for line in swapped(known, 61184).splitlines():
        first, outside, count = map(int, line.split())
        assert not any(first < end and start < first + count for start, end in found)
        found[first, first + count] = outside
    ends = [line.split() for line in known.splitlines()]
    assert sum(end - start for start, end in found) == sum(int(end[2]) for end in ends)
    assert found.pop((0, 1)) == 61184
    assert found.pop((61184, 61185)) == 0
    assert all(outside == start for (start, _), outside in found.items())


@pytest.mark.usefixtures("no_probe")
def test_without_bubblewrap_it_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(HearError, match=r"no bwrap on the PATH\. Install the package"):
        sandboxed([_SHELL], readable=[])
    fake = tmp_path / "bwrap"
    fake.write_text("#!/bin/sh\necho 'bwrap: setting up uid map: Permission denied' >&2\nexit 1\n")
    fake.chmod(0o755)
    with pytest.raises(HearError, match=r"uid map: Permission denied\nIt needs user namespaces"):
        sandboxed([_SHELL], readable=[])
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(HearError, match="no sandbox for models on darwin, only on Linux"):
        sandboxed([_SHELL], readable=[])
