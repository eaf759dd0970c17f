"""Texts of others on pages and in plots: they are shown, and nothing of them comes to life."""

from __future__ import annotations

import json
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from helpers_fuzz import bounded, fuzzed, mutated_json, mutated_value, value_or_error, written
from helpers_leaderboard import made_up_predictions, write_made_up_result
from hypothesis import given
from hypothesis import strategies as st

from hearbench.errors import HearError
from hearbench.leaderboard.official import official_table
from hearbench.leaderboard.share import share
from hearbench.leaderboard.site import OwnResult, build_site
from hearbench.report.page import report_page
from hearbench.report.summary import RunReport, report_of, summarise
from hearbench.results import Result, score

ESC50 = "esc50-v2.0.0-full"
HOSTILE = "</title></td><script>alert(1)</script><img src=x onerror=alert(1)>\" ' onload=alert(1) $"
# All that a report is made of; neither script nor image is among it.
_TAGS = {
    *("html", "head", "meta", "title", "style", "body", "main", "h1", "h2", "div", "span", "p"),
    *("dl", "dt", "dd", "ul", "li", "table", "thead", "tbody", "tr", "th", "td"),
    *("small", "details", "summary", "code"),
}
_ATTRIBUTES = {"lang", "charset", "name", "content", "class", "style", "role", "aria-label"}


class _Tags(HTMLParser):
    """The tags and attributes of a page, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.attributes: set[str] = set()
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def result() -> dict[str, Any]:
    made = score(made_up_predictions(ESC50)).model_dump(mode="json")
    stage = {"stage": "embedding", "part": "fold00", "seconds": 1.5, "unit": "s", "throughput": 3.0}
    made["resources"]["stages"] = [stage, {**stage, "stage": "probe"}]
    return made


def _with_every_text(value: Any, text: str) -> Any:
    """A value of JSON in which every text is another; those that choose among a few stay."""
    if isinstance(value, dict):
        kept = {"kind", "prediction_type", "dtype", "primary_score"}
        return {
            key: item if key in kept else _with_every_text(item, text)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [_with_every_text(item, text) for item in value]
    return text if isinstance(value, str) and not value.endswith("Infinity") else value


def test_a_report_shows_hostile_texts(result: dict[str, Any]) -> None:
    changed = _with_every_text({**result, "protocol": {}, "grid": []}, HOSTILE)
    changed |= {"protocol": result["protocol"], "grid": result["grid"]}
    read = Result.model_validate_json(json.dumps(changed))
    found = _Tags(report_page(summarise([(Path("/x/<b>&"), read)]), title=HOSTILE))
    assert set(found.tags) <= _TAGS
    assert found.attributes <= _ATTRIBUTES
    assert found.text.count("<script>alert(1)</script>") > 5
    plain = _Tags(
        report_page(summarise([(Path("/x"), Result.model_validate_json(written(result)))]))
    )
    assert set(plain.tags) <= set(found.tags)


@fuzzed
@given(data=st.data())
def test_reports_of_edited_results(
    tmp_path_factory: pytest.TempPathFactory, result: dict[str, Any], data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("report")
    (folder / "result.json").write_bytes(data.draw(mutated_json(result)))
    report = value_or_error(lambda: report_of([folder]))
    if isinstance(report, RunReport):
        with bounded():
            found = _Tags(report_page(report))
        assert set(found.tags) <= _TAGS
        assert found.attributes <= _ATTRIBUTES


@fuzzed
@given(data=st.data())
def test_forms_for_others(result: dict[str, Any], data: st.DataObject) -> None:
    changed = written(data.draw(mutated_value(result)))
    try:
        read = Result.model_validate_json(changed)
    except ValueError:
        return
    for form in ("markdown", "latex"):
        shared = value_or_error(lambda form=form: share([read], form))  # type: ignore[misc]
        if not isinstance(shared, HearError):
            assert b"<script>" not in shared


@pytest.mark.real
def test_a_site_of_a_hostile_result(tmp_path: Path) -> None:
    pytest.importorskip("plotly")
    pytest.importorskip("jinja2")
    write_made_up_result(tmp_path, ESC50, model=HOSTILE[8:40])
    read = Result.read(next(tmp_path.rglob("result.json")))
    changed = read.model_copy(update={"notes": (HOSTILE,), "device": HOSTILE})
    pages = build_site(official_table(), tmp_path / "site", own=[OwnResult(changed)])
    for page in pages:
        assert tmp_path / "site" in page.parents
        if page.suffix == ".html":
            text = page.read_text(encoding="utf-8")
            assert "<script>alert" not in text
            assert "<img src=x" not in text
