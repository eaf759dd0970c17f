"""What only shows in a process of its own: its streams, its signals, how fast it starts."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers_cli import hearbench
from helpers_models import STATS, write_model

from hearbench import __version__

COMMAND = (sys.executable, "-m", "hearbench.cli")
QUICK = ("--protocol", "faster", "--grid-points", "1")
SLOW = STATS.replace("    return torch.stack", "    time.sleep(30)\n    return torch.stack", 1)


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *map(str, arguments)], capture_output=True, text=True, timeout=600
    )


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; from hearbench.cli.app import app\n"
        "try: app(['evaluate', '--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'scipy', 'sklearn', 'numpy', 'av', 'soundfile'} & set(sys.modules)\n"
        "sys.exit(f'loaded {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "hearbench evaluate" in done.stdout


@pytest.mark.parametrize(
    "verb", ["evaluate", "prepare", "embed", "probe", "list", "cache", "cache clear", "demo"]
)
def test_every_verb_shows_an_example(verb: str) -> None:
    answer = hearbench(*verb.split(), "--help")
    assert answer.code == 0
    assert f"    hearbench {verb}" in answer.stdout


def test_version() -> None:
    answer = hearbench("--version")
    assert (answer.code, answer.stdout) == (0, f"hearbench {__version__}\n")


def test_streams_of_a_real_process(task: Path, tmp_path: Path) -> None:
    noisy = "import os, warnings\nos.write(1, b'from C\\n')\nprint('from Python')\n"
    noisy += "warnings.warn('a library says')\nwarnings.warn('of old', DeprecationWarning)\n"
    model = write_model(tmp_path, noisy + STATS, name="noisy")
    done = run("evaluate", model, "--task", task, "--out", tmp_path / "out", "--json", *QUICK)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["failed"] == []
    assert "from C\nfrom Python" in done.stderr.replace("\r", "")
    assert "warning: a library says" in done.stderr
    assert "of old" not in done.stderr


@pytest.mark.usefixtures("quick_python")
def test_bugs_keep_their_traceback(task: Path, tmp_path: Path) -> None:
    code = (
        "import hearbench, hearbench.cli.app as a\n"
        "def broken(*args, **kwargs): raise RuntimeError('a bug')\n"
        "hearbench.evaluate = broken\n"
        f"a.app(['evaluate', 'hearbench.models.naive', '--task', {str(task)!r}, '--out', "
        f"{str(tmp_path)!r}])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert "RuntimeError: a bug" in done.stderr
    assert "Traceback" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interruption(number: signal.Signals, task: Path, tmp_path: Path, cache: Path) -> None:
    begun = tmp_path / "begun"
    source = SLOW.replace("time.sleep(30)", f"open({str(begun)!r}, 'w').close(); time.sleep(30)")
    model = write_model(tmp_path, "import time\n" + source, name="slow")
    process = subprocess.Popen(
        [*COMMAND, "evaluate", str(model), "--task", str(task), "--out", str(tmp_path / "out")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "HEARBENCH_CACHE": str(cache)},
    )
    deadline = time.monotonic() + 240
    while not begun.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 130
    assert stdout == ""
    last = stderr.strip().splitlines()[-1]
    assert last == "Interrupted. Run the same command again to resume."
    assert "Traceback" not in stderr
