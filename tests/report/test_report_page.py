from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import pytest
from helpers_leaderboard import made_up_predictions

from hearbench.report.page import report_page
from hearbench.report.summary import RunReport, summarise
from hearbench.results import Result, StageRecord, score

HOSTILE = '<img src="https://x.example/a" onerror=alert(1)>'


class Reader(HTMLParser):
    """Tags with attributes, text, and whether every tag is closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    assert reader.open == []
    return reader


def with_stages(task: str, *stages: StageRecord, notes: tuple[str, ...] = ()) -> Result:
    result = score(made_up_predictions(task))
    took = result.resources.model_copy(update={"stages": stages})
    return result.model_copy(update={"resources": took, "notes": notes})


@pytest.fixture
def report() -> RunReport:
    one = with_stages(
        "esc50-v2.0.0-full",
        StageRecord(stage="embedding", seconds=1.0, throughput=40.0, unit="seconds of audio"),
        StageRecord(stage="probe", part=HOSTILE, seconds=3.0, unit="training clips"),
        notes=(HOSTILE,),
    )
    other = with_stages(
        "dcase2016_task2-hear2021-full",
        StageRecord(
            stage="embedding",
            seconds=2.0,
            unit="seconds of audio",
            peak_memory_mb=512.0,
            peak_device_memory_mb=2048.0,
            device_utilisation=0.875,
        ),
        StageRecord(stage=HOSTILE, seconds=2.0, unit=HOSTILE, throughput=1.0),
    )
    model = other.model.model_copy(update={"name": HOSTILE, "digest": "9" * 64})
    return summarise([(Path("a"), one), (Path(HOSTILE), other.model_copy(update={"model": model}))])


def test_bars_are_as_wide_as_the_time(report: RunReport) -> None:
    widths = [
        (attributes["class"], attributes["style"])
        for tag, attributes in read(report_page(report)).tags
        if tag == "span" and "style" in attributes
    ]
    # Over all: 3 s of embedding and 3 s of probes.
    assert widths[:2] == [("embedding", "width:50.000%"), ("probe", "width:50.000%")]
    # One result of 4 s, the longest; another of 2 s in a known stage.
    assert widths[2:5] == [
        ("embedding", "width:25.000%"),
        ("probe", "width:75.000%"),
        ("embedding", "width:50.000%"),
    ]
    # Their stages, by the longest of each.
    assert widths[5:] == [
        ("embedding", "width:33.333%"),
        ("probe", "width:100.000%"),
        ("embedding", "width:100.000%"),
        ("other", "width:100.000%"),
    ]


def test_it_loads_nothing_and_runs_nothing(report: RunReport) -> None:
    page = read(report_page(report))
    names = {tag for tag, _ in page.tags}
    assert not names & {"script", "img", "link", "iframe", "object"}
    assert not [a for _, attributes in page.tags for a in attributes if a in ("src", "href")]
    assert not [a for _, attributes in page.tags for a in attributes if a.startswith("on")]
    assert "url(" not in report_page(report)
    # As text it is there: a model, its folder, a test split, a note, a stage.
    assert page.text.count(HOSTILE) >= 5


def test_figures_stand_in_it(report: RunReport) -> None:
    text = read(report_page(report)).text
    for expected in ("40.0 x real time", "2 GiB", "88 %", "512 MiB", "hearbench", "numpy"):
        assert expected in text
    assert "GPU busy" in text
    without = summarise([(Path("a"), score(made_up_predictions("esc50-v2.0.0-full")))])
    assert "GPU busy" not in report_page(without)
