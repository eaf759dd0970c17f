"""What comes of an evaluation: results by model and task, curves, and what went wrong."""

from __future__ import annotations

import html
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hearbench.amounts import number
from hearbench.clustering.record import ClusteringResult
from hearbench.distance.record import DistanceResult
from hearbench.errors import HearError, ResultError, UnknownNameError
from hearbench.files import system_error
from hearbench.results.curve import CURVE_FILE, FEW_LABELS, Curve
from hearbench.results.finding import walk_results
from hearbench.results.record import RESULT_FILE, Result
from hearbench.results.robustness import ROBUSTNESS_FILE, Robustness
from hearbench.results.uncertainty import read_uncertainty
from hearbench.table import Column, Table
from hearbench.worker.tracebacks import own_traceback
from hearbench.zero_shot.record import ZeroShotResult

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from hearbench.comparison.record import Comparison
    from hearbench.embeddings.store import EmbeddingStore
    from hearbench.results.layers import LayersOfModel
    from hearbench.results.uncertainty import Uncertainty

__all__ = [
    "EvaluationError",
    "Failure",
    "Made",
    "Results",
    "Score",
    "UntrainedResult",
    "best_of",
    "load_results",
]

UntrainedResult = DistanceResult | ClusteringResult | ZeroShotResult
"""A result of a set-up that trains nothing, with intervals in its own file."""

# Of these set-ups, the names by which results are told apart, as by those of protocols.
_UNTRAINED: dict[str, type[UntrainedResult]] = {
    "distance": DistanceResult,
    "clustering": ClusteringResult,
    "zero-shot": ZeroShotResult,
}

_SCREEN_ROWS = 24

Key = str | tuple[str, str] | tuple[str, str, str]
"""Names a result: its task; its model and task; or its model, task and protocol."""


@dataclass(frozen=True)
class Made:
    """What one set-up gave on one task.

    Attributes:
        results: The path of each result with its content.
        curves: The path of each ``curve.json`` with its content.
        robustness: The path of each ``robustness.json`` with its content.
        stores: Embeddings, where nothing else was asked for.
    """

    results: Sequence[tuple[Path, Result | UntrainedResult]] = ()
    curves: Sequence[tuple[Path, Curve]] = ()
    robustness: Sequence[tuple[Path, Robustness]] = ()
    stores: Sequence[EmbeddingStore] = ()


@dataclass(frozen=True)
class Failure:
    """A model, or one of its tasks, that couldn't be evaluated.

    Attributes:
        model: As the user named it.
        task: As the user named it; None where the model itself failed.
        error: What went wrong.
    """

    model: str
    task: str | None
    error: Exception

    @property
    def what(self) -> str:
        """The model, and the task unless the model itself failed."""
        return f"{self.model} on {self.task}" if self.task else self.model

    @property
    def is_unforeseen(self) -> bool:
        """Whether it is a bug, or the system's, and not for the user to mend."""
        return not isinstance(self.error, HearError) and self._system_error() is None

    @property
    def text(self) -> str:
        """The message, or the end of the traceback of an error that is unforeseen."""
        if (described := self._system_error()) is not None:
            return f"{described.filename}: {described.strerror}."
        if self.is_unforeseen:
            return f"hearbench itself fails:\n{own_traceback(self.error)}"
        return str(self.error)

    def _system_error(self) -> OSError | None:
        return system_error(self.error) if isinstance(self.error, OSError) else None


@dataclass(frozen=True)
class Score:
    """One score of a model on a task.

    Attributes:
        mean: Mean over folds and seeds.
        std: Standard deviation over seeds where there are several, else over folds; None where
            there is one of each.
        low: Lower end of the 95 % interval; None where it is unknown.
    """

    mean: float
    std: float | None
    low: float | None
    high: float | None
    maximise: bool

    def __str__(self) -> str:
        if self.low is None or self.high is None:
            return number(self.mean)
        return f"{number(self.mean)} ({number(self.low)} to {number(self.high)})"


@dataclass
class Results:
    """Results of models on tasks.

    A result is found by its task, and by model and task where there are several models. Where there
    is a probe's result and one without training, the probe's is meant unless it is named::

        results["esc50"]
        results["my_model", "esc50"]
        results["my_model", "esc50", "distance"]

    Attributes:
        results: The path of each ``result.json``, or ``distance.json`` and the like, with its
            content.
        curves: The path of each ``curve.json`` with its content, where few labels were learned
            from.
        robustness: The path of each ``robustness.json`` with its content, where audio was
            disturbed.
        stores: Embeddings, where nothing else was asked for.
        failures: What couldn't be evaluated.
    """

    results: list[tuple[Path, Result | UntrainedResult]] = field(default_factory=list)
    curves: list[tuple[Path, Curve]] = field(default_factory=list)
    robustness: list[tuple[Path, Robustness]] = field(default_factory=list)
    stores: list[EmbeddingStore] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)

    def add(self, made: Made) -> None:
        """Adds what one set-up gave on one task."""
        self.results += made.results
        self.curves += made.curves
        self.robustness += made.robustness
        self.stores += made.stores

    @property
    def models(self) -> list[str]:
        """Names of the models, as their folders are called."""
        return list(dict.fromkeys(_model_of(path) for path, _ in self.results))

    @property
    def tasks(self) -> list[str]:
        """Names of the tasks."""
        return list(dict.fromkeys(result.task.name for _, result in self.results))

    def __iter__(self) -> Iterator[Result | UntrainedResult]:
        return (result for _, result in self.results)

    def __len__(self) -> int:
        return len(self.results)

    def __getitem__(self, key: Key) -> Result | UntrainedResult:
        return self._entry(key)[1]

    def path(self, key: Key) -> Path:
        """The file of a result, found as ``results[key]`` finds its content.

        Raises:
            UnknownNameError: There is none, or several fit.
        """
        return self._entry(key)[0]

    def _entry(self, key: Key) -> tuple[Path, Result | UntrainedResult]:
        model, protocol = None, None
        if isinstance(key, str):
            task = key
        else:
            model, task, *rest = key
            protocol = rest[0] if rest else None
        found = [
            (path, result)
            for path, result in self.results
            if (model is None or model == _model_of(path))
            and _is_called(result.task.name, task)
            and (protocol is None or protocol == _protocol(result))
        ]
        if protocol is None:
            found = [each for each in found if isinstance(each[1], Result)] or found
        if len(found) == 1:
            return found[0]
        what = f"of {model} on {task}" if model else f"on {task}"
        if protocol is not None:
            what += f" by {protocol}"
        if found:
            path, result = found[0]
            whole = _model_of(path), result.task.name, _protocol(result)
            raise UnknownNameError(
                f"There are {len(found)} results {what}; name the model, the whole task and the "
                f"protocol, as in results[{', '.join(map(repr, whole))}]."
            )
        raise UnknownNameError(
            f"There is no result {what}. The models are {', '.join(self.models) or 'none'}; the "
            f"tasks are {', '.join(self.tasks) or 'none'}."
        )

    def scores(self, key: Key) -> dict[str, Score]:
        """All scores of a result by name, the primary one first.

        Raises:
            UnknownNameError: There is no such result, or several fit.
        """
        path, result = self._entry(key)
        return _scores(result, _uncertainty(path, result))

    def to_frame(self) -> pd.DataFrame:
        """A row per model, task and score.

        Returns:
            A frame with the columns ``model``, ``task``, ``score``, ``is_primary``, ``mean``,
            ``std``, ``low`` and ``high`` (the ends of the 95 % interval), ``maximise``,
            ``protocol``, ``protocol_fingerprint`` (None without training), ``seed`` (the first),
            ``n_seeds``, ``n_folds`` and ``path``.
        """
        import pandas as pd

        rows = []
        for path, result in self.results:
            sure = _uncertainty(path, result)
            seeds = _seeds(result, sure)
            for name, score in _scores(result, sure).items():
                rows.append(
                    {
                        "model": _model_of(path),
                        "task": result.task.name,
                        "score": name,
                        "is_primary": name == result.primary_score,
                        "mean": score.mean,
                        "std": score.std,
                        "low": score.low,
                        "high": score.high,
                        "maximise": score.maximise,
                        "protocol": _protocol(result),
                        "protocol_fingerprint": _fingerprint(result),
                        "seed": seeds[0] if seeds else None,
                        "n_seeds": len(seeds),
                        "n_folds": _n_folds(result),
                        "path": str(path),
                    }
                )
        frame: pd.DataFrame = pd.DataFrame(rows, columns=_COLUMNS)
        return frame

    def to_table(self) -> Table:
        """Primary scores with their intervals: tasks down, models across."""
        return self._table("{}")

    def to_markdown(self) -> str:
        """Primary scores with their intervals as a table in Markdown, the best in bold."""
        return self._table("**{}**").to_markdown()

    def _table(self, best_as: str) -> Table:
        """The primary scores, the best of a task in a form of their own."""
        table = Table([Column("task"), Column("score"), *(Column(model) for model in self.models)])
        for task, name, cells in self.primary_scores():
            best = best_of(cells)
            shown = [
                None if cell is None else (best_as if i in best else "{}").format(cell)
                for i, cell in enumerate(cells)
            ]
            table.add(task, name, *shown)
        return table

    def compare(self, **options: Any) -> Comparison:
        """Compares the models on the tasks that they share, by paired tests of probes' results.

        Args:
            **options: As `hearbench.comparison.compare.compare` takes them.

        Raises:
            ResultError: There are fewer than two models, or no two share a task.
        """
        from hearbench.comparison.compare import compare

        paths = [path for path, result in self.results if isinstance(result, Result)]
        return compare(paths, **options)

    def plot(self) -> Figure:
        """Draws the primary scores with their intervals, a row per task.

        Returns:
            A figure of matplotlib; ``.savefig(path)`` writes it.
        """
        from hearbench.views.score_plot import draw_scores

        rows = []
        for task, name, cells in self.primary_scores():
            points = [None if cell is None else (cell.mean, cell.low, cell.high) for cell in cells]
            rows.append((f"{task}\n{name}", points))
        return draw_scores(self.models, rows)

    def plot_predictions(self, key: Key) -> Figure:
        """Draws what a probe predicted of the test clips beside what is true.

        Of classes it is a confusion matrix, of tags precision by recall of each label, of numbers
        the predicted number over the true one.

        Returns:
            A figure of matplotlib; ``.savefig(path)`` writes it.

        Raises:
            UnknownNameError: There is no such result, or several fit.
            HearError: It is of events, or a file is missing or damaged.
        """
        from hearbench.views.prediction_plot import draw_predictions

        return draw_predictions(self.path(key))

    def layers(self, score: str | None = None) -> Table:
        """Scores by layer and learned weights, of results by ``layers`` and ``weighted``.

        Args:
            score: Name of a score; by default each task's first.

        Returns:
            A row per task, model and layer, as `hearbench.results.layers.layers_table` makes it.

        Raises:
            UnknownNameError: A task hasn't that score.
            ResultError: A result of a layer is missing or can't be read.
        """
        from hearbench.results.layers import layers_table

        return layers_table(self._of_layers(), score)

    def plot_layers(self, score: str | None = None) -> Figure:
        """Draws scores by layer with their intervals and learned weights, a panel per task.

        Args:
            score: Name of a score; by default each task's first.

        Returns:
            A figure of matplotlib; ``.savefig(path)`` writes it.

        Raises:
            HearError: There are no results by ``layers`` or ``weighted``, a task hasn't that score,
                or a result of a layer is missing or can't be read.
        """
        from hearbench.views.layer_plot import draw_layers

        return draw_layers(self._of_layers(), score=score)

    def _of_layers(self) -> list[LayersOfModel]:
        from hearbench.results.layers import find_layers

        return find_layers(
            [path for path, result in self.results if isinstance(result, Result) and result.layers]
        )

    def plot_robustness(self, score: str | None = None) -> Figure:
        """Draws scores over the strength of what disturbed the audio, with intervals.

        Args:
            score: Name of a score; by default each task's first.

        Returns:
            A figure of matplotlib; ``.savefig(path)`` writes it.

        Raises:
            HearError: There are no results of disturbed audio, or a task hasn't that score.
        """
        from hearbench.results.robustness import name_models
        from hearbench.views.robustness_plot import draw_robustness

        return draw_robustness(name_models(self.robustness), score=score)

    def primary_scores(self) -> Iterator[tuple[str, str, list[Score | None]]]:
        """Per task and protocol its name, that of the score, and the score of each of `models`.

        The protocol stands beside the score where there are several. Fingerprints decide: scores by
        protocols that differ never share a row.
        """
        models = self.models
        keys = [(result.task.name, result.primary_score) for _, result in self.results]
        named = zip((_model_of(path) for path, _ in self.results), keys, strict=True)
        several = {key for (_, key), count in Counter(named).items() if count > 1}
        # Scores by different protocols can't be compared, so none is the best of both.
        protocols = {(key, _fingerprint(each)) for key, each in zip(keys, self, strict=True)}
        several |= {key for key, count in Counter(key for key, _ in protocols).items() if count > 1}
        rows: dict[tuple[str, str], list[Score | None]] = {}
        for (path, result), key in zip(self.results, keys, strict=True):
            if key in several:
                key = result.task.name, f"{result.primary_score}, {_protocol(result)}"
            row = rows.setdefault(key, [None] * len(models))
            scores = _scores(result, _uncertainty(path, result))
            row[models.index(_model_of(path))] = scores[result.primary_score]
        for (task, name), cells in rows.items():
            yield task, name, cells

    def __repr__(self) -> str:
        head = f"Results: {_counted(len(self.models), 'model')}, {_counted(len(self), 'result')}"
        if self.failures:
            head += f", {_counted(len(self.failures), 'failure')}"
        lines = self.to_table().to_text().splitlines() if self.results else []
        if len(lines) > _SCREEN_ROWS:
            more = len(lines) - _SCREEN_ROWS
            lines = [*lines[:_SCREEN_ROWS], f"... and {more} more; see .to_frame()"]
        for failure in self.failures[:5]:
            lines.append(f"failed: {failure.what}: {failure.text.splitlines()[0]}")
        return "\n".join([head, *lines])

    def _repr_html_(self) -> str:
        heads = "".join(f"<th>{html.escape(name)}</th>" for name in ("task", "score", *self.models))
        rows = []
        for task, name, cells in self.primary_scores():
            best = best_of(cells)
            shown = "".join(_html_cell(cell, is_best=i in best) for i, cell in enumerate(cells))
            labels = f"<td>{html.escape(task)}</td><td>{html.escape(name)}</td>"
            rows.append(f"<tr>{labels}{shown}</tr>")
        failed = "".join(
            f"<li>{html.escape(failure.what)}: {html.escape(failure.text.splitlines()[0])}</li>"
            for failure in self.failures
        )
        table = f"<table><thead><tr>{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
        return table + (f"<p>Failed:</p><ul>{failed}</ul>" if failed else "")


class EvaluationError(HearError):
    """Nothing could be evaluated.

    Args:
        results: With the failures.
    """

    code = "failed"

    def __init__(self, results: Results) -> None:
        super().__init__("\n".join(failure.text for failure in results.failures))
        self.results = results


def load_results(*places: str | Path) -> Results:
    """Reads results that were written by `evaluate` or by the command line.

    Args:
        *places: Folders of results, of any depth: a task's, a model's, or one of several models.

    Raises:
        ResultError: A folder holds no result, or one can't be read.
    """
    results = Results()
    untrained = {kind.FILE: kind for kind in _UNTRAINED.values()}
    for place in places:
        root = Path(place)
        before = len(results.results) + len(results.curves)
        for path in walk_results(root, CURVE_FILE, RESULT_FILE, ROBUSTNESS_FILE, *untrained):
            if path.name == CURVE_FILE:
                results.curves.append((path, Curve.read(path)))
            elif path.name == ROBUSTNESS_FILE:
                results.robustness.append((path, Robustness.read(path)))
            elif path.parents[1].name == FEW_LABELS:
                continue  # a part of the curve
            elif path.name == RESULT_FILE:
                results.results.append((path, Result.read(path)))
            else:
                results.results.append((path, untrained[path.name].read(path)))
        if len(results.results) + len(results.curves) == before:
            raise ResultError(
                f"{root} holds no {', '.join([RESULT_FILE, *untrained])} or {CURVE_FILE}. Name the "
                "folder that `hearbench evaluate --out` wrote to.",
                code="not_found",
            )
    return results


_COLUMNS = [
    *("model", "task", "score", "is_primary", "mean", "std", "low", "high", "maximise"),
    *("protocol", "protocol_fingerprint", "seed", "n_seeds", "n_folds", "path"),
]


def _fingerprint(result: Result | UntrainedResult) -> str | None:
    return result.protocol_fingerprint if isinstance(result, Result) else None


def _model_of(path: Path) -> str:
    """The name of a model's folder, which may be other than the model's own."""
    return path.parents[1].name


def _is_called(task: str, name: str) -> bool:
    """Whether a task, as ``esc50-v2.0.0-full``, is meant by a name, as ``esc50``."""
    return task == name or task.split("-", 1)[0] == name


def _scores(result: Result | UntrainedResult, sure: Uncertainty | None) -> dict[str, Score]:
    names = sorted(result.scores, key=lambda name: name != result.primary_score)
    if not isinstance(result, Result):
        return {name: _untrained_score(result, name) for name in names}
    return {name: _score(result, name, sure) for name in names}


def _untrained_score(result: UntrainedResult, name: str) -> Score:
    summary = result.scores[name]
    interval = summary.interval
    low, high = (None, None) if interval is None else (interval.low, interval.high)
    return Score(summary.mean, summary.std, low, high, summary.maximise)


def _score(result: Result, name: str, sure: Uncertainty | None) -> Score:
    summary = result.scores[name]
    if sure is None:
        return Score(summary.mean, summary.std, None, None, summary.maximise)
    own = sure.scores[name]
    std = own.seeds.std if own.seeds is not None else summary.std
    if own.total is None:
        return Score(own.mean, std, None, None, summary.maximise)
    interval = own.total.interval
    return Score(own.mean, std, interval.low, interval.high, summary.maximise)


def _uncertainty(path: Path, result: Result | UntrainedResult) -> Uncertainty | None:
    """The intervals beside a probe's result; others have theirs in their own file."""
    return read_uncertainty(path.parent) if isinstance(result, Result) else None


def _seeds(result: Result | UntrainedResult, sure: Uncertainty | None) -> tuple[int, ...]:
    if not isinstance(result, Result):
        return ()
    return (result.seed,) if sure is None else sure.seeds


def _protocol(result: Result | UntrainedResult) -> str:
    if isinstance(result, Result):
        return result.protocol.name
    return next(name for name, kind in _UNTRAINED.items() if isinstance(result, kind))


def _n_folds(result: Result | UntrainedResult) -> int:
    return len(result.folds if isinstance(result, Result) else result.splits)


def best_of(cells: Sequence[Score | None]) -> set[int]:
    """Positions of the best means; none where there is one model."""
    means = {
        i: cell.mean if cell.maximise else -cell.mean
        for i, cell in enumerate(cells)
        if cell is not None and not math.isnan(cell.mean)
    }
    return (
        {i for i, mean in means.items() if mean == max(means.values())} if len(cells) > 1 else set()
    )


def _html_cell(cell: Score | None, *, is_best: bool) -> str:
    if cell is None:
        return "<td></td>"
    mean = f"<b>{number(cell.mean)}</b>" if is_best else number(cell.mean)
    if cell.low is None or cell.high is None:
        return f"<td>{mean}</td>"
    interval = f"{number(cell.low)} to {number(cell.high)}"
    return f'<td>{mean} <span style="color: gray">{interval}</span></td>'


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
