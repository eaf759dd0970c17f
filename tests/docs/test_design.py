"""docs/design.md names the parts, modules and folders that there are."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_imports import LAYERS, RANK, ROOT

from hearbench import cache
from hearbench.execution import ray_cluster

PAGE = Path(__file__).resolve().parents[2] / "docs/design.md"
TEXT = PAGE.read_text(encoding="utf-8")


def rows(head: str) -> list[list[str]]:
    """The cells of a table whose first row begins so."""
    _, _, rest = TEXT.partition(f"| {head} |")
    lines = rest.split("\n\n", 1)[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def quoted(text: str) -> list[str]:
    """What stands in backticks."""
    return [name.rstrip("/") for name in re.findall(r"`([^`]+)`", text)]


def modules(part: str) -> Iterator[str]:
    """A part's own modules and packages, by the names that stand in the page."""
    for path in (ROOT / part).iterdir():
        if path.suffix == ".py" or path.is_dir():
            yield path.stem


def test_parts_stand_in_the_order_of_the_layers() -> None:
    named = [part for cells in rows("part") for part in quoted(cells[0])]
    assert sorted([*named, "_version", "pytest_plugin"]) == sorted(RANK)
    ranks = [RANK[part] for part in named]
    assert ranks == sorted(ranks)
    assert len(LAYERS) == len(rows("part")) + 1  # the plug-in is in the validator's row


@pytest.mark.parametrize("cells", rows("part"), ids=lambda cells: cells[0])
def test_modules_are_there(cells: list[str]) -> None:
    if not cells[0].endswith("/`"):
        return
    (part,) = quoted(cells[0])
    there = {*modules(part), "pytest_plugin"}
    for name in quoted(cells[1]):
        if name.endswith("*"):
            assert any(module.startswith(name[:-1]) for module in there), name
        else:
            assert name in there, name


def test_folders_of_the_cache() -> None:
    named = {quoted(cells[0])[0].partition("/")[0] for cells in rows("folder")}
    kinds = set(cache.KINDS) - {cache.LEFTOVERS}
    assert named == {*kinds, ray_cluster._MARKS, "pins.json"}


def test_paths_are_there() -> None:
    root = PAGE.parents[1]
    for path in quoted(TEXT):
        if re.fullmatch(r"(tests|tools|docs|examples)/[\w./-]*", path):
            assert (root / path).exists(), path
