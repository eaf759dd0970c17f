"""Addresses of repositories, what git brings and what it doesn't, and weights by their SHA-256."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from helpers_http import Fault, serving
from helpers_models import noise
from helpers_rerun import CARD, GOOD, borrowed_packages, git, write_repository

from hearbench.digest import digest_bytes
from hearbench.errors import DownloadError, HearError, ResultError
from hearbench.leaderboard import origin
from hearbench.leaderboard.card import Card
from hearbench.leaderboard.origin import Origin, fetch_source, fetch_weights
from hearbench.leaderboard.package import find_package
from hearbench.models.environments import environment_for
from hearbench.models.loaded import Interpreter
from hearbench.models.loading import load_model
from hearbench.models.sandbox import _bubblewrap
from hearbench.workspace import Workspace

__all__ = ["borrowed_packages"]

HERE = "git+file:///somewhere/model.git"


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("https://example.org/a/b", "no address"),
        ("git+http://example.org/a/b@v1", "no address"),
        ("git+ssh://git@example.org/a/b@v1", "no address"),
        ("git+ext::sh -c touch% /x@v1", "no address"),
        ("git+https://me:secret@example.org/a/b@v1", "holds a name or password"),
        ("git+https://example.org/a/b@--upload-pack=x", "is no revision"),
        ("git+https://example.org/a/b@v1..v2", "is no revision"),
        ("git+https://example.org/a/b@", "is no revision"),
        ("git+https://example.org/a/b?x=1@v1", "no address"),
        ("git+file://host/a/b@v1", "no address"),
        ("git+https://example.org/@v1", "names no repository"),
        ("git+https://[example.org/a/b", "no address"),
    ],
)
def test_what_is_no_address(address: str, says: str, workspace: Workspace) -> None:
    with pytest.raises(HearError, match=says):
        fetch_source(address, workspace)
    assert not workspace.path("sources").exists()


def test_a_submission_names_the_very_commit() -> None:
    found = Origin(address="git+https://example.org/o/m.git@v1", commit="a" * 40)
    assert found.at_commit == f"git+https://example.org/o/m.git@{'a' * 40}"
    with pytest.raises(ValueError, match="no address"):
        Origin(address="https://example.org/o/m", commit="a" * 40)
    with pytest.raises(ValueError, match="commit"):
        Origin(address=HERE, commit="main")


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    return write_repository(
        tmp_path_factory.mktemp("git"), {"v1": "version = 1", "v2": "version = 2"}
    )


def test_a_revision_is_fetched_once(
    repository: tuple[Path, dict[str, str]],
    workspace: Workspace,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bare, commits = repository
    # Neither of these may lead git elsewhere.
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    monkeypatch.setenv("GIT_WORK_TREE", "/nowhere")
    address = f"git+file://{bare}"
    for revision, wanted in (
        ("@v1", "v1"), ("@v2", "v2"), ("@main", "v2"), ("", "v2"),
        (f"@{commits['v1']}", "v1"), (f"@{commits['v1'][:9]}", "v1"),
    ):  # fmt: skip
        found = fetch_source(f"{address}{revision}", workspace)
        assert found.commit == commits[wanted]
        assert (found.folder / "tone_bank.py").read_text() == f"version = {wanted[1]}"
    names = sorted(path.name for path in workspace.path("sources").iterdir())
    assert names == sorted(f"tone-bank-{commit[:16]}" for commit in commits.values())
    # Nothing is asked for that is there.
    monkeypatch.setattr(origin, "_git", None)
    assert fetch_source(f"{address}@{commits['v2']}", workspace).commit == commits["v2"]


def test_what_git_would_do_beside_bringing_files(
    tmp_path: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    (home / "hooks").mkdir(parents=True)
    hook = home / "hooks" / "post-checkout"
    hook.write_text(f"#!/bin/sh\ntouch {home}/ran\n")
    hook.chmod(0o755)
    template = home / "template" / "hooks"
    template.mkdir(parents=True)
    (template / "post-checkout").write_bytes(hook.read_bytes())
    (template / "post-checkout").chmod(0o755)
    (home / ".gitconfig").write_text(
        f"[core]\n\thooksPath = {home}/hooks\n[init]\n\ttemplateDir = {home}/template\n"
        "[submodule]\n\trecurse = true\n"
    )
    monkeypatch.setenv("HOME", str(home))
    bare, _ = write_repository(tmp_path / "git", {"v1": "version = 1"})
    tree = tmp_path / "git" / "tree"
    # The user's settings do what they say: a clone without care runs the hook.
    subprocess.run(
        ["git", "clone", "--quiet", str(bare), str(tmp_path / "careless")],  # noqa: S607
        check=True,
        timeout=60,
    )
    assert (home / "ran").exists()
    (home / "ran").unlink()
    git(tree, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(bare), "below")
    git(tree, "commit", "--quiet", "--message", "below")
    git(tree, "push", "--quiet", str(bare), "HEAD:main")
    found = fetch_source(f"git+file://{bare}@main", workspace)
    assert not (home / "ran").exists()
    assert [*(found.folder / "below").iterdir()] == []


def test_links_out_of_the_tree_are_refused(tmp_path: Path, workspace: Workspace) -> None:
    labels = tmp_path / "labels.json"
    labels.write_text("[1]")
    bare, _ = write_repository(tmp_path / "git", {"v1": "version = 1"})
    tree = tmp_path / "git" / "tree"
    (tree / "own.py").symlink_to("tone_bank.py")
    git(tree, "add", "--all")
    git(tree, "commit", "--quiet", "--message", "own")
    (tree / "data.json").symlink_to(labels)
    git(tree, "add", "--all")
    git(tree, "commit", "--quiet", "--message", "out")
    git(tree, "push", "--quiet", str(bare), "HEAD:main", "HEAD~:refs/heads/own")
    assert (fetch_source(f"git+file://{bare}@own", workspace).folder / "own.py").is_symlink()
    with pytest.raises(HearError, match=r"data\.json, that leads out"):
        fetch_source(f"git+file://{bare}@main", workspace)
    assert len([*workspace.path("sources").iterdir()]) == 1


def test_what_git_can_not_bring(
    repository: tuple[Path, dict[str, str]], workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare, _ = repository
    for address in (f"git+file://{bare}@v3", f"git+file://{bare}@{'0' * 40}", f"{HERE}@v1"):
        with pytest.raises(DownloadError, match=r"git (fetch|checkout) fails"):
            fetch_source(address, workspace)
    assert [*workspace.path("sources").iterdir()] == []
    monkeypatch.setattr(origin, "_GIT_S", 0.0)
    with pytest.raises(DownloadError, match="took longer"):
        fetch_source(f"git+file://{bare}@v1", workspace)
    monkeypatch.setenv("PATH", os.devnull)
    with pytest.raises(HearError) as refused:
        fetch_source(f"git+file://{bare}@v1", workspace)
    assert refused.value.code == "not_installed"


def test_weights_are_resumed_and_checked(workspace: Workspace) -> None:
    content = bytes(range(256)) * 400
    with serving() as source:
        source.files["w.bin"] = content
        source.faults["w.bin"] = [Fault("drop", 50_000)]
        url = f"{source.url}/w.bin"
        path = fetch_weights(url, workspace, sha256=digest_bytes(content))
        assert path.read_bytes() == content
        assert source.ranges("w.bin") == [None, "bytes=50000-"]
        assert fetch_weights(url, workspace) == path
        assert len(source.asked) == 2
        # What lies there is another file by now.
        path.write_bytes(b"other")
        assert fetch_weights(url, workspace, sha256=digest_bytes(content)).read_bytes() == content
        source.files["w.bin"] = b"another model's"
        with pytest.raises(DownloadError, match="aren't those that were submitted") as refused:
            fetch_weights(url, workspace, sha256=digest_bytes(b"x"))
        assert refused.value.code == "damaged"


def test_a_package_by_its_address(
    repository: tuple[Path, dict[str, str]], tmp_path: Path, workspace: Workspace
) -> None:
    bare, commits = repository
    weights = tmp_path / "w.txt"
    weights.write_text("2.5")
    found = find_package(f"git+file://{bare}@v1", workspace, weights=str(weights))
    assert found.card.model == "Tone bank"
    assert (found.module, found.weights) == ("tone_bank", str(weights))
    assert found.origin == Origin(
        address=f"git+file://{bare}@v1",
        commit=commits["v1"],
        weights_sha256=digest_bytes(b"2.5"),
        weights_bytes=3,
    )
    told = found.origin_with("3.9")
    assert told is not None
    assert told.python == "3.9"
    assert found.origin_with("/usr/bin/python3") == found.origin
    card = tmp_path / "card.toml"
    card.write_text(CARD + 'weights_url = "https://example.org/w"\n')
    with pytest.raises(ResultError, match=r"weights_url is https://example\.org/w, and"):
        find_package("installed.module", workspace, card=card, weights="https://example.org/v")
    with pytest.raises(ResultError, match="--card"):
        find_package("installed.module", workspace)
    assert find_package("installed.module", workspace, card=card).card == Card.read(card)


@pytest.mark.usefixtures("borrowed_packages")
def test_a_tree_that_is_read_in_place_is_there_in_the_sandbox(
    tmp_path: Path, workspace: Workspace
) -> None:
    try:
        _bubblewrap()
    except HearError as error:
        pytest.skip(str(error))
    bare, _ = write_repository(tmp_path / "git", {"v1": GOOD}, forgets_module=True)
    weights = tmp_path / "w.txt"
    weights.write_text("2.5")
    source = fetch_source(f"git+file://{bare}@v1", workspace)
    made = environment_for(["tone_bank"], str(source.folder), workspace=workspace)
    assert made.editable == source.folder
    host = Interpreter(made.python, sandbox=True, readable=(made.editable,))
    model = load_model("tone_bank", str(weights), workspace=workspace, interpreter=host)
    try:
        assert model.scene(noise(2, 0.5, 16000)).shape == (2, 16)
    finally:
        model.close()
