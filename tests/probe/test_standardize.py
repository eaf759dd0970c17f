"""Means and deviations of the training embeddings, block by block, against scikit-learn."""

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.preprocessing import StandardScaler

from hearbench.probe.standardize import Moments, Standardizer


def embeddings(n: int = 200, offset: float = 0.0) -> npt.NDArray[np.float32]:
    rng = np.random.default_rng(n)
    scale = np.array([1e-3, 1.0, 50.0, 1.0])
    drawn: npt.NDArray[np.float32] = rng.standard_normal((n, 4), dtype=np.float32)
    moved: npt.NDArray[np.float32] = (drawn * scale + offset).astype(np.float32)
    return moved


def moments_of(x: npt.NDArray[np.float32], block: int) -> Moments:
    moments = Moments(x.shape[1])
    for start in range(0, len(x), block):
        moments.add(x[start : start + block])
    return moments


@pytest.mark.parametrize("offset", [0.0, 1e3, -3e4])
@given(block=st.integers(1, 300))
def test_blocks_of_any_size_give_scikit_learns_moments(offset: float, block: int) -> None:
    x = embeddings(offset=offset)
    moments, scaler = moments_of(x, block), StandardScaler().fit(x.astype(np.float64))
    np.testing.assert_allclose(moments.mean, scaler.mean_, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(moments.std[1:], scaler.scale_[1:], rtol=1e-5)


def test_what_does_not_vary_is_only_centred() -> None:
    x = embeddings()
    x[:, 3] = 1e6
    inputs = Standardizer.of(moments_of(x, 64), "cpu", standardise=True)
    assert inputs.std is not None
    assert inputs.std[3] == 1.0
    given_to_network = inputs(torch.from_numpy(x)).numpy()
    assert (given_to_network[:, 3] == 0).all()
    expected = StandardScaler().fit_transform(x[:, :3].astype(np.float64))
    np.testing.assert_allclose(given_to_network[:, :3], expected, rtol=1e-3, atol=1e-4)
    assert (inputs.offset == 0).all()


def test_without_standardising_the_mean_is_told_to_the_network() -> None:
    x = embeddings(offset=7.0)
    inputs = Standardizer.of(moments_of(x, 50), "cpu", standardise=False)
    assert inputs.std is None
    rebuilt = inputs(torch.from_numpy(x)) + inputs.offset
    np.testing.assert_allclose(rebuilt.numpy(), x, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("standardise", [True, False])
def test_they_survive_a_file(standardise: bool) -> None:
    inputs = Standardizer.of(moments_of(embeddings(), 10), "cpu", standardise=standardise)
    again = Standardizer.from_arrays(inputs.arrays(), "cpu")
    x = torch.from_numpy(embeddings(5))
    assert torch.equal(again(x), inputs(x))
    assert torch.equal(again.offset, inputs.offset)


@pytest.mark.parametrize("scale", [1e-30, 1e-12, 1.0, 1e12, 1e30])
def test_any_scale_is_standardised(scale: float) -> None:
    drawn = np.random.default_rng(0).standard_normal((100, 3)) + np.array([0, 5, -200])
    x = (drawn * scale).astype(np.float32)
    inputs = Standardizer.of(moments_of(x, 33), "cpu", standardise=True)
    expected = StandardScaler().fit_transform(drawn)
    np.testing.assert_allclose(inputs(torch.from_numpy(x)).numpy(), expected, rtol=1e-3, atol=1e-3)


def test_one_huge_embedding_leaves_the_others_what_they_are() -> None:
    x = embeddings()
    x[7, 1] = 1e30
    inputs = Standardizer.of(moments_of(x, 50), "cpu", standardise=False)
    np.testing.assert_array_equal(inputs(torch.from_numpy(x)).numpy(), x)
    assert not inputs.offset.any()
