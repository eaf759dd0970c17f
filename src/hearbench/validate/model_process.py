"""The process that the model under test runs in; a fresh one follows where it has ended.

Steps are taken one by one, so that each can be judged: import, ``load_model``, calls.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from hearbench.errors import EmbeddingError, HearError, ModelError
from hearbench.models.engine import Answer, Memory
from hearbench.models.finding import NamedModel
from hearbench.models.isolation import Worker, start_process
from hearbench.models.loaded import Interpreter
from hearbench.models.options import OptionValue, signature_of
from hearbench.models.other_process import CallFailedError, OtherProcess, ProcessEndedError
from hearbench.worker.importing import TEXT_FUNCTION
from hearbench.worker.signature import Parameter
from hearbench.workspace import Workspace

__all__ = [
    "RAISED",
    "SCENE",
    "TIMESTAMPS",
    "Call",
    "CannotRunError",
    "Imported",
    "LoadedFacts",
    "ModelProcess",
    "Subject",
    "end_of_process",
    "remedy_for",
]

# The two functions of the API that make embeddings.
SCENE, TIMESTAMPS = "get_scene_embeddings", "get_timestamp_embeddings"
# How much audio of earlier calls is kept.
_KEPT_BYTES = 64 << 20


class CannotRunError(ModelError):
    """The model can't be validated as it was asked for; no fault of the model's code."""


@dataclass(frozen=True)
class Subject:
    """The model under test, its options and where it runs.

    Attributes:
        workspace: Gives the device, and the cache, which the model must not read.
    """

    named: NamedModel
    weights: Path | None
    options: Mapping[str, OptionValue]
    interpreter: Interpreter
    workspace: Workspace


@dataclass(frozen=True, eq=False)
class Call:
    """A function of the API, and the clips that it was handed.

    Attributes:
        audio: (n_clips, n_samples).
    """

    function: str
    audio: npt.NDArray[np.float32]


@dataclass(frozen=True)
class Imported:
    """Facts that the import of a module showed.

    Attributes:
        missing: Functions of the API that it lacks.
        below: Submodules that have the API.
        effects: What its code did: ``network``, ``writes``, ``programs``, and the ``random``
            generators that it may have seeded.
        random_digests: Digests of the generators' states.
        watched: Whether this Python reports such effects.
    """

    missing: tuple[str, ...]
    below: tuple[str, ...]
    effects: Mapping[str, tuple[str, ...]]
    random_digests: Mapping[str, str]
    watched: bool


@dataclass(frozen=True)
class LoadedFacts:
    """Facts about what ``load_model`` returned.

    Attributes:
        kind: Class of the model.
        device: Device that audio is put on.
        seconds: Time that it took to load.
        attributes: Attributes by name, as the worker describes them.
        versions: Versions of Python and the libraries.
        layer_functions: Functions of the module that give all layers at once.
        embeds_text: Whether the model embeds text.
    """

    kind: str
    device: str
    seconds: float
    attributes: Mapping[str, Mapping[str, Any]]
    versions: Mapping[str, str]
    layer_functions: tuple[str, ...]
    embeds_text: bool


class ModelProcess:
    """Runs one model, and starts it again after a crash.

    Attributes:
        n_calls: Number of calls that the latest process has had.
        calls: The latest of them, in order, as far as their audio isn't too long to be kept.
    """

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.n_calls = 0
        self.calls: list[Call] = []
        self.converted: dict[str, OptionValue] = {}
        self._process: OtherProcess | None = None
        self._parameters: list[Parameter] | None = None
        self._worker: Worker | None = None

    def __enter__(self) -> ModelProcess:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end()

    def end(self) -> None:
        """Ends the process; the next call starts another."""
        if self._process is not None:
            self._process.close()
        self._process = self._worker = None

    def import_model(self) -> Imported:
        """Imports the module in a new process.

        Raises:
            CallFailedError: It fails.
            CannotRunError: The interpreter can't be used.
            ModelError: The process crashed or hangs.
        """
        self.end()
        self.n_calls, self.calls = 0, []
        subject = self.subject
        target = subject.named.target_there
        try:
            # The tasks' data is none of the model's business, here as when it is evaluated.
            self._process = start_process(
                subject.named,
                subject.weights,
                subject.options,
                subject.workspace,
                subject.interpreter,
            )
        except HearError as error:
            raise CannotRunError(str(error)) from error
        said = self._process.ask("import", "importing the module", **target._asdict())
        listed = said["parameters"]
        self._parameters = None if listed is None else [Parameter(*item) for item in listed]
        return Imported(
            missing=tuple(said["missing"]),
            below=tuple(said["below"]),
            effects={name: tuple(items) for name, items in said["effects"].items()},
            random_digests=dict(said["random_digests"]),
            watched=bool(said["watched"]),
        )

    def load(self) -> LoadedFacts:
        """Has the imported module load its model, and put on the device.

        Raises:
            CallFailedError: It fails, or what it gave is no model; see ``returned``.
            CannotRunError: Its ``load_model`` takes no such weights or options.
            ModelError: The process crashed or hangs.
        """
        subject, process = self.subject, self._alive()
        signature = signature_of(self._parameters, subject.named.name)
        try:
            self.converted = signature.convert(subject.options)
            weights = str(subject.weights) if subject.weights else None
            positional = signature.positional(weights, self.converted)
        except ModelError as error:
            raise CannotRunError(str(error)) from error
        said = process.ask(
            "load",
            "load_model",
            positional=list(positional),
            options=self.converted,
            device=subject.workspace.device,
            name=subject.named.name,
        )
        self._worker = Worker(process, said["device"])
        return LoadedFacts(
            said["kind"],
            said["device"],
            said["seconds"],
            said["attributes"],
            said["versions"],
            tuple(said["layer_functions"]),
            said["embeds_text"],
        )

    def returned(self) -> tuple[str | None, frozenset[str]]:
        """The class of what ``load_model`` returned, None if it raised, and its bases' packages."""
        said = self._alive().ask("returned", "a question")
        return said["kind"], frozenset(said["roots"])

    def call(self, function: str, audio: npt.NDArray[np.float32]) -> Answer:
        """Calls a function of the API on a copy of clips (n_clips, n_samples).

        Raises:
            ModelError: It fails, crashes or hangs. The next call has a fresh process.
        """
        worker = self._ready()
        self._note(Call(function, audio))
        try:
            return worker.call(function, audio)
        except ModelError as error:
            self._after(error, worker)
            raise

    def call_on_texts(self, texts: list[str]) -> Answer:
        """Calls the module's function for texts.

        Raises:
            ModelError: It fails, crashes or hangs. The next call has a fresh process.
        """
        worker = self._ready()
        try:
            return worker.call(TEXT_FUNCTION, texts)
        except ModelError as error:
            self._after(error, worker)
            raise

    def gradients(self, function: str, audio: npt.NDArray[np.float32]) -> bool:
        """Whether what a function returns carries gradients where the caller leaves them on.

        Raises:
            ModelError: It fails, crashes or hangs.
        """
        worker = self._ready()
        self._note(Call(function, audio))
        worker.process.hand_over(audio)
        try:
            said = worker.process.ask(
                "gradients", function, function=function, shape=list(audio.shape)
            )
        except ModelError as error:
            self._after(error, worker)
            raise
        return bool(said["requires_grad"])

    def memory(self) -> Memory:
        """The peak memory of the process so far.

        Raises:
            ModelError: It has ended.
        """
        return self._ready().memory()

    def _note(self, call: Call) -> None:
        self.n_calls += 1
        while self.calls and sum(one.audio.nbytes for one in self.calls) > _KEPT_BYTES:
            del self.calls[0]
        self.calls.append(call)

    def _after(self, error: ModelError, worker: Worker) -> None:
        # An exception leaves a process as it was, but on a GPU an error may spoil all that follow.
        if not isinstance(error, CallFailedError) or worker.device != "cpu":
            self.end()

    def _alive(self) -> OtherProcess:
        if self._process is None:
            self.import_model()
        if self._process is None:
            raise ModelError("The model's process has ended.")
        return self._process

    def _ready(self) -> Worker:
        if self._worker is None:
            self.load()
        if self._worker is None:
            raise ModelError("The model isn't loaded.")
        return self._worker


RAISED = "Mend what the last line names; the lines above it say where it is."
_ENDED = {
    "crashed": "The process of the model ended: what it printed says where. Make the same call in "
    "a Python of your own, under python -X faulthandler.",
    "hung": "See what it waits for where the last lines say that it was; if it is merely slow, "
    "allow more time with --timeout.",
    "nonsense": "Leave the process's own streams and shared files to hearbench: write into no "
    "descriptor and no file that the model's code hasn't opened.",
    "read": "Read nothing but the weights, and what a call is handed.",
}


def end_of_process(problem: HearError) -> ProcessEndedError | None:
    """The end of the model's process that a problem reports, if any."""
    for error in (problem, problem.__cause__):
        if isinstance(error, ProcessEndedError):
            return error
    return None


def remedy_for(problem: HearError) -> str:
    """Advice about a call that failed, or returned what is none of the API's."""
    ended = end_of_process(problem)
    if ended is not None:
        return _ENDED[ended.why]
    if isinstance(problem, CallFailedError) or isinstance(problem.__cause__, CallFailedError):
        return RAISED
    if isinstance(problem, EmbeddingError):
        return "Return what docs/models.md says, for any audio."
    if isinstance(problem, ModelError):
        return "Mend what it names; it keeps hearbench from calling the model."
    return "Mend what it names."
