"""One thing of an honest submission is changed, and the check finds it.

A submission of a scene task with folds and of an event task with further seeds, both of the
leaderboard, made up without training. What can be changed is a table of kinds; which one, and to
what, is drawn.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers_leaderboard import (
    DCASE,
    ESC50,
    made_up_task,
    write_honest_submission,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hearbench.digest import digest_file
from hearbench.errors import ResultError
from hearbench.files import write_json
from hearbench.leaderboard.bundle import FORM
from hearbench.leaderboard.check import BundleReport, check_bundle
from hearbench.leaderboard.official import official_table
from hearbench.results import Result
from hearbench.results.files import reference_form
from hearbench.results.uncertainty import UNCERTAINTY_FILE


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_honest_submission(tmp_path_factory.mktemp("honest"))


def check(bundle: Path, *, tasks: bool = True) -> BundleReport:
    known = {name: made_up_task(name) for name in (ESC50, DCASE)}
    # Tasks of which no audio is here have no rate at which results could be of another version.
    return check_bundle(bundle, official_table(), known.get if tasks else lambda _: None)


@pytest.mark.parametrize("tasks", [True, False])
def test_an_honest_submission_can_be_taken(honest: Path, *, tasks: bool) -> None:
    found = check(honest, tasks=tasks)
    assert found.problems == ()
    assert sorted(found.recomputed) == sorted([ESC50, DCASE])
    assert not (honest / "results" / ESC50 / "few-labels").exists()
    assert (honest / "results" / DCASE / "seeds/43/result.json").is_file()


# How one thing is changed: by the bundle and a number that is drawn.
Tamper = Callable[[Path, int], object]


def in_json(name: str, change: Callable[[Any, int], object]) -> Tamper:
    """A file of the bundle with something in it changed."""

    def tamper(bundle: Path, drawn: int) -> None:
        value = json.loads((bundle / name).read_text())
        change(value, drawn)
        (bundle / name).write_text(json.dumps(value))

    return tamper


def in_result(task: str, change: Callable[[Any, int], object]) -> Tamper:
    """As by somebody who writes the published form anew, too, where it can be."""
    in_file = in_json(f"results/{task}/result.json", change)

    def tamper(bundle: Path, drawn: int) -> None:
        in_file(bundle, drawn)
        folder = bundle / "results" / task
        with contextlib.suppress(ResultError, LookupError):
            write_json(folder / FORM, reference_form(Result.read(folder)))

    return tamper


def put(*path: Any, value: Any) -> Callable[[Any, int], None]:
    """Another value at a place; of lists of positions, any of them."""

    def change(content: Any, drawn: int) -> None:
        *parents, last = path
        for key in parents:
            content = content[key]
        content[last] = value(content[last], drawn) if callable(value) else value

    return change


def fold(key: str, value: Any) -> Callable[[Any, int], None]:
    """Of any fold but the first, or of the only one."""

    def change(content: Any, drawn: int) -> None:
        folds = content["folds"]
        one = folds[1 + drawn % (len(folds) - 1)] if len(folds) > 1 else folds[0]
        one[key] = value

    return change


def later(score: str, epoch: int) -> Callable[[Any, int], None]:
    """Of a fold, an infinite validation, after which its training ended."""

    def change(content: Any, _drawn: int) -> None:
        content["folds"][2] |= {"validation_score": score, "best_epoch": epoch, "epochs": epoch}

    return change


def grid(key: str, value: Any, position: int | None = None) -> Callable[[Any, int], None]:
    def change(content: Any, drawn: int) -> None:
        points = content["grid"]
        points[drawn % len(points) if position is None else position][key] = value

    return change


def array(name: str, change: Callable[[Any, int], Any]) -> Tamper:
    def tamper(bundle: Path, drawn: int) -> None:
        np.save(bundle / name, change(np.load(bundle / name), drawn))

    return tamper


def with_item(position: int, value: float) -> Callable[[Any, int], Any]:
    def change(content: Any, _drawn: int) -> Any:
        content = content.astype(np.float64)
        content[position] = value
        return content

    return change


def extra(name: str, content: bytes = b"x") -> Tamper:
    def tamper(bundle: Path, _drawn: int) -> None:
        (bundle / name).parent.mkdir(parents=True, exist_ok=True)
        (bundle / name).write_bytes(content)

    return tamper


def appended(name: str) -> Tamper:
    def tamper(bundle: Path, _drawn: int) -> None:
        with (bundle / name).open("ab") as file:
            file.write(b"#!/bin/sh")

    return tamper


def text(name: str, old: str, new: str) -> Tamper:
    def tamper(bundle: Path, _drawn: int) -> None:
        content = (bundle / name).read_text()
        assert old in content
        (bundle / name).write_text(content.replace(old, new, 1))

    return tamper


def named(letters: str) -> Tamper:
    """The model's name with something in it, everywhere."""

    def tamper(bundle: Path, _drawn: int) -> None:
        for name in ("submission.json", "row.csv", "pull_request.md"):
            content = (bundle / name).read_text()
            written = json.dumps(letters)[1:-1] if name.endswith("json") else letters
            (bundle / name).write_text(content.replace("My model", f"My{written} model"))

    return tamper


def dated(day: str) -> Tamper:
    def tamper(bundle: Path, _drawn: int) -> None:
        # Not today's date, which may be another than that of the submission by now.
        made = json.loads((bundle / "submission.json").read_text())["created"]
        for name in ("submission.json", "row.csv"):
            content = (bundle / name).read_text()
            (bundle / name).write_text(content.replace(made, day))

    return tamper


def skipped(content: Any, _drawn: int) -> None:
    for one in content["checks"]:
        one["verdict"] = "skipped"


def more_events(content: Any, _drawn: int) -> None:
    content["test-0.wav"] += [{"label": "a", "start": 0.0, "end": 1.0}] * 70_000


def chosen_other(content: Any, drawn: int) -> None:
    others = [i for i in range(len(content["grid"])) if i != content["chosen"]]
    content["chosen"] = others[drawn % len(others)]


PREDICTED = f"results/{DCASE}/predictions"
SCENE = f"results/{ESC50}"
KINDS: dict[str, Tamper] = {
    # Times that would take for ever, or aren't any.
    **{
        f"time of {value:g}": array(f"{PREDICTED}/test.timestamps.npy", with_item(-1, value))
        for value in (1e10, 1e12, 1e300, -1e9, np.inf, np.nan)
    },
    **{
        f"event until {value:g}": in_json(
            f"{PREDICTED}/test.reference.json", put("test-3.wav", 0, "end", value=value)
        )
        for value in (1e10, 1e12, 1e300)
    },
    "many events": in_json(f"{PREDICTED}/test.reference.json", more_events),
    "wide filter": in_result(
        DCASE, put("folds", 0, "postprocessing", "median_filter_ms", value=1e15)
    ),
    # What was chosen.
    "other postprocessing": in_result(
        DCASE, put("folds", 0, "postprocessing", "min_duration_ms", value=60.0)
    ),
    "postprocessing of a scene": in_result(
        ESC50, fold("postprocessing", {"median_filter_ms": 1, "min_duration_ms": 1})
    ),
    "seed": in_result(ESC50, put("seed", value=lambda _, drawn: 44 + drawn)),
    "precision": in_result(DCASE, put("precision", value="bfloat16")),
    "other point": in_result(ESC50, chosen_other),
    "first fold's validation": in_result(ESC50, put("folds", 0, "validation_score", value=0.5)),
    "better point": in_result(ESC50, grid("validation_score", 0.95, 5)),
    "equal point before": in_result(ESC50, grid("validation_score", 0.9, 0)),
    "fewer points": in_result(ESC50, lambda content, _: content["grid"].pop()),
    "fewer folds": in_result(ESC50, lambda content, _: content["folds"].pop()),
    # How long it was trained.
    "epochs beyond the most": in_result(ESC50, fold("epochs", 600)),
    "epochs between validations": in_result(ESC50, fold("epochs", 64)),
    "epochs beyond patience": in_result(ESC50, fold("epochs", 90)),
    "epochs before patience": in_result(ESC50, fold("best_epoch", 66)),
    "negative epochs": in_result(ESC50, fold("epochs", -3)),
    "grid's epochs": in_result(DCASE, grid("epochs", 61)),
    "another end": in_result(ESC50, grid("ended", "max_epochs")),
    "raced": in_result(ESC50, grid("ended", "raced")),
    "unknown end": in_result(ESC50, grid("ended", "soon")),
    # Numbers that can't be.
    "validation above 1": in_result(ESC50, fold("validation_score", 1.5)),
    "validation below 0": in_result(ESC50, grid("validation_score", -0.2, 6)),
    "infinite validation": in_result(ESC50, fold("validation_score", "Infinity")),
    "undefined as the best": in_result(ESC50, later("Infinity", 3)),
    "undefined later": in_result(ESC50, later("-Infinity", 9)),
    "accuracy of no number of clips": in_result(ESC50, fold("validation_score", 0.91)),
    "accuracy of a grid point": in_result(ESC50, grid("validation_score", 0.333, 7)),
    "probabilities of other sums": array(
        f"{SCENE}/predictions/fold02.npy", lambda content, _: content * np.float32(0.9)
    ),
    "escape in a note": in_result(ESC50, put("notes", value=["\x1b[31mred"])),
    "endless note": in_result(ESC50, put("notes", value=["x" * 10**6])),
    "negative loss": in_result(ESC50, fold("test_loss", -0.5)),
    "clips of a split": in_result(ESC50, fold("n_clips", 19)),
    "clips of events": in_result(DCASE, fold("n_clips", 19)),
    "negative time": in_result(ESC50, put("resources", "embed_s", value=-1.0)),
    "times of other splits": in_result(ESC50, put("resources", "fold_s", value={"test": 1.0})),
    "written in the future": in_result(
        ESC50, put("resources", "created", value="2999-01-01T00:00:00+00:00")
    ),
    "written at no time": in_result(ESC50, put("resources", "created", value="soon")),
    # What belongs together.
    "rate of a result": in_result(ESC50, put("model", "sample_rate", value=48000)),
    "size of a result": in_result(ESC50, put("model", "scene_embedding_size", value=9)),
    "size of its embeddings": in_result(DCASE, put("embeddings", "size", value=9)),
    "kind of its embeddings": in_result(DCASE, put("embeddings", "kind", value="scene")),
    "weights of a result": in_result(ESC50, put("model", "weights_digest", value="a" * 64)),
    "name of its model": in_result(ESC50, put("model", "name", value="another")),
    "training splits": in_result(ESC50, fold("train", ["fold00"])),
    "uncertainty": in_json(
        f"{SCENE}/{UNCERTAINTY_FILE}",
        put("scores", "top1_acc", "total", "interval", "low", value=lambda old, _: old + 0.01),
    ),
    "uncertain for ever": in_json(f"{SCENE}/{UNCERTAINTY_FILE}", put("n_resamples", value=10**9)),
    "clips of an interval": in_json(
        f"{SCENE}/{UNCERTAINTY_FILE}", put("n_clips", "fold00", value=21)
    ),
    "published form": in_json(
        f"{SCENE}/test.predicted-scores.json", put("fold01", "test_loss", value=0.25)
    ),
    "score per label": in_json(
        f"{PREDICTED}/test.per_label.json",
        put("event_onset_200ms_fms", "f_measure", value=0.99),
    ),
    "score of a further seed": in_json(
        f"results/{DCASE}/seeds/43/result.json",
        put("scores", "segment_1s_er", "mean", value=0.01),
    ),
    "precision of a further seed": in_json(
        f"results/{DCASE}/seeds/43/result.json", put("precision", value="bfloat16")
    ),
    "a further seed twice": in_json(f"results/{DCASE}/seeds/43/result.json", put("seed", value=42)),
    "a further seed's other number": in_json(
        f"results/{DCASE}/seeds/43/result.json", put("seed", value=7)
    ),
    # Files.
    "workflow": extra(".github/workflows/x.yml"),
    "hidden file": extra(f"{SCENE}/.hidden"),
    "program": extra(f"{SCENE}/predictions/run.sh", b"#!/bin/sh"),
    "pickle": extra(f"{SCENE}/predictions/fold00.pkl"),
    "empty folder": lambda bundle, _: (bundle / "docs").mkdir(),
    "link": lambda bundle, _: (bundle / "results/x").symlink_to("/etc"),
    "pipe": lambda bundle, _: os.mkfifo(bundle / "results/pipe"),
    "behind an array": appended(f"{SCENE}/predictions/fold03.npy"),
    "missing form": lambda bundle, _: (bundle / SCENE / "test.predicted-scores.json").unlink(),
    # JSON that others read otherwise.
    "key twice": text(f"{SCENE}/result.json", '"seed": 42', '"seed": 7, "seed": 42'),
    "key twice in the record": text(
        "submission.json", '"model": "My', '"model": "x", "model": "My'
    ),
    "NaN": text(f"{SCENE}/result.json", '"embed_s": 1.0', '"embed_s": NaN'),
    "far too large": text(f"{SCENE}/result.json", '"embed_s": 1.0', '"embed_s": 1e400'),
    "many digits": text(f"{SCENE}/result.json", '"seed": 42', f'"seed": {"9" * 5000}'),
    "half a pair": text(f"{SCENE}/result.json", '"device": "cpu"', '"device": "\\ud800"'),
    "deep": text(f"{SCENE}/result.json", '"notes": []', f'"notes": {"[" * 90_000}{"]" * 90_000}'),
    "not UTF-8": extra(f"{SCENE}/predictions/labels.json", '["a", "b", "c"]'.encode("utf-16")),
    # Letters and days.
    **{
        f"U+{ord(letter):04X}": named(letter)
        for letter in "\u3164\u2800\u200b\u202e\u00ad\u115f\ufe0f\u2060\ufeff\U000e0041\x07\u034f"
    },
    "marks": named("a\u0300\u0301\u0302\u0303"),
    "far future": dated("2999-12-31"),
    "before it all": dated("2020-12-31"),
    # The validator's report.
    "all skipped": in_json("validation.json", skipped),
    "other model": in_json("validation.json", put("model", "name", value="another")),
    "other versions": in_json("validation.json", put("model", "versions", value={"python": "2"})),
    "other options": in_json("validation.json", put("model", "options", value={"big": True})),
    "impossible rate": in_json("submission.json", put("model", "n_weights", value=-1)),
}


def summed(bundle: Path) -> None:
    """What somebody does who tampers and knows of the checksums."""
    out = io.StringIO()
    for path in sorted(p for p in bundle.rglob("*") if p.is_file() and p.name != "SHA256SUMS"):
        out.write(f"{digest_file(path)}  {path.relative_to(bundle).as_posix()}\n")
    (bundle / "SHA256SUMS").write_text(out.getvalue())


def tampered(honest: Path, folder: Path, name: str, drawn: int) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    bundle = Path(shutil.copytree(honest, folder))
    KINDS[name](bundle, drawn)
    summed(bundle)
    return bundle


@pytest.mark.parametrize("name", KINDS)
def test_each_kind_of_tampering_is_found(honest: Path, tmp_path: Path, name: str) -> None:
    found = check(tampered(honest, tmp_path / "bundle", name, 0))
    assert not found.ok
    assert all(problem.isprintable() for problem in found.problems)


@settings(
    deadline=None,
    max_examples=10,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(name=st.sampled_from(sorted(KINDS)), drawn=st.integers(0, 10_000), tasks=st.booleans())
def test_any_tampering_is_found_whether_the_tasks_are_here_or_not(
    honest: Path, tmp_path: Path, name: str, drawn: int, *, tasks: bool
) -> None:
    assert not check(tampered(honest, tmp_path / "bundle", name, drawn), tasks=tasks).ok


def letters_of(report: BundleReport) -> Iterator[str]:
    return (note for note in report.notes if "alphabet" in note or "looks like" in note)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("accuracy of no number of clips", "validation of 0.91, which isn't a whole number of 20"),
        ("accuracy of a grid point", "grid point 7 has a validation of 0.333, which isn't a whole"),
        ("probabilities of other sums", "fold02.npy: the probabilities of fold02-0.wav add up to"),
    ],
)
def test_what_was_changed_is_named(honest: Path, tmp_path: Path, name: str, says: str) -> None:
    # Without the task, too, as each fold is validated on another's test clips.
    found = check(tampered(honest, tmp_path / "bundle", name, 0), tasks=False)
    assert any(says in problem for problem in found.problems), found.problems


@pytest.mark.parametrize(
    ("name", "notes"),
    [("M\u0443 model", 1), ("My m\u03bfdel", 1), ("My model 2", 0), ("Модель", 0), ("模型 v2", 0)],
)
def test_letters_of_several_alphabets_get_a_note(
    honest: Path, tmp_path: Path, name: str, notes: int
) -> None:
    bundle = Path(shutil.copytree(honest, tmp_path / "bundle"))
    for file in ("submission.json", "row.csv", "pull_request.md"):
        content = (bundle / file).read_text()
        (bundle / file).write_text(content.replace("My model", name))
    summed(bundle)
    found = check(bundle)
    assert found.problems == ()
    assert len(list(letters_of(found))) == notes


def test_a_name_that_looks_like_another_gets_a_note(honest: Path, tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(honest, tmp_path / "bundle"))
    other = official_table().rows[0].model
    alike = other.replace("e", "\u0435", 1)
    assert alike != other
    for file in ("submission.json", "row.csv", "pull_request.md"):
        content = (bundle / file).read_text()
        (bundle / file).write_text(content.replace("My model", alike))
    summed(bundle)
    assert any(f"looks like {other}" in note for note in letters_of(check(bundle)))


def test_results_of_the_honest_one_are_read(honest: Path) -> None:
    assert Result.read(honest / "results" / ESC50).seed == 42
