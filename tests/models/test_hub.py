"""Where checkpoints are: folders, and the hub, for which a server on this machine stands in."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers_hub import Hub, hub_serving

from hearbench.embeddings.manifest import ModelRecord
from hearbench.errors import ModelError
from hearbench.models import hub
from hearbench.models.finding import parse_name

pytest.importorskip("huggingface_hub")

FIRST, SECOND, OLD, TEXT = "1" * 40, "2" * 40, "3" * 40, "4" * 40
INDEX = json.dumps(
    {"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}
).encode()
LARGE = {
    "config.json": b"{}",
    "preprocessor_config.json": b"{ }",
    "vocab.json": b"{}",
    "model.safetensors.index.json": INDEX,
    "model-1.safetensors": b"1",
    "model-2.safetensors": b"2",
    "model.fp16.safetensors": b"half",
    "adapter.deu.safetensors": b"German",
    "pytorch_model.bin": b"pickled",
    "flax_model.msgpack": b"flax",
    "modeling_own.py": b"pass",
    "parts/own_part.py": b"pass",
    "encoder/config.json": b"{}",
    "encoder/model.safetensors": b"inner",
    "encoder/modeling_inner.py": b"pass",
}
REPOSITORY = {
    FIRST: LARGE,
    SECOND: {"config.json": b"{}", "model.safetensors": b"second", "README.md": b""},
    OLD: {"config.json": b"{}", "pytorch_model.bin": b"old", "training_args.bin": b"x"},
    TEXT: {
        "config.json": b'{"model_type": "clap"}',
        "model.safetensors": b"both",
        "tokenizer.json": b"{ }",
        "vocab.json": b"{  }",
        "tokenizer.model": b"another's",
    },
}

_RESOLVE = """
import json, sys
from hearbench.errors import HearError
from hearbench.models import hub
try:
    folder = hub.resolve(sys.argv[1], with_code=sys.argv[2] == "code")
    files = [str(path.relative_to(folder)) for path in hub.weight_files(folder)]
    print(json.dumps([str(folder), files, hub.commit_of(folder)]))
except HearError as error:
    print(json.dumps([type(error).__name__, str(error), None]))
"""


@pytest.fixture
def server() -> Iterator[Hub]:
    with hub_serving(REPOSITORY, {"main": FIRST, "v2": SECOND, "old": OLD, "clap": TEXT}) as served:
        yield served


def _resolved(text: str, server: Hub, cache: Path, *, code: bool = False) -> Any:
    """Where it is, the files that count, and the commit; or the error and its message."""
    environment = {**os.environ, "HF_ENDPOINT": server.address, "HF_HOME": str(cache)}
    for name in ("HF_HUB_CACHE", "HF_HUB_OFFLINE", "HF_TOKEN", "HTTP_PROXY", "http_proxy"):
        environment.pop(name, None)
    done = subprocess.run(
        [sys.executable, "-c", _RESOLVE, text, "code" if code else ""],
        capture_output=True,
        text=True,
        env={**environment, "NO_PROXY": "127.0.0.1"},
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    # What has failed is told once, and not each try of the client.
    assert "Retrying" not in done.stderr
    return json.loads(done.stdout)


def _present(folder: str) -> list[str]:
    return sorted(
        str(path.relative_to(folder)) for path in Path(folder).rglob("*") if path.is_file()
    )


def test_only_what_the_model_loads_is_downloaded(server: Hub, tmp_path: Path) -> None:
    folder, files, commit = _resolved("org/name", server, tmp_path)
    expected = [
        "config.json",
        "model-1.safetensors",
        "model-2.safetensors",
        "model.safetensors.index.json",
        "preprocessor_config.json",
    ]
    assert _present(folder) == sorted(server.downloaded) == files == expected
    assert commit == FIRST
    assert Path(folder).name == FIRST
    # What is there isn't asked for once more.
    assert _resolved("org/name", server, tmp_path)[0] == folder
    assert len(server.downloaded) == 5


def test_of_a_model_with_a_text_tower_the_tokenizer_is_loaded_too(
    server: Hub, tmp_path: Path
) -> None:
    folder, files, _ = _resolved("org/name@clap", server, tmp_path)
    expected = ["config.json", "model.safetensors", "tokenizer.json", "vocab.json"]
    assert _present(folder) == sorted(server.downloaded) == files == expected


def test_code_is_downloaded_where_it_may_run(server: Hub, tmp_path: Path) -> None:
    folder, _, _ = _resolved("org/name", server, tmp_path, code=True)
    assert {"modeling_own.py", "parts/own_part.py", "vocab.json"} <= {*_present(folder)}
    names = [
        path.relative_to(folder).as_posix()
        for path in hub.weight_files(Path(folder), with_code=True)
    ]
    assert {"modeling_own.py", "parts/own_part.py", "config.json"} <= {*names}
    assert "model.fp16.safetensors" not in _present(folder)


@pytest.mark.parametrize("revision", ["v2", SECOND])
def test_a_revision_is_a_tag_or_a_commit(server: Hub, tmp_path: Path, revision: str) -> None:
    folder, files, commit = _resolved(f"org/name@{revision}", server, tmp_path)
    assert (files, commit) == (["config.json", "model.safetensors"], SECOND)
    assert (Path(folder) / "model.safetensors").read_bytes() == b"second"


def test_weights_in_the_old_format(server: Hub, tmp_path: Path) -> None:
    folder, files, _ = _resolved("org/name@old", server, tmp_path)
    assert _present(folder) == files == ["config.json", "pytorch_model.bin"]


def test_a_subfolder_is_a_checkpoint_of_its_own(server: Hub, tmp_path: Path) -> None:
    folder, files, commit = _resolved("org/name/encoder@main", server, tmp_path)
    assert Path(folder).parts[-2:] == (FIRST, "encoder")
    assert (files, commit) == (["config.json", "model.safetensors"], FIRST)
    assert server.downloaded == ["encoder/config.json", "encoder/model.safetensors"]


def test_what_the_hub_has_not_got(server: Hub, tmp_path: Path) -> None:
    kind, message, _ = _resolved("org/name@v3", server, tmp_path)
    assert kind == "DownloadError"
    assert "org/name@v3" in message
    kind, message, _ = _resolved("org/other", server, tmp_path)
    assert kind == "DownloadError"
    assert "\nWithout a connection, download its files on another machine (config" in message
    kind, message, _ = _resolved("org/name/parts", server, tmp_path)
    assert (kind, message) == (
        "ModelError",
        "org/name/parts on the Hugging Face hub holds no config.json.",
    )


def test_without_a_connection_the_copy_counts_if_it_is_whole(tmp_path: Path) -> None:
    with hub_serving(REPOSITORY, {"main": FIRST}) as served:
        folder, _, _ = _resolved("org/name", served, tmp_path)
    assert _resolved("org/name", served, tmp_path)[0] == folder
    (Path(folder) / "model-2.safetensors").unlink()
    kind, message, _ = _resolved("org/name", served, tmp_path)
    assert kind == "DownloadError"
    assert message.startswith("org/name is no local folder and can't be downloaded")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The files of a checkpoint, as far as finding it goes."""
    made = tmp_path / "checkpoint"
    made.mkdir()
    for name in ("config.json", "preprocessor_config.json", "model.safetensors", "README.md"):
        (made / name).write_text("{}")
    return made


def test_folders_are_themselves_and_their_files_are_known(folder: Path) -> None:
    assert hub.resolve(str(folder)) == folder.resolve()
    found = [path.name for path in hub.weight_files(folder)]
    assert found == ["config.json", "model.safetensors", "preprocessor_config.json"]
    assert hub.commit_of(folder) is None
    named = parse_name(f"hf:{folder}")
    assert (named.name, named.weights, named.trusts_code) == ("hf-checkpoint", folder, False)
    assert parse_name(f"hf:{folder}", trust_code=True).trusts_code


def test_a_list_of_weights_that_leads_elsewhere(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    index = folder / "model.safetensors.index.json"
    index.write_text('{"weight_map": {"a": "../secret"}}')
    with pytest.raises(ModelError, match=r"names '\.\./secret', which isn't a file beside it"):
        hub.weight_files(folder)
    index.write_text("[]")
    with pytest.raises(ModelError, match="isn't a list of files of weights"):
        hub.weight_files(folder)


@pytest.mark.parametrize("text", ["{}/missing/folder", "org/../name", "org/name@", "a b"])
def test_neither_a_folder_nor_a_name(tmp_path: Path, text: str) -> None:
    with pytest.raises(ModelError, match="neither a folder"):
        hub.resolve(text.format(tmp_path))


def test_a_folder_without_configuration(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"holds no config\.json"):
        hub.resolve(str(tmp_path))


def test_results_name_the_commit(tmp_path: Path) -> None:
    snapshot = tmp_path / "models--org--name" / "snapshots" / FIRST
    record = ModelRecord(
        name="hf-org-name",
        spec="hf:org/name",
        weights=str(snapshot),
        weights_digest="1" * 64,
        source_digest="2" * 64,
        options={},
        digest="3" * 64,
        sample_rate=16000,
        scene_embedding_size=8,
        timestamp_embedding_size=8,
        revision=hub.commit_of(snapshot / "encoder"),
    )
    assert record.model_dump()["revision"] == FIRST
    assert ModelRecord.model_validate_json(record.model_dump_json()) == record
    # Where there is none, records are as those of earlier versions.
    plain = record.model_copy(update={"revision": None})
    assert "revision" not in plain.model_dump_json()
