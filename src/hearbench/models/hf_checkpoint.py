"""Checkpoints of transformers: where they are, and what is read from them."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from hearbench.errors import DownloadError, HearError, ModelError

__all__ = [
    "load_net",
    "read_config",
    "read_extractor",
    "resolve",
    "transformers_library",
    "weight_files",
]

_HUB_NAME = re.compile(r"[A-Za-z0-9_][\w.-]*(/[\w.-]+)?")
_SMALL_FILES = ("config.json", "preprocessor_config.json", "processor_config.json")
_SAFE_WEIGHTS, _OLD_WEIGHTS = "*.safetensors", "pytorch_model*.bin"
# Code that a checkpoint brings isn't run, and no one is asked on a terminal whether it should.
_NO_CODE = {"local_files_only": True, "trust_remote_code": False}
# Used in training alone, and left out of some checkpoints.
_UNUSED_WEIGHTS = ("masked_spec_embed",)


def resolve(text: str) -> Path:
    """The local folder of a checkpoint.

    Args:
        text: A folder written by ``save_pretrained``, or a name on the Hugging Face hub,
            ``ORG/NAME``, whose files are downloaded into the hub's own cache, if not there yet.

    Raises:
        ModelError: A folder without config.json, or a text that is neither.
        DownloadError: The hub hasn't got it, or can't be reached.
        HearError: transformers isn't installed.
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
    transformers_library()
    import huggingface_hub

    folder = _download(huggingface_hub, text, ["*.json", _SAFE_WEIGHTS])
    if not any(folder.glob(_SAFE_WEIGHTS)):
        folder = _download(huggingface_hub, text, ["*.json", _OLD_WEIGHTS])
    if not (folder / "config.json").is_file():
        raise ModelError(f"{text} on the Hugging Face hub holds no config.json for transformers.")
    return folder


def _download(hub: Any, name: str, patterns: list[str]) -> Path:
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


def transformers_library() -> Any:
    """The module ``transformers``.

    Raises:
        HearError: It isn't installed.
    """
    try:
        import transformers
    except ImportError as error:
        raise HearError(
            "Checkpoints of transformers need that library, which isn't installed. Install it "
            "with `pip install 'hearbench[transformers]'`."
        ) from error
    return transformers


def read_config(library: Any, folder: Path) -> Any:
    """What config.json says.

    Raises:
        ModelError: transformers can't read it.
    """
    try:
        return library.AutoConfig.from_pretrained(folder, **_NO_CODE)
    except (OSError, ValueError, KeyError) as error:
        _refuse_code(folder, error)
        raise ModelError(f"transformers can't read {folder / 'config.json'}: {error}") from error


def read_extractor(library: Any, folder: Path) -> Any:
    """The feature extractor that is saved beside the weights.

    Raises:
        ModelError: There is none, or none for audio.
    """
    try:
        with warnings.catch_warnings():
            # True of AST's 128 bands, with which it was trained; no one can do anything about it.
            warnings.filterwarnings("ignore", "At least one mel filter", UserWarning)
            extractor = library.AutoFeatureExtractor.from_pretrained(folder, **_NO_CODE)
    except (OSError, ValueError, KeyError, ImportError) as error:
        _refuse_code(folder, error)
        raise ModelError(
            f"{folder} has no feature extractor that transformers can read, which says the "
            f"sample rate and how audio is scaled: {error}\nSave it into the same folder with its "
            "own save_pretrained, or add preprocessor_config.json."
        ) from error
    if not hasattr(extractor, "sampling_rate"):
        raise ModelError(
            f"{folder} has the feature extractor {type(extractor).__name__}, which isn't for "
            "audio: it has no sampling_rate."
        )
    return extractor


def load_net(library: Any, kind: Any, folder: Path, config: Any) -> Any:
    """A network in float32, for inference, with all of its weights.

    Args:
        library: transformers.
        kind: The class to load, such as ``library.AutoModel``.
        folder: As of ``resolve``.
        config: Of the network, which may differ from config.json.

    Raises:
        ModelError: It can't be loaded, or weights are missing from the checkpoint.
    """
    try:
        with _quiet(library):
            net, info = kind.from_pretrained(
                folder,
                config=config,
                **_NO_CODE,
                # Of a pytorch_model.bin nothing but tensors is unpickled.
                weights_only=True,
                dtype=torch.float32,
                output_loading_info=True,
            )
    except (OSError, ValueError, RuntimeError, KeyError, ImportError) as error:
        _refuse_code(folder, error)
        raise ModelError(f"transformers can't load {folder}: {error}") from error
    missing = sorted(key for key in info["missing_keys"] if not key.endswith(_UNUSED_WEIGHTS))
    if missing:
        raise ModelError(
            f"{folder} is no complete {config.model_type!r} checkpoint: {len(missing)} weights "
            f"are missing, such as {missing[0]}, and would be random."
        )
    return net.eval()


def _refuse_code(folder: Path, error: Exception) -> None:
    """Fails in one sentence where that is why transformers refuses, whose advice doesn't help here.

    Raises:
        ModelError: It is.
    """
    if isinstance(error, ValueError) and "trust_remote_code" in str(error):
        raise ModelError(
            f"{folder} brings Python code of its own, which hearbench doesn't run: choose a "
            "checkpoint of an architecture that transformers has itself, or wrap this one as a "
            "module of the HEAR API and run it in the sandbox."
        ) from error


@contextmanager
def _quiet(library: Any) -> Iterator[None]:
    """Without transformers' progress bars and its report of weights that aren't needed."""
    logging = library.logging
    shown, verbosity = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if shown:
            logging.enable_progress_bar()
