from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers_cli import Answer, hearbench
from helpers_models import STATS, write_model
from helpers_tasks import make_event_task, make_scene_task

QUICK = ("--protocol", "faster", "--grid-points", "2")


def evaluate(model: object, task: object, out: Path, *more: object) -> Answer:
    return hearbench("evaluate", model, "--task", task, "--out", out, *QUICK, *more)


def test_the_stable_form(model: Path, task: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    answer = evaluate(model, task, out, "--seed", 3, "--device", "cpu", "--json")
    assert answer.code == 0, answer.stderr
    folder = out / "stats" / "tones-1.0.0-full"
    (found,) = answer.json["results"]
    assert answer.json["failed"] == []
    assert found["model"] == "stats"
    assert found["task"] == "tones-1.0.0-full"
    assert Path(found["path"]) == folder / "result.json"
    result = json.loads((folder / "result.json").read_text())
    assert result["seed"] == 3
    assert result["protocol"]["name"] == "faster[first=2]"
    assert found["scores"].keys() == {"top1_acc", "mAP"}
    assert found["seeds"] == [3]
    scores = found["scores"]["mAP"]
    assert (scores["mean"], scores["std"]) == (result["scores"]["mAP"]["mean"], None)
    # What is not known with one seed and one test split is null.
    assert scores["sources"]["seeds"] is None
    assert scores["sources"]["folds"] is None
    interval = scores["sources"]["total"]["interval"]
    assert interval["low"] < scores["mean"] < interval["high"]
    reference = json.loads((folder / "test.predicted-scores.json").read_text())
    assert reference["test"]["test_top1_acc"] == found["scores"]["top1_acc"]["mean"]
    targets = np.load(folder / "predictions" / "test.targets.npy")
    predicted = np.load(folder / "predictions" / "test.npy")
    hits = targets[np.arange(12), predicted.argmax(1)]
    assert hits.mean() == pytest.approx(found["scores"]["top1_acc"]["mean"], abs=1e-12)


def test_the_table(model: Path, tmp_path: Path) -> None:
    folds = make_scene_task(tmp_path / "t", name="folded", folds=True)
    answer = evaluate(model, folds, tmp_path / "out")
    assert answer.code == 0
    assert "folded-1.0.0-full" in answer.stdout
    assert "±" in answer.stdout
    assert "3 folds" in answer.stdout
    # Elsewhere than on a terminal a stage is a plain line.
    assert "folded-1.0.0-full: embedding with stats\n" in answer.stderr
    assert "\x1b" not in answer.stderr


def test_the_same_again_keeps_the_result(model: Path, task: Path, tmp_path: Path) -> None:
    first = evaluate(model, task, tmp_path / "out", "--json")
    path = Path(first.json["results"][0]["path"])
    before = path.stat().st_mtime_ns
    # The caches aren't needed for it, either.
    shutil.rmtree(tmp_path / "cache")
    again = evaluate(model, task, tmp_path / "out", "--json")
    assert again.code == 0
    assert again.json == first.json
    assert "kept" in again.stderr
    assert path.stat().st_mtime_ns == before


def test_what_an_evaluation_does_not_need_is_not_loaded(
    model: Path, task: Path, tmp_path: Path
) -> None:
    """What downloads need where there is a folder, PyTorch's compiler, and scipy's slowest part."""
    code = (
        "import sys; from hearbench.cli.app import app\n"
        "try: app(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "needless = {'hearbench.tasks.ready_made', 'torch._dynamo', 'scipy.stats'}\n"
        "sys.exit(str(needless & {*sys.modules}) if needless & {*sys.modules} else 0)"
    )
    command = ("evaluate", model, "--task", task, "--out", tmp_path / "out", *QUICK)
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, command)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "wrote" in done.stderr


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (("--seed", "7"), "seed 42 instead of 7"),
        (("--grid-points", "1"), "protocol faster[first=2] instead of faster[first=1]"),
        (("--dtype", "float16"), "embeddings in float32 instead of float16"),
    ],
)
def test_other_inputs_never_replace_a_result_unasked(
    change: tuple[str, str], named: str, model: Path, task: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    first = evaluate(model, task, out, "--json", "--precision", "float32")
    path = Path(first.json["results"][0]["path"])
    before = path.read_bytes()
    refused = evaluate(model, task, out, "--precision", "float32", *change)
    assert refused.code == 2
    assert named in refused.stderr
    assert "--name" in refused.stderr
    assert "--overwrite" in refused.stderr
    assert path.read_bytes() == before
    named_apart = evaluate(model, task, out, "--precision", "float32", *change, "--name", "b")
    assert named_apart.code == 0
    assert (out / "b" / "tones-1.0.0-full" / "result.json").is_file()
    assert path.read_bytes() == before
    replaced = evaluate(model, task, out, "--precision", "float32", *change, "--overwrite")
    assert replaced.code == 0
    assert path.read_bytes() != before


def test_another_checkpoint_under_the_same_name(task: Path, tmp_path: Path) -> None:
    model = write_model(tmp_path, name="weighed")
    for name in ("a", "b"):
        (tmp_path / f"{name}.pt").write_text(name)
    assert evaluate(model, task, tmp_path / "out", "--weights", tmp_path / "a.pt").code == 0
    other = evaluate(model, task, tmp_path / "out", "--weights", tmp_path / "b.pt")
    assert other.code == 2
    assert "another model or checkpoint" in other.stderr
    assert str(tmp_path / "a.pt") in other.stderr


def test_a_mixture_is_never_taken_for_a_result(model: Path, task: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out" / "stats" / "tones-1.0.0-full"
    (folder / "predictions").mkdir(parents=True)
    (folder / "predictions" / "fold07.npy").write_bytes(b"of another run that was killed")
    (folder / ".tmp-x.json").write_bytes(b"half")
    assert evaluate(model, task, tmp_path / "out").code == 0
    left = sorted(path.name for path in (folder / "predictions").iterdir())
    assert left == ["clips.json", "labels.json", "test.npy", "test.targets.npy"]
    assert not (folder / ".tmp-x.json").exists()


def test_a_result_that_cannot_be_read(model: Path, task: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out" / "stats" / "tones-1.0.0-full"
    folder.mkdir(parents=True)
    (folder / "result.json").write_text('{"format_version": 99}')
    answer = evaluate(model, task, tmp_path / "out")
    assert answer.code == 2
    assert "result.json is not a result of format version 1" in answer.stderr
    assert (folder / "result.json").read_text() == '{"format_version": 99}'


def test_a_task_that_fails_leaves_the_others_theirs(
    model: Path, task: Path, tmp_path: Path
) -> None:
    unknown = make_event_task(tmp_path / "events", scores=["event_onset_200ms_fms"])
    path = unknown / "task_metadata.json"
    path.write_text(path.read_text().replace("event_onset_200ms_fms", "event_onset_20ms_fms"))
    missing = tmp_path / "nowhere"
    answer = evaluate(model, missing, tmp_path / "out", "--task", unknown, "--task", task, "--json")
    assert answer.code == 2
    assert [item["task"] for item in answer.json["results"]] == ["tones-1.0.0-full"]
    assert [item["task"] for item in answer.json["failed"]] == [str(missing), str(unknown)]
    assert "event_onset_20ms_fms" in answer.json["failed"][1]["error"]
    assert "2 of 3 tasks failed" in answer.stderr
    # Found out before it was embedded.
    assert not (tmp_path / "cache" / "embeddings" / "beeps-1.0.0-full").exists()


def test_event_tasks_are_evaluated(model: Path, tmp_path: Path) -> None:
    events = make_event_task(tmp_path / "events")
    answer = evaluate(model, events, tmp_path / "out", "--max-memory", 0, "--json")
    assert answer.code == 0, answer.stderr
    scores = answer.json["results"][0]["scores"]
    assert list(scores) == ["event_onset_200ms_fms", "segment_1s_er"]
    left = sorted(p.name for p in (tmp_path / "out/stats/beeps-1.0.0-full/predictions").iterdir())
    of_test = ("bounds", "events", "npy", "per_label", "reference", "timestamps")
    assert [name.split(".")[1] for name in left if name.startswith("test.")] == list(of_test)


def test_undefined_scores_are_explained(model: Path, tmp_path: Path) -> None:
    folder = make_scene_task(tmp_path / "t", scores=["top1_acc", "aucroc"])
    path = folder / "test.json"
    path.write_text(path.read_text().replace('"c"', '"b"'))
    answer = evaluate(model, folder, tmp_path / "out")
    assert answer.code == 0
    assert "undefined" in answer.stdout
    assert "aucroc is undefined on test: there, some label is that of no clip" in answer.stdout
    as_json = evaluate(model, folder, tmp_path / "out", "--json")
    assert as_json.json["results"][0]["scores"]["aucroc"] == {
        "mean": None,
        "std": None,
        "sources": {"clips": None, "seeds": None, "folds": None, "total": None},
    }


def test_an_undefined_validation_is_explained(model: Path, tmp_path: Path) -> None:
    folder = make_scene_task(tmp_path / "t", scores=["aucroc", "top1_acc"])
    path = folder / "valid.json"
    path.write_text(path.read_text().replace('"c"', '"b"'))
    answer = hearbench(
        "evaluate", model, "--task", folder, "--out", tmp_path / "out", "--grid-points", 1
    )
    assert answer.code == 0
    shown = " ".join(answer.stdout.split())
    assert "No validation was defined for the test split test (epoch 3), as aucroc" in shown


def test_only_restricts_the_grid(model: Path, task: Path, tmp_path: Path) -> None:
    answer = hearbench(
        "evaluate", model, "--task", task, "--out", tmp_path / "out", "--json",
        "--protocol", "faster", "--only", "hidden_layers=0", "--only", "initialization=normal",
    )  # fmt: skip
    assert answer.code == 0, answer.stderr
    result = json.loads(Path(answer.json["results"][0]["path"]).read_text())
    assert result["grid"]
    points = [entry["point"] for entry in result["grid"]]
    assert {(p["hidden_layers"], p["initialization"]) for p in points} == {(0, "normal")}


def test_options_reach_the_model(task: Path, tmp_path: Path) -> None:
    source = STATS.replace('load_model(model_file_path=""', 'load_model(model_file_path="", gain=1')
    model = write_model(tmp_path, source, name="gained")
    answer = evaluate(model, task, tmp_path / "out", "--option", "gain=3", "--json")
    assert answer.code == 0, answer.stderr
    assert answer.json["results"][0]["model"] == "gained-gain=3"


def test_what_a_model_prints_is_no_answer(task: Path, tmp_path: Path) -> None:
    model = write_model(tmp_path, STATS, name="noisy", extra="print('hello from the model')")
    answer = evaluate(model, task, tmp_path / "out", "--json")
    assert answer.json["failed"] == []
    assert "hello from the model" in answer.stderr


BAD: list[tuple[dict[str, Any], tuple[str, ...]]] = [
    ({"task": "no-such-task"}, ("There is no task 'no-such-task'",)),
    ({"task": "./no/such/task"}, ("there is no such file or folder",)),
    ({"model": "no_such_module"}, ("There is no module named 'no_such_module'",)),
    ({"model": "no_such_file.py"}, ("There is no model file",)),
    ({"model": "json"}, ("has no load_model",)),
    ({"more": ("--weights", "nothing.pt")}, ("There are no weights at nothing.pt",)),
    ({"more": ("--option", "gian=3")}, ("has no option 'gian'",)),
    ({"more": ("--option", "gain")}, ("--option 'gain'", "k=v")),
    ({"more": ("--option", "a=1", "--option", "a=2")}, ("--option a is given twice",)),
    ({"more": ("--option", "weights=a.pt")}, ("--weights",)),
    ({"more": ("--option", "workspace=a")}, ("'workspace'",)),
    ({"more": ("--protocol", "hear2012")}, ("Did you mean 'hear2021'",)),
    ({"more": ("--only", "hidden_layers")}, ("--only 'hidden_layers'",)),
    ({"more": ("--only", "hiden_layers=1")}, ("Did you mean 'hidden_layers'",)),
    ({"more": ("--only", "lr=5")}, ("No grid point of 'faster' has lr=5",)),
    ({"more": ("--precision", "float8")}, ("--precision float8",)),
    ({"more": ("--dtype", "int8")}, ("--dtype int8",)),
    ({"more": ("--device", "abacus")}, ("'abacus'", "cpu; cuda", "mps")),
    ({"more": ("--device", "cuda:99")}, ("'cuda:99' can't be used. Here are cpu",)),
    ({"more": ("--name", "a/b")}, ("'a/b' can't be the name",)),
    ({"more": ("--name", "..")}, ("'..' can't be the name",)),
    ({"more": ("--grid-points", "0")}, ("--grid-points",)),
    ({"more": ("--sead", "3")}, ("No such option",)),
]


@pytest.mark.parametrize(("change", "said"), BAD, ids=[str(sorted(c.items())) for c, _ in BAD])
def test_bad_input(
    change: dict[str, Any], said: tuple[str, ...], model: Path, task: Path, tmp_path: Path
) -> None:
    answer = evaluate(
        change.get("model", model),
        change.get("task", task),
        tmp_path / "out",
        *change.get("more", ()),
    )
    assert answer.code == 2
    assert answer.stdout == ""
    assert "Traceback" not in answer.stderr
    for text in said:
        assert text in answer.stderr
    assert not list((tmp_path / "out").rglob("result.json"))


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("syntax error here", "SyntaxError"),
        ("import no_such_library", "no_such_library"),
        (STATS.replace("audio.std(1)", "audio.std(1) / 0"), "infinite"),
        (STATS.replace("audio.abs().amax(1)]", "audio.missing]"), "missing"),
        (STATS.replace("scene_embedding_size = 3", "scene_embedding_size = 4"), "(12, 4)"),
        (STATS.replace("16000", "800"), "sample_rate is 800;"),
    ],
)
def test_a_broken_model(source: str, said: str, task: Path, tmp_path: Path) -> None:
    answer = evaluate(write_model(tmp_path, source, name="broken"), task, tmp_path / "out")
    assert answer.code == 2
    assert said in answer.stderr
    assert answer.stdout == ""


def test_a_rate_that_the_challenge_does_not_name(task: Path, tmp_path: Path) -> None:
    folder = tmp_path / "cache" / "embeddings"
    found = {}
    for rate in ("16000", "24000"):
        model = write_model(tmp_path, STATS.replace("16000", rate), name=f"at{rate}")
        answer = evaluate(model, task, tmp_path / "out", "--json")
        assert answer.code == 0, answer.stderr
        result = json.loads(Path(answer.json["results"][0]["path"]).read_text())
        assert result["model"]["sample_rate"] == int(rate)
        (array,) = folder.glob(f"*/at{rate}*/**/test*.npy")
        found[rate] = np.load(array)
    # Mean, standard deviation and peak of the same sound.
    assert np.abs(found["16000"] - found["24000"]).max() < 0.05


def test_a_precision_that_a_model_does_not_know(model: Path, task: Path, tmp_path: Path) -> None:
    answer = evaluate(model, task, tmp_path / "out", "--model-dtype", "bfloat16")
    assert answer.code == 2
    assert "can't compute in bfloat16: its load_model has no keyword model_dtype" in answer.stderr
    answer = evaluate(model, task, tmp_path / "out", "--model-dtype", "int8")
    assert answer.code == 2
    assert "--model-dtype int8: choose float32, bfloat16, float16." in answer.stderr


def test_folders_that_cannot_be_written(model: Path, task: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    answer = evaluate(model, task, tmp_path / "file" / "out")
    assert answer.code == 2
    assert "for the results can't be made" in answer.stderr
    answer = evaluate(model, task, tmp_path / "out", "--cache", tmp_path / "file")
    assert answer.code == 2
    assert "for the cache can't be made" in answer.stderr


def test_a_task_whose_name_is_a_path(model: Path, task: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(task, tmp_path / "odd")
    path = folder / "task_metadata.json"
    path.write_text(path.read_text().replace('"tones"', '"../../tones"'))
    answer = evaluate(model, folder, tmp_path / "out")
    assert answer.code == 2
    assert "../../tones" in answer.stderr


def test_a_tasks_own_grid_is_tried_and_kept(model: Path, tmp_path: Path) -> None:
    grid = {"max_epochs": [2], "check_val_every_n_epoch": [1], "hidden_layers": [0, 1], "lr": [0.1]}
    params = {"task_specific_param_grid": grid}
    folder = make_scene_task(tmp_path / "t", evaluation_params=params)
    out = tmp_path / "out"
    answer = hearbench("evaluate", model, "--task", folder, "--out", out, "--json")
    assert answer.code == 0, answer.stderr
    path = Path(answer.json["results"][0]["path"])
    result = json.loads(path.read_text())
    points = [entry["point"] for entry in result["grid"]]
    # ParameterGrid of scikit-learn, shuffled by random.Random(42).
    expected = [(1, "uniform"), (0, "normal"), (1, "normal"), (0, "uniform")]
    assert sorted((p["hidden_layers"], p["initialization"]) for p in points) == sorted(expected)
    assert {(p["lr"], p["max_epochs"], p["check_every"]) for p in points} == {(0.1, 2, 1)}
    assert result["protocol"]["name"] == "hear2021"
    written = path.stat().st_mtime_ns
    again = hearbench("evaluate", model, "--task", folder, "--out", out)
    assert "kept" in again.stderr
    assert path.stat().st_mtime_ns == written
    metadata = json.loads((folder / "task_metadata.json").read_text())
    metadata["evaluation_params"]["task_specific_param_grid"]["max_epochs"] = [3]
    (folder / "task_metadata.json").write_text(json.dumps(metadata))
    other = hearbench("evaluate", model, "--task", folder, "--out", out)
    assert other.code == 2
    assert "the protocol hear2021 of other content" in " ".join(other.stderr.split())


def test_a_grid_that_leaves_nothing_to_validate_is_told_before_embedding(
    model: Path, tmp_path: Path
) -> None:
    params = {"task_specific_param_grid": {"max_epochs": [2]}}
    folder = make_scene_task(tmp_path / "t", evaluation_params=params)
    answer = hearbench("evaluate", model, "--task", folder, "--out", tmp_path / "out")
    assert answer.code == 2
    assert "would never validate" in answer.stderr
    assert not list((tmp_path / "out").rglob("result.json"))
    assert "embedd" not in answer.stderr
