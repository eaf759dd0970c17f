"""The look that all pictures share: colours, titles, names, and how a picture becomes a file.

Pictures are drawn with matplotlib's objects and no state of pyplot, so that a notebook's own
figures are left alone. matplotlib is imported when something is drawn, as importing it takes
longer than most commands do. Names of models, tasks and labels are the user's, so a dollar sign in
them begins no formula.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from hearbench.errors import HearError
from hearbench.files import atomic_write

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "BAND_OPACITY",
    "BLUE",
    "INK",
    "ORANGE",
    "PALE",
    "PALETTE",
    "PURPLE",
    "SKY",
    "add_legend",
    "check_plot_name",
    "draw_band",
    "model_colours",
    "name_lanes",
    "new_figure",
    "save_figure",
    "shorten",
    "style_axes",
    "svg_element",
    "title_figure",
]

# Colour-blind people tell these apart (Okabe and Ito, "Color Universal Design", 2008).
BLUE, ORANGE, PURPLE, SKY = "#0072B2", "#E69F00", "#CC79A7", "#56B4E9"
PALETTE = (BLUE, "#D55E00", "#009E73", PURPLE, ORANGE, SKY, "#000000")
"""Colours in their order, the most contrast first; yellow is left out, as it is lost on white."""

# Text and lines that belong to no model, and what is unknown or not shown to differ.
INK, PALE = "#333333", "#888888"
BAND_OPACITY = 0.18
"""Of the band of a line's intervals."""

_ENDINGS = (".png", ".svg", ".pdf")
_DPI = 120
_LONGEST_NAME = 28
# The same data give the same file: without times, and with names in SVG not drawn by lot.
_SALT = "hearbench"
_NO_TIME: dict[str, dict[str, Any]] = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}


def check_plot_name(path: Path, endings: Sequence[str] = _ENDINGS) -> None:
    """Refuses a file name without the ending of a picture, before hours of work for its content.

    Raises:
        HearError: The file has another ending.
    """
    if path.suffix.lower() not in endings:
        known = f"{', '.join(endings[:-1])} or {endings[-1]}"
        raise HearError(f"{path}: plots are written as {known}; choose such a name.")


def model_colours(models: Iterable[str]) -> dict[str, str]:
    """Gives every model its colour.

    Colours go by the order of the names, so that the same models have the same colours in every
    picture. With more than seven models colours repeat.
    """
    return {model: PALETTE[i % len(PALETTE)] for i, model in enumerate(sorted(set(models)))}


def new_figure(
    width_in: float, height_in: float, *, layout: Literal["constrained"] | None = "constrained"
) -> Figure:
    """Makes an empty white figure, which notebooks show and ``.savefig(path)`` writes."""
    return _figure_class()(
        figsize=(width_in, height_in), dpi=_DPI, layout=layout, facecolor="white"
    )


@cache
def _figure_class() -> type[Figure]:
    from matplotlib.figure import Figure

    class ShownFigure(Figure):
        """A figure that notebooks show, also without pyplot."""

        def _repr_png_(self) -> bytes:
            buffer = io.BytesIO()
            self.savefig(buffer, format="png", bbox_inches="tight")
            return buffer.getvalue()

    return ShownFigure


def save_figure(figure: Figure, path: Path) -> None:
    """Writes a figure as ``.png``, ``.svg`` or ``.pdf``, by the file's ending.

    The same figure gives the same bytes.

    Raises:
        HearError: The file has another ending, or can't be written.
    """
    check_plot_name(path)
    from matplotlib import rc_context

    ending = path.suffix.lower()
    try:
        with rc_context({"svg.hashsalt": _SALT}), atomic_write(path) as file:
            figure.savefig(file, format=ending[1:], dpi=_DPI, metadata=_NO_TIME.get(ending))
    except OSError as error:
        raise HearError(f"{path} can't be written: {error.strerror}.", code="io") from error


def svg_element(figure: Figure) -> str:
    """Draws a figure as an ``<svg>`` element for an HTML page: without metadata and links."""
    from matplotlib import rc_context

    text = io.StringIO()
    with rc_context({"svg.hashsalt": _SALT}):
        without = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(text, format="svg", metadata=without)
    return text.getvalue()


def shorten(name: str, leave: int = 0) -> str:
    """Cuts a name that would leave no room for the picture.

    Args:
        leave: Letters that will follow it.
    """
    longest = _LONGEST_NAME - leave
    return name if len(name) <= longest else f"{name[: longest - 1]}…"


def draw_band(
    axes: Axes,
    places: Sequence[float],
    intervals: Sequence[tuple[float | None, float | None]],
    colour: str,
) -> None:
    """Draws the intervals of a line's points as a band; points without one are left out.

    Args:
        places: Of the points, along the line.
        intervals: Both ends of each.
    """
    bands = [
        (place, low, high)
        for place, (low, high) in zip(places, intervals, strict=True)
        if low is not None and high is not None
    ]
    if bands:
        at, lows, highs = zip(*bands, strict=True)
        axes.fill_between(at, lows, highs, color=colour, alpha=BAND_OPACITY, linewidth=0)
        # A band of one point has no area.
        axes.vlines(at, lows, highs, color=colour, linewidth=1.0, alpha=0.6)


def title_figure(figure: Figure, text: str, **options: Any) -> None:
    """Writes the figure's title at its upper left."""
    options = {"x": 0.01, "ha": "left", "fontsize": 13, "fontweight": "bold", **options}
    figure.suptitle(text, parse_math=False, **options)


def style_axes(axes: Axes, title: str, *, hide: Sequence[str] = ("top", "right")) -> None:
    """Writes the title of axes at their upper left and hides sides of their frame."""
    axes.set_title(title, fontsize=10, loc="left", color=INK, parse_math=False)
    for side in hide:
        axes.spines[side].set_visible(False)


def name_lanes(axes: Axes, lanes: Sequence[float], names: Sequence[str]) -> None:
    """Names horizontal lanes at the left, without ticks."""
    axes.set_yticks(list(lanes), [shorten(name) for name in names], parse_math=False)
    axes.tick_params(axis="y", length=0, labelsize=9 if len(names) <= 24 else 8)


def add_legend(
    figure: Figure, handles: Sequence[Any], names: Sequence[str], **options: Any
) -> None:
    """Adds a legend below all axes, or where the options of matplotlib's legends say."""
    options = {"loc": "outside lower left", "alignment": "left", "fontsize": 9, **options}
    # matplotlib leaves out names that begin with an underscore.
    shown = [f" {name}" if name.startswith("_") else name for name in names]
    legend = figure.legend(list(handles), shown, frameon=False, **options)
    for text in (legend.get_title(), *legend.get_texts()):
        text.set_parse_math(False)
