from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from helpers_tasks import make_scene_task

from hearbench.errors import TaskError, UnknownNameError
from hearbench.tasks.store import load_task
from hearbench.workspace import Workspace


def test_a_folder_above_one_task(tmp_path: Path, workspace: Workspace) -> None:
    folder = make_scene_task(tmp_path / "out/tasks")
    assert load_task(tmp_path / "out", workspace=workspace).folder == folder
    assert load_task(str(tmp_path / "out/tasks"), workspace=workspace).folder == folder


def test_a_folder_above_two_tasks(tmp_path: Path, workspace: Workspace) -> None:
    make_scene_task(tmp_path / "tasks")
    make_scene_task(tmp_path / "tasks", name="others")
    with pytest.raises(TaskError, match=r"2 tasks.*others-1\.0\.0-full.*tones-1\.0\.0-full"):
        load_task(tmp_path / "tasks", workspace=workspace)


def test_a_name_in_the_cache(tmp_path: Path, workspace: Workspace) -> None:
    folder = make_scene_task(workspace.cache_dir / "tasks")
    assert load_task("tones-1.0.0-full", workspace=workspace).folder == folder
    assert load_task("tones", workspace=workspace).folder == folder
    with pytest.raises(UnknownNameError, match="Did you mean 'tones"):
        load_task("tone", workspace=workspace)
    shutil.copytree(folder, folder.with_name("tones-1.0.0-small"))
    with pytest.raises(TaskError, match="2 tasks in the cache are called tones"):
        load_task("tones", workspace=workspace)
    assert load_task("tones-1.0.0-full", workspace=workspace).folder == folder


def test_nothing_of_that_name(tmp_path: Path, workspace: Workspace) -> None:
    with pytest.raises(UnknownNameError, match="no task 'birds'"):
        load_task("birds", workspace=workspace)
    for path in (tmp_path / "gone", tmp_path / "gone.tar.gz", "gone.tar.gz", "a/b", ""):
        with pytest.raises((TaskError, UnknownNameError)):
            load_task(path, workspace=workspace)


def test_no_task_in_a_folder(tmp_path: Path, workspace: Workspace) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(TaskError, match=r"empty is no task.*task_metadata\.json"):
        load_task(tmp_path / "empty", workspace=workspace)


def test_a_file_that_is_no_archive(tmp_path: Path, workspace: Workspace) -> None:
    (tmp_path / "a.zip").write_text("x")
    with pytest.raises(TaskError, match=r"no \.tar\.gz"):
        load_task(tmp_path / "a.zip", workspace=workspace)


@pytest.mark.parametrize("name", ["16000/test/test-a-0.wav", "train.json", "SHA256SUMS"])
@pytest.mark.parametrize("harm", ["bit", "half", "gone"])
def test_a_damaged_task_of_the_cache_is_refused(
    tmp_path: Path, workspace: Workspace, name: str, harm: str
) -> None:
    folder = make_scene_task(workspace.cache_dir / "tasks", clips_per_label=1)
    load_task("tones", workspace=workspace)
    path = folder / name
    content = bytearray(path.read_bytes())
    if harm == "gone":
        path.unlink()
    elif harm == "half":
        path.write_bytes(content[: len(content) // 2])
    else:
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    if (name, harm) == ("SHA256SUMS", "gone"):  # as of a task that nobody has used yet
        assert load_task("tones", workspace=workspace).folder == folder
        assert path.is_file()
        return
    with pytest.raises(TaskError, match=f"{name}.*damaged"):
        load_task("tones", workspace=workspace)


def test_a_rate_that_a_task_of_the_cache_gets_later_is_no_damage(
    tmp_path: Path, workspace: Workspace
) -> None:
    folder = make_scene_task(workspace.cache_dir / "tasks", clips_per_label=1)
    load_task("tones", workspace=workspace)
    more = make_scene_task(tmp_path, clips_per_label=1, sample_rates=(22050,))
    shutil.copytree(more / "22050", folder / "22050")
    assert load_task("tones", workspace=workspace).sample_rates == (16000, 22050)
