"""What processes with caches of their own hand to each other."""

from __future__ import annotations

import copy
import dataclasses
import json
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import platformdirs
import pytest
from helpers_cli import hearbench
from helpers_models import BANDS, write_model
from helpers_tasks import make_scene_task

from hearbench._version import __version__
from hearbench.errors import HearError, TaskError
from hearbench.evaluation.probes import ProbeSetup
from hearbench.evaluation.run import evaluate
from hearbench.evaluation.steps import EmbedShards, FetchTask, TrainFold
from hearbench.evaluation.task_ref import TaskRef
from hearbench.evaluation.workflow import Score, fetching
from hearbench.execution import remote_cache as module
from hearbench.execution.executor import Context, Outcome, Step, drive, outcome_of
from hearbench.execution.ray_cluster import _Errand
from hearbench.execution.remote_cache import OneDisk, Parcel, UrlExchange
from hearbench.probe.protocol import get_protocol
from hearbench.results import Result
from hearbench.tasks.store import load_task
from hearbench.workspace import Workspace

fsspec: Any = pytest.importorskip("fsspec")


@pytest.fixture(params=["file", "memory"])
def exchange(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[UrlExchange]:
    if request.param == "file":
        yield UrlExchange((tmp_path / "there").as_uri())
        return
    url = f"memory://{uuid.uuid4().hex}"
    yield UrlExchange(url)
    fsspec.filesystem("memory").store.clear()


def write(folder: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def read(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def there(exchange: UrlExchange) -> list[str]:
    fs, root = fsspec.core.url_to_fs(exchange.url)
    return sorted(str(path).removeprefix(root) for path in fs.find(root))


def test_what_one_leaves_the_other_gets(exchange: UrlExchange, tmp_path: Path) -> None:
    files = {"a.npy": b"a" * 1000, "shards/b ü.json": b"{}", "shards/empty": b""}
    unfinished = {".tmp-x": b"?", "shards/.tmp-y.npy": b"?", "fold-2x.unfinished.npz": b"?"}
    exchange.pull("probes/t/m/k", tmp_path / "two")
    assert not (tmp_path / "two").exists()
    write(tmp_path / "one", files | unfinished)
    exchange.push("probes/t/m/k", tmp_path / "one")
    assert len(there(exchange)) == 2
    exchange.push("probes/t/m/k", tmp_path / "one")
    assert len(there(exchange)) == 2, "all of it was there"
    exchange.push("probes/t/m/other", tmp_path / "one", ["a.npy"])
    copy.deepcopy(exchange).pull("probes/t/m/k", tmp_path / "two")
    assert read(tmp_path / "two") == files

    # Others add to it, and what is there already stays as it is.
    write(tmp_path / "two", {"c.npy": b"c", "a.npy": b"mine"})
    exchange.push("probes/t/m/k", tmp_path / "two")
    (tmp_path / "one" / "shards" / "empty").unlink()
    exchange.pull("probes/t/m/k", tmp_path / "one")
    assert read(tmp_path / "one") == files | unfinished | {"c.npy": b"c"}


def test_large_entries_go_in_parts(
    exchange: UrlExchange, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PARCEL_BYTES", 100)
    sizes = {"a.json": 10, "b.npy": 90, "c.npy": 30, "d.npy": 500, "manifest.json": 1, "z.npy": 5}
    write(tmp_path / "one", {name: b"x" * size for name, size in sizes.items()})
    sent: list[list[str]] = []
    send = UrlExchange._send

    def watch(self: UrlExchange, entry: str, folder: Path, names: list[str]) -> None:
        sent.append(names)
        send(self, entry, folder, names)

    monkeypatch.setattr(UrlExchange, "_send", watch)
    exchange.push("e", tmp_path / "one")
    # What says that others are there comes after them.
    assert sent == [["b.npy"], ["c.npy"], ["d.npy"], ["z.npy", "a.json", "manifest.json"]]
    exchange.pull("e", tmp_path / "two")
    assert read(tmp_path / "two") == read(tmp_path / "one")


def test_what_nobody_finished_is_not_seen(exchange: UrlExchange, tmp_path: Path) -> None:
    write(tmp_path / "one", {"a.npy": b"a"})
    exchange.push("e", tmp_path / "one")
    fs, root = fsspec.core.url_to_fs(exchange.url)
    fs.pipe_file(f"{root}/e/0123.tar", b"half of it")
    fs.pipe_file(f"{root}/e/4567.new", b"{")
    exchange.pull("e", tmp_path / "two")
    assert read(tmp_path / "two") == {"a.npy": b"a"}


@pytest.mark.parametrize("damage", ["cut", "changed", "list", "another version", "way out"])
def test_damage_is_found(exchange: UrlExchange, tmp_path: Path, damage: str) -> None:
    write(tmp_path / "one", {"a.npy": b"a" * 100})
    exchange.push("e", tmp_path / "one")
    fs, _ = fsspec.core.url_to_fs(exchange.url)
    (tar,) = (path for path in fs.find(f"{exchange.url}/e") if str(path).endswith(".tar"))
    place = f"{str(tar).removesuffix('.tar')}.json"
    content, listed = fs.cat_file(tar), json.loads(fs.cat_file(place))
    if damage == "cut":
        fs.pipe_file(tar, content[:-512])
    elif damage == "changed":
        fs.pipe_file(tar, content.replace(b"aaa", b"aab", 1))
    elif damage == "list":
        fs.pipe_file(place, b"{")
    else:
        bad = {"format_version": 2} if damage == "another version" else {"files": ["../a.npy"]}
        fs.pipe_file(place, json.dumps({**listed, **bad}).encode())
    with pytest.raises(HearError, match=r"isn't what was written there|can't be read by this"):
        exchange.pull("e", tmp_path / "two")
    assert not list((tmp_path / "two").rglob("*"))
    assert not (tmp_path / "a.npy").exists()


@pytest.mark.parametrize("name", ["", "/etc/passwd", "..", "a/../../b", "a\\b", "a\0b"])
def test_names_stay_within_their_folder(name: str) -> None:
    with pytest.raises(ValueError, match="is no name of a file"):
        Parcel(files=(name,), bytes=0, sha256="")


def test_marks(exchange: UrlExchange) -> None:
    mark = exchange.open_mark()
    assert exchange.note(mark) == "hearbench"
    assert exchange.note("marks/another") is None
    exchange.remove_note(mark)
    assert exchange.note(mark) is None


def test_notes_are_replaced(exchange: UrlExchange) -> None:
    for text in ("one", "two"):
        exchange.write_note("execution/step", text)
        assert exchange.note("execution/step") == text
    exchange.remove_note("execution/step")
    with pytest.raises(HearError, match="execution/step"):
        exchange.remove_note("execution/step")
    assert there(exchange) == []


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("/mnt/folder", "a URL is needed, as s3://bucket/folder"),
        ("nowhere://a/b", "--shared nowhere://a/b can't be used: Protocol not known: nowhere"),
        # Needs a package that isn't here.
        ("oci://a/b", "--shared oci://a/b can't be used: Install ocifs"),
        ("ftp://me:secret@127.0.0.1:1/b", r"--shared ftp://127.0.0.1:1/b can't be used"),
    ],
)
def test_bad_urls_are_told_at_once(url: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(HearError, match=said) as caught:
        UrlExchange(url).open_mark()
    assert "secret" not in str(caught.value)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
def test_where_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(HearError, match=r"Nothing can be written to file://.*ermission denied"):
        UrlExchange((tmp_path / "locked" / "in").as_uri()).open_mark()


def test_a_file_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(HearError, match=r"Nothing can be written to file://"):
        UrlExchange((tmp_path / "file").as_uri()).open_mark()


def test_a_task_travels_whole(exchange: UrlExchange, tmp_path: Path, workspace: Workspace) -> None:
    folder = make_scene_task(tmp_path, sample_rates=(16000, 44100))
    (folder / "notes.txt").write_text("stays at home")
    task = load_task(folder, workspace=workspace)
    place = TaskRef.sent(task, exchange)
    assert place.folder is None
    got = place.load(Context(workspace, exchange))
    assert got.folder == workspace.cache_dir / "unpacked" / place.entry.split("/")[1] / task.name
    assert not (got.folder / "notes.txt").exists()
    for rate in (16000, 44100):
        assert got.digest(rate) == task.digest(rate)

    # Labels alone are enough for some, and what they leave for others to begin with.
    part = dataclasses.replace(workspace, cache_dir=tmp_path / "part")
    deaf = place.load_labels(Context(part, exchange))
    assert not list(part.cache_dir.rglob("*.wav"))
    assert dataclasses.replace(deaf, folder=got.folder, audio_folders=got.audio_folders) == got
    assert place.load(Context(part, exchange)).digest(16000) == task.digest(16000)
    assert place.load_labels(Context(part, OneDisk())).sample_rates == (16000, 44100)

    # It isn't fetched twice, but what is lost comes again.
    next((got.folder / "16000").rglob("*.wav")).unlink()
    assert place.load(Context(workspace, exchange)).source_digest == task.source_digest
    assert place.load(Context(workspace, OneDisk())).source_digest == task.source_digest
    # Where the task of that name is the same, it is taken as it is.
    home = dataclasses.replace(workspace, cache_dir=tmp_path / "home")
    place.bring_home(home, exchange)
    place.bring_home(home, OneDisk())
    assert place.load(Context(home, OneDisk())).folder == home.cache_dir / "tasks" / task.name
    assert load_task(task.name, workspace=home).source_digest == task.source_digest
    # Another one is left alone.
    other = dataclasses.replace(workspace, cache_dir=tmp_path / "other")
    make_scene_task(other.cache_dir / "tasks", seed=5, sample_rates=(16000, 44100))
    found = place.load(Context(other, exchange))
    assert "unpacked" in found.folder.parts
    assert found.source_digest == task.source_digest


def test_a_task_that_was_changed_is_refused(
    exchange: UrlExchange, tmp_path: Path, workspace: Workspace
) -> None:
    task = load_task(make_scene_task(tmp_path), workspace=workspace)
    place = TaskRef.sent(task, exchange)
    assert place.content is not None
    other = dataclasses.replace(place, content=place.content[:16] + "0" * 48)
    assert other.entry == place.entry
    with pytest.raises(TaskError, match="was changed"):
        other.load(Context(workspace, exchange))


class Nodes:
    """Runs each step on the next of two nodes, which have caches of their own."""

    parallel = True
    unused_gpus = 0

    def __init__(self, home: Workspace, caches: list[Workspace], exchange: UrlExchange) -> None:
        self.context = Context(home, exchange)
        self.nodes = [Context(cache, exchange) for cache in caches]
        self.waiting: list[Step] = []
        self.done: list[Step] = []

    def submit(self, step: Step) -> None:
        self.waiting.append(step if step.at_home else copy.deepcopy(step))

    def wait(self) -> tuple[Step, Outcome]:
        step = self.waiting.pop(0)
        self.done.append(step)
        node = self.nodes[len(self.done) % len(self.nodes)]
        return step, outcome_of(step, self.context if step.at_home else node)

    @property
    def trained(self) -> list[TrainFold]:
        return [step for step in self.done if isinstance(step, TrainFold)]


def cache(workspace: Workspace, folder: Path) -> Workspace:
    return dataclasses.replace(workspace, cache_dir=folder)


def made(folder: Path) -> dict[str, bytes]:
    """Shards and trainings in a cache; both say how long they took."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for pattern in ("embeddings/*/*/*/shards/*", "probes/*/*/*/*.finished.npz")
        for path in folder.glob(pattern)
    }


@pytest.mark.parametrize("exchange", ["file"], indirect=True)
def test_nodes_without_a_common_disk(
    exchange: UrlExchange, tmp_path: Path, workspace: Workspace
) -> None:
    task = make_scene_task(
        tmp_path, folds=True, varying_lengths=True, sample_rates=(44100,), clips_per_label=22
    )
    spec = write_model(tmp_path, BANDS, "bands")
    setup = ProbeSetup(get_protocol("faster").restricted(first=4), (7, 8), "float32")

    def run(name: str, home: Workspace, nodes: Nodes | None) -> Path:
        results = evaluate(
            spec, task, protocol=setup, out=tmp_path / name, executor=nodes, workspace=home
        )
        assert results.failures == []
        return tmp_path / name / "bands" / "tones-1.0.0-full"

    caches = [cache(workspace, tmp_path / name) for name in ("n0", "n1")]
    nodes = Nodes(workspace, caches, exchange)
    found = run("there", workspace, nodes)
    # Every node did some of it, and neither all.
    for kind, pattern in (("embeddings", "shards/fold*.npy"), ("probes", "*.finished.npz")):
        assert list((tmp_path / "n0" / kind).rglob(pattern)), kind
        assert list((tmp_path / "n1" / kind).rglob(pattern)), kind
    (score,) = (step for step in nodes.done if isinstance(step, Score))
    kinds = sorted(entry.split("/")[0] for entry in score.entries)
    assert kinds == ["embeddings", "probes", "probes"]
    # Nothing was left to be embedded or trained at home.
    at_home = made(workspace.cache_dir)
    assert len(at_home) == 2 * 6 + 2 * len(nodes.trained)
    assert at_home.items() <= {*made(tmp_path / "n0").items(), *made(tmp_path / "n1").items()}

    expected = run("here", cache(workspace, tmp_path / "alone"), None)
    for seed in ("", "seeds/8"):
        one, other = Result.read(found / seed), Result.read(expected / seed)
        assert one.same_as(other)
        assert one.embeddings.digest == other.embeddings.digest
        assert read(found / seed / "predictions") == read(expected / seed / "predictions")
    # To train takes none of the audio.
    deaf = Context(cache(workspace, tmp_path / "n2"), exchange)
    for step in nodes.trained:
        found_in = step.run(deaf)
        assert isinstance(found_in, tuple)
        assert set(score.entries).issuperset(found_in)
    assert not list((tmp_path / "n2").rglob("*.wav"))
    # A node that has nothing gets all of it.
    home, node = (cache(workspace, tmp_path / name) for name in ("home", "n3"))
    fresh = Nodes(home, [node], exchange)
    before = there(exchange)
    run("again", home, fresh)
    assert there(exchange) == before
    assert EmbedShards not in {type(step) for step in fresh.done}
    assert made(node.cache_dir) == made(home.cache_dir) == at_home


@pytest.mark.parametrize("exchange", ["file"], indirect=True)
def test_the_command_gets_all_of_it_from_there(
    exchange: UrlExchange, tmp_path: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    caches = [cache(workspace, tmp_path / name) for name in ("n0", "n1")]
    nodes = Nodes(workspace, caches, exchange)
    # One lies with the command, and the other has a name that the nodes alone know.
    places = [str(make_scene_task(tmp_path)), "other"]
    for each in caches:
        make_scene_task(each.cache_dir / "tasks", name="other", seed=3)

    @contextmanager
    def cluster(*_: object, shared: UrlExchange, **__: object) -> Iterator[Nodes]:
        assert shared == exchange
        yield nodes

    monkeypatch.setattr("hearbench.execution.ray_cluster.ray_cluster", cluster)
    command = (
        *("evaluate", write_model(tmp_path, BANDS, "bands"), "--protocol", "faster"),
        *("--grid-points", "2", "--cache", workspace.cache_dir, "--json", "--seeds", "2"),
        *(f"--task={place}" for place in places),
    )
    there = hearbench(
        *(*command, "--out", tmp_path / "there"),
        *("--executor", "ray", "--shared", exchange.url),
    )
    assert there.code == 0, there.stderr
    assert [step.task for step in nodes.done if isinstance(step, FetchTask)] == ["other"]
    assert (workspace.cache_dir / "tasks" / "other-1.0.0-full").is_dir()
    # The command itself embedded and trained nothing.
    at_home = made(workspace.cache_dir)
    assert len(at_home) == 2 * 2 * 3 + 2 * len(nodes.trained)
    assert at_home.items() <= {*made(tmp_path / "n0").items(), *made(tmp_path / "n1").items()}
    here = hearbench(*command, "--out", tmp_path / "here", "--overwrite")
    assert here.stderr.count("embeddings found in the cache") == 2
    assert made(workspace.cache_dir) == at_home
    assert here.json["results"] == [
        {**found, "path": found["path"].replace("/there/", "/here/")}
        for found in there.json["results"]
    ]
    # What the command has in its cache, others needn't make.
    fresh = Nodes(workspace, [cache(workspace, tmp_path / "n2")], exchange)
    fs, root = fsspec.core.url_to_fs(exchange.url)
    fs.rm(root, recursive=True)
    nodes = fresh
    again = hearbench(
        *(*command, "--out", tmp_path / "again"),
        *("--executor", "ray", "--shared", exchange.url),
    )
    assert again.code == 0, again.stderr
    assert EmbedShards not in {type(step) for step in fresh.done}
    shards = [path.name for path in (tmp_path / "n2" / "embeddings").rglob("*.npy")]
    assert len(shards) == 6


def test_a_task_that_a_node_fetched_comes_home(
    exchange: UrlExchange, tmp_path: Path, workspace: Workspace
) -> None:
    node = cache(workspace, tmp_path / "node")
    make_scene_task(node.cache_dir / "tasks")
    nodes = Nodes(workspace, [node], exchange)
    found: dict[str, TaskRef] = {}
    flows = {name: fetching(name, found, sent=True) for name in ("tones", "tunes")}
    assert drive(nodes, flows).keys() == {"tunes"}
    found["tones"].bring_home(workspace, exchange)
    task = load_task("tones", workspace=workspace, download=False)
    assert task.source_digest == load_task("tones", workspace=node).source_digest


def errand(workspace: Workspace, mark: Path, exchange: UrlExchange, url_mark: str) -> _Errand:
    return _Errand(
        FetchTask("tones"), workspace, __version__, mark, exchange.url, url_mark, str(mark.parent)
    )


def test_a_node_that_sees_another_place_says_so(
    exchange: UrlExchange, tmp_path: Path, workspace: Workspace
) -> None:
    outcome = errand(workspace, tmp_path, exchange, "marks/nobody").run()
    assert outcome.error is not None
    assert f"doesn't see what the evaluation wrote to {exchange.url}" in str(outcome.error)
    outcome = errand(workspace, tmp_path, UrlExchange("oci://a/b"), "marks/nobody").run()
    assert outcome.error is not None
    assert "--shared oci://a/b can't be used: Install ocifs" in str(outcome.error)


def test_which_cache_a_node_takes(
    exchange: UrlExchange, tmp_path: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mark").touch()
    seen, unseen = (errand(workspace, tmp_path / name, exchange, "") for name in ("mark", "none"))
    monkeypatch.delenv("HEARBENCH_CACHE", raising=False)
    # A disk in common with the evaluation needs no second copy.
    assert seen._own_cache() == workspace
    assert unseen._own_cache().cache_dir == platformdirs.user_cache_path("hearbench").resolve()
    monkeypatch.setenv("HEARBENCH_CACHE", str(tmp_path / "own"))
    for found in (seen._own_cache(), unseen._own_cache()):
        assert found == dataclasses.replace(workspace, cache_dir=tmp_path / "own")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--shared", "/mnt/a"), "--shared /mnt/a: a URL is needed"),
        (("--shared", "oci://a/b"), "--shared oci://a/b can't be used: Install ocifs"),
        (("--out", "s3://a/b"), "is a URL; results are written into a folder of this machine"),
    ],
)
def test_the_command_says_so(more: tuple[str, str], said: str, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    task = make_scene_task(tmp_path)
    command = ("evaluate", "hearbench.models.naive", "--task", task, "--cache", tmp_path / "cache")
    options = {"--out": str(tmp_path / "out"), **dict([more])}
    answer = hearbench(*command, "--executor", "ray", *(x for o in options.items() for x in o))
    assert answer.code == 2
    assert said in answer.stderr
    assert "Traceback" not in answer.stderr
