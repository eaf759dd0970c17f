"""Where checkpoints are: folders, and the hub."""

from __future__ import annotations

from pathlib import Path

import pytest

from hearbench.errors import DownloadError, ModelError
from hearbench.models import hub


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


def test_a_hub_name_is_downloaded_once_in_the_safe_format_if_it_has_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import huggingface_hub

    asked: list[tuple[str, list[str]]] = []

    def fake(name: str, *, allow_patterns: list[str], ignore_patterns: list[str]) -> str:
        asked.append((name, allow_patterns))
        return str(folder if name == "org/safe" else tmp_path)

    (tmp_path / "config.json").write_text("{}")
    monkeypatch.setattr(huggingface_hub, "snapshot_download", fake)
    assert hub.resolve("org/safe") == folder
    assert asked == [("org/safe", ["*.json", "*.safetensors"])]
    assert hub.resolve("org/old") == tmp_path
    assert asked[2] == ("org/old", ["*.json", "pytorch_model*.bin"])


def test_a_hub_that_cannot_be_reached_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    def fake(*_: object, **__: object) -> str:
        raise huggingface_hub.errors.LocalEntryNotFoundError("no connection")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fake)
    with pytest.raises(DownloadError, match=r"no connection\nWithout a connection, download"):
        hub.resolve("org/name")


def test_neither_a_folder_nor_a_name(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="neither a folder"):
        hub.resolve(str(tmp_path / "missing" / "folder"))
    with pytest.raises(ModelError, match=r"holds no config\.json"):
        hub.resolve(str(tmp_path))
