"""Reading a checkpoint of transformers: its configuration, feature extractor and network."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from ..errors import UnusableError

__all__ = ["load_net", "read_config", "read_extractor", "transformers_library"]

# Code that a checkpoint brings isn't run, and no one is asked on a terminal whether it should.
_NO_CODE = {"local_files_only": True, "trust_remote_code": False}
# Used in training alone, and left out of some checkpoints.
_UNUSED_WEIGHTS = ("masked_spec_embed",)


def transformers_library() -> Any:
    """The module ``transformers``.

    Raises:
        UnusableError: It isn't installed.
    """
    try:
        import transformers
    except ImportError as error:
        raise UnusableError(
            f"Checkpoints of transformers need that library, which {sys.executable} hasn't got. "
            "Install it there with `pip install transformers`; in hearbench's own environment with "
            "`pip install 'hearbench[transformers]'`."
        ) from error
    return transformers


def read_config(library: Any, folder: Path) -> Any:
    """What config.json says.

    Raises:
        UnusableError: transformers can't read it.
    """
    try:
        return library.AutoConfig.from_pretrained(folder, **_NO_CODE)
    except (OSError, ValueError, KeyError) as error:
        _refuse_code(folder, error)
        raise UnusableError(f"transformers can't read {folder / 'config.json'}: {error}") from error


def read_extractor(library: Any, folder: Path) -> Any:
    """The feature extractor that is saved beside the weights.

    Raises:
        UnusableError: There is none, or none for audio.
    """
    try:
        with warnings.catch_warnings():
            # True of AST's 128 bands, with which it was trained; no one can do anything about it.
            warnings.filterwarnings("ignore", "At least one mel filter", UserWarning)
            extractor = library.AutoFeatureExtractor.from_pretrained(folder, **_NO_CODE)
    except (OSError, ValueError, KeyError, ImportError) as error:
        _refuse_code(folder, error)
        raise UnusableError(
            f"{folder} has no feature extractor that transformers can read, which says the "
            f"sample rate and how audio is scaled: {error}\nSave it into the same folder with its "
            "own save_pretrained, or add preprocessor_config.json."
        ) from error
    if not hasattr(extractor, "sampling_rate"):
        raise UnusableError(
            f"{folder} has the feature extractor {type(extractor).__name__}, which isn't for "
            "audio: it has no sampling_rate."
        )
    return extractor


def load_net(library: Any, kind: Any, folder: Path, config: Any) -> Any:
    """A network in float32, for inference, with all of its weights.

    Args:
        library: transformers.
        kind: The class to load, such as ``library.AutoModel``.
        folder: Of the checkpoint.
        config: Of the network, which may differ from config.json.

    Raises:
        UnusableError: It can't be loaded, or weights are missing from the checkpoint.
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
        raise UnusableError(f"transformers can't load {folder}: {error}") from error
    missing = sorted(key for key in info["missing_keys"] if not key.endswith(_UNUSED_WEIGHTS))
    if missing:
        raise UnusableError(
            f"{folder} is no complete {config.model_type!r} checkpoint: {len(missing)} weights "
            f"are missing, such as {missing[0]}, and would be random."
        )
    return net.eval()


def _refuse_code(folder: Path, error: Exception) -> None:
    """Fails in one sentence where that is why transformers refuses, whose advice doesn't help here.

    Raises:
        UnusableError: It is.
    """
    if isinstance(error, ValueError) and "trust_remote_code" in str(error):
        raise UnusableError(
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
