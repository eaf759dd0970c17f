"""``hearbench leaderboard``: the table, your models in it, the site, submissions, the figures."""

from __future__ import annotations

import datetime as dt
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hearbench.cli import options as o
from hearbench.cli.running import BAD_INPUT, answers_only, verb
from hearbench.cli.terminal import answer_json, answer_line, say
from hearbench.errors import HearError, ResultError, UnknownNameError
from hearbench.leaderboard.table import COLUMNS, Row
from hearbench.registry import did_you_mean
from hearbench.table import Column

if TYPE_CHECKING:
    from hearbench.leaderboard.check import BundleReport
    from hearbench.leaderboard.own_row import OwnRow

__all__ = [
    "MODEL",
    "OWN_MARK",
    "OWN_RESULTS",
    "OWN_STYLE",
    "Csv",
    "add",
    "build",
    "check",
    "counted",
    "export",
    "figures",
    "say_what_is_left_out",
    "show",
]

# How a user's models stand out, and the column with the models' names.
OWN_STYLE = "bold cyan"
OWN_MARK = "> "
MODEL = Column("model", wrap="names")

OWN_RESULTS = (
    "Your own results: a folder that `hearbench evaluate --out` wrote to, of one model or several, "
    "and a name for the model. Repeatable."
)
Csv = Annotated[
    Path | None,
    typer.Option("--csv", metavar="F", help="CSV of a leaderboard, instead of the official one."),
]


def say_what_is_left_out(own: Sequence[OwnRow], refused: str = "refused") -> None:
    """Tells on stderr which results don't count, and what else to know of the rows.

    Args:
        refused: What becomes of results that don't count.
    """
    for row in own:
        for refusal in row.refused:
            say(f"{refused}: {refusal}")
        if row.elsewhere:
            say(f"{row.row.model}: not on the leaderboard: {', '.join(row.elsewhere)}")
        for note in row.notes:
            say(f"{row.row.model}: {note}")


def counted(own: Sequence[OwnRow], *, apart_counts: bool = False) -> list[OwnRow]:
    """Selects the rows that have a score, and tells what is left out.

    Args:
        apart_counts: Whether scores by other protocols are shown apart.

    Raises:
        ResultError: There are rows, and none has anything to be shown.
    """
    say_what_is_left_out(own)
    rows = [row for row in own if row.sources]
    if own and not rows and not (apart_counts and any(row.by_other_protocols for row in own)):
        if any(row.refused for row in own):
            raise ResultError(
                "Nothing is left to be shown: every result of the leaderboard's tasks is refused."
            )
        raise ResultError(
            "No result is of a task that is on the leaderboard. `hearbench list catalog` shows "
            "which are its own; `hearbench evaluate MODEL --task esc50 --out results` runs one."
        )
    return rows


@verb(
    "hearbench leaderboard show --with results",
    "hearbench leaderboard show --task ESC-50 --with results/my_model:mine",
    "hearbench leaderboard show --domain music --sort 'Beijing Opera'",
    "hearbench leaderboard show --task hear-11 --literature",
)
def show(
    csv: Csv = None,
    own: Annotated[
        list[str] | None,
        typer.Option(
            "--with",
            metavar="RESULTS[:NAME]",
            help=OWN_RESULTS,
        ),
    ] = None,
    task: Annotated[
        list[str] | None,
        typer.Option(
            "--task",
            metavar="COLUMN",
            help="Task, or named subset as hear-11, to show all models on. Repeatable.",
        ),
    ] = None,
    domain: Annotated[
        list[str] | None,
        typer.Option(
            "--domain",
            metavar="D",
            help="Domain to show all models on: speech, environment or music. Repeatable.",
        ),
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Show all models on all tasks, in parts that fit.")
    ] = False,
    sort: Annotated[
        str | None,
        typer.Option(
            "--sort",
            metavar="COLUMN",
            help="Order of the models: a task, model, date, sum or mean; with --with alone of the "
            "tasks: task, score, rank or gap.",
        ),
    ] = None,
    literature: Annotated[
        bool,
        typer.Option(
            "--literature",
            help="Show scores from papers and READMEs below, marked with their code and source, "
            "and not ranked.",
        ),
    ] = False,
    across_protocols: Annotated[
        bool,
        typer.Option(
            "--across-protocols",
            help="Rank your results by other protocols than the table's all the same, and mark "
            "them.",
        ),
    ] = False,
    json: o.Json = False,
) -> None:
    """Shows the table, and where your own models stand in it.

    With --with alone: each task's score, its rank, and the gap to the best. With --task,
    --domain or --all: the raw scores of all models. Otherwise an overview, ordered as in the
    paper. Results by other protocols than the table's are shown apart, protocol by protocol.
    Nothing is asked of the network.
    """
    from hearbench.cli import leaderboard_literature as literature_tables
    from hearbench.cli import leaderboard_tables as tables
    from hearbench.leaderboard.columns import columns_of_domains, find_columns
    from hearbench.leaderboard.official import table_or_official
    from hearbench.leaderboard.own_row import own_rows

    with answers_only():
        table = table_or_official(csv)
        mine = own_rows(own or (), across_protocols=across_protocols)
        wanted = {*find_columns(task or ()), *columns_of_domains(domain or ())}
        columns = tuple(column for column in COLUMNS if every or column in wanted)
        only_own = bool(mine) and not columns
        order = _order(sort, only_own=only_own)
        usable = counted(mine, apart_counts=True)
    if json:
        answer = tables.as_json(table, usable, columns, order, mine)
        if literature:
            answer["literature"] = literature_tables.as_json(columns or COLUMNS)
        answer_json(answer)
    elif only_own:
        for row in usable:
            tables.show_own(table, row, order)
    elif columns:
        tables.show_scores(table, usable, columns, order)
    else:
        tables.show_overview(table, order)
    if not (json or across_protocols):
        tables.show_apart(mine)
    if literature and not json:
        of_own = {column for row in usable for column in row.sources} if only_own else columns
        literature_tables.show_literature([c for c in COLUMNS if c in of_own])
    if any(row.refused for row in mine):
        raise typer.Exit(BAD_INPUT)


def _order(sort: str | None, *, only_own: bool) -> str | None:
    from hearbench.cli import leaderboard_tables as tables
    from hearbench.leaderboard.columns import find_column
    from hearbench.leaderboard.ranks import ORDERS

    known = tables.OWN_ORDERS if only_own else ORDERS
    if sort is None or sort.lower() in known:
        return None if sort is None else sort.lower()
    if only_own:
        raise UnknownNameError(f"--sort {sort}: {did_you_mean(sort, list(known))}")
    try:
        return find_column(sort)
    except UnknownNameError as error:
        raise UnknownNameError(f"{error} Or use {', '.join(known)}.") from error


@verb(
    "hearbench leaderboard add --csv leaderboard.csv --with results/my_model --name 'Our model' "
    "--url https://example.org/model",
)
def add(
    csv: Annotated[
        Path,
        typer.Option(
            "--csv",
            metavar="F",
            help="CSV of the leaderboard; a new one begins with the official table.",
        ),
    ],
    own: Annotated[
        Path,
        typer.Option("--with", metavar="RESULTS", help="Folder of the model's results."),
    ],
    name: Annotated[
        str | None, typer.Option("--name", help="Name of the model, instead of the results' own.")
    ] = None,
    url: Annotated[str, typer.Option("--url", help="Web address of the model's description.")] = "",
    date: Annotated[
        str | None,
        typer.Option(
            "--date", metavar="YYYY-MM-DD", help="Date of the submission; by default today."
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the row of a model of that name.")
    ] = False,
    json: o.Json = False,
) -> None:
    """Enters a model into a leaderboard's CSV.

    All results of tasks that are on the leaderboard must count; docs/leaderboard.md says which
    do. The file is written in the official form, and is whole or unchanged.
    """
    from hearbench.leaderboard.official import enter_row
    from hearbench.leaderboard.own_row import find_results, names_of, own_row

    with answers_only():
        found = find_results(own)
        if len(found) > 1:
            raise ResultError(
                f"{own} has the results of {len(found)} models, {names_of(found)}. Name the folder "
                "of one."
            )
        (files,) = found.values()
        submitted = dt.date.today().isoformat() if date is None else date
        made = own_row(files, name, url=url, submitted=submitted)
        row = made.enterable()
        say_what_is_left_out([made])
        before = enter_row(row, csv, overwrite=overwrite, tell=say)
    _tell(row, before, csv, as_json=json)


@verb("hearbench leaderboard figures --out figures.json")
def figures(
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="JSON file to write.")],
    csv: Csv = None,
) -> None:
    """Writes the numbers behind the paper's figures as JSON.

    Normalised scores and their means, both correlation matrices with the order and the choice in
    which the paper shows them, and the maps by t-SNE.
    """
    from hearbench.files import write_json
    from hearbench.leaderboard.official import table_or_official
    from hearbench.leaderboard.paper import paper_figures

    with answers_only():
        write_json(out, paper_figures(table_or_official(csv)))
    answer_line(out)


def _tell(row: Row, before: Row | None, csv: Path, *, as_json: bool) -> None:
    done = "added" if before is None else "unchanged" if before == row else "replaced"
    missing = [c for c, score in zip(COLUMNS, row.scores, strict=True) if score is None]
    if as_json:
        answer: dict[str, Any] = {"csv": str(csv), "model": row.model, "done": done}
        answer["scores"] = dict(zip(COLUMNS, row.scores, strict=True))
        answer_json(answer)
        return
    answer_line(f"{csv}: {done} {row.model}, {len(COLUMNS) - len(missing)} of {len(COLUMNS)} tasks")
    if before is not None and before != row:
        for column, old, new in zip(COLUMNS, before.scores, row.scores, strict=True):
            if old != new:
                answer_line(f"  {column}: {_shown(old)} -> {_shown(new)}")
    if missing:
        say(f"No result for {', '.join(missing)}; their cells are empty.")


def _shown(score: float | None) -> str:
    return "empty" if score is None else f"{score:.9g}"


@verb(
    "hearbench leaderboard build --out site",
    "hearbench leaderboard build --results results --out site",
    "hearbench leaderboard build --csv leaderboard.csv --results 'results/my_model:Our model'",
)
def build(
    csv: Csv = None,
    results: Annotated[
        list[str] | None,
        typer.Option(
            "--results",
            metavar="RESULTS[:NAME]",
            help=OWN_RESULTS,
        ),
    ] = None,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder of the site.")] = Path(
        "site"
    ),
    json: o.Json = False,
) -> None:
    """Writes the leaderboard as a site, to be opened from its folder or put on any web server.

    It needs no network. An older site in the folder is replaced, anything else is refused. Needs
    the extra 'site'.
    """
    from hearbench.leaderboard.official import table_or_official
    from hearbench.leaderboard.site import add_results, build_site

    with answers_only():
        table, own, rows = add_results(table_or_official(csv), results or ())
        say_what_is_left_out(rows, "not in the table")
        files = build_site(table, out, own=own)
    index = out / "index.html"
    if json:
        models = sorted({each.result.model.name for each in own})
        answer_json({"index": str(index), "files": len(files), "models": len(table), "own": models})
    else:
        answer_line(index)


@verb(
    "hearbench leaderboard export results/my_model --form markdown",
    "hearbench leaderboard export results --form parquet --out results.parquet",
)
def export(
    results: Annotated[
        Path, typer.Argument(help="Folder with results, as of --out.", show_default=False)
    ],
    form: Annotated[
        str,
        typer.Option(
            "--form",
            metavar="F",
            help="Form of the results: markdown, latex, model-index or parquet.",
        ),
    ],
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="File to write; by default stdout.")
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", help="Name of the model, instead of the results' own.")
    ] = None,
) -> None:
    """Writes results as a table, a model card's metadata, or a file for pandas."""
    from hearbench.files import atomic_write
    from hearbench.leaderboard.own_row import find_results
    from hearbench.leaderboard.share import share
    from hearbench.results import Result

    files = [file for group in find_results(results).values() for file in group]
    data = share([Result.read(file) for file in files], form, name)
    if out is not None:
        with atomic_write(out) as file:
            file.write(data)
        answer_line(out)
    elif form == "parquet":
        raise HearError("parquet is for a file; name one with --out.")
    else:
        sys.stdout.write(data.decode())


_REFUSED = 1


@verb(
    "hearbench leaderboard check submission",
    "hearbench leaderboard check submission --csv leaderboard.csv --task tasks/esc50-v2.0.0-full",
)
def check(
    bundle: Annotated[
        Path,
        typer.Argument(help="Folder of the submission.", show_default=False),
    ],
    csv: Annotated[
        Path | None,
        typer.Option(
            "--csv", metavar="F", help="CSV of the leaderboard; by default the official one."
        ),
    ] = None,
    task: Annotated[
        list[str] | None,
        typer.Option(
            "--task",
            metavar="PATH",
            help="Prepared task to compare labels with; those in the cache are found. Repeatable.",
        ),
    ] = None,
    cache: o.CacheDir = None,
    json: o.Json = False,
) -> None:
    """Computes every score of a submission again, and compares all that can be compared.

    Exit codes: 0 it can be taken, 1 it can't, with the reasons.
    """
    # Brings torch along, which the help can do without.
    from hearbench.leaderboard.check import check_bundle, task_finder
    from hearbench.leaderboard.official import table_or_official

    with answers_only():
        find = task_finder(task or (), o.WorkspaceOptions(cache=cache).workspace())
        report = check_bundle(bundle, table_or_official(csv), find)
    if json:
        answer_json(_as_json(report))
    else:
        _show(bundle, report)
    if not report.ok:
        raise typer.Exit(_REFUSED)


def _as_json(report: BundleReport) -> dict[str, object]:
    return {
        "ok": report.ok,
        "model": report.submission.card.model if report.submission else None,
        "scores": report.submission.scores if report.submission else None,
        "problems": report.problems,
        "notes": report.notes,
        "recomputed": report.recomputed,
        "labels_compared": report.labelled,
    }


def _show(bundle: Path, report: BundleReport) -> None:
    for problem in report.problems:
        answer_line(f"problem: {problem}")
    for note in report.notes:
        answer_line(f"note: {note}")
    if report.recomputed:
        answer_line(f"scores computed again, and equal: {', '.join(report.recomputed)}")
    if report.ok:
        answer_line(f"{bundle} can be taken.")
    else:
        n = len(report.problems)
        answer_line(f"{bundle} can't be taken: {n} problem{'' if n == 1 else 's'}.")
