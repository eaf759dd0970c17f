"""Results: scores, what made them, and the files that they are kept in.

A result is a folder::

    result.json                   `Result`
    test.predicted-scores.json    the same scores in the published evaluation's own form
    predictions/clips.json        file names per test split, in the order of the rows
    predictions/labels.json       the vocabulary
    predictions/<split>.npy       float32 probabilities (n_clips or n_frames, n_labels)

and of a scene task ``<split>.targets.npy``, uint8 multi-hot labels (n_clips, n_labels); of an
event task, whose frames stand clip after clip::

    predictions/<split>.bounds.npy       int64 (n_clips + 1,) first frame of each clip
    predictions/<split>.timestamps.npy   float64 (n_frames,) in ms
    predictions/<split>.events.json      what was found: {clip: [{"label", "start", "end"}]}, ms
    predictions/<split>.reference.json   what was annotated, likewise
    predictions/<split>.per_label.json   all parts of all scores, overall and per label

Numbers that JSON can't hold are null where undefined (NaN), and the strings ``"Infinity"`` and
``"-Infinity"``. Two runs of the same thing differ in ``resources`` alone.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from hearbench.results.record import (
    RESULT_FILE,
    EmbeddingsRecord,
    FoldResult,
    GridResult,
    Number,
    PartSummary,
    Postprocessing,
    Resources,
    Result,
    ScoreSummary,
    StageRecord,
)

if TYPE_CHECKING:
    from hearbench.results.conditions import Conditions, diff_protocols, find_conditions
    from hearbench.results.files import reference_form, write_result
    from hearbench.results.predictions import Predictions
    from hearbench.results.scoring import score

__all__ = [
    "RESULT_FILE",
    "Conditions",
    "EmbeddingsRecord",
    "FoldResult",
    "GridResult",
    "Number",
    "PartSummary",
    "Postprocessing",
    "Predictions",
    "Resources",
    "Result",
    "ScoreSummary",
    "StageRecord",
    "diff_protocols",
    "find_conditions",
    "reference_form",
    "score",
    "write_result",
]

# Imported when first used: whoever only reads a result needs no torch.
_HOMES = {
    "Conditions": "conditions",
    "Predictions": "predictions",
    "diff_protocols": "conditions",
    "find_conditions": "conditions",
    "reference_form": "files",
    "score": "scoring",
    "write_result": "files",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return list(__all__)
