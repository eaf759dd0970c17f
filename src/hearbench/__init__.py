"""hearbench: the HEAR benchmark (Holistic Evaluation of Audio Representations) as one package.

    task   = hearbench.load_task("path/to/tasks/spoken_digit-1.0.9-full")
    model  = hearbench.load_model("hearbench.models.naive")
    store  = hearbench.embed(model, task)
    preds  = hearbench.fit_probe(store, protocol="hear2021")
    result = hearbench.score(preds)

Importing the package loads neither torch nor anything else that is heavy; a name is imported
when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from hearbench._version import __version__

if TYPE_CHECKING:
    from hearbench.distance import DistanceResult
    from hearbench.embeddings.compute import embed
    from hearbench.errors import HearError
    from hearbench.evaluation.few_labels import FewLabels
    from hearbench.evaluation.probes import ProbeSetup
    from hearbench.evaluation.results import EvaluationError, Results, load_results
    from hearbench.evaluation.run import evaluate
    from hearbench.models.loading import load_model
    from hearbench.models.ref import ModelRef
    from hearbench.probe.fit import fit_probe
    from hearbench.results import Result, score
    from hearbench.tasks.store import load_task
    from hearbench.validate import validate_model
    from hearbench.workspace import Workspace

__all__ = [
    "DistanceResult",
    "EvaluationError",
    "FewLabels",
    "HearError",
    "ModelRef",
    "ProbeSetup",
    "Result",
    "Results",
    "Workspace",
    "__version__",
    "embed",
    "evaluate",
    "fit_probe",
    "load_model",
    "load_results",
    "load_task",
    "score",
    "validate_model",
]

_HOMES = {
    "ProbeSetup": "hearbench.evaluation.probes",
    "EvaluationError": "hearbench.evaluation.results",
    "DistanceResult": "hearbench.distance",
    "FewLabels": "hearbench.evaluation.few_labels",
    "HearError": "hearbench.errors",
    "ModelRef": "hearbench.models.ref",
    "Result": "hearbench.results",
    "Results": "hearbench.evaluation.results",
    "Workspace": "hearbench.workspace",
    "embed": "hearbench.embeddings.compute",
    "evaluate": "hearbench.evaluation.run",
    "fit_probe": "hearbench.probe.fit",
    "load_model": "hearbench.models.loading",
    "load_results": "hearbench.evaluation.results",
    "load_task": "hearbench.tasks.store",
    "score": "hearbench.results",
    "validate_model": "hearbench.validate",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return list(__all__)
