"""The folder of a site: replaced as a whole, and never in the place of anything else."""

from __future__ import annotations

from pathlib import Path

import pytest

from hearbench.errors import HearError
from hearbench.leaderboard.site import build
from hearbench.leaderboard.site.build import MARKER, write_folder


def content(out: Path) -> dict[str, bytes]:
    return {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in out.rglob("*")
        if path.is_file() and path.name != MARKER
    }


def test_an_older_site_is_replaced_as_a_whole(tmp_path: Path) -> None:
    out = tmp_path / "public" / "site"
    first = {"index.html": b"1", "models/a.html": b"a"}
    assert write_folder(out, first) == [out / "index.html", out / "models" / "a.html"]
    second = {"index.html": b"2", "models/b.html": b"b"}
    write_folder(out, second)
    assert content(out) == second
    assert [path.name for path in out.parent.iterdir()] == ["site"]


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    write_folder(tmp_path / "out", {"index.html": b"1"})
    (tmp_path / "empty").mkdir()
    write_folder(tmp_path / "empty", {"index.html": b"1"})
    assert content(tmp_path / "empty") == {"index.html": b"1"}


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["index.html"], "isn't a site"),
        (["thesis/chapter.tex"], "isn't a site"),
        ([MARKER], "isn't a site"),
    ],
)
def test_other_folders_are_left_alone(tmp_path: Path, names: list[str], message: str) -> None:
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("mine")
    with pytest.raises(HearError, match=message):
        write_folder(tmp_path, {"index.html": b"1"})
    assert all((tmp_path / name).read_text() == "mine" for name in names)


def test_files_that_were_put_into_a_site_keep_it_from_being_replaced(tmp_path: Path) -> None:
    out = tmp_path / "site"
    write_folder(out, {"index.html": b"1"})
    (out / "models").mkdir()
    (out / "models" / "notes.txt").write_text("mine")
    with pytest.raises(HearError, match=r"holds models/notes\.txt, which isn't of the site\."):
        write_folder(out, {"index.html": b"2"})
    assert content(out) == {"index.html": b"1", "models/notes.txt": b"mine"}


def test_a_file_in_its_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "site").write_text("mine")
    with pytest.raises(HearError, match="is a file"):
        write_folder(tmp_path / "site", {"index.html": b"1"})


def test_what_fails_half_way_leaves_the_older_site(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "site"
    write_folder(out, {"index.html": b"1"})

    def full(path: Path) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(build, "_flush", full)
        with pytest.raises(HearError, match="No space left on device"):
            write_folder(out, {"index.html": b"2"})
    assert content(out) == {"index.html": b"1"}

    rename = Path.rename

    def refuse_the_new(self: Path, target: Path) -> Path:
        if self.name == "new":
            raise OSError(13, "Permission denied")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refuse_the_new)
    with pytest.raises(HearError, match="Permission denied"):
        write_folder(out, {"index.html": b"2"})
    assert content(out) == {"index.html": b"1"}
    assert [path.name for path in tmp_path.iterdir()] == ["site"]
