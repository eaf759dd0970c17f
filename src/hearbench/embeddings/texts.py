"""Embeddings of texts in the cache, beside those of clips.

    <cache>/texts/<key>/
        embeddings.npy  float32 (n_texts, size)
        record.json     which model and texts, and the digest of the array; written last

The key is made of the model's identity and the texts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from hearbench.digest import digest_file, digest_json, short
from hearbench.errors import EmbeddingError, ResultError
from hearbench.files import read_npy, write_json, write_npy
from hearbench.models.fingerprint import Fingerprint
from hearbench.models.identity import changed_files
from hearbench.models.model import Model
from hearbench.records import Record, read_record
from hearbench.workspace import Workspace

__all__ = ["TextEmbeddings", "embed_texts", "read_texts", "texts_folder"]

_ARRAY, _RECORD = "embeddings.npy", "record.json"


class _TextsRecord(Record):
    """What the array of a folder is.

    Attributes:
        format_version: Of this layout.
        model: Digest of the model, with what its function for scenes reads.
        fingerprint: What the model makes of a fixed signal.
        texts: In the order of the rows.
        sha256: Of the array's file.
        later_files: Digests of files that the model read for the texts alone, by path.
    """

    format_version: Literal[1] = 1
    model: str
    fingerprint: Fingerprint
    texts: tuple[str, ...]
    sha256: str
    later_files: dict[str, str]


@dataclass(frozen=True)
class TextEmbeddings:
    """Embeddings of texts by one model.

    Attributes:
        texts: The texts, each once.
        array: (n_texts, size), in the order of the texts.
        later_files: Digests of files that the model read for the texts alone, by path.
    """

    texts: tuple[str, ...]
    array: npt.NDArray[np.float32]
    later_files: dict[str, str]

    def of(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """The embeddings of some of them, (n_texts, size)."""
        at = {text: row for row, text in enumerate(self.texts)}
        found: npt.NDArray[np.float32] = self.array[[at[text] for text in texts]]
        return found


def texts_folder(model: str, texts: Sequence[str], workspace: Workspace) -> Path:
    """Where the embeddings of texts are or would be.

    Args:
        model: Digest of the model, with what its function for scenes reads.
    """
    key = digest_json({"model": model, "texts": list(texts), "format": 1})
    return workspace.path("texts", short(key))


def embed_texts(model: Model, texts: Sequence[str], workspace: Workspace) -> Path:
    """Embeds texts, or finds their embeddings in the cache.

    Args:
        texts: Each of them once.

    Returns:
        The folder, for `read_texts`.

    Raises:
        ModelError: The model doesn't embed text, or its own code fails.
        EmbeddingError: It returns another shape, or no finite numbers; or they can't be written.
    """
    check = model.check("scene")
    folder = texts_folder(check.digest, texts, workspace)
    record = _record(folder)
    if record is not None and record.fingerprint.matches(check.fingerprint):
        return folder
    # As for clips: new, and called with the fixed signal alone.
    model.begin("scene")
    with workspace.progress.stage(f"embedding {len(texts)} texts"):
        array = model.texts(list(texts))
    bad = np.flatnonzero(~np.isfinite(array).all(axis=1))
    if len(bad):
        raise EmbeddingError(
            f"{model.name}: the embedding of the text {texts[bad[0]]!r} holds NaN or infinity. "
            "Mend the model's get_text_embeddings."
        )
    try:
        write_npy(folder / _ARRAY, array)
        made = _TextsRecord(
            model=check.digest,
            fingerprint=check.fingerprint,
            texts=tuple(texts),
            sha256=digest_file(folder / _ARRAY),
            later_files=model.later_files("scene"),
        )
        write_json(folder / _RECORD, made.model_dump(mode="json"))
    except OSError as error:
        raise EmbeddingError(
            f"{error.filename or folder} can't be written: {error.strerror}.", code="io"
        ) from error
    return folder


def read_texts(folder: Path) -> TextEmbeddings:
    """Reads embeddings that `embed_texts` left.

    Raises:
        EmbeddingError: There are none, or they are damaged.
    """
    record = _record(folder)
    if record is None:
        raise EmbeddingError(
            f"There are no whole embeddings of the task's texts in {folder}. They are made where "
            "the model is evaluated: hearbench evaluate MODEL --zero-shot.",
            code="not_found",
        )
    return TextEmbeddings(record.texts, read_npy(folder / _ARRAY), record.later_files)


def _record(folder: Path) -> _TextsRecord | None:
    """The record of a folder whose array is what was written; None of any other."""
    if not (folder / _RECORD).is_file():
        return None
    try:
        found = read_record(_TextsRecord, folder, _RECORD, "a record of texts")
        whole = digest_file(folder / _ARRAY) == found.sha256
    except (OSError, ResultError):
        return None  # of another version, or damaged: made again
    return found if whole and not changed_files(found.later_files) else None
