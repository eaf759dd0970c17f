"""Scores that stand still soon and scores that don't."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, average_precision_score

from hearbench.planning.facts import FoldSizes, TaskFacts, task_facts
from hearbench.planning.fineness import fineness
from hearbench.workspace import Workspace


@pytest.fixture
def esc50(workspace: Workspace) -> TaskFacts:
    return task_facts("esc50", workspace)


def with_valid(facts: TaskFacts, n_valid: int, score: str) -> TaskFacts:
    return dataclasses.replace(facts, folds=(FoldSizes(100, n_valid, 100),), scores=(score,))


def test_shares_of_few_clips_are_coarse_and_mean_precisions_fine(esc50: TaskFacts) -> None:
    assert fineness(with_valid(esc50, 50, "mAP")) == 1
    shares = [fineness(with_valid(esc50, n, "top1_acc")) for n in (50, 500, 2000)]
    assert shares == sorted(shares)
    assert shares[0] < 0.1 < shares[1] < shares[2] < 1


def test_as_counted_by_others(esc50: TaskFacts) -> None:
    """The share of different values in trials of one's own, by scikit-learn."""
    rng = np.random.default_rng(5)
    facts = dataclasses.replace(esc50, n_labels=6)
    for score, n in (("top1_acc", 400), ("mAP", 30)):
        truth = np.arange(n) % 6
        base = rng.random((n, 6))
        values = set()
        for _ in range(24):
            chances = base + 0.005 * rng.standard_normal(base.shape)
            values.add(
                accuracy_score(truth, chances.argmax(axis=1))
                if score == "top1_acc"
                else average_precision_score(np.eye(6)[truth], chances, average="macro")
            )
        expected = (len(values) - 1) / 23
        assert fineness(with_valid(facts, n, score)) == pytest.approx(expected, abs=0.2)


def test_a_loss_is_as_fine_as_can_be(esc50: TaskFacts) -> None:
    assert fineness(dataclasses.replace(esc50, on_loss=True)) == 1


def test_the_more_events_the_finer(workspace: Workspace) -> None:
    dcase = task_facts("dcase2016_task2", workspace)
    found = [fineness(dataclasses.replace(dcase, events_per_s=rate)) for rate in (0.001, 0.1, 1.0)]
    assert found == sorted(found)
    assert found[0] == 0
    assert 0.2 < found[2] < 0.9


def test_several_labels(workspace: Workspace) -> None:
    fsd50k = dataclasses.replace(task_facts("fsd50k", workspace), n_labels=20)
    assert fineness(with_valid(fsd50k, 100, "mAP")) == 1


def test_the_same_again(esc50: TaskFacts) -> None:
    facts = with_valid(esc50, 300, "top1_acc")
    assert fineness(facts) == fineness(facts)
