"""hearbench: the HEAR benchmark (Holistic Evaluation of Audio Representations) as one package.

    results = hearbench.evaluate("my_model.py", ["esc50", "beijing_opera"])
    print(results)

Each step of an evaluation is also a function of its own::

    task   = hearbench.load_task("esc50")
    model  = hearbench.load_model("my_model.py")
    store  = hearbench.embed(model, task)
    fitted = hearbench.fit_probe(store, protocol="hear2021")
    result = hearbench.score(fitted)

Importing the package loads neither torch nor anything else that is heavy; a name is imported
when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from hearbench._version import __version__

if TYPE_CHECKING:
    from hearbench.comparison.compare import compare
    from hearbench.distance import DistanceResult
    from hearbench.embeddings.compute import embed
    from hearbench.embeddings.store import EmbeddingStore
    from hearbench.errors import HearError
    from hearbench.evaluation.few_labels import FewLabels
    from hearbench.evaluation.perturbed import Perturbed
    from hearbench.evaluation.probes import ProbeSetup
    from hearbench.evaluation.results import EvaluationError, Results, load_results
    from hearbench.evaluation.run import evaluate
    from hearbench.evaluation.zero_shot import ZeroShot
    from hearbench.models.loading import load_model
    from hearbench.models.model import Model
    from hearbench.models.ref import ModelRef
    from hearbench.probe.fit import fit_probe
    from hearbench.probe.protocol import Protocol, get_protocol
    from hearbench.results import Result, score
    from hearbench.tasks.store import PreparedTask, load_task
    from hearbench.validate import validate_model
    from hearbench.workspace import Workspace
    from hearbench.zero_shot import ZeroShotResult

__all__ = [
    "DistanceResult",
    "EmbeddingStore",
    "EvaluationError",
    "FewLabels",
    "HearError",
    "Model",
    "ModelRef",
    "Perturbed",
    "PreparedTask",
    "ProbeSetup",
    "Protocol",
    "Result",
    "Results",
    "Workspace",
    "ZeroShot",
    "ZeroShotResult",
    "__version__",
    "compare",
    "embed",
    "evaluate",
    "fit_probe",
    "get_protocol",
    "load_model",
    "load_results",
    "load_task",
    "score",
    "validate_model",
]

_HOMES = {
    "DistanceResult": "hearbench.distance",
    "EmbeddingStore": "hearbench.embeddings.store",
    "EvaluationError": "hearbench.evaluation.results",
    "FewLabels": "hearbench.evaluation.few_labels",
    "HearError": "hearbench.errors",
    "Model": "hearbench.models.model",
    "ModelRef": "hearbench.models.ref",
    "Perturbed": "hearbench.evaluation.perturbed",
    "PreparedTask": "hearbench.tasks.store",
    "ProbeSetup": "hearbench.evaluation.probes",
    "Protocol": "hearbench.probe.protocol",
    "Result": "hearbench.results",
    "Results": "hearbench.evaluation.results",
    "Workspace": "hearbench.workspace",
    "ZeroShot": "hearbench.evaluation.zero_shot",
    "ZeroShotResult": "hearbench.zero_shot",
    "compare": "hearbench.comparison.compare",
    "embed": "hearbench.embeddings.compute",
    "evaluate": "hearbench.evaluation.run",
    "fit_probe": "hearbench.probe.fit",
    "get_protocol": "hearbench.probe.protocol",
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
