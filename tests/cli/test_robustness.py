"""Disturbing audio from the command line, and showing what scores lose."""

from __future__ import annotations

import csv
import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers_cli import hearbench
from helpers_models import BANDS, write_model
from helpers_tasks import make_event_task, make_scene_task
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hearbench.errors import HearError, ResultError, UnknownNameError
from hearbench.evaluation.results import load_results
from hearbench.leaderboard.official import official_table
from hearbench.leaderboard.site import OwnResult, build_site
from hearbench.leaderboard.site.own import own_models
from hearbench.leaderboard.site.plots import robustness_plot
from hearbench.leaderboard.table import Row
from hearbench.results import Result
from hearbench.results.robustness import (
    FoundRobustness,
    Robustness,
    find_robustness,
    robustness_table,
)
from hearbench.views.robustness_plot import draw_robustness
from hearbench.views.style import model_colours

TASK = "tones-1.0.0-full"
# Listens to a quarter of the band.
COARSE = BANDS.replace("[:, 1:385]", "[:, 1:97]")
PERTURB = ("--perturb", "noise=10,0,-10", "--perturb", "room")


@dataclasses.dataclass(frozen=True)
class Evaluated:
    """Two models' results, and what the command said."""

    out: Path
    answer: dict[str, Any]

    @property
    def found(self) -> list[FoundRobustness]:
        return find_robustness([self.out])


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> Evaluated:
    folder = tmp_path_factory.mktemp("robust")
    task = make_scene_task(folder, clips_per_label=10)
    models = [write_model(folder, BANDS, "bands"), write_model(folder, COARSE, "coarse")]
    answer = hearbench(
        *("evaluate", *models, "--task", task, "--out", folder / "out", "--protocol", "knn"),
        *(*PERTURB, "--cache", folder / "cache", "--json"),
    )
    assert answer.code == 0, answer.stderr
    return Evaluated(folder / "out", answer.json)


def test_evaluate_writes_and_says_it(evaluated: Evaluated) -> None:
    first, second = evaluated.answer["robustness"]
    for said, model in ((first, "bands"), (second, "coarse")):
        folder = evaluated.out / model / TASK
        assert said["path"] == str(folder / "robustness.json")
        assert {
            **json.loads((folder / "robustness.json").read_text()),
            "path": said["path"],
        } == said
        assert [point["name"] for point in said["points"]] == [
            *("noise=10", "noise=0", "noise=-10", "room")
        ]
        assert said["points"][3]["recipe"] == "reverb=0.6+noise=pink:25"
        assert (folder / "perturbed/noise=-10/predictions/test.npy").is_file()
    assert len(evaluated.answer["results"]) == 2


def test_the_table_of_several_models(evaluated: Evaluated) -> None:
    answer = hearbench("robustness", evaluated.out, "--baseline", "bands")
    assert answer.code == 0
    lines = [line.split() for line in answer.stdout.splitlines()]
    assert ["perturbation", "bands", "coarse"] in lines
    by_name = {each.model: each.content for each in evaluated.found}
    for i, point in enumerate(by_name["bands"].points):
        (line,) = (words for words in lines if words[:1] == [point.name])
        assert float(line[1]) == pytest.approx(point.scores["top1_acc"], abs=6e-4)
        assert float(line[2].strip("(")) == pytest.approx(point.losses["top1_acc"].mean, abs=6e-4)
        other = by_name["coarse"].points[i].scores["top1_acc"]
        assert float(line[5]) == pytest.approx(other, abs=6e-4)
    means = {name: own.means[0].losses["top1_acc"].mean for name, own in by_name.items()}
    (share,) = (words for words in lines if words[:3] == ["as", "a", "share"])
    assert float(share[-2]) == 1.0
    assert float(share[-1]) == pytest.approx(means["coarse"] / means["bands"], abs=6e-4)
    (more,) = (words for words in lines if words[:2] == ["more", "than"])
    assert float(more[3]) == pytest.approx(means["coarse"] - means["bands"], abs=6e-4)
    assert more[-2] == "p"


def test_the_table_of_one_model_and_a_narrow_terminal(
    evaluated: Evaluated, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    answer = hearbench("robustness", evaluated.out / "bands", "--score", "mAP")
    assert answer.code == 0
    (own,) = find_robustness([evaluated.out / "bands"])
    line = next(each for each in answer.stdout.splitlines() if each.split()[:1] == ["noise=-10"])
    loss = own.content.points[2].losses["mAP"]
    for figure in (own.content.points[2].scores["mAP"], loss.mean, loss.low, loss.high):
        assert f"{figure:.3f}" in line
    assert max(len(each) for each in answer.stdout.splitlines() if "─" in each) <= 80


def test_files_and_json(evaluated: Evaluated, tmp_path: Path) -> None:
    plot, table = tmp_path / "r.png", tmp_path / "r.csv"
    answer = hearbench("robustness", evaluated.out, "--plot", plot, "--csv", table, "--json")
    assert answer.code == 0
    assert plot.read_bytes().startswith(b"\x89PNG")
    rows = list(csv.DictReader(table.read_text().splitlines()))
    # Clean, four perturbations and their mean, of two models.
    assert len(rows) == 12
    assert rows[0]["perturbation"] == ""
    (own, _) = evaluated.found
    assert float(rows[2]["loss"]) == pytest.approx(own.content.points[1].losses["top1_acc"].mean)
    assert (rows[2]["series"], float(rows[2]["severity"])) == ("noise", 0.0)
    assert [each["model"] for each in answer.json["robustness"]] == ["bands", "coarse"]
    assert answer.json["robustness"][0]["clean"] == own.content.clean


def test_what_cant_be_is_told(evaluated: Evaluated, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    answer = hearbench("robustness", empty)
    assert answer.code == 2
    assert "--perturb" in answer.stderr
    with pytest.raises(ResultError) as missing:
        find_robustness([empty])
    assert missing.value.code == "not_found"
    answer = hearbench("robustness", evaluated.out, "--baseline", "band")
    assert answer.code == 2
    assert "Did you mean 'bands'?" in answer.stderr
    answer = hearbench("robustness", evaluated.out, "--score", "f1")
    assert answer.code == 2
    assert "f1" in answer.stderr
    evaluate = ("evaluate", "nowhere.py", "--task", "nothing", "--out", tmp_path / "out")
    for more, named in [
        (("--perturb", "nois=3"), "noise"),
        (("--perturb", "noise=loud"), "noise=loud"),
        (("--perturb-train",), "--perturb"),
        (("--perturb", "noise=3", "--distance"), "--distance"),
    ]:
        answer = hearbench(*evaluate, *more)
        assert answer.code == 2
        assert named in answer.stderr
        assert "nowhere" not in answer.stderr
    assert not (tmp_path / "out").exists()


def test_a_task_whose_labels_would_be_wrong_is_left_out(tmp_path: Path) -> None:
    model = write_model(tmp_path, BANDS, "bands")
    tasks = [make_event_task(tmp_path), make_scene_task(tmp_path)]
    answer = hearbench(
        *("evaluate", model, *(f"--task={task}" for task in tasks), "--out", tmp_path / "out"),
        *("--protocol", "knn", "--perturb", "noise=babble:5", "--cache", tmp_path / "cache"),
    )
    assert answer.code == 0
    assert "beeps-1.0.0-full: skipped" in " ".join(answer.stderr.split()).replace(
        str(tasks[0]), "beeps-1.0.0-full"
    )
    assert [each.task for each in find_robustness([tmp_path / "out"])] == [TASK]


def test_rows_for_programs(evaluated: Evaluated) -> None:
    table = robustness_table(evaluated.found, "mAP")
    assert len(table) == 12
    with pytest.raises(UnknownNameError, match="f1"):
        robustness_table(evaluated.found, "f1")


def panels(figure: Figure) -> dict[str, Axes]:
    return {axes.get_title(loc="left").split("\n")[1]: axes for axes in figure.axes}


def test_the_picture_has_a_curve_per_model_and_kind(evaluated: Evaluated) -> None:
    figure = load_results(evaluated.out).plot_robustness()
    drawn = panels(figure)
    assert set(drawn) == {"noise", "one strength each"}
    colours = model_colours(["bands", "coarse"])
    for each in evaluated.found:
        own, colour = each.content, colours[each.model]
        line, clean = (
            next(
                one
                for one in drawn["noise"].lines
                if one.get_color() == colour and one.get_linestyle() == style
            )
            for style in ("-", "--")
        )
        scores = {p.severity: p.scores["top1_acc"] for p in own.points if p.severity is not None}
        expected = [(severity, scores[severity]) for severity in sorted(scores)]
        assert np.allclose(line.get_xydata(), expected)
        assert set(np.asarray(clean.get_ydata()).tolist()) == {own.clean["top1_acc"]}
        (dot,) = (
            one
            for one in drawn["one strength each"].lines
            if one.get_color() == colour and one.get_linestyle() == "None"
        )
        assert np.asarray(dot.get_ydata()).tolist() == [own.points[3].scores["top1_acc"]]
    labels = [text.get_text() for text in drawn["one strength each"].get_xticklabels()]
    assert labels == ["room"]
    with pytest.raises(HearError):
        draw_robustness([])


def test_a_page_of_the_site_shows_it(evaluated: Evaluated, tmp_path: Path) -> None:
    folder = evaluated.out / "bands" / TASK
    own = OwnResult.read(folder)
    assert own.robustness == Robustness.read(folder)
    line = Row("bands", "", "", tuple(0.5 for _ in official_table().columns))
    build_site(official_table().with_row(line), tmp_path / "site", own=[own])
    page = (tmp_path / "site/models/bands.html").read_text()
    assert '<h2 id="robustness">Robustness</h2>' in page
    for point in own.robustness.points:
        cells = f"{point.scores['top1_acc']:.3f}", f"{point.losses['top1_acc'].mean:.3f}"
        row = page[page.index(f"<bdi>{point.name}</bdi>") :].split("</tr>")[0]
        assert all(cell in row for cell in cells), point.name
    assert "--perturb room" not in page  # a name says nothing to those who haven't the set
    assert "--perturb reverb=0.6+noise=pink:25" in page
    (trace,) = robustness_plot(own.robustness)["data"]
    assert trace["y"] == [point.name for point in own.robustness.points]
    losses = [point.losses["top1_acc"] for point in own.robustness.points]
    assert trace["x"] == [loss.mean for loss in losses]
    assert trace["error_x"]["array"] == pytest.approx([loss.high - loss.mean for loss in losses])


def test_a_page_without_says_nothing_of_it(evaluated: Evaluated) -> None:
    own = OwnResult(Result.read(evaluated.out / "bands" / TASK))
    (model,) = own_models([own]).values()
    assert model.robustness == ()
    assert "--perturb" not in model.command()
