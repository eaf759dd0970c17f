"""``hearbench compare``: which of several models is better, and how sure that is."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hearbench.amounts import number
from hearbench.cli import options as o
from hearbench.cli.render import show
from hearbench.cli.running import answers_only, verb
from hearbench.cli.terminal import answer_json, say
from hearbench.table import Column, Styled, Table

if TYPE_CHECKING:
    from hearbench.comparison.record import Comparison, PairDifference, TaskComparison

__all__ = ["compare", "show_comparison"]


@verb(
    "hearbench compare results/my_model results/hearbench.models.crepe",
    "hearbench compare results --baseline hearbench.models.naive --plot comparison.png",
    "hearbench compare old/my_model/birds-1.0.0-full new/my_model/birds-1.0.0-full --json",
    "hearbench compare results/my_model results-weighted/my_model --layers",
)
def compare(
    result: o.Results,
    score: Annotated[
        str | None,
        typer.Option(
            "--score", metavar="NAME", help="Score to compare by; by default each task's first."
        ),
    ] = None,
    baseline: Annotated[
        str | None,
        typer.Option(
            "--baseline",
            metavar="MODEL",
            help="Model that all others are compared with; 'best' for that of the best mean rank.",
        ),
    ] = None,
    test: Annotated[
        str,
        typer.Option(
            "--test",
            metavar="bootstrap|permutation",
            help="Where p comes from; with permutation the larger of both p counts.",
        ),
    ] = "bootstrap",
    resamples: Annotated[
        int,
        typer.Option(
            "--resamples",
            metavar="N",
            help="Number of resamples of the test clips; of permutations there may be more.",
        ),
    ] = 2000,
    level: Annotated[
        float, typer.Option("--level", help="Level of an interval, and of all tests together.")
    ] = 0.95,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the resamples.")] = 0,
    layers: Annotated[
        bool,
        typer.Option(
            "--layers", help="Compare the best layer by validation and the last one as two models."
        ),
    ] = False,
    across_protocols: Annotated[
        bool,
        typer.Option(
            "--across-protocols",
            help="Compare and rank results by different protocols all the same, and mark them.",
        ),
    ] = False,
    plot: o.Plot = None,
    csv: Annotated[
        Path | None,
        typer.Option("--csv", metavar="FILE", help="CSV to write, with a row per pair and task."),
    ] = None,
    json: o.Json = False,
) -> None:
    """Compares models on the test clips that they share.

    Says of every pair and task which model is better, or that the clips can't show it: by the
    stored predictions, with p-values, intervals and ranks corrected for their number.
    Further seeds of a result count. See docs/comparing.md.
    """
    from hearbench.comparison.compare import compare as compare_results
    from hearbench.views.comparison_plot import draw_comparison
    from hearbench.views.style import check_plot_name, save_figure

    with answers_only():
        if plot is not None:
            check_plot_name(plot)
        found = compare_results(
            result,
            score=score,
            baseline=baseline,
            test=test,
            n_resamples=resamples,
            level=level,
            seed=seed,
            layers=layers,
            across_protocols=across_protocols,
        )
        if plot is not None:
            save_figure(draw_comparison(found), plot)
            say(f"wrote {plot}")
        if csv is not None:
            found.write_csv(csv)
            say(f"wrote {csv}")
    if json:
        answer_json(found.model_dump())
    else:
        show_comparison(found)


# Where fewer would tell another side of 0, or of the tests' level.
_MOST_DIGITS = 9
_TESTS = {
    "bootstrap": "bootstrap of the test clips",
    "permutation": "permutations and bootstrap of the test clips, the larger one",
}


def show_comparison(found: Comparison) -> None:
    """Prints scores and differences per task, then all tasks together."""
    for task in found.tasks:
        show(Styled(_title(task, found), "bold"), _scores(task, found), _differences(task, found))
    notes = [note for task in found.tasks for note in task.notes] + list(found.notes)
    # Without a comparison in its group there is nothing to say of a model.
    groups = sorted({each.group for each in found.standings if each.n_pairs}) or [0]
    show(*(_standings(found, group) for group in groups), *_legend(found), *notes)


def _title(task: TaskComparison, found: Comparison) -> str:
    folds = f" in {task.n_folds} folds" if task.n_folds > 1 else ""
    better = "" if task.maximise else ", lower is better"
    lines = [f"{task.task}: {task.score}{better}, {task.n_clips} test clips{folds}"]
    protocols = {score.fingerprint: score.protocol_words for score in task.scores}
    if len(found.protocols) > 1:
        lines += [f"By {words} ({fingerprint})." for fingerprint, words in protocols.items()]
    if task.resolution is not None:
        line = f"By the clips alone: one score to ±{_size(task.resolution.alone)}"
        if not math.isnan(task.resolution.paired):
            line += f", a difference from {_size(task.resolution.paired)} on"
        lines.append(f"{line}.")
    return "\n".join(lines)


def _scores(task: TaskComparison, found: Comparison) -> Table:
    several = len({score.fingerprint for score in task.scores}) > 1
    table = Table(
        [
            Column("model", wrap="names", min_width=20 if several else 24),
            *([Column("protocol")] if several else []),
            Column("score", number, align="right"),
            Column(f"{100 * found.level:.4g} % interval", align="right"),
            Column("seeds", align="right"),
            Column("rank"),
        ],
        gap=1,
    )
    for score in sorted(task.scores, key=lambda score: _nan_last(score.rank)):
        interval = _interval(score.low, score.high)
        rank = _rank(score.rank, score.rank_low, score.rank_high, digits=1)
        protocol = [score.fingerprint] if several else []
        table.add(score.model, *protocol, score.mean, interval, len(score.seeds), rank)
    return table


def _differences(task: TaskComparison, found: Comparison) -> Table:
    table = Table(
        [
            Column("pair", wrap="names"),
            Column("difference", _signed, align="right"),
            Column("interval", align="right"),
            Column("p", align="right"),
            Column("verdict", wrap="between words", min_width=20),
        ],
        gap=1,
    )
    for pair in task.pairs:
        table.add(
            f"{pair.model_a}\n− {pair.model_b}",
            pair.difference,
            _difference_interval(pair),
            _p(pair.p_holm, 1 - found.level),
            Styled(pair.verdict, "bold" if pair.better else ""),
        )
    return table


def _standings(found: Comparison, group: int) -> Table:
    standings = [each for each in found.standings if each.group == group]
    n_tasks = standings[0].n_tasks
    table = Table(
        [
            Column(f"over {n_tasks} task{'' if n_tasks == 1 else 's'}", wrap="names", min_width=24),
            Column("mean rank"),
            *(Column(name, align="right") for name in ("ahead", "better", "worse")),
        ],
        gap=1,
    )
    for standing in sorted(standings, key=lambda standing: _nan_last(standing.mean_rank)):
        table.add(
            standing.model,
            _rank(standing.mean_rank, standing.low, standing.high, digits=2),
            f"{standing.ahead:g} of {standing.n_pairs}",
            standing.clearly_better,
            standing.clearly_worse,
        )
    return table


def _legend(found: Comparison) -> list[str]:
    n = found.n_tests
    if not n:
        return []
    corrected = f"corrected for {n} comparisons (Holm)" if n > 1 else "of one comparison"
    notes = [
        f"p: by {_TESTS[found.test]}, {corrected}; a difference at p <= {1 - found.level:.3g}.",
        "interval: of a difference, widened by the same correction, so that it leaves out 0 where "
        "there is one; rank: in brackets all that no verdict speaks against.",
        "better, worse: comparisons with such a difference; ahead: with the better score.",
    ]
    single = sorted(
        {s.model for task in found.tasks for s in task.scores if len(s.seeds) == 1 and s.is_random}
    )
    if single:
        notes.append(
            "With one seed, so that the luck of the training is not all in the intervals, nor in "
            "p, and 'better' is said of these trainings rather than of the models: "
            f"{', '.join(single)}."
        )
    return notes


def _nan_last(rank: float) -> tuple[bool, float]:
    return math.isnan(rank), 0.0 if math.isnan(rank) else rank


def _interval(low: float, high: float) -> str:
    if math.isnan(low) or math.isnan(high):
        return "unknown"
    return f"{number(low)} to {number(high)}"


def _difference_interval(pair: PairDifference) -> str:
    if math.isnan(pair.low) or math.isnan(pair.high):
        return "unknown"
    # With as many digits as show an end that isn't 0 to be none.
    digits = 3
    while digits < _MOST_DIGITS and any(
        end != 0 and round(end, digits) == 0 for end in (pair.low, pair.high)
    ):
        digits += 1
    return f"{_signed(pair.low, digits)} to {_signed(pair.high, digits)}"


def _signed(value: float, digits: int = 3) -> str:
    if not math.isfinite(value):
        return number(value)
    text = f"{value:+.{digits}f}"
    return text[1:] if float(text) == 0 else text


def _size(value: float) -> str:
    return f"{value:.2g}" if math.isfinite(value) and value < 0.1 else number(value)


def _rank(rank: float, low: float, high: float, *, digits: int) -> str:
    if math.isnan(rank):
        return "undefined"
    ends = [f"{end:.{digits}f}".rstrip("0").rstrip(".") for end in (rank, low, high)]
    return f"{ends[0]} ({ends[1]} to {ends[2]})"


def _p(value: float, alpha: float) -> str:
    """A corrected p, with as many digits as show on which side of the tests' level it is."""
    if math.isnan(value):
        return "unknown"
    if value < 0.001 <= alpha:
        return "<0.001"
    digits = 3
    while digits < _MOST_DIGITS and (round(value, digits) <= alpha) != (value <= alpha):
        digits += 1
    return f"{value:.{digits}f}"
