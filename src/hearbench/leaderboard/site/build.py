"""Writes a site from a table and results: all of it or nothing, and never in another's place."""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hearbench._version import __version__
from hearbench.amounts import duration, number, significant
from hearbench.errors import HearError
from hearbench.files import SYNTAX_ERRORS, TEMPORARY_PREFIX
from hearbench.leaderboard.literature import score_text
from hearbench.leaderboard.site.figures import FEWEST_SCORES, PaperFigures, figures_of
from hearbench.leaderboard.site.own import OwnResult, own_models, protocol_text
from hearbench.leaderboard.site.plots import (
    correlation_plot,
    digits,
    heat_map,
    layer_plot,
    robustness_plot,
    scatter,
)
from hearbench.leaderboard.table import Table
from hearbench.report.format import mebibytes

if TYPE_CHECKING:
    from jinja2 import Environment

    from hearbench.leaderboard.site.pages import Content

__all__ = ["MARKER", "build_site", "check_replaceable", "write_folder"]

_ASSETS = ("site.css", "theme.js", "table.js", "aggregates.js", "compare.js", "plots.js")
_PLOTLY = "plotly.min.js"
MARKER = ".hearbench-site.json"
_FORMAT = "hearbench leaderboard site"
_EXTRA = "The site needs {}. Install it with: pip install 'hearbench[site]'"


def build_site(
    table: Table,
    out: Path,
    *,
    own: Sequence[OwnResult] = (),
    figures: PaperFigures | None = None,
    generated: dt.date | None = None,
) -> list[Path]:
    """Writes the leaderboard as a static site, which works from a file and offline.

    The same arguments give the same bytes.

    Args:
        table: The models, the user's own among them.
        out: Folder of the site. It is replaced if it holds a site and nothing else.
        own: The user's results, which are shown on the pages of the models that they name. One
            that no score of the table is made of is shown apart from those that are.
        figures: The paper's figures; by default they are computed from the table.
        generated: A date to show at the foot of each page.

    Returns:
        The paths of the files, sorted.

    Raises:
        HearError: The folder holds something else or can't be written; plotly or jinja2 isn't
            installed; names of models clash.
        ResultError: Two results are of the same model and task, or of different models under
            one name.
    """
    check_replaceable(out)
    models = own_models(own)
    # Imported here, as it needs libraries that come with the extra.
    environment, plotly = _environment(), _plotly()
    from hearbench.leaderboard.site.pages import Content

    content = Content(table, models)
    if figures is None:
        figures = figures_of(content.table)
    shared = {
        "content": content,
        "version": __version__,
        "generated": generated.isoformat() if generated else "",
    }
    pages = _pages(environment, content, figures, shared)
    folder = files(__package__) / "assets"
    pages.update({f"assets/{name}": (folder / name).read_bytes() for name in _ASSETS})
    pages[f"assets/{_PLOTLY}"] = plotly
    return write_folder(out, pages)


def _pages(
    environment: Environment,
    content: Content,
    figures: PaperFigures | None,
    shared: dict[str, Any],
) -> dict[str, bytes]:
    def page(template: str, root: str = "", **values: Any) -> bytes:
        text = environment.get_template(f"{template}.html.j2").render(
            **shared, root=root, here=template, **values
        )
        return text.encode("utf-8")

    found = {
        "index.html": page("index"),
        "tasks.html": page("tasks"),
        "aggregates.html": page("aggregates", shown=content.aggregates),
        "compare.html": page("compare", data=content.comparison()),
        "plots.html": page(
            "plots",
            figures=figures,
            plots=_plots(content, figures),
            fewest_scores=FEWEST_SCORES,
        ),
        "literature.html": page("literature"),
        "about.html": page("about"),
    }
    for model in content.models:
        of_layers = model.own.of_layers if model.own else ()
        plots = {f"layers-{i}": layer_plot(each) for i, each in enumerate(of_layers)}
        for i, each in enumerate(model.own.robustness if model.own else ()):
            plots[f"robustness-{i}"] = robustness_plot(each)
        found[f"models/{model.slug}.html"] = page("model", "../", model=model, plots=plots)
    for task in content.tasks:
        found[f"tasks/{task.slug}.html"] = page("task", "../", task=task)
    return found


def _plots(content: Content, figures: PaperFigures | None) -> dict[str, Any]:
    if figures is None:
        return {}
    domains = {task.name: task.facts.domain for task in content.tasks}
    own = {model.name for model in content.own_models}
    return {
        "heat-map": heat_map(figures),
        "task-correlations": correlation_plot(figures.by_task),
        "model-correlations": correlation_plot(figures.by_model),
        "task-map": scatter(
            figures.columns, figures.task_map, [domains[name] for name in figures.columns]
        ),
        "model-map": scatter(
            figures.models,
            figures.model_map,
            ["yours" if name in own else "models" for name in figures.models],
        ),
    }


def _environment() -> Environment:
    try:
        from jinja2 import Environment, PackageLoader, StrictUndefined
    except ImportError as error:
        raise HearError(_EXTRA.format("jinja2")) from error
    environment = Environment(
        loader=PackageLoader("hearbench.leaderboard.site"),
        # All of it, whatever a file is called.
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    for form in (digits, duration, mebibytes, number, protocol_text, score_text, significant):
        environment.filters[form.__name__] = form
    # Keys stay as they come; Jinja's own filter would sort them.
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "allow_nan": False}
    return environment


def _plotly() -> bytes:
    try:
        from plotly.offline import get_plotlyjs
    except ImportError as error:
        raise HearError(_EXTRA.format("plotly")) from error
    script: str = get_plotlyjs()
    return script.encode("utf-8")


def check_replaceable(out: Path) -> None:
    """Looks whether a folder is free, or holds a site and nothing else.

    Raises:
        HearError: It holds anything that isn't of a site, which is named.
    """
    if not out.exists() and not out.is_symlink():
        return
    if not out.is_dir():
        raise HearError(f"{out} is a file; choose a folder for the site.")
    there = {
        path.relative_to(out).as_posix()
        for path in out.rglob("*")
        if path.is_symlink() or not path.is_dir()
    }
    if not there:
        return
    listed = _listed(out)
    if listed is None:
        raise HearError(
            f"{out} isn't empty and isn't a site of hearbench's, so nothing in it is replaced. "
            "Choose another --out, or empty it."
        )
    foreign = sorted(there - listed - {MARKER})
    if foreign:
        raise HearError(
            f"{out} holds {foreign[0]}, which isn't of the site"
            + (f", and {len(foreign) - 1} more such files" if foreign[1:] else "")
            + ". Replacing the site would delete it; move it, or choose another --out."
        )


def write_folder(out: Path, files: Mapping[str, bytes]) -> list[Path]:
    """Makes a folder of files, in the place of an older site if there is one.

    The new one is written beside it and then takes its place, so that a run that is killed half-way
    leaves the old one.

    Args:
        files: Contents by their paths within it, with slashes.

    Returns:
        The paths of the files, sorted.

    Raises:
        HearError: The folder holds something else, or can't be written.
    """
    out = out.resolve()
    check_replaceable(out)
    marker = {"format": _FORMAT, "files": sorted(files)}
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=TEMPORARY_PREFIX, dir=out.parent) as work:
            new = Path(work) / "new"
            new.mkdir()
            for name, content in {
                **files,
                MARKER: (json.dumps(marker, indent=1) + "\n").encode(),
            }.items():
                path = new / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
                _flush(path)
            _swap(new, out, Path(work) / "old")
    except OSError as error:
        raise HearError(
            f"The site can't be written to {out}: {error.strerror}.", code="io"
        ) from error
    return sorted(out / name for name in files)


def _listed(out: Path) -> set[str] | None:
    """The files of the site in a folder, by its marker; None if there is none to trust."""
    try:
        marker = json.loads((out / MARKER).read_text(encoding="utf-8"))
    except (OSError, *SYNTAX_ERRORS):
        return None
    if not isinstance(marker, dict) or marker.get("format") != _FORMAT:
        return None
    names = marker.get("files")
    return {str(name) for name in names} if isinstance(names, list) else None


def _swap(new: Path, out: Path, old: Path) -> None:
    if not out.exists():
        new.rename(out)
        return
    out.rename(old)
    try:
        new.rename(out)
    except OSError:
        old.rename(out)
        raise
    shutil.rmtree(old)


def _flush(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
