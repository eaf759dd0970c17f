import random

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hearbench.errors import ProbeError
from hearbench.probe.data import BatchSpec, published_order
from hearbench.probe.grid import batch_bounds
from hearbench.probe.outputs import MULTICLASS, MULTILABEL
from hearbench.probe.reading import as_tensor
from hearbench.probe.scenes import KeptClips, SceneData, array_data


def test_one_generator_goes_over_the_splits_in_their_order() -> None:
    generator = random.Random(0)
    expected = {}
    for split, size in {"fold01": 5, "fold00": 8}.items():
        files = [f"{i}.wav" for i in range(size)]
        generator.shuffle(files)
        expected[split] = files
    found = published_order({"fold01": 5, "fold00": 8})
    assert {s: [f"{i}.wav" for i in order] for s, order in found.items()} == expected


@given(count=st.integers(2, 5000), batch_size=st.integers(2, 1024))
def test_batches_cover_everything_once_and_none_is_single(count: int, batch_size: int) -> None:
    bounds = batch_bounds(count, batch_size)
    assert [i for start, end in bounds for i in range(start, end)] == list(range(count))
    assert all(end - start >= 2 for start, end in bounds)
    assert all(end - start <= batch_size + 1 for start, end in bounds)


def test_a_single_last_clip_joins_the_batch_before() -> None:
    assert batch_bounds(2049, 1024) == [(0, 1024), (1024, 2049)]
    assert batch_bounds(2050, 1024) == [(0, 1024), (1024, 2048), (2048, 2050)]


def data_of(
    n_train: int, n_valid: int = 3, multilabel: bool = False, dtype: torch.dtype = torch.float32
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8], SceneData]:
    rng = np.random.default_rng(0)
    y = np.eye(4, dtype=np.uint8)[rng.integers(0, 4, n_train + n_valid)]
    x = rng.standard_normal((n_train + n_valid, 5)).astype(np.float32) + 7
    parts = (x[:n_train], y[:n_train]), (x[n_train:], y[n_train:])
    data = array_data(
        *parts, outputs=MULTILABEL if multilabel else MULTICLASS, spec=BatchSpec(8, "cpu", dtype)
    )
    return x, y, data


@pytest.mark.parametrize("multilabel", [False, True])
def test_embeddings_are_centred_on_the_training_mean(multilabel: bool) -> None:
    x, y, data = data_of(20, multilabel=multilabel)
    np.testing.assert_allclose(data.inputs.offset, x[:20].mean(axis=0), rtol=1e-6)
    rebuilt = torch.cat([as_tensor(batch) for batch, _ in data.epoch(1)]) + data.inputs.offset
    np.testing.assert_allclose(rebuilt, x[:20], rtol=1e-5)
    assert isinstance(data.valid, KeptClips)
    np.testing.assert_allclose(data.valid.x + data.inputs.offset, x[20:], rtol=1e-5)
    np.testing.assert_allclose(data.inputs(torch.from_numpy(x[20:])), data.valid.x)
    labels = torch.cat([label for _, label in data.epoch(1)]).numpy()
    expected = y[:20].astype(np.float32) if multilabel else y[:20].argmax(axis=1)
    np.testing.assert_array_equal(labels, expected)
    assert data.n_labels == 4


def test_only_the_batches_are_rounded() -> None:
    _, _, data = data_of(20, dtype=torch.bfloat16)
    assert as_tensor(next(iter(data.epoch(1)))[0]).dtype == torch.bfloat16
    assert isinstance(data.valid, KeptClips)
    assert data.valid.x.dtype == data.inputs.offset.dtype == torch.float32


@pytest.mark.parametrize(("n_train", "n_valid"), [(1, 3), (8, 0)])
def test_too_few_clips_are_refused(n_train: int, n_valid: int) -> None:
    with pytest.raises(ProbeError, match="at least 2 clips"):
        data_of(n_train, n_valid)
