"""A user's own results: what they say besides the scores, as the model's page shows it."""

from __future__ import annotations

import math
import ntpath
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hearbench.errors import ResultError
from hearbench.leaderboard.columns import column_of
from hearbench.results import Result
from hearbench.results.uncertainty import UNCERTAINTY_FILE, Uncertainty

__all__ = ["OwnModel", "ScoreInterval", "interval_of", "own_models", "spread_of"]

_SCHEME = re.compile(r"[a-z][a-z0-9]+:")
# Scores in tables of others have nine digits.
_SAME = 1e-6


@dataclass(frozen=True)
class ScoreInterval:
    """Where a score lies, as far as its uncertainty is known.

    Attributes:
        low: Lower end.
        high: Upper end.
        level: That it is meant to hold, in 0 to 1.
        sources: What it covers, of ``test clips``, ``seeds`` and ``folds``.
    """

    low: float
    high: float
    level: float
    sources: tuple[str, ...]


@dataclass(frozen=True)
class OwnModel:
    """A model whose results are at hand.

    Attributes:
        name: Its name.
        results: One per task, by the names of the tasks.
        intervals: Of their first scores, by the names of the tasks, where they are known.
        seeds: Of the trainings, by the names of the tasks, where there are more than the results'.
    """

    name: str
    results: tuple[Result, ...]
    intervals: Mapping[str, ScoreInterval] = field(default_factory=dict)
    seeds: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

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
        """How the results are made again: a command for all that were made alike.

        Each has a line per task. Paths are without their folders.
        """
        alike: dict[tuple[str, ...], list[str]] = {}
        for result in self.results:
            seeds = self.seeds.get(result.task.name, (result.seed,))
            alike.setdefault(_ways(result, seeds), []).append(result.task.name)
        model = shlex.join(self._model_words())
        commands = []
        for ways, tasks in alike.items():
            lines = [model, *(shlex.join(["--task", task]) for task in tasks)]
            lines.append(f"{shlex.join(ways)} --out results")
            commands.append(" \\\n    ".join(lines))
        return "\n".join(commands)

    def _model_words(self) -> list[str]:
        model = self.results[0].model
        words = ["hearbench", "evaluate", _without_folders(model.spec)]
        if model.weights is not None:
            words += ["--weights", ntpath.basename(model.weights)]
        for key, value in model.options.items():
            text = str(value).lower() if isinstance(value, bool) else _without_folders(str(value))
            words += ["--option", f"{key}={text}"]
        return words


def own_models(
    results: Sequence[Result],
    intervals: Mapping[tuple[str, str], ScoreInterval] | None = None,
    seeds: Mapping[tuple[str, str], tuple[int, ...]] | None = None,
) -> dict[str, OwnModel]:
    """Results by their models, in the order of the names.

    Args:
        results: Of any models.
        intervals: Of their first scores, by the names of model and task.
        seeds: Of the trainings, likewise.

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
    return {
        name: OwnModel(
            name,
            tuple(tasks[task] for task in sorted(tasks)),
            {task: value for (model, task), value in (intervals or {}).items() if model == name},
            {task: value for (model, task), value in (seeds or {}).items() if model == name},
        )
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


def _ways(result: Result, seeds: Sequence[int]) -> tuple[str, ...]:
    """Options of ``hearbench evaluate`` that decide how embeddings became a score."""
    name, subset = result.protocol.name, result.protocol.subset
    base, _, part = name.removesuffix("]").partition("[")
    words = ["--protocol", base]
    for piece in part.split(",") if part else ():
        key, _, value = piece.partition("=")
        if key == "first":
            words += ["--grid-points", value]
        elif subset is None or key not in type(subset).model_fields:
            words += ["--only", piece]
    if subset is not None:
        words += ["--shots", str(subset.shots)] if subset.shots else []
        words += ["--train-fraction", f"{subset.fraction:g}"] if subset.fraction else []
        words += ["--repeats", str(subset.repeat + 1)]
    if result.protocol.is_random:
        # A repeat trains with a seed of its own, counted from the run's.
        words += ["--seed", str(seeds[0] - (subset.repeat if subset else 0))]
        # Those that follow the first without a gap, as one run makes them.
        count = 1
        while count < len(seeds) and seeds[count] == seeds[0] + count:
            count += 1
        words += ["--seeds", str(count)] if count > 1 else []
    words += ["--precision", result.precision]
    if result.embeddings.dtype != "float32":
        words += ["--dtype", result.embeddings.dtype]
    return tuple(words)


def _joined(words: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(words))


def interval_of(folder: Path) -> ScoreInterval | None:
    """The interval of a result's first score, all known sources of variance together.

    Args:
        folder: Of the result, with an ``uncertainty.json`` in it.

    Returns:
        None where there is no such file, or it doesn't know one.

    Raises:
        ResultError: The file can't be read.
    """
    file = folder / UNCERTAINTY_FILE
    if not file.is_file():
        return None
    record = Uncertainty.read(file)
    score = record.scores.get(record.primary_score)
    if score is None or score.total is None:
        return None
    ends = score.total.interval
    if not (math.isfinite(ends.low) and math.isfinite(ends.high)):
        return None
    sources = {"test clips": score.clips, "seeds": score.seeds, "folds": score.folds}
    known = tuple(name for name, source in sources.items() if source is not None)
    return ScoreInterval(ends.low, ends.high, record.level, known)
