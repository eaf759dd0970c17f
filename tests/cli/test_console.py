"""Whatever a text holds, the terminal isn't steered by it."""

from __future__ import annotations

import ast
import logging
import re
from pathlib import Path

import pytest
from helpers_cli import hearbench
from helpers_models import write_model
from helpers_tasks import make_scene_task
from hypothesis import given
from hypothesis import strategies as st
from rich.progress import Progress, TextColumn
from rich.table import Table
from rich.text import Text

from hearbench import cli
from hearbench.cli.terminal import LogLines, answer_line, say
from hearbench.console import PlainConsole
from hearbench.printable import printable
from hearbench.progress import TerminalProgress

HOSTILE = "[bold]a[/bold]\x1b]0;owned\x07\x1b[2J\x9b31m\r\x00\u202eb\u2066c\u2028\ud800:smile:"
STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
SHOWN = re.compile(r"\[bold\]a\[/bold\]\S*?b")


Capture = pytest.CaptureFixture[str]


def both(capsys: Capture) -> str:
    found = capsys.readouterr()
    return found.out + found.err


def drawn(console: PlainConsole, capsys: Capture) -> str:
    table = Table(title=HOSTILE, caption=HOSTILE)
    table.add_column(HOSTILE, footer=HOSTILE)
    table.add_column(Text("head"))
    table.add_row(HOSTILE, Text(HOSTILE, style="bold red"))
    console.print(table)
    console.print(HOSTILE, soft_wrap=True)
    console.print(Text(HOSTILE))
    console.rule(HOSTILE)
    with Progress(TextColumn("{task.description}", markup=False), console=console) as progress:
        progress.add_task(HOSTILE)
    return both(capsys)


def test_all_that_is_drawn_is_harmless(capsys: Capture) -> None:
    text = drawn(PlainConsole(width=200), capsys)
    assert not STEERING.search(text)
    # The title, caption and three cells of the table, and four more.
    assert len(SHOWN.findall(text)) == 9
    assert ":smile:" in text


def test_columns_stay_in_line(capsys: Capture) -> None:
    table = Table(box=None, show_header=False)
    table.add_row("\x07\x00\u202ea", "|")
    table.add_row("bbbb", "|")
    PlainConsole(width=40).print(table)
    first, second = both(capsys).splitlines()
    assert first.index("|") == second.index("|")


def test_on_a_terminal_colours_are_richs_own(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    text = drawn(PlainConsole(stderr=True, width=200), capsys)
    own = re.compile(r"\x1b\[(\d+(;\d+)*m|\?25[lh]|[12]?K|\d*A)|\r")
    assert "\x1b[1;31m" in text
    assert not STEERING.search(own.sub("", text))


def test_lines_warnings_and_what_is_logged(capsys: Capture) -> None:
    say(f"error: {HOSTILE}")
    answer_line(HOSTILE)
    progress = TerminalProgress()
    progress.line(HOSTILE)
    with progress.stage(HOSTILE) as tell:
        tell(0, 1, HOSTILE)
    record = logging.LogRecord("x", logging.WARNING, "x", 1, "%s", (HOSTILE,), None)
    LogLines().handle(record)
    text = both(capsys)
    assert not STEERING.search(text)
    assert len(text.splitlines()) == 5
    assert len(SHOWN.findall(text)) == 5


@given(st.text(st.characters(codec=None)))
def test_printable(text: str) -> None:
    found = printable(text)
    assert not STEERING.search(found)
    found.encode()
    if text.isprintable():
        assert found == text


def test_every_verb_prints_by_way_of_these() -> None:
    allowed = {"console.py", "terminal.py", "__init__.py"}
    for path in Path(cli.__file__).parent.glob("*.py"):
        if path.name in allowed:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module == "rich.console":
                names = {alias.name for alias in node.names}
                assert names <= {"Console"}, path
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                assert called not in {"print", "Console", "click.echo"}, path
                if called == "typer.echo":  # the version, which is hearbench's own
                    assert path.name == "app.py"


@pytest.mark.parametrize("there", [False, True])
def test_what_a_model_says_of_itself(tmp_path: Path, there: bool, quick_python: Path) -> None:
    more = ("--python", str(quick_python)) if there else ()
    extra = f"""
    class Loud:
        def __repr__(self):
            return {HOSTILE!r}
    def load_model(p=""):
        model = Stats()
        model.sample_rate = Loud()
        return model
    """
    path = write_model(tmp_path / "model", extra=extra)
    task = make_scene_task(tmp_path / "tasks")
    answer = hearbench(
        *("evaluate", str(path), "--task", str(task), "--out", str(tmp_path / "out")),
        *("--cache", str(tmp_path / "cache"), *more),
    )
    assert answer.code == 2
    assert "sample_rate is [bold]a[/bold]" in answer.stderr
    assert not STEERING.search(answer.stderr + answer.stdout)
