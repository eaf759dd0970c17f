"""The script of the whole check: it brings the programs that tests need, or says why it can't."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / ".ci" / "run"
PROGRAMS = {
    "chromium": "chromium",
    "chromedriver": "chromium-driver",
    "unar": "unar",
    "bwrap": "bubblewrap",
}
# Installs what it has by making the program, as a package would.
APT = """
case "$*" in
    *update*) echo updated >> "$FOLDER/asked"; [ "$UPDATE" = works ] ;;
    *) for package in "$@"; do :; done
       echo "$package" >> "$FOLDER/asked"
       case " $KNOWN " in
           *" $package "*) exit 0 ;;
           *) echo "E: Unable to locate package $package" >&2; exit 100 ;;
       esac ;;
esac
"""


@pytest.fixture
def check(tmp_path: Path) -> Path:
    """A checkout whose ``make test`` says that it ran, on a machine that has next to nothing."""
    if not SCRIPT.is_file():
        pytest.skip("the script isn't part of an sdist")
    (tmp_path / "repo" / ".ci").mkdir(parents=True)
    shutil.copy(SCRIPT, tmp_path / "repo" / ".ci" / "run")
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("sh", "dirname", "mktemp", "rm", "tail", "timeout"):
        found = shutil.which(name)
        assert found
        (folder / name).symlink_to(found)
    program(folder / "make", 'echo "make $*"; exit 3')
    program(folder / "id", "echo 0")
    return tmp_path


def program(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def run(checkout: Path, **environment: str) -> tuple[list[str], list[str]]:
    """What the check printed, and what was asked of the system's packages."""
    done = subprocess.run(
        [checkout / "repo" / ".ci" / "run"],
        env={
            "PATH": str(checkout / "bin"),
            "TMPDIR": str(checkout),
            "FOLDER": str(checkout),
            "UPDATE": "works",
            **environment,
        },
        capture_output=True,
        text=True,
    )
    # Whatever becomes of the programs, the tests decide.
    assert done.returncode == 3, done.stderr
    assert done.stderr == ""
    *told, last = done.stdout.splitlines()
    assert last == "make test"
    asked = checkout / "asked"
    return told, asked.read_text().split() if asked.exists() else []


@pytest.mark.parametrize("update", ["works", "fails"])
def test_what_is_missing_is_installed_quietly(check: Path, update: str) -> None:
    program(check / "bin" / "apt-get", APT)
    program(check / "bin" / "unar", "")
    told, asked = run(check, KNOWN=" ".join(PROGRAMS.values()), UPDATE=update)
    assert told == []
    assert asked == ["updated", "chromium", "chromium-driver", "bubblewrap"]


def test_one_that_is_unknown_keeps_no_other_away(check: Path) -> None:
    program(check / "bin" / "apt-get", APT)
    (told,), asked = run(check, KNOWN="chromium chromium-driver unar")
    assert told.startswith("bwrap is missing")
    assert told.endswith("Unable to locate package bubblewrap")
    assert asked == ["updated", *PROGRAMS.values()]


@pytest.mark.parametrize("lacks", ["apt-get", "root"])
def test_where_it_may_not_it_says_why_and_goes_on(check: Path, lacks: str) -> None:
    if lacks == "root":
        program(check / "bin" / "apt-get", APT)
        program(check / "bin" / "id", "echo 1000")
    told, asked = run(check)
    assert asked == []
    assert [line.split()[0] for line in told] == list(PROGRAMS)
    assert all(lacks in line for line in told)


def test_nothing_is_asked_where_all_is_there(check: Path) -> None:
    for name in PROGRAMS:
        program(check / "bin" / name, "")
    program(check / "bin" / "apt-get", APT)
    assert run(check) == ([], [])
    assert not [*check.glob("tmp.*")]
