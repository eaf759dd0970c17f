"""What an evaluation needs to know of a model in order to find its results.

Of hearbench's own models it is remembered between processes, so that results that exist are found
without loading torch. Of all others it is found out each time: they may take in what nothing but
the fixed signal tells, as sizes and times of files, the clock, or the machine's name.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from hearbench.errors import HearError
from hearbench.memo import Memo
from hearbench.models.finding import NamedModel, name_model, published
from hearbench.models.fingerprint import Fingerprint
from hearbench.models.hub import commit_of
from hearbench.models.loading import weight_places
from hearbench.models.model import Model
from hearbench.models.options import OptionValue, named_places
from hearbench.models.ref import ModelRef
from hearbench.workspace import Workspace, user_path

__all__ = ["KnownModel"]

_FACTS = ("name", "sample_rate", "layers", "layer")


class KnownModel:
    """A model, of which the name, the rate and the identity may be known before it is loaded.

    Args:
        ref: Names the model.
        workspace: Cache and device.
        load: Loads the model, where it must be.

    Attributes:
        name: As of `Model`, and so are the others.

    Raises:
        ModelError: It has to be loaded, and can't be.
    """

    def __init__(self, ref: ModelRef, workspace: Workspace, load: Callable[[], Model]) -> None:
        self.load = load
        self._named = _local_name(ref)
        self._memo = None if self._named is None else _memo(self._named, ref, workspace)
        self._known: dict[str, Any] = (self._memo and self._memo.recall()) or {}
        if not self._known:
            model = load()
            self._known = {name: getattr(model, name) for name in _FACTS}
            self._known |= {"options": dict(model.options), "checks": {}}
        self.name: str = self._known["name"]
        self.sample_rate: int = self._known["sample_rate"]
        self.layers: int = self._known["layers"]
        self.layer: int | None = self._known["layer"]
        self.options: Mapping[str, OptionValue] = self._known["options"]

    def identity(
        self, kind: Literal["scene", "event"], *, layers: bool = False
    ) -> tuple[str, Fingerprint]:
        """Digest and fingerprint of the model, as `Model.check` finds them for a kind of task.

        Args:
            layers: Whether it is about embeddings of all layers.

        Raises:
            ModelError: The model has to be loaded or called, and can't be.
        """
        checks, function = self._known["checks"], f"{kind} {layers}"
        if function in checks:
            digest, fingerprint = checks[function]
            return digest, Fingerprint.model_validate(fingerprint)
        model = self.load()
        check = model.check(kind, layers=layers)
        if self._named is not None and self._memo is not None and check.fingerprint.state == "made":
            checks[function] = [check.digest, check.fingerprint.model_dump(mode="json")]
            places = _places(self._named, model)
            if places is not None:
                self._memo.remember(self._known, places)
        return check.digest, check.fingerprint


def _local_name(ref: ModelRef) -> NamedModel | None:
    """What the name of one of hearbench's own models stands for; None of any other model.

    A name on the hub may stand for other files each time, which loading the model finds out.
    """
    kind, _, place = ref.spec.partition(":")
    try:
        if ref.host is not None or (kind == "hf" and not user_path(place).is_dir()):
            return None
        if published(ref.spec) is not None:
            return None
        named = name_model(ref.spec, ref.weights)
    except HearError:
        return None  # loading the model says what is wrong
    return named if named.is_own and not named.target.is_network else None


def _memo(named: NamedModel, ref: ModelRef, workspace: Workspace) -> Memo:
    # Whether an option's text names something in a folder decides what it counts by.
    named_there = [key for key, value in ref.options if os.path.exists(str(value))]  # noqa: PTH110
    said = [named.spec, list(named.target), named.name, str(named.weights)]
    return workspace.memo("model", said, list(ref.options), named_there, workspace.device)


def _places(named: NamedModel, model: Model) -> list[Path] | None:
    """Files and folders that the model is made of; None where others may be taken next time."""
    if sys.modules.keys() & {"keras", "tensorflow"}:
        return None  # they are set up by files in the user's home folder
    files = weight_places(named, named.weights, model.options)
    if named.weights is None and any(commit_of(path) for path in files):
        return None
    if any(_refers_to_others(path) for path in files):
        return None
    # transformers looks for more in the folder of a checkpoint than the files that decide today.
    folders = {path.parent for path in files if path.name == "config.json"}
    return [*files, *folders, *named_places(model.options).values()]


def _refers_to_others(path: Path) -> bool:
    """Whether an ONNX file may have its weights in further files, which ONNX Runtime opens."""
    return path.suffix == ".ort" or (path.suffix == ".onnx" and b"location" in path.read_bytes())
