"""Whether a model has heard the test: copies of test clips in a training set."""

from hearbench.overlap.search import Copy, Overlap, find_overlap

__all__ = ["Copy", "Overlap", "find_overlap"]
