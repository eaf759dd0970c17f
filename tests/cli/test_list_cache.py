from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest
from helpers_cli import hearbench
from helpers_zoo import FAMILY, put_into_zoo, written


def test_list(task: Path, cache: Path) -> None:
    shutil.copytree(task, cache / "tasks" / task.name)
    everything = hearbench("list", "--json").json
    assert list(everything) == [
        "catalog", "subsets", "tasks", "models", "protocols", "scores",
    ]  # fmt: skip
    assert [row["subset"] for row in everything["subsets"]] == ["hear-11", "hear-10", "hear-open"]
    assert len(everything["subsets"][0]["tasks"]) == 11
    (row,) = everything["tasks"]
    assert (row["task"], row["clips"], row["sample_rates"]) == ("tones-1.0.0-full", 36, [16000])
    baselines = [row["model"] for row in everything["models"] if "family" not in row]
    assert [name.removeprefix("hearbench.models.") for name in baselines] == [
        "crepe", "naive", "naive_keras", "naive_tensorflow", "onnx_file", "openl3",
        "vggish", "vqt", "wav2vec2",
    ]  # fmt: skip
    assert all(row["about"] for row in everything["models"])
    grids = {row["protocol"]: row["grid_points"] for row in everything["protocols"]}
    assert {"fast", "faster", "hear2021", "knn", "linear", "racing"} <= set(grids)
    assert {name for name, points in grids.items() if points != 8} == {"mwmae"}
    assert len(everything["scores"]) == 19
    table = hearbench("list", "protocols")
    assert table.code == 0
    assert "hear2021" in table.stdout


def test_list_of_a_folder_is_of_nothing_else(task: Path, cache: Path, tmp_path: Path) -> None:
    shutil.copytree(task, cache / "tasks" / "elsewhere")
    for what in ([], ["tasks"]):
        (row,) = hearbench("list", *what, "--dir", task.parent, "--json").json.pop("tasks")
        assert (row["task"], row["folder"]) == ("tones-1.0.0-full", str(task.resolve()))
        shown = hearbench("list", *what, "--dir", task.parent)
        assert "tones-1.0.0-full" in shown.stdout
        assert "catalog" not in shown.stdout
    (tmp_path / "nothing").mkdir()
    empty = hearbench("list", "tasks", "--dir", tmp_path / "nothing")
    assert empty.stdout == f"No tasks in {tmp_path / 'nothing'}.\n"
    refused = hearbench("list", "models", "--dir", task.parent)
    assert refused.code == 2
    assert "--dir lists tasks" in refused.stderr


@pytest.fixture
def chirps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_into_zoo(monkeypatch, written(tmp_path, FAMILY))


@pytest.mark.usefixtures("chirps")
def test_published_models_are_listed() -> None:
    def names(*filters: str) -> list[str]:
        rows = hearbench("list", "models", *filters, "--json").json["models"]
        return [row["model"] for row in rows if "family" in row]

    assert names() == ["chirp-large", "chirp-small"]
    assert names("--needs-environment") == names("--find", "LARGE birds") == ["chirp-large"]
    assert names("--no-environment") == names("--licence", "cc-by") == ["chirp-small"]
    assert names("--domain", "music") == []
    # The baselines, of which nothing else is known, are shown where nothing is asked for.
    assert "hearbench.models.naive" in hearbench("list", "models").stdout
    assert "naive" not in hearbench("list", "models", "--domain", "environment").stdout
    nothing = hearbench("list", "models", "--licence", "gpl")
    assert (nothing.code, nothing.stdout) == (0, "No models that are so.\n")


@pytest.mark.usefixtures("chirps")
def test_a_published_model_in_full() -> None:
    (row,) = hearbench("list", "models", "Chirp-Small", "--json").json["models"]
    assert (row["model"], row["family"], row["needs_environment"]) == (
        "chirp-small",
        "chirp",
        False,
    )
    assert (row["sample_rate"], row["hop_ms"], row["first_ms"]) == (16000, 20, None)
    shown = hearbench("list", "models", "chirp-small").stdout
    assert "hf:chirp/small" in shown
    # A fact that no source confirms says so, and what isn't known isn't shown.
    assert "waveform (unchecked)" in shown
    assert "first ms" not in shown


@pytest.mark.usefixtures("chirps")
def test_published_models_are_not_found() -> None:
    unknown = hearbench("list", "models", "chirp-smal")
    assert unknown.code == 2
    assert "Did you mean 'chirp-small'" in unknown.stderr
    for arguments in (["tasks", "esc50"], ["tasks", "--domain", "music"], ["--licence", "mit"]):
        refused = hearbench("list", *arguments)
        assert refused.code == 2
        assert "choose among models" in refused.stderr


@pytest.mark.usefixtures("chirps")
def test_published_models_fit_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    from rich.console import Console

    for width, there, gone in (
        (80, ("model", "Hz", "licence"), ("tried",)),
        (200, ("family", "domains", "hop, ms", "size", "needs", "tried"), ()),
    ):
        monkeypatch.setattr(
            "hearbench.cli.render.output_console",
            lambda width=width: Console(width=width, highlight=False),
        )
        lines = hearbench("list", "models", "--find", "chirp").stdout.splitlines()
        assert max(map(len, lines)) <= width
        assert all(word in lines[2] for word in there)
        assert not any(word in lines[2] for word in gone)
        assert any(line.startswith("  chirp-small ") for line in lines)
        (large,) = [line for line in lines if line.startswith("  chirp-large ")]
        assert "environment" in large


def test_list_of_what_is_not_there(tmp_path: Path) -> None:
    assert "No tasks in" in hearbench("list", "tasks").stdout
    answer = hearbench("list", "protocol")
    assert answer.code == 2
    assert "Did you mean 'protocols'" in answer.stderr
    assert hearbench("list", "tasks", "--dir", tmp_path / "nowhere").code == 2


def test_a_broken_task_is_not_listed(task: Path, cache: Path) -> None:
    broken = shutil.copytree(task, cache / "tasks" / task.name)
    assert len(hearbench("list", "tasks", "--json").json["tasks"]) == 1
    (broken / "train.json").write_text("{")
    assert hearbench("list", "tasks", "--json").json["tasks"] == []


def test_cache(model: Path, task: Path, cache: Path) -> None:
    kept_task = shutil.copytree(task, cache / "tasks" / task.name)
    store = Path(hearbench("embed", model, "--task", task).stdout.split()[0])
    size = sum(path.stat().st_size for path in store.rglob("*") if path.is_file())
    shown = hearbench("cache", "--json").json
    assert shown["folder"] == str(cache)
    kinds = {row["kind"]: row for row in shown["kinds"]}
    assert (kinds["embeddings"]["entries"], kinds["embeddings"]["bytes"]) == (1, size)
    assert kinds["tasks"]["entries"] == 1
    assert "embeddings" in hearbench("cache").stdout

    # Nobody to ask: nothing happens.
    refused = hearbench("cache", "clear", "embeddings")
    assert refused.code == 2
    assert "--yes" in refused.stderr
    assert store.is_dir()
    # Too young.
    assert hearbench("cache", "clear", "--older-than", 1, "--yes", "--json").json["removed"] == []
    for path in (store, *store.rglob("*")):
        os.utime(path, (time.time() - 3 * 86400,) * 2)
    stranger = cache / "embeddings" / "a" / "b" / "notes"
    stranger.mkdir(parents=True)
    old = hearbench("cache", "clear", "--older-than", 2, "--yes", "--json").json
    assert [item["path"] for item in old["removed"]] == [str(store)]
    assert old["bytes"] == size
    assert not (cache / "embeddings" / task.name).exists()
    assert stranger.is_dir()
    # Tasks go only by their name.
    assert hearbench("cache", "clear", "--yes").code == 0
    assert kept_task.is_dir()
    assert hearbench("cache", "clear", "tasks", "--yes").code == 0
    assert not kept_task.exists()


def test_clear_leaves_links_alone(task: Path, cache: Path, tmp_path: Path) -> None:
    elsewhere = shutil.copytree(task, tmp_path / "mine")
    (cache / "tasks").mkdir(parents=True)
    (cache / "tasks" / task.name).symlink_to(elsewhere)
    assert hearbench("cache", "clear", "tasks", "--yes", "--json").json["removed"] == []
    assert (elsewhere / "task_metadata.json").is_file()


def test_unknown_kind() -> None:
    answer = hearbench("cache", "clear", "embedings")
    assert answer.code == 2
    assert "Did you mean 'embeddings'" in answer.stderr


def test_what_killed_runs_left_behind(cache: Path) -> None:
    old = cache / "corpora" / ".tmp-abc" / "half.wav"
    new = cache / "corpora" / ".tmp-def" / "half.wav"
    download = cache / "downloads" / "esc50" / ".tmp-ghi"
    corpus = cache / "corpora" / "esc-0123456789abcdef" / "a.wav"
    for path in (old, new, download, corpus):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"1234")
    for path in (old, download):
        os.utime(path, (time.time() - 2 * 86400,) * 2)
    kinds = {row["kind"]: row for row in hearbench("cache", "--json").json["kinds"]}
    assert (kinds["leftovers"]["entries"], kinds["leftovers"]["bytes"]) == (2, 8)
    assert (kinds["corpora"]["entries"], kinds["downloads"]["entries"]) == (1, 0)
    assert hearbench("cache", "clear", "leftovers", "--yes").code == 0
    assert not old.parent.exists()
    assert not download.exists()
    assert new.is_file()
    assert corpus.is_file()


def test_the_catalog_fits_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    from rich.console import Console

    for width, there, gone in (
        (60, ("task", "mode", "clips", "kind"), ("licence", "hours")),
        (80, ("task", "clips", "hours"), ("licence", "first score")),
        (120, ("first score", "size", "domain"), ("licence",)),
        (190, ("licence", "from", "here"), ()),
    ):
        monkeypatch.setattr(
            "hearbench.cli.render.output_console",
            lambda width=width: Console(width=width, highlight=False),
        )
        lines = hearbench("list", "tasks").stdout.splitlines()
        assert max(len(line) for line in lines if not line.startswith("No tasks in")) <= width
        assert all(word in lines[2] for word in there)
        assert not any(word in lines[2] for word in gone)
        (row,) = [
            line for line in lines if line.startswith("  beehive_states_fold0 ") and "576" in line
        ]
        assert row.split()[:2] == ["beehive_states_fold0", "full"]
        assert not any(line.split()[1:2] == ["small"] for line in lines)
    assert "esc50                     small" in hearbench("list", "tasks", "--small").stdout
