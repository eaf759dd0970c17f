"""Reading a checkpoint of transformers: its configuration, feature extractor and network."""

from __future__ import annotations

import inspect
import json
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..errors import UnusableError
from ..imports import imported_names

__all__ = ["Checkpoint", "PlainWaveform", "compute_in", "transformers_library"]

# Used in training alone, and left out of some checkpoints.
_UNUSED_WEIGHTS = ("masked_spec_embed",)
# Files of which a tokenizer has one, with all that it knows.
_VOCABULARIES = ("tokenizer.json", "vocab.json", "vocab.txt")
# From here on no version of transformers unpickles more than tensors.
_FIRST_SAFE = (4, 36)
_FAILURES = (OSError, ValueError, RuntimeError, KeyError, ImportError)


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


@dataclass(frozen=True)
class Checkpoint:
    """A folder of transformers' ``save_pretrained``, and whether code in it may be run.

    Attributes:
        folder: Where its files are. Nothing is downloaded.
        trust_code: Whether Python code of the checkpoint's own is run. Otherwise it isn't, and no
            one is asked on a terminal whether it should.
    """

    folder: Path
    trust_code: bool = False

    @property
    def library(self) -> Any:
        """The module ``transformers``.

        Raises:
            UnusableError: It isn't installed.
        """
        return transformers_library()

    @property
    def has_own_code(self) -> bool:
        """Whether its network is code of its own, which may be run."""
        return self.trust_code and bool(self._auto_map("config.json"))

    @property
    def _own_files_only(self) -> dict[str, Any]:
        return {"local_files_only": True, "trust_remote_code": self.trust_code}

    def state(self) -> tuple[Any, ...]:
        """What changes if a file of it does: names, sizes and times of change."""
        found = ((path, path.stat()) for path in sorted(self.folder.iterdir()))
        return tuple((str(path), stat.st_size, stat.st_mtime_ns) for path, stat in found)

    def config(self) -> Any:
        """What config.json says.

        Raises:
            UnusableError: transformers can't read it.
        """
        self._refuse_code_from_elsewhere()
        try:
            return self.library.AutoConfig.from_pretrained(str(self.folder), **self._own_files_only)
        # What a configuration must hold is checked with errors of another library's own.
        except Exception as error:
            self.refuse_code(error)
            raise UnusableError(
                f"transformers {self.library.__version__} can't read "
                f"{self.folder / 'config.json'}: {error}"
            ) from error

    def extractor(self) -> Any:
        """The feature extractor that is saved beside the weights.

        A model of the checkpoint's own code that has none takes samples as they are, at the rate
        that its configuration names.

        Raises:
            UnusableError: There is none, or none for audio.
        """
        try:
            with warnings.catch_warnings():
                # True of AST's 128 bands, with which it was trained; no one can change it.
                warnings.filterwarnings("ignore", "At least one mel filter", UserWarning)
                extractor = self._own_extractor()
        except _FAILURES as error:
            self.refuse_code(error)
            plain = self._plain_waveform()
            if plain is not None:
                return plain
            raise UnusableError(
                f"{self.folder} has no feature extractor that transformers can read, which says "
                f"the sample rate and how audio is scaled: {error}\nSave it into the same folder "
                "with its own save_pretrained, or add preprocessor_config.json."
            ) from error
        if not hasattr(extractor, "sampling_rate"):
            raise UnusableError(
                f"{self.folder} has the feature extractor {type(extractor).__name__}, which isn't "
                "for audio: it has no sampling_rate."
            )
        return extractor

    def tokenizer(self) -> Any:
        """The tokenizer that is saved beside the weights.

        Raises:
            UnusableError: There is none that transformers can read.
        """
        remedy = "Save it into the same folder with its own save_pretrained."
        # Without one, transformers makes a tokenizer that knows no word.
        if not any((self.folder / name).is_file() for name in _VOCABULARIES):
            raise UnusableError(
                f"{self.folder} has no tokenizer: none of {', '.join(_VOCABULARIES)}. {remedy}"
            )
        try:
            return self.library.AutoTokenizer.from_pretrained(
                str(self.folder), **self._own_files_only
            )
        except _FAILURES as error:
            self.refuse_code(error)
            raise UnusableError(
                f"{self.folder} has no tokenizer that transformers can read: {error}\n{remedy}"
            ) from error

    def _own_extractor(self) -> Any:
        if self.trust_code and "AutoProcessor" in self._auto_map("preprocessor_config.json"):
            processor = self.library.AutoProcessor.from_pretrained(
                str(self.folder), **self._own_files_only
            )
            return getattr(processor, "feature_extractor", processor)
        return self.library.AutoFeatureExtractor.from_pretrained(
            str(self.folder), **self._own_files_only
        )

    def _plain_waveform(self) -> PlainWaveform | None:
        if not self.trust_code or not self._auto_map("config.json"):
            return None
        config = self.config()
        for name in ("sampling_rate", "sample_rate"):
            rate = getattr(config, name, None)
            if isinstance(rate, int) and rate > 0:
                return PlainWaveform(rate)
        return None

    def network(self, kind: Any, config: Any) -> Any:
        """A network in float32, for inference, with all of its weights.

        Args:
            kind: The class to load, or its name in transformers, such as ``AutoModel``.
            config: Of the network, which may differ from config.json.

        Raises:
            UnusableError: It can't be loaded, or weights are missing from the checkpoint.
        """
        library = self.library
        if kind == "AutoModel" and self.trust_code:
            kind = _published_class(self._auto_map("config.json"))
        kind = getattr(library, kind) if isinstance(kind, str) else kind
        try:
            with _quiet(library):
                net, info = kind.from_pretrained(
                    str(self.folder),
                    config=config,
                    **self._own_files_only,
                    **self._how_weights_are_read(),
                    output_loading_info=True,
                )
        except _FAILURES as error:
            self.refuse_code(error)
            raise UnusableError(
                f"transformers {library.__version__} can't load {self.folder}: {error}"
            ) from error
        missing = sorted(key for key in info["missing_keys"] if not key.endswith(_UNUSED_WEIGHTS))
        if missing:
            raise UnusableError(
                f"{self.folder} is no complete {config.model_type!r} checkpoint: {len(missing)} "
                f"weights are missing, such as {missing[0]}, and would be random."
            )
        return net.float().eval()

    def libraries(self) -> dict[str, str]:
        """Versions of transformers, and of what code of the checkpoint's own imports, by name."""
        names = {"transformers"}
        if self.trust_code:
            for path in self.folder.rglob("*.py"):
                names.update(name.partition(".")[0] for name in imported_names(str(path)))
        versions = {
            name: getattr(sys.modules.get(name), "__version__", None) for name in sorted(names)
        }
        return {name: str(version) for name, version in versions.items() if version is not None}

    def _how_weights_are_read(self) -> dict[str, Any]:
        """Keywords of ``from_pretrained``, some of which older versions have by other names.

        Raises:
            UnusableError: This version would run what is pickled in the weights.
        """
        library = self.library
        version = tuple(int(part) for part in library.__version__.split(".")[:2])
        known = inspect.signature(library.PreTrainedModel.from_pretrained).parameters
        has_safe = any(self.folder.glob("model*.safetensors"))
        if not has_safe and version < _FIRST_SAFE:
            raise UnusableError(
                f"{self.folder} has its weights in pytorch_model.bin, of which transformers "
                f"{library.__version__} unpickles more than tensors. Use a later one, or "
                "save the weights as safetensors."
            )
        how: dict[str, Any] = {"dtype" if version >= (4, 56) else "torch_dtype": torch.float32}
        if "weights_only" in known:
            how["weights_only"] = True
        return how

    def _auto_map(self, name: str) -> dict[str, Any]:
        """Classes of the checkpoint's own code that one of its files names."""
        path = self.folder / name
        try:
            said = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        except (OSError, ValueError):
            return {}  # transformers says what is wrong with it
        found = said.get("auto_map") if isinstance(said, dict) else None
        return found if isinstance(found, dict) else {}

    def _refuse_code_from_elsewhere(self) -> None:
        """Fails where trusted code is that of another repository, which no digest covers.

        Raises:
            UnusableError: It is.
        """
        if not self.trust_code:
            return
        for name in ("config.json", "preprocessor_config.json"):
            places = [str(place) for place in self._auto_map(name).values() if "--" in str(place)]
            if places:
                raise UnusableError(
                    f"{self.folder / name} takes code from another repository, "
                    f"{places[0].split('--')[0]}, which wouldn't be part of what the model is "
                    "known by. Put its .py files beside the weights, and leave the repository out "
                    "of auto_map."
                )

    def refuse_code(self, error: Exception) -> None:
        """Fails in one sentence where that is why transformers refuses.

        Raises:
            UnusableError: It is.
        """
        if isinstance(error, ValueError) and "trust_remote_code" in str(error):
            raise UnusableError(
                f"{self.folder} brings Python code of its own, which isn't run unless --trust-code "
                "allows it. Read the code first; it then runs in a process of its own, which "
                "--sandbox walls in."
            ) from error


class PlainWaveform:
    """What stands for a feature extractor where a model takes samples as they are.

    Args:
        sampling_rate: In Hz.
    """

    def __init__(self, sampling_rate: int) -> None:
        self.sampling_rate = sampling_rate

    def __call__(self, clips: list[Any], **_: Any) -> dict[str, torch.Tensor]:
        """Clips of one length as (n, samples)."""
        return {"input_values": torch.stack([torch.as_tensor(clip) for clip in clips])}


def compute_in(dtype: str, net: torch.nn.Module) -> None:
    """Has a network compute in another precision, whatever that of its inputs is.

    Args:
        dtype: ``bfloat16`` or ``float16``.
        net: The network, which is changed.

    Raises:
        UnusableError: There is no such precision.
    """
    if dtype not in ("bfloat16", "float16"):
        raise UnusableError(f"model_dtype is {dtype!r}; it is float32, bfloat16 or float16.")
    kind = getattr(torch, dtype)

    def cast(_: torch.nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> Any:
        return (
            tuple(_cast(item, kind) for item in inputs),
            {name: _cast(item, kind) for name, item in named.items()},
        )

    net.to(kind)
    # Its parts as well, as some are called by themselves.
    for part in (net, *net.children()):
        part.register_forward_pre_hook(cast, with_kwargs=True)


def _cast(value: Any, kind: torch.dtype) -> Any:
    is_float = isinstance(value, torch.Tensor) and value.is_floating_point()
    return value.to(kind) if is_float else value


def _published_class(auto_map: dict[str, Any]) -> str:
    """The class that a checkpoint's own code offers: the bare model, or one with a head."""
    heads = [name for name in auto_map if name.startswith("AutoModelFor")]
    return "AutoModel" if "AutoModel" in auto_map or not heads else heads[0]


@contextmanager
def _quiet(library: Any) -> Iterator[None]:
    """Without transformers' progress bars and its report of weights that aren't needed."""
    logging = library.logging
    verbosity = logging.get_verbosity()
    is_shown = getattr(logging, "is_progress_bar_enabled", lambda: True)()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if is_shown:
            logging.enable_progress_bar()
