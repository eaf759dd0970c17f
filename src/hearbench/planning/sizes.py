"""What the stages keep on disk and in memory, by counting."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from hearbench.planning.facts import TaskFacts
from hearbench.probe.protocol import GridPoint

__all__ = [
    "data_bytes",
    "kept_bytes",
    "n_rows",
    "result_bytes",
    "stack_bytes",
    "store_bytes",
    "weights_of",
]

# A clip's name and its number of frames, in a shard's record and in the manifest.
_RECORD_BYTES_PER_CLIP = 60
_MANIFEST_BYTES = 3000
_NPZ_BYTES = 6000
_RESULT_BYTES = 12000
_RESULT_BYTES_PER_CLIP = 20
# Weights, gradients, two moments and the best weights so far, all float32.
_COPIES = 5
# A hidden layer's product, normalised values, outcome, and their gradients.
_ACTIVATIONS = 5


def n_rows(n_clips: int, facts: TaskFacts, frames_per_s: float) -> int:
    """Embeddings of so many clips: one each, or those of their frames.

    Args:
        frames_per_s: Frames per second of audio; 0 for an embedding per clip.
    """
    if not frames_per_s:
        return n_clips
    return n_clips * max(1, round(facts.clip_s * frames_per_s))


def store_bytes(facts: TaskFacts, size: int, frames_per_s: float, itemsize: int) -> int:
    """A store of embeddings on disk."""
    rows = n_rows(facts.n_clips, facts, frames_per_s)
    timestamps = 4 * rows if frames_per_s else 0
    records = _RECORD_BYTES_PER_CLIP * facts.n_clips + _MANIFEST_BYTES
    return rows * size * itemsize + timestamps + records


def weights_of(point: GridPoint, n_features: int, n_labels: int) -> int:
    """Numbers that a network keeps: weights, biases, and four per unit of normalisation."""
    sizes = [n_features, *[point.hidden_dim] * point.hidden_layers, n_labels]
    products = sum(a * b + b for a, b in itertools.pairwise(sizes))
    return products + 4 * point.hidden_layers * point.hidden_dim


def kept_bytes(point: GridPoint, n_features: int, n_labels: int) -> int:
    """A finished training in the cache: the best network and what was done to the embeddings."""
    return 4 * (weights_of(point, n_features, n_labels) + n_features) + _NPZ_BYTES


def stack_bytes(
    points: Sequence[GridPoint], n_features: int, n_labels: int, batch: int, seeds: int
) -> int:
    """Networks of one shape in training: their tensors, and the activations of a batch."""
    one = points[0]
    tensors = 4 * _COPIES * weights_of(one, n_features, n_labels)
    activations = 4 * _ACTIVATIONS * one.hidden_layers * one.hidden_dim * batch
    return len(points) * seeds * (tensors + activations)


def data_bytes(facts: TaskFacts, n_features: int, frames_per_s: float, itemsize: int) -> int:
    """The largest fold's training and validation data where all of it is in memory.

    Args:
        n_features: Numbers per embedding.
        frames_per_s: Frames per second of audio; 0 for an embedding per clip.
        itemsize: Bytes of a number in the products' precision.
    """
    fold = max(facts.folds, key=lambda one: one.train)
    train = n_rows(fold.train, facts, frames_per_s)
    valid = n_rows(fold.valid, facts, frames_per_s)
    labels = 4 * facts.n_labels
    return train * (n_features * itemsize + labels) + valid * (4 * n_features + labels)


def result_bytes(facts: TaskFacts, frames_per_s: float) -> int:
    """A result with its predictions: a probability and, for clips, a target per label."""
    tests = sum(fold.test for fold in facts.folds)
    rows = n_rows(tests, facts, frames_per_s if facts.kind == "event" else 0)
    per_row = 5 * facts.n_labels if facts.kind == "scene" else 4 * facts.n_labels + 8
    return rows * per_row + _RESULT_BYTES_PER_CLIP * tests + _RESULT_BYTES
