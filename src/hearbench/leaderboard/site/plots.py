"""Figures as plotly takes them: plain JSON, colours left to the page's theme.

A figure is ``{"data": [...], "layout": {...}}``. The page's script fills in what depends on the
theme. Names are escaped, as plotly reads some HTML in texts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from hearbench.leaderboard.site.figures import Correlations, Floats, PaperFigures
from hearbench.results.layers import LayerCurve, LayersOfModel, LayerWeights
from hearbench.results.robustness import Robustness

__all__ = [
    "correlation_plot",
    "digits",
    "heat_map",
    "layer_plot",
    "robustness_plot",
    "scatter",
    "text_for_plotly",
]

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


def layer_plot(own: LayersOfModel) -> dict[str, Any]:
    """A task's scores by layer with their intervals, and learned weights as bars below."""
    score = own.results[0].primary_score
    axis: dict[str, Any] = {"zeroline": False, "automargin": True, "fixedrange": True}
    of_scores = {**axis, "title": {"text": text_for_plotly(score)}}
    of_weights = {**axis, "title": {"text": "weight"}}
    layout: dict[str, Any] = {
        "xaxis": {**axis, "title": {"text": "layer"}, "tickformat": "d", "showgrid": False},
        "yaxis": of_scores if own.curve else of_weights,
        "height": 420 if own.curve else 260,
        "margin": {"l": 60, "r": 20, "t": 30, "b": 50},
        "showlegend": own.curve is not None,
        # It grows upwards where it takes several lines.
        "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "traceorder": "normal"},
        "hovermode": "closest",
    }
    traces = _curve_traces(own.curve, score) if own.curve else []
    if own.weights:
        bars = _bars(own.weights)
        if own.curve:
            traces.append(_line_across(own.weights.scores[score].mean, own.layers))
            bars["yaxis"] = layout["xaxis"]["anchor"] = "y2"
            of_scores["domain"], of_weights["domain"] = [0.32, 1], [0, 0.22]
            layout["yaxis2"] = of_weights
        traces.append(bars)
    return {"data": traces, "layout": layout}


def robustness_plot(own: Robustness) -> dict[str, Any]:
    """A task's losses by perturbation with their intervals; a line at no loss."""
    score = own.primary_score
    losses = [point.losses[score] for point in own.points]
    axis: dict[str, Any] = {"automargin": True, "fixedrange": True}
    layout: dict[str, Any] = {
        "xaxis": {**axis, "title": {"text": text_for_plotly(f"loss of {score}")}, "zeroline": True},
        "yaxis": {**axis, "autorange": "reversed", "zeroline": False, "showgrid": False},
        "height": 130 + 32 * len(losses),
        "margin": {"l": 60, "r": 20, "t": 20, "b": 50},
        "showlegend": False,
        "hovermode": "closest",
    }
    above, below = (
        [None if math.isnan(half) else half for half in halves]
        for halves in (
            [loss.high - loss.mean for loss in losses],
            [loss.mean - loss.low for loss in losses],
        )
    )
    trace = {
        "type": "scatter",
        "mode": "markers",
        "x": [_finite(loss.mean) for loss in losses],
        "y": [text_for_plotly(point.title) for point in own.points],
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": above,
            "arrayminus": below,
        },
        "hovertemplate": "%{y}: %{x:.4f}<extra></extra>",
        "marker": {"size": 9},
        "meta": {"series": 0},
    }
    return {"data": [trace], "layout": layout}


def _curve_traces(curve: LayerCurve, name: str) -> list[dict[str, Any]]:
    """The line of scores, its band, and the layer that validation chose."""
    scores = [(point.layer, point.scores[name]) for point in curve.points]
    sure = [(layer, score) for layer, score in scores if score.low is not None]
    best = [(point.layer, point.scores[name]) for point in curve.points if point.chosen_by]
    edges = {"mode": "lines", "hoverinfo": "skip", "line": {"width": 0}, "showlegend": False}
    interval = {"fill": "tonexty", "name": f"{100 * (curve.level or 0):g} % interval"}
    traces: list[dict[str, Any]] = []
    if sure:
        traces += [
            {**edges, "y": [_finite(score.low) for _, score in sure]},
            {**edges, **interval, "y": [_finite(score.high) for _, score in sure]},
        ]
        for trace in traces:
            trace["x"] = [layer for layer, _ in sure]
        traces[-1]["showlegend"] = True
    traces.append(
        {
            "mode": "lines+markers",
            "name": "score",
            "x": [layer for layer, _ in scores],
            "y": [_finite(score.mean) for _, score in scores],
            "hovertemplate": "layer %{x}: %{y:.4f}<extra></extra>",
            "line": {"width": 2},
            "marker": {"size": 7},
        }
    )
    traces.append(
        {
            "mode": "markers",
            "name": "best by validation",
            "x": [layer for layer, _ in best],
            "y": [_finite(score.mean) for _, score in best],
            "hoverinfo": "skip",
            "marker": {"size": 15, "symbol": "diamond-open", "line": {"width": 2}},
        }
    )
    return [{"type": "scatter", "meta": {"series": 0}, **trace} for trace in traces]


def _line_across(score: float, layers: Sequence[int]) -> dict[str, Any]:
    """The score of a weighted sum of all layers."""
    return {
        "type": "scatter",
        "mode": "lines",
        "name": "weighted sum of layers",
        "x": [layers[0], layers[-1]],
        "y": [_finite(score)] * 2,
        "hovertemplate": "weighted sum of layers: %{y:.4f}<extra></extra>",
        "line": {"width": 2, "dash": "dot"},
        "meta": {"series": 1},
    }


def _bars(weights: LayerWeights) -> dict[str, Any]:
    """The learned weights."""
    return {
        "type": "bar",
        "name": "weight",
        "x": list(weights.mean),
        "y": [_finite(weight) for weight in weights.mean.values()],
        "hovertemplate": "layer %{x}: weight %{y:.3f}<extra></extra>",
        "meta": {"series": 1},
    }


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


def _finite(value: float | None) -> float | None:
    return float(value) if value is not None and np.isfinite(value) else None


def _rounded(value: float) -> float | None:
    # The last digits differ from one library of linear algebra to another.
    return None if np.isnan(value) else float(f"{value:.6g}")


def _nested(values: Floats) -> list[list[float | None]]:
    return [[_rounded(value) for value in row] for row in values]


def _signed(value: float) -> str:
    return "undefined" if np.isnan(value) else f"{value:+.3f}"
