"""``hearbench leaderboard build``: the leaderboard as a static site."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hearbench.cli import options as o
from hearbench.cli.running import answers_only, verb
from hearbench.cli.terminal import answer_json, answer_line, say
from hearbench.errors import ResultError
from hearbench.workspace import user_path

if TYPE_CHECKING:
    from hearbench.leaderboard.own_row import OwnRow
    from hearbench.leaderboard.table import Row, Table
    from hearbench.results import Result

__all__ = ["build"]

# Scores in tables of others have nine digits.
_SAME = 1e-6


@verb(
    "hearbench leaderboard build --out site",
    "hearbench leaderboard build --results results --out site",
    "hearbench leaderboard build --csv leaderboard.csv --results 'results/my_model:Our model'",
)
def build(
    csv: Annotated[
        Path | None,
        typer.Option(
            "--csv", metavar="F", help="A leaderboard's CSV, instead of the one that hearbench has."
        ),
    ] = None,
    results: Annotated[
        list[str] | None,
        typer.Option(
            "--results",
            metavar="RESULTS[:NAME]",
            help="One's own results: a folder that `hearbench evaluate --out` wrote to, of one "
            "model or several, and a name for the model. Repeatable.",
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
    with answers_only():
        from hearbench.leaderboard.csv_file import read_table
        from hearbench.leaderboard.official import official_table
        from hearbench.leaderboard.site import ScoreInterval, build_site, interval_of
        from hearbench.results.seeds import seed_folders

        table = official_table() if csv is None else read_table(csv)
        own: list[Result] = []
        intervals: dict[tuple[str, str], ScoreInterval] = {}
        seeds: dict[tuple[str, str], tuple[int, ...]] = {}
        for text in results or ():
            for row, found in _own(text):
                _say_what_is_left_out(row)
                table = _with_own(table, row)
                for folder, result in found.items():
                    own.append(result)
                    key = result.model.name, result.task.name
                    seeds[key] = tuple(each.seed for _, each in seed_folders(folder))
                    interval = interval_of(folder)
                    if interval is not None:
                        intervals[key] = interval
        files = build_site(table, out, results=own, intervals=intervals, seeds=seeds)
    index = out / "index.html"
    if json:
        models = sorted({result.model.name for result in own})
        answer_json({"index": str(index), "files": len(files), "models": len(table), "own": models})
    else:
        answer_line(index)


def _own(text: str) -> list[tuple[OwnRow, dict[Path, Result]]]:
    """A row and its results by their folders for each model in ``RESULTS[:NAME]``."""
    from hearbench.leaderboard.own_row import find_results, own_row
    from hearbench.results import Result

    place, name = user_path(text), None
    if not place.exists() and ":" in text:
        folder, _, name = text.rpartition(":")
        place = user_path(folder)
    found = find_results(place)
    if name is not None and len(found) > 1:
        names = ", ".join(folder.name for folder in found)
        raise ResultError(
            f"--results {text}: {place} has the results of {len(found)} models, {names}, and one "
            "name can't be that of all. Name the folder of one."
        )
    return [
        (own_row(files, name), {file.parent: _named(Result.read(file), name) for file in files})
        for files in found.values()
    ]


def _named(result: Result, name: str | None) -> Result:
    if name is None:
        return result
    return result.model_copy(update={"model": result.model.model_copy(update={"name": name})})


def _with_own(table: Table, own: OwnRow) -> Table:
    """The table with a model's row, if it has scores and isn't in there.

    Raises:
        ResultError: The table has a model of that name with other scores.
    """
    from hearbench.leaderboard.cells import name_key

    row = own.row
    for other in table:
        if name_key(other.model) != name_key(row.model):
            continue
        if other.model != row.model or _differs(other, row):
            raise ResultError(
                f"The table has a model named {other.model!r}, whose scores aren't those of the "
                f"results of {row.model!r}. Give the results another name: --results FOLDER:NAME."
            )
        return table
    return table.with_row(row) if own.sources else table


def _differs(other: Row, own: Row) -> bool:
    return any(
        mine is not None and (theirs is None or abs(mine - theirs) > _SAME)
        for theirs, mine in zip(other.scores, own.scores, strict=True)
    )


def _say_what_is_left_out(own: OwnRow) -> None:
    for refusal in own.refused:
        say(f"not in the table: {refusal}")
    if own.elsewhere:
        say(f"{own.row.model}: not on the leaderboard: {', '.join(own.elsewhere)}")
    for note in own.notes:
        say(f"{own.row.model}: {note}")
