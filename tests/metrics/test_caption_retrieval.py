"""Retrieval scores are those of a slow obvious implementation, and of scikit-learn."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import sparse
from sklearn.metrics import average_precision_score

from hearbench.metrics import caption_retrieval
from hearbench.metrics.caption_retrieval import KS, query_scores

Floats = npt.NDArray[np.float64]


def slow(similarities: list[float], fits: list[bool]) -> tuple[dict[int, float], float]:
    """Of one query: recalls, and the average precision of the first ten."""
    ranked = sorted(zip(similarities, fits, strict=True), key=lambda pair: (-pair[0], pair[1]))
    right = [fit for _, fit in ranked[:10]]
    recalls = {k: float(any(right[:k])) for k in KS}
    total = 0.0
    for place, fit in enumerate(right, start=1):
        if fit:
            total += sum(right[:place]) / place
    return recalls, total / min(10, sum(fits))


@st.composite
def cases(draw: st.DrawFn) -> tuple[Floats, Floats, npt.NDArray[np.bool_]]:
    # Small whole numbers, so that many similarities are equal.
    whole = st.integers(-2, 2).map(float)
    n_queries, n_documents = draw(st.integers(1, 6)), draw(st.integers(1, 16))
    queries = draw(arrays.arrays(np.float64, (n_queries, 2), elements=whole))
    documents = draw(arrays.arrays(np.float64, (n_documents, 2), elements=whole))
    fits = draw(arrays.arrays(np.bool_, (n_queries, n_documents)))
    fits[:, draw(st.integers(0, n_documents - 1))] = True
    return queries, documents, fits


@settings(deadline=None, max_examples=60)
@given(cases(), st.integers(1, 40))
def test_they_are_those_of_the_slow_way(
    case: tuple[Floats, Floats, npt.NDArray[np.bool_]], cells: int
) -> None:
    queries, documents, fits = case
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(caption_retrieval, "_CELLS", cells)
        found = query_scores(queries, documents, sparse.csr_array(fits.astype(float)))
    similarities = queries @ documents.T
    for row in range(len(queries)):
        recalls, precision = slow(similarities[row].tolist(), fits[row].tolist())
        assert {k: found.recall_at[k][row] for k in KS} == recalls
        assert found.average_precision[row] == pytest.approx(precision)


def test_of_few_documents_the_precision_is_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    queries, documents = rng.normal(size=(20, 4)), rng.normal(size=(9, 4))
    fits = rng.random((20, 9)) < 0.3
    fits[:, 0] = True
    found = query_scores(queries, documents, sparse.csr_array(fits.astype(float)))
    expected = [
        average_precision_score(right, queries[row] @ documents.T) for row, right in enumerate(fits)
    ]
    np.testing.assert_allclose(found.average_precision, expected)


def test_equal_embeddings_find_nothing_by_luck() -> None:
    fits = sparse.csr_array(np.eye(20))
    found = query_scores(np.ones((20, 3)), np.ones((20, 3)), fits)
    assert [found.recall_at[k].sum() for k in KS] == [0, 0, 0]
    assert found.average_precision.sum() == 0
    perfect = query_scores(np.eye(20), np.eye(20), fits)
    assert [perfect.recall_at[k].mean() for k in KS] == [1, 1, 1]
    assert perfect.average_precision.mean() == 1
