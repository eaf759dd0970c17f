"""Which clips of a task a fold learns from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hearbench.probe.randomness import stream_seed
from hearbench.probe.subset import TrainSubset, choose_clips
from hearbench.tasks.clips import Event

if TYPE_CHECKING:
    from hearbench.tasks.store import FoldSplit, PreparedTask

__all__ = ["mean_training_clips", "training_clips"]


def training_clips(
    task: PreparedTask, fold: FoldSplit, subset: TrainSubset | None
) -> dict[str, list[int]]:
    """The training clips by split, as ascending positions in its file's order.

    They are the same for every model and every seed of the training, as if they belonged to the
    task; other folds and repeats draw again.

    Args:
        fold: One of its folds.
        subset: A part of the clips; None is all.

    Raises:
        ProbeError: Fewer than two clips come out.
    """
    sizes = [(split, len(task.splits[split])) for split in fold.train]
    if subset is None:
        return {split: list(range(size)) for split, size in sizes}
    index = {label: i for i, label in enumerate(task.vocabulary)}
    label_sets = [
        frozenset(index[item.label if isinstance(item, Event) else item] for item in labels)
        for split in fold.train
        for labels in task.splits[split].values()
    ]
    seed = stream_seed("subset", fold.test)
    chosen = choose_clips(label_sets, subset, seed=seed).tolist()
    found, start = {}, 0
    for split, size in sizes:
        found[split] = [i - start for i in chosen if start <= i < start + size]
        start += size
    return found


def mean_training_clips(task: PreparedTask, subset: TrainSubset | None) -> float:
    """Number of training clips, the mean over the task's folds.

    Raises:
        ProbeError: Fewer than two clips come out in a fold.
    """
    folds = task.folds()
    counts = [
        sum(len(clips) for clips in training_clips(task, fold, subset).values()) for fold in folds
    ]
    return sum(counts) / len(folds)
