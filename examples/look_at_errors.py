r"""The test clips that a model gets wrong with the most confidence.

For instance, after `hearbench demo --tasks-only`:

    hearbench evaluate demo-out/my_model.py --task demo-out/tasks/strokes-1.0.0-demo \
        --protocol knn --out demo-out/results
    python examples/look_at_errors.py demo-out/results/my_model/strokes-1.0.0-demo \
        demo-out/tasks/strokes-1.0.0-demo
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

import hearbench


def main(folder: Path, task_folder: Path, count: int = 10) -> None:
    """Prints split, clip, what it is, what it was taken for, and how surely."""
    labels = hearbench.load_task(task_folder).vocabulary
    clips = json.loads((folder / "predictions" / "clips.json").read_text())
    wrong = []
    for split, names in clips.items():
        probabilities = np.load(folder / "predictions" / f"{split}.npy")
        truth = np.load(folder / "predictions" / f"{split}.targets.npy").argmax(axis=1)
        taken = probabilities.argmax(axis=1)
        for row in np.flatnonzero(taken != truth):
            confidence = float(probabilities[row].max())
            found = (confidence, split, names[row], labels[truth[row]], labels[taken[row]])
            wrong.append(found)
    for confidence, split, name, is_label, taken_label in sorted(wrong, reverse=True)[:count]:
        print(f"{split}/{name}: {is_label}, taken for {taken_label} ({confidence:.2f})")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
