"""Whole evaluations of real audio against the reference implementation's scores.

Minutes each: `make real`. The intervals are those in which the reference's own runs, and an
independent implementation of the protocol, fall.
"""

from __future__ import annotations

import statistics
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from hearbench import embed, fit_probe, load_model, load_task, score
from hearbench.embeddings.store import EmbeddingStore
from hearbench.probe.protocol import HEAR2021
from hearbench.tasks.from_csv import prepare_from_csv
from hearbench.tasks.own_recipe import OwnTask
from hearbench.workspace import Workspace, available_cores

pytestmark = pytest.mark.real

OpenStore = Callable[[str, str], EmbeddingStore]

CORPORA = {
    "fsdd": ("free-spoken-digit-dataset.zip", "free-spoken-digit-dataset", 0.56),
    "esc10": ("esc-10.zip", "esc-10", 5.0),
}


@pytest.fixture(scope="module")
def open_store(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> OpenStore:
    """Embeddings of a corpus by a model, prepared once per module."""
    root = tmp_path_factory.mktemp("real")
    workspace = Workspace(cache_dir=root / "cache", device="cpu", workers=available_cores())

    def open_one(corpus: str, model: str) -> EmbeddingStore:
        archive, folder, duration_s = CORPORA[corpus]
        if not (root / folder).is_dir():
            zipfile.ZipFile(shared / "data/corpora" / archive).extractall(root)
        task = prepare_from_csv(
            shared / "golden" / corpus / "clips.csv",
            root / folder,
            OwnTask(
                corpus,
                duration_s=duration_s,
                scores=("top1_acc", "mAP"),
                sample_rates=(16000, 44100),
            ),
            root / "out",
            workspace=workspace,
        )
        if model == "logmel_stats":
            model = str(shared / "models/logmel_stats.py")
        return embed(
            load_model(model, workspace=workspace),
            load_task(task, workspace=workspace),
            workspace=workspace,
        )

    return open_one


def mean_accuracy(store: EmbeddingStore, **kwargs: object) -> float:
    result = score(fit_probe(store, workspace=settings_of(store), **kwargs))  # type: ignore[arg-type]
    assert len(result.folds) == 5
    return result.primary.mean


def settings_of(store: EmbeddingStore) -> Workspace:
    return Workspace(cache_dir=store.folder.parents[3], device="cpu", workers=available_cores())


@pytest.mark.parametrize(
    ("model", "low", "high"),
    [
        ("logmel_stats", 0.969, 0.988),
        ("hearbench.models.crepe", 0.715, 0.757),
        ("hearbench.models.naive", 0.08, 0.30),
    ],
)
def test_spoken_digits_score_as_in_the_reference(
    open_store: OpenStore, model: str, low: float, high: float
) -> None:
    accuracy = mean_accuracy(open_store("fsdd", model))
    assert low <= accuracy <= high


@pytest.mark.parametrize("precision", ["auto", "float32"])
def test_the_references_choice_scores_as_in_the_reference(
    open_store: OpenStore, precision: str
) -> None:
    store = open_store("fsdd", "logmel_stats")
    only = HEAR2021.restricted(only={"hidden_layers": 2, "initialization": "normal", "lr": 3.2e-4})
    accuracies = [
        mean_accuracy(store, protocol=only, seed=seed, precision=precision) for seed in (42, 43, 44)
    ]
    assert 0.976 <= statistics.fmean(accuracies) <= 0.984


@pytest.mark.parametrize(
    "model", ["logmel_stats", "hearbench.models.crepe", "hearbench.models.naive"]
)
def test_environmental_sounds_run_with_every_model(open_store: OpenStore, model: str) -> None:
    accuracy = mean_accuracy(open_store("esc10", model))
    # Ten classes: all three are above chance, log-mel bands far above.
    assert accuracy > (0.5 if model == "logmel_stats" else 0.1)
