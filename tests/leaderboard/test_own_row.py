from __future__ import annotations

import json
import math
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers_leaderboard import N_CLIPS, made_up_predictions, write_made_up_result
from sklearn.metrics import roc_auc_score

from hearbench.errors import ResultError
from hearbench.leaderboard.columns import domain_of, leaderboard_tasks, tasks_of
from hearbench.leaderboard.own_row import find_results, own_row, row_of
from hearbench.leaderboard.table import COLUMNS
from hearbench.probe.protocol import FASTER, HEAR2021, QUICK
from hearbench.results import Result, find_conditions, score

ESC50 = "esc50-v2.0.0-full"
LIBRICOUNT = "libricount-v1.0.0-hear2021-full"
DCASE = "dcase2016_task2-hear2021-full"
MAESTRO = "maestro-v3.0.0-5h"
BEEHIVE = "beehive_states_fold0-v2-full", "beehive_states_fold1-v2-full"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results on four tasks, two of them with folds, two of events."""
    out = tmp_path_factory.mktemp("results")
    for name, wrong in ((ESC50, 5), (LIBRICOUNT, 1), (DCASE, 4), (MAESTRO, 2)):
        write_made_up_result(out, name, wrong=wrong)
    return out / "my_model"


@pytest.fixture
def model(made: Path, tmp_path: Path) -> Path:
    """The same, to be tampered with."""
    return shutil.copytree(made, tmp_path / "my_model")


def by_column(row: Any) -> dict[str, float]:
    return {c: s for c, s in zip(COLUMNS, row.scores, strict=True) if s is not None}


def test_the_columns_and_their_tasks() -> None:
    assert len(leaderboard_tasks()) == 20
    assert {column: len(tasks_of(column)) for column in COLUMNS} == {
        column: 2 if column == "Beehive" else 1 for column in COLUMNS
    }
    assert domain_of("Gunshot") == "environment"
    assert tasks_of("Gunshot")[0].test_splits == tuple(f"fold{i:02d}" for i in range(7))
    assert tasks_of("FSD50K")[0].test_splits == ("test",)


def test_a_row_is_the_share_of_right_clips(made: Path) -> None:
    (files,) = find_results(made.parent).values()
    assert [file.parent.name for file in files] == sorted([DCASE, ESC50, LIBRICOUNT, MAESTRO])
    row = row_of(files, "Our model", url="https://example.org", submitted="2024-02-29")
    assert (row.model, row.url, row.submitted) == (
        "Our model", "https://example.org", "2024-02-29",
    )  # fmt: skip
    # So many of the 20 clips of each split have the wrong label. Each clip has one event, and an
    # event of another label is found instead: precision and recall are the share of right clips.
    assert by_column(row) == pytest.approx(
        {
            "ESC-50": 1 - 5 / N_CLIPS,
            "Libricount": 1 - 1 / N_CLIPS,
            "DCASE 2016": 1 - 4 / N_CLIPS,
            "Maestro 5h": 1 - 2 / N_CLIPS,
        },
        abs=1e-9,
    )
    # An infinite score besides, whose deviation JSON can't tell from none, is no edit.
    assert math.isinf(Result.read(made / LIBRICOUNT).scores["d_prime"].mean)
    own = own_row(files)
    assert own.row.model == "my_model"
    assert own.sources["ESC-50"] == (str(made / ESC50 / "result.json"),)
    assert (own.refused, own.elsewhere, own.notes) == ((), (), ())


def test_beehive_is_the_mean_of_both(tmp_path: Path) -> None:
    folders = [
        write_made_up_result(tmp_path, name, wrong=wrong)
        for name, wrong in zip(BEEHIVE, (3, 9), strict=True)
    ]
    expected = []
    for folder in folders:
        probabilities = np.load(folder / "predictions/test.npy")
        targets = np.load(folder / "predictions/test.targets.npy")
        expected.append(roc_auc_score(targets, probabilities, average="macro"))
    assert expected[0] != expected[1]
    row = row_of(folders)
    assert by_column(row) == {"Beehive": round(float(np.mean(expected)), 9)}
    alone = own_row(folders[:1])
    assert by_column(alone.row) == {}
    assert "stays empty without beehive_states_fold1-v2-full" in alone.notes[0]
    with pytest.raises(ResultError, match="no result of a task that is on the leaderboard"):
        row_of(folders[:1])


def test_other_tasks_are_left_out_by_name(made: Path, tmp_path: Path) -> None:
    write_made_up_result(tmp_path, "esc50-v2.0.0-small")
    write_made_up_result(tmp_path, "spoken_digit-1.0.9-full")
    (files,) = find_results(tmp_path).values()
    own = own_row([*files, made / ESC50])
    assert own.elsewhere == ("esc50-v2.0.0-small", "spoken_digit-1.0.9-full")
    assert list(by_column(own.row)) == ["ESC-50"]


def test_results_in_memory_count_too() -> None:
    row = row_of([score(made_up_predictions(ESC50, wrong=2))])
    assert by_column(row) == pytest.approx({"ESC-50": 0.9})


def refused(folder: Path) -> str:
    """Why a result is refused."""
    own = own_row([folder])
    assert not own.sources
    (refusal,) = own.refused
    assert refusal.where == str(folder / "result.json")
    with pytest.raises(ResultError, match="can't be entered"):
        row_of([folder])
    return refusal.reason


def change(folder: Path, edit: Callable[[dict[str, Any]], None]) -> Path:
    file = folder / "result.json"
    content = json.loads(file.read_text())
    edit(content)
    file.write_text(json.dumps(content))
    return folder


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"protocol": FASTER}, "it is of the protocol 'faster'; the table's is 'hear2021'"),
        ({"protocol": QUICK}, "it is of the protocol 'quick'; the table's is 'hear2021'"),
        (
            {"protocol": QUICK.model_copy(update={"name": "hear2021"})},
            "called 'hear2021' and has other content",
        ),
        ({"protocol": HEAR2021.restricted(first=2)}, r"part of the grid, hear2021\[first=2\]"),
        (
            {"protocol": FASTER.model_copy(update={"name": "hear2021"})},
            "called 'hear2021' and has other content",
        ),
        ({"dtype": "float16"}, "stored as float16"),
    ],
)
def test_other_protocols_are_refused(more: dict[str, Any], says: str, tmp_path: Path) -> None:
    assert re.search(says, refused(write_made_up_result(tmp_path, ESC50, **more)))


def test_other_protocols_are_apart_or_marked(tmp_path: Path) -> None:
    whole = write_made_up_result(tmp_path, LIBRICOUNT, wrong=2)
    file = write_made_up_result(tmp_path, ESC50, wrong=5, protocol=FASTER) / "result.json"
    files = [whole, file]
    apart = own_row(files)
    assert list(apart.sources) == ["Libricount"]
    assert [refusal.where for refusal in apart.refused] == [str(file)]
    (other,) = apart.by_other_protocols
    assert other.task == ESC50
    assert other.score == pytest.approx(0.75)
    assert other.fingerprint == find_conditions("faster").fingerprint
    assert (other.protocol, other.where) == ("faster, seed 42, float32", str(file))
    assert apart.marked == {}
    together = own_row(files, across_protocols=True)
    assert together.refused == ()
    assert set(together.sources) == {"ESC-50", "Libricount"}
    assert together.marked == {"ESC-50": "faster, seed 42, float32"}
    assert together.notes == (
        "ESC-50: by another protocol than the table's, faster, seed 42, float32.",
    )
    # What is wrong with it otherwise is no matter of the protocol.
    change(file.parent, drop_fold)
    for across in (False, True):
        broken = own_row(files, across_protocols=across)
        assert (broken.by_other_protocols, len(broken.refused)) == ((), 1)


def drop_fold(content: dict[str, Any]) -> None:
    content["folds"] = content["folds"][:-1]
    for summary in content["scores"].values():
        del summary["per_fold"]["fold04"]


def rename_fold(content: dict[str, Any]) -> None:
    content["folds"][4]["test"] = "fold03"


def other_training(content: dict[str, Any]) -> None:
    content["folds"][1]["train"] = ["fold00", "fold01", "fold03", "fold04"]


def drop_a_score(content: dict[str, Any]) -> None:
    del content["scores"]["mAP"]["per_fold"]["fold02"]


def other_chosen(content: dict[str, Any]) -> None:
    content["chosen"] = 3


def other_grid(content: dict[str, Any]) -> None:
    content["grid"][0]["point"]["lr"] = 0.5


def other_primary(content: dict[str, Any]) -> None:
    content["primary_score"] = "mAP"


def edit_mean(content: dict[str, Any]) -> None:
    content["scores"]["top1_acc"]["mean"] = 0.99


def edit_fold(content: dict[str, Any]) -> None:
    per_fold = content["scores"]["top1_acc"]["per_fold"]
    per_fold["fold00"] = 0.95
    content["scores"]["top1_acc"]["mean"] = float(np.mean(list(per_fold.values())))
    content["scores"]["top1_acc"]["std"] = float(np.std(list(per_fold.values()), ddof=1))


def undefine(content: dict[str, Any]) -> None:
    summary = content["scores"]["top1_acc"]
    summary["per_fold"]["fold00"] = summary["mean"] = summary["std"] = None
    content["notes"] = ["No grid point had a defined validation score."]


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        (drop_fold, "it has 4 of 5 test splits; fold04 is missing"),
        (rename_fold, "it has 4 of 5 test splits; fold04 is missing"),
        (other_training, "fold01 wasn't trained and validated on the splits it should be"),
        (drop_a_score, "its scores aren't of the test splits"),
        (other_chosen, "another grid point than the one it used was better"),
        (other_grid, "its grid isn't the protocol's"),
        (other_primary, "its first score is 'mAP' and not 'top1_acc'"),
        (edit_mean, "has been edited: the mean or deviation of top1_acc isn't that of its folds"),
        (edit_fold, "top1_acc, fold00: 0.95 is stated, 0.75 is right"),
        (undefine, "its top1_acc is undefined, so there is nothing to enter. No grid point"),
    ],
)
def test_what_is_wrong_with_a_result_is_said(
    edit: Callable[[dict[str, Any]], None], says: str, model: Path
) -> None:
    assert says in refused(change(model / ESC50, edit))


def test_an_edit_shows_in_the_published_form_without_predictions(model: Path) -> None:
    shutil.rmtree(model / ESC50 / "predictions")
    (note,) = own_row([model / ESC50]).notes
    assert "could not be computed again" in note
    reason = refused(change(model / ESC50, edit_fold))
    assert "test.predicted-scores.json has 0.75 as top1_acc of fold00" in reason


def test_the_ways_to_events_are_the_tasks(model: Path) -> None:
    def edit(content: dict[str, Any]) -> None:
        content["folds"][2]["postprocessing"]["median_filter_ms"] = 50.0

    assert "fold02 was made into events in a way" in refused(change(model / MAESTRO, edit))


def test_a_loss_that_chose_is_better_when_lower(model: Path) -> None:
    def edit(content: dict[str, Any]) -> None:
        content["grid"][0]["validation_score"] = -1.0

    assert "better in validation" in refused(change(model / MAESTRO, edit))


def test_two_results_of_a_task(made: Path, model: Path) -> None:
    with pytest.raises(ResultError, match=rf"{ESC50}.*are both of {ESC50}; keep one"):
        own_row([made / ESC50, model / ESC50])


def test_two_models(made: Path, tmp_path: Path) -> None:
    other = write_made_up_result(tmp_path, LIBRICOUNT, digest="5" * 64)
    with pytest.raises(ResultError, match="are of different models"):
        own_row([made / ESC50, other])


def test_names_that_a_row_cannot_have(made: Path) -> None:
    with pytest.raises(ResultError, match="'a, b' has a comma"):
        own_row([made / ESC50], "a, b")
    with pytest.raises(ResultError, match="http"):
        own_row([made / ESC50], url="javascript:alert(1)")


def test_finding(made: Path, tmp_path: Path) -> None:
    assert find_results(made / ESC50) == {made: (made / ESC50 / "result.json",)}
    assert list(find_results(made / ESC50 / "result.json")) == [made]
    write_made_up_result(tmp_path, ESC50, model="b")
    write_made_up_result(tmp_path, ESC50, model="a")
    (tmp_path / ".hidden/x").mkdir(parents=True)
    (tmp_path / ".hidden/x/result.json").write_text("{}")
    assert list(find_results(tmp_path)) == [tmp_path / "a", tmp_path / "b"]
    with pytest.raises(ResultError, match=r"holds no result\.json"):
        find_results(tmp_path / "a" / ESC50 / "predictions")
    with pytest.raises(ResultError, match="is not there"):
        find_results(tmp_path / "nowhere")
    with pytest.raises(ResultError, match="none was named"):
        own_row([])


def test_all_twenty_make_a_complete_row(tmp_path: Path) -> None:
    results = [score(made_up_predictions(name, wrong=1)) for name in leaderboard_tasks()]
    row = row_of(results)
    assert row.is_complete
    assert isinstance(results[0], Result)
