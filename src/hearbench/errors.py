"""The exceptions that hearbench raises on purpose.

    HearError                   anything that the user can mend; exit code 2
    ├── UnknownNameError        a task, model, protocol or score that no one registered
    ├── AudioError              a file that can't be decoded, or holds no samples
    ├── DownloadError           a file that can't be fetched, or isn't what it should be
    ├── TaskError               a prepared task that is missing or broken, a bad corpus or CSV
    │   └── UnsuitableTaskError      a task of a kind for which what is asked for doesn't exist
    ├── ModelError              a model that doesn't import, load or follow the HEAR API
    ├── EmbeddingError          embeddings of a wrong shape, NaN or infinity; a broken store
    ├── ProbeError              a probe that can't be trained on what it was given
    └── ResultError             a result file that can't be read, or would be overwritten

Every message says what was wrong, where, and what to do. Whatever else escapes is a bug of
hearbench or of the model at hand, and keeps its traceback.

An error's ``code`` tells programs what kind of thing went wrong, whatever it went wrong with; the
`CODES` say what each means.
"""

from __future__ import annotations

__all__ = [
    "CODES",
    "AudioError",
    "DownloadError",
    "EmbeddingError",
    "HearError",
    "ModelError",
    "ProbeError",
    "ResultError",
    "TaskError",
    "UnknownNameError",
    "UnsuitableTaskError",
]


CODES = {
    "invalid": "What was given can't be used as it is.",
    "unknown_name": "Nothing of that name is registered or prepared.",
    "not_found": "A file, folder or part of one is missing.",
    "damaged": "A file isn't what was written.",
    "would_overwrite": "Something made from other inputs would be replaced.",
    "not_installed": "A library or program is missing.",
    "unsuitable": "What is asked for doesn't exist for this kind of task.",
    "io": "The system can't read or write a file.",
    "failed": "Nothing could be evaluated; each failure has an error of its own.",
}
"""The codes of errors, and what they mean."""


class HearError(Exception):
    """Bad input, with a message that fits a screen.

    Args:
        message: What was wrong, where, and what to do.
        code: One of `CODES`; by default that of the class.
    """

    exit_code = 2
    code = "invalid"

    def __init__(self, message: str = "", *, code: str | None = None) -> None:
        super().__init__(message)
        if code is not None:
            self.code = code


class UnknownNameError(HearError):
    """A name that isn't registered; the message lists the nearest that are."""

    code = "unknown_name"


class AudioError(HearError):
    """Audio that can't be read or written."""


class DownloadError(HearError):
    """A file that can't be fetched, or isn't what it should be."""


class TaskError(HearError):
    """A prepared task, corpus or clip list that can't be used as it is."""


class UnsuitableTaskError(TaskError):
    """A task of a kind for which what is asked for doesn't exist."""

    code = "unsuitable"


class ModelError(HearError):
    """A model that can't be loaded, or doesn't follow the HEAR API."""


class EmbeddingError(HearError):
    """Embeddings that can't be trusted, or a store that can't be read."""


class ProbeError(HearError):
    """A probe that can't be trained on what it was given."""


class ResultError(HearError):
    """A result that can't be read, or that would overwrite another."""
