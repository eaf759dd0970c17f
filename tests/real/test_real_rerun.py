"""A submission from a repository and its rerun, in environments for which pip fetches torch."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers_rerun import whole_way

pytestmark = pytest.mark.real


def test_a_repository_that_needs_torch(tmp_path: Path) -> None:
    whole_way(tmp_path, "Requires-Dist: torch\\n")
