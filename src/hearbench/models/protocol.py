"""What a HEAR model is: a sample rate, two sizes, two functions.

Source: the common API of the HEAR 2021 challenge. ``get_scene_embeddings(audio, model)`` gives
one vector per clip, ``get_timestamp_embeddings(audio, model)`` one per frame with the frames'
centres in ms. Audio is float32 mono in [-1, 1], (n_clips, n_samples), at the model's rate.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hearbench.errors import EmbeddingError, ModelError
from hearbench.models.engine import Answer, Renewed, Returned
from hearbench.models.options import OptionValue

__all__ = ["Model"]


@dataclass(frozen=True)
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
        digest: Over name, options, weights' content and the module's source.
        weights_digest: Of the weights' content, where hearbench knows the file.
        source_digest: Of the module's source.
        n_weights: How many numbers it has learned, where its framework tells.
        engine: What calls its functions.
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

    @property
    def device(self) -> str:
        """Where audio is put."""
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

    def renew(self) -> None:
        """Loads the model anew if one of its functions was called, as that may have changed it.

        Raises:
            ModelError: It can't be loaded again, or its files have changed meanwhile.
        """
        self.engine.renew()

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


def _shape(shape: tuple[int | None, ...]) -> str:
    return "(" + ", ".join("any" if size is None else str(size) for size in shape) + ")"
