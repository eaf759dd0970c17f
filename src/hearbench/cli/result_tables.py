"""Results as tables: of probes, of distances, and curves of few labels."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hearbench.amounts import duration, number
from hearbench.cli.render import show
from hearbench.results.aggregate import mean_std
from hearbench.results.curve import Curve, CurvePoint, CurveScore
from hearbench.results.notes import notes_on
from hearbench.table import Column, Styled, Table, folded_name

if TYPE_CHECKING:
    from rich.text import Text

    from hearbench.clustering import ClusteringResult
    from hearbench.distance import DistanceResult, DistanceSummary
    from hearbench.evaluation.results import Results, Score, UntrainedResult
    from hearbench.results import Result
    from hearbench.results.uncertainty import Source, Uncertainty
    from hearbench.zero_shot import ClassesRecord, ZeroShotResult

__all__ = [
    "show_curves",
    "show_matrix",
    "show_models",
    "show_results",
    "show_untrained",
]

_ALL = "all clips"


def show_results(results: Sequence[tuple[Path, Result]]) -> None:
    """Prints a table with a row per task, and below it what a reader should know."""
    from hearbench.results.uncertainty import read_uncertainty

    shown = [_Shown(result, read_uncertainty(path.parent)) for path, result in results]
    for title in dict.fromkeys(each.title for each in shown):
        of_title = [each for each in shown if each.title == title]
        # Narrow enough for a terminal of 80 columns.
        table = Table(
            [
                Column("task\nchosen grid point", wrap="anywhere"),
                Column("score"),
                Column("mean ± std\n95 % interval"),
                Column("test\nclips", align="right"),
                Column("time", align="right"),
            ],
            title,
        )
        for each in of_title:
            table.add(*each.cells())
        show(table)
        if any(len(each.seeds) > 1 for each in of_title):
            show("±: standard deviation over seeds.", _sources(of_title))
        elif any(len(each.result.folds) > 1 for each in of_title):
            show("±: standard deviation over folds.")
    show(*notes_on(results))


def show_matrix(results: Results) -> None:
    """Prints the primary scores, tasks down and models across, as many side by side as fit."""
    from hearbench.cli.render import output_console
    from hearbench.evaluation.results import best_of
    from hearbench.results import Result

    rows = list(results.primary_scores())
    models = results.models
    first = Column("task\nscore", wrap="names", max_width=_TASK_WIDTH)
    # Columns of one width, so that tables below each other line up.
    width = min(max(map(len, models), default=0), _MODEL_WIDTH)
    width = max(width, *(len(line) for _, _, cells in rows for line in _mean_lines(cells)))
    column = partial(Column, form=_score_text, min_width=width, max_width=width)
    widest = max((len(text) for task, name, _ in rows for text in (task, name)), default=0)
    left = output_console().width - min(widest, _TASK_WIDTH) - 2 * _MARGIN
    fits = max(1, left // (width + _MARGIN))
    for start in range(0, len(models), fits):
        part = slice(start, start + fits)
        table = Table([first, *(column(folded_name(name, width)) for name in models[part])])
        for task, name, cells in rows:
            best = best_of(cells)
            styled = [Styled(cell, "bold" if i in best else "") for i, cell in enumerate(cells)]
            table.add(f"{task}\n{name}", *styled[part])
        show(table)
    show("Means, the best of each task in bold, over their 95 % intervals. More by --details.")
    trained = [(path, each) for path, each in results.results if isinstance(each, Result)]
    others = [each for each in results if not isinstance(each, Result)]
    notes = notes_on(trained) + [f"{one.task.name}: {note}" for one in others for note in one.notes]
    show(*dict.fromkeys(notes))


_TASK_WIDTH, _MODEL_WIDTH, _MARGIN = 30, 14, 2


def _score_text(score: Score) -> Text:
    from rich.text import Text

    mean, *interval = _mean_lines([score])
    return Text.assemble(mean, *((f"\n{each}", "bright_black not bold") for each in interval))


def _mean_lines(scores: Sequence[Score | None]) -> list[str]:
    lines = []
    for score in scores:
        if score is not None:
            lines.append(number(score.mean))
            if score.low is not None and score.high is not None:
                lines.append(f"{number(score.low)} to {number(score.high)}")
    return lines


@dataclass(frozen=True)
class _Shown:
    """A result and how sure it is."""

    result: Result
    sure: Uncertainty | None

    @property
    def seeds(self) -> tuple[int, ...]:
        return (self.result.seed,) if self.sure is None else self.sure.seeds

    @property
    def title(self) -> str:
        seeds = self.seeds
        listed = f"seed {seeds[0]}" if len(seeds) == 1 else f"{len(seeds)} seeds from {seeds[0]}"
        return f"{self.result.model.name}, protocol {self.result.protocol.name}, {listed}"

    def cells(self) -> tuple[str, ...]:
        result, took = self.result, self.result.resources
        # An interval takes a second line of its score.
        lines = [self._lines(name) for name in result.scores]
        chosen = result.grid[result.chosen].point.label()
        if result.layers is not None and result.layers.chosen is not None:
            chosen += f", layer {result.layers.chosen}"
        return (
            f"{result.task.name}\n{chosen}",
            "\n".join(
                name + "\n" * (own.count("\n"))
                for name, own in zip(result.scores, lines, strict=True)
            ),
            "\n".join(lines),
            _counted([fold.n_clips for fold in result.folds]),
            duration(took.embed_s + took.probe_s),
        )

    def _lines(self, name: str) -> str:
        own = self.result.scores[name]
        if self.sure is None:
            return _mean_std(own.mean, own.std)
        score = self.sure.scores[name]
        # Of several seeds the deviation is that over seeds, otherwise the one over folds.
        std = score.seeds.std if score.seeds is not None else own.std
        mean = _mean_std(score.mean, std)
        if score.total is None:
            return mean
        interval = score.total.interval
        return f"{mean}\n{number(interval.low)} to {number(interval.high)}"


def _mean_std(mean: float, std: float | None) -> str:
    if std is None or math.isnan(mean) or math.isnan(std):
        return number(mean)
    return f"{number(mean)} ± {number(std)}"


def _sources(shown: Sequence[_Shown]) -> Table:
    """Where the uncertainty comes from: the standard deviation of a mean by each source."""
    table = Table(
        [
            Column("task", wrap="names"),
            Column("score"),
            *(
                Column(source, align="right")
                for source in ("test clips", "seeds", "folds", "together")
            ),
        ],
        "where the uncertainty comes from, as standard deviations of the mean",
    )
    for each in shown:
        for name, score in each.sure.scores.items() if each.sure else ():
            table.add(
                each.result.task.name,
                name,
                _part(score.clips, None),
                _part(score.seeds, len(each.seeds)),
                _part(score.folds, score.folds.n if score.folds else None),
                _part(score.total, None),
            )
    return table


def _part(source: Source | None, n: int | None) -> str:
    """A source's part in the mean's deviation: what goes beyond the noise of the others."""
    if source is None:
        return "unknown"
    if n is None:
        return f"{source.std:.4f}"
    return "unknown" if source.beyond is None else f"{source.beyond / math.sqrt(n):.4f}"


def show_untrained(results: Sequence[UntrainedResult]) -> None:
    """Prints what was scored without training, and below it what readers should know."""
    from hearbench.clustering.record import ClusteringResult
    from hearbench.distance.record import DistanceResult

    zero_shot = []
    for result in results:
        if isinstance(result, DistanceResult):
            show(_side_by_side(result, "distances", {"": "L1", "l2_": "L2", "cosine_": "cosine"}))
        elif isinstance(result, ClusteringResult):
            show(_side_by_side(result, "clusters", {"kmeans_": "k-means", "ward_": "Ward"}))
        else:
            zero_shot.append(result)
    _show_zero_shot(zero_shot)
    show(*(f"{result.task.name}: {note}" for result in results for note in result.notes))


def _side_by_side(
    result: DistanceResult | ClusteringResult, what: str, kinds: Mapping[str, str]
) -> Table:
    """A row per score and a column per kind, by which names of scores begin."""
    n_clips = [split.n_clips for split in result.splits]
    of_folds = f" in {len(n_clips)} folds" if len(n_clips) > 1 else ""
    table = Table(
        [Column("score"), *(Column(heading) for heading in kinds.values())],
        f"{result.model.name} on {result.task.name}\n"
        f"{what} of {result.embeddings.size} dimensions, {sum(n_clips)} test clips{of_folds}, "
        f"{100 * result.level:g} % intervals",
    )
    first, *others = kinds
    for name in result.scores:
        if name.startswith(first) and not name.startswith(tuple(others)):
            base = name.removeprefix(first)
            found = [result.scores.get(f"{kind}{base}") for kind in kinds]
            table.add(base, *(None if one is None else _mean_and_interval(one) for one in found))
    return table


def _mean_and_interval(summary: DistanceSummary) -> str:
    return f"{number(summary.mean)}\n{_interval(summary)}"


def _show_zero_shot(results: Sequence[ZeroShotResult]) -> None:
    """Prints a row per task, and a table of each task's templates by themselves."""
    for model in dict.fromkeys(result.model.name for result in results):
        of_model = [result for result in results if result.model.name == model]
        # Narrow enough for a terminal of 80 columns.
        table = Table(
            [
                Column("task\ntest clips", wrap="anywhere"),
                Column("score"),
                Column("ensemble\n95 % interval"),
                Column("mean ± std\nof templates"),
                Column("best in\nvalidation"),
            ],
            f"{model}, zero-shot",
        )
        for result in of_model:
            table.add(*_zero_shot_cells(result))
        show(table)
        for result in of_model:
            if result.classes is not None:
                show(_template_table(result, result.classes))


def _zero_shot_cells(result: ZeroShotResult) -> tuple[str, ...]:
    classes = result.classes
    lines: list[tuple[str, str, str, str]] = []
    for name, score in result.scores.items():
        of_templates = best = ""
        if classes is not None and name in classes.mean:
            of_templates = _mean_std(classes.mean[name].mean, classes.std[name])
            best = number(classes.best[name].mean)
        lines.append((name, number(score.mean), of_templates, best))
        if score.interval is not None:
            lines.append(
                ("", f"{number(score.interval.low)} to {number(score.interval.high)}", "", "")
            )
    n_clips = _counted([split.n_clips for split in result.splits]).replace("\n", ", ")
    return (
        f"{result.task.name}\n{n_clips}",
        *("\n".join(column) for column in zip(*lines, strict=True)),
    )


def _template_table(result: ZeroShotResult, classes: ClassesRecord) -> Table:
    """Each template with the primary score, in the test and in validation."""
    name = result.primary_score
    table = Table(
        [Column("template", wrap="anywhere"), Column(name), Column("validation"), Column("chosen")],
        f"{result.task.name}: templates by themselves",
    )
    chosen = list(classes.chosen.values())
    for each in classes.templates:
        times = chosen.count(each.template)
        table.add(
            each.template,
            number(each.scores[name].mean),
            number(mean_std(list(each.validation.values()))[0]),
            f"{times} of {len(chosen)}" if times else "",
        )
    return table


def _counted(clips_of_folds: Sequence[int]) -> str:
    """The number of test clips, and of folds if there are several."""
    clips, n_folds = str(sum(clips_of_folds)), len(clips_of_folds)
    return clips if n_folds == 1 else f"{clips}\n{n_folds} folds"


def _interval(summary: DistanceSummary) -> str:
    if summary.interval is None or math.isnan(summary.mean):
        return "unknown"
    return f"{summary.interval.low:.3f} to {summary.interval.high:.3f}"


def show_curves(curves: Sequence[tuple[str, Curve]]) -> None:
    """Prints a table per curve: a row per point, a column per score.

    Args:
        curves: Each with what its model is to be called.
    """
    for model, curve in curves:
        primary = curve.primary_score
        shares = [point.scores[primary].share_of_all for point in curve.points]
        columns = [Column(name) for name in curve.maximise]
        if any(share is not None for share in shares):
            columns.append(Column(f"{primary}\nreached", _percent, align="right"))
        table = _curve_table(f"{curve.task.name}: {model}, protocol {curve.protocol.name}", columns)
        for point, share in zip(curve.points, shares, strict=True):
            cells = [
                *_point_cells(point),
                *(_mean_and_half(point.scores[name]) for name in curve.maximise),
            ]
            table.add(*[*cells, share][: len(table.columns)])
        whole = curve.all_clips
        if whole:
            table.end_section()
            means = [number(whole.scores[name]) for name in curve.maximise]
            table.add(_ALL, _number_of_clips(whole.n_clips), *means)
        show(table, _curve_caption([curve]))
        if whole:
            show("reached: share of the score with all training clips.")
        show(*curve.notes)


def show_models(task: str, curves: Mapping[str, Curve], score: str | None = None) -> None:
    """Prints one score of several models on one task: a row per point, a column per model.

    Args:
        score: Name of the score; by default the primary one.
    """
    first = next(iter(curves.values()))
    name = score or first.primary_score
    table = _curve_table(
        f"{task}: {name}, protocol {first.protocol.name}", [Column(model) for model in curves]
    )
    for part in _all_points(list(curves.values())):
        points = [
            next((point for point in curve.points if point.part == part), None)
            for curve in curves.values()
        ]
        found = next(point for point in points if point)
        table.add(
            *_point_cells(found),
            *(_mean_and_half(point.scores[name]) if point else "-" for point in points),
        )
    wholes = [curve.all_clips for curve in curves.values()]
    known = next((whole for whole in wholes if whole), None)
    if known:
        table.end_section()
        means = [number(whole.scores[name]) if whole else "-" for whole in wholes]
        table.add(_ALL, _number_of_clips(known.n_clips), *means)
    show(table, _curve_caption(list(curves.values())))
    show(*(f"{model}: {note}" for model, curve in curves.items() for note in curve.notes))


def _curve_table(title: str, columns: Sequence[Column]) -> Table:
    return Table([Column("part"), Column("training\nclips", align="right"), *columns], title)


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _all_points(curves: Sequence[Curve]) -> list[Any]:
    found = {point.part: point for curve in curves for point in curve.points}
    return sorted(found, key=lambda part: (part.shots is not None, part.fraction or part.shots))


def _point_cells(point: CurvePoint) -> list[str]:
    return [point.part.point, _number_of_clips(point.n_clips)]


def _number_of_clips(count: float) -> str:
    return f"{count:,.0f}" if count == round(count) else f"{count:,.1f}"


def _mean_and_half(score: CurveScore) -> str:
    if score.low is None or score.high is None or score.low != score.low:
        return number(score.mean)
    return f"{number(score.mean)} ± {number((score.high - score.low) / 2)}"


def _curve_caption(curves: Sequence[Curve]) -> str:
    levels = " or ".join(sorted({f"{100 * curve.level:g} %" for curve in curves}))
    points = [point for curve in curves for point in curve.points]
    repeats = sorted({len(point.n_clips_per_repeat) for point in points})
    shown = str(repeats[0]) if len(repeats) == 1 else f"{repeats[0]} to {repeats[-1]}"
    many = "repeat" if repeats == [1] else "repeats"
    return (
        f"Means over {shown} {many} (other training clips and another seed each) ± half of the\n"
        f"{levels} interval. Validation and test clips are whole and the same throughout."
    )
