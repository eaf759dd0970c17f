from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from helpers_tasks import make_scene_task
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from hearbench.tasks.stats import EventStats, SplitStats, Spread, TaskStats, task_stats
from hearbench.tasks.store import load_task
from hearbench.views.task_plot import draw_task_stats
from hearbench.workspace import Workspace


def made_up(
    counts: Any, labels: tuple[str, ...], *, events: bool = False, names: tuple[str, ...] = ()
) -> TaskStats:
    """A task of which only the numbers are there: ``counts`` of shape (n_splits, n_labels)."""
    table = np.asarray(counts, dtype=np.int64)
    names = names or ("train", "valid", "test")
    spread = Spread(1.0, 1.0, 1.0)
    splits = tuple(
        SplitStats(
            name=name,
            clips=10 * (i + 1),
            hours=(i + 1) / 360,
            duration=spread,
            unlabelled=2 * i,
            labels_per_clip=1.0,
            silent=None,
            events=EventStats(int(table[i].sum()), spread, 1, 0.5, 0.0, 0) if events else None,
        )
        for i, name in enumerate(names)
    )
    return TaskStats(
        name="made-up-1.0.0-full",
        kind="event" if events else "scene",
        prediction_type="multilabel",
        split_mode="trainvaltest",
        scores=("mAP",),
        sample_rates=(16000,),
        sample_duration_s=1.0,
        splits=splits,
        labels=labels,
        counts=table,
        durations_s=tuple(np.linspace(0.5, 4.0, split.clips) for split in splits),
        event_durations_s=tuple(
            np.geomspace(0.01, 10.0, int(row.sum())) if events else np.empty(0) for row in table
        ),
    )


def panel(figure: Figure, title: str) -> Axes:
    (found,) = (axes for axes in figure.axes if axes.get_title(loc="left").startswith(title))
    return found


def lengths(axes: Axes) -> list[list[float]]:
    """The lengths of the bars of each split."""
    return [
        [patch.get_width() for patch in bars if isinstance(patch, Rectangle)]
        for bars in axes.containers
    ]


def names(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.get_yticklabels()]


def texts(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def overlapping(figure: Figure) -> list[tuple[str, str]]:
    """Pairs of texts of one panel, or of panels' titles, that are drawn over each other."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas: Any = FigureCanvasAgg(figure)
    canvas.draw()
    renderer = canvas.get_renderer()
    drawn = []
    for axes in figure.axes:
        low, high = sorted(axes.get_xlim())
        bottom, top = sorted(axes.get_ylim())
        # Ticks beyond the axis aren't drawn.
        ticks = [text for text in axes.get_xticklabels() if low <= text.get_position()[0] <= high]
        ticks += [
            text for text in axes.get_yticklabels() if bottom <= text.get_position()[1] <= top
        ]
        titles: list[Any] = [axes._left_title]  # type: ignore[attr-defined]
        labels = [axes.xaxis.label, axes.yaxis.label, *axes.texts]
        drawn += [
            (text.get_text(), text.get_window_extent(renderer).shrunk(0.98, 0.9))
            for text in (*ticks, *labels, *titles)
            if text.get_text()
        ]
    return [
        (first, second)
        for i, (first, box) in enumerate(drawn)
        for second, other in drawn[i + 1 :]
        if box.overlaps(other)
    ]


def test_two_labels() -> None:
    figure = draw_task_stats(made_up([[3, 20], [1, 2], [5, 0]], ("a", "b$x$")))
    assert figure.get_suptitle() == (
        "made-up-1.0.0-full: 60 clips, 1 min, 2 labels, multilabel scene task"
    )
    bars = panel(figure, "Clips per label")
    assert names(bars) == ["b$x$", "a"]
    assert lengths(bars) == [[20, 3], [2, 1], [0, 5]]
    assert texts(bars) == ["22", "9"]
    splits = panel(figure, "Clips per split")
    assert lengths(splits) == [[10, 20, 30]]
    assert texts(splits) == ["10 (10 s)", "20 (20 s), 2 unlabelled", "30 (30 s), 4 unlabelled"]
    durations = panel(figure, "Durations of clips: 0.5 to 4 s, median (dashed) 2.25 s")
    assert sum(patch.get_height() for bars in durations.containers for patch in bars) == 60
    assert durations.get_xlabel() == "duration (s)"
    assert len(figure.axes) == 3
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["train", "valid", "test"]
    assert legend.get_title().get_text() == "Labels that a split doesn't hold: test lacks 1."
    assert overlapping(figure) == []


def test_fifty_labels_are_all_named() -> None:
    labels = tuple(f"label {i}" for i in range(50))
    counts = np.arange(150).reshape(3, 50) + 1
    figure = draw_task_stats(made_up(counts, labels))
    bars = panel(figure, "Clips per label")
    assert names(bars) == list(reversed(labels))
    assert texts(bars)[0] == str(50 + 100 + 150)
    assert overlapping(figure) == []


def test_three_hundred_labels_are_cut_and_drawn_as_a_curve() -> None:
    labels = tuple(f"a label of some length, {i}" for i in range(300))
    counts = np.stack([np.arange(300, 0, -1) * 10, np.ones(300), np.zeros(300)])
    figure = draw_task_stats(made_up(counts, labels))
    bars = panel(figure, "Clips per label: the 25 most and the 15 least frequent")
    assert names(bars) == [*labels[:25], *labels[285:]]
    assert "… 260 more labels between" in texts(bars)
    curve = panel(figure, "All 300 labels by frequency")
    np.testing.assert_array_equal(curve.lines[0].get_ydata(), counts.sum(axis=0))
    assert curve.get_yscale() == "symlog"
    assert overlapping(figure) == []


def test_an_event_task() -> None:
    figure = draw_task_stats(made_up([[30, 9], [5, 2], [4, 4]], ("a", "b"), events=True))
    assert panel(figure, "Events per label").get_xlabel() == "events"
    events = panel(figure, "Durations of events: 0.01 to 10 s, median (dashed) 0.316 s")
    assert sum(patch.get_height() for bars in events.containers for patch in bars) == 54
    assert events.get_xscale() == "log"
    assert overlapping(figure) == []


def test_an_event_task_without_events() -> None:
    figure = draw_task_stats(made_up(np.zeros((3, 2)), ("a", "b"), events=True))
    assert "no events" in texts(panel(figure, "Durations of events"))


def test_many_folds() -> None:
    folds = tuple(f"fold{i:02d}" for i in range(10))
    labels = tuple(map(str, range(70)))
    counts = np.random.default_rng(0).integers(1, 40, (10, 70))
    figure = draw_task_stats(made_up(counts, labels, names=folds))
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == list(folds)
    assert legend.get_title().get_text() == "Every split holds every label."
    colours = {
        tuple(bars[0].get_facecolor()) for bars in panel(figure, "Clips per label").containers
    }
    assert len(colours) == 10
    assert overlapping(figure) == []


def test_clips_of_one_length(tmp_path: Path, workspace: Workspace) -> None:
    task = load_task(make_scene_task(tmp_path), workspace=workspace)
    figure = draw_task_stats(task_stats(task, workspace=workspace))
    axes = panel(figure, "Durations of clips: all 0.25 s")
    assert [bars[0].get_height() for bars in axes.containers] == [12, 12, 12]
