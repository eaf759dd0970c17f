"""The site in a real browser: Debian's Chromium, without a window and without a server."""

from __future__ import annotations

import contextlib
import csv
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("selenium", reason="no browser test without selenium")
from selenium import webdriver
from selenium.common.exceptions import NoAlertPresentException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select, WebDriverWait

if TYPE_CHECKING:
    from selenium.webdriver.remote.webelement import WebElement

HOSTILE = "<img src=x onerror=alert(1)>"
HOSTILE_PAGE = "models/img-src-x-onerror-alert-1.html"
PAGES = (
    "index.html", "tasks.html", "aggregates.html", "compare.html#models=mine,openl3", "plots.html",
    "literature.html", "about.html", "models/mine.html", "tasks/esc-50.html", HOSTILE_PAGE,
)  # fmt: skip
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage", "--force-prefers-reduced-motion", "--window-size=1280,900",
)  # fmt: skip


class Browser:
    """A driver with what the tests ask of it."""

    def __init__(self, driver: webdriver.Chrome, site: Path) -> None:
        self.driver = driver
        self.site = site

    def open(self, page: str) -> None:
        # A changed fragment alone would not load the page again.
        self.driver.get("about:blank")
        self.driver.get(f"{self.site.as_uri()}/{page}")

    def one(self, selector: str) -> WebElement:
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector: str) -> list[WebElement]:
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def run(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(script, *arguments)

    def choose(self, selector: str, text: str) -> None:
        Select(self.one(selector)).select_by_visible_text(text)

    def rows(self) -> list[list[str]]:
        """The rows of the table that can be seen, cell by cell."""
        found: list[list[str]] = self.run(
            "return [...document.querySelectorAll('#models tbody tr')].filter(r => !r.hidden)"
            ".map(r => [...r.cells].filter(c => !c.hidden).map(c => c.innerText.trim()))"
        )
        return found

    def heads(self) -> list[str]:
        found: list[str] = self.run(
            "return [...document.querySelectorAll('#models thead th')].filter(c => !c.hidden)"
            ".map(c => c.innerText.trim())"
        )
        return found

    def column(self, name: str) -> list[str]:
        position = self.heads().index(name)
        return [row[position] for row in self.rows()]

    def sort_button(self, name: str) -> WebElement:
        return next(
            b for b in self.all("#models thead button") if b.text.replace("\n", " ") == name
        )

    @property
    def fragment(self) -> str:
        return self.driver.current_url.partition("#")[2]

    def problems(self) -> list[str]:
        """Messages on the console since the last call."""
        return [entry["message"] for entry in self._log("browser")]

    def requests(self) -> list[str]:
        """Addresses that were asked for since the last call."""
        messages = [json.loads(entry["message"])["message"] for entry in self._log("performance")]
        return [
            message["params"]["request"]["url"]
            if message["method"] == "Network.requestWillBeSent"
            else message["params"]["url"]
            for message in messages
            if message["method"] in ("Network.requestWillBeSent", "Network.webSocketCreated")
        ]

    def _log(self, kind: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.driver.get_log(kind)  # type: ignore[no-untyped-call]
        return found


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    chromedriver = shutil.which("chromedriver")
    if chromium is None or chromedriver is None:
        pytest.skip("no browser test without chromium and chromedriver")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    started = webdriver.Chrome(options=options, service=Service(chromedriver))
    started.set_page_load_timeout(120)
    try:
        yield started
    finally:
        started.quit()


@pytest.fixture
def browser(driver: webdriver.Chrome, site: Path) -> Iterator[Browser]:
    """Whatever a test does, the console stays empty and nothing but files is asked for."""
    found = Browser(driver, site)
    found.open("about.html")
    found.run("localStorage.clear()")
    found.problems(), found.requests()
    yield found
    assert found.problems() == []
    outside = [url for url in found.requests() if not url.startswith(("file:", "data:", "about:"))]
    assert outside == []


@contextlib.contextmanager
def screen(browser: Browser, width: int, scheme: str = "light") -> Iterator[None]:
    size = {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 600}
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    command = browser.driver.execute_cdp_cmd
    command("Emulation.setDeviceMetricsOverride", size)
    command("Emulation.setEmulatedMedia", media)
    try:
        yield
    finally:
        command("Emulation.clearDeviceMetricsOverride", {})
        command("Emulation.setEmulatedMedia", {"features": []})


@pytest.fixture(scope="module")
def official(shared: Path) -> dict[str, str]:
    """The column FSD50K of the official table, by its models."""
    with (shared / "data/leaderboard.csv").open(newline="") as file:
        return {row["Model"]: row["FSD50K"] for row in csv.DictReader(file)}


def test_sort(browser: Browser, official: dict[str, str]) -> None:
    browser.open("index.html")
    first = browser.rows()[0][0]
    assert first == "RedRice ced_base"
    browser.sort_button("FSD50K").click()
    head = browser.one("[data-key=fsd50k]")
    assert head.get_attribute("aria-sort") == "descending"
    assert "by FSD50K, highest first" in browser.one("#status").text
    by_score = sorted((m for m in official if official[m]), key=lambda m: -float(official[m]))
    shown = [name for name in browser.column("Model") if name in official]
    assert shown[0] == by_score[0] == "RedRice ced_base"
    known = [float(official[name]) for name in shown if official[name]]
    assert known == sorted(known, reverse=True)
    missing = [name for name in official if not official[name]]
    assert sorted(shown[len(known) :]) == sorted(missing)
    assert len(missing) == 3
    # By the keyboard, the other way round; what is missing stays last.
    browser.sort_button("FSD50K").send_keys(Keys.ENTER)
    assert head.get_attribute("aria-sort") == "ascending"
    shown = [name for name in browser.column("Model") if name in official]
    assert [float(official[name]) for name in shown if official[name]] == known[::-1]
    assert sorted(shown[len(known) :]) == sorted(missing)
    assert browser.fragment == "sort=fsd50k&order=up"
    assert browser.all("[aria-sort]") == [head]
    # Who opens the address sees the same.
    rows = browser.rows()
    browser.open("index.html#sort=fsd50k&order=up")
    assert browser.rows() == rows
    browser.sort_button("FSD50K").click()
    assert browser.rows()[0][0] == first
    assert browser.fragment == ""


def test_sort_by_text(browser: Browser) -> None:
    browser.open("index.html")
    browser.sort_button("Model").click()
    names = browser.column("Model")
    assert names[:3] == [HOSTILE, "AMAAI Lab wav2vec2+DDSP", "AMAAI wav2vec2 music+speech"]
    browser.sort_button("Submitted").click()
    browser.sort_button("Submitted").click()
    dates = browser.column("Submitted")
    assert dates[0] == "2023-09-26"
    assert dates.index("HEAR 2021") == len([date for date in dates if date.startswith("202")])
    assert dates[-1].startswith("–")


def test_filter(browser: Browser) -> None:
    browser.open("index.html")
    browser.one("#find").send_keys("hubert")
    names = browser.column("Model")
    assert len(names) == 5
    assert all("hubert" in name.lower() for name in names)
    assert "5 of 36 models" in browser.one("#status").text
    browser.one("#find").clear()
    browser.one("#find").send_keys(" ")
    browser.one("#complete").click()
    # As the benchmark counts its complete rows, and the hostile one.
    assert len(browser.rows()) == 14
    browser.choose("#domain", "Music")
    assert browser.heads() == [
        "Model", "Beijing Opera", "GTZAN Genre", "GTZAN Music/Speech", "Maestro 5h",
        "Mridangam Stroke", "Mridangam Tonic", "NSynth Pitch 50h", "NSynth Pitch 5h", "Submitted",
    ]  # fmt: skip
    rows = browser.rows()
    sums = [sum(map(float, row[1:-1])) for row in rows]
    assert sums == sorted(sums, reverse=True)
    assert len(rows) > 14
    assert browser.fragment == "tasks=music&complete=yes"
    browser.open(f"index.html#{browser.fragment}")
    assert browser.rows() == rows
    browser.one("#reset").click()
    assert (len(browser.rows()), len(browser.heads()), browser.fragment) == (36, 21, "")


def test_addresses_that_make_no_sense(browser: Browser) -> None:
    browser.open("index.html#sort=nothing&tasks=cooking&models=x,,y&order=&find=&complete=maybe&%")
    assert len(browser.rows()) == 36
    assert "sum of the scores" in browser.one("#status").text
    browser.open("compare.html#models=nobody,,mine,mine&tasks=cooking")
    assert browser.one("#status").text == "1 of at most 6 models."


def test_open_a_model(browser: Browser) -> None:
    browser.open("index.html#find=mine")
    browser.one("tr:not([hidden]) a").click()
    assert browser.driver.title == "mine · HEAR leaderboard"
    assert browser.one("h1 .badge").text == "yours"
    browser.one("a[href='../tasks/esc-50.html']").click()
    assert browser.one("h1").text == "ESC-50"
    assert "mine" in browser.one("tr.own").text


def test_compare_two(browser: Browser) -> None:
    browser.open("index.html")
    for slug in ("openl3", "crepe"):
        browser.one(f"tr[data-slug={slug}] .pick").click()
    assert browser.fragment == "models=openl3,crepe"
    assert browser.one("#compare").text == "Compare 2"
    browser.one("#compare").click()
    WebDriverWait(browser.driver, 120).until(lambda _: browser.all("#compared tbody tr"))
    heads = [head.text.split("\n")[0] for head in browser.all("#compared thead th")]
    assert heads == ["Task", "OpenL3", "CREPE"]
    rows = {
        row.find_element(By.TAG_NAME, "th").text: row for row in browser.all("#compared tbody tr")
    }
    assert len(rows) == 19
    cells = rows["ESC-50"].find_elements(By.TAG_NAME, "td")
    assert [cell.text for cell in cells] == ["0.7505\nbest", "0.3005"]
    # Counted in the official CSV: OpenL3 is better on 16 of the 19 tasks.
    wins, means = browser.all("#compared tfoot tr")
    assert wins.text == "Best, of 19 tasks that two or more have 16 3"
    assert means.text.startswith("Mean of the 19 scores that all of them have 0.6663 ")
    link = browser.one("#link").get_attribute("value")
    assert link == browser.driver.current_url
    assert link.endswith("/compare.html#models=openl3,crepe")
    browser.choose("#domain", "Music")
    browser.choose("#model", "mine (yours)")
    browser.one("#add").click()
    assert len(browser.all("#compared tbody tr")) == 8
    page = browser.driver.current_url.rpartition("/")[2]
    assert page == "compare.html#models=openl3,crepe,mine&tasks=music"
    browser.open(page)
    assert browser.one("#status").text == "3 of at most 6 models, music only."
    browser.one("button[aria-label='Remove OpenL3']").click()
    assert "openl3" not in browser.fragment
    browser.one("#clear").click()
    assert not browser.one("#result").is_displayed()


def test_theme(browser: Browser) -> None:
    def background() -> str:
        found: str = browser.run("return getComputedStyle(document.body).backgroundColor")
        return found

    light, dark = "rgb(255, 255, 255)", "rgb(20, 24, 29)"
    with screen(browser, 1280, "light"):
        browser.open("index.html")
        assert background() == light
        browser.choose("#theme", "dark")
        assert background() == dark
        # Remembered on the other pages, whose figures follow.
        browser.open("plots.html")
        assert background() == dark
        tick = "#heat-map .ytick text"
        WebDriverWait(browser.driver, 120).until(lambda _: browser.all(tick))
        fill = "return getComputedStyle(document.querySelector(arguments[0])).fill"
        assert browser.run(fill, tick) == "rgb(230, 237, 243)"
        browser.choose("#theme", "light")
        WebDriverWait(browser.driver, 120).until(
            lambda _: browser.run(fill, tick) == "rgb(27, 31, 36)"
        )
        browser.choose("#theme", "auto")
    with screen(browser, 1280, "dark"):
        browser.open("about.html")
        assert background() == dark


def test_figures_are_drawn(browser: Browser) -> None:
    browser.open("plots.html")
    for name in ("heat-map", "task-correlations", "model-correlations", "task-map", "model-map"):
        WebDriverWait(browser.driver, 120).until(
            lambda _, name=name: browser.all(f"#{name} .main-svg")  # type: ignore[misc]
        )
    names = browser.run(
        "return [...document.querySelectorAll('#heat-map .ytick text')].map(t => t.textContent)"
    )
    assert len(names) == 35
    assert HOSTILE in names
    # Nothing that would send the data anywhere.
    buttons = {b.get_attribute("data-title") for b in browser.all(".modebar-btn")}
    assert buttons == {
        "Download plot as a PNG", "Zoom", "Pan", "Zoom in", "Zoom out", "Reset axes",
    }  # fmt: skip
    assert not browser.all(".modebar a[href^=http], .plotly a[href]")


@pytest.mark.parametrize("escaping_alone", [False, True])
def test_a_hostile_submission_does_nothing(browser: Browser, escaping_alone: bool) -> None:
    browser.driver.execute_cdp_cmd("Page.setBypassCSP", {"enabled": escaping_alone})
    try:
        slug = Path(HOSTILE_PAGE).stem
        for page in (
            "index.html",
            "tasks/maestro-5h.html",
            HOSTILE_PAGE,
            f"compare.html#models={slug}",
        ):
            browser.open(page)
            assert HOSTILE in browser.one("main").text
            assert not browser.all("img, main script:not([type='application/json'])")
            assert not browser.all("a[href^='javascript:' i]")
            with pytest.raises(NoAlertPresentException):
                browser.driver.switch_to.alert.accept()
    finally:
        browser.driver.execute_cdp_cmd("Page.setBypassCSP", {"enabled": False})


def test_pages_fit_the_screen(browser: Browser) -> None:
    for page in PAGES:
        browser.open(page)
        for width in (320, 390, 1280):
            with screen(browser, width):
                wide = browser.run("return document.documentElement.scrollWidth")
                assert wide <= width, page


def test_aggregates(browser: Browser) -> None:
    def rows() -> list[list[str]]:
        found: list[list[str]] = browser.run(
            "return [...document.querySelectorAll('#aggregates tbody tr')].filter(r => !r.hidden)"
            ".map(r => [...r.cells].filter(c => !c.hidden).map(c => c.innerText.trim()))"
        )
        return found

    def sort(name: str) -> None:
        buttons = browser.all("#aggregates thead button")
        next(b for b in buttons if b.is_displayed() and b.text == name).click()

    browser.open("aggregates.html")
    assert "36 of 36 models over all tasks, by paper-mean, highest first." in (
        browser.one("#status").text
    )
    assert rows()[0][0] == "GURA Fuse Cat H+w+C"
    # Less is better, so the best come first all the same; missing ones stay last.
    sort("mean-rank")
    assert "by mean-rank, lowest first" in browser.one("#status").text
    assert rows()[0][0] == "RedRice ced_base"
    assert rows()[-1][0] == "mine yours"
    sort("mean-rank")
    assert browser.fragment == "sort=mean-rank&order=reversed"
    assert rows()[-1][0] == "mine yours"
    browser.choose("#scope", "Music")
    assert {len(row) for row in rows()} == {2 + 5}
    shown = rows()
    browser.open(f"aggregates.html#{browser.fragment}")
    assert rows() == shown
    browser.choose("#scope", "all tasks, the 14 models without gaps alone")
    assert len(rows()) == 14
    browser.one("#reset").click()
    assert (len(rows()), browser.fragment) == (36, "")
    # A way to a part of the page isn't taken for what is chosen.
    browser.open("aggregates.html#about-sum")
    assert browser.fragment == "about-sum"


def test_first_column_and_head_stay(browser: Browser) -> None:
    with screen(browser, 390):
        browser.open("index.html")
        corner = "return arguments[0].getBoundingClientRect().toJSON()"
        browser.run("document.querySelector('.scroll').scrollTo(600, 500)")
        box = browser.run(corner, browser.one(".scroll"))
        row = browser.run(corner, browser.one("tbody tr:nth-child(14) th"))
        head = browser.run(corner, browser.one("thead th:nth-child(5)"))
        assert abs(row["left"] - box["left"]) <= 2
        assert abs(head["top"] - box["top"]) <= 2
        assert row["width"] < 0.45 * 390


def test_keyboard(browser: Browser) -> None:
    browser.open("index.html")
    browser.one("body").send_keys(Keys.TAB)
    skip = browser.driver.switch_to.active_element
    assert skip.text == "Skip to content"
    skip.send_keys(Keys.ENTER)
    assert browser.driver.switch_to.active_element.get_attribute("id") == "main"
    # Every control can be reached, in the order in which it stands, and has a name.
    names = []
    for _ in range(10):
        browser.driver.switch_to.active_element.send_keys(Keys.TAB)
        names.append(browser.driver.switch_to.active_element.accessible_name)
    assert names == [
        "its own score", "others", "mine", "Find a model", "Tasks",
        "only models with all of these scores", "Reset", "Compare",
        "Table of models, scrolls both ways", "Model",
    ]  # fmt: skip


def test_layers_are_drawn_on_a_model_s_page(browser: Browser) -> None:
    browser.open("models/mine.html")
    assert len(browser.all("#layers-0 .bars .point")) == 3
    assert len(browser.all("#layers-0 .scatterlayer .trace")) >= 3
    axes = browser.one("#layers-0")
    assert "top1_acc" in axes.text
    assert "best by validation" in axes.text
    # In the theme's colour.
    before = browser.one("#layers-0 .bars path").value_of_css_property("fill")
    browser.choose("#theme", "dark")
    assert browser.one("#layers-0 .bars path").value_of_css_property("fill") != before
