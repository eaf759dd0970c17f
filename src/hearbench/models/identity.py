"""Which model it is, by content: what makes two models the same wherever they run.

No paths, folders of users or names of machines are part of it, and nothing of what other models
did in the process before.
"""

from __future__ import annotations

import functools
import re
import stat
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any

from hearbench.digest import digest_bytes, digest_file
from hearbench.files import is_file
from hearbench.models.source import places_digest

__all__ = ["Seen", "changed_files", "seen_of"]

# A checkpoint in the cache of the hub's client, which names folders by what is in them.
_SNAPSHOT = re.compile(r"(models--[^/]+)/snapshots/([0-9a-f]{7,64})/")
_COMPILED = re.compile(
    rb"\b(safetensors|onnxruntime|h5py|tflite_runtime|torch\.jit\.load|saved_model\.load|"
    rb"load_weights|train\.Checkpoint|ctypes|sqlite3|from_file|soundfile|torchaudio\.load|"
    rb"librosa\.load|pyarrow|lmdb|openvino|faiss|sentencepiece|dir_fd)\b"
)


@dataclass(frozen=True)
class Seen:
    """What a model has read beside its module's own source, as far as that can be seen.

    Attributes:
        files: Digests of files, by path; also of its source that lies elsewhere.
        variables: Digests of environment variables that its code looked up, by name; None for
            those that aren't set.
        packages: Digests of the source of installed packages that it imports, by name.
        unseen: What else it took in, which can't be seen.
    """

    files: Mapping[str, str] = field(default_factory=dict)
    variables: Mapping[str, str | None] = field(default_factory=dict)
    packages: Mapping[str, str] = field(default_factory=dict)
    unseen: tuple[str, ...] = ()

    def identity(self) -> dict[str, object]:
        """What of it makes the model another one, without places; empty if there is nothing."""
        found: dict[str, object] = {}
        if self.files:
            names = _short_names(self.files)
            found["read"] = sorted([names[path], digest] for path, digest in self.files.items())
        if self.variables:
            found["variables"] = dict(self.variables)
        if self.packages:
            found["packages"] = dict(self.packages)
        return found

    def contradicts(self, other: Seen) -> bool:
        """Whether something that both have read was another for each."""
        pairs = (
            (self.files, other.files),
            (self.variables, other.variables),
            (self.packages, other.packages),
        )
        return any(
            ours[key] != theirs[key] for ours, theirs in pairs for key in ours if key in theirs
        )

    def since(self, before: Seen) -> Seen:
        """What has come to it."""
        return Seen(
            {key: value for key, value in self.files.items() if key not in before.files},
            {key: value for key, value in self.variables.items() if key not in before.variables},
            {key: value for key, value in self.packages.items() if key not in before.packages},
            tuple(item for item in self.unseen if item not in before.unseen),
        )


def seen_of(
    said: Mapping[str, Any],
    source: Collection[Path],
    *,
    readable: Collection[Path] | None = None,
    libraries: Collection[Path] | None = None,
) -> Seen:
    """What a model has read, with the content of it.

    Args:
        said: As `hearbench.worker.imports.all_read` says it, perhaps in another process.
        source: Files and folders of the model's source, which are told of elsewhere.
        readable: Files and folders beyond which a process that is walled in can read nothing.
        libraries: Where packages can be installed; None for anywhere.
    """
    files: dict[str, str] = {}
    unseen = list(said["unseen"])
    for text in said["files"]:
        path = Path(text)
        if path.suffix == ".py" and is_file(path):
            unseen += _compiled_readers(path)
        if _is_below(path, source) and path.suffix == ".py":
            continue
        if readable is not None and not _is_below(path, readable):
            continue
        digest = _digest(path)
        if digest is not None:
            checkpoint = _SNAPSHOT.search(path.as_posix())
            if checkpoint is not None:
                # Also what compiled code reads of it.
                files[checkpoint[1]] = digest_bytes(checkpoint[2].encode())
            files[text] = digest
    packages = {
        name: places_digest(places)
        for name, places in said["packages"].items()
        if _are_packages(places, libraries)
    }
    return Seen(files, dict(said["variables"]), packages, tuple(dict.fromkeys(unseen)))


def changed_files(files: Mapping[str, str]) -> list[str]:
    """Which of some files, by path, haven't the digest any more that they had."""
    return [path for path, digest in files.items() if _digest(Path(path)) != digest]


def _digest(path: Path) -> str | None:
    """The digest of a file's content; None if there is none that can be read."""
    try:
        facts = path.stat()
        if not stat.S_ISREG(facts.st_mode):
            return None
        return _known_digest(
            path, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns, facts.st_ino
        )
    except (OSError, ValueError):
        return None  # gone meanwhile, or no path


@functools.lru_cache(maxsize=4096)
def _known_digest(path: Path, *_facts: int) -> str:
    """The digest of a file, remembered as models are looked at several times."""
    return digest_file(path)


def _compiled_readers(path: Path) -> Iterable[str]:
    try:
        text = path.read_bytes()
    except OSError:
        return
    for name in dict.fromkeys(_COMPILED.findall(text)):
        yield f"the files that {name.decode()} opens, as compiled code does that by itself"


def _are_packages(places: Iterable[str], libraries: Collection[Path] | None) -> bool:
    paths = [Path(place) for place in places]
    if libraries is not None and not all(_is_below(path, libraries) for path in paths):
        return False
    return bool(paths) and all(path.is_dir() or is_file(path) for path in paths)


def _is_below(path: Path, places: Collection[Path]) -> bool:
    return any(place == path or place in path.parents for place in places)


def _short_names(paths: Iterable[str]) -> dict[str, str]:
    """The end of each path, as long as it takes to tell those of the same name apart."""
    parts = {path: PurePath(path).parts for path in paths}
    names = dict.fromkeys(parts, 1)
    while True:
        ends: dict[tuple[str, ...], list[str]] = {}
        for path, count in names.items():
            ends.setdefault(parts[path][-count:], []).append(path)
        longer = [
            path
            for same in ends.values()
            if len(same) > 1
            for path in same
            if names[path] < len(parts[path])
        ]
        if not longer:
            return {path: "/".join(parts[path][-count:]) for path, count in names.items()}
        for path in longer:
            names[path] += 1
