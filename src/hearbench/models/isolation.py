"""Models that another Python runs: of another version, with other libraries, or in a sandbox.

Audio and embeddings lie in files that both processes map into their memory. The model isn't told
where audio comes from, and has no business in the folders of the tasks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt

from hearbench.digest import digest_json
from hearbench.errors import HearError, ModelError
from hearbench.files import is_file
from hearbench.models.engine import Answer, Heard, Memory, Returned
from hearbench.models.environments import FOLDER as ENVIRONMENTS
from hearbench.models.environments import SOURCES
from hearbench.models.finding import CHECKPOINTS, NamedModel, import_error, lacks_api
from hearbench.models.hub import weight_files
from hearbench.models.identity import Seen, seen_of
from hearbench.models.loaded import Interpreter, Loaded, Shown, load_error
from hearbench.models.options import OptionValue, handed_over, signature_of
from hearbench.models.other_process import CallFailedError, OtherProcess
from hearbench.models.source import files_digest, package_digest, places_digest
from hearbench.printable import printable
from hearbench.worker.signature import Parameter
from hearbench.worker.values import Facts
from hearbench.workspace import Workspace

__all__ = ["Worker", "load_there", "start_process"]

_MOST_VALUES = 1000


class Worker:
    """The engine of a model that has been loaded in another process.

    Args:
        process: Which has loaded it.
        device: Where it puts audio.
        source: Files and folders of the model's source; None for a model of hearbench's own, of
            which nothing else is looked at.
    """

    def __init__(
        self, process: OtherProcess, device: str, source: Sequence[Path] | None = None
    ) -> None:
        self.process = process
        self._device = device
        self._source = source

    @property
    def device(self) -> str:
        """The device on which audio is put, as torch names it."""
        return self._device

    def call(self, function: str, heard: Heard) -> Answer:
        """Calls a function of the API on audio (n_clips, n_samples), or on texts.

        Raises:
            ModelError: The model's code failed, or its process crashed or hangs.
        """
        self.process.check_alive()
        given: dict[str, Any] = {"function": function}
        if isinstance(heard, list):
            given |= {"shape": [], "texts": heard}
        else:
            given["shape"] = list(heard.shape)
            self._hand_over(heard)
        done = self.process.ask("call", function, **given)
        try:
            items = tuple(self._returned(f"item{i}", said) for i, said in enumerate(done["items"]))
            # A function that returns very many values is described by the first few.
            missing = min(int(done["count"]), _MOST_VALUES) - len(items)
            is_tuple = bool(done["is_tuple"])
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError, OSError) as error:
            # What the worker says of arrays doesn't fit what it left in their places.
            raise self.process.nonsense(function) from error
        if not items and not is_tuple:
            raise self.process.nonsense(function)
        return Answer(items + items[-1:] * missing, is_tuple)

    def memory(self) -> Memory:
        """The peak of the model's own process so far."""
        done = self.process.ask("memory", "a question about memory")
        return Memory(done["resident_mb"], done["device_mb"])

    def guard(self, folders: Sequence[Path]) -> None:
        """Has reads below folders refused and told of."""
        self.process.guard(folders)

    def seen(self) -> Seen:
        """The files and variables that the model has read so far beside its source."""
        if self._source is None:
            return Seen()
        said = self.process.ask("reads", "a question about files")
        said["unseen"] = [printable(text) for text in said["unseen"]]
        return seen_of(
            said,
            self._source,
            readable=self.process.readable,
            libraries=self.process.libraries,
        )

    def close(self) -> None:
        """Ends the process."""
        self.process.close()

    def _hand_over(self, audio: npt.NDArray[np.float32]) -> None:
        try:
            self.process.hand_over(audio)
        except OSError as error:
            raise ModelError(
                f"{audio.nbytes} bytes of audio can't be handed to the model's process: {error}."
            ) from error

    def _returned(self, name: str, said: Mapping[str, Any]) -> Returned:
        facts = Facts(*said["facts"])
        facts = facts._replace(kind=printable(str(facts.kind)))
        facts = facts._replace(shape=None if facts.shape is None else tuple(facts.shape))
        if said["dtype"] is None:
            return Returned(facts, None, printable(str(said["problem"])))
        return Returned(facts, self.process.take(name, said["dtype"], said["shape"]))


def start_process(
    named: NamedModel,
    weights: Path | None,
    options: Mapping[str, OptionValue],
    workspace: Workspace,
    interpreter: Interpreter,
) -> OtherProcess:
    """A process for one model, which can read what that needs, and nothing of the benchmark.

    Args:
        named: What the user called the model.
        weights: What ``load_model`` gets as its path.
        options: Keywords of the model's own ``load_model``.
        workspace: The cache, which the model doesn't get to see, and the device.
        interpreter: Which Python, and what it may do.

    Raises:
        ModelError: The interpreter can't be used, or the process doesn't start.
        HearError: There is no sandbox on this system.
    """
    own = [Path(named.target.place).parent] if named.target.is_file else []
    own += [weights] if weights else []
    if named.is_checkpoint and weights:
        # In the hub's cache they are links out of their folder.
        own += [path.resolve() for path in weight_files(weights, with_code=named.trusts_code)]
    named_files = [Path(str(value)) for value in handed_over(options).values() if _is_there(value)]
    return OtherProcess(
        interpreter,
        named.name,
        readable=[*named_files, *own],
        hidden=[workspace.cache_dir, *interpreter.hidden],
        # Of hearbench's cache the model's own interpreter, and what that reads in place.
        allowed=[workspace.path(ENVIRONMENTS), workspace.path(SOURCES), *own],
    )


def load_there(
    named: NamedModel,
    weights: Path | None,
    given: Mapping[str, OptionValue],
    workspace: Workspace,
    interpreter: Interpreter,
) -> Loaded:
    """Imports and loads a model in another interpreter.

    Args:
        named: What the user called the model.
        weights: What ``load_model`` gets as its path.
        given: Keywords of the model's own ``load_model``.
        workspace: The cache, which the model doesn't get to see, and the device.
        interpreter: Which Python, and what it may do.

    Raises:
        ModelError: The interpreter can't be used, the module isn't there or fails, or lacks
            functions of the API; the process crashed or hangs.
        HearError: There is no sandbox on this system.
    """
    process = start_process(named, weights, given, workspace, interpreter)
    try:
        try:
            imported = process.ask("import", "importing the module", **named.target_there._asdict())
        except CallFailedError as error:
            raise import_error(named, error.missing, str(error)) from error
        if imported["missing"]:
            raise lacks_api(named, imported["missing"], imported["below"])
        listed = imported["parameters"]
        parameters = None if listed is None else [Parameter(*item) for item in listed]
        signature = signature_of(parameters, named.name)
        options = signature.convert(given)
        positional = signature.positional(str(weights) if weights else None, options)
        try:
            done = process.ask(
                "load",
                "load_model",
                positional=list(positional),
                options=handed_over(options),
                device=workspace.device,
                name=named.name,
            )
        except CallFailedError as error:
            if error.is_plain:
                raise ModelError(str(error)) from error
            raise load_error(named, weights, str(error)) from error
        source = _source_places(done["sources"], named)
        engine = Worker(process, done["device"], None if named.is_own else source)
        return Loaded(
            options,
            _attributes(done["attributes"]),
            _sources_digest(source, named),
            engine,
            done["n_weights"],
            tuple(map(printable, done["notes"])),
            done["versions"],
            tuple(done["layer_functions"]),
            done["embeds_text"],
        )
    except HearError:
        process.close()
        raise


def _attributes(said: Mapping[str, Mapping[str, Any]]) -> object:
    return SimpleNamespace(
        **{name: _attribute(value) for name, value in said.items() if value["there"]}
    )


def _attribute(said: Mapping[str, Any]) -> object:
    if said.get("value") is None and said.get("type") != "NoneType":
        return Shown(printable(said.get("repr", "")))
    return said.get("value")


def _source_places(said: Mapping[str, Any], named: NamedModel) -> list[Path]:
    """Files or folders of the model's source: of what the process says what can be part of it."""
    if named.target.is_file:
        folder = Path(named.target.place).parent
        paths = {Path(file) for file in said.get("files", ())}
        return sorted(path for path in paths if _is_source(path, folder))
    places = [Path(place) for place in said.get("places", ())]
    top = named.target.place.partition(".")[0]
    return [place for place in places if top in (place.name, place.stem) and _is_there(place)]


def _sources_digest(source: Sequence[Path], named: NamedModel) -> str:
    if named.is_checkpoint:
        return package_digest(CHECKPOINTS)  # it was sent from here
    if named.target.is_file:
        return files_digest(Path(named.target.place).parent, source)
    return places_digest(map(str, source)) if source else digest_json([])


def _is_source(path: Path, folder: Path) -> bool:
    try:
        resolved = path.resolve()
        within = folder.resolve() in resolved.parents and folder in path.parents
        return within and resolved.is_file()
    except (OSError, ValueError, RuntimeError):
        return False  # no path at all, or one that leads in a circle


def _is_there(value: OptionValue | Path) -> bool:
    """Whether a value is the path of a file or folder, and of nothing that could be endless."""
    try:
        path = Path(value) if isinstance(value, str | Path) else None
        return path is not None and (is_file(path) or path.is_dir())
    except (OSError, ValueError):
        return False  # no path at all
