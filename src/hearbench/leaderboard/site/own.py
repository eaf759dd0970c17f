"""A user's results: what a model's page shows of them besides the scores."""

from __future__ import annotations

import math
import ntpath
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hearbench.errors import ResultError
from hearbench.leaderboard.cells import name_key
from hearbench.leaderboard.columns import column_of
from hearbench.leaderboard.own_row import OwnRow, find_named_results, own_row
from hearbench.leaderboard.table import Row, Table
from hearbench.results import Conditions, Result
from hearbench.results.finding import seed_folders
from hearbench.results.layers import LayerCurve, LayersOfModel, LayerWeights, read_layers
from hearbench.results.robustness import ROBUSTNESS_FILE, Robustness
from hearbench.results.uncertainty import UNCERTAINTY_FILE, Uncertainty

__all__ = [
    "OwnModel",
    "OwnResult",
    "ScoreInterval",
    "add_results",
    "own_models",
    "protocol_text",
    "spread_of",
]

_SCHEME = re.compile(r"[a-z][a-z0-9]+:")
# Of which there may be one each on a task.
_KINDS = (type(None), LayerCurve, LayerWeights)
# Scores in tables of others have nine digits.
_SAME = 1e-6


@dataclass(frozen=True)
class ScoreInterval:
    """The interval of a score, as far as its uncertainty is known.

    Attributes:
        level: Level of the interval, in 0 to 1.
        sources: Sources of variance in it, of ``test clips``, ``seeds`` and ``folds``.
    """

    low: float
    high: float
    level: float
    sources: tuple[str, ...]


@dataclass(frozen=True)
class OwnResult:
    """A user's result, with what lies beside it.

    Attributes:
        interval: Interval of its first score, where it is known.
        seeds: Seeds of the trainings, where there are more than the result's own.
        layers: Scores by layer, or learned weights of layers, of a result that has them.
        robustness: What its scores lose when audio is disturbed, where that is known.
    """

    result: Result
    interval: ScoreInterval | None = None
    seeds: tuple[int, ...] = ()
    layers: LayerCurve | LayerWeights | None = None
    robustness: Robustness | None = None

    @classmethod
    def read(cls, folder: Path, name: str | None = None) -> OwnResult:
        """Reads a result's folder.

        Args:
            folder: The folder of the first seed.
            name: Name for the model, instead of the result's own.

        Raises:
            ResultError: A file can't be read.
        """
        result = Result.read(folder)
        if name is not None:
            model = result.model.model_copy(update={"name": name})
            result = result.model_copy(update={"model": model})
        seeds = tuple(each.seed for _, each in seed_folders(folder))
        robustness = Robustness.read(folder) if (folder / ROBUSTNESS_FILE).is_file() else None
        return cls(result, _interval_of(folder), seeds, read_layers(folder), robustness)


@dataclass(frozen=True)
class OwnModel:
    """A model whose results are at hand.

    Attributes:
        own: One result per task, by the names of the tasks.
        beside: Results of layers on tasks that have another result.
    """

    name: str
    own: tuple[OwnResult, ...]
    beside: tuple[OwnResult, ...] = ()

    @property
    def results(self) -> tuple[Result, ...]:
        """The results, by the names of the tasks."""
        return tuple(own.result for own in self.own)

    def behind(self, column: str, score: float | None) -> tuple[Result, ...]:
        """The results whose mean is a score of the table; none if it is another number."""
        found = tuple(result for result in self.results if column_of(result.task.name) == column)
        if score is None or not found:
            return ()
        mean = math.fsum(result.primary.mean for result in found) / len(found)
        return found if abs(mean - score) <= _SAME else ()

    def interval_behind(self, column: str, score: float | None) -> ScoreInterval | None:
        """The interval of a score of the table, where one of these results alone is behind it."""
        behind = self.behind(column, score)
        if len(behind) != 1:
            return None
        return next(own.interval for own in self.own if own.result is behind[0])

    @property
    def with_folds(self) -> tuple[Result, ...]:
        """The results of tasks that have folds."""
        return tuple(result for result in self.results if len(result.folds) > 1)

    @property
    def of_layers(self) -> tuple[LayersOfModel, ...]:
        """Scores by layer and weights of layers in the results, by the names of the tasks."""
        found: dict[str, LayersOfModel] = {}
        for own in (*self.own, *self.beside):
            if own.layers is not None:
                task = own.layers.task
                before = found.get(task, LayersOfModel(self.name, task))
                found[task] = before.joined_by(own.layers)
        return tuple(found[task] for task in sorted(found))

    @property
    def robustness(self) -> tuple[Robustness, ...]:
        """What scores lose when audio is disturbed, by the names of the tasks."""
        return tuple(own.robustness for own in self.own if own.robustness is not None)

    @property
    def facts(self) -> dict[str, str]:
        """Facts of the model and of its measurement, by their titles."""
        model = self.results[0].model
        return {
            "Sample rate": f"{model.sample_rate} Hz",
            "Scene embedding": f"{model.scene_embedding_size} dimensions",
            "Timestamp embedding": f"{model.timestamp_embedding_size} dimensions",
            "Protocol": _joined(map(protocol_text, self.results)),
            "Probe trained on": _joined(result.device for result in self.results),
            "Measured by": _joined(
                f"hearbench {result.hearbench_version}" for result in self.results
            ),
        }

    def command(self) -> str:
        """The commands that make the results again, one for all that were made alike.

        Each has a line per task. Paths are without their folders.
        """
        alike: dict[tuple[str, ...], list[str]] = {}
        for own in (*self.own, *self.beside):
            seeds = own.seeds or (own.result.seed,)
            # A folder holds one result of a task.
            out = "results" if own in self.own else f"results-{own.result.protocol.reads}"
            for more in _perturbations(own.robustness):
                options = (*_evaluation_options(own.result, seeds), *more, "--out", out)
                alike.setdefault(options, []).append(own.result.task.name)
        model = shlex.join(self._model_words())
        commands = []
        for options, tasks in alike.items():
            lines = [model, *(shlex.join(["--task", task]) for task in tasks)]
            lines.append(shlex.join(options))
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


def protocol_text(result: Result) -> str:
    """The protocol of a result in words, with its fingerprint: ``hear2021 (4d0612ca1b)``."""
    conditions = Conditions.of(result)
    return f"{conditions.short_words} ({conditions.fingerprint})"


def own_models(own: Iterable[OwnResult]) -> dict[str, OwnModel]:
    """Groups results by their models, in the order of the names.

    Of a task there may be a result of one layer, one of every layer by itself, and one of their
    weighted sum; the first of these that there is counts as the task's.

    Raises:
        ResultError: Two such results are of the same model and task, or two models share a name.
    """
    found: dict[str, dict[tuple[str, int], OwnResult]] = {}
    for each in own:
        result = each.result
        name, results = result.model.name, found.setdefault(result.model.name, {})
        key = result.task.name, _KINDS.index(type(each.layers))
        if key in results:
            raise ResultError(
                f"There are two results of {name} on {result.task.name}; keep one of them."
            )
        # All layers together are another identity than one of them.
        alike = [r for r in results.values() if (r.layers is None) == (each.layers is None)]
        if any(result.model.digest != other.result.model.digest for other in alike):
            raise ResultError(
                f"Results under the name {name} are of different models: their weights, options "
                "or source differ. Evaluate one of them under another --name."
            )
        results[key] = each
    return {name: _own_model(name, results) for name, results in sorted(found.items())}


def _own_model(name: str, results: Mapping[tuple[str, int], OwnResult]) -> OwnModel:
    """A model of results by their task and kind."""
    tasks: dict[str, list[OwnResult]] = {}
    for task, kind in sorted(results):
        tasks.setdefault(task, []).append(results[task, kind])
    first = tuple(own[0] for own in tasks.values())
    return OwnModel(name, first, tuple(each for own in tasks.values() for each in own[1:]))


def add_results(table: Table, texts: Iterable[str]) -> tuple[Table, list[OwnResult], list[OwnRow]]:
    """Adds the models of several ``RESULTS[:NAME]`` to a table.

    Returns:
        The table, the results, and a row per model, which says what is left out of the table.

    Raises:
        ResultError: Results can't be read, or the table has a model of that name with other
            scores.
    """
    own: list[OwnResult] = []
    rows: list[OwnRow] = []
    for text in texts:
        found, name = find_named_results(text)
        for files in found.values():
            row = own_row(files, name)
            table = _with_own(table, row)
            rows.append(row)
            own += [OwnResult.read(file.parent, name) for file in files]
    return table, own, rows


def _with_own(table: Table, own: OwnRow) -> Table:
    """The table with a model's row, if it has scores and isn't in there."""
    row = own.row
    for other in table:
        if name_key(other.model) != name_key(row.model):
            continue
        if other.model != row.model or _differs(other, row):
            raise ResultError(
                f"The table has a model named {other.model!r}, whose scores aren't those of the "
                f"results of {row.model!r}. Give the results another name: --results FOLDER:NAME."
            )
        # A table's file can't say what a model was trained on.
        return table.with_row(replace(other, heard=row.heard))
    return table.with_row(row) if own.sources else table


def _differs(other: Row, own: Row) -> bool:
    return any(
        mine is not None and (theirs is None or abs(mine - theirs) > _SAME)
        for theirs, mine in zip(other.scores, own.scores, strict=True)
    )


def spread_of(results: Sequence[Result]) -> float | None:
    """The standard deviation of a score over its task's folds; None where there are none."""
    if len(results) != 1:
        return None
    std = results[0].primary.std
    return None if std is None or not math.isfinite(std) else std


def _without_folders(text: str) -> str:
    """A path's last part, and what stands before a colon.

    Folders of a user's disk aren't for a site.
    """
    scheme = _SCHEME.match(text)
    start = scheme.end() if scheme else 0
    rest = text[start:]
    is_path = ntpath.isabs(rest) or rest.startswith((".", "~", "/")) or ".py" in rest
    # Of Windows or not, whichever system this is built on.
    return text[:start] + ntpath.basename(rest) if is_path else text


def _evaluation_options(result: Result, seeds: Sequence[int]) -> tuple[str, ...]:
    """Options of ``hearbench evaluate`` that decide how embeddings became a score."""
    name, subset = result.protocol.name, result.protocol.subset
    base, _, part = name.removesuffix("]").partition("[")
    words = ["--protocol", base]
    for piece in part.split(",") if part else ():
        key, _, value = piece.partition("=")
        if key == "first":
            words += ["--grid-points", value]
        elif key == "layers":
            words += ["--layers", value.replace("+", ",")]
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


def _perturbations(robustness: Robustness | None) -> list[tuple[str, ...]]:
    """Options for the disturbed audio of each command that a result needs."""
    points = () if robustness is None else robustness.points
    words: dict[bool, list[str]] = {False: []}
    for point in points:
        words.setdefault(point.training, []).extend(["--perturb", point.recipe])
    clean = tuple(words[False])
    return [clean] + ([(*words[True], "--perturb-train")] if True in words else [])


def _joined(words: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(words))


def _interval_of(folder: Path) -> ScoreInterval | None:
    """The interval of a result's first score, all known sources of variance together."""
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
