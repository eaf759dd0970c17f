"""Messages and stages: silent, logged, as bars and as lines."""

from __future__ import annotations

import io
import logging
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from hearbench.progress import (
    SILENT,
    LogProgress,
    Progress,
    TerminalProgress,
    default_progress,
)
from hearbench.workspace import Workspace


def lines_of(progress: Progress) -> None:
    """What every way of telling progress gets here."""
    progress.line("first")
    progress.once("second")
    progress.once("second")
    with progress.stage("nothing to do", "clips") as update:
        update(0, 0)
    with progress.stage("never begun"):
        pass
    with progress.stage("decoding", "clips", 3) as update:
        for done in range(4):
            update(done)
    with progress.stage("reading", "rows") as update:
        update(0)
        update(300)
    with progress.stage("embedding") as update:
        update(3, 3, "all there")
        update(0, 3, "2.0 clips/s")


class Terminal(io.StringIO):
    """Takes what would be shown."""

    def isatty(self) -> bool:
        return True


def on_terminal() -> tuple[TerminalProgress, io.StringIO]:
    shown = Terminal()
    console = Console(file=shown, force_terminal=True, width=100, legacy_windows=False)
    return TerminalProgress(console), shown


def test_silent(capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    lines_of(SILENT)
    assert capsys.readouterr() == ("", "")
    assert not caplog.records


def test_plain_lines_where_no_bar_can_be_drawn(capsys: pytest.CaptureFixture[str]) -> None:
    lines_of(TerminalProgress())
    out, err = capsys.readouterr()
    assert not out
    assert err.splitlines() == ["first", "second", "decoding", "reading", "embedding"]


def test_long_lines_stay_whole(capsys: pytest.CaptureFixture[str]) -> None:
    TerminalProgress().line("word " * 100)
    assert capsys.readouterr().err == "word " * 100 + "\n"


def test_log_lines(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "hearbench")
    lines_of(LogProgress(every_s=3600))
    assert caplog.messages == [
        *("first", "second", "decoding: 0/3 clips", "reading: 0 rows"),
        "embedding: 0/3, 2.0 clips/s",
    ]
    assert {(record.name, record.levelname) for record in caplog.records} == {("hearbench", "INFO")}


def test_log_lines_again_after_a_while(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("elsewhere")
    caplog.set_level(logging.INFO, "elsewhere")
    with LogProgress(logger, every_s=0).stage("fetching a.zip", "bytes") as update:
        update(0)
        update(1_500_000, 6_000_000)
        update(6_000_000, 6_000_000)
    assert caplog.messages == [
        "fetching a.zip: 0 bytes",
        "fetching a.zip: 1.5 MB of 6 MB",
        "fetching a.zip: 6 MB of 6 MB",
    ]


def test_bars_of_several_stages_at_once() -> None:
    progress, shown = on_terminal()
    with ExitStack() as running:
        first = running.enter_context(progress.stage("fetching a.zip", "bytes"))
        second = running.enter_context(progress.stage("fetching [b].zip", "bytes", 2_000_000))
        first(1_000_000, 4_000_000)
        second(500_000)
        progress.line("a line between")
        assert progress._bars is not None
        progress._bars.refresh()
    text = shown.getvalue()
    assert "fetching a.zip" in text
    assert "1 MB of 4 MB" in text
    assert "fetching [b].zip" in text
    assert "500 kB of 2 MB" in text
    assert "a line between" in text
    assert progress._bars is None
    with progress.stage("later", "clips") as update:
        update(1, 12, "loud")
        progress._bars.refresh()
    assert "1/12 clips, loud" in shown.getvalue()


def test_an_error_ends_a_stage_and_late_threads_do_no_harm() -> None:
    progress, _ = on_terminal()
    with pytest.raises(KeyboardInterrupt), progress.stage("work") as update:
        raise KeyboardInterrupt
    assert progress._bars is None
    update(1, 2)


@pytest.mark.parametrize("terminal", [True, False])
def test_stages_of_many_threads(terminal: bool) -> None:
    shown = io.StringIO()
    progress = TerminalProgress(Console(file=shown, force_terminal=terminal, width=100))

    def work(number: int) -> None:
        with progress.stage(f"<{number}>", "clips") as update:
            for done in range(20):
                update(done, 20)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(40)))
    assert progress._bars is None
    if not terminal:
        assert sorted(shown.getvalue().split()) == sorted(f"<{number}>" for number in range(40))


def test_another_process_shows_nothing() -> None:
    progress, _ = on_terminal()
    sent = pickle.loads(pickle.dumps(progress))  # noqa: S301
    assert type(sent) is Progress


def test_a_workspace_is_the_same_whatever_it_shows(tmp_path: Path) -> None:
    silent = Workspace(tmp_path)
    loud = replace(silent, progress=TerminalProgress())
    assert silent.progress is SILENT
    assert loud == silent
    assert hash(loud) == hash(silent)
    assert repr(loud) == repr(silent)


def test_the_default(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)
    assert isinstance(default_progress(), LogProgress)
    assert isinstance(Workspace.from_environment(cache_dir=tmp_path).progress, LogProgress)
    given = Workspace.from_environment(cache_dir=tmp_path, progress=SILENT)
    assert given.progress is SILENT
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert isinstance(default_progress(), TerminalProgress)
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    monkeypatch.setitem(sys.modules, "ipykernel", sys)
    assert isinstance(default_progress(), TerminalProgress)
    monkeypatch.setattr(sys, "stderr", None)
    monkeypatch.delitem(sys.modules, "ipykernel")
    assert isinstance(default_progress(), LogProgress)


def test_rich_is_loaded_when_a_stage_is_shown() -> None:
    code = (
        "import sys; from hearbench.progress import *; p = TerminalProgress()\n"
        "assert 'rich' not in sys.modules; p.line('x'); assert 'rich' in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr == "x\n"
