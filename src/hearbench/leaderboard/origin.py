"""Where a submission comes from: a commit of a git repository, and weights by their checksum.

An address is ``git+https://HOST/ORG/REPO@REVISION``. git is run without prompts, hooks,
submodules and large-file filters, and within a time limit. The tree of a commit is kept in the
cache, where the environment that is made from it finds it again.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from hearbench.digest import digest_bytes, digest_file, short
from hearbench.errors import DownloadError, HearError
from hearbench.files import TEMPORARY_PREFIX
from hearbench.models.environments import SOURCES
from hearbench.records import Record
from hearbench.tasks.spec import is_plain_name
from hearbench.workspace import Workspace

__all__ = ["Origin", "Source", "fetch_source", "fetch_weights", "is_address", "is_web_address"]

WEIGHTS = "weights"
"""Of the cache, where weights lie that were fetched."""

_SCHEME = "git+"
_KINDS = ("https", "file")
_REVISION = re.compile(r"[A-Za-z0-9_][\w./+-]*", re.ASCII)
_HASH = re.compile(r"[0-9a-f]{7,64}")
_COMMIT = r"[0-9a-f]{40}([0-9a-f]{24})?"
_GIT_S = 1800
_SHOWN_LINES = 10
# What a user's own settings may have git do beside bringing files.
_SETTINGS = {
    "core.hooksPath": os.devnull,
    "core.autocrlf": "false",
    "core.fsmonitor": "false",
    "fetch.recurseSubmodules": "false",
    "submodule.recurse": "false",
    "gc.auto": "0",
    "maintenance.auto": "false",
    "advice.detachedHead": "false",
    "protocol.allow": "never",
    "protocol.https.allow": "always",
    "protocol.file.allow": "always",
}
_VARIABLES = {
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_ASKPASS": "true",
    "SSH_ASKPASS": "true",
    "GCM_INTERACTIVE": "never",
    "GIT_LFS_SKIP_SMUDGE": "1",
    "LC_ALL": "C",
}


def is_address(text: str) -> bool:
    """Whether a text is meant as the address of a git repository."""
    return text.startswith(_SCHEME)


def is_web_address(text: str) -> bool:
    """Whether a text is meant as the address of a file on the web."""
    return text.lower().startswith(("http://", "https://"))


def _address(text: str) -> str:
    try:
        _Repository.of(text)
    except HearError as error:
        raise ValueError(str(error)) from error  # which pydantic collects
    return text


class Origin(Record):
    """Where a submitted model's code and weights can be had.

    Attributes:
        address: Of the code, as ``git+https://HOST/ORG/REPO@REVISION``.
        commit: What the revision stood for.
        weights_sha256: SHA-256 of the weights' file; null for a model that brings its own.
        weights_bytes: Size of that file.
        python: Interpreter that its environment was asked to be made from; null for hearbench's.
    """

    address: Annotated[str, Field(max_length=500), AfterValidator(_address)]
    commit: Annotated[str, Field(pattern=rf"^{_COMMIT}$")]
    weights_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    weights_bytes: Annotated[int, Field(ge=0)] | None = None
    python: Annotated[str, Field(pattern=r"^3(\.\d+){1,2}$")] | None = None

    @property
    def at_commit(self) -> str:
        """The address of the very commit."""
        return f"{_SCHEME}{_Repository.of(self.address).url}@{self.commit}"


@dataclass(frozen=True)
class Source:
    """The source tree of a commit.

    Attributes:
        folder: In the cache.
        commit: 40 hexadecimal digits, or 64 of a repository by SHA-256.
    """

    folder: Path
    commit: str


@dataclass(frozen=True)
class _Repository:
    """A repository as git knows it, and what is wanted of it."""

    url: str
    name: str
    revision: str

    @classmethod
    def of(cls, text: str) -> _Repository:
        """Reads an address.

        Raises:
            HearError: It is none that can be used.
        """
        wanted = "Give git+https://HOST/ORG/REPO@REVISION."
        try:
            parts = urlsplit(text.removeprefix(_SCHEME))
        except ValueError as error:
            raise _no_address(text, f"{error}. {wanted}") from error
        path, at, revision = parts.path.rpartition("@")
        path = path if at else revision
        name = path.rstrip("/").rpartition("/")[2].removesuffix(".git")
        if not is_address(text) or parts.scheme not in _KINDS:
            raise _no_address(text, wanted)
        if "@" in parts.netloc:
            # It is written into a submission, which everybody reads.
            raise _no_address(text, "it holds a name or password. Leave it to git's own settings.")
        if bool(parts.netloc) != (parts.scheme == "https") or parts.query or parts.fragment:
            raise _no_address(text, wanted)
        if at and not (_REVISION.fullmatch(revision) and ".." not in revision):
            raise _no_address(text, f"{revision!r} is no revision. {wanted}")
        if not is_plain_name(name) or any(c.isspace() or not c.isprintable() for c in path):
            raise _no_address(text, f"its path names no repository. {wanted}")
        return cls(f"{parts.scheme}://{parts.netloc}{path}", name, revision if at else "HEAD")


def _no_address(text: str, why: str) -> HearError:
    return HearError(f"{text[:200]!r} is no address of a repository: {why}")


def fetch_source(address: str, workspace: Workspace) -> Source:
    """Gets the source tree of a revision from its repository, or finds it in the cache.

    No hook is run, no submodule fetched, and files that git keeps elsewhere (LFS) stay the
    pointers that they are.

    Args:
        address: ``git+https://HOST/ORG/REPO@REVISION``, of a branch, a tag or a commit, or without
            one of them for the repository's default. ``git+file:///PATH`` is one of this machine.
        workspace: Where the cache is, and who is shown progress.

    Raises:
        HearError: It is no address, git isn't installed, or the tree has links out of itself.
        DownloadError: The repository or the revision can't be had.
    """
    wanted = _Repository.of(address)
    known = workspace.path(SOURCES, f"{wanted.name}-{short(wanted.revision)}")
    if re.fullmatch(_COMMIT, wanted.revision) and known.is_dir():
        return Source(known, wanted.revision)
    root = workspace.path(SOURCES)
    root.mkdir(parents=True, exist_ok=True)
    new = Path(tempfile.mkdtemp(prefix=TEMPORARY_PREFIX, dir=root))
    try:
        with workspace.progress.stage(f"fetching {address}"):
            commit = _checked_out(wanted, new)
        _refuse_links_out(new, address)
        place = workspace.path(SOURCES, f"{wanted.name}-{short(commit)}")
        if not place.is_dir():
            new.chmod(0o755)
            with contextlib.suppress(FileExistsError):  # by another process, with the same in it
                new.rename(place)
    finally:
        shutil.rmtree(new, ignore_errors=True)
    return Source(place, commit)


def _checked_out(wanted: _Repository, folder: Path) -> str:
    """Fills an empty folder with a revision; its commit."""
    _git(folder, "init", "--quiet", "--template=", ".")
    fetch = ["fetch", "--quiet", "--no-tags", "--no-recurse-submodules"]
    target = "FETCH_HEAD"
    try:
        _git(folder, *fetch, "--depth=1", "--", wanted.url, wanted.revision)
    except DownloadError:
        if not _HASH.fullmatch(wanted.revision):
            raise
        # A server may hand out what has a name only, and none knows the beginning of a hash.
        everything = ["+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"]
        _git(folder, *fetch, "--", wanted.url, *everything)
        target = wanted.revision
    _git(folder, "checkout", "--quiet", "--detach", target)
    return _git(folder, "rev-parse", "HEAD").strip()


def _git(folder: Path, *arguments: str) -> str:
    """Runs git in a folder, and returns what it prints.

    Raises:
        HearError: There is no git.
        DownloadError: It fails, or takes too long.
    """
    program = shutil.which("git")
    if program is None:
        raise HearError(
            "There is no git on the PATH, which fetching a repository takes. Install it, or give "
            "a folder.",
            code="not_installed",
        )
    settings = [item for key, value in _SETTINGS.items() for item in ("-c", f"{key}={value}")]
    # Variables such as GIT_DIR would lead it elsewhere.
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    with subprocess.Popen(  # noqa: S603
        [program, *settings, *arguments],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**environment, **_VARIABLES},
        text=True,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,
    ) as process:
        try:
            shown, wrong = process.communicate(timeout=_GIT_S)
        except subprocess.TimeoutExpired as error:
            raise DownloadError(
                f"git {arguments[0]} took longer than {_GIT_S} s, and was ended."
            ) from error
        finally:
            _end(process)
    if process.returncode:
        lines = ["".join(c for c in line if c.isprintable()) for line in wrong.splitlines()]
        end = "\n".join(lines[-_SHOWN_LINES:])
        raise DownloadError(f"git {arguments[0]} fails:\n{end}")
    return shown


def _end(process: subprocess.Popen[str]) -> None:
    """Ends git, and what it has started, unless it is over."""
    if process.poll() is not None:
        return
    if sys.platform == "win32":
        process.kill()
    else:
        with contextlib.suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)


def _refuse_links_out(folder: Path, address: str) -> None:
    """Refuses links that would have pip copy files of this machine into an environment."""
    root = folder.resolve()
    for place, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(place, name)
            try:
                leads_out = path.is_symlink() and not path.resolve().is_relative_to(root)
            except (OSError, RuntimeError):
                leads_out = True  # in a circle
            if leads_out:
                shown = path.relative_to(folder).as_posix()
                raise HearError(
                    f"{address} has a link, {shown}, that leads out of its tree. Put the file "
                    "itself there."
                )


def fetch_weights(url: str, workspace: Workspace, *, sha256: str | None = None) -> Path:
    """Gets weights from the web, or finds them in the cache; a transfer that broke is resumed.

    Args:
        url: http or https.
        workspace: Where the cache is, and who is shown progress.
        sha256: What the file must be. What lies in the cache and is something else is fetched
            again.

    Raises:
        DownloadError: They can't be had, or are others than they should be.
    """
    # Brings requests along.
    from hearbench.tasks.fetch import RemoteFile, fetch_each

    name = urlsplit(url).path.rpartition("/")[2]
    folder = workspace.path(WEIGHTS, short(digest_bytes(url.encode())))
    file = RemoteFile(name if is_plain_name(name) else "weights", url)
    path = folder / file.name
    if sha256 is not None and path.is_file() and digest_file(path) != sha256:
        path.unlink()
    (found,) = fetch_each(
        [file],
        folder,
        # A mirror has the benchmark's files.
        workspace=replace(workspace, mirror=None),
        hand_in="--weights FILE",
    )
    if isinstance(found, DownloadError):
        raise found
    check_weights(found, sha256, url)
    return found


def check_weights(path: Path, sha256: str | None, where: str) -> None:
    """Refuses a file of weights that isn't the one that was submitted.

    Raises:
        DownloadError: It has another SHA-256 than it should; none is known of what is no file.
    """
    if sha256 is None:
        return
    there = digest_file(path) if path.is_file() else "none, as it is no file"
    if there != sha256:
        raise DownloadError(
            f"The weights at {where} aren't those that were submitted: their SHA-256 is {there}, "
            f"and {sha256} was submitted. Ask the submission's team for the file.",
            code="damaged",
        )
