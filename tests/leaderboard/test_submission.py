"""Bundles: written whole, and every way of tampering with one is caught with its reason."""

from __future__ import annotations

import datetime as dt
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers_cli import hearbench
from helpers_models import BANDS, write_model
from helpers_tasks import make_event_task, make_scene_task

from hearbench.digest import digest_file
from hearbench.errors import ResultError
from hearbench.leaderboard.bundle import write_bundle
from hearbench.leaderboard.card import Card
from hearbench.leaderboard.check import BundleReport, check_bundle
from hearbench.leaderboard.official import official_table
from hearbench.leaderboard.submission import (
    MeasuredModel,
    Submission,
    missing_columns,
    pull_request,
)
from hearbench.leaderboard.table import COLUMNS, Row
from hearbench.results import Result
from hearbench.tasks.store import PreparedTask, load_task
from hearbench.validate import CHECKS
from hearbench.validate.report import CheckResult, ModelFacts, Report
from hearbench.workspace import Workspace

TODAY = dt.datetime.now(dt.timezone.utc).date()
VERSIONS = {"python": "3.11.7", "torch": "2.9"}
CARD = Card(
    model="Bands <b>",
    team="Tones",
    authors=("A. Body",),
    url="https://example.org/bands",
    description="Bands | of a spectrum.\n\n<script>alert(1)</script>",
    pretraining="none",
    training_sets=(),
    api="bands",
    licence="Apache-2.0",
    missing={"maestro": "its hop is too long", "ESC-50": "no time"},
)


@dataclass(frozen=True)
class Made:
    """A bundle, with the tasks that it was made from."""

    bundle: Path
    tasks: dict[str, PreparedTask]

    def check(self, bundle: Path) -> BundleReport:
        return check_bundle(bundle, official_table(), self.tasks.get)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("submission")
    paths = [
        make_scene_task(folder, name="folded_tones", folds=True),
        make_scene_task(folder, name="speech_commands", version="v0.0.2", mode="5h"),
        make_event_task(folder, name="beeps"),
    ]
    model = write_model(folder, BANDS, name="bands")
    tasks = [item for path in paths for item in ("--task", path)]
    answer = hearbench(
        *("evaluate", model, *tasks, "--out", folder / "out", "--grid-points", "1"),
        *("--protocol", "faster", "--cache", folder / "cache", "--device", "cpu", "--json"),
    )
    assert answer.code == 0, answer.stderr
    results = {
        found["task"]: Path(found["path"]).parent
        for found in answer.json["results"]
        if not found["task"].startswith("speech")
    }
    workspace = Workspace(cache_dir=folder / "cache", device="cpu")
    loaded = {task.name: task for task in (load_task(p, workspace=workspace) for p in paths)}
    first = Result.read(next(iter(results.values())))
    submission = Submission(
        hearbench_version=first.hearbench_version,
        created=TODAY,
        card=CARD,
        model=MeasuredModel(
            n_weights=1234567,
            sample_rate=16000,
            scene_embedding_size=16,
            timestamp_embedding_size=16,
            hop_ms=50.0,
            digest=first.model.digest,
            weights_digest=None,
            versions=VERSIONS,
        ),
        scores=dict.fromkeys(COLUMNS),
        tasks=tuple(sorted(results)),
        missing=missing_columns(Row("Bands", "", "", (None,) * 19), CARD.missing, {}),
    )
    write_bundle(folder / "bundle", submission, report(), results)
    shutil.copytree(folder / "out" / "bands", folder / "others")
    return Made(folder / "bundle", loaded)


def report(verdict: Any = "warning") -> Report:
    facts = ModelFacts(
        name="bands",
        spec="m",
        python="p",
        sample_rate=16000,
        scene_embedding_size=16,
        timestamp_embedding_size=16,
        hop_ms=50.0,
        versions=VERSIONS,
    )
    found = dict.fromkeys(CHECKS, "pass") | {"timestamp-hop": verdict}
    checks = [
        CheckResult.model_validate(
            {"name": name, "verdict": said, "expected": "50 ms", "found": "100 ms"}
        )
        for name, said in found.items()
    ]
    return Report(model=facts, quick=False, checks=tuple(checks), seconds=1.0)


def test_an_honest_bundle_can_be_taken(made: Made) -> None:
    found = made.check(made.bundle)
    assert found.problems == ()
    assert found.ok
    assert len(found.recomputed) == 2
    assert found.labelled == found.recomputed
    assert "No task of the leaderboard was run, so the row has no score." in found.notes


def test_the_checksums_are_those_of_sha256sum(made: Made) -> None:
    import subprocess

    program = shutil.which("sha256sum")
    if program is None:
        pytest.skip("no sha256sum here")
    done = subprocess.run([program, "-c", "--quiet", "SHA256SUMS"], cwd=made.bundle)
    assert done.returncode == 0


def test_labels_that_are_not_here_are_told_of(made: Made) -> None:
    found = check_bundle(made.bundle, official_table(), lambda _: None)
    assert found.ok
    assert any("weren't compared" in note for note in found.notes)


def summed(bundle: Path) -> None:
    """What somebody does who tampers and knows of the checksums."""
    files = [p for p in sorted(bundle.rglob("*")) if p.is_file() and p.name != "SHA256SUMS"]
    lines = [f"{digest_file(p)}  {p.relative_to(bundle).as_posix()}\n" for p in files]
    (bundle / "SHA256SUMS").write_text("".join(lines))


def edit(path: Path, change: Callable[[Any], object]) -> None:
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def scene(bundle: Path) -> Path:
    return bundle / "results" / "folded_tones-1.0.0-full"


def better_score(bundle: Path) -> None:
    def change(value: Any) -> None:
        value["scores"]["top1_acc"]["mean"] = 0.9999

    edit(scene(bundle) / "result.json", change)


def flipped_prediction(bundle: Path) -> None:
    path = scene(bundle) / "predictions" / "fold00.npy"
    found = np.load(path)
    np.save(path, np.roll(found, 1, axis=1))


def flipped_label(bundle: Path) -> None:
    path = scene(bundle) / "predictions" / "fold00.targets.npy"
    found = np.load(path)
    np.save(path, np.roll(found, 1, axis=1))


def missing_fold(bundle: Path) -> None:
    def change(value: Any) -> None:
        value["folds"] = [fold for fold in value["folds"] if fold["test"] != "fold01"]
        for score in value["scores"].values():
            del score["per_fold"]["fold01"]

    edit(scene(bundle) / "result.json", change)


def other_model(bundle: Path) -> None:
    def change(value: Any) -> None:
        value["model"]["digest"] = "0" * 64

    edit(scene(bundle) / "result.json", change)


def edited_event(bundle: Path) -> None:
    path = next((bundle / "results").glob("beeps*/predictions/test.events.json"))

    def change(value: Any) -> None:
        for clip in value:
            value[clip] = []

    edit(path, change)


def other_row(bundle: Path) -> None:
    path = bundle / "row.csv"
    path.write_text(path.read_text().replace(f"{TODAY},,", f"{TODAY},0.99,"))


def score_from_nowhere(bundle: Path) -> None:
    def change(value: Any) -> None:
        value["scores"]["ESC-50"] = 0.99

    edit(bundle / "submission.json", change)


def dropped_result(bundle: Path) -> None:
    shutil.rmtree(scene(bundle))


def invalid_model(bundle: Path) -> None:
    (bundle / "validation.json").write_text(report("error").model_dump_json(exclude={"valid"}))


def other_protocol(bundle: Path) -> None:
    source = next((bundle.parent / "others").glob("speech_commands*"))
    shutil.copytree(source, bundle / "results" / source.name)

    def change(value: Any) -> None:
        value["tasks"] = sorted([*value["tasks"], source.name])

    edit(bundle / "submission.json", change)


def no_checks(bundle: Path) -> None:
    edit(bundle / "validation.json", lambda value: value.update(checks=[]))


def other_sizes(bundle: Path) -> None:
    edit(bundle / "submission.json", lambda value: value["model"].update(sample_rate=48000))


def boasting_request(bundle: Path) -> None:
    (bundle / "pull_request.md").write_text("# The best of all, 0.99\n")


def no_array(bundle: Path) -> None:
    (scene(bundle) / "predictions" / "fold00.npy").write_bytes(b"PK\x03\x04" + b"x" * 100)


def deep_json(bundle: Path) -> None:
    (scene(bundle) / "predictions" / "clips.json").write_text("[" * 200_000)


def best_fold_alone(bundle: Path) -> None:
    def change(value: Any) -> None:
        value["folds"] = value["folds"][:1]
        only = value["folds"][0]["test"]
        for score in value["scores"].values():
            score["per_fold"] = {only: score["per_fold"][only]}
            score["mean"], score["std"] = score["per_fold"][only], None

    edit(scene(bundle) / "result.json", change)
    clips = scene(bundle) / "predictions" / "clips.json"
    edit(clips, lambda value: [value.pop(name) for name in list(value) if name != "fold00"])


TAMPERED: dict[Callable[[Path], None], str] = {
    better_score: r"folded_tones.*top1_acc, mean: 0\.9999 is stated, [\d.]+ is right",
    flipped_prediction: r"folded_tones.*top1_acc.* is stated, [\d.]+ is right",
    flipped_label: r"folded_tones.*(targets|labels)",
    missing_fold: r"folded_tones.*(fold01|test splits)",
    other_model: r"of another model or checkpoint",
    edited_event: r"beeps.* has other events than the probabilities",
    other_row: r"row\.csv isn't the row",
    score_from_nowhere: r"ESC-50: the row says 0\.99, the results give nothing",
    dropped_result: r"names other tasks than there are",
    invalid_model: r"the model isn't valid: timestamp-hop",
    no_checks: r"doesn't hold all checks",
    other_sizes: r"differ in the sample rate: 48000 and 16000",
    boasting_request: r"pull_request\.md isn't the text",
    no_array: r"fold00\.npy is not an array",
    deep_json: r"clips\.json is not valid JSON",
    best_fold_alone: r"its test splits aren't the task's: fold00, fold01, fold02",
    other_protocol: r"speech_commands-v0\.0\.2-5h: .*faster",
}


@pytest.mark.parametrize("tamper", TAMPERED, ids=[item.__name__ for item in TAMPERED])
def test_tampering_is_caught(made: Made, tmp_path: Path, tamper: Callable[[Path], None]) -> None:
    shutil.copytree(made.bundle.parent / "others", tmp_path / "others")
    bundle = Path(shutil.copytree(made.bundle, tmp_path / "bundle"))
    tamper(bundle)
    careless = made.check(bundle)
    assert any("checksum" in item or "SHA256SUMS" in item for item in careless.problems)
    summed(bundle)
    found = made.check(bundle)
    assert any(re.search(TAMPERED[tamper], item) for item in found.problems), found.problems
    assert not found.ok


def test_a_card_without_training_sets_is_refused(made: Made, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(made.bundle, bundle)
    edit(bundle / "submission.json", lambda value: value["card"].pop("training_sets"))
    problems = made.check(bundle).problems
    assert any("which known training sets" in problem for problem in problems)
    assert not any("training sets" in problem for problem in made.check(made.bundle).problems)


def test_links_are_refused(made: Made, tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(made.bundle, tmp_path / "bundle"))
    (bundle / "results" / "x").symlink_to("/etc")
    assert any("neither a file nor a folder" in item for item in made.check(bundle).problems)


def test_what_links_lead_to_is_not_read(made: Made, tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(made.bundle, tmp_path / "bundle"))
    (tmp_path / "secret").write_text("a secret\n")
    (bundle / "SHA256SUMS").unlink()
    (bundle / "SHA256SUMS").symlink_to(tmp_path / "secret")
    (problem,) = made.check(bundle).problems
    assert "secret" not in problem


def test_what_is_shown_steers_no_terminal(made: Made, tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(made.bundle, tmp_path / "bundle"))

    def change(value: Any) -> None:
        value["\x1b[31mred\nline"] = "x" * 5000
        value["task"]["name"] = "\x1b]0;title\x07"

    edit(scene(bundle) / "result.json", change)
    summed(bundle)
    problems = made.check(bundle).problems
    assert any("red line" in text for text in problems)
    assert all(text.isprintable() and len(text) < 600 for text in problems)


def test_the_pull_request_says_all_and_starts_nothing(made: Made) -> None:
    text = (made.bundle / "pull_request.md").read_text()
    assert "<b>" not in text
    assert "<script" not in text
    assert "Bands \\| of a spectrum." in text
    assert "| Learned numbers | 1,234,567 |" in text
    assert "| Maestro 5h | its hop is too long |" in text
    assert "| ESC-50 | no time |" in text
    assert "| Beehive | not run |" in text
    assert "timestamp-hop: 100 ms" in text
    again = Submission.model_validate_json((made.bundle / "submission.json").read_text())
    assert pull_request(again, []) in text.replace(text[text.index("\nThe validator") :], "")


def test_a_folder_of_something_else_stays(made: Made, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("x")
    submission = Submission.model_validate_json((made.bundle / "submission.json").read_text())
    with pytest.raises(ResultError, match="no submission"):
        write_bundle(tmp_path, submission, report(), {})
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
