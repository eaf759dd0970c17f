"""A small event result, written by hand."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

Lists = Mapping[str, Sequence[Mapping[str, Any]]]

HOP_MS = 50.0


def event(label: str, start: float, end: float) -> dict[str, Any]:
    return {"label": label, "start": start, "end": end}


# By onsets within 200 ms: in a.wav dog 1000/1100 and cat 3000/2850 match, dog 2000 and bird 5000
# are missed, dog 4000 and cat 3000 are spurious; b.wav has nothing to find and one event found.
LABELS = ["bird", "cat", "dog", "owl"]
REFERENCE: Lists = {
    "a.wav": [
        event("dog", 1000.0, 1500.0),
        event("dog", 2000.0, 2600.0),
        event("cat", 3000.0, 3700.0),
        event("bird", 5000.0, 5500.0),
    ],
    "b.wav": [],
}
ESTIMATE: Lists = {
    "a.wav": [
        event("dog", 1100.0, 1550.0),
        event("cat", 2850.0, 3650.0),
        event("dog", 4000.0, 4500.0),
        event("cat", 4100.0, 4100.0),
    ],
    "b.wav": [event("cat", 500.0, 900.0)],
}


def write_event_result(
    folder: Path,
    reference: Lists = REFERENCE,
    estimate: Lists = ESTIMATE,
    labels: Sequence[str] = LABELS,
    *,
    primary_score: str = "event_onset_200ms_fms",
    duration_ms: float = 6000.0,
    split: str = "test",
) -> Path:
    """One test split; probabilities are 0.9 in predicted events and 0.1 elsewhere."""
    place = folder / "predictions"
    place.mkdir(parents=True, exist_ok=True)
    times = np.arange(0.0, duration_ms, HOP_MS)
    probabilities = np.full((len(reference), len(times), len(labels)), 0.1, dtype=np.float32)
    for clip, name in enumerate(reference):
        for found in estimate.get(name, ()):
            inside = (times >= found["start"]) & (times <= found["end"])
            probabilities[clip, inside, list(labels).index(found["label"])] = 0.9
    clips_file = place / "clips.json"
    clips = json.loads(clips_file.read_text()) if clips_file.exists() else {}
    clips[split] = list(reference)
    files = {
        folder / "result.json": _result(clips, len(labels), primary_score),
        clips_file: clips,
        place / "labels.json": list(labels),
        place / f"{split}.reference.json": reference,
        place / f"{split}.events.json": estimate,
    }
    for path, value in files.items():
        path.write_text(json.dumps(value))
    n_clips = len(reference)
    np.save(place / f"{split}.npy", probabilities.reshape(-1, len(labels)))
    np.save(place / f"{split}.timestamps.npy", np.tile(times, n_clips))
    np.save(place / f"{split}.bounds.npy", np.arange(n_clips + 1, dtype=np.int64) * len(times))
    return folder


def _result(clips: Mapping[str, Sequence[str]], n_labels: int, primary_score: str) -> Any:
    """A result of these test splits, in which nothing but what is drawn has a meaning."""
    some, digest = dict.fromkeys(clips, 0.5), "0" * 64
    way = {"median_filter_ms": 0.0, "min_duration_ms": 0.0}
    fared = {
        "validation_score": 0.5,
        "best_epoch": 0,
        "epochs": 0,
        "postprocessing": way,
    }
    point = {"k": 1}
    return {
        "format_version": 1,
        "hearbench_version": "0",
        "model": {
            "name": "my_model",
            "spec": "my_model",
            "weights": None,
            "weights_digest": None,
            "source_digest": digest,
            "options": {},
            "digest": digest,
            "sample_rate": 16000,
            "scene_embedding_size": 1,
            "timestamp_embedding_size": 1,
        },
        "task": {"name": "calls-1.0.0-full", "digest": digest},
        "kind": "event",
        "prediction_type": "multilabel",
        "n_labels": n_labels,
        "embeddings": {"digest": digest, "dtype": "float32", "size": 1, "kind": "event"},
        "protocol": {"name": "knn", "grid": [point]},
        "seed": 0,
        "device": "cpu",
        "precision": "float32",
        "versions": {},
        "primary_score": primary_score,
        "scores": {primary_score: {"mean": 0.5, "std": None, "per_fold": some, "maximise": True}},
        "folds": [
            {
                "test": split,
                "valid": "valid",
                "train": ["train"],
                "n_clips": len(names),
                "test_loss": 0.5,
                **fared,
            }
            for split, names in clips.items()
        ],
        "chosen": 0,
        "grid": [{"point": point, "ended": "asked", **fared}],
        "resources": {
            "created": "2026-01-01T00:00:00+00:00",
            "embed_s": 1.0,
            "probe_s": 1.0,
            "fold_s": some,
            "audio_s": 1.0,
            "embed_peak_memory_mb": None,
            "probe_peak_memory_mb": None,
            "embeddings_path": "embeddings",
        },
    }
