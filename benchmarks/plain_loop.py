"""The protocol as one would first write it: a grid point at a time, plain PyTorch.

A slow, obvious implementation to compare the real one with, in speed and in scores. It follows
the published protocol alone and shares no code with the package's probe.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

__all__ = ["PlainOutcome", "plain_fit", "plain_network", "plain_train"]

Score = Callable[[npt.NDArray[np.float32], npt.NDArray[np.uint8]], float]


@dataclass
class PlainOutcome:
    """What one grid point came to."""

    validation_score: float
    best_epoch: int
    epochs: int
    network: nn.Module


def plain_network(
    n_features: int,
    n_labels: int,
    *,
    hidden_layers: int,
    hidden_dim: int,
    initialization: str,
    dropout: float,
) -> nn.Sequential:
    """[Linear -> BatchNorm1d -> Dropout -> ReLU] x hidden_layers, then Linear."""
    draw = {"uniform": nn.init.xavier_uniform_, "normal": nn.init.xavier_normal_}[initialization]
    modules: list[nn.Module] = []
    n_in, gain = n_features, 1.0
    for _ in range(hidden_layers):
        linear = nn.Linear(n_in, hidden_dim)
        draw(linear.weight, gain)
        modules += [linear, nn.BatchNorm1d(hidden_dim), nn.Dropout(dropout), nn.ReLU()]
        n_in, gain = hidden_dim, math.sqrt(2.0)
    linear = nn.Linear(n_in, n_labels)
    draw(linear.weight, gain)
    return nn.Sequential(*modules, linear)


def plain_train(
    train: tuple[torch.Tensor, torch.Tensor],
    valid: tuple[torch.Tensor, npt.NDArray[np.uint8]],
    score: Score,
    *,
    hidden_layers: int,
    hidden_dim: int,
    initialization: str,
    lr: float,
    dropout: float,
    max_epochs: int,
    check_every: int,
    patience: int,
    batch_size: int = 1024,
    seed: int = 0,
    device: str = "cpu",
) -> PlainOutcome:
    """Trains one grid point; embeddings (n, n_features), labels as `plain_fit` has them."""
    torch.manual_seed(seed)
    network = plain_network(
        train[0].shape[1],
        valid[1].shape[1],
        hidden_layers=hidden_layers,
        hidden_dim=hidden_dim,
        initialization=initialization,
        dropout=dropout,
    ).to(device)
    return plain_fit(
        network,
        torch.optim.Adam(network.parameters(), lr=lr),
        train,
        valid,
        score,
        max_epochs=max_epochs,
        check_every=check_every,
        patience=patience,
        batch_size=batch_size,
    )


def plain_fit(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    train: tuple[torch.Tensor, torch.Tensor],
    valid: tuple[torch.Tensor, npt.NDArray[np.uint8]],
    score: Score,
    *,
    max_epochs: int,
    check_every: int,
    patience: int,
    batch_size: int,
) -> PlainOutcome:
    """Trains any network for one grid point; its outcome's is that of the best epoch.

    Labels are indices (n,) of classes, or (n, n_labels) float32 of tags. Batches go to the device
    that the network is on.
    """
    device = next(network.parameters()).device
    multilabel = train[1].ndim == 2
    loss_of: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] = (
        nn.functional.binary_cross_entropy_with_logits
        if multilabel
        else nn.functional.cross_entropy
    )
    valid_x = valid[0].to(device)
    loader = DataLoader(TensorDataset(*train), batch_size=batch_size)
    best, best_epoch, waited = -math.inf, 0, 0
    best_state = copy.deepcopy(network.state_dict())
    epoch = 0
    for epoch in range(1, max_epochs + 1):
        network.train()
        for x, y in loader:
            loss = loss_of(network(x.to(device)), y.to(device))
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        if epoch % check_every:
            continue
        network.eval()
        with torch.no_grad():
            logits = network(valid_x)
            probabilities = logits.sigmoid() if multilabel else torch.softmax(logits, dim=1)
        value = score(probabilities.cpu().numpy(), valid[1])
        if value > best:
            best, best_epoch, waited = value, epoch, 0
            best_state = copy.deepcopy(network.state_dict())
        else:
            waited += 1
            if waited >= patience:
                break
    network.load_state_dict(best_state)
    network.eval()
    return PlainOutcome(best, best_epoch, epoch, network)
