from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from hearbench.errors import HearError
from hearbench.views.score_plot import draw_scores
from hearbench.views.style import (
    PALETTE,
    add_legend,
    check_plot_name,
    model_colours,
    new_figure,
    save_figure,
    svg_element,
    title_figure,
)


def drawn() -> Figure:
    figure = new_figure(4, 3)
    axes = figure.add_subplot()
    axes.fill_between([0, 1], [0, 1], hatch="//", clip_on=True)
    title_figure(figure, "$no formula$")
    return figure


def luminance(colour: str) -> float:
    """Relative luminance, as WCAG 2.1 defines it."""
    parts = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(parts <= 0.03928, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def test_colours_are_seen_on_white() -> None:
    assert len(set(PALETTE)) == 7
    contrasts = [1.05 / (luminance(colour) + 0.05) for colour in PALETTE]
    assert min(contrasts) > 2
    # Most pictures have two or three models.
    assert min(contrasts[:3]) > 3


def test_a_model_has_its_colour_whatever_the_order() -> None:
    assert model_colours(["b", "a", "b"]) == {"a": PALETTE[0], "b": PALETTE[1]}
    assert model_colours(["a", "b"]) == model_colours(["b", "a"])
    many = model_colours([f"{i:02}" for i in range(9)])
    assert many["07"] == many["00"]


@pytest.mark.parametrize(
    ("ending", "begin"), [(".png", b"\x89PNG"), (".svg", b"<?xml"), (".PDF", b"%PDF")]
)
def test_the_same_figure_is_the_same_file(ending: str, begin: bytes, tmp_path: Path) -> None:
    for name in ("a", "b"):
        save_figure(drawn(), tmp_path / "new" / f"{name}{ending}")
    written = (tmp_path / "new" / f"a{ending}").read_bytes()
    assert written.startswith(begin)
    assert (tmp_path / "new" / f"b{ending}").read_bytes() == written


def test_files_that_cant_be(tmp_path: Path) -> None:
    with pytest.raises(HearError, match=r"plot\.jpg: .* \.png, \.svg or \.pdf"):
        save_figure(drawn(), tmp_path / "plot.jpg")
    with pytest.raises(HearError, match=r"plot\.svg: .* \.png or \.html"):
        check_plot_name(tmp_path / "plot.svg", (".png", ".html"))
    (tmp_path / "file").touch()
    with pytest.raises(HearError, match=r"plot\.png") as refused:
        save_figure(drawn(), tmp_path / "file" / "plot.png")
    assert refused.value.code == "io"


def test_an_svg_for_a_page() -> None:
    element = svg_element(drawn())
    assert element == svg_element(drawn())
    assert "<metadata>" not in element


def test_notebooks_show_figures(tmp_path: Path) -> None:
    figure = drawn()
    (tmp_path / "shown.png").write_bytes(figure._repr_png_())  # type: ignore[attr-defined]
    height, width = imread(tmp_path / "shown.png").shape[:2]
    assert 300 < height < 400
    assert 420 < width < 520


def test_legends_have_all_names_as_they_are() -> None:
    figure = new_figure(4, 3)
    (line,) = figure.add_subplot().plot([0, 1])
    add_legend(figure, [line, line], ["_hidden", "$a"], title="$b$")
    (legend,) = figure.legends
    assert [text.get_text().strip() for text in legend.get_texts()] == ["_hidden", "$a"]
    svg_element(figure)  # where "$a" is a formula, drawing raises an error


def test_scores_of_models() -> None:
    points = [(0.5, 0.4, 0.6), None, (0.7, None, None)]
    figure = draw_scores(["b", "$", "a"], [("task\nscore", points)])
    (axes,) = figure.axes
    colours = model_colours(["a", "b", "$"])
    places = [(np.asarray(line.get_xdata()).tolist(), line.get_color()) for line in axes.lines]
    assert places == [([0.7], colours["a"]), ([0.4, 0.6], colours["b"]), ([0.5], colours["b"])]
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["b", "$", "a"]
    (alone,) = draw_scores(["m"], [("task", [(0.5, 0.4, 0.6)])]).axes
    assert alone.get_title(loc="left") == "m"


def test_matplotlib_is_loaded_late() -> None:
    pictures = ("comparison_plot", "curve_plot", "event_plot", "score_plot", "task_plot")
    modules = ", ".join(f"hearbench.views.{name}" for name in pictures)
    code = f"import sys, {modules}\nsys.exit('matplotlib' in sys.modules)\n"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
