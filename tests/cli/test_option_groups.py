"""Options of several verbs as one object: what the help shows, and what a verb gets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from inspect import signature
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer
from helpers_cli import runner

from hearbench.cli.options import ModelChoiceOptions, TrainingOptions, WorkspaceOptions
from hearbench.cli.running import expand_groups, verb

Loud = Annotated[bool, typer.Option("--loud", help="Speak up.")]


@dataclass(frozen=True)
class Colours:
    """What a thing looks like."""

    front: Annotated[str, typer.Option("--front", metavar="C", help="In front.")] = "red"
    back: Annotated[str | None, typer.Option("--back", metavar="C", help="Behind.")] = None


GREEN = Colours(front="green")


def run(function: Callable[..., None], *arguments: str) -> Any:
    app = typer.Typer(rich_markup_mode=None)
    app.command()(function)
    return runner().invoke(app, list(arguments))


def test_a_group_is_expanded_where_it_stands() -> None:
    got: list[Any] = []

    def paint(thing: str, colours: Colours, loud: Loud = False) -> None:
        """Paints."""
        got.append((thing, colours, loud))

    expanded = expand_groups(paint)
    assert list(signature(expanded).parameters) == ["thing", "front", "back", "loud"]
    assert run(expanded, "wall", "--back", "blue", "--loud").exit_code == 0
    assert run(expanded, "wall").exit_code == 0
    assert got == [("wall", Colours("red", "blue"), True), ("wall", Colours(), False)]


def test_an_order_leaves_out_and_the_parameter_says_the_default() -> None:
    got: list[Any] = []

    def paint(thing: str, colours: Colours = GREEN, loud: Loud = False) -> None:
        """Paints."""
        got.append((thing, colours, loud))

    expanded = verb("paint wall", options="loud front")(paint)
    help_text = run(expanded, "--help").stdout
    assert help_text.index("--loud") < help_text.index("--front C")
    assert "[default: green]" in help_text
    assert "paint wall" in help_text
    assert "--back" not in help_text
    assert run(expanded, "wall", "--front", "black").exit_code == 0
    assert got == [("wall", Colours("black", None), False)]


def test_what_cannot_be_expanded() -> None:
    def paint(colours: Colours) -> None:
        """Paints."""

    def twice(front: str, colours: Colours) -> None:
        """Paints."""

    with pytest.raises(TypeError, match="paint has no option 'side'"):
        expand_groups(paint, "front side")
    with pytest.raises(TypeError, match="twice has two options named 'front'"):
        expand_groups(twice)


def test_the_groups_give_what_verbs_work_with(tmp_path: Path) -> None:
    workspace = WorkspaceOptions(cache=tmp_path / "new", device="cpu", workers=3).workspace()
    assert (workspace.cache_dir, workspace.device, workspace.workers) == (
        tmp_path / "new",
        "cpu",
        3,
    )
    assert (tmp_path / "new").is_dir()
    plan = TrainingOptions(protocol="linear", seed=7, seeds=2, precision="float32").plan(workspace)
    assert (plan.protocol.name, plan.seeds, plan.precision) == ("linear", (7, 8), "float32")
    # Nothing is random in a search of nearest neighbours.
    assert TrainingOptions(protocol="knn", seeds=5).plan(workspace).seeds == (42,)
    model = ModelChoiceOptions().ref("hearbench.models.naive", workspace).load(workspace)
    assert model.name == "hearbench.models.naive"
    model.close()
