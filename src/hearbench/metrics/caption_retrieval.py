"""Retrieval with several right answers: recall and mean average precision among the first few.

Queries and documents may be clips and captions, either way round. Of documents that are equally
similar to a query, those that don't fit come first, so that equal embeddings find nothing by luck.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse

__all__ = ["DEPTH", "KS", "QueryScores", "query_scores"]

KS = (1, 5, 10)
"""Numbers of documents of which the recall is known."""
DEPTH = 10
"""Number of documents that average precisions look at."""

# Similarities that are computed and sorted at a time.
_CELLS = 1 << 23

_Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class QueryScores:
    """What each query found.

    Attributes:
        recall_at: By number of documents, (n_queries,): 1 where one of them fits, or else 0.
        average_precision: (n_queries,) of the first 10: the sum of the precisions at those that
            fit, over as many as could be there.
    """

    recall_at: Mapping[int, _Floats]
    average_precision: _Floats


def query_scores(
    queries: npt.NDArray[np.floating], documents: npt.NDArray[np.floating], fits: sparse.csr_array
) -> QueryScores:
    """Scores the ranking of documents by their dot product with each query.

    Args:
        queries: (n_queries, size) embeddings.
        documents: (n_documents, size) embeddings.
        fits: (n_queries, n_documents), not 0 where a document fits a query. Every query has one.
    """
    per_block = max(1, _CELLS // max(1, len(documents)))
    hits = [
        _first_hits(
            queries[start : start + per_block] @ documents.T, fits[start : start + per_block]
        )
        for start in range(0, len(queries), per_block)
    ]
    found = np.concatenate(hits) if hits else np.zeros((0, DEPTH), dtype=bool)
    ranks = np.arange(1, found.shape[1] + 1)
    precisions = np.cumsum(found, axis=1) / ranks
    possible = np.minimum(np.diff(fits.indptr), DEPTH)
    return QueryScores(
        {k: np.asarray(found[:, :k].any(axis=1), dtype=np.float64) for k in KS},
        (precisions * found).sum(axis=1) / np.maximum(1, possible),
    )


def _first_hits(similarities: _Floats, fits: sparse.csr_array) -> npt.NDArray[np.bool_]:
    """(n_queries, at most 10): whether the documents that come first fit."""
    right = fits.toarray() != 0
    order = np.lexsort((right, -similarities), axis=-1)[:, :DEPTH]
    found: npt.NDArray[np.bool_] = np.take_along_axis(right, order, axis=-1)
    return found
