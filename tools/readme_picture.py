"""Makes docs/images/leaderboard.png: the leaderboard's page with a user's row among the others.

    python tools/readme_picture.py [--out FILE]

The user's row is an example, and says so: on every task the mean of the published scores. It needs
the extra ``site``, selenium and a Chromium.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.chrome.service import Service

from hearbench.leaderboard.official import official_table
from hearbench.leaderboard.site import build_site
from hearbench.leaderboard.table import Row, Table

PICTURE = Path(__file__).resolve().parents[1] / "docs/images/leaderboard.png"
NAME = "my_model (example)"
WIDTH, HEIGHT = 1280, 900

# Only the table is scrolled, so that the page's head stays; the row is marked.
_TO_THE_ROW = """
document.body.style.zoom = 0.8;
const row = [...document.querySelectorAll("tr")].find(r => r.textContent.includes(arguments[0]));
row.style.outline = "3px solid #d9480f";
row.style.outlineOffset = "-2px";
let box = row.parentElement;
while (box.scrollHeight <= box.clientHeight + 1) box = box.parentElement;
box.scrollTop = row.offsetTop - box.clientHeight / 2;
"""


def example_row(table: Table) -> Row:
    """On every task the mean of what the models of the table reach."""
    columns = zip(*(row.scores for row in table.rows), strict=True)
    means = [statistics.fmean(x for x in column if x is not None) for column in columns]
    return Row(NAME, "", "", tuple(round(mean, 4) for mean in means))


def take_picture(page: Path, picture: Path) -> None:
    """A screenshot of a page with the table at the user's row."""
    with tempfile.TemporaryDirectory() as profile:
        options = webdriver.ChromeOptions()
        for argument in (
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--no-first-run",
            "--hide-scrollbars",
            f"--user-data-dir={profile}",
        ):
            options.add_argument(argument)
        browser = shutil.which("chromium") or shutil.which("chromium-browser")
        driven_by = shutil.which("chromedriver")
        if browser:
            options.binary_location = browser
        driver = webdriver.Chrome(options=options, service=Service(driven_by))
        try:
            driver.set_window_size(WIDTH, HEIGHT)
            driver.get(page.as_uri())
            driver.execute_script(_TO_THE_ROW, NAME)
            picture.parent.mkdir(parents=True, exist_ok=True)
            driver.save_screenshot(str(picture))
        finally:
            driver.quit()


def main() -> None:
    """Builds the site in a folder of its own and takes the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=PICTURE)
    args = parser.parse_args()
    table = official_table()
    with tempfile.TemporaryDirectory() as folder:
        site = Path(folder) / "site"
        build_site(table.with_row(example_row(table)), site)
        take_picture(site / "index.html", args.out)


if __name__ == "__main__":
    main()
