"""Learning from few labels, and showing what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import typer
from helpers_cli import Answer, hearbench, runner
from helpers_curves import TASK, WHOLE, clip_counts, fraction, shots, template, write_point
from helpers_models import write_model
from helpers_progress import Noted, noting
from helpers_tasks import make_scene_task

from hearbench import load_task
from hearbench.cli.curves import curves as curves_verb
from hearbench.cli.evaluate import SetupOptions
from hearbench.embeddings.store import EmbeddingStore
from hearbench.errors import HearError, ProbeError, ResultError
from hearbench.evaluation.existing import Inputs
from hearbench.evaluation.few_labels import FewLabels
from hearbench.evaluation.job import Job
from hearbench.evaluation.probes import ProbeSetup
from hearbench.results import Result
from hearbench.results.curve import Curve, build_curve
from hearbench.tasks.store import PreparedTask
from hearbench.workspace import Workspace

PROBE = ProbeSetup(WHOLE, (42,), "float32")


def test_options_become_points_from_small_to_large() -> None:
    options = SetupOptions(train_fraction=[0.5, 0.1, 0.5], shots=[5, 1], repeats=2)
    (few,) = options.few_labels(PROBE)
    assert few.points == (fraction(0.1), fraction(0.5), shots(1), shots(5))
    assert [part.label() for part in few.parts()][3:5] == [
        "shots=5,repeat=0",
        "fraction=0.1,repeat=1",
    ]
    assert len(few.parts()) == 8
    (by_default,) = SetupOptions(shots=[1]).few_labels(PROBE)
    assert by_default.repeats == 5
    for nothing in (SetupOptions(seeds=3), SetupOptions(seeds=3, train_fraction=[], shots=[])):
        nothing.check()
        assert nothing.few_labels(PROBE) == []


@pytest.mark.parametrize(
    ("given", "seeds", "says"),
    [
        (([0.0], None, None), 1, "--train-fraction 0.0: a share above 0"),
        (([1.5], None, None), 1, "--train-fraction 1.5"),
        (([float("nan")], None, None), 1, "--train-fraction nan"),
        ((None, None, 3), 1, "--repeats says how often"),
        ((None, [1], 3), 2, "--seeds can't be given together"),
    ],
)
def test_options_that_dont_fit_are_refused(given: Any, seeds: int, says: str) -> None:
    def use(train_fraction: Any, shots: Any, repeats: Any) -> None:
        options = SetupOptions(
            seeds=seeds, train_fraction=train_fraction, shots=shots, repeats=repeats
        )
        options.check()
        options.few_labels(PROBE)

    with pytest.raises(HearError) as found:
        use(*given)
    assert says in str(found.value)


class Trainer:
    """Takes the place of training: writes made-up results, and remembers what it was asked for."""

    def __init__(self) -> None:
        self.trained: list[tuple[str, int]] = []
        self.fail_at: int | None = None

    def train(
        self,
        probe: ProbeSetup,
        folder: Path,
        seeds: Sequence[int],
        store: EmbeddingStore,  # noqa: ARG002
        workspace: Workspace,  # noqa: ARG002
    ) -> list[Path]:
        if len(self.trained) == self.fail_at:
            raise KeyboardInterrupt
        protocol, (seed,) = probe.protocol, seeds
        assert protocol.subset is not None
        assert (folder.parent.name, folder.name) == ("few-labels", protocol.subset.label())
        self.trained.append((protocol.name, seed))
        first = seed - protocol.subset.repeat
        whole = protocol.model_copy(update={"subset": None, "name": WHOLE.name})
        place = folder.parents[1]
        return [write_point(place, protocol.subset, 0.5 + seed / 1000, protocol=whole, seed=first)]


@pytest.fixture
def trainer(monkeypatch: pytest.MonkeyPatch) -> Trainer:
    found = Trainer()

    def train(probe: ProbeSetup, *given: Any) -> list[Path]:
        return found.train(probe, *given)

    monkeypatch.setattr(ProbeSetup, "train", train)
    return found


@pytest.fixture
def task(tmp_path: Path, workspace: Workspace) -> PreparedTask:
    return load_task(make_scene_task(tmp_path / "task", clips_per_label=10), workspace=workspace)


class Run:
    """Makes the curve of a task in ``folder``; what was told is in ``told``."""

    def __init__(self, folder: Path, task: PreparedTask, workspace: Workspace) -> None:
        self.folder = folder
        self.task = task
        self.told = Noted()
        self._workspace = noting(workspace, self.told)

    def __call__(
        self, points: Sequence[int] = (1, 2), seed: int = 42, *, overwrite: bool = False
    ) -> tuple[Path, Curve]:
        # Those of the made-up results, so that they count as made from the same.
        made = template()
        inputs = Inputs(made.model.digest, None, made.task.digest, made.embeddings.dtype)
        probe = ProbeSetup(WHOLE, (seed,), made.precision)
        few = FewLabels.of(probe, fractions=[0.5], shots=points, repeats=2)
        few.check(self.task)
        job = Job(self.folder, self.task, inputs, overwrite)
        store: Any = None  # only read by the training
        (found,) = few.make(job, store, self._workspace).curves
        return found


@pytest.fixture
def run(tmp_path: Path, task: PreparedTask, workspace: Workspace) -> Run:
    return Run(tmp_path / "out/my_model/esc50", task, workspace)


def test_all_points_of_a_repeat_come_before_the_next(run: Run, trainer: Trainer) -> None:
    path, curve = run()
    base = WHOLE.name.removesuffix("]")
    assert trainer.trained == [
        (f"{base},{part},repeat={repeat}]", 42 + repeat)
        for repeat in (0, 1)
        for part in ("fraction=0.5", "shots=1", "shots=2")
    ]
    assert path == run.folder / "few-labels/curve.json"
    assert Curve.read(path) == curve
    assert [point.n_clips for point in curve.points] == [15, 3, 6]
    assert curve.points[0].scores["top1_acc"].per_repeat == pytest.approx({0: 0.542, 1: 0.543})
    assert {file.suffix for file in path.parent.glob("curve.*")} == {".json", ".png", ".svg"}


def test_an_interrupted_run_goes_on(run: Run, trainer: Trainer) -> None:
    trainer.fail_at = 4
    with pytest.raises(KeyboardInterrupt):
        run()
    half = Curve.read(run.folder / "few-labels")
    assert half.missing == ("shots=1,repeat=1", "shots=2,repeat=1")
    trainer.fail_at = None
    trainer.trained.clear()
    _, curve = run()
    assert [seed for _, seed in trainer.trained] == [43, 43]
    assert curve.missing == ()
    assert any("kept 4 of 6 trainings" in line for line in run.told.lines)
    # More points later belong to the same curve.
    trainer.trained.clear()
    _, longer = run(points=(5,))
    assert len(trainer.trained) == 2
    assert [point.part.point for point in longer.points] == [
        "fraction=0.5", "shots=1", "shots=2", "shots=5",
    ]  # fmt: skip


def test_nothing_is_trained_beside_results_of_other_inputs(run: Run, trainer: Trainer) -> None:
    run(points=(1, 2))
    # Not among what is asked for, but of the same curve.
    for place in (run.folder / "few-labels").glob("fraction*"):
        for file in place.iterdir():
            file.unlink()
        place.rmdir()
    trainer.trained.clear()
    with pytest.raises(ResultError, match="was made from other inputs: seed 42 instead of 7"):
        run(points=(3,), seed=7)
    assert trainer.trained == []
    _, curve = run(points=(3,), seed=7, overwrite=True)
    assert [point.part.point for point in curve.points] == ["fraction=0.5", "shots=3"]
    assert not (run.folder / "few-labels/shots=1,repeat=0").exists()


def test_too_small_parts_are_refused_before_anything_is_embedded(
    task: PreparedTask, tmp_path: Path
) -> None:
    few = FewLabels.of(PROBE, fractions=[0.5, 0.01], repeats=1)
    with pytest.raises(ProbeError, match=r"fraction=0\.01 of 30 training clips leaves 0") as found:
        few.check(task)
    assert "Use a larger --train-fraction" in str(found.value)
    answer = hearbench(
        *("evaluate", write_model(tmp_path), "--task", task.folder, "--out", tmp_path / "out"),
        *("--cache", tmp_path / "cache", "--train-fraction", 0.5, "--train-fraction", 0.01),
    )
    assert answer.code == 2
    assert "Use a larger --train-fraction" in answer.stderr
    assert not (tmp_path / "cache/embeddings").exists()
    assert not list((tmp_path / "out").rglob("result.json"))


def test_evaluate_gives_the_same_curve_twice(tmp_path: Path) -> None:
    model = write_model(tmp_path)
    task = make_scene_task(tmp_path, clips_per_label=6, folds=True, duration_s=0.1)
    arguments = [
        *("evaluate", model, "--task", task, "--out", tmp_path / "out", "--json"),
        *("--cache", tmp_path / "cache", "--protocol", "faster", "--grid-points", 1),
        *("--shots", 1, "--shots", 3, "--train-fraction", 0.5, "--repeats", 2),
    ]
    (curve,) = hearbench(*arguments).json["curves"]
    assert [point["n_clips"] for point in curve["points"]] == [9, 3, 9]
    folder = Path(curve["path"]).parent
    for repeat in (0, 1):
        result = Result.read(folder / f"shots=3,repeat={repeat}")
        assert result.protocol.name == f"faster[first=1,shots=3,repeat={repeat}]"
        assert result.seed == 42 + repeat
        values = curve["points"][2]["scores"]["top1_acc"]["per_repeat"]
        assert values[str(repeat)] == result.scores["top1_acc"].mean
    before = (folder / "shots=3,repeat=0/result.json").stat().st_mtime_ns
    again = hearbench(*arguments)
    assert again.json["curves"] == [curve]
    assert "kept 6 of 6 trainings with few labels" in again.stderr
    assert (folder / "shots=3,repeat=0/result.json").stat().st_mtime_ns == before
    # By another seed it would be another curve.
    other = hearbench(*arguments, "--seed", 7, "--overwrite").json["curves"][0]
    assert other["seed"] == 7
    assert Result.read(folder / "shots=1,repeat=1").seed == 8


def test_evaluate_refuses_what_doesnt_fit(tmp_path: Path) -> None:
    model = write_model(tmp_path)
    task = make_scene_task(tmp_path)
    arguments = ["evaluate", model, "--task", task, "--out", tmp_path / "out"]
    arguments += ["--cache", tmp_path / "cache"]
    for more, says in (
        (["--shots", 1, "--seeds", 2], "--seeds can't be given together"),
        (["--repeats", 2], "--repeats says how often"),
        (["--train-fraction", 2], "--train-fraction 2.0: a share above 0"),
    ):
        answer = hearbench(*arguments, *more)
        assert answer.code == 2
        assert says in answer.stderr
    assert not list((tmp_path / "out").rglob("result.json"))


def hearbench_curves(*arguments: object) -> Answer:
    app = typer.Typer(pretty_exceptions_enable=False, rich_markup_mode=None)
    app.command("curves")(curves_verb)
    result = runner().invoke(app, [str(item) for item in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Answer(result.exit_code, result.stdout, result.stderr)


def write_curve(folder: Path, height: float, *, clips: Any = clip_counts, **more: Any) -> None:
    for repeat in range(2):
        for i, part in enumerate((shots(1), fraction(0.1))):
            write_point(folder, part.with_repeat(repeat), height + 0.1 * i + 0.02 * repeat, **more)
    write_point(folder, None, 0.8, **more)
    curve = build_curve(folder, clips)
    (folder / "few-labels/curve.json").write_text(curve.model_dump_json())


def test_one_model_is_shown_with_all_scores(tmp_path: Path) -> None:
    write_curve(tmp_path / "out/mine" / TASK, 0.3)
    answer = hearbench_curves(tmp_path / "out", "--out", tmp_path / "x.png")
    assert answer.code == 0
    assert f"{TASK}: mine, protocol hear2021[first=3]" in answer.stdout
    lines = [line.split() for line in answer.stdout.splitlines()]
    # Student's t with one degree of freedom: 12.706 times the error, which is 0.01.
    by_part = {line[0]: line for line in lines if line}
    n_scores = len(template().scores)
    assert n_scores > 1
    own = ["fraction=0.1", "100", *["0.410", "±", "0.127"] * n_scores, "51", "%"]
    assert by_part["fraction=0.1"] == own
    assert by_part["shots=1"][-2:] == ["39", "%"]
    assert by_part["all"] == ["all", "clips", "1,000", *["0.800"] * n_scores]
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")
    (curve,) = hearbench_curves(tmp_path / "out", "--json").json["curves"]
    assert curve["path"].endswith(f"mine/{TASK}/few-labels/curve.json")
    assert curve["points"][1]["scores"]["top1_acc"]["mean"] == pytest.approx(0.31)


def test_models_stand_side_by_side(tmp_path: Path) -> None:
    write_curve(tmp_path / "out/a" / TASK, 0.3)
    write_curve(tmp_path / "out/b" / TASK, 0.5)
    write_point(tmp_path / "out/b" / TASK, shots(5), 0.6)
    task = tmp_path / "out/b" / TASK
    curve = build_curve(task, clip_counts)
    (task / "few-labels/curve.json").write_text(curve.model_dump_json())
    answer = hearbench_curves(tmp_path / "out/a", task)
    assert answer.code == 0
    lines = [line.split() for line in answer.stdout.splitlines()]
    assert ["part", "clips", "a", "b"] in lines
    assert ["shots=1", "50", "0.310", "±", "0.127", "0.510", "±", "0.127"] in lines
    assert ["shots=5", "250", "-", "0.600"] in lines
    assert "b: One repeat has no interval: shots=5." in answer.stdout
    assert "Means over 1 to 2 repeats" in answer.stdout


def test_models_of_one_name_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    write_curve(tmp_path / "x/a" / TASK, 0.3)
    write_curve(tmp_path / "y/a" / TASK, 0.5)
    answer = hearbench_curves(tmp_path / "x", tmp_path / "y")
    assert answer.code == 0
    assert "x/a" in answer.stdout
    assert "y/a" in answer.stdout


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"protocol": WHOLE.model_copy(update={"name": "mine"})}, "was made by mine and that of a"),
        ({"clips": lambda part: 2 * clip_counts(part)}, "other numbers of clips"),
        ({"task_name": "speech_commands-v0.0.2-full"}, "curves of no common task"),
    ],
)
def test_what_isnt_comparable_is_refused(tmp_path: Path, more: Any, says: str) -> None:
    write_curve(tmp_path / "a" / TASK, 0.3)
    write_curve(tmp_path / "b" / TASK, 0.3, **more)
    answer = hearbench_curves(tmp_path / "a", tmp_path / "b")
    assert answer.code == 2
    assert says in " ".join(answer.stderr.split())


def test_what_isnt_there_is_refused(tmp_path: Path) -> None:
    answer = hearbench_curves(tmp_path)
    assert answer.code == 2
    assert "holds no curve.json" in answer.stderr
    write_curve(tmp_path / "a" / TASK, 0.3)
    assert "no score 'nope'" in hearbench_curves(tmp_path / "a", "--score", "nope").stderr
    assert "use clips or shots" in hearbench_curves(tmp_path / "a", "--x", "seconds").stderr
