"""The paper's figures as plotly takes them: plain JSON, colours left to the page's theme.

A figure is ``{"data": [...], "layout": {...}}``. The page's script fills in what depends on the
theme. Names are escaped, as plotly reads some HTML in texts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hearbench.leaderboard.site.figures import Correlations, Floats, PaperFigures

__all__ = ["correlation_plot", "digits", "heat_map", "scatter", "text_for_plotly"]

_ROW_PX = 22
_MARGIN_PX = 24
_NAME_PX = 6.6
_LONGEST = 34
_SYMBOLS = {
    "speech": "circle",
    "environment": "diamond",
    "music": "square",
    "models": "circle",
    "yours": "star",
}


def digits(value: float | None, count: int = 4) -> str:
    """A number with so many significant digits; an empty text for none.

    >>> digits(0.000334928), digits(0.9), digits(12), digits(None)
    ('0.0003349', '0.9000', '12.00', '')
    """
    return "" if value is None else f"{value:#.{count}g}".removesuffix(".")


def text_for_plotly(text: str) -> str:
    """A text that plotly draws as it is: no tags, no entities, no TeX."""
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    # Dollar signs mark TeX, were its library there.
    return escaped.replace("$", "&#36;")


def heat_map(figures: PaperFigures) -> dict[str, Any]:
    """Models by tasks: colours are normalised scores, numbers the raw ones, gaps left blank."""
    scores, normalised = figures.scores, figures.normalised
    hover = [
        [
            f"{_line(model)}<br>{_line(task)}<br>score "
            f"{digits(_number(scores[row, column]))}, normalised "
            f"{_signed(normalised[row, column])}"
            for column, task in enumerate(figures.columns)
        ]
        for row, model in enumerate(figures.models)
    ]
    trace = {
        "type": "heatmap",
        "z": _nested(normalised),
        "text": [["" if np.isnan(v) else f"{v:.2f}" for v in row] for row in scores],
        "hovertext": hover,
        "zmin": -1,
        "zmax": 1,
        "colorbar": {"title": {"text": "normalised"}, "thickness": 12, "len": 0.5},
    }
    return _matrix(trace, figures.models, figures.columns, cell_px=38)


def correlation_plot(correlations: Correlations) -> dict[str, Any]:
    """A matrix of correlations, of which only the extreme ones are drawn."""
    names = correlations.names
    drawn = np.where(correlations.shown, correlations.values, np.nan)
    hover = [
        [
            f"{_line(one)}<br>{_line(other)}<br>r = {_signed(correlations.values[row, column])}"
            for column, other in enumerate(names)
        ]
        for row, one in enumerate(names)
    ]
    trace = {
        "type": "heatmap",
        "z": _nested(drawn),
        "text": [["" if np.isnan(v) else f"{v:.2f}" for v in row] for row in drawn],
        "hovertext": hover,
        "zmin": -1,
        "zmax": 1,
        "colorbar": {"title": {"text": "r"}, "thickness": 12, "len": 0.5},
    }
    return _matrix(trace, names, names, cell_px=34)


def scatter(names: Sequence[str], places: Floats, groups: Sequence[str]) -> dict[str, Any]:
    """Points with names, one colour and symbol per group, on axes without a meaning."""
    traces = []
    for group in dict.fromkeys(groups):
        members = [index for index, other in enumerate(groups) if other == group]
        traces.append(
            {
                "type": "scatter",
                "mode": "markers+text",
                "name": group,
                "x": [_rounded(places[index, 0]) for index in members],
                "y": [_rounded(places[index, 1]) for index in members],
                "text": [_line(names[index]) for index in members],
                "textposition": "top center",
                "hoverinfo": "text",
                "marker": {"size": 9, "symbol": _SYMBOLS.get(group, "circle")},
                "cliponaxis": False,
            }
        )
    axis = {"showticklabels": False, "zeroline": False, "showgrid": False, "ticks": ""}
    layout = {
        "xaxis": {**axis, "automargin": True},
        "yaxis": axis,
        "height": 620,
        "margin": {"l": 70, "r": 70, "t": 30, "b": 20},
        "showlegend": len(traces) > 1,
        "legend": {"orientation": "h", "y": 1.06},
        "hovermode": "closest",
    }
    return {"data": traces, "layout": layout}


def _matrix(
    trace: dict[str, Any], rows: Sequence[str], columns: Sequence[str], cell_px: int
) -> dict[str, Any]:
    left = _width(rows)
    above = _width(columns)
    # Numbers as coordinates, since plotly takes some names for dates or numbers.
    data = {
        **trace,
        "x": list(range(len(columns))),
        "y": list(range(len(rows))),
        "texttemplate": "%{text}",
        "hoverinfo": "text",
        "xgap": 1,
        "ygap": 1,
        "hoverongaps": False,
    }

    def axis(names: Sequence[str]) -> dict[str, Any]:
        return {
            "tickmode": "array",
            "tickvals": list(range(len(names))),
            "ticktext": [_line(name) for name in names],
            "ticks": "",
            "showgrid": False,
            "zeroline": False,
            "fixedrange": True,
        }

    layout = {
        "xaxis": {**axis(columns), "side": "top", "tickangle": -90},
        "yaxis": {**axis(rows), "autorange": "reversed"},
        "width": round(left + cell_px * len(columns) + 90),
        "height": round(above + _ROW_PX * len(rows) + _MARGIN_PX),
        "margin": {"l": round(left), "t": round(above), "r": 90, "b": _MARGIN_PX},
    }
    return {"data": [data], "layout": layout}


def _line(text: str) -> str:
    short = text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
    return text_for_plotly(short)


def _width(names: Sequence[str]) -> float:
    return 16 + _NAME_PX * min(_LONGEST, max((len(name) for name in names), default=0))


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _rounded(value: float) -> float | None:
    # The last digits differ from one library of linear algebra to another.
    return None if np.isnan(value) else float(f"{value:.6g}")


def _nested(values: Floats) -> list[list[float | None]]:
    return [[_rounded(value) for value in row] for row in values]


def _signed(value: float) -> str:
    return "undefined" if np.isnan(value) else f"{value:+.3f}"
