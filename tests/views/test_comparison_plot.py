from __future__ import annotations

import itertools
import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import same_color

from hearbench.comparison.record import (
    Comparison,
    ModelStanding,
    PairDifference,
    TaskComparison,
    TaskScore,
)
from hearbench.views.comparison_plot import draw_comparison


def made_up(n_models: int, n_tasks: int, *, baseline: str | None = None) -> Comparison:
    """Models of which each is a little better than the one before."""
    rng = np.random.default_rng(0)
    models = tuple(f"model_{i}" for i in range(n_models))
    tasks = []
    for t in range(n_tasks):
        means = rng.normal(0.7, 0.05) + 0.03 * np.arange(n_models)
        scores = tuple(
            TaskScore(
                model=model, mean=mean, std=0.02, low=mean - 0.04, high=mean + 0.04, seeds=(42,),
                is_random=True, protocol="hear2021", rank=n_models - i, rank_low=1,
                rank_high=n_models,
            )
            for i, (model, mean) in enumerate(zip(models, means.tolist(), strict=True))
        )  # fmt: skip
        pairs = tuple(
            pair(scores[a], scores[b])
            for a, b in itertools.combinations(range(n_models), 2)
            if baseline in (None, models[a], models[b])
        )
        tasks.append(
            TaskComparison(
                task=f"task{t}-1.0.0-full", score="top1_acc", maximise=True, n_clips=400,
                n_folds=1, resolution=None, scores=scores, pairs=pairs, notes=(),
            )
        )  # fmt: skip
    standings = tuple(
        ModelStanding(
            model=model, mean_rank=n_models - i, low=1, high=n_models, n_tasks=n_tasks,
            n_pairs=1, ahead=1, clearly_better=0, clearly_worse=0,
        )
        for i, model in enumerate(models)
    )  # fmt: skip
    return Comparison(
        models=models, baseline=baseline, test="bootstrap", level=0.95, n_resamples=10,
        resampling_seed=0, n_tests=1, tasks=tuple(tasks), standings=standings, notes=(),
    )  # fmt: skip


def pair(a: TaskScore, b: TaskScore) -> PairDifference:
    difference = a.mean - b.mean
    better = b.model if difference < -0.05 else None
    return PairDifference(
        model_a=a.model, model_b=b.model, difference=difference, std=0.02, low=difference - 0.05,
        high=difference + 0.05, p=0.5, p_holm=0.5, better=better, verdict="",
    )  # fmt: skip


def names(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.get_yticklabels()]


def test_scores_and_differences_are_where_they_should_be() -> None:
    found = made_up(3, 2)
    figure = draw_comparison(found)
    scores, differences, *others = figure.axes
    assert len(others) == 2
    assert names(scores) == ["model_0", "model_1", "model_2"]
    assert names(differences)[1] == "model_0 − model_2"
    segments = [line.get_xdata() for line in scores.lines if len(np.asarray(line.get_xdata())) == 2]
    assert [tuple(np.asarray(s)) for s in segments] == [
        (s.low, s.high) for s in found.tasks[0].scores
    ]
    markers = [line for line in differences.lines if len(np.asarray(line.get_xdata())) == 1]
    values = [float(np.asarray(line.get_xdata())[0]) for line in markers]
    assert values == [p.difference for p in found.tasks[0].pairs]
    # Only the first and the last model differ; they are marked as the last, which is better.
    hollow = [same_color(line.get_markerfacecolor(), "white") for line in markers]
    assert hollow == [True, False, True]
    last = [line for line in scores.lines if len(np.asarray(line.get_xdata())) == 1][-1]
    assert same_color(markers[1].get_color(), last.get_color())


def test_of_many_pairs_those_with_the_best_model_are_drawn() -> None:
    found = made_up(6, 1)
    differences = draw_comparison(found).axes[1]
    assert differences.get_title(loc="left") == "differences from model_5"
    assert names(differences) == [f"model_{i}" for i in range(5)]
    low = found.tasks[0].pairs[-1].low
    assert any(np.isclose(np.asarray(line.get_xdata()), low).any() for line in differences.lines)
    by_name = draw_comparison(made_up(3, 1, baseline="model_0")).axes[1]
    assert names(by_name) == ["model_1", "model_2"]
    # Turned round, as the baseline is what is subtracted.
    assert max(np.asarray(line.get_xdata()).max() for line in by_name.lines) > 0.1


def test_all_of_a_large_comparison_is_in_the_figure() -> None:
    figure = draw_comparison(made_up(6, 19))
    boxes = [axes.get_position() for axes in figure.axes]
    assert len(boxes) == 38
    assert all(0 < box.x0 < box.x1 < 1 and 0 < box.y0 < box.y1 < 1 for box in boxes)
    scores = boxes[::2]
    assert all(upper.y0 > lower.y1 for upper, lower in itertools.pairwise(scores))


@pytest.mark.parametrize(
    ("value", "text"), [(math.nan, "undefined"), (math.inf, "infinite"), (-math.inf, "infinite")]
)
def test_numbers_that_have_no_place(value: float, text: str, tmp_path: Path) -> None:
    found = made_up(2, 1)
    task = found.tasks[0]
    score = task.scores[0].model_copy(
        update={"model": "$a$", "mean": value, "low": math.nan, "high": math.nan}
    )
    task = task.model_copy(update={"scores": (score, task.scores[1])})
    figure = draw_comparison(
        found.model_copy(update={"models": ("$a$", "model_1"), "tasks": (task,)})
    )
    assert [t.get_text() for t in figure.axes[0].texts] == [text]
    figure.savefig(tmp_path / "plot.png")


def test_protocols_are_marked() -> None:
    found = made_up(2, 1)
    (task,) = found.tasks
    scores = tuple(
        score.model_copy(update={"fingerprint": mark, "protocol_words": name, "model": name})
        for score, mark, name in zip(
            task.scores, ("4d0612ca1b", "bc560f6c75"), ("model_0", "m" * 40), strict=True
        )
    )
    marked = task.pairs[0].model_copy(update={"across_protocols": True, "model_b": "m" * 40})
    task = task.model_copy(update={"scores": scores, "pairs": (marked,)})
    found = found.model_copy(update={"tasks": (task,), "models": ("model_0", "m" * 40)})
    figure = draw_comparison(found)
    assert names(figure.axes[0]) == ["model_0 (4d0612ca1b)", "mmmmmmmmmmmmmm… (bc560f6c75)"]
    assert names(figure.axes[1])[0].startswith("* model_0 − m")
    assert "by different protocols" in [text.get_text() for text in figure.legends[0].get_texts()]


def test_each_protocol_has_a_rival_of_its_own() -> None:
    """With more models than all pairs can be drawn of."""
    whole, part = made_up(5, 1), made_up(4, 1)
    renamed = json.loads(re.sub(r'"model_(\d)', r'"other_\1', part.model_dump_json()))
    part = Comparison.model_validate(renamed)
    found = whole.model_copy(
        update={
            "models": (*whole.models, *part.models),
            "tasks": (*whole.tasks, *part.tasks),
            "standings": (
                *whole.standings,
                *(each.model_copy(update={"group": 1}) for each in part.standings),
            ),
        }
    )
    figure = draw_comparison(found)
    _, of_whole, _, of_part = figure.axes
    assert of_whole.get_title(loc="left") == "differences from model_4"
    assert of_part.get_title(loc="left") == "differences from other_3"
    assert names(of_part) == ["other_0", "other_1", "other_2"]
    assert figure.get_suptitle().startswith("9 models on 1 task,")
