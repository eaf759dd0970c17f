import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score

from hearbench.metrics import get_scene_score
from hearbench.metrics.classification import chroma_accuracy, top1_accuracy


def one_hot(labels: np.ndarray, n: int) -> np.ndarray:
    return np.array(np.eye(n, dtype=np.uint8)[labels])


# Said by some versions of scikit-learn about few samples.
@pytest.mark.filterwarnings("ignore:The number of unique classes")
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 60), n_labels=st.integers(1, 30))
@settings(max_examples=50, deadline=None)
def test_equal_scikit_learn(seed: int, n: int, n_labels: int) -> None:
    rng = np.random.default_rng(seed)
    probabilities = rng.random((n, n_labels)).astype(np.float32)
    labels = rng.integers(0, n_labels, n)
    estimated = probabilities.argmax(1)
    assert top1_accuracy(probabilities, one_hot(labels, n_labels)) == pytest.approx(
        accuracy_score(labels, estimated), abs=1e-12
    )
    assert chroma_accuracy(probabilities, one_hot(labels, n_labels)) == pytest.approx(
        accuracy_score(labels % 12, estimated % 12), abs=1e-12
    )


def test_an_octave_is_forgiven_by_chroma_alone() -> None:
    targets = one_hot(np.array([0, 5]), 30)
    probabilities = one_hot(np.array([12, 6]), 30).astype(np.float32)
    assert top1_accuracy(probabilities, targets) == 0.0
    assert chroma_accuracy(probabilities, targets) == 0.5


def test_first_label_of_a_multilabel_clip_counts() -> None:
    targets = np.array([[0, 1, 1]], dtype=np.uint8)
    assert top1_accuracy(np.array([[0.1, 0.8, 0.9]]), targets) == 0.0
    assert top1_accuracy(np.array([[0.1, 0.9, 0.8]]), targets) == 1.0


def test_equal_probabilities_go_to_the_lower_index() -> None:
    probabilities = np.full((2, 3), 1 / 3)
    assert top1_accuracy(probabilities, one_hot(np.array([0, 2]), 3)) == 0.5


@pytest.mark.parametrize("name", ["top1_acc", "pitch_acc", "chroma_acc"])
def test_no_clips_is_undefined(name: str) -> None:
    empty = np.zeros((0, 4))
    assert np.isnan(get_scene_score(name)(empty, empty.astype(np.uint8)))
