from __future__ import annotations

import torch

from hearbench.worker.weights import weight_count


def test_parameters_and_stored_statistics_count() -> None:
    net = torch.nn.Sequential(torch.nn.Linear(10, 4), torch.nn.BatchNorm1d(4))
    net.register_buffer("window", torch.hann_window(400), persistent=False)
    # 44 of the linear layer, 8 of the normalisation and 8 of its statistics; the count of batches
    # isn't of floating point.
    assert weight_count(net) == 44 + 8 + 8
    net.requires_grad_(False)
    assert weight_count(net) == 60


def test_a_model_may_say_it_itself() -> None:
    net = torch.nn.Linear(2, 2)
    net.n_weights = 7  # type: ignore[assignment]
    assert weight_count(net) == 7


def test_what_is_no_model_has_none() -> None:
    assert weight_count(object()) == 0
