"""Whether a model follows the HEAR API, and whether its scores could be trusted.

``validate_model`` runs named checks on a model in a process of its own and gives a ``Report``.
What each check is about stands in ``docs/validator.md``.
"""

from __future__ import annotations

from hearbench.validate.report import CheckResult, ModelFacts, Report, Verdict
from hearbench.validate.run import CHECKS, validate_model

__all__ = ["CHECKS", "CheckResult", "ModelFacts", "Report", "Verdict", "validate_model"]
