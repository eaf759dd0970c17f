"""What the runs on real data share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from hearbench.workspace import available_cores


@pytest.fixture(scope="module", autouse=True)
def _all_cores() -> Iterator[None]:
    """Takes all cores, and leaves other tests of the same process as many threads as they had."""
    before = torch.get_num_threads()
    torch.set_num_threads(available_cores())
    yield
    torch.set_num_threads(before)
