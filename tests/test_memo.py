"""What was found out once holds until anything that it was made of changes, and never longer."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from hearbench import memo
from hearbench.memo import Memo, trust_process

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what is loaded")

TEXTS = ("weights.bin", "folder/a.txt", "folder/deep/b.txt", "linked/w.txt", "module.py")
VARIABLE = "A_SWITCH_OF_A_LIBRARY"
PACKAGE = "path/some-1.0.dist-info"
LATE = "path/late.py"
CHANGES = (*TEXTS, VARIABLE, PACKAGE, LATE, "folder/new.txt")


class Desk:
    """Everything that an answer is made of, and the answer that follows from it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for folder in ("folder/deep", "linked", "path"):
            (root / folder).mkdir(parents=True)
        (root / "folder/link").symlink_to(root / "linked")
        for name in TEXTS:
            (root / name).write_text("0")
        self.module = ModuleType("module_of_a_desk")
        self.module.__file__ = str(root / "module.py")

    def memo(self, *question: object) -> Memo:
        return Memo(self.root / "cache", "desk", *question)

    def truth(self) -> list[str | None]:
        """What would be found out now."""
        paths = (self.root / name for name in CHANGES)
        texts = [path.read_text() if path.is_file() else str(path.is_dir()) for path in paths]
        return [*texts, os.environ.get(VARIABLE)]

    def change(self, name: str, number: int) -> None:
        path = self.root / name
        if name == VARIABLE:
            os.environ[name] = str(number)
        elif name == PACKAGE:
            shutil.rmtree(path) if path.is_dir() else path.mkdir()
        elif number == 0 and name not in TEXTS:
            path.unlink(missing_ok=True)
        else:
            before = path.stat() if path.exists() else None
            path.write_text(str(number))
            if before is not None:  # as archives do
                os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    def remember(self, *places: Path) -> None:
        asked = self.memo()
        asked.recall()
        asked.remember(self.truth(), places or [self.root / "weights.bin", self.root / "folder"])


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A process that seems to have begun just now, and has loaded no torch.

    Other tests have left modules in it whose files are gone.
    """
    loaded = memo._files_of_process
    there = lambda: [path for path in loaded() if Path(path).is_file()]  # noqa: E731
    monkeypatch.setattr(memo, "_files_of_process", there)
    monkeypatch.setattr(memo, "_has_torch", lambda: False)
    monkeypatch.setattr(memo, "_began_ns", time.time_ns)
    monkeypatch.setenv(VARIABLE, "0")
    trust_process(True)
    yield
    trust_process(False)


@pytest.fixture
def desk(fresh: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    made = Desk(tmp_path)
    monkeypatch.setitem(sys.modules, "module_of_a_desk", made.module)
    monkeypatch.syspath_prepend(tmp_path / "path")
    settle()
    return made


def settle() -> None:
    """Waits until the clock of the disk has moved on."""
    time.sleep(0.03)


STEPS = st.lists(
    st.one_of(st.none(), st.tuples(st.sampled_from(CHANGES), st.integers(0, 2))), max_size=5
)


@given(steps=STEPS)
@example(steps=[None, *((name, 1) for name in CHANGES), None, *((name, 0) for name in CHANGES)])
@hypothesis_settings(
    max_examples=4,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_an_answer_is_never_an_earlier_one(
    fresh: None, steps: list[tuple[str, int] | None]
) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        desk = Desk(Path(folder))
        patch.setitem(sys.modules, "module_of_a_desk", desk.module)
        patch.syspath_prepend(desk.root / "path")
        os.environ[VARIABLE] = "0"
        for step in (None, *steps):
            before = desk.truth()
            if step is not None:
                desk.change(*step)
            recalled = desk.memo().recall()
            assert recalled in (None, desk.truth()), step
            if desk.truth() != before:
                assert recalled is None, step
            settle()
            desk.remember()
            assert desk.memo().recall() == desk.truth(), step


def test_each_question_has_its_answer(desk: Desk) -> None:
    desk.remember()
    assert desk.memo().recall() == desk.truth()
    assert desk.memo("another").recall() is None


def test_what_changes_with_every_terminal_changes_nothing(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.remember()
    for name in ("COLUMNS", "SSH_TTY", "SLURM_JOB_ID", "_"):
        monkeypatch.setenv(name, "7")
    assert desk.memo().recall() == desk.truth()
    monkeypatch.chdir(desk.root)
    assert desk.memo().recall() is None


def test_other_hardware_is_asked_again(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.remember()
    text = memo._text

    def other_gpu(path: Path) -> str:
        return text(path) + ("Model: another" if path.match("cpuinfo") else "")

    monkeypatch.setattr(memo, "_CPU", ("Model",))
    monkeypatch.setattr(memo, "_text", other_gpu)
    assert desk.memo().recall() is None


def test_a_file_that_changed_while_the_process_ran_is_not_relied_on(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    began_ns = time.time_ns()
    monkeypatch.setattr(memo, "_began_ns", lambda: began_ns)
    settle()
    desk.change("weights.bin", 1)
    desk.remember()
    assert desk.memo().recall() is None


def test_nothing_is_kept_after_code_of_others_has_run(desk: Desk) -> None:
    trust_process(False)
    desk.remember()
    assert not (desk.root / "cache").exists()


def test_nothing_is_recalled_where_torch_is_loaded(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.remember()
    monkeypatch.setattr(memo, "_has_torch", lambda: True)
    assert desk.memo().recall() is None


@pytest.mark.parametrize("damage", ["", "[]", "{", '{"sha256": null}', "0" * 9999])
def test_a_damaged_answer_is_none(desk: Desk, damage: str) -> None:
    desk.remember()
    (path,) = (desk.root / "cache").iterdir()
    whole = path.read_text()
    path.write_text(damage)
    assert desk.memo().recall() is None
    path.write_text(whole.replace('"answer": ["0"', '"answer": ["9"'))
    assert desk.memo().recall() is None
    path.write_text(whole)
    assert desk.memo().recall() == desk.truth()


def test_folders_without_end_are_not_relied_on(desk: Desk) -> None:
    (desk.root / "folder/circle").symlink_to(desk.root / "folder")
    (desk.root / "folder/deep/circle").symlink_to(desk.root / "folder")
    settle()
    desk.remember()
    assert desk.memo().recall() is None


def test_a_process_knows_when_it_began() -> None:
    before_ns = time.time_ns()
    with Path("/proc/uptime").open() as file:
        up_s = float(file.read().split()[0])
    assert before_ns - up_s * 1e9 - 1e9 < memo._began_ns() < before_ns
