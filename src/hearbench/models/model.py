"""What a HEAR model is: a sample rate, two sizes, two functions.

Source: the common API of the HEAR 2021 challenge. ``get_scene_embeddings(audio, model)`` gives
one vector per clip, ``get_timestamp_embeddings(audio, model)`` one per frame with the frames'
centres in ms. Audio is float32 mono in [-1, 1], (n_clips, n_samples), at the model's rate.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from hearbench.digest import digest_json
from hearbench.errors import EmbeddingError, ModelError
from hearbench.models.engine import Answer, Given, Renewed, Returned
from hearbench.models.fingerprint import Fingerprint, fingerprint
from hearbench.models.identity import Seen
from hearbench.models.options import OptionValue

__all__ = ["Check", "Model"]


@dataclass(frozen=True)
class Check:
    """What the first calls of a model's function show.

    Attributes:
        digest: Of the model, with what the function reads.
        fingerprint: What the model makes of a fixed signal.
        notes: What of its inputs can't be known, in sentences.
        seen: What the function has read.
    """

    digest: str
    fingerprint: Fingerprint
    notes: tuple[str, ...]
    seen: Seen

    @classmethod
    def of(cls, model: Model, made: Fingerprint) -> Check:
        """The check of a model that has just been called."""
        try:
            more = model.engine.seen().since(model.seen)
        except ModelError:
            more = Seen()  # its process has ended, as whoever calls it next is told
        identity = more.identity()
        digest = digest_json({"model": model.digest, **identity}) if identity else model.digest
        return cls(digest, made, _notes(model, more, made), more)


@dataclass(frozen=True, repr=False)
class Model:
    """A loaded HEAR-API model.

    Attributes:
        name: Fit for a folder: the module's import name or its file's stem, with the options.
        spec: As the user gave it.
        weights: The weight file or folder that was handed to the model, if any.
        options: Keyword options of its ``load_model``.
        sample_rate: In Hz.
        scene_embedding_size: Numbers per clip.
        timestamp_embedding_size: Numbers per frame.
        digest: Over name, options, weights' content, the module's source, and what it read when it
            was loaded.
        weights_digest: Of the weights' content, where hearbench knows the file.
        source_digest: Of the module's source.
        n_weights: How many numbers it has learned, where its framework tells.
        engine: What calls its functions.
        notes: What results have to say of it, in sentences.
        seen: What it had read when it was loaded, beside its source.
    """

    name: str
    spec: str
    weights: Path | None
    options: Mapping[str, OptionValue]
    sample_rate: int
    scene_embedding_size: int
    timestamp_embedding_size: int
    digest: str
    weights_digest: str | None
    source_digest: str
    n_weights: int
    engine: Renewed = field(repr=False, compare=False)
    notes: tuple[str, ...] = field(default=(), repr=False, compare=False)
    seen: Seen = field(default_factory=Seen, repr=False, compare=False)
    _checks: dict[str, Check] = field(default_factory=dict, repr=False, compare=False)

    @property
    def device(self) -> str:
        """The device on which audio is put."""
        return self.engine.device

    def scene(self, audio: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """One embedding per clip.

        Args:
            audio: (n_clips, n_samples) in [-1, 1] at the model's rate. The model may write
                into it.

        Returns:
            (n_clips, scene_embedding_size).

        Raises:
            ModelError: The model's own code failed.
            EmbeddingError: It returned another shape or no numbers.
        """
        function = "get_scene_embeddings"
        answer = self._call(function, audio)
        expected = (len(audio), self.scene_embedding_size)
        if answer.is_tuple:
            raise EmbeddingError(
                f"{self.name}: {function} should return an array of embeddings and returned "
                f"{len(answer.items)} values."
            )
        return self._array(function, "embeddings", answer.items[0], expected)

    def timestamps(
        self, audio: npt.NDArray[np.float32]
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Embeddings of frames.

        Args:
            audio: (n_clips, n_samples) in [-1, 1] at the model's rate. The model may write
                into it.

        Returns:
            Embeddings (n_clips, n_frames, timestamp_embedding_size) and the frames' centres in
            ms (n_clips, n_frames).

        Raises:
            ModelError: The model's own code failed.
            EmbeddingError: It returned other shapes or no numbers.
        """
        function = "get_timestamp_embeddings"
        answer = self._call(function, audio)
        if not answer.is_tuple or len(answer.items) != 2:
            count = len(answer.items)
            what = f"{count} values" if answer.is_tuple else answer.items[0].facts.kind
            raise EmbeddingError(
                f"{self.name}: {function} should return (embeddings, timestamps) and "
                f"returned {what}."
            )
        shape = (len(audio), None, self.timestamp_embedding_size)
        embeddings = self._array(function, "embeddings", answer.items[0], shape)
        centres_ms = self._array(function, "timestamps", answer.items[1], embeddings.shape[:2])
        return embeddings, centres_ms

    def describe(self) -> dict[str, object]:
        """What is known of the model: names, rate in Hz, sizes, device and digests."""
        return {
            "name": self.name,
            "spec": self.spec,
            "weights": None if self.weights is None else str(self.weights),
            "options": dict(self.options),
            "sample_rate": self.sample_rate,
            "scene_embedding_size": self.scene_embedding_size,
            "timestamp_embedding_size": self.timestamp_embedding_size,
            "n_weights": self.n_weights,
            "device": self.device,
            "digest": self.digest,
        }

    def __repr__(self) -> str:
        return (
            f"Model {self.name}: {self.sample_rate} Hz, scene embeddings of "
            f"{self.scene_embedding_size} dimensions, timestamp embeddings of "
            f"{self.timestamp_embedding_size}, {self.n_weights:,} weights, on {self.device}"
        )

    def renew(self) -> None:
        """Loads the model again if one of its functions was called, as that may have changed it.

        Raises:
            ModelError: It can't be loaded again, or its files have changed meanwhile.
        """
        self.engine.renew()

    def check(self, kind: Literal["scene", "event"]) -> Check:
        """What its first calls show, made once: the identity of embeddings of a kind.

        A new model embeds a short fixed signal, and imports and reads what it needs for that.

        Raises:
            ModelError: It was called before, and can't be loaded again; or it is an object whose
                weights have changed.
        """
        self.engine.verify()
        if kind not in self._checks:
            self.renew()
            self._checks[kind] = Check.of(self, self._fingerprint(kind))
        return self._checks[kind]

    def digest_of(self, kind: Literal["scene", "event"]) -> str:
        """As `digest`, with what the function for a kind of task reads when it is called."""
        return self.check(kind).digest

    def later_files(self, kind: Literal["scene", "event"]) -> dict[str, str]:
        """Digests of files, by path, that it has read since, and that aren't part of `digest_of`.

        Raises:
            ModelError: Its process has ended.
        """
        later = self.engine.seen().since(self.seen).since(self.check(kind).seen)
        return dict(later.files)

    def begin(self, kind: Literal["scene", "event"]) -> None:
        """Makes it the model that embeds tasks of a kind: new, and called with the signal alone.

        So it is the same for every task, and for the rest of one that was stopped. One that was
        given as an object must still embed the signal as it did.

        Raises:
            ModelError: It can't be loaded again, or has changed.
        """
        known = self.check(kind).fingerprint
        if known.state == "failed":
            self.renew()
        elif self.engine.ready_for != kind:
            self.renew()
            made = self._fingerprint(kind)
            if isinstance(self.engine, Given) and not made.matches(known):
                raise ModelError(
                    f"{self.name} embeds a fixed signal differently than it did after load_model: "
                    "it has changed since. Call load_model again after each change."
                )

    def _fingerprint(self, kind: Literal["scene", "event"]) -> Fingerprint:
        functions: dict[str, Callable[[npt.NDArray[np.float32]], Any]] = {
            "scene": self.scene,
            "event": self.timestamps,
        }
        made = fingerprint(functions[kind], self.sample_rate)
        self.engine.ready_for = kind
        return made

    def __enter__(self) -> Model:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Lets the model go, and ends its process if it has one of its own."""
        self.engine.close()

    def _call(self, function: str, audio: npt.NDArray[np.float32]) -> Answer:
        try:
            return self.engine.call(function, audio)
        except ModelError as error:
            raise ModelError(
                f"{self.name}: {function} failed on {audio.shape[0]} x {audio.shape[1]} "
                f"samples at {self.sample_rate} Hz:\n{error}"
            ) from error

    def _array(
        self, function: str, what: str, value: Returned, expected: tuple[int | None, ...]
    ) -> npt.NDArray[np.float32]:
        array = value.array
        if array is None:
            raise EmbeddingError(
                f"{self.name}: the {what} of {function} aren't an array but {value.facts.kind}: "
                f"{value.problem}"
            )
        if array.dtype.kind not in "fiu":
            raise EmbeddingError(
                f"{self.name}: the {what} of {function} should be float32 and are {array.dtype}."
            )
        fits = len(array.shape) == len(expected) and all(
            want in (None, have) for want, have in zip(expected, array.shape, strict=True)
        )
        if not fits:
            raise EmbeddingError(
                f"{self.name}: the {what} of {function} should be {_shape(expected)} and are "
                f"{_shape(array.shape)}. Sizes are (clips, dimension) of scene embeddings, "
                "(clips, frames, dimension) of timestamp embeddings, (clips, frames) of timestamps."
            )
        with np.errstate(over="ignore"):  # what doesn't fit becomes infinite, and is found there
            return np.ascontiguousarray(array, dtype=np.float32)


def _notes(model: Model, more: Seen, made: Fingerprint) -> tuple[str, ...]:
    notes = [f"{model.name}: {note}." for note in model.notes]
    unseen = (*model.seen.unseen, *more.unseen)
    if unseen:
        notes.append(
            f"{model.name}: not all that this model takes in can be looked at: "
            f"{'; '.join(unseen)}. Changes there are noticed only by a fixed signal that it embeds."
        )
    if made.state == "varies":
        notes.append(
            f"{model.name} isn't repeatable: it embeds the same signal twice in two ways. So "
            "kept embeddings can't be compared with it."
        )
    if made.state == "failed":
        notes.append(
            f"{model.name} can't embed a fixed signal of a second, by which kept embeddings are "
            "compared with it."
        )
    return tuple(notes)


def _shape(shape: tuple[int | None, ...]) -> str:
    return "(" + ", ".join("any" if size is None else str(size) for size in shape) + ")"
