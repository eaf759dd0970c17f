from __future__ import annotations

import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from helpers_views import LABELS, event, write_event_result

from hearbench.errors import HearError, UnknownNameError
from hearbench.views.event_plot import COLOURS, EventPlot, plot_events


def pixels(path: Path) -> npt.NDArray[np.uint8]:
    """(height, width, 3)."""
    assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    from matplotlib.image import imread

    values: npt.NDArray[Any] = imread(path)[..., :3]
    image: npt.NDArray[np.uint8] = (values * 255).round().astype(np.uint8)
    return image


def count_of(image: npt.NDArray[np.uint8], colour: str) -> int:
    wanted = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    return int((image == wanted).all(axis=-1).sum())


def lanes(plot: EventPlot) -> list[str]:
    return [plot.labels[lane] for lane in plot.lanes]


def test_png(tmp_path: Path) -> None:
    out = tmp_path / "new" / "a.png"
    plot = plot_events(write_event_result(tmp_path), "a.wav", out)
    assert plot.counts == {"matched": 2, "missed": 2, "spurious": 2}
    assert lanes(plot) == ["bird", "cat", "dog"]
    assert (plot.start_s, plot.end_s) == (0.0, 5.95)
    assert plot.probabilities.shape == (120, 3)
    assert plot.notes == ()
    assert plot.score_line() == (
        "event_onset_200ms_fms of this clip (onsets within 200 ms): "
        "F-measure 0.500, precision 0.500, recall 0.500"
    )
    image = pixels(out)
    assert image.shape[1] == 1440
    assert 300 < image.shape[0] < 700
    # Four boxes and the legend's; the hatched ones show less of their colour.
    assert count_of(image, COLOURS["matched"]) > 10_000
    assert count_of(image, COLOURS["missed"]) > 500
    assert count_of(image, COLOURS["spurious"]) > 500
    # A probability of 0.9 is darker than one of 0.1.
    assert count_of(image, "#F4F4F4") > 50_000
    assert count_of(image, "#999999") > 1_000


def test_only_what_is_there_has_its_colour(tmp_path: Path) -> None:
    lists = {"a.wav": [event("dog", 1000.0, 2000.0)]}
    out = tmp_path / "a.png"
    plot_events(write_event_result(tmp_path, lists, lists), "a.wav", out)
    image = pixels(out)
    blue = (image == [0x00, 0x72, 0xB2]).all(axis=-1)
    # The reference's box and the prediction's, one above the other, between the same columns.
    rows, columns = np.nonzero(blue[: image.shape[0] // 2])
    assert len(np.unique(rows)) > 30
    axis = 1440 * 0.93
    assert np.ptp(columns) == pytest.approx(axis / 5.95, rel=0.05)
    # All that is left of the other colours is the legend.
    upper = image[: image.shape[0] // 2]
    assert count_of(upper, COLOURS["missed"]) == 0
    assert count_of(upper, COLOURS["spurious"]) == 0


def test_labels_and_times(tmp_path: Path) -> None:
    folder = write_event_result(tmp_path)
    plot = plot_events(
        folder, "a.wav", tmp_path / "a.png", labels=["owl", "dog"], start_s=1.2, end_s=3.0
    )
    assert lanes(plot) == ["dog", "owl"]
    # The first dog goes on until 1.55 s; its status is that of the whole clip.
    assert plot.counts == {"matched": 1, "missed": 1, "spurious": 0}
    assert plot.timestamps_ms[[0, -1]].tolist() == [1200.0, 3000.0]
    assert plot.notes == (
        "Only the labels that were asked for are drawn.",
        "Only 1.2 to 3 s of 5.950 s are drawn.",
    )
    assert plot.comparison.parts["f_measure"] == 0.5


def test_too_many_labels(tmp_path: Path) -> None:
    labels = [f"{i:02d}" for i in range(60)]
    events = [event(label, 100.0 * int(label), 100.0 * int(label) + 50) for label in labels]
    events += [event(label, 5000.0, 5050.0) for label in labels[30:]]
    lists = {"a.wav": events}
    plot = plot_events(
        write_event_result(tmp_path, lists, lists, labels), "a.wav", tmp_path / "a.png"
    )
    # Numbers, the highest on top: those with two events, and the first others.
    assert lanes(plot) == [*reversed(labels[30:]), *reversed(labels[:10])]
    assert plot.counts["matched"] == 70
    assert "40 of 60 labels are drawn" in plot.notes[0]


def test_a_clip_without_events_shows_the_likeliest_labels(tmp_path: Path) -> None:
    folder = write_event_result(tmp_path, {"a.wav": []}, {})
    array = np.tile(np.array([0.1, 0.4, 0.2, 0.3], dtype=np.float32), (120, 1))
    np.save(folder / "predictions/test.npy", array)
    plot = plot_events(folder, "a.wav", tmp_path / "a.png")
    assert lanes(plot) == LABELS
    assert "No event here" in plot.notes[0]
    assert "F-measure undefined" in plot.score_line()


@pytest.mark.parametrize("n_frames", [0, 1, 5000])
def test_frames_of_any_number(tmp_path: Path, n_frames: int) -> None:
    lists = {"a.wav": [event("dog", 1000.0, 2000.0)]}
    folder = write_event_result(tmp_path, lists, lists)
    place = folder / "predictions"
    np.save(place / "test.npy", np.full((n_frames, 4), 0.5, dtype=np.float32))
    np.save(place / "test.timestamps.npy", np.arange(n_frames) * 2.0)
    np.save(place / "test.bounds.npy", np.array([0, n_frames]))
    out = tmp_path / "a.png"
    plot = plot_events(folder, "a.wav", out)
    assert plot.counts["matched"] == 1
    assert plot.end_s == max(2.0, (n_frames - 1) * 0.002)
    assert count_of(pixels(out), COLOURS["matched"]) > 1_000


def test_undefined_probabilities(tmp_path: Path) -> None:
    folder = write_event_result(tmp_path, estimate={})
    result = json.loads((folder / "result.json").read_text())
    result["folds"][0] |= {"test_loss": None, "validation_score": None}
    (folder / "result.json").write_text(json.dumps(result))
    np.save(folder / "predictions/test.npy", np.full((240, 4), np.nan, dtype=np.float32))
    plot = plot_events(folder, "a.wav", tmp_path / "a.png")
    assert plot.counts == {"matched": 0, "missed": 4, "spurious": 0}
    assert plot.notes == ("Probabilities are undefined: no probe could be chosen.",)
    plot_events(folder, "b.wav", tmp_path / "b.png")


def test_the_error_rate_is_shown_beside_matches(tmp_path: Path) -> None:
    folder = write_event_result(tmp_path, primary_score="segment_1s_er")
    line = plot_events(folder, "a.wav", tmp_path / "a.png").score_line()
    # Per second, reference (dog 1, 2; cat 3; bird 5) and prediction (dog 1, 4; cat 2, 3, 4):
    # second 2 is a substitution, 4 two insertions, 5 a deletion; 4 of 4.
    assert line.startswith("segment_1s_er of this clip: 1.000; by onsets within 200 ms: F-measure")


class Page(HTMLParser):
    """Cells of the table, tags, and all text that is seen."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.rows: list[list[str]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "tr":
            self.rows.append([])
        if tag in ("th", "td"):
            self.rows[-1].append("")
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if self._open and tag == self._open[-1]:
            self._open.pop()

    def handle_data(self, data: str) -> None:
        self.text += data
        if self._open:
            self.rows[-1][-1] += data


def test_html(tmp_path: Path) -> None:
    out = tmp_path / "a.html"
    plot_events(write_event_result(tmp_path), "a.wav", out)
    text = out.read_text(encoding="utf-8")
    page = Page(text)
    assert page.rows == [
        [
            "status",
            "label",
            "reference start (s)",
            "reference end (s)",
            "predicted start (s)",
            "predicted end (s)",
            "onset difference (ms)",
            "offset difference (ms)",
        ],
        ["matched", "dog", "1.000", "1.500", "1.100", "1.550", "+100.0", "+50.0"],
        ["missed", "dog", "2.000", "2.600", "–", "–", "–", "–"],
        ["matched", "cat", "3.000", "3.700", "2.850", "3.650", "-150.0", "-50.0"],
        ["spurious", "dog", "–", "–", "4.000", "4.500", "–", "–"],
        ["spurious", "cat", "–", "–", "4.100", "4.100", "–", "–"],
        ["missed", "bird", "5.000", "5.500", "–", "–", "–", "–"],
    ]
    assert "2 events matched, 2 missed" in page.text
    assert "F-measure 0.500, precision 0.500, recall 0.500" in page.text
    (svg,) = (attributes for tag, attributes in page.tags if tag == "svg")
    assert svg["role"] == "img"
    assert "a.wav from 0 to 5.95 s. 2 events matched" in str(svg["aria-label"])
    assert svg["viewbox"]
    scopes = [attributes.get("scope") for tag, attributes in page.tags if tag == "th"]
    assert scopes == ["col"] * 8 + ["row"] * 6
    assert ("html", {"lang": "en"}) in page.tags


def addresses(page: Page) -> Iterator[str]:
    for _, attributes in page.tags:
        for name in ("src", "href", "xlink:href", "srcset", "data", "action"):
            if name in attributes:
                yield str(attributes[name])


def test_html_loads_nothing_and_escapes_names(tmp_path: Path) -> None:
    clip = "<script>alert(1)</script>--><b>$x_1$&.wav"
    label = "<img src=x onerror=alert(2)> & 'dog' \" -->"
    lists = {clip: [event(label, 1000.0, 1500.0)]}
    out = tmp_path / "a.html"
    plot_events(write_event_result(tmp_path, lists, lists, [label, "b"]), clip, out)
    text = out.read_text(encoding="utf-8")
    page = Page(text)
    assert not {"script", "img", "b", "link", "iframe"} & {tag for tag, _ in page.tags}
    assert not any(
        name.startswith("on") for _, attributes in page.tags for name in attributes or {}
    )
    assert clip in page.text
    assert page.rows[1][1] == label
    assert all(address.startswith(("#", "data:")) for address in addresses(page))
    assert not re.search(r"https?:|@import|url\((?!#)", text)
    # The same in the picture, where a dollar sign would begin a formula.
    plot_events(tmp_path, clip, tmp_path / "a.png")


def test_refusals(tmp_path: Path) -> None:
    folder = write_event_result(tmp_path)
    with pytest.raises(HearError, match=r"a\.pdf: plots are written as \.png or \.html"):
        plot_events(folder, "a.wav", tmp_path / "a.pdf")
    with pytest.raises(UnknownNameError, match=r"no label 'bord'\. Did you mean 'bird'"):
        plot_events(folder, "a.wav", tmp_path / "a.png", labels=["dog", "bord"])
    for start, end in ((3.0, 2.0), (-1.0, 2.0), (float("nan"), None), (6.0, 9.0), (7.0, None)):
        with pytest.raises(HearError, match=r"is no stretch of the clip 'a\.wav', which is 5\.950"):
            plot_events(folder, "a.wav", tmp_path / "a.png", start_s=start, end_s=end)
    (tmp_path / "file").write_text("")
    with pytest.raises(HearError, match=r"can't be written"):
        plot_events(folder, "a.wav", tmp_path / "file" / "a.png")
    assert not (tmp_path / "a.png").exists()


def test_pyplot_is_not_touched(tmp_path: Path) -> None:
    import subprocess
    import sys

    folder = write_event_result(tmp_path)
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from hearbench.views.event_plot import plot_events\n"
        "assert 'matplotlib' not in sys.modules\n"
        f"plot_events(Path({str(folder)!r}), 'a.wav', Path({str(tmp_path / 'a.html')!r}))\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
