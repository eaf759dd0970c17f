"""The tutorials are followed to the letter, each from an empty folder.

A comment before a block says what it is for:

    <!-- run -->               bash or Python that is run; `run: exit 1` has to end with that code
    <!-- run: slow -->         likewise, but only with `-m real`
    <!-- file: NAME -->        a block that is saved under this name
    <!-- output -->            words that the last run has to print, in this order
    <!-- output: exact -->     all that it has to print on stdout
    <!-- makes: PATH -->       what has to be there now; `makes: slow PATH` only with `-m real`
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TUTORIALS = [
    *sorted((ROOT / "docs/tutorials").glob("[!i]*.md")),
    *(
        ROOT / "docs" / name
        for name in (
            "distance.md",
            "layers.md",
            "python.md",
            "regression.md",
            "robustness.md",
            "zero-shot.md",
        )
    ),
]

_STEP = re.compile(
    r"<!-- (?P<what>run|file|output|makes)(?:: (?P<how>[^>]+))? -->\n"
    r"(?:```(?P<language>\w*)\n(?P<code>.*?)^```$)?",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Step:
    """A comment, and the block below it if there is one."""

    what: str
    how: str
    language: str
    code: str


def steps(page: str) -> list[Step]:
    found = [
        Step(*(match[name] or "" for name in ("what", "how", "language", "code")))
        for match in _STEP.finditer(page)
    ]
    assert len(found) == len(re.findall(r"<!--", page))  # none is misspelt
    return found


def variables(programs: Path, folder: Path) -> dict[str, str]:
    """Those with which a folder's `python` and `hearbench` are found, and a cache of their own."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("HEARBENCH_")}
    return {
        **kept,
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "HEARBENCH_CACHE": str(folder / "cache"),
        "HEARBENCH_DEVICE": "cpu",
        "COLUMNS": "100",
        # Tests run beside each other, and threads of all would only wait for each other.
        "OMP_NUM_THREADS": "1",
    }


@pytest.fixture
def environment(tmp_path: Path, preloaded: Path) -> dict[str, str]:
    """Variables for tutorials that install nothing."""
    return variables(preloaded, tmp_path)


@pytest.fixture
def own_environment(tmp_path: Path) -> dict[str, str]:
    """Variables with which `python` and `hearbench` are those of an environment of its own.

    What the tutorial installs goes there, and never among the packages of whoever runs the tests.
    """
    own = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", own], check=True)
    packages = next(own.glob("lib/python*/site-packages"))
    seen = [path for path in sys.path if path.endswith("-packages")]
    (packages / "seen.pth").write_text("\n".join([*seen, str(ROOT / "src")]) + "\n")
    program = own / "bin/hearbench"
    program.write_text(
        f"#!{own}/bin/python\nimport sys\n\nfrom hearbench.cli import main\n\nsys.exit(main())\n"
    )
    program.chmod(0o755)
    return {**variables(own / "bin", tmp_path), "VIRTUAL_ENV": str(own)}


def words(text: str) -> Iterator[str]:
    """What of an output is the same each time: words, without numbers and units of time."""
    for word in re.findall(r"[A-Za-z_][\w.-]+", text):
        if word not in ("ms", "min"):
            yield word.rstrip(".")


def follow(page: Path, folder: Path, environment: dict[str, str], *, slow: bool) -> None:
    printed, stdout, ran = "", "", True
    for step in steps(page.read_text(encoding="utf-8")):
        if step.what == "file":
            (folder / step.how).write_text(step.code, encoding="utf-8")
        elif step.what == "makes":
            if slow or not step.how.startswith("slow "):
                path = step.how.removeprefix("slow ")
                assert (folder / path).exists(), path
        elif step.what == "output":
            if not ran:
                continue
            if step.how == "exact":
                assert stdout == step.code
            else:
                rest = iter(words(printed))
                missing = [word for word in words(step.code) if word not in rest]
                assert not missing, (missing, printed)
        else:
            ran = slow or step.how != "slow"
            if not ran:
                continue
            program = {"bash": ["bash", "-e"], "python": ["python"]}[step.language]
            done = subprocess.run(
                [*program, "-c", step.code],
                cwd=folder,
                env=environment,
                capture_output=True,
                text=True,
            )
            expected = int(step.how.removeprefix("exit ")) if step.how.startswith("exit") else 0
            assert done.returncode == expected, (step.code, done.stdout, done.stderr)
            stdout, printed = done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.stem)
def test_tutorials_can_be_followed(page: Path, tmp_path: Path, environment: dict[str, str]) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    follow(page, folder, environment, slow=False)


@pytest.mark.real
@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.stem)
def test_tutorials_can_be_followed_whole(
    page: Path, tmp_path: Path, own_environment: dict[str, str]
) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    follow(page, folder, own_environment, slow=True)


def test_a_step_that_fails_is_seen(tmp_path: Path, environment: dict[str, str]) -> None:
    for wrong in (
        "<!-- run -->\n```bash\nfalse\n```\n",
        "<!-- run -->\n```python\nprint('one')\n```\n<!-- output -->\n```\ntwo\n```\n",
        "<!-- run -->\n```python\nprint(1)\n```\n<!-- output: exact -->\n```\n2\n```\n",
        "<!-- makes: nothing.txt -->\n",
        "<!-- rum -->\n```bash\ntrue\n```\n",
    ):
        page = tmp_path / "page.md"
        page.write_text(wrong)
        with pytest.raises(AssertionError):
            follow(page, tmp_path, environment, slow=False)
