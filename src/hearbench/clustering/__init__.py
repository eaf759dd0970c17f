"""Clustering: do clips of one label form a cluster, with nothing learned from labels?

`clustering_scores` makes a `ClusteringResult` of a store of embeddings, which
`hearbench.evaluate(..., protocol="clustering")` writes to OUT/MODEL/TASK/clustering.json.
"""

from __future__ import annotations

from hearbench.clustering.record import (
    CLUSTERING_FILE,
    ClusteringResources,
    ClusteringResult,
    ClusteringSplit,
)
from hearbench.clustering.scoring import check_clustering, clustering_scores

__all__ = [
    "CLUSTERING_FILE",
    "ClusteringResources",
    "ClusteringResult",
    "ClusteringSplit",
    "check_clustering",
    "clustering_scores",
]
