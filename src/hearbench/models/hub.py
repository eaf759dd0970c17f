"""Where a checkpoint of transformers is: a folder, or on the Hugging Face hub."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from hearbench.errors import DownloadError, HearError, ModelError

__all__ = ["resolve", "weight_files"]

_HUB_NAME = re.compile(r"[A-Za-z0-9_][\w.-]*(/[\w.-]+)?")
_SMALL_FILES = ("config.json", "preprocessor_config.json", "processor_config.json")
_SAFE_WEIGHTS, _OLD_WEIGHTS = "*.safetensors", "pytorch_model*.bin"


def resolve(text: str) -> Path:
    """The local folder of a checkpoint.

    Args:
        text: A folder written by ``save_pretrained``, or a name on the Hugging Face hub,
            ``ORG/NAME``, whose files are downloaded into the hub's own cache, if not there yet.

    Raises:
        ModelError: A folder without config.json, or a text that is neither.
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
    if place.exists() or not _HUB_NAME.fullmatch(text):
        raise ModelError(
            f"{text} is neither a folder of transformers' save_pretrained nor a name on the "
            "Hugging Face hub, ORG/NAME."
        )
    folder = _download(text, ["*.json", _SAFE_WEIGHTS])
    if not any(folder.glob(_SAFE_WEIGHTS)):
        folder = _download(text, ["*.json", _OLD_WEIGHTS])
    if not (folder / "config.json").is_file():
        raise ModelError(f"{text} on the Hugging Face hub holds no config.json for transformers.")
    return folder


def _download(name: str, patterns: list[str]) -> Path:
    try:
        import huggingface_hub
    except ImportError as error:
        raise HearError(
            f"{name} is no local folder, and downloading it needs the Hugging Face hub's client, "
            "which isn't installed. Install it with `pip install 'hearbench[transformers]'`."
        ) from error
    hub: Any = huggingface_hub
    try:
        folder = hub.snapshot_download(name, allow_patterns=patterns, ignore_patterns=["*/*"])
    except (OSError, ValueError, hub.errors.HTTPError) as error:
        raise DownloadError(
            f"{name} is no local folder and can't be downloaded from the Hugging Face hub: "
            f"{error}\nWithout a connection, download its files on another machine (config.json, "
            "preprocessor_config.json, and model.safetensors or pytorch_model.bin) and give the "
            "folder that holds them."
        ) from error
    return Path(folder)


def weight_files(weights: Path) -> list[Path]:
    """The files of a checkpoint that decide about its embeddings, sorted."""
    found = [weights / name for name in _SMALL_FILES if (weights / name).is_file()]
    found += list(weights.glob(_SAFE_WEIGHTS)) or list(weights.glob(_OLD_WEIGHTS))
    return sorted(found)
