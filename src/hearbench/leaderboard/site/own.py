"""A user's own results: what they say besides the scores, as the model's page shows it."""

from __future__ import annotations

import math
import ntpath
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from hearbench.errors import ResultError
from hearbench.leaderboard.counted import column_of
from hearbench.leaderboard.site.intervals import ScoreInterval
from hearbench.results import Result

__all__ = ["OwnModel", "own_models", "spread_of"]

_SCHEME = re.compile(r"[a-z][a-z0-9]+:")
# Scores in tables of others have nine digits.
_SAME = 1e-6


@dataclass(frozen=True)
class OwnModel:
    """A model whose results are at hand.

    Attributes:
        name: Its name.
        results: One per task, by the names of the tasks.
        intervals: Of their first scores, by the names of the tasks, where they are known.
    """

    name: str
    results: tuple[Result, ...]
    intervals: Mapping[str, ScoreInterval] = field(default_factory=dict)

    def behind(self, column: str, score: float | None) -> tuple[Result, ...]:
        """The results that a score of the table is the mean of; none if it isn't."""
        found = tuple(result for result in self.results if column_of(result.task.name) == column)
        if score is None or not found:
            return ()
        mean = math.fsum(result.primary.mean for result in found) / len(found)
        return found if abs(mean - score) <= _SAME else ()

    def interval_behind(self, column: str, score: float | None) -> ScoreInterval | None:
        """The interval of a score of the table, where one of these results alone is behind it."""
        behind = self.behind(column, score)
        return self.intervals.get(behind[0].task.name) if len(behind) == 1 else None

    @property
    def with_folds(self) -> tuple[Result, ...]:
        """The results of tasks that have folds."""
        return tuple(result for result in self.results if len(result.folds) > 1)

    @property
    def facts(self) -> dict[str, str]:
        """What the model is, and how it was measured."""
        model = self.results[0].model
        return {
            "Sample rate": f"{model.sample_rate} Hz",
            "Scene embedding": f"{model.scene_embedding_size} numbers",
            "Timestamp embedding": f"{model.timestamp_embedding_size} numbers",
            "Protocol": _joined(result.protocol.name for result in self.results),
            "Probe trained on": _joined(result.device for result in self.results),
            "Measured by": _joined(
                f"hearbench {result.hearbench_version}" for result in self.results
            ),
        }

    def command(self) -> str:
        """How the results are made again, a line per task; paths without their folders."""
        model = self.results[0].model
        words = ["hearbench", "evaluate", _without_folders(model.spec)]
        if model.weights is not None:
            words += ["--weights", ntpath.basename(model.weights)]
        for key, value in model.options.items():
            text = str(value).lower() if isinstance(value, bool) else _without_folders(str(value))
            words += ["--option", f"{key}={text}"]
        tasks = [shlex.join(["--task", result.task.name]) for result in self.results]
        return " \\\n    ".join([shlex.join(words), *tasks])


def own_models(
    results: Sequence[Result],
    intervals: Mapping[tuple[str, str], ScoreInterval] | None = None,
) -> dict[str, OwnModel]:
    """Results by their models, in the order of the names.

    Args:
        results: Of any models.
        intervals: Of their first scores, by the names of model and task.

    Raises:
        ResultError: Two results are of the same model and task, or two models share a name.
    """
    found: dict[str, dict[str, Result]] = {}
    for result in results:
        name, tasks = result.model.name, found.setdefault(result.model.name, {})
        if result.task.name in tasks:
            raise ResultError(
                f"There are two results of {name} on {result.task.name}; keep one of them."
            )
        if any(result.model.digest != other.model.digest for other in tasks.values()):
            raise ResultError(
                f"Results under the name {name} are of different models: their weights, options "
                "or source differ. Evaluate one of them under another --name."
            )
        tasks[result.task.name] = result
    known: dict[str, dict[str, ScoreInterval]] = {}
    for (name, task), interval in (intervals or {}).items():
        known.setdefault(name, {})[task] = interval
    return {
        name: OwnModel(name, tuple(tasks[task] for task in sorted(tasks)), known.get(name, {}))
        for name, tasks in sorted(found.items())
    }


def spread_of(results: Sequence[Result]) -> float | None:
    """The standard deviation of a score over its task's folds; None where there are none."""
    if len(results) != 1:
        return None
    std = results[0].primary.std
    return None if std is None or not math.isfinite(std) else std


def _without_folders(text: str) -> str:
    """A path's last part, whatever stands before a colon kept.

    Where a file lies on somebody's disk isn't for a site.
    """
    scheme = _SCHEME.match(text)
    start = scheme.end() if scheme else 0
    rest = text[start:]
    is_path = ntpath.isabs(rest) or rest.startswith((".", "~", "/")) or ".py" in rest
    # Of Windows or not, whichever system this is built on.
    return text[:start] + ntpath.basename(rest) if is_path else text


def _joined(words: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(words))
