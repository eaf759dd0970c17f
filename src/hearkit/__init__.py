"""hearkit: the HEAR benchmark (Holistic Evaluation of Audio Representations) as one package.

    task   = hearkit.load_task("path/to/tasks/spoken_digit-1.0.9-full")
    model  = hearkit.load_model("hearkit.models.naive")
    store  = hearkit.embed(model, task)
    preds  = hearkit.fit_probe(store, protocol="hear2021")
    result = hearkit.score(preds)

Importing the package loads neither torch nor anything else that is heavy; a name is imported
when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from hearkit._version import __version__

if TYPE_CHECKING:
    from hearkit.embeddings.compute import embed
    from hearkit.errors import HearError
    from hearkit.models.loading import load_model
    from hearkit.probe.fit import fit_probe
    from hearkit.results import Result, score
    from hearkit.settings import Settings
    from hearkit.tasks.store import load_task
    from hearkit.validate import validate_model

__all__ = [
    "HearError",
    "Result",
    "Settings",
    "__version__",
    "embed",
    "fit_probe",
    "load_model",
    "load_task",
    "score",
    "validate_model",
]

_HOMES = {
    "HearError": "hearkit.errors",
    "Result": "hearkit.results",
    "Settings": "hearkit.settings",
    "embed": "hearkit.embeddings.compute",
    "fit_probe": "hearkit.probe.fit",
    "load_model": "hearkit.models.loading",
    "load_task": "hearkit.tasks.store",
    "score": "hearkit.results",
    "validate_model": "hearkit.validate",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return list(__all__)
