"""Where a checkpoint of transformers is: in a folder, or on the Hugging Face hub.

Of a repository only what the model loads is downloaded: its configuration and one set of weights,
and its Python files if they may be run. Nothing here needs transformers.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from hearbench.errors import DownloadError, HearError, ModelError

__all__ = ["commit_of", "resolve", "weight_files"]

_NAME = re.compile(
    r"(?P<repository>[A-Za-z0-9_][\w.-]*(/[\w.-]+)?)(?P<subfolder>(/[\w.-]+)*)"
    r"(@(?P<revision>[\w.][\w./-]*))?"
)
# The hub's client names folders by commits.
_SNAPSHOT = re.compile(r"/models--[^/]+/snapshots/([0-9a-f]{40})(/|$)")
_SETTINGS = ("config.json", "preprocessor_config.json", "processor_config.json")
# Types of models of which the text tower is used as well, and what their tokenizers are saved as.
_WITH_TEXT = ("clap",)
_TOKENIZER = (
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
    *("vocab.json", "merges.txt", "vocab.txt"),
)
# In the order in which transformers looks for them; an index names the files of a set.
_WEIGHTS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
_INDEX_END = ".index.json"


class _Name(NamedTuple):
    """A checkpoint on the hub.

    Attributes:
        subfolder: Folder within the repository, "" for its top.
        revision: Branch, tag or commit; None for the hub's default.
    """

    repository: str
    subfolder: str
    revision: str | None


def resolve(text: str, *, with_code: bool = False) -> Path:
    """The local folder of a checkpoint.

    Args:
        text: A folder written by ``save_pretrained``; or a name on the Hugging Face hub,
            ``ORG/NAME``, ``ORG/NAME@REVISION`` or ``ORG/NAME/SUBFOLDER@REVISION``, whose files are
            downloaded into the hub's own cache if they aren't there yet.
        with_code: Whether the repository's Python files are wanted as well.

    Raises:
        ModelError: A folder without config.json or weights, or a text that is neither.
        DownloadError: The hub hasn't got it, or can't be reached.
        HearError: The hub's client isn't installed.
    """
    # Not pathlib's, which fails where a name has no home folder.
    place = Path(os.path.expanduser(text))  # noqa: PTH111
    if place.is_dir():
        if not (place / "config.json").is_file():
            raise ModelError(
                f"{text} holds no config.json, so it isn't a folder of transformers' "
                "save_pretrained."
            )
        return place.resolve()
    match = _NAME.fullmatch(text)
    if place.exists() or match is None or ".." in text:
        raise ModelError(
            f"{text} is neither a folder of transformers' save_pretrained nor a name on the "
            "Hugging Face hub, ORG/NAME or ORG/NAME@REVISION."
        )
    name = _Name(match["repository"], match["subfolder"].strip("/"), match["revision"])
    return _downloaded(name, text, with_code=with_code)


def weight_files(folder: Path, *, with_code: bool = False) -> list[Path]:
    """The files of a checkpoint that decide about its embeddings, sorted.

    Args:
        folder: Of the checkpoint.
        with_code: Whether its Python files do, since they may be run.

    Raises:
        ModelError: A list of weights can't be read.
    """
    there = {path.name for path in folder.iterdir()}
    names = _settings_in(there, folder / "config.json")
    weights = _weights_in(there)
    if weights is not None:
        names += _set_of(weights, folder / weights)
    found = {folder / name for name in names if (folder / name).is_file()}
    if with_code:
        found.update(path for path in folder.rglob("*.py") if path.is_file())
        # What the code may open.
        found.update(folder / name for name in there if name.endswith(".json"))
    return sorted(found)


def commit_of(folder: Path | None) -> str | None:
    """The commit of a checkpoint that was downloaded; None for any other folder."""
    match = _SNAPSHOT.search(folder.as_posix()) if folder is not None else None
    return match[1] if match is not None else None


def _settings_in(names: Collection[str], config: Path) -> list[str]:
    """The files of settings among some, with those of a tokenizer where text is embedded."""
    wanted = (*_SETTINGS, *_TOKENIZER) if _has_text(config) else _SETTINGS
    return [name for name in wanted if name in names]


def _has_text(config: Path) -> bool:
    try:
        said = json.loads(config.read_bytes())
    except (OSError, ValueError):
        return False  # transformers says what is wrong with it
    return isinstance(said, dict) and said.get("model_type") in _WITH_TEXT


def _weights_in(names: Collection[str]) -> str | None:
    """The file of weights that transformers loads, or the index of several."""
    return next((name for name in _WEIGHTS if name in names), None)


def _set_of(weights: str, place: Path) -> list[str]:
    """The names of all files of a set of weights.

    Raises:
        ModelError: The index can't be read, or leads elsewhere.
    """
    if not weights.endswith(_INDEX_END):
        return [weights]
    try:
        said = json.loads(place.read_bytes())
        shards = sorted({str(name) for name in said["weight_map"].values()})
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{place} isn't a list of files of weights: {error}") from error
    outside = [name for name in shards if name != PurePosixPath(name).name]
    if outside:
        raise ModelError(f"{place} names {outside[0]!r}, which isn't a file beside it.")
    return [weights, *shards]


def _downloaded(name: _Name, text: str, *, with_code: bool) -> Path:
    """The folder into which a checkpoint was downloaded, now or before."""
    try:
        import huggingface_hub.errors
        import huggingface_hub.utils
    except ImportError as error:
        raise HearError(
            f"{text} is no local folder, and downloading it needs the Hugging Face hub's client, "
            "which isn't installed. Install it with `pip install 'hearbench[transformers]'`."
        ) from error
    hub: Any = huggingface_hub
    failures = (OSError, ValueError, hub.errors.HTTPError)

    def get(file: str, revision: str | None) -> Path:
        within = f"{name.subfolder}/{file}" if name.subfolder else file
        try:
            with _without_warnings(hub):
                return Path(hub.hf_hub_download(name.repository, within, revision=revision))
        except failures as error:
            is_missing = isinstance(error, hub.utils.EntryNotFoundError)
            if is_missing and not isinstance(error, hub.utils.LocalEntryNotFoundError):
                raise ModelError(f"{text} on the Hugging Face hub holds no {file}.") from error
            raise _download_error(text, error) from error

    # By its revision's name, which the hub's client then knows without a connection as well.
    folder = get("config.json", name.revision).parent
    commit = commit_of(folder)
    try:
        listed = _listed(hub, name, commit)
    except failures as error:
        if not _is_whole(folder):
            raise _download_error(text, error) from error
        return folder
    weights = _weights_in(listed)
    if weights is None:
        raise ModelError(
            f"{text} on the Hugging Face hub holds no weights for transformers, which are called "
            f"{_WEIGHTS[0]} or {_WEIGHTS[2]}."
        )
    settings = _settings_in(listed, folder / "config.json")
    wanted = {*settings, *_set_of(weights, get(weights, commit))}
    if with_code:
        wanted.update(file for file in listed if file.endswith(".py"))
        wanted.update(file for file in listed if file.endswith(".json") and "/" not in file)
    for file in sorted(wanted):
        get(file, commit)
    return folder


@contextmanager
def _without_warnings(hub: Any) -> Iterator[None]:
    """Keeps quiet of each try that the hub's client makes; what comes of them all is told."""
    logging = hub.utils.logging
    before = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(before)


def _listed(hub: Any, name: _Name, commit: str | None) -> list[str]:
    """The files of a checkpoint on the hub, by their paths in its folder."""
    with _without_warnings(hub):
        info = hub.HfApi().model_info(name.repository, revision=commit)
    start = f"{name.subfolder}/" if name.subfolder else ""
    paths = [str(file.rfilename) for file in info.siblings or ()]
    return [path[len(start) :] for path in paths if path.startswith(start)]


def _is_whole(folder: Path) -> bool:
    """Whether a copy that was downloaded before has all of its weights."""
    weights = _weights_in({path.name for path in folder.iterdir()})
    files = [] if weights is None else _set_of(weights, folder / weights)
    return bool(files) and all((folder / file).is_file() for file in files)


def _download_error(text: str, error: BaseException) -> DownloadError:
    return DownloadError(
        f"{text} is no local folder and can't be downloaded from the Hugging Face hub: "
        f"{error}\nWithout a connection, download its files on another machine (config.json, "
        "preprocessor_config.json, and model.safetensors or pytorch_model.bin) and give the "
        "folder that holds them."
    )
