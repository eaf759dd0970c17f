from __future__ import annotations

from pathlib import Path

import pytest

from hearbench.errors import ModelError
from hearbench.models.environments import installable


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    folder = tmp_path / "My model (new)"
    (folder / "src" / "pkg").mkdir(parents=True)
    (folder / "pyproject.toml").write_text("[project]\nname = 'pkg'\n")
    (folder / "src" / "pkg" / "api.py").write_text("x = 1\n")
    (folder / "src" / "pkg" / "weights.bin").write_bytes(b"\0" * 10)
    return folder


def test_a_source_tree_is_known_by_its_files(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = installable(str(tree))
    assert (found.name, found.argument) == ("My-model-new", str(tree))
    monkeypatch.chdir(tree.parent)
    again = installable(f"./{tree.name}")
    assert (again.content, again.argument) == (found.content, str(tree))
    (tree / "pyproject.toml").rename(tree / "setup.py")
    renamed = installable(str(tree)).content
    assert renamed != found.content
    (tree / "src" / "pkg" / "weights.bin").write_bytes(b"\0" * 9 + b"\1")
    assert installable(str(tree)).content != renamed


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("build/lib/pkg/api.py", False),
        ("dist/pkg.whl", False),
        (".git/HEAD", False),
        ("src/pkg/__pycache__/api.pyc", False),
        ("src/pkg.egg-info/PKG-INFO", False),
        (".venv/bin/python", False),
        ("my-environment/pyvenv.cfg", False),
        # A package may well be called so, only not where builds go.
        ("src/pkg/build/graph.py", True),
        ("src/pkg/data/labels.csv", True),
        ("README.md", True),
    ],
)
def test_what_builds_leave_behind_does_not_count(tree: Path, name: str, counts: bool) -> None:
    before = installable(str(tree)).content
    path = tree / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("new")
    assert (installable(str(tree)).content != before) is counts


def test_links_count_by_where_they_lead_and_what_is_there(tree: Path) -> None:
    digests = []
    outside = tree.parent / "shared.py"
    for change in (
        lambda: outside.write_text("y = 1\n"),
        lambda: (tree / "link.py").symlink_to(outside),
        lambda: outside.write_text("y = 2\n"),
        lambda: (tree / "folder").symlink_to(tree / "src"),
        lambda: (tree / "gone").symlink_to("nowhere"),
    ):
        change()
        digests.append(installable(str(tree)).content["tree"])
    assert len(set(digests)) == 5


def test_archives_are_known_by_their_content(tmp_path: Path) -> None:
    path = tmp_path / "pkg-1.0-py3-none-any.whl"
    path.write_bytes(b"one")
    found = installable(str(path))
    assert (found.name, found.argument) == (path.name, str(path))
    path.write_bytes(b"two")
    assert installable(str(path)).content != found.content


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        ("hear-model==1.2", "hear-model"),
        (" hear.model [gpu] >= 1, < 2 ", "hear.model"),
        ("pkg @ file:///somewhere/pkg-1.0.tar.gz", "pkg"),
        ("pkg @ git+https://example.org/pkg.git@v1", "pkg"),
    ],
)
def test_requirements_are_known_by_their_text(spec: str, name: str) -> None:
    found = installable(spec)
    assert (found.name, found.argument) == (name, spec.strip())
    assert found.content == {"requirement": spec.strip()}


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("./nowhere", "no source tree that is there"),
        ("nowhere/", "no source tree that is there"),
        ("my_pkg_src", r"With its version it would be one: my_pkg_src==1\.2"),
        ("pkg[gpu]", r"would be one: pkg\[gpu\]==1\.2"),
        ("--index-url=https://example.org", "no requirement of pip"),
        ("-e .", "no requirement of pip"),
        ("a==1\n--pre", "no requirement of pip"),
        ("", "no requirement of pip"),
        ("pkg-1.0.whl", "no source tree that is there"),
        ("model.py", "no source tree that is there"),
        ("tests", r"tests has no pyproject\.toml and no setup\.py"),
    ],
)
def test_what_pip_must_not_get_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spec: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tests").mkdir()
    (tmp_path / "model.py").write_text("")
    with pytest.raises(ModelError, match=message):
        installable(spec)


def test_several_requirements() -> None:
    one, two = installable(["hk-model==1.0"]), installable(["hk-model==1.0", "einops", "b<2"])
    assert one.content == installable("hk-model==1.0").content
    assert (two.name, two.argument, two.beside) == ("hk-model", "hk-model==1.0", ("einops", "b<2"))
    assert two.spec == "hk-model==1.0, einops, b<2"
    assert two.content != one.content
    with pytest.raises(ModelError, match="no requirement of pip"):
        installable(["einops", "hk-model==1.0"])
