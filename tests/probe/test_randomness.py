import numpy as np
import pytest
import torch
from scipy import stats

from hearbench.probe.network import Dropout
from hearbench.probe.randomness import stream_seed


def dropout(rate: float = 0.1, seed: int = 1) -> Dropout:
    return Dropout(rate, seed, torch.float32, torch.device("cpu"))


def test_streams_differ_by_any_part_of_their_name() -> None:
    names = [(1, 0, "weights"), (1, 1, "weights"), (2, 0, "weights"), (1, 0, "dropout")]
    seeds = [stream_seed(*name) for name in names]
    assert len(set(seeds)) == 4
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert seeds == [stream_seed(*name) for name in names]


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.25])
def test_the_right_share_is_dropped_independently(rate: float) -> None:
    masks = torch.stack([dropout(rate).masks(step, 1, 200, 500)[0] for step in range(5)])
    assert set(np.unique(masks.numpy()).tolist()) == {0.0, 1.0}
    dropped = int((masks == 0).sum())
    assert stats.binomtest(dropped, masks.numel(), rate).pvalue > 1e-3
    flat = masks.flatten(1).numpy()
    correlation = np.corrcoef(flat)
    assert np.abs(correlation[~np.eye(5, dtype=bool)]).max() < 0.02
    neighbours = np.corrcoef(flat[:, :-1].ravel(), flat[:, 1:].ravel())[0, 1]
    assert abs(neighbours) < 0.02


def test_masks_are_named_by_step_and_layer_alone() -> None:
    first = dropout().masks(7, 2, 16, 33)
    again = dropout().masks(7, 2, 16, 33)
    other = dropout().masks(8, 2, 16, 33)
    assert [m.shape for m in first] == [(16, 33), (16, 33)]
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], first[1])
    assert not torch.equal(first[0], other[0])
    assert torch.equal(dropout().masks(7, 1, 16, 33)[0], first[0])


def test_nothing_is_drawn_without_dropout() -> None:
    assert dropout(0.0).masks(0, 2, 4, 4) == []
