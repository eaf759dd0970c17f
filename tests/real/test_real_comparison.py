"""Real models on real audio: noise is called noise, and a difference a difference.

Minutes: `make real`.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import pytest

from hearbench import embed, fit_probe, load_model, load_task, score
from hearbench.comparison.compare import compare
from hearbench.probe.protocol import get_protocol
from hearbench.results import write_result
from hearbench.results.uncertainty import uncertainty
from hearbench.tasks.from_csv import prepare_from_csv
from hearbench.tasks.own_recipe import OwnTask
from hearbench.workspace import Workspace, available_cores

pytestmark = pytest.mark.real

CORPORA = {
    "fsdd": ("free-spoken-digit-dataset.zip", "free-spoken-digit-dataset", 0.56),
    "esc10": ("esc-10.zip", "esc-10", 5.0),
}
# Name, model, options, seed.
RUNS: tuple[tuple[str, str, dict[str, Any], int], ...] = (
    ("logmel_seed42", "logmel_stats", {}, 42),
    ("logmel_seed43", "logmel_stats", {}, 43),
    ("crepe_tiny", "hearbench.models.crepe", {"capacity": "tiny"}, 42),
)


@pytest.fixture(scope="module")
def results(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``results/<name>/<task>`` of all runs."""
    root = tmp_path_factory.mktemp("comparison")
    workspace = Workspace(cache_dir=root / "cache", device="cpu", workers=available_cores())
    protocol = get_protocol("fast").restricted(first=2)
    for corpus, (archive, folder, duration_s) in CORPORA.items():
        zipfile.ZipFile(shared / "data/corpora" / archive).extractall(root)
        task = prepare_from_csv(
            shared / "golden" / corpus / "clips.csv",
            root / folder,
            OwnTask(
                corpus,
                duration_s=duration_s,
                scores=("top1_acc", "mAP"),
                sample_rates=(16000,),
            ),
            root / "out",
            workspace=workspace,
        )
        for name, model, options, seed in RUNS:
            if model == "logmel_stats":
                model = str(shared / "models/logmel_stats.py")
            store = embed(
                load_model(model, workspace=workspace, **options),
                load_task(task, workspace=workspace),
                workspace=workspace,
            )
            predictions = fit_probe(store, protocol, seed=seed, workspace=workspace)
            place = root / "results" / name / store.task.name
            write_result(score(predictions), predictions, place)
            if model != "hearbench.models.crepe":
                both = root / "seeds" / store.task.name
                both = both if seed == 42 else both / "seeds" / str(seed)
                write_result(score(predictions), predictions, both)
    return root / "results"


@pytest.mark.parametrize("test", ["bootstrap", "permutation"])
@pytest.mark.parametrize("name", ["top1_acc", "mAP"])
def test_seeds_are_noise_and_models_are_not(results: Path, test: str, name: str) -> None:
    places = [results / "logmel_seed42", results / "logmel_seed43", results / "crepe_tiny"]
    found = compare(places, score=name, test=test)
    assert len(found.tasks) == 2
    for task in found.tasks:
        better = {(pair.model_a, pair.model_b): pair.better for pair in task.pairs}
        assert better == {
            ("logmel_seed42", "logmel_seed43"): None,
            ("logmel_seed42", "crepe_tiny"): "logmel_seed42",
            ("logmel_seed43", "crepe_tiny"): "logmel_seed43",
        }
        assert task.resolution is not None
        # Fewer clips tell less: 400 of ESC-10, 2500 spoken digits.
        assert (0.01 < task.resolution.paired < 0.03) == task.task.startswith("fsdd")
    standing = {s.model: s for s in found.standings}
    assert standing["crepe_tiny"].mean_rank == 3


def test_the_sources_of_a_real_scores_variance(results: Path) -> None:
    for folder in sorted((results.parent / "seeds").iterdir()):
        accuracy = uncertainty(folder).scores["top1_acc"]
        assert accuracy.clips is not None
        assert accuracy.seeds is not None
        assert accuracy.total is not None
        # Of an accuracy, the clips' part is nearly the binomial one.
        n = accuracy.clips.n or 0
        binomial = (accuracy.mean * (1 - accuracy.mean) / n) ** 0.5
        assert 0.8 * binomial < accuracy.clips.std < 1.05 * binomial
        assert accuracy.total.std >= accuracy.clips.std
        assert accuracy.total.interval.low < accuracy.mean < accuracy.total.interval.high
