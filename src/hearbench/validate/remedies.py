"""Advice about a function that failed, by how it did."""

from __future__ import annotations

from hearbench.errors import EmbeddingError, HearError, ModelError
from hearbench.models.other_process import CallFailedError, ProcessEndedError

__all__ = ["RAISED", "end_of_process", "remedy_for"]

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
