"""Verbs are imported when they are called; until then the help knows a line of each."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from helpers_cli import hearbench

from hearbench.cli.app import VERBS


@pytest.mark.parametrize("words", VERBS)
def test_the_line_is_that_of_the_verb_itself(words: str) -> None:
    verb = VERBS[words]
    assert verb.load().help.partition("\n\n")[0].replace("\n", " ") == verb.help


# Prints what is loaded once the help has been shown, behind the help.
SHOWN = """
import json, sys
from hearbench.cli import main
from hearbench.cli.app import app
for words in json.loads(sys.argv[1]):
    try:
        app(words)
    except SystemExit as end:
        assert not end.code, words
print("\\n" + json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
print(json.dumps([name for name in sys.modules if name.startswith("hearbench.")]))
"""


def after(*calls: list[str]) -> tuple[str, set[str], set[str]]:
    """What is printed, and which packages and which modules of hearbench it took."""
    done = subprocess.run(
        [sys.executable, "-c", SHOWN, json.dumps(calls)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    *shown, packages, modules = done.stdout.splitlines()
    return "\n".join(shown), set(json.loads(packages)), set(json.loads(modules))


def test_help_and_version_import_no_verb_and_nothing_heavy() -> None:
    shown, packages, modules = after(["--help"], ["--version"])
    assert "leaderboard  The benchmark's table" in shown
    heavy = {"torch", "pandas", "scipy", "pydantic", "numpy", "rich", "sklearn", "soundfile"}
    assert packages & heavy == set()
    verbs = {f"hearbench.cli.{verb.home.partition(':')[0]}" for verb in VERBS.values()}
    assert len(verbs) > 15
    assert modules & verbs == set()
    shown, _, modules = after(["leaderboard", "--help"])
    assert "figures     Writes the numbers" in shown
    assert modules & verbs == set()


def test_the_help_of_a_verb_needs_no_library() -> None:
    shown, packages, _ = after(*([*words.split(), "--help"] for words in VERBS))
    assert shown.count("Usage: ") == len(VERBS)
    assert packages & {"numpy", "pandas", "scipy", "sklearn", "soundfile", "torch"} == set()


def test_options_stand_in_panels() -> None:
    shown = hearbench("evaluate", "--help").stdout
    panels = {
        panel: shown.index(f"\n{panel}:\n")
        for panel in ("Arguments", "Data", "Model", "Probe", "Further results", "Where it runs")
    }
    assert list(panels.values()) == sorted(panels.values())
    assert panels["Model"] < shown.index("\n  --weights ") < panels["Probe"]
    assert panels["Probe"] < shown.index("\n  --seeds ") < panels["Further results"]
    assert panels["Where it runs"] < shown.index("\n  --executor ")
    # A verb with a handful of options has them in one place.
    assert "\nOptions:\n" in hearbench("compare", "--help").stdout


def test_a_slip_is_told_without_importing_verbs() -> None:
    answer = hearbench("evalute")
    assert answer.code == 2
    assert "No such command 'evalute'" in answer.stderr
    assert "'evaluate'" in answer.stderr
    below = hearbench("leaderboard", "sow")
    assert below.code == 2
    assert "'show'" in below.stderr
