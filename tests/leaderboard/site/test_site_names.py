"""File names and addresses that are safe."""

from __future__ import annotations

import random
import re

import pytest

from hearbench.errors import HearError
from hearbench.leaderboard.official import official_table
from hearbench.leaderboard.site.names import safe_url, slugs


def test_official_names_become_plain_ones() -> None:
    names = official_table().models
    by_name = dict(zip(names, slugs(names), strict=True))
    assert by_name["CP-JKU mn40_as (e1+l+all_se)"] == "cp-jku-mn40-as-e1-l-all-se"
    assert len(set(by_name.values())) == 34


def test_names_that_come_down_to_the_same_are_told_apart() -> None:
    names = ["A b", "a-B", "Ä.b", "c", "../c", "con", "日本", "", "x" * 200, "x" * 201]
    found = slugs(names)
    assert len(set(found)) == len(names)
    assert all(re.fullmatch(r"[a-z0-9](-?[a-z0-9])*", slug) for slug in found)
    assert max(map(len, found)) <= 69
    assert found[5].startswith("con-")
    # Whatever order they come in, each keeps its own.
    shuffled = random.Random(0).sample(names, len(names))
    assert dict(zip(names, found, strict=True)) == dict(zip(shuffled, slugs(shuffled), strict=True))


def test_the_same_name_twice_is_refused() -> None:
    with pytest.raises(HearError, match="'a' is there twice"):
        slugs(["a", "b", "a"])


@pytest.mark.parametrize("url", ["https://example.org/a?b=1&c=2", "http://localhost:8000/"])
def test_addresses_of_the_web_are_links(url: str) -> None:
    assert safe_url(url) == url


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "JaVaScRiPt:alert(1)",
        "java\nscript:alert(1)",
        " javascript:alert(1)",
        "\x01https://example.org",
        "https://example.org/\n",
        "data:text/html,<script>alert(1)</script>",
        "vbscript:x",
        "file:///etc/passwd",
        "//example.org",
        "https:example.org",
        "https://",
        "https://[",
        "example.org",
        "",
    ],
)
def test_nothing_else_is(url: str) -> None:
    assert safe_url(url) is None
