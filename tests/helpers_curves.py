"""Results of a curve with scores that are made up."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from helpers_leaderboard import made_up_predictions

from hearbench.probe.protocol import HEAR2021, Protocol
from hearbench.probe.subset import TrainSubset
from hearbench.results import Result, score

TASK = "esc50-v2.0.0-full"
WHOLE = HEAR2021.restricted(first=3)


@cache
def template(task: str = TASK, model: str = "my_model") -> Result:
    return score(made_up_predictions(task, model=model, protocol=WHOLE))


def write_point(
    folder: Path,
    part: TrainSubset | None,
    scores: Mapping[str, float] | float,
    *,
    task_name: str = TASK,
    model: str = "my_model",
    seed: int = 42,
    protocol: Protocol = WHOLE,
    **more: Any,
) -> Path:
    """A result of a part (None: of all clips) with these means in ``folder``, a MODEL/TASK."""
    result = template(task_name, model)
    own = protocol.with_subset(part) if part else protocol
    if not isinstance(scores, Mapping):
        scores = dict.fromkeys(result.scores, scores)
    changed = {
        name: summary.model_copy(
            update={"mean": scores[name], "per_fold": dict.fromkeys(summary.per_fold, scores[name])}
        )
        for name, summary in result.scores.items()
    }
    result = result.model_copy(
        update={
            "protocol": own.for_task(task_name.partition("-")[0]),
            "scores": changed,
            "seed": seed + (part.repeat if part else 0),
            **more,
        }
    )
    place = folder / "few-labels" / part.label() if part else folder
    place.mkdir(parents=True, exist_ok=True)
    file = place / "result.json"
    file.write_text(json.dumps(result.model_dump(mode="json")))
    return file


def shots(number: int, repeat: int = 0) -> TrainSubset:
    return TrainSubset(shots=number, repeat=repeat)


def fraction(share: float, repeat: int = 0) -> TrainSubset:
    return TrainSubset(fraction=share, repeat=repeat)


def clip_counts(part: TrainSubset | None) -> float:
    """As of a task of 1000 training clips with 50 labels."""
    if part is None:
        return 1000.0
    if part.shots is not None:
        return min(1000.0, 50.0 * part.shots)
    return 1000.0 * (part.fraction or 0)
