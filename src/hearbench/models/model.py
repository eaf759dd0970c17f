"""What a HEAR model is: a sample rate, two sizes, two functions.

Source: the common API of the HEAR 2021 challenge. ``get_scene_embeddings(audio, model)`` gives
one vector per clip, ``get_timestamp_embeddings(audio, model)`` one per frame with the frames'
centres in ms. Audio is float32 mono in [-1, 1], (n_clips, n_samples), at the model's rate.

Beyond that API, a module can have ``get_scene_layers(audio, model)`` and
``get_timestamp_layers(audio, model)``, which give all layers of a model at once, and
``get_text_embeddings(texts, model)``, which embeds text into the space of its scene embeddings.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from hearbench.digest import digest_json
from hearbench.errors import EmbeddingError, ModelError
from hearbench.models.engine import Answer, Given, Heard, Renewed, Returned
from hearbench.models.fingerprint import Fingerprint, fingerprint
from hearbench.models.identity import Seen
from hearbench.models.options import OptionValue
from hearbench.worker.importing import TEXT_FUNCTION

__all__ = ["Check", "Model"]

_Kind = Literal["scene", "event"]
_FUNCTIONS = {"scene": "get_scene_embeddings", "event": "get_timestamp_embeddings"}
_LAYER_FUNCTIONS = {"scene": "get_scene_layers", "event": "get_timestamp_layers"}
_TEXTS_AT_ONCE = 64
_SIZES = (
    "Sizes are (clips, dimension) of scene embeddings, (clips, frames, dimension) of timestamp "
    "embeddings, (clips, frames) of timestamps."
)
_LAYER_SIZES = (
    "Sizes are (clips, layers, dimension) of scene embeddings, (clips, layers, frames, dimension) "
    "of timestamp embeddings, (clips, frames) of timestamps."
)


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
    def of(cls, model: Model, digest: str, made: Fingerprint) -> Check:
        """The check of a model that has just been called.

        Args:
            digest: Of the model, before it was called.
        """
        try:
            more = model.engine.seen().since(model.seen)
        except ModelError:
            more = Seen()  # its process has ended, as whoever calls it next is told
        identity = more.identity()
        if identity:
            digest = digest_json({"model": digest, **identity})
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
        layers: How many layers it can give at once; 0 if it can't.
        layer: Which of these, from 0 on, its own embeddings are; None if it doesn't say so.
        layers_name: As `name`, for embeddings of all layers: without the option ``layer``.
        layers_digest: As `digest`, for embeddings of all layers. It is the same whichever layer
            the option ``layer`` chooses, if the model states its `layer`.
        layer_functions: The functions that its module has for all layers at once.
        embeds_text: Whether it embeds text into the space of its scene embeddings.
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
    layers: int = 0
    layer: int | None = None
    layers_name: str = ""
    layers_digest: str = ""
    layer_functions: tuple[str, ...] = ()
    embeds_text: bool = False
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
        return self._scene(_FUNCTIONS["scene"], audio, (len(audio), self.scene_embedding_size))

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
        shape = (len(audio), None, self.timestamp_embedding_size)
        return self._timestamps(_FUNCTIONS["event"], audio, shape)

    def scene_layers(self, audio: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """One embedding per clip from each layer.

        Args:
            audio: (n_clips, n_samples) in [-1, 1] at the model's rate. The model may write
                into it.

        Returns:
            (n_clips, layers, scene_embedding_size).

        Raises:
            ModelError: It can't give all layers of scenes at once, or its own code failed.
            EmbeddingError: It returned another shape or no numbers.
        """
        shape = (len(audio), self.layers, self.scene_embedding_size)
        return self._scene(self._layer_function("scene"), audio, shape)

    def timestamp_layers(
        self, audio: npt.NDArray[np.float32]
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Embeddings of frames from each layer, whose frames are the same.

        Args:
            audio: (n_clips, n_samples) in [-1, 1] at the model's rate. The model may write
                into it.

        Returns:
            Embeddings (n_clips, layers, n_frames, timestamp_embedding_size) and the frames'
            centres in ms (n_clips, n_frames).

        Raises:
            ModelError: It can't give all layers of frames at once, or its own code failed.
            EmbeddingError: It returned other shapes or no numbers.
        """
        shape = (len(audio), self.layers, None, self.timestamp_embedding_size)
        return self._timestamps(self._layer_function("event"), audio, shape)

    def texts(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """One embedding per text, in the space of the scene embeddings.

        The module's function gets at most 64 texts at once.

        Returns:
            (n_texts, scene_embedding_size).

        Raises:
            ModelError: It doesn't embed text, or its own code failed.
            EmbeddingError: It returned another shape or no numbers.
        """
        if not self.embeds_text:
            raise ModelError(
                f"{self.name} doesn't embed text. A module does by the function "
                f"{TEXT_FUNCTION}(texts, model), and CLAP's checkpoints (hf:...) if they are "
                "loaded with the option pooling=pooled, which is the space that audio and text "
                "share."
            )
        found = np.empty((len(texts), self.scene_embedding_size), np.float32)
        for first in range(0, len(texts), _TEXTS_AT_ONCE):
            block = list(texts[first : first + _TEXTS_AT_ONCE])
            shape = (len(block), self.scene_embedding_size)
            answer = self._call(TEXT_FUNCTION, block, f"{len(block)} texts")
            found[first : first + len(block)] = self._one_array(TEXT_FUNCTION, answer, shape)
        return found

    def describe(self) -> dict[str, object]:
        """What is known of the model: names, rate in Hz, sizes, device, digest and layers."""
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
            "layers": self.layers,
            "layer": self.layer,
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

    def check(self, kind: _Kind, *, layers: bool = False) -> Check:
        """What its first calls show, made once: the identity of embeddings of a kind.

        A new model embeds a short fixed signal, and imports and reads what it needs for that.

        Args:
            layers: Whether it is about embeddings of all layers.

        Raises:
            ModelError: It was called before, and can't be loaded again; or it is an object whose
                weights have changed; or it can't give all layers at once.
        """
        self.engine.verify()
        function = self._function(kind, layers=layers)
        if function not in self._checks:
            self.renew()
            made = self._fingerprint(function)
            digest = self.layers_digest if layers else self.digest
            self._checks[function] = Check.of(self, digest, made)
        return self._checks[function]

    def digest_of(self, kind: _Kind) -> str:
        """As `digest`, with what the function for a kind of task reads when it is called."""
        return self.check(kind).digest

    def later_files(self, kind: _Kind, *, layers: bool = False) -> dict[str, str]:
        """Digests of files, by path, that it has read since, and that its check doesn't cover.

        Args:
            layers: Whether it is about embeddings of all layers.

        Raises:
            ModelError: Its process has ended.
        """
        later = self.engine.seen().since(self.seen).since(self.check(kind, layers=layers).seen)
        return dict(later.files)

    def begin(self, kind: _Kind, *, layers: bool = False) -> None:
        """Makes it the model that embeds tasks of a kind: new, and called with the signal alone.

        So it is the same for every task, and for the rest of one that was stopped. One that was
        given as an object must still embed the signal as it did.

        Args:
            layers: Whether it is to give all layers at once.

        Raises:
            ModelError: It can't be loaded again, or has changed, or can't give all layers at once.
        """
        known = self.check(kind, layers=layers).fingerprint
        function = self._function(kind, layers=layers)
        if known.state == "failed":
            self.renew()
        elif self.engine.ready_for != function:
            self.renew()
            made = self._fingerprint(function)
            if isinstance(self.engine, Given) and not made.matches(known):
                raise ModelError(
                    f"{self.name} embeds a fixed signal differently than it did after load_model: "
                    "it has changed since. Call load_model again after each change."
                )

    def _fingerprint(self, function: str) -> Fingerprint:
        methods: dict[str, Callable[[npt.NDArray[np.float32]], Any]] = {
            "get_scene_embeddings": self.scene,
            "get_timestamp_embeddings": self.timestamps,
            "get_scene_layers": self.scene_layers,
            "get_timestamp_layers": self._frames_of_layers,
        }
        made = fingerprint(methods[function], self.sample_rate)
        self.engine.ready_for = function
        return made

    def _frames_of_layers(
        self, audio: npt.NDArray[np.float32]
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """As `timestamp_layers`, with the frames of the layers one after the other."""
        embeddings, centres_ms = self.timestamp_layers(audio)
        return embeddings.reshape(len(audio), -1, embeddings.shape[3]), centres_ms

    def _function(self, kind: _Kind, *, layers: bool) -> str:
        return self._layer_function(kind) if layers else _FUNCTIONS[kind]

    def _layer_function(self, kind: _Kind) -> str:
        """The function that gives all layers at once, for a kind of task.

        Raises:
            ModelError: There is none.
        """
        function = _LAYER_FUNCTIONS[kind]
        if function not in self.layer_functions:
            what = "scenes" if kind == "scene" else "frames"
            raise ModelError(
                f"{self.name} can't give all of its layers of {what} at once: it has no {function}."
            )
        return function

    def _scene(
        self, function: str, audio: npt.NDArray[np.float32], shape: tuple[int | None, ...]
    ) -> npt.NDArray[np.float32]:
        return self._one_array(function, self._call_on(function, audio), shape)

    def _one_array(
        self, function: str, answer: Answer, shape: tuple[int | None, ...]
    ) -> npt.NDArray[np.float32]:
        if answer.is_tuple:
            raise EmbeddingError(
                f"{self.name}: {function} should return an array of embeddings and returned "
                f"{len(answer.items)} values."
            )
        return self._array(function, "embeddings", answer.items[0], shape)

    def _timestamps(
        self, function: str, audio: npt.NDArray[np.float32], shape: tuple[int | None, ...]
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        answer = self._call_on(function, audio)
        if not answer.is_tuple or len(answer.items) != 2:
            count = len(answer.items)
            what = f"{count} values" if answer.is_tuple else answer.items[0].facts.kind
            raise EmbeddingError(
                f"{self.name}: {function} should return (embeddings, timestamps) and "
                f"returned {what}."
            )
        embeddings = self._array(function, "embeddings", answer.items[0], shape)
        frames = (embeddings.shape[0], embeddings.shape[-2])
        centres_ms = self._array(function, "timestamps", answer.items[1], frames)
        return embeddings, centres_ms

    def __enter__(self) -> Model:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Lets the model go, and ends its process if it has one of its own."""
        self.engine.close()

    def _call_on(self, function: str, audio: npt.NDArray[np.float32]) -> Answer:
        shown = f"{audio.shape[0]} x {audio.shape[1]} samples at {self.sample_rate} Hz"
        return self._call(function, audio, shown)

    def _call(self, function: str, heard: Heard, shown: str) -> Answer:
        try:
            return self.engine.call(function, heard)
        except ModelError as error:
            raise ModelError(f"{self.name}: {function} failed on {shown}:\n{error}") from error

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
            sizes = _LAYER_SIZES if function in self.layer_functions else _SIZES
            if function == TEXT_FUNCTION:
                sizes = "Sizes are (texts, dimension), with the dimension of scene embeddings."
            raise EmbeddingError(
                f"{self.name}: the {what} of {function} should be {_shape(expected)} and are "
                f"{_shape(array.shape)}. {sizes}"
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
