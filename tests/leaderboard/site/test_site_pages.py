"""What stands on the pages, by their HTML alone."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections import Counter
from dataclasses import dataclass, field, replace
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from hearbench.errors import ResultError
from hearbench.leaderboard.official import official_table
from hearbench.leaderboard.site import OwnResult, PaperFigures, build_site
from hearbench.leaderboard.site.plots import digits
from hearbench.leaderboard.standings import standings
from hearbench.leaderboard.table import Row, Table
from hearbench.results import Result, find_conditions

HOSTILE = "<img src=x onerror=alert(1)>"
OTHER_TASK = "esc50-v2.0.0-small"
ASSETS = ("plotly.min.js", "theme.js", "table.js", "aggregates.js", "compare.js", "plots.js")


@dataclass
class Page(HTMLParser):
    """The elements of a page with their attributes, its text, and the text of its tables."""

    text: str
    elements: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    words: str = ""
    rows: list[list[str]] = field(default_factory=list)
    in_table: bool = False

    def __post_init__(self) -> None:
        super().__init__()
        self.feed(self.text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag == "tr":
            self.rows.append([])
            self.in_table = True
        elif tag in ("th", "td"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        self.in_table = self.in_table and tag != "table"

    def handle_data(self, data: str) -> None:
        self.words += f" {data}"
        if self.in_table and self.rows[-1]:
            self.rows[-1][-1] = f"{self.rows[-1][-1]} {data.strip()}".strip()

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def row(self, first: str) -> list[str]:
        return next(row for row in self.rows if first in row[:2])


@cache
def page(path: Path) -> Page:
    return Page(path.read_text(encoding="utf-8"))


def pages(site: Path) -> dict[Path, Page]:
    return {path: page(path) for path in sorted(site.rglob("*.html"))}


def test_the_literature_is_linked_marked_and_not_ranked(site: Path) -> None:
    found = page(site / "literature.html")
    assert "not ranked" in found.words
    links = {link["href"] for link in found.all("a")}
    assert {"https://arxiv.org/abs/2509.23238", "https://arxiv.org/abs/2602.03307"} <= links
    assert "arXiv:2602.03307 , Table 6" in found.words
    row = found.row("MW-MAE-B-4x16-4l (paper)")
    assert row[1:4] == ["0.960 ± 0.005", "0.731 ± 0.003", "0.812 ± 0.004"]
    assert found.row("LAION-CLAP-fusion").count("– none") == 1
    # None of its models is among those that are ranked.
    for other in ("index.html", "aggregates.html", "compare.html"):
        assert "WavJEPA" not in page(site / other).text


def test_what_is_there(site: Path, table: Table) -> None:
    assert len(pages(site)) == 7 + len(table) + 19
    assert {path.name for path in (site / "assets").iterdir()} == {*ASSETS, "site.css"}


def test_every_page_forbids_what_it_does_not_need(site: Path) -> None:
    for path, read in pages(site).items():
        policy = next(
            meta["content"]
            for meta in read.all("meta")
            if meta.get("http-equiv") == "Content-Security-Policy"
        )
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
        # plotly makes style elements.
        assert ("unsafe" in policy) == (path.name in {"plots.html", "mine.html"}), path
        assert "http" not in policy


def test_pages_run_no_script_and_follow_no_address_of_their_content(site: Path) -> None:
    for path, read in pages(site).items():
        for name, attributes in read.elements:
            assert not [key for key in attributes if key.startswith("on")], (path, name)
            assert name not in {"img", "iframe", "object", "embed", "base", "style"}, path
        for script in read.all("script"):
            local = script.get("src", "").removeprefix("../").removeprefix("assets/")
            assert local in ASSETS or script == {"type": "application/json", "id": "data"}, path
        for link in read.all("a"):
            parts = urlsplit(link["href"])
            assert parts.scheme in ("", "http", "https"), (path, link)
            if parts.scheme:
                assert link["rel"] == "external noopener noreferrer"


def test_every_way_leads_somewhere(site: Path) -> None:
    for path, read in pages(site).items():
        ids = Counter(attributes["id"] for _, attributes in read.elements if "id" in attributes)
        assert set(ids.values()) <= {1}, path
        for attribute in ("href", "src"):
            for name, attributes in read.elements:
                target = attributes.get(attribute, "")
                if not target or urlsplit(target).scheme:
                    continue
                place, _, fragment = target.partition("#")
                there = (path.parent / place).resolve() if place else path
                assert there.is_file(), (path, name, target)
                if fragment and "=" not in fragment:
                    assert fragment in ids, (path, target)
        for _, attributes in read.elements:
            for word in attributes.get("aria-labelledby", "").split():
                assert word in ids, (path, word)


def test_tables_are_named_and_their_heads_are_heads(site: Path) -> None:
    for path, read in pages(site).items():
        tags = Counter(name for name, _ in read.elements)
        assert tags["caption"] == tags["table"], path
        assert all(head.get("scope") in ("col", "row") for head in read.all("th")), path
        assert tags["h1"] == tags["main"] == 1, path


def test_default_order_and_digits(site: Path) -> None:
    rows = page(site / "index.html").rows
    head, first = rows[0], rows[1]
    assert head[:2] == ["Model", "Beehive"]
    assert head[-2:] == ["Submitted", "Sum"]
    # Summed in the official CSV with awk, missing scores as 0.
    assert (first[0], first[-2], first[-1]) == ("RedRice ced_base", "2023-09-26", "14.06")
    assert first[head.index("Maestro 5h")] == "0.1476"
    assert next(row for row in rows if row[0] == "GURA Fuse Cat H+w+C")[1] == "– none"
    sums = [float(row[-1]) for row in rows[1:]]
    assert sums == sorted(sums, reverse=True)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.000334928, "0.0003349"), (0.279500005, "0.2795"), (1.0, "1.000"), (0.0, "0.000"),
        (0.99999, "1.000"), (0.5, "0.5000"), (1234.4, "1234"), (None, ""),
    ],
)  # fmt: skip
def test_four_significant_digits(value: float | None, shown: str) -> None:
    assert digits(value) == shown


def test_a_model(site: Path) -> None:
    read = page(site / "models/redrice-ced-base.html")
    assert "Submitted 2023-09-26" in " ".join(read.words.split())
    assert "19 of 19 tasks" in read.words
    # ESC-50: the best of all 36 with a score.
    assert read.row("ESC-50") == ["ESC-50", "0.9665", "", "1 of 36", "best"]
    (bar, *_) = (a for a in read.all("rect") if a["class"] == "fill")
    # CREMA-D, the first of speech: 0.691 of a bar that is 240 wide.
    assert float(bar["width"]) == pytest.approx(240 * 0.691, abs=0.1)
    assert 'href="https://github.com/' in read.text


def fingerprint(name: str) -> str:
    return find_conditions(name).fingerprint


def test_own_model(site: Path) -> None:
    read = page(site / "models/mine.html")
    # 16 of 20 clips on each fold.
    assert read.row("ESC-50")[:2] == ["ESC-50", "0.8000 ± 0.0000"]
    # Counted in the official CSV: 12 models are better.
    assert read.row("ESC-50")[3:] == ["13 of 36", "−0.1665"]
    assert read.row("Beehive")[1:] == ["– none", "", "– none", "– none"]
    beside = [row for row in read.rows if row[0] == "esc50-v2.0.0-small"]
    assert beside[0][1:] == ["top1_acc", "train: 0.8000, valid: 0.8000, test: 0.8000"]
    assert beside[1][1:] == ["top1_acc", "0.8000 ± 0.0000", "hear2021 (4d0612ca1b)"]
    times = [row for row in read.rows if row[:2] == ["tfds_gtzan-1.0.0-full", "10.0 s"]]
    assert times == [
        ["tfds_gtzan-1.0.0-full", "10.0 s", "1.0 s", "10×", "– none", "10.0 s", times[0][-1]]
    ]
    assert (
        "hearbench evaluate mine \\\n    --task esc50-v2.0.0-full \\\n"
        "    --task esc50-v2.0.0-small \\\n    --task tfds_gtzan-1.0.0-full \\\n"
        "    --protocol hear2021 --seed 42 --precision float32 --out results" in read.words
    )


def test_an_interval_takes_the_place_of_the_deviation(site: Path) -> None:
    for path in ("models/mine.html", "tasks/gtzan-genre.html"):
        read = page(site / path)
        (row,) = (row for row in read.rows if "0.8000 0.610 to 0.930" in row)
        assert row[1 if path.startswith("tasks") else 0] in ("mine yours", "GTZAN Genre")
        words = " ".join(read.words.split())
        assert "the ends of the 95 % interval of a score over test clips and seeds" in words
        # Of a bar that is 240 wide.
        assert "M146.4 8H223.2M146.4 5V11M223.2 5V11" in read.text
    assert "± is the standard deviation over the folds" in page(site / "models/mine.html").words
    assert "±" not in page(site / "tasks/gtzan-genre.html").words


def test_aggregates_without_scripts(site: Path, table: Table) -> None:
    read = page(site / "aggregates.html")
    found = standings(table)
    names = [item.aggregate.name for item in found.by_aggregate]
    assert read.rows[0][:7] == ["Model", "Scores", *names]
    assert len(read.rows[0]) == 2 + 5 * len(names)
    first = read.row("RedRice ced_base")
    at = found.models.index("RedRice ced_base")
    for cell, item in zip(first[2:], found.by_aggregate, strict=False):
        value, rank, interval = cell.split()
        assert float(value) == pytest.approx(item.values[at], abs=0.0051)
        assert int(rank) == item.ranks[at]
        ends = {f"{ranks[at]:.0f}": None for ranks in item.interval}
        assert interval == f"({'–'.join(ends)})"
    # Two scores are too few for all but those that count the others as the worst.
    mine = read.row("mine yours")[1:7]
    given = [name for name, cell in zip(names, mine[1:], strict=True) if cell != "– none"]
    assert (mine[0], given) == ("2", ["sum"])
    words = " ".join(read.words.split())
    assert "The benchmark has no overall score, and none of these is it." in words
    for item in found.by_aggregate:
        assert f"{item.aggregate.name}: {item.aggregate.title}" in words
        assert f"about-{item.aggregate.name}" in read.text
    assert "order of the aggregate <em>sum</em>" in page(site / "index.html").text


def test_a_task_and_ones_own_place(site: Path) -> None:
    read = page(site / "tasks/esc-50.html")
    words = " ".join(read.words.split())
    assert "Your mine is number 13 of 36 models, 0.1665 below the best, with 0.8000." in words
    assert "CC BY-NC" in words
    assert "Clips 2,000 Hours 2.8 Folds 5" in words
    assert "hearbench evaluate MODEL --task esc50-v2.0.0-full" in words
    ranks = [(row[0], row[1]) for row in read.rows[1:]]
    assert ranks[:4] == [
        ("1", "RedRice ced_base"), ("2", "CP-JKU mn40_as (e1+l+all_se)"),
        ("3", "RedRice ced_small"), ("4", "RedRice ced_mini"),
    ]  # fmt: skip
    # Three models have the same score, and share the rank.
    assert [rank for rank, _ in ranks[4:8]] == ["5", "5", "5", "8"]
    beehive = " ".join(page(site / "tasks/beehive.html").words.split())
    assert "the score is the mean of the 2 tasks" in beehive
    assert "models have no score here" in beehive


def test_names_and_addresses_of_a_submission_are_text(site: Path) -> None:
    read = page(site / "models/img-src-x-onerror-alert-1.html")
    assert HOSTILE in read.words
    assert "javascript:alert(1) (not an address of the web)" in " ".join(read.words.split())
    for path in pages(site):
        assert HOSTILE not in path.read_text(encoding="utf-8")


def test_text_can_be_read_in_both_themes(site: Path) -> None:
    style = (site / "assets/site.css").read_text()
    themes = [
        dict(re.findall(r"(--[\w-]+): #(\w{6});", block))
        for block in re.findall(r":root[^{]*\{([^}]*)\}", style)
    ]
    # Dark by choice and dark by the system are the same.
    light, dark, also_dark = themes
    assert dark == also_dark
    assert light.keys() == dark.keys()
    for theme in (light, dark):
        for text, behind in (
            *(("--text", name) for name in ("--page", "--raised", "--own", "--low", "--high")),
            *(("--text", name) for name in ("--middle",)),
            *(("--quiet", name) for name in ("--page", "--raised", "--own")),
            *(("--link", name) for name in ("--page", "--raised", "--own")),
        ):
            assert contrast(theme[text], theme[behind]) >= 4.5, (text, behind)
        for mark in ("--accent", "--own-line", "--quiet", "--series-1", "--series-2", "--series-3"):
            assert contrast(theme[mark], theme["--page"]) >= 3, mark


def contrast(one: str, other: str) -> float:
    """As the Web Content Accessibility Guidelines 2 define it."""

    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (0, 2, 4)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_a_name_cannot_leave_the_data_of_a_script(tmp_path: Path, figures: PaperFigures) -> None:
    name = "</script><script>alert(1)</script>"
    own = Row(name, 'https://x.org/"><script>alert(1)</script>', "\"'><b>", (0.5,) * 19)
    table = official_table().with_row(own)
    build_site(table, tmp_path / "site", figures=replace(figures, left_out=(name,)))
    for path in (tmp_path / "site").rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        assert "<script>alert" not in text
        assert "<b>" not in text
    data = re.search(r'id="data">(.*)</script>', (tmp_path / "site/compare.html").read_text())
    assert data
    models = json.loads(data[1])["models"]
    assert [model["slug"] for model in models if model["name"] == name] == [
        "script-script-alert-1-script"
    ]


def test_folders_of_a_disk_are_not_published(
    tmp_path: Path, table: Table, results: list[Result], figures: PaperFigures
) -> None:
    update = {"spec": "/home/s0mebody/private/my_model.py:wide", "options": {"big": True}}
    update["weights"] = "C:\\Users\\s0mebody\\epoch 9.pt"
    own = [r.model_copy(update={"model": r.model.model_copy(update=update)}) for r in results]
    build_site(table, tmp_path / "site", own=list(map(OwnResult, own)), figures=figures)
    text = page(tmp_path / "site/models/mine.html").words
    assert "hearbench evaluate my_model.py:wide --weights 'epoch 9.pt' --option big=true" in text
    for path in (tmp_path / "site").rglob("*.html"):
        assert "s0mebody" not in path.read_text(encoding="utf-8")


def test_the_same_gives_the_same_bytes(
    tmp_path: Path, table: Table, results: list[Result], figures: PaperFigures
) -> None:
    day = dt.date(2026, 1, 2)
    folders = [tmp_path / "a", tmp_path / "b"]
    for out, order in zip(folders, (results, results[::-1]), strict=True):
        build_site(table, out, own=list(map(OwnResult, order)), figures=figures, generated=day)
    first, second = (
        {path.relative_to(out): path.read_bytes() for path in out.rglob("*") if path.is_file()}
        for out in folders
    )
    assert first == second
    assert b"<time>2026-01-02</time>" in first[Path("index.html")]


def test_results_that_contradict_each_other_are_refused(
    tmp_path: Path, table: Table, results: list[Result]
) -> None:
    with pytest.raises(ResultError, match=r"two results of mine on esc50-v2\.0\.0-full"):
        build_site(table, tmp_path / "site", own=list(map(OwnResult, [*results, results[0]])))
    other = results[1].model_copy(
        update={"model": results[1].model.model_copy(update={"digest": "f" * 64})}
    )
    with pytest.raises(ResultError, match="under the name mine are of different models"):
        build_site(table, tmp_path / "site", own=[OwnResult(results[0]), OwnResult(other)])
    assert not (tmp_path / "site").exists()


def test_a_small_table_of_other_columns(tmp_path: Path, results: list[Result]) -> None:
    table = Table(("mine own",), (Row("a", "", "", (0.25,)), Row("b", "", "", (None,))))
    build_site(table, tmp_path / "site", own=list(map(OwnResult, results[2:])))
    assert "Other" in page(tmp_path / "site/tasks.html").words
    assert "The table is too small" in page(tmp_path / "site/plots.html").words
    # A model without any score in the table has its page all the same.
    assert "0 of 1 tasks" in page(tmp_path / "site/models/mine.html").words


def test_layers_are_on_the_model_s_page(site: Path) -> None:
    read = page(site / "models/mine.html")
    assert f"and weights of layers on {OTHER_TASK}" not in read.text
    assert f'aria-label="top1_acc by layer on {OTHER_TASK}.' in read.text
    layers = [row for row in read.rows if row[0] in {"Layer", "2", "4", "7"}]
    assert layers[0] == ["Layer", "Validation", "top1_acc", "Chosen", "Weight"]
    # Of 20 clips 1, 4 and 10 are wrong; validation was best for layer 4.
    assert [row[2].partition(" (")[0] for row in layers[1:]] == ["0.950", "0.800", "0.500"]
    assert [(row[1], row[3], row[4]) for row in layers[1:]] == [
        ("0.500", "", "0.250"),
        ("0.900", "by validation", "0.600"),
        ("0.700", "", "0.150"),
    ]
    assert read.row("best by validation")[2].startswith("0.800 (")
    assert read.row("weighted sum")[2].startswith("0.900 (")
    # The task has a result of one layer as well, which is the one that counts.
    protocols = [row[3] for row in read.rows if row[0] == OTHER_TASK and len(row) == 4]
    assert protocols == [
        "hear2021 (4d0612ca1b)",
        f"layers with 3 of 8 grid points ({fingerprint('layers[first=3]')})",
        f"weighted with 3 of 8 grid points ({fingerprint('weighted[first=3]')})",
    ]
    drawn = json.loads(re.findall(r'id="data">(.*?)</script>', read.text)[0])
    assert list(drawn) == ["layers-0"]
    assert '"../assets/plots.js"' in read.text
    assert '"../assets/plots.js"' not in page(site / "models/openl3.html").text
