"""How many examples fuzz tests take: a few by default, many under ``-m real``."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, settings

_FEW, _MANY = 10, 150


def pytest_configure(config: pytest.Config) -> None:
    """Makes the profile, which stays out of other tests' way."""
    long = _is_long(config)
    settings.register_profile(
        "security",
        max_examples=_MANY if long else _FEW,
        # The same ones each time, as a run before a commit shouldn't fail by chance.
        derandomize=not long,
        database=None,
        deadline=None,
        phases=(Phase.explicit, Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )


def pytest_itemcollected(item: pytest.Item) -> None:
    """Counts fuzz tests among the slow ones where those are asked for."""
    if hasattr(getattr(item, "obj", None), "hypothesis"):
        # A deeply nested file is long, and hypothesis writes it down all the same.
        item.add_marker(pytest.mark.filterwarnings("ignore:Generating overly large repr"))
        if _is_long(item.config):
            item.add_marker("real")


def _is_long(config: pytest.Config) -> bool:
    return bool(config.getoption("markexpr") == "real")
