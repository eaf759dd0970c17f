"""The documentation builds without a warning, and nothing in it points to nowhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

for name in ("mkdocs", "material", "mkdocs_api_autonav"):
    pytest.importorskip(name, reason="the site needs the extra docs")

ROOT = Path(__file__).resolve().parents[2]
_FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
PAGES = sorted((ROOT / "docs").rglob("*.md"))
# What a browser fetches by itself, and not when it is clicked.
FETCHED = {("script", "src"), ("img", "src"), ("iframe", "src"), ("source", "src")}


class Page(HTMLParser):
    """Where a page can be linked to, where it links to, and what it loads."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {key: value or "" for key, value in attrs}
        self.ids.update(found[key] for key in ("id", "name") if key in found)
        for key, value in found.items():
            if (tag, key) in FETCHED or (tag == "link" and key == "href"):
                if found.get("rel") != "canonical":
                    self.loads.append(value)
            elif (tag, key) == ("a", "href"):
                self.links.append(value)


def build(config: Path, out: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "-f", config, "-d", out],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def short_config() -> str:
    """The site's own, with a single page of the API: all of them take most of the time."""
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    for own, other in {
        "docs_dir: docs": f"docs_dir: {ROOT / 'docs'}",
        "modules: [src/hearbench]": f"modules: [{ROOT / 'src/hearbench'}]",
        "paths: [src]": f"paths: [{ROOT / 'src'}]",
        "- hearbench.cli\n": "- 're:hearbench\\.'\n",
    }.items():
        assert text.count(own) == 1, own
        text = text.replace(own, other)
    return text


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("docs")
    config = folder / "mkdocs.yml"
    config.write_text(short_config(), encoding="utf-8")
    build(config, folder / "site")
    return folder / "site"


def pages(site: Path) -> Iterator[tuple[Path, Page]]:
    for path in sorted(site.rglob("*.html")):
        if path.name != "404.html":  # it is shown at any address, so its links aren't relative
            yield path, Page(path)


def test_every_link_leads_somewhere(site: Path) -> None:
    known = {path.resolve(): page for path, page in pages(site)}
    lost = []
    for path, page in known.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if target.is_dir():
                target /= "index.html"
            inside = not parts.fragment or unquote(parts.fragment) in known[target].ids
            if not target.is_file() or not inside:
                lost.append((path.name, link))
    assert len(known) > 30
    assert not lost


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    for path, page in pages(site):
        assert page.loads, path
        for address in page.loads:
            assert not urlsplit(address).netloc, (path, address)
            assert (path.parent / unquote(urlsplit(address).path)).is_file(), (path, address)
    for sheet in site.rglob("*.css"):
        assert "//fonts." not in sheet.read_text(encoding="utf-8")


def test_search_knows_the_pages_without_a_server(site: Path) -> None:
    index = (site / "search/search_index.js").read_text(encoding="utf-8")
    assert "Its quirks" in index or "Quirks of the published protocol" in index


@pytest.mark.parametrize("page", [ROOT / "README.md", *PAGES], ids=lambda page: page.name)
def test_links_in_the_sources_lead_to_files(page: Path) -> None:
    text = _FENCED.sub("", page.read_text(encoding="utf-8"))
    for link in re.findall(r"\]\(([^)#\s]+)", text):
        if "://" not in link and not link.startswith("mailto:") and "api/hearbench" not in link:
            assert (page.parent / link).exists(), link


@pytest.mark.real
def test_the_whole_site_builds(tmp_path: Path) -> None:
    build(ROOT / "mkdocs.yml", tmp_path / "site")
    assert (tmp_path / "site/reference/api/hearbench/results/record.html").is_file()
