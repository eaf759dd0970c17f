"""Fills the table of published models in docs/models.md from the zoo's files.

``--check`` writes nothing, and ends with exit code 1 if the page isn't what would be written.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path

import pages

from hearbench.models import zoo
from hearbench.table import Column, Table

__all__ = ["PAGE", "filled"]

PAGE = Path(__file__).resolve().parents[1] / "docs/models.md"

_TABLE = re.compile(r"<!-- zoo: begin -->\n.*?<!-- zoo: end -->", re.DOTALL)


def filled(page: str) -> str:
    """The page with the table as it has to be: a row for each family."""
    table = Table(
        [
            Column("names"),
            Column("family"),
            Column("for"),
            Column("Hz", align="right"),
            Column("weights"),
            Column("way in"),
            Column("tried"),
        ]
    )
    in_order = sorted(zoo.recipes(), key=lambda one: (one.title.lower(), one.name))
    for title, models in groupby(in_order, key=lambda one: one.title):
        family = list(models)
        table.add(
            _said(f"`{one.name}`" for one in family),
            f"[{title}]({family[0].paper})" if family[0].paper else title,
            _said(domain for one in family for domain in one.domains),
            _said(str(one.sample_rate) for one in family),
            _said(one.licence_weights for one in family),
            _said(map(_way, family)),
            _said(one.tried for one in family),
        )
    text = f"<!-- zoo: begin -->\n\n{table.to_markdown()}\n<!-- zoo: end -->"
    return _TABLE.sub(lambda _: text, page)


def _said(texts: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(texts))


def _way(recipe: zoo.Recipe) -> str:
    if not recipe.spec:
        return "none yet"
    if recipe.is_checkpoint:
        return "`hf:`, its own code" if recipe.trust_code else "`hf:`"
    git = any(" @ git" in one for one in recipe.requirements)
    return "git repository" if git else "package"


def main() -> int:
    """Writes the page, or says whether it is up to date."""
    return pages.run(__file__, PAGE, filled, __doc__ or "")


if __name__ == "__main__":
    sys.exit(main())
