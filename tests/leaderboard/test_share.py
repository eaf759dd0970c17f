from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from helpers_cli import hearbench
from helpers_models import BANDS, write_model
from helpers_tasks import make_event_task, make_scene_task

from hearbench.errors import HearError
from hearbench.leaderboard.share import share
from hearbench.results import Result


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> list[Result]:
    """Of a task with folds and of one with events."""
    folder = tmp_path_factory.mktemp("share")
    tasks = [
        make_scene_task(folder, name="folded_tones", folds=True),
        make_event_task(folder, name="beeps"),
    ]
    model = write_model(folder, BANDS, name="bands")
    answer = hearbench(
        *("evaluate", model, "--task", tasks[0], "--task", tasks[1], "--out", folder / "out"),
        *("--protocol", "faster", "--grid-points", "1", "--cache", folder / "cache"),
        *("--device", "cpu", "--json"),
    )
    assert answer.code == 0, answer.stderr
    return [Result.read(Path(found["path"])) for found in answer.json["results"]]


def test_parquet_holds_every_fold_of_every_score(results: list[Result]) -> None:
    import pandas as pd

    frame = pd.read_parquet(io.BytesIO(share(results, "parquet")))
    assert set(frame["task"]) == {result.task.name for result in results}
    for result in results:
        for name, summary in result.scores.items():
            rows = frame[(frame["task"] == result.task.name) & (frame["score"] == name)]
            assert dict(zip(rows["fold"], rows["value"], strict=True)) == pytest.approx(
                dict(summary.per_fold), nan_ok=True
            )
            assert rows["value"].mean() == pytest.approx(summary.mean, nan_ok=True)
    assert frame.loc[frame["is_primary"], "score"].nunique() == 2


def test_a_model_card_is_read_back(results: list[Result], tmp_path: Path) -> None:
    from huggingface_hub import ModelCard

    (tmp_path / "README.md").write_bytes(share(results, "model-index", "My: model"))
    data = ModelCard.load(tmp_path / "README.md", repo_type="model").data
    assert data.model_name == "My: model"
    found = {(row.dataset_type, row.metric_name): row.metric_value for row in data.eval_results}
    expected = {
        (f"hear/{result.task.name}", name): summary.mean
        for result in results
        for name, summary in result.scores.items()
    }
    assert found == pytest.approx(expected)


def test_tables(results: list[Result]) -> None:
    folded = next(result for result in results if len(result.folds) > 1)
    value = f"{folded.primary.mean:.4f}"
    lines = share(results, "markdown", "a|b_c").decode().splitlines()
    assert lines[0] == r"| a\|b\_c | score | value |"
    assert f"| `{folded.primary_score}` | {value} ± {folded.primary.std:.4f} |" in lines[-1]
    text = share(results, "latex", "a_b & c").decode()
    assert r"a\_b \& c & score & value \\" in text
    assert rf"folded\_tones-1.0.0-full & top1\_acc & {value} $\pm$ " in text


def test_what_can_not_be_shared(results: list[Result]) -> None:
    with pytest.raises(HearError, match="no form 'word': markdown, latex, model-index, parquet"):
        share(results, "word")
    with pytest.raises(HearError, match="no results"):
        share([], "latex")
    text = results[0].model_dump_json()
    other = Result.model_validate_json(text.replace('"name":"bands"', '"name":"other"', 1))
    assert json.loads(other.model_dump_json())["model"]["name"] == "other"
    with pytest.raises(HearError, match="is for one model; there are bands, other"):
        share([results[0], other], "latex")
