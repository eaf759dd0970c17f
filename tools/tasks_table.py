"""Prints the table of tasks in docs/tasks.md, from the catalog; ``--write`` puts it there."""

from __future__ import annotations

import argparse
from pathlib import Path

from hearbench.leaderboard.columns import ColumnFacts, column_facts
from hearbench.leaderboard.table import COLUMNS

PAGE = Path(__file__).resolve().parents[1] / "docs/tasks.md"
BEGIN, END = "<!-- tasks: begin -->\n", "<!-- tasks: end -->\n"

_WHAT = {"scene": "clip", "event": "events"}


def table() -> str:
    """The table as Markdown, by domain."""
    rows = [
        "| task | `--task` | domain | a label for | clips | hours | score |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    facts = sorted((column_facts(column) for column in COLUMNS), key=lambda fact: fact.domain)
    return "\n".join([*rows, *map(_row, facts)]) + "\n"


def _row(fact: ColumnFacts) -> str:
    names = ", ".join(f"`{_name(fact, i)}`" for i in range(len(fact.tasks)))
    clips = "" if fact.clips is None else f"{fact.clips}"
    hours = "" if fact.hours is None else f"{fact.hours:.1f}"
    what = _WHAT[fact.tasks[0].spec.embedding_type]
    cells = (fact.column, names, fact.domain, what, clips, hours, fact.score)
    return f"| {' | '.join(cells)} |"


def _name(fact: ColumnFacts, i: int) -> str:
    task = fact.tasks[i]
    default = task.spec.default_mode == task.mode
    return task.spec.name if default else task.name


def written(text: str) -> str:
    """A page with the table of today."""
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}{table()}{END}{tail}"


def main() -> None:
    """Prints or writes it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true")
    if parser.parse_args().write:
        PAGE.write_text(written(PAGE.read_text("utf-8")), "utf-8")
    else:
        print(table(), end="")


if __name__ == "__main__":
    main()
