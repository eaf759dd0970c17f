"""Zero-shot evaluation: clips compared with texts, by a model that embeds both into one space.

`zero_shot_scores` makes a `ZeroShotResult` of a store of embeddings and of the embeddings of a
task's texts: clips are classified by the nearest class name, and found by captions where the task
has them. It stands in OUT/MODEL/TASK/zero-shot.json, where it may lie beside the result of a probe.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from hearbench.zero_shot.record import (
    ZERO_SHOT_FILE,
    ClassesRecord,
    TemplateRecord,
    ZeroShotResources,
    ZeroShotResult,
    ZeroShotSplit,
    ZeroShotSummary,
)

if TYPE_CHECKING:
    from hearbench.zero_shot.scoring import Texts, texts_of, zero_shot_scores
    from hearbench.zero_shot.similarity import class_probabilities

__all__ = [
    "ZERO_SHOT_FILE",
    "ClassesRecord",
    "TemplateRecord",
    "Texts",
    "ZeroShotResources",
    "ZeroShotResult",
    "ZeroShotSplit",
    "ZeroShotSummary",
    "class_probabilities",
    "texts_of",
    "zero_shot_scores",
]

# Imported when first used: whoever only reads a result needs nothing heavy.
_LATER = {
    "Texts": "scoring",
    "class_probabilities": "similarity",
    "texts_of": "scoring",
    "zero_shot_scores": "scoring",
}


def __getattr__(name: str) -> Any:
    if name in _LATER:
        return getattr(importlib.import_module(f"{__name__}.{_LATER[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return list(__all__)
