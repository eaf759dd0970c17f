"""State that the checks of one validation share: the model's process, and what is known so far."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, TypeVar

import numpy as np
import numpy.typing as npt

from hearbench.errors import EmbeddingError, HearError, ModelError
from hearbench.models.engine import Answer, Returned
from hearbench.validate.model_process import (
    SCENE,
    TIMESTAMPS,
    CannotRunError,
    Imported,
    LoadedFacts,
    ModelProcess,
)
from hearbench.validate.order import OTHER, CallOrderError, OrderFault, order_fault
from hearbench.validate.report import Finding

__all__ = ["Context", "Frames", "clips_text"]

Array = npt.NDArray[np.float32]
T = TypeVar("T")
_MS_PER_S = 1000.0
_NUMBERS = re.compile(r"\d+(\.\d+)?")


@dataclass(frozen=True)
class Frames:
    """Timestamp embeddings of clips of one length.

    Attributes:
        embeddings: (n_clips, n_frames, size).
        times_ms: (n_clips, n_frames).
    """

    embeddings: Array
    times_ms: npt.NDArray[np.float64]
    duration_ms: float


@dataclass
class Context:
    """The state of one validation.

    Attributes:
        quick: Whether what needs 20 minutes of audio is left out.
        finds_order: Whether a call that fails is tried as the first call, too.
        findings: Findings of the checks so far, by name.
        imported: Facts that the import of the model showed.
        loaded: Facts about what ``load_model`` returned.
        sample_rate: In Hz, once known.
        sizes: By function, as the model says; those that it says.
        answers: Raw answers for white noise, by function and length in s.
        frames: The timestamp embeddings in them, by length in s, once their shapes are right.
        scenes: The scene embeddings in them, once their shape is right.
        hop_ms: Mean time between timestamps; 0 where no clip has two frames.
        long: Results for 20 minutes of audio, once run.
        peak_mb: Most memory with 20 minutes, and of what.
        repeats: How far embeddings are apart from call to call, by function, once measured.
        earlier: Embeddings of the clips of ``behaviour`` by a process that has ended.
        order: A function that fails for what was called before it, once found.
    """

    process: ModelProcess
    quick: bool = False
    finds_order: bool = True
    findings: dict[str, Finding] = field(default_factory=dict)
    imported: Imported | None = None
    loaded: LoadedFacts | None = None
    sample_rate: int = 0
    sizes: dict[str, int] = field(default_factory=dict)
    answers: dict[tuple[str, float], Answer] = field(default_factory=dict)
    frames: dict[float, Frames] = field(default_factory=dict)
    scenes: Array | None = None
    hop_ms: float = 0.0
    long: object | None = None
    peak_mb: tuple[float, Literal["GPU", "process"]] | None = None
    repeats: dict[str, float] | None = None
    earlier: dict[str, Array] = field(default_factory=dict)
    order: OrderFault | None = None
    latest: Answer | None = None
    _always: set[tuple[str, str]] = field(default_factory=set)

    @property
    def on_gpu(self) -> bool:
        """Whether audio is put on a GPU."""
        return self.loaded is not None and self.loaded.device != "cpu"

    def failed(self, *names: str) -> list[str]:
        """Names those of some checks that found an error."""
        return [
            name
            for name in names
            if name in self.findings and self.findings[name].verdict == "error"
        ]

    def usable(self) -> tuple[str, ...]:
        """The functions whose results have the right shapes, as far as that was checked."""
        checks = {TIMESTAMPS: "timestamp-shapes", SCENE: "scene-shapes"}
        return tuple(name for name, check in checks.items() if not self.failed(check))

    def timestamps(self, audio: Array) -> Frames:
        """Timestamp embeddings of clips.

        Raises:
            ModelError: The function fails.
            EmbeddingError: It returns other than embeddings and timestamps that fit each other.
            CallOrderError: Whether it does depends on what was called before.
        """
        return self._in_order(self._frames, audio)

    def scene(self, audio: Array) -> Array:
        """Scene embeddings (n_clips, size) of clips.

        Raises:
            ModelError: The function fails.
            EmbeddingError: It returns another shape, or no numbers.
            CallOrderError: Whether it does depends on what was called before.
        """
        return self._in_order(self._scenes, audio)

    def embed(self, function: str, audio: Array) -> Array:
        """Embeddings of clips by either function.

        Raises:
            ModelError, EmbeddingError, CallOrderError: See ``timestamps`` and ``scene``.
        """
        return self.scene(audio) if function == SCENE else self.timestamps(audio).embeddings

    def call(self, function: str, audio: Array) -> Answer:
        """What a function of the module returns for clips, whatever that is.

        Raises:
            ModelError: The function fails.
        """
        return self._call(function, audio)

    def anyhow_timestamps(self, audio: Array) -> Frames:
        """Timestamp embeddings of clips, if need be from a process that has called nothing before.

        Raises:
            ModelError, EmbeddingError: See ``timestamps``.
        """
        return self._anyhow(TIMESTAMPS, self._frames, audio)

    def anyhow_scene(self, audio: Array) -> Array:
        """Scene embeddings of clips, if need be from a process that has called nothing before.

        Raises:
            ModelError, EmbeddingError: See ``scene``.
        """
        return self._anyhow(SCENE, self._scenes, audio)

    def gradients(self, function: str, audio: Array) -> bool:
        """Whether what a function returns carries gradients where the caller leaves them on.

        Raises:
            ModelError, EmbeddingError: The function fails.
            CallOrderError: Whether a function works depends on what was called before.
        """
        if self.order is not None:
            raise CallOrderError
        try:
            return self.process.gradients(function, audio)
        except ModelError:
            # Whether it is the gradients, or what was called before.
            self.embed(function, audio)
            raise

    def _in_order(self, read: Callable[[Array], T], audio: Array) -> T:
        if self.order is not None:
            raise CallOrderError
        try:
            return read(audio)
        except CannotRunError:
            raise
        except HearError as problem:
            # Without a call it was loading it again that failed.
            way = _way(self.process.calls[-1].function if self.process.calls else "", problem)
            if self.finds_order and self.process.calls and way not in self._always:
                latest = self.latest
                self.order = order_fault(self.process, problem, self._read, self._shown)
                if self.order is not None:
                    raise CallOrderError from problem
                self.latest = latest
                self._always.add(way)
            raise

    def _anyhow(self, function: str, read: Callable[[Array], T], audio: Array) -> T:
        try:
            return self._in_order(read, audio)
        except CallOrderError:
            self.process.end()
        with contextlib.suppress(ModelError, EmbeddingError):
            return read(audio)
        # One that works only once another has been called, or at the second call.
        with contextlib.suppress(ModelError, EmbeddingError):
            self._read(OTHER[function], audio)
        return read(audio)

    def _read(self, function: str, audio: Array) -> object:
        return self._scenes(audio) if function == SCENE else self._frames(audio)

    def _frames(self, audio: Array) -> Frames:
        answer = self._call(TIMESTAMPS, audio)
        duration_ms = audio.shape[1] * _MS_PER_S / self.sample_rate
        return frames_of(answer, len(audio), duration_ms, self._shown(audio))

    def _scenes(self, audio: Array) -> Array:
        return scenes_of(self._call(SCENE, audio), len(audio), self._shown(audio))

    def _call(self, function: str, audio: Array) -> Answer:
        self.latest = None
        try:
            self.latest = self.process.call(function, audio)
        except CannotRunError:
            raise
        except ModelError as error:
            # A traceback begins on a line of its own.
            text = f"\n{error}" if str(error).startswith(" ") else f" {error}"
            raise ModelError(f"{function} on {self._shown(audio)}:{text}") from error
        return self.latest

    def _shown(self, audio: Array) -> str:
        return clips_text(audio, self.sample_rate)


def _way(function: str, problem: HearError) -> tuple[str, str]:
    """How a function fails: its last line, whatever the clips."""
    return function, _NUMBERS.sub("#", str(problem).rpartition("\n")[2])


def frames_of(answer: Answer, n_clips: int, duration_ms: float, where: str) -> Frames:
    """Takes the timestamp embeddings from an answer.

    Raises:
        EmbeddingError: There are none, or shapes that don't fit.
    """
    if not answer.is_tuple or len(answer.items) != 2:
        count = len(answer.items)
        what = f"{count} values" if answer.is_tuple else f"one {answer.items[0].facts.kind}"
        raise EmbeddingError(f"{TIMESTAMPS} on {where} returned {what}, not two.")
    embeddings = _numbers(answer.items[0], f"the embeddings of {TIMESTAMPS} on {where}")
    times = _numbers(answer.items[1], f"the timestamps of {TIMESTAMPS} on {where}")
    if embeddings.ndim != 3 or times.ndim != 2 or embeddings.shape[:2] != times.shape:
        raise EmbeddingError(
            f"{TIMESTAMPS} on {where} returned embeddings {embeddings.shape} and timestamps "
            f"{times.shape}."
        )
    if len(embeddings) != n_clips:
        raise EmbeddingError(f"{TIMESTAMPS} on {where} returned embeddings {embeddings.shape}.")
    if embeddings.shape[1] == 0:
        raise EmbeddingError(f"{TIMESTAMPS} on {where} returned no frame.")
    if embeddings.shape[2] == 0:
        raise EmbeddingError(f"{TIMESTAMPS} on {where} returned embeddings of no dimensions.")
    return Frames(_float32(embeddings), times.astype(np.float64), duration_ms)


def scenes_of(answer: Answer, n_clips: int, where: str) -> Array:
    """Takes the scene embeddings from an answer.

    Raises:
        EmbeddingError: There are none, or of another shape.
    """
    if answer.is_tuple:
        raise EmbeddingError(
            f"{SCENE} on {where} returned a tuple of {len(answer.items)} values, not an array."
        )
    embeddings = _numbers(answer.items[0], f"the embeddings of {SCENE} on {where}")
    if embeddings.ndim != 2 or len(embeddings) != n_clips or embeddings.shape[1] == 0:
        raise EmbeddingError(f"{SCENE} on {where} returned embeddings {embeddings.shape}.")
    return _float32(embeddings)


def clips_text(audio: Array, sample_rate: int) -> str:
    """``"2 clips of 1.07 s"``."""
    clips = "one clip" if len(audio) == 1 else f"{len(audio)} clips"
    n_samples = audio.shape[1]
    if not sample_rate:
        return f"{clips} of {n_samples} samples"
    seconds = n_samples / sample_rate
    if round(seconds, 2) * sample_rate == n_samples:
        return f"{clips} of {seconds:g} s"
    return f"{clips} of {seconds:.3f} s ({n_samples} samples)"


def _numbers(value: Returned, what: str) -> npt.NDArray[np.generic]:
    if value.array is None:
        raise EmbeddingError(f"{what} hold no numbers but are {value.facts.kind}: {value.problem}.")
    return value.array


def _float32(array: npt.NDArray[np.generic]) -> Array:
    with np.errstate(over="ignore"):  # what doesn't fit becomes infinite, and is found there
        return array.astype(np.float32, copy=False)
