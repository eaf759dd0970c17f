"""Pages that are made from the code are those that would be made now."""

from __future__ import annotations

import importlib
import pkgutil
import runpy
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import BaseModel

import hearbench
from hearbench.models import zoo

ROOT = Path(__file__).resolve().parents[2]
# Answers to stdout, what only the cache holds, and what is read and never written: no formats.
NOT_KEPT = (
    *("hearbench.comparison", "hearbench.planning", "hearbench.report", "hearbench.views"),
    *(
        "hearbench.execution",
        "hearbench.models",
        "hearbench.tasks.catalog",
        "hearbench.tasks.fetch",
    ),
    *("hearbench.leaderboard.literature", "hearbench.results.layers"),
    *("hearbench.tasks.prompts", "hearbench.tasks.record", "hearbench.tasks.subsets"),
    "hearbench.records",  # what all records are made from
)


def tool(name: str) -> Any:
    return SimpleNamespace(**runpy.run_path(str(ROOT / "tools" / f"{name}.py")))


def test_the_commands_are_up_to_date() -> None:
    commands = tool("cli_reference")
    have = (ROOT / "docs/reference/cli.md").read_text(encoding="utf-8")
    assert have == commands.page(), "python tools/cli_reference.py"
    assert "## hearbench leaderboard aggregates\n" in have
    assert (
        "| `--seed N` | Seed for weight initialisation and dropout. Default: `42`. At least 0. |"
        in have
    )


def test_the_formats_are_up_to_date() -> None:
    tables = tool("record_tables")
    have = (ROOT / "docs/formats.md").read_text(encoding="utf-8")
    assert tables.filled(have) == have, "python tools/record_tables.py"
    for kind in tables.records(have):
        assert tables.fields(have, kind) == list(kind.model_fields)


KEPT_OF_MODELS = "hearbench.models.fingerprint"


def test_every_record_that_is_kept_has_its_table() -> None:
    found = set()
    for module in pkgutil.walk_packages(hearbench.__path__, "hearbench."):
        not_kept = module.name.startswith((*NOT_KEPT, "hearbench.cli", "hearbench.worker"))
        if module.name != KEPT_OF_MODELS and (not_kept or module.name.endswith("_tensorflow")):
            continue
        for value in vars(importlib.import_module(module.name)).values():
            if (
                isinstance(value, type)
                and issubclass(value, BaseModel)
                and value.__module__ == module.name
                and not value.__name__.startswith("_")
            ):
                found.add(value)
    page = (ROOT / "docs/formats.md").read_text(encoding="utf-8")
    assert set(tool("record_tables").records(page)) == found


def test_every_key_says_what_it_means() -> None:
    page = (ROOT / "docs/formats.md").read_text(encoding="utf-8")
    empty = [line.split("`")[1] for line in page.splitlines() if line.endswith("|  |")]
    assert set(empty) <= {"median_filter_ms", "min_duration_ms", "low", "high"}


@pytest.mark.parametrize("name", ["cli_reference", "record_tables"])
def test_a_page_that_is_behind_is_told(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = runpy.run_path(str(ROOT / "tools" / f"{name}.py"))
    copy = tmp_path / found["PAGE"].name
    copy.write_text(found["PAGE"].read_text(encoding="utf-8"), encoding="utf-8")
    main = found["main"]
    main.__globals__["PAGE"] = copy
    monkeypatch.setattr(sys, "argv", [name, "--check"])
    assert main() == 0
    copy.write_text(copy.read_text(encoding="utf-8").replace("| `", "| `x", 1), encoding="utf-8")
    assert main() == 1
    assert f"tools/{name}.py" in capsys.readouterr().err
    monkeypatch.setattr(sys, "argv", [name])
    assert main() == 0
    assert copy.read_text(encoding="utf-8") == found["PAGE"].read_text(encoding="utf-8")


def test_the_published_models_are_up_to_date() -> None:
    table = tool("zoo_table")
    have = (ROOT / "docs/models.md").read_text(encoding="utf-8")
    assert table.filled(have) == have, "python tools/zoo_table.py"
    assert all(f"`{recipe.name}`" in have for recipe in zoo.recipes())
    assert table.filled(have.replace("`dasheng-base`, ", "")) == have
