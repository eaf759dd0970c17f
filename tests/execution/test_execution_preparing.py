"""Tasks that others prepare are those that this process would have prepared."""

from __future__ import annotations

import dataclasses
import zipfile
from pathlib import Path

import numpy as np
import pytest
from helpers_cli import hearbench
from helpers_tasks import write_wav

from hearbench.evaluation.preparing import PrepareCorpus, Prepared, prepare_tasks, preparing
from hearbench.evaluation.task_ref import TaskRef
from hearbench.execution.executor import InProcess, drive
from hearbench.execution.remote_cache import UrlExchange
from hearbench.tasks.from_corpus import CatalogSource, catalog_tasks, prepare_from_corpus
from hearbench.tasks.store import load_task
from hearbench.workspace import Workspace

ASKED = ("libricount", "small"), ("esc50", "small")


@pytest.fixture
def corpora(tmp_path: Path) -> Path:
    """A small corpus of libricount, and a broken one of ESC-50."""
    folder = tmp_path / "corpora"
    folder.mkdir()
    rng = np.random.default_rng(1)
    with zipfile.ZipFile(folder / "libricount-train-small.zip", "w") as archive:
        for i in range(20):
            write_wav(tmp_path / "x.wav", rng.integers(-999, 999, 4000, np.int16), 16000)
            archive.write(tmp_path / "x.wav", f"test/{i % 4}_{i}.wav")
    (folder / "esc50-all_folds-small.zip").write_text("no archive")
    return folder


def unit(corpora: Path, *tasks: tuple[str, str], out: Path | None, sent: bool) -> PrepareCorpus:
    return PrepareCorpus(
        tasks=tasks,
        source=CatalogSource((corpora,), trust_corpus=True, sample_rates=(16000,)),
        out=out,
        sent=sent,
    )


def test_by_way_of_a_url(corpora: Path, tmp_path: Path, workspace: Workspace) -> None:
    exchange = UrlExchange((tmp_path / "there").as_uri())
    node = dataclasses.replace(workspace, cache_dir=tmp_path / "node")
    prepared: Prepared = {}
    units = [unit(corpora, *ASKED, out=None, sent=True)]
    assert drive(InProcess(node, exchange), preparing(units, prepared)) == {}
    place, failed = (prepared[asked] for asked in ASKED)
    assert isinstance(failed, str)
    assert "esc50-all_folds-small.zip" in failed
    assert isinstance(place, TaskRef)
    assert list(workspace.cache_dir.glob("tasks/*")) == []
    place.bring_home(workspace, exchange)
    here = prepare_from_corpus(
        "libricount",
        tmp_path / "here",
        CatalogSource((corpora,), trust_corpus=True, sample_rates=(16000,)),
        mode="small",
        workspace=workspace,
    )
    one, other = load_task(place.name, workspace=workspace), load_task(here, workspace=workspace)
    assert (one.source_digest, one.audio_digests) == (other.source_digest, other.audio_digests)


def test_into_a_folder_that_all_see(corpora: Path, tmp_path: Path, workspace: Workspace) -> None:
    prepared: Prepared = {}
    units = [unit(corpora, ASKED[0], out=tmp_path / "o", sent=False)]
    assert drive(InProcess(workspace), preparing(units, prepared)) == {}
    assert prepared[ASKED[0]] == f"{tmp_path / 'o'} isn't there on the node that would write to it."
    (tmp_path / "o").mkdir()
    assert drive(InProcess(workspace), preparing(units, prepared)) == {}
    folder = tmp_path / "o" / "tasks" / "libricount-v1.0.0-hear2021-small"
    assert prepared[ASKED[0]] == TaskRef(folder.name, str(folder))


@pytest.mark.parametrize("sent", [False, True])
def test_an_executor_prepares_what_this_process_would(
    corpora: Path, tmp_path: Path, workspace: Workspace, sent: bool
) -> None:
    source = CatalogSource((corpora,), trust_corpus=True, sample_rates=(16000,))
    wanted = catalog_tasks(["libricount-small", "esc50"], "small")
    assert wanted == list(ASKED)
    here = prepare_tasks(wanted, source, tmp_path / "here", workspace)
    cluster = InProcess(workspace, UrlExchange((tmp_path / "url").as_uri()) if sent else None)
    there = prepare_tasks(wanted, source, tmp_path / "there", workspace, cluster, sent=sent)
    for found, folder in ((here, "here"), (there, "there")):
        ((name, why),) = found.failed
        assert (name, "esc50-all_folds-small.zip" in why) == ("esc50", True)
        (task,) = found.done
        assert task.folder == tmp_path / folder / "tasks" / "libricount-v1.0.0-hear2021-small"
    assert here.done[0].audio_digests == there.done[0].audio_digests


@pytest.mark.real
@pytest.mark.parametrize("by_url", [False, True])
def test_the_command(corpora: Path, tmp_path: Path, by_url: bool) -> None:
    pytest.importorskip("ray")
    more = ("--shared", (tmp_path / "there").as_uri()) if by_url else ()
    answer = hearbench(
        *("prepare", "libricount-small", "esc50-small", "--corpus-dir", corpora, "--json"),
        *("--trust-corpus", "--out", tmp_path / "o", "--cache", tmp_path / "cache"),
        *("--executor", "ray", *more),
    )
    assert answer.code == 2
    (failed,) = answer.json["failed"]
    assert failed["task"] == "esc50"
    (task,) = answer.json["prepared"]
    assert Path(task["folder"]).parent == tmp_path / "o" / "tasks"
    assert sum(task["splits"].values()) == 20


def test_only_tasks_of_the_catalog(tmp_path: Path) -> None:
    answer = hearbench("prepare", "--from-csv", "x", "--audio", tmp_path, "--executor", "ray")
    assert answer.code == 2
    assert "--executor ray only goes with a task of the catalog" in answer.stderr
    answer = hearbench("prepare", "esc50", "--shared", "s3://a/b")
    assert "--shared only goes with --executor ray" in answer.stderr
