"""From a repository to a submission, and to its rerun: the whole way with local addresses."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from helpers_cli import hearbench
from helpers_http import serving
from helpers_rerun import DEAF, GOOD, borrowed_packages, write_repository
from helpers_tasks import make_scene_task

from hearbench.digest import digest_bytes
from hearbench.errors import HearError
from hearbench.leaderboard.bundle import write_bundle
from hearbench.leaderboard.submission import Submission
from hearbench.models.sandbox import _bubblewrap
from hearbench.validate.report import Report

__all__ = ["borrowed_packages"]

QUICK = ("--protocol", "knn", "--device", "cpu")


@pytest.fixture
def bubblewrap() -> None:
    try:
        _bubblewrap()
    except HearError as error:
        pytest.skip(str(error))


@pytest.mark.usefixtures("borrowed_packages", "bubblewrap")
def test_from_a_repository_to_a_rerun(tmp_path: Path) -> None:
    whole_way(tmp_path)


def whole_way(tmp_path: Path) -> None:
    """Submits a version of a model from its address, checks it, runs it and another one again."""
    bare, commits = write_repository(tmp_path / "git", {"v1": GOOD, "v2": DEAF})
    task = make_scene_task(tmp_path, name="tones")
    private = make_scene_task(tmp_path / "private", name="secret", seed=1)
    bundle = tmp_path / "submission"
    with serving() as source:
        source.files["gain.txt"] = b"2.5"
        url = f"{source.url}/gain.txt"
        made = hearbench(
            *("submit", f"git+file://{bare}@v1", "--weights", url, "--out", bundle),
            *("--task", task, "--quick", *QUICK),
        )
        assert made.code == 0, made.stderr
        said = json.loads((bundle / "submission.json").read_text())
        assert said["origin"]["commit"] == commits["v1"]
        assert said["origin"]["weights_sha256"] == digest_bytes(b"2.5")
        assert said["card"]["weights_url"] == url
        assert said["machine"] == {"device": "cpu"}
        assert commits["v1"] in (bundle / "pull_request.md").read_text()
        checked = hearbench("leaderboard", "check", bundle, "--task", task)
        assert checked.code == 0, checked.stdout

        record = tmp_path / "rerun.json"
        again = hearbench(
            *("leaderboard", "rerun", bundle, "--task", task, "--task", private, *QUICK),
            *("--json", "--out", record),
        )
        assert again.code == 0, again.stderr
        rows = {row["task"]: row for row in again.json["tasks"]}
        honest = rows["tones-1.0.0-full"]
        assert (honest["verdict"], again.json["same_model"]) == ("within", True)
        assert honest["submitted"] == honest["rerun"] == 1.0
        secret = rows["secret-1.0.0-full"]
        assert secret.pop("rerun") == 1.0
        assert secret == {
            "task": "secret-1.0.0-full",
            "score": "top1_acc",
            "submitted": None,
            "interval": None,
            "verdict": "private",
            "why": "",
        }
        assert again.json["commit"] == commits["v1"]
        # Nothing of the private task but its name and its score is published.
        assert not re.search(r"\.wav|label|predict|private/", record.read_text())

        # The same scores and predictions, made up for a model that gives others.
        doctored = doctor(bundle, commits["v2"], tmp_path)
        passed = hearbench("leaderboard", "check", doctored, "--task", task)
        assert passed.code == 0, passed.stdout
        caught = hearbench("leaderboard", "rerun", doctored, "--task", task, *QUICK)
        assert caught.code == 1, caught.stderr
        assert "not within" in caught.stdout
        assert "0.3333" in caught.stdout
        assert "another digest" in caught.stderr


def doctor(bundle: Path, commit: str, tmp_path: Path) -> Path:
    """The bundle as if it came from another commit, with all that follows from its record."""
    said = Submission.model_validate_json((bundle / "submission.json").read_text())
    assert said.origin is not None
    said = said.model_copy(update={"origin": said.origin.model_copy(update={"commit": commit})})
    report = Report.model_validate_json((bundle / "validation.json").read_text())
    results = {path.name: path for path in (bundle / "results").iterdir()}
    write_bundle(tmp_path / "doctored", said, report, results)
    return tmp_path / "doctored"
