"""From a repository to a submission, and to its rerun: the whole way with local addresses."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers_rerun import borrowed_packages, whole_way

from hearbench.errors import HearError
from hearbench.models.sandbox import _bubblewrap

__all__ = ["borrowed_packages"]


@pytest.fixture
def bubblewrap() -> None:
    try:
        _bubblewrap()
    except HearError as error:
        pytest.skip(str(error))


@pytest.mark.usefixtures("borrowed_packages", "bubblewrap")
def test_from_a_repository_to_a_rerun(tmp_path: Path) -> None:
    whole_way(tmp_path)
