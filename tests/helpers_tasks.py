"""Small prepared tasks in the official layout, synthesised on disk for any test."""

from __future__ import annotations

import json
import wave
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hearbench.tasks.recipe import Recipe

FOLDS = ("fold00", "fold01", "fold02")
TRAIN_VALID_TEST = ("train", "valid", "test")


def recipe(**changes: Any) -> Recipe:
    """Of a task with a label per clip of 0.1 s."""
    workspace: dict[str, Any] = {
        "name": "t",
        "version": "1",
        "mode": "full",
        "embedding_type": "scene",
        "prediction_type": "multiclass",
        "split_mode": "trainvaltest",
        "sample_duration_s": 0.1,
        "scores": ("top1_acc",),
    }
    return Recipe(**{**workspace, **changes})


def write_wav(path: Path, x: npt.NDArray[np.int16], sample_rate: int) -> None:
    """Writes 16-bit mono audio with the standard library (not with what is under test)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(sample_rate)
        file.writeframes(x.astype("<i2").tobytes())


def tone(
    frequency_hz: float, duration_s: float, sample_rate: int, rng: np.random.Generator
) -> npt.NDArray[np.int16]:
    """A sine at random phase with a little noise, (n_samples,)."""
    t = np.arange(round(duration_s * sample_rate)) / sample_rate
    x = 0.4 * np.sin(2 * np.pi * (frequency_hz * t + rng.random()))
    x += 0.01 * rng.standard_normal(len(t))
    return np.rint(x * 32767).astype(np.int16)


def _at_rate(x: npt.NDArray[np.int16], rate_in: int, rate_out: int) -> npt.NDArray[np.int16]:
    # Good enough for tones far below half of the lower rate.
    n = int(len(x) * rate_out / rate_in + 0.5)
    y = np.interp(np.arange(n) * rate_in / rate_out, np.arange(len(x)), x)
    return np.rint(y).astype(np.int16)


def write_task(
    folder: Path,
    *,
    metadata: Mapping[str, Any],
    vocabulary: Sequence[str],
    splits: Mapping[str, Mapping[str, list[Any]]],
    audio: Mapping[str, Mapping[str, npt.NDArray[np.int16]]],
    sample_rates: Sequence[int],
) -> Path:
    """Writes a task folder; ``audio`` is per split and file, at the highest rate."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "task_metadata.json").write_text(json.dumps(metadata, indent=1))
    lines = ["idx,label", *(f"{i},{label}" for i, label in enumerate(vocabulary))]
    (folder / "labelvocabulary.csv").write_text("\n".join(lines) + "\n")
    for split, files in splits.items():
        (folder / f"{split}.json").write_text(json.dumps(files, indent=1))
        for rate in sample_rates:
            for name in files:
                x = _at_rate(audio[split][name], max(sample_rates), rate)
                write_wav(folder / str(rate) / split / name, x, rate)
    return folder


def _metadata(name: str, kind: str, prediction: str, folds: bool, **more: Any) -> dict[str, Any]:
    splits = FOLDS if folds else TRAIN_VALID_TEST
    metadata: dict[str, Any] = {
        "task_name": name,
        "version": "1.0.0",
        "mode": "full",
        "embedding_type": kind,
        "prediction_type": prediction,
        "split_mode": "new_split_kfold" if folds else "trainvaltest",
        "splits": list(splits),
    }
    if folds:
        metadata["nfolds"] = len(splits)
    return {**metadata, **more}


def make_scene_task(
    folder: Path,
    *,
    name: str = "tones",
    labels: Sequence[str] = ("a", "b", "c"),
    clips_per_label: int = 4,
    multilabel: bool = False,
    folds: bool = False,
    sample_rates: Sequence[int] = (16000,),
    duration_s: float = 0.25,
    varying_lengths: bool = False,
    scores: Sequence[str] | None = None,
    seed: int = 0,
    **metadata: Any,
) -> Path:
    """A task of labelled tones, one pitch per label; returns ``folder/<name>-1.0.0-full``.

    ``clips_per_label`` is per split (train, valid, test, or three folds). Labels that are
    integers (``("60", "61")``) are integers in the JSON, as the official ones are. Of a
    multilabel task every clip has its own label and often the next one's too. With
    ``varying_lengths`` the ``sample_duration`` is null and no clip is longer than
    ``2 * duration_s``.
    """
    rng = np.random.default_rng(seed)
    as_json = [int(label) if label.isdecimal() else label for label in labels]
    splits: dict[str, dict[str, list[Any]]] = {}
    audio: dict[str, dict[str, npt.NDArray[np.int16]]] = {}
    rate = max(sample_rates)
    for split in FOLDS if folds else TRAIN_VALID_TEST:
        splits[split], audio[split] = {}, {}
        for i, label in enumerate(labels):
            for k in range(clips_per_label):
                file = f"{split}-{label}-{k}.wav"
                length_s = duration_s * (1 + k % 3 / 2 if varying_lengths else 1)
                splits[split][file] = [as_json[i]]
                x = tone(200.0 * 1.5**i, length_s, rate, rng) // 2
                if multilabel and len(labels) > 1 and k % 2:
                    other = (i + 1) % len(labels)
                    splits[split][file].append(as_json[other])
                    x = x + tone(200.0 * 1.5**other, length_s, rate, rng) // 2
                audio[split][file] = x.astype(np.int16)
    default = ["mAP", "aucroc"] if multilabel else ["top1_acc", "mAP"]
    return write_task(
        folder / f"{name}-1.0.0-full",
        metadata=_metadata(
            name,
            "scene",
            "multilabel" if multilabel else "multiclass",
            folds,
            **{
                "sample_duration": None if varying_lengths else duration_s,
                "evaluation": list(scores) if scores is not None else default,
                **metadata,
            },
        ),
        vocabulary=labels,
        splits=splits,
        audio=audio,
        sample_rates=sample_rates,
    )


def make_event_task(
    folder: Path,
    *,
    name: str = "beeps",
    labels: Sequence[str] = ("high", "low"),
    clips: int = 3,
    events_per_clip: int = 3,
    folds: bool = False,
    sample_rates: Sequence[int] = (16000,),
    duration_s: float = 2.0,
    scores: Sequence[str] = ("event_onset_200ms_fms", "segment_1s_er"),
    seed: int = 0,
    **metadata: Any,
) -> Path:
    """A task of beeps in near silence; returns ``folder/<name>-1.0.0-full``.

    ``clips`` is per split. Each clip has ``events_per_clip`` beeps of 300 ms, which don't
    overlap, and the labels take turns; the last clip of each split has none.
    """
    rng = np.random.default_rng(seed)
    rate = max(sample_rates)
    slot_ms = 1000 * duration_s / max(1, events_per_clip)
    length_ms = min(300.0, slot_ms / 2)
    splits: dict[str, dict[str, list[Any]]] = {}
    audio: dict[str, dict[str, npt.NDArray[np.int16]]] = {}
    for split in FOLDS if folds else TRAIN_VALID_TEST:
        splits[split], audio[split] = {}, {}
        for k in range(clips):
            file = f"{split}-{k}.wav"
            x = np.rint(30 * rng.standard_normal(round(duration_s * rate))).astype(np.int16)
            events: list[Any] = []
            for j in range(events_per_clip if k < clips - 1 else 0):
                i = (k + j) % len(labels)
                start_ms = round(j * slot_ms + rng.uniform(0, slot_ms - length_ms), 3)
                beep = tone(2000.0 / (i + 1), length_ms / 1000, rate, rng)
                begin = round(start_ms * rate / 1000)
                stop = min(len(x), begin + len(beep))
                x[begin:stop] = beep[: stop - begin]
                events.append({"label": labels[i], "start": start_ms, "end": start_ms + length_ms})
            splits[split][file] = events
            audio[split][file] = x
    return write_task(
        folder / f"{name}-1.0.0-full",
        metadata=_metadata(
            name,
            "event",
            "multilabel",
            folds,
            **{"sample_duration": duration_s, "evaluation": list(scores), **metadata},
        ),
        vocabulary=labels,
        splits=splits,
        audio=audio,
        sample_rates=sample_rates,
    )
